"""What predicts the step of many chips: a model of operator time, summed over the operators of the step."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, NmpsimError
from nmpsim.explore.analytic import Analytic, sources_hash
from nmpsim.schedule.step import Plan
from nmpsim.validate.operator import Chip, Operator
from nmpsim.validate.predict import Predict, load_function, takes_steps, unfit

CALIBRATIONS = {"analytic": "shipped", "closed_forms": "none"}
"""Calibrations of the analytical mode by the name of the model."""


class StepModel(Protocol):
    """Core cycles of a step on every chip of some."""

    def __call__(self, plan: Plan, chips: Sequence[Chip]) -> NDArray[np.float64]:
        """Return the core cycles of a step, an entry per chip.

        Parameters
        ----------
        plan : Plan
            The step; its graphs hold for all of the chips, its chip is one of them.
        chips : sequence of Chip
        """


class SumOfOperators:
    """The operators of a step one after the other, each different one asked once per chip.

    Parameters
    ----------
    function : callable
        A model of operator time.
    """

    def __init__(self, function: Predict) -> None:
        self._function = function

    def __call__(self, plan: Plan, chips: Sequence[Chip]) -> NDArray[np.float64]:
        """Return the core cycles of a step, an entry per chip; of several stacks, the first one's part stands for all.

        Parameters
        ----------
        plan : Plan
        chips : sequence of Chip

        Raises
        ------
        NmpsimError
            If the model returns what is no number of cycles.
        """
        first: dict[tuple[object, ...], Operator] = {}
        number: Counter[tuple[object, ...]] = Counter()
        for one in plan.graphs[0]:
            operator = Operator.of(one)
            first.setdefault(operator.shape, operator)
            number[operator.shape] += 1
        asked = [(operator, number[shape]) for shape, operator in first.items()]
        return np.array([sum(count * self._ask(operator, chip) for operator, count in asked) for chip in chips])

    def _ask(self, operator: Operator, chip: Chip) -> float:
        answer = self._function(operator, chip)
        if wrong := unfit(answer):
            allowed = "a finite number of core cycles, at least 0"
            raise NmpsimError("the model fails", [Fault(operator.name, wrong, allowed, "correct the function")])
        return float(answer)


def step_model(by: str) -> StepModel:
    """Return what predicts a step.

    Parameters
    ----------
    by : str
        A model of operator time, as in `nmpsim.validate.predict.load_function`.

    Raises
    ------
    NmpsimError
        If there is none of that name, or it is a model of steps.
    """
    if by in CALIBRATIONS:
        return Analytic(CALIBRATIONS[by])
    function, _ = load_function(by)
    if takes_steps(function):
        allowed = "a function of an operator and a chip"
        raise NmpsimError("cannot use the model", [Fault(by, "a function of one argument", allowed, "name another")])
    return SumOfOperators(function)


def model_hash(by: str) -> str:
    """Return the hash of the file of a model; empty if it has none.

    Parameters
    ----------
    by : str
        As for `step_model`.

    Raises
    ------
    NmpsimError
        As for `step_model`.
    """
    step_model(by)
    if by in CALIBRATIONS:
        return sources_hash()
    _, file = load_function(by)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
