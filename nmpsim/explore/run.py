"""An exploration: all chips in bulk, the front, cycle runs of the front and of random chips, the gap between both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, NmpsimError
from nmpsim.explore.bulk import CHIPS, COLUMNS
from nmpsim.explore.front import front, spread
from nmpsim.explore.models import model_hash
from nmpsim.explore.space import Space
from nmpsim.study import Outcome, Point, run_study
from nmpsim.study.runner import Progress
from nmpsim.study.tasks import STEP
from nmpsim.validate.score import spearman, weighted_quantile

PER_POINT = 500
"""Chips of a point: about two seconds of work."""

LATER = ("title", "minimise", "limits", "gap_chips", "front_chips")
"""Keys of a study that change no prediction."""

ROUNDS = 5
"""Most times that the front is drawn anew since the cycle mode refuses chips of it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Confirmed:
    """A chip in the cycle mode.

    Parameters
    ----------
    row : int
        Of the tables of the exploration.
    seconds : float
        Time of the step; NaN if it is refused.
    joules : float
        Energy of the step.
    refused : str
        Why; empty if it is not.
    """

    row: int
    seconds: float
    joules: float
    refused: str


@dataclass(frozen=True)
class Gap:
    """How far predictions are from cycle runs; errors are predicted / simulated - 1.

    Parameters
    ----------
    number : int
        Chips that ran.
    refused : int
        Chips that the cycle mode refused.
    mean, p95, largest : float
        Of the sizes of the errors.
    bias : float
        Mean error.
    rank : float or None
        Spearman's correlation.
    """

    number: int
    refused: int
    mean: float
    p95: float
    largest: float
    bias: float
    rank: float | None


@dataclass(frozen=True)
class Exploration:
    """What came of it.

    Parameters
    ----------
    space : Space
    by : str
        The model that predicted.
    columns : dict of str to ndarray
        `nmpsim.explore.bulk.COLUMNS` of all chips that were not refused.
    refused : dict of str to int
        Chips by reason.
    within : ndarray of bool
        Chips within the limits.
    predicted : ndarray of int
        Rows of the predicted front.
    confirmed : tuple of Confirmed
        Chips of it that were run.
    best : ndarray of int
        Rows of the front of those that ran, with the times of the cycle mode.
    random : tuple of Confirmed
        Chips drawn at random.
    front_gap, random_gap : Gap or None
        None if no chip ran.
    """

    space: Space
    by: str
    columns: dict[str, NDArray[Any]]
    refused: dict[str, int]
    within: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    confirmed: tuple[Confirmed, ...]
    best: NDArray[np.int64]
    random: tuple[Confirmed, ...]
    front_gap: Gap | None
    random_gap: Gap | None


Told = Callable[[str], None]
"""Called with what is done next."""


def explore(
    space: Space,
    by: str,
    folder: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    told: Told | None = None,
) -> Exploration:
    """Explore a space.

    Parameters
    ----------
    space : Space
    by : str
        Model of operator time, as in `nmpsim.validate.predict.load_function`.
    folder : Path
        Of finished points.
    workers : int, optional
    progress : callable, optional
        As for `nmpsim.study.run_study`.
    told : callable, optional

    Raises
    ------
    NmpsimError
        If the model fails, a run fails, or no chip is left.
    """
    digest = model_hash(by)
    total = len(space.places())
    tell = told or (lambda _: None)
    tell(f"{total:,} chips by {by}")
    asked = {key: value for key, value in space.tree.items() if key not in LATER}
    own = {"space": asked, "by": by, "by_sha256": digest, "chip": space.step["chip"], "model": space.step["model"]}
    points = [Point.of(CHIPS, {**own, "first": at, "number": PER_POINT}) for at in range(0, total, PER_POINT)]
    outcomes = run_study(points, folder, workers=workers, progress=progress)
    columns, refused = _joined(outcomes)
    within = np.ones(len(columns["place"]), dtype=bool)
    for name, most in space.limits.items():
        within &= columns[name] <= most
    if not within.any():
        reasons = [*refused.items(), *_beyond(space, columns)]
        faults = [Fault("study", f"{n:,} chips: {why}", "at least one chip", "widen it") for why, n in reasons[:8]]
        raise NmpsimError(f"none of {total:,} chips is left", faults)

    def run(rows: NDArray[np.int64]) -> tuple[Confirmed, ...]:
        return _cycle_runs(space, columns, rows, folder, workers, progress)

    tell(f"cycle runs of the front of {int(within.sum()):,} chips")
    objectives = np.stack([columns[name] for name in space.minimise], axis=1)
    left, predicted = within.copy(), np.empty(0, dtype=np.int64)
    confirmed: tuple[Confirmed, ...] = ()
    for _ in range(ROUNDS):
        rows = np.flatnonzero(left)
        predicted = rows[front(objectives[rows])]
        confirmed = run(spread(predicted, space.front_chips))
        gone = [one.row for one in confirmed if one.refused]
        left[gone] = False
        if not gone or not left.any():
            break
    ran = [one for one in confirmed if not one.refused]
    simulated = objectives[[one.row for one in ran]].copy()
    if "seconds" in space.minimise:
        simulated[:, space.minimise.index("seconds")] = [one.seconds for one in ran]
    best = np.array([ran[place].row for place in front(simulated)] if ran else [], dtype=np.int64)
    tell(f"cycle runs of {space.gap_chips} random chips")
    rows = np.flatnonzero(within)
    drawn = np.random.Generator(np.random.PCG64(space.draw_seed)).permutation(rows)[: space.gap_chips]
    random = run(drawn)
    return Exploration(
        space=space,
        by=by,
        columns=columns,
        refused=refused,
        within=within,
        predicted=predicted,
        confirmed=confirmed,
        best=best,
        random=random,
        front_gap=gap(confirmed, columns["seconds"]),
        random_gap=gap(random, columns["seconds"]),
    )


