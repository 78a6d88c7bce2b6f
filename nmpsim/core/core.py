"""One core, one cycle: sequencer, compute unit, vector unit, data mover, senders, receivers.

    program --> [ sequencer ] --> queues --> array | vector | move | send 0 | send 1 (| copy in | copy out)
                                               |        |       |        |
                                  strip FIFOs -+     buffer ports      injection / ejection queues

Order within a cycle (fixed, it is the priority at the buffer's ports): signals of the last cycle become visible;
sequencer; compute unit; vector unit; copy engines, if the compute unit has buffers of its own; data mover; senders;
receivers.  What one unit signals, all see one cycle later.
"""

from __future__ import annotations

from nmpsim.core.array import step_actor
from nmpsim.core.copier import step_copier
from nmpsim.core.mover import step_mover
from nmpsim.core.network import step_receiver, step_sender
from nmpsim.core.observe import close_watches, observe_core, observe_gap
from nmpsim.core.ports import open_cycle, open_separate
from nmpsim.core.queue import charge_unit, entry_at, newest_at, record_interval
from nmpsim.core.state import BUSY, COPIERS, FINISHED, UNIT_QUEUE_FULL
from nmpsim.core.vector import step_vector
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.program.isa import ARRAY, COPY_IN, MOVE, SEND_0, UNITS, VECTOR

SEQUENCER = UNITS


@inlined
def see_signals(semaphore, signal):
    """Make the signals of the last cycle visible; return 1 if there were any (changes `semaphore`)."""
    changed = 0
    for i in range(len(signal)):
        if semaphore[i] != signal[i]:
            semaphore[i] = signal[i]
            changed = 1
    return changed


@inlined
def dispatch(now, period, core, units, entry, program):
    """Hand the next instruction to its unit; return (reason, wake) (changes `core`, a queue, and a unit's wake)."""
    if core.fetch >= core.end:
        return FINISHED, NEVER
    unit = program[core.fetch].unit
    queue = units[unit]
    depth = entry.shape[1]
    if queue.count >= depth:
        return UNIT_QUEUE_FULL, NEVER
    slot = entry[unit, (queue.head + queue.count) % depth]
    slot.instruction = core.fetch
    slot.at = now + period
    queue.count += 1
    queue.wake = min(queue.wake, now + period)
    core.fetch += 1
    return BUSY, now + period


@inlined
def step_compute(now, plain, c, params, period, credit, state, port, program):
    """Step all actors of a core that may act; return the earliest wake (changes the compute unit and its queue)."""
    queue = state.unit[c, ARRAY]
    entries = state.entry[c, ARRAY]
    actors = state.actor.shape[1]
    strips = params.strips // actors
    wake = NEVER
    least_issued = NEVER
    least_passed = NEVER
    for i in range(actors):
        actor = state.actor[c, i]
        if plain or actor.wake <= now or queue.wake <= now:
            actor.wake = step_actor(
                now,
                plain,
                i,
                i * strips,
                strips,
                params,
                period,
                credit,
                actor,
                state.strip[c],
                port.fifo[c],
                port.slot[c],
                state.pending[c, i],
                queue,
                entries,
                state.semaphore[c],
                program,
                state.port_use[c],
                state.stall[c, UNITS + i],
                state.work[c],
                state.span[c],
                state.core[c],
                state.interval[c],
            )
        wake = min(wake, actor.wake)
        least_issued = min(least_issued, actor.issued)
        least_passed = min(least_passed, actor.passes)
    if least_issued > queue.head:
        queue.count -= least_issued - queue.head
        queue.head = least_issued
    if least_passed > state.signal[c, ARRAY]:
        state.core[c].retired += least_passed - state.signal[c, ARRAY]
        state.signal[c, ARRAY] = least_passed
    return wake


