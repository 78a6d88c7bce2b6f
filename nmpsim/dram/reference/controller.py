"""The reference controller: one tick after another, in the order of Ramulator 2.1 (c5b1c3a).

    requests --> read queue  --+--> row slot:    ACT, PREpb ---------> banks
             --> write queue --+        | ACT
                                        v
                               active list --> column slot: RD, WR --> banks
    refresh, row policy --> priority queue --> row slot: REF*, PRE*

A tick: the clock advances; refresh and row policy put their requests into the priority queue; a column command, then a
row command is chosen and issued.  Requests are offered before the tick, strictly in order, and are stamped with the
clock of the tick before.

First commands of two reads of one row, nRCDRD 14 with ACT two ticks long, nCCDL 4::

    clock     0    1    2   ...   16   17   18   19   20
    request   r0 r1
    command        ACT            RD0                 RD1
"""

from __future__ import annotations

from nmpsim.dram.reference.build import ACT, PREAB, PREPB, RD, RDA, REFAB, WR
from nmpsim.dram.reference.policy import ask_to_close, close_bank, count_column, with_precharge
from nmpsim.dram.reference.queue import (
    become_active,
    count_first,
    enqueue,
    is_held,
    leave_queue,
    open_bank,
    release,
)
from nmpsim.dram.reference.refresh import refresh_at, step_refresh
from nmpsim.dram.reference.scheduler import FROM_QUEUE, NOTHING, select_column, select_row
from nmpsim.dram.reference.state import (
    COLUMN,
    COLUMN_TIMING,
    DEADLOCK,
    FINISHED,
    LIMIT,
    LOG_FULL,
    NO_REQUEST,
    OTHER_DIRECTION,
    OVERFLOW,
    POLICY,
    READS,
    REFRESH,
    ROW,
    ROW_TIMING,
    WRITES,
)
from nmpsim.dram.reference.timing import hold_back
from nmpsim.kernel import NEVER, inlined, kernel


@inlined
def finish(request, q, at, state):
    """Note the completion of a request; a read cannot overtake reads that left before, as when it is forwarded."""
    channel = state.channel[0]
    if q == READS:
        at = max(at, channel.last_read_done)
        channel.last_read_done = at
    state.done[request] = at
    channel.left -= 1
    channel.last_done = max(channel.last_done, at)


@inlined
def accept_requests(requests, most, limits, state):
    """Take requests off the line, at most `most`; return the next cycle at which the head may be accepted."""
    channel = state.channel[0]
    now = channel.clock
    for _ in range(most):
        n = channel.offered
        if n == len(requests):
            return NEVER
        asked = requests[n]
        if asked.at > now:
            return asked.at
        q = asked.is_write
        if channel.held > 0 and is_held(asked.addr, state):
            finish(n, q, now + 1, state)
            if q == WRITES:
                state.counter[0].merged += 1
            else:
                state.counter[0].forwarded += 1
        else:
            queue = state.queue[q]
            if queue.tail - queue.head >= (limits.write_queue if q == WRITES else limits.read_queue):
                return NEVER  # until a command makes room
            enqueue(n, q, asked, state)
            if q == WRITES:
                state.held[channel.held] = asked.addr
                channel.held += 1
        state.accept[n] = now
        channel.offered = n + 1
    if channel.offered == len(requests):
        return NEVER
    return max(requests[channel.offered].at, now + 1)


@inlined
def issue(now, source, place, command, unit, requests, limits, table, state):
    """Issue a command, with all that follows from it at this tick (changes everything)."""
    channel = state.channel[0]
    q = channel.write_mode
    request = -1
    if command == RD or command == WR:
        if limits.cap >= 0:
            command = with_precharge(now, command, unit, limits, state)
        if source == FROM_QUEUE:
            entry = state.entry[q, place]
            count_first(entry, command, state)
            request = entry.request
            leave_queue(now, place, q, state)
            state.hit[q, unit] -= 1
            state.queue[q].hits -= 1
            if q == WRITES:
                release(requests[request].addr, state)
        else:
            entry = state.active[place]
            q = entry.mark
            request = entry.request
            channel.active -= 1
            for i in range(place, channel.active):
                state.active[i] = state.active[i + 1]
            state.bank[unit].active -= 1
            channel.quiet_priority = 0
        finish(request, q, now if q == WRITES else now + limits.read_latency, state)
        hold_back(now, command, unit, table, state)
        if command >= RDA:
            close_bank(unit, limits, state)
        else:
            count_column(unit, limits, state)
            for r in (READS, WRITES):  # a precharge may have waited for the active request, or for an older hit
                if state.waiting[r, unit] > 0:
                    state.queue[r].quiet_row = min(state.queue[r].quiet_row, state.ready[PREPB, unit])
    else:
        hold_back(now, command, unit, table, state)
        channel.quiet_priority = 0
        if source == FROM_QUEUE:
            entry = state.entry[q, place]
            count_first(entry, command, state)
            request = entry.request
            if command == ACT:
                row = entry.row
                if channel.active < limits.banks:
                    leave_queue(now, place, q, state)
                    become_active(request, unit, row, q, state)
                    if q == WRITES:
                        release(requests[request].addr, state)
                open_bank(unit, row, state)
            else:
                close_bank(unit, limits, state)
        else:
            order = state.order[channel.priority_head % limits.priority_queue]
            if command == order.command:
                channel.priority_head += 1
                state.counter[0].priority_occupancy += now - order.made_at
            if command == PREPB:
                close_bank(unit, limits, state)
            elif command == PREAB:
                for b in range(unit * limits.refab_banks, (unit + 1) * limits.refab_banks):
                    close_bank(b, limits, state)
        if limits.half_clock and now % 2 == 1:
            channel.paired_at = now + (3 if command == ACT else 1)
            if command == PREAB or command == REFAB:
                channel.paired_bank = -1
                channel.paired_scope = unit * limits.refab_banks // limits.scope_banks
            else:
                channel.paired_bank = unit
                channel.paired_scope = unit // limits.scope_banks
    state.issued[command] += 1
    if len(state.log) > 0:
        line = state.log[channel.logged]
        line.clock = now
        line.command = command
        line.unit = unit
        line.request = request
        channel.logged += 1


