"""Trees that packets may follow, from the routing of a network, and the registers that they need."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, SpecError
from nmpsim.noc.router.settings import MOST_DELAY, MOST_PORTS, MOST_VCS, RouterSettings
from nmpsim.noc.router.state import NetworkParams
from nmpsim.noc.router.tree_state import (
    ADDER,
    COPIED,
    FOLLOWER,
    LANE,
    MEMBER,
    OPERATION,
    TRACED_WAIT,
    TREE_AT,
    TREE_TOTALS,
)
from nmpsim.noc.topology import Topology
from nmpsim.noc.topology.dependence import find_cycle
from nmpsim.noc.topology.graph import Channel


class Edge(NamedTuple):
    """A link of a tree, away from the root.

    Parameters
    ----------
    channel : int
        Number in the topology.
    part : int
        Class of the virtual channels: 1 behind a dateline, else 0.
    """

    channel: int
    part: int


@dataclass(frozen=True)
class Tree:
    """A tree of links.

    Parameters
    ----------
    root : int
        Node.
    members : tuple of int
        Nodes that take part, the root among them.
    edges : tuple of Edge
        Parents before children.
    """

    root: int
    members: tuple[int, ...]
    edges: tuple[Edge, ...]

    def depths(self, topology: Topology) -> dict[int, int]:
        """Return the links from the root's router to each router of the tree.

        Parameters
        ----------
        topology : Topology
        """
        depths = {topology.terminals[self.root].router: 0}
        for edge in self.edges:
            channel = topology.channels[edge.channel]
            depths[channel.sink] = depths[channel.source] + 1
        return depths


@dataclass(frozen=True)
class TreeSet:
    """Trees of a network, and what their routers are built with.

    Parameters
    ----------
    trees : tuple of Tree
    multicast_lanes : int
        Virtual channels of multicasts, of each class.
    entries : int
        Sums that a router's table holds; each has a virtual channel of its own.  0: routers without adders.
    add_delay : int
        From the first flits of all inputs to their sum; cycles.  An FP32 adder of two stages (assumed: at 1 GHz in 7
        nm).
    add_interval : int
        Cycles between two sums of one adder.
    in_order : bool
        Whether all packets of a tree take one virtual channel on each link, so that none overtakes another.
    node_vcs : int
        Virtual channels of multicasts towards a node; 0: all there are.
    """

    trees: tuple[Tree, ...]
    multicast_lanes: int = 2
    entries: int = 4
    add_delay: int = 2
    add_interval: int = 1
    in_order: bool = False
    node_vcs: int = 0

    @property
    def parts(self) -> int:
        """Classes of virtual channels that the trees need."""
        return 1 + max((edge.part for tree in self.trees for edge in tree.edges), default=0)


class TreeSizes(NamedTuple):
    """What trees add to the sizes of a network."""

    ports: int
    vcs: int
    multicast_vcs: int
    multicast_lanes: int
    lanes: int
    add_delay: int
    add_interval: int


def tree_of(topology: Topology, root: int, members: tuple[int, ...] | None = None) -> Tree:
    """Return the tree of the ways that packets go from a node to others.

    On a mesh or torus that is the tree of dimension order, on a ring a path each way.  Where two ways are equal the
    first is taken.

    Parameters
    ----------
    topology : Topology
    root : int
        Node.
    members : tuple of int or None
        Nodes, all by default; the root is one in any case.

    Raises
    ------
    SpecError
        If there is no such node.
    """
    everyone = tuple(range(topology.nodes))
    chosen = tuple(sorted({root, *(everyone if members is None else members)}))
    if not set(chosen) <= set(everyone):
        todo = "name nodes of the network"
        raise SpecError("the tree cannot be built", [Fault("tree", str(chosen), f"0 to {len(everyone) - 1}", todo)])
    link_at = {(c.source, c.out_port): n for n, c in enumerate(topology.channels)}
    start = topology.terminals[root]
    reached: dict[int, Edge | None] = {start.router: None}
    edges = []
    for member in chosen:
        router, in_port, held = start.router, start.in_port, 0
        while router != topology.terminals[member].router:
            group = topology.group[router, in_port]
            option = topology.choices[topology.route[router, group, member, held]][0]
            number = link_at[router, option.out_port]
            channel = topology.channels[number]
            if channel.sink not in reached:
                part = _part(topology, channel, reached[router])
                reached[channel.sink] = Edge(number, part)
                edges.append(Edge(number, part))
            router, in_port, held = channel.sink, channel.in_port, option.next_class
    return Tree(root, chosen, tuple(edges))


def _part(topology: Topology, channel: Channel, before: Edge | None) -> int:
    """Return the class of a link of a tree: 1 from where its dimension wraps, else 0."""
    if topology.classes == 1:
        return 0
    dimension, k = channel.out_port // 2, topology.radix[0]
    here, there = (r // k**dimension % k for r in (channel.source, channel.sink))
    wraps = abs(here - there) != 1 if k > 2 else False
    if before is not None and topology.channels[before.channel].out_port == channel.out_port and before.part:
        return 1
    return int(wraps)


def tree_sizes(topology: Topology, settings: RouterSettings, trees: TreeSet | None) -> TreeSizes:
    """Return what trees add to the sizes of a network.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    trees : TreeSet or None
    """
    if trees is None:
        return TreeSizes(topology.ports, settings.vcs, 0, 0, 0, 0, 0)
    multicast_vcs = trees.multicast_lanes * trees.parts
    needed = settings.vcs + multicast_vcs + trees.entries
    vcs = max(needed, (topology.ports + 1) * multicast_vcs + trees.entries)
    return TreeSizes(
        2 * topology.ports,
        vcs,
        multicast_vcs,
        trees.multicast_lanes,
        trees.entries,
        trees.add_delay,
        trees.add_interval,
    )


def check_trees(topology: Topology, settings: RouterSettings, trees: TreeSet) -> None:
    """Refuse trees that a network cannot have, or whose packets can wait for each other in a circle.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    trees : TreeSet

    Raises
    ------
    SpecError
        With every fault.

    Notes
    -----
    A copy waits for the link behind its own in a tree, never for its sister (multicast.py); so the graph has an edge
    from every link of a tree to each that follows it.  Sums have lanes of their own and wait for none.
    """
    faults = []
    limits = {
        "multicast_lanes": (1, MOST_VCS),
        "entries": (0, MOST_VCS),
        "add_interval": (1, MOST_DELAY),
        "add_delay": (0, MOST_DELAY),
        "node_vcs": (0, trees.multicast_lanes),
    }
    for name, (least, most) in limits.items():
        got = getattr(trees, name)
        if not least <= got <= most:
            faults.append(Fault(name, str(got), f"{least} to {most}", "give another number"))
    sizes = tree_sizes(topology, settings, trees)
    if sizes.vcs > MOST_VCS or sizes.ports > MOST_PORTS:
        got = f"{sizes.vcs} channels, {sizes.ports} ports with those of branches"
        faults.append(
            Fault("trees", got, f"{MOST_VCS} and {MOST_PORTS}", "take fewer lanes, entries or smaller routers")
        )
    if settings.batched_stages:
        faults.append(Fault("batched_stages", "True", "False with trees", "leave it out"))
    back = {(c.source, c.sink) for c in topology.channels}
    for tree in trees.trees:
        for edge in tree.edges:
            channel = topology.channels[edge.channel]
            if (channel.sink, channel.source) not in back:
                got = f"no link from router {channel.sink} to {channel.source}"
                faults.append(Fault(f"tree of node {tree.root}", got, "links both ways, for sums", "add the link"))
    if faults:
        raise SpecError("the trees cannot be built", faults)
    follows: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for tree in trees.trees:
        into = {topology.channels[edge.channel].sink: edge for edge in tree.edges}
        for edge in tree.edges:
            before = into.get(topology.channels[edge.channel].source)
            if before is not None:
                follows[before].add(edge)
    circle = find_cycle(follows)
    if circle:
        named = [(topology.channels[link], part) for link, part in [*circle, circle[0]]]
        got = " -> ".join(f"router {c.source} to {c.sink} class {part}" for c, part in named)
        raise SpecError(
            "the trees cannot be built",
            [Fault(topology.name, got, "trees whose links form no circle", "take other roots, or route otherwise")],
        )


def tree_registers(topology: Topology, params: NetworkParams, trees: TreeSet | None) -> dict[str, Any]:
    """Return the registers of trees; empty ones of a network without.

    Parameters
    ----------
    topology : Topology
    params : NetworkParams
    trees : TreeSet or None
    """
    routers, nodes, ports = (params.routers, params.nodes, params.real_ports) if trees is not None else (0, 0, 0)
    number = len(trees.trees) if trees is not None else 0
    buffers, lanes = routers * (ports + 1) * params.multicast_vcs, routers * params.lanes
    found: dict[str, Any] = {
        "tree_at": TREE_AT.zeros(number * routers),
        "tree_mask": np.zeros(number * routers * ports, np.int64),
        "tree_member": np.zeros(number * nodes, np.int64),
        "operation": OPERATION.zeros(0),
        "follower": FOLLOWER.zeros(0),
        "traced_wait": TRACED_WAIT.zeros(0),
        "multicast_queue": np.zeros(0, np.int64),
        "member": MEMBER.zeros(nodes),
        "contributed": np.zeros(nodes * params.lanes, np.int64),
        "copied": COPIED.zeros(buffers),
        "copied_flit": np.zeros((buffers, params.places), np.int64),
        "first_sent": np.full((buffers, params.places), -1, np.int64),
        "branch_ahead": np.zeros((buffers, ports), np.int64),
        "copied_room": np.full(routers * params.multicast_vcs, params.buffer_flits, np.int64),
        "copied_by": np.full(routers * params.multicast_vcs, -1, np.int64),
        "addend": np.zeros((lanes * ports, params.places), np.int64),
        "addend_head": np.zeros(lanes * ports, np.int64),
        "addend_count": np.zeros(lanes * ports, np.int64),
        "lane": LANE.zeros(lanes),
        "adder": ADDER.zeros(routers),
        "sent_branch": np.zeros((routers * ports, 2), np.int64),
        "arrived": np.zeros(nodes + 1, np.int64),
        "tree_log": np.zeros((0, 4), np.int64),
        "tree_totals": TREE_TOTALS.zeros(1),
    }
    found["lane"].operation = -1
    found["lane"].room = params.buffer_flits
    found["member"].sent_at = -2
    found["tree_at"].up = -1
    for n, tree in enumerate(trees.trees if trees is not None else ()):
        _register(topology, params, n, tree, found)
        if trees is not None:
            _narrow(topology, params, n, trees, found["tree_mask"])
    return found


def _register(topology: Topology, params: NetworkParams, number: int, tree: Tree, found: dict[str, Any]) -> None:
    """Write one tree into the registers."""
    at = found["tree_at"][number * params.routers : (number + 1) * params.routers]
    size = params.routers * params.real_ports
    mask = found["tree_mask"][number * size : (number + 1) * size].reshape(params.routers, -1)
    everything = (1 << params.multicast_vcs) - 1
    root = topology.terminals[tree.root]
    at[root.router].is_root = 1
    at[root.router].up = root.out_port
    back = {(c.source, c.sink): c for c in topology.channels}
    for edge in tree.edges:
        down = topology.channels[edge.channel]
        up = back[down.sink, down.source]
        at[down.source].down |= 1 << down.out_port
        at[down.source].expected |= 1 << up.in_port
        at[down.sink].up = up.out_port
        share = (1 << params.multicast_lanes) - 1
        mask[down.source, down.out_port] = share << (params.unicast_vcs + edge.part * params.multicast_lanes)
    for member in tree.members:
        terminal = topology.terminals[member]
        found["tree_member"][number * params.nodes + member] = 1
        at[terminal.router].down |= 1 << terminal.out_port
        at[terminal.router].expected |= 1 << terminal.in_port
        mask[terminal.router, terminal.out_port] = everything << params.unicast_vcs


def _narrow(topology: Topology, params: NetworkParams, number: int, trees: TreeSet, masks: NDArray[np.int64]) -> None:
    """Leave a tree as few virtual channels as its set says (changes `masks`)."""
    size, tree = params.routers * params.real_ports, trees.trees[number]
    mask = masks[number * size : (number + 1) * size].reshape(params.routers, -1)
    lanes, first = params.multicast_lanes, params.unicast_vcs
    for edge in tree.edges if trees.in_order else ():
        channel = topology.channels[edge.channel]
        mask[channel.source, channel.out_port] = 1 << (first + edge.part * lanes + lane_of(tree.root, lanes))
    for member in tree.members if trees.node_vcs else ():
        terminal = topology.terminals[member]
        mask[terminal.router, terminal.out_port] = ((1 << trees.node_vcs) - 1) << first


def lane_of(root: int, lanes: int) -> int:
    """Return the lane that all packets of a root take, where they keep their order.

    Parameters
    ----------
    root : int
        Node.
    lanes : int
        Multicast virtual channels of a class.
    """
    return root % lanes
