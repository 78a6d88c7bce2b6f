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

from nmpsim.core.geometry import shape_fold, shape_pass
from nmpsim.core.ports import bank_mask, line_mask, use_ports
from nmpsim.core.queue import mark_end, mark_start, record_interval, waits_met
from nmpsim.core.state import (
    ACCUMULATORS_BUSY,
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
from nmpsim.kernel import NEVER, inlined
from nmpsim.link.fifo import head_at, pop
from nmpsim.program.isa import CHAIN, IS, OS, SPLIT_K, TREE, UNITS, WS

UNKNOWN = -2
"""Reason of a cycle ahead of the global time that cannot be decided yet."""


@inlined
def charge(actor, row, stall, work, at, reason, operator, core, log):
    """Account the cycles up to `at` to the reason that held, and note the new one (changes all but the last three)."""
    if reason != actor.reason or operator != actor.operator:
        elapsed = at - actor.since
        stall[actor.reason] += elapsed
        if actor.operator >= 0:
            work[actor.operator, actor.reason] += elapsed
        record_interval(core, log, row, actor.reason, actor.operator, actor.since, at)
        actor.since = at
        actor.reason = reason
        actor.operator = operator


@inlined
def queue_fold(actor, pending, ins, last, cycles, frees, address, length):
    """Queue a finished fold for its write, `depth` advances from now (changes `actor` and `pending`)."""
    entry = pending[(actor.pending_head + actor.pending) % PENDING_DEPTH]
    entry.ready_at = actor.advances + actor.depth
    entry.last = last
    entry.cycles = cycles
    entry.frees = frees
    entry.operator = ins.operator
    entry.address = address
    entry.bytes = length
    actor.pending += 1


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
def stream_ports(leader, ins, p, at, history, period):
    """Note the banks that one step of an OS or IS pass reads and writes (changes `history`)."""
    groups = p.strips // ins.group
    reads = ins.m * 2 * (groups if ins.split == SPLIT_K else 1) if ins.flow == OS else 0
    writes = ins.m * 4 * (1 if ins.split == CHAIN else groups) if ins.flow == IS else 0
    read_mask = line_mask(ins.a, reads, leader.step, p.buffer_banks, p.bank_bytes)
    write_mask = line_mask(ins.out, writes, leader.step, p.buffer_banks, p.bank_bytes)
    if ins.flow == IS and leader.inner > 0:
        read_mask |= write_mask
    if read_mask | write_mask:
        use_ports(history, at, period, read_mask, write_mask)


@inlined
def stream_strip(actor, strip, fifo, slots, pending, ins, p, at, credit, index, is_last):
    """Move one strip one step on (changes its first five arguments)."""
    if strip.wait != 0:
        if strip.wait != NOT_OPEN:
            strip.wait -= 1
        return
    if strip.step < strip.limit and strip.step % ins.group == strip.phase:
        pop(fifo, slots, at + credit)
        actor.pops += 1
        actor.macs += ins.m * strip.valid
    strip.step += 1
    if strip.step < actor.steps:
        return
    strip.step = 0
    strip.inner += 1
    if strip.inner == actor.inners:
        strip.inner = 0
        strip.outer += 1
        if strip.outer == actor.outers:
            strip.left = 0
        if is_last and ins.flow == OS:
            groups = p.strips // ins.group
            length = min(p.buffer_banks * p.bank_bytes, groups * p.columns * 4)
            address = ins.out + (strip.outer - 1) * p.columns * 4
            queue_fold(actor, pending, ins, 1 - strip.left, actor.drain, 1, address, length)
    if strip.left == 1:
        shape_fold(strip, ins, p, index, strip.outer, strip.inner)
        group = index // ins.group
        if ins.flow == OS and ins.split == CHAIN and group > 0:
            strip.wait = actor.opened_at + group * p.columns - 1 - actor.advances
            if actor.opened < strip.outer:
                strip.wait = NOT_OPEN


@inlined
def any_moves(strips, first, last):
    """Return whether a strip of [first, last) is within a fold or about to begin one."""
    for s in range(first, last):
        if strips[s].left == 1 and strips[s].wait != NOT_OPEN:
            return True
    return False


@inlined
def open_fold(actor, strips, first, count, fold, ins, p):
    """Let the first group begin an output fold; later groups follow `columns` steps apart (changes `actor`, `strips`).

    At most `fold_sets` = 2 folds are open, so a group that ends a fold needs to know of the next one only.
    """
    actor.sets += 1
    actor.opened = fold
    actor.opened_at = actor.advances
    for s in range(first, first + count):
        if strips[s].wait == NOT_OPEN:
            strips[s].wait = (s // ins.group) * p.columns


@inlined
def stream_step(actor, strips, first, count, fifo, slot, pending, ins, p, at, ahead, credit, history, period):
    """Do one step of an OS or IS pass; return (reason, tick to look again) (changes its first arguments).

    The reason is UNKNOWN, and nothing has changed, when `at` lies ahead of the global time and a beat has no stamp
    yet: it may still come in time.
    """
    if at < actor.paced_until:
        return EDGE_BANDWIDTH, actor.paced_until
    if ins.flow == IS and actor.step < ins.m:
        address = ins.a + actor.step * ins.a_ld
        actor.step += 1
        actor.advances += 1
        use_ports(history, at, period, bank_mask(address, p.columns * 2, p.buffer_banks, p.bank_bytes), 0)
        return LOAD_STATIONARY, at + period
    leader = strips[first]
    opens = ins.flow == OS and leader.left == 1 and leader.step == 0
    start = first
    if opens and actor.sets >= p.fold_sets:
        opens = False
        start = first + ins.group  # the first group waits, later ones of a chain go on with their folds
        if ins.split != CHAIN or not any_moves(strips, start, first + count):
            actor.advances += 1
            return ACCUMULATORS_BUSY, at + period
    look = at
    for s in range(start, first + count):
        strip = strips[s]
        if strip.left == 1 and strip.wait == 0 and strip.step < strip.limit and strip.step % ins.group == strip.phase:
            ready = head_at(fifo[s], slot[s])
            if ready < NEVER and slot[s, fifo[s].head % slot.shape[1]].target != 0:
                ready = NEVER
            look = max(look, ready)
    if look == NEVER and ahead:
        return UNKNOWN, at
    if look > at:
        if actor.begun == 0 and actor.pending > 0:
            actor.advances += 1  # nothing of this pass is in flight: what is ahead of it moves on
            look = at + period
        return OPERAND_LATE, look
    actor.begun = 1
    actor.advances += 1
    if opens:
        open_fold(actor, strips, first, count, leader.outer, ins, p)
    if leader.left == 1 and start == first:
        stream_ports(leader, ins, p, at, history, period)
    for s in range(start, first + count):
        if strips[s].left == 1:
            last = s == first + count - 1
            stream_strip(actor, strips[s], fifo[s], slot[s], pending, ins, p, at, credit, s, last)
    if strips[first + count - 1].left == 0:
        if ins.flow == IS:
            queue_fold(actor, pending, ins, 1, 1, 0, ins.out, p.bank_bytes)
        actor.instruction = -1
        actor.stream_instruction = -1
    actor.paced_until = at + actor.pace * period
    return BUSY, at + period


@inlined
def take_shadow(actor):
    """Make the loaded stationary operand the streaming one (changes `actor`)."""
    if actor.stream_instruction != actor.shadow_instruction:
        actor.stream_instruction = actor.shadow_instruction
        actor.stream_outers = actor.outers
        actor.stream_inners = actor.inners
        actor.stream_drain = actor.drain
        actor.stream_pace = actor.pace
        actor.outer = 0
        actor.inner = 0
    actor.streaming = 1
    actor.shadow = 0
    actor.step = 0
    actor.steps = actor.shadow_steps


@inlined
def stationary_stream(actor, pending, program, p, at, history, period):
    """Stream one step of a WS or TREE fold; return the reason, or -1 when no fold can stream (changes `actor`)."""
    if at < actor.paced_until:
        return EDGE_BANDWIDTH
    tree = actor.flow == TREE
    if actor.streaming == 0:
        if actor.shadow == 0:
            return -1
        fresh = actor.stream_instruction != actor.shadow_instruction or actor.inner == 0
        if tree and fresh and actor.sets >= p.fold_sets:
            actor.advances += 1
            return ACCUMULATORS_BUSY
        if tree and fresh:
            actor.sets += 1
        take_shadow(actor)
    ins = program[actor.stream_instruction]
    actor.advances += 1
    if not tree:
        groups = p.strips // ins.group
        reads = ins.group * p.strip_rows * 2 * (groups if ins.split == SPLIT_K else 1)
        writes = groups * p.columns * 4
        read_mask = line_mask(ins.a + actor.inner * reads, reads, actor.step, p.buffer_banks, p.bank_bytes)
        write_mask = line_mask(ins.out, writes, actor.step, p.buffer_banks, p.bank_bytes)
        if actor.inner > 0:
            read_mask |= write_mask
        use_ports(history, at, period, read_mask, write_mask)
    actor.step += 1
    actor.paced_until = at + actor.stream_pace * period
    if actor.step == actor.steps:
        actor.streaming = 0
        actor.inner += 1
        if actor.inner == actor.stream_inners:
            actor.inner = 0
            actor.outer += 1
            last = 1 if actor.outer == actor.stream_outers else 0
            if tree:
                queue_fold(actor, pending, ins, last, actor.stream_drain, 1, ins.out, p.bank_bytes)
            elif last == 1:
                queue_fold(actor, pending, ins, 1, 1, 0, ins.out, p.bank_bytes)
            if last == 1:
                actor.stream_instruction = -1
    return BUSY


@inlined
def stationary_load(actor, strips, first, count, fifo, slot, ins, p, at, credit):
    """Load one beat per strip into the shadow registers; return (loaded, tick to look again) (changes its arguments).

    `loaded` is 1 when beats were taken.  The tick is `at` when nothing can be loaded for another reason, NEVER when a
    beat has no stamp yet.
    """
    if actor.shadow == 1:
        return 0, at
    need = 0
    look = at
    for s in range(first, first + count):
        strip = strips[s]
        need = max(need, strip.limit)
        if actor.loading < strip.limit:
            ready = head_at(fifo[s], slot[s])
            if ready < NEVER and slot[s, fifo[s].head % slot.shape[1]].target != 0:
                ready = NEVER
            look = max(look, ready)
    if look > at:
        return 0, look
    for s in range(first, first + count):
        strip = strips[s]
        if actor.loading < strip.limit:
            pop(fifo[s], slot[s], at + credit)
            actor.pops += 1
            actor.macs += ins.m * strip.valid
    actor.loading += 1
    if actor.loading >= need:
        actor.shadow = 1
        actor.shadow_instruction = actor.instruction
        actor.loading = 0
        per_slice = p.macs_per_cycle // p.strips
        actor.shadow_steps = ins.m if ins.flow == WS else ins.m * (-(-(need * p.columns) // per_slice))
        actor.load_inner += 1
        if actor.load_inner == actor.inners:
            actor.load_inner = 0
            actor.load_outer += 1
        if actor.load_outer == actor.outers:
            actor.instruction = -1
        else:
            for s in range(first, first + count):
                shape_fold(strips[s], ins, p, s, actor.load_outer, actor.load_inner)
    return 1, at


@inlined
def load_unknown(actor, strips, first, count, fifo, slot):
    """Return whether a stationary load might or might not find its beats: some have no stamp yet."""
    if actor.instruction < 0 or (actor.shadow == 1 and actor.streaming == 1):
        return False
    for s in range(first, first + count):
        if actor.loading < strips[s].limit:
            if head_at(fifo[s], slot[s]) == NEVER or slot[s, fifo[s].head % slot.shape[1]].target != 0:
                return True
    return False


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
def finish_write(actor, pending, span, at):
    """Retire the fold whose write has ended (changes `actor` and `span`)."""
    entry = pending[actor.pending_head]
    actor.writing = 0
    actor.pending_head = (actor.pending_head + 1) % PENDING_DEPTH
    actor.pending -= 1
    actor.sets -= entry.frees
    actor.passes += entry.last
    mark_end(span, entry.operator, at)


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
        if at > now and not streams and load_unknown(actor, strips, first, count, fifo, slot):
            actor.at = at
            return at
        if actor.writing == 1 and at >= actor.write_end:
            finish_write(actor, pending, span, at)
        if actor.writing == 0 and actor.pending > 0 and pending[actor.pending_head].ready_at <= actor.advances:
            actor.writing = 1
            actor.write_end = at + pending[actor.pending_head].cycles * period
        if actor.writing == 1:
            entry = pending[actor.pending_head]
            mask = bank_mask(entry.address, entry.bytes, p.buffer_banks, p.bank_bytes)
            use_ports(history, at, period, 0, mask)
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
            streamed = stationary_stream(actor, pending, program, p, at, history, period)
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
