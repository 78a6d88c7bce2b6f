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
from typing import Any

import numpy as np

from nmpsim.analytic.bounds import bounds, core_GHz, tier_bandwidth
from nmpsim.analytic.levels import level_hops
from nmpsim.analytic.network import network_hops, row_link_cycles, stack_hops, tree_links
from nmpsim.core.state import REASONS
from nmpsim.cost.energy import step_energy
from nmpsim.errors import Fault, SpecError
from nmpsim.machine.simulate import Progress, Simulation
from nmpsim.measure.run import OperatorRun
from nmpsim.program.encode import encode
from nmpsim.program.isa import F_SUM, LOAD, MOVE, SEND, SEND_0, STORE, STREAM
from nmpsim.program.program import Program
from nmpsim.program.schedule import Schedule
from nmpsim.report.observed import ObservedRun
from nmpsim.schedule.check import check_program
from nmpsim.schedule.stacks import Representative, die_to_die_bytes, representative
from nmpsim.schedule.step import plan_step
from nmpsim.spec import ChipSpec, load_chip
from nmpsim.spec.params import MachineParams
from nmpsim.trace import Trace, TraceOptions, TraceWriter, trace_options
from nmpsim.workload import Model, OperatorGraph, load_model

MODES = ("skip", "plain")


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
    representative: Representative | None = None


def prepare(model: str | Path | Model, chip: str | Path | ChipSpec, **options: Any) -> Job:
    """Load, schedule, encode and check; of several stacks, the one that is simulated.

    Parameters
    ----------
    model : str, Path or Model
        Name of a shipped model, path of a ``config.json``, or a loaded model.
    chip : str, Path or ChipSpec
        Name of a shipped chip, path of a chip file, or a loaded chip.
    **options
        Further parameters of `plan_step`.

    Returns
    -------
    Job

    Raises
    ------
    SpecError, WorkloadError, InfeasibleError
        With every fault found.
    """
    plan = plan_step(model, chip, **options)
    chosen: Representative | None = None
    if len(plan.graphs) == 1:
        schedule = plan.schedule()
        program = encode(schedule, plan.params, plan.tokens)
    else:
        programs = plan.stack_programs()
        chosen = representative(programs, plan.compared)
        schedule, program = programs.schedule(chosen.stack), programs.program(chosen.stack)
    check_program(program, plan.params)
    return Job(plan.model, plan.chip, plan.params, schedule.graph, schedule, program, plan.options, chosen)


