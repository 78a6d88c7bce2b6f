"""Time of a GEMM spread over the PUs: by how much it, and what consumes its result, move the end of the step.

over N   gather | passes: the slowest of array, stream, vector unit, and two result regions | drain | consumer
over K   chunk after chunk: passes of the next under the reduction of this one | drain | reduction | consumer
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nmpsim.analytic.model.spent import Time, chosen
from nmpsim.analytic.model.units import (
    FP32,
    NEVER,
    SIGNAL,
    Array,
    Passes,
    Streaming,
    flits,
    flow,
    held_up,
    passes,
    slots,
    up,
    waited,
    way,
)

REGIONS = 2
"""Regions for results of passes, and for chunks under reduction (docs/program.md)."""


@dataclass(frozen=True)
class Loop:
    """An element loop per result element of a pass.

    Parameters
    ----------
    share : float
        Elements per result element.
    read, write : array
        Bytes per element; those read of every partial-sum plane.
    more : int
        Bytes read per element besides the planes.
    interval : array
        Cycles of a slot.
    """

    share: float
    read: int
    write: int
    more: int = 0
    interval: Array = 1


@dataclass(frozen=True)
class Weights:
    """What a GEMM streams and multiplies on the busiest PU.

    Parameters
    ----------
    shape : (int, array, int, int)
        Flow, group, split, contiguous.
    m, k : array
        Rows of A and of B.
    columns : array
        Result columns that the PU owns.
    width : array
        Columns of a pass.
    packed : float
        Beats of the DRAM per beat of the array.
    """

    shape: tuple[int, Array, int, int]
    m: Array
    k: Array
    columns: Array
    width: Array
    packed: float = 1.0


@dataclass(frozen=True)
class Row:
    """Passes of a GEMM one after the other.

    Parameters
    ----------
    whole : Passes
        A full pass.
    last : Passes
        The last one.
    number : array
        Full ones before the last.
    n : array
        Columns of the last.
    array : array
        Cycles of the array alone.
    stream : array
        Cycles of the banks alone, but for what waits in the FIFO already.
    rows : array
        Rows of the fullest bank.
    """

    whole: Passes
    last: Passes
    number: Array
    n: Array
    array: Array
    stream: Array
    rows: Array


def refresh_wait(p: Any, s: Streaming, cycles: Array, beats: Array, registers: Array) -> Array:
    """Return the share of its own time that a compute unit waits for banks under refresh, where they are the faster.

    A strip lives on the rows in its FIFO but one and on its registers.  Strips in lock step wait for every bank,
    slices of a MAC tree for their own.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    cycles, beats : array
        That the unit takes, and the fullest strip delivers in that time.
    registers : array
        Beats that a strip holds ahead of their use.
    """
    dram, core = p.dram, p.core
    ahead = np.maximum(0, np.floor(dram.fifo_columns / dram.columns) - 1) * dram.columns + registers
    wait = np.maximum(0, s.refreshed - ahead * cycles / np.maximum(1, beats))
    return wait * np.where(np.asarray(core.kind) > 0, 1, dram.banks) / s.interval


def row_of(p: Any, s: Streaming, w: Weights, *, ahead: Array = 1.0) -> Row:
    """Return the passes of a GEMM on one PU.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    w : Weights
    ahead : array
        1: the FIFO is full when the first pass begins; 0: it is empty.
    """
    dram = p.dram
    number = up(w.columns, w.width) - 1
    n = w.columns - number * w.width
    whole = passes(p, w.shape, w.m, w.width, w.k)
    last = passes(p, w.shape, w.m, n, w.k)
    beats = number * whole.beats + last.beats
    rows = up(beats * w.packed, dram.columns)
    waiting = ahead * np.minimum(rows, dram.fifo_columns / dram.columns)
    array = number * whole.cycles + last.cycles
    array = array * (1 + refresh_wait(p, s, array, beats, whole.lead))
    return Row(whole, last, number, n, array, s.of(rows) - waiting * s.row, rows)


def vector_slots(p: Any, loops: tuple[Loop, ...], m: Array, n: Array, unit: Passes, *, beside: bool = True) -> Array:
    """Return the issue cycles of what consumes a result of n columns.

    Parameters
    ----------
    p : MachineParams or many
    loops : tuple of Loop
    m, n : array
    unit : Passes
        The passes that made the result.
    beside : bool
        Further passes take ports meanwhile.
    """
    found: Array = 0.0
    for loop in loops:
        read = loop.read * unit.planes + loop.more
        cycles = slots(p, m * n * loop.share, read, loop.write, loop.interval)
        if beside:  # whoever is behind by a whole pass finds the ports free, since the array waits for its regions
            cycles = np.minimum(cycles * waited(p, unit, read, loop.write), cycles + unit.cycles)
        found = found + cycles
    return found


def gather(p: Any, rows: Array, size: Array, regions: Array = 1) -> Time:
    """Return the time of an all-gather between neighbours, in both directions at once.

    Parameters
    ----------
    p : MachineParams or many
    rows, size : array
        What each PU contributes: rows, and bytes of each.
    regions : array
        Messages that it takes.
    """
    steps = np.floor(p.cores / 2)
    busy = regions * flits(p, rows, size) * flow(p)
    return Time(network=steps * busy, latency=steps * (way(p, 1) + SIGNAL))


def copied(p: Any, size: Array) -> Array:
    """Return the cycles of a copy between the buffers of the separate arrangement; 0 without.

    Parameters
    ----------
    p : MachineParams or many
    size : array
        Bytes.
    """
    core = p.core
    return np.where(np.asarray(core.separate) > 0, up(size, core.copy_bytes) + core.copy_latency + SIGNAL, 0.0)


def over_n(
    p: Any, s: Streaming, w: Weights, loops: tuple[Loop, ...], entry: Time, pieces: Array = 1
) -> tuple[Time, Time]:
    """Return the time until the last pass is over, and that of the last consumer behind it.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    w : Weights
    loops : tuple of Loop
        What consumes a result.
    entry : Time
        Until the input stands on all PUs.
    pieces : array
        Matrices one after the other, one for each head; else 1.
    """
    row = row_of(p, s, w)
    latency = p.core.vector_latency
    per = vector_slots(p, loops, w.m, w.width, row.whole)
    end = vector_slots(p, loops, w.m, row.n, row.last)
    tiles = row.number + 1
    out = copied(p, row.whole.planes * w.m * w.width * FP32)
    turn = (row.whole.cycles + row.whole.drain + per + out + latency + SIGNAL) / REGIONS
    turns = np.where(tiles * pieces > REGIONS, (tiles * pieces - 1) * turn, 0.0)
    passing = chosen(
        ("stream", row.stream + s.of(row.rows * pieces) - s.of(row.rows)),
        ("array", row.array * pieces),
        ("vector", (row.number * per) * pieces + end * (pieces - 1)),
        ("latency", turns),
    )
    inward = copied(p, w.m * w.k * 2)
    body = entry + passing + Time(latency=row.whole.lead + row.last.drain + inward + out + SIGNAL)
    alone = vector_slots(p, loops, w.m, row.n, row.last, beside=False)
    return body, Time(vector=alone, latency=latency)


@dataclass(frozen=True)
class Scatter:
    """How a GEMM over K is reduced.

    Parameters
    ----------
    number : array
        Chunks.
    piece : array
        Columns of an owner in one of them.
    owners : array
        PUs that own columns.
    """

    number: Array
    piece: Array
    owners: Array


def scatter_of(p: Any, columns: Array, owners: Array, chunks: Array, unit: Array) -> Scatter:
    """Return how the columns of a GEMM over K are cut.

    Parameters
    ----------
    p : MachineParams or many
    columns, owners, chunks : array
        Of the widest owner; PUs that own some; chunks wanted.
    unit : array
        Columns that stay together; 0: those that fill a flit.
    """
    grain = np.maximum(1, np.floor(p.noc.flit_bytes / FP32))
    unit = np.where(np.asarray(unit) > 0, unit, grain)
    step = np.maximum(unit, up(columns, chunks * unit) * unit)
    return Scatter(up(columns, step), np.minimum(step, columns), owners)


def reduced(p: Any, m: Array, piece: Array) -> Time:
    """Return the time of a reduce-scatter of one chunk: a step per other PU, half a piece in each direction.

    Parameters
    ----------
    p : MachineParams or many
    m, piece : array
        Rows, and columns of an owner.
    """
    grain = np.maximum(1, np.floor(p.noc.flit_bytes / FP32))
    half = np.where(piece > grain, up(piece, 2 * grain) * grain, piece)
    steps = p.cores - 1
    both = np.where(piece > half, 2, 1)  # the vector unit adds what comes from both sides
    add = slots(p, m * half, 2 * FP32, FP32) * both
    network = flits(p, m, half * FP32) * flow(p)
    latency = way(p, 1) + p.core.vector_latency + SIGNAL
    return Time(vector=steps * add, network=steps * network, latency=steps * latency)


def over_k(p: Any, s: Streaming, w: Weights, loops: tuple[Loop, ...], cut: Scatter) -> tuple[Time, Time]:
    """Return the time until the last sum is complete, and that of the last consumer behind it.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    w : Weights
        Its columns are those of one chunk, of all owners.
    loops : tuple of Loop
        What consumes a chunk of the owner.
    cut : Scatter
    """
    row = row_of(p, s, w, ahead=0.0)
    m, core = w.m, p.core
    latency = core.vector_latency
    several = row.whole.planes > 1
    keep = (Loop(1.0, FP32, FP32),)
    added = vector_slots(p, keep, m, w.width, row.whole) * row.number + vector_slots(p, keep, m, row.n, row.last)
    added = np.where(several, added, 0.0)
    reduction = reduced(p, m, cut.piece)
    consumer: Array = 0.0
    for loop in loops:
        consumer = consumer + slots(p, m * cut.piece * loop.share, loop.read + loop.more, loop.write, loop.interval)
    waits = way(p, 1) + flow(p) + latency
    lanes = reduction.vector + consumer + added
    filled = np.minimum(row.rows, p.dram.fifo_columns / p.dram.columns) * s.row
    over = s.of(row.rows * cut.number) - row.rows * cut.number * s.row  # refreshes of all chunks
    passing = chosen(
        ("stream", row.rows * cut.number * s.row + over - filled),
        ("array", row.array * cut.number),
    )
    chain = reduction.cycles + consumer + waits
    slow = held_up(p, row.whole, row.array * cut.number / np.maximum(1.0, passing.cycles), 2 * FP32)
    below = np.maximum(chain + reduction.vector * (slow - 1), lanes) - passing.cycles / cut.number
    # additions that never find free ports run when the passes wait for a region
    alone = chain * np.maximum(0.0, cut.number - REGIONS)
    later = np.where(slow >= NEVER, alone, np.maximum(0.0, below) * (cut.number - 1))
    bound = reduction.times(later / np.maximum(1.0, reduction.cycles))
    behind = np.where(several, vector_slots(p, keep, m, row.n, row.last, beside=False) + latency, 0.0)
    out = copied(p, row.whole.planes * m * w.width * FP32)
    lead = Time(vector=behind, latency=row.whole.lead + row.last.drain + out + copied(p, m * w.k * 2) + SIGNAL)
    under = Time(hidden=np.minimum(chain * (cut.number - 1), passing.cycles))
    return passing + bound + lead + reduction + under, Time(vector=consumer, latency=latency)
