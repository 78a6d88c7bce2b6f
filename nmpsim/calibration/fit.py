"""Fits coefficients and factors to cycle runs, cross-validates them, and takes intervals from what they leave.

    minimise  sum over operators of |theta . features - cycles| / (cycles + FLOOR)
            + PRIOR_WEIGHT x sum over units of max(mean square share of the unit, LEAST_SHARE) x (theta - prior)^2

with theta >= 0, so that a unit on which a kind of operator spends little time keeps the coefficient of the closed form.
Sizes of errors, not their squares: what is exact for most stays so.  The minimum is found by least squares with weights
1 / error of the round before.  Factors (`nmpsim.analytic.model.residual`) are fitted to what is left likewise, as a
ridge regression whose strength is cross-validated; a kind for which no strength lessens the error gets none.

An operator that is hidden under others as a whole takes no cycle of its run.  It has no relative error: such operators
take no part in the fit, and are told apart, with what is predicted for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmpsim.analytic.model.calibration import PRIOR
from nmpsim.analytic.model.residual import VARIABLES, Residual

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOOR = 4.0
"""Core cycles: the pipeline of a vector unit; relative errors of operators far below that would rule the fit."""

PRIOR_WEIGHT = 1.0
"""Operators that the closed form counts as."""

LEAST_SHARE = 0.05
"""Mean square share that a unit counts with at least in the pull towards the closed form."""

ROUNDS = 150
"""Of coordinate descent; seven unknowns need a few dozen."""

TURNS = 8
"""Rounds of weights."""

EXACT = 0.01
"""Relative error below which all are alike: weights stay finite."""

STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0)
"""Of the ridge, in operators."""

BETTER = 0.97
"""Share of the cross-validated error that a factor must leave at most, to be worth having."""

LEAST_FACTOR = 30
"""Operators that a kind needs for a factor."""

KEPT = (0.01, 0.99)
"""Quantiles of what is left, between which a factor stays."""

SHARE = 0.9
"""Share of the operators, and of the steps, that lie within their intervals."""

TAILS = (0.05, 0.055, 0.06, 0.065, 0.07)
"""Share of a kind that may lie below its interval, and above it: more than half of what `SHARE` leaves if other kinds
are exact, and lie within theirs altogether."""

ROUNDED = 1e-6
"""Of the ends of an interval."""

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
    variables : ndarray of float64
        From `nmpsim.analytic.model.residual.about`.
    cycles : float
        Of the run.
    """

    run: int
    kind: str
    features: Floats
    variables: Floats
    cycles: float


@dataclass(frozen=True)
class Terms:
    """Coefficients and factors of all kinds.

    Parameters
    ----------
    coefficients : dict of str to tuple of float
    residuals : dict of str to Residual
    """

    coefficients: dict[str, tuple[float, ...]]
    residuals: dict[str, Residual]


