"""Control of the array at PE level, native timing: takes passes, steps, holds, loads and writes; stepped every cycle.

Written from docs/core/array.md and docs/timing-model.md, apart from the wavefront mode, with which it is compared
cycle by cycle.  Nothing here counts on a depth: a fold is over when its tag `last` has come to the last PE, and
groups of a chain follow the leading one through a delay line of commands.

    command (outer, inner, step) --> [ skew(1) registers ] --> [ skew(1) ] --> ...
              | leading group            | group 1                | group 2

First cycles of an OS pass (steps 2, depth 3; c.s = command of step s)::

    cycle        0     1     2     3     4     5
    command     c.0   c.1    -     -     -     -
    tag `last` has come to the last PE         x
    write                                      x
"""

from __future__ import annotations

from nmpsim.core.pe.feed import (
    clear_entry,
    clear_lines,
    edge_sums,
    feed_left,
    feed_row,
    feed_top,
    flags_of,
    full_columns,
    needs_beat,
    take_sums,
)
from nmpsim.core.pe.folds import end_fold, write_folds
from nmpsim.core.pe.grid import (
    enter_left,
    move_input_stationary,
    move_output_stationary,
    move_weight_stationary,
)
from nmpsim.core.pe.state import FOLDS, LAST
from nmpsim.core.pe.stationary import load_stationary, stream_stationary
from nmpsim.core.state import (
    ACCUMULATORS_BUSY,
    BUSY,
    EDGE_BANDWIDTH,
    LOAD_STATIONARY,
    OPERAND_LATE,
    PIPELINE_DRAIN,
    QUEUE_EMPTY,
    RECONFIGURE,
)
from nmpsim.kernel import array_kernel, inlined
from nmpsim.program.isa import CHAIN, IS, OS, WS


@array_kernel
def move(state, control, sizes):
    """Clock the whole array once (changes ``state``); what enters was noted before."""
    grid, advances = state.grid, control.advances
    rows = control.group * sizes.strip_rows
    chain = 1 if control.split == CHAIN else 0
    enter_left(grid, state.edges, advances, rows)
    if control.flow == OS:
        control.active = move_output_stationary(grid, state.edges, advances, rows, chain)
    else:
        take_sums(state, control.flow, rows, chain, advances)
        if control.flow == WS:
            control.active = move_weight_stationary(grid, state.edges, advances, rows, chain)
        else:
            control.active = move_input_stationary(grid, state.edges, advances, rows, chain)
    control.advances += 1
    clear_entry(state.edges, control.advances)
    if grid.product_mark[control.advances % len(grid.product), -1, -1] & LAST:
        control.delivered += 1


@inlined
def take_pass(state, control, sizes):
    """Take the next pass if it may start; return the reason why not, or BUSY (changes ``state``)."""
    drains = control.pending > 0 or control.streaming == 1 or control.shadow == 1
    if control.taken == len(state.passes) or state.passes[control.taken].first_at > control.cycle:
        return PIPELINE_DRAIN if drains else QUEUE_EMPTY
    job = state.passes[control.taken]
    if control.flow != job.flow or control.group != job.group or control.split != job.split:
        if drains:
            return PIPELINE_DRAIN
        control.ready_at = control.cycle + (0 if control.flow < 0 else sizes.reconfigure)
        control.flow = job.flow
        control.group = job.group
        control.split = job.split
        state.drain.number[:] = control.taken
        state.drain.count[:] = 0
        clear_lines(state.edges)
    if control.cycle < control.ready_at:
        return RECONFIGURE
    if control.pending >= FOLDS - 2:
        return PIPELINE_DRAIN
    if job.flow == WS and control.shadow == 1 and control.shadow_pass != control.stream_pass:
        return PIPELINE_DRAIN
    control.instruction = control.taken
    control.taken += 1
    if job.flow == WS:
        control.load_outer = 0
        control.load_inner = 0
        control.loaded = 0
    else:
        control.outer = 0
        control.inner = 0
        control.step = 0
        control.begun = 0
        control.rows_loaded = 0
    return BUSY


@inlined
def command_of(state, control, sizes, h, chain):
    """Return the place in the command line of what group `h` does in this advance, for h > 0 of a chain."""
    delay = h * sizes.columns if chain == 1 else 0
    return (control.advances - delay) % len(state.edges.command)


@inlined
def beats_missing(state, control, job, sizes, groups, chain):
    """Return whether a beat that the groups need in this advance is not there."""
    for h in range(groups):
        command = state.edges.command[command_of(state, control, sizes, h, chain)]
        outer, inner, step = command[0], command[1], command[2]
        if outer >= 0 and needs_beat(job, groups, h, outer, inner, step, sizes.columns):
            strip = h * job.group + step % job.group
            head = state.head[strip]
            if head >= state.beats.end[strip] or state.beats.ready[head] > control.cycle:
                return True
    return False


@inlined
def others_move(state, control, sizes, groups):
    """Return whether a command is under way to a later group of a chain."""
    for back in range(1, (groups - 1) * sizes.columns + 1):
        if state.edges.command[(control.advances - back) % len(state.edges.command), 0] >= 0:
            return True
    return False


@inlined
def next_command(state, control, job):
    """Put the leading group's next step into the command line and go on to the one after it (changes ``state``)."""
    command = state.edges.command[control.advances % len(state.edges.command)]
    command[0] = control.outer
    command[1] = control.inner
    command[2] = control.step
    control.step += 1
    if control.step == job.steps:
        control.step = 0
        control.inner += 1
        if control.inner == job.inners:
            control.inner = 0
            control.outer += 1


