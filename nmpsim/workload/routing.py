"""Which experts each token goes to: made by a seeded rule, or read from a file.

A routing is an input of the simulation, not a result: decode steps of real prompts are not run here.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from numpy.random import PCG64, Generator, SeedSequence

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.footprint import layer_faults
from nmpsim.workload.limits import MAX_BATCH, count_faults, is_integer, read_file, shown
from nmpsim.workload.model import Model

DISTRIBUTIONS = ("uniform", "zipf")
"""Rules of `synthetic_routing`."""

LARGEST_EXPONENT = 8.0
"""Largest Zipf exponent taken: beyond it the second expert already gets less than one token in 250."""

MOST_STEPS = 100_000
"""Latest decode step of a synthetic routing; each one is drawn after the one before."""

_WEIGHT_SCALE = 2**48
_LISTED = 6


@dataclass(frozen=True)
class Routing:
    """Experts of each token in each layer.

    Parameters
    ----------
    assignment : tuple of tuple of tuple of int
        ``assignment[layer][token]``: the distinct experts of the token; nothing for a layer without experts.
    origin : str
        Rule and seed, or file.
    """

    assignment: tuple[tuple[tuple[int, ...], ...], ...]
    origin: str

    @property
    def layers(self) -> int:
        """Layers covered."""
        return len(self.assignment)

    @property
    def batch(self) -> int:
        """Tokens of each layer."""
        return max((len(layer) for layer in self.assignment), default=0)

    @cached_property
    def tokens(self) -> tuple[Mapping[int, tuple[int, ...]], ...]:
        """Per layer, the tokens of each expert that has one: experts and tokens ascending."""
        result = []
        for layer in self.assignment:
            of_expert: dict[int, list[int]] = {}
            for token, experts in enumerate(layer):
                for expert in experts:
                    of_expert.setdefault(expert, []).append(token)
            result.append({expert: tuple(of_expert[expert]) for expert in sorted(of_expert)})
        return tuple(result)


def routing_faults(routing: Routing, model: Model, batch: int, layers: int, first_layer: int = 0) -> list[Fault]:
    """Faults of a routing for a step of ``batch`` tokens up to layer ``layers - 1``; it may cover more layers."""
    if not model.is_moe:
        return [Fault("routing", routing.origin, f"none: {model.name} has no experts", "leave the routing out")]
    todo = "make or read the routing for this model, batch and number of layers"
    if routing.layers < layers:
        return [Fault("routing", f"{routing.layers} layers", f"at least {layers} layers", todo)]
    faults = []
    for index, layer in enumerate(routing.assignment[:layers]):
        if index < first_layer or not model.has_experts(index):
            continue
        where = f"routing: layer {index}"
        if len(layer) != batch:
            faults.append(Fault(where, f"{len(layer)} tokens", f"{batch} tokens, one per sequence", todo))
        for token, experts in enumerate(layer):
            faults.extend(_expert_faults(f"{where}, token {token}", experts, model, todo))
    return faults


def synthetic_routing(
    model: Model,
    batch: int,
    layers: int | None = None,
    distribution: str = "uniform",
    exponent: float = 1.0,
    seed: int = 0,
    locality: float = 0.0,
    step: int = 0,
) -> Routing:
    """Routing by a random rule, the same on every machine.

    Each token draws its experts one after another without putting any back.  ``uniform``: all alike.  ``zipf``: the
    expert of rank r (from 1) with a chance proportional to r**-exponent; a random permutation, new in each layer,
    says which expert has which rank.  Layer l uses the raw output of PCG64 seeded with (seed, l), so a layer's routing
    does not depend on how many layers are asked for; weights are integers made by decimal arithmetic, so that no
    rounding of a mathematics library can change a draw.

    A model with expert groups: once a token's experts come from as many groups as it may use, the others are left out.
    Consecutive decode steps of the same sequences: in step t a token keeps each expert of step t - 1 with chance
    ``locality`` and draws the others anew.  Step 0 is as without locality.

    Parameters
    ----------
    model : Model
        A mixture of experts.
    batch : int
        Tokens, one per sequence.
    layers : int, optional
        The first layers only; all by default.
    distribution : str
        ``"uniform"`` or ``"zipf"``.
    exponent : float
        Skew of ``zipf``, 0 (uniform) to ``LARGEST_EXPONENT``; without effect for ``uniform``.
    seed : int
        Seed, at least 0.
    locality : float
        Chance to keep an expert from one step to the next, 0 to 1.
    step : int
        Decode step, from 0 on; at most ``MOST_STEPS``.

    Returns
    -------
    Routing
        ``layers`` times ``batch`` tuples of ``experts_per_token`` distinct experts, in the order drawn; no tuples for
        a layer without experts.

    Raises
    ------
    WorkloadError
        If the model is dense or an argument is out of range; all faults at once.

    Source
    ------
    Assumption: traces of a router are not public with the models; Zipf's law is the usual stand-in for skewed load.
    """
    depth = model.layers if layers is None else layers
    faults = [
        *_moe_faults(model),
        *count_faults("batch", batch, 1, MAX_BATCH, "give the number of sequences decoded together"),
        *layer_faults(model, depth),
        *count_faults("seed", seed, 0, 2**63 - 1, "give another seed"),
    ]
    if distribution not in DISTRIBUTIONS:
        faults.append(Fault("distribution", shown(distribution), " or ".join(DISTRIBUTIONS), "choose one of them"))
    if isinstance(exponent, bool) or not isinstance(exponent, int | float) or not 0 <= exponent <= LARGEST_EXPONENT:
        allowed = f"a number in 0..{LARGEST_EXPONENT:g}"
        faults.append(Fault("exponent", shown(exponent), allowed, "0 is uniform, about 1 is usual"))
    if isinstance(locality, bool) or not isinstance(locality, int | float) or not 0 <= locality <= 1:
        faults.append(Fault("locality", shown(locality), "a number in 0..1", "0: every step draws anew"))
    faults += count_faults("step", step, 0, MOST_STEPS, "give the number of a decode step")
    if faults:
        raise WorkloadError("no routing", faults)
    zipf = distribution == "zipf"
    weights = zipf_weights(model.experts, exponent if zipf else 0.0)
    keep = int(Decimal(locality) * _WEIGHT_SCALE)
    assignment: list[tuple[tuple[int, ...], ...]] = []
    for layer in range(depth):
        if not model.has_experts(layer):
            assignment.append(())
            continue
        source = _Draws(seed, layer)
        ranked = source.permutation(model.experts) if zipf else list(range(model.experts))
        count, groups = model.experts_per_token, model.gating.groups
        limit = (model.experts // groups if groups > 1 else 0, model.gating.kept_groups)
        tokens = [source.distinct(ranked, weights, count, (), *limit) for _ in range(batch)]
        for _ in range(step):
            kept = [[e for e in token if source.below(_WEIGHT_SCALE) < keep] for token in tokens]
            tokens = [source.distinct(ranked, weights, count, old, *limit) for old in kept]
        assignment.append(tuple(tokens))
    skew = f", exponent {exponent:g}" if zipf else ""
    time = f", step {step}, locality {locality:g}" if step else ""
    return Routing(tuple(assignment), f"synthetic {distribution}{skew}, seed {seed}{time}")


def zipf_weights(count: int, exponent: float) -> list[int]:
    """Integer weights for the ranks r = 1..count: 2**48 r**-exponent to the nearest integer, but at least 1.

    Decimal logarithms and exponentials are rounded correctly in software, hence alike on every machine.
    """
    if not exponent:
        return [_WEIGHT_SCALE] * count
    context = Context(prec=40)
    power = Decimal(exponent)
    scale = Decimal(_WEIGHT_SCALE)
    weights = []
    for rank in range(1, count + 1):
        share = context.exp(context.multiply(-power, context.ln(Decimal(rank))))
        weights.append(max(1, int(context.to_integral_value(context.multiply(scale, share)))))
    return weights


class _Draws:
    """Draws of one layer from the raw 64-bit output of PCG64, whose stream numpy keeps fixed."""

    def __init__(self, seed: int, layer: int) -> None:
        self._bits = Generator(PCG64(SeedSequence((seed, layer)))).bit_generator

    def below(self, bound: int) -> int:
        """Integer in 0..bound-1, all equally likely: the tail of the 64-bit range that would favour some is redrawn."""
        limit = 2**64 - 2**64 % bound
        while (raw := int(self._bits.random_raw())) >= limit:
            pass
        return raw % bound

    def permutation(self, count: int) -> list[int]:
        """Random order of 0..count-1 (Fisher-Yates)."""
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def distinct(
        self,
        ranked: Sequence[int],
        weights: Sequence[int],
        count: int,
        drawn: Sequence[int] = (),
        group_size: int = 0,
        most_groups: int = 1,
    ) -> tuple[int, ...]:
        """``count`` different members of ``ranked``, each draw with the weights of those still there.

        ``drawn`` are there already.  Members e come in groups e // group_size (0: one group of all), and from at most
        ``most_groups`` of them.
        """
        taken = list(drawn)
        rest = [pair for pair in zip(ranked, weights, strict=True) if pair[0] not in taken]
        even = weights[0] if weights.count(weights[0]) == len(weights) else 0
        full = False
        while len(taken) < count:
            groups = {member // group_size if group_size else 0 for member in taken}
            if group_size and not full and len(groups) >= most_groups:
                full = True
                rest = [pair for pair in rest if pair[0] // group_size in groups]
            ends = [] if even else list(accumulate(weight for _, weight in rest))
            mark = self.below(even * len(rest) if even else ends[-1])
            taken.append(rest.pop(mark // even if even else bisect_right(ends, mark))[0])
        return tuple(taken)


def load_routing(
    path: str | os.PathLike[str], model: Model, batch: int, layers: int | None = None, first_layer: int = 0
) -> Routing:
    """Routing read from JSON lines ``{"layer": 0, "token": 0, "experts": [3, 5]}``, in any order.

    Parameters
    ----------
    path : str or path
        The file; empty lines are skipped.
    model : Model
        A mixture of experts.
    batch : int
        Tokens, one per sequence.
    layers : int, optional
        The first layers only; all by default.  Lines of later layers of the model are checked and not used.
    first_layer : int
        Layers before it need no lines.

    Returns
    -------
    Routing
        The experts of every token in every layer.

    Raises
    ------
    WorkloadError
        If the model is dense, the file cannot be read, or a line is faulty (with its number), repeats a layer and
        token, or is missing; all faults at once.
    """
    depth = model.layers if layers is None else layers
    faults = [
        *_moe_faults(model),
        *count_faults("batch", batch, 1, MAX_BATCH, "give the number of sequences decoded together"),
        *layer_faults(model, depth),
    ]
    if faults:
        raise WorkloadError("no routing", faults)
    file = Path(path)
    try:
        text = read_file(file).decode("utf-8")
    except UnicodeDecodeError as error:
        fault = Fault(str(file), str(error), "JSON lines in UTF-8", "write the file anew")
        raise WorkloadError("cannot read the routing", [fault]) from error
    found = _read_lines(text, str(file), model, batch, faults)
    for layer in range(first_layer, depth):
        if not model.has_experts(layer):
            continue
        missing = [token for token in range(batch) if (layer, token) not in found]
        if missing:
            tokens = ", ".join(map(str, missing[:_LISTED])) + (", ..." if len(missing) > _LISTED else "")
            got = f"no line for {len(missing)} of {batch} tokens: {tokens}"
            todo = "add the lines, or ask for a smaller batch or fewer layers"
            faults.append(Fault(f"{file}: layer {layer}", got, "one line per token", todo))
    if faults:
        raise WorkloadError(f"{file}: not a routing of {model.name} for batch {batch}", faults)
    assignment = tuple(
        tuple(found[layer, token] for token in range(batch))
        if layer >= first_layer and model.has_experts(layer)
        else ()
        for layer in range(depth)
    )
    return Routing(assignment, f"file {file}")


def _read_lines(
    text: str, file: str, model: Model, batch: int, faults: list[Fault]
) -> dict[tuple[int, int], tuple[int, ...]]:
    """Experts of each layer and token that has a line (none if the line is unsound); faults are appended."""
    found: dict[tuple[int, int], tuple[int, ...]] = {}
    first_line: dict[tuple[int, int], int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        entry = _parse_line(line, where, model, batch, faults)
        if entry is None:
            continue
        layer, token, experts = entry
        if (layer, token) in found:
            got = f"layer {layer}, token {token} again (first in line {first_line[layer, token]})"
            faults.append(Fault(where, got, "each layer and token once", "remove one of the lines"))
            continue
        first_line[layer, token] = number
        found[layer, token] = experts
    return found


def routing_lines(routing: Routing) -> str:
    """Text of a routing as `load_routing` reads it: a JSON line for every layer and token."""
    lines = [
        json.dumps({"layer": layer, "token": token, "experts": list(experts)})
        for layer, tokens in enumerate(routing.assignment)
        for token, experts in enumerate(tokens)
    ]
    return "".join(f"{line}\n" for line in lines)


def _moe_faults(model: Model) -> list[Fault]:
    if model.is_moe:
        return []
    return [Fault("model", model.name, "a mixture of experts", "a dense model needs no routing")]


def _expert_faults(where: str, experts: Sequence[object], model: Model, todo: str) -> list[Fault]:
    """Faults of the experts of one token."""
    faults = [
        Fault(where, f"expert {shown(expert)}", f"an integer in 0..{model.experts - 1}", todo)
        for expert in experts
        if not (is_integer(expert) and 0 <= expert < model.experts)
    ]
    if len(experts) != model.experts_per_token:
        faults.append(Fault(where, f"{len(experts)} experts", f"{model.experts_per_token} experts per token", todo))
    known = [expert for expert in experts if is_integer(expert)]
    if len(set(known)) < len(known):
        faults.append(Fault(where, f"experts {shown(list(experts))}", "distinct experts", todo))
    gating = model.gating
    groups = {expert * gating.groups // model.experts for expert in known}
    if not faults and len(groups) > gating.kept_groups:
        allowed = f"experts of at most {gating.kept_groups} of {gating.groups} groups"
        faults.append(Fault(where, f"experts of {len(groups)} groups: {shown(list(experts))}", allowed, todo))
    return faults


def _parse_line(
    line: str, where: str, model: Model, batch: int, faults: list[Fault]
) -> tuple[int, int, tuple[int, ...]] | None:
    """Layer, token and experts of one line (faults are appended): None without a place, no experts if unsound."""
    todo = 'write {"layer": L, "token": T, "experts": [E, ...]}'
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        faults.append(Fault(f"{where}, column {error.colno}", f"corrupt JSON ({error.msg})", "a JSON object", todo))
        return None
    except (ValueError, RecursionError) as error:
        faults.append(Fault(where, f"corrupt JSON ({error})", "a JSON object", todo))
        return None
    keys = {"layer", "token", "experts"}
    if not isinstance(entry, dict) or set(entry) != keys:
        got = f"the keys {', '.join(map(repr, entry))}" if isinstance(entry, dict) else shown(entry)
        faults.append(Fault(where, got, "an object of layer, token and experts", todo))
        return None
    layer, token, experts = entry["layer"], entry["token"], entry["experts"]
    misplaced = [
        *count_faults(f"{where}: layer", layer, 0, model.layers - 1, f"name a layer of {model.name}"),
        *count_faults(f"{where}: token", token, 0, batch - 1, "name a token of the batch, or ask for a larger batch"),
    ]
    if isinstance(experts, list):
        unsound = _expert_faults(where, experts, model, f"name the experts of {model.name}")
    else:
        unsound = [Fault(f"{where}: experts", shown(experts), "a list", todo)]
    if not misplaced and not model.has_experts(layer):
        allowed = f"{model.gating.dense_layers}..{model.layers - 1}: the layers with experts"
        misplaced = [Fault(f"{where}: layer", f"{layer}, a dense layer", allowed, "remove the line")]
    faults.extend([*misplaced, *unsound])
    if misplaced:
        return None
    return layer, token, () if unsound else tuple(experts)
