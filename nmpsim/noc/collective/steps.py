"""Steps of collectives: operations of trees and messages, each after others have ended, and their run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from nmpsim.errors import Fault, WorkloadError
from nmpsim.kernel import NEVER
from nmpsim.noc.router.build import Fabric, build_network
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.sources import TRACE
from nmpsim.noc.router.state import LOGGED, TRACED, TrafficParams, TrafficTables
from nmpsim.noc.router.tree_state import ALL_REDUCE, FOLLOWER, MULTICAST, OPERATION, TRACED_WAIT
from nmpsim.noc.router.trees import TreeSet
from nmpsim.noc.synthetic.traffic import MOST_FLITS, Traffic, seed_sources
from nmpsim.noc.topology import Topology


@dataclass(frozen=True)
class TreeStep:
    """One operation of a tree.

    Parameters
    ----------
    kind : int
        MULTICAST, REDUCE or ALL_REDUCE.
    tree : int
        Number of the tree.
    flits : int
        Of each contribution, and of the result.
    first : int
        Where these stand in the vector that every node holds.
    at : int
        Earliest start; cycle.
    after : tuple of int
        Steps that must have ended before.
    delay : int
        From the end of the last of these to the start; cycles.
    every : int
        Cycles per flit at which the packets of a multicast start, at the earliest.
    """

    kind: int
    tree: int
    flits: int
    first: int = 0
    at: int = 0
    after: tuple[int, ...] = ()
    delay: int = 1
    every: int = 1


@dataclass(frozen=True)
class MessageStep:
    """One message from node to node.

    Parameters
    ----------
    source, destination : int
        Nodes.
    flits : int
    first : int
        Where these stand in the vector that every node holds.
    adds : bool
        The destination adds them to its own; else it replaces its own.
    at, after, delay
        As for `TreeStep`.  The messages of one node leave in the order of the steps.
    """

    source: int
    destination: int
    flits: int
    first: int = 0
    adds: bool = False
    at: int = 0
    after: tuple[int, ...] = ()
    delay: int = 1


Step = TreeStep | MessageStep


@dataclass(frozen=True)
class Launched:
    """A network with steps to do.

    Parameters
    ----------
    fabric : Fabric
    traffic : Traffic
    trees : TreeSet
    steps : tuple of Step
    number : tuple of int
        Of each step: its operation or its message.
    """

    fabric: Fabric
    traffic: Traffic
    trees: TreeSet
    steps: tuple[Step, ...]
    number: tuple[int, ...]

    def times(self, step: int) -> tuple[int, int]:
        """Return when the first flit of a step was sent, and when its last one arrived.

        Parameters
        ----------
        step : int
        """
        number = self.number[step]
        if isinstance(self.steps[step], TreeStep):
            operation = self.fabric.state.operation[number]
            return int(operation.entered_at), int(operation.ended_at)
        logged = self.fabric.state.logged[number]
        return int(logged.entered_at), int(logged.arrived_at)


def _check(topology: Topology, trees: TreeSet, steps: Sequence[Step]) -> None:
    """Refuse steps that cannot be done."""
    faults = []
    for n, step in enumerate(steps):
        sound = 1 <= step.flits < MOST_FLITS and all(0 <= m < n for m in step.after) and 0 <= step.at < NEVER
        if isinstance(step, TreeStep):
            sound = sound and 0 <= step.tree < len(trees.trees)
            if sound:
                sound = len(trees.trees[step.tree].members) > 1 if step.kind == MULTICAST else trees.entries > 0
            allowed = f"one of {len(trees.trees)} trees, two members or more of a multicast, adders for a sum"
        else:
            sound = sound and 0 <= step.source < topology.nodes and 0 <= step.destination < topology.nodes
            allowed = f"nodes 0 to {topology.nodes - 1}"
        if not sound or step.delay < 0 or (isinstance(step, TreeStep) and step.every < 1):
            allowed = f"{allowed}, 1 to {MOST_FLITS - 1} flits, after steps before it, no time before 0"
            faults.append(Fault(f"step {n}", str(step), allowed, "correct it"))
    if faults:
        raise WorkloadError("the collective cannot be run", faults)


def launch(
    topology: Topology,
    settings: RouterSettings,
    trees: TreeSet,
    steps: Sequence[Step],
    *,
    seed: int = 0,
    packet_flits: int | None = None,
) -> Launched:
    """Return a new network that has steps to do; `nmpsim.noc.synthetic.run.finish` does them.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    trees : TreeSet
    steps : sequence of Step
    seed : int
        For choices on the way.
    packet_flits : int or None
        Of a multicast packet, at most; as many as a buffer has places by default.

    Raises
    ------
    SpecError
        If the network cannot be built.
    WorkloadError
        With every step that cannot be done.
    """
    packet = settings.buffer_flits if packet_flits is None else packet_flits
    _check(topology, trees, steps)
    if not 1 <= packet <= settings.buffer_flits:
        allowed = f"1 to {settings.buffer_flits}, the places of a buffer: a packet that is copied must fit into one"
        raise WorkloadError("the collective cannot be run", [Fault("packet_flits", str(packet), allowed, "change it")])
    fabric = build_network(topology, settings, trees=trees)
    seed_sources(fabric, seed)
    kinds = [isinstance(step, TreeStep) for step in steps]
    operations, messages = kinds.count(True), kinds.count(False)
    counters = {True: count(), False: count()}
    number = tuple(next(counters[kind]) for kind in kinds)
    state = fabric.state._replace(
        operation=OPERATION.zeros(operations),
        traced_wait=TRACED_WAIT.zeros(messages),
        logged=LOGGED.zeros(messages),
        follower=FOLLOWER.zeros(sum(len(set(step.after)) for step in steps)),
        arrived=np.zeros(topology.nodes + operations + 1, np.int64),
    )
    fabric = fabric._replace(state=state)
    state.logged.arrived_at = -1
    adders = 0
    queues: dict[int, list[int]] = defaultdict(list)
    for n, step in enumerate(steps):
        record = state.operation[number[n]] if kinds[n] else state.traced_wait[number[n]]
        record.waits, record.delay = len(set(step.after)), step.delay
        record.at = step.at if not step.after else NEVER
        if isinstance(step, TreeStep):
            tree = trees.trees[step.tree]
            record.kind, record.tree, record.flits, record.packet_flits = step.kind, step.tree, step.flits, packet
            record.every = step.every
            takers = {MULTICAST: len(tree.members) - 1, ALL_REDUCE: len(tree.members)}.get(step.kind, 1)
            record.left = takers * step.flits
            record.lane = record.admitted_at = record.entered_at = record.ended_at = -1
            adders += step.flits * (takers + (0 if step.kind == MULTICAST else 1 + len(tree.edges)))
            if step.kind == MULTICAST:
                queues[tree.root].append(number[n])
    _write_followers(steps, kinds, number, fabric)
    queue: list[int] = []
    for root, waiting in sorted(queues.items()):
        state.member[root].next, state.member[root].end = len(queue), len(queue) + len(waiting)
        queue += waiting
    state.tree_totals.open = operations
    state = state._replace(multicast_queue=np.array(queue, np.int64), tree_log=np.zeros((adders, 4), np.int64))
    fabric = fabric._replace(state=state)
    return Launched(fabric, _trace(steps, number, fabric), trees, tuple(steps), number)


def _write_followers(steps: Sequence[Step], kinds: list[bool], number: tuple[int, ...], fabric: Fabric) -> None:
    """Write which steps wait for which."""
    followers: dict[int, list[int]] = defaultdict(list)
    for n, step in enumerate(steps):
        for before in sorted(set(step.after)):
            followers[before].append(n)
    row = 0
    for before in range(len(steps)):
        record = (fabric.state.operation if kinds[before] else fabric.state.traced_wait)[number[before]]
        record.following, record.followers = row, len(followers[before])
        for n in followers[before]:
            follower = fabric.state.follower[row]
            follower.operation, follower.message = (number[n], -1) if kinds[n] else (-1, number[n])
            row += 1


def _trace(steps: Sequence[Step], number: tuple[int, ...], fabric: Fabric) -> Traffic:
    """Give the sources their messages."""
    state = fabric.state
    chosen = [(n, step) for n, step in enumerate(steps) if isinstance(step, MessageStep)]
    chosen.sort(key=lambda item: (item[1].source, item[0]))
    rows = TRACED.zeros(max(1, len(chosen)))
    for row, (n, step) in enumerate(chosen):
        traced, waiting, source = rows[row], state.traced_wait[number[n]], state.source[step.source]
        traced.at, traced.destination, traced.flits, traced.serial = waiting.at, step.destination, step.flits, number[n]
        waiting.row, waiting.node = row, step.source
        if source.left == 0:
            source.at, source.next_at = row, waiting.at
        source.left += 1
    state.totals.remaining = len(chosen)
    nothing = np.zeros(1, np.int64)
    tables = TrafficTables(gap=nothing, destination=np.zeros(0, np.int64), spot=np.zeros((0, 2), np.int64), trace=rows)
    return Traffic(TrafficParams(kind=TRACE, flits=1, gap_bits=0, spots=0), tables)