@kernel
def step_core(c, now, plain, params, dram, noc, periods, state, port, net, program, tables):
    """Advance core `c` at its clock edge `now`; return its wake.

    Parameters
    ----------
    c : int
        Core.
    now : int
        A multiple of the core period; ticks.
    plain : int
        1: step every unit; 0: only those whose wake has come, and the compute unit ahead of time.
    params, dram, noc : CoreParams, DramParams, NocParams
    periods : (int, int, int)
        Core, DRAM and NoC periods; ticks.
    state : CoreState
        Changed.
    port : DramState
        Memory ports of the channel: FIFOs, run queues and tokens; changed through nmpsim.link only.
    net : NocState
        Injection and ejection queues of the router; changed through nmpsim.link only.
    program : array of INSTRUCTION
        Instructions of all cores; `state.core` knows the core's range.
    tables : ndarray of int64
        The program's integers.

    Returns
    -------
    int
        First tick > `now` at which the core may act again; NEVER if only a stamp can wake it.

    Timing
    ------
    Reads stamps <= now; writes stamps > now.  Wake rule: the earliest wake of its units; a signal wakes all units one
    cycle later, a dispatch the unit, a beat (stamped by the channel) the compute unit and the mover.
    """
    period, dram_period, noc_period = periods
    core = state.core[c]
    units = state.unit[c]
    core.steps += 1
    if state.watch.shape[1] > 0:
        observe_gap(c, now, period, state)
    credit = dram.nCREDIT * dram_period
    later = now + period
    if see_signals(state.semaphore[c], state.signal[c]):
        for u in range(UNITS + 1):
            units[u].wake = now
    sequencer = units[SEQUENCER]
    if plain or sequencer.wake <= now:
        reason, sequencer.wake = dispatch(now, period, core, units, state.entry[c], program)
        charge_unit(
            sequencer, ARRAY, state.stall[c, ARRAY], now, reason, core.fetch - core.begin, core, state.interval[c]
        )
    wake = step_compute(now, plain, c, params, period, credit, state, port, program)
    units[ARRAY].wake = newest_at(units[ARRAY], state.entry[c, ARRAY], now)
    if params.separate:
        open_separate(core, state.port_use[c], now, period)
    else:
        open_cycle(core, state.port_use[c], now, period)
    vector = units[VECTOR]
    if plain or vector.wake <= now:
        reason, vector.wake = step_vector(
            now,
            period,
            params,
            state.vector[c],
            state.flying[c],
            vector,
            state.entry[c, VECTOR],
            core,
            state.signal[c],
            state.semaphore[c],
            program,
            state.span[c],
        )
        vector.wake = min(vector.wake, entry_at(vector, state.entry[c, VECTOR], now))
        work = state.vector[c].elements
        charge_unit(vector, VECTOR, state.stall[c, VECTOR], now, reason, work, core, state.interval[c])
    for d in range(COPIERS):
        engine = units[COPY_IN + d]
        if not params.separate:
            engine.wake = NEVER
        elif plain or engine.wake <= now:
            reason, engine.wake = step_copier(
                now,
                period,
                params,
                d,
                state.copier[c, d],
                state.crossing[c, d],
                engine,
                state.entry[c, COPY_IN + d],
                core,
                state.signal[c],
                state.semaphore[c],
                program,
                state.span[c],
            )
            engine.wake = min(engine.wake, entry_at(engine, state.entry[c, COPY_IN + d], now))
            work = state.copier[c, d].bytes
            charge_unit(engine, COPY_IN + d, state.stall[c, COPY_IN + d], now, reason, work, core, state.interval[c])
    mover = units[MOVE]
    if plain or mover.wake <= now or state.mover[c].loads > 0:
        moved = state.mover[c].beats_in
        reason, mover.wake = step_mover(
            now,
            period,
            dram_period,
            credit,
            params,
            dram,
            c,
            state.mover[c],
            state.move_slot[c],
            port,
            mover,
            state.entry[c, MOVE],
            core,
            state.signal[c],
            state.semaphore[c],
            program,
            tables,
            state.span[c],
        )
        mover.wake = min(mover.wake, entry_at(mover, state.entry[c, MOVE], now))
        work = state.mover[c].beats_in + state.mover[c].beats_out
        charge_unit(mover, MOVE, state.stall[c, MOVE], now, reason, work, core, state.interval[c])
        if state.mover[c].beats_in != moved:
            for i in range(state.actor.shape[1]):
                state.actor[c, i].wake = min(state.actor[c, i].wake, later)
            wake = min(wake, later)
    for d in range(2):
        sender = units[SEND_0 + d]
        if plain or sender.wake <= now:
            reason, sender.wake = step_sender(
                now,
                period,
                noc_period,
                params,
                noc,
                c,
                d,
                state.sender[c, d],
                sender,
                state.entry[c, SEND_0 + d],
                core,
                net,
                state.signal[c],
                state.semaphore[c],
                program,
                state.span[c],
            )
            sender.wake = min(sender.wake, entry_at(sender, state.entry[c, SEND_0 + d], now))
            work = state.sender[c, d].flits
            charge_unit(sender, SEND_0 + d, state.stall[c, SEND_0 + d], now, reason, work, core, state.interval[c])
    arrive = NEVER
    for d in range(2):
        arrive = min(
            arrive,
            step_receiver(now, period, noc_period, params, noc, c, d, core, net, state.signal[c], state.received[c, d]),
        )
    observe_core(c, now, period, state)
    if sequencer.wake == NEVER and core.fetch < core.end:
        unit = program[core.fetch].unit
        if units[unit].count < state.entry.shape[2]:
            sequencer.wake = later
    for i in range(len(state.semaphore[c])):
        if state.semaphore[c, i] != state.signal[c, i]:
            wake = later
    for u in range(UNITS + 1):
        wake = min(wake, units[u].wake)
    wake = min(wake, arrive)
    if core.fetch == core.end and core.retired == core.end - core.begin and core.finished_at == NEVER:
        core.finished_at = now
    return max(wake, later)


@kernel
def settle_core(c, now, period, state):
    """Charge all intervals up to `now` to the reasons that hold (changes the accounts of core `c`).

    Parameters
    ----------
    c : int
        Core.
    now : int
        First tick that is not charged.
    period : int
        Of the core; ticks.
    state : CoreState
    """
    close_watches(c, now, period, state)
    for u in range(1, UNITS + 1):
        unit = state.unit[c, u]
        row = ARRAY if u == SEQUENCER else u
        state.stall[c, row, unit.reason] += now - unit.since
        record_interval(state.core[c], state.interval[c], row, unit.reason, unit.held, unit.value, unit.since, now)
        unit.since = now
    for i in range(state.actor.shape[1]):
        actor = state.actor[c, i]
        elapsed = now - actor.since
        state.stall[c, UNITS + i, actor.reason] += elapsed
        if actor.operator >= 0:
            state.work[c, actor.operator, actor.reason] += elapsed
        record_interval(
            state.core[c], state.interval[c], UNITS + i, actor.reason, actor.operator, actor.value, actor.since, now
        )
        actor.since = now
