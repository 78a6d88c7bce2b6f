"""The clock loop: one loop for plain and skip mode.

    tick            0     4     5     8    10    12    15    16    20  ...      (core 0.8 GHz, DRAM and NoC 1 GHz)
    channels        x     x           x           x           x     x
    network         x     x           x           x           x     x
    cores           x           x           x           x           x

A component acts on the edges of its own clock.  Plain mode visits every component on each of its edges; skip mode
visits a component when its wake has come, and jumps over ticks at which no wake has come.  All components meet only
through stamps that lie in the future when they are written, so the order of visits within a tick has no influence;
``order`` lets a test prove it.
"""

from __future__ import annotations

from nmpsim.core.core import step_core
from nmpsim.core.mover import mover_wake
from nmpsim.core.state import NO_CREDIT, WATCHED
from nmpsim.dram.native.budget import grant_activations, has_die_budget
from nmpsim.dram.native.channel import step_channel
from nmpsim.dram.native.idle import idle_channel
from nmpsim.dram.native.record import logs_nearly_full
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.link.network_port import flit_space_at
from nmpsim.machine.levels import has_levels, links_full, outer_wake, visit_gateways, visit_outer
from nmpsim.machine.state import DEADLOCK, DONE, RUNNING
from nmpsim.noc.die.network import step_link, step_network
from nmpsim.program.isa import MOVE, SEND_0


@inlined
def touched(cores, c):
    """Return a number that changes whenever core `c` takes a beat, posts a run or sends a write datum."""
    mover = cores.mover[c]
    total = mover.issued + mover.beats_in + mover.beats_out
    for i in range(cores.actor.shape[1]):
        total += cores.actor[c, i].pops
    return total


@inlined
def visit_channel(c, now, plain, dram, period, latency, die, program):
    """Step one channel and lower the wake of its core to what it stamped."""
    die.channel_wake[c] = step_channel(c, now, plain, dram, period, latency, die.channels)
    wake_from_channel(c, now, die.core_wake, die.cores, die.channels, program)


@inlined
def wake_from_channel(c, now, core_wake, cores, channels, program):
    """Lower the wake of core `c` to the beats, run slots and write tokens that its channel stamped in this tick."""
    first = channels.channel[c].first_ready_at
    if first < NEVER:
        for i in range(cores.actor.shape[1]):
            cores.actor[c, i].wake = min(cores.actor[c, i].wake, first)
        core_wake[c] = min(core_wake[c], first)
    unit = cores.unit[c, MOVE]
    at = mover_wake(c, cores.mover[c], cores.move_slot[c], unit, cores.entry[c, MOVE], channels, program)
    if at < NEVER:
        at = max(at, now + 1)
        if at < unit.wake:
            unit.wake = at
            core_wake[c] = min(core_wake[c], at)


@inlined
def visit_arbiter(now, dram, period, latency, die, program):
    """Let the activation arbiter of the die act, and lower the wakes of the cores whose channels got an ACT."""
    before = die.channels.die[0].activations
    grant_activations(now, dram, period, latency, die.channels, die.channel_wake)
    if die.channels.die[0].activations != before:
        for c in range(len(die.channel_wake)):
            wake_from_channel(c, now, die.core_wake, die.cores, die.channels, program)


@inlined
def visit_network(now, plain, order, noc, link, stacks, periods, core_wake, units, net, fabric):
    """Step the network and lower the wakes of cores to what it stamped: ejected flits, freed injection slots."""
    step_network(now, plain, order, noc, link, stacks, periods, net, fabric)
    for c in range(noc.nodes):
        wake = net.node[c].eject_at
        if net.node[c].credit_at < NEVER:
            for d in range(2):
                unit = units[c, SEND_0 + d]
                if unit.reason == NO_CREDIT:
                    space = flit_space_at(net.inject[c, d], net.inject_flit[c, d])
                    if space < NEVER:
                        unit.wake = min(unit.wake, max(space, now + 1))
                        wake = min(wake, unit.wake)
        core_wake[c] = min(core_wake[c], wake)


@inlined
def first_wake(wakes):
    """Return the first tick at which one of several components may act."""
    wake = NEVER
    for n in range(len(wakes)):
        wake = min(wake, wakes[n])
    return wake


@inlined
def visit_core(c, now, plain, core, dram, noc, periods, die, program, tables):
    """Step one core and lower the wake of its channel if it touched its ports."""
    before = touched(die.cores, c)
    die.core_wake[c] = step_core(
        c, now, plain, core, dram, noc, periods, die.cores, die.channels, die.network, program, tables
    )
    if touched(die.cores, c) != before:
        die.channel_wake[c] = min(die.channel_wake[c], now + 1)


