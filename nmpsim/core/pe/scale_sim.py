"""The compatibility timing ``scale_sim``: one fixed array, fold after fold, nothing overlaps.

The timing that SCALE-Sim 3.0.0 reports, stepped twice: at PE level with values, and as a wavefront of counters.
It is no machine that we propose; docs/core/array.md names each difference from the native timing.

* A fold fills all R x C places, used or not, and begins when the last PE has done its last product of the fold before.
* OS: PE(i, j) works on step s in cycle s + i + j of the fold; results leave for nothing (no drain).
* WS, IS: the stationary operand is shifted in from the top, a row a cycle, in R cycles, while nothing streams; then
  PE(i, j) works on step s in cycle R + s + i + j of the fold.
* Operands are always there; no register stands between an edge and the first PE.
* The total is the number of the last cycle, counted from 0: one less than the cycles that pass.

WS keeps B (rows k, columns n) and streams the rows of A; IS keeps the transpose of A (rows k, columns m) and streams
the columns of B.

First cycles of a WS fold on 2 x 2 (M = 2; x.s = PE(i, j) works on step s)::

    cycle      0     1     2     3     4     5
    load      row 1 row 0
    PE(0, 0)               x.0   x.1
    PE(0, 1), PE(1, 0)           x.0   x.1
    PE(1, 1)                           x.0   x.1

Source: SCALE-Sim v3, arXiv 2504.15377, and the program's 3.0.0; that drain and last cycle are missing is known there
(scalesim-project/scale-sim-v3 issue 4, scalesim-project/SCALE-Sim issue 125).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.core.pe.grid import accumulate, add, multiply_stationary, multiply_streams, pass_on
from nmpsim.core.pe.state import ACTIVE, FIRST, LAST, P_VALID, VALID, VALUE_SHIFT, Grid, make_grid
from nmpsim.kernel import array_kernel, inlined
from nmpsim.program.isa import IS, OS, WS


class Counts(NamedTuple):
    """What a run counted; every array has one place."""

    cycles: NDArray[np.int64]  # cycles that passed
    macs: NDArray[np.int64]  # products of two operands
    mapped: NDArray[np.int64]  # PEs with work, summed over folds
    folds: NDArray[np.int64]  # folds


@dataclass(frozen=True)
class FixedRun:
    """What a run in the timing ``scale_sim`` yields.

    Parameters
    ----------
    total : int
        Number of the last cycle, counted from 0.
    macs : int
        Products of two operands.
    mapped, folds : int
        PEs with work, summed over folds; and folds.
    result : ndarray of int64, shape (M, N), or None
        Sums of INT32; None from the wavefront, which has no values.
    """

    total: int
    macs: int
    mapped: int
    folds: int
    result: NDArray[np.int64] | None = None


@inlined
def count_marks(marks):
    """Return (active PEs, active PEs at the first step of their fold) of a row."""
    active, fresh = 0, 0
    for j in range(len(marks)):
        bit = (marks[j] & ACTIVE) // ACTIVE
        active += bit
        fresh += bit & ((marks[j] & FIRST) >> 1)
    return active, fresh


@inlined
def fold_word(i, step, steps, used):
    """Return the tags of row `i` in step `step`; 0 outside the fold."""
    if step < 0 or step >= steps:
        return 0
    return (FIRST if step == 0 else 0) | (LAST if step == steps - 1 else 0) | (VALID if i < used else 0)


@inlined
def step_output(grid, stream, weights, wire, cycle, row0, column0, counts):
    """Do one cycle of an OS fold; return whether it is over (changes `grid`, `wire`, `counts`)."""
    rows, columns = grid.stay.shape
    steps = stream.shape[1]
    now, then = cycle & 1, 1 - (cycle & 1)
    for j in range(columns):
        inside = 0 <= cycle - j < steps and column0 + j < weights.shape[1]
        wire[j] = np.int64(weights[cycle - j, column0 + j]) << 1 | VALID if inside else 0
    for i in range(rows):
        word = fold_word(i, cycle - i, steps, stream.shape[0] - row0)
        if word & VALID:
            word |= np.int64(stream[row0 + i, cycle - i]) << VALUE_SHIFT
        grid.a[now, i, 0] = word
        top = wire if i == 0 else grid.b[now, i - 1]
        left = grid.a[now, i]
        multiply_streams(left, top, grid.product[0, i], grid.product_mark[0, i])
        active, fresh = count_marks(grid.product_mark[0, i])
        accumulate(grid.product[0, i], grid.product_mark[0, i], grid.acc[0, i], 0)
        pass_on(left[:-1], grid.a[then, i, 1:])
        pass_on(top, grid.b[then, i])
        counts.macs[0] += active
        counts.mapped[0] += fresh
    counts.cycles[0] += 1
    return (grid.product_mark[0, -1, -1] & LAST) != 0


@inlined
def shift_in(grid, weights, cycle, row0, column0):
    """Shift the stationary operand down by one row; row R - 1 - cycle of it enters (changes `grid`)."""
    rows, columns = grid.stay.shape
    for back in range(rows - 1):
        pass_on(grid.stay[rows - 2 - back], grid.stay[rows - 1 - back])
    k = row0 + rows - 1 - cycle
    for j in range(columns):
        inside = k < weights.shape[0] and column0 + j < weights.shape[1]
        grid.stay[0, j] = np.int64(weights[k, column0 + j]) << 1 | VALID if inside else 0


@inlined
def step_stationary(grid, stream, weights, wire, zero, cycle, row0, column0, result, counts):
    """Do one streaming cycle of a WS or IS fold; return whether it is over (changes all but `stream`, `weights`)."""
    rows, columns = grid.stay.shape
    steps = stream.shape[0]
    now, then = cycle & 1, 1 - (cycle & 1)
    for j in range(columns):
        wire[j] = VALID if 0 <= cycle - j < steps and column0 + j < weights.shape[1] else 0
    for i in range(rows):
        word = fold_word(i, cycle - i, steps, stream.shape[1] - row0)
        if word & VALID:
            word |= np.int64(stream[cycle - i, row0 + i]) << VALUE_SHIFT
        grid.a[now, i, 0] = word
        top = wire if i == 0 else grid.b[now, i - 1]
        come = zero if i == 0 else grid.psum[now, i - 1, 1:]
        left = grid.a[now, i]
        multiply_stationary(left, top, grid.stay[i], grid.product[0, i], grid.product_mark[0, i], 1)
        active, fresh = count_marks(grid.product_mark[0, i])
        add(grid.product[0, i], come, grid.psum[then, i, 1:])
        pass_on(left[:-1], grid.a[then, i, 1:])
        pass_on(top, grid.b[then, i])
        counts.macs[0] += active
        counts.mapped[0] += fresh
    for j in range(columns):
        if grid.product_mark[0, -1, j] & P_VALID:
            result[cycle - (rows - 1) - j, column0 + j] += grid.psum[then, -1, 1 + j]
    counts.cycles[0] += 1
    return (grid.product_mark[0, -1, -1] & LAST) != 0


@inlined
def clear_wires(grid):
    """Leave nothing of the last fold on the moving registers (changes `grid`)."""
    for i in range(len(grid.stay)):
        for j in range(grid.a.shape[2]):
            grid.a[0, i, j] = 0
        for j in range(grid.b.shape[2]):
            grid.b[0, i, j] = 0


@array_kernel
def run_output(grid, stream, weights, wire, result, counts):
    """Run all folds of an OS product, every PE stepped (changes `grid`, `wire`, `result`, `counts`).

    Parameters
    ----------
    grid : Grid
    stream, weights : ndarray of int8, shapes (M, K) and (K, N)
    wire : ndarray of int64, shape (columns,)
    result : ndarray of int64, shape (M, N)
    counts : Counts
    """
    rows, columns = grid.stay.shape
    for row0 in range(0, stream.shape[0], rows):
        for column0 in range(0, weights.shape[1], columns):
            clear_wires(grid)
            cycle = 0
            while not step_output(grid, stream, weights, wire, cycle, row0, column0, counts):
                cycle += 1
            counts.folds[0] += 1
            for i in range(min(rows, stream.shape[0] - row0)):
                for j in range(min(columns, weights.shape[1] - column0)):
                    result[row0 + i, column0 + j] = grid.acc[0, i, j]


@array_kernel
def run_stationary(grid, stream, weights, wire, zero, result, counts):
    """Run all folds of a product with stationary `weights`, every PE stepped (changes all but `stream`, `weights`).

    Parameters
    ----------
    grid : Grid
    stream, weights : ndarray of int8, shapes (steps, K) and (K, wide)
    wire, zero : ndarray of int64, shape (columns,)
        What enters the first row: valid bits, and the sum +0.
    result : ndarray of int64, shape (steps, wide)
    counts : Counts
    """
    rows, columns = grid.stay.shape
    for column0 in range(0, weights.shape[1], columns):
        for row0 in range(0, weights.shape[0], rows):
            clear_wires(grid)
            for cycle in range(rows):
                shift_in(grid, weights, cycle, row0, column0)
                counts.cycles[0] += 1
            cycle = 0
            while not step_stationary(grid, stream, weights, wire, zero, cycle, row0, column0, result, counts):
                cycle += 1
            counts.folds[0] += 1


@array_kernel
def count_waves(rows, columns, stationary, steps, extent_rows, extent_columns, counts):
    """Run all folds as counters: rows loaded, steps entered, diagonals that the last step has crossed.

    Parameters
    ----------
    rows, columns : int
        Of the array.
    stationary : int
        1 if an operand is shifted in before each fold.
    steps : int
        Steps of a fold.
    extent_rows, extent_columns : int
        Of the product, along rows and columns of the array.
    counts : Counts
        Changed.
    """
    row0 = 0
    while row0 < extent_rows:
        column0 = 0
        while column0 < extent_columns:
            used = min(rows, extent_rows - row0) * min(columns, extent_columns - column0)
            loaded = 0 if stationary == 1 else rows
            entered, diagonal = 0, 0
            over = False
            while not over:
                if loaded < rows:
                    loaded += 1
                elif entered < steps:
                    entered += 1
                    counts.macs[0] += used
                    over = entered == steps and rows + columns == 2
                else:
                    diagonal += 1
                    over = diagonal == rows + columns - 2
                counts.cycles[0] += 1
            counts.folds[0] += 1
            counts.mapped[0] += used
            column0 += columns
        row0 += rows


def make_counts() -> Counts:
    """Make counters, all 0."""
    return Counts(*(np.zeros(1, np.int64) for _ in Counts._fields))


def _finished(counts: Counts, result: NDArray[np.int64] | None) -> FixedRun:
    """Return what was counted; the total is the number of the last cycle."""
    cycles, macs, mapped, folds = (int(place[0]) for place in counts)
    return FixedRun(cycles - 1, macs, mapped, folds, result)


def run_pe_level(rows: int, columns: int, flow: int, a: NDArray[np.int8], b: NDArray[np.int8]) -> FixedRun:
    """Run a product with every register of every PE stepped in every cycle.

    Parameters
    ----------
    rows, columns : int
        Of the array.
    flow : int
        OS, WS or IS.
    a, b : ndarray of int8, shapes (M, K) and (K, N)
        Operands.
    """
    grid: Grid = make_grid(rows, columns, 0)
    counts, wire = make_counts(), np.zeros((2, columns), np.int64)
    if flow == IS:
        a, b = b.T, a.T
    stream, weights = np.ascontiguousarray(a), np.ascontiguousarray(b)
    result = np.zeros((stream.shape[0], weights.shape[1]), np.int64)
    if flow == OS:
        run_output(grid, stream, weights, wire[0], result, counts)
    else:
        run_stationary(grid, stream, weights, wire[0], wire[1], result, counts)
    sums = result.astype(np.int32).astype(np.int64)
    return _finished(counts, sums.T if flow == IS else sums)


def run_wavefront(rows: int, columns: int, flow: int, m: int, n: int, k: int) -> FixedRun:
    """Run a product as a wavefront of counters, cycle by cycle.

    Parameters
    ----------
    rows, columns : int
        Of the array.
    flow : int
        OS, WS or IS.
    m, n, k : int
        Extents of the product.
    """
    steps, extent_rows, extent_columns = {OS: (k, m, n), WS: (m, k, n), IS: (n, k, m)}[flow]
    counts = make_counts()
    count_waves(rows, columns, 0 if flow == OS else 1, steps, extent_rows, extent_columns, counts)
    return _finished(counts, None)
