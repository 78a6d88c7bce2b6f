"""How a PASS falls onto strips, as logic: folds, steps, pace, depth and write cycles (nmpsim/core/geometry.py).

All sizes are powers of two, so every division is a shift.  What depends on the size of a group is made once for each
size and chosen by a one-hot code::

    group --> [ = 1 | = 2 | ... | = strips ] --> one_of(...) --> outers, inners, steps, pace, depth, write cycles
    m, n, k --> shifts and adders -----------------^
"""

from __future__ import annotations

from typing import NamedTuple

import pyrtl

from nmpsim.spec.params import SYSTOLIC, CoreParams
from rtl_models.core.wires import ceil_down, log2, lower, one_of, up

OS, WS, IS = range(3)
CHAIN, SPLIT_K, SPLIT_N = range(3)


class Pass(NamedTuple):
    """A PASS as it stands at the head of the queue, or in the registers of the array."""

    flow: pyrtl.WireVector  # OS, WS or IS
    group: pyrtl.WireVector  # strips per group; a power of two
    split: pyrtl.WireVector  # CHAIN, SPLIT_K or SPLIT_N
    m: pyrtl.WireVector  # rows of A and C, 1 ...
    n: pyrtl.WireVector  # columns of B and C, 1 ...
    k: pyrtl.WireVector  # inner dimension, 1 ...


class Geometry(NamedTuple):
    """Sizes of the array; all but the strips' groups are fixed when the block is made."""

    strips: int
    strip_rows: int
    columns: int
    sizes: tuple[int, ...]  # strips that a group may have
    port_shift: int  # log2 of the bytes of all read (or all write) ports of the buffer
    column_shift: int
    row_shift: int
    extent_bits: int  # of m, n and k
    sum_bits: int  # of counts of cycles: a pass's m times the write cycles of a row
    depth_most: int  # deepest pipeline of all shapes; advances


