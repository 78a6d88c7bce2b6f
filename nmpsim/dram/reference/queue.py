"""Queues and the active list: how a request comes, changes what it wants, and goes.

An entry of a queue wants a column command if its row is open (a hit), else the row command of its bank.  Both counts,
hits by queue and by bank, are kept at every change.  When something new may be wanted, the tick until which a scan
would be in vain is lowered to the tick from which the new thing is allowed.
"""

from __future__ import annotations

from nmpsim.dram.reference.build import ACT, PREPB, RD
from nmpsim.dram.reference.state import READS, WRITES
from nmpsim.kernel import inlined


@inlined
def is_held(address, state):
    """Return whether a write to an address waits."""
    found = False
    for i in range(state.channel[0].held):
        found |= state.held[i] == address
    return found


@inlined
def release(address, state):
    """Take an address out of the waiting writes (changes `held`)."""
    channel = state.channel[0]
    channel.held -= 1
    for i in range(channel.held):
        if state.held[i] == address:
            state.held[i] = state.held[channel.held]
            break


@inlined
def enqueue(request, q, asked, state):
    """Append a request to its queue (changes the queue and its counts)."""
    queue = state.queue[q]
    entries = state.entry[q]
    if queue.tail == len(entries):  # move to the front: at most every other place is taken
        for i in range(queue.head, queue.tail):
            entries[i - queue.head] = entries[i]
        queue.tail -= queue.head
        queue.head = 0
    entry = entries[queue.tail]
    queue.tail += 1
    b = asked.bank
    entry.bank = b
    entry.row = asked.row
    entry.request = request
    entry.mark = 0
    state.waiting[q, b] += 1
    bank = state.bank[b]
    if bank.row == asked.row:
        queue.hits += 1
        state.hit[q, b] += 1
        queue.quiet_column = min(queue.quiet_column, state.ready[RD + q, b])
    else:
        queue.quiet_row = min(queue.quiet_row, state.ready[bank.row_command, b])


@inlined
def leave_queue(now, place, q, state):
    """Take an entry out of a queue (changes the queue and its counts)."""
    queue = state.queue[q]
    entries = state.entry[q]
    entry = entries[place]
    state.waiting[q, entry.bank] -= 1
    if q == WRITES:
        state.counter[0].write_occupancy += now - state.accept[entry.request]
    else:
        state.counter[0].read_occupancy += now - state.accept[entry.request]
    for i in range(place, queue.head, -1):
        entries[i] = entries[i - 1]
    queue.head += 1


@inlined
def become_active(request, b, row, q, state):
    """Put a request into the active list, in order of arrival (changes the list)."""
    channel = state.channel[0]
    arrival = state.accept[request]
    i = channel.active
    while i > 0 and state.accept[state.active[i - 1].request] > arrival:
        state.active[i] = state.active[i - 1]
        i -= 1
    entry = state.active[i]
    entry.bank = b
    entry.row = row
    entry.request = request
    entry.mark = q
    channel.active += 1
    state.bank[b].active += 1
    channel.quiet_active = min(channel.quiet_active, state.ready[RD + q, b])


@inlined
def open_bank(b, row, state):
    """Open a row (changes the bank, and what its requests want)."""
    bank = state.bank[b]
    bank.row = row
    bank.row_command = PREPB
    for q in (READS, WRITES):
        if state.waiting[q, b] > 0:
            queue = state.queue[q]
            for i in range(queue.head, queue.tail):
                entry = state.entry[q, i]
                if entry.bank == b and entry.row == row:
                    queue.hits += 1
                    state.hit[q, b] += 1
            if state.hit[q, b] > 0:
                queue.quiet_column = min(queue.quiet_column, state.ready[RD + q, b])
            queue.quiet_row = min(queue.quiet_row, state.ready[PREPB, b])
    for i in range(state.channel[0].active):  # of a bank that another request's RDA or WRA has closed
        entry = state.active[i]
        if entry.bank == b and entry.row == row:
            state.channel[0].quiet_active = min(state.channel[0].quiet_active, state.ready[RD + entry.mark, b])


@inlined
def count_first(entry, command, state):
    """Count a hit, a miss or a conflict at the first command of a request (changes the entry's mark)."""
    if entry.mark == 0:
        entry.mark = 1
        if command == ACT:
            state.counter[0].row_misses += 1
        elif command == PREPB:
            state.counter[0].row_conflicts += 1
        else:
            state.counter[0].row_hits += 1
