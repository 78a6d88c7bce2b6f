"""What a PASS computes: the B operand rebuilt from the bytes of its beats, and the sums in the order of the hardware.

A product of two FP16 numbers is exact in FP32, one of BF16 where FP32 can hold it; every addition rounds to FP32.  The
additions of one output:

====  =====================================================================================================
flow  order
====  =====================================================================================================
OS    one after another, k ascending, from 0 (fission-K: the own k of the group)
WS    rows of a fold one after another, from 0, as the partial sum flows down; then fold to fold in the buffer
IS    columns of all chained groups one after another, from 0; then fold to fold in the buffer
TREE  k contiguous: pairwise tree over what a step takes of a beat, one after another
TREE  n contiguous: pairwise tree over `taps` successive k of a fold, these one after another; fission-K: the slices in
      the reducer, pairwise
====  =====================================================================================================
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.functional.formats import numbers_of, real, scaled, unpack
from nmpsim.functional.memory import FP16
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.isa import B_INT8, CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, TREE, WS
from nmpsim.spec.params import CoreParams


@lru_cache(maxsize=4096)
def delivery(tile: Tile, core: CoreParams, strip: int) -> NDArray[np.int64]:
    """Order of delivery of one strip, remembered: `nmpsim.program.beats.beats_of`; shape (beat, 2)."""
    order = beats_of(tile, core, strip)
    order.setflags(write=False)
    return order


def rebuild(
    tile: Tile, core: CoreParams, beats: list[NDArray[np.uint8]], step: float = 1.0, half: np.dtype[Any] = FP16
) -> NDArray[Any]:
    """B operand of a PASS from the bytes that the strips took: what their decoders give to the PEs.

    Parameters
    ----------
    tile : Tile
        Shape and flow of the PASS.
    core : CoreParams
        The core.
    beats : list of ndarray of uint8, shape (beat, column_bytes)
        Per strip, what it took, in order.
    step : float
        Value of one step of INT8 codes without scales.
    half : dtype
        Type of the operands of the PEs.

    Returns
    -------
    ndarray of `half`, shape (k, n)
        Padding of the beats is dropped.

    Raises
    ------
    InternalError
        If the strips do not deliver every beat of the tile exactly once.
    """
    lines, extent = (tile.k, tile.n) if tile.contiguous == N_CONTIGUOUS else (tile.n, tile.k)
    blocks = -(-extent // core.columns)
    whole = np.zeros((lines, blocks, core.columns), half)
    times = np.zeros((lines, blocks), np.int64)
    for strip, raw in enumerate(beats):
        order = delivery(tile, core, strip)
        whole[order[:, 0], order[:, 1]] = _decoded(tile, core, raw, len(order), step, half)
        np.add.at(times, (order[:, 0], order[:, 1]), 1)
    if not (times == 1).all():
        index, block = np.argwhere(times != 1)[0]
        raise InternalError(f"{tile}: beat ({index}, {block}) is delivered {times[index, block]} times, must be once")
    flat = whole.reshape(lines, -1)[:, :extent]
    return flat if tile.contiguous == N_CONTIGUOUS else flat.T


def _decoded(
    tile: Tile, core: CoreParams, raw: NDArray[np.uint8], count: int, step: float, half: np.dtype[Any]
) -> NDArray[Any]:
    """Array beats of a strip from its DRAM beats; shape (count, columns)."""
    codes, scales = unpack(raw, count, tile.code, tile.run, half)
    numbers = numbers_of(codes, tile.code, half)
    if tile.run and tile.contiguous == N_CONTIGUOUS:
        return scaled(numbers, np.repeat(scales, tile.run, axis=0)[:count], half)
    if tile.run:
        groups = core.columns // tile.run  # of k in a beat
        each = scales[:, : tile.run * groups].reshape(-1, groups)[:count]
        return scaled(numbers, np.repeat(each, core.columns // groups, axis=1), half)
    return scaled(numbers, np.array(step), half) if tile.code == B_INT8 else numbers


def plane_count(tile: Tile, core: CoreParams) -> int:
    """Partial-sum planes that a PASS writes."""
    return core.strips // tile.group if tile.split == SPLIT_K and tile.flow != TREE else 1


def own_k(tile: Tile, core: CoreParams, group: int) -> NDArray[np.int64]:
    """List the indices k that one group sums under fission-K, ascending."""
    groups = core.strips // tile.group
    if tile.flow != IS:
        return np.arange(group, tile.k, groups)
    return np.flatnonzero(np.arange(tile.k) // core.columns % groups == group)


def multiply(a: NDArray[Any], b: NDArray[Any], tile: Tile, core: CoreParams) -> NDArray[np.float32]:
    """Product as the hardware sums it.

    Parameters
    ----------
    a : ndarray, shape (m, k)
        Operand A; FP16 or BF16.
    b : ndarray, shape (k, n)
        Operand B.
    tile : Tile
        Flow, group and split.
    core : CoreParams
        The core.

    Returns
    -------
    ndarray of float32, shape (plane, m, n)
        One plane, or one per group under fission-K on an array.
    """
    x, y = real(a), real(b)
    groups = core.strips // tile.group
    if tile.flow == TREE and tile.contiguous == K_CONTIGUOUS:
        return _taps(x, y, core)[None]
    if tile.flow == TREE and tile.split == SPLIT_K:
        return tree_sum(np.stack([_lines(x, y, own_k(tile, core, g), core) for g in range(groups)]), 0)[None]
    if tile.flow == TREE:
        return _lines(x, y, np.arange(tile.k), core)[None]
    if tile.split == SPLIT_K:
        return np.stack([_folds(x, y, own_k(tile, core, g), _fold_length(tile, core)) for g in range(groups)])
    return _folds(x, y, np.arange(tile.k), _fold_length(tile, core))[None]


def tree_sum(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Sum of one axis by a tree that adds neighbours, level by level; an odd last one goes up; 0 of nothing."""
    level: NDArray[np.float32] = np.moveaxis(values, axis, 0)
    if not len(level):
        return np.zeros(level.shape[1:], np.float32)
    while len(level) > 1:
        pairs = level[0 : len(level) - 1 : 2] + level[1::2]
        level = np.concatenate([pairs, level[-1:]]) if len(level) % 2 else pairs
    total: NDArray[np.float32] = level[0]
    return total


