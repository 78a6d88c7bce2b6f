"""Fits coefficients by least squares on relative errors, cross-validates them, and takes intervals from the residuals.

    minimise  sum over operators of ((theta . features - cycles) / (cycles + FLOOR))^2
            + PRIOR_WEIGHT x sum over units of max(mean square share of the unit, LEAST_SHARE) x (theta - prior)^2

with theta >= 0, so that a unit on which a kind of operator spends little time keeps the coefficient of the closed form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmpsim.analytic.model.calibration import PRIOR

Floats = NDArray[np.float64]

FLOOR = 20.0
"""Core cycles: a start, a pipeline and a signal; relative errors of operators far below that would rule the fit."""

PRIOR_WEIGHT = 1.0
"""Operators that the closed form counts as."""

LEAST_SHARE = 0.05
"""Mean square share that a unit counts with at least in the pull towards the closed form."""

ROUNDS = 400
"""Of coordinate descent; seven unknowns need a few dozen."""

COVERED = (0.05, 0.95)
"""Quantiles of the intervals."""

FOLDS = 5
"""Of the cross-validation; whole runs stay together."""

LEAST = 40
"""Operators that a kind needs for an interval of its own."""


@dataclass(frozen=True)
class Seen:
    """An operator of a cycle run.

    Parameters
    ----------
    run : int
        Number of the run.
    kind : str
        Under which coefficients are kept.
    features : ndarray of float64
        From `nmpsim.analytic.model.calibration.features`.
    cycles : float
        Of the run.
    """

    run: int
    kind: str
    features: Floats
    cycles: float


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Parameters
    ----------
    coefficients : dict of str to tuple of float
    intervals : dict of str to (float, float)
    errors : dict of str to float
        By cross-validation.
    """

    coefficients: dict[str, tuple[float, ...]]
    intervals: dict[str, tuple[float, float]]
    errors: dict[str, float]


def least_squares(features: Floats, cycles: Floats) -> tuple[float, ...]:
    """Return the coefficients of one kind of operator.

    Parameters
    ----------
    features : ndarray of float64, shape (operators, coefficients)
    cycles : ndarray of float64, shape (operators,)
    """
    prior = np.array(PRIOR)
    scale = 1 / (cycles + FLOOR)
    x, y = features * scale[:, None], cycles * scale
    pull = PRIOR_WEIGHT * np.maximum((x**2).mean(axis=0), LEAST_SHARE)
    pull[-1] = PRIOR_WEIGHT / FLOOR**2  # a cycle that is exposed is one of about FLOOR
    matrix, right = x.T @ x + np.diag(pull), x.T @ y + pull * prior
    theta = prior.copy()
    for _ in range(ROUNDS):
        for i in range(len(theta)):
            rest = right[i] - matrix[i] @ theta + matrix[i, i] * theta[i]
            theta[i] = max(0.0, rest / matrix[i, i])
    return tuple(round(float(t), 6) for t in theta)


def coefficients_of(seen: Sequence[Seen]) -> dict[str, tuple[float, ...]]:
    """Return the coefficients of every kind of operator.

    Parameters
    ----------
    seen : sequence of Seen
    """
    kinds: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        kinds[one.kind].append(one)
    return {
        kind: least_squares(np.array([s.features for s in some]), np.array([s.cycles for s in some]))
        for kind, some in sorted(kinds.items())
    }


def predicted(seen: Sequence[Seen], coefficients: dict[str, tuple[float, ...]]) -> Floats:
    """Return the predicted cycles of operators.

    Parameters
    ----------
    seen : sequence of Seen
    coefficients : dict of str to tuple of float
    """
    return np.array([float(np.dot(coefficients.get(s.kind, PRIOR), s.features)) for s in seen])


def quotients(seen: Sequence[Seen], found: Floats) -> Floats:
    """Return cycles of the runs over predicted ones, both at least 1.

    Parameters
    ----------
    seen : sequence of Seen
    found : ndarray of float64
        Predicted cycles.
    """
    real = np.maximum(1.0, np.array([s.cycles for s in seen]))
    return np.asarray(real / np.maximum(1.0, found), dtype=np.float64)


