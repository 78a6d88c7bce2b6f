"""A scheduled step: work and time of every operator; equal ones are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nmpsim.analytic.model.counting.alike import alike
from nmpsim.analytic.model.counting.counts import StepCounts
from nmpsim.analytic.model.counting.rows import Shares, tiers_of
from nmpsim.analytic.model.counting.shares import begun
from nmpsim.analytic.model.counting.work import Work
from nmpsim.analytic.model.residual import CACHED
from nmpsim.analytic.model.timing.ahead import overlapped
from nmpsim.analytic.model.timing.places import words_from_results
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.stores import stored_by
from nmpsim.analytic.model.timing.times import StepTimes
from nmpsim.analytic.model.timing.units import SIGNAL, streaming, way
from nmpsim.program.schedule import OVER_NAMES, GemmPlan, Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ABSORBED, GEMM_KINDS, Operator, OperatorGraph, OperatorKind


@dataclass(frozen=True)
class Predicted:
    """An operator without calibration.

    Parameters
    ----------
    operator : Operator
    kind : str
        Under which coefficients are kept: kind, and dimension that is spread over the PUs.
    work : Work
    time : Time
    tiers : tuple of (int, float)
        Latency classes of what it reads, and share of the rows in each.
    """

    operator: Operator
    kind: str
    work: Work
    time: Time
    tiers: Shares


def prefix_of(graph: OperatorGraph, operator: Operator, *, first: bool) -> str:
    """Return what sets an operator apart from others of its kind, for `tag_of`; empty for most.

    The first gather of a layer begins under the router's last words, or behind the shared expert.  Attention on one
    row for all heads sends its results to the PUs of the heads.  How PUs are staggered when a norm begins is set by
    what comes before it, and PUs that are early have told their sums before.

    Parameters
    ----------
    graph : OperatorGraph
    operator : Operator
    first : bool
        Whether it is the first gather of its layer.
    """
    if first:
        return "first, behind a shared expert," if graph.model.gating.shared_ffn else "first"
    if operator.kind is OperatorKind.NORM:
        before = graph.operators[operator.depends[0]] if operator.depends else None
        if before is None or before.kind is not OperatorKind.RESIDUAL:
            return "latent" if before is not None and before.kind in GEMM_KINDS else "first"
        experts = graph.model.has_experts(before.layer)
        return "attention's" if before.name.endswith("attn_residual") else "experts'" if experts else "feed-forward's"
    latent = graph.model.latent
    attends = operator.kind in CACHED
    return "absorbed" if attends and latent is not None and latent.form == ABSORBED else ""


def tag_of(operator: Operator, over: int | None, prefix: str = "") -> str:
    """Return the name under which coefficients of an operator are kept.

    Parameters
    ----------
    operator : Operator
    over : int or None
        Dimension of the GEMM, or of the one whose result it consumes, that is spread over the PUs, or `TEAMS`; None
        without one.
    prefix : str
        From `prefix_of`.
    """
    name = str(operator.kind)
    if over is not None:
        name += f" {'over' if operator.kind in GEMM_KINDS else 'behind'} {SPREADS[over]}"
    if operator.expert >= 0:
        name += " of an expert"
    elif "shared" in operator.name:
        name += " of a shared expert"
    return f"{prefix} {name}" if prefix else name


CONSUMERS = frozenset({OperatorKind.ACTIVATION, OperatorKind.RESIDUAL, OperatorKind.COMBINE, OperatorKind.SAMPLING})
"""Kinds that consume the result of a GEMM chunk by chunk, or stand right behind it."""


class _OneChip(StepTimes):
    """Times on one chip: a GEMM is timed once, for itself and for what comes behind it."""

    @cached_property
    def _gemms(self) -> dict[tuple[Any, ...], tuple[Time, Time]]:
        return {}

    def gemm(self, index: int, plan: GemmPlan) -> tuple[Time, Time]:
        """Return the times of a GEMM; parameters as in `StepTimes.gemm`."""
        key = index, id(self.stream), self.begun
        if key not in self._gemms:
            self._gemms[key] = super().gemm(index, plan)
        return self._gemms[key]


TEAMS = len(OVER_NAMES)
SPREADS = (*OVER_NAMES, "teams")
"""How a GEMM is spread over the PUs."""


def _over(schedule: Schedule, index: int) -> int | None:
    """How a GEMM, or the one before a consumer, is spread."""
    operator = schedule.graph.operators[index]
    plans = [schedule.gemm[index]] if index in schedule.gemm else []
    if operator.kind in CONSUMERS:
        plans = [schedule.gemm[i] for i in operator.depends if i in schedule.gemm]
    return (TEAMS if plans[-1].team > 1 else plans[-1].over) if plans else None


def predict(schedule: Schedule, params: MachineParams, tokens: tuple[int, ...] = ()) -> list[Predicted]:
    """Return work and time of every operator of a step, in the order of the graph.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    tokens : tuple of int
        Token of every sequence, for the rows of the embedding; spread evenly if left out.
    """
    graph = schedule.graph
    classes, first = alike(graph, schedule.gemm)
    work = StepCounts(schedule, params).all(classes, first)
    tiers = tiers_of(graph, params, work, schedule.attention.turns, schedule.first_row)
    banks = params.dram.banks
    loads = (
        np.bincount(np.array(tokens) % banks, minlength=banks) if tokens else np.full(banks, -(-graph.batch // banks))
    )
    loads[0] += graph.model.rope_dim > 0  # its angles are the first constant
    deepest = int(loads.max())
    words = words_from_results(schedule, params, tokens)
    stores = stored_by(graph, schedule.attention, params)
    times = _OneChip(
        graph, params, schedule.gemm.__getitem__, schedule.attention, deepest=float(deepest), words=words, stores=stores
    )
    known: dict[tuple[Any, ...], tuple[str, Time]] = {}
    found = []
    for index, (operator, number, done, tier, fresh) in enumerate(
        zip(graph.operators, classes, work, tiers, begun(graph), strict=True)
    ):
        key = number, fresh, tier
        if key not in known:
            prefix = prefix_of(graph, operator, first=first[index])
            time = times.at(tier).of(index, first=first[index], begun=fresh)
            known[key] = tag_of(operator, _over(schedule, index), prefix), time
        kind, time = known[key]
        found.append(Predicted(operator, kind, done, time, tier))
    if schedule.ahead:
        for index, time in overlapped(times, schedule, {i: f.time for i, f in enumerate(found)}, tiers).items():
            found[index] = replace(found[index], kind=f"ahead {found[index].kind}", time=time)
    return found


def refreshes(params: MachineParams, found: Sequence[Predicted], cycles: Sequence[float]) -> int:
    """Return the refreshes of all banks in a step: bank i of b is due first after 1 + i / b intervals.

    A bank that has rows to read lets its refreshes wait, up to so many; it does them as soon as it waits itself.  Those
    that are owed when the step ends do not count.

    Parameters
    ----------
    params : MachineParams
    found : sequence of Predicted
    cycles : sequence of float
        Of each, calibrated or not.
    """
    dram = params.dram
    if not dram.refresh:
        return 0
    classes = [streaming(params, tier) for tier in range(dram.tiers)]
    interval, refreshed = float(classes[0].interval), float(classes[0].refreshed)
    near = params.cores // 2 * float(way(params, 1) + SIGNAL)  # of a gather, from neighbour to neighbour
    owed = 0.0
    for one, time in zip(found, cycles, strict=True):
        rows = one.work.ACT / dram.banks / params.cores
        busy = rows * sum(share * float(classes[tier].row) for tier, share in one.tiers)
        idle = max(0.0, time - busy)
        entry = min(idle, float(one.time.network) + near) if one.time.network else 0.0  # the banks wait for the input
        owed = max(0.0, owed - entry / refreshed) + time / interval
        owed = min(float(dram.postpone), max(0.0, owed - (idle - entry) / refreshed))
    due = np.floor(sum(cycles) / interval - np.arange(dram.banks) / dram.banks)
    return max(0, int(np.maximum(0, due).sum() - dram.banks * owed)) * params.cores
