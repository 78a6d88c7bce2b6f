"""One DRAM channel with a command sequencer and a data port per bank.

    run queue --> [ sequencer | bank 0 ] --beats--> landing FIFO of strip 0
    run queue --> [ sequencer | bank 1 ] --beats--> landing FIFO of strip 1
                        :   activation budget (nRRD, nFAW) shared by the banks of the channel

A row access is always ACT, `columns` times RD or WR, PRE (closed page, row by row); rows are never interrupted.
First cycles of two adjacent 2-column row accesses, nRCD 3, nRTP 2, nRAS 6, nRP 2, nCL 2, nPORT 1::

    cycle    0    1    2    3    4    5    6    7    8    9    10   11   12   13   14   15   16
    command  ACT            RD   RD        PRE       ACT            RD   RD        PRE
    ready_at                               b0   b1                                 b2   b3

Commands of a bank keep ``latency[tier, previous, next]`` cycles, with the tier of the row that the bank opened last
(an ACT counts with the row it opens).  Two commands of one bank are at least one cycle apart.  nRRD and nFAW hold
between the ACTs of all banks; when several banks could activate in one cycle, the first one at or after
``next_bank`` (the bank after the last ACT) wins.

Refresh (REFpb, one bank).  Refresh n = 1, 2, ... of bank b falls due at cycle ``nREFI * n + nREFI * b // banks``.
A closed bank pays one refresh it owes, when the timing table allows, if

* no row access could start: no run is seen, or the landing FIFO lacks space for its row; or
* it owes more than ``postpone``: then no row access begins before one refresh is paid.

Nothing is refreshed before it is due.  An open row is always finished first, so a bank whose write data is late may
owe more.

ACT and REFpb are issued at the tick of the visit only, because they depend on what other banks and components do.
The columns and the PRE of an activated row are private to the bank: with ``plain == 0`` they are issued at once, with
their own future ticks; with ``plain == 1`` each one on its tick.
"""

from __future__ import annotations

from nmpsim.dram.account import account, edge, refresh_due_at, refresh_limit_at, space_at
from nmpsim.dram.state import ACCESS, FAULT_COLUMN, FAULT_LANDING, FAULT_ROW, NO_FAULT, REFRESHING
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.link.fifo import head_at, pop, push
from nmpsim.link.memory_port import run_at, take_run
from nmpsim.spec.params import ACT, PRE, RD, REF, WR

COMMAND_COUNT = 5


@inlined
def budget_at(state, c, params, period):
    """Return the first tick at which nRRD and nFAW allow one more ACT in the channel."""
    activations = state.channel[c].activations
    last = state.activation[c]
    at = 0
    if params.nRRD > 0 and activations > 0:
        at = last[(activations - 1) % 4] + params.nRRD * period
    if params.nFAW > 0 and activations >= 4:
        at = max(at, last[activations % 4] + params.nFAW * period)
    return at


@inlined
def next_private(state, c, b, period):
    """Return (command, tick) of the next column or PRE of an open row; NEVER while its write datum is unknown."""
    bank = state.bank[c, b]
    ready = state.ready[c, b]
    if bank.issued == bank.columns:
        return PRE, ready[PRE]
    if bank.is_write == 0:
        return RD, ready[RD]
    return WR, max(ready[WR], edge(head_at(state.write_fifo[c, b], state.write_slot[c, b]), period))


@inlined
def next_start(state, c, b, now, params, period):
    """Return the ticks at which a closed bank wants its next ACT and its next REFpb; NEVER while unknown."""
    bank = state.bank[c, b]
    ready = state.ready[c, b]
    waiting_at = edge(max(run_at(state.queue[c, b], state.run[c, b]), space_at(state, c, b)), period)
    start_at = max(waiting_at, ready[ACT], now)
    if params.refresh == 0:
        return start_at, NEVER
    due_at = refresh_due_at(bank, b, params, period)
    limit_at = refresh_limit_at(due_at, params, period)
    refresh_at = max(due_at, ready[REF])
    if waiting_at <= refresh_at:  # a row is waiting when the refresh could be issued: postpone it
        refresh_at = max(limit_at, ready[REF])
    if start_at >= limit_at:
        start_at = NEVER
    return start_at, refresh_at


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
def begin_access(state, c, b, at, params, period):
    """Open the next row of the run at the head and reserve its landing space (changes the bank and its queues)."""
    channel = state.channel[c]
    bank = state.bank[c, b]
    queue = state.queue[c, b]
    runs = state.run[c, b]
    run = runs[queue.taken % len(runs)]
    state.activation[c, channel.activations % 4] = at
    channel.activations += 1
    channel.next_bank = (b + 1) % params.banks
    bank.phase = ACCESS
    bank.is_open = 1
    bank.row = run.first_row + bank.rows_begun * run.row_stride
    bank.tier = bank.row // params.rows_per_tier
    bank.first_column = run.first_column
    bank.columns = run.columns
    bank.issued = 0
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
def move_column(state, c, b, at, params, period):
    """Issue the next RD or WR: stamp its beat, or take its datum and count it (changes FIFOs and tokens)."""
    channel = state.channel[c]
    bank = state.bank[c, b]
    column = state.column[c, b, bank.issued]
    column.legal_at = at
    column.issued_at = at
    bank.issued += 1
    if bank.is_write == 0:
        ready_at = at + (params.nCL + params.nPORT) * period
        push(state.fifo[c, b], state.slot[c, b], ready_at, bank.target, bank.token)
        if ready_at < channel.first_ready_at:
            channel.first_ready_at = ready_at
    else:
        column.legal_at = state.ready[c, b, WR]
        pop(state.write_fifo[c, b], state.write_slot[c, b], at + (params.nCWL + params.nCREDIT) * period)
        token = state.token[c, bank.token]
        token.left -= 1
        if token.done_at < at + period:
            token.done_at = at + period
    bank.target += bank.target_stride


