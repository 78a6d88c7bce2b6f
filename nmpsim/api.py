"""The composition root: from names to results.

Examples
--------
>>> import nmpsim
>>> run = nmpsim.simulate("llama-3.1-8b", "snake", batch=1, context=128, layers=1)  # doctest: +SKIP
>>> run.seconds > 0  # doctest: +SKIP
True
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from nmpsim.analytic.bounds import bounds, core_GHz, tier_bandwidth
from nmpsim.core.state import REASONS, missing_units
from nmpsim.cost.energy import step_energy
from nmpsim.errors import Fault, SpecError, WorkloadError
from nmpsim.machine.simulate import Progress, Simulation
from nmpsim.measure.run import Interval, OperatorRun, Run
from nmpsim.program.encode import encode
from nmpsim.program.isa import LOAD, MOVE, SEND, STORE, STREAM, UNIT_NAMES, UNITS
from nmpsim.program.program import Program
from nmpsim.program.schedule import Schedule
from nmpsim.schedule.check import check_program
from nmpsim.schedule.plain import plain_schedule
from nmpsim.spec import ChipSpec, load_chip, resolve
from nmpsim.spec.params import MachineParams
from nmpsim.workload import (
    Model,
    OperatorGraph,
    Routing,
    decode_step,
    footprint_bytes,
    load_model,
    load_routing,
    step_faults,
    synthetic_routing,
    with_form,
)

MODES = ("skip", "plain")
TRACES = ("operators", "units")


@dataclass(frozen=True)
class Job:
    """Everything that defines a simulation, resolved: made by `prepare`."""

    model: Model
    chip: ChipSpec
    params: MachineParams
    graph: OperatorGraph
    schedule: Schedule
    program: Program
    options: dict[str, object]


def prepare(
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
) -> Job:
    """Load, schedule, encode and check.

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

    Returns
    -------
    Job

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
    faults = step_faults(loaded, batch, context, 1 if layers is None else layers, first_layer)
    if faults:
        raise WorkloadError(f"{loaded.name}: no such decode step", faults)
    depth = None if layers is None else first_layer + layers
    chosen = _routing(loaded, routing, batch, depth, seed, first_layer)
    graph = decode_step(loaded, batch, context, layers, chosen, first_layer)
    _check_capacity(loaded, params, batch, context, graph)
    dataflows = tuple(spec.core.array.dataflows) if spec.core.array is not None else ()
    schedule = plain_schedule(graph, params, dataflows, first_row=first_tier * params.dram.rows_per_tier)
    generator = np.random.Generator(np.random.PCG64(seed))
    tokens = tuple(int(t) for t in generator.integers(0, loaded.vocab, batch))
    program = encode(schedule, params, tokens)
    check_program(program, params)
    options: dict[str, object] = {
        "batch": batch,
        "context": context,
        "layers": graph.layers,
        "seed": seed,
        "routing": (routing.origin if isinstance(routing, Routing) else routing) if loaded.is_moe else "",
        "first_tier": first_tier,
    }
    if first_layer:
        options["first_layer"] = first_layer
    if loaded.latent is not None:
        options["attention"] = loaded.latent.form
    return Job(loaded, spec, params, graph, schedule, program, options)


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


def _check_capacity(model: Model, params: MachineParams, batch: int, context: int, graph: OperatorGraph) -> None:
    """Refuse a model that cannot fit, before anything is placed."""
    dram, layers, first = params.dram, graph.layers, graph.first_layer
    have = dram.rows * dram.banks * dram.columns * dram.column_bytes * params.pus
    need = footprint_bytes(model, batch, context, layers, first)
    if need > have:
        sizes = [footprint_bytes(model, batch, context, number, first) for number in range(1, layers + 1)]
        fit = sum(size <= have for size in sizes)
        more = f"{(need - have) / 1e9:.2f} GB too much: "
        fault = Fault(
            "model",
            f"{need / 1e9:.2f} GB ({model.name}, {layers} layers, batch {batch}, context {context})",
            f"at most {have / 1e9:.2f} GB on chip {params.name}",
            more + (f"simulate fewer layers: --layers {fit} fits" if fit else "use a smaller batch or context"),
        )
        raise WorkloadError("the model does not fit into the stack", [fault])


