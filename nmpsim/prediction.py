"""From names to an estimate: the analytical mode's way in, beside `nmpsim.api.simulate`.

Examples
--------
>>> import nmpsim
>>> step = nmpsim.estimate("llama-3.1-8b", "snake", batch=1, context=1024, layers=1, calibration="none")
>>> step.counts["macs"] > 0
True
"""

from __future__ import annotations

import gc
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nmpsim import __version__
from nmpsim.analytic.bounds import bounds, core_GHz, tier_bandwidth
from nmpsim.analytic.model.calibration import PRIOR, Calibration, load_calibration, shipped_for
from nmpsim.analytic.model.domain import variables_of
from nmpsim.analytic.model.residual import about
from nmpsim.analytic.model.step import Predicted, predict, refreshes
from nmpsim.analytic.model.timing.spent import UNITS
from nmpsim.cost.area import die_area
from nmpsim.cost.coefficients import value
from nmpsim.cost.tables import tables
from nmpsim.errors import Fault, SpecError
from nmpsim.measure.estimate import Estimate, Late, OperatorEstimate, Outside
from nmpsim.program.schedule import Schedule
from nmpsim.schedule.plain import plain_schedule
from nmpsim.schedule.policy import DEFAULT
from nmpsim.schedule.step import Plan, plan_step
from nmpsim.spec import ChipSpec
from nmpsim.spec.params import ACT, MAC_TREE, RD, REF, WR, MachineParams
from nmpsim.workload import Model

PJ = 1e-12


