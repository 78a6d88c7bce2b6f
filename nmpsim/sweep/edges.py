"""Bytes that the edges of a compute unit move between it and the buffer, by the definition of the dataflows.

What one step moves is what the ports must give in a cycle if the step is to take one cycle; if they give less, the
kernel holds the array (``edge_bandwidth``).  The table is that of docs/timing-model.md, "bytes per step at the edges".

=====  =============================================  ==============================================
flow   read                                           written
=====  =============================================  ==============================================
OS     2 m a step (fission-K: of each group)          4 c of every group with columns, row by row
WS     2 rows a step (fission-K: of each group);      4 c of every group with columns, a step
       the sums that it adds to
IS     A once, a row of 2 c at a time; the sums       4 m a step (fission: of each group)
TREE   every slice 2 times its multiplicands          the edge, shared by the slices
=====  =============================================  ==============================================
"""

from __future__ import annotations

from typing import NamedTuple

from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, WS
from nmpsim.program.schedule import PassPlan
from nmpsim.spec.params import CoreParams


class Edges(NamedTuple):
    """Bytes of one PASS at the edges."""

    read_step: int  # bytes read in the busiest step
    write_step: int  # bytes written in the busiest step, or in the write of one row
    read: int  # bytes read in all
    written: int  # bytes written in all


def _up(a: int, b: int) -> int:
    return -(-a // b)


def pass_edges(core: CoreParams, mapping: PassPlan, m: int, n: int, k: int) -> Edges:
    """Return what the edges move in one PASS; of a MAC tree with full folds.

    Parameters
    ----------
    core : CoreParams
    mapping : PassPlan
    m, n, k : int
        Of the PASS.
    """
    c, groups, by_k = core.columns, core.strips // mapping.group, mapping.split == SPLIT_K
    rows = mapping.group * core.strip_rows
    n_blocks, k_blocks = _up(n, c), _up(k, c)
    feeds = groups if by_k else 1
    width = 4 * c * (groups if by_k else min(groups, n_blocks))
    if mapping.flow == OS:
        folds = n_blocks if by_k else _up(n_blocks, groups)
        steps = _up(k, groups) if by_k else k
        return Edges(2 * m * feeds, width, folds * steps * 2 * m * feeds, folds * m * width)
    if mapping.flow == WS:
        outers = n_blocks if by_k else _up(n_blocks, groups)
        inners = _up(_up(k, groups) if by_k else k, rows)
        sums = width if inners > 1 else 0
        read = outers * m * (inners * 2 * rows * feeds + (inners - 1) * width)
        return Edges(2 * rows * feeds + sums, width, read, outers * inners * m * width)
    if mapping.flow == IS:
        inners = k_blocks if mapping.split == SPLIT_N else _up(k_blocks, groups)
        steps = _up(n, groups) if mapping.split == SPLIT_N else n
        written = 4 * m * (1 if mapping.split == CHAIN else groups)
        sums = written if inners > 1 else 0
        return Edges(
            max(2 * c, sums),
            written,
            2 * m * k_blocks * c + (inners - 1) * steps * written,
            inners * steps * written,
        )
    engines = core.macs_per_cycle // core.strips // core.taps
    if mapping.contiguous == K_CONTIGUOUS:
        elements = min(c, engines * core.taps)
        places = _up(n, core.register_beats) * k_blocks * _up(core.register_beats * c, engines * core.taps)
    else:
        elements = core.taps
        places = n_blocks * _up(k, core.taps) * _up(c, engines)
    return Edges(2 * elements * core.strips, core.edge_bytes, 2 * elements * m * places, 4 * m * n)