def simulate(
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
    mode: str = "skip",
    trace: str = "operators",
    progress: Progress | None = None,
    limit_cycles: int | None = None,
) -> Run:
    """Simulate one decode step cycle by cycle.

    Parameters
    ----------
    model, chip, batch, context, layers, seed, routing, first_tier, first_layer, attention
        As for `prepare`.
    mode : str
        ``skip`` jumps over cycles in which nothing changes, ``plain`` steps every one; the results are the same.
    trace : str
        ``operators`` keeps the span of every operator, ``units`` also what every unit of every core did when.
    progress : callable, optional
        Called with (core cycles, instructions completed, instructions in all) after every slice.
    limit_cycles : int, optional
        Core cycles after which to give up.

    Returns
    -------
    Run

    Raises
    ------
    SpecError, WorkloadError, InfeasibleError
        If an input is wrong; with every fault found.
    DeadlockError, LimitReached
        If the simulation cannot go on.
    """
    if mode not in MODES:
        raise SpecError("no such mode", [Fault("mode", mode, " or ".join(MODES), "choose one of them")])
    if trace not in TRACES:
        raise SpecError("no such trace level", [Fault("trace", trace, " or ".join(TRACES), "choose one of them")])
    job = prepare(
        model,
        chip,
        batch=batch,
        context=context,
        layers=layers,
        seed=seed,
        routing=routing,
        first_tier=first_tier,
        first_layer=first_layer,
        attention=attention,
    )
    return run_job(job, mode=mode, trace=trace, progress=progress, limit_cycles=limit_cycles)


def run_job(
    job: Job,
    *,
    mode: str = "skip",
    trace: str = "operators",
    progress: Progress | None = None,
    limit_cycles: int | None = None,
) -> Run:
    """Simulate a prepared job; parameters and errors as for `simulate`.

    Parameters
    ----------
    job : Job
    mode : str
    trace : str
    progress : callable, optional
    limit_cycles : int, optional
    """
    simulation = Simulation(job.params, job.program, plain=mode == "plain", intervals=trace == "units")
    simulation.run(progress, limit_cycles=limit_cycles)
    return collect(job, simulation, mode)


@dataclass
class _Work:
    """Work of the instructions of one operator."""

    tier_bytes: list[int]
    read: int = 0
    write: int = 0
    flits: int = 0
    hops: int = 0


