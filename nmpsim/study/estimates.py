"""The analytical mode as a task of points: settings and figures as those of `nmpsim.study.tasks.step`."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

from nmpsim.analytic.model.calibration import Calibration, load_calibration, shipped_for
from nmpsim.cost.area import die_area
from nmpsim.cost.tables import tables
from nmpsim.errors import SpecError
from nmpsim.prediction import estimate_plan
from nmpsim.schedule.modes import Modes
from nmpsim.schedule.step import plan_step
from nmpsim.study.tasks import check_settings, chip_of

ESTIMATE = "nmpsim.study.estimates:estimated"


@cache
def _fitted(chip: str, kind: str) -> Calibration | None:
    """Return the calibration that ships for a chip; None if there is none, or it is stale."""
    path = shipped_for(chip, kind)
    try:
        return None if path is None else load_calibration(path)
    except SpecError:
        return None


def estimated(settings: dict[str, Any]) -> dict[str, Any]:
    """Predict one decode step by closed forms, fitted as ships for its chip, if that is not stale.

    Parameters
    ----------
    settings : dict
        As of `nmpsim.study.tasks.step`.

    Returns
    -------
    dict
        As `nmpsim.study.tasks.step`, but ``array_cycles``; ``energy_J`` has what the mode predicts.  Also ``low``
        and ``high`` (cycles; 90 %), ``calibrated``, and ``outside``: variables outside the domain of the calibration.

    Raises
    ------
    NmpsimError
        If the step is refused.
    """
    check_settings(settings)
    taken = {name: settings[name] for name in settings if name not in {"chip", "overrides", "modes", "attention_modes"}}
    gemm, attending = (tuple(settings.get(name) or ()) for name in ("modes", "attention_modes"))
    modes = Modes(gemm, attending) if gemm or attending else None
    plan = plan_step(chip=chip_of(settings), modes=modes, **taken)
    kind = "mac_tree" if plan.chip.core.mac_tree is not None else "systolic"
    found = estimate_plan(plan, calibration=_fitted(plan.params.name, kind))
    area = die_area(plan.params, tables())
    return {
        "cycles": found.cycles,
        "low": found.low,
        "high": found.high,
        "seconds": found.seconds,
        "clock_GHz": found.clock_GHz,
        "bounds": found.bounds,
        "peaks": found.peaks,
        "energy_J": dict(found.energy_J),
        "counts": found.counts,
        "array_cycles": {},
        "operators": [asdict(operator) for operator in found.operators],
        "area_mm2": {"logic": area.mm2, "compute": area.compute_mm2},
        "static_W": area.static_watts,
        "calibrated": found.calibrated,
        "outside": [asdict(one) for one in found.outside],
        "chip_sha256": plan.chip.sha256,
    }
