"""The check of the native controller's log finds every kind of injected violation, and nothing in a sound log."""

import pytest

from nmpsim.dram.check import native
from nmpsim.dram.check import violation as rules
from nmpsim.dram.check.native import check_native
from nmpsim.dram.check.violation import Violation
from nmpsim.spec.params import ACT, COMMANDS, HOLD_COLUMN, PRE, RD, REF, WR
from tests.unit.dram.bench import TrafficBench, random_traffic
from tests.unit.dram.chips import SMALL, SMALL_TIERS, latency_table

TABLE = latency_table(*SMALL_TIERS)
PARAMS = SMALL._replace(refresh=1, nREFI=100, postpone=1, nRRD=2, nFAW=20, banks=5)

# two accesses of bank 0 (read, write), one refresh; cycle, channel, bank, command, row, column, count, port
SOUND = [
    (0, 0, 0, ACT, 3, 1, 2, -1),
    (3, 0, 0, RD, 3, 1, 1, 0),
    (5, 0, 0, RD, 3, 2, 1, 0),
    (12, 0, 0, PRE, 3, -1, 0, -1),
    (17, 0, 0, ACT, 9, 0, 1, -1),
    (23, 0, 0, WR, 9, 0, 1, 0),
    (32, 0, 0, PRE, 9, -1, 0, -1),
    (100, 0, 0, REF, -1, -1, 0, -1),
]
SHARED = SMALL._replace(banks=4, port_banks=2, ports=1, nBL=2)

# one port of two banks: bank 1 waits until the access of bank 0 is over
TURNS = [
    (0, 0, 0, ACT, 3, 0, 2, -1),
    (0, 0, 1, ACT, 3, 0, 2, -1),
    (0, 0, 2, ACT, 3, 0, 1, -1),
    (3, 0, 0, RD, 3, 0, 1, 0),
    (4, 0, 2, RD, 3, 0, 1, 1),
    (5, 0, 0, RD, 3, 1, 1, 0),
    (7, 0, 1, RD, 3, 0, 1, 0),
    (9, 0, 1, RD, 3, 1, 1, 0),
]
OPEN = PARAMS._replace(row_hits=2)

# two accesses of one ACT, of two columns and of one
HITS = [*SOUND[:3], (7, 0, 0, RD, 3, 0, 1, 0), (12, 0, 0, PRE, 3, -1, 0, -1)]


def found(log, params=PARAMS, **kwargs):
    return check_native(log, params, TABLE, 1, **kwargs)


def named(log, params=PARAMS, **kwargs):
    return {violation.rule for violation in found(log, params, **kwargs)}


def with_entry(index, log=SOUND, **changes):
    """A log with some fields of one entry changed."""
    names = ("tick", "channel", "bank", "command", "row", "column", "count", "port")
    entry = dict(zip(names, log[index], strict=True)) | changes
    return [*log[:index], tuple(entry[name] for name in names), *log[index + 1 :]]


def test_sound_logs_have_no_violation():
    assert found(SOUND) == []
    assert found([entry[:7] for entry in SOUND]) == []  # private ports need no number
    assert found(TURNS, SHARED) == []
    assert found(HITS, OPEN) == []
    assert found([]) == []


MUTANTS = {
    rules.ACT_OPEN: [*SOUND[:3], (40, 0, 0, ACT, 3, 1, 2, -1)],
    rules.COLUMN_CLOSED: [(3, 0, 0, RD, 3, 1, 1, 0)],
    rules.WRONG_ROW: with_entry(1, row=4),
    rules.PRE_CLOSED: [(3, 0, 0, PRE, 3, -1, 0, -1)],
    rules.REF_OPEN: [*SOUND[:3], (100, 0, 0, REF, -1, -1, 0, -1)],
    rules.ADDRESS: with_entry(0, row=PARAMS.rows),
    rules.BUS: with_entry(2, tick=3),
    rules.REF_EARLY: with_entry(7, tick=99),
    rules.REF_LATE: with_entry(7, tick=201),
    rules.ACT_AT_LIMIT: [*SOUND[:7], (200, 0, 0, ACT, 3, 1, 2, -1)],
    native.ACCESS_SHAPE: [*SOUND[:2], *SOUND[3:]],
    native.PRE_ROW: with_entry(3, row=4),
}


@pytest.mark.parametrize("rule", MUTANTS)
def test_an_injected_violation_is_found_by_its_rule(rule):
    assert rule in named(MUTANTS[rule])


