"""Registers of the adders of a die: what the lanes of a port's sums do, and what they spend their cycles on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import Record
from nmpsim.noc.die.topology import CORE_PORTS
from nmpsim.noc.router.state import NetworkParams
from nmpsim.noc.topology import Topology
from nmpsim.spec.params import NocParams

IDLE, MOVED, WAITING, NO_ROOM, ADDER_BUSY = range(5)
SUM_REASONS = ("idle", "moved", "waiting", "no_room", "adder_busy")
"""What a lane of a router spends a cycle on, one each: no flit; its flits went on, added or alone; not all are here;
no place behind the adder; the adder of its port served another lane."""

ADDER = Record(
    "ADDER",
    ("input", "", "port of the router by which a node contributes to all sums of this port of the cores"),
    ("turn", "", "lane that is served first"),
    ("added", "flit", "sums made of two or more flits"),
    ("alone", "flit", "flits that went on without being added to"),
    ("merged", "flit", "flits that ended in a sum which another of its flits carries on"),
)

LANE_ACCOUNT = Record(
    "LANE_ACCOUNT",
    ("reason", "", "what it does since `since`, of SUM_REASONS"),
    ("since", "cycle", "start of the interval not yet accounted"),
    ("left_at", "cycle", "when the latest flit leaves its adder"),
)


class Summing(NamedTuple):
    """Adders of a die: one for each port of the cores in every router; empty where routers do not add."""

    adder: Any  # ADDER [port * routers + router]
    account: Any  # LANE_ACCOUNT [router * lanes + lane]
    stall: NDArray[np.int64]  # [router, reason]: cycles of its lanes


def make_summing(noc: NocParams, topology: Topology, params: NetworkParams) -> Summing:
    """Return the registers after reset.

    Parameters
    ----------
    noc : NocParams
    topology : Topology
    params : NetworkParams
    """
    ports = CORE_PORTS if params.lanes else 0
    adder = ADDER.zeros(ports * params.routers)
    for t in reversed(range(ports * noc.nodes)):  # of several nodes at one router the first
        terminal = topology.terminals[t]
        adder[t // noc.nodes * params.routers + terminal.router].input = terminal.in_port
    account = LANE_ACCOUNT.zeros(params.routers * params.lanes)
    account.left_at = -1
    return Summing(
        adder=adder,
        account=account,
        stall=np.zeros((params.routers, len(SUM_REASONS)), np.int64),
    )
