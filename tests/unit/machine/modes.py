"""A small decode step, run in both modes."""

from nmpsim.api import collect, prepare
from nmpsim.machine.simulate import Simulation
from tests.builders import small_chip, small_model


def run_both(way, kind, pus, *, moe=False, stacks=None, **settings):
    """A small step, run in both modes, which must agree; the observed run, its counts, stalls and network."""
    chip = small_chip(kind, pus, noc__collectives=way, **settings)
    job = prepare(small_model(moe=moe), chip, batch=2, context=21, layers=1, stacks=stacks)
    runs = []
    for plain in (False, True):
        simulation = Simulation(job.params, job.program, plain=plain)
        simulation.run(limit_cycles=100_000)
        runs.append((simulation.end, simulation.counts(), simulation.stalls(), simulation.network()))
    assert runs[0] == runs[1]
    return collect(job, simulation, "plain"), *runs[0][1:]
