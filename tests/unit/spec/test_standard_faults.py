"""What is wrong with a protocol table, or with what is asked of it: where, got, allowed and what to do."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.errors import Fault, SpecError
from nmpsim.spec.standard import load_standard, parse_table, read_table
from nmpsim.spec.standard.protocols import protocol_of
from nmpsim.spec.standard.read import TABLE_FOLDER, checked_table

HBM2 = (TABLE_FOLDER / "hbm2.toml").read_text("utf-8")


def refused(edits: dict[str, str]) -> list[Fault]:
    """Faults of the HBM2 table with some texts replaced, each once or more."""
    text = HBM2
    for old, new in edits.items():
        assert old in text, old
        text = text.replace(old, new)
    with pytest.raises(SpecError) as caught:
        parse_table(text, "my.toml")
    return list(caught.value.faults)


def asked(**request: object) -> dict[str, Fault]:
    """Faults of a request to HBM2, by where."""
    with pytest.raises(SpecError) as caught:
        load_standard("hbm2", **request)
    return {fault.where: fault for fault in caught.value.faults}


FIRST = '{ level = "PseudoChannel", after = ["RD", "RDA"], before = ["RD", "RDA"], latency = "nBL", source = "R21" },'


@pytest.mark.parametrize(
    ("edits", "where", "told"),
    [
        ({FIRST: FIRST.replace("PseudoChannel", "PseudoChanel")}, "constraint[0].level", "did you mean PseudoChannel?"),
        ({FIRST: FIRST.replace('"RDA"]', '"RDX"]', 1)}, "constraint[0].after", "did you mean RD"),
        ({FIRST: FIRST.replace("nBL", "nBX")}, "constraint[0].latency", "did you mean nBL?"),
        ({FIRST: FIRST.replace("nBL", "nBL /")}, "constraint[0].latency", "cannot read '/'"),
        ({FIRST: FIRST.replace("R21", "R22")}, "constraint[0].source", "did you mean R21?"),
        ({FIRST: FIRST.replace("level =", "levl =")}, "constraint[0].levl", "unknown key"),
        ({FIRST: FIRST.replace("level =", "levl =")}, "constraint[0].level", "add level"),
        ({FIRST: FIRST.replace("}", ", window = 0 }")}, "constraint[0].window", "greater than or equal to 1"),
        ({FIRST: FIRST.replace('["RD", "RDA"]', '["RD", "RD"]', 1)}, "constraint[0].after", "each once"),
        ({'timing = "HBM2_2000Mbps"': 'timing = "HBM2_2000"'}, "standard.timing", "did you mean HBM2_2000Mbps?"),
        ({'"Bank"]\nprefetch': '"Bnk"]\nprefetch'}, "standard.levels", "Bank as the last"),
        ({'"BankGroup", "Bank"]\nprefetch': '"Row", "Bank"]\nprefetch'}, "standard.levels", "rows and columns"),
        ({'read_latency = "nCL + nBL"': 'read_latency = "nCL + nB"'}, "standard.read_latency", "did you mean nBL?"),
        ({"density_Mb = 1024\nchannel_width = 64": "density_Mb = 1024"}, "organisation.HBM2_1Gb", "add channel_width"),
        ({"tCK_ps = 1250\n": ""}, "timing.HBM2_1600Mbps", "add tCK_ps"),
        ({"nRCDRD = 10\n": ""}, "timing.HBM2_1600Mbps", "add nRCDRD"),
        ({"nCL = 10\n": 'nCL = "10"\n'}, "timing.HBM2_1600Mbps.nCL", "an integer"),
        ({"nREFI = { ns = 3900,": 'nREFI = { ns = 3900, same_as = "nRC",'}, "rule.nREFI", "exactly one of"),
        ({"nREFI = { ns = 3900,": 'nREFI = { same_as = "nREFIp",'}, "rule.nREFI.same_as", "did you mean nREFIpb?"),
        ({'by = "density_Mb"': 'by = "density_Gb"'}, "rule.nRFC.by", "did you mean density_Mb?"),
        ({"upto = 2048": "upto = 1024"}, "rule.nRFC.steps", "growing sizes"),
        ({'name = "WR"': 'name = "WRT"'}, "command", "add WR"),
        ({'name = "PREab"': 'name = "PREpb"'}, "command[2].name", "each name once"),
        ({"ticks = 2": "ticks = 2.5"}, "command[0].ticks", "an integer"),
        ({'bus = "column"': 'bus = "colum"'}, "command[3].bus", "'row' or 'column'"),
    ],
)
def test_a_fault_of_a_table_says_where_and_what(edits: dict[str, str], where: str, told: str) -> None:
    found = [fault for fault in refused(edits) if fault.where == f"my.toml: {where}"]
    assert found, refused(edits)
    assert any(told in str(fault) for fault in found), found


def test_all_faults_of_a_table_come_together() -> None:
    faults = refused({FIRST: FIRST.replace("nBL", "nBX"), "tCK_ps = 1250\n": "", "upto = 2048": "upto = 1024"})
    assert {fault.where for fault in faults} == {
        "my.toml: constraint[0].latency",
        "my.toml: timing.HBM2_1600Mbps",
        "my.toml: rule.nRFC.steps",
    }


def test_all_faults_of_a_request_come_together() -> None:
    faults = asked(
        organisation="HBM2_9Gb",
        timing="HBM2_2000Mbs",
        overrides={"nRCD": 3, "bank": 0, "nBL": 0, "nRP": -1, "nRAS": 2.5, "nRC": True, "tCK_ps": 0, "nFAW": 0},
    )
    assert set(faults) == {
        "organisation of HBM2",
        "timing of HBM2",
        *(f"override {key}" for key in ("nRCD", "bank", "nBL", "nRP", "nRAS", "nRC", "tCK_ps")),
    }
    assert "did you mean HBM2_2000Mbps?" in faults["timing of HBM2"].todo
    assert "did you mean nRC?" in faults["override nRCD"].todo
    assert faults["override nRP"].allowed == "an integer from 0 to 2147483648"


def test_sizes_that_do_not_fit_are_named() -> None:
    (fault,) = asked(overrides={"column": 126}).values()
    assert (fault.got, fault.allowed) == ("column = 126", "a multiple of 4")
    (fault,) = asked(overrides={"channel_width": 7}).values()
    assert (fault.got, fault.allowed) == ("channel_width = 7", "whole bytes")


def test_a_density_beyond_the_last_step_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        load_standard("hbm4", overrides={"row": 2**18})
    (fault,) = caught.value.faults
    assert fault.got.endswith("= 65536")
    assert (fault.allowed, fault.todo) == ("at most 16384, for nRFC", "override nRFC")


def test_an_unknown_standard_and_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean hbm4"):
        read_table("hbm5")
    with pytest.raises(SpecError, match="check its path"):
        read_table(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[standard", "utf-8")
    with pytest.raises(SpecError, match="correct the syntax"):
        read_table(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="encoding"):
        read_table(broken)


def test_a_table_of_the_user_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HBM2.replace('name = "HBM2"', 'name = "mine"'), "utf-8")
    assert load_standard(path).name == "mine"
    assert load_standard(str(path)).constraints == load_standard("hbm2").constraints


def test_a_key_that_only_a_rule_reads_is_needed_everywhere() -> None:
    (fault,) = refused({"density_Mb = 1024\n": ""})
    assert (fault.where, fault.todo) == ("my.toml: organisation.HBM2_1Gb", "add density_Mb")


def test_equal_timings_do_not_chain() -> None:
    edits = {
        "nREFI = { ns = 3900,": 'nREFI = { same_as = "nRREFD",',
        "nRREFD = { ns = 8,": 'nRREFD = { same_as = "nRC",',
    }
    (fault,) = refused(edits)
    assert fault.where == "my.toml: rule.nREFI.same_as"


TREE = tomllib.loads(HBM2)
SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["nBL", "nCL + 2", "Bank", "RD"])
)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3))


def places(node: object, prefix: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every key path of a tree of tables and lists."""
    keys = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [prefix, *(place for key, value in keys for place in places(value, (*prefix, key)))]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(TREE)[1:]), VALUES | st.none())
def test_any_value_in_any_place_is_read_or_refused(place: tuple[object, ...], value: object) -> None:
    """None takes the entry out."""
    tree = copy.deepcopy(TREE)
    node = tree
    for key in place[:-1]:
        node = node[key]
    if value is None:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    try:
        table = checked_table(tree, "my.toml")
        for organisation in table.organisation:
            for timing in table.timing:
                assert protocol_of(table, organisation, timing).constraints is not None
    except SpecError as error:
        refusal = error
    else:
        return
    assert refusal.faults
    for fault in refusal.faults:
        assert all((fault.where, fault.got, fault.allowed, fault.todo)), fault
