"""The kernels that are mutated, and the comparisons that the wrong ones must fail; run in the interpreted lane.

Wavefront kernels: the traces of the co-simulation (array and MAC-tree slices), which the RTL shows too; the same passes
at PE level; and skip mode against plain mode.  PE-level kernels: the wavefront mode cycle by cycle, and NumPy's sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import pytest

from nmpsim.program.isa import IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, WS
from tests.cosim.array_cases import BUILDS, ArrayCase, Build, direct_cases, draw_few
from tests.cosim.array_kernel import KernelArray
from tests.cosim.mac_tree_kernel import Recording, SliceCase
from tests.cosim.test_mac_tree import CASES
from tests.cosim.test_mutants_found import (
    beats_taken_before,
    charges,
    clocked,
    placed_passes,
    ports_taken,
    short_passes,
    stamped_run,
    sums_at_edges,
)
from tests.property.strategies import Dice
from tests.unit.core.bench import CoreBench, product
from tests.unit.core.pe_bench import PassCase, fields_of_pe_level, fields_of_wavefront, random_case

SMALL = Build(4, 2, "int8")
SEEDS = (7, 8, 11, 44, 72, 1, 2, 0)
"""Of random passes: small ones first."""

UNIT_TESTS = {
    "wavefront": ("test_array.py", "test_units.py", "test_copier.py"),
    "PE level": ("test_pe_array.py", "test_pe_first_cycles.py"),
}
SLOW_TESTS = "not test_plain_and_skip_mode_agree and not fission-K-4 and not fission-N-4"
"""What leaves out the slowest in the interpreted lane."""


@dataclass
class Trial:
    """One comparison: what a run shows, and what it must show."""

    name: str
    run: Callable[[], Any]
    expected: Any = field(default=None)


@dataclass
class Kernels:
    """Modules that are mutated together, their share of the mutants, and what must stay the same."""

    name: str
    share: int  # percent
    modules: tuple[str, ...]
    trials: Callable[[], list[Trial]]


def array_trace(case: ArrayCase, configuration: tuple[int, int, int]):
    """Everything that the co-simulation takes from the kernel, and what it owes to counters."""
    one = KernelArray(case, configuration)
    trace = one.record()
    actor = one.bench.actor[0]
    return astuple(trace)[1:], int(actor.macs), int(actor.pops)


def array_trials() -> list[Trial]:
    """Traces of the array that the RTL replays."""
    cases = draw_few(SMALL, 8) + short_passes(BUILDS[0]) + direct_cases(BUILDS[0]) + direct_cases(BUILDS[1])
    return [Trial(f"array trace {n}", lambda case=case: array_trace(case, (-1, 1, 0))) for n, case in enumerate(cases)]


def slice_trace(case: SliceCase):
    """What a MAC-tree slice saw and did."""
    recording = Recording(case)
    actor = recording.bench.actor[case.index]
    return recording.inputs, recording.outputs, int(actor.macs), int(actor.pops)


def slice_trials() -> list[Trial]:
    """Traces of slices that the RTL replays."""
    return [Trial(f"slice trace {n}", lambda case=case: slice_trace(case)) for n, case in enumerate(CASES)]


def accounts(case: PassCase, *, plain: bool):
    """What a run of the core ends in: its last cycle, where all cycles went, and what was done."""
    passes = [
        product(
            one.flow, one.a.shape[0], one.b.shape[1], one.a.shape[1], group=one.group, split=one.split,
            contiguous=K_CONTIGUOUS if one.flow == IS else N_CONTIGUOUS,
        )
        for one in case.jobs
    ]  # fmt: skip
    bench = CoreBench(case.params, passes, case.ready, plain=plain)
    end = bench.run()
    cores, actor = bench.die.cores, bench.actor[0]
    return end, cores.stall.tolist(), cores.work.tolist(), int(actor.macs), int(actor.pops), int(actor.passes)


def ports_trace(case: ArrayCase):
    """Banks that the array takes."""
    trace, taken = ports_taken(case)
    return astuple(trace)[1:], taken


def wavefront_trials() -> list[Trial]:
    """Comparisons of the wavefront kernels."""
    slices = slice_trials()
    trials = array_trials() + slices[:2]
    trials += [Trial(f"ports {case.seed}", lambda case=case: ports_trace(case)) for case in placed_passes()]
    for kind, foreign in ((kind, foreign) for kind in range(4) for foreign in (1, 4)):
        trials.append(Trial(f"foreign beat {kind} {foreign}", lambda a=foreign, b=kind: beats_taken_before(a, b)))
    trials.append(Trial("charges", charges))
    for plain in (True, False):
        trials.append(Trial(f"clock {plain}", lambda plain=plain: clocked(7, plain=plain), clocked(1, plain=True)))
    for kind in range(4):
        seen = stamped_run(kind, plain=True)[0]
        trials.append(Trial(f"late stamps {kind}", lambda kind=kind: stamped_run(kind, plain=False)[0], seen))
    for seed in SEEDS:
        case = random_case(Dice(seed), seed)
        seen = fields_of_pe_level(case)[1]
        count = len(seen)
        trials.append(Trial(f"PE level {seed}", lambda c=case, n=count: fields_of_wavefront(c, n), seen))
        trials.append(Trial(f"skip mode {seed}", lambda c=case: accounts(c, plain=False), accounts(case, plain=True)))
    return trials + slices[2:]


def pe_run(case: PassCase):
    """Cycles, results and products of a run at PE level."""
    run, seen = fields_of_pe_level(case)
    return seen, [result.tolist() for result in run.results], int(run.trace.active.sum())


def pe_trials() -> list[Trial]:
    """Comparisons of the PE-level kernels; NumPy's sums and the wavefront's cycles are expected."""
    trials = []
    for seed in (*SEEDS, 4, 10, 12, 13, 14, 15, 21):
        case = random_case(Dice(seed), seed)
        cycles = fields_of_wavefront(case, len(fields_of_pe_level(case)[1]))
        sums = [np.asarray(one.a @ one.b, np.int64).tolist() for one in case.jobs]
        work = sum(one.a.size * one.b.shape[1] for one in case.jobs)
        trials.append(Trial(f"PE level {seed}", lambda case=case: pe_run(case), (cycles, sums, work)))
    return trials + [Trial(f"edges {flow}", lambda flow=flow: sums_at_edges(flow)) for flow in (OS, WS, IS)]


def unit_tests(names: Sequence[str]) -> str:
    """Run tests of tests/unit/core; return "" if they pass."""
    paths = [f"tests/unit/core/{name}" for name in names]
    quiet = ["-x", "-q", "--assert=plain", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
    code = pytest.main([*quiet, "-k", SLOW_TESTS, *paths])
    return "" if code == pytest.ExitCode.OK else "a unit test fails"


CORE = "nmpsim.core"
KERNELS = (
    Kernels(
        "wavefront",
        60,
        tuple(f"{CORE}.{name}" for name in ("array", "streaming", "stationary", "folds", "geometry")),
        wavefront_trials,
    ),
    Kernels(
        "PE level",
        40,
        tuple(f"{CORE}.pe.{name}" for name in ("control", "feed", "folds", "stationary", "grid")),
        pe_trials,
    ),
)
