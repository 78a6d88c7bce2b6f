"""What enters the edges of the array in a step, and what the sums that leave it are: operands, beats, tags, results.

A group's share of a pass, as docs/core/array.md has it: group `h` of `G` owns blocks of columns (chain, fission-N; IS:
of k), or every G-th k (fission-K) or n (IS, fission-N).
"""

from __future__ import annotations

from nmpsim.core.pe.state import (
    FIRST,
    LAST,
    LOAD_SHIFT,
    P_VALID,
    ROW_SHIFT,
    SET,
    SLOT_SHIFT,
    VALID,
    VALUE_SHIFT,
)
from nmpsim.kernel import inlined
from nmpsim.program.isa import CHAIN, IS, OS, SPLIT_K, SPLIT_N, WS


@inlined
def owned(total, groups, h):
    """Count the indices h, h + groups, ... below `total`."""
    return (total - h + groups - 1) // groups if h < total else 0


@inlined
def block_of(job, groups, h, outer, inner):
    """Return the block of columns (IS: of k) that group `h` works on in a fold."""
    if job.flow == IS:
        return inner if job.split == SPLIT_N else inner * groups + h
    return outer if job.split == SPLIT_K else outer * groups + h


@inlined
def full_columns(job, groups, h, outer, inner, columns):
    """Count the columns of that block that are no padding; 0 = no such block."""
    extent = job.k if job.flow == IS else job.n
    return max(0, min(columns, extent - block_of(job, groups, h, outer, inner) * columns))


@inlined
def own_steps(job, groups, h):
    """Count the steps of a fold that are those of group `h`."""
    if job.flow == OS:
        return owned(job.k, groups, h) if job.split == SPLIT_K else job.k
    if job.flow == IS:
        return owned(job.n, groups, h) if job.split == SPLIT_N else job.n
    return job.m


@inlined
def own_rows(job, groups, h, inner, rows):
    """Count the rows of group `h` that hold weights in a fold (WS)."""
    k = owned(job.k, groups, h) if job.split == SPLIT_K else job.k
    return max(0, min(rows, k - inner * rows))


@inlined
def needs_beat(job, groups, h, outer, inner, step, columns):
    """Return whether step `step` of group `h` takes a beat (OS, IS)."""
    return step < own_steps(job, groups, h) and full_columns(job, groups, h, outer, inner, columns) > 0


@inlined
def load_beats(job, groups, strip, outer, inner, rows, strip_rows, columns):
    """Count the beats that a strip loads of a stationary operand (WS)."""
    h, p = strip // job.group, strip % job.group
    if full_columns(job, groups, h, outer, inner, columns) == 0:
        return 0
    return max(0, min(strip_rows, own_rows(job, groups, h, inner, rows) - p * strip_rows))


@inlined
def clear_entry(edges, advances):
    """Let nothing enter in this advance, unless one of the functions below says otherwise (changes `edges`)."""
    edges.left[:, advances % edges.left.shape[1]] = 0
    edges.top[:, :, advances % edges.top.shape[2]] = 0
    edges.load[:, :, advances % edges.load.shape[2]] = 0
    edges.command[advances % len(edges.command)] = -1


@inlined
def clear_lines(edges):
    """Empty the skew registers and the command line: a change of shape takes them apart (changes `edges`)."""
    edges.left[:] = 0
    edges.top[:] = 0
    edges.load[:] = 0
    edges.command[:] = -1


@inlined
def feed_left(edges, operand_a, job, advances, h, inner, step, rows, flags, slot):
    """Let A (OS, WS) and the tags of a step enter the left edge of group `h` (changes `edges`).

    `flags` are the tags but for `valid`; `slot` is the number of the WS operand.
    """
    groups = len(edges.left) // rows
    place = advances % edges.left.shape[1]
    limit = own_rows(job, groups, h, inner, rows) if job.flow == WS else job.m
    if job.flow == IS and step >= own_steps(job, groups, h):
        limit = 0
    for i in range(rows):
        word = flags | slot << SLOT_SHIFT
        if i < limit:
            word |= VALID
            if job.flow == OS:
                k = step * groups + h if job.split == SPLIT_K else step
                if k < job.k:
                    word |= operand_a[job.a_at + i * job.k + k] << VALUE_SHIFT
            elif job.flow == WS:
                k = inner * rows + i
                if job.split == SPLIT_K:
                    k = k * groups + h
                word |= operand_a[job.a_at + step * job.k + k] << VALUE_SHIFT
        edges.left[h * rows + i, place] = word


@inlined
def feed_top(edges, beats, head, strip, h, valid, advances):
    """Let a strip's beat enter the top edge of its group `h` (changes `edges` and `head`)."""
    place = advances % edges.top.shape[2]
    for j in range(edges.top.shape[1]):
        edges.top[h, j, place] = beats.value[head[strip], j] << 1 | (1 if j < valid else 0)
    head[strip] += 1