def simulate(
    model: str | Path | Model,
    chip: str | Path | ChipSpec,
    *,
    mode: str = "skip",
    trace: str | TraceOptions = "none",
    progress: Progress | None = None,
    limit_cycles: int | None = None,
    **options: Any,
) -> ObservedRun:
    """Simulate one decode step cycle by cycle.

    Parameters
    ----------
    model : str, Path or Model
        Name of a shipped model, path of a ``config.json``, or a loaded model.
    chip : str, Path or ChipSpec
        Name of a shipped chip, path of a chip file, or a loaded chip.
    mode : str
        ``skip`` jumps over cycles in which nothing changes, ``plain`` steps every one; the results are the same.
    trace : str or TraceOptions
        ``none``, ``coarse`` (what every unit of every core did when, and its instructions) or ``full`` (also banks,
        ports and DRAM commands); `nmpsim.trace.trace_options` adds filters.
    progress : callable, optional
        Called with (core cycles, instructions completed, instructions in all) after every slice.
    limit_cycles : int, optional
        Core cycles after which to give up.
    **options
        Further parameters of `plan_step`: batch, context, layers, ...

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
    recorded = trace if isinstance(trace, TraceOptions) else trace_options(trace)
    job = prepare(model, chip, **options)
    return run_job(job, mode=mode, trace=recorded, progress=progress, limit_cycles=limit_cycles)


def run_job(
    job: Job,
    *,
    mode: str = "skip",
    trace: TraceOptions | None = None,
    trace_folder: Path | None = None,
    progress: Progress | None = None,
    limit_cycles: int | None = None,
) -> ObservedRun:
    """Simulate a prepared job; parameters and errors as for `simulate`.

    Parameters
    ----------
    job : Job
    mode : str
    trace : TraceOptions, optional
        None = no trace.
    trace_folder : Path, optional
        Where the trace is written while the run goes on; None keeps it in memory.
    progress : callable, optional
    limit_cycles : int, optional
    """
    writer = None
    if trace is not None and trace.level != "none":
        writer = TraceWriter(job.params, job.program, trace, trace_folder)
    simulation = Simulation(job.params, job.program, plain=mode == "plain", recorder=writer)
    simulation.run(progress, limit_cycles=limit_cycles)
    if writer is None:
        return collect(job, simulation, mode)
    writer.close(simulation.until)
    return collect(job, simulation, mode, Trace.of(writer))


@dataclass
class _Work:
    """Work of the instructions of one operator."""

    tier_bytes: list[int]
    read: int = 0
    write: int = 0
    flits: int = 0
    hops: int = 0
    pu_hops: int = 0
    link_cycles: int = 0


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
                if scales := int(ins["imm"]):
                    entry.read += scales
                    traffic["scale_read_bytes"] = traffic.get("scale_read_bytes", 0) + scales
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
            entry = work[int(ins["operator"])]
            entry.flits += flits
            if params.outer is not None:
                ends, port = (pu, int(ins["bank"])), int(ins["unit"]) - SEND_0
                found = level_hops(params, ends, port, int(ins["m"]), int(ins["bytes"]), int(ins["b_ld"]))
                entry.hops, entry.pu_hops = entry.hops + found[0], entry.pu_hops + found[1]
                continue
            entry.hops += flits * _links(params, pu, ins)
            across = int(ins["m"]) * row_link_cycles(int(ins["bytes"]), params.noc.flit_bytes, params.link.bytes)
            entry.link_cycles += stack_hops(params.stacks, int(ins["stack"])) * across
    return work, traffic


def _links(params: MachineParams, pu: int, ins: np.void) -> int:
    """Return the links between routers that a flit of a SEND takes; those of a sum are its owner's."""
    if ins["modifiers"] & F_SUM:
        return tree_links(params.noc) if ins["bank"] == pu else 0
    return tree_links(params.noc) if ins["n"] else network_hops(params.noc, pu, int(ins["bank"]))


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


def collect(job: Job, simulation: Simulation, mode: str, trace: Trace | None = None) -> ObservedRun:
    """Make the Run of a finished simulation.

    Parameters
    ----------
    job : Job
    simulation : Simulation
        Run to its end.
    mode : str
    trace : Trace, optional
        What was recorded meanwhile.
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
                bounds(
                    params,
                    o.macs,
                    o.vector_elements,
                    w.tier_bytes,
                    w.hops,
                    link_cycles=w.link_cycles,
                    pu_hops=w.pu_hops,
                    whole=False,
                ),
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
        link_cycles=sum(w.link_cycles for w in work),
        pu_hops=sum(w.pu_hops for w in work),
    )
    peaks = {
        "macs_per_cycle": float(params.core.macs_per_cycle * params.cores),
        "dram_bytes_per_second": tier_bandwidth(params)[0],
        "dram_bytes_per_second_slowest": tier_bandwidth(params)[-1],
        "vector_lanes": float(params.core.lanes * params.cores),
    }
    counts, stalls = {**simulation.counts(), **traffic}, simulation.stalls()
    if params.stacks > 1:
        counts["die_to_die_bytes"] = die_to_die_bytes(program)
    seconds = cycles / clock * 1e-9
    return ObservedRun(
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
        step_energy(params, program, counts, stalls, seconds),
        simulation.network(),
        trace,
    )


def _provenance(job: Job, mode: str) -> dict[str, object]:
    experts = job.graph.distinct_experts
    return {
        **({"stacks": _stack_words(job)} if job.representative is not None else {}),
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


def _stack_words(job: Job) -> dict[str, object]:
    """Which stack was simulated, and for whom it stands."""
    chosen = job.representative
    assert chosen is not None
    return {
        "number": job.params.stacks,
        "simulated": chosen.stack,
        "representative": chosen.identical,
        "reason": chosen.reason,
        "imbalance": chosen.imbalance,
    }


def _installed() -> bool:
    try:
        metadata.version("nmpsim")
    except metadata.PackageNotFoundError:
        return False
    return True


__all__ = ["Job", "collect", "load_chip", "load_model", "plan_step", "prepare", "run_job", "simulate"]
