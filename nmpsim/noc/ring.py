"""A bidirectional ring of wormhole routers with virtual channels and credits.

                 +--------- router ---------+
    cw in  ----> [vc 0][vc 1] --+--> cw out ----> next router
                     inject cw -+
                                +--> eject cw
    ccw out <---- (the same, mirrored) <---- ccw in

Every link direction has `vcs` virtual channels, each with its own buffer and read port at the receiving router.  A
packet holds an output channel from its head to its tail.  The dateline keeps the ring free of deadlock: packets use
the lower half of the channels until they cross the link between the last node and node 0, and the upper half after
it.  Each cycle a router sends at most one flit per output; inputs take turns.

Zero load, nROUTER = 2, nLINK = 1: a flit that may leave the injection queue at cycle t leaves the first router at t,
the second one at t + 3, and so on: ejection h hops away at t + h * (nROUTER + nLINK), seen by the core nSYNC core
cycles later::

    cycle       t    t+1   t+2   t+3   t+4   t+5   t+6
    router 0    SL
    router 1                     SL
    router 2                                       eject
"""

from __future__ import annotations

from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.link.network_port import blank_flit, flit_at, flit_space_at, head_flit, take_flit, write_flit
from nmpsim.noc.state import (
    BAD_DESTINATION,
    BROKEN_PACKET,
    FREE,
    NO_CREDIT,
    NO_FAULT,
    NO_FLIT,
    SWITCH_CONFLICT,
    TRANSFER,
    VC_BUSY,
)


@inlined
def copy_flit(target, flit):
    """Copy what a flit carries (changes `target`)."""
    target.source = flit.source
    target.destination = flit.destination
    target.message = flit.message
    target.sequence = flit.sequence
    target.last = flit.last
    target.signal = flit.signal
    target.address = flit.address
    target.bytes = flit.bytes


@inlined
def channel_class(r, d, vc, is_new, nodes, half):
    """Return 1 if a packet needs an upper channel on the link that leaves node `r` in direction `d`, else 0."""
    crosses = (d == 0 and r == nodes - 1) or (d == 1 and r == 0)
    if crosses or (is_new == 0 and vc >= half):
        return 1
    return 0


@inlined
def output_channel(r, d, source, is_new, destination, params, state):
    """Return the output channel that input `source` holds or may take on link `d`, -1 if another input holds it.

    The destination alone selects the channel within its class: so messages of one source to one destination never
    take different channels and never overtake each other.
    """
    half = params.vcs // 2
    if channel_class(r, d, source, is_new, params.nodes, half):
        vc = half + destination % (params.vcs - half)
    else:
        vc = destination % half
    owner = state.output_vc[r, d, vc].owner
    if owner == source or owner == FREE:
        return vc
    return -1


@inlined
def fault_of(r, flit, expected, nodes):
    """Return why router `r` refuses a flit of its injection queue; NO_FAULT if it may be sent."""
    if flit.destination == r or flit.destination < 0 or flit.destination >= nodes:
        return BAD_DESTINATION
    if flit.sequence != expected:
        return BROKEN_PACKET
    return NO_FAULT


@inlined
def port_served(queue, flits, free_at):
    """Return whether the read port of a buffer has already given out the flit whose place is free at `free_at`."""
    return queue.head > 0 and flits[(queue.head - 1) % len(flits)].free_at == free_at


@inlined
def forward_flit(r, d, source, vc, now, params, period, state):
    """Move the flit at the head of input `source` over link `d` into channel `vc` of the next router."""
    nodes = params.nodes
    to = (r + 1) % nodes if d == 0 else (r + nodes - 1) % nodes
    link = state.link[r, d]
    free_at = now + params.nCREDIT * period
    if source == params.vcs:
        queue, flits = state.inject[r, d], state.inject_flit[r, d]
    else:
        queue, flits = state.buffer[r, d, source], state.buffer_flit[r, d, source]
    flit = head_flit(queue, flits)
    ahead, slots = state.buffer[to, d, vc], state.buffer_flit[to, d, vc]
    copy_flit(blank_flit(ahead, slots), flit)
    ready_at = now + (params.nLINK + params.nROUTER) * period
    write_flit(ahead, slots, ready_at)
    state.wake[to] = min(state.wake[to], ready_at)
    state.output_vc[r, d, vc].owner = FREE if flit.last == 1 else source
    if source == params.vcs:
        node = state.node[r]
        node.injected += 1
        node.credit_at = min(node.credit_at, free_at)
        link.expected = 0 if flit.last == 1 else flit.sequence + 1
    else:
        before = (r + nodes - 1) % nodes if d == 0 else (r + 1) % nodes
        state.wake[before] = min(state.wake[before], free_at)
    take_flit(queue, flits, free_at)
    link.flits += 1
    link.turn = (source + 1) % (params.vcs + 1)


