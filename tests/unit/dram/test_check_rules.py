"""Address, state, bus, edge and refresh rules of the checker, each from a legal trace with one change."""

from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from nmpsim.dram.check import (
    BusRule,
    CommandColumns,
    RefreshRule,
    Violation,
    all_bank_refresh,
    check_commands,
    columns_of,
    per_bank_refresh,
)
from nmpsim.dram.check import violation as rules
from nmpsim.spec.protocol import Command, Constraint, IssuedCommand, Protocol
from nmpsim.spec.standard import load_standard

TOY = Protocol(
    name="toy",
    levels=("Channel", "PseudoChannel", "Bank"),
    sizes=(1, 2, 2),
    rows=8,
    columns=4,
    transaction_bytes=32,
    rows_per_tier=4,
    tick_ps=1000,
    ticks_per_ck=1,
    commands=(
        Command("ACT", "row", 2, "Bank", "open"),
        Command("PREpb", "row", 1, "Bank", "close"),
        Command("PREab", "row", 1, "PseudoChannel", "close"),
        Command("RD", "column", 1, "Bank", "none"),
        Command("RDA", "column", 1, "Bank", "close"),
        Command("REFpb", "row", 1, "Bank", "none"),
        Command("REFab", "row", 1, "PseudoChannel", "none"),
    ),
    constraints=(
        Constraint("Bank", ("ACT",), ("RD", "RDA"), (3, 5), "nRCD"),
        Constraint("PseudoChannel", ("REFab",), ("ACT",), (9,), "nRFC"),
    ),
    timing={"nREFI": 40, "nREFIpb": 10},
    read_latency=4,
)
"""Two pseudo channels of two banks; 3 ticks from ACT to RD, 5 in the second tier."""

EDGES = replace(
    TOY, commands=tuple(replace(c, ticks=3) if c.name == "ACT" else c for c in TOY.commands), half_clock_edges=True
)

SOUND = [
    IssuedCommand(1, "ACT", (0, 0, 0), 2, 0),
    IssuedCommand(5, "RD", (0, 0, 0), 2, 1),
    IssuedCommand(5, "ACT", (0, 1, 1), 6),
    IssuedCommand(7, "RDA", (0, 0, 0), 2, 3),
    IssuedCommand(9, "REFpb", (0, 0, 0)),
    IssuedCommand(11, "RD", (0, 1, 1), 6, 0),
    IssuedCommand(13, "PREab", (0, 1, -1)),
    IssuedCommand(15, "REFab", (0, 0, -1)),
]


def found(trace, protocol=TOY, **options):
    return check_commands(trace, protocol, **options)


def named(trace, protocol=TOY, **options):
    """(rule, cycle) of every violation."""
    return [(violation.rule, violation.cycle) for violation in found(trace, protocol, **options)]


def changed(index, **changes):
    """SOUND with some fields of one command changed."""
    return [*SOUND[:index], replace(SOUND[index], **changes), *SOUND[index + 1 :]]


def added(*commands):
    return [*SOUND, *commands]


@pytest.mark.parametrize("protocol", [TOY, EDGES], ids=["whole clocks", "half clocks"])
def test_a_sound_trace_has_no_violation(protocol):
    assert found(SOUND, protocol, strict=True) == []
    assert found([], protocol) == []


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (added(IssuedCommand(20, "NOP", (0, 0, 0))), [(rules.UNKNOWN, 20)]),
        (added(IssuedCommand(20, "ACT", (0, 0, -1), 2)), [(rules.WILDCARD, 20)]),
        (added(IssuedCommand(20, "PREab", (0, 0, 1))), [(rules.WILDCARD, 20)]),
        (added(IssuedCommand(20, "PREab", (0, -1, -1))), [(rules.WILDCARD, 20)]),
        (added(IssuedCommand(20, "PREpb", (0, 2, 0))), [(rules.ADDRESS, 20)]),
        (added(IssuedCommand(20, "PREpb", (1, 0, 0))), [(rules.ADDRESS, 20)]),
        (added(IssuedCommand(20, "PREpb", (0, 0, -2))), [(rules.ADDRESS, 20)]),
        (added(IssuedCommand(20, "PREpb", (0, 0))), [(rules.ADDRESS, 20)]),
        (added(IssuedCommand(24, "ACT", (0, 0, 0), 8)), [(rules.ADDRESS, 24)]),
        (added(IssuedCommand(24, "ACT", (0, 0, 0))), [(rules.ADDRESS, 24)]),
        (added(IssuedCommand(24, "ACT", (0, 0, 0), 1, 4)), [(rules.ADDRESS, 24)]),
        (changed(1, column=4), [(rules.ADDRESS, 5)]),
        (changed(1, column=-1), [(rules.ADDRESS, 5)]),
        (changed(4, row=8), [(rules.ADDRESS, 9)]),
        (added(IssuedCommand(-1, "PREpb", (0, 0, 0))), [(rules.BEFORE_START, -1)]),
    ],
)
def test_an_address_that_does_not_exist_is_named(trace, expected):
    assert named(trace) == expected


