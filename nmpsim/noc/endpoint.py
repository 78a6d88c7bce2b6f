"""Traffic endpoints of a bare network: they write the flits of given messages and take what arrives.

An endpoint stands where a core would: on each edge of the core clock it writes at most `port_flits` flits into each
injection queue and takes at most `port_flits` flits from each ejection queue, by the rules of docs/seams/network.md.
Messages of one source and direction are written one after another, in the order of their numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import NEVER, Record, inlined, kernel
from nmpsim.link.network_port import blank_flit, flit_at, flit_space_at, head_flit, take_flit, write_flit
from nmpsim.noc.ring import settle_links, step_router

NONE = -1
"""No message is left to write."""

RUNNING, DONE, DEADLOCK, LIMIT = range(4)
"""How a run has ended."""

MESSAGE = Record(
    "MESSAGE",
    ("at", "tick", "first tick at which its head may be written"),
    ("source", "node", "writer"),
    ("destination", "node", "taker"),
    ("flits", "flit", "length"),
    ("direction", "", "0 clockwise, 1 counter-clockwise"),
    ("first", "", "row of its head in the passages"),
    ("next", "", "next message of the same source and direction, NONE if it is the last"),
    ("done_at", "tick", "tick at which its tail was taken, NEVER before"),
)

ENDPOINT = Record(
    "ENDPOINT",
    ("message", "", "message being written, NONE if none is left"),
    ("sequence", "flit", "number of the next flit of it"),
    ("taken", "flit", "flits taken from the ejection queue of this direction"),
)

PASSAGE = Record(
    "PASSAGE",
    ("written_at", "tick", "tick at which the flit was written"),
    ("inject_at", "tick", "its ready_at in the injection queue"),
    ("eject_at", "tick", "its ready_at in the ejection queue"),
    ("taken_at", "tick", "tick at which it was taken"),
    ("rank", "flit", "number of flits taken from the same queue before it"),
    ("times", "", "how often it was taken: 1"),
)

TOTAL = Record(
    "TOTAL",
    ("left", "flit", "flits not yet taken"),
    ("now", "tick", "tick last stepped"),
    ("visits", "", "visits of routers and endpoints"),
)


class Traffic(NamedTuple):
    """The endpoints of all nodes and what they have seen."""

    message: Any  # MESSAGE [message]
    endpoint: Any  # ENDPOINT [node, direction]
    passage: Any  # PASSAGE [flit]
    total: Any  # TOTAL [1]
    wake: NDArray[np.int64]  # [node]: ticks


class Pace(NamedTuple):
    """How fast an endpoint works."""

    port_flits: int  # flits written, and flits taken, per core cycle and direction
    eject_interval: int  # core cycles from one look at the ejection queues to the next


@inlined
def edge_from(at, period):
    """Return the first multiple of `period` at or after `at`; NEVER stays NEVER."""
    if at >= NEVER:
        return NEVER
    return -(-at // period) * period


@inlined
def write_messages(node, d, now, params, periods, pace, net, traffic):
    """Write flits into one injection queue; return the tick to look again."""
    core_period, noc_period = periods
    endpoint = traffic.endpoint[node, d]
    queue, flits = net.inject[node, d], net.inject_flit[node, d]
    for _ in range(pace.port_flits):
        if endpoint.message == NONE:
            return NEVER
        message = traffic.message[endpoint.message]
        at = max(message.at, flit_space_at(queue, flits))
        if at > now:
            return edge_from(at, core_period)
        flit = blank_flit(queue, flits)
        flit.source = node
        flit.destination = message.destination
        flit.message = endpoint.message
        flit.sequence = endpoint.sequence
        flit.last = 1 if endpoint.sequence == message.flits - 1 else 0
        flit.signal = 0
        flit.address = endpoint.sequence * params.flit_bytes
        flit.bytes = params.flit_bytes
        ready_at = (now // noc_period + params.nSYNC) * noc_period
        passage = traffic.passage[message.first + endpoint.sequence]
        passage.written_at = now
        passage.inject_at = ready_at
        write_flit(queue, flits, ready_at)
        net.wake[node] = min(net.wake[node], ready_at)
        endpoint.sequence += 1
        if flit.last == 1:
            endpoint.message = message.next
            endpoint.sequence = 0
    if endpoint.message == NONE:
        return NEVER
    return now + core_period


@inlined
def take_arrivals(node, d, now, params, periods, pace, net, traffic):
    """Take flits from one ejection queue; return the tick to look again."""
    core_period, noc_period = periods
    endpoint = traffic.endpoint[node, d]
    queue, flits = net.eject[node, d], net.eject_flit[node, d]
    interval = core_period * pace.eject_interval
    if now % interval == 0:
        for _ in range(pace.port_flits):
            if flit_at(queue, flits) > now:
                break
            flit = head_flit(queue, flits)
            message = traffic.message[flit.message]
            passage = traffic.passage[message.first + flit.sequence]
            passage.eject_at = flit.ready_at
            passage.taken_at = now
            passage.rank = endpoint.taken
            passage.times += 1
            endpoint.taken += 1
            traffic.total[0].left -= 1
            if flit.last == 1:
                message.done_at = now
            free_at = (now // noc_period + params.nCREDIT + 1) * noc_period
            take_flit(queue, flits, free_at)
            net.wake[node] = min(net.wake[node], free_at)
    return edge_from(max(flit_at(queue, flits), now + 1), interval)


@inlined
def step_endpoint(node, now, params, periods, pace, net, traffic):
    """Step the endpoint of a node at an edge of the core clock; return its wake."""
    wake = NEVER
    for d in range(2):
        wake = min(wake, write_messages(node, d, now, params, periods, pace, net, traffic))
        wake = min(wake, take_arrivals(node, d, now, params, periods, pace, net, traffic))
    return wake


@inlined
def lower_to_stamps(node, core_period, pace, net, traffic):
    """Lower the wake of an endpoint to what its router has just stamped: ejected flits and freed injection slots."""
    at = edge_from(net.node[node].eject_at, core_period * pace.eject_interval)
    at = min(at, edge_from(net.node[node].credit_at, core_period))
    traffic.wake[node] = min(traffic.wake[node], at)


@kernel
def run_traffic(limit, plain, params, periods, pace, order, net, traffic):
    """Run a network with its endpoints until every flit was taken; return how that ended.

    Parameters
    ----------
    limit : int
        First tick that is not stepped.
    plain : int
        1: visit all on every edge of their clocks; 0: only those whose wake has come.
    params : NocParams
    periods : (int, int)
        Core and NoC periods; ticks.
    pace : Pace
    order : ndarray of int64, shape (2 * nodes,)
        Order of visits within a tick: routers are 0 ... nodes - 1, endpoints nodes ... 2 * nodes - 1.
    net : NocState
        Changed.
    traffic : Traffic
        Changed.

    Returns
    -------
    int
        DONE, DEADLOCK or LIMIT; ``traffic.total[0].now`` is the tick last stepped.
    """
    core_period, noc_period = periods
    total = traffic.total[0]
    nodes = params.nodes
    status = DONE if total.left == 0 else RUNNING
    now = 0
    while status == RUNNING:
        total.now = now
        for i in order:
            if i < nodes and now % noc_period == 0 and (plain or net.wake[i] <= now):
                total.visits += 1
                net.wake[i] = step_router(i, now, plain, params, noc_period, core_period, net)
                lower_to_stamps(i, core_period, pace, net, traffic)
            node = i - nodes
            if node >= 0 and now % core_period == 0 and (plain or traffic.wake[node] <= now):
                total.visits += 1
                traffic.wake[node] = step_endpoint(node, now, params, periods, pace, net, traffic)
        ahead = NEVER
        for node in range(nodes):
            ahead = min(ahead, edge_from(net.wake[node], noc_period))
            ahead = min(ahead, edge_from(traffic.wake[node], core_period))
        if total.left == 0:
            status = DONE
        elif ahead == NEVER:
            status = DEADLOCK
        elif plain:
            ahead = min(edge_from(now + 1, core_period), edge_from(now + 1, noc_period))
        now = ahead
        if status == RUNNING and now >= limit:
            status = LIMIT
    settle_links(total.now + 1, net)
    return status
