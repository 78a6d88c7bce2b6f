"""What a GEMM is cut into on one chip: chunks, what brings each to its owners, and what consumes it.

over N    a chunk is a pass: nothing is handed over
over K    sums of a chunk go round all PUs, half of them in either direction
teams     workers send their parts of a chunk to all its owners
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nmpsim.analytic.handing import Flow
from nmpsim.analytic.handing import flow as flow_of
from nmpsim.analytic.model.counting.shares import column_counts, even, form
from nmpsim.analytic.model.counting.work import chunked
from nmpsim.analytic.model.timing.chunks import Scatter
from nmpsim.analytic.model.timing.gemms import (
    Loop,
    Row,
    Weights,
    copied,
    packed_beats,
    pass_width,
    row_of,
    vector_slots,
)
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.units import FP16, FP32, SIGNAL, Passes, Streaming, flits, flow, held_up, slots, way
from nmpsim.program.schedule import GemmPlan
from nmpsim.workload import Operator, OperatorGraph, OperatorKind

K = OperatorKind


@dataclass(frozen=True)
class Handed:
    """What brings a chunk to its owners.

    Parameters
    ----------
    messages : int
        That leave by a port, one behind the other.
    busy : float
        Cycles of all of them at the busiest port or link.
    first : float
        Until the first part has come to an owner.
    crossing : float
        Of a flit to its owner.
    add : float
        Cycles of an addition of one part.
    adds : int
        Additions of an owner, one behind the other.
    words : int
        That an owner sends beforehand: its space is empty.
    round : bool
        Sums go round: every message waits for the addition before it, in both directions at once.
    """

    messages: int = 0
    busy: float = 0.0
    first: float = 0.0
    crossing: float = 0.0
    add: float = 0.0
    adds: int = 0
    words: int = 0
    round: bool = False

    def alone(self, latency: float) -> Time:
        """Return the time until the sums stand, with nothing in the way.

        Parameters
        ----------
        latency : float
            Of the vector unit.
        """
        one = self.add + latency if self.adds else 0.0
        if self.busy + one >= self.first + self.adds * one:
            return Time(network=self.busy, vector=min(self.adds, 1) * self.add, latency=self.crossing + one - self.add
                        if self.adds else self.crossing)  # fmt: skip
        return Time(network=self.first, vector=self.adds * self.add, latency=self.crossing + self.adds * latency)


@dataclass(frozen=True)
class Chunk:
    """Passes whose result is handed over and consumed at once.

    Parameters
    ----------
    rows : float
        Of the fullest bank.
    array : float
        Cycles of the array alone.
    drain : float
        From its last step until the results stand, copies to the shared buffer included.
    kept, ended : float
        Cycles in which the planes of all its passes are added up, and those of the last pass; 0 for one plane.
    handed : Handed
    consumed : float
        Cycles of the loops that consume it.
    passes, operations : int
        Instructions of the array, and those that consume the result.
    """

    rows: float
    array: float
    drain: float
    kept: float
    ended: float
    handed: Handed
    consumed: float
    passes: int
    operations: int


@dataclass(frozen=True)
class Chunks:
    """A GEMM, chunk by chunk.

    Parameters
    ----------
    parts : tuple of Chunk
    unit : Passes
        A pass of it.
    shape : (int, int, int, int)
        Flow, group, split, contiguous.
    lead : float
        Before its first step, if the array has waited for it.
    slow : float
        By how much additions beside passes are slowed.
    row : float
        Cycles of a bank from row to row, where nothing refreshes.
    """

    parts: tuple[Chunk, ...]
    unit: Passes
    shape: tuple[int, int, int, int]
    lead: float
    slow: float
    row: float

    @property
    def rows(self) -> float:
        """Rows of the fullest bank."""
        return sum(part.rows for part in self.parts)


def _chunk(
    p: Any, s: Streaming, w: Weights, columns: float, consumed: tuple[float, int], handed: Handed, *, keeps: bool
) -> tuple[Chunk, Row]:
    row = row_of(p, s, replace(w, columns=columns, width=np.minimum(w.width, columns)), ahead=0.0)
    kept = ended = 0.0
    if keeps and row.whole.planes > 1:
        keep = (Loop(1.0, FP32, FP32),)
        kept = vector_slots(p, keep, w.m, w.width, row.whole) * row.number
        kept = float(kept + vector_slots(p, keep, w.m, row.n, row.last))
        ended = float(vector_slots(p, keep, w.m, row.n, row.last, beside=False))
    out = copied(p, row.whole.planes * w.m * np.minimum(w.width, columns) * FP32)
    drain = float(row.last.drain + out)
    return Chunk(
        float(row.rows), float(row.array), drain, kept, ended, handed, consumed[0], int(row.number) + 1, consumed[1]
    ), row


def _together(p: Any, s: Streaming, w: Weights, chunks: list[tuple[Chunk, Row]]) -> Chunks:
    """Chunks of a GEMM: additions beside passes meet an array that is as busy as it is on average."""
    parts, unit = tuple(chunk for chunk, _ in chunks), chunks[0][1].whole
    array = sum(part.array for part in parts)
    busy = array / max(1.0, array, float(s.of(sum(part.rows for part in parts))))
    slow = float(held_up(p, unit, busy, 2 * FP32))
    lead = float(unit.lead + copied(p, w.m * w.k * FP16))
    flow, group, split, contiguous = w.shape
    return Chunks(parts, unit, (flow, int(group), split, contiguous), lead, slow, float(s.row))


def pass_chunks(p: Any, s: Streaming, w: Weights, loops: tuple[Loop, ...]) -> Chunks:
    """Return a GEMM over N, pass by pass.

    Parameters
    ----------
    p : MachineParams
        One chip.
    s : Streaming
    w : Weights
        Of the busiest PU.
    loops : tuple of Loop
        What consumes a result.
    """
    columns, width = float(w.columns), float(w.width)
    whole = int(-(-columns // width)) - 1
    row = row_of(p, s, w, ahead=0.0)
    taken = [
        (float(vector_slots(p, loops, w.m, n, unit)), _operations(loops, n))
        for n, unit in ((width, row.whole), (row.n, row.last))
    ]
    one = _chunk(p, s, w, width, taken[0], Handed(), keeps=False)
    return _together(p, s, w, [one] * whole + [_chunk(p, s, w, float(row.n), taken[1], Handed(), keeps=False)])


def scatter_chunks(p: Any, s: Streaming, w: Weights, loops: tuple[Loop, ...], cut: Scatter) -> Chunks:
    """Return a GEMM over K, of which a chunk is reduced step after step by network and vector unit in turn.

    Parameters
    ----------
    p : MachineParams
        One chip.
    s : Streaming
    w : Weights
        Of the busiest PU.
    loops : tuple of Loop
        What consumes a chunk of an owner.
    cut : Scatter
    """
    grain, piece = max(1, p.noc.flit_bytes // FP32), int(cut.piece)
    half = -(-piece // (2 * grain)) * grain if piece > grain else piece
    steps, add = p.cores - 1, float(slots(p, w.m * half, 2 * FP32, FP32))
    busy = steps * float(flits(p, w.m, half * FP32) * flow(p))
    handed = Handed(steps, busy, 0.0, float(way(p, 1)) - SIGNAL, add, steps * (2 if piece > half else 1), 0, round=True)
    consumed = _consumed(p, loops, w.m, piece)
    sizes = [float(cut.columns)] * int(cut.whole) + [float(cut.rest)] * int(cut.thin)
    return _together(p, s, w, [_chunk(p, s, w, n, consumed, handed, keeps=True) for n in sizes])


def weights_of(p: Any, o: Operator, plan: GemmPlan, rows: float, columns: float) -> Weights:
    """Return what a GEMM streams and multiplies on the busiest PU.

    Parameters
    ----------
    p : MachineParams
    o : Operator
    plan : GemmPlan
    rows, columns : float
        Of its weights.
    """
    width = pass_width(p, plan.shape, paired=o.kind is K.GATE_UP)
    return Weights(form(plan.shape), o.m, rows, columns, width, packed_beats(plan.shape))


def owned_by(p: Any, graph: OperatorGraph, o: Operator) -> list[int]:
    """Return the result columns of a GEMM by PU.

    Parameters
    ----------
    p : MachineParams
    graph : OperatorGraph
    o : Operator
    """
    kind, model, latent = o.kind, graph.model, graph.model.latent
    if kind is K.QKV:
        found = (even(model.heads, p.cores) + even(2 * model.kv_heads, p.cores)) * model.head_dim
    elif kind is K.LATENT and latent is not None:
        found = column_counts(latent.q_rank + latent.kv_rank, p.core.columns, p.cores)
        found[-1] += latent.rope
    elif latent is not None and kind in {K.Q_UP, K.KV_UP}:
        found = even(model.heads, p.cores) * (model.head_dim if kind is K.Q_UP else latent.nope + latent.value)
    elif kind is K.GATE_UP:
        found = 2 * column_counts(o.n // 2, p.core.columns, p.cores)
    else:
        found = column_counts(o.n, p.core.columns, p.cores)
    return [int(n) for n in found]


def _handed(p: Any, flows: Flow, m: int, owned: int) -> Handed:
    size, ratio = float(flits(p, m, owned * FP32)), p.noc_period / p.core_period
    busy = size * max(flows.port * float(flow(p)), flows.link * ratio)
    if not flows.landing:
        return Handed()
    add = float(slots(p, m * owned, 2 * FP32, FP32))
    crossing = float(way(p, flows.hops))
    return Handed(flows.port, busy, busy / flows.landing, crossing, add, flows.adds, flows.landing)


def _operations(loops: tuple[Loop, ...], columns: float) -> int:
    """Vector operations that consume so many result columns: one for each block, or one for all."""
    return max(1, *(int(-(-columns * loop.share // loop.block)) if loop.block else 1 for loop in loops))


def _consumed(p: Any, loops: tuple[Loop, ...], m: int, columns: int) -> tuple[float, int]:
    """Cycles, and operations, that consume a chunk of an owner."""
    return sum(float(loop.slots(p, m, columns, 1)) for loop in loops), _operations(loops, columns)


def team_chunks(
    p: Any, s: Streaming, graph: OperatorGraph, o: Operator, plan: GemmPlan, loops: tuple[Loop, ...]
) -> Chunks:
    """Return a GEMM on teams: columns of the widest team, rows of the worker with the most.

    Parameters
    ----------
    p : MachineParams
        One chip.
    s : Streaming
    graph : OperatorGraph
    o : Operator
    plan : GemmPlan
    loops : tuple of Loop
        What consumes a chunk of an owner.
    """
    unit = 2 * p.core.columns if o.kind is K.GATE_UP else 0
    owned = owned_by(p, graph, o)
    depth = int(column_counts(o.k, p.core.columns, plan.working).max())
    w = weights_of(p, o, plan, depth, sum(owned))
    flows = flow_of(p.noc, p.cores, tuple(n > 0 for n in owned), plan.team, plan.working)
    found = []
    for own in chunked(np.array(owned), plan.chunks, unit, p.noc.flit_bytes).pieces:
        widest = max(sum(own[i : i + plan.team]) for i in range(0, len(own), plan.team))
        consumed = _consumed(p, loops, o.m, max(own))
        found.append(_chunk(p, s, w, widest, consumed, _handed(p, flows, o.m, max(own)), keeps=True))
    return _together(p, s, w, found)
