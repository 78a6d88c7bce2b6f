"""The gateway of a node and its link to the neighbour stacks.

    die --> up --------------------+                     +--> queue 0 --> die
                                   v                     |
            queue 1, 2, ... --> [ link: flits cut to its width ] --> queue 1, 2, ... (still so many links to go)
                  ^                                      |
                  +--------------------------------------+

The machine is one of `stacks` stacks in a ring that all do the same at the same time: what leaves on its link comes in
by it, as sent by the neighbour.  A node has one link, used for both neighbours: it sends and takes a flit at a time.

A message that still has k links to cross goes into queue k - 1, which is a virtual channel of the link with a buffer
and credits of its own, held from head to tail.  Queue k waits for queue k - 1 only, and queue 0 for the die: no circle
(Merlin and Schweitzer, "Deadlock avoidance in store-and-forward networks", IEEE Trans. Communications 28, 1980).
"""

from nmpsim.kernel import NEVER, inlined
from nmpsim.link.network_port import blank_flit, copy_flit, flit_at, flit_space_at, head_flit, take_flit, write_flit
from nmpsim.noc.die.record import record_link
from nmpsim.noc.die.state import FREE, FROM_DIE, FROM_STACK, NO_CREDIT, NO_FLIT, TRANSFER, VC_BUSY


@inlined
def link_cycles(carried, width):
    """Return the cycles that a flit takes on a link; a part of a cycle counts in full."""
    return max(1, -(-carried // width))


@inlined
def cross(c, k, origin, queue, flits, now, noc, link, noc_period, ports, fabric):
    """Send the flit at the head of a queue over the link of node `c` into queue `k` behind it."""
    record, holder = fabric.link[c], fabric.holder[c, k]
    flit = head_flit(queue, flits)
    cycles = link_cycles(flit.bytes, link.bytes)
    arrives = now + (cycles + link.latency) * link.period
    target, slots = fabric.queue[c, k], fabric.queue_flit[c, k]
    there = blank_flit(target, slots)
    copy_flit(there, flit)
    there.stack = k
    ready = arrives
    if k == 0:
        ready = (arrives // noc_period + noc.nSYNC) * noc_period
        ports.wake[c] = min(ports.wake[c], ready)
    write_flit(target, slots, ready)
    holder.owner = FREE if flit.last == 1 else origin
    if flit.last == 1:
        holder.turn = FROM_DIE if origin == FROM_STACK else FROM_STACK
    record.free_at = now + cycles * link.period
    record.turn = k + 1 if k + 1 < fabric.queue.shape[1] else 0
    record.flits += 1
    record.cycles += cycles
    record.bytes += flit.bytes
    free_at = now + link.period
    if origin == FROM_DIE:
        free_at = (now // noc_period + noc.nCREDIT + 1) * noc_period
        ports.wake[c] = min(ports.wake[c], free_at)
    take_flit(queue, flits, free_at)


@inlined
def try_link(c, now, noc, link, noc_period, ports, fabric):
    """Send at most one flit over the link of node `c`; return (reason, tick to look again)."""
    record = fabric.link[c]
    if record.free_at > now:
        return TRANSFER, record.free_at
    hops = fabric.queue.shape[1]
    reason, look = NO_FLIT, NEVER
    for i in range(hops):
        k = (record.turn + i) % hops
        holder = fabric.holder[c, k]
        space = flit_space_at(fabric.queue[c, k], fabric.queue_flit[c, k])
        if space < NEVER and space > 0:
            space += link.latency * link.period  # of the credit
        for j in range(2):
            origin = holder.turn if j == 0 else FROM_STACK - holder.turn
            if origin == FROM_STACK and k + 1 >= hops:
                continue
            if origin == FROM_DIE:
                queue, flits = fabric.up[c], fabric.up_flit[c]
            else:
                queue, flits = fabric.queue[c, k + 1], fabric.queue_flit[c, k + 1]
            ready = flit_at(queue, flits)
            if ready > now:
                look = min(look, ready)
                continue
            if head_flit(queue, flits).stack != k + 1:
                continue
            if holder.owner != FREE and holder.owner != origin:
                if reason == NO_FLIT:
                    reason = VC_BUSY
                continue
            if space > now:
                reason = NO_CREDIT
                look = min(look, space)
                continue
            cross(c, k, origin, queue, flits, now, noc, link, noc_period, ports, fabric)
            return TRANSFER, record.free_at
    return reason, look


@inlined
def visit_link(c, now, noc, link, noc_period, ports, fabric):
    """Step the link of node `c` and account for its cycles; return its wake."""
    reason, look = try_link(c, now, noc, link, noc_period, ports, fabric)
    record = fabric.link[c]
    if reason != record.reason:
        record_link(fabric, len(fabric.link_note) + c, record.reason, record.since, now)
        fabric.link_stall[c, record.reason] += now - record.since
        record.since = now
        record.reason = reason
    return look
