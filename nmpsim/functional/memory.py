"""Bytes of the machine: the buffer of a core and the rows of the DRAM.

What was never written holds `POISON` in every byte: not a number, read as FP16, BF16 or FP32, and a bit pattern that no
arithmetic yields.  So a read of unwritten bytes is told apart from a computed value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, IllegalScheduleError
from nmpsim.spec.params import DramParams

POISON = 0xFF
"""Byte of what was never written."""

FP16, FP32, INT32 = np.dtype("<f2"), np.dtype("<f4"), np.dtype("<i4")
BF16 = np.dtype("<u2")
"""Bits of BF16 numbers, which NumPy does not know: the upper halves of FP32 numbers."""

HALVES: Mapping[str, np.dtype[Any]] = {"fp16": FP16, "bf16": BF16}
"""Type of the operands of the PEs, and of all activations, by its name in the chip file."""


def illegal(where: str, got: str, allowed: str, todo: str) -> IllegalScheduleError:
    """Error of a program that breaks one rule."""
    return IllegalScheduleError("the program cannot be executed", [Fault(where, got, allowed, todo)])


def poisoned(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which floating-point elements were never written; shape of `values`."""
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, values.dtype.itemsize)
    untouched: NDArray[np.bool_] = (raw == POISON).all(axis=-1)
    return untouched


class Buffer:
    """The buffer of one core.

    Parameters
    ----------
    size : int
        Capacity; bytes.
    where : str
        Who uses it, for messages; the interpreter sets it to the instruction that executes.
    half : dtype
        Type of its activations: `FP16` or `BF16`.
    """

    def __init__(self, size: int, where: str, half: np.dtype[Any] = FP16) -> None:
        self.bytes = np.full(size, POISON, np.uint8)
        self.where = where
        self.half = half

    def read(self, address: int, rows: int, columns: int, ld: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Copy of a matrix.

        Parameters
        ----------
        address : int
            First byte.
        rows, columns : int
            Shape; elements.
        ld : int
            Bytes from one row to the next (0 repeats the row).
        dtype : dtype
            Type of the elements.

        Returns
        -------
        ndarray, shape (row, column)

        Raises
        ------
        IllegalScheduleError
            If a byte lies outside the buffer.
        """
        return self._rows(address, rows, columns * dtype.itemsize, ld).copy().view(dtype).reshape(rows, columns)

    def write(self, address: int, values: NDArray[Any], ld: int) -> None:
        """Store a matrix (changes `bytes`).

        Parameters
        ----------
        address : int
            First byte.
        values : ndarray, shape (row, column)
            What to store.
        ld : int
            Bytes from one row to the next.

        Raises
        ------
        IllegalScheduleError
            If a byte lies outside the buffer, or one row covers the next.
        """
        rows = len(values)
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(rows, -1)
        if rows > 1 and ld < raw.shape[1]:
            got = f"rows of {raw.shape[1]} B every {ld} B at address {address}"
            raise illegal(self.where, got, "rows that do not cover each other", "correct the leading dimension")
        self._rows(address, rows, raw.shape[1], ld)[:] = raw

    def _rows(self, address: int, rows: int, width: int, ld: int) -> NDArray[np.uint8]:
        last = address + max(rows - 1, 0) * ld + width
        if address < 0 or ld < 0 or last > len(self.bytes):
            got = f"{rows} rows of {width} B every {ld} B at address {address} (up to {last})"
            raise illegal(self.where, got, f"0..{len(self.bytes)} B of buffer", "correct address, shape or ld")
        base = self.bytes[address:]
        return np.lib.stride_tricks.as_strided(base, (rows, width), (ld if rows > 1 else width, 1))


class Write(NamedTuple):
    """A result on its way to the buffer.

    Parameters
    ----------
    address, ld : int
        First byte, and bytes from one row to the next.
    values : ndarray, shape (row, column)
        What to store.
    """

    address: int
    ld: int
    values: NDArray[Any]


class Dram:
    """Rows of all banks of all channels; a row exists once something was written to it.

    Parameters
    ----------
    pus : int
        Channels, one per PU.
    params : DramParams
        Sizes of one channel.
    """

    def __init__(self, pus: int, params: DramParams) -> None:
        self.pus = pus
        self.params = params
        self.rows: dict[tuple[int, int, int], NDArray[np.uint8]] = {}

    def read(self, pu: int, bank: int, row: int, column: int, beats: int, where: str) -> NDArray[np.uint8]:
        """Copy of `beats` beats of one bank from (row, column) on, running on into the next rows.

        Returns
        -------
        ndarray of uint8, shape (beat, column_bytes)

        Raises
        ------
        IllegalScheduleError
            If a beat lies outside the bank.
        """
        self._check(pu, bank, row, column, beats, where)
        result = np.full((beats, self.params.column_bytes), POISON, np.uint8)
        done = 0
        while done < beats:
            count = min(beats - done, self.params.columns - column)
            stored = self.rows.get((pu, bank, row))
            if stored is not None:
                result[done : done + count] = stored[column : column + count]
            done, row, column = done + count, row + 1, 0
        return result

    def write(self, pu: int, bank: int, row: int, column: int, values: NDArray[np.uint8], where: str) -> None:
        """Store beats of one bank from (row, column) on, running on into the next rows (changes `rows`).

        Parameters
        ----------
        pu, bank, row, column : int
            Place of the first beat.
        values : ndarray of uint8, shape (beat, column_bytes)
            What to store.
        where : str
            Who asks, for messages.

        Raises
        ------
        IllegalScheduleError
            If a beat lies outside the bank.
        """
        self._check(pu, bank, row, column, len(values), where)
        done = 0
        while done < len(values):
            count = min(len(values) - done, self.params.columns - column)
            stored = self.rows.get((pu, bank, row))
            if stored is None:
                stored = np.full((self.params.columns, self.params.column_bytes), POISON, np.uint8)
                self.rows[pu, bank, row] = stored
            stored[column : column + count] = values[done : done + count]
            done, row, column = done + count, row + 1, 0

    def copy(self) -> Dram:
        """Independent copy."""
        other = Dram(self.pus, self.params)
        other.rows = {place: row.copy() for place, row in self.rows.items()}
        return other

    def _check(self, pu: int, bank: int, row: int, column: int, beats: int, where: str) -> None:
        p = self.params
        last = row * p.columns + column + beats
        inside = 0 <= pu < self.pus and 0 <= bank < p.banks and row >= 0 and 0 <= column < p.columns and beats >= 0
        if not inside or last > p.rows * p.columns:
            got = f"{beats} beats from PU {pu}, bank {bank}, row {row}, column {column}"
            allowed = f"{self.pus} PUs, {p.banks} banks, {p.rows} rows of {p.columns} columns"
            raise illegal(where, got, allowed, "correct the address")
