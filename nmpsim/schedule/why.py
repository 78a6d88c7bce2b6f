"""Why a schedule is as it is: for every operator with a choice, what other plans it might have had and their cost."""

from __future__ import annotations

from nmpsim.analytic.gemm import Cost
from nmpsim.program.schedule import GemmPlan, PassPlan, Schedule
from nmpsim.schedule.search import Search
from nmpsim.schedule.space import key_of
from nmpsim.spec.params import CoreParams

SHOWN = 5
"""Alternatives that are printed of each operator."""

HEAD = f"{'':2s}{'cycles':>8s} {'array':>8s} {'stream':>8s} {'vector':>8s} {'network':>8s} {'layout':>7s}  plan"


def _text(core: CoreParams, plan: GemmPlan) -> str:
    chunks = f", {plan.chunks} chunks" if plan.reduces else ""
    return f"{plan.spread}, {plan.shape.text(core)} {plan.shape.layout}-contiguous{chunks}"


def _line(mark: str, cost: Cost, layout: int, text: str) -> str:
    parts = f"{cost.array:8.0f} {cost.stream:8.0f} {cost.vector:8.0f} {cost.network:8.0f}"
    return f"{mark:2s}{cost.total + layout:8.0f} {parts} {layout:7d}  {text}"


def _verdict(search: Search, index: int, chosen: tuple[float, GemmPlan], cheapest: tuple[float, GemmPlan]) -> str:
    """Say in a sentence why a plan was taken though another may be cheaper by itself."""
    more = chosen[0] - cheapest[0]
    if chosen[1] == cheapest[1]:
        return "taken: the cheapest"
    if more <= search.unresolved(index):
        limit = search.unresolved(index)
        return f"taken: {more:.0f} cycles behind the cheapest, less than the {limit:.0f} a prediction resolves; simpler"
    if chosen[1].over != cheapest[1].over:
        return f"taken: {more:.0f} more than the cheapest, for the layout of its neighbours, for room, or by the policy"
    return f"taken: {more:.0f} cycles more than the cheapest, which takes more room or is not the policy's"


def _whole(search: Search, schedule: Schedule) -> list[str]:
    """Lines of the whole step: what is predicted of the schedule, and of the one that the search finds."""
    told = search.predicted(schedule)
    found = search.ahead(search.best().schedule)
    least = search.predicted(found)
    if told is None or least is None:
        return []
    doubt = search.doubt(schedule, found)
    lines = [f"whole step: {told} cycles predicted; {least} of the cheapest schedule that fits"]
    if found != schedule:
        lines.append(f"the difference counts if it is more than {doubt:.0f}, which predictions do not resolve")
    if search.graph.model.is_moe:
        taken = "taken" if schedule.ahead else "not taken: it does not pay, does not fit, or is not the policy's"
        saved = search.saved(schedule)
        lines.append(f"first GEMM of an expert before the second of the one before: {saved} cycles less; {taken}")
    return lines


def explain(search: Search, schedule: Schedule, *, shown: int = SHOWN) -> list[str]:
    """Return lines of text: per operator the alternatives, their costs, and why the one taken was taken.

    Parameters
    ----------
    search : Search
        Over the whole space.
    schedule : Schedule
        Of any policy.
    shown : int
        Alternatives of each operator.
    """
    core = search.params.core
    lines = [
        *_whole(search, schedule),
        "predicted core cycles of the slowest PU; array, stream, vector, network overlap; layout is the gather before",
        HEAD,
    ]
    told: dict[object, str] = {}
    for index, operator in search.space.gemms.items():
        plan = schedule.gemm[index]
        same = key_of(operator), search.tiers[index], plan
        if same in told:
            lines.append(f"{operator.name}: as {told[same]}")
            continue
        told[same] = operator.name
        ranked = []
        costs = list(search.costs(index))
        if all(other != plan for other, _ in costs):  # one on teams that no search would take
            mine = search.cost(index, plan)
            costs += [(plan, mine)] if mine is not None else []
        for other, cost in costs:
            takes, _ = search.layouts(operator, other, other.over)
            layout = search.change(index, takes)
            ranked.append((cost.total + layout, layout, other, cost))
        ranked.sort(key=lambda entry: entry[0])
        number = len(search.space.plans(operator))
        kept = f", {len(ranked)} of them worth a comparison" if len(ranked) < number else ""
        lines.append(f"{operator.name}  M {operator.m} N {operator.n} K {operator.k}, {number} plans{kept}")
        place = next((i for i, entry in enumerate(ranked) if entry[2] == plan), None)
        for i, (_, layout, other, cost) in enumerate(ranked):
            if i < shown or i == place:
                lines.append(_line("*" if i == place else "", cost, layout, _text(core, other)))
        if place is not None:
            chosen, least = ranked[place], ranked[0]
            lines.append("  " + _verdict(search, index, (chosen[0], chosen[2]), (least[0], least[2])))
    return lines + _attention(search, schedule, shown)


def _shapes(core: CoreParams, score: PassPlan, value: PassPlan) -> str:
    return f"scores {score.text(core)}, values {value.text(core)}"


def _attention(search: Search, schedule: Schedule, shown: int) -> list[str]:
    """Lines of the attention of one layer."""
    core, taken = search.params.core, schedule.attention
    ranked = list(search.attention)
    if all(plan != taken for plan, _ in ranked):
        cost = search.attention_cost(taken)
        ranked += [(taken, cost)] if cost is not None else []
    ranked.sort(key=lambda pair: pair[1].total)
    lines = [
        f"attention of a layer, {len(search.space.attention)} plans, {len(search.attention)} of them not dominated"
    ]
    for i, (plan, cost) in enumerate(ranked):
        if i < shown or plan == taken:
            turns = f", {plan.turns} turns" if plan.turns > 1 else ""
            spread = f"{plan.parts} parts, {plan.together} tasks together{turns}"
            text = f"{spread}, {_shapes(core, plan.score, plan.value)}"
            lines.append(_line("*" if plan == taken else "", cost, 0, text))
    return lines
