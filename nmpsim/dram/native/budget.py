"""The activation budgets: nRRD and nFAW of a channel, and those of the whole die.

Power, not pins, limits how many rows a stack may open at once, so the window can span the die.  The budget of the die
is a round-robin arbiter: it acts after everything else of the cycle, so the order in which channels were visited has
no influence.

    channel 0: banks that want an ACT --+
    channel 1: banks that want an ACT --+--> arbiter, from next_channel on --> ACT, ACT, ...  while both budgets last
"""

from __future__ import annotations

from nmpsim.dram.native.bank import head_fault, issue, next_start
from nmpsim.dram.native.state import NO_FAULT
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.spec.params import ACT


@inlined
def has_die_budget(params):
    """Return whether an activation must ask the arbiter of the die."""
    return params.die_nRRD > 0 or params.die_nFAW > 0


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
def die_budget_at(state, params, period):
    """Return the first tick at which the window of the die allows one more ACT."""
    activations = state.die[0].activations
    last = state.die_activation
    acts = len(last)
    at = 0
    if params.die_nRRD > 0 and activations > 0:
        at = last[(activations - 1) % acts] + params.die_nRRD * period
    if params.die_nFAW > 0 and activations >= acts:
        at = max(at, last[activations % acts] + params.die_nFAW * period)
    return at


@inlined
def grant_channel(state, c, now, params, period, latency):
    """Give ACT to the banks of one channel while both budgets last; return when to ask again, NEVER if none must."""
    die = state.die[0]
    first = state.channel[c].next_bank
    for offset in range(params.banks):
        b = (first + offset) % params.banks
        if state.bank[c, b].is_open:
            continue
        start_at, refresh_at = next_start(state, c, b, now, params, period)
        if start_at > now or start_at >= refresh_at or head_fault(state, c, b, params) != NO_FAULT:
            continue
        free_at = max(budget_at(state, c, params, period), die_budget_at(state, params, period))
        if free_at > now:
            return free_at
        state.die_activation[die.activations % len(state.die_activation)] = now
        die.activations += 1
        die.next_channel = (c + 1) % len(state.channel)
        issue(state, c, b, ACT, now, params, period, latency)
    return NEVER


@kernel
def grant_activations(now, params, period, latency, state, wake):
    """Let the arbiter of the die give out activations at the clock edge `now`, after all channels were visited.

    Parameters
    ----------
    now : int
        A multiple of `period`; ticks.
    params : DramParams
    period : int
        DRAM clock period; ticks.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations of two commands of one bank, -1 = none; DRAM cycles.
    state : DramState
        Changed.
    wake : ndarray of int64, shape (channel,)
        Lowered where a channel was given an ACT or must ask again; ticks.

    Timing
    ------
    Without a die budget it does nothing.
    """
    if not has_die_budget(params):
        return
    channels = len(state.channel)
    first = state.die[0].next_channel
    for offset in range(channels):
        c = (first + offset) % channels
        channel = state.channel[c]
        if channel.wants_act == 0:
            continue
        channel.wants_act = 0
        before = channel.activations
        again_at = grant_channel(state, c, now, params, period, latency)
        if channel.activations != before:
            again_at = min(again_at, now + period)
        wake[c] = min(wake[c], again_at)
