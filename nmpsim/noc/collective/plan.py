"""Collectives by trees in the network, and the choice between them and messages.

broadcast       one multicast from the root
reduce          one sum to the root
all-reduce      one sum whose root's router turns it round into a multicast; or a reduce-scatter and an all-gather
all-gather      a multicast from every node, at the pace that a node can take: a flit in n - 1 cycles
reduce-scatter  a sum to every node
all-to-all      messages: nothing is copied or added; in phases by a timetable, or as they come
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nmpsim.errors import Fault, WorkloadError
from nmpsim.noc.collective.phases import MOST_NODES
from nmpsim.noc.collective.software import (
    ALGORITHMS,
    NodeCosts,
    choose_all_reduce,
    message_plan,
    pair_places,
    shares,
)
from nmpsim.noc.collective.steps import Launched, MessageStep, Step, TreeStep
from nmpsim.noc.collective.timetable import direct_cycles, timetable
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.tree_state import ALL_REDUCE, MULTICAST, REDUCE
from nmpsim.noc.router.trees import TreeSet, tree_of
from nmpsim.noc.topology import Topology

NETWORK_ALGORITHMS = {
    "broadcast": ("tree",),
    "reduce": ("tree",),
    "all-reduce": ("tree", "shares"),
    "all-gather": ("tree",),
    "reduce-scatter": ("tree",),
    "all-to-all": ("phased", "direct"),
}
"""With adders and copies in the routers; the first is the default.  A tree for an all-reduce of any size: it passes
every port once, what no other can beat; shares, a reduce-scatter and an all-gather, may be asked for.  An all-to-all
needs the routes of the network only: phased, or direct where its formula gives fewer cycles."""


@dataclass(frozen=True)
class Plan:
    """A collective as steps.

    Parameters
    ----------
    kind, algorithm : str
    trees : TreeSet
    steps : tuple of Step
    flits : int
        Of the vector that every node holds.
    root : int
    costs : NodeCosts
    """

    kind: str
    algorithm: str
    trees: TreeSet
    steps: tuple[Step, ...]
    flits: int
    root: int
    costs: NodeCosts

    def end(self, launched: Launched) -> int:
        """Return when it is done: the last arrival, or the last addition of a node.

        Parameters
        ----------
        launched : Launched
            Done.
        """
        return max(
            launched.times(n)[1] + (self.costs.add if isinstance(step, MessageStep) and step.adds else 0)
            for n, step in enumerate(self.steps)
        )


@dataclass(frozen=True)
class Hardware:
    """What routers and nodes copy and add with; as for `TreeSet` and `NodeCosts`.

    Parameters
    ----------
    multicast_lanes, entries, add_delay, add_interval : int
    costs : NodeCosts
    """

    multicast_lanes: int = 2
    entries: int = 4
    add_delay: int = 2
    add_interval: int = 1
    costs: NodeCosts = field(default_factory=NodeCosts)


def centre(topology: Topology) -> int:
    """Return the first node whose tree has the least depth.

    Parameters
    ----------
    topology : Topology
    """
    return min(range(topology.nodes), key=lambda node: (max(tree_of(topology, node).depths(topology).values()), node))


def plan(
    kind: str, topology: Topology, flits: int, *, software: bool = False, algorithm: str | None = None,
    root: int | None = None, hardware: Hardware | None = None, sizes: list[list[int]] | None = None,
    hop_cycles: int = 1, settings: RouterSettings | None = None,
) -> Plan:  # fmt: skip
    """Return the steps of a collective over all nodes.

    Parameters
    ----------
    kind : str
        A key of `NETWORK_ALGORITHMS`.
    topology : Topology
    flits : int
        Broadcast, reduce and all-reduce: of the vector that every node has or gets.  All-gather and reduce-scatter:
        of one node's share of it.  All-to-all: of the message of each pair.
    software : bool
        By messages alone.
    algorithm : str or None
        None chooses; see `NETWORK_ALGORITHMS` and `nmpsim.noc.collective.software.ALGORITHMS`.
    root : int or None
        Of broadcast, reduce and all-reduce; None: 0, and for an all-reduce the centre of the network.
    hardware : Hardware or None
    sizes : list of list of int or None
        All-to-all: flits from each node to each, 0 allowed; `flits` for all pairs by default.
    hop_cycles : int
        Latency of a message of one flit between neighbours, for the choice of an all-reduce.
    settings : RouterSettings or None
        Of the routers, for the timetable of an all-to-all; those by default.

    Raises
    ------
    WorkloadError
        With what cannot be done.
    """
    nodes, built = topology.nodes, hardware or Hardware()
    known = ALGORITHMS if software else NETWORK_ALGORITHMS
    faults = []
    if kind not in known:
        faults.append(Fault("kind", kind, ", ".join(known), "choose one of these"))
    elif algorithm is not None and algorithm not in known[kind]:
        faults.append(Fault("algorithm", algorithm, ", ".join(known[kind]), "choose one of these"))
    elif algorithm == "phased" and nodes > MOST_NODES:
        faults.append(Fault("algorithm", f"phased on {nodes} nodes", f"{MOST_NODES} nodes at most", "choose direct"))
    if nodes < 2 or flits < 1 or not 0 <= (root or 0) < nodes:
        got = f"{nodes} nodes, {flits} flits, root {root}"
        faults.append(Fault("collective", got, "2 nodes or more, 1 flit or more, a root among them", "correct it"))
    if faults:
        raise WorkloadError("the collective cannot be run", faults)
    at = root if root is not None else centre(topology) if kind == "all-reduce" else 0
    held = flits * {"all-gather": nodes, "reduce-scatter": nodes, "all-to-all": nodes * nodes}.get(kind, 1)
    if sizes is not None:
        held = sum(map(sum, sizes))
    chosen = algorithm
    if chosen is None:
        chosen = known[kind][0]
        if software and kind == "all-reduce":
            chosen = choose_all_reduce(nodes, flits, hop_cycles, built.costs)
    in_network = not software and kind != "all-to-all"
    many = kind in {"all-gather", "reduce-scatter"} or chosen == "shares"
    roots = (range(nodes) if many else (at,)) if in_network else ()
    trees = TreeSet(
        tuple(tree_of(topology, node) for node in roots),
        built.multicast_lanes, built.entries, built.add_delay, built.add_interval,
    )  # fmt: skip
    steps: list[Step]
    if in_network:
        steps = _tree_steps(kind, chosen, nodes, flits, built.costs)
    elif kind == "all-to-all" and not software:
        chosen, steps = _all_to_all(topology, settings or RouterSettings(), flits, algorithm, sizes, built.costs)
    else:
        steps = list(message_plan(kind, nodes, flits, chosen, root=at, costs=built.costs, sizes=sizes))
    return Plan(kind, chosen, trees, tuple(steps), held, at, built.costs)


def _all_to_all(
    topology: Topology, settings: RouterSettings, flits: int, algorithm: str | None, sizes: list[list[int]] | None,
    costs: NodeCosts,
) -> tuple[str, list[Step]]:  # fmt: skip
    """Return an algorithm and its messages: without one phased if its timetable ends before what `direct` may take."""
    small = topology.nodes <= MOST_NODES and sizes is None
    if algorithm == "phased" or (algorithm is None and small):
        places = pair_places(topology.nodes, flits, sizes)
        steps, end = timetable(topology, settings, places, costs.forward)
        if algorithm or end <= direct_cycles(topology, settings, flits):
            return "phased", list(steps)
    return "direct", list(message_plan("all-to-all", topology.nodes, flits, "direct", costs=costs, sizes=sizes))


def _tree_steps(kind: str, algorithm: str, nodes: int, flits: int, costs: NodeCosts) -> list[Step]:
    """Return the operations of a collective; tree n is that of node n, or the only one."""
    if kind == "all-gather":
        return [TreeStep(MULTICAST, node, flits, node * flits, every=nodes - 1) for node in range(nodes)]
    if kind == "reduce-scatter":
        return [TreeStep(REDUCE, node, flits, node * flits) for node in range(nodes)]
    if algorithm == "shares":
        cut = [(node, first, size) for node, (first, size) in enumerate(shares(flits, nodes)) if size]
        sums: list[Step] = [TreeStep(REDUCE, node, size, first) for node, first, size in cut]
        copies = [
            TreeStep(MULTICAST, node, size, first, after=(n,), delay=costs.forward, every=nodes - 1)
            for n, (node, first, size) in enumerate(cut)
        ]
        return [*sums, *copies]
    return [TreeStep({"broadcast": MULTICAST, "reduce": REDUCE}.get(kind, ALL_REDUCE), 0, flits)]
