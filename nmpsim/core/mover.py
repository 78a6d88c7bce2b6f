"""The data mover: starts weight streams, loads beats into the buffer, stores beats to DRAM.

    STREAM  posts one run of rows to every bank; the beats go to the compute unit without passing here
    LOAD    posts one run to one bank; its beats are taken from the strip's FIFO, one a cycle, into the buffer
    STORE   reads beats from the buffer, one a cycle, into the write FIFO of one bank

Instructions complete in order: a STREAM when the banks have accepted its runs, a LOAD when its last beat stands in
the buffer, a STORE when its last WR was issued.
"""

from __future__ import annotations

from nmpsim.core.ports import bank_mask
from nmpsim.core.queue import mark_end, mark_start, take_instruction
from nmpsim.core.state import (
    BANK_QUEUE_FULL,
    BUSY,
    MOVE_SLOTS,
    NO_CREDIT,
    OPERAND_LATE,
    PORT_CONFLICT,
    QUEUE_EMPTY,
)
from nmpsim.kernel import NEVER, inlined
from nmpsim.link.fifo import credit_at, head_at, pop, push
from nmpsim.link.memory_port import blank_run, post_run, run_space_at, write_done_at
from nmpsim.program.isa import LOAD, MOVE, STORE, STREAM


@inlined
def room_at(queue, runs, count):
    """Return the tick at which `count` more runs can be posted to a bank; NEVER while unknown."""
    last = queue.posted + count - 1
    capacity = len(runs)
    if last < capacity:
        return 0
    if last - capacity >= queue.taken:
        return NEVER
    return runs[last % capacity].free_at


@inlined
def stream_room_at(port, c):
    """Return the tick at which every bank of the channel has room for the two runs of a STREAM."""
    at = 0
    for b in range(port.queue.shape[1]):
        at = max(at, room_at(port.queue[c, b], port.run[c, b], 2))
    return at


@inlined
def post_rows(queue, runs, row, rows, column, columns, write, target, stride, token, at):
    """Post one run (changes `queue` and `runs`)."""
    run = blank_run(queue, runs)
    run.first_row = row
    run.rows = rows
    run.row_stride = 1
    run.first_column = column
    run.columns = columns
    run.is_write = write
    run.target = target
    run.target_stride = stride
    run.token = token
    post_run(queue, runs, at)


@inlined
def retire_moves(now, mover, slots, port, c, signal, core, span):
    """Complete moves in order (changes `mover`, `signal` and `core`); return the tick to look again."""
    while mover.completed < mover.issued:
        index = mover.completed % MOVE_SLOTS
        slot = slots[index]
        if slot.kind == LOAD and slot.left > 0:
            return NEVER
        if slot.kind == STORE:
            done_at = write_done_at(port.token[c, index])
            if done_at > now:
                return done_at
        mark_end(span, slot.operator, now)
        mover.completed += 1
        signal[MOVE] += 1
        core.retired += 1
    return NEVER


@inlined
def take_beat(now, p, dram, credit, mover, slots, port, c, core):
    """Take one beat that goes to the buffer from the FIFOs; return (reason, tick to look again).

    A beat may be taken only after the beats before it, which the compute unit may already have taken in cycles yet to
    come.
    """
    look = NEVER
    reason = OPERAND_LATE
    for i in range(p.strips):
        s = (mover.turn + i) % p.strips
        fifo, ring = port.fifo[c, s], port.slot[c, s]
        ready = head_at(fifo, ring)
        if ready == NEVER or ring[fifo.head % len(ring)].target == 0:
            continue
        if fifo.head > 0:
            ready = max(ready, ring[(fifo.head - 1) % len(ring)].free_at - credit + 1)
        if ready > now:
            look = min(look, ready)
            continue
        slot = ring[fifo.head % len(ring)]
        mask = bank_mask(slot.target - 1, dram.column_bytes, p.buffer_banks, p.bank_bytes)
        if mask & core.write_mask:
            mover.conflicts += 1
            reason = PORT_CONFLICT
            look = now
            continue
        core.write_mask |= mask
        entry = slots[slot.token]
        entry.left -= 1
        if entry.left == 0:
            mover.loads -= 1
        pop(fifo, ring, now + credit)
        mover.beats_in += 1
        mover.turn = (s + 1) % p.strips
        return BUSY, now
    return reason, look


