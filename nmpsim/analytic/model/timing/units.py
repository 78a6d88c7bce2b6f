"""Time of every unit of a chip by closed form; core cycles.  All arguments may be arrays that broadcast.

    array     passes of the four dataflows: what one takes in a row of them, and how long its results lag behind
    stream    rows of the fullest bank, one per max(tRC, columns x nCCD), less what refresh takes
    vector    issue slots of each element loop, times its interval, behind the pipeline
    network   flits at a cycle each, and the way: crossings, routers, links

Written from docs/timing-model.md, sharing no code with the cycle model.  A chip is whatever has the fields of
`MachineParams`; arrays in their place are many chips at once (`nmpsim.analytic.model.bulk`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE
from nmpsim.spec.params import ACT, PRE, RD, REF, WR

Array = Any
"""A number, or an array of float64 that broadcasts with the others."""

SIGNAL = 1.0
"""Cycles until another unit sees a completion."""

FP16, FP32 = 2, 4

NEVER = 1e12
"""Factor of the cycles of a shape that cannot hold its operands: finite, so that nothing becomes undefined."""

ALWAYS = 0.99
"""Share of the time above which the array is taken to step in every cycle."""


def up(a: Array, b: Array) -> Array:
    """Return a / b, rounded up.

    Parameters
    ----------
    a, b : array
    """
    return np.ceil(a / b)


@dataclass(frozen=True)
class Passes:
    """A pass among others of its shape.

    Parameters
    ----------
    cycles : array
        From its first step to the first step of the next; all operands in time.
    drain : array
        From then until its results stand.
    beats : array
        Of the fullest strip.
    reads, writes : array
        Banks of the buffer that its edges take per cycle; below 1: there are cycles in which they take none.
    planes : array
        Partial-sum planes it writes.
    lead : array
        Cycles of a first pass before its first step: the load of stationary operands.
    pace : array
        Cycles of a step; its edges take their banks in one of them.
    rest : array
        Of the cycles those after its last beat.
    """

    cycles: Array
    drain: Array
    beats: Array
    reads: Array
    writes: Array
    planes: Array
    lead: Array
    pace: Array = 1.0
    rest: Array = 0.0


def passes(p: Any, shape: tuple[int, Array, int, int], m: Array, n: Array, k: Array) -> Passes:
    """Return how a pass C[m, n] = A[m, k] B[k, n] takes the compute unit; `NEVER` times as long if it cannot.

    Parameters
    ----------
    p : MachineParams or many
    shape : (int, array, int, int)
        Flow, group, split, contiguous.
    m, n, k : array
        Sizes; elements.
    """
    flow, group, split, contiguous = shape
    if flow == TREE:
        return _tree(p, split, contiguous, m, n, k)
    core = p.core
    cols, groups, rows = core.columns, core.strips // group, group * core.strip_rows
    port = _either(core, core.operand_banks * core.array_bank_bytes, core.buffer_banks * core.bank_bytes)
    leave = _either(core, core.output_banks * core.array_bank_bytes, core.buffer_banks * core.bank_bytes)
    depth = rows + cols - 1 + core.pe_latency
    skew = cols * (groups - 1) if split == CHAIN else 0
    n_blocks, k_blocks = up(n, cols), up(k, cols)
    inside = 1 - np.minimum(core.separate, 1)
    banks = core.buffer_banks

    def taken(size: Array) -> Array:
        return inside * np.minimum(banks, size / core.bank_bytes)

    one = np.ones_like(m * n * k * 1.0)
    if flow == OS:
        folds = n_blocks if split == SPLIT_K else up(n_blocks, groups)
        own = up(k, groups) if split == SPLIT_K else k
        reads = m * FP16 * (groups if split == SPLIT_K else 1)
        steps = own * up(reads, port)
        width = groups if split == SPLIT_K else np.minimum(groups, n_blocks)
        write = m * up(width * cols * FP32, leave)
        hold = steps + skew + depth + write
        interval = np.maximum(np.maximum(steps, write), up(hold, core.fold_sets))
        cycles = (folds - 1) * interval + steps + skew if split == CHAIN else folds * interval
        drain = np.maximum(0, (folds - 1) * interval + hold - cycles)
        beats = up(own, group) * (n_blocks if split == SPLIT_K else up(n_blocks, groups))
        planes = groups * one if split == SPLIT_K else one
        fits = np.where(m > rows, NEVER, 1.0)
        rest = skew + 0 * one if split == CHAIN else interval - steps
        return Passes(cycles * fits, drain, beats, taken(reads), 0 * one, planes, 0 * one, up(reads, port), rest)
    if flow == IS:
        folds = k_blocks if split == SPLIT_N else up(k_blocks, groups)
        own = up(n, groups) if split == SPLIT_N else n
        size = m * FP32 * (1 if split == CHAIN else groups)
        steps = own * up(size, leave)
        cycles = folds * np.maximum(steps, np.where(folds > 1, m, 0)) + skew + m
        beats = up(own, group) * (k_blocks if split == SPLIT_N else up(k_blocks, groups))
        planes = groups * one if split == SPLIT_K else one
        fits = np.where(m > rows, NEVER, 1.0)
        reading = np.where(folds > 1, taken(size), 0)
        drain, pace = depth + 1 + 0 * one, up(size, leave)
        rest = skew + m + np.maximum(0, np.where(folds > 1, m, 0) - steps)
        return Passes(cycles * fits, drain, beats, reading, taken(size) * one, planes, 0 * one, pace, rest)
    own = up(k, groups) if split == SPLIT_K else k
    inner = up(own, rows)
    outer = n_blocks if split == SPLIT_K else up(n_blocks, groups)
    width = (groups if split == SPLIT_K else np.minimum(groups, n_blocks)) * cols * FP32
    sums = np.where(inner > 1, width * inside, 0)
    reads = rows * FP16 * (groups if split == SPLIT_K else 1) + sums
    pace = np.maximum(1, np.maximum(up(width, leave), up(reads, port)))
    fold = np.maximum(m * pace, core.strip_rows)
    held = np.floor(own / rows) * core.strip_rows + np.minimum(own % rows, core.strip_rows)
    planes = groups * one if split == SPLIT_K else one
    drain = core.strip_rows + depth + skew + 1 + 0 * one
    return Passes(
        outer * inner * fold, drain, held * outer, taken(reads) * one, taken(width) * one, planes,
        core.strip_rows * one, pace,
    )  # fmt: skip


def _either(core: Any, own: Array, shared: Array) -> Array:
    """Width of the edges: of buffers of the compute unit's own, or of the shared one."""
    return np.where(np.asarray(core.separate) > 0, own, shared)


