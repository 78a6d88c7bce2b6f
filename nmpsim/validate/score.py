"""How well predictions meet the reference: errors by count and by time, by class and bottleneck, and the worst cases.

The error of an operator is predicted / simulated - 1.  Its time weight is the share that it and those it stands for
have in the step of the whole model; every step weighs the same.

**Which operators count.**  Of every step the shortest operators that together take at most 2 % of its time are set
aside as *small*, with those that take no time of their own: even a model that misses them by their whole time moves the
step by no more than that.  They are reported as a sum per step, and are part of the error of whole steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.validate.operator import ATTENTION, GEMM
from nmpsim.validate.predict import Prediction
from nmpsim.validate.reference import Reference, Row

SMALL = 0.02
"""Share of a step's time that the shortest operators may have together and not count one by one."""

BOUND_SHARE = 0.5
"""An operator whose largest bound is less than this share of its cycles is bottlenecked by latency, not a resource."""

LATENCY = "latency"

MOST_WORST = 12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """Errors of some operators or steps; all but counts and ranks as shares: 0.1 is 10 %.

    Parameters
    ----------
    number : int
    share : float
        Of the time of all steps.
    mean, median, p95, largest : float
        Of the absolute errors, each operator alike.
    time_mean, time_median, time_p95 : float
        The same, each by its time weight.
    bias, time_bias : float
        Mean of the signed errors, by count and by time.
    rank : float or None
        Spearman's correlation of predicted and simulated cycles; None of fewer than three, or if all are equal.
    """

    number: int
    share: float
    mean: float
    median: float
    p95: float
    largest: float
    time_mean: float
    time_median: float
    time_p95: float
    bias: float
    time_bias: float
    rank: float | None


@dataclass(frozen=True)
class Worst:
    """An operator that a model misses by much of its step's time.

    Parameters
    ----------
    row : Row
    predicted, error : float
    moved : float
        Share of the step's time by which it is missed.
    reason : str
    """

    row: Row
    predicted: float
    error: float
    moved: float
    reason: str


@dataclass(frozen=True)
class Score:
    """What came of a model.

    Parameters
    ----------
    prediction : Prediction
    overall : Errors
    groups : dict of str to dict of str to Errors
        ``class``, ``kind``, ``bottleneck``, ``chip``, ``model``; the last two by setting.
    steps : Errors
        Of whole steps.
    small : dict of str to float
        Operators set aside: ``number``, those ``hidden`` that take no time, ``share`` of the time, ``predicted`` share.
    worst : tuple of Worst
    """

    prediction: Prediction
    overall: Errors
    groups: dict[str, dict[str, Errors]]
    steps: Errors
    small: dict[str, float]
    worst: tuple[Worst, ...]


def weighted_quantile(values: Floats, weights: Floats, part: float) -> float:
    """Return the least value that with the smaller ones has at least a part of the weight.

    Parameters
    ----------
    values, weights : ndarray of float
    part : float
        0 to 1.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, part * reached[-1] * (1 - 1e-12)))
    return float(values[order][min(place, len(values) - 1)])


def ranks(values: Floats) -> Floats:
    """Return the ranks of values from 1 on; equal ones share their mean.

    Parameters
    ----------
    values : ndarray of float
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place], dtype=float)


def spearman(one: Floats, other: Floats) -> float | None:
    """Return Spearman's rank correlation; None of fewer than three values, or where all are equal.

    Parameters
    ----------
    one, other : ndarray of float
    """
    if len(one) < 3:
        return None
    x, y = ranks(one), ranks(other)
    if not x.std() or not y.std():
        return None
    return float(np.corrcoef(x, y)[0, 1])


