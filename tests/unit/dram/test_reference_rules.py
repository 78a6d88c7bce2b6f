"""The reference controller, one rule per test; every clock is derived by hand from the toy protocol."""

from dataclasses import replace

import pytest

from tests.unit.dram.toy import QUIET, TOY, changed, half_clocked, run, shown

CAPPED = replace(QUIET, row_policy="ClosedCAP", row_policy_cap=1)
GUARDED = replace(QUIET, scheduler="FRFCFS-RowHit")
HALF = half_clocked(TOY)
QUIET_HALF = replace(QUIET, model="HBM34")


def test_one_read_is_activated_at_the_tick_after_its_acceptance():
    outcome = run(TOY, QUIET, (3, "R", 0, 1))
    assert shown(outcome) == ["4 ACT 0", "9 RD 0"]
    assert outcome.accept.tolist() == [3]
    assert outcome.done.tolist() == [9 + 6]
    assert outcome.ticks == 15


def test_one_write_is_done_at_its_command():
    outcome = run(TOY, QUIET, (0, "W", 0, 1))
    assert shown(outcome) == ["1 ACT 0", "5 WR 0"]
    assert outcome.done.tolist() == [5]


def test_a_row_conflict_waits_for_the_later_of_two_rules():
    # PREpb: max(ACT 1 + 9, RD 6 + 3); the next ACT: max(PREpb 10 + 4, ACT 1 + 13)
    outcome = run(TOY, QUIET, (0, "R", 0, 1), (0, "R", 0, 2))
    assert shown(outcome) == ["1 ACT 0", "6 RD 0", "10 PREpb 0", "14 ACT 0", "19 RD 0"]
    assert [outcome.counters[name] for name in ("row_hits", "row_misses", "row_conflicts")] == [0, 1, 1]


def test_levels_tell_which_separation_counts():
    # hits of one group 3 apart, of two groups of a pseudo channel 2 apart, of two pseudo channels in adjacent ticks
    lines = [(0, "R", bank, 1) for bank in (0, 1, 2, 4)]
    outcome = run(TOY, QUIET, *lines)
    acts = [line for line in shown(outcome) if "ACT" in line]
    reads = [line for line in shown(outcome) if "RD" in line]
    assert acts == ["1 ACT 0", "2 ACT 4", "3 ACT 1", "5 ACT 2"]
    assert reads == ["6 RD 0", "7 RD 4", "9 RD 1", "11 RD 2"]


def test_a_column_and_a_row_command_share_a_tick():
    # ACT of the third bank falls on the tick of the first RD: 1, 3, 5 with nRRD 2 and RD at 1 + 5; nRRD 5 gives 6
    slower = changed(TOY, PseudoChannel_ACT_ACT=5)
    outcome = run(slower, QUIET, (0, "R", 0, 1), (0, "R", 2, 1))
    assert shown(outcome) == ["1 ACT 0", "6 RD 0", "6 ACT 2", "11 RD 2"]
    assert outcome.reasons["column"] == 2
    assert outcome.reasons["row"] == 1


def test_a_window_counts_back_to_its_first_command():
    window = replace(TOY.constraints[0], level="PseudoChannel", preceding=("ACT",), following=("ACT",), window=3)
    protocol = replace(TOY, constraints=(*TOY.constraints, replace(window, latency=(12,))))
    outcome = run(protocol, QUIET, *[(0, "R", bank, 1) for bank in (0, 1, 2, 3)])
    acts = [line for line in shown(outcome) if "ACT" in line]
    assert acts == ["1 ACT 0", "3 ACT 1", "5 ACT 2", "13 ACT 3"]  # 1 + 12


def test_a_sibling_rule_holds_between_two_groups_and_not_within_one():
    sibling = replace(TOY.constraints[0], level="BankGroup", preceding=("RD",), following=("RD",), latency=(9,))
    protocol = replace(TOY, constraints=(*TOY.constraints, replace(sibling, sibling=True)))
    assert shown(run(protocol, QUIET, (0, "R", 0, 1), (0, "R", 2, 1)))[-2:] == ["6 RD 0", "15 RD 2"]
    assert shown(run(protocol, QUIET, (0, "R", 0, 1), (0, "R", 1, 1)))[-2:] == ["6 RD 0", "9 RD 1"]
    assert shown(run(protocol, QUIET, (0, "R", 0, 1), (0, "R", 4, 1)))[-2:] == ["6 RD 0", "7 RD 4"]