@inlined
def read_store(now, period, dram_period, p, dram, mover, port, c, core, program):
    """Read one beat of the STORE in progress; return (reason, tick to look again) (changes its arguments)."""
    ins = program[mover.instruction]
    fifo, ring = port.write_fifo[c, ins.bank], port.write_slot[c, ins.bank]
    space = credit_at(fifo, ring, 1)
    if space > now:
        return NO_CREDIT, space
    address = ins.a + mover.beat * dram.column_bytes
    mask = bank_mask(address, dram.column_bytes, p.buffer_banks, p.bank_bytes)
    if mask & core.read_mask:
        mover.conflicts += 1
        return PORT_CONFLICT, now + period
    core.read_mask |= mask
    fifo.reserved += 1
    ready = (now // dram_period + 1 + dram.nPORT) * dram_period
    push(fifo, ring, ready, 0, 0)
    mover.beats_out += 1
    mover.beat += 1
    if mover.beat == ins.beats:
        mover.instruction = -1
    return BUSY, now + period


@inlined
def start_move(now, dram_period, p, dram, mover, slots, port, c, ins, number, tables):
    """Start a move whose runs fit into the bank queues (changes the queues, `mover` and `slots`)."""
    index = mover.issued % MOVE_SLOTS
    slot = slots[index]
    slot.kind = 0
    slot.operator = ins.operator
    at = (now // dram_period + 1) * dram_period
    if ins.op == STREAM:
        for b in range(p.strips):
            beats = tables[ins.table + b]
            rows = beats // dram.columns
            rest = beats % dram.columns
            if rows > 0:
                post_rows(port.queue[c, b], port.run[c, b], ins.row, rows, 0, dram.columns, 0, 0, 0, index, at)
            if rest > 0:
                post_rows(port.queue[c, b], port.run[c, b], ins.row + rows, 1, 0, rest, 0, 0, 0, index, at)
    else:
        write = 1 if ins.op == STORE else 0
        slot.kind = ins.op
        target = 0 if write else 1 + ins.out
        if write:
            port.token[c, index].left = ins.beats
            port.token[c, index].done_at = 0
            mover.instruction = number
            mover.beat = 0
        else:
            slot.left = ins.beats
            mover.loads += 1
        post_rows(
            port.queue[c, ins.bank],
            port.run[c, ins.bank],
            ins.row,
            1,
            ins.column,
            ins.beats,
            write,
            target,
            dram.column_bytes,
            index,
            at,
        )
    mover.issued += 1


@inlined
def step_mover(
    now,
    period,
    dram_period,
    credit,
    p,
    dram,
    c,
    mover,
    slots,
    port,
    unit,
    entries,
    core,
    signal,
    semaphore,
    program,
    tables,
    span,
):
    """Step the data mover in cycle `now`; return (reason, wake) (changes itself, FIFOs, run queues and `signal`)."""
    wake = retire_moves(now, mover, slots, port, c, signal, core, span)
    moved = QUEUE_EMPTY
    if mover.loads > 0:
        moved, look = take_beat(now, p, dram, credit, mover, slots, port, c, core)
        wake = min(wake, max(look, now + period))
    reason = moved
    if mover.instruction >= 0:
        reason, look = read_store(now, period, dram_period, p, dram, mover, port, c, core, program)
        wake = min(wake, max(look, now + period))
    elif mover.issued - mover.completed < MOVE_SLOTS:
        number, blocked = -1, QUEUE_EMPTY
        space = NEVER
        if unit.count > 0 and entries[unit.head % len(entries)].at <= now:
            ins = program[entries[unit.head % len(entries)].instruction]
            space = (
                stream_room_at(port, c)
                if ins.op == STREAM
                else run_space_at(port.queue[c, ins.bank], port.run[c, ins.bank])
            )
            if space <= now:
                number, blocked = take_instruction(unit, entries, semaphore, program, now)
            else:
                blocked = BANK_QUEUE_FULL
                wake = min(wake, space)
        if number >= 0:
            mark_start(span, program[number].operator, now)
            start_move(now, dram_period, p, dram, mover, slots, port, c, program[number], number, tables)
            blocked = BUSY
            wake = now + period
        if reason != BUSY:
            reason = blocked if moved == QUEUE_EMPTY or blocked == BUSY else moved
    elif reason != BUSY:
        reason = OPERAND_LATE
    return (BUSY if moved == BUSY else reason), wake


@inlined
def mover_wake(c, mover, slots, unit, entries, port, program):
    """Return the tick at which what the banks have stamped lets the data mover go on; NEVER if nothing has."""
    wake = NEVER
    if mover.completed < mover.issued and slots[mover.completed % MOVE_SLOTS].kind == STORE:
        wake = write_done_at(port.token[c, mover.completed % MOVE_SLOTS])
    if mover.instruction >= 0:
        bank = program[mover.instruction].bank
        wake = min(wake, credit_at(port.write_fifo[c, bank], port.write_slot[c, bank], 1))
    elif unit.count > 0:
        entry = entries[unit.head % len(entries)]
        ins = program[entry.instruction]
        if ins.op == STREAM:
            wake = min(wake, max(entry.at, stream_room_at(port, c)))
        else:
            wake = min(wake, max(entry.at, run_space_at(port.queue[c, ins.bank], port.run[c, ins.bank])))
    return wake
