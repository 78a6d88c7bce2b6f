"""From runs to a row per chip and step, and to what every level contributes.

Over the workloads that run on both sides, as geometric means:

    single  time of the base / time with the level                      what it is worth alone
    ladder  time of the rung before / time of this rung                 what it adds to those before it
    grid    time at the factor's base / time at the level, all other factors equal, over all of their combinations
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nmpsim.ablation.study import GRID, LADDER, SINGLE, Study
from nmpsim.ablation.trials import Trial
from nmpsim.claims.judge import geometric
from nmpsim.claims.workload import Step, Workload

Ran = list[Step | str]
"""Of one trial, by workload: what it takes, or why it was refused."""


@dataclass(frozen=True)
class Contribution:
    """What one level of a factor is worth.

    Parameters
    ----------
    design, factor, level : str
    speed, energy : float
        Times as fast, times as efficient; 1 = no difference, NaN if nothing runs on both sides.
    least, most : float
        Smallest and largest speed of a single comparison.
    logic : float
        Area of the logic die over that without it.
    total, total_energy : float
        Of a rung: speed and energy efficiency against the base; of the others the same as `speed` and `energy`.
    pairs : int
        Comparisons.
    refused : int
        Of the level's own steps.
    """

    design: str
    factor: str
    level: str
    speed: float
    energy: float
    least: float
    most: float
    logic: float
    total: float
    total_energy: float
    pairs: int
    refused: int


def _pairs(before: Sequence[Ran], after: Sequence[Ran]) -> list[tuple[Step, Step]]:
    return [
        (one, other)
        for ones, others in zip(before, after, strict=True)
        for one, other in zip(ones, others, strict=True)
        if not isinstance(one, str) and not isinstance(other, str)
    ]


def _contribution(
    design: str, factor: str, level: str, before: Sequence[Ran], after: Sequence[Ran], start: Sequence[Ran] = ()
) -> Contribution:
    pairs = _pairs(before, after)
    speeds = [one.seconds / other.seconds for one, other in pairs]
    whole = _pairs(start or before, after)
    return Contribution(
        design,
        factor,
        level,
        speed=geometric(speeds),
        energy=geometric(one.total_J / other.total_J for one, other in pairs),
        least=min(speeds, default=float("nan")),
        most=max(speeds, default=float("nan")),
        logic=geometric(other.logic_mm2 / one.logic_mm2 for one, other in pairs),
        total=geometric(one.seconds / other.seconds for one, other in whole),
        total_energy=geometric(one.total_J / other.total_J for one, other in whole),
        pairs=len(pairs),
        refused=sum(isinstance(one, str) for ran in after for one in ran),
    )


def contributions(study: Study, ran: Sequence[tuple[Trial, Ran]]) -> list[Contribution]:
    """Return the contribution of every level in every design of a study.

    Parameters
    ----------
    study : Study
    ran : sequence of (Trial, list)
        All trials with their steps, the base first.
    """
    base = ran[0][1]
    found = []
    before = base
    for trial, ones in ran[1:]:
        if trial.design == SINGLE:
            found.append(_contribution(SINGLE, *trial.chosen[0], [base], [ones]))
        elif trial.design == LADDER:
            found.append(_contribution(LADDER, *trial.chosen[-1], [before], [ones], [base]))
            before = ones
    if GRID in study.designs:
        cells = {frozenset(trial.chosen): ones for trial, ones in ran if trial.design == GRID} | {frozenset(): base}
        for factor in study.factors:
            for level in factor.levels:
                own = (factor.name, level.name)
                others = [cell - {own} for cell in cells if own in cell]
                after = [cells[other | {own}] for other in others]
                found.append(_contribution(GRID, *own, [cells[other] for other in others], after))
    return found


def rows(ran: Sequence[tuple[Trial, Ran]], works: Sequence[Workload]) -> list[dict[str, Any]]:
    """Return a row per trial and workload.

    Parameters
    ----------
    ran : sequence of (Trial, list)
        The base first.
    works : sequence of Workload
    """
    found = []
    for trial, ones in ran:
        for work, base, one in zip(works, ran[0][1], ones, strict=True):
            row: dict[str, Any] = {
                "design": trial.design,
                "change": trial.label,
                "workload": work.label,
                "layers": work.layers,
                **{f"factor.{name}": level for name, level in trial.chosen},
            }
            found.append(row | _figures(base, one))
    return found


def _figures(base: Step | str, one: Step | str) -> dict[str, Any]:
    if isinstance(one, str):
        return {"refused": " ".join(part.strip(" -") for part in one.splitlines()[:2])}
    bound = max(one.bounds, key=lambda name: one.bounds[name])
    found: dict[str, Any] = {
        "ms": 1e3 * one.seconds,
        "mJ": 1e3 * one.total_J,
        "logic_mm2": one.logic_mm2,
        "utilisation": one.macs / (one.peak_macs * one.seconds),
        "bound": bound,
        "of_bound": one.bounds[bound] / one.seconds,
        "refused": "",
    }
    if not isinstance(base, str):
        found |= {
            "speed": base.seconds / one.seconds,
            "energy": base.total_J / one.total_J,
            "logic": one.logic_mm2 / base.logic_mm2,
        }
    return found


def as_tables(found: Sequence[Contribution]) -> list[dict[str, Any]]:
    """Return contributions as tables.

    Parameters
    ----------
    found : sequence of Contribution
    """
    return [asdict(one) for one in found]
