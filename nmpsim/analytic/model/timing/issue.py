"""Instructions on their way to the units of a core: when each is handed over, and when its unit takes it.

The sequencer hands over one instruction per cycle in the order of the program, and stops while the queue of the next
one is full; an entry is free again when the unit takes it.  A unit takes its instructions in order, each when it is
free and what the instruction waits for is there::

    sequencer   send 0 | send 1 | ... | send 7 | .... | send 8 | stream, pass of the next GEMM
    port 0             | send 0 waits for its data ... | send 0 | send 1 | ...

All PUs do the same at the same time: what one sends is there when what its neighbour sends is.
"""

from __future__ import annotations

from collections import deque
from typing import Any

ARRAY, LANES, MOVES, PORT_0, PORT_1 = range(5)
"""Units with a queue."""

PORTS = (PORT_0, PORT_1)

BEFORE = -1e9
"""Long before the input of a GEMM is there: what does not wait for it has been handed over and taken."""

SEEN = 1.0
"""Cycles until the unit sees what the sequencer has handed over."""


class Units:
    """The units of a core.

    Parameters
    ----------
    p : MachineParams
        One chip.
    first : float
        Cycles from a request to its first beat.
    banks : float
        When the banks may begin the next row; before 0, if they have read rows ahead.
    """

    def __init__(self, p: Any, first: float, banks: float = 0.0) -> None:
        depth = int(p.core.queue_depth)
        self.latency = float(p.core.vector_latency)
        self.first, self.banks = first, banks
        self.free = [BEFORE] * len((ARRAY, LANES, *PORTS, MOVES))
        self.issued = BEFORE
        self._taken = [deque([BEFORE] * depth, depth) for _ in self.free]
        self.drain = 0.0  # of the last pass on the array
        self.shape: tuple[int, ...] = ()  # of that pass

    def take(self, unit: int, ready: float, cycles: float) -> float:
        """Hand over the next instruction; return the cycle in which its unit takes it.

        Parameters
        ----------
        unit : int
        ready : float
            When what it waits for is there.
        cycles : float
            For which it takes the unit.
        """
        taken = self._taken[unit]
        self.issued = max(self.issued + 1, taken[0])
        begin = max(self.issued + SEEN, self.free[unit], ready)
        taken.append(begin)
        self.free[unit] = begin + cycles
        return begin

    def several(self, number: int, ready: float, cycles: float) -> float:
        """Hand over vector operations one after the other; return when the last one is complete.

        Parameters
        ----------
        number : int
        ready : float
            When what they wait for is there.
        cycles : float
            Of all of them.
        """
        for _ in range(number):
            begin = self.take(LANES, ready, cycles / number)
        return begin + cycles / number + self.latency