def geometry(core: CoreParams, extent_bits: int) -> Geometry:
    """Return the sizes of an array.

    Parameters
    ----------
    core : CoreParams
        The core; a systolic array.
    extent_bits : int
        Width of m, n and k.

    Raises
    ------
    ValueError
        If the core is no array, a size is no power of two, or it has more than two accumulator sets.
    """
    if core.kind != SYSTOLIC:
        raise ValueError("array: got a MAC tree; allowed: a systolic array; build rtl_models/core/mac_tree.py")
    if core.fold_sets not in {1, 2}:
        raise ValueError(f"array: fold_sets: got {core.fold_sets}; allowed: 1 or 2; change it")
    strip_shift = log2(core.strips, "strips")
    port_shift = log2(core.buffer_banks * core.bank_bytes, "bytes of all ports of the buffer")
    widest = max(1, -(-core.strips * core.columns * 4 // 2**port_shift))
    return Geometry(
        strips=core.strips,
        strip_rows=core.strip_rows,
        columns=core.columns,
        sizes=tuple(size for i in range(strip_shift + 1) if (size := 2**i) in core.group_sizes()),
        port_shift=port_shift,
        column_shift=log2(core.columns, "columns"),
        row_shift=log2(core.strip_rows, "strip_rows"),
        extent_bits=extent_bits,
        sum_bits=extent_bits + widest.bit_length(),
        depth_most=core.strips * core.strip_rows + core.columns * core.strips + core.pe_latency,
    )


class Choice(NamedTuple):
    """What a group's size and relation are, one bit each."""

    size: dict[int, pyrtl.WireVector]  # one-hot
    chain: pyrtl.WireVector
    split_k: pyrtl.WireVector
    split_n: pyrtl.WireVector
    os: pyrtl.WireVector
    ws: pyrtl.WireVector
    is_: pyrtl.WireVector


def choice_of(sizes: Geometry, flow: pyrtl.WireVector, group: pyrtl.WireVector, split: pyrtl.WireVector) -> Choice:
    """Decode flow, group and split of a pass."""
    return Choice(
        size={size: group == size for size in sizes.sizes},
        chain=split == CHAIN,
        split_k=split == SPLIT_K,
        split_n=split == SPLIT_N,
        os=flow == OS,
        ws=flow == WS,
        is_=flow == IS,
    )


def share(total: pyrtl.WireVector, groups: int, group: int) -> pyrtl.WireVector:
    """Return how many of `total` interleaved indices belong to `group` of `groups`, a power of two."""
    if groups == 1:
        return total
    shift = groups.bit_length() - 1
    return ((total + (groups - 1 - group)).truncate(len(total) + 1))[shift:]


class Shape(NamedTuple):
    """What does not change during a pass."""

    outers: pyrtl.WireVector  # output folds
    inners: pyrtl.WireVector  # accumulated folds per output fold
    steps: pyrtl.WireVector  # steps of a fold
    pace: pyrtl.WireVector  # cycles per step
    depth: pyrtl.WireVector  # last input of a fold to its first result; advances
    row_cycles: pyrtl.WireVector  # cycles to write one row of an output fold
    drain: pyrtl.WireVector  # cycles to write an output fold
    n_blocks: pyrtl.WireVector  # blocks of columns of B
    k_blocks: pyrtl.WireVector  # blocks of `columns` rows of B


def shape_of(core: CoreParams, sizes: Geometry, ins: Pass, choice: Choice) -> Shape:
    """Return the shape of a pass.

    Parameters
    ----------
    core : CoreParams
    sizes : Geometry
    ins : Pass
    choice : Choice
        Flow, group and split of `ins`, decoded.
    """
    select = pyrtl.select
    blocks_n, blocks_k = (ceil_down(extent, sizes.column_shift) for extent in (ins.n, ins.k))
    parts: dict[int, tuple[pyrtl.WireVector, ...]] = {}
    for size in sizes.sizes:
        groups = sizes.strips // size
        shift = groups.bit_length() - 1
        rows = size * sizes.strip_rows
        spread_n, spread_k = ceil_down(blocks_n, shift), ceil_down(blocks_k, shift)
        outers = select(choice.is_, pyrtl.Const(1, 1), select(choice.split_k, blocks_n, spread_n))
        own_k = select(choice.split_k, ceil_down(ins.k, shift), ins.k)
        own_n = select(choice.split_n, ceil_down(ins.n, shift), ins.n)
        k_folds = select(choice.split_n, blocks_k, spread_k)
        w_folds = ceil_down(own_k, sizes.row_shift + size.bit_length() - 1)
        inners = first_flow(choice, pyrtl.Const(1, 1), w_folds, k_folds)
        long = (k_folds != 1) & (ins.m > own_n)
        steps = first_flow(choice, own_k, ins.m, select(long, ins.m, own_n))

        width = select(choice.split_k, pyrtl.Const(groups), lower(pyrtl.Const(groups), blocks_n))
        sums = up(width, sizes.column_shift + 2)
        row_cycles = ceil_down(sums, sizes.port_shift)
        os_pace = ceil_down(select(choice.split_k, up(ins.m, 1 + shift), up(ins.m, 1)), sizes.port_shift)
        is_pace = ceil_down(select(choice.chain, up(ins.m, 2), up(ins.m, 2 + shift)), sizes.port_shift)
        operands = select(choice.split_k, pyrtl.Const(2 * rows * groups), pyrtl.Const(2 * rows))
        reads = ceil_down(operands + select(w_folds == 1, pyrtl.Const(0, 1), sums), sizes.port_shift)
        ws_pace = select(reads < row_cycles, row_cycles, reads)
        pace = first_flow(choice, os_pace, ws_pace, is_pace)

        flat = rows + sizes.columns - 1 + core.pe_latency
        skewed = choice.ws & choice.chain
        depth = select(skewed, pyrtl.Const(flat + sizes.columns * (groups - 1)), pyrtl.Const(flat))
        parts[size] = (outers, inners, steps, pace, depth, row_cycles)
    chosen = [one_of(choice.size, {size: values[i] for size, values in parts.items()}) for i in range(6)]
    outers, inners, steps, pace, depth, row_cycles = chosen
    drain = select(choice.os, (ins.m * row_cycles), pyrtl.Const(1, 1))
    return Shape(outers, inners, steps, pace, depth, row_cycles, drain, blocks_n, blocks_k)


def first_flow(choice: Choice, os: pyrtl.WireVector, ws: pyrtl.WireVector, is_: pyrtl.WireVector) -> pyrtl.WireVector:
    """Return the value of the dataflow: of the first, second or third argument after `choice`."""
    return pyrtl.select(choice.os, os, pyrtl.select(choice.ws, ws, is_))
