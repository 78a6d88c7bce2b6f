"""What every bank did with every DRAM cycle: one reason per bank and cycle, and the command counters.

Nothing is charged when a command is issued.  A bank is accounted for when it begins its next row access or refresh,
and whenever somebody calls `settle`: the cycles since the last time are then read off the stamps of what it did last.
All those stamps are the same whether the columns were issued one by one or ahead of time, so the tables are the same
in plain and in skip mode at every settled tick.

A row access and the next ACT, nRCD 3, nCCD 1, 4 columns, nRTP 3, nRP 2::

    cycle    0    1    2    3    4    5    6    7    8    9    10   11   12   13
    command  ACT            RD   RD   RD   RD             PRE       ACT
    reason   activate       transfer            precharge           activate

A cycle of a closed bank whose timing allows an ACT is, in this order, `refresh` (the refresh limit is reached and
REFpb must wait for its own separation), `no_request` (no run seen), `no_landing_space` (the row would not fit into
the landing FIFO) or `activation_budget` (nRRD, nFAW of the channel or of the die, another bank's turn).  Within a row
access, `activate` lasts from the ACT to the first legal column, `transfer` occupies nCCD cycles per column,
`write_data_late` is a legal WR without its datum, `port_busy` a legal column that waits for a shared port.  A row that
stays open is in `no_request` or `no_landing_space` like a closed one, and `turnaround` is the wait of a row hit for the
other direction.  `precharge` is everything from the decision to close (at the earliest the end of the last column) to
the next legal ACT, and `refresh` lasts from REFpb to the next legal ACT.
"""

from __future__ import annotations

from nmpsim.dram.native.record import flush_access, flush_interval, record_reason
from nmpsim.dram.native.state import (
    ACCESS,
    ACTIVATE,
    ACTIVATION_BUDGET,
    NO_LANDING_SPACE,
    NO_REQUEST,
    PORT_BUSY,
    PRECHARGE,
    REFRESH,
    REFRESHING,
    TRANSFER,
    TURNAROUND,
    WRITE_DATA_LATE,
)
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.link.fifo import credit_at, head_at
from nmpsim.link.memory_port import run_at
from nmpsim.spec.params import ACT, RD, WR