@inlined
def send_flit(r, d, now, params, period, state):
    """Send at most one flit over the link `d` of router `r`; return (reason, tick to look again)."""
    nodes, vcs = params.nodes, params.vcs
    link, node = state.link[r, d], state.node[r]
    to = (r + 1) % nodes if d == 0 else (r + nodes - 1) % nodes
    free_at = now + params.nCREDIT * period
    reason = NO_FLIT
    look = NEVER
    winner, winner_vc = -1, -1
    # decide: the first input, from `turn` on, that holds a flit for this link, a channel and a credit
    for i in range(vcs + 1):
        source = (link.turn + i) % (vcs + 1)
        is_new = 1 if source == vcs else 0
        if is_new:
            queue, flits = state.inject[r, d], state.inject_flit[r, d]
        else:
            queue, flits = state.buffer[r, d, source], state.buffer_flit[r, d, source]
        ready = flit_at(queue, flits)
        if ready > now:
            look = min(look, ready)
            continue
        flit = head_flit(queue, flits)
        if is_new:
            fault = fault_of(r, flit, link.expected, nodes)
            if fault != NO_FAULT:
                if node.fault == NO_FAULT:
                    node.fault = fault
                    node.fault_at = now
                continue
        elif flit.destination == r:
            continue
        vc = output_channel(r, d, source, is_new, flit.destination, params, state)
        if vc < 0:
            if reason == NO_FLIT:
                reason = VC_BUSY
            continue
        space = flit_space_at(state.buffer[to, d, vc], state.buffer_flit[to, d, vc])
        if space > now:
            if reason != SWITCH_CONFLICT:
                reason = NO_CREDIT
            look = min(look, space)
            continue
        if is_new == 0 and port_served(queue, flits, free_at):
            reason = SWITCH_CONFLICT  # the ejection has used the read port in this cycle, and looks again in the next
            continue
        if winner >= 0:
            node.conflicts += 1
            continue
        winner, winner_vc = source, vc
    # commit
    if winner < 0:
        return reason, look
    forward_flit(r, d, winner, winner_vc, now, params, period, state)
    return TRANSFER, now + period


@inlined
def eject_flit(r, d, now, params, period, core_period, state):
    """Hand at most one flit that arrived in direction `d` to the core; return the tick to look again."""
    nodes, vcs = params.nodes, params.vcs
    look = NEVER
    first = state.turn[r, d]
    for i in range(vcs):
        vc = (first + i) % vcs
        queue, flits = state.buffer[r, d, vc], state.buffer_flit[r, d, vc]
        ready = flit_at(queue, flits)
        if ready == NEVER:
            continue
        flit = head_flit(queue, flits)
        if flit.destination != r:
            continue
        if ready > now:
            look = min(look, ready)
            continue
        target, slots = state.eject[r, d], state.eject_flit[r, d]
        space = flit_space_at(target, slots)
        if space > now:
            look = min(look, space)
            continue
        copy_flit(blank_flit(target, slots), flit)
        at = (now // core_period + params.nSYNC) * core_period
        write_flit(target, slots, at)
        node = state.node[r]
        node.eject_at = min(node.eject_at, at)
        node.ejected += 1
        take_flit(queue, flits, now + params.nCREDIT * period)
        before = (r + nodes - 1) % nodes if d == 0 else (r + 1) % nodes
        state.wake[before] = min(state.wake[before], now + params.nCREDIT * period)
        state.turn[r, d] = (vc + 1) % vcs
        return now + period
    return look


@kernel
def step_router(r, now, plain, params, period, core_period, state):  # noqa: ARG001 (every step has the same form)
    """Advance router `r` at its clock edge `now`; return its wake.

    Parameters
    ----------
    r : int
        Node.
    now : int
        A multiple of `period`; ticks.
    plain : int
        Has no influence: a router never acts ahead of time.
    params : NocParams
    period, core_period : int
        Periods of network and core; ticks.
    state : NocState
        Changed.

    Returns
    -------
    int
        First tick > `now` at which the router may act; NEVER if only a flit or credit can wake it.

    Timing
    ------
    Takes flits whose ``ready_at`` and credits whose ``free_at`` are <= now; stamps flits and credits in the future.
    Wake rule: the next cycle after a flit moved, else the first stamp among the heads and the credits they lack; who
    sends a flit or returns a credit lowers the wake.
    """
    state.node[r].eject_at = NEVER
    state.node[r].credit_at = NEVER
    wake = NEVER
    for d in range(2):
        wake = min(wake, eject_flit(r, d, now, params, period, core_period, state))
        reason, look = send_flit(r, d, now, params, period, state)
        wake = min(wake, look)
        link = state.link[r, d]
        if reason != link.reason:
            state.stall[r, d, link.reason] += now - link.since
            link.since = now
            link.reason = reason
    return wake


@kernel
def settle_links(now, state):
    """Charge all intervals up to `now` to the reasons that hold (changes the accounts)."""
    for r in range(state.link.shape[0]):
        for d in range(2):
            link = state.link[r, d]
            state.stall[r, d, link.reason] += now - link.since
            link.since = now