@inlined
def log_command(state, c, b, command, at):
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
        if command in (RD, WR):
            entry.column = bank.first_column + bank.issued - 1
            entry.count = 1
        elif command == ACT:
            entry.column = bank.first_column
            entry.count = bank.columns
        elif command == REF:
            entry.row = -1
    channel.logged += 1


@inlined
def issue(state, c, b, command, at, params, period, latency):
    """Issue one command of one bank at tick `at`: all its effects, then its row of the timing table."""
    bank = state.bank[c, b]
    if command in (RD, WR):
        move_column(state, c, b, at, params, period)
    elif command == PRE:
        bank.is_open = 0
        bank.closed_at = at
    else:
        account(state, c, b, at, params, period, latency)
        bank.began_at = at
        if command == ACT:
            begin_access(state, c, b, at, params, period)
        else:
            bank.phase = REFRESHING
            bank.refreshes += 1
    if state.log.shape[1] > 0:
        log_command(state, c, b, command, at)
    ready = state.ready[c, b]
    for following in range(COMMAND_COUNT):
        legal_at = at + max(latency[bank.tier, command, following], 1) * period
        if legal_at > ready[following]:
            ready[following] = legal_at


@kernel
def step_channel(c, now, plain, params, period, latency, state):
    """Advance channel `c` at the clock edge `now`; return its wake.

    Parameters
    ----------
    c : int
        Channel.
    now : int
        A multiple of `period`; ticks.
    plain : int
        1: one command per bank and visit, on its own tick; 0: columns and PRE of an open row ahead of time.
    params : DramParams
    period : int
        DRAM clock period; ticks.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations of two commands of one bank, -1 = none; DRAM cycles.
    state : DramState
        Changed.

    Returns
    -------
    int
        First tick > `now` at which the channel may act again; NEVER if only a stamp of somebody else can wake it.

    Timing
    ------
    Reads runs, credits and write data whose stamps are <= the tick of the command that needs them.  Writes
    ``ready_at`` of beats, ``free_at`` of runs and write slots and ``done_at`` of tokens, all in the future.

    Wake rule: earliest next command of any bank; a bank that waits for the activation budget wakes the channel when
    the budget is free.  Who posts a run, frees a landing slot or stamps a write datum lowers the wake to that stamp.
    """
    channel = state.channel[c]
    channel.first_ready_at = NEVER
    wake = NEVER
    over_budget = False
    first = channel.next_bank
    for offset in range(params.banks):
        b = (first + offset) % params.banks
        bank = state.bank[c, b]
        if bank.quiet_until > now:
            wake = min(wake, bank.quiet_until)
            continue
        while True:
            if bank.is_open:
                command, at = next_private(state, c, b, period)
                if at >= NEVER or (plain and at > now):
                    break
            else:
                start_at, refresh_at = next_start(state, c, b, now, params, period)
                command = REF
                at = min(start_at, refresh_at)
                if at > now:
                    break
                at = now
                if start_at < refresh_at:
                    command = ACT
                    runs = state.run[c, b]
                    fault = fault_of(runs[state.queue[c, b].taken % len(runs)], params, state.slot.shape[2])
                    if fault != NO_FAULT:
                        if channel.fault == NO_FAULT:
                            channel.fault = fault
                            channel.fault_bank = b
                            channel.fault_at = now
                        at = refresh_at
                        break
                    if budget_at(state, c, params, period) > now:
                        over_budget = True
                        at = refresh_at
                        break
            issue(state, c, b, command, at, params, period, latency)
        ready = state.ready[c, b]
        bank.quiet_until = ready[command] if bank.is_open else min(ready[ACT], ready[REF])
        wake = min(wake, at)
    if over_budget:
        wake = min(wake, budget_at(state, c, params, period))
    return wake
