"""The search: the cheapest way through the step that fits into the buffer, by predicted cycles.

The layout of the feed-forward activation is one for all layers (*sliced* where down projections go over N, *packed*
over K), so the chain is solved once for each.  Room couples all choices: regions are as large as the largest plan
needs.  So plans are searched under limits (bytes of partial sums, fewest chunks); of all limits and plans of attention
the cheapest combination wins that the encoder can lay out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nmpsim.analytic.gemm import Cost
from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.encode.layout import ATTENDING
from nmpsim.program.schedule import OVER_K, OVER_N, AttentionPlan, GemmPlan, Schedule
from nmpsim.schedule.chain import IMPOSSIBLE, Option, Stage, cheapest
from nmpsim.schedule.predictions import SLICED, Predictions
from nmpsim.schedule.space import Key, Space, key_of
from nmpsim.workload import Operator, OperatorKind

Plan = TypeVar("Plan")


@dataclass(frozen=True)
class Limit:
    """Room that plans may take.

    Parameters
    ----------
    partial_bytes : int
        Most bytes of the results of a pass.
    chunks : int
        Fewest chunks of a reduction.
    lasting : bool
        Whether attention may stand beside regions of reductions.
    """

    partial_bytes: int
    chunks: int
    lasting: bool


@dataclass(frozen=True)
class Found:
    """What a search found.

    Parameters
    ----------
    schedule : Schedule
    cycles : int
        Predicted core cycles of everything that has a choice.
    down : int
        OVER_N or OVER_K: all down projections.
    limit : Limit
    """

    schedule: Schedule
    cycles: int
    down: int
    limit: Limit


class Search(Predictions):
    """Finds the cheapest schedule of a space.

    Parameters
    ----------
    space : Space
    base : Predictions, optional
        As for `Predictions`.
    """

    def __init__(self, space: Space, base: Predictions | None = None) -> None:
        super().__init__(space, base)
        self._stages: dict[tuple[Key, int, str, int, Limit], tuple[Stage, list[GemmPlan]]] = {}

    # ------------------------------------------------------------------------------------------------------- the chain

    def allowed(self, index: int, down: int, limit: Limit) -> list[tuple[GemmPlan, Cost]]:
        """Plans of a GEMM under a limit.

        Parameters
        ----------
        index : int
        down : int
            OVER_N or OVER_K: all down projections.
        limit : Limit
        """
        operator = self.graph.operators[index]
        kept = []
        for plan, cost in self.costs(index):
            reduces = self.space.reduces(operator, plan)
            if self.space.partial_bytes(operator, plan) > limit.partial_bytes:
                continue
            if reduces and plan.chunks < limit.chunks and not self._finest(operator, plan):
                continue
            if reduces and not limit.lasting and operator.kind in ATTENDING:
                continue
            if operator.kind is OperatorKind.DOWN and plan.over != down:
                continue
            kept.append((plan, cost))
        return kept

    def _finest(self, operator: Operator, plan: GemmPlan) -> bool:
        return plan.chunks == max(p.chunks for p in self.space.plans(operator))

    def stages(self, down: int, limit: Limit) -> tuple[list[Stage], list[tuple[int, list[GemmPlan]]]] | None:
        """Return the chain of all GEMMs under a limit, with what its options stand for; None if one has none.

        Only one plan of each pair of layouts stands in the chain, see `representative`.

        Parameters
        ----------
        down : int
        limit : Limit
        """
        stages, meaning = [], []
        for index, operator in self.space.gemms.items():
            enters = self.enters(operator)
            key = key_of(operator), self.tiers[index], enters, down, limit
            if key not in self._stages:
                best = self._representatives(index, down, limit)
                options = tuple(Option(cost, *layouts) for layouts, (cost, _) in best.items())
                self._stages[key] = Stage(options, self.gathering(index), enters), [plan for _, plan in best.values()]
            stage, plans = self._stages[key]
            if not stage.options:
                return None
            stages.append(stage)
            meaning.append((index, plans))
        return stages, meaning

    def _representatives(self, index: int, down: int, limit: Limit) -> dict[tuple[str, str], tuple[int, GemmPlan]]:
        """Cost and plan that stand for all of each pair of layouts."""
        operator = self.graph.operators[index]
        alike: dict[tuple[str, str], list[tuple[GemmPlan, Cost]]] = {}
        for plan, cost in self.allowed(index, down, limit):
            alike.setdefault(self.layouts(operator, plan, down), []).append((plan, cost))
        order = {plan: number for number, plan in enumerate(self.space.plans(operator))}
        chosen = {key: representative(pairs, order, self.unresolved(index)) for key, pairs in alike.items()}
        return {key: (math.ceil(cost.total), plan) for key, (plan, cost) in chosen.items()}

    def solve(self, down: int, limit: Limit) -> tuple[int, dict[int, GemmPlan]] | None:
        """Return the least cost of all GEMMs under a limit, and their plans; None if there is no way.

        Parameters
        ----------
        down : int
        limit : Limit
        """
        chain = self.stages(down, limit)
        way = cheapest(chain[0], SLICED) if chain is not None else None
        if chain is None or way is None:
            return None
        return way[0], {i: plans[number] for (i, plans), number in zip(chain[1], way[1], strict=True)}

    # ------------------------------------------------------------------------------------------------------- all of it

    def limits(self) -> Iterator[Limit]:
        """Yield the limits, the widest first."""
        alike = {key_of(o): o for o in self.space.gemms.values()}.values()
        sizes = {self.space.partial_bytes(o, p) for o in alike for p in self.space.plans(o)}
        finest = {p.chunks for o in alike for p in self.space.plans(o) if p.reduces}
        for lasting in (True, False):
            for size in sorted(sizes, reverse=True):
                for chunks in sorted(finest | {1}):
                    yield Limit(size, chunks, lasting)

    def best(self, below: int = IMPOSSIBLE) -> Found:
        """Return the cheapest schedule that fits.

        Parameters
        ----------
        below : int
            Predicted core cycles from which on nobody is interested.

        Raises
        ------
        InfeasibleError
            If none does.
        """
        limits = list(self.limits())
        tried = 0
        for some in (limits[:1], limits):  # what fits without a limit is the cheapest of all
            found = self._solutions(some)
            for cycles, number, attention in self._combinations([f[0] for f in found], first=some != limits):
                if cycles >= below:
                    break
                _, down, limit, gemm = found[number]
                schedule = self.space.schedule(gemm, attention)
                tried += 1
                if self.space.fits(schedule):
                    return Found(schedule, cycles, down, limit)
        fault = Fault(
            "core.buffer.bytes",
            f"{tried} choices for GEMMs and attention",
            f"one that fits into {self.params.core.buffer_bytes} bytes",
            "a smaller batch or context, or a larger core.buffer.bytes",
        )
        raise InfeasibleError("no searched schedule fits into the buffer", [fault])

    def ahead(self, schedule: Schedule) -> Schedule:
        """Return a schedule with experts that begin ahead of one another, where that saves cycles and fits.

        The plans stay, so all that must be resolved is the end of the step: one row cycle and refresh.

        Parameters
        ----------
        schedule : Schedule
        """
        early = replace(schedule, ahead=True)
        pays = self.space.overlaps_experts and self.saved(schedule) > self.unresolved(-1)
        return early if pays and self.space.fits(early) else schedule

    def _solutions(self, limits: list[Limit]) -> list[tuple[int, int, Limit, dict[int, GemmPlan]]]:
        """Solve the chain under limits; each way once, cheapest first."""
        found: dict[tuple[tuple[int, GemmPlan], ...], tuple[int, int, Limit, dict[int, GemmPlan]]] = {}
        for down in (OVER_N, OVER_K):
            for limit in limits:
                solved = self.solve(down, limit)
                if solved is not None:
                    found.setdefault(tuple(solved[1].items()), (solved[0], down, limit, solved[1]))
        return sorted(found.values(), key=lambda f: f[0])

    def _combinations(self, gemms: list[int], *, first: bool) -> Iterator[tuple[int, int, AttentionPlan]]:
        """Yield (cycles, number of the GEMMs, plan of attention), cheapest first; the same room only once.

        `first`: only the first of all.
        """
        layers = self.graph.layers
        order = {plan: (cost.array, number) for number, (plan, cost) in enumerate(self.attention)}
        alike: dict[tuple[int, int, int, int], list[tuple[AttentionPlan, Cost]]] = {}
        for plan, cost in self.attention:
            planes = plan.value.planes(self.params.core)
            alike.setdefault((plan.parts, plan.turns, plan.together, planes), []).append((plan, cost))
        rooms = [representative(pairs, order, self.unresolved(-1)) for pairs in alike.values()]
        least = self.attention[0][1].total + self.unresolved(-1) if rooms else 0.0
        every = [
            (cycles + layers * math.ceil(max(least, cost.total)), number, order[plan], plan)
            for number, cycles in enumerate(gemms)
            for plan, cost in rooms
        ]
        for total, number, _, plan in sorted(every, key=lambda e: e[:3])[: 1 if first else None]:
            yield total, number, plan


def representative(
    pairs: Sequence[tuple[Plan, Cost]], order: Mapping[Plan, Any], unresolved: float
) -> tuple[Plan, Cost]:
    """Return the plan that stands for all: of those as cheap as the cheapest, as far as can be told, the first in line.

    Parameters
    ----------
    pairs : sequence of plan and Cost
        Cheapest first.
    order : mapping of plan to rank
        The order in which the plain schedule would take them: fewest array cycles first.
    unresolved : float
        Difference that does not count; core cycles.
    """
    limit = pairs[0][1].total + unresolved
    return min((pair for pair in pairs if pair[1].total <= limit), key=lambda pair: order[pair[0]])
