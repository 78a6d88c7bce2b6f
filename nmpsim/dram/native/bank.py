"""One bank: what its sequencer may do next, and the effects of every command.

Two adjacent 2-column row accesses, closed page, nRCD 3, nRTP 2, nRAS 6, nRP 2, nCL 2, nPORT 1::

    cycle    0    1    2    3    4    5    6    7    8    9    10   11   12   13   14   15   16
    command  ACT            RD   RD        PRE       ACT            RD   RD        PRE
    ready_at                               b0   b1                                 b2   b3

The same two accesses to one row with ``row_hits`` 2: the second one needs no ACT::

    cycle    0    1    2    3    4    5    6    7    8
    command  ACT            RD   RD   RD   RD        PRE

The rules are those of docs/dram/native.md.
"""

from __future__ import annotations

from nmpsim.dram.native.account import account, edge, refresh_due_at, refresh_limit_at, space_at
from nmpsim.dram.native.record import record_command
from nmpsim.dram.native.state import ACCESS, FAULT_COLUMN, FAULT_LANDING, FAULT_ROW, NO_FAULT, REFRESHING
from nmpsim.kernel import NEVER, inlined
from nmpsim.link.fifo import head_at, pop, push
from nmpsim.link.memory_port import run_at, take_run
from nmpsim.spec.params import ACT, HOLD_COLUMN, PRE, RD, REF, WR

COMMAND_COUNT = 5

STAY, CLOSE, BEGIN = 0, 1, 2
"""What an open bank without columns to move does: keep its row open, close it, or begin a row hit."""


@inlined
def next_column(state, c, b, now, period):
    """Return (command, tick) of the next column of an open row; NEVER while its write datum is unknown."""
    ready = state.ready[c, b]
    if state.bank[c, b].is_write == 0:
        return RD, max(ready[RD], now)
    data_at = edge(head_at(state.write_fifo[c, b], state.write_slot[c, b]), period)
    return WR, max(max(ready[WR], data_at), now)


@inlined
def fault_of(run, params, landing):
    """Return why a run cannot be executed, NO_FAULT if it can."""
    last_row = run.first_row + (run.rows - 1) * run.row_stride
    if run.rows < 1 or min(run.first_row, last_row) < 0 or max(run.first_row, last_row) >= params.rows:
        return FAULT_ROW
    if run.columns < 1 or run.first_column < 0 or run.first_column + run.columns > params.columns:
        return FAULT_COLUMN
    if run.is_write == 0 and run.columns > landing:
        return FAULT_LANDING
    return NO_FAULT


@inlined
def head_fault(state, c, b, params):
    """Return the fault of the run at the head of a queue that is not empty."""
    runs = state.run[c, b]
    return fault_of(runs[state.queue[c, b].taken % len(runs)], params, state.slot.shape[2])


@inlined
def next_start(state, c, b, now, params, period):
    """Return the ticks at which a closed bank wants its next ACT and its next REFpb; NEVER while unknown."""
    bank = state.bank[c, b]
    ready = state.ready[c, b]
    seen_at = edge(run_at(state.queue[c, b], state.run[c, b]), period)
    waiting_at = max(seen_at, edge(space_at(state, c, b), period))
    start_at = max(waiting_at, ready[ACT], now)
    if params.refresh == 0:
        return start_at, NEVER
    due_at = refresh_due_at(bank, b, params, period)
    limit_at = refresh_limit_at(due_at, params, period)
    refresh_at = max(due_at, ready[REF])
    if waiting_at <= refresh_at:  # a row is waiting when the refresh could be issued: postpone it
        refresh_at = max(limit_at, ready[REF])
    early_at = max(due_at - params.pull_in * params.nREFI * period, ready[REF], now)
    if early_at < seen_at:  # nobody wants the bank then
        refresh_at = min(refresh_at, early_at)
    if start_at >= limit_at:
        start_at = NEVER
    return start_at, refresh_at


@inlined
def decide_open(state, c, b, now, params, period):
    """Return (STAY, CLOSE or BEGIN, tick) of an open bank without columns left; STAY: look again at the tick."""
    bank = state.bank[c, b]
    after = state.column[c, b, bank.issued - 1].issued_at + period
    if now < after:
        return STAY, after
    due_at = refresh_due_at(bank, b, params, period)
    limit_at = refresh_limit_at(due_at, params, period)
    if now >= limit_at:
        return CLOSE, now
    queue = state.queue[c, b]
    runs = state.run[c, b]
    seen_at = edge(run_at(queue, runs), period)
    start_at = NEVER
    if seen_at < NEVER:
        run = runs[queue.taken % len(runs)]
        row = run.first_row + bank.rows_begun * run.row_stride
        if row != bank.row or fault_of(run, params, state.slot.shape[2]) != NO_FAULT:
            if seen_at <= now:
                return CLOSE, now
            start_at = seen_at
        else:
            start_at = max(seen_at, edge(space_at(state, c, b), period))
            if start_at <= now:
                return BEGIN, now
    if now >= due_at:
        return CLOSE, now
    return STAY, min(start_at, due_at)


