"""Exact units: the only place where nanoseconds and gigahertz become integers.

A decimal figure is read as the rational number that was written (``2.29`` is 229/100, not the nearest binary
fraction), so the only rounding is the one to whole cycles, and that one is reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from nmpsim.errors import InternalError

Number = int | float | str | Fraction
"""A figure as it stands in a file: converted through its decimal spelling."""


def exact(number: Number) -> Fraction:
    """Return the rational number that the decimal spelling of `number` says.

    Examples
    --------
    >>> exact(2.29)
    Fraction(229, 100)
    """
    return number if isinstance(number, Fraction) else Fraction(str(number))


def period_ns(ghz: Number) -> Fraction:
    """Return the period of a clock; ns, exact.

    Examples
    --------
    >>> period_ns(0.8)
    Fraction(5, 4)
    """
    return 1 / exact(ghz)


def cycles_up(ns: Number, ghz: Number) -> int:
    """Return the least number of cycles that lasts at least `ns` (minimum separations).

    Examples
    --------
    >>> cycles_up(34.56, 1.0), cycles_up(34.56, 10.0), cycles_up(3.0, 1.0)
    (35, 346, 3)
    """
    return math.ceil(exact(ns) * exact(ghz))


def cycles_down(ns: Number, ghz: Number) -> int:
    """Return the greatest number of cycles that lasts at most `ns` (intervals that must not be exceeded).

    Examples
    --------
    >>> cycles_down(3900.9, 1.0)
    3900
    """
    return math.floor(exact(ns) * exact(ghz))


def common_divisor(periods: Iterable[Fraction]) -> Fraction:
    """Return the greatest rational number of which every period is a whole multiple.

    Examples
    --------
    >>> common_divisor([Fraction(5, 4), Fraction(1)])
    Fraction(1, 4)
    """
    numerators, denominators = zip(*((p.numerator, p.denominator) for p in periods), strict=True)
    return Fraction(math.gcd(*numerators), math.lcm(*denominators))


def ticks(period: Fraction, tick: Fraction) -> int:
    """Return a period in ticks, both in the same unit.

    Raises
    ------
    InternalError
        If the period is no whole number of ticks.
    """
    count = period / tick
    if count.denominator != 1:
        raise InternalError(f"a period of {period} is no whole number of ticks of {tick}")
    return count.numerator


def rounding_sentence(name: str, ns: Number, cycles: int, ghz: Number) -> str:
    """Return what rounding did to one quantity, or an empty string if it did nothing.

    Parameters
    ----------
    name : str
        The quantity, in the words of the field.
    ns : number
        What was asked; ns, > 0.
    cycles : int
        What it became; cycles.
    ghz : number
        The clock that counts them; GHz, > 0.

    Examples
    --------
    >>> rounding_sentence("tRC tier 0", 34.56, 35, 1.0)
    'tRC tier 0: 34.56 ns -> 35 cycles of 1 ns, +1.27 %'
    >>> rounding_sentence("tCCD", 1.0, 1, 1.0)
    ''
    """
    asked, period = exact(ns), period_ns(ghz)
    error = cycles * period / asked - 1
    if not error:
        return ""
    plural = "cycle" if cycles == 1 else "cycles"
    return f"{name}: {float(asked):g} ns -> {cycles} {plural} of {float(period):g} ns, {100 * float(error):+.2f} %"
