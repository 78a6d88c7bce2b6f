"""From names to a planned step: model and chip loaded, the step cut into the parts of its stacks, capacity checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from nmpsim.errors import Fault, SpecError, WorkloadError
from nmpsim.program.schedule import Schedule
from nmpsim.schedule.graphs import StackGraphs
from nmpsim.schedule.modes import Modes
from nmpsim.schedule.policy import DEFAULT, checked, make_schedule
from nmpsim.schedule.space import Space
from nmpsim.schedule.stacks import StackPrograms
from nmpsim.spec import ChipSpec, load_chip, resolve
from nmpsim.spec.params import MachineParams
from nmpsim.workload import (
    PLAIN,
    Model,
    OperatorGraph,
    Routing,
    decode_step,
    footprint_bytes,
    load_model,
    load_routing,
    read_precision,
    step_faults,
    synthetic_routing,
    with_form,
)
from nmpsim.workload.routing import routing_faults
from nmpsim.workload.shards import choose_stacks, largest_shard, shard_faults


@dataclass(frozen=True)
class Plan:
    """A step on one or several stacks, before programs are encoded: made by `plan_step`."""

    model: Model
    chip: ChipSpec
    params: MachineParams
    graphs: StackGraphs
    tokens: tuple[int, ...]
    first_row: int
    options: dict[str, object]
    modes: Modes | None = None
    policy: str = DEFAULT
    seed: int = 0

    @property
    def dataflows(self) -> tuple[str, ...]:
        """Dataflows of the chip."""
        return tuple(self.chip.core.array.dataflows) if self.chip.core.array is not None else ()

    @property
    def space(self) -> Space:
        """All plans of the step; of several stacks, of the part of the first."""
        return Space(self.graphs[0], self.params, self.dataflows, self.first_row, self.modes or Modes())

    def schedule(self) -> Schedule:
        """Schedule of the step on one stack."""
        return make_schedule(self.policy, self.space, self.seed)

    def stack_programs(self) -> StackPrograms:
        """Schedules of all stacks."""
        return self._programs(self.graphs)

    def compared(self) -> StackPrograms:
        """As few layers as show whether all stacks do the same in all of them.

        Two of layers that are all alike, since spaces and semaphores are used in turn; every one where experts differ.
        """
        first, layers = self.graphs[0].first_layer, self.graphs[0].layers
        if not any(map(self.model.has_experts, range(first, first + layers))):
            layers = min(2, layers)
        graphs = [
            decode_step(self.model, g.batch, g.context, layers, g.routing, first, g.precision, g.shard)
            for g in self.graphs
        ]
        return self._programs(graphs)

    def _programs(self, graphs: Sequence[OperatorGraph]) -> StackPrograms:
        chosen = self.modes, self.policy, self.seed
        return StackPrograms(tuple(graphs), self.params, self.dataflows, self.tokens, self.first_row, *chosen)


def plan_step(
    model: str | Path | Model,
    chip: str | Path | ChipSpec,
    *,
    batch: int = 1,
    context: int = 1024,
    layers: int | None = None,
    seed: int = 0,
    routing: str | Routing = "uniform",
    first_tier: int = 0,
    first_layer: int = 0,
    attention: str = "",
    weights: str = "",
    activations: str = "",
    kv: str = "",
    stacks: int | None = None,
    placement: str = "blocks",
    modes: Modes | None = None,
    policy: str = DEFAULT,
) -> Plan:
    """Load model and chip, and cut the step into the parts of its stacks.

    Parameters
    ----------
    model : str, Path or Model
        Name of a shipped model, path of a ``config.json``, or a loaded model.
    chip : str, Path or ChipSpec
        Name of a shipped chip, path of a chip file, or a loaded chip.
    batch : int
        Sequences; one new token each.
    context : int
        Tokens of each sequence, the new one counted.
    layers : int, optional
        Number of layers to simulate; default all from ``first_layer`` on.
    seed : int
        Seed of the synthetic router and of the new tokens.
    routing : str or Routing
        ``uniform``, ``zipf`` or the path of a routing file, or a routing (MoE models only).
    first_tier : int
        Tier at which placement starts.
    first_layer : int
        First layer to simulate.
    attention : str
        Form of latent attention, ``absorbed`` or ``expanded``; empty for the default, or a model without.
    weights, activations, kv : str
        Number formats, as for `nmpsim.workload.read_precision`: ``fp16``, ``fp8``, ``int8``, ``int4:64``, ``config``;
        empty for that of the chip's PEs.
    stacks : int, optional
        Stacks that share the model; default the smallest power of two that holds weights and KV cache.
    placement : str
        Which stack holds which expert: ``blocks`` or ``round_robin``.
    modes : Modes, optional
        Modes of an array that the schedule may use; all of the chip by default.
    policy : str
        How the schedule is chosen; a name of `nmpsim.schedule.policy`.

    Returns
    -------
    Plan

    Raises
    ------
    SpecError, WorkloadError, InfeasibleError
        With every fault found.
    """
    spec = chip if isinstance(chip, ChipSpec) else load_chip(chip)
    loaded = model if isinstance(model, Model) else load_model(model)
    if attention:
        loaded = with_form(loaded, attention)
    params = resolve(spec)
    if not 0 <= first_tier < params.dram.tiers:
        fault = Fault("first tier", str(first_tier), f"0 to {params.dram.tiers - 1}", "choose a tier of the chip")
        raise SpecError("no such tier", [fault])
    precision = read_precision(weights, activations, kv, loaded.stored, loaded.name, params.operands)
    faults = step_faults(loaded, batch, context, 1 if layers is None else layers, first_layer)
    if faults:
        raise WorkloadError(f"{loaded.name}: no such decode step", faults)
    depth = None if layers is None else first_layer + layers
    chosen = _routing(loaded, routing, batch, depth, seed, first_layer)
    span = layers if layers is not None else loaded.layers - first_layer
    if chosen is not None:
        faults = routing_faults(chosen, loaded, batch, first_layer + span, first_layer)
        if faults:
            raise WorkloadError(f"{loaded.name}: no such decode step", faults)
    whole = StackGraphs(loaded, batch, context, span, chosen, first_layer, precision)
    number = _stacks(whole, params, stacks)
    if number > 1 and params.cores_per_pu > 1:
        fault = Fault("stacks", f"{number} stacks of PUs with {params.cores_per_pu} cores", "1 stack", _ONE_CORE)
        raise WorkloadError("links between stacks start at PUs with one core", [fault])
    if number > 1:
        params = replace(params, stacks=number)
    graphs = replace(whole, stacks=number, placement=placement)
    _check_capacity(graphs, params)
    generator = np.random.Generator(np.random.PCG64(seed))
    tokens = tuple(int(t) for t in generator.integers(0, loaded.vocab, batch))
    options: dict[str, object] = {
        "batch": batch,
        "context": context,
        "layers": span,
        "seed": seed,
        "routing": (routing.origin if isinstance(routing, Routing) else routing) if loaded.is_moe else "",
        "first_tier": first_tier,
    }
    if first_layer:
        options["first_layer"] = first_layer
    if modes is not None:
        options["modes"] = str(modes)
    if policy != DEFAULT:
        options["policy"] = policy
    if loaded.latent is not None:
        options["attention"] = loaded.latent.form
    if precision != PLAIN:
        options["precision"] = asdict(precision)
    if number > 1:
        options["stacks"] = number
        if loaded.is_moe:
            options["placement"] = placement
    dataflows = tuple(spec.core.array.dataflows) if spec.core.array is not None else ()
    allowed = modes.checked(params.name, dataflows, params.core.group_sizes()) if modes is not None else None
    first_row = first_tier * params.dram.rows_per_tier
    return Plan(loaded, spec, params, graphs, tokens, first_row, options, allowed, checked(policy), seed)


_ONE_CORE = "use one stack, or chip.cores_per_pu = 1"


def _stacks(step: StackGraphs, params: MachineParams, asked: int | None) -> int:
    """Stacks that share the step."""
    if asked is None:
        span = step.first_layer, step.layers
        return choose_stacks(step.model, step.batch, step.context, *span, _capacity(params), step.precision)
    faults = shard_faults(step.model, asked, step.context)
    if faults:
        raise WorkloadError(f"{step.model.name} cannot be spread over the stacks", faults)
    return asked


def _capacity(params: MachineParams) -> int:
    """Bytes of a stack."""
    dram = params.dram
    return dram.rows * dram.banks * dram.columns * dram.column_bytes * params.cores


def _routing(
    model: Model, routing: str | Routing, batch: int, layers: int | None, seed: int, first_layer: int
) -> Routing | None:
    if isinstance(routing, Routing):
        return routing
    if not model.is_moe:
        if routing != "uniform":
            fault = Fault("routing", routing, "nothing for a dense model", "leave out --routing")
            raise WorkloadError(f"{model.name} has no experts to route to", [fault])
        return None
    if routing in ("uniform", "zipf"):
        return synthetic_routing(model, batch, layers, distribution=routing, seed=seed)
    return load_routing(routing, model, batch, layers, first_layer)


def _check_capacity(step: StackGraphs, params: MachineParams) -> None:
    """Refuse a model that cannot fit, before anything is placed."""
    model, batch, context, precision = step.model, step.batch, step.context, step.precision
    layers, first, have = step.layers, step.first_layer, _capacity(params)
    if params.stacks > 1:
        need = largest_shard(model, batch, context, first, layers, params.stacks, step.placement, precision)
        if need > have:
            fault = Fault(
                "stacks",
                f"{need / 1e9:.2f} GB on the fullest of {params.stacks} stacks ({model.name}, {layers} layers)",
                f"at most {have / 1e9:.2f} GB on chip {params.name}",
                f"{(need - have) / 1e9:.2f} GB too much: use more stacks, fewer layers, a smaller batch or context",
            )
            raise WorkloadError("the model does not fit into the stacks", [fault])
        return
    need = footprint_bytes(model, batch, context, layers, first, precision)
    if need > have:
        sizes = [footprint_bytes(model, batch, context, number, first, precision) for number in range(1, layers + 1)]
        fit = sum(size <= have for size in sizes)
        more = f"{(need - have) / 1e9:.2f} GB too much: "
        fault = Fault(
            "model",
            f"{need / 1e9:.2f} GB ({model.name}, {layers} layers, batch {batch}, context {context})",
            f"at most {have / 1e9:.2f} GB on chip {params.name}",
            more
            + (f"simulate fewer layers: --layers {fit} fits" if fit else "use more stacks, a smaller batch or context"),
        )
        raise WorkloadError("the model does not fit into the stack", [fault])
