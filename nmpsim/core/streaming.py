"""Streaming dataflows: OS and IS take a beat of B and a slice of A per step, all strips in lock step."""

from __future__ import annotations

from nmpsim.core.decoder import beat_at, drop_rest, take_beat
from nmpsim.core.folds import queue_fold
from nmpsim.core.geometry import shape_fold
from nmpsim.core.ports import operand_line, operand_mask, result_line, result_width, use_edges
from nmpsim.core.state import (
    ACCUMULATORS_BUSY,
    BUSY,
    EDGE_BANDWIDTH,
    LOAD_STATIONARY,
    NOT_OPEN,
    OPERAND_LATE,
)
from nmpsim.kernel import NEVER, inlined
from nmpsim.program.isa import CHAIN, IS, OS, SPLIT_K

UNKNOWN = -2
"""Reason of a cycle ahead of the global time that cannot be decided yet."""


@inlined
def stream_ports(leader, ins, p, at, history, period):
    """Note the banks that one step of an OS or IS pass reads and writes (changes `history`)."""
    groups = p.strips // ins.group
    reads = ins.m * 2 * (groups if ins.split == SPLIT_K else 1) if ins.flow == OS else 0
    writes = ins.m * 4 * (1 if ins.split == CHAIN else groups) if ins.flow == IS else 0
    operands = operand_line(ins.a, reads, leader.step, p)
    results = result_line(ins.out, writes, leader.step, p)
    sums = results if ins.flow == IS and leader.inner > 0 else 0
    if operands | results:
        use_edges(history, at, period, operands, sums, results, p)


@inlined
def stream_strip(actor, strip, fifo, slots, pending, ins, p, at, credit, index, is_last):
    """Move one strip one step on (changes its first five arguments)."""
    if strip.wait != 0:
        if strip.wait != NOT_OPEN:
            strip.wait -= 1
        return
    if strip.step < strip.limit and strip.step % ins.group == strip.phase:
        take_beat(actor, strip, fifo, slots, ins, at + credit)
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
            drop_rest(actor, strip, fifo, slots, ins, at + credit)
        if is_last and ins.flow == OS:
            groups = p.strips // ins.group
            length = min(result_width(p), groups * p.columns * 4)
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
        use_edges(history, at, period, operand_mask(address, p.columns * 2, p), 0, 0, p)
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
            look = max(look, beat_at(strip, fifo[s], slot[s], ins))
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
