"""Runs passes at PE level: operands in, results and a record of every cycle out.

Example
-------
>>> import numpy as np
>>> from nmpsim.core.pe import ArrayPass, run_passes
>>> from nmpsim.program.isa import CHAIN, OS
>>> from nmpsim.spec import load_chip, resolve
>>> core = resolve(load_chip("snake")).core._replace(strips=2, strip_rows=2, columns=4)
>>> a, b = np.arange(6).reshape(2, 3), np.arange(15).reshape(3, 5)
>>> run = run_passes(core, [ArrayPass(OS, 1, CHAIN, a, b)])
>>> bool((run.results[0] == a @ b).all()), run.cycles
(True, 14)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.core.pe.control import run_cycles
from nmpsim.core.pe.state import (
    CONTROL,
    DRAIN,
    FOLD,
    FOLDS,
    PASS_SHAPE,
    TRACE,
    ArrayState,
    Beats,
    Dimensions,
    make_edges,
    make_grid,
)
from nmpsim.core.state import QUEUE_EMPTY
from nmpsim.errors import LimitReached
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, WS
from nmpsim.spec.params import CoreParams

LIMIT = 2**20
"""Cycles after which a run is given up: its beats never come."""

PIECE = 4096
"""Cycles between two looks at whether it is over."""


@dataclass(frozen=True)
class ArrayPass:
    """A PASS of the array with its operands.

    Parameters
    ----------
    flow : int
        OS, WS or IS.
    group : int
        Strips per group.
    split : int
        CHAIN, SPLIT_K or SPLIT_N.
    a : ndarray of int, shape (m, k)
        Values of INT8; m <= rows of a group in OS and IS.
    b : ndarray of int, shape (k, n)
        Values of INT8.
    """

    flow: int
    group: int
    split: int
    a: NDArray[np.integer[Any]]
    b: NDArray[np.integer[Any]]

    @property
    def tile(self) -> Tile:
        """The B operand as the strips see it."""
        k, n = self.b.shape
        contiguous = K_CONTIGUOUS if self.flow == IS else N_CONTIGUOUS
        return Tile(self.flow, self.group, self.split, contiguous, n, k, 0, ((0, n),))


@dataclass(frozen=True)
class ArrayRun:
    """What a run at PE level showed.

    Parameters
    ----------
    cycles : int
        The cycle in which the last pass was complete.
    trace : ndarray of TRACE, shape (cycles + 1,)
        One record per cycle.
    taken : ndarray of int64, shape (cycles + 1, strip)
        Beats taken by each strip up to the end of each cycle.
    results : tuple of ndarray of int64, shape (m, n) each
        Sums of INT32; planes of fission-K added.
    """

    cycles: int
    trace: Any
    taken: NDArray[np.int64]
    results: tuple[NDArray[np.int64], ...]


def beats_for(job: ArrayPass, core: CoreParams, strip: int) -> NDArray[np.int64]:
    """Return the beats of a pass for one strip, in the order of delivery.

    Parameters
    ----------
    job : ArrayPass
    core : CoreParams
    strip : int

    Returns
    -------
    ndarray of int64, shape (beats, columns)
        Padded with zeros.
    """
    lines = job.b.T if job.flow == IS else job.b
    padded = np.zeros((lines.shape[0], -(-lines.shape[1] // core.columns) * core.columns), np.int64)
    padded[:, : lines.shape[1]] = lines
    blocks = padded.reshape(lines.shape[0], -1, core.columns)
    index, block = beats_of(job.tile, core, strip).T
    beats: NDArray[np.int64] = blocks[index, block]
    return beats


def shape_of(job: ArrayPass, core: CoreParams) -> dict[str, int]:
    """Return folds, steps and edge cycles of a pass, from the table of docs/timing-model.md.

    Parameters
    ----------
    job : ArrayPass
    core : CoreParams

    Returns
    -------
    dict of str to int
        Fields of PASS_SHAPE but for places and times.
    """
    (m, k), n = job.a.shape, job.b.shape[1]
    groups, port = core.strips // job.group, core.buffer_banks * core.bank_bytes
    by_k, by_n = job.split == SPLIT_K, job.split == SPLIT_N
    n_blocks, k_blocks = -(-n // core.columns), -(-k // core.columns)
    width = (groups if by_k else min(groups, n_blocks)) * 4 * core.columns
    shape = {"flow": job.flow, "group": job.group, "split": job.split, "m": m, "n": n, "k": k, "row_cycles": 1}
    if job.flow == OS:
        outers, inners = n_blocks if by_k else -(-n_blocks // groups), 1
        steps = -(-k // groups) if by_k else k
        pace = -(-2 * m * (groups if by_k else 1) // port)
        shape["row_cycles"] = -(-width // port)
    elif job.flow == IS:
        outers, inners = 1, k_blocks if by_n else -(-k_blocks // groups)
        steps = -(-n // groups) if by_n else n
        steps = max(steps, m) if inners > 1 else steps
        pace = -(-4 * m * (1 if job.split == CHAIN else groups) // port)
    else:
        rows = job.group * core.strip_rows
        outers = n_blocks if by_k else -(-n_blocks // groups)
        inners = -(-(-(-k // groups) if by_k else k) // rows)
        steps = m
        reads = 2 * rows * (groups if by_k else 1) + (width if inners > 1 else 0)
        pace = max(-(-reads // port), -(-width // port))
    return shape | {"outers": outers, "inners": inners, "steps": steps, "pace": max(1, pace)}


def make_array(
    core: CoreParams, jobs: Sequence[ArrayPass], ready: Sequence[Sequence[int]] | None = None, first: int = 0
) -> tuple[ArrayState, Dimensions]:
    """Make an array at rest with its passes queued and its beats on their way.

    Parameters
    ----------
    core : CoreParams
        Of a systolic array.
    jobs : sequence of ArrayPass
    ready : sequence of sequence of int, by strip
        Cycle from which each beat may be taken, in order; default: all from the start.
    first : int
        Cycle in which the first pass may be taken; each later one may be one cycle later.

    Returns
    -------
    tuple of ArrayState, Dimensions
    """
    rows = core.strips * core.strip_rows
    groups = max(core.strips // job.group for job in jobs)
    fewest = min(job.a.shape[0] for job in jobs)
    operands = (rows + groups * core.columns) // fewest + 3 if any(job.flow == WS for job in jobs) else 1
    passes = PASS_SHAPE.zeros(len(jobs))
    a_at = c_at = 0
    for index, job in enumerate(jobs):
        shape = shape_of(job, core) | {"a_at": a_at, "c_at": c_at, "first_at": first + index}
        for field, count in shape.items():
            passes[field][index] = count
        a_at += job.a.size
        planes = core.strips // job.group if job.split == SPLIT_K else 1
        c_at += planes * job.a.shape[0] * job.b.shape[1]
    queues = [np.concatenate([beats_for(job, core, s) for job in jobs]) for s in range(core.strips)]
    lengths = np.array([len(queue) for queue in queues], np.int64)
    ends = np.cumsum(lengths)
    begins = ends - lengths
    value = np.concatenate(queues)
    stamps = np.zeros(len(value), np.int64)
    for s, cycles in enumerate(ready or ()):
        stamps[begins[s] : ends[s]] = list(cycles)[: len(queues[s])]
    control = CONTROL.zeros(1)
    for field in ("instruction", "flow", "stream_pass"):
        control[field] = -1
    control.reason = QUEUE_EMPTY
    state = ArrayState(
        grid=make_grid(rows, core.columns, core.pe_latency),
        edges=make_edges(rows, groups, core.columns, operands),
        beats=Beats(value, begins, ends, stamps),
        head=begins.copy(),
        control=control,
        passes=passes,
        fold=FOLD.zeros(FOLDS),
        drain=DRAIN.zeros(max(rows, groups * core.columns)),
        operand_a=np.concatenate([np.asarray(job.a, np.int64).ravel() for job in jobs]),
        result=np.zeros(c_at, np.int64),
    )
    sizes = Dimensions(core.strips, core.strip_rows, core.columns, core.pe_latency, core.fold_sets, core.reconfigure)
    return state, sizes


def wrap(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sums as INT32 holds them: two's complement, wrapped round.

    Parameters
    ----------
    sums : ndarray of int64
    """
    return sums.astype(np.int32).astype(np.int64)


