"""Stationary dataflows: WS and MAC trees load B into shadow registers while the fold before it streams."""

from __future__ import annotations

from nmpsim.core.decoder import beat_at, drop_rest, take_beat
from nmpsim.core.folds import queue_fold
from nmpsim.core.geometry import ceil_div, shape_fold
from nmpsim.core.ports import operand_line, result_line, use_edges
from nmpsim.core.state import (
    ACCUMULATORS_BUSY,
    BUSY,
    EDGE_BANDWIDTH,
)
from nmpsim.kernel import NEVER, inlined
from nmpsim.program.isa import K_CONTIGUOUS, SPLIT_K, TREE, WS


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
    actor.valid = actor.shadow_valid
    actor.shadow_valid = 0


@inlined
def step_macs(actor, m):
    """Return the multiply-accumulates of the step that comes: a row of A meets every element of the stationary operand.

    A MAC tree may take several steps for a row, with equal shares of it.
    """
    if actor.steps == m:
        return actor.valid
    every = m * actor.valid
    return every * (actor.step + 1) // actor.steps - every * actor.step // actor.steps


@inlined
def stationary_stream(actor, pending, first, program, p, at, history, period):
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
        operands = operand_line(ins.a + actor.inner * reads, reads, actor.step, p)
        results = result_line(ins.out, writes, actor.step, p)
        use_edges(history, at, period, operands, results if actor.inner > 0 else 0, results, p)
    actor.macs += step_macs(actor, ins.m)
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
                edge = p.edge_bytes // p.strips
                queue_fold(actor, pending, ins, last, actor.stream_drain, 1, ins.out + first * edge, edge)
            elif last == 1:
                queue_fold(actor, pending, ins, 1, 1, 0, ins.out, p.bank_bytes)
            if last == 1:
                actor.stream_instruction = -1
    return BUSY


@inlined
def tree_places(beats, contiguous, p):
    """Return the steps that one row of A takes with `beats` beats in the registers of a MAC-tree slice.

    An engine adds up its taps and has one accumulator.  Where k runs within a beat, a beat is cut into pieces of `taps`
    for the engines; where n does, an engine takes `taps` beats of one column, be they there or not.
    """
    engines = p.macs_per_cycle // p.strips // p.taps
    if contiguous == K_CONTIGUOUS:
        return ceil_div(beats * p.columns, engines * p.taps)
    return ceil_div(beats, p.taps) * ceil_div(p.columns, engines)


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
            look = max(look, beat_at(strip, fifo[s], slot[s], ins))
    if look > at:
        return 0, look
    for s in range(first, first + count):
        strip = strips[s]
        if actor.loading < strip.limit:
            take_beat(actor, strip, fifo[s], slot[s], ins, at + credit)
            actor.shadow_valid += strip.valid
    actor.loading += 1
    if actor.loading >= need:
        actor.shadow = 1
        actor.shadow_instruction = actor.instruction
        actor.loading = 0
        actor.shadow_steps = ins.m if ins.flow == WS else ins.m * tree_places(need, ins.contiguous, p)
        actor.load_inner += 1
        if actor.load_inner == actor.inners:
            actor.load_inner = 0
            actor.load_outer += 1
        if actor.load_outer == actor.outers:
            actor.instruction = -1
            for s in range(first, first + count):
                drop_rest(actor, strips[s], fifo[s], slot[s], ins, at + credit)
        else:
            for s in range(first, first + count):
                shape_fold(strips[s], ins, p, s, actor.load_outer, actor.load_inner)
    return 1, at


@inlined
def load_unknown(actor, strips, first, count, fifo, slot, ins):
    """Return whether a stationary load might or might not find its beats: some have no stamp yet."""
    if actor.instruction < 0 or (actor.shadow == 1 and actor.streaming == 1):
        return False
    for s in range(first, first + count):
        if actor.loading < strips[s].limit:
            if beat_at(strips[s], fifo[s], slot[s], ins) == NEVER:
                return True
    return False
