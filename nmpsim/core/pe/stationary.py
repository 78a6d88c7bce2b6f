"""The weight-stationary control at PE level: an operand loads into the shadow while the one before it streams.

First cycles (strip_rows 2, m = 2, beats always there)::

    cycle     0     1     2     3     4     5
    load     b0    b1    b2    b3    b4    b5
    take                 f0          f1
    stream    -     -    f0.0  f0.1  f1.0  f1.1
"""

from __future__ import annotations

from nmpsim.core.pe.feed import feed_left, feed_sums, flags_of, full_columns, load_beats
from nmpsim.core.pe.folds import end_fold
from nmpsim.core.pe.grid import pass_on
from nmpsim.core.state import BUSY, EDGE_BANDWIDTH
from nmpsim.kernel import inlined
from nmpsim.program.isa import CHAIN


@inlined
def stream_stationary(state, control, sizes):
    """Do one step of a WS fold; return its reason, or -1 when there is none to stream (changes ``state``)."""
    if control.cycle < control.paced_until:
        return EDGE_BANDWIDTH
    if control.streaming == 0:
        if control.shadow == 0:
            return -1
        if control.shadow_pass != control.stream_pass:
            control.stream_pass = control.shadow_pass
            control.outer = 0
            control.inner = 0
        control.streaming = 1
        control.shadow = 0
        control.step = 0
        control.operands += 1
        operand = state.edges.operand[control.operands % len(state.edges.operand)]
        for row in range(len(operand)):
            pass_on(state.grid.shadow[row], operand[row])
    job = state.passes[control.stream_pass]
    rows = job.group * sizes.strip_rows
    groups = sizes.strips // job.group
    outer, inner = control.outer, control.inner
    fold_ends = control.step == job.steps - 1
    ends = fold_ends and outer == job.outers - 1 and inner == job.inners - 1
    slot = control.operands % len(state.edges.operand)
    for h in range(groups):
        if h == 0 or job.split != CHAIN:
            flags = flags_of(control.step, ends, 0)
            feed_left(state.edges, state.operand_a, job, control.advances, h, inner, control.step, rows, flags, slot)
        if full_columns(job, groups, h, outer, inner, sizes.columns) > 0:
            feed_sums(state.edges, h, control.advances)
    control.paced_until = control.cycle + job.pace
    control.step += 1
    if fold_ends:
        control.streaming = 0
        control.inner += 1
        if control.inner == job.inners:
            control.inner = 0
            control.outer += 1
    if ends:
        end_fold(state, control, control.stream_pass, outer, 1, 1, 0)
        control.stream_pass = -1
    control.moved = 1
    return BUSY


@inlined
def load_stationary(state, control, sizes):
    """Load one beat per strip into the shadow; return 1 when beats were taken (WS; changes ``state``)."""
    if control.shadow == 1:
        return 0
    number, outer, inner = control.instruction, control.load_outer, control.load_inner
    job = state.passes[number]
    groups = sizes.strips // job.group
    rows = job.group * sizes.strip_rows
    need = 0
    for strip in range(sizes.strips):
        beats = load_beats(job, groups, strip, outer, inner, rows, sizes.strip_rows, sizes.columns)
        need = max(need, beats)
        if control.loaded < beats:
            head = state.head[strip]
            if head >= state.beats.end[strip] or state.beats.ready[head] > control.cycle:
                return 0
    for strip in range(sizes.strips):
        if control.loaded < load_beats(job, groups, strip, outer, inner, rows, sizes.strip_rows, sizes.columns):
            valid = full_columns(job, groups, strip // job.group, outer, inner, sizes.columns)
            row = strip * sizes.strip_rows + control.loaded
            for j in range(sizes.columns):
                state.grid.shadow[row, j] = state.beats.value[state.head[strip], j] << 1 | (1 if j < valid else 0)
            state.head[strip] += 1
    control.loaded += 1
    if control.loaded == need:
        control.loaded = 0
        control.shadow = 1
        control.shadow_pass = number
        control.load_inner += 1
        if control.load_inner == job.inners:
            control.load_inner = 0
            control.load_outer += 1
        if control.load_outer == job.outers:
            control.instruction = -1
    return 1
