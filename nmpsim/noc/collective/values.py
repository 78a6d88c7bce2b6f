"""What the nodes hold when a collective has ended: the values that its flits carried, one for each flit.

A flit carries the number of its operation and its own within it.  Every adder and every node keeps a log of the flits
that it took, in the order in which it took them; here the values follow that log, in NumPy's arithmetic of their own
type. An adder adds in the order of its ports; a node adds what comes to its own, message by message.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.noc.collective.steps import Launched, MessageStep, TreeStep
from nmpsim.noc.router.tree_state import MULTICAST, REDUCE
from nmpsim.noc.router.trees import Tree
from nmpsim.noc.topology import Topology


def addends(topology: Topology, tree: Tree) -> dict[int, tuple[int, ...]]:
    """Return what each router of a tree adds, in order: routers, and nodes as -1 less their number.

    Parameters
    ----------
    topology : Topology
    tree : Tree
    """
    back = {(c.source, c.sink): c.in_port for c in topology.channels}
    found: dict[int, list[tuple[int, int]]] = {}
    for edge in tree.edges:
        channel = topology.channels[edge.channel]
        found.setdefault(channel.source, []).append((back[channel.sink, channel.source], channel.sink))
    for member in tree.members:
        terminal = topology.terminals[member]
        found.setdefault(terminal.router, []).append((terminal.in_port, -1 - member))
    return {router: tuple(what for _, what in sorted(inputs)) for router, inputs in found.items()}


class Ledger:
    """Values on their way.

    Parameters
    ----------
    launched : Launched
        Done.
    given : ndarray, shape (nodes, flits)
        What every node holds at the start.
    """

    def __init__(self, launched: Launched, given: NDArray[Any]) -> None:
        self.launched, self.given, self.held = launched, given, given.copy()
        self.operation = [n for n, step in enumerate(launched.steps) if isinstance(step, TreeStep)]
        self.sums: dict[tuple[int, int, int], Any] = {}
        self.taken: set[tuple[int, int, int]] = set()
        self.orders = [addends(launched.fabric.topology, tree) for tree in launched.trees.trees]

    def step_of(self, number: int) -> TreeStep:
        """Return the step of an operation.

        Parameters
        ----------
        number : int
        """
        step = self.launched.steps[self.operation[number]]
        assert isinstance(step, TreeStep)
        return step

    def add(self, number: int, router: int, index: int) -> None:
        """Let a router add flit `index` of an operation.

        Parameters
        ----------
        number, router, index : int

        Raises
        ------
        InternalError
            If a flit was added that had not come, or twice.
        """
        step = self.step_of(number)
        place = step.first + index
        total: Any = None
        for what in self.orders[step.tree][router]:
            if what < 0:
                value = self.given[-1 - what, place]
            elif (number, what, index) in self.sums:
                value = self.sums.pop((number, what, index))
            else:
                raise InternalError(
                    f"router {router} added flit {index} of operation {number}, which {what} never sent"
                )
            total = value if total is None else total + value
        if (number, router, index) in self.taken:
            raise InternalError(f"router {router} added flit {index} of operation {number} twice")
        self.taken.add((number, router, index))
        self.sums[number, router, index] = total

    def take(self, number: int, node: int, index: int) -> None:
        """Let a node take flit `index` of the result of an operation.

        Parameters
        ----------
        number, node, index : int

        Raises
        ------
        InternalError
            If it takes it twice.
        """
        step = self.step_of(number)
        root = self.launched.trees.trees[step.tree].root
        if (number, -1 - node, index) in self.taken:
            raise InternalError(f"node {node} took flit {index} of operation {number} twice")
        self.taken.add((number, -1 - node, index))
        if step.kind == MULTICAST:
            value = self.held[root, step.first + index]
        else:
            value = self.sums[number, self.launched.fabric.topology.terminals[root].router, index]
        self.held[node, step.first + index] = value


def result(launched: Launched, given: NDArray[Any]) -> NDArray[Any]:
    """Return what every node holds at the end.

    Parameters
    ----------
    launched : Launched
        Done.
    given : ndarray, shape (nodes, flits)
        What every node holds at the start, one value for each flit, of any type that adds.

    Returns
    -------
    ndarray, shape (nodes, flits)

    Raises
    ------
    InternalError
        If a flit of a result did not come, or came twice.
    """
    state = launched.fabric.state
    ledger = Ledger(launched, given)
    happened: list[tuple[int, int, int, tuple[int, ...]]] = []
    for n, (number, place, index, at) in enumerate(state.tree_log[: int(state.tree_totals[0].events)].tolist()):
        happened.append((at, 1, n, (number, place, index)))
    for n, step in enumerate(launched.steps):
        if isinstance(step, MessageStep):
            entered, arrived = launched.times(n)
            happened += [(entered, 2, n, (n,)), (arrived, 0, n, (n,))]
    payload: dict[int, NDArray[Any]] = {}
    for _, what, _, fields in sorted(happened):
        if what == 1:
            number, place, index = fields
            (ledger.add if place >= 0 else ledger.take)(number, place if place >= 0 else -1 - place, index)
            continue
        message = launched.steps[fields[0]]
        assert isinstance(message, MessageStep)
        here = slice(message.first, message.first + message.flits)
        if what == 2:
            payload[fields[0]] = ledger.held[message.source, here].copy()
        elif message.adds:
            ledger.held[message.destination, here] += payload.pop(fields[0])
        else:
            ledger.held[message.destination, here] = payload.pop(fields[0])
    _check_complete(launched, ledger)
    return ledger.held


def _check_complete(launched: Launched, ledger: Ledger) -> None:
    """Check that every flit of every result has come."""
    for number, n in enumerate(ledger.operation):
        step = launched.steps[n]
        assert isinstance(step, TreeStep)
        tree = launched.trees.trees[step.tree]
        takers = {REDUCE: {tree.root}, MULTICAST: set(tree.members) - {tree.root}}.get(step.kind, set(tree.members))
        missing = {(number, -1 - node, i) for node in takers for i in range(step.flits)} - ledger.taken
        if missing:
            raise InternalError(f"{len(missing)} flits of operation {number} did not come")