def test_a_command_without_a_place_is_not_replayed():
    lost = added(IssuedCommand(30, "ACT", (0, 5, 0), 1), IssuedCommand(31, "ACT", (0, 0, -1), 1))
    assert [rule for rule, _ in named([*lost, IssuedCommand(40, "ACT", (0, 0, 0), 1)])] == [
        rules.ADDRESS,
        rules.WILDCARD,
    ]


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ([*SOUND[:2], IssuedCommand(7, "ACT", (0, 0, 0), 2)], [(rules.ACT_OPEN, 7)]),
        (SOUND[1:2], [(rules.COLUMN_CLOSED, 5)]),
        (added(IssuedCommand(20, "RD", (0, 0, 0), 2, 0)), [(rules.COLUMN_CLOSED, 20)]),
        (added(IssuedCommand(20, "RD", (0, 1, 1), 6, 0)), [(rules.COLUMN_CLOSED, 20)]),
        (changed(1, row=3), [(rules.WRONG_ROW, 5)]),
        (changed(3, row=3), [(rules.WRONG_ROW, 7)]),
        ([*SOUND[:3], IssuedCommand(8, "REFpb", (0, 0, 0))], [(rules.REF_OPEN, 8)]),
        ([*SOUND[:3], IssuedCommand(8, "REFab", (0, 0, -1))], [(rules.REF_OPEN, 8)]),
        ([*SOUND[:3], IssuedCommand(8, "REFpb", (0, 0, 1))], []),
    ],
)
def test_a_command_that_the_state_of_its_banks_forbids_is_named(trace, expected):
    assert named(trace) == expected


def test_a_refresh_of_many_open_banks_is_named_once():
    trace = [IssuedCommand(1, "ACT", (0, 0, 0), 2), IssuedCommand(3, "ACT", (0, 0, 1), 2)]
    (violation,) = found([*trace, IssuedCommand(9, "REFab", (0, 0, -1))])
    assert violation == Violation(rules.REF_OPEN, "", "ACT-REFab", (0, 0, -1), 9, -1, 1)


def test_a_precharge_of_closed_banks_is_legal_unless_asked():
    trace = added(IssuedCommand(20, "PREpb", (0, 0, 0)), IssuedCommand(21, "PREab", (0, 0, -1)))
    assert named(trace) == []
    assert named(trace, strict=True) == [(rules.PRE_CLOSED, 20), (rules.PRE_CLOSED, 21)]
    half = [IssuedCommand(1, "ACT", (0, 0, 0), 2), IssuedCommand(8, "PREab", (0, 0, -1))]
    assert named(half, strict=True) == []


def test_the_latency_is_that_of_the_tier_of_the_row():
    assert named(changed(5, clock=9)) == [(rules.SEPARATION, 9)]  # row 6: 5 ticks after tick 5
    assert named(changed(1, clock=4)) == []  # row 2: 3 ticks after tick 1


def test_commands_of_one_bus_and_tick_are_named():
    assert named(changed(1, clock=7)) == [(rules.BUS, 7)]  # RD beside RDA
    assert named(changed(4, clock=13)) == [(rules.BUS, 13)]  # REFpb beside PREab
    assert named(changed(4, clock=11)) == []  # REFpb beside RD: two buses


def test_a_command_of_two_ticks_keeps_its_bus():
    assert named(changed(4, clock=7)) == []
    (violation,) = found(changed(6, clock=6))[:1]
    assert violation == Violation(rules.BUS, "", "ACT-PREab", (0, 1, -1), 6, 7, 5)


