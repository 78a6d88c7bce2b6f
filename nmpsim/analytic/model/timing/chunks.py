"""Time of a GEMM over K, chunk by chunk: passes of the next under the reduction of this one.

    array    [passes 0][passes 1]       [passes 2]      [passes 3]
    ring               [reduction 0][reduction 1]..[reduction 2][reduction 3] consumer

Two spaces take turns, so that passes 2 wait for reduction 0; reductions follow one another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nmpsim.analytic.model.timing.gemms import REGIONS, Loop, Row, Weights, copied, row_of, vector_slots
from nmpsim.analytic.model.timing.spent import Time, chosen
from nmpsim.analytic.model.timing.units import (
    FP32,
    NEVER,
    SIGNAL,
    Array,
    Streaming,
    flits,
    flow,
    held_up,
    slots,
    up,
    way,
)

KEEP = (Loop(1.0, FP32, FP32),)
"""What adds the planes of a pass."""


@dataclass(frozen=True)
class Scatter:
    """How a GEMM over K is reduced: chunks in which all PUs own columns, then those of the widest slices alone.

    Parameters
    ----------
    whole, columns : array
        Chunks of all PUs, and columns of one, of all owners.
    thin, rest : array
        Chunks of the widest slices, and columns of one; none where slices are even.
    piece : array
        Columns of an owner in one of them.
    """

    whole: Array
    columns: Array
    thin: Array
    rest: Array
    piece: Array

    @property
    def number(self) -> Array:
        """Chunks."""
        return self.whole + self.thin


def scatter_of(p: Any, columns: Array, block: int, widest: Array, chunks: Array, unit: Array) -> Scatter:
    """Return how the columns of a GEMM over K are cut.

    Parameters
    ----------
    p : MachineParams or many
    columns, block : array
        Of all owners together; those that an owner takes at a time.
    widest, chunks : array
        Columns of the widest owner; chunks wanted.
    unit : array
        Columns that stay together; 0: those that fill a flit.
    """
    grain = np.maximum(1, np.floor(p.noc.flit_bytes / FP32))
    unit = np.where(np.asarray(unit) > 0, unit, grain)
    step = np.maximum(unit, up(widest, chunks * unit) * unit)
    number = up(widest, step)
    blocks = up(columns, block)
    least = np.floor(blocks / p.cores)
    some = (least > 0) & (least * p.cores < blocks)  # more than one block each, but not as many everywhere
    thin = np.where(some, number - np.minimum(number, up(least * block, step)), 0.0)
    owned = (blocks - least * p.cores) * (widest - (number - thin) * step)  # by the widest slices, in thin chunks
    rest = np.where(thin > 0, owned / np.maximum(1.0, thin), 1.0)
    whole = number - thin
    return Scatter(whole, up(columns - thin * rest, whole), thin, up(rest, 1), np.minimum(step, widest))


def reduced(p: Any, m: Array, piece: Array, *, alone: Array = 0.0) -> Time:
    """Return the time of a reduce-scatter of one chunk: a step per other PU, half a piece in each direction.

    The additions of both directions meet in the vector unit once: the one that has lost stays behind, and meets the
    other again only if both together take longer than a step.

    Parameters
    ----------
    p : MachineParams or many
    m, piece : array
        Rows, and columns of an owner.
    alone : array
        1: only some PUs own columns, and what comes from both sides comes at different times; else 0.
    """
    grain = np.maximum(1, np.floor(p.noc.flit_bytes / FP32))
    half = np.where(piece > grain, up(piece, 2 * grain) * grain, piece)
    steps = p.cores - 1
    both = np.where((piece > half) & (np.asarray(alone) < 1), 1.0, 0.0)
    add = slots(p, m * half, 2 * FP32, FP32)
    network = flits(p, m, half * FP32) * flow(p)
    latency = way(p, 1) + p.core.vector_latency - SIGNAL  # a message is there with its last flit
    longer = both * np.maximum(0.0, add - network - latency)
    some = np.where(np.asarray(steps) > 0, 1.0, 0.0)
    return Time(vector=steps * (add + longer) + some * both * add, network=steps * network, latency=steps * latency)


@dataclass(frozen=True)
class Part:
    """A chunk on its way.

    Parameters
    ----------
    stream, array, drain : array
        Cycles of the banks and of the array alone; from the last step until the results stand.
    added : array
        Cycles until the planes of all passes are added up, one region after the other; 0 without planes.
    ahead : array
        The same if the first two passes are through before.
    """

    stream: Array
    array: Array
    drain: Array
    added: Array = 0.0
    ahead: Array = 0.0


@dataclass(frozen=True)
class Turns:
    """Reductions, one after the other.

    Parameters
    ----------
    turn, last : array
        Cycles of one beside the passes of another chunk, and of the last one.
    before : array
        From the results of the passes until they may be reduced.
    starved : array
        1: additions find no ports beside passes; else 0.
    """

    turn: Array
    last: Array
    before: Array
    starved: Array


def _before(p: Any, s: Streaming, each: Turns) -> tuple[Array, Array]:
    """Cycles of the banks that the FIFO holds, and those of a reduction for which its instructions stand in queues."""
    queued = np.minimum(1.0, (p.core.queue_depth - 1) / (2 * np.maximum(1.0, p.cores - 1)))
    return p.dram.fifo_columns / p.dram.columns * s.row, each.turn * queued


def _of(cut: Scatter, parts: tuple[Part, Part], number: int, name: str) -> Array:
    """A figure of a chunk by its number."""
    return np.where(number >= cut.whole, getattr(parts[1], name), getattr(parts[0], name))


def chained(p: Any, s: Streaming, cut: Scatter, parts: tuple[Part, Part], each: Turns) -> Array:
    """Return the time until the last chunk is reduced, chunk by chunk.

    passes      those of the chunk before are over, and a space is free: the reduction before the last is over
    stream      begins when the instructions of that reduction have left the sequencer, which hands over in order
    results     the array holds as a whole while it waits for a beat, and what is under way in it, too
    reduction   the one before is over

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    cut : Scatter
    parts : (Part, Part)
        A chunk of all PUs, and one of the widest slices.
    each : Turns
    """
    ahead, queued = _before(p, s, each)
    steps = np.where(np.asarray(p.core.kind) > 0, 0.0, 1.0)  # slices of a MAC tree stall alone

    def of(number: int, name: str) -> Array:
        return _of(cut, parts, number, name)

    stopped: Array = 0.0
    banks = -ahead
    before: Array = 0.0
    earlier: Array = 0.0
    found: Array = 0.0
    for number in range(int(np.max(cut.number))):
        stream, array = of(number, "stream"), of(number, "array")
        start = np.maximum(stopped, earlier)
        begun = np.maximum(banks, earlier - queued + s.first) if number >= REGIONS else banks
        banks = np.maximum(begun + stream, start + stream - ahead)
        stopped = np.maximum(start + array, banks)
        last = number >= cut.number - 1
        pause = np.where(last, NEVER, np.maximum(0.0, before - stopped))
        after, paced = of(number + 1, "array"), np.maximum(of(number + 1, "stream"), of(number + 1, "array"))
        held = np.minimum(1.0, np.maximum(0.0, of(number, "drain") - pause) / np.maximum(1.0, after)) * (paced - after)
        ready = stopped + of(number, "drain") + held * steps + each.before
        following = np.where(last, 0.0, each.starved * (np.maximum(stopped, before) + paced))
        end = np.maximum(np.maximum(ready, before), following) + np.where(last, each.last, each.turn)
        found = np.where(number < cut.number, end, found)
        earlier, before = before, end
    return found


def _turned(p: Any, m: Array, row: Row, width: Array) -> tuple[Array, Array]:
    """Cycles until the planes of the passes of a chunk are added up: from the first pass on, and if two are through.

    A pass waits for one of two regions: until the pass before the last has gone through the array, and the vector unit
    has added its planes.  It does so while the array takes no steps: both fall into step after the first passes.
    """
    added = vector_slots(p, KEEP, m, width, row.whole, beside=False) + p.core.vector_latency
    out = copied(p, row.whole.planes * m * width * FP32)
    turn = row.whole.cycles + row.whole.drain + out + added + SIGNAL

    def turns(number: Array) -> Array:
        behind = np.where(number % REGIONS > 0, 0.0, np.maximum(row.whole.cycles, added))
        return up(number, REGIONS) * turn + np.where(number > 0, behind, 0.0)

    number = row.number + 1
    ahead = np.where(number > REGIONS, added + turns(number - REGIONS), number * added)
    return np.maximum(turns(number), row.array), ahead


def in_order(p: Any, s: Streaming, cut: Scatter, parts: tuple[Part, Part], each: Turns) -> Array:
    """Return the same where the passes of a chunk leave planes, which the vector unit adds up.

    It takes its instructions in order::

        planes 0 | planes 1 | reduction 0 | planes 2 | reduction 1 | ... | planes of the last | reduction | reduction

    So passes run under a reduction until both regions for planes are full, and no further.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    cut : Scatter
    parts : (Part, Part)
        A chunk of all PUs, and one of the widest slices.
    each : Turns
    """
    ahead, queued = _before(p, s, each)

    def of(number: int, name: str) -> Array:
        return _of(cut, parts, number, name)

    banks = -ahead
    now: Array = 0.0
    found: Array = 0.0
    for number in range(int(np.max(cut.number))):
        begun = np.maximum(banks, now - queued + s.first) if number >= REGIONS else banks
        banks = begun + of(number, "stream")
        added = of(number, "ahead" if number >= REGIONS else "added")
        now = np.maximum(now + added, banks + of(number, "drain") + each.before)
        now = now + (each.turn if number else 0.0)
        found = np.where(number < cut.number, now + each.last, found)
    return found


def over_k(p: Any, s: Streaming, w: Weights, loops: tuple[Loop, ...], cut: Scatter) -> tuple[Time, Time]:
    """Return the time until the last sum is complete, and that of the last consumer behind it.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    w : Weights
        Its columns are those of all chunks, of all owners.
    loops : tuple of Loop
        What consumes a chunk of the owner.
    cut : Scatter
    """
    row, rest = (
        row_of(p, s, replace(w, columns=n, width=np.minimum(w.width, n)), ahead=0.0) for n in (cut.columns, cut.rest)
    )
    m, core = w.m, p.core
    latency = core.vector_latency
    several = row.whole.planes > 1
    width = np.minimum(w.width, cut.columns)
    added = vector_slots(p, KEEP, m, width, row.whole) * row.number + vector_slots(p, KEEP, m, row.n, row.last)
    added = np.where(several, added, 0.0)
    reduction = reduced(p, m, cut.piece)
    consumer: Array = 0.0
    for loop in loops:
        consumer = consumer + loop.slots(p, m, cut.piece, 1)
    lanes = reduction.vector + consumer + added
    filled = np.minimum(row.rows, p.dram.fifo_columns / p.dram.columns) * s.row
    rows = row.rows * cut.whole + rest.rows * cut.thin
    array = row.array * cut.whole + rest.array * cut.thin
    turns = tuple(_turned(p, m, r, np.minimum(width, r.n + r.number * w.width)) for r in (row, rest))
    behind = np.where(several, vector_slots(p, KEEP, m, row.n, row.last, beside=False) + latency, 0.0)
    out = copied(p, row.whole.planes * m * width * FP32)
    turned = turns[0][0] * cut.whole + turns[1][0] * cut.thin - (row.last.drain + out + behind + SIGNAL)  # as in `lead`
    turned = np.where(several, np.maximum(0.0, turned), 0.0)
    passing = chosen(("stream", s.of(rows) - filled), ("array", array), ("latency", turned))
    chain = reduction.cycles + consumer + latency
    slow = held_up(p, row.whole, array / np.maximum(1.0, passing.cycles), 2 * FP32)
    turn = np.maximum(np.where(slow >= NEVER, chain, chain + reduction.vector * (slow - 1)), lanes)
    lead = Time(vector=behind, latency=row.whole.lead + row.last.drain + out + copied(p, m * w.k * 2) + SIGNAL)
    under = Time(hidden=np.minimum(chain * (cut.number - 1), passing.cycles))
    straight = passing + lead + reduction
    over = np.maximum(1.0, s.of(rows) / np.maximum(1.0, rows * s.row))
    full, thin = (
        Part(r.rows * s.row * over, r.array, r.last.drain, *regions)
        for r, regions in zip((row, rest), turns, strict=True)
    )
    ended: Array = 0.0
    if np.any(several):
        ended = in_order(p, s, cut, (full, thin), Turns(chain, reduction.cycles, behind + SIGNAL, 0.0))
    if not np.all(several):
        each = Turns(turn, reduction.cycles, behind + SIGNAL, np.where(slow >= NEVER, 1.0, 0.0))
        ended = np.where(several, ended, chained(p, s, cut, (full, thin), each))
    later = ended + lead.latency - row.last.drain - SIGNAL - straight.cycles
    bound = reduction.times(np.maximum(0.0, later) / np.maximum(1.0, reduction.cycles))
    return straight + bound + under, Time(vector=consumer, latency=latency)