PLAIN = Terms({}, {})
"""Closed forms alone."""


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Parameters
    ----------
    terms : Terms
    intervals : dict of str to (float, float)
    errors : dict of str to float
        By cross-validation.
    """

    terms: Terms
    intervals: dict[str, tuple[float, float]]
    errors: dict[str, float]


def least_errors(features: Floats, cycles: Floats) -> tuple[float, ...]:
    """Return the coefficients of one kind of operator.

    Parameters
    ----------
    features : ndarray of float64, shape (operators, coefficients)
    cycles : ndarray of float64, shape (operators,)
    """
    prior = np.array(PRIOR)
    theta = prior.copy()
    scale = 1 / (cycles + FLOOR)
    x, y = features * scale[:, None], cycles * scale
    weights = np.ones(len(y))
    for _ in range(TURNS):
        square = (weights[:, None] * x**2).sum(axis=0) / weights.sum()
        pull = PRIOR_WEIGHT * np.maximum(square, LEAST_SHARE)
        pull[-1] = PRIOR_WEIGHT / FLOOR**2  # a cycle that is exposed is one of about FLOOR
        pull *= weights.mean()
        matrix, right = (x * weights[:, None]).T @ x + np.diag(pull), (x * weights[:, None]).T @ y + pull * prior
        for _ in range(ROUNDS):
            for i in range(len(theta)):
                rest = right[i] - matrix[i] @ theta + matrix[i, i] * theta[i]
                theta[i] = max(0.0, rest / matrix[i, i])
        weights = _weights(y - x @ theta)
    return tuple(round(float(t), 6) for t in theta)


def _weights(left: Floats) -> Floats:
    """Weights with which squares count as sizes, the largest 1."""
    found = 1 / np.maximum(EXACT, np.abs(left))
    return np.asarray(found / found.max(), dtype=np.float64)


def ridge(variables: Floats, left: Floats, strength: float) -> tuple[float, Floats]:
    """Return constant and weights of a factor.

    Parameters
    ----------
    variables : ndarray of float64, shape (operators, variables)
    left : ndarray of float64, shape (operators,)
        Logarithms of cycles over those predicted.
    strength : float
        Operators that the pull towards weights of 0 counts as.
    """
    spread = variables.std(axis=0)
    varied = spread > 1e-9
    scale = np.where(varied, 1 / np.where(varied, spread, 1), 0)
    weights = np.ones(len(left))
    for _ in range(TURNS):
        share = weights / weights.sum()
        centre, middle = share @ variables, share @ left
        z = (variables - centre) * scale
        matrix = (z * weights[:, None]).T @ z + strength * weights.mean() * np.eye(len(scale))
        slope = np.linalg.solve(matrix, (z * weights[:, None]).T @ (left - middle))
        weights = _weights(left - middle - z @ slope)
    raw = slope * scale
    return float(middle - centre @ raw), raw


def residual_of(variables: Floats, left: Floats, runs: Ints, seed: int) -> Residual | None:
    """Return the factor of a kind of operator; None if none lessens the cross-validated error.

    Parameters
    ----------
    variables : ndarray of float64, shape (operators, variables)
    left : ndarray of float64, shape (operators,)
        Logarithms of cycles over those predicted.
    runs : ndarray of int64, shape (operators,)
        Run of each; whole runs stay together.
    seed : int
        Of the folds.
    """
    least, best = float(np.abs(left).mean()) * BETTER, 0.0
    fold = _folds(runs, seed)
    for strength in STRENGTHS:
        wrong = 0.0
        for part in range(FOLDS):
            inside = fold != part
            if not inside.any() or inside.all():
                continue
            constant, weights = ridge(variables[inside], left[inside], strength)
            bounds = np.quantile(left[inside], KEPT)
            found = np.clip(constant + variables[~inside] @ weights, *bounds)
            wrong += float(np.abs(left[~inside] - found).sum())
        if wrong / len(left) < least:
            least, best = wrong / len(left), strength
    if not best:
        return None
    constant, weights = ridge(variables, left, best)
    named = {n: round(float(w), 8) for n, w in zip(VARIABLES, weights, strict=True) if w}
    low, high = np.quantile(left, KEPT)
    return Residual(round(constant, 8), named, round(float(low), 6), round(float(high), 6))


def _folds(runs: Ints, seed: int) -> Ints:
    """Part of the cross-validation of every run."""
    different, index = np.unique(runs, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(different)) % FOLDS
    return np.asarray(order[index], dtype=np.int64)


def terms_of(seen: Sequence[Seen], seed: int) -> Terms:
    """Return coefficients and factors of every kind of operator.

    Parameters
    ----------
    seen : sequence of Seen
    seed : int
        Of the cross-validation of factors.
    """
    kinds: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        if one.cycles > 0:
            kinds[one.kind].append(one)
    found = Terms({}, {})
    for kind, some in sorted(kinds.items()):
        features, cycles = np.array([s.features for s in some]), np.array([s.cycles for s in some])
        theta = found.coefficients[kind] = least_errors(features, cycles)
        if len(some) < LEAST_FACTOR:
            continue
        left = np.log(cycles / np.maximum(1.0, features @ np.array(theta)))
        variables, runs = np.array([s.variables for s in some]), np.array([s.run for s in some])
        residual = residual_of(variables, left, runs, seed)
        if residual is not None:
            found.residuals[kind] = residual
    return found


def predicted(seen: Sequence[Seen], terms: Terms) -> Floats:
    """Return the predicted cycles of operators.

    Parameters
    ----------
    seen : sequence of Seen
    terms : Terms
    """
    found = []
    for one in seen:
        cycles = float(np.dot(terms.coefficients.get(one.kind, PRIOR), one.features))
        residual = terms.residuals.get(one.kind)
        found.append(cycles if residual is None else cycles * float(residual.factor(tuple(one.variables))))
    return np.array(found)


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
    place = _folds(np.array([s.run for s in seen]), seed)
    found = np.zeros(len(seen))
    for fold in range(FOLDS):
        terms = terms_of([s for s, p in zip(seen, place, strict=True) if p != fold], seed)
        inside = [int(i) for i in np.flatnonzero(place == fold)]
        found[inside] = predicted([seen[i] for i in inside], terms)
    return found


def interval(values: Floats, tail: float = TAILS[0]) -> tuple[float, float]:
    """Return the two quantiles of an interval, widened by one place at each end for the finite sample.

    Parameters
    ----------
    values : ndarray of float64
    tail : float
        Share below, and above.
    """
    ordered = np.sort(values)
    n = len(ordered)
    low = max(0, int(np.floor(tail * (n + 1))) - 1)
    high = min(n - 1, int(np.ceil((1 - tail) * (n + 1))) - 1)
    return round(float(ordered[low]), 6), round(float(ordered[high]), 6)


def intervals_of(seen: Sequence[Seen], quotient: Floats) -> dict[str, tuple[float, float]]:
    """Return the intervals of all operators together and of every kind: the narrowest that hold `SHARE` of all.

    Parameters
    ----------
    seen : sequence of Seen
    quotient : ndarray of float64
        Cycles over cross-validated ones.
    """
    kinds: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(seen):
        kinds[one.kind].append(place)
    chosen: dict[str, tuple[float, float]] = {}
    for tail in TAILS:
        found = {"operators": interval(quotient, tail)}
        found |= {kind: interval(quotient[at], tail) for kind, at in sorted(kinds.items()) if len(at) >= LEAST}
        inside = 0
        for kind, at in kinds.items():
            low, high = found.get(kind, found["operators"])
            inside += int(((quotient[at] >= low - ROUNDED) & (quotient[at] <= high + ROUNDED)).sum())
        if chosen and inside < SHARE * len(seen):
            break
        chosen = found
    return chosen


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
        ``large_p95`` of those that take at least 1 in 100 cycles of their run; ``step_mean``, ``step_p95`` of runs;
        ``hidden``: share of operators that take no cycle and so have no relative error, ``hidden_time``: what is
        predicted for them, over the cycles of all.
    """
    every = np.array([s.cycles for s in seen])
    whole, steps = by_run(seen, every), by_run(seen, found)
    unseen = {"hidden": float((every == 0).mean()), "hidden_time": float(found[every == 0].sum() / every.sum())}
    seen, found = [s for s in seen if s.cycles > 0], found[every > 0]
    cycles = every[every > 0]
    wrong = np.abs(np.maximum(1.0, found) / cycles - 1)
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
        **unseen,
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
    intervals = intervals_of(seen, quotient)
    whole, steps = by_run(seen, np.array([s.cycles for s in seen])), by_run(seen, apart)
    intervals["step"] = interval(np.array([whole[r] / steps[r] for r in whole]))
    return Fitted(terms_of(seen, seed), intervals, errors_of(seen, apart))
