"""The closed forms of nmpsim's analytical mode without calibration: nothing in them is fitted.

A model of steps: mappings of operators follow from the schedule of the whole step.  See docs/analytic.md.
"""

from collections.abc import Mapping
from typing import Any

from nmpsim.prediction import estimate
from nmpsim.study.tasks import chip_of

CALIBRATION = "none"


def operator_cycles(settings: Mapping[str, Any], calibration: str) -> dict[str, float]:
    """Return the core cycles of the operators of a step by their names.

    Parameters
    ----------
    settings : mapping
        Of the step, as in a suite.
    calibration : str
        As for `nmpsim.prediction.estimate`.
    """
    step = {name: value for name, value in settings.items() if name not in {"chip", "overrides"}}
    found = estimate(chip=chip_of(settings), calibration=calibration, **step)
    return {one.name: one.cycles for one in found.operators}


def predict(settings: dict[str, Any]) -> dict[str, float]:
    """Return the core cycles of the operators of a step by their names.

    Parameters
    ----------
    settings : dict
    """
    return operator_cycles(settings, CALIBRATION)
