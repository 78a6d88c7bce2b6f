"""Random traffic on random small channels: both modes, any visiting order, any settling, every lane, the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.dram.check.native import check_native
from nmpsim.dram.native import REASONS
from nmpsim.dram.native.state import COUNTER
from nmpsim.kernel import LANE, LANES
from tests.unit.dram.bench import TrafficBench, digest, random_traffic

SWEEP = range(40)


def assert_sound(bench: TrafficBench) -> None:
    """The checker finds nothing, and beats are those of the runs, once and in order."""
    traffic = bench.traffic
    until = -(-traffic.end // traffic.period)
    arguments = (traffic.params, traffic.latency, traffic.period)
    assert check_native(bench.log().tolist(), *arguments, channels=traffic.channels, until=until) == []
    for c, b in traffic.runs:
        eaten = [beat for beat in sorted(bench.beats) if beat[1:3] == (c, b)]
        assert [number for _, _, _, number, *_ in eaten] == list(range(len(eaten)))
        assert [(target, token) for *_, target, token in eaten] == bench.expected_beats(c, b)[: len(eaten)]
        stamps = [ready_at for _, _, _, _, ready_at, *_ in eaten]
        assert all(later > earlier for earlier, later in pairwise(stamps))
        counter = bench.state.counter[c, b]
        assert counter.beats == counter.RD + counter.WR


def assert_same(traffic, settle_every: int = 0) -> TrafficBench:
    """Plain mode and three ways to skip are seen as one; return the plain run."""
    plain = TrafficBench(traffic, plain=True, settle_every=settle_every).run()
    seen = plain.seen()
    for ways in ({}, {"eager": True}, {"reverse": True}):
        skipped = TrafficBench(traffic, settle_every=settle_every, **ways).run().seen()
        for name, value in seen.items():
            assert skipped[name] == value, (name, ways)
    assert TrafficBench(traffic, plain=True, reverse=True, settle_every=settle_every).run().seen() == seen
    return plain


def test_plain_and_skip_agree_and_every_reason_and_command_is_met_over_the_sweep():
    reasons = np.zeros(len(REASONS), np.int64)
    commands = np.zeros(len(COUNTER.fields), np.int64)
    finished_writes = 0
    for seed in SWEEP:
        bench = assert_same(random_traffic(seed), settle_every=29)
        assert_sound(bench)
        reasons += bench.state.stall.sum(axis=(0, 1))
        commands += np.array(bench.state.counter.tolist()).sum(axis=(0, 1))
        finished_writes += len(bench.written)
    never = [name for name, cycles in zip(REASONS, reasons, strict=True) if cycles == 0]
    assert not never
    assert commands.all()
    assert finished_writes


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(1000, 2**32), end=st.integers(1, 400), settle_every=st.integers(0, 50))
def test_plain_and_skip_agree_wherever_the_run_is_cut(seed, end, settle_every):
    assert_sound(assert_same(random_traffic(seed, end=end), settle_every))


@pytest.mark.parametrize("seed", range(6))
def test_everything_posted_is_delivered_in_the_end(seed):
    traffic = replace(random_traffic(seed, end=60), end=9000)
    bench = TrafficBench(traffic).run()
    assert_sound(bench)
    for c, b in traffic.runs:
        assert bench.posted[c, b] == len(traffic.runs[c, b])
        assert bench.eaten[c, b] == len(bench.expected_beats(c, b))
        queue, fifo, write_fifo = (part[c, b] for part in (bench.state.queue, bench.state.fifo, bench.state.write_fifo))
        assert queue.taken == queue.posted
        assert fifo.head == fifo.filled == fifo.reserved
        assert write_fifo.head == write_fifo.filled == write_fifo.reserved
        rows = sum(fields["rows"] for _, _, fields in traffic.runs[c, b])
        counter, bank = bench.state.counter[c, b], bench.state.bank[c, b]
        assert counter.ACT + counter.hits == rows
        assert counter.PRE + bank.is_open == counter.ACT  # an open page may stay open
    assert not bench.open_tokens
    assert (bench.state.token["left"] == 0).all()


def test_skipping_visits_the_channels_less_often():
    traffic = [random_traffic(seed) for seed in SWEEP]
    visits = [sum(TrafficBench(t, plain=plain).run().visits for t in traffic) for plain in (False, True)]
    assert visits[0] < visits[1] / 2


@pytest.mark.parametrize("lane", [lane for lane in LANES if lane != LANE])
def test_every_lane_gives_the_same_run(lane):
    seeds = ["0", "1", "2", "3", "4", "5"]
    environment = {**os.environ, "NMPSIM_LANE": lane}
    environment.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-m", "tests.unit.dram.bench", *seeds]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == digest(int(seed) for seed in seeds)
