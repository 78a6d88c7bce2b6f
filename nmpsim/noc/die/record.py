"""What only a recording needs: what the links did, as intervals.

A link between routers is busy in the cycle in which a flit leaves the switch for it, so its busy cycles are its flits;
they are known when the flit wins the switch, ``nSA + nST`` cycles before.  Nothing is sent in cycles that are not
visited.  A link between stacks has its reasons from the gateway's own account.

::

    cycle          0    1    2    3    4    5    6    7
    wins                *    *         *
    leaves (2 on)                 *    *         *
    intervals      no_flit 0..3   transfer 3..5  no_flit 5..6, transfer 6..7
"""

from __future__ import annotations

from nmpsim.kernel import inlined
from nmpsim.noc.die.state import NO_FLIT, TRANSFER


@inlined
def record_link(fabric, n, reason, start, end):
    """Append an interval of link `n` to the log, if there is a log and it is not empty."""
    if end > start and len(fabric.link_log) > 0:
        entry = fabric.link_log[fabric.link_logged[0]]
        entry.link = n
        entry.reason = reason
        entry.start = start
        entry.end = end
        fabric.link_logged[0] += 1


@inlined
def observe_links(now, noc, period, fabric):
    """Record what the links between routers were given in the visited cycle at tick `now`."""
    if len(fabric.link_log) == 0:
        return
    leaves = now + (noc.nSA + noc.nST) * period
    for n in range(len(fabric.link_note)):
        note = fabric.link_note[n]
        flits = fabric.routers.output_port[note.port].flits
        if flits != note.counted:
            note.counted = flits
            if note.until != leaves:
                record_link(fabric, n, TRANSFER, note.since, note.until)
                record_link(fabric, n, NO_FLIT, note.until, leaves)
                note.since = leaves
            note.until = leaves + period


@inlined
def link_log_nearly_full(fabric):
    """Return whether the log of the links might not hold what one more tick records."""
    rows = len(fabric.link_log)
    return rows > 0 and fabric.link_logged[0] + 2 * len(fabric.link_note) + len(fabric.link) > rows