@pytest.mark.parametrize(
    ("log", "pair", "earliest", "row"),
    [
        (with_entry(1, tick=2), "ACT-RD", 3, "nRCD"),
        ([*SOUND, (1, 0, 1, ACT, 3, 1, 2, -1)], "ACT-ACT", 2, "nRRD"),
        ([(2 * bank, 0, bank, ACT, 3, 1, 2, -1) for bank in range(5)], "ACT-ACT", 20, "nFAW"),
    ],
    ids=["bank", "nRRD", "nFAW"],
)
def test_separations_and_budgets_are_rows_of_the_protocol(log, pair, earliest, row):
    violation = next(v for v in found(log) if v.rule == rules.SEPARATION)
    assert (violation.pair, violation.earliest) == (pair, earliest)
    assert violation.row.endswith(row)


def test_an_access_without_a_column_is_found():
    log = [(0, 0, 0, ACT, 3, 1, 2, -1), (12, 0, 0, PRE, 3, -1, 0, -1)]
    assert named(log) == {native.ACCESS_SHAPE}


def test_a_command_between_two_edges_is_found():
    log = [(3 * tick, *rest) for tick, *rest in SOUND]
    assert check_native(log, PARAMS, TABLE, 3) == []
    log[4] = (log[4][0] + 1, *log[4][1:])
    assert {v.rule for v in check_native(log, PARAMS, TABLE, 3)} == {native.CLOCK}


def test_a_refresh_with_refresh_off_is_found():
    assert named(SOUND, PARAMS._replace(refresh=0)) == {native.REF_OFF}


@pytest.mark.parametrize(
    "log",
    [
        with_entry(2, column=3),
        with_entry(2, column=1),
        with_entry(2, command=WR),
        [*SOUND[:3], (7, 0, 0, RD, 3, 3, 1, 0), *SOUND[3:]],
        with_entry(0, count=4),
        with_entry(0, count=0),
    ],
    ids=["skips a column", "repeats a column", "mixes RD and WR", "one column too many", "past the row", "of nothing"],
)
def test_an_access_of_another_shape_is_found(log):
    assert native.ACCESS_SHAPE in named(log)


@pytest.mark.parametrize(
    ("further", "cap", "expected"),
    [
        ([(RD, 0), (RD, 1)], 2, set()),  # one access of two columns
        ([(RD, 0), (RD, 2)], 2, {native.ROW_HITS}),  # not adjacent: two accesses
        ([(RD, 0), (RD, 2)], 3, set()),
        ([(RD, 3)], 2, set()),
        ([(RD, 3), (RD, 0)], 2, {native.ROW_HITS}),  # adjacent to the first access, which is complete: a second one
        ([(RD, 0), (WR, 1)], 2, {native.ROW_HITS}),
        ([(RD, 0), (RD, 2), (RD, 0), (RD, 0)], 0, set()),  # no cap
        ([(RD, 0)], 1, {native.ACCESS_SHAPE}),
    ],
)
def test_one_act_serves_no_more_accesses_than_it_may(further, cap, expected):
    log = [*SOUND[:3], *((11 + 6 * i, 0, 0, kind, 3, column, 1, 0) for i, (kind, column) in enumerate(further))]
    assert named([*log, (60, 0, 0, PRE, 3, -1, 0, -1)], PARAMS._replace(row_hits=cap)) == expected


def test_the_first_access_of_an_open_row_is_checked_to_the_column():
    assert named([*HITS[:1], *HITS[2:]], OPEN) == {native.ACCESS_SHAPE}


def test_the_port_of_another_group_is_found():
    assert named(with_entry(4, TURNS, tick=20), SHARED) == set()
    assert named(with_entry(4, TURNS, tick=20, port=0), SHARED) == {native.PORT_GROUP}
    assert named(with_entry(4, TURNS, tick=20, port=-1), SHARED) == {native.PORT_GROUP, rules.NO_PORT}


def test_a_port_held_by_an_access_is_no_other_banks():
    log = with_entry(5, TURNS, tick=9)
    log[6:] = [(7, 0, 1, RD, 3, 0, 1, 0), (11, 0, 1, RD, 3, 1, 1, 0)]
    assert named(log, SHARED) == {native.PORT_HELD}
    assert named(log, SHARED._replace(port_hold=HOLD_COLUMN)) == set()


def test_a_row_hit_does_not_keep_the_port_from_others():
    hits = SHARED._replace(row_hits=2)
    log = [*TURNS[:6], (7, 0, 0, RD, 3, 2, 1, 0), (9, 0, 1, RD, 3, 0, 1, 0), (11, 0, 1, RD, 3, 1, 1, 0)]
    assert named(log, hits) == set()


def test_an_access_does_not_change_its_port():
    two_ports = SHARED._replace(ports=2)
    log = [(*entry[:7], 2 if entry[2] == 2 and entry[3] == RD else entry[7]) for entry in TURNS]
    assert named(log, two_ports) == set()
    assert named(with_entry(5, log, port=1), two_ports) == {native.PORT_HELD}
    assert named(with_entry(5, log, port=1), two_ports._replace(port_hold=HOLD_COLUMN)) == set()


