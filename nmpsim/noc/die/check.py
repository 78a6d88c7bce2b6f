"""What must hold of a die's network between any two cycles, and of an empty one."""

from __future__ import annotations

import numpy as np

from nmpsim.errors import Fault, InternalError, SimulationError
from nmpsim.kernel import NEVER
from nmpsim.noc.die.state import FAULTS, FREE, NO_FAULT, Fabric, NocState, build_routers
from nmpsim.noc.die.topology import CORE_PORTS
from nmpsim.noc.router.build import Fabric as RouterFabric
from nmpsim.noc.router.check import causes, check_links, occupied, raise_fault, tree_channels, under_way
from nmpsim.noc.router.state import CAUSES, PACKET_BIT
from nmpsim.noc.router.tree_state import REDUCE
from nmpsim.spec.params import NocParams


def raise_faults(ports: NocState) -> None:
    """Raise if the network was given a flit that it cannot send.

    Parameters
    ----------
    ports : NocState

    Raises
    ------
    SimulationError
        Naming each such node, its first fault and the tick.
    """
    faults = [
        Fault(
            f"node {c}, tick {node.fault_at}",
            FAULTS[node.fault],
            "packets from head to tail, one after another, to another node of the die or to another stack there is",
            "correct the writer of its injection queue",
        )
        for c, node in enumerate(ports.node)
        if node.fault != NO_FAULT
    ]
    if faults:
        raise SimulationError("the network was given flits that it cannot send", faults)


def routers_of(noc: NocParams, fabric: Fabric) -> RouterFabric:
    """Return the routers of a die as the network of routers that they are.

    Parameters
    ----------
    noc : NocParams
        Of the die.
    fabric : Fabric
    """
    built = build_routers(noc, gateways=len(fabric.link) > 0)
    return built._replace(params=fabric.params, state=fabric.routers)


def check_conservation(routers: RouterFabric, ports: NocState, fabric: Fabric) -> None:
    """Raise unless every flit that was written is in exactly one place or was taken, and every credit too.

    Parameters
    ----------
    routers : RouterFabric
        From `routers_of`; between two network cycles.
    ports : NocState
    fabric : Fabric

    Raises
    ------
    InternalError
        With the first law that is broken.
    """
    raise_fault(routers)
    check_links(routers)
    params, state, name = fabric.params, fabric.routers, routers.topology.name
    flits, returning, to_nodes = under_way(routers)
    plain = ~tree_channels(routers)[0]
    sent, came = int(fabric.terminal.injected.sum()), int(fabric.terminal.ejected.sum())
    multicast, copies = int(fabric.terminal.multicast.sum()), int(fabric.terminal.copies.sum())
    contributed, sums = int(fabric.terminal.contributed.sum()), int(fabric.terminal.sums.sum())
    inside = int(state.input_vc["count"][plain].sum() + flits[plain].sum()) + to_nodes
    if sent - multicast - contributed != came - copies - sums + inside:
        raise InternalError(f"{name}: {sent} flits went in, {inside} are inside, {came} came out")
    rows = _rows_of_trees(routers)
    adding = {row for row in rows if state.operation[row].kind == REDUCE}
    merged = int(fabric.summing.adder.merged.sum())
    if contributed != merged + len(adding) + sums:
        what = f"{merged} were added to others, {len(adding)} are inside, {sums} sums came out"
        raise InternalError(f"{name}: {contributed} contributions to sums went in, {what}")
    left = sum(int(state.operation[row].left) for row in rows - adding)
    if multicast * (len(ports.node) - 1) != copies + left:
        raise InternalError(f"{name}: {multicast} flits went in for all, {copies} copies came out, {left} are to come")
    inside += len(rows)
    if len(state.free_row) - int(state.totals[0].free_rows) != inside:
        raise InternalError(f"{name}: rows of the flit table are lost: {inside} flits are inside")
    core = len(ports.node) * CORE_PORTS
    if int(ports.inject["head"].sum()) + int(fabric.queue["head"][:, :1].sum()) != sent:
        raise InternalError(f"{name}: {sent} flits went in, not those that left the injection queues")
    if int(ports.eject["filled"].sum()) + int(fabric.up["filled"].sum()) != came:
        raise InternalError(f"{name}: {came} flits came out, not those that the ejection queues were given")
    taken = np.concatenate([ports.eject["filled"].T.ravel(), fabric.up["filled"]]) - fabric.terminal.credited
    assert len(taken) == len(fabric.terminal) >= core
    waiting = _to_terminals(routers)
    for t, source in enumerate(state.source):
        place = int(source.eject_place)
        first = ((place >> 16) * params.ports + (place >> 8 & 255)) * params.vcs
        channels = slice(first, first + params.vcs)
        parts = (
            int(state.output_vc[channels].credits.sum()),
            int(waiting[t]),
            int(taken[t]),
            int(returning[channels].sum()),
        )
        if sum(parts) != fabric.room[t]:
            what = "credits, flits on the wire, places used, credits under way"
            raise InternalError(f"{name}: terminal {t}: {what}: {parts}, not {int(fabric.room[t])} in all")
    spent, held = causes(routers), occupied(routers)
    for r in np.flatnonzero(spent.sum(axis=1) != held):
        told = dict(zip(CAUSES, spent[r].tolist(), strict=True))
        raise InternalError(f"{name}: router {r}: buffers held flits for {int(held[r])} cycles, causes are {told}")


