"""A step within a limit of the logic die's power.

Above the limit the compute units rest: the same work, and so the same energy of work, over more time, in which only
static power is drawn (their clock is gated) and the DRAM goes on refreshing.  The step then takes

    T' = max(T, (E_logic - P_static T) / (P_limit - P_static))

A slower clock at the same voltage gives the same time.  A lower voltage would save energy; no source says how much.
"""

from __future__ import annotations

import math
from dataclasses import replace

from nmpsim.claims.workload import Step


def capped(step: Step, watts: float) -> Step:
    """Return a step slowed down until its logic draws no more than a limit on average.

    Parameters
    ----------
    step : Step
    watts : float
        The limit; at or below the static power no step is possible, and its time is infinite.
    """
    work = step.logic_J - step.static_W * step.seconds
    room = watts - step.static_W
    seconds = max(step.seconds, work / room) if room > 0 else math.inf
    stretch = seconds / step.seconds
    energy = {
        name: joule * (stretch if name.startswith("dram_REF") else 1) + (name == "static") * step.static_W
        * (seconds - step.seconds)
        for name, joule in step.energy.items()
    }  # fmt: skip
    return replace(step, seconds=seconds, energy=energy)