@inlined
def feed_step(state, control, job, sizes, groups, chain, which):
    """Let the beats, operands and tags of this advance enter (OS, IS; changes ``state``)."""
    edges = state.edges
    rows = job.group * sizes.strip_rows
    for h in range(groups):
        command = edges.command[command_of(state, control, sizes, h, chain)]
        outer, inner, step = command[0], command[1], command[2]
        if outer < 0:
            continue
        ends = step == job.steps - 1 and (job.flow == OS or inner == job.inners - 1)
        if h == 0 or chain == 0:
            flags = flags_of(step, ends, which)
            feed_left(edges, state.operand_a, job, control.advances, h, inner, step, rows, flags, 0)
        if needs_beat(job, groups, h, outer, inner, step, sizes.columns):
            strip = h * job.group + step % job.group
            valid = full_columns(job, groups, h, outer, inner, sizes.columns)
            feed_top(edges, state.beats, state.head, strip, h, valid, control.advances)
        if ends and h == groups - 1:
            last = 1 if outer == job.outers - 1 else 0
            cycles = job.m * job.row_cycles if job.flow == OS else 1
            end_fold(state, control, control.instruction, outer, last, cycles, 1 if job.flow == OS else 0)
            if last == 1:
                control.instruction = -1
    command = edges.command[control.advances % len(edges.command)]
    outer, inner, step = command[0], command[1], command[2]
    if job.flow == IS and outer >= 0 and inner + 1 < job.inners and step < job.m:
        for h in range(groups):
            feed_row(edges, state.operand_a, job, groups, h, inner + 1, step, control.advances)


@inlined
def stream(state, control, sizes):
    """Do one cycle of an OS or IS pass; return its reason (changes ``state``)."""
    job = state.passes[control.instruction]
    groups = sizes.strips // job.group
    chain = 1 if job.split == CHAIN else 0
    if control.cycle < control.paced_until:
        return EDGE_BANDWIDTH
    if job.flow == IS and control.rows_loaded < job.m:
        for h in range(groups):
            feed_row(state.edges, state.operand_a, job, groups, h, 0, control.rows_loaded, control.advances)
        control.rows_loaded += 1
        control.moved = 1
        return LOAD_STATIONARY
    issues = control.outer < job.outers
    opens = issues and job.flow == OS and control.step == 0
    if opens and control.sets >= sizes.fold_sets:
        if chain == 0 or not others_move(state, control, sizes, groups):
            control.moved = 1
            return ACCUMULATORS_BUSY
        issues = False
        opens = False
    outer, inner, step = control.outer, control.inner, control.step
    if issues:
        next_command(state, control, job)
    if beats_missing(state, control, job, sizes, groups, chain):
        state.edges.command[control.advances % len(state.edges.command)] = -1
        control.outer = outer
        control.inner = inner
        control.step = step
        if control.begun == 0 and control.pending > 0:
            control.moved = 1
        return OPERAND_LATE
    control.begun = 1
    if opens:
        control.sets += 1
        control.opened += 1
    feed_step(state, control, job, sizes, groups, chain, (control.opened + sizes.fold_sets - 1) % sizes.fold_sets)
    control.paced_until = control.cycle + job.pace
    control.moved = 1
    return BUSY


@inlined
def decide(state, control, sizes):
    """Let the control do one cycle; ``control.moved`` says whether the array is clocked in it (changes ``state``)."""
    control.moved = 0
    control.active = 0
    rows = control.group * sizes.strip_rows
    chain = 1 if control.split == CHAIN else 0
    control.edge = 0 if control.flow < 0 else edge_sums(state.grid, control.flow, rows, chain, control.advances)
    write_folds(state, control, sizes)
    reason = BUSY
    if control.instruction < 0:
        reason = take_pass(state, control, sizes)
    if control.flow == OS or control.flow == IS:
        if control.instruction >= 0:
            reason = stream(state, control, sizes)
    elif control.flow == WS:
        streamed = stream_stationary(state, control, sizes)
        loads = 0
        waits = control.instruction >= 0
        if waits:
            loads = load_stationary(state, control, sizes)
        if streamed >= 0:
            reason = streamed
        elif loads == 1:
            reason = LOAD_STATIONARY
        elif waits:
            reason = OPERAND_LATE
    holds = reason == EDGE_BANDWIDTH or (reason == OPERAND_LATE and control.flow != WS)
    if control.pending > 0 and not holds:
        control.moved = 1
    control.reason = reason
    control.cycle += 1


@array_kernel
def run_cycles(state, sizes, trace, heads):
    """Step until all passes are complete, or the trace is full; return the cycles done.

    Parameters
    ----------
    state : ArrayState
        Changed.
    sizes : Dimensions
    trace : TRACE, shape (cycle,)
        One record per cycle, changed.
    heads : ndarray of int64, shape (cycle, strip)
        Beats taken by each strip up to the end of the cycle; changed.
    """
    control = state.control[0]
    for cycle in range(len(trace)):
        decide(state, control, sizes)
        if control.moved == 1:
            move(state, control, sizes)
        entry = trace[cycle]
        entry.move = control.moved
        entry.reason = control.reason
        entry.active = control.active
        entry.edge = control.edge
        entry.writing = control.writing
        entry.sets = control.sets
        entry.done = control.done
        entry.advances = control.advances
        for strip in range(sizes.strips):
            heads[cycle, strip] = state.head[strip] - state.beats.begin[strip]
        if control.done == len(state.passes):
            return cycle + 1
    return len(trace)
