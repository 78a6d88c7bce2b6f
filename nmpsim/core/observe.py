"""What only a recording needs: instructions as events, receivers, and the ports of the buffers cycle by cycle.

Nothing here has any influence on the machine.  With an interval log, `observe_core` compares, at the end of a visit,
what has changed since the last one.  Ports need more care, because the compute unit is stepped ahead of the others: in
the cycles between two visits only its own use of the ports, which stands in the history, can have happened::

    cycle            4     5     6     7     8
    visits           x                 x     x
    compute unit    r1    r2     -    r1    r1     from the history, once the cycle is past
    others          r8                 w4          only in visited cycles
    recorded       r9     r2     -   r1w4   r1
"""

from __future__ import annotations

from nmpsim.core.queue import record_interval
from nmpsim.core.state import (
    ACTIVE,
    BUFFER_READ,
    BUFFER_WRITE,
    COMPLETED,
    CONFLICT,
    IDLE,
    OPERAND_READ,
    OUTPUT_READ,
    OUTPUT_WRITE,
    RECEIVE,
    TAKEN,
)
from nmpsim.kernel import bits_set, inlined
from nmpsim.program.isa import ARRAY, UNITS


@inlined
def note(core, log, watch, row, reason, value, now):
    """Note what is watched in cycle `now`; a change ends the interval (changes all but the last four)."""
    if reason != watch.reason or value != watch.value:
        record_interval(core, log, row, watch.reason, -1, watch.value, watch.since, now)
        watch.reason = reason
        watch.value = value
        watch.since = now


@inlined
def note_ports(core, log, watch, row, mask, now):
    """Note how many ports are taken in cycle `now`."""
    count = bits_set(mask)
    note(core, log, watch, row, ACTIVE if count > 0 else IDLE, count, now)


@inlined
def note_event(core, log, row, kind, count, now):
    """Append `count` instructions taken or completed at `now` to the log (changes `core` and `log`)."""
    if count > 0:
        entry = log[core.intervals]
        entry.unit = row
        entry.reason = kind
        entry.operator = -1
        entry.value = count
        entry.start = now
        entry.end = now
        core.intervals += 1


@inlined
def observe_gap(c, now, period, state):
    """Record the port use of the cycles since the last visit of core `c`, `now` not included."""
    core, log, history = state.core[c], state.interval[c], state.port_use[c]
    first = UNITS + state.actor.shape[1]
    watch = state.watch[c]
    separate = state.watch.shape[1] > OPERAND_READ
    at = core.observed_at
    last = min(now, at + (len(history) + 1) * period)
    while at < last:
        entry = history[(at // period) % len(history)]
        known = entry.at == at
        read = entry.read_mask if known else 0
        write = entry.write_mask if known else 0
        if separate:
            note_ports(core, log, watch[BUFFER_READ], first + BUFFER_READ, 0, at)
            note_ports(core, log, watch[BUFFER_WRITE], first + BUFFER_WRITE, 0, at)
            note_ports(core, log, watch[OPERAND_READ], first + OPERAND_READ, read, at)
            note_ports(core, log, watch[OUTPUT_WRITE], first + OUTPUT_WRITE, write, at)
            note_ports(core, log, watch[OUTPUT_READ], first + OUTPUT_READ, entry.sum_mask if known else 0, at)
        else:
            note_ports(core, log, watch[BUFFER_READ], first + BUFFER_READ, read, at)
            note_ports(core, log, watch[BUFFER_WRITE], first + BUFFER_WRITE, write, at)
        at += period
    core.observed_at = now


@inlined
def observe_ports(c, now, period, state):
    """Record the port use of core `c` in the visited cycle `now`, all units stepped."""
    core, log, history = state.core[c], state.interval[c], state.port_use[c]
    first = UNITS + state.actor.shape[1]
    watch = state.watch[c]
    note_ports(core, log, watch[BUFFER_READ], first + BUFFER_READ, core.read_mask, now)
    note_ports(core, log, watch[BUFFER_WRITE], first + BUFFER_WRITE, core.write_mask, now)
    if state.watch.shape[1] > OPERAND_READ:
        entry = history[(now // period) % len(history)]
        known = entry.at == now
        note_ports(core, log, watch[OPERAND_READ], first + OPERAND_READ, entry.read_mask if known else 0, now)
        note_ports(core, log, watch[OUTPUT_WRITE], first + OUTPUT_WRITE, entry.write_mask if known else 0, now)
        note_ports(core, log, watch[OUTPUT_READ], first + OUTPUT_READ, entry.sum_mask if known else 0, now)
    core.observed_at = now + period


@inlined
def observe_receivers(c, now, state):
    """Record whether the receivers of core `c` took a flit in the visited cycle `now`."""
    core, log = state.core[c], state.interval[c]
    first = UNITS + state.actor.shape[1]
    for d in range(2):
        watch, receiver = state.watch[c, RECEIVE + d], state.received[c, d]
        flits = receiver.flits - watch.counted
        reason = IDLE
        if flits > 0:
            reason = ACTIVE
        elif receiver.conflicts > watch.conflicts:
            reason = CONFLICT
        watch.counted = receiver.flits
        watch.conflicts = receiver.conflicts
        note(core, log, watch, first + RECEIVE + d, reason, flits, now)


@inlined
def observe_instructions(c, now, state):
    """Record which instructions of core `c` were taken and completed in the visited cycle `now`."""
    core, log = state.core[c], state.interval[c]
    for u in range(UNITS):
        if u != ARRAY:
            unit = state.unit[c, u]
            note_event(core, log, u, TAKEN, unit.head - unit.noted_head, now)
            note_event(core, log, u, COMPLETED, state.signal[c, u] - unit.noted_done, now)
            unit.noted_head = unit.head
            unit.noted_done = state.signal[c, u]
    for i in range(state.actor.shape[1]):
        actor = state.actor[c, i]
        note_event(core, log, UNITS + i, TAKEN, actor.issued - actor.noted_issued, now)
        note_event(core, log, UNITS + i, COMPLETED, actor.passes - actor.noted_passes, now)
        actor.noted_issued = actor.issued
        actor.noted_passes = actor.passes


@inlined
def observe_core(c, now, period, state):
    """Record what core `c` did in the visited cycle `now`, if it has a log (changes registers of the recording)."""
    if state.interval.shape[1] > 0:
        observe_instructions(c, now, state)
        if state.watch.shape[1] > 0:
            observe_ports(c, now, period, state)
            observe_receivers(c, now, state)


@inlined
def close_watches(c, now, period, state):
    """Record what is watched up to `now`, `now` not included."""
    core, log = state.core[c], state.interval[c]
    first = UNITS + state.actor.shape[1]
    if state.watch.shape[1] > 0:
        observe_gap(c, now, period, state)
    for w in range(state.watch.shape[1]):
        watch = state.watch[c, w]
        record_interval(core, log, first + w, watch.reason, -1, watch.value, watch.since, now)
        watch.since = now
