"""Any graph, from a network list of BookSim 2: lines of ``router A node B [cycles] router C [cycles] ...``.

Ports of a router: its nodes in ascending order, then its neighbours in ascending order.  Routes are shortest by the
sum of link latencies; of equal ones that is taken whose routers Dijkstra's algorithm settles first, lowest number
before higher.  A link stands in both directions; if both are written with their own latency, each has its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nmpsim.errors import Fault, SpecError
from nmpsim.noc.topology.graph import Channel, Option, RouteTable, Terminal, Topology

MOST_CYCLES = 4096
"""Latency of a link."""

KINDS = ("router", "node")


class NetworkList:
    """What a network list says.

    Parameters
    ----------
    path : Path
        For messages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: dict[int, tuple[int, int]] = {}  # node: router, cycles
        self.links: dict[int, dict[int, int]] = {}  # router: neighbour: cycles
        self.written: set[tuple[int, int]] = set()
        self.faults: list[Fault] = []

    def refuse(self, line: int, got: str, allowed: str, todo: str) -> None:
        """Note a fault of a line."""
        self.faults.append(Fault(f"{self.path}:{line}", got, allowed, todo))

    def read_line(self, number: int, text: str) -> None:
        """Take one line.

        Parameters
        ----------
        number : int
            For messages.
        text : str
        """
        words = text.split()
        things: list[tuple[str, int, int]] = []
        while words:
            if len(words) < 2 or words[0] not in KINDS or not words[1].isdecimal():
                self.refuse(number, " ".join(words[:2]), "router or node, and its number", "correct the line")
                return
            cycles = 1
            used = 2
            if len(words) > 2 and words[2] not in KINDS:
                if not words[2].isdecimal() or not 1 <= int(words[2]) <= MOST_CYCLES:
                    self.refuse(number, words[2], f"a latency of 1 to {MOST_CYCLES} cycles", "correct the line")
                    return
                cycles, used = int(words[2]), 3
            things.append((words[0], int(words[1]), cycles))
            words = words[used:]
        if not things:
            return
        kind, head, _ = things[0]
        if kind == "router":
            self.links.setdefault(head, {})
        for other_kind, other, cycles in things[1:]:
            if kind == other_kind == "node":
                self.refuse(number, f"node {head} at node {other}", "nodes at routers", "correct the line")
            elif kind == other_kind:
                self.join(number, head, other, cycles)
            else:
                node, router = (head, other) if kind == "node" else (other, head)
                self.attach(number, node, router, cycles)

    def join(self, number: int, head: int, other: int, cycles: int) -> None:
        """Link two routers."""
        if head == other:
            self.refuse(number, f"router {head} at itself", "two routers", "correct the line")
            return
        self.links.setdefault(head, {})[other] = cycles
        self.written.add((head, other))
        back = self.links.setdefault(other, {})
        if (other, head) not in self.written:
            back[head] = cycles

    def attach(self, number: int, node: int, router: int, cycles: int) -> None:
        """Put a node at a router."""
        self.links.setdefault(router, {})
        former = self.nodes.setdefault(node, (router, cycles))
        if former[0] != router:
            self.refuse(number, f"node {node} at routers {former[0]} and {router}", "one router", "correct the line")

    def check(self) -> None:
        """Raise what was found.

        Raises
        ------
        SpecError
            With every fault.
        """
        for kind, known in (("node", self.nodes), ("router", self.links)):
            missing = sorted(set(range(max(known, default=0) + 1)) - set(known))
            if missing and not self.faults:
                got = f"no {kind} {', '.join(map(str, missing[:8]))}"
                allowed = f"{kind}s numbered from 0 on"
                self.faults.append(Fault(str(self.path), got, allowed, "number them without a gap"))
        if self.faults:
            raise SpecError("the network cannot be read", self.faults)


def read_anynet(path: Path) -> Topology:
    """Return the network of a list.

    Parameters
    ----------
    path : Path

    Raises
    ------
    SpecError
        With every fault of the file.

    Notes
    -----
    Source: BookSim 2 (28f43299), ``networks/anynet.cpp``.
    """
    listed = NetworkList(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(str(path), str(error), "a network list", "check the path")
        raise SpecError("the network cannot be read", [fault]) from None
    for number, text in enumerate(lines, 1):
        listed.read_line(number, text)
    listed.check()
    return graph(path.stem, listed.nodes, listed.links, str(path))


def graph(
    name: str, nodes: dict[int, tuple[int, int]], links: dict[int, dict[int, int]], where: str = "network"
) -> Topology:
    """Return the network of routers that are linked at will, on shortest paths.

    Parameters
    ----------
    name : str
    nodes : dict of int to tuple of int
        Router and link latency of each node.
    links : dict of int to dict of int to int
        Latency of the link from each router to each of its neighbours.
    where : str
        For messages.

    Raises
    ------
    SpecError
        If a node cannot be reached from a router.
    """
    routers = range(len(links))
    local = {r: sorted(node for node, (at, _) in nodes.items() if at == r) for r in routers}
    out_port = {(r, to): len(local[r]) + i for r in routers for i, to in enumerate(sorted(links[r]))}
    sources = {r: sorted(s for s in routers if r in links[s]) for r in routers}
    in_port = {(s, r): len(local[r]) + i for r in routers for i, s in enumerate(sources[r])}
    table = RouteTable((len(links), 1, len(nodes), 1))
    faults = []
    for r in routers:
        first = first_hops(r, links)
        for node, (at, _) in nodes.items():
            if at == r:
                table.set((r, 0, node, 0), Option(local[r].index(node)))
            elif at in first:
                table.set((r, 0, node, 0), Option(out_port[r, first[at]]))
            else:
                faults.append(Fault(where, f"no way from router {r} to node {node}", "a connected graph", "add a link"))
    if faults:
        raise SpecError(f"{name}: not connected", faults)
    ports = max((len(local[r]) + max(len(links[r]), len(sources[r])) for r in routers), default=1)
    return Topology(
        name=name,
        in_ports=tuple(len(local[r]) + len(sources[r]) for r in routers),
        out_ports=tuple(len(local[r]) + len(links[r]) for r in routers),
        channels=tuple(
            Channel(r, out_port[r, to], to, in_port[r, to], links[r][to]) for r in routers for to in sorted(links[r])
        ),
        terminals=tuple(
            Terminal(at, local[at].index(node), local[at].index(node), cycles)
            for node, (at, cycles) in sorted(nodes.items())
        ),
        group=np.zeros((len(links), ports), np.int64),
        choices=table.choices,
        route=table.route,
        radix=(len(nodes),),
    )


def first_hops(start: int, links: dict[int, dict[int, int]]) -> dict[int, int]:
    """Return the neighbour by which a packet leaves a router, for every router that it can reach.

    Parameters
    ----------
    start : int
    links : dict of int to dict of int to int
        As in `graph`.
    """
    distance = {start: 0}
    first: dict[int, int] = {}
    settled: set[int] = set()
    while len(settled) < len(distance):
        here = min((d, r) for r, d in distance.items() if r not in settled)[1]
        settled.add(here)
        for there in sorted(links[here]):
            length = distance[here] + links[here][there]
            if there not in distance or length < distance[there]:
                distance[there] = length
                first[there] = there if here == start else first[here]
    return first
