"""Clock domains: the base tick is the exact greatest common divisor of the periods.

With a core at 0.8 GHz and DRAM and network at 1 GHz the tick is 250 ps::

    tick      0  1  2  3  4  5  6  7  8  9 10
    core      *              *              *      every 5 ticks
    dram      *           *           *            every 4 ticks

No domain ever drifts.  Frequencies with no simple ratio would need a tick so short that times overflow sooner and
nothing can be read; they are refused, with a near ratio to use instead.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from nmpsim.errors import Fault, SpecError
from nmpsim.units import Number, common_divisor, exact, period_ns, ticks

LONGEST_PERIOD = 10**6
"""Most ticks a clock period may have."""

DOMAINS = ("core_GHz", "dram_GHz", "noc_GHz", "link_GHz")

PU_CLOCK = "noc.pu.clock_GHz"
"""Clock of the networks inside PUs, where there are some."""


class ClockDomains(NamedTuple):
    """The base tick and the period of each domain."""

    tick_ps: Fraction  # base tick; ps, exact
    core_period: int  # ticks
    dram_period: int  # ticks
    noc_period: int  # ticks
    link_period: int  # ticks
    pu_period: int = 0  # ticks; 0 = no networks inside PUs


def _domains(frequencies: tuple[Fraction, ...]) -> ClockDomains:
    periods = [1000 * period_ns(ghz) for ghz in frequencies]
    tick_ps = common_divisor(periods)
    return ClockDomains(tick_ps, *(ticks(period, tick_ps) for period in periods))


def _is_simple(domains: ClockDomains) -> bool:
    return max(domains[1:]) <= LONGEST_PERIOD


def near_frequencies(frequencies: tuple[Number, ...]) -> tuple[str, ...]:
    """Return the frequencies to the most significant digits that give a usable tick; GHz, as text.

    Returns
    -------
    tuple of str
        One per domain; empty if even one significant digit does not help.
    """
    for digits in range(15, 0, -1):
        rounded = tuple(f"{float(exact(ghz)):.{digits}g}" for ghz in frequencies)
        if _is_simple(_domains(tuple(exact(ghz) for ghz in rounded))):
            return rounded
    return ()


def clock_fault(where: str, *asked: Number) -> Fault | None:
    """Return what is wrong with the GHz of core, DRAM, network, links and, if any, PU networks; None if nothing."""
    frequencies = tuple(exact(ghz) for ghz in asked)
    names = (*DOMAINS, PU_CLOCK)
    domains = _domains(frequencies)
    if _is_simple(domains):
        return None
    near = near_frequencies(asked)
    changes = [
        f"{name} = {ghz} (ratio to dram_GHz {exact(ghz) / exact(near[1])})"
        for name, ghz, old in zip(names, near, frequencies, strict=False)
        if exact(ghz) != old
    ]
    longest = max(domains[1:])
    return Fault(
        where,
        ", ".join(f"{name} = {ghz}" for name, ghz in zip(names, asked, strict=False))
        + f", whose common tick is {float(domains.tick_ps):.3g} ps: a period has {longest} ticks",
        f"frequencies whose periods are at most {LONGEST_PERIOD} common ticks long",
        f"use the near ratio {', '.join(changes)}" if changes else "use frequencies closer to each other",
    )


def clock_domains(*frequencies: Number) -> ClockDomains:
    """Return the exact clock domains of core, DRAM, network, links and, if any, PU networks; frequencies in GHz.

    Raises
    ------
    SpecError
        If a period has more than `LONGEST_PERIOD` ticks; the message proposes a near ratio.

    Examples
    --------
    >>> clock_domains(0.8, 1.0, 1.0, 0.5)
    ClockDomains(tick_ps=Fraction(250, 1), core_period=5, dram_period=4, noc_period=4, link_period=8, pu_period=0)
    """
    fault = clock_fault("clock", *frequencies)
    if fault:
        raise SpecError("clock frequencies have no usable common tick", [fault])
    return _domains(tuple(exact(ghz) for ghz in frequencies))