def test_two_columns_of_one_port_keep_their_distance_and_those_of_two_ports_do_not():
    early = with_entry(6, TURNS, tick=6)
    (violation,) = found(early, SHARED)
    assert (violation.pair, violation.earliest, violation.since) == ("RD-RD", 7, 5)
    assert violation.row.startswith("Port")
    other_group = with_entry(4, TURNS, tick=5)
    assert found(other_group, SHARED) == []


def test_the_budget_of_the_die_counts_all_channels():
    log = [(0, 0, 0, ACT, 3, 1, 2, -1), (2, 1, 0, ACT, 3, 1, 2, -1)]
    assert found(log) == []
    (violation,) = found(log, PARAMS._replace(die_nRRD=3))
    assert (violation.address, violation.earliest) == ((0, 1, 0, 0), 3)
    (violation,) = found([*log, (4, 2, 0, ACT, 3, 1, 2, -1)], PARAMS._replace(die_nFAW=5, die_acts=2))
    assert (violation.address, violation.earliest) == ((0, 2, 0, 0), 5)


def test_a_pair_that_no_standard_names_is_checked_too():
    table = TABLE.copy()
    table[:, RD, REF] = 96
    assert [(v.pair, v.earliest) for v in check_native(SOUND, PARAMS, table, 1)] == [("RD-REFpb", 101)]


def test_a_refresh_that_never_comes_is_found_at_the_end():
    log = SOUND[:7]
    assert named(log, PARAMS._replace(banks=1), channels=1, until=200) == set()
    late = found(log, PARAMS._replace(banks=1), channels=1, until=201)
    assert late == [Violation(rules.REF_LATE, "", "REFpb", (0, 0, 0, 0), 201, 200)]
    assert len(found([], PARAMS, channels=2, until=10_000)) == 10


def test_a_smaller_last_group_has_no_bank_that_could_miss_a_refresh():
    ragged = SHARED._replace(banks=3, refresh=1, nREFI=100, postpone=0)
    assert [v.address for v in found([], ragged, channels=1, until=1000)] == [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0)]


def test_an_open_row_excuses_a_late_refresh_until_it_closes():
    log = [(99, 0, 0, ACT, 3, 1, 1, -1), (250, 0, 0, RD, 3, 1, 1, 0), (260, 0, 0, PRE, 3, -1, 0, -1)]
    assert found([*log, (265, 0, 0, REF, -1, -1, 0, -1)]) == []
    late = Violation(rules.REF_LATE, "", "REFpb", (0, 0, 0, 0), 266, 265)
    assert found([*log, (266, 0, 0, REF, -1, -1, 0, -1)]) == [late]


def test_a_refresh_may_be_pulled_in():
    ahead = PARAMS._replace(pull_in=1)
    assert found(with_entry(7, tick=60), ahead) == []
    assert named(with_entry(7, tick=60)) == {rules.REF_EARLY}
    assert named([*SOUND[:3], SOUND[3], (40, 0, 0, REF, -1, -1, 0, -1), (99, 0, 0, REF, -1, -1, 0, -1)], ahead) == {
        rules.REF_EARLY
    }


def test_the_separation_counts_with_the_tier_of_the_earlier_command():
    log = [
        (0, 0, 0, ACT, 8, 0, 1, -1),  # tier 1: nRAS 15, nRC 20
        (6, 0, 0, RD, 8, 0, 1, 0),
        (14, 0, 0, PRE, 8, -1, 0, -1),
        (19, 0, 0, ACT, 0, 0, 1, -1),
    ]
    assert [(v.pair, v.earliest) for v in found(log)] == [("ACT-PRE", 15), ("ACT-ACT", 20)]


def test_tightening_an_entry_that_real_runs_meet_with_equality_is_found_as_that_pair():
    met = set()
    for seed in (1, 3, 5, 6):
        traffic = random_traffic(seed, end=400)
        log = TrafficBench(traffic).run().log().tolist()
        assert check_native(log, traffic.params, traffic.latency, traffic.period) == []
        for previous in range(5):
            for following in range(5):
                tighter = traffic.latency.copy()
                tighter[:, previous, following] += 1
                violations = check_native(log, traffic.params, tighter, traffic.period)
                pairs = {v.pair for v in violations if v.rule == rules.SEPARATION}
                assert pairs <= {f"{COMMANDS[previous]}-{COMMANDS[following]}"}
                met |= pairs
    assert {"ACT-RD", "RD-RD"} <= met  # nothing but the table holds these two back: reads never wait for others


def test_every_native_rule_is_known_to_this_file():
    tested = {native.CLOCK, native.REF_OFF, native.ROW_HITS, native.PORT_GROUP, native.PORT_HELD} | set(MUTANTS)
    assert set(native.NATIVE_RULES) <= tested
