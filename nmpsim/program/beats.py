"""Which elements of B each strip's bank delivers, in which order: the contract between placement and PASS.

A *tile* is the B operand of one PASS.  `beats_of` lists its beats for one strip in the order in which the compute
unit takes them; a bank stores them in exactly that order, row after row.  Interleaved indices (``local * G + g``)
belong to the split dimension, see docs/program.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS, expansion
from nmpsim.spec.params import CoreParams


@dataclass(frozen=True)
class Tile:
    """The B operand of one PASS.

    Parameters
    ----------
    flow, group, split, contiguous : int
        As in the instruction.
    n, k : int
        Extent; elements.
    k_start : int
        First row of the tensor.
    segments : tuple of (int, int)
        Column ranges ``(start, length)`` of the tensor that the tile's n runs over, in order.
    k_rotate : int
        The tile's k runs over its rows from ``k_start + k_rotate`` on and wraps round to ``k_start``.
    code : int
        Format of the elements: ``B_FP16``, ``B_FP8``, ``B_INT8`` or ``B_INT4``.
    run : int
        Array beats under one beat of scales, see `nmpsim.program.packing`; 0: no scales.
    scaled : (int, int)
        Elements along k and along n of the tensor that share a scale; (0, 0): no scales.
    """

    flow: int
    group: int
    split: int
    contiguous: int
    n: int
    k: int
    k_start: int
    segments: tuple[tuple[int, int], ...]
    k_rotate: int = 0
    code: int = 0
    run: int = 0
    scaled: tuple[int, int] = (0, 0)

    def coded(self, code: int, run: int = 0, scaled: tuple[int, int] = (0, 0)) -> Tile:
        """Return the tile with elements of another format."""
        return replace(self, code=code, run=run, scaled=scaled)

    def k_rows(self) -> NDArray[np.int64]:
        """Rows of the tensor that k = 0, 1, ... stand for."""
        return self.k_start + (np.arange(self.k) + self.k_rotate) % self.k

    def n_columns(self) -> NDArray[np.int64]:
        """Columns of the tensor that n = 0, 1, ... stand for."""
        return np.concatenate([np.arange(start, start + length) for start, length in self.segments])


def legal(flow: int, split: int, contiguous: int) -> bool:
    """Whether a flow can take beats of that layout with that relation of its groups."""
    if flow in (OS, WS):
        return contiguous == N_CONTIGUOUS
    if flow == IS:
        return contiguous == K_CONTIGUOUS
    if contiguous == K_CONTIGUOUS:
        return split == SPLIT_N
    return split in (SPLIT_K, SPLIT_N)


def beats_of(tile: Tile, core: CoreParams, strip: int) -> NDArray[np.int64]:
    """List the beats of a tile that one strip delivers.

    Parameters
    ----------
    tile : Tile
    core : CoreParams
    strip : int
        Index of the strip or slice.

    Returns
    -------
    ndarray of int64, shape (beats, 2)
        ``(index, block)`` per beat: for N_CONTIGUOUS the row k and the block of `columns` columns, for K_CONTIGUOUS
        the column n and the block of `columns` rows; in order of delivery.
    """
    groups = core.strips // tile.group
    g, member = divmod(strip, tile.group)
    n_blocks = -(-tile.n // core.columns)
    k_blocks = -(-tile.k // core.columns)
    parts: list[NDArray[np.int64]] = []

    def emit(index: NDArray[np.int64], block: int) -> None:
        parts.append(np.stack([index, np.full_like(index, block)], axis=1))

    if tile.flow == OS:
        if tile.split == SPLIT_K:
            steps = np.arange(g, tile.k, groups)
            folds = range(n_blocks)
        else:
            steps = np.arange(tile.k)
            folds = range(g, n_blocks, groups)
        for block in folds:
            emit(steps[member :: tile.group], block)
    elif tile.flow == IS:
        if tile.split == SPLIT_N:
            steps = np.arange(g, tile.n, groups)
            folds = range(k_blocks)
        else:
            steps = np.arange(tile.n)
            folds = range(g, k_blocks, groups)
        for block in folds:
            emit(steps[member :: tile.group], block)
    elif tile.flow == WS:
        own = np.arange(g, tile.k, groups) if tile.split == SPLIT_K else np.arange(tile.k)
        rows = tile.group * core.strip_rows
        for block in range(n_blocks) if tile.split == SPLIT_K else range(g, n_blocks, groups):
            for fold in range(0, len(own), rows):
                first = fold + member * core.strip_rows
                emit(own[first : min(first + core.strip_rows, len(own))], block)
    elif tile.flow == TREE and tile.contiguous == K_CONTIGUOUS:
        own = np.arange(g, tile.n, groups)
        for first in range(0, len(own), core.register_beats):
            for block in range(k_blocks):
                emit(own[first : first + core.register_beats], block)
    elif tile.flow == TREE and tile.split == SPLIT_K:
        own = np.arange(g, tile.k, groups)
        for block in range(n_blocks):
            emit(own, block)
    elif tile.flow == TREE:
        for block in range(g, n_blocks, groups):
            emit(np.arange(tile.k), block)
    if not parts:
        return np.zeros((0, 2), np.int64)
    return np.concatenate(parts)


def beat_counts(tile: Tile, core: CoreParams) -> NDArray[np.int64]:
    """Beats per strip; shape (strip,)."""
    return np.array([len(beats_of(tile, core, s)) for s in range(core.strips)], np.int64)


def useful_bytes(tile: Tile) -> int:
    """Bytes of the elements of the tile, without padding and scales."""
    return tile.n * tile.k * (16 // expansion(tile.code)) // 8