@inlined
def edge(tick, period):
    """Return the first clock edge not before `tick`; NEVER stays NEVER."""
    if tick >= NEVER:
        return NEVER
    return -(-tick // period) * period


@inlined
def space_at(state, c, b):
    """Return the tick at which the next row access of the run at the head has landing space; 0 for writes."""
    queue = state.queue[c, b]
    runs = state.run[c, b]
    if queue.taken >= queue.posted:
        return 0
    run = runs[queue.taken % len(runs)]
    slots = state.slot[c, b]
    if run.is_write or run.columns > len(slots):  # the second is a fault, found when the row is about to start
        return 0
    return credit_at(state.fifo[c, b], slots, run.columns)


@inlined
def refresh_due_at(bank, b, params, period):
    """Return the tick from which the bank owes one refresh; NEVER with refresh off."""
    if params.refresh == 0:
        return NEVER
    return (params.nREFI * (bank.refreshes + 1) + params.nREFI * b // params.banks) * period


@inlined
def refresh_limit_at(due_at, params, period):
    """Return the tick from which no row access may begin before a refresh; `due_at` is the first debt's tick."""
    if due_at >= NEVER:
        return NEVER
    return due_at + params.postpone * params.nREFI * period


@inlined
def charge(state, c, b, reason, start, end, low, high, period):
    """Add the cycles of [start, end) that lie in [low, high) to a reason of a bank (changes the stall table)."""
    first = max(start, low)
    last = min(end, high)
    if last > first:
        state.stall[c, b, reason] += (last - first) // period
        record_reason(state, c, b, reason, first, last)


@inlined
def charge_columns(state, c, b, until, low, period):
    """Charge a row access up to its last issued column, and count its columns; return that column's tick."""
    bank = state.bank[c, b]
    counter = state.counter[c, b]
    columns = state.column[c, b]
    reason = ACTIVATE
    if bank.is_hit:
        reason = TRANSFER if bank.is_write == bank.was_write else TURNAROUND
    previous = bank.began_at
    moved = 0
    for j in range(bank.issued):
        column = columns[j]
        charge(state, c, b, reason, previous, column.legal_at, low, until, period)
        charge(state, c, b, WRITE_DATA_LATE, column.legal_at, column.data_at, low, until, period)
        charge(state, c, b, PORT_BUSY, column.data_at, column.issued_at, low, until, period)
        reason = TRANSFER
        previous = column.issued_at
        if low <= previous < until:
            moved += 1
    if bank.is_write:
        counter.WR += moved
    else:
        counter.RD += moved
    counter.beats += moved
    if bank.issued < bank.columns:
        legal_at = max(state.ready[c, b, WR if bank.is_write else RD], bank.began_at)
        data_at = legal_at
        if bank.is_write:
            data_at = max(legal_at, edge(head_at(state.write_fifo[c, b], state.write_slot[c, b]), period))
        charge(state, c, b, reason, previous, legal_at, low, until, period)
        charge(state, c, b, WRITE_DATA_LATE, legal_at, data_at, low, until, period)
        charge(state, c, b, PORT_BUSY, data_at, NEVER, low, until, period)
    return previous


@inlined
def charge_waiting(state, c, b, seen_at, fits_at, start, end, low, until, period):
    """Charge [start, end) of a bank that waits for a row access that could start; return the end of that."""
    seen_from = min(max(start, seen_at), end)
    fits_from = min(max(start, fits_at), end)
    charge(state, c, b, NO_REQUEST, start, seen_from, low, until, period)
    charge(state, c, b, NO_LANDING_SPACE, seen_from, fits_from, low, until, period)
    return fits_from


@inlined
def account(state, c, b, until, params, period, latency):
    """Bring the counters and the stall table of a bank up to the edge `until` (changes `counter` and `stall`)."""
    bank = state.bank[c, b]
    low = bank.accounted
    if until <= low:
        return
    bank.accounted = until
    counter = state.counter[c, b]
    closed_from = state.ready[c, b, ACT]
    seen_at = edge(run_at(state.queue[c, b], state.run[c, b]), period)
    fits_at = max(edge(space_at(state, c, b), period), seen_at)
    if bank.phase == REFRESHING:
        if low <= bank.began_at < until:
            counter.REF += 1
        charge(state, c, b, REFRESH, bank.began_at, closed_from, low, until, period)
    elif bank.phase == ACCESS:
        if low <= bank.began_at < until:
            if bank.is_hit:
                counter.hits += 1
            else:
                counter.ACT += 1
        previous = charge_columns(state, c, b, until, low, period)
        if bank.issued < bank.columns:
            return
        command = WR if bank.is_write else RD
        end = min(previous + max(latency[bank.tier, command, command], 1) * period, bank.closed_at)
        charge(state, c, b, TRANSFER, previous, end, low, until, period)
        closing_from = max(end, bank.closing_at) if bank.closing else NEVER
        charge_waiting(state, c, b, seen_at, fits_at, end, closing_from, low, until, period)
        if bank.is_open:
            charge(state, c, b, PRECHARGE, closing_from, NEVER, low, until, period)
            return
        if low <= bank.closed_at < until:
            counter.PRE += 1
        charge(state, c, b, PRECHARGE, closing_from, closed_from, low, until, period)
    limit_at = refresh_limit_at(refresh_due_at(bank, b, params, period), params, period)
    forced_from = max(closed_from, limit_at)
    fits_from = charge_waiting(state, c, b, seen_at, fits_at, closed_from, forced_from, low, until, period)
    charge(state, c, b, ACTIVATION_BUDGET, fits_from, forced_from, low, until, period)
    charge(state, c, b, REFRESH, forced_from, NEVER, low, until, period)


@kernel
def settle(now, params, period, latency, state):
    """Bring counters and stall table of all banks up to `now`: they then hold all that happened before `now`.

    May be called at any tick and as often as wanted; it changes nothing but the two tables.

    Parameters
    ----------
    now : int
        Ticks.
    params : DramParams
    period : int
        DRAM clock period; ticks.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations of two commands of one bank, -1 = none; DRAM cycles.
    state : DramState
    """
    until = edge(now, period)
    for c in range(state.bank.shape[0]):
        for b in range(state.bank.shape[1]):
            account(state, c, b, until, params, period, latency)


@kernel
def close_records(state):
    """Append what every bank still holds to the logs of the recording."""
    if state.interval.shape[1] > 0:
        for c in range(state.bank.shape[0]):
            for b in range(state.bank.shape[1]):
                flush_interval(state, c, b)
                state.bank[c, b].held_from = state.bank[c, b].held_to
                flush_access(state, c, b)
