"""The independent checker finds every kind of injected violation, and nothing in a sound log."""

import pytest

from nmpsim.dram import check
from nmpsim.dram.check import Violation, check_commands
from nmpsim.spec.params import ACT, COMMANDS, PRE, RD, REF, WR
from tests.unit.dram.bench import TrafficBench, random_traffic
from tests.unit.dram.chips import SMALL, SMALL_TIERS, latency_table

TABLE = latency_table(*SMALL_TIERS)
PARAMS = SMALL._replace(refresh=1, nREFI=100, postpone=1, nRRD=2, nFAW=20, banks=5)

# two accesses of bank 0 (read, write), one refresh; cycle, channel, bank, command, row, column, count
SOUND = [
    (0, 0, 0, ACT, 3, 1, 2),
    (3, 0, 0, RD, 3, 1, 1),
    (5, 0, 0, RD, 3, 2, 1),
    (12, 0, 0, PRE, 3, -1, 0),
    (17, 0, 0, ACT, 9, 0, 1),
    (23, 0, 0, WR, 9, 0, 1),
    (32, 0, 0, PRE, 9, -1, 0),
    (100, 0, 0, REF, -1, -1, 0),
]


def found(log, params=PARAMS, **kwargs):
    return check_commands(log, params, TABLE, 1, **kwargs)


def rules(log, params=PARAMS, **kwargs):
    return {violation.rule for violation in found(log, params, **kwargs)}


def with_entry(index, **changes):
    """SOUND with some fields of one entry changed."""
    names = ("tick", "channel", "bank", "command", "row", "column", "count")
    entry = dict(zip(names, SOUND[index], strict=True)) | changes
    return [*SOUND[:index], tuple(entry[name] for name in names), *SOUND[index + 1 :]]


def test_a_sound_log_has_no_violation():
    assert found(SOUND) == []


MUTANTS = {
    check.ONE_PER_CYCLE: with_entry(2, tick=3),
    check.ACT_OPEN: [*SOUND[:3], (40, 0, 0, ACT, 3, 1, 2)],
    check.COLUMN_CLOSED: [(3, 0, 0, RD, 3, 1, 1)],
    check.WRONG_ROW: with_entry(1, row=4),
    check.PRE_CLOSED: [(3, 0, 0, PRE, 3, -1, 0)],
    check.REF_OPEN: [*SOUND[:3], (100, 0, 0, REF, -1, -1, 0)],
    check.ADDRESS: with_entry(0, row=PARAMS.rows),
    check.ACCESS_SHAPE: [*SOUND[:2], *SOUND[3:]],
    check.SEPARATION: with_entry(1, tick=2),
    check.RRD: [*SOUND, (1, 0, 1, ACT, 3, 1, 2)],
    check.FAW: [(2 * bank, 0, bank, ACT, 3, 1, 2) for bank in range(5)],
    check.REF_EARLY: with_entry(7, tick=99),
    check.REF_LATE: with_entry(7, tick=201),
    check.ACT_AT_LIMIT: [*SOUND[:7], (200, 0, 0, ACT, 3, 1, 2)],
}


@pytest.mark.parametrize("rule", MUTANTS)
def test_an_injected_violation_is_found_by_its_rule(rule):
    assert rule in rules(MUTANTS[rule])


def test_every_rule_has_a_mutant():
    assert set(MUTANTS) | {check.CLOCK, check.REF_OFF} == set(check.RULES)


def test_a_command_between_two_edges_is_found():
    log = [(3 * tick, *rest) for tick, *rest in SOUND]
    assert check_commands(log, PARAMS, TABLE, 3) == []
    log[4] = (log[4][0] + 1, *log[4][1:])
    assert {v.rule for v in check_commands(log, PARAMS, TABLE, 3)} == {check.CLOCK}


def test_a_refresh_with_refresh_off_is_found():
    assert rules(SOUND, PARAMS._replace(refresh=0)) == {check.REF_OFF}


@pytest.mark.parametrize(
    "log",
    [
        with_entry(2, column=3),
        with_entry(2, column=1),
        with_entry(2, command=WR),
        [*SOUND[:3], (7, 0, 0, RD, 3, 3, 1), *SOUND[3:]],
    ],
    ids=["skips a column", "repeats a column", "mixes RD and WR", "one column too many"],
)
def test_an_access_of_another_shape_is_found(log):
    assert check.ACCESS_SHAPE in rules(log)


def test_a_refresh_that_never_comes_is_found_at_the_end():
    log = SOUND[:7]
    assert rules(log, channels=1, until=200) == set()
    late = found(log, channels=1, until=201)
    assert late == [Violation(check.REF_LATE, "REFpb", 0, 0, 201, 200)]


def test_an_open_row_excuses_a_late_refresh_until_it_closes():
    log = [(99, 0, 0, ACT, 3, 1, 1), (250, 0, 0, RD, 3, 1, 1), (260, 0, 0, PRE, 3, -1, 0)]
    assert found([*log, (265, 0, 0, REF, -1, -1, 0)]) == []
    assert found([*log, (266, 0, 0, REF, -1, -1, 0)]) == [Violation(check.REF_LATE, "REFpb", 0, 0, 266, 265)]


def test_a_violation_names_rule_pair_bank_and_cycles():
    (violation,) = found(with_entry(1, tick=2))
    assert str(violation) == "channel 0 bank 0 cycle 2: ACT-RD: separation; earliest legal cycle 3"
    (late,) = found(with_entry(7, tick=201))
    assert str(late).endswith("later than the postponement limit allows; latest legal cycle 200")
    assert str(found([(3, 0, 0, PRE, 3, -1, 0)])[0]).endswith("PRE of a closed bank")


def test_the_separation_counts_with_the_tier_of_the_earlier_command():
    log = [
        (0, 0, 0, ACT, 8, 0, 1),  # tier 1: nRAS 15, nRC 20
        (6, 0, 0, RD, 8, 0, 1),
        (14, 0, 0, PRE, 8, -1, 0),
        (19, 0, 0, ACT, 0, 0, 1),
    ]
    assert [(v.pair, v.earliest) for v in found(log)] == [("ACT-PRE", 15), ("ACT-ACT", 20)]


def test_tightening_an_entry_that_a_real_run_meets_with_equality_is_found_as_that_pair():
    traffic = random_traffic(3, end=400)
    log = TrafficBench(traffic).run().log().tolist()
    assert check_commands(log, traffic.params, traffic.latency, traffic.period) == []
    met = set()
    for previous in range(5):
        for following in range(5):
            tighter = traffic.latency.copy()
            tighter[:, previous, following] += 1
            pairs = {v.pair for v in check_commands(log, traffic.params, tighter, traffic.period)}
            assert pairs <= {f"{COMMANDS[previous]}-{COMMANDS[following]}"}
            met |= pairs
    assert {"ACT-RD", "RD-RD"} <= met  # nothing but the table holds these two back: reads never wait for others
