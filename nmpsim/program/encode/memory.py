"""Where things lie: rows of the banks, regions of the buffer."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.packing import stored_beats
from nmpsim.program.program import BeatImage, StreamImage
from nmpsim.spec.params import CoreParams, MachineParams


@lru_cache(maxsize=4096)
def _beats(
    core: CoreParams, flow: int, group: int, split: int, contiguous: int, n: int, k: int, strip: int
) -> NDArray[np.int64]:
    return beats_of(Tile(flow, group, split, contiguous, n, k, 0, ()), core, strip)


def beats_in_strip(tile: Tile, core: CoreParams, strip: int) -> NDArray[np.int64]:
    """Beats of a tile in one strip, as `beats_of`, remembered by shape."""
    return _beats(core, tile.flow, tile.group, tile.split, tile.contiguous, tile.n, tile.k, strip)


@lru_cache(maxsize=4096)
def _counts(
    core: CoreParams, flow: int, group: int, split: int, contiguous: int, n: int, k: int, code: int, run: int
) -> tuple[int, ...]:
    lists = (_beats(core, flow, group, split, contiguous, n, k, s) for s in range(core.strips))
    return tuple(stored_beats(len(beats), code, run) for beats in lists)


def strip_counts(tiles: tuple[Tile, ...], core: CoreParams) -> tuple[int, ...]:
    """Beats of the DRAM of consecutive tiles per strip; shape (strip,)."""
    total = np.zeros(core.strips, np.int64)
    for t in tiles:
        total += np.array(_counts(core, t.flow, t.group, t.split, t.contiguous, t.n, t.k, t.code, t.run))
    return tuple(int(x) for x in total)


WEIGHTS, CACHE = range(2)
"""Areas of the banks: everything that is the model's, and the KV cache."""


class Banks:
    """Rows of all banks of all channels, the same rows in all banks of a channel, given out area by area.

    Rows count from 0 in each area; `settle` puts one area behind the other, the first one in the fastest tiers.

    Parameters
    ----------
    params : MachineParams
        The chip.
    """

    def __init__(self, params: MachineParams) -> None:
        self.params = params
        self.taken = [[0, 0] for _ in range(params.cores)]
        self.images: tuple[list[StreamImage | BeatImage], list[StreamImage | BeatImage]] = ([], [])

    def rows(self, pu: int, count: int, area: int = WEIGHTS) -> int:
        """Take `count` rows of every bank of a channel and return the first."""
        first = self.taken[pu][area]
        self.taken[pu][area] += count
        return first

    def stream(self, tensor: str, pu: int, tiles: tuple[Tile, ...], area: int = WEIGHTS) -> int:
        """Place the tiles of one STREAM and return their first row."""
        columns = self.params.dram.columns
        beats = max(strip_counts(tiles, self.params.core))
        row = self.rows(pu, -(-beats // columns), area)
        self.images[area].append(StreamImage(tensor, pu, row, tiles))
        return row

    def settle(self, fill: str, first_row: int) -> tuple[list[tuple[int, int]], list[StreamImage | BeatImage]]:
        """Fix the order of the areas.

        Parameters
        ----------
        fill : str
            ``kv_first`` or ``weights_first``: the area that gets the fastest tiers.
        first_row : int
            First row that may be used.

        Returns
        -------
        offsets : list of (int, int), by PU
            What to add to the rows of each area.
        images : list
            All images with their final rows.

        Raises
        ------
        InfeasibleError
            With the rows and bytes that are missing.
        """
        offsets = []
        for weights, cache in self.taken:
            offsets.append((first_row + cache, first_row) if fill == "kv_first" else (first_row, first_row + weights))
        dram = self.params.dram
        most = first_row + max(sum(t) for t in self.taken)
        if most > dram.rows:
            row_bytes = dram.columns * dram.column_bytes * dram.banks * self.params.cores
            fault = Fault(
                "DRAM capacity",
                f"{most} rows per bank ({most * row_bytes / 1e9:.2f} GB)",
                f"{dram.rows} rows ({dram.rows * row_bytes / 1e9:.2f} GB)",
                f"{(most - dram.rows) * row_bytes / 1e9:.2f} GB too much: simulate fewer layers (--layers), a "
                "smaller batch or context",
            )
            raise InfeasibleError("the model does not fit into the stack", [fault])
        images = [replace(i, row=i.row + offsets[i.pu][area]) for area in (WEIGHTS, CACHE) for i in self.images[area]]
        return offsets, images


class Buffer:
    """Regions of the core's buffer.  Phases share addresses: regions of different phases never live together.

    Parameters
    ----------
    params : MachineParams
        The chip.
    """

    def __init__(self, params: MachineParams) -> None:
        self.capacity = params.core.buffer_bytes
        self.align = params.core.bank_bytes
        self._ends = {"": 0}
        self._lent = (0, 0)
        self.regions: dict[str, tuple[int, int]] = {}

    def close_lasting(self, least: int) -> int:
        """Let the phases begin here, or at `least` if that is higher; return where."""
        self._ends[""] = max(self._ends[""], least)
        return self._ends[""]

    def lend(self, name: str) -> None:
        """Let regions that only this PU writes lie inside a lasting region that is idle while they live.

        Parameters
        ----------
        name : str
            The lasting region.
        """
        start, size = self.regions[name]
        self._lent = (start, start + size)

    def take_local(self, name: str, size: int, phase: str) -> int:
        """Reserve a region that only this PU writes: in what was lent if it fits there, else in the phase.

        Parameters
        ----------
        name : str
            Unique name.
        size : int
            Bytes.
        phase : str
            As for `take`.
        """
        start, end = self._lent
        whole = -(-max(size, 1) // self.align) * self.align
        if start + whole > end:
            return self.take(name, size, phase)
        self._lent = (start + whole, end)
        self.regions[name] = (start, whole)
        return start

    def take(self, name: str, size: int, phase: str = "") -> int:
        """Reserve a region and return its address.

        Parameters
        ----------
        name : str
            Unique name.
        size : int
            Bytes.
        phase : str
            "" for regions that live through the whole step; they must all be taken before the first phase.
        """
        start = self._ends.get(phase, self._ends[""])
        size = -(-max(size, 1) // self.align) * self.align
        self._ends[phase] = start + size
        self.regions[name] = (start, size)
        return start

    def check(self) -> None:
        """Raise if the regions are larger than the buffer.

        Raises
        ------
        InfeasibleError
            With every region and its size.
        """
        need = max(self._ends.values())
        if need > self.capacity:
            largest = sorted(self.regions.items(), key=lambda item: -item[1][1])[:6]
            words = ", ".join(f"{name} {size}" for name, (_, size) in largest)
            fault = Fault(
                "core.buffer",
                f"{need} bytes needed ({words} ...)",
                f"at most {self.capacity} bytes",
                f"{need - self.capacity} bytes too much: a smaller batch or context, or a larger core.buffer.bytes",
            )
            raise InfeasibleError("the buffer is too small for the plain schedule", [fault])
