"""Cycle or analytical: which task computes a point.  All that depends on the mode stands here."""

from __future__ import annotations

from collections.abc import Mapping

from nmpsim.claims.workload import Outcomes, Variant, Workload
from nmpsim.errors import Fault, SpecError
from nmpsim.study import Point
from nmpsim.study.estimates import ESTIMATE
from nmpsim.study.tasks import STEP

CYCLE, ANALYTICAL = "cycle", "analytical"

TASKS: Mapping[str, str] = {CYCLE: STEP, ANALYTICAL: ESTIMATE}
"""Tasks of points by mode; all have the settings and the figures of `nmpsim.study.tasks.step`."""


def task_of(mode: str) -> str:
    """Return the task of a mode.

    Parameters
    ----------
    mode : str

    Raises
    ------
    SpecError
        If there is no such mode.
    """
    if mode not in TASKS:
        fault = Fault("--mode", repr(mode), " or ".join(TASKS), "choose one of them")
        raise SpecError("no such mode", [fault])
    return TASKS[mode]


def points(work: Workload, setup: Variant, mode: str) -> list[Point]:
    """Return the points that a step on a chip is made of.

    Parameters
    ----------
    work : Workload
    setup : Variant
    mode : str
    """
    task = task_of(mode)
    return [Point.of(task, point.settings) for point in work.points(setup)]


def remarks(outcomes: Outcomes, mode: str) -> tuple[str, ...]:
    """Return what a reader must know of the figures of a mode.

    Parameters
    ----------
    outcomes : mapping of Point to Outcome
    mode : str
    """
    if mode != ANALYTICAL:
        return ()
    figures = [one.figures for one in outcomes.values() if one.figures is not None]
    bare = sum(not one["calibrated"] for one in figures)
    outside = sum(bool(one["outside"]) for one in figures)
    energy = ", ".join(sorted({name for one in figures for name in one["energy_J"]}))
    return (
        f"Of {len(figures)} estimates {bare} have no calibration, {outside} lie outside the domain of theirs.",
        f"The analytical mode predicts these parts of the energy: {energy}.",
    )


def as_steps(outcomes: Outcomes, mode: str) -> Outcomes:
    """Return outcomes of a mode under the points by which `nmpsim.claims.workload.step_of` asks for them.

    Parameters
    ----------
    outcomes : mapping of Point to Outcome
    mode : str
    """
    if task_of(mode) == STEP:
        return outcomes
    return {Point.of(STEP, point.settings): outcome for point, outcome in outcomes.items()}
