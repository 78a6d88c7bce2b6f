"""Predicted cycles of every plan of a step, and of whole schedules.

Between operators an activation stands in a layout:

=======  ===================================================================================
sliced   every PU has its own columns, at their place in the whole matrix
packed   every PU has its own columns alone; they cannot be gathered
whole    every PU has all columns
=======  ===================================================================================

A GEMM over N takes *whole* and one over K takes *sliced*; sliced to whole is an all-gather and has its cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from nmpsim.analytic.attention import Product, attention_cost, product
from nmpsim.analytic.feeds import resolution
from nmpsim.analytic.gemm import Cost, gather_cost, gemm_cost, least_cycles
from nmpsim.program.schedule import OVER_K, OVER_N, AttentionPlan, GemmPlan, PassPlan, Schedule
from nmpsim.schedule.chain import IMPOSSIBLE
from nmpsim.schedule.plain import widest
from nmpsim.schedule.space import Space
from nmpsim.workload import HEAD_KINDS, Operator, OperatorKind

SLICED, PACKED, WHOLE = "sliced", "packed", "whole"

FEED = frozenset({OperatorKind.GATE_UP, OperatorKind.UP})
"""GEMMs whose activated result a down projection takes."""


class Predictions:
    """Predicts plans of a space.

    Parameters
    ----------
    space : Space
    base : Predictions, optional
        Of the same step and with the same plans of attention: what it has predicted of them is not predicted again.
    """

    def __init__(self, space: Space, base: Predictions | None = None) -> None:
        self.space, self.graph, self.params, self.base = space, space.graph, space.params, base

    @cached_property
    def tiers(self) -> dict[int, int]:
        """Tier that the weights of each GEMM begin in, tensors one behind the other; and at -1 that of the cache."""
        dram, pus = self.params.dram, self.params.cores
        row_bytes = dram.columns * dram.column_bytes * dram.banks * pus
        weights = self.graph.weight_bytes + self.graph.gain_bytes + self.graph.embedding_bytes
        cache = self.graph.kv_read_bytes // row_bytes
        first_is_cache = self.params.fill == "kv_first"
        row = self.space.first_row + (cache if first_is_cache else 0)
        found = {-1: self.space.first_row + (0 if first_is_cache else weights // row_bytes)}
        passed = 0
        for i, operator in enumerate(self.graph.operators):
            found[i] = row + passed // row_bytes
            passed += operator.weight_bytes
        return {i: min(dram.tiers - 1, at // dram.rows_per_tier) for i, at in found.items()}

    def costs(self, index: int) -> tuple[tuple[GemmPlan, Cost], ...]:
        """Return plans of a GEMM with their predicted cost, cheapest first: all but teams that cannot be chosen.

        Left out are plans on teams that are slower than one over N which takes no more room, by more than
        predictions resolve.

        Parameters
        ----------
        index : int
            Into the graph.
        """
        operator, tier = self.graph.operators[index], self.tiers[index]
        sizes, known = self.space.sizes(operator), self.space.shared.costs
        if (sizes, tier) not in known:
            shares, found = sizes[1], []
            simple: dict[int, float] = {}  # least cost over N by bytes of partial sums
            for plan in self.space.plans(operator):
                room = self.space.partial_bytes(operator, plan)
                if plan.team > 1:
                    enough = min((c for r, c in simple.items() if r <= room), default=math.inf) + self.unresolved(index)
                    least = least_cycles(self.params, operator, plan, shares, tier, enough)
                    if least is None or least > enough:
                        continue
                cost = self.cost(index, plan)
                if cost is None:
                    continue
                found.append((plan, cost))
                if not plan.reduces:
                    simple[room] = min(cost.total, simple.get(room, math.inf))
            known[sizes, tier] = tuple(sorted(found, key=lambda pair: pair[1].total))
        return known[sizes, tier]

    def cost(self, index: int, plan: GemmPlan) -> Cost | None:
        """Return the predicted cost of any plan of a GEMM; None if it is not possible.

        Parameters
        ----------
        index : int
            Into the graph.
        plan : GemmPlan
        """
        operator, tier = self.graph.operators[index], self.tiers[index]
        sizes = self.space.sizes(operator)
        known = self.space.shared.single.setdefault((sizes, tier), {})
        if plan not in known:
            known[plan] = gemm_cost(self.params, operator, plan, sizes[1], tier)
        return known[plan]

    def gather(self, index: int) -> int:
        """Core cycles that bring the sliced input of a GEMM to all PUs.

        Parameters
        ----------
        index : int
            Into the graph.
        """
        operator, model, pus = self.graph.operators[index], self.graph.model, self.params.cores
        m, k, regions = operator.m, operator.k, 1
        columns = widest(k, self.params.core.columns, pus)
        if operator.kind is OperatorKind.ATTN_OUT:
            tasks = self.graph.batch * model.kv_heads
            if model.kv_heads % pus:  # rows of some sequences, by KV head
                m, columns = min(m, -(-tasks // pus)), k // model.kv_heads
            else:
                regions = model.kv_heads // pus
                columns = k // model.kv_heads
        return math.ceil(gather_cost(self.params, m, columns, regions))

    @cached_property
    def attention(self) -> tuple[tuple[AttentionPlan, Cost], ...]:
        """All plans of attention with their predicted cost in a layer, cheapest first."""
        if self.base is not None:
            return self.base.attention
        found = []
        for plan in self._undominated():
            cost = self.attention_cost(plan)
            if cost is not None:
                found.append((plan, cost))
        return tuple(sorted(found, key=lambda pair: pair[1].total))

    def attention_cost(self, plan: AttentionPlan) -> Cost | None:
        """Return the predicted cost of a plan of attention in a layer; None if it is not possible.

        Parameters
        ----------
        plan : AttentionPlan
        """
        return attention_cost(self.params, self.graph, plan, self.tiers[-1])

    def _undominated(self) -> Iterator[AttentionPlan]:
        """Yield the plans of attention of which neither product is slower in every respect than another one's.

        They include a cheapest one, since everything that follows a product only gets later when it does.
        """
        model, tier, group = self.graph.model, self.tiers[-1], self.graph.group
        known: dict[tuple[int, int, bool], dict[PassPlan, Product]] = {}
        for plan in self.space.attention:
            m, tokens = group // plan.turns, -(-self.graph.most_tokens // plan.parts)
            good = True
            for values, shape in enumerate((plan.score, plan.value)):
                key = plan.parts, plan.turns, bool(values)
                if key not in known:
                    n, k = (model.value_dim, tokens) if values else (tokens, model.key_dim)
                    known[key] = _best_products(
                        {s: product(self.params, tier, s, m, n, k) for s in self.space.attention_shapes[values]}
                    )
                good = good and shape in known[key]
            if good:
                yield plan

    def layouts(self, operator: Operator, plan: GemmPlan, down: int) -> tuple[str, str]:
        """Return the layouts that a plan takes and gives.

        Parameters
        ----------
        operator : Operator
        plan : GemmPlan
        down : int
        """
        if operator.kind in HEAD_KINDS or operator.kind is OperatorKind.ROUTER:
            return SLICED, SLICED
        feed = PACKED if down == OVER_K else SLICED
        gives = feed if operator.kind in FEED else SLICED
        if operator.kind is OperatorKind.DOWN:
            return (PACKED if plan.over == OVER_K else WHOLE), gives
        return (SLICED if plan.over == OVER_K else WHOLE), gives

    def unresolved(self, index: int) -> float:
        """Core cycles by which predictions of plans of an operator must differ to count; index -1: attention."""
        return resolution(self.params, self.tiers[index])

    def enters(self, operator: Operator) -> str:
        """Layout of the input of a GEMM, where it is not the result of the one before."""
        if operator.kind is OperatorKind.DOWN:
            return ""
        routed = operator.kind in FEED and ".expert" in operator.name
        return WHOLE if routed else SLICED  # rows of an expert have been gathered once for all experts

    def gathering(self, index: int) -> Gathering:
        """Return the cost of changes of layout in front of a GEMM."""
        return Gathering(self.gather(index))

    def change(self, index: int, takes: str) -> int:
        """Core cycles that bring the input of a GEMM into the layout that a plan takes.

        Parameters
        ----------
        index : int
        takes : str
        """
        enters = self.enters(self.graph.operators[index]) or (SLICED if takes == WHOLE else takes)
        return self.gathering(index)(enters, takes)

    def predicted(self, schedule: Schedule) -> int | None:
        """Return the predicted core cycles of everything that has a choice; None if a plan is not possible.

        Parameters
        ----------
        schedule : Schedule
            Of the same step, from anywhere.
        """
        attention = self.attention_cost(schedule.attention)
        downs = [schedule.gemm[i].over for i, o in self.space.gemms.items() if o.kind is OperatorKind.DOWN]
        if attention is None:
            return None
        total, layout = self.graph.layers * math.ceil(attention.total), SLICED
        for index, operator in self.space.gemms.items():
            cost = self.cost(index, schedule.gemm[index])
            if cost is None:
                return None
            takes, gives = self.layouts(operator, schedule.gemm[index], downs[0] if downs else OVER_N)
            total += math.ceil(cost.total) + self.gathering(index)(self.enters(operator) or layout, takes)
            layout = gives
        return total - (self.saved(schedule) if schedule.ahead else 0)

    def saved(self, schedule: Schedule) -> int:
        """Return the predicted core cycles that a schedule saves if experts begin ahead of one another.

        Between the second GEMMs of two experts then lies what the compute unit takes for both GEMMs, or the gather and
        the second GEMM, which waits for the expert before, or what vector unit and network take, whichever is more.

        Parameters
        ----------
        schedule : Schedule
            Whose plans are possible.
        """
        total, second = 0.0, None
        for index, operator in self.space.gemms.items():
            if ".expert" not in operator.name:
                second = None
                continue
            cost = self.cost(index, schedule.gemm[index])
            if cost is None:
                return 0
            if operator.kind is OperatorKind.DOWN:
                takes, _ = self.layouts(operator, schedule.gemm[index], schedule.gemm[index].over)
                second = self.change(index, takes), cost
            elif second is not None:
                gather, down = second
                alone = gather + down.total
                compute = max(down.array, down.stream) + max(cost.array, cost.stream)
                others = max(down.vector + cost.vector, gather + down.network + cost.network)
                total += max(0.0, alone + cost.total - max(alone, compute, others))
        return math.floor(total)

    def doubt(self, one: Schedule, other: Schedule) -> float:
        """Return the difference of two predictions, in core cycles, that tells nothing.

        It is what predictions of all operators do not resolve in which the two schedules differ.

        Parameters
        ----------
        one, other : Schedule
        """
        gemms = sum(self.unresolved(i) for i in self.space.gemms if one.gemm[i] != other.gemm[i])
        return gemms + (self.graph.layers * self.unresolved(-1) if one.attention != other.attention else 0.0)


def _best_products(products: dict[PassPlan, Product | None]) -> dict[PassPlan, Product]:
    """Leave out what cannot be, and what is dominated by one that is left; of equals the first stays."""
    kept: dict[PassPlan, Product] = {}
    for shape, one in products.items():
        if one is None or any(other.dominates(one) for other in kept.values()):
            continue
        kept = {s: other for s, other in kept.items() if not one.dominates(other)} | {shape: one}
    return kept


@dataclass(frozen=True)
class Gathering:
    """Changes of layout in front of one operator."""

    cycles: int

    def __call__(self, have: str, want: str) -> int:
        """Return core cycles from the layout that stands to the one that is wanted."""
        if have == want or (have, want) == (WHOLE, SLICED):
            return 0
        return self.cycles if (have, want) == (SLICED, WHOLE) else IMPOSSIBLE