def test_a_short_command_does_not_give_back_the_bus_of_a_long_one():
    trace = [
        IssuedCommand(1, "ACT", (0, 0, 0), 2),
        IssuedCommand(1, "PREpb", (0, 1, 0)),
        IssuedCommand(2, "PREpb", (0, 1, 1)),
        IssuedCommand(3, "PREpb", (0, 1, 1)),
    ]
    assert named(trace) == [(rules.BUS, 1), (rules.BUS, 2)]


def test_buses_can_be_one_per_bank():
    trace = [
        IssuedCommand(1, "PREpb", (0, 0, 0)),
        IssuedCommand(1, "PREpb", (0, 0, 1)),
        IssuedCommand(2, "ACT", (0, 0, 0), 2),
        IssuedCommand(5, "RD", (0, 0, 0), 2, 0),
        IssuedCommand(5, "PREpb", (0, 0, 0)),
    ]
    assert named(trace) == [(rules.BUS, 1)]
    assert named(trace, bus=BusRule("Bank", split=True)) == []
    assert named(trace, bus=BusRule("Bank", split=False)) == [(rules.BUS, 5)]
    assert named([*trace, IssuedCommand(5, "PREab", (0, 0, -1))], bus=BusRule("Bank"))[-1] == (rules.BUS, 5)


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (changed(1, clock=6), [(rules.COLUMN_EDGE, 6)]),
        (changed(4, clock=10), [(rules.ROW_EDGE, 10)]),
        (changed(7, clock=16), [(rules.ROW_EDGE, 16)]),
        (changed(6, clock=12), []),
        (added(IssuedCommand(16, "PREpb", (0, 0, 1))), [(rules.PAIRING, 16)]),  # after REFab, same pseudo channel
        (added(IssuedCommand(16, "PREpb", (0, 1, 1))), []),  # the other pseudo channel
        (added(IssuedCommand(16, "PREab", (0, 1, -1))), []),
        (added(IssuedCommand(18, "PREpb", (0, 0, 1))), []),  # not the pairing edge
        (added(IssuedCommand(19, "REFpb", (0, 0, 1)), IssuedCommand(20, "PREpb", (0, 0, 1))), [(rules.PAIRING, 20)]),
        (added(IssuedCommand(19, "REFpb", (0, 0, 1)), IssuedCommand(20, "PREpb", (0, 0, 0))), []),
        (added(IssuedCommand(19, "REFpb", (0, 0, 1)), IssuedCommand(20, "PREab", (0, 0, -1))), [(rules.PAIRING, 20)]),
        (added(IssuedCommand(25, "ACT", (0, 0, 1), 1), IssuedCommand(28, "PREpb", (0, 0, 1))), [(rules.PAIRING, 28)]),
        (added(IssuedCommand(25, "ACT", (0, 0, 1), 1), IssuedCommand(28, "PREpb", (0, 0, 0))), []),
        (added(IssuedCommand(25, "ACT", (0, 0, 1), 1), IssuedCommand(30, "PREpb", (0, 0, 1))), []),
    ],
)
def test_edges_of_half_clocks(trace, expected):
    assert named(trace, EDGES) == expected
    assert not {rules.COLUMN_EDGE, rules.ROW_EDGE, rules.PAIRING} & {rule for rule, _ in named(trace, TOY)}


def refreshes(*clocks, pseudo=0):
    return [IssuedCommand(clock, "REFab", (0, pseudo, -1)) for clock in clocks]


def test_all_bank_refreshes_come_at_multiples_of_their_interval_within_the_delay():
    rule = all_bank_refresh(TOY, delay=5)
    assert named([*refreshes(40, 85, 120), *refreshes(41, 80, 125, pseudo=1)], refresh=rule, until=126) == []
    assert named(refreshes(39), refresh=rule) == [(rules.REF_EARLY, 39)]
    assert found(refreshes(46), refresh=rule) == [Violation(rules.REF_LATE, "", "REFab", (0, 0, -1), 46, 45)]
    assert named(refreshes(40, 41), refresh=rule) == [(rules.REF_EARLY, 41)]


def test_a_refresh_that_never_comes_is_named_at_the_end():
    rule = all_bank_refresh(TOY, delay=5)
    trace = [*refreshes(40, 80), *refreshes(41, pseudo=1)]
    assert named(trace, refresh=rule, until=85) == []
    assert found(trace, refresh=rule, until=86) == [Violation(rules.REF_LATE, "", "REFab", (0, 1, -1), 86, 85)]
    assert [violation.address for violation in found([], refresh=rule, until=46)] == [(0, 0, -1), (0, 1, -1)]
    assert found(trace, refresh=rule) == []