def results_of(jobs: Sequence[ArrayPass], core: CoreParams, state: ArrayState) -> tuple[NDArray[np.int64], ...]:
    """Return the result of each pass; planes of fission-K added.

    Parameters
    ----------
    jobs : sequence of ArrayPass
    core : CoreParams
    state : ArrayState
        After the run.
    """
    results = []
    for index, job in enumerate(jobs):
        planes = core.strips // job.group if job.split == SPLIT_K else 1
        shape = (planes, job.a.shape[0], job.b.shape[1])
        at = int(state.passes.c_at[index])
        results.append(wrap(state.result[at : at + int(np.prod(shape))].reshape(shape).sum(axis=0)))
    return tuple(results)


def run_passes(
    core: CoreParams,
    jobs: Sequence[ArrayPass],
    ready: Sequence[Sequence[int]] | None = None,
    first: int = 0,
    limit: int = LIMIT,
) -> ArrayRun:
    """Run passes to their end, every register of every PE stepped in every cycle.

    Parameters
    ----------
    core : CoreParams
        Of a systolic array.
    jobs : sequence of ArrayPass
    ready : sequence of sequence of int, by strip
        Cycle from which each beat may be taken, in order; default: all from the start.
    first : int
        Cycle in which the first pass may be taken; each later one may be one cycle later.
    limit : int
        Most cycles.

    Raises
    ------
    LimitReached
        If the passes are not complete within `limit` cycles.
    """
    state, sizes = make_array(core, jobs, ready, first)
    traces, heads, cycles = [], [], 0
    while cycles < limit and state.control.done[0] < len(jobs):
        trace, head = TRACE.zeros(PIECE), np.zeros((PIECE, core.strips), np.int64)
        done = run_cycles(state, sizes, trace, head)
        traces.append(trace[:done])
        heads.append(head[:done])
        cycles += done
    if state.control.done[0] < len(jobs):
        raise LimitReached(f"{len(jobs) - int(state.control.done[0])} passes are not complete after {cycles} cycles")
    return ArrayRun(
        cycles - 1, np.concatenate(traces).view(np.recarray), np.concatenate(heads), results_of(jobs, core, state)
    )
