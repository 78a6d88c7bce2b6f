"""Cases of one array joined to one recording: the array is built once and never reset in between."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyrtl

from rtl_models.core.array import array
from tests.cosim.array_cases import EXTENT_BITS, ArrayCase, Build
from tests.cosim.array_coverage import ArrayCoverage
from tests.cosim.array_expected import Expected, float_of
from tests.cosim.array_kernel import KernelArray
from tests.cosim.replay import PyrtlRun, Replay


@dataclass
class ArrayReplay:
    """All cases of a build, one after the other.

    Parameters
    ----------
    build : Build
    cases : list of ArrayCase
    replay : Replay
        Their cycles joined.
    expected : list of Expected
        By case.
    starts : list of int
        First cycle of each case.
    """

    build: Build
    cases: list[ArrayCase]
    replay: Replay
    expected: list[Expected]
    starts: list[int]

    def where(self, cycle: int) -> str:
        """Which case a cycle belongs to, for a message."""
        index = int(np.searchsorted(self.starts, cycle, side="right")) - 1
        case = self.cases[index]
        passes = [(one.flow, one.group, one.split, *one.shape) for one in case.passes]
        return f"cycle {cycle - self.starts[index]} of seed {case.seed}, (flow, group, split, m, n, k) {passes}"

    def difference(self) -> str:
        """Run all of it in PyRTL; return where it differs first, empty if nowhere."""
        cycle, text = first_difference(self.replay.block, self.replay)
        return f"{text} ({self.where(cycle)})" if text else ""


def first_difference(block: pyrtl.Block, replay: Replay) -> tuple[int, str]:
    """Run a recording on any block with the ports of the recorded one, a changed one for instance.

    Parameters
    ----------
    block : pyrtl.Block
        It is not changed.
    replay : Replay

    Returns
    -------
    (int, str)
        First cycle in which an output differs, and which ones do; (-1, "") if none does.
    """
    run = PyrtlRun(Replay(replay.name, block, replay.inputs, replay.outputs))
    step, inspect = run.simulation.step, run.simulation.inspect
    for cycle, (inputs, expected) in enumerate(zip(replay.inputs, replay.outputs, strict=True)):
        step({name: inputs[name] & mask for name, mask in run.masks.items()})
        if text := run.difference(cycle, {name: inspect(name) for name in expected}):
            return cycle, text
    return -1, ""


def join(build: Build, cases: list[ArrayCase]) -> ArrayReplay:
    """Record the cases in the kernel, one after the other, and make the array."""
    configuration, folds = (-1, 1, 0), 0
    inputs, outputs, expecteds, starts = [], [], [], []
    for case in cases:
        trace = KernelArray(case, configuration).record()
        configuration = trace.configuration
        expected = Expected(trace)
        starts.append(len(inputs))
        inputs += [expected.inputs(cycle) for cycle in range(expected.cycles)]
        outputs += [expected.outputs(cycle, folds) for cycle in range(expected.cycles)]
        folds += expected.os_folds
        expecteds.append(expected)
    for before, after in pairwise(outputs):
        after["fresh"] = before["move"]
    block = array(build.core, build.precision, EXTENT_BITS)
    return ArrayReplay(build, cases, Replay(build.name, block, inputs, outputs), expecteds, starts)


def cover(replays: list[ArrayReplay]) -> ArrayCoverage:
    """Count what the cases reach."""
    coverage = ArrayCoverage()
    for joined in replays:
        for expected in joined.expected:
            coverage.add(expected)
    return coverage


def check_results(expected: Expected) -> int:
    """Compare what leaves the array with NumPy's product; return the number of elements compared.

    INT8 must be exact.  FP16 has a bound: every sum of n terms in any order is within n units of 2**-24 of the sum of
    their magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2); the terms are exact.

    Raises
    ------
    AssertionError
        If an element differs, leaves twice, or does not leave.
    """
    compared = 0
    for number, one in enumerate(expected.case.passes):
        got = expected.results(number)
        if one.a.dtype == np.int8:
            assert (got == one.a.astype(np.int64) @ one.b.astype(np.int64)).all()
            compared += got.size
            continue
        a, b = float_of(one.a).astype(np.float64), float_of(one.b).astype(np.float64)
        with np.errstate(all="ignore"):
            exact, size = a @ b, np.abs(a) @ np.abs(b)
            wrong = np.abs(got.astype(np.float64) - exact)
        finite = np.isfinite(size)  # what holds no infinity and no NaN
        bound = (one.shape[2] + 1) * 2.0**-24 * size
        assert (wrong[finite] <= bound[finite]).all()
        compared += int(finite.sum())
    return compared