@contextmanager
def uncollected() -> Iterator[None]:
    """Build values without a search for cycles among all objects of the process: they have none, and it takes long."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def estimate(
    model: str | Path | Model,
    chip: str | Path | ChipSpec,
    *,
    calibration: str | Path = "shipped",
    **options: Any,
) -> Estimate:
    """Predict one decode step by closed forms.

    Parameters
    ----------
    model : str, Path or Model
        Name of a shipped model, path of a ``config.json``, or a loaded model.
    chip : str, Path or ChipSpec
        Name of a shipped chip, path of a chip file, or a loaded chip.
    calibration : str or Path
        ``shipped``, ``none`` for the closed forms alone, or a file that ``nmpsim calibrate`` wrote.
    **options
        Further parameters of `nmpsim.schedule.step.plan_step`: batch, context, layers, ...

    Returns
    -------
    Estimate

    Raises
    ------
    SpecError, WorkloadError, InfeasibleError
        If an input is wrong, or the calibration is stale.
    """
    with uncollected():
        return _estimated(plan_step(model, chip, **options), None, calibration)


def schedule_of(plan: Plan) -> Schedule:
    """Return the schedule of a step by its policy; of several stacks, that of the most loaded.

    Parameters
    ----------
    plan : Plan
    """
    graphs, params = plan.graphs, plan.params
    if len(graphs) == 1:
        return plan.schedule()
    load = graphs.moved_bytes()
    if plan.policy != DEFAULT:
        return plan.stack_programs().schedule(load.index(max(load)))
    graph = graphs[load.index(max(load))]
    return plain_schedule(graph, params, plan.dataflows, first_row=plan.first_row, modes=plan.modes)


def calibration_for(name: str | Path, params: MachineParams) -> Calibration | None:
    """Return a calibration by name or path; None for ``none``.

    Parameters
    ----------
    name : str or Path
    params : MachineParams
        The chip it is for.

    Raises
    ------
    SpecError
        If there is none for the chip, or it is stale.
    """
    if name == "none":
        return None
    kind = "mac_tree" if params.core.kind == MAC_TREE else "systolic"
    path = shipped_for(params.name, kind) if name == "shipped" else Path(name)
    if path is None:
        fault = Fault(
            "calibration", f"none shipped for {params.name}", "a file, or none", "nmpsim calibrate --chip NAME"
        )
        raise SpecError("no calibration", [fault])
    return load_calibration(path)


def estimate_plan(
    plan: Plan, schedule: Schedule | None = None, *, calibration: str | Path | Calibration | None = "shipped"
) -> Estimate:
    """Predict a planned step.

    Parameters
    ----------
    plan : Plan
    schedule : Schedule, optional
        That of the plan's policy by default.
    calibration : str, Path or Calibration, optional
        As for `estimate`; None for none.

    Raises
    ------
    SpecError, InfeasibleError
        As for `estimate`.
    """
    with uncollected():
        return _estimated(plan, schedule, calibration)


def _estimated(plan: Plan, schedule: Schedule | None, calibration: str | Path | Calibration | None) -> Estimate:
    params = plan.params
    if params.noc.multicast_lanes:
        got = "network" if params.noc.sum_lanes else "multicast"
        fault = Fault("noc.collectives", got, "messages", "use nmpsim simulate, or messages")
        raise SpecError("the analytical mode knows no routers that copy or add", [fault])
    if params.outer is not None:
        fault = Fault(
            "chip.cores_per_pu", str(params.cores_per_pu), "1", "use nmpsim simulate, or one core for each PU"
        )
        raise SpecError("the analytical mode knows no networks inside PUs", [fault])
    schedule = schedule or schedule_of(plan)
    fitted = calibration_for(calibration, params) if isinstance(calibration, str | Path) else calibration
    with np.errstate(divide="ignore", invalid="ignore"):
        found = predict(schedule, params, plan.tokens)
    operators = _operators(found, params, schedule, fitted)
    cycles = sum(o.cycles for o in operators)
    low, high = fitted.interval("step") if fitted is not None else (1.0, 1.0)
    outside = fitted.outside(variables_of(schedule, params)) if fitted is not None else []
    clock = core_GHz(params)
    seconds = cycles / clock * 1e-9
    counts = _counts(found, params, [o.cycles for o in operators])
    return Estimate(
        cycles,
        cycles * low,
        cycles * high,
        clock,
        seconds,
        operators,
        counts,
        bounds(params, counts["macs"], counts["vector_elements"], _moved(found, params), 0),
        {
            "macs_per_cycle": float(params.core.macs_per_cycle * params.cores),
            "dram_bytes_per_second": tier_bandwidth(params)[0],
            "dram_bytes_per_second_slowest": tier_bandwidth(params)[-1],
            "vector_lanes": float(params.core.lanes * params.cores),
        },
        Late(lambda: _energy(params, counts, seconds)),
        tuple(Outside(*o) for o in outside),
        fitted is not None,
        Late(lambda: _provenance(plan, schedule, fitted)),
    )


def _bytes(found: Predicted, params: MachineParams) -> list[int]:
    """Bytes moved, by tier."""
    whole = (found.work.RD + found.work.WR) * params.dram.column_bytes
    moved = [0] * params.dram.tiers
    for tier, share in found.tiers:
        moved[tier] = int(whole * share)
    return moved


def _moved(found: list[Predicted], params: MachineParams) -> list[int]:
    """Bytes moved by the whole step, by tier."""
    times = Counter((id(f.work), f.tiers) for f in found)
    total = [0] * params.dram.tiers
    for one in {(id(f.work), f.tiers): f for f in found}.values():
        for tier, size in enumerate(_bytes(one, params)):
            total[tier] += size * times[id(one.work), one.tiers]
    return total


def _operators(
    found: list[Predicted], params: MachineParams, schedule: Schedule, fitted: Calibration | None
) -> tuple[OperatorEstimate, ...]:
    """Estimates of all operators; those that are alike have one work and one time, and share their tables."""
    known: dict[tuple[object, ...], tuple[OperatorEstimate, str]] = {}
    estimates = []
    for index, one in enumerate(found):
        key = id(one.work), id(one.time), one.tiers
        if key not in known:
            known[key] = _operator(one, params, schedule, fitted), str(schedule.gemm.get(index, ""))
        o, (same, plan) = one.operator, known[key]
        estimates.append(
            OperatorEstimate(
                o.name, same.kind, o.layer, plan, same.cycles, same.low, same.high, same.counts, same.bounds, same.spent
            )
        )
    return tuple(estimates)


def _operator(
    found: Predicted, params: MachineParams, schedule: Schedule, fitted: Calibration | None
) -> OperatorEstimate:
    o, time = found.operator, found.time
    cycles, factor = float(time.cycles), 1.0
    if fitted is not None:
        variables = about(params, schedule.graph, o, schedule.attention, time)
        factor = float(fitted.factor(found.kind, variables))
        cycles = float(fitted.cycles(found.kind, time, variables))
    low, high = fitted.interval(found.kind) if fitted is not None else (1.0, 1.0)
    theta = PRIOR if fitted is None else fitted.coefficients.get(found.kind, PRIOR)
    spent = {u: float(v) * t * factor for u, v, t in zip(UNITS, time.values, theta, strict=False)}
    least = bounds(params, o.macs, o.vector_elements, _bytes(found, params), 0, whole=False)
    counts = {k: v for k, v in found.work.counts().items() if k != "messages"}
    return OperatorEstimate(o.name, str(o.kind), o.layer, "", cycles, cycles * low, cycles * high, counts, least, spent)


def _counts(found: list[Predicted], params: MachineParams, cycles: list[float]) -> dict[str, int]:
    times = Counter(id(f.work) for f in found)  # equal operators share theirs
    works = {id(f.work): f.work for f in found}
    names = [name for name in found[0].work.counts() if name != "messages"]
    total = {name: sum(getattr(work, name) * times[i] for i, work in works.items()) for name in names}
    return {**total, "PRE": total["ACT"], "REFpb": refreshes(params, found, cycles)}


def _energy(params: MachineParams, counts: dict[str, int], seconds: float) -> dict[str, float]:
    pJ: Callable[[int], float] = params.command_pJ.__getitem__
    static = value("static_W_per_mm2") * die_area(params, tables()).mm2
    return {
        "dram_ACT": counts["ACT"] * pJ(ACT) * PJ,
        "dram_RD": counts["RD"] * pJ(RD) * PJ,
        "dram_WR": counts["WR"] * pJ(WR) * PJ,
        "dram_REFpb": counts["REFpb"] * pJ(REF) * PJ,
        "static": static * seconds,
    }


def _provenance(plan: Plan, schedule: Schedule, fitted: Calibration | None) -> dict[str, Any]:
    return {
        "nmpsim": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": {"name": plan.model.name, "sha256": plan.model.sha256, "source": plan.model.source},
        "chip": {"name": plan.params.name, "sha256": plan.chip.sha256},
        "graph_sha256": schedule.graph.sha256,
        "mode": "analytical",
        "options": plan.options,
        "calibration": {"chip": fitted.chip, **fitted.provenance} if fitted is not None else None,
    }
