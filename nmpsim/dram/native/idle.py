"""Whether a channel has anything left to do, refresh apart."""

from __future__ import annotations

from nmpsim.dram.account import space_at
from nmpsim.dram.channel import next_private
from nmpsim.kernel import NEVER, inlined
from nmpsim.link.memory_port import run_at


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
        if state.bank[c, b].is_open:
            if next_private(state, c, b, period)[1] < NEVER:
                return False
        elif max(run_at(state.queue[c, b], state.run[c, b]), space_at(state, c, b)) < NEVER:
            return False
    return True