def errors_of(predicted: Floats, cycles: Floats, weights: Floats) -> Errors:
    """Return the errors of some predictions, at least one.

    Parameters
    ----------
    predicted, cycles : ndarray of float
        Cycles above 0.
    weights : ndarray of float
        Shares of time.
    """
    signed = predicted / cycles - 1
    size, alike, total = np.abs(signed), np.ones(len(signed)), weights.sum()
    return Errors(
        number=len(signed),
        share=float(total),
        mean=float(size.mean()),
        median=weighted_quantile(size, alike, 0.5),
        p95=weighted_quantile(size, alike, 0.95),
        largest=float(size.max()),
        time_mean=float((size * weights).sum() / total),
        time_median=weighted_quantile(size, weights, 0.5),
        time_p95=weighted_quantile(size, weights, 0.95),
        bias=float(signed.mean()),
        time_bias=float((signed * weights).sum() / total),
        rank=spearman(predicted, cycles),
    )


@dataclass(frozen=True)
class Weighted:
    """The rows of a reference as arrays.

    Parameters
    ----------
    cycles, time : ndarray of float
        Core cycles of a row, and of all operators that it stands for.
    step : ndarray of int
        Number of its step among those that ran.
    step_time : ndarray of float
        Time of every step: core cycles.
    counted : ndarray of bool
        It is none of the small ones.
    """

    cycles: Floats
    time: Floats
    step: NDArray[np.int64]
    step_time: Floats
    counted: NDArray[np.bool_]

    @property
    def share(self) -> Floats:
        """Share of a row in the time of all steps, each weighing the same."""
        return np.asarray(self.time / self.step_time[self.step] / len(self.step_time))


def weighted(reference: Reference) -> Weighted:
    """Return the rows of a reference as arrays.

    Parameters
    ----------
    reference : Reference
    """
    ran = {case.name: number for number, case in enumerate(c for c in reference.cases if not c.refused)}
    cycles = np.array([row.cycles for row in reference.rows], dtype=float)
    time = cycles * np.array([row.repeat for row in reference.rows])
    step = np.array([ran[row.case.name] for row in reference.rows], dtype=np.int64)
    step_time = np.bincount(step, time, len(ran)).astype(float)
    counted = np.zeros(len(cycles), dtype=bool)
    for number in range(len(ran)):
        own = np.flatnonzero(step == number)
        order = own[np.argsort(time[own], kind="stable")]
        small = np.cumsum(time[order]) <= SMALL * step_time[number]
        counted[order[~small]] = True
    return Weighted(cycles, time, step, step_time, counted)


def bottleneck(row: Row) -> str:
    """Return what an operator is bound by: its largest bound if that is half of its cycles, or ``latency``.

    Parameters
    ----------
    row : Row
    """
    name = max(row.bounds, key=lambda key: row.bounds[key])
    return name if row.bounds[name] >= BOUND_SHARE * row.cycles else LATENCY


GROUPS: dict[str, Callable[[Row], str]] = {
    "class": lambda row: row.operator.operator_class,
    "kind": lambda row: row.operator.kind,
    "bottleneck": bottleneck,
    "chip": lambda row: str(row.case.settings["chip"]),
    "model": lambda row: str(row.case.settings["model"]),
}
"""How operators are grouped."""


def score(prediction: Prediction, reference: Reference) -> Score:
    """Return how well predictions meet the reference.

    Parameters
    ----------
    prediction : Prediction
    reference : Reference
    """
    table = weighted(reference)
    predicted = np.array(prediction.cycles)
    repeat = np.array([row.repeat for row in reference.rows])
    share, counted = table.share, table.counted
    groups: dict[str, dict[str, Errors]] = {}
    for name, told in GROUPS.items():
        names = np.array([told(row) for row in reference.rows])
        members = {str(one): counted & (names == one) for one in sorted(set(names[counted]))}
        found = {one: errors_of(predicted[own], table.cycles[own], share[own]) for one, own in members.items()}
        groups[name] = dict(sorted(found.items(), key=lambda item: -item[1].share))
    whole = np.bincount(table.step, predicted * repeat, len(table.step_time)).astype(float)
    alike = np.full(len(whole), 1 / len(whole))
    small = ~counted
    return Score(
        prediction=prediction,
        overall=errors_of(predicted[counted], table.cycles[counted], share[counted]),
        groups=groups,
        steps=errors_of(whole, table.step_time, alike),
        small={
            "number": int(small.sum()),
            "hidden": int((table.cycles == 0).sum()),
            "share": float(share[small].sum()),
            "predicted": float((predicted * repeat / table.step_time[table.step])[small].sum() / len(whole)),
        },
        worst=_worst(predicted, reference, table),
    )


