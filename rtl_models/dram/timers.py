"""Count-down timers: how long each command of a bank must still wait.

    command issued --+--> [load: latency[tier, issued, x] - 1] --> max --> [timer of x] --> x is ready at 0
                     |                                              ^           |
                   tier                                             +---- -1 <--+

A command issued at cycle t with latency n to x loads n - 1, so x is ready again at t + n; a latency of 0 or 1, or
none at all, leaves the next cycle free.  Latency 3 from ACT to RD, an ACT at cycle 1::

    cycle     0    1    2    3    4    5
    command        ACT
    timer     0    0    2    1    0    0
    RD ready  1    1    0    0    1    1
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_

import numpy as np
import pyrtl
from numpy.typing import NDArray

from nmpsim.spec.params import COMMANDS


class Timers:
    """The timers of one bank, one per command; those that never count are left out.

    Parameters
    ----------
    latency : ndarray of int64, shape (tier, 5, 5)
        ``latency[tier, previous, next]``: separations of two commands of one bank, -1 = none; DRAM cycles.
    """

    def __init__(self, latency: NDArray[np.int64]) -> None:
        self.loads = np.maximum(latency, 1) - 1  # [tier, previous, next]; DRAM cycles
        self.counts = {
            command: pyrtl.Register(int(self.loads[:, :, command].max()).bit_length(), f"timer_{name}")
            for command, name in enumerate(COMMANDS)
            if self.loads[:, :, command].max() > 0
        }

    def ready(self, command: int) -> pyrtl.WireVector:
        """Return whether a command is legal in this cycle; one bit."""
        return self.counts[command] == 0 if command in self.counts else pyrtl.Const(1, 1)

    def drive(self, issued: Mapping[int, pyrtl.WireVector], tier: Mapping[int, pyrtl.WireVector | None]) -> None:
        """Connect the timers to the commands that start them.

        Parameters
        ----------
        issued : mapping from command to one bit
            At most one of them is 1.
        tier : mapping from command to wire
            Latency class that the command counts with; None where there is only one.
        """
        for command, count in self.counts.items():
            bits = len(count)
            none = pyrtl.Const(0, bits)
            parts = [
                pyrtl.select(bit, _by_tier(tier[previous], self.loads[:, previous, command], bits), none)
                for previous, bit in issued.items()
                if self.loads[:, previous, command].max() > 0
            ]
            load = reduce(or_, parts)
            less = pyrtl.select(count == 0, none, (count - 1).truncate(bits))
            count.next <<= pyrtl.select(load > less, load, less)


def _by_tier(tier: pyrtl.WireVector | None, loads: NDArray[np.int64], bits: int) -> pyrtl.WireVector:
    """Return the load of a timer, chosen by tier where the tiers differ."""
    values = [pyrtl.Const(int(load), bits) for load in loads]
    if tier is None or len(set(loads.tolist())) == 1:
        return values[0]
    values += [values[-1]] * (2 ** len(tier) - len(values))
    return pyrtl.mux(tier, *values)
