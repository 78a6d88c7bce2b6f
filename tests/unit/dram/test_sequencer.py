"""What a bank sequencer issues and when: the timing table, budgets, landing space, write data, refresh."""

import numpy as np
import pytest

from nmpsim.dram.check.native import check_native
from nmpsim.dram.check.violation import SEPARATION
from nmpsim.dram.native import step_channel
from nmpsim.dram.native.state import raise_faults
from nmpsim.errors import ProtocolError
from nmpsim.kernel import NEVER
from nmpsim.spec.params import ACT, COMMANDS, PRE, RD, REF, WR
from tests.unit.dram.bench import DramUnderTest
from tests.unit.dram.chips import SMALL, SMALL_TIER, SMALL_TIERS, latency_table

TABLE = latency_table(*SMALL_TIERS)
T0, T1 = SMALL_TIERS
ROW_OF_TIER_1 = SMALL.rows_per_tier

BOTH_MODES = pytest.mark.parametrize("plain", [True, False], ids=["plain", "skip"])


def one_separation(previous, following, cycles):
    """A table in which nothing but one pair is separated by more than a cycle."""
    table = np.full((2, 5, 5), -1, np.int64)
    table[:, previous, following] = cycles
    return table


# what makes a pair of commands meet: (runs of bank 0, parameters)
READ = {"columns": 1}
WRITE = {"columns": 1, "is_write": 1}
REFRESHED = {"refresh": 1, "nREFI": 10, "postpone": 0}
SCENARIOS = {
    (ACT, RD): ([READ], {}),
    (ACT, WR): ([WRITE], {}),
    (ACT, PRE): ([READ], {}),
    (ACT, ACT): ([READ, READ], {}),
    (ACT, REF): ([READ | {"ready_at": 9}], REFRESHED | {"nREFI": 12}),
    (RD, PRE): ([READ], {}),
    (WR, PRE): ([WRITE], {}),
    (RD, RD): ([READ, READ], {}),
    (WR, WR): ([WRITE, WRITE], {}),
    (RD, WR): ([READ, WRITE], {}),
    (WR, RD): ([WRITE, READ], {}),
    (RD, ACT): ([READ, READ], {}),
    (WR, ACT): ([WRITE, READ], {}),
    (RD, REF): ([READ | {"ready_at": 7}], REFRESHED | {"nREFI": 12}),
    (WR, REF): ([WRITE | {"ready_at": 7}], REFRESHED | {"nREFI": 12}),
    (PRE, ACT): ([READ, READ], {}),
    (PRE, RD): ([READ, READ], {}),
    (PRE, WR): ([READ, WRITE], {}),
    (PRE, PRE): ([READ, READ], {}),
    (PRE, REF): ([READ | {"ready_at": 7}], REFRESHED | {"nREFI": 12}),
    (REF, ACT): ([READ | {"ready_at": 41}], REFRESHED | {"nREFI": 40}),
    (REF, RD): ([READ | {"ready_at": 41}], REFRESHED | {"nREFI": 40}),
    (REF, WR): ([WRITE | {"ready_at": 41}], REFRESHED | {"nREFI": 40}),
    (REF, PRE): ([READ | {"ready_at": 41}], REFRESHED | {"nREFI": 40}),
    (REF, REF): ([], REFRESHED),
}


@BOTH_MODES
@pytest.mark.parametrize("pair", SCENARIOS, ids=lambda pair: "-".join(COMMANDS[command] for command in pair))
@pytest.mark.parametrize("cycles", [24, 25])
def test_commands_of_a_bank_keep_exactly_their_separation(pair, cycles, plain):
    previous, following = pair
    runs, changes = SCENARIOS[pair]
    dut = DramUnderTest(SMALL._replace(**changes), one_separation(previous, following, cycles), plain=plain)
    dut.supply(0, 0, 0)
    for run in runs:
        dut.issue(**run)
    dut.run_until(120)
    commands = dut.commands()
    first = next(i for i, (_, name) in enumerate(commands) if name == COMMANDS[previous])
    second = next(i for i, (_, name) in enumerate(commands) if i > first and name == COMMANDS[following])
    latest = max(at for at, name in commands[:second] if name == COMMANDS[previous])
    assert commands[second][0] - latest == cycles
    log = dut.state.log[0, : dut.state.channel[0].logged]
    assert check_native(log, dut.params, dut.latency, 1) == []
    found = check_native(log, dut.params, one_separation(previous, following, cycles + 1), 1)
    assert {(v.rule, v.pair) for v in found if v.rule == SEPARATION} == {
        (SEPARATION, f"{COMMANDS[previous]}-{COMMANDS[following]}")
    }


