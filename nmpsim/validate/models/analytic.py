"""The analytical mode of nmpsim with the calibration that ships for the chip.

A model of steps; the calibration was fitted to cycle runs of the same simulator, on a sample of its own: see
docs/analytic.md for what was held out.
"""

from typing import Any

from nmpsim.validate.models.closed_forms import operator_cycles

CALIBRATION = "shipped"


def predict(settings: dict[str, Any]) -> dict[str, float]:
    """Return the core cycles of the operators of a step by their names.

    Parameters
    ----------
    settings : dict
    """
    return operator_cycles(settings, CALIBRATION)
