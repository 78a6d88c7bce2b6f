"""How a PASS falls onto strips: folds, steps and beats.

A pass computes C[m, n] = sum over k of A[m, k] B[k, n].  B comes in beats of `columns` elements, one beat per strip
and cycle at most.  Strips are stacked in groups of ``group`` (the rows of the logical shape); there are G =
strips / group groups.

=====  ===================  ====================================  ==========================================
flow   beat                 a strip holds                         an output leaves
=====  ===================  ====================================  ==========================================
OS     k fixed, n runs      C: rows m, columns n                  after the K steps of a fold, row by row
WS     k fixed, n runs      B: rows k, columns n                  every step, one m a step (added in buffer)
IS     n fixed, k runs      A: rows m, columns k                  every step, one n a step (added in buffer)
TREE   k fixed or n fixed   ``register_beats`` beats of B         after the folds over K, row by row
=====  ===================  ====================================  ==========================================

Groups are chained (n-blocks side by side; k-blocks for IS) or split (fission): group g of G then takes the indices
``local * G + g`` of the split dimension, so that all groups together read neighbouring elements.
An *output fold* (``outer``) yields results, an *inner fold* adds to it.

First cycles of an OS pass with group = 2, K = 4: the two strips of a group take turns, a beat a step::

    step        0   1   2   3
    strip 0     b0  -   b2  -
    strip 1     -   b1  -   b3
"""

from __future__ import annotations

from nmpsim.core.ports import operand_width, result_width
from nmpsim.kernel import inlined
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, WS


@inlined
def ceil_div(a, b):
    """Return a / b rounded up; b > 0."""
    return -(-a // b)


@inlined
def clamp(x, low, high):
    """Return x limited to low..high."""
    return min(max(x, low), high)


@inlined
def share(total, groups, group):
    """Return how many of `total` interleaved indices belong to `group` of `groups`."""
    return max(0, (total - group + groups - 1) // groups)


@inlined
def shape_pass(actor, ins, p, index):
    """Set folds, steps, pace, depth and drain of the pass `ins` (changes `actor`).

    Parameters
    ----------
    actor : ACTOR record
    ins : INSTRUCTION record
    p : CoreParams
    index : int
        Index of the actor (the slice, for a MAC tree).
    """
    groups = p.strips // ins.group
    n_blocks = ceil_div(ins.n, p.columns)
    k_blocks = ceil_div(ins.k, p.columns)
    port, result_port = operand_width(p), result_width(p)
    edge = max(1, p.edge_bytes // p.strips)
    rows = ins.group * p.strip_rows
    skew = p.columns * (groups - 1) if ins.split == CHAIN else 0
    actor.pace = 1
    actor.drain = 1
    if ins.flow == OS:
        actor.inners = 1
        actor.outers = n_blocks if ins.split == SPLIT_K else ceil_div(n_blocks, groups)
        actor.steps = ceil_div(ins.k, groups) if ins.split == SPLIT_K else ins.k
        feeds = groups if ins.split == SPLIT_K else 1
        actor.pace = max(1, ceil_div(ins.m * 2 * feeds, port))
        actor.drain = ins.m * ceil_div(
            min(groups, groups if ins.split == SPLIT_K else n_blocks) * p.columns * 4, result_port
        )
        actor.depth = rows + p.columns - 1 + p.pe_latency
    elif ins.flow == IS:
        actor.outers = 1
        actor.inners = k_blocks if ins.split == SPLIT_N else ceil_div(k_blocks, groups)
        actor.steps = ceil_div(ins.n, groups) if ins.split == SPLIT_N else ins.n
        if actor.inners > 1:
            actor.steps = max(actor.steps, ins.m)
        writers = 1 if ins.split == CHAIN else groups
        actor.pace = max(1, ceil_div(ins.m * 4 * writers, result_port))
        actor.depth = rows + p.columns - 1 + p.pe_latency
    elif ins.flow == WS:
        actor.outers = n_blocks if ins.split == SPLIT_K else ceil_div(n_blocks, groups)
        own_k = ceil_div(ins.k, groups) if ins.split == SPLIT_K else ins.k
        actor.inners = ceil_div(own_k, rows)
        feeds = groups if ins.split == SPLIT_K else 1
        width = groups if ins.split == SPLIT_K else min(groups, n_blocks)
        reads = rows * 2 * feeds + (width * p.columns * 4 if actor.inners > 1 and not p.separate else 0)
        actor.pace = max(1, max(ceil_div(reads, port), ceil_div(width * p.columns * 4, result_port)))
        actor.depth = rows + p.columns - 1 + p.pe_latency + skew
    else:
        if ins.contiguous == K_CONTIGUOUS:
            actor.outers = ceil_div(share(ins.n, groups, index), p.register_beats)
            actor.inners = k_blocks
            actor.drain = ceil_div(ins.m * p.register_beats * 4, edge)
        elif ins.split == SPLIT_K:
            actor.outers = n_blocks
            actor.inners = ceil_div(share(ins.k, groups, index), p.register_beats)
            actor.drain = ceil_div(ins.m * p.columns * 4, edge * p.strips)
        else:
            actor.outers = share(n_blocks, groups, index)
            actor.inners = ceil_div(ins.k, p.register_beats)
            actor.drain = ceil_div(ins.m * p.columns * 4, edge)
        if actor.inners == 0:
            actor.outers = 0
        actor.depth = p.pe_latency


@inlined
def shape_fold(strip, ins, p, index, outer, inner):
    """Set how many beats of a fold strip `index` takes and how full they are (changes `strip`).

    ``limit`` is the number of steps that have a beat for the strip's group (OS, IS), or the beats of the stationary
    operand (WS, TREE).
    """
    groups = p.strips // ins.group
    group = index // ins.group
    k_beat = ins.contiguous == K_CONTIGUOUS
    block = 0
    if ins.flow == OS:
        block = outer if ins.split == SPLIT_K else outer * groups + group
        strip.limit = share(ins.k, groups, group) if ins.split == SPLIT_K else ins.k
    elif ins.flow == IS:
        block = inner if ins.split == SPLIT_N else inner * groups + group
        strip.limit = share(ins.n, groups, group) if ins.split == SPLIT_N else ins.n
    elif ins.flow == WS:
        block = outer if ins.split == SPLIT_K else outer * groups + group
        own_k = share(ins.k, groups, group) if ins.split == SPLIT_K else ins.k
        first = (inner * ins.group + index % ins.group) * p.strip_rows
        strip.limit = clamp(own_k - first, 0, p.strip_rows)
    elif k_beat:
        block = inner
        strip.limit = clamp(share(ins.n, groups, group) - outer * p.register_beats, 0, p.register_beats)
    elif ins.split == SPLIT_K:
        block = outer
        strip.limit = clamp(share(ins.k, groups, group) - inner * p.register_beats, 0, p.register_beats)
    else:
        block = outer * groups + group
        strip.limit = clamp(ins.k - inner * p.register_beats, 0, p.register_beats)
    extent = ins.k if k_beat else ins.n
    strip.valid = clamp(extent - block * p.columns, 0, p.columns)
    if strip.valid == 0:
        strip.limit = 0