@inlined
def next_edge(at, period):
    """Return the first edge of a clock at or after tick `at`; NEVER stays NEVER."""
    if at >= NEVER:
        return NEVER
    return -(-at // period) * period


@inlined
def all_idle(core_wake, link_wake, network, channels, dram, period):
    """Return whether no component can ever act again: a deadlock unless the program has ended."""
    for c in range(len(core_wake)):
        if core_wake[c] < NEVER:
            return False
    if first_wake(network) < NEVER or first_wake(link_wake) < NEVER:
        return False
    for c in range(len(channels.channel)):
        if not idle_channel(channels, c, dram, period):
            return False
    return True


@inlined
def all_finished(cores):
    """Return whether every core has completed its program."""
    for c in range(len(cores)):
        if cores[c].finished_at == NEVER:
            return False
    return True


@inlined
def logs_full(cores):
    """Return whether an interval log might not hold what one more visit of its core records."""
    capacity = cores.interval.shape[1]
    if capacity == 0:
        return False
    margin = interval_margin(cores.port_use.shape[1], cores.actor.shape[1])
    for c in range(cores.core.shape[0]):
        if cores.core[c].intervals + margin > capacity:
            return True
    return False


@inlined
def interval_margin(run_ahead, actors):
    """Return the most intervals that one visit of a core can record."""
    return (run_ahead + 3) * (actors + len(WATCHED)) + 64


@kernel
def run_until(
    limit, plain, core, dram, noc, link, stacks, periods, latency, order, die, fabric, pus, levels, program, tables
):
    """Run the die until tick `limit`, the end of its program, or a deadlock (changes `die` and `fabric`).

    Parameters
    ----------
    limit : int
        First tick that is not stepped.
    plain : int
        1: visit every component on every edge; 0: skip.
    core, dram, noc, link : CoreParams, DramParams, NocParams, LinkParams
    stacks : int
        Stacks that work together.
    periods : (int, int, int)
        Periods of core, DRAM and NoC; ticks.
    latency : ndarray of int64
        DRAM separations, see `step_channel`.
    order : ndarray of int64, shape (pu,)
        Order in which components of a kind are visited; any permutation gives the same machine.
    die : Die
    fabric : Fabric
        What only the network sees; not a part of `die`, as arrays passed on cost time to compile.
    pus : ndarray of int64, shape (pu,)
        Order in which the nodes of the network between PUs are visited, if PUs have networks inside.
    levels : Levels
        That network, and the gateways.
    program : array of INSTRUCTION
    tables : ndarray of int64
    """
    clock = die.clock[0]
    core_period, dram_period, noc_period = periods
    clock.full = 0
    while clock.status == RUNNING and clock.now < limit:
        if logs_full(die.cores) or logs_nearly_full(die.channels, dram) or links_full(fabric, levels):
            clock.full = 1
            break
        now = clock.now
        clock.ticks += 1
        if now % dram_period == 0:
            for c in order:
                if plain or die.channel_wake[c] <= now:
                    clock.visits += 1
                    visit_channel(c, now, plain, dram, dram_period, latency, die, program)
            if has_die_budget(dram):
                visit_arbiter(now, dram, dram_period, latency, die, program)
        if now % noc_period == 0 and (plain or first_wake(die.network.wake) <= now):
            clock.visits += 1
            visit_network(
                now,
                plain,
                order,
                noc,
                link,
                stacks,
                (core_period, noc_period),
                die.core_wake,
                die.cores.unit,
                die.network,
                fabric,
            )
        if stacks > 1 and now % link.period == 0:
            for c in order:
                if plain or fabric.link_wake[c] <= now:
                    clock.visits += 1
                    fabric.link_wake[c] = step_link(c, now, noc, link, noc_period, die.network, fabric)
        if has_levels(levels):
            if now % levels.period == 0 and (plain or outer_wake(levels) <= now):
                clock.visits += 1
                visit_outer(now, plain, pus, link, stacks, levels, fabric)
            if now % link.period == 0:
                clock.visits += visit_gateways(now, plain, order, noc, link, noc_period, levels, die.network, fabric)
        if now % core_period == 0:
            for c in order:
                if plain or die.core_wake[c] <= now:
                    clock.visits += 1
                    visit_core(c, now, plain, core, dram, noc, periods, die, program, tables)
        if all_finished(die.cores.core):
            clock.status = DONE
            break
        beyond = outer_wake(levels)
        if beyond >= NEVER and all_idle(
            die.core_wake, fabric.link_wake, die.network.wake, die.channels, dram, dram_period
        ):
            clock.status = DEADLOCK
            break
        later = now + 1
        ahead = NEVER
        for c in range(len(die.core_wake)):
            ahead = min(ahead, next_edge(max(die.core_wake[c], later), core_period))
            ahead = min(ahead, next_edge(max(die.channel_wake[c], later), dram_period))
        ahead = min(ahead, next_edge(max(first_wake(die.network.wake), later), noc_period))
        ahead = min(ahead, next_edge(max(first_wake(fabric.link_wake), later), link.period))
        ahead = min(ahead, next_edge(max(beyond, later), levels.period))
        if plain:
            ahead = min(min(next_edge(later, core_period), next_edge(later, dram_period)), next_edge(later, noc_period))
            if stacks > 1 or has_levels(levels):
                ahead = min(ahead, next_edge(later, link.period))
            if has_levels(levels):
                ahead = min(ahead, next_edge(later, levels.period))
        clock.now = ahead
