"""Timing: what the issue of a command holds back, and from when on a command is allowed.

``ready[command, unit]`` is kept exact at every issue, so asking is one read.  A rule with a window counts the
window-th latest issue, this one included: with nFAW, window 4, the fourth ACT back.

    issue of ACT at     10   14   18   22        next ACT of the pseudo channel: not before 10 + nFAW
"""

from __future__ import annotations

from nmpsim.kernel import inlined


@inlined
def hold_back(now, command, unit, table, state):
    """Raise the ready ticks of all commands that must wait for this one (changes `ready`, `gate` and `ring`)."""
    for r in range(table.start[command], table.start[command + 1]):
        rule = table.rule[r]
        span = table.range[r, unit]
        at = now + rule.latency
        if rule.window > 1:
            ring = rule.ring + span.place
            clocks = state.ring[ring]
            count = state.ring_count[ring]
            clocks[count % rule.window] = now
            state.ring_count[ring] = count + 1
            if count + 1 < rule.window:
                continue
            at = clocks[(count + 1) % rule.window] + rule.latency
        held = state.ready[rule.following]
        for u in range(span.first, span.last):
            held[u] = max(held[u], at)
        if rule.whole:
            state.gate[rule.following] = max(state.gate[rule.following], at)
