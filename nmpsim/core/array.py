"""The compute unit, stepped cycle by cycle: a reconfigurable systolic array, or one MAC-tree slice.

    bank ports  | | | ... |         beats of B enter at the top edge of each strip group
               [strip 0     ]
    A  ------> [strip 1     ] ...   A enters at the left edge (OS, WS) or is stationary (IS)
               [    ...     ]
                 C leaves to the buffer; `fold_sets` accumulator sets let a fold drain while the next one streams

An *actor* is what holds as a whole: the array (all strips in lock step) or one slice.  In every cycle an actor

1. finishes and starts the write of a completed fold,
2. takes the next PASS from its queue if it can,
3. streams one step, or notes why it cannot,
4. loads one beat per strip into the shadow registers (stationary flows).

The wavefront is kept as a count: ``advances`` grows in each cycle in which the pipeline moves, and the results of a
fold stand at the edge ``depth`` advances after its last input.  So a hold delays what is in flight by exactly as long.

First cycles of a stationary fold (WS, strip_rows 2, m = 2, beats always there)::

    cycle     0     1     2     3     4     5
    load     b0    b1    b2    b3    b4    b5
    stream    -     -    f0.0  f0.1  f1.0  f1.1

Skip mode steps an actor ahead of the global clock, through cycles that nobody else can influence (all its inputs are
stamped FIFOs, it has priority at the ports) and whose effects nobody sees yet: issue and completion of a pass are
done at the global time only.
"""

from __future__ import annotations

from nmpsim.core.folds import finish_write, queue_fold
from nmpsim.core.geometry import shape_fold, shape_pass
from nmpsim.core.ports import result_mask, use_edges
from nmpsim.core.queue import mark_start, record_interval, waits_met
from nmpsim.core.state import (
    BUSY,
    EDGE_BANDWIDTH,
    LOAD_STATIONARY,
    NOT_OPEN,
    OPERAND_LATE,
    PENDING_DEPTH,
    PIPELINE_DRAIN,
    QUEUE_EMPTY,
    RECONFIGURE,
    WAIT_SEMAPHORE,
)
from nmpsim.core.stationary import load_unknown, stationary_load, stationary_stream
from nmpsim.core.streaming import UNKNOWN, stream_step
from nmpsim.kernel import NEVER, inlined
from nmpsim.program.isa import CHAIN, IS, OS, TREE, UNITS


@inlined
def charge(actor, row, stall, work, at, reason, operator, core, log):
    """Account the cycles up to `at` to the reason that held, and note the new one.

    Changes all but `row`, `at`, `reason` and `operator`.
    """
    value = 0
    if len(log) > 0:
        value = actor.macs - actor.counted
        actor.counted = actor.macs
    if reason != actor.reason or operator != actor.operator or value != actor.value:
        elapsed = at - actor.since
        stall[actor.reason] += elapsed
        if actor.operator >= 0:
            work[actor.operator, actor.reason] += elapsed
        record_interval(core, log, row, actor.reason, actor.operator, actor.value, actor.since, at)
        actor.since = at
        actor.value = value
        actor.reason = reason
        actor.operator = operator


@inlined
def begin_pass(actor, strips, first, count, ins, p, number, index):
    """Take a pass into the compute unit (changes `actor` and `strips`)."""
    actor.instruction = number
    actor.issued += 1
    shape_pass(actor, ins, p, index)
    streams = ins.flow == OS or ins.flow == IS
    actor.load_outer = 0
    actor.load_inner = 0
    actor.loading = 0
    if streams:
        actor.stream_instruction = number
        actor.begun = 0
        actor.step = 0
    for s in range(first, first + count):
        strip = strips[s]
        strip.outer = 0
        strip.inner = 0
        strip.step = 0
        strip.left = 1
        strip.phase = s % ins.group
        group = s // ins.group
        strip.wait = group * p.columns if streams and ins.split == CHAIN else 0
        if ins.flow == OS and strip.wait > 0:
            strip.wait = NOT_OPEN
        shape_fold(strip, ins, p, s, 0, 0)


@inlined
def try_issue(actor, strips, first, count, pending, queue, entries, semaphore, program, p, at, period, index):
    """Take the next pass if it may start; return the reason why not, or BUSY (changes `actor` and `strips`)."""
    drains = actor.pending > 0 or actor.writing == 1 or actor.streaming == 1 or actor.shadow == 1
    if actor.issued >= queue.head + queue.count:
        return PIPELINE_DRAIN if drains else QUEUE_EMPTY
    entry = entries[actor.issued % len(entries)]
    if entry.at > at:
        return PIPELINE_DRAIN if drains else QUEUE_EMPTY
    ins = program[entry.instruction]
    if not waits_met(ins, semaphore):
        return PIPELINE_DRAIN if drains else WAIT_SEMAPHORE
    if actor.flow != ins.flow or actor.group != ins.group or actor.split != ins.split:
        if drains:
            return PIPELINE_DRAIN
        first_shape = actor.flow < 0
        actor.flow = ins.flow
        actor.group = ins.group
        actor.split = ins.split
        actor.ready_at = at if first_shape else at + p.reconfigure * period
    if at < actor.ready_at:
        return RECONFIGURE
    streams = ins.flow == OS or ins.flow == IS
    if actor.pending >= PENDING_DEPTH - 2 or (streams and actor.streaming == 1):
        return PIPELINE_DRAIN
    if not streams and actor.shadow == 1 and actor.shadow_instruction != actor.stream_instruction:
        return PIPELINE_DRAIN
    if ins.flow == TREE:
        shape_pass(actor, ins, p, index)
        if actor.outers == 0:
            if drains:
                return PIPELINE_DRAIN
            actor.issued += 1
            queue_fold(actor, pending, ins, 1, 1, 0, ins.out, p.bank_bytes)
            return BUSY
    begin_pass(actor, strips, first, count, ins, p, entry.instruction, index)
    return BUSY


