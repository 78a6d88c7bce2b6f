"""A sweep of random programs and decode steps, each made and run once, and what all sweeps must show."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from nmpsim.machine.simulate import Simulation
from tests.property.outcome import differences, observed, run
from tests.property.strategies import Dice, random_job, random_program


class Sweep:
    """Programs and decode steps by seed, and their runs in skip mode.

    Parameters
    ----------
    programs, jobs : range
        Seeds.
    **drawn
        As for `random_program` and `random_job`.
    """

    def __init__(self, programs: range, jobs: range, **drawn: Any) -> None:
        self.programs, self.jobs, self.drawn = programs, jobs, drawn
        self.program = cache(self.new_program)
        self.job = cache(self._job)
        self.ran_program = cache(lambda seed: run(*self.program(seed)[:2]))
        self.ran_job = cache(lambda seed: run(self.job(seed).params, self.job(seed).program))

    def new_program(self, seed: int) -> tuple[Any, Any, Any]:
        """(params, program, what was written) of a random program, which is not kept."""
        return random_program(Dice(seed), **self.drawn)

    def _job(self, seed: int) -> Any:
        """A random decode step; the next draw if this one does not fit together."""
        return random_job(Dice(seed), **self.drawn) or self._job(seed + 10_000)

    def runs(self) -> Iterator[Simulation]:
        """Every run of the sweep."""
        yield from map(self.ran_program, self.programs)
        yield from map(self.ran_job, self.jobs)

    def assert_modes_agree(self) -> None:
        """Plain mode gives what skip mode gave."""
        for seed in self.programs:
            assert_plain_agrees(self.ran_program(seed), seed)
        for seed in self.jobs:
            assert_plain_agrees(self.ran_job(seed), seed)


def assert_plain_agrees(skipped: Simulation, seed: int = 0) -> None:
    """Plain mode gives what a run in skip mode gave."""
    plain = run(skipped.params, skipped.program, plain=True)
    assert not differences(observed(plain), observed(skipped)), seed


def backwards(simulation: Simulation) -> np.ndarray:
    """The order of visits from the last core to the first."""
    return np.arange(simulation.params.cores, dtype=np.int64)[::-1].copy()