def test_every_pair_of_the_table_that_can_meet_has_a_scenario():
    assert len(SCENARIOS) == len(COMMANDS) ** 2


@BOTH_MODES
def test_a_row_access_is_act_columns_pre_at_the_cycles_of_the_table(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.issue(columns=3)
    dut.run_until(40)
    rd = T0["nRCD"]
    nCCD = T0["nCCD"]
    assert dut.commands() == [
        (0, "ACT"),
        (rd, "RD"),
        (rd + nCCD, "RD"),
        (rd + 2 * nCCD, "RD"),
        (T0["nRAS"], "PRE"),
    ]


@BOTH_MODES
def test_beats_are_stamped_nCL_and_nPORT_after_their_read(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain, eats=False, period=3)
    dut.issue(columns=4)
    dut.run_until(30)
    reads = [cycle for cycle, name in dut.commands() if name == "RD"]
    stamps = dut.state.slot[0, 0].ready_at[:4].tolist()
    assert stamps == [3 * (cycle + SMALL.nCL + SMALL.nPORT) for cycle in reads]


def test_the_probe_moves_with_every_command():
    dut = DramUnderTest(SMALL, TABLE, plain=True)
    dut.issue(columns=1)
    dut.run_until(1)
    dut.assert_earliest("RD", 0, T0["nRCD"])
    dut.assert_earliest("PRE", 0, T0["nRAS"])
    dut.assert_earliest("ACT", 0, T0["nRC"])
    dut.run_until(T0["nRAS"] + 1)
    dut.assert_earliest("ACT", 0, T0["nRAS"] + T0["nRP"])
    dut.assert_earliest("ACT", 1, 0)


@BOTH_MODES
def test_an_act_counts_with_the_tier_of_the_row_it_opens(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.issue(columns=1, first_row=ROW_OF_TIER_1)
    dut.run_until(40)
    assert dut.cycle_of("RD") == T1["nRCD"]
    assert dut.cycle_of("PRE") == T1["nRAS"]


@BOTH_MODES
@pytest.mark.parametrize(("first", "second"), [(0, ROW_OF_TIER_1), (ROW_OF_TIER_1, 0)])
def test_a_pre_counts_with_the_tier_of_the_row_it_closes(first, second, plain):
    tiers = ({**T0, "nRP": 5}, {**T0, "nRP": 9})
    dut = DramUnderTest(SMALL, latency_table(*tiers), plain=plain)
    dut.issue(columns=1, first_row=first)
    dut.issue(columns=1, first_row=second)
    dut.run_until(60)
    assert dut.cycle_of("ACT", 1) - dut.cycle_of("PRE") == tiers[first // ROW_OF_TIER_1]["nRP"]


@BOTH_MODES
def test_rows_and_targets_walk_with_their_strides(plain):
    params = SMALL._replace(fifo_columns=16)
    dut = DramUnderTest(params, TABLE, plain=plain, eats=False)
    dut.issue(first_row=9, rows=3, row_stride=-2, first_column=1, columns=2, target=101, target_stride=64, token=5)
    dut.issue(first_row=1, columns=1, target=0, target_stride=64, token=6)
    dut.run_until(120)
    log = dut.state.log[0, : dut.state.channel[0].logged]
    columns = [(int(e.row), int(e.column)) for e in log if e.command == RD]
    assert columns == [(9, 1), (9, 2), (7, 1), (7, 2), (5, 1), (5, 2), (1, 0)]
    slots = dut.state.slot[0, 0][:7]
    assert slots.target.tolist() == [101, 165, 229, 293, 357, 421, 0]
    assert slots.token.tolist() == [5, 5, 5, 5, 5, 5, 6]


@BOTH_MODES
def test_a_run_is_seen_at_its_stamp_and_not_before(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.issue(columns=1, ready_at=7)
    dut.run_until(20)
    assert dut.cycle_of("ACT") == 7


@BOTH_MODES
def test_the_slot_of_a_run_is_free_one_cycle_after_its_last_act(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.issue(columns=1, rows=2)
    dut.run_until(60)
    assert dut.state.run[0, 0, 0].free_at == dut.cycle_of("ACT", 1) + 1


@BOTH_MODES
@pytest.mark.parametrize("nRRD", [1, 4])
def test_acts_of_different_banks_keep_nRRD(nRRD, plain):
    params = SMALL._replace(banks=3, nRRD=nRRD)
    dut = DramUnderTest(params, TABLE, plain=plain)
    for bank in range(3):
        dut.issue(bank, columns=1)
    dut.run_until(40)
    assert [dut.cycle_of("ACT", 0, bank) for bank in range(3)] == [0, nRRD, 2 * nRRD]


@BOTH_MODES
def test_without_nRRD_and_nFAW_all_banks_activate_at_once(plain):
    params = SMALL._replace(banks=6)
    dut = DramUnderTest(params, TABLE, plain=plain)
    for bank in range(6):
        dut.issue(bank, columns=1)
    dut.run_until(40)
    assert [dut.cycle_of("ACT", 0, bank) for bank in range(6)] == [0] * 6


@BOTH_MODES
def test_a_fifth_act_waits_for_the_window_of_four(plain):
    params = SMALL._replace(banks=6, nRRD=2, nFAW=30)
    dut = DramUnderTest(params, TABLE, plain=plain)
    for bank in range(6):
        dut.issue(bank, columns=1)
    dut.run_until(60)
    assert [dut.cycle_of("ACT", 0, bank) for bank in range(6)] == [0, 2, 4, 6, 30, 32]


@BOTH_MODES
def test_the_bank_after_the_last_act_has_priority(plain):
    params = SMALL._replace(banks=3, nRRD=20)
    dut = DramUnderTest(params, TABLE, plain=plain)
    for bank, ready_at in ((1, 0), (0, 5), (2, 9), (1, 9)):
        dut.issue(bank, columns=1, ready_at=ready_at)
    dut.run_until(80)
    acts = sorted((dut.cycle_of("ACT", number, bank), bank) for bank, number in ((1, 0), (2, 0), (0, 0), (1, 1)))
    assert acts == [(0, 1), (20, 2), (40, 0), (60, 1)]


@BOTH_MODES
def test_a_row_is_activated_only_when_all_its_beats_have_landing_space(plain):
    dut = DramUnderTest(SMALL._replace(fifo_columns=6), TABLE, plain=plain, eats=False)
    dut.issue(rows=2, columns=4)
    dut.run_until(50)
    assert [name for _, name in dut.commands()].count("ACT") == 1
    dut.eat(beats=1)
    dut.run_until(60)
    assert [name for _, name in dut.commands()].count("ACT") == 1
    dut.eat(beats=1, free_at=63)
    dut.run_until(80)
    assert dut.cycle_of("ACT", 1) == 63


@BOTH_MODES
def test_a_write_waits_for_its_datum_and_counts_its_token(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.state.token[0, 3].left = 3
    dut.issue(is_write=1, columns=3, token=3)
    dut.supply(0, 0, 20)
    dut.run_until(30)
    assert [at for at, name in dut.commands() if name == "WR"] == [T0["nRCD"], 20]
    assert dut.state.token[0, 3].left == 1
    dut.supply(0, 31)
    dut.run_until(60)
    assert [at for at, name in dut.commands() if name == "WR"] == [T0["nRCD"], 20, 31]
    assert dut.state.token[0, 3].left == 0
    assert dut.state.token[0, 3].done_at == 32
    assert dut.state.write_slot[0, 0].free_at[:3].tolist() == [
        at + SMALL.nCWL + SMALL.nCREDIT for at in (T0["nRCD"], 20, 31)
    ]


@BOTH_MODES
def test_write_data_between_edges_counts_from_the_next_edge(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain, period=4)
    dut.issue(is_write=1, columns=1)
    fifo, slots = dut.state.write_fifo[0, 0], dut.state.write_slot[0, 0]
    fifo.reserved = fifo.filled = 1
    slots[0].ready_at = 41
    dut.run_until(40)
    assert dut.cycle_of("WR") == 11


REFRESHING_CHIP = SMALL._replace(refresh=1, nREFI=50, postpone=0)


@BOTH_MODES
def test_idle_banks_are_refreshed_when_due_staggered_by_bank(plain):
    dut = DramUnderTest(REFRESHING_CHIP, TABLE, plain=plain)
    dut.run_until(180)
    assert dut.commands(0) == [(50, "REFpb"), (100, "REFpb"), (150, "REFpb")]
    assert dut.commands(1) == [(75, "REFpb"), (125, "REFpb"), (175, "REFpb")]


@BOTH_MODES
@pytest.mark.parametrize("postpone", [0, 1, 3])
def test_waiting_rows_postpone_refresh_up_to_the_limit(postpone, plain):
    params = REFRESHING_CHIP._replace(postpone=postpone, rows=64, rows_per_tier=32)
    dut = DramUnderTest(params, TABLE, plain=plain)
    dut.issue(rows=30, columns=1)
    dut.run_until(300)
    nRC = T0["nRC"]
    limit = 50 * (1 + postpone)
    row_end = -(-limit // nRC) * nRC  # the row open at the limit is finished; REF keeps nRC after its ACT
    assert dut.cycle_of("REFpb") == row_end
    assert dut.cycle_of("REFpb", 1) > limit + 50 - nRC  # and not at once again: one debt paid is enough


@BOTH_MODES
def test_at_the_limit_no_row_begins_although_the_refresh_must_still_wait(plain):
    table = TABLE.copy()
    table[:, REF] = 2
    table[:, ACT, REF] = 40  # an ACT would be legal from 17 on, the refresh only from 40
    dut = DramUnderTest(REFRESHING_CHIP._replace(nREFI=15), table, plain=plain)
    dut.issue(rows=2, columns=1)
    dut.run_until(50)
    assert dut.commands()[2:6] == [(12, "PRE"), (40, "REFpb"), (42, "REFpb"), (44, "ACT")]


@BOTH_MODES
def test_the_debt_is_paid_one_after_the_other_when_the_rows_end(plain):
    params = REFRESHING_CHIP._replace(postpone=9)
    dut = DramUnderTest(params, TABLE, plain=plain)
    dut.issue(rows=8, columns=1)  # 8 x nRC 17 = 136 cycles: two refreshes are owed by then
    dut.run_until(180)
    last = dut.cycle_of("ACT", 7)
    first = last + T0["nRC"]
    refreshes = [at for at, name in dut.commands() if name == "REFpb"]
    assert refreshes == [first, first + T0["nRFC"], first + 2 * T0["nRFC"]][: len(refreshes)]
    assert len(refreshes) == 3


@BOTH_MODES
def test_a_bank_without_landing_space_uses_the_time_to_refresh(plain):
    params = REFRESHING_CHIP._replace(postpone=9, fifo_columns=4)
    dut = DramUnderTest(params, TABLE, plain=plain, eats=False)
    dut.issue(rows=2, columns=4)
    dut.run_until(90)
    assert dut.cycle_of("REFpb") == 50


@BOTH_MODES
def test_the_wake_is_never_when_only_others_can_act(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    assert step_channel(0, 0, int(plain), SMALL, 1, TABLE, dut.state) == NEVER
    assert dut.state.channel[0].first_ready_at == NEVER


def test_first_ready_at_is_the_smallest_stamp_of_the_visit():
    dut = DramUnderTest(SMALL, TABLE, plain=False)
    dut.issue(0, columns=2)
    dut.issue(1, columns=2, first_row=ROW_OF_TIER_1)
    step_channel(0, 0, 0, SMALL, 1, TABLE, dut.state)
    assert dut.state.channel[0].first_ready_at == T0["nRCD"] + SMALL.nCL + SMALL.nPORT


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"first_row": 15, "rows": 2}, "a row outside the bank"),
        ({"first_row": 1, "rows": 2, "row_stride": -2}, "a row outside the bank"),
        ({"rows": 0}, "a run without rows"),
        ({"first_column": 2, "columns": 3}, "columns outside the row"),
        ({"columns": 0}, "row access without columns"),
        ({"columns": 4}, "more columns per row access than the landing FIFO has beats"),
    ],
)
def test_a_run_outside_the_bank_is_a_protocol_error_that_says_which(run, words):
    dut = DramUnderTest(SMALL._replace(fifo_columns=3), TABLE)
    dut.issue(1, ready_at=2, **run)
    with pytest.raises(ProtocolError, match=rf"channel 0 bank 1 at tick 2: got .*{words}.*; allowed: "):
        dut.run_until(10)


def test_a_sound_state_raises_nothing():
    raise_faults(DramUnderTest(SMALL, latency_table(SMALL_TIER, SMALL_TIER)).state)
