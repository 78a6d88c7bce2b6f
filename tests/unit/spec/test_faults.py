"""What the schema refuses, and in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nmpsim.errors import Fault
from nmpsim.spec.faults import all_paths, nearest

FORMS = '{ value = ..., source = "..." } or { value = ..., assumed = true, why = "..." }'
TRP = r"^tRP_ns = .*$"
RP_MEANING = " (ns; PRE to ACT)"
WHERE = "my.toml: dram.timing.tRP_ns"

CASES = {
    "a bare number": ("tRP_ns = 4.77", "4.77 without origin", FORMS + RP_MEANING),
    "no source": ("tRP_ns = { value = 4.77 }", "no origin", FORMS),
    "a blank source": ('tRP_ns = { value = 4.77, source = " " }', "no origin", FORMS),
    "assumed without why": ("tRP_ns = { value = 4.77, assumed = true }", "assumed = true", FORMS),
    "why without assumed": ('tRP_ns = { value = 4.77, why = "x" }', "a reason (why)", FORMS),
    "not assumed, with why": ('tRP_ns = { value = 4.77, assumed = false, why = "x" }', "a reason (why)", FORMS),
    "both forms": (
        'tRP_ns = { value = 4.77, source = "x", assumed = true, why = "y" }',
        "a source and assumed = true and a reason (why)",
        FORMS,
    ),
    "source and assumed": (
        'tRP_ns = { value = 4.77, source = "x", assumed = true }',
        "a source and assumed = true",
        FORMS,
    ),
    "source and why": (
        'tRP_ns = { value = 4.77, source = "x", why = "y" }',
        "a source and a reason (why)",
        FORMS,
    ),
    "no value": ('tRP_ns = { source = "x" }', "a table with source, no value", FORMS),
    "a text": ('tRP_ns = { value = "4.77", source = "x" }', "'4.77'", "a number" + RP_MEANING),
    "a truth": ('tRP_ns = { value = true, source = "x" }', "true", "a number" + RP_MEANING),
    "a date": ('tRP_ns = { value = 2020-01-01, source = "x" }', "datetime.date(2020, 1, 1)", "a number" + RP_MEANING),
    "a list": ('tRP_ns = { value = [4.77], source = "x" }', "[4.77]", "a number" + RP_MEANING),
    "infinite": ('tRP_ns = { value = inf, source = "x" }', "inf", "a finite number" + RP_MEANING),
    "no number": ('tRP_ns = { value = nan, source = "x" }', "nan", "a finite number" + RP_MEANING),
    "zero": ('tRP_ns = { value = 0.0, source = "x" }', "0.0", "at least 0.001" + RP_MEANING),
    "negative": ('tRP_ns = { value = -4.77, source = "x" }', "-4.77", "at least 0.001" + RP_MEANING),
    "too large": ('tRP_ns = { value = 1e10, source = "x" }', "10000000000.0", "at most 1e+09" + RP_MEANING),
    "missing": ("", "nothing", FORMS + RP_MEANING),
}


@pytest.mark.parametrize(("line", "got", "allowed"), CASES.values(), ids=CASES)
def test_a_wrong_number_is_refused(faults_of: Callable[..., list[Fault]], line: str, got: str, allowed: str) -> None:
    (fault,) = faults_of("stratum", {TRP: line})
    assert (fault.where, fault.got, fault.allowed) == (WHERE, got, allowed)
    assert fault.todo


OTHER = {
    "float for a count": (
        r"^pus = .*$",
        'pus = { value = 16.0, source = "x" }',
        "chip.pus",
        "16.0",
        "an integer (units; processing units: cores, a channel each, and their place in the network)",
    ),
    "zero units": (
        r"^pus = .*$",
        'pus = { value = 0, source = "x" }',
        "chip.pus",
        "0",
        "at least 1 (units; processing units: cores, a channel each, and their place in the network)",
    ),
    "one channel": (
        r"^vcs = .*$",
        'vcs = { value = 1, source = "x" }',
        "noc.vcs",
        "1",
        "at least 2 for noc.topology = 'ring'",
    ),
    "too many buffer banks": (
        r"(?<=1048576, assumed = true, why = ).*\nbanks = .*$",
        '"x" }\nbanks = { value = 64, source = "x" }',
        "core.buffer.banks",
        "64",
        "at most 62 (banks; a port mask is one machine word)",
    ),
    "too brief for a rule": (
        r"^tRRD_ns = .*$",
        'tRRD_ns = { value = 1e-9, source = "x" }',
        "dram.timing.tRRD_ns",
        "1e-09",
        "0 or at least 0.001 (ns; ACT to ACT of two banks of a channel, 0 = no rule)",
    ),
    "three sets": (
        r"^fold_sets = .*$",
        'fold_sets = { value = 3, source = "x" }',
        "core.array.fold_sets",
        "3",
        "at most 2 (sets; accumulator sets, 2 = double-buffered)",
    ),
    "a text in a list": (
        r"^tRCD_ns = .*$",
        'tRCD_ns = { value = [1.0, "2"], source = "x" }',
        "dram.timing.tRCD_ns[1]",
        "'2'",
        "a number (ns; ACT to RD or WR, one figure per tier)",
    ),
    "an empty list": (
        r"^tRCD_ns = .*$",
        'tRCD_ns = { value = [], source = "x" }',
        "dram.timing.tRCD_ns",
        "[]",
        "a list that is not empty (ns; ACT to RD or WR, one figure per tier)",
    ),
    "one figure for a list": (
        r"^tRCD_ns = .*$",
        'tRCD_ns = { value = 2.29, source = "x" }',
        "dram.timing.tRCD_ns",
        "2.29",
        "a list (ns; ACT to RD or WR, one figure per tier)",
    ),
    "unknown mode": (
        r"^mode = .*$",
        'mode = "all_bank"',
        "dram.refresh.mode",
        "'all_bank'",
        "'per_bank' or 'off'",
    ),
    "unknown dataflow": (
        r"^dataflows = .*$",
        'dataflows = ["OS", "RS"]',
        "core.array.dataflows[1]",
        "'RS'",
        "'OS', 'WS' or 'IS'",
    ),
    "no dataflow": (
        r"^dataflows = .*$",
        "dataflows = []",
        "core.array.dataflows",
        "[]",
        "a list that is not empty (words; dataflows that the array can run)",
    ),
    "unknown topology": (
        r"^topology = .*$",
        'topology = "mesh"',
        "noc.topology",
        "'mesh'",
        "ring, crossbar, mesh:KxK or torus:KxK (or more dimensions), of chip.pus = 16 nodes",
    ),
    "unknown fill": (r"^fill = .*$", "fill = 3", "placement.fill", "3", "'kv_first' or 'weights_first'"),
    "a number for a name": (
        r"^name = .*$",
        "name = 3",
        "chip.name",
        "3",
        "a text (name; used in reports)",
    ),
    "no name": (
        r"^name = .*$",
        'name = ""',
        "chip.name",
        "''",
        "a text that is not empty (name; used in reports)",
    ),
    "no mode": (r"^mode = .*$", "", "dram.refresh.mode", "nothing", "word; which refresh"),
}


@pytest.mark.parametrize(("pattern", "line", "where", "got", "allowed"), OTHER.values(), ids=OTHER)
def test_a_wrong_setting_is_refused(
    faults_of: Callable[..., list[Fault]], pattern: str, line: str, where: str, got: str, allowed: str
) -> None:
    (fault,) = faults_of("snake", {pattern: line})
    assert (fault.where, fault.got, fault.allowed) == (f"my.toml: {where}", got, allowed)
    assert fault.todo


@pytest.mark.parametrize(
    ("pattern", "line", "where", "todo"),
    [
        (r"^(?=tRP_ns)", "tRPP_ns = 1\n", "dram.timing.tRPP_ns", "did you mean dram.timing.tRP_ns?"),
        (r"^(?=tRP_ns)", "trcd_NS = 1\n", "dram.timing.trcd_NS", "did you mean dram.timing.tRCD_ns?"),
        (r"^(?=\[dram.refresh\])", "lanes = 1\n", "dram.timing.lanes", "the key of that name is core.vector.lanes"),
        (r"^(?=\[port\])", "[prot]\nx = 1\n", "prot", "did you mean port?"),
        (r"^(?=\[port\])", "[zzz]\n", "zzz", "remove it"),
        (r"^tRP_ns = ", 'tRP_ns = { assumd = true, value = 4.77, source = "x" } # ', "dram.timing.tRP_ns.assumd",
         "did you mean dram.timing.tRP_ns.assumed?"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_refused_with_the_nearest_spelling(
    faults_of: Callable[..., list[Fault]], pattern: str, line: str, where: str, todo: str
) -> None:
    (fault,) = faults_of("snake", {pattern: line})
    assert fault.where == f"my.toml: {where}"
    assert fault.got.startswith("unknown key with ")
    assert fault.todo == todo


def test_a_misspelt_word_gets_its_nearest_spelling(faults_of: Callable[..., list[Fault]]) -> None:
    (fault,) = faults_of("snake", {r"^mode = .*$": 'mode = "perbank"'})
    assert fault.todo == "did you mean 'per_bank'?"


def test_a_section_that_is_a_number_is_refused(faults_of: Callable[..., list[Fault]]) -> None:
    faults = faults_of("snake", {r"^\[port\]\n(.*\n)+?\n": "", r"^(?=# SNAKE)": "port = 3\n"})
    assert [(f.where, f.got, f.allowed) for f in faults] == [("my.toml: port", "3", "a table")]


def test_all_faults_come_at_once(faults_of: Callable[..., list[Fault]]) -> None:
    faults = faults_of(
        "snake",
        {
            TRP: "tRP_ns = 4.77",
            r"^rows = .*$": 'rows = { value = 120, source = "x" }',
            r"^mode = .*$": 'mode = "some"',
            r"^lanes = .*$": 'lanse = { value = 256, source = "x" }',
            r"^vcs = .*$": 'vcs = { value = 0, sorce = "x" }',
        },
    )
    assert sorted(f.where.removeprefix("my.toml: ") for f in faults) == sorted(
        [
            "dram.timing.tRP_ns",
            "dram.refresh.mode",
            "core.vector.lanes",
            "core.vector.lanse",
            "noc.vcs",
            "noc.vcs",
            "noc.vcs.sorce",
            "core.array.rows",
        ]
    )


def test_nearest_ignores_case_and_gives_up_on_strangers() -> None:
    assert nearest("TRP_NS", ["tRP_ns", "tCL_ns"]) == "tRP_ns"
    assert nearest("qqq", ["tRP_ns"]) == ""


def test_every_setting_of_the_schema_has_a_path() -> None:
    paths = all_paths()
    assert len(paths) == len(set(paths)) > 60
    assert {"dram.timing.tRCD_ns", "core.array.rows", "core.mac_tree.taps", "placement.fill"} <= set(paths)
