"""How beats of the array lie in beats of the DRAM when B is narrow.

A beat of the DRAM holds `expansion` beats of the array: 256 B are 128 FP16, 256 8-bit or 512 4-bit elements.  A strip's
beats of one PASS lie one after another in the order of `nmpsim.program.beats`.  With scales they come in *runs*: a beat
of scales (FP16), then the codes of up to `run` array beats that these scales are for::

    codes, expansion 2           [b0 b1] [b2 b3] [b4 --]
    the same in runs of 4   [s]  [b0 b1] [b2 b3]  [s]  [b4 --]

A run ends where a strip's next beat needs other scales.  Where n runs within a beat, a beat of scales has one for every
column; where k does, one for every group of k of each array beat of the run.  Scales that several strips need are
stored for each of them.  A PASS begins with a new beat of the DRAM.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.isa import B_FP8, B_FP16, B_INT4, B_INT8, K_CONTIGUOUS, expansion
from nmpsim.spec.params import CoreParams, DramParams
from nmpsim.workload import FP8, FP16, INT4, INT8, Precision
from nmpsim.workload.precision import BF16

CODES = {FP16: B_FP16, BF16: B_FP16, FP8: B_FP8, INT8: B_INT8, INT4: B_INT4}
"""Code of a format in a PASS, by its name; what the PEs take as it is has one code."""

SCALE_BYTES = 2
"""FP16: bytes of a scale."""


def stored_beats(count: int, code: int, run: int) -> int:
    """Return the DRAM beats of `count` consecutive array beats of a strip.

    Parameters
    ----------
    count : int
        Array beats of one PASS.
    code : int
        Format of B.
    run : int
        Array beats under one beat of scales; 0: no scales.
    """
    e = expansion(code)
    if not run:
        return -(-count // e)
    full, rest = divmod(count, run)
    return full * (1 + -(-run // e)) + (1 + -(-rest // e) if rest else 0)


def place_of(position: int, code: int, run: int) -> tuple[int, int]:
    """Return the DRAM beat of an array beat of a strip, counted from the first of the PASS, and its place within.

    Parameters
    ----------
    position : int
        Of the array beat among those of the strip.
    code, run : int
        As for `stored_beats`.
    """
    e = expansion(code)
    if not run:
        return divmod(position, e)
    number, inside = divmod(position, run)
    return number * (1 + -(-run // e)) + 1 + inside // e, inside % e


def narrow(tile: Tile, core: CoreParams, precision: Precision) -> Tile:
    """Return a tile of narrow weights with its runs of scales.

    Parameters
    ----------
    tile : Tile
        Of FP16 elements.
    core : CoreParams
    precision : Precision

    Raises
    ------
    InfeasibleError
        If groups of k and beats along k do not divide each other.
    """
    k_group, n_group = precision.scaled
    shape = tile.flow, tile.group, tile.split, tile.contiguous, tile.n, tile.k
    run = _run(core, *shape, tile.k_start % k_group, k_group)
    return tile.coded(CODES[precision.weights], run, (k_group, n_group))


def fifo_faults(dram: DramParams, precision: Precision) -> list[Fault]:
    """Return what is wrong with the FIFO of a strip for weights with scales.

    A beat of scales leaves the FIFO together with the first codes that it is for; these may be in the next row, for
    which the FIFO must have room beside it.

    Parameters
    ----------
    dram : DramParams
    precision : Precision
    """
    if not precision.group or dram.fifo_columns > dram.columns:
        return []
    allowed = f"more than a row of {dram.columns} beats for weights with scales"
    return [Fault("port.fifo_bytes", f"{dram.fifo_columns} beats", allowed, "a larger FIFO, or weights in fp16")]


@lru_cache(maxsize=4096)
def _run(
    core: CoreParams, flow: int, group: int, split: int, contiguous: int, n: int, k: int, offset: int, scaled: int
) -> int:
    """Return the array beats of every strip that one beat of scales is for; `offset` of the first k in its group."""
    if contiguous == K_CONTIGUOUS:
        within = min(scaled, core.columns)
        if max(scaled, core.columns) % within or offset % within:
            fault = Fault(
                "--weights",
                f"groups of {scaled} elements along k, from element {offset} of one on",
                f"groups that divide the {core.columns} elements of a beat, or the other way round",
                "choose another group",
            )
            raise InfeasibleError("groups of weights do not fall onto beats", [fault])
        return within
    tile = Tile(flow, group, split, contiguous, n, k, 0, ())
    common = 0
    longest = 1
    for strip in range(core.strips):
        order = beats_of(tile, core, strip)
        longest = max(longest, len(order))
        row = np.stack([(order[:, 0] + offset) // scaled, order[:, 1]], axis=1)
        for change in np.flatnonzero((row[1:] != row[:-1]).any(axis=1)) + 1:
            common = gcd(common, int(change))
    return common or longest


def scale_bytes(tile: Tile) -> int:
    """Return the bytes of the scales of a tile, each counted once."""
    k_group, n_group = tile.scaled
    if not k_group:
        return 0
    rows = (tile.k_start + tile.k - 1) // k_group - tile.k_start // k_group + 1
    columns = {c for start, size in tile.segments for c in range(start // n_group, (start + size - 1) // n_group + 1)}
    return SCALE_BYTES * rows * len(columns)
