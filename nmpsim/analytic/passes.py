"""How long a compute unit is taken by a pass among others, and when its results stand.

`nmpsim.analytic.array.pass_cycles` is the time of one pass alone.  In a row of passes of one shape the fill and drain
of one lie under the next, so here the two parts are told apart::

    pass i    |--- taken ---|-- drain --|
    pass i+1                |--- taken ---|-- drain --|

Written from docs/timing-model.md ("Compute unit"), sharing no code with the cycle model.  Left out: passes of the next
shape wait for the drain and `reconfigure` (the caller adds them), and lanes of a MAC tree that run apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE
from nmpsim.spec.params import CoreParams


@dataclass(frozen=True)
class Taken:
    """A pass in a row of passes of one shape.

    Parameters
    ----------
    cycles : int
        From its first step to the first step that the next pass can take; core cycles.
    drain : int
        From then until its results stand in the buffer; core cycles.
    read_banks, write_banks : int
        Banks of the buffer that its edges read and write in a cycle, while it streams.
    dwell : int
        Cycles for which the edges go on like that without a gap.
    burst : int
        Cycles at a stretch for which it takes all write ports; 0 if it never does.
    registers : int
        Beats that a strip holds ahead of their use.
    """

    cycles: int
    drain: int
    read_banks: int
    write_banks: int
    dwell: int
    burst: int = 0
    registers: int = 0


def _up(a: int, b: int) -> int:
    return -(-a // b)


def taken(core: CoreParams, flow: int, group: int, split: int, contiguous: int, m: int, n: int, k: int) -> Taken | None:
    """Return how a pass C[m, n] = A[m, k] B[k, n] takes the compute unit, all operands in time.

    Parameters
    ----------
    core : CoreParams
    flow, group, split, contiguous : int
        As in the instruction PASS.
    m, n, k : int
        Sizes; elements.

    Returns
    -------
    Taken or None
        None if the shape cannot hold the operands.
    """
    if flow == TREE:
        return _tree(core, split, contiguous, m, n, k)
    cols, groups, rows = core.columns, core.strips // group, group * core.strip_rows
    port = core.operand_banks * core.array_bank_bytes if core.separate else core.buffer_banks * core.bank_bytes
    exit_port = core.output_banks * core.array_bank_bytes if core.separate else core.buffer_banks * core.bank_bytes
    depth = rows + cols - 1 + core.pe_latency
    skew = cols * (groups - 1) if split == CHAIN else 0
    n_blocks, k_blocks = _up(n, cols), _up(k, cols)

    def banks(size: int) -> int:
        return 0 if core.separate else min(core.buffer_banks, _up(size, core.bank_bytes))

    if flow == OS:
        if m > rows:
            return None
        folds = n_blocks if split == SPLIT_K else _up(n_blocks, groups)
        reads = m * 2 * (groups if split == SPLIT_K else 1)
        steps = (_up(k, groups) if split == SPLIT_K else k) * _up(reads, port)
        width = groups if split == SPLIT_K else min(groups, n_blocks)
        write = m * _up(width * cols * 4, exit_port)
        hold = steps + skew + depth + write
        interval = max(steps, write, _up(hold, core.fold_sets))
        cycles = (folds - 1) * interval + steps + skew if split == CHAIN else folds * interval
        return Taken(
            cycles,
            max(0, (folds - 1) * interval + hold - cycles),
            banks(reads),
            0,
            steps,
            0 if core.separate else write,
        )
    if flow == IS:
        if m > rows:
            return None
        folds = k_blocks if split == SPLIT_N else _up(k_blocks, groups)
        size = m * 4 * (1 if split == CHAIN else groups)
        steps = (_up(n, groups) if split == SPLIT_N else n) * _up(size, exit_port)
        cycles = m + folds * max(steps, m if folds > 1 else 0) + skew
        return Taken(cycles, depth + 1, banks(size) if folds > 1 else 0, banks(size), steps)
    own_k = _up(k, groups) if split == SPLIT_K else k
    inner = _up(own_k, rows)
    folds = (n_blocks if split == SPLIT_K else _up(n_blocks, groups)) * inner
    width = (groups if split == SPLIT_K else min(groups, n_blocks)) * cols * 4
    sums = width if inner > 1 and not core.separate else 0
    reads = rows * 2 * (groups if split == SPLIT_K else 1) + sums
    fold = max(m * max(1, _up(width, exit_port), _up(reads, port)), core.strip_rows)
    return Taken(
        folds * fold, core.strip_rows + depth + skew + 1, banks(reads), banks(width), folds * fold, 0, core.strip_rows
    )


def _tree(core: CoreParams, split: int, contiguous: int, m: int, n: int, k: int) -> Taken | None:
    slices, beats, cols = core.strips, core.register_beats, core.columns
    if m * cols * 4 > core.psum_bytes // core.fold_sets:
        return None
    engines = core.macs_per_cycle // slices // core.taps
    by_k = contiguous == K_CONTIGUOUS
    if by_k:
        own, outer, inner = _up(n, slices), _up(_up(n, slices), beats), _up(k, cols)
        write = _up(m * beats * 4 * slices, core.edge_bytes)
    elif split == SPLIT_K:
        own, outer, inner = _up(k, slices), _up(n, cols), 1
        write = _up(m * cols * 4, core.edge_bytes)
    else:
        own, outer, inner = k, _up(_up(n, cols), slices), 1
        write = _up(m * cols * 4 * slices, core.edge_bytes)

    def fold(size: int) -> int:
        places = _up(size * cols, engines * core.taps) if by_k else _up(size, core.taps) * _up(cols, engines)
        return max(m * places, size)

    whole, rest = divmod(own, beats)
    streaming = (whole * fold(beats) + (fold(rest) if rest else 0)) * inner
    output = streaming if by_k else streaming * outer
    hold = _up(output, max(1, outer)) + core.pe_latency + write
    cycles = max(output, outer * write, (outer * hold) // core.fold_sets if outer > 1 else 0)
    return Taken(cycles, beats + core.pe_latency + write, 0, 0, 0, 0, beats)