def test_a_read_of_a_waiting_write_is_forwarded():
    outcome = run(TOY, QUIET, (0, "W", 0, 1), (0, "R", 0, 1))
    assert outcome.counters["forwarded"] == 1
    assert outcome.done.tolist() == [5, 1]


def test_a_write_is_not_forwarded_from_once_it_is_activated():
    # ACT at 1; the read of cycle 1 hits the row and waits for WR 5 + 7
    outcome = run(TOY, QUIET, (0, "W", 0, 1), (1, "R", 0, 1))
    assert outcome.counters["forwarded"] == 0
    assert shown(outcome) == ["1 ACT 0", "5 WR 0", "12 RD 0"]


def test_a_forwarded_read_does_not_overtake_a_read_in_flight():
    # RD at 6 is done at 12; the read forwarded at 7 comes behind it, not at 8; write mode begins at 2, nRTW 6 after RD
    lines = (0, "R", 0, 1), (7, "W", 0, 2), (7, "R", 0, 2)
    outcome = run(TOY, QUIET, *lines)
    assert outcome.counters["forwarded"] == 1
    assert outcome.done.tolist()[2] == 12


def test_a_write_to_a_waiting_address_is_merged():
    outcome = run(TOY, QUIET, (0, "W", 0, 1), (0, "W", 0, 1))
    assert outcome.counters["merged"] == 1
    assert outcome.done.tolist() == [5, 1]
    assert shown(outcome) == ["1 ACT 0", "5 WR 0"]


def test_write_mode_begins_above_the_high_mark_not_at_it():
    settings = replace(QUIET, write_queue=4, wr_high_watermark=0.5, wr_low_watermark=0.25)
    at_mark = [(0, "R", 0, 1), (0, "W", 1, 1), (0, "W", 2, 1)]
    assert shown(run(TOY, settings, *at_mark))[0] == "1 ACT 0"
    assert shown(run(TOY, settings, *at_mark, (0, "W", 3, 1)))[0] == "1 ACT 1"


def test_write_mode_ends_below_the_low_mark_not_at_it():
    # three writes begin write mode; the read gets its turn when fewer writes than the mark wait
    lines = [(0, "W", 1, 1), (0, "W", 2, 1), (0, "W", 3, 1), (0, "R", 0, 1)]
    settings = replace(QUIET, write_queue=4, wr_high_watermark=0.5)
    order = [
        line.split()[2] for line in shown(run(TOY, replace(settings, wr_low_watermark=0.25), *lines)) if "ACT" in line
    ]
    assert order == ["1", "2", "3", "0"]  # one write is not below one
    order = [
        line.split()[2] for line in shown(run(TOY, replace(settings, wr_low_watermark=0.5), *lines)) if "ACT" in line
    ]
    assert order == ["1", "2", "0", "3"]  # one write is below two


def test_write_mode_begins_when_no_read_waits():
    outcome = run(TOY, QUIET, (0, "R", 0, 1), (0, "W", 1, 1))
    assert [line for line in shown(outcome) if "ACT" in line] == ["1 ACT 0", "3 ACT 1"]


def test_a_refresh_at_the_head_stops_new_requests_of_both_pseudo_channels():
    # open bank 0; at 50 PREab 0, REFab 0 at 54; REFab 1 has waited behind it for 55; only then the read of bank 4
    settings = replace(QUIET, refresh="AllBank")
    outcome = run(TOY, settings, (0, "R", 0, 1), (49, "R", 4, 1))
    assert shown(outcome) == ["1 ACT 0", "6 RD 0", "50 PREab 0", "54 REFab 0", "55 REFab 1", "75 ACT 4", "80 RD 4"]
    assert outcome.reasons["refresh"] == 3  # 51 to 53


def test_an_activated_request_gets_its_column_before_the_refresh_closes_its_bank():
    # ACT at 49: RD at 54 although the refresh waits since 50; PREab: max(ACT 49 + 9, RD 54 + 3)
    settings = replace(QUIET, refresh="AllBank")
    outcome = run(TOY, settings, (48, "R", 0, 1), drain=5)
    assert shown(outcome)[:4] == ["49 ACT 0", "54 RD 0", "58 PREab 0", "62 REFab 0"]


def test_refresh_per_bank_goes_round_all_banks():
    settings = replace(QUIET, refresh="PerBank")
    outcome = run(TOY, settings, drain=181)
    assert shown(outcome) == [f"{20 * n} REFpb {(n - 1) % 8}" for n in range(1, 10)]


