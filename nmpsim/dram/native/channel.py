"""One DRAM channel: the sequencers of its banks, their ports and their share of the activation budget.

    run queue --> [ sequencer | bank 0 ] --port--> landing FIFO of strip 0
    run queue --> [ sequencer | bank 1 ] --port--> landing FIFO of strip 1
                        :   activation budget (nRRD, nFAW) of the channel, and of the die

The rules of a cycle are in docs/dram/native.md.  ACT, REFpb, row hits and grants of shared ports are decided at the
tick of the visit only, because they depend on what other banks and components do.  The columns of a row access whose
bank has its port, and a PRE that is decided, are private to the bank: with ``plain == 0`` they are issued at once, with
their own future ticks; with ``plain == 1`` each one on its tick.
"""

from __future__ import annotations

from nmpsim.dram.native.bank import (
    BEGIN,
    CLOSE,
    STAY,
    begin_hit,
    decide_open,
    head_fault,
    issue,
    next_column,
    next_start,
)
from nmpsim.dram.native.budget import budget_at, has_die_budget
from nmpsim.dram.native.port import grant_ports, is_shared
from nmpsim.dram.native.state import NO_FAULT
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.spec.params import ACT, PRE, RD, REF, WR


@inlined
def note_fault(state, c, b, fault, now):
    """Keep the first fault of a channel."""
    channel = state.channel[c]
    if channel.fault == NO_FAULT:
        channel.fault = fault
        channel.fault_bank = b
        channel.fault_at = now


@inlined
def quiet_until(state, c, b, params, period):
    """Return the tick before which no command of the bank is legal and no decision falls, whatever others stamp."""
    bank = state.bank[c, b]
    ready = state.ready[c, b]
    if bank.is_open == 0:
        return min(ready[ACT], ready[REF])
    if bank.issued == bank.columns:
        if bank.closing:
            return ready[PRE]
        return state.column[c, b, bank.issued - 1].issued_at + period
    if is_shared(params) and bank.port == 0:
        return 0
    return ready[WR if bank.is_write else RD]


@inlined
def step_closed(state, c, b, now, params, period):
    """Return (command, tick) of a closed bank; a tick > `now` or of no command means that nothing is issued now."""
    start_at, refresh_at = next_start(state, c, b, now, params, period)
    if min(start_at, refresh_at) > now:
        return REF, min(start_at, refresh_at)
    if refresh_at <= start_at:
        return REF, now
    fault = head_fault(state, c, b, params)
    if fault != NO_FAULT:
        note_fault(state, c, b, fault, now)
        return REF, refresh_at
    return ACT, now


@inlined
def step_bank(state, c, b, now, plain, params, period, latency):
    """Issue what the bank may issue; return the tick to look again, and whether it waits for the channel's budget."""
    bank = state.bank[c, b]
    ready = state.ready[c, b]
    while True:
        if bank.is_open == 0:
            command, at = step_closed(state, c, b, now, params, period)
            if at > now:
                return at, False
            if command == ACT:
                refresh_at = next_start(state, c, b, now, params, period)[1]
                if has_die_budget(params):
                    state.channel[c].wants_act = 1
                    return refresh_at, False
                if budget_at(state, c, params, period) > now:
                    return refresh_at, True
        elif bank.issued < bank.columns:
            if is_shared(params) and bank.port == 0:
                return NEVER, False  # the ports look after it
            command, at = next_column(state, c, b, now, period)
            if at >= NEVER or (plain and at > now):
                return at, False
        elif bank.closing:
            command = PRE
            at = max(ready[PRE], now)
            if plain and at > now:
                return at, False
        else:
            decision, at = decide_open(state, c, b, now, params, period)
            if decision == STAY:
                return at, False
            if decision == CLOSE:
                bank.closing = 1
                bank.closing_at = now
            elif decision == BEGIN:
                begin_hit(state, c, b, now, params, period, latency)
            continue
        issue(state, c, b, command, at, params, period, latency)


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

    With a die budget, `grant_activations` must follow once all channels were visited at `now`.

    Wake rule: earliest next command of any bank; a bank that waits for the activation budget wakes the channel when
    the budget is free.  Who posts a run, frees a landing slot or stamps a write datum lowers the wake to that stamp.
    """
    channel = state.channel[c]
    channel.first_ready_at = NEVER
    channel.wants_act = 0
    wake = NEVER
    over_budget = False
    first = channel.next_bank
    for offset in range(params.banks):
        b = (first + offset) % params.banks
        bank = state.bank[c, b]
        if bank.quiet_until > now:
            wake = min(wake, bank.quiet_until)
            continue
        at, waits = step_bank(state, c, b, now, plain, params, period, latency)
        over_budget = over_budget or waits
        bank.quiet_until = quiet_until(state, c, b, params, period)
        wake = min(wake, at)
    if is_shared(params):
        wake = min(wake, grant_ports(state, c, now, params, period, latency))
    if over_budget:
        wake = min(wake, budget_at(state, c, params, period))
    return wake
