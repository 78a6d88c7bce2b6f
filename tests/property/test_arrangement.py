"""The whole die with separate buffers, on random programs and decode steps: the same laws as unified."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmpsim.core.state import REASONS
from nmpsim.machine.simulate import Simulation
from nmpsim.program.isa import COPY_IN, COPY_OUT, CROSS
from tests.builders import SNAKE, STRATUM
from tests.property.outcome import Work, differences, observed, run, unit_reasons
from tests.property.strategies import drawn_by, random_job, random_program
from tests.property.sweep import Sweep, assert_plain_agrees, backwards
from tests.property.test_machine import REACHABLE, assert_checked, assert_intervals_are_the_accounts, assert_sound

SWEEP = Sweep(range(60), range(16), separate=True)


def assert_copied(simulation: Simulation) -> None:
    """What the engines have copied is what the program asks for."""
    work, counts = Work(simulation.params, simulation.program), simulation.counts()
    assert counts["copied_in_bytes"] + counts["copied_out_bytes"] == work.copied_bytes
    for name, unit in (("copied_in_bytes", COPY_IN), ("copied_out_bytes", COPY_OUT)):
        mine = work.all[work.all["unit"] == unit]
        assert counts[name] == (mine["m"] * mine["bytes"] * mine["planes"]).sum()
    assert counts["copies"] == (work.all["op"] == CROSS).sum()
    core, cycles = simulation.params.core, simulation.end // simulation.params.core_period
    most = max(counts["copied_in_bytes"], counts["copied_out_bytes"])
    assert cycles * core.copy_bytes * simulation.params.cores >= most


def test_plain_mode_and_skip_mode_agree():
    SWEEP.assert_modes_agree()


def test_work_is_conserved_copies_too_and_no_bound_is_beaten():
    for simulation in SWEEP.runs():
        assert_sound(simulation)
        assert_copied(simulation)
        assert_checked(simulation)
        assert_intervals_are_the_accounts(simulation)


def test_a_random_program_copies_what_was_written():
    for seed in SWEEP.programs:
        _, _, written = SWEEP.program(seed)
        counts = SWEEP.ran_program(seed).counts()
        assert counts["copied_in_bytes"] + counts["copied_out_bytes"] == written.copied_bytes
        assert counts["macs"] == written.macs


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_visits_has_no_influence(seed):
    params, program, _ = SWEEP.program(seed)
    first = SWEEP.ran_program(seed)
    for plain in (False, True):
        assert not differences(observed(first), observed(run(params, program, order=backwards(first), plain=plain)))


def test_the_sweep_meets_every_reason_of_a_copy_engine_every_conflict_and_both_kinds_of_chip():
    met = dict.fromkeys(REASONS, 0)
    others: dict[str, set[str]] = {}
    total: dict[str, int] = {}
    for simulation in SWEEP.runs():
        ticks_of = simulation.die.cores.stall[:, COPY_IN : COPY_OUT + 1].sum(axis=(0, 1))
        for name, ticks in zip(REASONS, ticks_of, strict=True):
            met[name] += int(ticks)
        for kind, row in unit_reasons(simulation).items():
            others.setdefault(kind, set()).update(name for name, ticks in row.items() if ticks)
        for name, count in simulation.counts().items():
            total[name] = total.get(name, 0) + count
    assert {name for name, ticks in met.items() if ticks} == {"busy", "queue_empty", "wait_semaphore", "port_conflict"}
    assert all(others[kind] <= allowed for kind, allowed in REACHABLE.items())
    assert [name for name, count in total.items() if not count] == ["vector_port_conflicts"]  # it comes first now
    assert {simulation.params.name for simulation in SWEEP.runs()} == {SNAKE, STRATUM}


@settings(max_examples=25)
@given(st.data())
def test_any_program_runs_the_same_in_both_modes(data):
    params, program, written = random_program(drawn_by(data.draw), separate=True)
    skipped = run(params, program)
    assert_sound(skipped)
    assert_copied(skipped)
    assert skipped.counts()["macs"] == written.macs
    assert_plain_agrees(skipped)


@settings(max_examples=10)
@given(st.data())
def test_any_decode_step_runs_the_same_in_both_modes(data):
    job = random_job(drawn_by(data.draw), separate=True)
    assume(job is not None)
    skipped = run(job.params, job.program)
    assert_sound(skipped)
    assert_copied(skipped)
    assert_plain_agrees(skipped)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 4000, 1000))
def test_plain_mode_and_skip_mode_agree_on_thousands_of_programs(first):
    for seed in range(first, first + 1000):
        params, program, _ = SWEEP.new_program(seed)
        skipped = run(params, program)
        assert_copied(skipped)
        assert_plain_agrees(skipped, seed)