def test_per_bank_refreshes_walk_the_banks_of_each_scope():
    def walk(*places):
        return [IssuedCommand(clock, "REFpb", (0, pseudo, bank)) for clock, pseudo, bank in places]

    side_by_side = walk((10, 0, 0), (11, 1, 0), (20, 0, 1), (21, 1, 1), (30, 0, 0), (31, 1, 0))
    assert named(side_by_side, refresh=per_bank_refresh(TOY, 2), until=42) == []
    assert named(side_by_side, refresh=per_bank_refresh(TOY, 2), until=43) == [(rules.REF_LATE, 43)] * 2
    one_after_another = walk((10, 0, 0), (20, 0, 1), (30, 1, 0), (40, 1, 1), (50, 0, 0))
    assert named(one_after_another, refresh=per_bank_refresh(TOY, 2, scope="Channel"), until=62) == []
    swapped = walk((10, 0, 1), (20, 0, 0))
    assert named(swapped, refresh=per_bank_refresh(TOY, 2)) == [(rules.REF_EARLY, 10), (rules.REF_LATE, 20)]


OWED = RefreshRule("REFpb", "Bank", 40, (40, 50), postpone=1, pull_in=1)
"""Bank 0 at 40, 80, ..., bank 1 at 50, 90, ...; one may be owed, one done ahead; at the limit at once."""


def test_refreshes_are_postponed_and_pulled_in_within_their_limits():
    def bank(number, *clocks):
        return [IssuedCommand(clock, "REFpb", (0, 0, number)) for clock in clocks]

    assert named(bank(0, 80) + bank(1, 90), refresh=OWED) == []
    assert found(bank(0, 81), refresh=OWED) == [Violation(rules.REF_LATE, "", "REFpb", (0, 0, 0), 81, 80)]
    assert named(bank(1, 91), refresh=OWED) == [(rules.REF_LATE, 91)]
    assert named(bank(0, 0, 40) + bank(1, 10), refresh=OWED) == []
    assert found(bank(0, 0, 39), refresh=OWED) == [Violation(rules.REF_EARLY, "", "REFpb", (0, 0, 0), 39, 40)]
    assert named(bank(1, 9), refresh=OWED) == [(rules.REF_EARLY, 9)]


def test_an_act_at_the_limit_is_named_and_one_before_it_excuses_the_refresh_until_the_bank_is_closed():
    act, close = IssuedCommand(79, "ACT", (0, 0, 0), 1), IssuedCommand(85, "PREpb", (0, 0, 0))
    refresh = IssuedCommand(86, "REFpb", (0, 0, 0))
    assert named([act, close, refresh], refresh=OWED) == []
    late = replace(refresh, clock=87)
    assert found([act, close, late], refresh=OWED) == [Violation(rules.REF_LATE, "", "REFpb", (0, 0, 0), 87, 86)]
    assert named([replace(act, clock=80), close, refresh], refresh=OWED) == [(rules.ACT_AT_LIMIT, 80)]


def test_a_bank_that_is_open_at_the_end_owes_no_refresh_yet():
    rule = replace(OWED, first=(40, 1000))
    act, close = IssuedCommand(79, "ACT", (0, 0, 0), 1), IssuedCommand(85, "PREpb", (0, 0, 0))
    other = IssuedCommand(80, "REFpb", (0, 1, 0))
    assert named([act, replace(other, clock=81)], refresh=rule, until=100) == []  # the ACT keeps the bus up to here
    assert named([act, replace(other, clock=82)], refresh=rule, until=100) == [(rules.REF_LATE, 82)]
    others = [act, replace(other, clock=78)]
    assert named(others, refresh=rule, until=100) == []
    assert named([*others, close], refresh=rule, until=86) == []
    assert named([*others, close], refresh=rule, until=87) == [(rules.REF_LATE, 87)]


def test_columns_and_objects_give_the_same_result():
    trace = changed(1, clock=2)
    columns = columns_of(trace, 3)
    assert found(columns) == found(trace)
    assert [violation.rule for violation in found(columns)] == [rules.SEPARATION]
    shuffled = columns.take(np.array([3, 1, 0, 2, 7, 5, 6, 4]))
    assert found(shuffled) == found(trace)


