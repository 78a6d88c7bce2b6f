"""The clock loop of a network: arrivals, sources, routers."""

from nmpsim.kernel import NEVER, inlined, kernel, lowest_bit
from nmpsim.noc.router.arrivals import take_arrivals
from nmpsim.noc.router.bits import without_lowest
from nmpsim.noc.router.members import finish_branches, step_trees
from nmpsim.noc.router.sources import step_sources
from nmpsim.noc.router.state import NO_FAULT
from nmpsim.noc.router.switch import allocate_switch, join_those_ready
from nmpsim.noc.router.vc_allocation import allocate_channels

RUN, UNTIL_EMPTY, UNTIL_DRAINED = range(3)
"""When to stop before the last cycle: never; nothing left to make or in flight; nothing measured is left."""


@inlined
def step_router(r, now, params, state):
    """Step router `r` once: VC allocation, then switch allocation."""
    router = state.router[r]
    guesses = 0
    if router.vc_ports != 0:
        guesses = allocate_channels(r, now, params, state)
    if router.switch_ports != 0 or guesses != 0 or router.held_in != 0:
        allocate_switch(r, guesses, now, params, state)
    if router.soon_ports != 0:
        join_those_ready(r, now, params, state)
    if router.vc_ports == 0 and router.switch_ports == 0 and router.soon_ports == 0 and router.held_in == 0:
        state.work[r >> 5] &= ~(1 << (r & 31))


@inlined
def is_done(stop, params, state):
    """Return whether a run may stop."""
    totals = state.totals[0]
    if totals.fault != NO_FAULT:
        return True
    if stop == UNTIL_EMPTY:
        return totals.in_flight == 0 and totals.remaining == 0 and state.tree_totals[0].open == 0
    if stop == UNTIL_DRAINED and totals.counted_in_flight == 0:
        for node in range(params.nodes):
            if state.source[node].next_at < totals.drain_at:
                return False
        return True
    return False


@inlined
def next_event(now, until, params, state):
    """Return the first cycle from `now` on in which something arrives, `until` if nothing does before."""
    for cycle in range(now, min(until, now + params.wheel)):
        slot = cycle & (params.wheel - 1)
        if state.flit_count[slot] != 0 or state.credit_count[slot] != 0:
            return cycle
    return until


@kernel
def run_cycles(until, stop, plain, params, traffic, tables, state):
    """Run to cycle `until`, or to the end that `stop` says.

    Parameters
    ----------
    until : int
        Cycle.
    stop : int
        RUN, UNTIL_EMPTY or UNTIL_DRAINED.
    plain : int
        1 to step every cycle, 0 to jump over those in which nothing can happen; the results are the same.
    params : NetworkParams
    traffic : TrafficParams
    tables : TrafficTables
    state : NetworkState
        Changed.
    """
    totals = state.totals[0]
    now = totals.now
    while now < until:
        take_arrivals(now, params, state)
        wake_of_trees = NEVER
        if params.multicast_vcs > 0:
            wake_of_trees = step_trees(now, params, tables, state)
        wake = min(step_sources(now, params, traffic, tables, state), wake_of_trees)
        busy = 0
        for word in range(len(state.work)):
            routers = state.work[word]
            while routers != 0:
                step_router(word * 32 + lowest_bit(routers), now, params, state)
                routers = without_lowest(routers)
            state.work[word] |= state.work_soon[word]
            state.work_soon[word] = 0
            busy |= state.work[word]
        if params.multicast_vcs > 0:
            busy |= finish_branches(now, params, state)
        now += 1
        if stop != RUN or totals.fault != NO_FAULT:
            if is_done(stop, params, state):
                break
        if plain == 0 and busy == 0 and wake > now:
            after = next_event(now, min(wake, until), params, state)
            totals.skipped += after - now
            now = after
    totals.now = now


@kernel
def step_in_order(order, params, traffic, tables, state):
    """Step one cycle, visiting the routers in the order given.

    Parameters
    ----------
    order : ndarray of int64, shape (routers,)
        Every router once.
    params : NetworkParams
    traffic : TrafficParams
    tables : TrafficTables
    state : NetworkState
        Changed.
    """
    now = state.totals[0].now
    take_arrivals(now, params, state)
    if params.multicast_vcs > 0:
        step_trees(now, params, tables, state)
    step_sources(now, params, traffic, tables, state)
    for r in order:
        step_router(r, now, params, state)
    for word in range(len(state.work)):
        state.work[word] |= state.work_soon[word]
        state.work_soon[word] = 0
    if params.multicast_vcs > 0:
        finish_branches(now, params, state)
    state.totals[0].now = now + 1
