"""Which stack holds which expert, and how evenly the tokens of a step then fall on the stacks."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.limits import count_faults, shown
from nmpsim.workload.model import Model
from nmpsim.workload.routing import Routing

PLACEMENTS = ("blocks", "round_robin")
"""Rules of `place_experts`."""

MOST_STACKS = 4096
"""Most stacks taken."""


@dataclass(frozen=True, slots=True)
class StackLoad:
    """What one layer of a step asks of one stack.

    Parameters
    ----------
    experts : int
        Distinct experts of the stack that some token goes to: their weights are read.
    tokens : int
        Pairs of token and expert that the stack computes.
    """

    experts: int
    tokens: int


def place_experts(model: Model, stacks: int, rule: str = "blocks") -> tuple[int, ...]:
    """Place the experts of every layer on the stacks.

    Parameters
    ----------
    model : Model
        A mixture of experts.
    stacks : int
        Number of stacks.
    rule : str
        ``blocks``: consecutive experts together, as evenly as possible (the stacks before the others get one expert
        less where they do not divide); ``round_robin``: expert e on stack e mod stacks.

    Returns
    -------
    tuple of int
        Stack of each expert.

    Raises
    ------
    WorkloadError
        If the model is dense, or an argument is out of range; all faults at once.
    """
    faults = count_faults("stacks", stacks, 1, MOST_STACKS, "give the number of stacks")
    if not model.is_moe:
        faults.append(Fault("model", model.name, "a mixture of experts", "a dense model has no experts to place"))
    if rule not in PLACEMENTS:
        faults.append(Fault("placement", shown(rule), " or ".join(PLACEMENTS), "choose one of them"))
    if faults:
        raise WorkloadError("no placement of experts", faults)
    if rule == "round_robin":
        return tuple(expert % stacks for expert in range(model.experts))
    ends = [model.experts * (stack + 1) // stacks for stack in range(stacks)]
    return tuple(bisect_right(ends, expert) for expert in range(model.experts))


def stack_loads(routing: Routing, layer: int, placement: tuple[int, ...], stacks: int) -> tuple[StackLoad, ...]:
    """Return what a layer asks of each stack.

    Parameters
    ----------
    routing : Routing
    layer : int
        A layer that the routing covers.
    placement : tuple of int
        Stack of each expert, from `place_experts`.
    stacks : int
        Number of stacks.
    """
    experts, tokens = [0] * stacks, [0] * stacks
    for expert, rows in routing.tokens[layer].items():
        experts[placement[expert]] += 1
        tokens[placement[expert]] += len(rows)
    return tuple(StackLoad(e, t) for e, t in zip(experts, tokens, strict=True))


def describe_routing(model: Model, routing: Routing, stacks: int = 1, rule: str = "blocks") -> str:
    """Text with the distinct experts of every layer and how they fall on the stacks.

    Parameters
    ----------
    model : Model
    routing : Routing
    stacks : int
    rule : str
        As for `place_experts`.

    Returns
    -------
    str
        A line per layer with experts: distinct experts, and with several stacks the fewest and most of a stack and the
        imbalance, the most over the mean.

    Raises
    ------
    WorkloadError
        As `place_experts`.
    """
    placement = place_experts(model, stacks, rule)
    lines = [f"{model.name}, batch {routing.batch}, {routing.origin}; {stacks} stacks, {rule}"]
    for layer in range(routing.layers):
        if not routing.assignment[layer]:
            continue
        loads = stack_loads(routing, layer, placement, stacks)
        experts = [load.experts for load in loads]
        line = f"  layer {layer:<4d} {sum(experts):>5d} of {model.experts} experts"
        if stacks > 1:
            tokens = [load.tokens for load in loads]
            words = f"{min(experts)}..{max(experts)} a stack, tokens {min(tokens)}..{max(tokens)}"
            line += f"; {words}, imbalance {max(experts) * stacks / sum(experts):.3f}"
        lines.append(line)
    return "\n".join(lines)
