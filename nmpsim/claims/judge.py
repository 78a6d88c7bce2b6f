"""Rules that turn figures into verdicts: they stand here, so that no claim has one of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nmpsim.claims.claim import BOUNDED, NOT_REPRODUCED, REPRODUCED, UNTESTABLE

_BEST_FIRST = (REPRODUCED, BOUNDED, NOT_REPRODUCED, UNTESTABLE)


def geometric(values: Iterable[float]) -> float:
    """Return the geometric mean; NaN of nothing.

    Parameters
    ----------
    values : iterable of float
        Above 0.
    """
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def judge(claimed: float, measured: float, ceiling: float, tolerance: float) -> str:
    """Return the verdict on a mean ratio.

    Reproduced: measured within the tolerance of it.  Bounded: not measured, but nothing that the machine is made of
    excludes it: it is no more than the ceiling, or than what is measured.  Not reproduced: above both.

    Parameters
    ----------
    claimed, measured, ceiling : float
        Mean ratios, of the paper, of our runs, and of what no schedule can beat.
    tolerance : float
        Relative.
    """
    if math.isnan(measured):
        return UNTESTABLE
    if abs(measured / claimed - 1) <= tolerance:
        return REPRODUCED
    return BOUNDED if claimed <= max(ceiling, measured) else NOT_REPRODUCED


def worst(verdicts: Sequence[str]) -> str:
    """Return the worst of verdicts: a claim of several figures is as good as its weakest.

    Parameters
    ----------
    verdicts : sequence of str
    """
    return max(verdicts, key=_BEST_FIRST.index)


def of_variants(fitting: Sequence[str], others: Sequence[str]) -> str:
    """Return the verdict on a claim that several variants of a chip were tested for.

    Parameters
    ----------
    fitting : sequence of str
        Verdicts of variants within the area of the die: the best of them counts.
    others : sequence of str
        Of larger ones: they can bound a claim, not reproduce it.
    """
    found = [*fitting, *(BOUNDED if verdict == REPRODUCED else verdict for verdict in others)]
    return min(found, key=_BEST_FIRST.index) if found else UNTESTABLE
