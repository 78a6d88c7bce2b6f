"""One core alone: its beats come at a rate of their own, nobody else takes part.

    source of strip s --(a beat every `num` / `den` ticks, while the FIFO has room)--> FIFO --> compute unit

With ``num`` = 0 every FIFO is always full: the compute unit never waits for a beat.  Everything else is the core as it
runs in a die: sequencer, compute unit, buffer ports, vector unit.

First beats of a source with num / den = 3 / 2, FIFO of two beats, a beat taken as soon as it is there::

    tick      0     2     3     5
    beat      b0    b1    b2    b3
"""

from __future__ import annotations

from nmpsim.core.core import step_core
from nmpsim.kernel import NEVER, Record, inlined, kernel
from nmpsim.link.fifo import push

SOURCE = Record(
    "SOURCE",
    ("next_at", "tick / den", "earliest stamp of the next beat"),
    ("taken", "beat", "beats whose taking has been counted"),
)

TAKEN = Record(
    "TAKEN",
    ("at", "tick", "tick of the entry"),
    ("beats", "beat", "beats taken by all strips in it"),
)

STOPPED = -1
"""Returned for a run that cannot go on, or does not end in time."""


@inlined
def count_taken(source, fifo, slots, credit, taken):
    """Count the beats taken since the last look by the tick of their taking; return the most in one tick.

    Changes `source` and `taken`.
    """
    most = 0
    while source.taken < fifo.head:
        at = slots[source.taken % len(slots)].free_at - credit
        entry = taken[at % len(taken)]
        if entry.at != at:
            entry.at = at
            entry.beats = 0
        entry.beats += 1
        most = max(most, entry.beats)
        source.taken += 1
    return most


@inlined
def refill(source, fifo, slots, num, den):
    """Stamp beats until the FIFO is full; return the first stamp, NEVER without room (changes the first three)."""
    first = NEVER
    capacity = len(slots)
    while fifo.filled - fifo.head < capacity:
        free = slots[fifo.filled % capacity].free_at if fifo.filled >= capacity else 0
        at = max(source.next_at, free * den)
        ready = -(-at // den)
        fifo.reserved += 1
        push(fifo, slots, ready, 0, 0)
        source.next_at = at + num
        first = min(first, ready)
    return first


@kernel
def run_alone(limit, plain, num, den, params, dram, noc, state, port, net, program, tables, sources, taken):
    """Run core 0 from reset to the end of its program; all clocks have a period of one tick.

    Parameters
    ----------
    limit : int
        Ticks after which to give up.
    plain : int
        1: visit every tick; 0: only those at which something may happen.
    num, den : int
        A source has a beat every `num` / `den` ticks; num 0 = always.
    params, dram, noc : CoreParams, DramParams, NocParams
    state : CoreState
        Of one core; changed.
    port : DramState
        Of one channel; its landing FIFOs are changed.
    net : NocState
        Of one node.
    program : array of INSTRUCTION
    tables : ndarray of int64
    sources : array of SOURCE, shape (strip,)
        Changed.
    taken : array of TAKEN
        Changed; longer than the compute unit may be stepped ahead.

    Returns
    -------
    (int, int)
        Tick at which the last instruction was complete, or STOPPED; most beats taken in one tick.

    Timing
    ------
    Stamps of refilled places lie after the tick at which they were freed.  Wake rule: that of the core, or the first
    beat stamped if that is earlier.
    """
    now = 0
    most = 0
    credit = dram.nCREDIT
    periods = (1, 1, 1)
    for s in range(params.strips):
        refill(sources[s], port.fifo[0, s], port.slot[0, s], num, den)
    while now < limit:
        wake = step_core(0, now, plain, params, dram, noc, periods, state, port, net, program, tables)
        if state.core[0].finished_at < NEVER:
            for s in range(params.strips):
                most = max(most, count_taken(sources[s], port.fifo[0, s], port.slot[0, s], credit, taken))
            return now, most
        for s in range(params.strips):
            fifo, slots = port.fifo[0, s], port.slot[0, s]
            most = max(most, count_taken(sources[s], fifo, slots, credit, taken))
            first = refill(sources[s], fifo, slots, num, den)
            if first < NEVER:
                wake = min(wake, first)
                actor = state.actor[0, s * state.actor.shape[1] // params.strips]
                actor.wake = min(actor.wake, first)
        if wake >= NEVER:
            return STOPPED, most
        now = now + 1 if plain else max(wake, now + 1)
    return STOPPED, most