def _work(program: Program, params: MachineParams) -> tuple[list[_Work], dict[str, int]]:
    """Work per operator, and useful DRAM bytes by kind of traffic, from the instructions."""
    dram, tables = params.dram, program.tables
    work = [_Work([0] * dram.tiers) for _ in program.operators]
    traffic = dict.fromkeys(
        ("weight_read_bytes", "kv_read_bytes", "embedding_read_bytes", "constant_read_bytes", "kv_write_bytes"), 0
    )
    names = ("weight_read_bytes", "kv_read_bytes", "embedding_read_bytes", "constant_read_bytes")
    beats_of_table: dict[int, np.ndarray] = {}
    for pu, stream in enumerate(program.streams):
        for ins in stream[stream["unit"] == MOVE]:
            entry = work[int(ins["operator"])]
            if ins["op"] == STREAM:
                table = int(ins["table"])
                if table not in beats_of_table:
                    beats_of_table[table] = tables[table : table + params.core.strips]
                beats = beats_of_table[table]
                _spread(entry.tier_bytes, int(ins["row"]), beats, params)
                entry.read += int(ins["bytes"])
                traffic[names[int(ins["traffic"])]] += int(ins["bytes"])
            else:
                tier = int(ins["row"]) // dram.rows_per_tier
                entry.tier_bytes[tier] += int(ins["beats"]) * dram.column_bytes
                if ins["op"] == LOAD:
                    entry.read += int(ins["bytes"])
                    traffic[names[int(ins["traffic"])]] += int(ins["bytes"])
                elif ins["op"] == STORE:
                    entry.write += int(ins["bytes"])
                    traffic["kv_write_bytes"] += int(ins["bytes"])
        for ins in stream[stream["op"] == SEND]:
            flits = int(ins["m"]) * -(-int(ins["bytes"]) // params.noc.flit_bytes)
            there = int(ins["bank"])
            hops = (there - pu) % params.pus if ins["imm"] == 0 else (pu - there) % params.pus
            work[int(ins["operator"])].flits += flits
            work[int(ins["operator"])].hops += flits * hops
    return work, traffic


def _spread(tier_bytes: list[int], row: int, beats: np.ndarray, params: MachineParams) -> None:
    """Add the bytes of a stream to the tiers that its rows lie in."""
    dram = params.dram
    first = row * dram.columns
    per_tier = dram.rows_per_tier * dram.columns
    for tier in range(row // dram.rows_per_tier, dram.tiers):
        low, high = tier * per_tier - first, (tier + 1) * per_tier - first
        part = np.clip(beats, max(low, 0), high) - max(low, 0)
        total = int(np.maximum(part, 0).sum())
        if total == 0:
            break
        tier_bytes[tier] += total * dram.column_bytes


def collect(job: Job, simulation: Simulation, mode: str) -> Run:
    """Make the Run of a finished simulation.

    Parameters
    ----------
    job : Job
    simulation : Simulation
        Run to its end.
    mode : str
    """
    params, program = job.params, job.program
    spans, busy = simulation.spans(), simulation.work()
    work, traffic = _work(program, params)
    operators = []
    reached = 0
    for i, (o, w) in enumerate(zip(program.operators, work, strict=True)):
        start, end = int(spans[i, 0]), int(spans[i, 1])
        cycles = max(0, end - reached)
        reached = max(reached, end)
        array = {REASONS[r]: int(v) for r, v in enumerate(busy[i]) if v}
        operators.append(
            OperatorRun(
                o.name,
                o.kind,
                o.layer,
                o.plan,
                cycles,
                start,
                end,
                o.macs,
                w.read,
                w.write,
                w.flits,
                o.vector_elements,
                bounds(params, o.macs, o.vector_elements, w.tier_bytes, w.hops, whole=False),
                array,
            )
        )
    cycles = simulation.end // params.core_period
    clock = core_GHz(params)
    tiers = [sum(w.tier_bytes[t] for w in work) for t in range(params.dram.tiers)]
    total = bounds(
        params,
        sum(o.macs for o in program.operators),
        sum(o.vector_elements for o in program.operators),
        tiers,
        sum(w.hops for w in work),
    )
    peaks = {
        "macs_per_cycle": float(params.core.macs_per_cycle * params.pus),
        "dram_bytes_per_second": tier_bandwidth(params)[0],
        "dram_bytes_per_second_slowest": tier_bandwidth(params)[-1],
        "vector_lanes": float(params.core.lanes * params.pus),
    }
    counts, stalls = {**simulation.counts(), **traffic}, simulation.stalls()
    seconds = cycles / clock * 1e-9
    return Run(
        cycles,
        clock,
        seconds,
        total,
        peaks,
        tuple(operators),
        stalls,
        counts,
        simulation.speed(),
        _provenance(job, mode),
        params.rounding,
        _intervals(simulation, program),
        step_energy(params, program, counts, stalls, seconds),
    )


def _intervals(simulation: Simulation, program: Program) -> tuple[Interval, ...]:
    """Recorded unit intervals with their names."""
    period = simulation.params.core_period
    names = ("sequencer", *UNIT_NAMES[1:])
    single = len(simulation.die.cores.actor[0]) == 1
    rows = []
    absent = missing_units(simulation.params)
    for pu, unit, reason, operator, start, end in simulation.intervals().tolist():
        if unit in absent:
            continue
        actor = "array" if single else f"slice {unit - UNITS}"
        name = names[unit] if unit < UNITS else actor
        owner = program.operators[operator].name if operator >= 0 else ""
        rows.append(Interval(pu, name, REASONS[reason], owner, start // period, end // period))
    return tuple(rows)


def _provenance(job: Job, mode: str) -> dict[str, object]:
    experts = job.graph.distinct_experts
    return {
        **({"distinct_experts": {str(layer): count for layer, count in experts.items()}} if experts else {}),
        "nmpsim": metadata.version("nmpsim") if _installed() else "source tree",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": {"name": job.model.name, "sha256": job.model.sha256, "source": job.model.source},
        "chip": {"name": job.params.name, "sha256": job.chip.sha256},
        "graph_sha256": job.graph.sha256,
        "program_sha256": job.program.sha256,
        "mode": mode,
        "options": job.options,
    }


def _installed() -> bool:
    try:
        metadata.version("nmpsim")
    except metadata.PackageNotFoundError:
        return False
    return True


__all__ = ["Job", "collect", "load_chip", "load_model", "prepare", "run_job", "simulate"]
