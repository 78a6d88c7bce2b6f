"""Run a bare network: messages in, times out.  Also the closed forms that a run is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import DeadlockError, Fault, LimitReached, WorkloadError
from nmpsim.kernel import NEVER
from nmpsim.noc.check import check_drained, raise_faults
from nmpsim.noc.endpoint import (
    DEADLOCK,
    ENDPOINT,
    LIMIT,
    MESSAGE,
    NONE,
    PASSAGE,
    TOTAL,
    Pace,
    Traffic,
    run_traffic,
)
from nmpsim.noc.state import REASONS, NocState, make_state
from nmpsim.spec.params import NocParams

CLOCKWISE, COUNTER_CLOCKWISE = 0, 1
"""Directions of the ring."""

ONE_FLIT = Pace(port_flits=1, eject_interval=1)
"""A flit each way per core cycle and direction, as the send units and receivers of a core move."""


def shortest_direction(nodes: int, source: int, destination: int) -> int:
    """Return the direction with fewer hops; clockwise if both have the same.

    Parameters
    ----------
    nodes : int
        Routers of the ring.
    source, destination : int
        Nodes.
    """
    clockwise = (destination - source) % nodes
    return CLOCKWISE if clockwise <= nodes - clockwise else COUNTER_CLOCKWISE


def hops_between(nodes: int, source: int, destination: int, direction: int) -> int:
    """Return the links that a message crosses.

    Parameters
    ----------
    nodes : int
        Routers of the ring.
    source, destination : int
        Nodes.
    direction : int
        0 clockwise, 1 counter-clockwise.
    """
    return (destination - source if direction == CLOCKWISE else source - destination) % nodes


def zero_load_at(params: NocParams, periods: tuple[int, int], inject_at: int, hops: int) -> int:
    """Return the ``ready_at`` in the ejection queue of a flit that meets no other; ticks.

    The flit leaves its first router at `inject_at` and its last one ``hops * (nROUTER + nLINK)`` network cycles later;
    the core sees it nSYNC core edges after that.

    Parameters
    ----------
    params : NocParams
    periods : (int, int)
        Core and NoC periods; ticks.
    inject_at : int
        ``ready_at`` of the flit in the injection queue; ticks.
    hops : int
        Links on its way, >= 1.

    Source
    ------
    Derivation in docs/seams/network.md, "Zero load".

    Examples
    --------
    Two hops of three cycles each, a core clock of 10 ticks and a network clock of 8:

    >>> ring = NocParams(4, 128, 2, 8, 2, 1, 1, 2, 32, 32)
    >>> zero_load_at(ring, (10, 8), 16, 2)
    80
    """
    core_period, noc_period = periods
    left_at = inject_at + hops * (params.nROUTER + params.nLINK) * noc_period
    return (left_at // core_period + params.nSYNC) * core_period


def full_rate_buffer(params: NocParams) -> int:
    """Return the least depth of a virtual channel that lets one packet stream at one flit per cycle; flits.

    A place is taken when its flit is sent and can be used again nLINK + nROUTER + nCREDIT cycles later.

    Parameters
    ----------
    params : NocParams
    """
    return params.nLINK + params.nROUTER + params.nCREDIT


def full_rate_queues(params: NocParams, periods: tuple[int, int]) -> tuple[int, int]:
    """Return depths of the injection and ejection queue that never slow a stream; flits.

    A place of the injection queue is away for nSYNC + nCREDIT network cycles, and until the next core edge; one of the
    ejection queue for nSYNC core cycles and nCREDIT + 1 network cycles.  One flit passes per period of the slower
    clock.

    Parameters
    ----------
    params : NocParams
    periods : (int, int)
        Core and NoC periods; ticks.
    """
    core_period, noc_period = periods
    slower = max(periods)
    inject = (params.nSYNC + params.nCREDIT) * noc_period + core_period - 1
    eject = params.nSYNC * core_period + (params.nCREDIT + 1) * noc_period
    return -(-inject // slower), -(-eject // slower)


@dataclass(frozen=True)
class TrafficRun:
    """What a network has done with its messages.

    Parameters
    ----------
    delivered : ndarray of int64, shape (message,)
        Tick at which the tail of each message was taken, in the order of the messages given.
    message, passage : array of MESSAGE, array of PASSAGE
        What the endpoints saw of each message and of each flit.
    network : NocState
        The network at the end: counters, stamps, stall table (ticks).
    now : int
        Tick last stepped.
    visits : int
        Visits of routers and endpoints.
    """

    delivered: NDArray[np.int64]
    message: Any
    passage: Any
    network: NocState
    now: int
    visits: int

    def stalls(self) -> dict[str, int]:
        """Ticks that all output links together spent on each reason."""
        return dict(zip(REASONS, self.network.stall.sum(axis=(0, 1)).tolist(), strict=True))

    def counters(self) -> dict[str, int]:
        """Flits injected and ejected, and the links that they crossed."""
        node, link = self.network.node, self.network.link
        return {
            "injected": int(node.injected.sum()),
            "ejected": int(node.ejected.sum()),
            "flit_hops": int(link.flits.sum()),
        }


def message_faults(params: NocParams, messages: Sequence[tuple[int, int, int, int]]) -> list[Fault]:
    """Return what is wrong with a list of messages.

    Parameters
    ----------
    params : NocParams
    messages : sequence of (int, int, int, int)
        Tick, source, destination, flits.
    """
    faults = []
    for number, (tick, source, destination, flits) in enumerate(messages):
        where = f"message {number}"
        if tick < 0:
            faults.append(Fault(where, f"tick {tick}", "0 or more", "give the tick at which it may start"))
        for name, node in (("source", source), ("destination", destination)):
            if not 0 <= node < params.nodes:
                faults.append(Fault(where, f"{name} {node}", f"0 to {params.nodes - 1}", "name a node of the ring"))
        if source == destination:
            faults.append(Fault(where, f"node {source} to itself", "two nodes", "leave it out: nothing is to be moved"))
        if flits < 1:
            faults.append(Fault(where, f"{flits} flits", "1 or more", "give the length of the message in flits"))
    return faults


def _post(params: NocParams, messages: Sequence[tuple[int, int, int, int]]) -> Traffic:
    """Endpoints before the first tick, with every message queued at its source."""
    traffic = Traffic(
        message=MESSAGE.zeros(len(messages)),
        endpoint=ENDPOINT.zeros(params.nodes, 2),
        passage=PASSAGE.zeros(sum(flits for *_, flits in messages)),
        total=TOTAL.zeros(1),
        wake=np.zeros(params.nodes, np.int64),
    )
    traffic.endpoint.message = NONE
    traffic.message.next = NONE
    traffic.message.done_at = NEVER
    first = 0
    last: dict[tuple[int, int], int] = {}
    for number, (_, source, destination, flits) in enumerate(messages):
        message = traffic.message[number]
        message.source, message.destination, message.flits, message.first = source, destination, flits, first
        message.direction = shortest_direction(params.nodes, source, destination)
        first += flits
    for number in sorted(range(len(messages)), key=lambda i: messages[i][0]):
        message = traffic.message[number]
        message.at = messages[number][0]
        queue = int(message.source), int(message.direction)
        if queue in last:
            traffic.message[last[queue]].next = number
        else:
            traffic.endpoint[queue].message = number
        last[queue] = number
    traffic.total[0].left = first
    return traffic


def _patience(params: NocParams, periods: tuple[int, int], pace: Pace) -> int:
    """Most ticks in which a network that holds flits moves none: one stamp of each kind, one turn of every input."""
    cycles = params.nSYNC + params.nROUTER + params.nLINK + params.nCREDIT + params.vcs + 4
    return cycles * max(periods) * pace.eject_interval


def run_messages(
    params: NocParams,
    messages: Sequence[tuple[int, int, int, int]],
    *,
    periods: tuple[int, int] = (1, 1),
    pace: Pace = ONE_FLIT,
    plain: bool = False,
    order: Sequence[int] | None = None,
    limit: int | None = None,
) -> TrafficRun:
    """Return the times at which a network delivers messages, each on its shortest way (ties clockwise).

    Parameters
    ----------
    params : NocParams
        The network.
    messages : sequence of (int, int, int, int)
        Tick from which on it may start, source, destination, flits.  Messages of the same source and direction
        start in the order of their ticks.
    periods : (int, int)
        Core and NoC periods; ticks.
    pace : Pace
        How many flits the endpoints move per core cycle, and how often they take arrivals.
    plain : bool
        Visit everything on every edge, instead of what can act.
    order : sequence of int, optional
        Order of visits within a tick, a permutation of ``2 * nodes`` numbers: routers, then endpoints.
    limit : int, optional
        Ticks after which to give up; by default more than any network without deadlock can need.

    Raises
    ------
    WorkloadError
        If a message does not fit the network.
    DeadlockError
        If flits are left that can never move.
    LimitReached
        If the limit was reached.
    SimulationError
        If a router found a fault.
    InternalError
        If a flit or credit was lost.

    Examples
    --------
    >>> ring = NocParams(4, 128, 2, 8, 2, 1, 1, 2, 32, 32)
    >>> run_messages(ring, [(0, 0, 1, 4), (0, 3, 0, 1)]).delivered
    array([10,  7])
    """
    faults = message_faults(params, messages)
    if faults:
        raise WorkloadError(f"{len(faults)} messages do not fit a ring of {params.nodes} nodes", faults)
    network = make_state(params)
    traffic = _post(params, messages)
    if limit is None:
        moves = int(traffic.total[0].left) * (params.nodes + 2)
        start = max((tick for tick, *_ in messages), default=0)
        limit = start + (moves + 1) * _patience(params, periods, pace)
    visiting = np.arange(2 * params.nodes) if order is None else np.array(order, np.int64)
    status = run_traffic(limit, int(plain), params, periods, pace, visiting, network, traffic)
    total = traffic.total[0]
    raise_faults(network)
    if status == DEADLOCK:
        raise DeadlockError(f"tick {total.now}: {total.left} flits can never be delivered")
    if status == LIMIT:
        raise LimitReached(f"tick {total.now}: {total.left} flits not delivered within {limit} ticks")
    check_drained(network)
    delivered = np.array(traffic.message["done_at"], np.int64)
    return TrafficRun(delivered, traffic.message, traffic.passage, network, int(total.now), int(total.visits))
