"""Every row of every table: the checker takes a legal trace around it, and names it one tick too early.

Each row is tried twice: alone in its protocol, where it must be the one row named; and among all others, where the rows
named must be those that the definition says are broken.  There a second row is named where it asks for as much (nRC
beside nRAS + nRP in HBM2 at 2000 Mb/s, nBL beside nCCDS, ...), and a row cannot be broken on its own where others ask
for more.
"""

from dataclasses import replace

import pytest

from nmpsim.dram.check import BusRule, check_commands, row_text
from nmpsim.dram.check.violation import ADDRESS, SEPARATION, WILDCARD
from nmpsim.spec.standard import load_standard, preset_names, preset_protocol, standard_names
from tests.unit.dram import definition
from tests.unit.dram.scenes import around, names_of

MOST_STACKED = {"hbm4": "HBM4_32Gb_8Hi"}
"""Devices with several stack ids where the default has one: a rule between siblings needs two."""

STANDARDS = {name: load_standard(name, MOST_STACKED.get(name)) for name in standard_names()}
NATIVE = {name: preset_protocol(name) for name in preset_names()}
BUSES = {name: {"level": "Channel", "split": True} for name in STANDARDS}
BUSES |= {name: {"level": "Bank", "split": False} for name in NATIVE}
PROTOCOLS = STANDARDS | NATIVE
ROWS = [(name, number) for name, protocol in PROTOCOLS.items() for number in range(len(protocol.constraints))]


def row_id(case):
    return f"{case[0]}-{row_text(PROTOCOLS[case[0]].constraints[case[1]])}"


def scenes(protocol, row, bus):
    """Scenes of every command of a row, and of every tier."""
    for first, second in names_of(row):
        for tier in range(len(row.latency)):
            yield first, second, around(protocol, row, first, second, tier=tier, **bus)


def found(trace, protocol, bus):
    return check_commands(trace, protocol, bus=BusRule(**bus))


def separations(violations):
    return [violation for violation in violations if violation.rule == SEPARATION]


@pytest.mark.parametrize("case", ROWS, ids=row_id)
def test_a_row_alone_is_named_one_tick_too_early_and_not_on_time(case):
    name, number = case
    row = PROTOCOLS[name].constraints[number]
    protocol = replace(PROTOCOLS[name], constraints=(row,))
    for _, second, scene in scenes(protocol, row, BUSES[name]):
        assert scene.in_order
        assert found(scene.legal, protocol, BUSES[name]) == []
        (violation,) = separations(found(scene.early, protocol, BUSES[name]))
        assert violation.row == row_text(row)
        assert violation.pair.endswith(f"-{second}")
        assert violation.pair.split("-")[0] in row.preceding
        assert violation.address == scene.early[-1].address
        assert (violation.cycle, violation.earliest) == (scene.earliest - 1, scene.earliest)
        assert violation.earliest - violation.since in row.latency


@pytest.mark.parametrize("case", ROWS, ids=row_id)
def test_a_row_among_all_is_named_with_those_that_ask_for_as_much(case):
    name, number = case
    protocol = PROTOCOLS[name]
    row = protocol.constraints[number]
    for _, _, scene in scenes(protocol, row, BUSES[name]):
        assert found(scene.legal, protocol, BUSES[name]) == []
        if not scene.in_order:
            continue  # a second command of the scene would be passed: other rows ask for more than this one
        named = {violation.row for violation in separations(found(scene.early, protocol, BUSES[name]))}
        broken = {row_text(r) for _, rule, r in definition.broken(protocol, scene.early, **BUSES[name]) if r}
        assert named == broken
        assert row_text(row) in named


def test_most_rows_are_named_alone_among_all():
    """The other test would say less if every scene broke many rows at once."""
    for name, protocol in PROTOCOLS.items():
        alone = 0
        for row in protocol.constraints:
            first, second = names_of(row)[0]
            scene = around(protocol, row, first, second, **BUSES[name])
            violations = separations(found(scene.early, protocol, BUSES[name])) if scene.in_order else []
            alone += [violation.row for violation in violations] == [row_text(row)]
        print(name, alone, len(protocol.constraints))
        assert alone > len(protocol.constraints) / 2


def elsewhere(protocol, row, bank):
    """A bank that a row does not tie to `bank`: under another node of its level, or (siblings) under the same."""
    depth = definition.depth_of(protocol, "Group" if row.level == "Port" else row.level)
    if row.sibling:
        return bank
    for level in range(depth, -1, -1):
        if protocol.sizes[level] > 1:
            return (*bank[:level], (bank[level] + 1) % protocol.sizes[level], *bank[level + 1 :])
    return None


@pytest.mark.parametrize("case", ROWS, ids=row_id)
def test_a_row_alone_says_nothing_of_another_node(case):
    name, number = case
    row = PROTOCOLS[name].constraints[number]
    protocol = replace(PROTOCOLS[name], constraints=(row,))
    for _, _, scene in scenes(protocol, row, BUSES[name]):
        other = elsewhere(protocol, row, scene.early[0].address if row.sibling else scene.early[-1].address)
        if other is None:
            assert row.level in {"Channel", "Die"}  # there is one such node
            continue
        violations = found([*scene.early[:-1], replace(scene.early[-1], address=other)], protocol, BUSES[name])
        assert not {violation.rule for violation in violations} & {SEPARATION, WILDCARD, ADDRESS}
