"""Time of a GEMM spread over the PUs: by how much it, and what consumes its result, move the end of the step.

over N   gather | passes: the slowest of array, stream, vector unit, and two result regions | drain | consumer
over K   `nmpsim.analytic.model.timing.chunks`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nmpsim.analytic.model.timing.spent import Time, chosen
from nmpsim.analytic.model.timing.units import (
    FP16,
    FP32,
    SIGNAL,
    Array,
    Passes,
    Streaming,
    flits,
    flow,
    passes,
    slots,
    up,
    waited,
    way,
)
from nmpsim.program.isa import SPLIT_K, expansion
from nmpsim.program.packing import CODES
from nmpsim.program.schedule import PassPlan

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
    block : int
        Elements of a row that one operation takes; 0: all.
    """

    share: float
    read: int
    write: int
    more: int = 0
    interval: Array = 1
    block: int = 0

    def slots(self, p: Any, m: Array, n: Array, planes: Array) -> Array:
        """Return the issue cycles for a result.

        Parameters
        ----------
        p : MachineParams or many
        m, n, planes : array
            Rows and columns of the result, and its partial-sum planes.
        """
        read = self.read * planes + self.more
        elements = n * self.share
        if not self.block:
            return slots(p, m * elements, read, self.write, self.interval)
        size = np.minimum(self.block, elements)
        return up(elements, size) * slots(p, m * size, read, self.write, self.interval)


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
        cycles = loop.slots(p, m, n, unit.planes)
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
    return Time(network=steps * busy, latency=steps * (way(p, 1) - SIGNAL))


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


def pass_width(p: Any, shape: PassPlan, *, paired: bool) -> Array:
    """Return the columns of a pass.

    Parameters
    ----------
    p : MachineParams or many
    shape : PassPlan
    paired : bool
        Two column blocks, gate and up, come together.
    """
    groups: Array = 1 if shape.split == SPLIT_K else p.core.strips // shape.group
    return p.core.columns * np.maximum(groups, 2 if paired else 1)


def packed_beats(shape: PassPlan) -> float:
    """Return the beats of the DRAM per beat of the array; scales count as one value per group of k.

    Parameters
    ----------
    shape : PassPlan
    """
    precision = shape.precision
    if not precision.group:
        return 1.0
    e = expansion(CODES[precision.weights])
    return 1 / e + (FP16 / 2) / precision.group