def _rows_of_trees(routers: RouterFabric) -> set[int]:
    """Return the rows of flits of multicasts and sums in a buffer or on a wire, each once for all its copies."""
    params, state = routers.params, routers.state
    rows: set[int] = set()
    for flits, copied in zip(state.copied_flit, state.copied, strict=True):
        first = int(copied["head"])
        rows |= {int(flits[(first + n) % params.places]) >> PACKET_BIT for n in range(int(copied["count"]))}
    events = state.flit_event.reshape(params.wheel, params.room, 2)
    for slot in range(params.wheel):
        for to, flit in events[slot, : state.flit_count[slot]].tolist():
            behind = to >= 0 and to >> 8 & 255 >= params.real_ports  # an adder
            if behind or (to if to >= 0 else -1 - to) & 255 >= params.unicast_vcs:
                rows.add(flit >> PACKET_BIT)
    for addends, first, count in zip(state.addend, state.addend_head, state.addend_count, strict=True):
        rows |= {int(addends[(first + n) % params.places]) >> PACKET_BIT for n in range(int(count))}
    for r in range(params.routers if params.lanes else 0):
        for p in range(params.real_ports, params.ports):
            for v in range((params.real_ports + 1) * params.multicast_vcs, params.vcs):
                place = (r * params.ports + p) * params.vcs + v
                first = int(state.input_vc[place]["head"])
                flits = state.buffer[place]
                held = range(int(state.input_vc[place]["count"]))
                rows |= {int(flits[(first + n) % params.places]) >> PACKET_BIT for n in held}
    return rows


def _to_terminals(routers: RouterFabric) -> list[int]:
    """Return the flits that are on the wire to each terminal."""
    params, state = routers.params, routers.state
    waiting = [0] * params.nodes
    events = state.flit_event.reshape(params.wheel, params.room, 2)
    for slot in range(params.wheel):
        for to in events[slot, : state.flit_count[slot], 0].tolist():
            if to < 0:
                waiting[(-1 - to) >> 8] += 1
    return waiting


def check_drained(ports: NocState, fabric: Fabric) -> None:
    """Raise unless the network is empty: no flit anywhere, no channel held.

    Parameters
    ----------
    ports : NocState
    fabric : Fabric

    Raises
    ------
    InternalError
        If something is left.
    """
    queues = {"inject": ports.inject, "eject": ports.eject, "gateway": fabric.up, "link": fabric.queue}
    for name, queue in queues.items():
        left = int((queue["filled"] - queue["head"]).sum())
        if left:
            raise InternalError(f"network: {left} flits are left in {name} queues")
    rows = len(fabric.routers.free_row) - int(fabric.routers.totals[0].free_rows)
    if rows:
        raise InternalError(f"network: {rows} flits are left in routers or on wires")
    places = {
        "inject": ports.inject_flit,
        "eject": ports.eject_flit,
        "gateway": fabric.up_flit,
        "link": fabric.queue_flit,
    }
    for name, flits in places.items():
        if flits["free_at"].max(initial=0) >= NEVER:
            raise InternalError(f"network: a place of {name} never comes back")
    if (fabric.routers.output_vc.owner != -1).any() or (fabric.holder.owner != FREE).any():
        raise InternalError("network: a channel is still held")
