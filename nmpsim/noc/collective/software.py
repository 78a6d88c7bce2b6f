"""Collectives by messages alone: nodes copy and add.

ring
    every node sends to the next one; all-gather and reduce-scatter take n - 1 rounds of one share, an all-reduce both.
direct
    the root sends to all, or all to the root; each node to all others, by turns up and down, the nearest first.
doubling
    a binomial tree: the nodes that have (or have yet to give) double (or halve) each round.

An all-reduce is `ring` or `doubling` (reduce, then broadcast), whichever its formula gives fewer cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from nmpsim.errors import Fault, WorkloadError
from nmpsim.noc.collective.steps import MessageStep

ALGORITHMS = {
    "broadcast": ("doubling", "direct"),
    "reduce": ("doubling", "direct"),
    "all-reduce": ("ring", "doubling"),
    "all-gather": ("ring", "direct"),
    "reduce-scatter": ("ring", "direct"),
    "all-to-all": ("direct",),
}
"""Of each kind; the first is the default, but for an all-reduce."""


@dataclass(frozen=True)
class NodeCosts:
    """What nodes need between an arrival and the message that follows from it; cycles.

    Parameters
    ----------
    forward : int
        To see that a message has come, and to start the next (assumed: 1, hardware that waits for a counter).
    add : int
        To add what has come to the node's own: added as it comes, one flit a cycle, this long behind the last one
        (assumed: 8, a read of the buffer, an FP32 addition and a write).
    """

    forward: int = 1
    add: int = 8


def choose_all_reduce(nodes: int, flits: int, hop_cycles: int, costs: NodeCosts) -> str:
    """Return the algorithm of an all-reduce that the formula prefers.

    Parameters
    ----------
    nodes, flits : int
    hop_cycles : int
        Latency of a message of one flit between neighbours.
    costs : NodeCosts

    Notes
    -----
    ring: (n - 1) (2 a + f + g + 2 M / n); doubling: ceil(log2 n) (2 a + f + g + 2 M), with a the latency, f and g the
    costs of forwarding and adding.
    """
    rounds = (nodes - 1).bit_length()
    start = 2 * hop_cycles + costs.forward + costs.add
    ring, doubling = (nodes - 1) * (start + 2 * flits / nodes), rounds * (start + 2 * flits)
    return "ring" if ring <= doubling else "doubling"


def shares(flits: int, nodes: int) -> list[tuple[int, int]]:
    """Return where each node's share of a vector begins, and its flits; as equal as may be.

    Parameters
    ----------
    flits, nodes : int
    """
    ends = [flits * n // nodes for n in range(nodes + 1)]
    return [(a, b - a) for a, b in pairwise(ends)]


class MessagePlan:
    """Collects the messages of collectives.

    Parameters
    ----------
    nodes : int
    costs : NodeCosts
    """

    def __init__(self, nodes: int, costs: NodeCosts) -> None:
        self.nodes, self.costs = nodes, costs
        self.steps: list[MessageStep] = []

    def send(
        self, source: int, destination: int, share: tuple[int, int], after: list[int], *, adds: bool, added: bool
    ) -> list[int]:
        """Add a message; return what its destination waits for: the step, or what was before it if it is empty.

        Parameters
        ----------
        source, destination : int
        share : tuple of int
            First flit, and flits.
        after : list of int
            Steps that must have ended.
        adds : bool
            The destination adds.
        added : bool
            The source has added what came with `after`.
        """
        if not share[1]:
            return after
        delay = self.costs.add if added else self.costs.forward
        step = MessageStep(source, destination, share[1], share[0], adds, after=tuple(after), delay=delay)
        self.steps.append(step)
        return [len(self.steps) - 1]

    def rounds(self, cut: list[tuple[int, int]], before: list[list[int]], first: int, *, adds: bool) -> list[list[int]]:
        """Let n - 1 rounds go along the ring of nodes; return what each node waits for at the end.

        Parameters
        ----------
        cut : list of tuple
            Shares of the nodes.
        before : list of list of int
            What each node waits for.
        first : int
            In round k node i sends the share of node i - k + first.
        adds : bool
        """
        n, standing = self.nodes, before
        for k in range(n - 1):
            sent = [
                self.send(
                    i,
                    (i + 1) % n,
                    cut[(i - k + first) % n],
                    standing[i],
                    adds=adds,
                    added=(k > 0) == adds and any(standing),
                )
                for i in range(n)
            ]
            standing = [sent[(i - 1) % n] for i in range(n)]
        return standing

    def binomial(self, root: int, flits: int, before: list[int], *, adds: bool, added: bool = False) -> list[int]:
        """Send a vector from the root to all by doubling, or sum it up at the root by halving.

        Parameters
        ----------
        root, flits : int
        before : list of int
            What a broadcast's root waits for.
        adds : bool
            Sum up.
        added : bool
            The root has added.
        """
        n, levels = self.nodes, (self.nodes - 1).bit_length()
        standing: list[list[int]] = [list(before) if i == 0 else [] for i in range(n)]
        for level in range(levels) if adds else reversed(range(levels)):
            for i in range(0, n, 2 << level):
                other = i + (1 << level)
                if other >= n:
                    continue
                low, high = (root + i) % n, (root + other) % n
                if adds:
                    standing[i] = standing[i] + self.send(
                        high, low, (0, flits), standing[other], adds=True, added=bool(standing[other])
                    )
                else:
                    was_added = added and i == 0
                    standing[other] = self.send(low, high, (0, flits), standing[i], adds=False, added=was_added)
        return standing[0]


def message_plan(
    kind: str, nodes: int, flits: int, algorithm: str, *, root: int = 0, costs: NodeCosts | None = None,
    sizes: list[list[int]] | None = None,
) -> list[MessageStep]:  # fmt: skip
    """Return the messages of a collective.

    Parameters
    ----------
    kind : str
        A key of `ALGORITHMS`.
    nodes, flits : int
        As for `nmpsim.noc.collective.plan.plan`.
    algorithm : str
        One of those of the kind.
    root : int
    costs : NodeCosts or None
        Those by default.
    sizes : list of list of int or None
        All-to-all: flits from each node to each; `flits` for all pairs by default.

    Raises
    ------
    WorkloadError
        If the kind has no such algorithm.
    """
    if algorithm not in ALGORITHMS[kind]:
        allowed = ", ".join(ALGORITHMS[kind])
        raise WorkloadError(
            "the collective cannot be run", [Fault("algorithm", algorithm, allowed, "choose one of these")]
        )
    plan = MessagePlan(nodes, costs or NodeCosts())
    if kind in {"broadcast", "reduce"} and algorithm == "direct":
        for k in range(1, nodes):
            other = (root + k) % nodes
            ends = (root, other) if kind == "broadcast" else (other, root)
            plan.send(*ends, (0, flits), [], adds=kind == "reduce", added=False)
    elif kind in {"broadcast", "reduce"}:
        plan.binomial(root, flits, [], adds=kind == "reduce")
    elif kind == "all-reduce" and algorithm == "doubling":
        summed = plan.binomial(root, flits, [], adds=True)
        plan.binomial(root, flits, summed, adds=False, added=True)
    elif kind == "all-to-all" or algorithm == "direct":
        _pairs(plan, kind, flits, sizes)
    else:
        cut = shares(flits, nodes) if kind == "all-reduce" else [(flits * n, flits) for n in range(nodes)]
        standing: list[list[int]] = [[] for _ in range(nodes)]
        if kind != "all-gather":
            standing = plan.rounds(cut, standing, -1, adds=True)
        if kind != "reduce-scatter":
            plan.rounds(cut, standing, 0, adds=False)
    return plan.steps


def pair_places(nodes: int, flits: int, sizes: list[list[int]] | None = None) -> list[list[tuple[int, int]]]:
    """Return where the message of an all-to-all from each node to each begins in the vector, and its flits.

    Parameters
    ----------
    nodes, flits : int
        Flits of every message, if there are no sizes.
    sizes : list of list of int or None
    """
    given = [[flits] * nodes for _ in range(nodes)] if sizes is None else sizes
    ends = list(accumulate((size for row in given for size in row), initial=0))
    return [[(ends[nodes * i + j], given[i][j]) for j in range(nodes)] for i in range(nodes)]


def _pairs(plan: MessagePlan, kind: str, flits: int, sizes: list[list[int]] | None) -> None:
    """Let every node send to every other, by turns up and down, the nearest first: both ways of a ring are used."""
    n = plan.nodes
    places = pair_places(n, flits, sizes) if kind == "all-to-all" else []
    for turn in range(2, n + 1):
        k = turn // 2 if turn % 2 == 0 else n - turn // 2
        for i in range(n):
            j = (i + k) % n
            place = places[i][j] if places else (flits * (i if kind == "all-gather" else j), flits)
            plan.send(i, j, place, [], adds=kind == "reduce-scatter", added=False)
