"""Registers of the ring: link buffers, output channels, network ports."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import NEVER, Record
from nmpsim.link.network_port import FLIT, PORT
from nmpsim.spec.params import NocParams

TRANSFER, NO_FLIT, NO_CREDIT, VC_BUSY, SWITCH_CONFLICT = range(5)
REASONS = ("transfer", "no_flit", "no_credit", "vc_busy", "switch_conflict")
"""What an output link spends a NoC cycle on, exactly one for each."""

FREE = -1
"""Owner of an output virtual channel that no packet holds."""

NO_FAULT, BAD_DESTINATION, BROKEN_PACKET = range(3)
FAULTS = (
    "no fault",
    "a destination that is this node or none",
    "a packet without head, or a head before the last tail",
)
"""Why a router refuses the head of an injection queue; it stays there for ever."""

NODE = Record(
    "NODE",
    ("eject_at", "tick", "smallest ready_at stamped on an ejected flit in the last visit, NEVER if none"),
    ("credit_at", "tick", "smallest free_at stamped on an injection queue in the last visit, NEVER if none"),
    ("injected", "flit", "flits taken from the injection queues"),
    ("ejected", "flit", "flits handed to the ejection queues"),
    ("conflicts", "flit-cycle", "flits that could have left but lost the output to another one"),
    ("fault", "", "first fault found in the injection queues"),
    ("fault_at", "tick", "when it was found"),
)

LINK = Record(
    "LINK",
    ("turn", "", "input looked at first"),
    ("flits", "flit", "flits sent over the link"),
    ("expected", "flit", "number that the next flit of the injection queue must have in its message"),
    ("reason", "", "reason of the cycles since `since`"),
    ("since", "tick", "start of the interval not yet accounted"),
)

OUTPUT_VC = Record(
    "OUTPUT_VC",
    ("owner", "", "input that holds the channel from head to tail, FREE if none"),
)


class NocState(NamedTuple):
    """All routers of a ring; directions are 0 clockwise, 1 counter-clockwise."""

    wake: NDArray[np.int64]  # [node]: ticks
    node: Any  # NODE [node]
    link: Any  # LINK [node, direction]: the link that leaves the node
    output_vc: Any  # OUTPUT_VC [node, direction, vc]
    turn: NDArray[np.int64]  # [node, direction]: virtual channel looked at first for ejection
    buffer: Any  # PORT [node, direction, vc]: input buffer of what arrives in that direction
    buffer_flit: Any  # FLIT [node, direction, vc, buffer_flits]
    inject: Any  # PORT [node, direction]
    inject_flit: Any  # FLIT [node, direction, inject_flits]
    eject: Any  # PORT [node, direction]
    eject_flit: Any  # FLIT [node, direction, eject_flits]
    stall: NDArray[np.int64]  # [node, direction, reason]: ticks


def make_state(params: NocParams) -> NocState:
    """Return an empty ring of ``params.nodes`` routers at tick 0.

    Parameters
    ----------
    params : NocParams
        The ring.
    """
    ports = (params.nodes, 2)
    state = NocState(
        wake=np.zeros(params.nodes, np.int64),
        node=NODE.zeros(params.nodes),
        link=LINK.zeros(*ports),
        output_vc=OUTPUT_VC.zeros(*ports, params.vcs),
        turn=np.zeros(ports, np.int64),
        buffer=PORT.zeros(*ports, params.vcs),
        buffer_flit=FLIT.zeros(*ports, params.vcs, params.buffer_flits),
        inject=PORT.zeros(*ports),
        inject_flit=FLIT.zeros(*ports, params.inject_flits),
        eject=PORT.zeros(*ports),
        eject_flit=FLIT.zeros(*ports, params.eject_flits),
        stall=np.zeros((*ports, len(REASONS)), np.int64),
    )
    state.node.eject_at = NEVER
    state.node.credit_at = NEVER
    state.link.reason = NO_FLIT
    state.output_vc.owner = FREE
    return state
