"""Which SENDs belong to one sum: the k-th contribution of every PU of a die by one port.

All PUs of a die contribute to the sums of a port in the same order, so the numbers are enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import F_SUM, SEND, SEND_0, SEND_1

SAME = ("bank", "m", "bytes", "b", "b_ld", "signal", "stack", "n")
"""Fields in which the contributions to a sum agree: owner, shape, place of the sum, semaphore."""


def contributions(stream: NDArray[np.void], port: int) -> NDArray[np.int64]:
    """Return the indices of a core's contributions by one port, in their order.

    Parameters
    ----------
    stream : ndarray of INSTRUCTION
    port : int
    """
    unit = SEND_1 if port else SEND_0
    return np.flatnonzero((stream["op"] == SEND) & (stream["unit"] == unit) & (stream["modifiers"] & F_SUM != 0))


def sums_of(streams: Sequence[NDArray[np.void]], nodes: int) -> list[NDArray[np.int64]]:
    """Return the sums of a program that every PU of their die contributes to.

    Parameters
    ----------
    streams : sequence of ndarray of INSTRUCTION, by PU
    nodes : int
        PUs of a die; those of several dies stand one die after the other.

    Returns
    -------
    list of ndarray of int64, shape (node, 2)
        For every sum PU and index in its stream of the contributions.
    """
    found = []
    for first in range(0, len(streams), nodes):
        pus = range(first, first + nodes)
        for port in (0, 1):
            mine = [contributions(streams[pu], port) for pu in pus]
            found += [
                np.array([(pu, own[k]) for pu, own in zip(pus, mine, strict=True)], np.int64)
                for k in range(min(map(len, mine)))
            ]
    return found
