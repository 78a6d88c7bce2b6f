"""Lower bounds of collectives on a network of routers: latency and bandwidth, from the definition of the operation.

Shares no code with the cycle model.  A network here is who is linked to whom and how long a hop takes; every node has
one port in and one out, of one flit a cycle, and so has every link.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil

KINDS = ("broadcast", "reduce", "all-reduce", "all-gather", "reduce-scatter", "all-to-all")


@dataclass(frozen=True)
class Links:
    """A network for bounds.

    Parameters
    ----------
    neighbours : dict of int to tuple of int
        Routers that each router has a link to.
    at : tuple of int
        Router of each node.
    hop_cycles : int
        Least cycles from router to router: the stages and the shortest link.
    end_cycles : int
        Least cycles from the sending of a flit to its arrival where source and destination share a router.
    """

    neighbours: dict[int, tuple[int, ...]]
    at: tuple[int, ...]
    hop_cycles: int
    end_cycles: int

    def distances(self, start: int) -> dict[int, int]:
        """Return the least number of links from a router to every other.

        Parameters
        ----------
        start : int
        """
        found, waiting = {start: 0}, deque([start])
        while waiting:
            here = waiting.popleft()
            for there in self.neighbours[here]:
                if there not in found:
                    found[there] = found[here] + 1
                    waiting.append(there)
        return found

    def depth(self, root: int) -> int:
        """Return the links from a node's router to the furthest node's.

        Parameters
        ----------
        root : int
            Node.
        """
        distances = self.distances(self.at[root])
        return max(distances[router] for router in self.at)

    def halves(self) -> list[tuple[int, int]]:
        """Return, for cuts in the order of routers, the nodes below each and the links across it one way."""
        cuts = []
        for cut in range(1, len(self.neighbours)):
            below = sum(router < cut for router in self.at)
            across = sum(r < cut <= to for r, ends in self.neighbours.items() for to in ends)
            cuts.append((below, across))
        return cuts


@dataclass(frozen=True)
class Bound:
    """Below what no run can be; cycles.

    Parameters
    ----------
    latency : int
        Until the last first flit can have arrived, and the rest of its packet behind it.
    bandwidth : int
        That the most loaded port or cut of links is busy.
    """

    latency: int
    bandwidth: int

    @property
    def cycles(self) -> int:
        """The greater of both."""
        return max(self.latency, self.bandwidth)


def bound(kind: str, links: Links, flits: int, *, root: int = 0, add_cycles: int = 0, in_network: bool = True) -> Bound:
    """Return the lower bound of a collective over all nodes.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    links : Links
    flits : int
        Broadcast, reduce and all-reduce: of the vector that every node has or gets.  All-gather and reduce-scatter:
        of one node's share of it.  All-to-all: of the message of each pair.
    root : int
        Of broadcast, reduce, and of the tree of an all-reduce in the network.
    add_cycles : int
        Of one addition.
    in_network : bool
        Whether routers copy and add; else nodes do.

    Notes
    -----
    With n nodes, M flits, D the links from the root to the furthest node, W those between the furthest two, h cycles
    per link, e for the ends and g of an addition, the latency is at least

    * broadcast: D h + e + M - 1; reduce: D (h + g) + e + M - 1 in the network, D h + g + e + M - 1 if nodes add
    * all-reduce: 2 D h + D g + e + M - 1 by a tree in the network; W h + g + e if nodes add
    * all-gather, all-to-all: W h + e + M - 1; reduce-scatter: W h + g + e + M - 1

    and what passes one port takes, with e - 1 for the ends: broadcast, reduce, all-reduce in the network M; all-gather,
    reduce-scatter, all-to-all (n - 1) M; an all-reduce whose nodes add 2 (n - 1) / n M.  All-to-all also passes cuts
    of the network: pairs across over links across.

    Source: Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH" (2005), for
    (n - 1) / n M of reduce-scatter and all-gather and 2 (n - 1) / n M of an all-reduce whose nodes add.
    """
    nodes, h, ends = len(links.at), links.hop_cycles, links.end_cycles
    depth = links.depth(root)
    widest = max(links.depth(node) for node in range(nodes))
    stream = flits - 1
    if kind == "broadcast":
        return Bound(depth * h + ends + stream, flits + ends - 1)
    if kind == "reduce":
        adds = add_cycles * depth if in_network else add_cycles
        return Bound(depth * h + adds + ends + stream, flits + ends - 1)
    if kind == "all-reduce":
        if in_network:
            return Bound(2 * depth * h + depth * add_cycles + ends + stream, flits + ends - 1)
        return Bound(widest * h + ends + add_cycles, ceil(2 * (nodes - 1) * flits / nodes) + ends - 1)
    adds = add_cycles * (kind == "reduce-scatter")
    latency = widest * h + ends + adds + stream
    busy = (nodes - 1) * flits
    if kind == "all-to-all":
        crossing = [ceil(below * (nodes - below) * flits / across) for below, across in links.halves() if across]
        busy = max(busy, *crossing) if crossing else busy
    return Bound(latency, busy + ends - 1)
