"""What only a recording needs: the reasons of a bank as intervals, its commands as row accesses.

A row access and the one after it, as `ROW_ACCESS` holds them (columns in steps of one cycle)::

    cycle    0    1    2    3    4    5    6    7    8    9    10   11
    command  ACT            RD   RD   RD   RD        PRE       ACT
    record   at 0, act 0, first 3, step 1, count 4, pre 8      at 10, act 0 ...

`at` is a tick, `act`, `first` and `pre` are ticks after it.
Columns that do not follow in equal steps begin another record, with ``act`` -1.  In skip mode columns are issued ahead
of time, but with the same ticks and in the same order within their bank, so the records of a bank are the same.
"""

from __future__ import annotations

from nmpsim.dram.native.state import BANK_BITS, REASON_BITS
from nmpsim.kernel import inlined
from nmpsim.spec.params import ACT, PRE, RD, REF, WR

NOTHING = -1
"""Command of a record that holds nothing."""


@inlined
def flush_interval(state, c, b):
    """Append the held interval of a bank to the log of its channel."""
    channel, bank = state.channel[c], state.bank[c, b]
    ticks = bank.held_to - bank.held_from
    if ticks > 0:
        state.interval[c, channel.intervals] = (ticks << BANK_BITS | b) << REASON_BITS | bank.held_reason
        channel.intervals += 1


@inlined
def record_reason(state, c, b, reason, start, end):
    """Record that a bank spent [start, end) on a reason; calls come in the order of time."""
    if state.interval.shape[1] == 0:
        return
    bank = state.bank[c, b]
    if reason == bank.held_reason and start == bank.held_to:
        bank.held_to = end
    else:
        flush_interval(state, c, b)
        bank.held_reason = reason
        bank.held_from = start
        bank.held_to = end


@inlined
def flush_access(state, c, b):
    """Append the row access that is being recorded to the log of its channel."""
    burst = state.burst[c, b]
    if burst.command != NOTHING:
        channel = state.channel[c]
        state.access[c, channel.accesses] = burst
        channel.accesses += 1
        burst.command = NOTHING


@inlined
def open_access(state, c, b, command, row, act, columns, column):
    """Begin to record a row access, with the tick of its ACT or -1."""
    flush_access(state, c, b)
    burst = state.burst[c, b]
    burst.at = act
    burst.command = command
    burst.row = row
    burst.act = min(act, 0)
    burst.columns = columns
    burst.column = column
    burst.count = 0
    burst.first = -1
    burst.step = 0
    burst.port = -1
    burst.pre = -1


@inlined
def ticks_into(burst, at):
    """Return how long after its first command a row access has its command at tick `at`, which may be the first."""
    if burst.at < 0:
        burst.at = at
    return at - burst.at


@inlined
def record_column(state, c, b, command, at, port):
    """Record a RD or WR: as the next one of the row access, or in a record of its own."""
    bank, burst = state.bank[c, b], state.burst[c, b]
    column = bank.first_column + bank.issued - 1
    if burst.command == command and burst.count > 0 and burst.port == port and column == burst.column + burst.count:
        after = at - burst.at - burst.first
        if burst.count == 1:
            burst.step = after
        if after == burst.count * burst.step:
            burst.count += 1
            return
    if burst.command != command or burst.count > 0:
        open_access(state, c, b, command, bank.row, -1, 0, column)
    burst.first = ticks_into(burst, at)
    burst.count = 1
    burst.port = port


@inlined
def record_command(state, c, b, command, at, port):
    """Record one command of a bank, its effects done."""
    if state.access.shape[1] == 0:
        return
    bank = state.bank[c, b]
    if command == ACT:
        open_access(state, c, b, WR if bank.is_write else RD, bank.row, at, bank.columns, bank.first_column)
    elif command == REF:
        open_access(state, c, b, REF, -1, at, 0, -1)
        flush_access(state, c, b)
    elif command == PRE:
        if state.burst[c, b].command == NOTHING:
            open_access(state, c, b, WR if bank.is_write else RD, bank.row, -1, 0, -1)
        state.burst[c, b].pre = ticks_into(state.burst[c, b], at)
        flush_access(state, c, b)
    else:
        record_column(state, c, b, command, at, port)


@inlined
def interval_margin(params):
    """Return the most intervals, and more than the row accesses, that one tick can record in a channel."""
    return params.banks * 3 * (3 * params.columns + 10)


@inlined
def logs_nearly_full(state, params):
    """Return whether the logs of a channel might not hold what one more tick records."""
    capacity = state.interval.shape[1]
    if capacity == 0:
        return False
    margin = interval_margin(params)
    for c in range(state.interval.shape[0]):
        if state.channel[c].intervals + margin > capacity or state.channel[c].accesses + margin > capacity:
            return True
    return False
