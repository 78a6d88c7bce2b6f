"""The composition of the die: its end, its accounts, its limits, its reports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmpsim.errors import DeadlockError, LimitReached
from nmpsim.machine.clock import next_edge
from nmpsim.machine.explain import semaphore_name
from nmpsim.machine.simulate import Simulation
from nmpsim.program.isa import SEND_0, SEND_1, arrival, shared
from tests.builders import KINDS, SNAKE, small_job

edge = getattr(next_edge, "py_func", next_edge)


def test_the_next_edge_of_a_clock():
    assert [edge(at, 5) for at in (0, 1, 5, 6, 2**62)] == [0, 5, 5, 10, 2**62]


def test_names_of_semaphores():
    assert semaphore_name(SEND_0, 4) == "instructions completed by send_0"
    assert semaphore_name(SEND_1, 4) == "instructions completed by send_1"
    assert semaphore_name(arrival(3, 0), 4) == "messages from PU 3 by port 0"
    assert semaphore_name(arrival(2, 1), 4) == "messages from PU 2 by port 1"
    assert semaphore_name(shared(4, 1), 4) == "messages counted by shared semaphore 1 of 10"


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_is_the_cycle_of_the_last_completion_on_any_core(kind):
    job = small_job(kind)
    simulation = Simulation(job.params, job.program)
    simulation.run()
    assert simulation.end == simulation.die.cores.core["finished_at"].max()
    assert simulation.end % job.params.core_period == 0
    assert simulation.spans()[:, 1].max() == simulation.end // job.params.core_period
    assert simulation.counts()["instructions"] == sum(len(s) for s in job.program.streams)


def test_progress_is_told_after_every_slice_and_ends_with_all_instructions():
    job = small_job(SNAKE)
    seen: list[tuple[int, int, int]] = []
    Simulation(job.params, job.program).run(lambda *state: seen.append(state), slice_cycles=500)
    cycles, done, total = zip(*seen, strict=True)
    assert len(seen) > 2
    assert list(cycles) == sorted(cycles)
    assert list(done) == sorted(done)
    assert done[-1] == total[0] == sum(len(s) for s in job.program.streams)


def test_a_deadlock_before_the_limit_is_a_deadlock():
    job = small_job(SNAKE)
    stream = job.program.streams[0].copy()
    stream["wait0"][0], stream["count0"][0] = 0, 9
    program = replace(job.program, streams=(stream, *job.program.streams[1:]))
    with pytest.raises(DeadlockError, match="instructions completed by array: 0 of 9"):
        Simulation(job.params, program).run(limit_cycles=15_000)
    with pytest.raises(LimitReached, match="10 core cycles"):
        Simulation(job.params, program).run(limit_cycles=10)


def test_every_domain_is_settled_at_its_first_edge_after_the_end():
    job = small_job(SNAKE)
    assert job.params.core_period != job.params.dram_period
    simulation = Simulation(job.params, job.program)
    simulation.run()
    p, die = job.params, simulation.die
    core = (simulation.end // p.core_period + 1) * p.core_period
    assert simulation.until == core
    assert np.unique(die.cores.stall.sum(axis=2)).tolist() == [core]
    assert np.unique(die.channels.stall.sum(axis=2)).tolist() == [simulation.end // p.dram_period + 1]
    assert int(simulation.fabric.routers.totals[0].now) == simulation.end // p.noc_period + 1
