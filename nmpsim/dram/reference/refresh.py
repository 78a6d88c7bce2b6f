"""Refresh: what is put into the priority queue, and when.

``ALL_BANK``       every nREFI one REFab per pseudo channel, in order
``PER_BANK``       every nREFIpb one REFpb, all banks in turn, in tree order
``HBM34_PER_BANK`` every nREFIpb the same bank of the same stack id in every pseudo channel, one per tick; banks in
                   turn, then stack ids.  A stack id whose banks were all refreshed may begin anew nRFCpb later; while
                   it may not, the manager tries again in every tick.

Nothing is postponed or pulled in.
"""

from __future__ import annotations

from nmpsim.dram.reference.build import ALL_BANK, HBM34_PER_BANK, REFAB, REFPB
from nmpsim.kernel import inlined


@inlined
def put(now, command, unit, limits, state):
    """Put a maintenance request into the priority queue; return 0 if it is full (changes the queue)."""
    channel = state.channel[0]
    if channel.priority_tail - channel.priority_head >= limits.priority_queue:
        return 0
    order = state.order[channel.priority_tail % limits.priority_queue]
    order.command = command
    order.unit = unit
    order.made_at = now
    channel.priority_tail += 1
    channel.quiet_priority = 0
    return 1


@inlined
def put_pending(now, limits, state):
    """Put the next refresh of a round into the priority queue (changes the queue, the refresher and its sets)."""
    refresher = state.refresher[0]
    scope = limits.scopes - refresher.pending
    bank = scope * limits.scope_banks + refresher.pending_sid * (limits.scope_banks // limits.sids)
    if put(now, REFPB, bank + refresher.pending_bank, limits, state):
        refresher.pending -= 1
        refresh_set = state.refresh_set[scope, refresher.pending_sid]
        refresh_set.refreshed += 1
        if refresh_set.refreshed == limits.scope_banks // limits.sids:
            refresh_set.refreshed = 0
            refresh_set.allowed_at = now + limits.nRFCpb


@inlined
def round_allowed(now, limits, state):
    """Return whether the next stack id may be refreshed in every pseudo channel."""
    for scope in range(limits.scopes):
        if now < state.refresh_set[scope, state.refresher[0].sid].allowed_at:
            return False
    return True


@inlined
def begin_round(limits, state):
    """Make the next bank pending in every pseudo channel and go on to the bank after it (changes the refresher)."""
    refresher = state.refresher[0]
    refresher.pending = limits.scopes
    refresher.pending_bank = refresher.bank
    refresher.pending_sid = refresher.sid
    refresher.bank += 1
    if refresher.bank == limits.scope_banks // limits.sids:
        refresher.bank = 0
        refresher.sid = (refresher.sid + 1) % limits.sids


@inlined
def step_refresh(now, limits, state):
    """Do what falls due in this tick; return 0 if a refresh found the priority queue full."""
    refresher = state.refresher[0]
    if limits.refresh == HBM34_PER_BANK:
        if refresher.pending == 0:
            if now < refresher.next_at:
                return 1
            if not round_allowed(now, limits, state):
                refresher.next_at = now + 1
                return 1
            begin_round(limits, state)
            refresher.next_at += limits.interval
        put_pending(now, limits, state)
        return 1
    if now != refresher.next_at:
        return 1
    refresher.next_at += limits.interval
    if limits.refresh == ALL_BANK:
        for unit in range(limits.banks // limits.refab_banks):
            if put(now, REFAB, unit, limits, state) == 0:
                return 0
        return 1
    bank = refresher.bank
    refresher.bank = (bank + 1) % limits.banks
    return put(now, REFPB, bank, limits, state)


@inlined
def refresh_at(now, limits, state):
    """Return the next tick at which the refresher does something."""
    refresher = state.refresher[0]
    if limits.refresh == HBM34_PER_BANK and refresher.pending > 0:
        return now + 1
    return refresher.next_at
