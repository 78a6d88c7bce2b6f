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
from nmpsim.noc.state import FREE, NO_CREDIT, NO_FLIT, TRANSFER, VC_BUSY


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
def send_flit(r, d, now, params, period, state):
    """Send at most one flit over the link `d` of router `r`; return (reason, tick to look again)."""
    nodes, vcs = params.nodes, params.vcs
    link = state.link[r, d]
    to = (r + 1) % nodes if d == 0 else (r + nodes - 1) % nodes
    reason = NO_FLIT
    look = NEVER
    sent = 0
    next_turn = link.turn
    for i in range(vcs + 1):
        source = (link.turn + i) % (vcs + 1)
        is_new = 1 if source == vcs else 0
        if is_new:
            queue, flits = state.inject[r, d], state.inject_flit[r, d]
        else:
            queue, flits = state.buffer[r, d, source], state.buffer_flit[r, d, source]
        ready = flit_at(queue, flits)
        if ready == NEVER:
            continue
        flit = head_flit(queue, flits)
        if flit.destination == r:
            continue
        if queue.head > 0 and flits[(queue.head - 1) % len(flits)].free_at == now + params.nCREDIT * period:
            ready = now + period  # the buffer's read port has served the ejection in this cycle
        if ready > now:
            look = min(look, ready)
            continue
        vc = output_channel(r, d, source, is_new, flit.destination, params, state)
        if vc < 0:
            reason = VC_BUSY if reason == NO_FLIT else reason
            continue
        ahead, slots = state.buffer[to, d, vc], state.buffer_flit[to, d, vc]
        space = flit_space_at(ahead, slots)
        if space > now:
            reason = NO_CREDIT
            look = min(look, space)
            continue
        if sent == 1:
            state.node[r].conflicts += 1
            continue
        sent = 1
        copy_flit(blank_flit(ahead, slots), flit)
        state.output_vc[r, d, vc].owner = FREE if flit.last == 1 else source
        write_flit(ahead, slots, now + (params.nLINK + params.nROUTER) * period)
        state.wake[to] = min(state.wake[to], now + (params.nLINK + params.nROUTER) * period)
        take_flit(queue, flits, now + params.nCREDIT * period)
        if is_new:
            node = state.node[r]
            node.injected += 1
            node.credit_at = min(node.credit_at, now + params.nCREDIT * period)
        else:
            before = (r + nodes - 1) % nodes if d == 0 else (r + 1) % nodes
            state.wake[before] = min(state.wake[before], now + params.nCREDIT * period)
        link.flits += 1
        next_turn = (source + 1) % (vcs + 1)
    if sent == 1:
        link.turn = next_turn
        return TRANSFER, now + period
    return reason, look


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
