"""Posting from Python, the command log, and what a fresh state looks like."""

import pytest

from nmpsim.dram.native import REASONS, command_log, make_state, post, state
from nmpsim.errors import InternalError, LimitReached
from tests.unit.dram.bench import DramUnderTest
from tests.unit.dram.chips import SMALL, SMALL_TIERS, latency_table

TABLE = latency_table(*SMALL_TIERS)


def test_every_reason_code_has_a_name():
    assert [getattr(state, name.upper()) for name in REASONS] == list(range(len(REASONS)))


def test_a_full_run_queue_refuses_another_run():
    fresh = make_state(SMALL, 1)
    for _ in range(SMALL.run_queue):
        post(fresh, 0, 1, 1, rows=1, columns=1)
    with pytest.raises(InternalError, match="channel 0 bank 1: run queue is full with 2 runs"):
        post(fresh, 0, 1, 1, rows=1, columns=1)


def test_a_misspelt_field_of_a_run_is_refused():
    with pytest.raises(InternalError, match="not a field of RUN: colums"):
        post(make_state(SMALL, 1), 0, 0, 1, rows=1, colums=1)


def test_a_slot_used_again_keeps_nothing_of_the_run_before():
    fresh = make_state(SMALL._replace(run_queue=1), 1)
    post(fresh, 0, 0, 1, rows=3, columns=2, target=9, row_stride=2)
    fresh.queue[0, 0].taken = 1
    post(fresh, 0, 0, 5, rows=1, columns=1)
    run = fresh.run[0, 0, 0]
    assert (run.rows, run.columns, run.target, run.row_stride, run.ready_at) == (1, 1, 0, 1, 5)


def test_a_log_that_is_too_small_says_so():
    dut = DramUnderTest(SMALL, TABLE)
    small = make_state(SMALL, 1, log_capacity=3)
    dut.state = small
    dut.issue(columns=4)
    with pytest.raises(LimitReached, match="got 6 commands in one channel; allowed: 3; raise log_capacity"):
        dut.run_until(40).commands()


def test_without_a_log_nothing_is_logged():
    dut = DramUnderTest(SMALL, TABLE)
    dut.state = make_state(SMALL, 1)
    dut.issue(columns=4)
    dut.run_until(40)
    assert len(command_log(dut.state, 40)) == 0
    assert dut.state.channel[0].logged == 0


def test_the_log_is_sorted_and_cut_at_the_tick_asked_for():
    dut = DramUnderTest(SMALL, TABLE, plain=False)
    dut.issue(1, columns=2)
    dut.issue(0, columns=2, ready_at=1)
    dut.run_until(3)
    assert dut.state.channel[0].logged == 8  # ahead of time
    assert [(e.tick, e.bank) for e in command_log(dut.state, 3)] == [(0, 1), (1, 0)]
    assert [int(e.tick) for e in command_log(dut.state, 100)] == sorted(dut.state.log[0, :8].tick.tolist())