def _tree(p: Any, split: int, contiguous: int, m: Array, n: Array, k: Array) -> Passes:
    core = p.core
    slices, held, cols, taps = core.strips, core.register_beats, core.columns, np.maximum(1, core.taps)
    engines = np.maximum(1, core.macs_per_cycle // slices // taps)
    by_k = contiguous == K_CONTIGUOUS
    one = np.ones_like(m * n * k * 1.0)
    if by_k:
        own, outer, inner = up(n, slices), up(up(n, slices), held), up(k, cols)
        write = up(m * held * FP32 * slices, core.edge_bytes)
    elif split == SPLIT_K:
        own, outer, inner = up(k, slices) * one, up(n, cols), one
        write = up(m * cols * FP32, core.edge_bytes)
    else:
        own, outer, inner = k * one, up(up(n, cols), slices), one
        write = up(m * cols * FP32 * slices, core.edge_bytes)

    def streamed(size: Array) -> Array:
        return m * (up(size * cols, engines * taps) if by_k else up(size, taps) * up(cols, engines))

    def fold(size: Array) -> Array:
        return np.maximum(streamed(size), size)

    whole, rest = np.floor(own / held), own % held
    streaming = (whole * fold(held) + np.where(rest > 0, fold(rest), 0)) * inner
    output = streaming if by_k else streaming * outer
    hold = up(output, np.maximum(1, outer)) + core.pe_latency + write
    waiting = np.where(outer > 1, np.floor(outer * hold / core.fold_sets), 0)
    cycles = np.maximum(np.maximum(output, outer * write), waiting)
    fits = np.where(m * cols * FP32 > core.psum_bytes // core.fold_sets, NEVER, 1.0)
    beats = own * inner if by_k else own * outer
    final = np.where(rest > 0, rest, held)
    drain = core.pe_latency + write + streamed(final) - fold(final)  # nothing is loaded under the last fold
    return Passes(cycles * fits, drain * one, beats * one, 0 * one, 0 * one, one, held * one)


@dataclass(frozen=True)
class Streaming:
    """What a bank does in core cycles.

    Parameters
    ----------
    row : array
        From row to row, where rows are streamed.
    postponed : array
        Refreshes that a bank with rows to read may owe.
    first : array
        From a request to the first beat at the strip.
    write : array
        Of a stored beat: from row to row.
    stored : array
        Of a stored beat: from the opening of its row until it is known to be written.
    refreshed : array
        Of one refresh.
    interval : array
        From refresh to refresh of a bank.
    """

    row: Array
    postponed: Array
    first: Array
    write: Array
    stored: Array
    refreshed: Array
    interval: Array

    def of(self, rows: Array) -> Array:
        """Return the time of a stream that nothing holds up.

        A bank that always has a row to read refreshes only when it owes too many; it owes none when it begins, since
        it pays what it owes while it waits.

        Parameters
        ----------
        rows : array
        """
        plain = rows * self.row
        forced = plain / np.maximum(1.0, self.interval - self.refreshed) - self.postponed
        return plain + np.maximum(0.0, forced) * self.refreshed

    @staticmethod
    def mean(parts: Sequence[Streaming], shares: Sequence[float]) -> Streaming:
        """Return the mean over rows of several latency classes.

        Parameters
        ----------
        parts : sequence of Streaming
        shares : sequence of float
            Of the rows; they add up to 1.
        """
        return Streaming(
            *(sum(getattr(s, f.name) * w for s, w in zip(parts, shares, strict=True)) for f in fields(Streaming))
        )


def streaming(p: Any, tier: Array) -> Streaming:
    """Return the times of the banks.

    Parameters
    ----------
    p : MachineParams or many
    tier : array of int
        Latency class of the rows.
    """
    dram, ratio = p.dram, p.dram_period / p.core_period
    table = p.latency

    def apart(before: int, after: int) -> Array:
        """Cycles between two commands of a bank; of many chips with tables of their own, each from its own."""
        return table[tier, before, after] if table.ndim == 3 else table[tier, before, after, np.arange(table.shape[3])]

    columns = np.maximum(1, apart(RD, RD))
    opened = np.maximum(apart(ACT, PRE), apart(ACT, RD) + (dram.columns - 1) * columns + apart(RD, PRE))
    row = np.maximum(np.maximum(apart(ACT, ACT), opened + apart(PRE, ACT)), dram.columns * columns)
    stored = np.maximum(apart(ACT, PRE), apart(ACT, WR) + apart(WR, PRE)) + apart(PRE, ACT)
    refreshed = np.where(np.asarray(dram.refresh) > 0, apart(REF, ACT), 0)
    first = apart(ACT, RD) + dram.nCL + dram.nPORT + 1
    return Streaming(
        row * ratio,
        dram.postpone,
        first * ratio + 2,
        np.maximum(apart(ACT, ACT), stored) * ratio,
        (apart(ACT, WR) + 1) * ratio + SIGNAL,
        refreshed * ratio,
        dram.nREFI * ratio,
    )


def slots(p: Any, elements: Array, read: Array, write: Array, interval: Array = 1) -> Array:
    """Return the cycles in which an element loop issues.

    Parameters
    ----------
    p : MachineParams or many
    elements : array
    read, write : array
        Bytes per element.
    interval : array
        Cycles of a slot.
    """
    core = p.core
    count = core.lanes
    count = np.minimum(count, np.floor(core.vector_read_bytes / np.maximum(read, 1 / 1024)))
    count = np.minimum(count, np.floor(core.vector_write_bytes / np.maximum(write, 1 / 1024)))
    return up(elements, np.maximum(1, count)) * interval


def waited(p: Any, unit: Passes, read: Array, write: Array) -> Array:
    """Return by how much the edges of the array slow an element loop beside them.

    The edges go round the banks, and an access that has lost falls into step behind them: it gets what they leave of
    the ports.

    Parameters
    ----------
    p : MachineParams or many
    unit : Passes
    read, write : array
        Bytes per element of the loop.
    """
    banks = p.core.buffer_banks
    taken = np.maximum(unit.reads * np.minimum(1, read), unit.writes * np.minimum(1, write))
    return banks / np.maximum(1, banks - taken)


def held_up(p: Any, unit: Passes, busy: Array, read: Array, interval: Array = 1) -> Array:
    """Return by how much an element loop is slowed that reads as wide as it can beside passes of the array.

    Both go round the banks.  Every other slot of the loop meets the array's window, and waits until that has moved on,
    or until the array takes no step: it waits for an operand, or a step takes several cycles.  Where both windows
    together are wider than the buffer, only the latter helps; `NEVER` if there are no such cycles.

    Parameters
    ----------
    p : MachineParams or many
    unit : Passes
    busy : array
        Share of the time in which the array takes steps.
    read : array
        Bytes per element of the loop.
    interval : array
        Cycles of a slot.
    """
    core = p.core
    mine = up(1e6 / slots(p, 1e6, read, 0) * read, core.bank_bytes)
    gap = np.maximum(1 / NEVER, 1 - np.where(busy > ALWAYS, 1.0, busy) / unit.pace)
    pause = 1 / gap - 1
    never = up(unit.reads, 1) + mine > core.buffer_banks
    moved = np.minimum(pause, mine / np.maximum(1.0, unit.reads))
    slowed = 1 + np.where(unit.reads >= 1, moved, 0.0) / (2 * interval)
    return np.where(never, np.minimum(NEVER, 1 / gap), slowed)


def way(p: Any, hops: Array) -> Array:
    """Return the cycles of a flit from the cycle after it was sent to the one in which it is received.

    Parameters
    ----------
    p : MachineParams or many
    hops : array
        Links that it crosses.
    """
    noc, ratio = p.noc, p.noc_period / p.core_period
    allocation = np.where(np.asarray(noc.speculative) > 0, np.maximum(noc.nVA, noc.nSA), noc.nVA + noc.nSA)
    router = noc.nROUTE + allocation + noc.nST
    wires = 2 * noc.nPORT + hops * noc.nLINK
    return (1 + noc.nSYNC + wires + (hops + 1) * router) * ratio + noc.nSYNC + SIGNAL


def flow(p: Any) -> Array:
    """Return the core cycles that a flit takes of a port.

    Parameters
    ----------
    p : MachineParams or many
    """
    return np.maximum(1.0, p.noc_period / p.core_period)


def flits(p: Any, rows: Array, size: Array) -> Array:
    """Return the flits of a message; none holds bytes of two rows.

    Parameters
    ----------
    p : MachineParams or many
    rows, size : array
        Rows, and bytes of each.
    """
    return rows * up(size, p.noc.flit_bytes)
