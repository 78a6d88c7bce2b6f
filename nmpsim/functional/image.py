"""Bytes of the DRAM before a step, from the tensors and the images of a program.

Tensors are arrays by name, numbers of FP16 unless said otherwise (of BF16, in FP32, where the PEs take them):

===========================  ==============  ====================================================================
name                         shape           content
===========================  ==============  ====================================================================
``embedding``                V, D
``layers.L.norm1``           D or 1, D       norm before the attention: gain; LayerNorm: 2, D, gain and bias
``layers.L.qkv``             D, (H + 2G)E    columns: queries, keys, values
``layers.L.k.B.G``           S, E            keys of sequence B, key/value head G; indexed [n, k] by a tile
``layers.L.v.B.G``           S, E            values; indexed [k, n]
``layers.L.attn_out``        HE, D
``layers.L.norm2``           D or 1, D       the same before the feed-forward network
``layers.L.gate_up``         D, 2F           columns: gate, up
``layers.L.down``            F, D
``layers.L.router``          D, experts
``layers.L.expert.X.*``                      ``gate_up`` and ``down`` of expert X
``final_norm``               D or 1, D
``lm_head``                  D, V            also where it is tied to the embedding
``rope``                     E or 1, E       FP32: cosines of the new position [E/2], then sines [E/2]
``positions``                P + 2, D        learned positions; row context + 1 is that of the new token
``layers.L.*_bias``          n or 1, n       ``qkv_bias``, ``attn_out_bias``, ``up_bias``, ``down_bias``
``layers.L.q_norm, .k_norm`` 1, n            gains of queries and keys, or of the latents (``kv_norm``)
``layers.L.latent``          D, R            columns: latent of queries, of keys and values, rotated part of the key
``layers.L.q_up``            q_rank, HE      per head: columns without, then with rotation
``layers.L.kv_up``           kv_rank, n      per head: columns of the key without rotation, then of the value
``layers.L.absorb``          H nope, kv_rank rows: head after head; the key projection transposed
``layers.L.value_up``        H kv_rank, v    rows: head after head
``layers.L.router_bias``     1, experts      FP32: correction of the scores
``layers.L.shared.*``                        ``gate_up`` and ``down`` of the shared expert
``layers.L.up``              D, F            projection of a network without gate
===========================  ==============  ====================================================================

A tile indexes a tensor as [k, n]: `k_start` and `segments` count its rows and columns; keys are stored transposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, WorkloadError
from nmpsim.functional.formats import codes_of, halved, numbers_of, pack, real
from nmpsim.functional.memory import BF16, FP16, FP32, HALVES, POISON, Dram, illegal
from nmpsim.functional.product import delivery
from nmpsim.program.beats import Tile
from nmpsim.program.isa import B_INT8, EXPANSION, N_CONTIGUOUS
from nmpsim.program.program import BeatImage, Program, StreamImage
from nmpsim.spec.params import CoreParams, DramParams, MachineParams
from nmpsim.workload import KV_STEP

Tensors = Mapping[str, NDArray[np.floating]]
"""Arrays by name."""

CODES, SCALES = "#codes", "#scales"
"""What follows the name of a tensor of narrow weights: its codes as numbers, and its scales (FP16), one for every block
of elements that share it.  The tensor itself holds what the decoder makes of them."""


def build_dram(program: Program, params: MachineParams, tensors: Tensors) -> Dram:
    """DRAM of the whole die as it is before the program runs.

    Parameters
    ----------
    program : Program
        Its images say where every tensor lies.
    params : MachineParams
        The chip.
    tensors : mapping of str to ndarray
        Arrays by name, see the module.

    Returns
    -------
    Dram
        Rows that some image names; where the program itself stores (`written`), what was never written.

    Raises
    ------
    WorkloadError
        If tensors are missing; all at once.
    IllegalScheduleError
        If an image lies outside a bank or a tensor, or two images want different bytes at one place.
    """
    wanted = {name for image in program.images for name in _names(image)}
    missing = sorted(name for name in wanted if name not in tensors)
    if missing:
        todo = "add the arrays, named as in the images of the program"
        faults = [Fault(f"tensor {name}", "none", "an array", todo) for name in missing]
        raise WorkloadError("tensors are missing", faults)
    half = HALVES[params.operands]
    dram = Dram(params.cores, params.dram)
    placed = Dram(params.cores, params.dram)  # 0 where an image has put bytes
    for image in program.images:
        where = f"image of {image.tensor}"
        if isinstance(image, StreamImage):
            for strip in range(params.core.strips):
                beats = stream_beats(image, tensors, params.core, strip, where, half)
                _place(dram, placed, (image.pu, strip, image.row, 0), beats, where)
        elif not image.written:
            _check_row(image, params.dram, where)
            beats = piece_beats(image, tensors[image.tensor], params.dram, where, half)
            _place(dram, placed, (image.pu, image.bank, image.row, image.column), beats, where)
    for image in program.images:
        if isinstance(image, BeatImage) and image.written:
            where = f"image of {image.tensor}"
            _check_row(image, params.dram, where)
            size = params.dram.column_bytes // EXPANSION[image.code]
            beats = dram.read(image.pu, image.bank, image.row, image.column, image.beats, where)
            beats[:, image.byte : image.byte + size] = POISON
            dram.write(image.pu, image.bank, image.row, image.column, beats, where)
    return dram


def _names(image: StreamImage | BeatImage) -> tuple[str, ...]:
    """Tensors that an image is made of."""
    if isinstance(image, StreamImage) and any(tile.run for tile in image.tiles):
        return image.tensor, image.tensor + CODES, image.tensor + SCALES
    return (image.tensor,)


def operand(tile: Tile, name: str, tensor: NDArray[np.floating], where: str) -> NDArray[np.floating]:
    """B operand of a tile, from the tensor.

    Parameters
    ----------
    tile : Tile
        The tile.
    name : str
        Name of the tensor: keys are stored transposed.
    tensor : ndarray
        The array.
    where : str
        Who asks, for messages.

    Returns
    -------
    ndarray, shape (k, n), of the type of the tensor

    Raises
    ------
    IllegalScheduleError
        If the tile reaches beyond the tensor or its segments are not n columns.
    """
    matrix = tensor.T if is_transposed(name) else np.atleast_2d(tensor)
    columns = np.concatenate([np.arange(start, start + length) for start, length in tile.segments])
    if len(columns) != tile.n:
        raise illegal(where, f"segments of {len(columns)} columns", f"n = {tile.n} columns", "correct the tile")
    k_end = tile.k_start + tile.k
    if tile.k_start < 0 or k_end > matrix.shape[0] or columns.min() < 0 or columns.max() >= matrix.shape[1]:
        got = f"rows {tile.k_start}..{k_end}, columns up to {columns.max() + 1}"
        raise illegal(where, got, f"rows x columns {matrix.shape[0]} x {matrix.shape[1]}", "correct the tile")
    found: NDArray[np.floating] = matrix[np.ix_(tile.k_rows(), columns)]
    return found


def is_transposed(name: str) -> bool:
    """Whether a tensor is stored as [n, k]: keys."""
    return ".k." in name


def stream_beats(
    image: StreamImage, tensors: Tensors, core: CoreParams, strip: int, where: str, half: np.dtype[Any] = FP16
) -> NDArray[np.uint8]:
    """Beats of one strip for all tiles of a stream, in order; shape (DRAM beat, 2 * columns)."""
    parts = [np.zeros((0, 2 * core.columns), np.uint8)]
    for tile in image.tiles:
        name = image.tensor + (CODES if tile.run else "")
        matrix = operand(tile, image.tensor, tensors[name], where)
        order = delivery(tile, core, strip)
        if tile.code == B_INT8 and not tile.run:
            matrix = (matrix.astype(FP32) / np.float32(KV_STEP)).astype(FP16)
        codes = codes_of(_blocks(tile, core, matrix)[order[:, 0], order[:, 1]], tile.code, half)
        scales = _scale_beats(tile, core, order, tensors[image.tensor + SCALES], half) if tile.run else codes[:0]
        parts.append(pack(codes, scales, tile.code, tile.run))
    return np.concatenate(parts)


def _blocks(tile: Tile, core: CoreParams, matrix: NDArray[Any]) -> NDArray[Any]:
    """Cut a matrix (k, n) into array beats, padded with zeros; shape (index, block, columns)."""
    lines = matrix if tile.contiguous == N_CONTIGUOUS else matrix.T
    blocks = -(-lines.shape[1] // core.columns)
    whole = np.zeros((lines.shape[0], blocks * core.columns), matrix.dtype)
    whole[:, : lines.shape[1]] = lines
    return whole.reshape(-1, blocks, core.columns)


def _scale_beats(
    tile: Tile, core: CoreParams, order: NDArray[np.int64], scales: NDArray[np.floating], half: np.dtype[Any]
) -> NDArray[np.uint8]:
    """Beats of scales of one strip, one for every run; shape (run, 2 * columns)."""
    rows, columns = tile.k_rows(), tile.n_columns()
    each = scales[np.ix_(rows // tile.scaled[0], columns // tile.scaled[1])]
    each = halved(each, half)
    blocks = _blocks(tile, core, each)[order[:, 0], order[:, 1]]
    if tile.contiguous == N_CONTIGUOUS:
        return np.ascontiguousarray(blocks[:: tile.run]).view(np.uint8)
    groups = core.columns // tile.run
    single = blocks[:, :: core.columns // groups].reshape(-1)  # the first of every group of k
    beats = np.zeros((-(-len(blocks) // tile.run), core.columns), half)
    for number, first in enumerate(range(0, len(single), tile.run * groups)):
        part = single[first : first + tile.run * groups]
        beats[number, : len(part)] = part
    return beats.view(np.uint8)


def piece_beats(
    image: BeatImage, tensor: NDArray[np.floating], dram: DramParams, where: str, half: np.dtype[Any] = FP16
) -> NDArray[np.uint8]:
    """Whole beats of a piece of one or more rows of a tensor, padded with zeros; shape (beat, column_bytes)."""
    matrix = np.atleast_2d(tensor)
    parts = []
    pieces = ((image.start, image.length), *image.more)
    for index, (start, length) in ((i, p) for i in range(image.index, image.index + image.rows) for p in pieces):
        end = start + length
        if not (0 <= index < matrix.shape[0] and 0 <= start <= end <= matrix.shape[1]):
            got = f"row {index}, elements {start}..{end}"
            raise illegal(where, got, f"rows x columns {matrix.shape[0]} x {matrix.shape[1]}", "correct the image")
        parts.append(matrix[index, start:end])
    values = np.concatenate(parts)
    raw = (values.astype(FP32) if image.fp32 else halved(values, half)).view(np.uint8)
    whole = np.zeros(image.beats * dram.column_bytes, np.uint8)
    if len(raw) > len(whole):
        raise illegal(where, f"{len(raw)} B in {image.beats} beats", f"{len(whole)} B", "correct the image")
    whole[: len(raw)] = raw
    return whole.reshape(image.beats, -1)


def written_pieces(
    program: Program, dram: Dram, half: np.dtype[Any] = FP16
) -> list[tuple[BeatImage, NDArray[np.floating]]]:
    """Read what the program has stored.

    Parameters
    ----------
    program : Program
        Its `written` images.
    dram : Dram
        The DRAM after the run.
    half : dtype
        Type of what is not narrow.

    Returns
    -------
    list of (BeatImage, ndarray of float16, or of float32 also for BF16, shape (length,))

    Raises
    ------
    IllegalScheduleError
        If an image lies outside a bank.
    """
    pieces: list[tuple[BeatImage, NDArray[np.floating]]] = []
    for image in program.images:
        if isinstance(image, BeatImage) and image.written:
            raw = dram.read(image.pu, image.bank, image.row, image.column, image.beats, f"image of {image.tensor}")
            if image.code:
                size = dram.params.column_bytes // EXPANSION[image.code]
                numbers = numbers_of(raw[0, image.byte : image.byte + size], image.code)
                step = KV_STEP if image.code == B_INT8 else 1.0
                pieces.append((image, (numbers.astype(FP32) * np.float32(step)).astype(FP16)[: image.length]))
                continue
            values = raw.reshape(-1).view(FP32 if image.fp32 else half)[: image.length]
            pieces.append((image, real(values) if half == BF16 else values))
    return pieces


def _check_row(image: BeatImage, dram: DramParams, where: str) -> None:
    if image.column + image.beats > dram.columns:
        got = f"{image.beats} beats from column {image.column}"
        raise illegal(where, got, f"one row of {dram.columns} columns", "split the piece")


def _place(dram: Dram, placed: Dram, place: tuple[int, int, int, int], beats: NDArray[np.uint8], where: str) -> None:
    pu, bank, row, column = place
    before = dram.read(pu, bank, row, column, len(beats), where)
    taken = placed.read(pu, bank, row, column, len(beats), where)[:, 0] == 0
    if (before[taken] != beats[taken]).any():
        got = f"other bytes at PU {pu}, bank {bank}, from row {row}, column {column} on than an earlier image"
        raise illegal(where, got, "each place for one tensor", "correct the placement")
    dram.write(pu, bank, row, column, beats, where)
    placed.write(pu, bank, row, column, np.zeros_like(beats), where)