def cross_validated(seen: Sequence[Seen], seed: int) -> Floats:
    """Return predictions of every operator by coefficients that were fitted without its run.

    Parameters
    ----------
    seen : sequence of Seen
    seed : int
        Of the folds.
    """
    runs = sorted({s.run for s in seen})
    place = dict(zip(runs, np.random.default_rng(seed).permutation(len(runs)) % FOLDS, strict=True))
    found = np.zeros(len(seen))
    for fold in range(FOLDS):
        theta = coefficients_of([s for s in seen if place[s.run] != fold])
        inside = [i for i, s in enumerate(seen) if place[s.run] == fold]
        found[inside] = predicted([seen[i] for i in inside], theta)
    return found


def interval(values: Floats) -> tuple[float, float]:
    """Return the two quantiles of an interval, widened by one place at each end for the finite sample.

    Parameters
    ----------
    values : ndarray of float64
    """
    ordered = np.sort(values)
    n = len(ordered)
    low = max(0, int(np.floor(COVERED[0] * (n + 1))) - 1)
    high = min(n - 1, int(np.ceil(COVERED[1] * (n + 1))) - 1)
    return round(float(ordered[low]), 6), round(float(ordered[high]), 6)


def by_run(seen: Sequence[Seen], values: Floats) -> dict[int, float]:
    """Return the sums of some values over the operators of every run.

    Parameters
    ----------
    seen : sequence of Seen
    values : ndarray of float64
    """
    total: dict[int, float] = defaultdict(float)
    for one, x in zip(seen, values, strict=True):
        total[one.run] += float(x)
    return dict(total)


def errors_of(seen: Sequence[Seen], found: Floats) -> dict[str, float]:
    """Return the errors of predictions: means and 95th percentiles of |predicted / cycles - 1|.

    Parameters
    ----------
    seen : sequence of Seen
    found : ndarray of float64
        Predicted cycles.

    Returns
    -------
    dict
        ``mean``, ``p95`` of all operators; ``time_mean``, ``time_p95`` with the weight of their cycles; ``large_mean``,
        ``large_p95`` of those that take at least 1 in 100 cycles of their run; ``step_mean``, ``step_p95`` of runs.
    """
    cycles = np.array([s.cycles for s in seen])
    wrong = np.abs(np.maximum(1.0, found) / np.maximum(1.0, cycles) - 1)
    whole, steps = by_run(seen, cycles), by_run(seen, found)
    share = cycles / np.array([whole[s.run] for s in seen])
    order = np.argsort(wrong)
    weight = np.cumsum(cycles[order]) / cycles.sum()
    large = wrong[share >= 0.01]
    step = np.array([abs(steps[r] / whole[r] - 1) for r in whole])
    return {
        "mean": float(wrong.mean()),
        "p95": float(np.quantile(wrong, 0.95)),
        "time_mean": float((wrong * cycles).sum() / cycles.sum()),
        "time_p95": float(wrong[order][min(len(order) - 1, int(np.searchsorted(weight, 0.95)))]),
        "large_mean": float(large.mean()),
        "large_p95": float(np.quantile(large, 0.95)),
        "step_mean": float(step.mean()),
        "step_p95": float(np.quantile(step, 0.95)),
    }


def fit(seen: Sequence[Seen], seed: int) -> Fitted:
    """Return coefficients, intervals and errors.

    Parameters
    ----------
    seen : sequence of Seen
    seed : int
        Of the cross-validation.
    """
    apart = cross_validated(seen, seed)
    quotient = quotients(seen, apart)
    intervals = {"operators": interval(quotient)}
    for kind in sorted({s.kind for s in seen}):
        mine = np.array([q for s, q in zip(seen, quotient, strict=True) if s.kind == kind])
        if len(mine) >= LEAST:
            intervals[kind] = interval(mine)
    whole, steps = by_run(seen, np.array([s.cycles for s in seen])), by_run(seen, apart)
    intervals["step"] = interval(np.array([whole[r] / steps[r] for r in whole]))
    return Fitted(coefficients_of(seen), intervals, errors_of(seen, apart))