def _fold_length(tile: Tile, core: CoreParams) -> int:
    """Summands that one flow through the array adds up; the folds are then added in the buffer."""
    if tile.flow == WS:
        return tile.group * core.strip_rows
    if tile.flow == IS:
        return core.columns * (core.strips // tile.group if tile.split == CHAIN else 1)
    assert tile.flow == OS
    return max(tile.k, 1)


def _folds(x: NDArray[np.float32], y: NDArray[np.float32], own: NDArray[np.int64], length: int) -> NDArray[np.float32]:
    total = np.zeros((x.shape[0], y.shape[1]), np.float32)
    for first in range(0, len(own), length):
        part = _chain(x, y, own[first : first + length])
        total = total + part if first else part
    return total


def _chain(x: NDArray[np.float32], y: NDArray[np.float32], own: NDArray[np.int64]) -> NDArray[np.float32]:
    total = np.zeros((x.shape[0], y.shape[1]), np.float32)
    for k in own:
        total += x[:, k, None] * y[k]
    return total


def _lines(
    x: NDArray[np.float32], y: NDArray[np.float32], own: NDArray[np.int64], core: CoreParams
) -> NDArray[np.float32]:
    total = np.zeros((x.shape[0], y.shape[1]), np.float32)
    for fold in range(0, len(own), core.register_beats):
        for first in range(fold, min(fold + core.register_beats, len(own)), core.taps):
            taken = own[first : min(first + core.taps, fold + core.register_beats)]
            products = np.zeros((core.taps, *total.shape), np.float32)
            products[: len(taken)] = x.T[taken, :, None] * y[taken, None]
            total += tree_sum(products, 0)
    return total


def _taps(x: NDArray[np.float32], y: NDArray[np.float32], core: CoreParams) -> NDArray[np.float32]:
    total = np.zeros((x.shape[0], y.shape[1]), np.float32)
    together = min(core.columns, core.macs_per_cycle // core.strips)  # products of an output that meet in one step
    for block in range(0, x.shape[1], core.columns):
        for first in range(block, min(block + core.columns, x.shape[1]), together):
            last = min(first + together, block + core.columns)
            products = x[:, first:last, None] * y[None, first:last]
            total += tree_sum(products, 1)
    return total