@inlined
def feed_sums(edges, h, advances):
    """Let sums of +0 enter the top edge of group `h` (WS; changes `edges`)."""
    place = advances % edges.top.shape[2]
    for j in range(edges.top.shape[1]):
        edges.top[h, j, place] = VALID


@inlined
def feed_row(edges, operand_a, job, groups, h, inner, row, advances):
    """Let row `row` of A enter the top edge of group `h` on its way to that row (IS; changes `edges`)."""
    place = advances % edges.load.shape[2]
    columns = edges.load.shape[1]
    first = block_of(job, groups, h, 0, inner) * columns
    for j in range(columns):
        word = row << ROW_SHIFT | VALID
        if first + j < job.k:
            word |= operand_a[job.a_at + row * job.k + first + j] << LOAD_SHIFT | 2
        edges.load[h, j, place] = word


@inlined
def flags_of(step, is_last, which):
    """Tags of a step: first and last of a fold, accumulator set."""
    return (FIRST if step == 0 else 0) | (LAST if is_last else 0) | which * SET


@inlined
def write_row(state, job, fold, which, row, groups, rows):
    """Write a row of an accumulator set into the result (OS; changes ``state.result``)."""
    columns = state.grid.stay.shape[1]
    for h in range(groups):
        plane = h if job.split == SPLIT_K else 0
        first = block_of(job, groups, h, fold.outer, 0) * columns
        for j in range(min(columns, job.n - first)):
            place = job.c_at + (plane * job.m + row) * job.n + first + j
            state.result[place] = state.grid.acc[which, h * rows + row, j]


@inlined
def expected_sums(job, flow, h, place, groups, columns):
    """Count the valid sums of a pass that leave at one place of the edge: a column (WS) or row (IS) of group `h`."""
    if job.flow != flow:
        return 0
    if flow == WS:
        outers = job.outers
        if full_columns(job, groups, h, outers - 1, 0, columns) == 0:
            outers -= 1
        return max(0, outers) * job.inners * job.m
    if place >= job.m or (job.split == CHAIN and h < groups - 1):
        return 0
    return job.inners * own_steps(job, groups, h)


@inlined
def deliver(state, flow, h, place, value, rows):
    """Add a sum that leaves the array to the result it belongs to (WS, IS; changes ``state``).

    The edge knows which one it is by counting: sums of one place leave in order.
    """
    columns = state.grid.stay.shape[1]
    groups = len(state.grid.stay) // rows
    drain = state.drain[h * columns + place if flow == WS else h * rows + place]
    while drain.number + 1 < len(state.passes):
        if drain.count < expected_sums(state.passes[drain.number], flow, h, place, groups, columns):
            break
        drain.number += 1
        drain.count = 0
    job = state.passes[drain.number]
    per_fold = own_steps(job, groups, h)
    fold, step = drain.count // per_fold, drain.count % per_fold
    inner = fold % job.inners
    if flow == WS:
        column = block_of(job, groups, h, fold // job.inners, inner) * columns + place
        row = step
        plane = h if job.split == SPLIT_K else 0
    else:
        column = step * groups + h if job.split == SPLIT_N else step
        row = place
        plane = h if job.split == SPLIT_K else 0
    drain.count += 1
    if column < job.n:
        at = job.c_at + (plane * job.m + row) * job.n + column
        state.result[at] = value if inner == 0 else state.result[at] + value


@inlined
def take_sums(state, flow, rows, chain, advances):
    """Deliver every valid sum at the bottom (WS) or right (IS) edge (changes ``state``); it leaves in this advance."""
    grid = state.grid
    now, stage = advances & 1, advances % len(grid.product)
    for h in range(len(grid.stay) // rows):
        if flow == WS:
            for j in range(grid.stay.shape[1]):
                if grid.product_mark[stage, h * rows + rows - 1, j] & P_VALID:
                    deliver(state, flow, h, j, grid.psum[now, h * rows + rows - 1, 1 + j], rows)
        elif chain == 0 or h == len(grid.stay) // rows - 1:
            for i in range(rows):
                if grid.product_mark[stage, h * rows + i, -1] & VALID:
                    deliver(state, flow, h, i, grid.psum[now, h * rows + i, -1], rows)


@inlined
def edge_sums(grid, flow, rows, chain, advances):
    """Count the valid sums at the bottom (WS) or right (IS) edge."""
    stage = advances % len(grid.product)
    count = 0
    for h in range(len(grid.stay) // rows):
        if flow == WS:
            for j in range(grid.stay.shape[1]):
                count += (grid.product_mark[stage, h * rows + rows - 1, j] & P_VALID) // P_VALID
        elif flow == IS and (chain == 0 or h == len(grid.stay) // rows - 1):
            for i in range(rows):
                count += grid.product_mark[stage, h * rows + i, -1] & VALID
    return count