@inlined
def begin_access(state, c, b, at, is_hit, params, period):
    """Begin the next row access of the run at the head and reserve its landing space (changes bank and queues)."""
    bank = state.bank[c, b]
    queue = state.queue[c, b]
    runs = state.run[c, b]
    run = runs[queue.taken % len(runs)]
    bank.phase = ACCESS
    bank.began_at = at
    bank.is_open = 1
    bank.is_hit = is_hit
    bank.hits = bank.hits + 1 if is_hit else 1
    bank.closing = 0
    bank.row = run.first_row + bank.rows_begun * run.row_stride
    bank.tier = bank.row // params.rows_per_tier
    bank.first_column = run.first_column
    bank.columns = run.columns
    bank.issued = 0
    bank.was_write = bank.is_write
    bank.is_write = run.is_write
    bank.target = 0
    bank.target_stride = 0
    if run.target != 0:
        bank.target = run.target + bank.rows_begun * run.columns * run.target_stride
        bank.target_stride = run.target_stride
    bank.token = run.token
    bank.closed_at = NEVER
    if run.is_write == 0:
        state.fifo[c, b].reserved += run.columns
    bank.rows_begun += 1
    if bank.rows_begun == run.rows:
        bank.rows_begun = 0
        take_run(queue, runs, at + period)


@inlined
def use_port(state, c, b, at, params):
    """Move one column over the shared port that the bank holds, and give it back if it may not be kept."""
    bank = state.bank[c, b]
    port = state.port[c, bank.port - 1]
    port.last_at = at
    port.is_write = bank.is_write
    port.columns += 1
    if params.port_hold == HOLD_COLUMN or bank.issued == bank.columns:
        port.is_held = 0
        bank.port = 0


@inlined
def move_column(state, c, b, at, params, period):
    """Issue the next RD or WR: stamp its beat, or take its datum and count it (changes FIFOs and tokens)."""
    channel = state.channel[c]
    bank = state.bank[c, b]
    column = state.column[c, b, bank.issued]
    column.legal_at = max(state.ready[c, b, WR if bank.is_write else RD], bank.began_at)
    column.data_at = column.legal_at
    column.issued_at = at
    bank.issued += 1
    if bank.is_write == 0:
        ready_at = at + (params.nCL + params.nPORT) * period
        push(state.fifo[c, b], state.slot[c, b], ready_at, bank.target, bank.token)
        if ready_at < channel.first_ready_at:
            channel.first_ready_at = ready_at
    else:
        fifo = state.write_fifo[c, b]
        slots = state.write_slot[c, b]
        column.data_at = max(column.legal_at, edge(head_at(fifo, slots), period))
        pop(fifo, slots, at + (params.nCWL + params.nCREDIT) * period)
        token = state.token[c, bank.token]
        token.left -= 1
        if token.done_at < at + period:
            token.done_at = at + period
    bank.target += bank.target_stride
    if bank.issued == bank.columns and bank.hits == params.row_hits:
        bank.closing = 1
        bank.closing_at = 0
    if bank.port > 0:
        use_port(state, c, b, at, params)


@inlined
def log_command(state, c, b, command, at, port):
    """Append one command to the log of the channel; beyond its capacity only count it."""
    channel = state.channel[c]
    bank = state.bank[c, b]
    if channel.logged < state.log.shape[1]:
        entry = state.log[c, channel.logged]
        entry.tick = at
        entry.channel = c
        entry.bank = b
        entry.command = command
        entry.row = bank.row
        entry.column = -1
        entry.count = 0
        entry.port = -1
        if command in (RD, WR):
            entry.column = bank.first_column + bank.issued - 1
            entry.count = 1
            entry.port = port
        elif command == ACT:
            entry.column = bank.first_column
            entry.count = bank.columns
        elif command == REF:
            entry.row = -1
    channel.logged += 1


@inlined
def begin_hit(state, c, b, at, params, period, latency):
    """Begin a row access of the open row."""
    account(state, c, b, at, params, period, latency)
    begin_access(state, c, b, at, 1, params, period)


@inlined
def issue(state, c, b, command, at, params, period, latency):
    """Issue one command of one bank at tick `at`: all its effects, then its row of the timing table."""
    bank = state.bank[c, b]
    port = bank.port - 1 if bank.port > 0 else b
    if command in (RD, WR):
        move_column(state, c, b, at, params, period)
    elif command == PRE:
        bank.is_open = 0
        bank.closed_at = at
    else:
        account(state, c, b, at, params, period, latency)
        if command == ACT:
            channel = state.channel[c]
            state.activation[c, channel.activations % 4] = at
            channel.activations += 1
            channel.next_bank = (b + 1) % params.banks
            begin_access(state, c, b, at, 0, params, period)
        else:
            bank.began_at = at
            bank.phase = REFRESHING
            bank.refreshes += 1
    if state.log.shape[1] > 0:
        log_command(state, c, b, command, at, port)
    record_command(state, c, b, command, at, port)
    ready = state.ready[c, b]
    for following in range(COMMAND_COUNT):
        legal_at = at + max(latency[bank.tier, command, following], 1) * period
        if legal_at > ready[following]:
            ready[following] = legal_at
