r"""Ports that several banks share: m layers over n ports, or one bus for a whole channel.

    bank 0 --\
    bank 1 ---+--> port 0 --> landing FIFOs          a port is free nBL after its last column,
    bank 2 ---+--> port 1 -->                        nRTW or nCWL + nCCD + nWTR after one of the other direction
    bank 3 --/

Three 2-column accesses over one port, nBL 1, ``port_hold`` row: while a bank streams, the others recharge::

    cycle    0    1    2    3    4    5    6    7    8    9
    bank 0   ACT            RD   RD        PRE
    bank 1   ACT                      RD   RD        PRE
    bank 2   ACT                                RD   RD
"""

from __future__ import annotations

from nmpsim.dram.native.bank import issue, next_column
from nmpsim.kernel import NEVER, inlined
from nmpsim.spec.params import RD, WR


@inlined
def is_shared(params):
    """Return whether banks must ask for a port."""
    return params.port_banks > 1


@inlined
def port_free_at(port, is_write, params, period, latency):
    """Return the tick from which a port can move a column of the given direction; NEVER while it is held."""
    if port.is_held:
        return NEVER
    if port.columns == 0:
        return 0
    if port.is_write == is_write:
        return port.last_at + params.nBL * period
    if is_write:
        return port.last_at + max(latency[0, RD, WR], 1) * period
    return port.last_at + max(latency[0, WR, RD], 1) * period


@inlined
def grant_port(state, c, b, command, now, kept, params, period, latency):
    """Issue the next column of a bank on the first free port of its group that is not kept for an older bank.

    Returns the tick to ask again (0 if it was issued), and the ports kept so far, a bit each.
    """
    bank = state.bank[c, b]
    first = b // params.port_banks * params.ports
    again_at = NEVER
    keep = 0
    for p in range(params.ports):
        port = state.port[c, first + p]
        if port.last_at > now:  # released then, and another port may be kept from then on
            again_at = min(again_at, port.last_at)
        if (kept >> p) & 1:
            continue
        free_at = port_free_at(port, bank.is_write, params, period, latency)
        if free_at <= now:
            bank.port = first + p + 1
            port.is_held = 1
            issue(state, c, b, command, now, params, period, latency)
            return 0, kept
        again_at = min(again_at, free_at)
        if keep == 0 and port.is_held == 0 and port.last_at <= now:  # columns ahead of time: still held
            keep = 1 << p
    return again_at, kept | keep


@inlined
def next_waiting(state, c, low, high, age, number, now, period):
    """Return the bank in [low, high) that waits for a port now and comes next after (age, number); -1 if none."""
    oldest = -1
    oldest_at = NEVER
    for b in range(low, high):
        bank = state.bank[c, b]
        if bank.is_open == 0 or bank.issued == bank.columns or bank.port > 0:
            continue
        later = bank.began_at > age or (bank.began_at == age and b > number)
        if later and bank.began_at < oldest_at and next_column(state, c, b, now, period)[1] <= now:
            oldest = b
            oldest_at = bank.began_at
    return oldest


@inlined
def grant_group(state, c, group, now, params, period, latency):
    """Serve the waiting banks of one group by age; return the tick at which one of them may be served next."""
    low = group * params.port_banks
    high = min(low + params.port_banks, params.banks)
    wake = NEVER
    for b in range(low, high):
        bank = state.bank[c, b]
        if bank.is_open and bank.issued < bank.columns and bank.port == 0:
            at = next_column(state, c, b, now, period)[1]
            if at > now:
                wake = min(wake, at)
    age, kept = -1, 0
    b = next_waiting(state, c, low, high, age, -1, now, period)
    while b >= 0:
        age = state.bank[c, b].began_at
        command = next_column(state, c, b, now, period)[0]
        again_at, kept = grant_port(state, c, b, command, now, kept, params, period, latency)
        wake = min(wake, again_at if again_at > now else now + period)
        b = next_waiting(state, c, low, high, age, b, now, period)
    return wake


@inlined
def grant_ports(state, c, now, params, period, latency):
    """Give the free ports of a channel to the banks that wait for one; return the tick to look again."""
    wake = NEVER
    groups = (params.banks + params.port_banks - 1) // params.port_banks
    for group in range(groups):
        wake = min(wake, grant_group(state, c, group, now, params, period, latency))
    return wake
