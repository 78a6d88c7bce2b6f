"""A calibration: coefficients of the closed forms, what they leave, and for which steps they were fitted.

    cycles = (sum over units of (coefficient x predicted cycles of the unit) + exposed) x factor

``stream``, ``array``, ``vector`` and ``network`` are inverse efficiencies, ``latency`` the part of pipelines and
crossings that nothing hides, ``hidden`` the part of the second slowest unit that overlap does not hide, ``exposed``
cycles per operator; the factor is told in `nmpsim.analytic.model.residual`.  Without a calibration the first five
coefficients are 1, the others 0, the factor 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.analytic.model.residual import VARIABLES, Residual
from nmpsim.analytic.model.sources import engine_hash, engine_text_hash
from nmpsim.analytic.model.timing.spent import UNITS, Time
from nmpsim.errors import Fault, SpecError

FORMAT = "nmpsim-calibration-2"
COEFFICIENTS = (*UNITS, "exposed")
PRIOR = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
"""Coefficients without a calibration."""

LAST_DIGIT = 1e-9
"""Share by which quotients of clocks may differ and be the same."""

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Calibration:
    """Coefficients, intervals and domain.

    Parameters
    ----------
    chip : str
        Name of the chip round which the sample was drawn.
    coefficients : dict of str to tuple of float
        In the order of `COEFFICIENTS`, by kind of operator.
    residuals : dict of str to Residual
        By kind of operator; a kind without one has the factor 1.
    intervals : dict of str to (float, float)
        Quotients of cycles of runs and predicted ones between which 90 of 100 lie, by kind; ``step`` of whole steps.
    domain : dict of str to list
        Least and greatest value of every variable of the sample, or the values it had.
    provenance : dict
        Hashes, seed, budget, runs, errors found by cross-validation.
    """

    chip: str
    coefficients: dict[str, tuple[float, ...]]
    residuals: dict[str, Residual]
    intervals: dict[str, tuple[float, float]]
    domain: dict[str, list[Any]]
    provenance: dict[str, Any]

    def cycles(self, kind: str, time: Time, variables: tuple[Any, ...]) -> Any:
        """Return the calibrated cycles of an operator.

        Parameters
        ----------
        kind : str
        time : Time
        variables : tuple of array
            From `nmpsim.analytic.model.residual.about`.
        """
        theta = self.coefficients.get(kind, PRIOR)
        found = sum(t * v for t, v in zip(theta[:-1], time.values, strict=True)) + theta[-1]
        return found * self.factor(kind, variables)

    def factor(self, kind: str, variables: tuple[Any, ...]) -> Any:
        """Return the factor of an operator beside its coefficients.

        Parameters
        ----------
        kind : str
        variables : tuple of array
            As for `cycles`.
        """
        residual = self.residuals.get(kind)
        return 1.0 if residual is None else residual.factor(variables)

    def interval(self, kind: str) -> tuple[float, float]:
        """Return the quotients between which 90 of 100 operators of a kind lie.

        Parameters
        ----------
        kind : str
            An unknown one gets the interval of all operators.
        """
        return self.intervals.get(kind, self.intervals["operators"])

    def outside(self, variables: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Return the variables that lie outside the domain: name, value, allowed.

        Parameters
        ----------
        variables : mapping
            From `variables_of`.
        """
        found = []
        for name, value in variables.items():
            allowed = self.domain.get(name)
            if allowed is None:
                found.append((name, str(value), "no value: the sample had none"))
            elif isinstance(value, str):
                if value not in allowed:
                    found.append((name, value, ", ".join(map(str, allowed))))
            elif not allowed[0] * (1 - LAST_DIGIT) <= value <= allowed[1] * (1 + LAST_DIGIT):
                found.append((name, f"{value:g}", f"{allowed[0]:g} to {allowed[1]:g}"))
        return found

    def text(self) -> str:
        """Return the calibration as JSON."""
        residuals = {kind: vars(one) for kind, one in self.residuals.items()}
        tree = {"format": FORMAT, **vars(self), "residuals": residuals}
        return json.dumps(tree, indent=1, sort_keys=True) + "\n"


def features(time: Time) -> NDArray[np.float64]:
    """Return what the coefficients multiply.

    Parameters
    ----------
    time : Time
        Of one chip.
    """
    return np.array([*(float(v) for v in time.values), 1.0])


def load_calibration(path: Path) -> Calibration:
    """Return a calibration from a file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    SpecError
        If it cannot be read, or the sources of the cycle mode or of the closed forms are not those it was made with.
    """
    todo = "make a new one: nmpsim calibrate --chip NAME"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if tree["format"] != FORMAT:
            raise SpecError("no calibration", [Fault(str(path), str(tree["format"]), FORMAT, todo)])
        found = Calibration(
            str(tree["chip"]),
            {k: tuple(map(float, v)) for k, v in tree["coefficients"].items()},
            {k: _residual(v) for k, v in tree["residuals"].items()},
            {k: (float(v[0]), float(v[1])) for k, v in tree["intervals"].items()},
            dict(tree["domain"]),
            dict(tree["provenance"]),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        fault = Fault(str(path), f"not readable ({error})", f"a file of the format {FORMAT}", todo)
        raise SpecError("no calibration", [fault]) from error
    made = found.provenance.get("engine_text"), found.provenance.get("engine")
    if made[0] != engine_text_hash() and made[1] != engine_hash():
        fault = Fault(
            str(path),
            f"made with sources {str(made[1])[:12]}",
            f"those of this nmpsim, {engine_hash()[:12]}: cycle mode or closed forms have changed since",
            f"{todo}, or estimate without: --calibration none",
        )
        raise SpecError("the calibration is stale", [fault])
    return found


def _residual(tree: dict[str, Any]) -> Residual:
    weights = {str(name): float(weight) for name, weight in tree["weights"].items()}
    if unknown := set(weights) - set(VARIABLES):
        raise ValueError(f"unknown variables {', '.join(sorted(unknown))}")
    return Residual(float(tree["constant"]), weights, float(tree["low"]), float(tree["high"]))


def shipped_for(name: str, kind: str) -> Path | None:
    """Return the shipped calibration of a chip, or of one with the same kind of compute unit; None without.

    Parameters
    ----------
    name : str
        Of the chip.
    kind : str
        ``systolic`` or ``mac_tree``.
    """
    own = SHIPPED / f"{name}.json"
    if own.is_file():
        return own
    other = SHIPPED / ("stratum.json" if kind == "mac_tree" else "snake.json")
    return other if other.is_file() else None
