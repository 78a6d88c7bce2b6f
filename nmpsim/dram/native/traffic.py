r"""Traffic for native channels without a core: requests in, command trace and completion times out.

    requests of a channel, in order --> run queues --> banks --> landing FIFOs --> ideal eaters
                                    \-> write FIFOs (data comes with the request)

Every channel takes its requests in order: in a cycle at most `per_cycle` of those whose time has come, up to the first
one whose run queue (or write FIFO) has no room.  A request accepted at cycle t is seen by its bank at t + 1.  The eater
of a bank takes every beat at its ``ready_at`` and returns the credit nCREDIT later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.native.account import settle
from nmpsim.dram.native.budget import grant_activations
from nmpsim.dram.native.channel import step_channel
from nmpsim.dram.native.state import (
    LOG_ENTRY,
    DramState,
    check_balance,
    command_log,
    make_state,
    raise_faults,
)
from nmpsim.errors import InternalError
from nmpsim.kernel import NEVER, Record, inlined, interrupts_held, kernel
from nmpsim.link.fifo import credit_at, head_at, pop, push
from nmpsim.link.memory_port import blank_run, post_run, run_space_at
from nmpsim.spec.params import DramParams

REQUEST = Record(
    "REQUEST",
    ("at", "cycle", "first cycle at which the request may be accepted"),
    ("bank", "bank", "bank in the channel"),
    ("first_row", "row", "row of the first row access"),
    ("rows", "row", "row accesses, of adjacent rows"),
    ("first_column", "column", "first column of every row access"),
    ("columns", "column", "columns of every row access"),
    ("is_write", "", "1: write"),
    ("accepted_at", "cycle", "result: cycle in which it was accepted"),
    ("done_at", "cycle", "result: last beat in the landing FIFO, or one cycle after the last WR"),
)

SOURCE = Record(
    "SOURCE",
    ("count", "request", "requests of the channel"),
    ("head", "request", "requests accepted"),
    ("left", "beat", "read beats not yet taken and accepted writes not yet known to be done"),
    ("last_at", "tick", "latest completion"),
)

RUNNING, LOG_FULL, FINISHED = range(3)


class Traffic(NamedTuple):
    """Requests and progress of all channels."""

    request: Any  # REQUEST [channel, request]
    source: Any  # SOURCE [channel]
    wake: NDArray[np.int64]  # [channel]; ticks
    clock: NDArray[np.int64]  # [now, visits]


@inlined
def room_at(state, c, request, period):
    """Return the tick at which the request can be accepted as far as its queues are concerned; NEVER if unknown."""
    b = request.bank
    at = run_space_at(state.queue[c, b], state.run[c, b])
    if request.is_write:
        at = max(at, credit_at(state.write_fifo[c, b], state.write_slot[c, b], request.rows * request.columns))
    return max(at, request.at * period)


@inlined
def accept(state, c, number, request, now, period):
    """Post a request to its bank: the run, and for a write its data (changes queues and tokens)."""
    b = request.bank
    runs = state.run[c, b]
    queue = state.queue[c, b]
    run = blank_run(queue, runs)
    run.first_row = request.first_row
    run.rows = request.rows
    run.row_stride = 1
    run.first_column = request.first_column
    run.columns = request.columns
    run.is_write = request.is_write
    run.target = 0
    run.target_stride = 0
    run.token = number
    post_run(queue, runs, now + period)
    beats = request.rows * request.columns
    state.token[c, number].left = beats
    if request.is_write:
        fifo = state.write_fifo[c, b]
        fifo.reserved += beats
        for _ in range(beats):
            push(fifo, state.write_slot[c, b], now + period, 0, 0)
    request.accepted_at = now // period


@inlined
def inject(c, now, per_cycle, period, state, traffic):
    """Accept what may be accepted now; return the tick of the next attempt, NEVER if only a bank can make room."""
    source = traffic.source[c]
    for _ in range(per_cycle):
        if source.head == source.count:
            return NEVER
        request = traffic.request[c, source.head]
        at = room_at(state, c, request, period)
        if at > now:
            return at
        accept(state, c, source.head, request, now, period)
        source.head += 1
        source.left += 1
        traffic.wake[c] = min(traffic.wake[c], now + period)
    return now + period


@inlined
def eat(c, now, plain, params, period, state, traffic):
    """Take the beats that are ready, or (``plain == 0``) all stamped ones ahead; return the tick of the next one."""
    source = traffic.source[c]
    later = NEVER
    for b in range(params.banks):
        fifo = state.fifo[c, b]
        slots = state.slot[c, b]
        while True:
            at = head_at(fifo, slots)
            if at >= NEVER or (plain and at > now):
                later = min(later, at)
                break
            number = slots[fifo.head % len(slots)].token
            free_at = at + params.nCREDIT * period
            pop(fifo, slots, free_at)
            traffic.wake[c] = min(traffic.wake[c], max(free_at, now + period))
            token = state.token[c, number]
            token.left -= 1
            if token.left == 0:
                traffic.request[c, number].done_at = at // period
                source.left -= 1
                source.last_at = max(source.last_at, at)
    return later


@inlined
def finish_writes(c, done_from, period, state, traffic):
    """Note completed writes among the accepted requests from `done_from` on; return the first that is not done."""
    source = traffic.source[c]
    first = done_from
    for number in range(done_from, source.head):
        request = traffic.request[c, number]
        token = state.token[c, number]
        if request.is_write and request.done_at == 0 and token.left == 0:
            request.done_at = token.done_at // period
            source.left -= 1
            source.last_at = max(source.last_at, token.done_at)
        if number == first and request.done_at > 0:
            first = number + 1
    return first


@inlined
def log_full(state, margin):
    """Return whether a channel's log might not hold what one more visit issues."""
    if state.log.shape[1] == 0:
        return False
    for c in range(len(state.channel)):
        if state.channel[c].logged + margin > state.log.shape[1]:
            return True
    return False


