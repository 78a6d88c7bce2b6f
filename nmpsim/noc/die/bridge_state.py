"""Registers of the gateways between the networks inside PUs and that between PUs, and what must hold of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.kernel import Record
from nmpsim.link.network_port import FLIT
from nmpsim.noc.die.state import LINK_REASONS, NO_FLIT

OUT, IN = range(2)
"""The two halves of a gateway: out of its PU, and into it."""

HALVES = ("out", "in")

HALF = Record(
    "HALF",
    ("offset", "byte", "of the flit at the head of its queue that were sent: it splits"),
    ("parts", "flit", "in its register: it gathers"),
    ("complete", "", "1 if nothing can be added to its register"),
    ("sequence", "flit", "number of the next flit that it sends, in its message"),
    ("taken", "flit", "flits taken"),
    ("sent", "flit", "flits sent"),
    ("bytes_taken", "byte", "that they carried"),
    ("bytes_sent", "byte", "that they carried"),
    ("messages_taken", "message", "whose tails were taken"),
    ("messages_sent", "message", "whose tails were sent"),
    ("reason", "", "reason of the cycles since `since`, of LINK_REASONS"),
    ("since", "tick", "start of the interval not yet accounted"),
)


class Bridge(NamedTuple):
    """The gateways of all PUs, one for each port."""

    half: Any  # HALF [pu, port, half]
    register: Any  # FLIT [pu, port, half]: flits gathered so far
    stall: NDArray[np.int64]  # [pu, port, half, reason]: ticks


def make_bridge(pus: int) -> Bridge:
    """Return the empty gateways of a die at tick 0.

    Parameters
    ----------
    pus : int
        PUs with gateways.
    """
    shape = (pus, 2, 2)
    bridge = Bridge(HALF.zeros(*shape), FLIT.zeros(*shape), np.zeros((*shape, len(LINK_REASONS)), np.int64))
    bridge.half.reason = NO_FLIT
    return bridge


def check_bridge(bridge: Bridge) -> None:
    """Raise unless every byte and message that a gateway took was sent on or is in its register.

    Parameters
    ----------
    bridge : Bridge
        Between two of its cycles.

    Raises
    ------
    InternalError
        With the first law that is broken.
    """
    for place in np.ndindex(bridge.half.shape):
        half, held = bridge.half[place], bridge.register[place]
        inside = int(held.bytes) if half.parts else -int(half.offset)  # the head of its queue is not yet taken
        name = f"gateway of PU {place[0]}, port {place[1]}, {HALVES[place[2]]}"
        if half.bytes_taken != half.bytes_sent + inside:
            got = f"{int(half.bytes_taken)} bytes went in, {int(half.bytes_sent)} came out, {inside} are inside"
            raise InternalError(f"{name}: {got}")
        waiting = int(half.parts > 0 and held.last == 1)
        if half.messages_taken != half.messages_sent + waiting:
            got = f"{int(half.messages_taken)} messages went in, {int(half.messages_sent)} came out, {waiting} wait"
            raise InternalError(f"{name}: {got}")


def check_bridge_drained(bridge: Bridge) -> None:
    """Raise unless the gateways are empty.

    Parameters
    ----------
    bridge : Bridge

    Raises
    ------
    InternalError
        If something is left.
    """
    check_bridge(bridge)
    left = int((bridge.half["parts"] + bridge.half["offset"] + bridge.half["sequence"]).sum())
    if left:
        raise InternalError("a gateway of a PU still has a part of a message")
