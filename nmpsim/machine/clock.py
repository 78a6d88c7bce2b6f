"""The clock loop: one loop for plain and skip mode.

    tick            0     4     5     8    10    12    15    16    20  ...      (core 0.8 GHz, DRAM and NoC 1 GHz)
    channels        x     x           x           x           x     x
    routers         x     x           x           x           x     x
    cores           x           x           x           x           x

A component acts on the edges of its own clock.  Plain mode visits every component on each of its edges; skip mode
visits a component when its wake has come, and jumps over ticks at which no wake has come.  All components meet only
through stamps that lie in the future when they are written, so the order of visits within a tick has no influence;
``order`` lets a test prove it.
"""

from __future__ import annotations

from nmpsim.core.core import step_core
from nmpsim.core.mover import mover_wake
from nmpsim.core.state import NO_CREDIT
from nmpsim.dram.native.budget import grant_activations, has_die_budget
from nmpsim.dram.native.channel import step_channel
from nmpsim.dram.native.idle import idle_channel
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.link.network_port import flit_space_at
from nmpsim.machine.state import DEADLOCK, DONE, RUNNING
from nmpsim.noc.ring import step_router
from nmpsim.program.isa import MOVE, SEND_CW


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
    wake_from_channel(c, now, die, program)


@inlined
def wake_from_channel(c, now, die, program):
    """Lower the wake of core `c` to the beats, run slots and write tokens that its channel stamped in this tick."""
    first = die.channels.channel[c].first_ready_at
    cores = die.cores
    if first < NEVER:
        for i in range(cores.actor.shape[1]):
            cores.actor[c, i].wake = min(cores.actor[c, i].wake, first)
        die.core_wake[c] = min(die.core_wake[c], first)
    unit = cores.unit[c, MOVE]
    at = mover_wake(c, cores.mover[c], cores.move_slot[c], unit, cores.entry[c, MOVE], die.channels, program)
    if at < NEVER:
        at = max(at, now + 1)
        if at < unit.wake:
            unit.wake = at
            die.core_wake[c] = min(die.core_wake[c], at)


@inlined
def visit_arbiter(now, dram, period, latency, die, program):
    """Let the activation arbiter of the die act, and lower the wakes of the cores whose channels got an ACT."""
    before = die.channels.die[0].activations
    grant_activations(now, dram, period, latency, die.channels, die.channel_wake)
    if die.channels.die[0].activations != before:
        for c in range(len(die.channel_wake)):
            wake_from_channel(c, now, die, program)


@inlined
def visit_router(c, now, plain, noc, noc_period, core_period, die):
    """Step one router and lower the wake of its core to what it stamped: ejected flits, freed injection slots."""
    net, units = die.network, die.cores.unit
    net.wake[c] = step_router(c, now, plain, noc, noc_period, core_period, net)
    wake = net.node[c].eject_at
    for d in range(2):
        unit = units[c, SEND_CW + d]
        if unit.reason == NO_CREDIT:
            space = flit_space_at(net.inject[c, d], net.inject_flit[c, d])
            if space < NEVER:
                unit.wake = min(unit.wake, max(space, now + 1))
                wake = min(wake, unit.wake)
    die.core_wake[c] = min(die.core_wake[c], wake)


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
def all_idle(die, dram, period):
    """Return whether no component can ever act again: a deadlock unless the program has ended."""
    for c in range(len(die.core_wake)):
        if die.core_wake[c] < NEVER or die.network.wake[c] < NEVER:
            return False
    for c in range(len(die.channel_wake)):
        if not idle_channel(die.channels, c, dram, period):
            return False
    return True


@inlined
def all_finished(die):
    """Return whether every core has completed its program."""
    for c in range(len(die.core_wake)):
        if die.cores.core[c].finished_at == NEVER:
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
    return (run_ahead + 2) * actors + 8


@kernel
def run_until(limit, plain, core, dram, noc, periods, latency, order, die, program, tables):
    """Run the die until tick `limit`, the end of its program, or a deadlock (changes `die`).

    Parameters
    ----------
    limit : int
        First tick that is not stepped.
    plain : int
        1: visit every component on every edge; 0: skip.
    core, dram, noc : CoreParams, DramParams, NocParams
    periods : (int, int, int)
        Periods of core, DRAM and NoC; ticks.
    latency : ndarray of int64
        DRAM separations, see `step_channel`.
    order : ndarray of int64, shape (pu,)
        Order in which components of a kind are visited; any permutation gives the same machine.
    die : Die
    program : array of INSTRUCTION
    tables : ndarray of int64
    """
    clock = die.clock[0]
    core_period, dram_period, noc_period = periods
    clock.full = 0
    while clock.status == RUNNING and clock.now < limit:
        if logs_full(die.cores):
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
        if now % noc_period == 0:
            for c in order:
                if plain or die.network.wake[c] <= now:
                    clock.visits += 1
                    visit_router(c, now, plain, noc, noc_period, core_period, die)
        if now % core_period == 0:
            for c in order:
                if plain or die.core_wake[c] <= now:
                    clock.visits += 1
                    visit_core(c, now, plain, core, dram, noc, periods, die, program, tables)
        if all_finished(die):
            clock.status = DONE
            break
        if all_idle(die, dram, dram_period):
            clock.status = DEADLOCK
            break
        later = now + 1
        ahead = NEVER
        for c in range(len(die.core_wake)):
            ahead = min(ahead, next_edge(max(die.core_wake[c], later), core_period))
            ahead = min(ahead, next_edge(max(die.channel_wake[c], later), dram_period))
            ahead = min(ahead, next_edge(max(die.network.wake[c], later), noc_period))
        if plain:
            ahead = min(min(next_edge(later, core_period), next_edge(later, dram_period)), next_edge(later, noc_period))
        clock.now = ahead
