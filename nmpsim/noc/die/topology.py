"""The network of a die as data: a ring, mesh, torus or crossbar with several terminals at each router.

Terminal ``port * nodes + node``: ports 0 and 1 are those of the core, port 2 is the gateway to other stacks.  Every
message takes one way and, on every link, one virtual channel, both fixed by its destination and port.  So the flits of
one source, port and destination never overtake each other, however many channels there are.

Where both ways round a ring are equally long, port 0 goes up and port 1 down: two neighbours use both of their links.
"""

from __future__ import annotations

import numpy as np

from nmpsim.noc.die.groups import copies, own_share
from nmpsim.noc.router.trees import TreeSet, tree_of
from nmpsim.noc.topology import Channel, Option, RouteTable, Terminal, Topology
from nmpsim.spec.params import CROSSBAR, MESH, NocParams

CORE_PORTS = 2
"""Network ports of a core: one for each of its send units and receivers."""

GATEWAY = 2
"""Port number of the gateway, if the die has gateways."""


def ports_of(*, gateways: bool) -> int:
    """Return the terminals at each node."""
    return CORE_PORTS + 1 if gateways else CORE_PORTS


def die_topology(noc: NocParams, *, gateways: bool) -> Topology:
    """Return the routers, links and routes of a die.

    Parameters
    ----------
    noc : NocParams
    gateways : bool
        Whether every node has a gateway.
    """
    one = noc._replace(nodes=noc.nodes // noc.groups)
    part = _crossbar(one, gateways=gateways) if noc.kind == CROSSBAR else _grid(one, gateways=gateways)
    return copies(part, noc.groups) if noc.groups > 1 else part


def has_few_places(noc: NocParams) -> bool:
    """Return whether messages come out one after another, by one channel.

    So where an ejection queue has fewer places than there are channels to it, of messages or multicasts, and at
    gateways to the networks inside PUs.
    """
    plain, copied, _ = ejection_shares(noc)
    return plain < noc.vcs or copied < noc.multicast_lanes or noc.behind > 1


def ejection_shares(noc: NocParams) -> tuple[int, int, int]:
    """Return the places of an ejection queue for messages, multicasts and sums: equal shares for what there is."""
    summed = noc.eject_flits // 3 if noc.sum_lanes else 0
    copied = (noc.eject_flits - summed) // 2 if noc.multicast_lanes else 0
    return noc.eject_flits - summed - copied, copied, summed


def adders_in_a_row(noc: NocParams) -> int:
    """Return the additions, one after another, of a router with all of its inputs: other routers, and its nodes."""
    return noc.nodes - 1 if noc.kind == CROSSBAR else 2 * noc.dims


def die_trees(noc: NocParams, topology: Topology) -> TreeSet | None:
    """Return the trees of multicasts and sums, None without: number t is that of terminal t of a core.

    A multicast comes to the port of its own number at every other node.  All its packets take one channel on each
    link, so that those of one terminal keep their order.  A sum for a terminal comes to it by its tree, reversed.

    Parameters
    ----------
    noc : NocParams
    topology : Topology
        From `die_topology`.
    """
    if noc.multicast_lanes == 0:
        return None
    ports = [tuple(range(port * noc.nodes, (port + 1) * noc.nodes)) for port in range(CORE_PORTS)]
    return TreeSet(
        tuple(tree_of(topology, terminal, members) for members in ports for terminal in members),
        multicast_lanes=noc.multicast_lanes,
        entries=CORE_PORTS * noc.sum_lanes,
        add_delay=noc.nADD * adders_in_a_row(noc),
        in_order=True,
        node_vcs=1 if has_few_places(noc) else noc.multicast_lanes,
    )


def die_links(noc: NocParams) -> tuple[Channel, ...]:
    """Return the links between the routers of a die, in the order in which they are numbered.

    Parameters
    ----------
    noc : NocParams
    """
    k, n = noc.radix, noc.dims
    if noc.kind == CROSSBAR or k == 1:
        return ()
    found = []
    for r in range(noc.nodes):  # of all groups: as many as fill the dimensions, one after another
        for d in range(n):
            digit = r // k**d % k
            for out_port, step in ((2 * d, 1), (2 * d + 1, -1)):
                if noc.kind != MESH or 0 <= digit + step < k:
                    sink = r + ((digit + step) % k - digit) * k**d
                    found.append(Channel(r, out_port, sink, out_port ^ 1, noc.nLINK))
    return tuple(found)


def _out(noc: NocParams, port: int, out_port: int) -> Option:
    """Return the way from the last router to a terminal.

    Any channel to a core, which may take several messages at once; one to a gateway, where messages stay whole, and to
    an ejection queue with fewer places than channels.
    """
    if port == GATEWAY or has_few_places(noc):
        return Option(out_port, 0, noc.vcs)
    return Option(out_port)


def _crossbar(noc: NocParams, *, gateways: bool) -> Topology:
    """Return one router with all terminals."""
    terminals = ports_of(gateways=gateways) * noc.nodes
    table = RouteTable((1, 1, terminals, 1))
    for t in range(terminals):
        table.set((0, 0, t, 0), _out(noc, t // noc.nodes, t))
    return Topology(
        name=f"crossbar {noc.nodes}",
        in_ports=(terminals,),
        out_ports=(terminals,),
        channels=(),
        terminals=tuple(Terminal(0, t, t, noc.nPORT) for t in range(terminals)),
        group=np.zeros((1, terminals), np.int64),
        choices=table.choices,
        route=table.route,
        radix=(noc.nodes,),
    )


def _grid(noc: NocParams, *, gateways: bool) -> Topology:
    """Return a ring, mesh or torus: lowest dimension first, the shorter way.

    Router ports: 2d is the way up dimension d, 2d + 1 the way down, then the terminals.
    """
    k, n, nodes = noc.radix, noc.dims, noc.nodes
    wraps = noc.kind != MESH
    locals_ = ports_of(gateways=gateways)
    ports = 2 * n + locals_
    classes = 2 if wraps else 1
    table = RouteTable((nodes, 2 * n + 1, locals_ * nodes, classes))
    for r in range(nodes):
        for t in range(locals_ * nodes):
            for came_by in range(2 * n + 1):
                for held in range(classes):
                    table.set((r, came_by, t, held), _next(noc, r, t, came_by, held))
    shape = "x".join([str(k)] * n)
    return Topology(
        name=f"mesh {shape}" if not wraps else f"ring {k}" if n == 1 else f"torus {shape}",
        in_ports=(ports,) * nodes,
        out_ports=(ports,) * nodes,
        channels=die_links(noc),
        terminals=tuple(
            Terminal(t % nodes, 2 * n + t // nodes, 2 * n + t // nodes, noc.nPORT) for t in range(locals_ * nodes)
        ),
        group=np.tile(np.minimum(np.arange(ports), 2 * n), (nodes, 1)),
        choices=table.choices,
        route=table.route,
        radix=(k,) * n,
    )


def _next(noc: NocParams, r: int, terminal: int, came_by: int, held: int) -> Option:
    """Return the one way on from router `r` for a packet that came by a port in class `held`."""
    k, n = noc.radix, noc.dims
    port, destination = divmod(terminal, noc.nodes)
    for d in range(n):
        here, there = r // k**d % k, destination // k**d % k
        if here == there:
            continue
        if noc.kind == MESH:
            out = 2 * d if here < there else 2 * d + 1
            return Option(out, own_share(noc, destination, 0, noc.vcs, up=port == GATEWAY), noc.vcs)
        if came_by // 2 == d:
            out, entered = came_by ^ 1, held
        else:
            ups = (there - here) % k
            goes_up = 2 * ups < k or (2 * ups == k and port != 1)
            out, entered = (2 * d, int(here > there)) if goes_up else (2 * d + 1, int(here < there))
        low = entered * (noc.vcs // 2)
        share = noc.vcs - noc.vcs // 2 if entered else noc.vcs // 2
        return Option(out, own_share(noc, destination, low, max(share, 1), up=port == GATEWAY), noc.vcs, entered)
    return _out(noc, port, 2 * n + port)