@inlined
def step_actor(
    now,
    plain,
    index,
    first,
    count,
    p,
    period,
    credit,
    actor,
    strips,
    fifo,
    slot,
    pending,
    queue,
    entries,
    semaphore,
    program,
    history,
    stall,
    work,
    span,
    core,
    log,
):
    """Step one actor from where it stands to `now`, and in skip mode as far ahead as nobody can tell.

    Reads the queue, the semaphores and the FIFO stamps; changes the actor, its strips, FIFO heads, port history and
    accounts.  Returns the next tick at which it may act, NEVER if only a stamp or a signal can wake it.

    Timing
    ------
    Inputs are stamps <= the cycle stepped; pops free their slots `credit` ticks later; completion is seen by other
    units one cycle later.
    """
    if actor.at > now:
        return actor.at
    at = now
    horizon = now if plain else now + (len(history) - 2) * period
    while True:
        visible = actor.writing == 1 and at >= actor.write_end and pending[actor.pending_head].last == 1
        if at > now and (at > horizon or visible or actor.instruction < 0):
            actor.at = at
            return at
        streams = actor.flow == OS or actor.flow == IS
        if (
            at > now
            and not streams
            and load_unknown(actor, strips, first, count, fifo, slot, program[actor.instruction])
        ):
            actor.at = at
            return at
        if actor.writing == 1 and at >= actor.write_end:
            finish_write(actor, pending, span, at)
        if actor.writing == 0 and actor.pending > 0 and pending[actor.pending_head].ready_at <= actor.advances:
            actor.writing = 1
            actor.write_end = at + pending[actor.pending_head].cycles * period
        if actor.writing == 1:
            entry = pending[actor.pending_head]
            use_edges(history, at, period, 0, 0, result_mask(entry.address, entry.bytes, p), p)
        reason = -1
        operator = actor.operator
        look = at + period
        if actor.instruction < 0:
            reason = try_issue(
                actor, strips, first, count, pending, queue, entries, semaphore, program, p, at, period, index
            )
            streams = actor.flow == OS or actor.flow == IS
            if reason == QUEUE_EMPTY or reason == WAIT_SEMAPHORE:
                look = NEVER
            elif reason == RECONFIGURE:
                look = actor.ready_at
            if actor.instruction >= 0:
                mark_start(span, program[actor.instruction].operator, at)
            if actor.issued < queue.head + queue.count:
                entry = entries[actor.issued % len(entries)]
                if entry.at <= at:
                    operator = program[entry.instruction].operator
        if actor.instruction >= 0:
            operator = program[actor.instruction].operator
        advances = actor.advances
        if streams and actor.stream_instruction >= 0:
            reason, look = stream_step(
                actor,
                strips,
                first,
                count,
                fifo,
                slot,
                pending,
                program[actor.stream_instruction],
                p,
                at,
                at > now,
                credit,
                history,
                period,
            )
            if reason == UNKNOWN:
                actor.at = at
                return at
        elif not streams and actor.flow >= 0:
            streamed = stationary_stream(actor, pending, first, program, p, at, history, period)
            loaded, later = 0, at
            if actor.instruction >= 0:
                loaded, later = stationary_load(
                    actor, strips, first, count, fifo, slot, program[actor.instruction], p, at, credit
                )
            if streamed >= 0:
                reason, look = streamed, at + period
            elif loaded == 1:
                reason, look = LOAD_STATIONARY, at + period
            elif actor.instruction >= 0:
                reason, look = OPERAND_LATE, later if later > at else at + period
        if actor.advances == advances and actor.pending > 0 and reason != OPERAND_LATE and reason != EDGE_BANDWIDTH:
            actor.advances += 1
        elif actor.advances == advances and actor.pending > 0 and reason == OPERAND_LATE and not streams:
            actor.advances += 1
        if actor.pending > 0 and (actor.writing == 1 or actor.advances != advances):
            look = at + period
        charge(actor, UNITS + index, stall, work, at, reason, operator, core, log)
        if plain or look == NEVER:
            actor.at = at + period
            return look
        at = -(-look // period) * period  # stamps of other clocks count from the next own edge
