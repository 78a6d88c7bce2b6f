"""From a chip and a budget to a calibration: draw the sample, run it as a study, fit, write the file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from nmpsim import __version__
from nmpsim.analytic.model.calibration import Calibration, features
from nmpsim.analytic.model.domain import Variables, variables_of
from nmpsim.analytic.model.residual import about
from nmpsim.analytic.model.sources import engine_hash, engine_text_hash
from nmpsim.analytic.model.step import predict
from nmpsim.calibration.fit import PLAIN, Seen, errors_of, fit, predicted
from nmpsim.calibration.sample import points
from nmpsim.errors import Fault, InfeasibleError
from nmpsim.prediction import schedule_of
from nmpsim.schedule.step import Plan, plan_step
from nmpsim.spec import load_chip, resolve
from nmpsim.spec.params import MAC_TREE
from nmpsim.study import Outcome, run_study
from nmpsim.study.tasks import chip_of

BATCH = 10
"""Points that are handed to the study at a time: the budget is looked at in between."""

HELD_OUT = 0.25
"""Share of the runs that no fit sees."""

LEAST_RUNS = 40
"""Fewer give no intervals."""

Progress = Callable[[float, int], None]
"""Called with CPU seconds spent and runs done."""


def observe(
    chip: str, seed: int, budget: float, folder: Path, executor: Executor | None, progress: Progress
) -> list[Outcome]:
    """Return cycle runs of the sample of a chip, as many as the budget allows.

    Parameters
    ----------
    chip : str
        Name or path.
    seed : int
        Of the sample.
    budget : float
        CPU seconds; runs that are stored already count as when they were made, so that a repetition ends at the same.
    folder : Path
        Of the study.
    executor : Executor, optional
        As for `run_study`.
    progress : callable
    """
    kind = "mac_tree" if resolve(load_chip(chip)).core.kind == MAC_TREE else "systolic"
    source = points(chip, kind, seed)
    found: list[Outcome] = []
    spent = 0.0
    while spent < budget:
        some = run_study(list(itertools.islice(source, BATCH)), folder, executor=executor)
        spent += sum(o.record.cpu_seconds for o in some if o.record is not None)
        found += [o for o in some if o.figures is not None]
        progress(spent, len(found))
        if all(o.record is None for o in some):
            raise InfeasibleError("no run of the sample succeeded", [Fault("sample", some[0].why, "runs", "see above")])
    return found


def plan_of(settings: dict[str, Any]) -> Plan:
    """Return the plan of a point of the sample.

    Parameters
    ----------
    settings : dict
    """
    rest = {k: v for k, v in settings.items() if k not in {"model", "chip", "overrides"}}
    return plan_step(settings["model"], chip_of(settings), **rest)


def seen_in(number: int, outcome: Outcome) -> tuple[list[Seen], Variables]:
    """Return the operators of a run with what is predicted of them, and the variables of the step.

    Parameters
    ----------
    number : int
        Of the run.
    outcome : Outcome
        Of a point of the sample.
    """
    plan = plan_of(outcome.point.settings)
    schedule = schedule_of(plan)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = predict(schedule, plan.params, plan.tokens)
        assert outcome.figures is not None
        operators = outcome.figures["operators"]
        seen = [
            Seen(
                number,
                f.kind,
                features(f.time),
                np.array(
                    [float(v) for v in about(plan.params, schedule.graph, f.operator, schedule.attention, f.time)]
                ),
                float(o["cycles"]),
            )
            for f, o in zip(found, operators, strict=True)
        ]
    return seen, variables_of(schedule, plan.params)


def domain_of(variables: Sequence[Variables]) -> dict[str, list[Any]]:
    """Return the range of every variable of some steps, or the values it had.

    Parameters
    ----------
    variables : sequence of dict
    """
    found: dict[str, list[Any]] = {}
    for name in variables[0]:
        values = [v[name] for v in variables]
        if isinstance(values[0], str):
            found[name] = sorted({str(v) for v in values})
        else:
            numbers = [float(v) for v in values]
            found[name] = [min(numbers), max(numbers)]
    return found


def calibrate(chip: str, outcomes: Sequence[Outcome], seed: int, budget: float) -> Calibration:
    """Fit a calibration to runs; a quarter of them, drawn by the seed, is held out and only judged.

    Parameters
    ----------
    chip : str
    outcomes : sequence of Outcome
        From `observe`.
    seed : int
    budget : float
        CPU seconds, for the record.

    Raises
    ------
    InfeasibleError
        If there are too few runs.
    """
    if len(outcomes) < LEAST_RUNS:
        fault = Fault("--budget", f"{len(outcomes)} runs", f"at least {LEAST_RUNS}", "give a larger budget")
        raise InfeasibleError("too few runs for a calibration", [fault])
    order = np.random.default_rng(seed).permutation(len(outcomes))
    held = {int(i) for i in order[: int(HELD_OUT * len(outcomes))]}
    both = [seen_in(i, outcome) for i, outcome in enumerate(outcomes)]
    inside = [s for i, (seen, _) in enumerate(both) if i not in held for s in seen]
    outside = [s for i, (seen, _) in enumerate(both) if i in held for s in seen]
    fitted = fit(inside, seed)
    judged = predicted(outside, fitted.terms)
    plain = predicted(outside, PLAIN)
    made = Calibration(
        load_chip(chip).chip.name,
        fitted.terms.coefficients,
        fitted.terms.residuals,
        fitted.intervals,
        domain_of([v for i, (_, v) in enumerate(both) if i not in held]),
        {},
    )
    covered = [
        float(made.interval(s.kind)[0] * p <= s.cycles <= made.interval(s.kind)[1] * p)
        for s, p in zip(outside, np.maximum(1.0, judged), strict=True)
    ]
    made.provenance.update(
        {
            "nmpsim": __version__,
            "engine": engine_hash(),
            "engine_text": engine_text_hash(),
            "chip_sha256": load_chip(chip).sha256,
            "seed": seed,
            "budget_seconds": budget,
            "runs": len(outcomes) - len(held),
            "held_out_runs": len(held),
            "cross_validated": _rounded(fitted.errors),
            "held_out": _rounded(errors_of(outside, judged)),
            "held_out_uncalibrated": _rounded(errors_of(outside, plain)),
            "held_out_covered": round(float(np.mean(covered)), 4),
            "held_out_steps_covered": _steps_covered(outside, judged, made),
        }
    )
    return made


def _steps_covered(seen: Sequence[Seen], found: Any, made: Calibration) -> float:
    low, high = made.interval("step")
    whole: dict[int, list[float]] = {}
    for one, p in zip(seen, found, strict=True):
        sums = whole.setdefault(one.run, [0.0, 0.0])
        sums[0] += one.cycles
        sums[1] += float(p)
    return round(float(np.mean([low * p <= c <= high * p for c, p in whole.values()])), 4)


def _rounded(errors: dict[str, float]) -> dict[str, float]:
    return {k: round(v, 5) for k, v in errors.items()}
