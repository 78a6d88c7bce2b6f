"""Row policy ClosedCAP: a bank that had its number of column commands is closed.

The next column command becomes RDA or WRA if that is allowed at once.  Otherwise, as soon as PREpb is allowed, one
PREpb per opening goes into the priority queue.
"""

from __future__ import annotations

from nmpsim.dram.reference.build import ACT, PREPB, RD, RDA, WR
from nmpsim.dram.reference.refresh import put
from nmpsim.dram.reference.state import READS, WRITES
from nmpsim.kernel import NEVER, inlined


@inlined
def ask_to_close(now, limits, state):
    """Put a PREpb into the priority queue for every bank over the cap; return the next tick at which one could be."""
    channel = state.channel[0]
    wake = NEVER
    if channel.capped > 0:
        for b in range(limits.banks):
            bank = state.bank[b]
            if bank.columns >= limits.cap and bank.asked == 0:
                at = state.ready[PREPB, b]
                if at > now:
                    wake = min(wake, at)
                elif put(now, PREPB, b, limits, state):
                    bank.asked = 1
                    channel.capped -= 1
                else:
                    wake = now + 1
    return wake


@inlined
def with_precharge(now, command, b, limits, state):
    """Return RDA for RD and WRA for WR if the bank has reached the cap and that is allowed now."""
    if limits.auto_precharge and (command == RD or command == WR) and state.bank[b].columns >= limits.cap:
        if state.ready[command + RDA - RD, b] <= now:
            return command + RDA - RD
    return command


@inlined
def count_column(b, limits, state):
    """Count a RD or WR of a bank (changes the bank)."""
    bank = state.bank[b]
    bank.columns += 1
    if bank.columns == limits.cap and bank.asked == 0:
        state.channel[0].capped += 1


@inlined
def close_bank(b, limits, state):
    """Close a bank, open or not (changes the bank, and what its requests want)."""
    bank = state.bank[b]
    if limits.cap >= 0:
        was = bank.columns >= limits.cap and bank.asked == 0
        if was != (limits.cap == 0):
            state.channel[0].capped += 1 if limits.cap == 0 else -1
    bank.columns = 0
    bank.asked = 0
    if bank.row < 0:
        return
    bank.row = -1
    bank.row_command = ACT
    for q in (READS, WRITES):
        queue = state.queue[q]
        queue.hits -= state.hit[q, b]
        state.hit[q, b] = 0
        if state.waiting[q, b] > 0:
            queue.quiet_row = min(queue.quiet_row, state.ready[ACT, b])
