"""Protocols of the standards: numbers of published runs, formulas, overrides."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from nmpsim.spec.protocol import Protocol
from nmpsim.spec.standard import load_standard, parse_table, read_table, standard_names
from nmpsim.spec.standard.describe import peak_bandwidth
from nmpsim.spec.standard.protocols import protocol_of
from nmpsim.spec.standard.read import TABLE_FOLDER

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "dram").glob("r21_*/config.json"))

PRESETS = [
    (name, organisation, timing)
    for name in standard_names()
    for organisation in read_table(name).organisation
    for timing in read_table(name).timing
]


def rows(protocol: Protocol) -> Counter[tuple[object, ...]]:
    """Constraint rows of a protocol as a multiset, without order among commands."""
    return Counter(
        (row.level, frozenset(row.preceding), frozenset(row.following), row.latency, row.window, row.sibling)
        for row in protocol.constraints
    )


def test_the_golden_cases_are_there() -> None:
    cases = [json.loads(path.read_text()) for path in GOLDEN]
    assert {case["standard"] for case in cases} == {"HBM2", "HBM3"}
    assert any(case["level_sizes"][:4] == [1, 1, 1, 1] for case in cases)  # the channel of one bank


@pytest.mark.parametrize("path", GOLDEN, ids=[path.parent.name for path in GOLDEN])
def test_the_resolved_table_is_that_of_ramulator(path: Path) -> None:
    case = json.loads(path.read_text())
    protocol = load_standard(
        case["standard"], case["org_preset"], case["timing_preset"], case["overrides"], peer_exact=True
    )
    assert rows(protocol) == Counter(
        (
            row["level"],
            frozenset(row["preceding"]),
            frozenset(row["following"]),
            (row["latency"],),
            row["window"],
            row["sibling"],
        )
        for row in case["timing_constraints_ticks"]
    )
    timing = {key: value for key, value in case["timing_ticks"].items() if key not in {"rate", "tCK_ps"}}
    assert protocol.timing == timing
    assert list(protocol.levels) == case["levels"][:-2]
    assert [*protocol.sizes, protocol.rows] == case["level_sizes"][:-1]
    assert protocol.columns == case["level_sizes"][-1] // case["internal_prefetch"]
    assert protocol.tick_ps == case["tick_ps"]
    assert protocol.ticks_per_ck == case["ticks_per_ck"]
    assert protocol.read_latency == case["read_latency_ticks"]
    assert protocol.transaction_bytes == case["transaction_bytes"]
    assert [command.name for command in protocol.commands] == case["commands"]
    assert [command.name for command in protocol.commands if command.moves_data] == case["column_bus"]
    assert {command.name: command.ticks for command in protocol.commands} == case["command_ticks"]


@pytest.mark.parametrize(("name", "organisation", "timing"), PRESETS)
def test_the_peak_bandwidth_is_the_pin_rate(name: str, organisation: str, timing: str) -> None:
    """All pins of both pseudo channels at the rate of the bin, up to the rounding of the tick to picoseconds."""
    table = read_table(name)
    protocol = load_standard(name, organisation, timing)
    width, rate = table.organisation[organisation].values["channel_width"], table.timing[timing].values["rate"]
    pins = Fraction(2 * width * rate, 8000)
    asked_ps = Fraction(4 if table.standard.prefetch == 8 else 2) * 10**6 / rate  # command clock of that rate
    tick = asked_ps / protocol.ticks_per_ck
    assert peak_bandwidth(protocol) == pins * tick / protocol.tick_ps
    assert abs(tick - protocol.tick_ps) < 1


@pytest.mark.parametrize(("name", "organisation", "timing"), PRESETS)
def test_every_bank_of_a_refresh_scope_is_refreshed_once_per_interval(
    name: str, organisation: str, timing: str
) -> None:
    protocol = load_standard(name, organisation, timing)
    share = protocol.banks if name == "hbm2" else protocol.banks // protocol.sizes[1]
    ck = (
        protocol.tick_ps * protocol.ticks_per_ck if name == "hbm2" else read_table(name).timing[timing].values["tCK_ps"]
    )
    least = Fraction(3_900_000, share * ck) * protocol.ticks_per_ck
    assert least <= protocol.timing["nREFIpb"] < least + protocol.ticks_per_ck


def test_rules_by_density_and_by_time() -> None:
    """JEDEC times rounded up to command clocks: tRFC 110 to 350 ns, tRRD 4 ns, tFAW 15 ns, tRREFD 8 ns."""
    slow = load_standard("hbm2", "HBM2_1Gb", "HBM2_1600Mbps").timing
    assert (slow["nRFC"], slow["nRRDS"], slow["nFAW"], slow["nRREFD"], slow["nRFCpb"]) == (88, 4, 12, 7, 128)
    fast = load_standard("hbm2", "HBM2_8Gb", "HBM2_2400Mbps").timing
    assert (fast["nRFC"], fast["nRRDS"], fast["nFAW"], fast["nRREFD"], fast["nRFCpb"]) == (421, 5, 19, 10, 193)
    ck = {"HBM3_4Gb": 416, "HBM3_8Gb_8hi": 416, "HBM3_16Gb_8hi": 560, "HBM3_32Gb_8hi": 720, "HBM3_32Gb_16hi": 560}
    for organisation, cycles in ck.items():
        assert load_standard("hbm3", organisation).timing["nRFC"] == 2 * cycles, organisation
    four = {"HBM4_32Gb_4Hi": (800, 488), "HBM4_32Gb_8Hi": (900, 244), "HBM4_32Gb_16Hi": (1060, 122)}
    for organisation, (all_banks, interval) in four.items():
        timing = load_standard("hbm4", organisation).timing
        assert (timing["nRFC"], timing["nREFIpb"]) == (2 * all_banks, 2 * interval), organisation


def test_a_rule_has_a_least_number_of_clocks() -> None:
    """At 2.5 ns, 4 ns are two clocks, but tRRD is at least four, and tFAW of 15 ns at least eight."""
    text = (TABLE_FOLDER / "hbm2.toml").read_text("utf-8").replace("tCK_ps = 1250", "tCK_ps = 2500")
    timing = protocol_of(parse_table(text, "slow.toml"), timing="HBM2_1600Mbps").timing
    assert (timing["nRRDS"], timing["nFAW"], timing["nRREFD"], timing["nREFI"]) == (4, 8, 4, 1560)


def test_latencies_lie_between_first_ticks() -> None:
    """HBM3: ACT takes 3 ticks, RD and WR 2, PRE and REF 1; nominal values in ticks are twice the command clocks."""
    table = {
        (row.level, row.preceding[0], row.following[0], row.window, row.sibling): row.latency[0]
        for row in load_standard("hbm3").constraints
        if row.rule != "nBL"
    }
    assert table["Bank", "ACT", "RD", 1, False] == 62 + 3 - 2
    assert table["Bank", "ACT", "PREpb", 1, False] == 90 + 3 - 1
    assert table["Bank", "PREpb", "ACT", 1, False] == 52 + 1 - 3
    assert table["PseudoChannel", "REFab", "PREab", 1, False] == 1120
    assert table["PseudoChannel", "REFab", "ACT", 1, False] == 1118
    assert table["PseudoChannel", "ACT", "ACT", 4, False] == 48
    assert table["Sid", "RD", "RD", 1, True] == 6


@pytest.mark.parametrize("name", standard_names())
def test_rules_beyond_ramulator_are_added_and_only_those(name: str) -> None:
    strict, exact = load_standard(name), load_standard(name, peer_exact=True)
    beyond = [row for row in strict.constraints if row.beyond_peer]
    assert beyond
    assert not any(row.beyond_peer for row in exact.constraints)
    assert rows(strict) - Counter(rows_of(beyond)) == rows(exact)
    between = {(row.level, p, f) for row in strict.constraints for p in row.preceding for f in row.following}
    assert {
        ("PseudoChannel", "REFpb", "REFpb"),
        ("PseudoChannel", "REFab", "REFpb"),
        ("BankGroup", "ACT", "REFpb"),
        ("Bank", "RDA", "REFpb"),
        ("Bank", "WRA", "REFpb"),
        ("Bank", "REFpb", "REFpb"),
        ("PseudoChannel", "PREab", "REFpb"),
    } <= between


def rows_of(constraints: list[object]) -> Counter[tuple[object, ...]]:
    """Rows of a list of constraints as `rows` gives them."""
    return Counter(
        (row.level, frozenset(row.preceding), frozenset(row.following), row.latency, row.window, row.sibling)
        for row in constraints
    )


def test_an_override_replaces_a_value_and_nothing_follows_from_it() -> None:
    plain, changed = load_standard("hbm3"), load_standard("hbm3", overrides={"nRFC": 100, "tCK_ps": 1001})
    assert changed.timing == plain.timing | {"nRFC": 200}  # nRFMab stays
    assert changed.tick_ps == 500  # half of 1001, without remainder


def test_rules_see_the_overridden_organisation() -> None:
    assert load_standard("hbm2", overrides={"bank": 1}).timing["nREFIpb"] == 488  # 3900 / 8, rounded up
    protocol = load_standard("hbm2", overrides={"channel_width": 256, "column": 64, "row": 12})
    assert (protocol.transaction_bytes, protocol.columns, protocol.rows, protocol.rows_per_tier) == (128, 16, 12, 12)


def test_a_density_without_a_rule_needs_an_override() -> None:
    """HBM4 has no tRFC for channels of more than 16 Gb."""
    protocol = load_standard("hbm4", overrides={"row": 2**18, "nRFC": 2000})
    assert protocol.timing["nRFC"] == 4000


def test_names_are_taken_whatever_the_case() -> None:
    assert load_standard("HBM2") == load_standard("hbm2")
    assert load_standard("hbm2").name == "HBM2"
