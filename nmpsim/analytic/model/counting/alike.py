"""Which operators of a scheduled step are alike, so that work and time of them are found once.

Alike are operators of the same sizes, place in their layer and plans, of which those before them are so as well: layers
of a kind, and experts with as many tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmpsim.analytic.model.counting.shares import firsts
from nmpsim.program.schedule import GemmPlan
from nmpsim.workload import OperatorGraph, OperatorKind

NO_PLAN = -1
"""Number of the plan of an operator without one."""


def plan_numbers(gemm: Mapping[int, GemmPlan]) -> dict[int, int]:
    """Return a number for the plan of every GEMM, the same for equal plans.

    Parameters
    ----------
    gemm : mapping of int to GemmPlan
        By index into the graph.
    """
    of_object: dict[int, int] = {}  # many GEMMs share a plan: it is hashed once
    of_value: dict[GemmPlan, int] = {}
    found = {}
    for index, plan in gemm.items():
        number = of_object.get(id(plan))
        if number is None:
            number = of_object[id(plan)] = of_value.setdefault(plan, len(of_value))
        found[index] = number
    return found


def alike(graph: OperatorGraph, gemm: Mapping[int, GemmPlan]) -> tuple[list[int], list[bool]]:
    """Return the number of the class of every operator, and whether it is the first gather of its layer.

    Classes are numbered in the order in which they occur.

    Parameters
    ----------
    graph : OperatorGraph
    gemm : mapping of int to GemmPlan
        Plans of the operators.
    """
    first = firsts(graph, gemm)
    plans = plan_numbers(gemm)
    model = graph.model
    experts = {layer: model.has_experts(layer) for layer in {o.layer for o in graph.operators}}
    apart = graph.stacks > 1 and not model.gating.shared_ffn  # some tokens may have no expert on this stack
    tokens: dict[int, set[int]] = {}
    own: list[tuple[object, ...]] = []  # what is told of an operator without those before it
    known: dict[tuple[object, ...], int] = {}
    found = []
    for index, o in enumerate(graph.operators):
        name = o.name
        here = (
            name[name.rfind(".") + 1 :], o.m, o.n, o.k, o.vectors, o.expert >= 0, o.layer < 0, "shared" in name,
            experts[o.layer], plans.get(index, NO_PLAN),
        )  # fmt: skip
        own.append(here)
        depends = o.depends
        if apart and o.tokens:
            tokens.setdefault(o.layer, set()).update(o.tokens)
        before = own[depends[0]] if depends else None
        since = graph.operators[depends[0]].depends if depends else ()
        key = (
            here, o.kind, first[index], before, tuple([plans.get(i, NO_PLAN) for i in depends[:2]]),
            tuple([plans.get(i, NO_PLAN) for i in since[:2]]),
            len(tokens.get(o.layer, ())) if o.kind is OperatorKind.RESIDUAL else 0,
        )  # fmt: skip
        found.append(known.setdefault(key, len(known)))
    return found, first