def _worst(predicted: Floats, reference: Reference, table: Weighted) -> tuple[Worst, ...]:
    """Return the operators that miss the most of their step's time, one of each kind and chip."""
    repeat = np.array([row.repeat for row in reference.rows])
    moved = np.abs(predicted - table.cycles) * repeat / table.step_time[table.step]
    found: dict[tuple[str, str], Worst] = {}
    for place in np.argsort(-moved, kind="stable"):
        row = reference.rows[place]
        key = (row.operator.kind, str(row.case.settings["chip"]))
        if not table.counted[place] or key in found:
            continue
        guess = float(predicted[place])
        found[key] = Worst(row, guess, guess / row.cycles - 1, float(moved[place]), reason(row, guess))
        if len(found) == MOST_WORST:
            break
    return tuple(found.values())


STATES = {
    "busy": "working", "queue_empty": "without an instruction", "wait_semaphore": "waiting for other units",
    "operand_late": "waiting for operands from DRAM", "accumulators_busy": "waiting for accumulators",
    "load_stationary": "loading the stationary operand", "pipeline_drain": "filling and draining",
    "reconfigure": "changing shape", "edge_bandwidth": "waiting for an edge", "port_conflict": "waiting for a port",
}  # fmt: skip
"""States of a compute unit in words."""


def reason(row: Row, predicted: float) -> str:
    """Return why a model may have missed an operator: what the run did with the time.

    Parameters
    ----------
    row : Row
    predicted : float
        Core cycles.
    """
    words = []
    name = max(row.bounds, key=lambda key: row.bounds[key])
    bound, span = row.bounds[name], row.end - row.start
    if predicted < bound <= row.cycles:
        words.append(f"the prediction is below the {name} bound of {bound:,.0f} cycles")
    if predicted > row.cycles and span > row.cycles:
        words.append(f"it ran for {span:,} cycles, but {span - row.cycles:,} of them beside operators before it")
    total = sum(row.array_cycles.values())
    if total and row.operator.operator_class in {GEMM, ATTENTION}:
        states = sorted(row.array_cycles.items(), key=lambda item: -item[1])[:3]
        told = ", ".join(f"{STATES.get(state, state)} {count / total:.0%}" for state, count in states)
        words.append(f"its arrays were {told}")
    elif row.operator.operator_class not in {GEMM, ATTENTION}:
        words.append("no matrix product: vector units, copies and messages, one after the other")
    words.append(f"the {name} bound is {bound / row.cycles:.0%} of its cycles")
    return "; ".join(words)


def rows_of(prediction: Prediction, reference: Reference) -> list[dict[str, Any]]:
    """Return a table row per operator: case, shape, predicted and simulated cycles, error, weight, bottleneck.

    Parameters
    ----------
    prediction : Prediction
    reference : Reference
    """
    table = weighted(reference)
    share = table.share
    found = []
    for place, row in enumerate(reference.rows):
        guess, one = prediction.cycles[place], row.operator
        found.append(
            {
                "model": prediction.name,
                "case": row.case.name,
                "operator": one.name,
                "kind": one.kind,
                "class": one.operator_class,
                "bottleneck": bottleneck(row),
                "cycles": row.cycles,
                "predicted": guess,
                "error": guess / row.cycles - 1 if row.cycles else None,
                "time_share": float(share[place]),
                "counted": bool(table.counted[place]),
            }
        )
    return found


def sequence(scores: Sequence[Score]) -> list[Score]:
    """Return scores, the least error by time first.

    Parameters
    ----------
    scores : sequence of Score
    """
    return sorted(scores, key=lambda one: one.overall.time_mean)