def test_refresh_of_hbm3_takes_the_same_bank_of_both_pseudo_channels_one_per_tick():
    # due at 20 and 21 (even and odd): REFpb only on odd ticks, one per tick
    settings = replace(QUIET_HALF, refresh="HBM34PerBankRefresh")
    outcome = run(HALF, settings, drain=70)
    assert shown(outcome) == ["21 REFpb 0", "23 REFpb 4", "41 REFpb 1", "43 REFpb 5", "61 REFpb 2", "63 REFpb 6"]


def test_a_set_of_hbm3_is_not_begun_anew_before_its_time():
    # the 4th bank is put into the queue at 80 and 81: the set of pseudo channel 1 is allowed again at 81 + 30 > 100
    settings = replace(QUIET_HALF, refresh="HBM34PerBankRefresh")
    outcome = run(HALF, settings, drain=115)
    assert shown(outcome)[-2:] == ["111 REFpb 0", "113 REFpb 4"]


def test_a_bank_at_its_cap_is_closed_with_the_next_column():
    outcome = run(TOY, CAPPED, (0, "R", 0, 1), (0, "R", 0, 1, 1), (0, "R", 0, 1, 2))
    # RD 6; RDA 9 comes before PREpb at 10; the next ACT: max(RDA 9 + 7, ACT 1 + 13)
    assert shown(outcome) == ["1 ACT 0", "6 RD 0", "9 RDA 0", "16 ACT 0", "21 RD 0", "25 PREpb 0"]


def test_a_bank_at_its_cap_is_closed_on_its_own_when_that_is_allowed():
    outcome = run(TOY, CAPPED, (0, "R", 0, 1), drain=5)
    assert shown(outcome) == ["1 ACT 0", "6 RD 0", "10 PREpb 0"]
    assert outcome.counters["PREpb"] == 1


def test_the_cap_counts_from_zero_after_a_close():
    twice = replace(CAPPED, row_policy_cap=2)
    outcome = run(TOY, twice, *[(0, "R", 0, 1, column) for column in range(4)])
    # PREpb is allowed at 12 = 9 + 3 and comes before the third column, which the priority queue keeps from the slot
    assert shown(outcome)[:5] == ["1 ACT 0", "6 RD 0", "9 RD 0", "12 PREpb 0", "16 ACT 0"]


@pytest.mark.parametrize(("arrival", "first"), [(0, "18 RD 0"), (1, "10 PREpb 0")])
def test_the_guard_lets_a_precharge_pass_only_younger_hits(arrival, first):
    # hits 12 apart: the second hit is allowed at 6 + 12, the precharge at 1 + 9
    slow = changed(TOY, BankGroup_RD_RD=12)
    lines = (0, "R", 0, 1), (0, "R", 0, 2), (arrival, "R", 0, 1, 1)
    assert shown(run(slow, GUARDED, *lines))[2] == first
    assert shown(run(slow, QUIET, *lines))[2] == "10 PREpb 0"


def test_half_clocks_carry_columns_and_activations_on_odd_ticks_only():
    # accepted in cycle 1: tick 2 is even; RD allowed at 3 + 5 = 8
    outcome = run(HALF, QUIET_HALF, (1, "R", 0, 1))
    assert shown(outcome) == ["3 ACT 0", "9 RD 0"]


def test_a_precharge_may_use_the_even_tick():
    outcome = run(HALF, QUIET_HALF, (0, "R", 0, 1), (0, "R", 0, 2))
    assert shown(outcome)[:4] == ["1 ACT 0", "7 RD 0", "10 PREpb 0", "15 ACT 0"]


def test_a_precharge_is_not_paired_with_the_activation_of_its_own_bank():
    # allowed at 4 = 1 + 3, the pairing edge of the ACT
    quick = changed(HALF, ACT_RD=2, ACT_PREpb=3, RD_PREpb=1)
    outcome = run(quick, QUIET_HALF, (0, "R", 0, 1), (0, "R", 0, 2))
    assert shown(outcome)[:3] == ["1 ACT 0", "3 RD 0", "5 PREpb 0"]


def test_a_precharge_is_paired_with_the_activation_of_another_bank():
    # PREpb of bank 0 allowed at 6, the pairing edge of the ACT of bank 1 at 3
    quick = changed(HALF, ACT_RD=2, ACT_PREpb=5, RD_PREpb=1)
    outcome = run(quick, QUIET_HALF, (0, "R", 0, 1), (0, "R", 0, 2), (0, "R", 1, 1))
    assert shown(outcome)[:5] == ["1 ACT 0", "3 RD 0", "3 ACT 1", "6 PREpb 0", "7 RD 1"]
