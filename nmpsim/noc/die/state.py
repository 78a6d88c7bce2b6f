"""Registers of a die's network: the ports that cores use, what joins them to the routers, gateways and links."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import NEVER, Record
from nmpsim.link.network_port import FLIT, PORT
from nmpsim.noc.die.gate_node import gate_node
from nmpsim.noc.die.groups import shares_channels
from nmpsim.noc.die.levels import check_levels, level_waits, pu_waits
from nmpsim.noc.die.sum_state import Summing, make_summing
from nmpsim.noc.die.topology import (
    CORE_PORTS,
    GATEWAY,
    die_topology,
    die_trees,
    ejection_shares,
    has_few_places,
    ports_of,
)
from nmpsim.noc.router.build import Fabric as RouterFabric
from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.state import PACKET, NetworkParams, NetworkState
from nmpsim.noc.router.tree_state import OPERATION
from nmpsim.noc.router.trees import lane_of
from nmpsim.spec.params import ALLOCATORS, LinkParams, NocParams

NO_FAULT, BAD_DESTINATION, BROKEN_PACKET, LOST_WAY, UNLIKE_SUMS = range(5)
FAULTS = (
    "no fault",
    "a destination that is this node or none",
    "a packet without head, or a head before the last tail",
    "a flit at a node that it is not for",
    "contributions to a sum for another node, or of another length, than those of other nodes",
)
"""Why the network refuses the head of an injection queue; it stays there for ever.  The last two are seen later."""

TRANSFER, NO_FLIT, NO_CREDIT, VC_BUSY = range(4)
LINK_REASONS = ("transfer", "no_flit", "no_credit", "vc_busy")
"""What a link between stacks spends a cycle on, exactly one for each."""

FREE, FROM_DIE, FROM_STACK = -1, 0, 1
"""Who holds a channel of a link between stacks: nobody, a message of this die, one that passes through."""

NODE = Record(
    "NODE",
    ("eject_at", "tick", "smallest ready_at stamped on an ejected flit in the last visit, NEVER if none"),
    ("credit_at", "tick", "smallest free_at stamped on an injection queue in the last visit, NEVER if none"),
    ("fault", "", "first fault found in the injection queues"),
    ("fault_at", "tick", "when it was found"),
)

TERMINAL = Record(
    "TERMINAL",
    ("again", "tick", "when its injection queue or the credits of its ejection queue may have something to do"),
    ("expected", "flit", "number that the next flit of the injection queue must have in its message"),
    ("goal", "", "terminal that the message under way is for; its own if for all"),
    ("channel", "", "virtual channel that it goes into"),
    ("multicast_channel", "", "virtual channel that its multicasts go into"),
    ("credited", "flit", "places of the ejection queue whose credits went back since the start"),
    ("injected", "flit", "flits taken from the injection queue"),
    ("ejected", "flit", "flits handed to the ejection queue"),
    ("multicast", "flit", "of the injected: those for every node"),
    ("copies", "flit", "of the ejected: copies of those of others"),
    ("contributed", "flit", "of the injected: contributions to sums"),
    ("sums", "flit", "of the ejected: sums"),
)

LINK = Record(
    "LINK",
    ("free_at", "tick", "when the next flit may be sent"),
    ("turn", "", "channel looked at first"),
    ("flits", "flit", "flits of the network sent"),
    ("cycles", "cycle", "cycles that they took"),
    ("bytes", "byte", "bytes that they carried"),
    ("reason", "", "reason of the cycles since `since`"),
    ("since", "tick", "start of the interval not yet accounted"),
)

LINK_NOTE = Record(
    "LINK_NOTE",
    ("port", "", "output port whose flits go over the link"),
    ("counted", "flit", "of its flits: those that are recorded"),
    ("since", "tick", "start of the busy interval not yet in the log"),
    ("until", "tick", "its end, so far"),
)

LINK_INTERVAL = Record(
    "LINK_INTERVAL",
    ("link", "", "a link between routers by its place in the topology; behind them those between stacks, by node"),
    ("reason", "", "of LINK_REASONS"),
    ("start", "tick", ""),
    ("end", "tick", "first one that is not in it"),
)

HOLDER = Record(
    "HOLDER",
    ("owner", "", "FREE, FROM_DIE or FROM_STACK: who holds the channel from head to tail"),
    ("turn", "", "who goes first if both want it: FROM_DIE or FROM_STACK"),
)


class NocState(NamedTuple):
    """What cores and network share: wakes, and two ports of two queues at each node."""

    wake: NDArray[np.int64]  # [node + 1]: ticks; lowered by who uses a port of the node; the last is the network's own
    node: Any  # NODE [node]
    inject: Any  # PORT [node, port]
    inject_flit: Any  # FLIT [node, port, inject_flits]
    eject: Any  # PORT [node, port]
    eject_flit: Any  # FLIT [node, port, eject_flits]


class Fabric(NamedTuple):
    """What only the network sees."""

    params: NetworkParams
    routers: NetworkState
    terminal: Any  # TERMINAL [port * nodes + node]
    carried: Any  # FLIT [row]: what the flits in the network carry
    room: NDArray[np.int64]  # [terminal]: places of its ejection queue that credits stand for
    up: Any  # PORT [node]: from the network into the gateway
    up_flit: Any  # FLIT [node, place]
    queue: Any  # PORT [node, hops]: came over the link; 0: into the network, else with so many links still to cross
    queue_flit: Any  # FLIT [node, hops, place]
    holder: Any  # HOLDER [node, hops]: of the link's channel towards that queue
    link: Any  # LINK [node]
    link_wake: NDArray[np.int64]  # [node]: ticks
    link_stall: NDArray[np.int64]  # [node, reason]: ticks
    link_note: Any  # LINK_NOTE [link between routers]
    link_log: Any  # LINK_INTERVAL [row]; no rows: nothing is recorded
    link_logged: NDArray[np.int64]  # [1]: rows in use
    summing: Summing


def make_ports(noc: NocParams) -> NocState:
    """Return the empty ports of all nodes at tick 0.

    Parameters
    ----------
    noc : NocParams
    """
    ports = (noc.nodes, CORE_PORTS)
    state = NocState(
        wake=np.zeros(noc.nodes + 1, np.int64),
        node=NODE.zeros(noc.nodes),
        inject=PORT.zeros(*ports),
        inject_flit=FLIT.zeros(*ports, noc.inject_flits),
        eject=PORT.zeros(*ports),
        eject_flit=FLIT.zeros(*ports, noc.eject_flits),
    )
    state.node.eject_at = NEVER
    state.node.credit_at = NEVER
    return state


def settings_of(noc: NocParams) -> RouterSettings:
    """Return the settings of the routers of a die."""
    return RouterSettings(
        vcs=noc.vcs,
        buffer_flits=noc.buffer_flits,
        routing_delay=noc.nROUTE,
        vc_alloc_delay=noc.nVA,
        sw_alloc_delay=noc.nSA,
        switch_delay=noc.nST,
        credit_delay=noc.nCREDIT,
        vc_allocator=ALLOCATORS[noc.vc_allocator],
        sw_allocator=ALLOCATORS[noc.switch_allocator],
        speculative=bool(noc.speculative),
    )


def build_routers(noc: NocParams, *, gateways: bool) -> RouterFabric:
    """Return the routers of a die, empty.

    Parameters
    ----------
    noc : NocParams
    gateways : bool
        Whether every node has a gateway.

    Raises
    ------
    SpecError
        If packets could deadlock, or a router has too many ports.
    """
    topology = die_topology(noc, gateways=gateways)
    return build_network(topology, settings_of(noc), trees=die_trees(noc, topology))


def build_fabric(noc: NocParams, link: LinkParams, stacks: int, *, intervals: int = 0) -> Fabric:
    """Return the network of a die, empty, at tick 0.

    Parameters
    ----------
    noc : NocParams
    link : LinkParams
        Link of every node to the neighbour stacks; used if there are any.
    stacks : int
        Stacks in the ring of stacks, this one included.
    intervals : int
        Intervals of all links to keep until they are drained; 0 = none are recorded.

    Raises
    ------
    SpecError
        If packets could deadlock, or a router has too many ports.
    """
    gateways = stacks > 1 or noc.groups > 1
    routers = build_routers(noc, gateways=gateways)
    params, state = routers.params, routers.state
    # every flit inside has a place behind an output or is on the wire to a terminal
    rows = len(state.packet) + len(state.source) * params.wheel
    rows += params.routers * params.lanes * (params.buffer_flits + params.wheel)  # sums behind the adders
    state = state._replace(packet=PACKET.zeros(rows), free_row=np.arange(rows, dtype=np.int64)[::-1].copy())
    if noc.multicast_lanes:  # a flit of a multicast or sum is an operation: its tree, and how many copies are to come
        state = state._replace(operation=OPERATION.zeros(rows))
    state.totals.free_rows = rows
    hops = max(1, stacks // 2)
    check_levels(level_waits(hops if stacks > 1 else 0))
    if noc.groups > 1:
        check_levels(pu_waits(shared=shares_channels(routers.topology, noc.vcs, GATEWAY * noc.nodes)))
    places = link.buffer_flits if gateways else 1
    gates = noc.nodes if gateways else 0
    terminals = ports_of(gateways=gateways) * noc.nodes
    fabric = Fabric(
        params=params,
        routers=state,
        terminal=TERMINAL.zeros(terminals),
        carried=FLIT.zeros(rows),
        room=np.full(terminals, noc.eject_flits, np.int64),
        up=PORT.zeros(gates),
        up_flit=FLIT.zeros(gates, places),
        queue=PORT.zeros(gates, hops),
        queue_flit=FLIT.zeros(gates, hops, places),
        holder=HOLDER.zeros(gates, hops),
        link=LINK.zeros(gates),
        link_wake=np.zeros(gates, np.int64),
        link_stall=np.zeros((gates, len(LINK_REASONS)), np.int64),
        link_note=LINK_NOTE.zeros(len(routers.topology.channels)),
        link_log=LINK_INTERVAL.zeros(intervals),
        link_logged=np.zeros(1, np.int64),
        summing=make_summing(noc, routers.topology, params),
    )
    fabric.link_note.port = [c.source * params.ports + c.out_port for c in routers.topology.channels]
    fabric.room[GATEWAY * noc.nodes :] = places
    if noc.multicast_lanes:
        for t in range(CORE_PORTS * noc.nodes):
            fabric.terminal[t].multicast_channel = params.unicast_vcs + lane_of(t, noc.multicast_lanes)
    if noc.groups > 1:  # two nodes of each group have a gateway
        cores = noc.nodes // noc.groups
        used = [gate_node(p, d, cores) for p in range(noc.groups) for d in range(CORE_PORTS)]
        fabric.link_wake[np.setdiff1d(np.arange(noc.nodes), used)] = NEVER
    fabric.link.reason = NO_FLIT
    fabric.holder.owner = FREE
    _share_ejection(noc, fabric)
    return fabric


def _share_ejection(noc: NocParams, fabric: Fabric) -> None:
    """Give the channels towards each terminal as many credits as its ejection queue has places."""
    params = fabric.params
    lanes = range(params.unicast_vcs, params.unicast_vcs + noc.multicast_lanes)
    of_sums = params.unicast_vcs + params.multicast_vcs
    for t, source in enumerate(fabric.routers.source):
        place = int(source.eject_place)
        first = ((place >> 16) * params.ports + (place >> 8 & 255)) * params.vcs
        fabric.routers.output_vc.credits[first : first + params.vcs] = 0
        own = range(of_sums + t // noc.nodes * noc.sum_lanes, of_sums + (t // noc.nodes + 1) * noc.sum_lanes)
        shares = zip((range(params.unicast_vcs), lanes, own), ejection_shares(noc), strict=True)
        for channels, places in [(range(1), int(fabric.room[t]))] if t >= GATEWAY * noc.nodes else shares:
            used = channels[:1] if has_few_places(noc) and channels != own else channels
            for n, v in enumerate(used):
                fabric.routers.output_vc[first + v].credits = places // len(used) + (n < places % len(used))
