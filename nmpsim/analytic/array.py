"""Closed forms of the compute unit: how many cycles a matrix product takes when every operand is in time.

Written from the definition of the dataflows (docs/timing-model.md), not from the cycle model, and sharing no code
with it.  The scheduler ranks plans by these numbers.

    OS    folds * max(K steps, write of the fold) + skew + depth + write
    WS    folds * max(M steps, load of the next weights) + first load + depth
    IS    folds * N steps + load of A + skew + depth
    TREE  folds * max(M * beats * columns / MACs per slice, load of the next beats) + first load + write
"""

from __future__ import annotations

from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.spec.params import CoreParams


def _up(a: int, b: int) -> int:
    return -(-a // b)


def pass_cycles(core: CoreParams, flow: int, group: int, split: int, contiguous: int, m: int, n: int, k: int) -> int:
    """Cycles of C[m, n] = A[m, k] B[k, n] on one core, all operands in time.

    Parameters
    ----------
    core : CoreParams
        Geometry of the core.
    flow, group, split, contiguous : int
        As in the instruction PASS.
    m, n, k : int
        Sizes; elements.

    Returns
    -------
    int
        Core cycles, or -1 if the shape cannot hold the operands.
    """
    cols, groups = core.columns, core.strips // group
    shared = core.buffer_banks * core.bank_bytes
    port = core.operand_banks * core.array_bank_bytes if core.separate else shared
    exit_port = core.output_banks * core.array_bank_bytes if core.separate else shared
    rows = group * core.strip_rows
    depth = rows + cols - 1 + core.pe_latency
    skew = cols * (groups - 1) if split == CHAIN else 0
    n_blocks, k_blocks = _up(n, cols), _up(k, cols)
    if flow == TREE:
        return _tree_cycles(core, split, contiguous, m, n, k)
    if flow == OS:
        if m > rows:
            return -1
        folds = n_blocks if split == SPLIT_K else _up(n_blocks, groups)
        steps = _up(k, groups) if split == SPLIT_K else k
        feed = _up(m * 2 * (groups if split == SPLIT_K else 1), port)
        width = groups if split == SPLIT_K else min(groups, n_blocks)
        write = m * _up(width * cols * 4, exit_port)
        return folds * max(steps * feed, write) + skew + depth + write
    if flow == IS:
        if m > rows:
            return -1
        folds = k_blocks if split == SPLIT_N else _up(k_blocks, groups)
        steps = _up(n, groups) if split == SPLIT_N else n
        write = _up(m * 4 * (1 if split == CHAIN else groups), exit_port)
        return folds * max(steps * write, m if folds > 1 else 0) + m + skew + depth
    if flow != WS:
        return -1
    own_k = _up(k, groups) if split == SPLIT_K else k
    folds = (n_blocks if split == SPLIT_K else _up(n_blocks, groups)) * _up(own_k, rows)
    width = (groups if split == SPLIT_K else min(groups, n_blocks)) * cols * 4
    sums = width if own_k > rows and not core.separate else 0  # read through ports of their own if separate
    reads = rows * 2 * (groups if split == SPLIT_K else 1) + sums
    pace = max(1, _up(width, exit_port), _up(reads, port))
    return folds * max(m * pace, core.strip_rows) + core.strip_rows + depth + skew


def _tree_cycles(core: CoreParams, split: int, contiguous: int, m: int, n: int, k: int) -> int:
    slices, beats, cols = core.strips, core.register_beats, core.columns
    if m * cols * 4 > core.psum_bytes // core.fold_sets:
        return -1
    edge = core.edge_bytes
    if contiguous == K_CONTIGUOUS:
        if split != SPLIT_N:
            return -1
        folds, write = _up(_up(n, slices), beats) * _up(k, cols), _up(m * beats * 4 * slices, edge)
    elif split == SPLIT_K:
        folds, write = _up(n, cols) * _up(_up(k, slices), beats), _up(m * cols * 4, edge)
    elif split == SPLIT_N:
        folds, write = _up(_up(n, cols), slices) * _up(k, beats), _up(m * cols * 4 * slices, edge)
    else:
        return -1
    engines = core.macs_per_cycle // slices // core.taps
    by_k = contiguous == K_CONTIGUOUS
    places = _up(beats * cols, engines * core.taps) if by_k else _up(beats, core.taps) * _up(cols, engines)
    fold = max(m * places, beats)
    return folds * fold + beats + core.pe_latency + write