@kernel
def run_traffic(plain, per_cycle, margin, params, period, latency, state, traffic, undone):
    """Run all channels until every request is done, or until a log is full; return why it stopped.

    Parameters
    ----------
    plain : int
        1: visit every channel on every clock edge; 0: when its wake has come.
    per_cycle : int
        Most requests that a channel accepts in a cycle.
    margin : int
        Log entries that one visit of a channel may need.
    params : DramParams
    period : int
        DRAM clock period; ticks.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations of two commands of one bank, -1 = none; DRAM cycles.
    state : DramState
        Changed.
    traffic : Traffic
        Changed.
    undone : ndarray of int64, shape (channel,)
        First request of each channel that is not done; changed.

    Timing
    ------
    Order in a cycle: acceptance, banks, activation arbiter, eaters.  Skip mode visits a channel when its wake or its
    next acceptance has come.
    """
    channels = len(traffic.source)
    while True:
        if log_full(state, margin):
            return LOG_FULL
        now = traffic.clock[0]
        later = NEVER
        busy = False
        last_at = 0
        for c in range(channels):
            later = min(later, inject(c, now, per_cycle, period, state, traffic))
            if plain or traffic.wake[c] <= now:
                traffic.clock[1] += 1
                traffic.wake[c] = step_channel(c, now, plain, params, period, latency, state)
        grant_activations(now, params, period, latency, state, traffic.wake)
        for c in range(channels):
            later = min(later, eat(c, now, plain, params, period, state, traffic))
            undone[c] = finish_writes(c, undone[c], period, state, traffic)
            source = traffic.source[c]
            last_at = max(last_at, source.last_at)
            if source.left > 0 or source.head < source.count:
                busy = True
            if source.head < source.count:
                later = min(later, max(room_at(state, c, traffic.request[c, source.head], period), now + period))
            later = min(later, traffic.wake[c])
        if busy and later >= NEVER:
            return RUNNING  # nothing can happen any more
        following = now + period if plain else max(later, now + period)
        if not busy and following > last_at:  # beats eaten ahead end later; refreshes may fall before them
            return FINISHED
        traffic.clock[0] = following


@dataclass(frozen=True)
class NativeRun:
    """What came out of a run.

    Parameters
    ----------
    requests : list of array of REQUEST
        Per channel, in order, with `accepted_at` and `done_at`.
    commands : array of LOG_ENTRY
        Every command before the end, sorted by (tick, channel, bank); empty without a log.
    state : DramState
        Settled at the end.
    cycles : int
        DRAM cycles until the last completion.
    visits : int
        Visits of channels.
    """

    requests: list[Any]
    commands: Any
    state: DramState
    cycles: int
    visits: int


def run_requests(
    params: DramParams,
    latency: NDArray[np.int64],
    requests: list[Any],
    *,
    plain: bool = False,
    per_cycle: int = 2,
    log: bool = True,
) -> NativeRun:
    """Run request lists through native channels, one list per channel.

    Parameters
    ----------
    params : DramParams
        One channel.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations of two commands of one bank, -1 = none; DRAM cycles.
    requests : list of array of REQUEST
        One array per channel; not changed.
    plain : bool
        Step every cycle.
    per_cycle : int
        Most requests that a channel accepts in a cycle.
    log : bool
        Keep the command trace.

    Raises
    ------
    ProtocolError
        If a bank refuses a request, as when a row access does not fit into the landing FIFO.
    InternalError
        If requests are left that can never be served.
    """
    channels, most = len(requests), max(len(part) for part in requests)
    margin = params.banks * (params.columns + 4)
    expected = max(int(np.sum(part["rows"] * (part["columns"] + 2))) for part in requests)
    capacity = expected + expected // 8 + 2 * margin if log else 0
    state = make_state(params, channels, tokens=max(most, 1), log_capacity=capacity)
    traffic = Traffic(
        request=REQUEST.zeros(channels, max(most, 1)),
        source=SOURCE.zeros(channels),
        wake=np.zeros(channels, np.int64),
        clock=np.zeros(2, np.int64),
    )
    for c, part in enumerate(requests):
        traffic.request[c, : len(part)] = part
        traffic.source[c].count = len(part)
    undone = np.zeros(channels, np.int64)
    while True:
        with interrupts_held():
            status = run_traffic(int(plain), per_cycle, margin, params, 1, latency, state, traffic, undone)
        raise_faults(state)
        if status != LOG_FULL:
            break
        state = _with_longer_log(state)
    if status != FINISHED:
        waiting = {c: int(s.head) for c, s in enumerate(traffic.source) if s.left or s.head < s.count}
        raise InternalError(f"requests are left that can never be served: channel -> next request {waiting}")
    cycles = int(traffic.source["last_at"].max(initial=0)) + 1
    settle(cycles, params, 1, latency, state)
    check_balance(state, cycles)
    parts = [traffic.request[c, : len(part)].copy() for c, part in enumerate(requests)]
    return NativeRun(parts, command_log(state, cycles), state, cycles, int(traffic.clock[1]))


def _with_longer_log(state: DramState) -> DramState:
    """Return the state with twice the space for the command log."""
    channels, capacity = state.log.shape
    longer = LOG_ENTRY.zeros(channels, 2 * capacity)
    longer[:, :capacity] = state.log
    return state._replace(log=longer)
