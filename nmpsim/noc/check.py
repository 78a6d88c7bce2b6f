"""What must hold of a ring at any tick, and of an empty one."""

from __future__ import annotations

import numpy as np

from nmpsim.errors import Fault, InternalError, SimulationError
from nmpsim.kernel import NEVER
from nmpsim.noc.state import FAULTS, FREE, NO_FAULT, NocState

_QUEUES = ("inject", "buffer", "eject")


def raise_faults(state: NocState) -> None:
    """Raise if a router was given a flit that it cannot send.

    Parameters
    ----------
    state : NocState

    Raises
    ------
    SimulationError
        Naming each such router, its first fault and the tick.
    """
    faults = [
        Fault(
            f"router {r}, tick {node.fault_at}",
            FAULTS[node.fault],
            "packets from head to tail, one after another, to another node of the ring",
            "correct the writer of its injection queue",
        )
        for r, node in enumerate(state.node)
        if node.fault != NO_FAULT
    ]
    if faults:
        raise SimulationError("the network was given flits that it cannot send", faults)


def check_conservation(state: NocState) -> None:
    """Raise unless every flit that was written is in exactly one queue or was taken.

    Parameters
    ----------
    state : NocState

    Raises
    ------
    InternalError
        If a flit was lost or doubled, a queue overfilled, or a counter is wrong.
    """
    for name in _QUEUES:
        queue, capacity = getattr(state, name), getattr(state, f"{name}_flit").shape[-1]
        held = queue["filled"] - queue["head"]
        wrong = held[(held < 0) | (held > capacity)]
        if len(wrong):
            raise InternalError(f"network: a queue of {name} holds {wrong[0]} flits in {capacity} places")
    written = int(state.inject["head"].sum())
    inside = int((state.buffer["filled"] - state.buffer["head"]).sum())
    left = int(state.eject["filled"].sum())
    if written != inside + left:
        raise InternalError(f"network: {written} flits went in, {inside} are inside, {left} came out")
    if written != state.node["injected"].sum() or left != state.node["ejected"].sum():
        raise InternalError(f"network: counters of injected and ejected flits are not {written} and {left}")
    if not np.array_equal(state.link["flits"].sum(axis=0), state.buffer["filled"].sum(axis=(0, 2))):
        raise InternalError("network: flits sent over links are not those that were buffered behind them")


def check_drained(state: NocState) -> None:
    """Raise unless the network is empty: no flit anywhere, no channel held, every credit on its way or back.

    Parameters
    ----------
    state : NocState

    Raises
    ------
    InternalError
        If something is left.
    """
    check_conservation(state)
    for name in _QUEUES:
        queue = getattr(state, name)
        left = int((queue["filled"] - queue["head"]).sum())
        if left:
            raise InternalError(f"network: {left} flits are left in {name} queues")
        places = getattr(state, f"{name}_flit")["free_at"]
        if places.max(initial=0) >= NEVER:
            raise InternalError(f"network: a place of {name} never comes back")
    held = np.argwhere(state.output_vc["owner"] != FREE)
    if len(held):
        r, d, vc = held[0]
        raise InternalError(f"network: channel {vc} of link {d} of router {r} is still held")
