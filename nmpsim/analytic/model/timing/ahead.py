"""Time of experts that begin ahead of one another: what each moves the end of the step, unit by unit.

Units take their instructions in the order of the program (`nmpsim.program.encode.experts`)::

    array          first 0 | first 1 | second 0 | first 2 | second 1 | ...
    network                | gather 0, sums 1   | gather 1, sums 2   | ...
    vector unit    rows 0, 1 | activate 0 | rows 2, activate 1, add 0 | rows 3, activate 2, add 1 | ...

    gather i    the activations of i stand, and expert i - 1 is added up on its sender, as the gather tells
    second i    gather i has come, and first i + 1 is through the array
    sums i + 1  what teams hand over, or add up round the ring, leaves behind gather i
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nmpsim.analytic.model.counting.rows import Shares
from nmpsim.analytic.model.counting.shares import column_counts
from nmpsim.analytic.model.timing.chunks import scatter_of
from nmpsim.analytic.model.timing.handing import through
from nmpsim.analytic.model.timing.issue import LANES, PORT_0, PORTS, Units
from nmpsim.analytic.model.timing.pieces import Chunks, pass_chunks, scatter_chunks, team_chunks, weights_of
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.times import StepTimes
from nmpsim.analytic.model.timing.units import FP16, SIGNAL, flits, flow, way
from nmpsim.program.schedule import OVER_K, GemmPlan, Schedule
from nmpsim.workload import Operator, OperatorKind

K = OperatorKind

KINDS = (K.GATHER, K.GATE_UP, K.ACTIVATION, K.DOWN, K.COMBINE)
"""Operators of an expert, in the order of the graph."""


@dataclass(frozen=True)
class Expert:
    """An expert as units see it.

    Parameters
    ----------
    rows : int
        Its tokens.
    copied, added : float
        Cycles of the vector unit for its rows, and for the sums of its tokens.
    first, second : Chunks
        Its GEMMs.
    steps : int
        Messages of the gather of its activations by a port, one after the other; none where they stay apart.
    message, crossing : float
        Cycles of a message at a port, and of a flit on its way to the neighbour.
    silent : bool
        Some PUs have no activations: they say by a word that they are over, when their vector unit has come to it.
    """

    rows: int
    copied: float
    added: float
    first: Chunks
    second: Chunks
    steps: int
    message: float
    crossing: float
    silent: bool


def overlapped(
    times: StepTimes, schedule: Schedule, known: Mapping[int, Time], tiers: Sequence[Shares]
) -> dict[int, Time]:
    """Return the times of the operators of all experts of a step, by index.

    Parameters
    ----------
    times : StepTimes
        Of one chip.
    schedule : Schedule
    known : mapping of int to Time
        Of the same operators, one expert after another.
    tiers : sequence
        Latency classes of every operator's weights.
    """
    found: dict[int, Time] = {}
    layers: dict[int, list[list[int]]] = {}
    for index, o in enumerate(schedule.graph.operators):
        if o.expert >= 0:
            experts = layers.setdefault(o.layer, [])
            if o.kind is K.GATHER:
                experts.append([])
            experts[-1].append(index)
    for experts in layers.values():
        found |= _layer(times, schedule, experts, known, tiers)
    return found


def _layer(
    times: StepTimes,
    schedule: Schedule,
    experts: Sequence[Sequence[int]],
    known: Mapping[int, Time],
    tiers: Sequence[Shares],
) -> dict[int, Time]:
    """Times of the operators of the experts of a layer."""
    made: dict[tuple[object, ...], Expert] = {}
    every = []
    for indices in experts:
        copied, added = (float(known[i].vector) for i in (indices[0], indices[-1]))
        key = copied, added, *((schedule.graph[i].m, schedule.gemm.get(i), tiers[i]) for i in indices)
        if key not in made:
            made[key] = _expert(times, schedule, indices, copied, added, tiers)
        every.append(made[key])
    gemms = [work for one in every for work in (one.first, one.second)]
    stream = times.at(tiers[experts[0][1]]).stream
    rows = sum(work.rows for work in gemms)
    refreshed = float(stream.of(rows)) / max(1.0, rows * float(stream.row))
    begin = float(known[experts[0][0]].cycles)  # the rows of the first expert stand
    ends = _ends(times.p, every, begin, float(stream.first), refreshed)
    found: dict[int, Time] = {}
    now = 0.0
    for number, indices in enumerate(experts):
        for index, end in zip(indices, ends[number], strict=True):
            moved, alone = max(0.0, end - now), known[index]
            cycles = float(alone.cycles)
            found[index] = alone.times(moved / cycles) if cycles > 0 else Time(latency=moved)
            now = max(now, end)
    return found


def _expert(
    times: StepTimes,
    schedule: Schedule,
    indices: Sequence[int],
    copied: float,
    added: float,
    tiers: Sequence[Shares],
) -> Expert:
    p, graph = times.p, schedule.graph
    _, first, _, second, _ = indices
    m, k, plan = graph[second].m, graph[second].k, schedule.gemm[second]
    steps = 0 if plan.over == OVER_K else p.cores // 2
    message = float(flits(p, m, times.share(k) * FP16) * flow(p))
    crossing = float(way(p, 1)) - SIGNAL  # a message is there with its last flit
    gemms = [_chunks(times.at(tiers[i]), graph[i], schedule.gemm[i]) for i in (first, second)]
    silent = steps > 0 and 0 in column_counts(k, p.core.columns, p.cores)
    return Expert(m, copied, added, gemms[0], gemms[1], steps, message, crossing, silent)


def _chunks(times: StepTimes, o: Operator, plan: GemmPlan) -> Chunks:
    """A GEMM of an expert chunk by chunk."""
    p, s, loops = times.p, times.stream, times.loops(o)
    if plan.team > 1:
        return team_chunks(p, s, times.graph, o, plan, loops)
    columns = float(times.columns_of(o))
    if plan.over != OVER_K:
        w = weights_of(p, o, plan, o.k, columns)
        return pass_chunks(p, s, replace(w, width=min(w.width, columns)), loops)
    unit = 2 * p.core.columns if o.kind is K.GATE_UP else 0
    cut = scatter_of(p, o.n, unit or p.core.columns, columns, plan.chunks, unit)
    depth = times.share(o.k) if o.kind is K.DOWN else times.hidden
    return scatter_chunks(p, s, weights_of(p, o, plan, depth, o.n), loops, cut)


def _ends(p: Any, experts: Sequence[Expert], begin: float, first: float, refreshed: float) -> list[tuple[float, ...]]:
    """When the operators of every expert end, in the order of the graph."""
    number = len(experts)
    ahead = experts[0].first  # its rows wait in the FIFOs
    filled = min(p.dram.fifo_columns / p.dram.columns, ahead.parts[0].rows) * ahead.row * refreshed
    units = Units(p, first, -filled)
    copied, summed, active, results, over = ([0.0] * number for _ in range(5))
    for turn in range(number + 2):
        if turn < number:
            one = experts[turn]
            copied[turn] = units.several(one.rows, begin - units.latency, one.copied) if turn else begin
        e, f = turn - 2, turn - 1
        brought = 0.0
        if 0 <= e < number:
            brought = _brought(units, experts[e], max(active[e], over[e - 1] if e else 0.0))
        if 0 <= f < number:
            units.take(LANES, over[f - 2] if f > 1 else 0.0, 1.0)  # its space is free
            summed[f], active[f] = through(p, units, experts[f].first, copied[f] + SIGNAL, refreshed)
        if 0 <= e < number:
            _, results[e] = through(p, units, experts[e].second, brought, refreshed)
            over[e] = units.several(experts[e].rows, results[e], experts[e].added)
    return list(zip(copied, summed, active, results, over, strict=True))


def _brought(units: Units, expert: Expert, ready: float) -> float:
    """When the activations of an expert stand everywhere: every port passes on what has come by the other."""
    if expert.silent:
        ready = max(ready, units.several(1, ready, 1.0))
    came = [ready, ready]
    for _ in range(expert.steps):
        for port in PORTS:
            begin = units.take(port, came[port - PORT_0], expert.message)
            came[port - PORT_0] = begin + expert.message + expert.crossing
    return max(came)
