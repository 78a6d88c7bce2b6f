"""The analytical mode on many chips at once: every operator with the best mapping of a fixed list."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nmpsim.analytic.model.bulk import BulkStep
from nmpsim.analytic.model.chips import Chips
from nmpsim.prediction import calibration_for
from nmpsim.schedule.step import Plan
from nmpsim.study.fingerprint import ROOT, SUFFIXES
from nmpsim.validate.operator import Chip


def sources_hash() -> str:
    """Return the hash of closed forms and shipped calibrations, which points of other studies do not hang on."""
    digest = hashlib.sha256((ROOT / "prediction.py").read_bytes())
    for path in sorted(path for path in (ROOT / "analytic").rglob("*") if path.suffix in SUFFIXES):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class Analytic:
    """The analytical mode in bulk.

    Parameters
    ----------
    calibration : str
        As for `nmpsim.prediction.estimate`.
    """

    def __init__(self, calibration: str) -> None:
        self._calibration = calibration

    def __call__(self, plan: Plan, chips: Sequence[Chip]) -> NDArray[np.float64]:
        """Return the core cycles of a step, an entry per chip; infinity where no mapping of the list fits.

        Parameters
        ----------
        plan : Plan
        chips : sequence of Chip

        Raises
        ------
        SpecError
            If there is no calibration for the chip, or it is stale.
        """
        step = BulkStep(plan.graphs[0])
        fitted = calibration_for(self._calibration, plan.params)
        alike: dict[tuple[object, ...], list[int]] = {}
        for number, chip in enumerate(chips):
            one = chip.params
            key = (one.tick_ps, one.core.kind, one.core.strips, one.core.separate, one.dram.tiers, one.latency.shape)
            alike.setdefault(key, []).append(number)
        cycles = np.empty(len(chips))
        for members in alike.values():
            together = [replace(chips[number].params, stacks=plan.params.stacks) for number in members]
            cycles[members] = step.evaluate(Chips.of(together), fitted).cycles
        return cycles