def test_a_code_outside_the_names_is_unknown():
    one = np.zeros(1, np.int64)
    columns = CommandColumns(one, one + 7, np.zeros((1, 3), np.int64), one, one, one, ("ACT",))
    assert [violation.pair for violation in found(columns)] == ["command 7"]


def test_violations_come_in_order_of_time_and_read_like_one_line():
    trace = [*changed(1, clock=3), IssuedCommand(0, "NOP", (0, 0, 0))]
    first, second = found(trace)
    assert (first.cycle, second.cycle) == (0, 3)
    assert str(first) == "tick 0: NOP at 0.0.0: no command of the protocol"
    row = "Bank: ACT to RD, RDA at least 3/5, nRCD"
    assert str(second) == f"tick 3: ACT-RD at 0.0.0 after tick 1: separation ({row}); earliest legal tick 4"
    (late,) = found(refreshes(46), refresh=all_bank_refresh(TOY, delay=5))
    assert str(late) == "tick 46: REFab at 0.0.*: refresh later than the limit; latest legal tick 45"


def test_violations_of_one_tick_come_in_order_of_issue_and_by_rule():
    trace = [
        IssuedCommand(5, "RD", (0, 1, 0), 1, 0),
        IssuedCommand(5, "NOP", (0, 0, 0)),
        IssuedCommand(5, "RD", (0, 0, 1), 1, 0),
        IssuedCommand(5, "RD", (0, 0, 0), 1, 9),
    ]
    assert [(v.pair, v.address, v.rule) for v in found(trace)] == [
        ("RD", (0, 1, 0), rules.COLUMN_CLOSED),
        ("NOP", (0, 0, 0), rules.UNKNOWN),
        ("RD-RD", (0, 0, 1), rules.BUS),
        ("RD", (0, 0, 1), rules.COLUMN_CLOSED),
        ("RD", (0, 0, 0), rules.ADDRESS),
        ("RD-RD", (0, 0, 0), rules.BUS),
        ("RD", (0, 0, 0), rules.COLUMN_CLOSED),
    ]


def test_rows_that_the_peer_lacks_can_be_left_out():
    row = Constraint("Bank", ("RDA",), ("REFpb",), (4,), "nRTP + nRP", beyond_peer=True)
    protocol = replace(TOY, constraints=(*TOY.constraints, row))
    assert named(SOUND, protocol) == [(rules.SEPARATION, 9)]
    assert named(SOUND, protocol, beyond_peer=False) == []


def test_a_row_per_port_asks_for_the_port():
    row = Constraint("Port", ("RD",), ("RD", "RDA"), (4,), "nBL")
    protocol = replace(TOY, constraints=(*TOY.constraints, row))
    with_ports = [replace(c, port=0) if c.command in {"RD", "RDA"} else c for c in SOUND]
    assert named(with_ports, protocol) == [(rules.SEPARATION, 7)]
    with_ports[3] = replace(with_ports[3], port=1)
    assert named(with_ports, protocol) == []
    with_ports[3] = replace(with_ports[3], port=-1)
    assert named(with_ports, protocol) == [(rules.NO_PORT, 7)]


def test_every_rule_is_known_to_this_file():
    text = Path(__file__).read_text(encoding="utf-8")
    names = {value: name for name, value in vars(rules).items() if isinstance(value, str) and name.isupper()}
    assert [names[rule] for rule in rules.RULES if f"rules.{names[rule]}" not in text] == []


def test_two_hundred_thousand_commands_are_checked_within_five_seconds():
    protocol = load_standard("hbm3")
    banks = [(0, p, s, g, b) for b in range(4) for s in range(2) for g in range(4) for p in range(2)]
    period = 12_000
    rounds = range(520)
    trace = [
        IssuedCommand(n * period + period - 101 + 10 * p, "PREab", (0, p, -1, -1, -1)) for n in rounds for p in (0, 1)
    ]
    for number in rounds:
        for place, bank in enumerate(banks):
            clock = number * period + 98 * place + 1
            trace.append(IssuedCommand(clock, "ACT", bank, number))
            trace += [IssuedCommand(clock + 64 + 8 * column, "RD", bank, number, column) for column in range(5)]
    columns = columns_of(trace, len(protocol.levels))
    assert len(columns) > 200_000
    start = process_time()
    assert check_commands(columns, protocol, strict=True) == []
    assert process_time() - start < 5
