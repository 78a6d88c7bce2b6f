"""First ready, first come, first served: which request gets the column slot and which the row slot of a tick.

Queues and the active list are in order of arrival, so the oldest ready request is the first one met.  A scan in vain
leaves behind the first tick at which it could have found something (``quiet_...``); arrivals and changes of banks
lower it.  Counts of entries that hit an open row tell which scans are needless.

Sources of a command, in the order of the slot::

    column slot:  active list  ->  (if the priority queue is empty) read or write queue: hits
    row slot:     head of the priority queue, alone if there is one  ->  read or write queue: ACT and PREpb
"""

from __future__ import annotations

from nmpsim.dram.reference.build import ACT, PREAB, PREPB, RD, REFAB, REFPB
from nmpsim.dram.reference.state import READS, WRITES
from nmpsim.kernel import NEVER, inlined

NOTHING, FROM_ACTIVE, FROM_PRIORITY, FROM_QUEUE = range(4)


@inlined
def serve_direction(limits, state):
    """Begin or end write mode; return 1 if that changed something (changes CHANNEL.write_mode)."""
    channel = state.channel[0]
    reads = state.queue[READS].tail - state.queue[READS].head
    writes = state.queue[WRITES].tail - state.queue[WRITES].head
    if channel.write_mode == 0:
        if writes >= limits.write_high or reads == 0:
            channel.write_mode = 1
            return 1
    elif writes < limits.write_low and reads != 0:
        channel.write_mode = 0
        return 1
    return 0


@inlined
def select_column(now, limits, state):
    """Return source, place, command, bank of the column slot, and whether write mode changed."""
    channel = state.channel[0]
    if channel.active > 0 and now >= channel.quiet_active:
        ready_from = NEVER
        for i in range(channel.active):
            entry = state.active[i]
            if state.bank[entry.bank].row == entry.row:
                at = state.ready[RD + entry.mark, entry.bank]
                if at <= now:
                    return FROM_ACTIVE, i, RD + entry.mark, entry.bank, 0
                ready_from = min(ready_from, at)
        channel.quiet_active = ready_from
    if channel.priority_tail != channel.priority_head:
        return NOTHING, 0, 0, 0, 0
    changed = serve_direction(limits, state)
    q = channel.write_mode
    queue = state.queue[q]
    if queue.hits > 0 and now >= queue.quiet_column:
        ready_from = NEVER
        command = RD + q
        if now >= state.gate[command]:
            entries = state.entry[q]
            ready = state.ready[command]
            for i in range(queue.head, queue.tail):
                entry = entries[i]
                if state.bank[entry.bank].row == entry.row:
                    at = ready[entry.bank]
                    if at <= now:
                        return FROM_QUEUE, i, command, entry.bank, changed
                    ready_from = min(ready_from, at)
        else:
            ready_from = state.gate[command]
        queue.quiet_column = ready_from
    return NOTHING, 0, 0, 0, changed


@inlined
def pairing_allows(now, command, bank, limits, state):
    """Return whether a precharge may be issued on a half clock, next to the row command of the full clock before."""
    channel = state.channel[0]
    if now != channel.paired_at or bank // limits.scope_banks != channel.paired_scope:
        return True
    return command == PREPB and channel.paired_bank >= 0 and bank != channel.paired_bank


@inlined
def select_priority(now, limits, state):
    """Return source, place, command and unit of the head of the priority queue."""
    channel = state.channel[0]
    if now < channel.quiet_priority:
        return NOTHING, 0, 0, 0
    order = state.order[channel.priority_head % limits.priority_queue]
    command = order.command
    unit = order.unit
    first = unit
    last = unit + 1
    if command == REFAB:
        first = unit * limits.refab_banks
        last = first + limits.refab_banks
        for b in range(first, last):
            if state.bank[b].row >= 0:
                command = PREAB
    elif command == REFPB and state.bank[unit].row >= 0:
        command = PREPB
    ready_at = state.ready[command, unit]
    if ready_at <= now:
        closing = command == PREPB or command == PREAB
        if closing:
            for b in range(first, last):
                if state.bank[b].active > 0:
                    channel.quiet_priority = NEVER  # until a column command of an active request
                    return NOTHING, 0, 0, 0
        if limits.half_clock == 0 or now % 2 == 1:
            return FROM_PRIORITY, 0, command, unit
        if closing and pairing_allows(now, command, first, limits, state):
            return FROM_PRIORITY, 0, command, unit
        ready_at = now + 1
    channel.quiet_priority = ready_at
    return NOTHING, 0, 0, 0


@inlined
def guarded(entry, q, state):
    """Return whether a hit of the same bank, at least as old, waits in the same queue."""
    if state.hit[q, entry.bank] == 0:
        return False
    row = state.bank[entry.bank].row
    queue = state.queue[q]
    arrival = state.accept[entry.request]
    for i in range(queue.head, queue.tail):
        other = state.entry[q, i]
        if state.accept[other.request] > arrival:
            break
        if other.bank == entry.bank and other.row == row:
            return True
    return False


@inlined
def select_row(now, limits, state):
    """Return source, place, command, unit of the row slot, and whether write mode changed."""
    channel = state.channel[0]
    if channel.priority_tail != channel.priority_head:
        source, place, command, unit = select_priority(now, limits, state)
        return source, place, command, unit, 0
    changed = serve_direction(limits, state)
    q = channel.write_mode
    queue = state.queue[q]
    if queue.tail - queue.head > queue.hits and now >= queue.quiet_row:
        ready_from = min(state.gate[ACT], state.gate[PREPB])
        if ready_from <= now:
            ready_from = NEVER
            full_clock = limits.half_clock == 0 or now % 2 == 1
            entries = state.entry[q]
            for i in range(queue.head, queue.tail):
                entry = entries[i]
                bank = state.bank[entry.bank]
                if bank.row == entry.row:
                    continue
                command = bank.row_command
                at = state.ready[command, entry.bank]
                if at <= now:
                    if command == PREPB and (bank.active > 0 or (limits.guard and guarded(entry, q, state))):
                        continue
                    if full_clock:
                        return FROM_QUEUE, i, command, entry.bank, changed
                    if command == PREPB and pairing_allows(now, command, entry.bank, limits, state):
                        return FROM_QUEUE, i, command, entry.bank, changed
                    at = now + 1
                ready_from = min(ready_from, at)
        queue.quiet_row = ready_from
    return NOTHING, 0, 0, 0, changed