def _failed(outcomes: tuple[Outcome, ...]) -> None:
    """Refuse outcomes that failed, with the reasons.

    Raises
    ------
    NmpsimError
        If there are any.
    """
    failed = [one for one in outcomes if one.error]
    if failed:
        lines = dict.fromkeys(one.error.splitlines()[0] for one in failed)
        faults = [Fault("point", line, "a result", "correct the model, or run again") for line in list(lines)[:5]]
        raise NmpsimError(f"{len(failed)} points of the exploration failed", faults)


def _joined(outcomes: tuple[Outcome, ...]) -> tuple[dict[str, NDArray[Any]], dict[str, int]]:
    """Return the figures of all chips, and why others were refused."""
    _failed(outcomes)
    refused: dict[str, int] = {}
    parts = []
    for one in outcomes:
        if one.figures is None:
            raise NmpsimError(one.why)
        parts.append(one.figures)
        for why, places in one.figures["refused"].items():
            refused[why] = refused.get(why, 0) + len(places)
    columns = {name: np.array([value for part in parts for value in part[name]]) for name in COLUMNS}
    columns["place"] = columns["place"].astype(np.int64)
    return columns, dict(sorted(refused.items(), key=lambda item: -item[1]))


def _beyond(space: Space, columns: dict[str, NDArray[Any]]) -> list[tuple[str, int]]:
    """Return how many chips are beyond each limit, and the least there is."""
    found = []
    for name, most in space.limits.items():
        if len(columns[name]):
            words = f"{name} beyond {most:g}; the least is {columns[name].min():.4g}"
            found.append((words, int((columns[name] > most).sum())))
    return found


def _cycle_runs(
    space: Space,
    columns: dict[str, NDArray[Any]],
    rows: NDArray[np.int64],
    folder: Path,
    workers: int | None,
    progress: Progress | None,
) -> tuple[Confirmed, ...]:
    """Run chips in the cycle mode."""
    points = [Point.of(STEP, {**space.step, "overrides": space.overrides(int(columns["place"][row]))}) for row in rows]
    outcomes = run_study(points, folder, workers=workers, progress=progress)
    _failed(outcomes)
    found = []
    for row, one in zip(rows.tolist(), outcomes, strict=True):
        if one.figures is None:
            found.append(Confirmed(row, float("nan"), float("nan"), " ".join(one.why.split())))
        else:
            found.append(Confirmed(row, one.figures["seconds"], sum(one.figures["energy_J"].values()), ""))
    return tuple(found)


def gap(runs: tuple[Confirmed, ...], seconds: Floats) -> Gap | None:
    """Return how far predictions are from cycle runs; None if no chip ran.

    Parameters
    ----------
    runs : tuple of Confirmed
    seconds : ndarray of float
        Predicted time of every row.
    """
    ran = [one for one in runs if not one.refused]
    if not ran:
        return None
    simulated = np.array([one.seconds for one in ran])
    predicted = seconds[[one.row for one in ran]]
    signed = predicted / simulated - 1
    size = np.abs(signed)
    return Gap(
        number=len(ran),
        refused=len(runs) - len(ran),
        mean=float(size.mean()),
        p95=weighted_quantile(size, np.ones(len(size)), 0.95),
        largest=float(size.max()),
        bias=float(signed.mean()),
        rank=spearman(predicted, simulated),
    )
