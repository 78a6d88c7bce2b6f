"""Counters and stall table: small cases counted by hand, the same in both modes and at every settled tick."""

import pytest

from nmpsim.dram.native import check_balance, settle
from nmpsim.errors import InternalError
from tests.unit.dram.bench import DramUnderTest
from tests.unit.dram.chips import SMALL, SMALL_TIERS, latency_table

TABLE = latency_table(*SMALL_TIERS)  # tier 0: nRCD 3, nRAS 12, nRC 17, nRP 5, nCCD 2, nRFC 20

pytestmark = pytest.mark.parametrize("plain", [True, False], ids=["plain", "skip"])


def test_one_read_row_between_two_idle_times(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.issue(columns=4, ready_at=5)
    dut.run_until(30)
    # ACT 5, RD 8 10 12 14, PRE 17 (nRAS; nRTP gives 18), next ACT from 23
    assert dut.commands() == [(5, "ACT"), (8, "RD"), (10, "RD"), (12, "RD"), (14, "RD"), (18, "PRE")]
    assert dut.stalls() == {"no_request": 5 + 7, "activate": 3, "transfer": 8, "precharge": 7}
    assert dut.stalls(1) == {"no_request": 30}


def test_a_table_settled_inside_a_row_access_stops_there(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.issue(columns=4)
    dut.run_until(6)  # ACT 0, RD 3 5 | 7 9
    assert dut.stalls() == {"activate": 3, "transfer": 3}
    counter = dut.state.counter[0, 0]
    assert (counter.ACT, counter.RD, counter.PRE, counter.beats) == (1, 2, 0, 2)
    dut.run_until(13)
    assert dut.stalls() == {"activate": 3, "transfer": 8, "precharge": 2}
    dut.run_until(19)  # PRE 13
    assert dut.stalls() == {"activate": 3, "transfer": 8, "precharge": 13 + 5 - 11, "no_request": 1}
    assert (counter.ACT, counter.RD, counter.PRE, counter.beats) == (1, 4, 1, 4)


def test_late_write_data_are_charged_to_whoever_supplies_them(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain)
    dut.issue(is_write=1, columns=2)
    dut.supply(0, 4)
    dut.run_until(10)  # WR could be at 3; the datum is there at 4; the next WR is legal at 6
    assert dut.stalls() == {"activate": 3, "write_data_late": 1 + 4, "transfer": 2}
    dut.supply(0, 15)
    dut.run_until(20)  # WR 15, nWTP 8
    assert dut.stalls() == {"activate": 3, "write_data_late": 1 + 9, "transfer": 4, "precharge": 3}
    assert dut.state.counter[0, 0].WR == dut.state.counter[0, 0].beats == 2


def test_a_full_landing_fifo_is_charged_to_the_eater(plain):
    dut = DramUnderTest(SMALL._replace(fifo_columns=4), TABLE, plain=plain, eats=False)
    dut.issue(rows=2, columns=4)
    dut.run_until(25)  # the bank is ready again at 18
    assert dut.stalls()["no_landing_space"] == 7
    dut.eat(beats=4, free_at=28)
    dut.run_until(30)
    assert dut.stalls()["no_landing_space"] == 10
    assert dut.cycle_of("ACT", 1) == 28


def test_waiting_for_other_banks_is_the_activation_budget(plain):
    dut = DramUnderTest(SMALL._replace(nRRD=9), TABLE, plain=plain)
    dut.issue(0, columns=1)
    dut.issue(1, columns=1, ready_at=2)
    dut.run_until(10)
    assert dut.stalls(1) == {"no_request": 2, "activation_budget": 7, "activate": 1}


def test_a_refresh_lasts_until_the_next_legal_act(plain):
    dut = DramUnderTest(SMALL._replace(refresh=1, nREFI=50), TABLE, plain=plain)
    dut.run_until(80)
    assert dut.stalls(0) == {"no_request": 50 + 10, "refresh": 20}
    assert dut.stalls(1) == {"no_request": 75, "refresh": 5}
    assert [int(n) for n in dut.state.counter[0].REF] == [1, 1]


def test_a_forced_refresh_that_waits_for_its_separation_is_charged_to_refresh(plain):
    tier = {**SMALL_TIERS[0], "nRC": 30}
    table = latency_table(tier, tier)
    table[:, 0, 0] = 17  # ACT to ACT shorter than ACT to REFpb
    dut = DramUnderTest(SMALL._replace(refresh=1, nREFI=20, postpone=0), table, plain=plain)
    dut.issue(rows=2, columns=1, ready_at=1)
    dut.run_until(40)  # ACT 1, PRE 13, ACT legal from 18 on and issued: due only at 20
    assert dut.commands()[:1] == [(1, "ACT")]
    assert dut.cycle_of("ACT", 1) == 18
    dut.run_until(60)  # second row closed from 35 on, refresh owed since 20, legal at 18 + 30
    assert dut.cycle_of("REFpb") == 48
    assert dut.stalls()["refresh"] == (48 - 35) + 12


def test_settling_often_or_twice_changes_nothing(plain):
    often, once = (DramUnderTest(SMALL, TABLE, plain=plain) for _ in range(2))
    for dut in (often, once):
        dut.issue(rows=3, columns=4)
    for cycle in range(70):
        often.run_until(cycle)
        settle(cycle, SMALL, 1, TABLE, often.state)
    once.run_until(69)
    assert often.stalls() == once.stalls()
    assert often.state.counter.tolist() == once.state.counter.tolist()


def test_a_table_that_does_not_add_up_is_an_internal_error(plain):
    dut = DramUnderTest(SMALL, TABLE, plain=plain).run_until(10)
    dut.state.stall[0, 1, 0] += 1
    with pytest.raises(InternalError, match="channel 0 bank 1: stall reasons sum to 11 of 10 DRAM cycles"):
        check_balance(dut.state, 10)