@inlined
def idle_reason(limits, state):
    """Return why no command is issued, from what waits."""
    channel = state.channel[0]
    if channel.priority_head != channel.priority_tail:
        if state.order[channel.priority_head % limits.priority_queue].command == PREPB:
            return POLICY
        return REFRESH
    served = state.queue[channel.write_mode]
    if channel.active > 0 or served.hits > 0:
        return COLUMN_TIMING
    if served.head != served.tail:
        return ROW_TIMING
    other = state.queue[1 - channel.write_mode]
    return OTHER_DIRECTION if other.head != other.tail else NO_REQUEST


@inlined
def wake_at(now, offer_at, policy_at, limits, state):
    """Return the first tick after `now` at which something may happen, if nothing has happened at `now`."""
    channel = state.channel[0]
    wake = min(refresh_at(now, limits, state), policy_at)
    if offer_at < NEVER:
        wake = min(wake, offer_at + 1)
    if channel.active > 0:
        wake = min(wake, channel.quiet_active)
    if channel.priority_head != channel.priority_tail:
        wake = min(wake, channel.quiet_priority)
    else:
        queue = state.queue[channel.write_mode]
        if queue.hits > 0:
            wake = min(wake, queue.quiet_column)
        if queue.tail - queue.head > queue.hits:
            wake = min(wake, queue.quiet_row)
    return max(wake, now + 1)


@kernel
def run(requests, most, drain, limit, plain, limits, table, state):
    """Tick until all requests are completed and `drain` ticks more; return why it stopped.

    Parameters
    ----------
    requests : array of REQUEST, shape (request,)
        In the order in which they are offered.
    most : int
        Requests accepted per tick at most.
    drain : int
        Ticks after the last completion.
    limit : int
        Ticks after which to give up.
    plain : int
        1: visit every tick; 0: jump over ticks in which nothing can happen.
    limits : Limits
    table : Table
    state : ReferenceState
        Changed.  After LOG_FULL the caller takes the log, sets CHANNEL.logged to 0 and calls again.
    """
    channel = state.channel[0]
    while True:
        end = limit
        if channel.left == 0:
            end = min(limit, channel.last_done + drain)
        if channel.clock >= end:
            return FINISHED if channel.left == 0 and channel.clock >= channel.last_done + drain else LIMIT
        if len(state.log) > 0 and channel.logged + 2 > len(state.log):
            return LOG_FULL
        offer_at = accept_requests(requests, most, limits, state)
        now = channel.clock + 1
        channel.clock = now
        if step_refresh(now, limits, state) == 0:
            return OVERFLOW
        policy_at = NEVER
        if limits.cap >= 0:
            policy_at = ask_to_close(now, limits, state)
        busy = 0
        reason = -1
        for slot in range(2):
            if slot == 0:
                if limits.half_clock and now % 2 == 0:
                    continue
                source, place, command, unit, changed = select_column(now, limits, state)
            else:
                source, place, command, unit, changed = select_row(now, limits, state)
            busy |= changed
            if source != NOTHING:
                issue(now, source, place, command, unit, requests, limits, table, state)
                busy = 1
                if reason < 0:
                    reason = COLUMN if slot == 0 else ROW
        if reason < 0:
            reason = idle_reason(limits, state)
        state.reason[reason] += 1
        if busy:
            continue
        wake = wake_at(now, offer_at, policy_at, limits, state)
        if wake >= NEVER and channel.left > 0:
            return DEADLOCK
        if plain == 0:
            if channel.left == 0:
                end = min(limit, channel.last_done + drain)
            skipped = min(wake - 1, end) - now
            state.reason[reason] += skipped
            channel.clock = now + skipped
