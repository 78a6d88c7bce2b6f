"""Whether a channel has anything left to do, refresh apart."""

from __future__ import annotations

from nmpsim.dram.native.account import space_at
from nmpsim.dram.native.bank import next_column
from nmpsim.dram.native.port import is_shared
from nmpsim.kernel import NEVER, inlined
from nmpsim.link.memory_port import run_at


@inlined
def can_get_port(state, c, b, params):
    """Return whether a bank with columns left has a port, or one of its group is held by nobody."""
    if not is_shared(params) or state.bank[c, b].port > 0:
        return True
    first = b // params.port_banks * params.ports
    for p in range(first, first + params.ports):
        if state.port[c, p].is_held == 0:
            return True
    return False


@inlined
def idle_bank(state, c, b, params, period):
    """Return whether a bank can issue no command other than a refresh, unless somebody stamps something."""
    bank = state.bank[c, b]
    if bank.is_open and bank.issued < bank.columns:
        return next_column(state, c, b, 0, period)[1] >= NEVER or not can_get_port(state, c, b, params)
    if bank.is_open and bank.closing:
        return False
    return max(run_at(state.queue[c, b], state.run[c, b]), space_at(state, c, b)) >= NEVER


@inlined
def idle_channel(state, c, params, period):
    """Return whether no bank of channel `c` can issue a command other than a refresh, unless somebody stamps something.

    Parameters
    ----------
    state : DramState
    c : int
        Channel.
    params : DramParams
    period : int
        DRAM clock period; ticks.
    """
    for b in range(params.banks):
        if not idle_bank(state, c, b, params, period):
            return False
    return True
