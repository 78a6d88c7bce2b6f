"""Copies along a tree: a buffer whose branches send on their own.

Every branch of a packet is a virtual channel of a pseudo input port, so it gets a channel and the switch as any head
does, and each goes on when it can (asynchronous replication).  A place of the buffer is free, and its credit goes
back, when the slowest branch has sent the flit.  The branches begin the next packet when all have sent the tail.

Why nothing waits in a circle: a packet is not longer than the buffer, so what is at its front finds room there as a
whole, and no branch keeps another from its flits.  What is left are waits of a channel for those behind it in the
tree; `check_trees` looks for circles among these.
"""

from nmpsim.kernel import inlined, lowest_bit
from nmpsim.noc.router.bits import without_lowest
from nmpsim.noc.router.events import enter_channel
from nmpsim.noc.router.state import HEAD, PACKET_BIT, TAIL
from nmpsim.noc.router.tree_state import MULTICAST


@inlined
def show_flits(r, p, m, now, begin, params, state):
    """Show the branches what they have not seen of their packet; begin a packet if there is none."""
    f = (r * (params.real_ports + 1) + p) * params.multicast_vcs + m
    copied = state.copied[f]
    while copied.shown < copied.count:
        flit = state.copied_flit[f, (copied.head + copied.shown) & (params.places - 1)]
        if flit & HEAD:
            if copied.branches != 0:
                return
            operation = state.operation[flit >> PACKET_BIT]
            at = state.tree_at[operation.tree * params.routers + r]
            copied.branches = at.down
            if operation.kind == MULTICAST and at.is_root:  # the root has its own
                copied.branches &= ~(1 << at.up)
            copied.left = copied.branches
            copied.is_open = 1
        copied.shown += 1
        if flit & TAIL:
            copied.is_open = 0
        rest = copied.branches
        while rest != 0:
            o = lowest_bit(rest)
            rest = without_lowest(rest)
            v = p * params.multicast_vcs + m
            enter_channel(r, params.real_ports + o, v, flit, now, begin, params, state)


@inlined
def enter_copied(r, p, m, flit, now, params, state):
    """Take a flit into the multicast buffer of input `p` (behind the last one: of the adder) and channel `m`."""
    f = (r * (params.real_ports + 1) + p) * params.multicast_vcs + m
    copied = state.copied[f]
    place = (copied.head + copied.count) & (params.places - 1)
    state.copied_flit[f, place] = flit
    state.first_sent[f, place] = -1
    copied.count += 1
    show_flits(r, p, m, now, now, params, state)


@inlined
def branch_sent(r, p, v, flit, now, params, state):
    """Note that a channel of pseudo port `p` has sent a flit; return the input whose credit goes back, -1 if none."""
    o = p - params.real_ports
    m = v % params.multicast_vcs
    source = v // params.multicast_vcs
    if source > params.real_ports:  # a sum
        state.lane[r * params.lanes + v - (params.real_ports + 1) * params.multicast_vcs].room += 1
        return -1
    adder = state.adder[r]
    f = (r * (params.real_ports + 1) + source) * params.multicast_vcs + m
    copied = state.copied[f]
    sent = state.branch_ahead[f, o]
    state.branch_ahead[f, o] = sent + 1
    place = (copied.head + sent) & (params.places - 1)
    if state.first_sent[f, place] < 0:
        state.first_sent[f, place] = now
    adder.copied += 1
    if flit & TAIL:
        copied.left &= ~(1 << o)
    rest = copied.branches
    while rest != 0:
        if state.branch_ahead[f, lowest_bit(rest)] == 0:
            return -1
        rest = without_lowest(rest)
    rest = copied.branches
    while rest != 0:
        state.branch_ahead[f, lowest_bit(rest)] -= 1
        rest = without_lowest(rest)
    first = state.first_sent[f, copied.head]
    adder.released += 1
    if first != now:
        adder.split += 1
        adder.split_wait += now - first
    copied.head = (copied.head + 1) & (params.places - 1)
    copied.count -= 1
    copied.shown -= 1
    if copied.left == 0 and copied.is_open == 0:
        copied.branches = 0
        show_flits(r, source, m, now + 1, now + params.sw_alloc_delay, params, state)
    return source
