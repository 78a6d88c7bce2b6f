"""Opens a trace: its tables as NumPy and Arrow, filtered by unit and window."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from nmpsim.errors import Fault, NmpsimError
from nmpsim.trace.options import TraceOptions
from nmpsim.trace.store import REASON_BITS, TICKS, file_of
from nmpsim.trace.units import Unit, first_reason
from nmpsim.trace.writer import FORMAT, META, TraceWriter

INTERVAL = np.dtype(
    [("unit", "i8"), ("reason", "i8"), ("operator", "i8"), ("value", "i8"), ("start", "i8"), ("end", "i8")]
)
"""One interval as the reader gives it: numbers, times in ticks."""


class Trace:
    """A recorded run.

    Parameters
    ----------
    meta : dict
        Content of ``trace.json``.
    tables : dict of str to pyarrow.Table
        Tables at hand; those that are missing are read from `folder`.
    folder : Path or None
        Where the files are.
    """

    def __init__(self, meta: dict[str, Any], tables: dict[str, Any], folder: Path | None = None) -> None:
        self.meta, self._tables, self.folder = meta, dict(tables), folder
        self.units = tuple(Unit(**unit) for unit in meta["units"])
        self.reasons: tuple[str, ...] = tuple(meta["reasons"])
        self.operators: tuple[str, ...] = tuple(o["name"] for o in meta["operators"])
        self.core_period = int(meta["periods"]["core"])
        self.dram_period = int(meta["periods"]["dram"])
        self.until = int(meta["until"])

    @staticmethod
    def open(folder: str | Path) -> Trace:
        """Open the trace of a result.

        Parameters
        ----------
        folder : str or Path
            Folder of the result.

        Raises
        ------
        NmpsimError
            If there is none.
        """
        path = Path(folder) / META
        try:
            meta = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            got = getattr(error, "strerror", None) or str(error)
            raise _no_trace(path, got) from None
        if not isinstance(meta, dict) or meta.get("format") != FORMAT:
            raise _no_trace(path, "no trace of this version")
        return Trace(meta, {}, Path(folder))

    @staticmethod
    def of(writer: TraceWriter) -> Trace:
        """Open what a closed writer holds.

        Parameters
        ----------
        writer : TraceWriter
            Closed.
        """
        return Trace(writer.meta, {name: t for name, t in writer.tables.items() if t is not None}, writer.folder)

    def table(self, name: str) -> Any:
        """Return a raw Arrow table.

        Parameters
        ----------
        name : str
            ``intervals``, ``banks``, ``accesses``, ``instructions`` or ``flows``.

        Raises
        ------
        NmpsimError
            If its file cannot be read.
        """
        if name not in self._tables:
            path = (self.folder or Path()) / file_of(name)
            try:
                self._tables[name] = parquet.read_table(path)
            except (OSError, pa.ArrowException) as error:
                raise _no_trace(path, str(error).splitlines()[0]) from None
        return self._tables[name]

    def columns(self, name: str) -> dict[str, NDArray[Any]]:
        """Return a raw table as NumPy columns.

        Parameters
        ----------
        name : str
            As in `table`.
        """
        table = self.table(name)
        return {column: table[column].to_numpy() for column in table.column_names}

    def accesses(self) -> dict[str, NDArray[np.int64]]:
        """Return the row accesses: ``pu`` and the fields of `nmpsim.dram.native.state.ROW_ACCESS`, a row each."""
        found = {name: column.astype(np.int64) for name, column in self.columns("accesses").items()}
        at = found.pop("at")
        return found | {name: np.where(found[name] >= 0, found[name] + at, -1) for name in TICKS}

    @cached_property
    def recorded(self) -> tuple[Unit, ...]:
        """Units that were recorded."""
        return tuple(unit for unit, there in zip(self.units, self.meta["recorded"], strict=True) if there)

    def window(self, start: int | None = None, end: int | None = None) -> tuple[int, int]:
        """Return the part of a window that was recorded.

        Parameters
        ----------
        start, end : int, optional
            Core cycles.

        Returns
        -------
        (int, int)
            Ticks: first one, and first one after it.
        """
        first, last = self.meta["window"]
        whole = self.until // self.core_period
        low = max(start or 0, first or 0)
        high = min(whole, *(x for x in (end, last) if x is not None)) if end is not None or last is not None else whole
        return low * self.core_period, max(low, high) * self.core_period

    def choose(self, kinds: Iterable[str] = (), start: int | None = None, end: int | None = None) -> list[Unit]:
        """Return the recorded units of some kinds.

        Parameters
        ----------
        kinds : iterable of str
            As ``--trace-units``; empty = all.
        start, end : int, optional
            Only checked; core cycles.

        Raises
        ------
        NmpsimError
            If a kind or the window is wrong.
        """
        from_options = TraceOptions("full", tuple(kinds), start, end)
        return [unit for unit in self.recorded if from_options.wants(unit.kind, unit.pu)]

    def intervals(
        self, units: Iterable[Unit] | None = None, start: int | None = None, end: int | None = None
    ) -> NDArray[np.void]:
        """Return the intervals of units, sorted by unit and start, clipped to the window.

        Parameters
        ----------
        units : iterable of Unit, optional
            Default all that were recorded.
        start, end : int, optional
            Window; core cycles.

        Returns
        -------
        ndarray, shape (intervals,)
            Fields of `INTERVAL`; times in ticks, operator -1 = none.
        """
        chosen = list(self.recorded if units is None else units)
        wanted = np.zeros(len(self.units), np.bool_)
        wanted[[unit.number for unit in chosen]] = True
        families = {unit.family for unit in chosen}
        parts = []
        if families & {"core", "watch"}:
            parts.append(_rows(self.columns("intervals"), wanted))
        if families & {"bank", "link"}:
            parts.append(self._lengths(wanted))
        if "port" in families:
            parts.append(self._ports(wanted))
        rows = np.concatenate(parts) if parts else np.zeros(0, INTERVAL)
        low, high = self.window(start, end)
        rows["start"] = np.maximum(rows["start"], low)
        rows["end"] = np.minimum(rows["end"], high)
        rows = rows[rows["start"] < rows["end"]]
        return rows[np.lexsort((rows["start"], rows["unit"]))]

    def _lengths(self, wanted: NDArray[np.bool_]) -> NDArray[np.void]:
        """Intervals of banks and links: lengths added up from the start of the window on."""
        columns = self.columns("banks")
        unit = columns["key"] >> REASON_BITS
        keep = np.flatnonzero(wanted[unit])
        keep = keep[np.argsort(unit[keep], kind="stable")]
        rows = np.zeros(len(keep), INTERVAL)
        rows["operator"] = -1
        rows["unit"], rows["reason"] = unit[keep], columns["key"][keep] & (2**REASON_BITS - 1)
        length = columns["length"][keep].astype(np.int64)
        end = np.cumsum(length)
        begins = np.flatnonzero(np.diff(rows["unit"], prepend=-1))
        before = np.repeat(end[begins] - length[begins], np.diff(begins, append=len(rows)))
        rows["end"] = end - before + (self.meta["window"][0] or 0) * self.core_period
        rows["start"] = rows["end"] - length
        return rows

    def _ports(self, wanted: NDArray[np.bool_]) -> NDArray[np.void]:
        """Intervals of the data ports, from the columns that moved over them."""
        every = self.accesses()
        moved = every["count"] > 0
        access = {name: column[moved] for name, column in every.items()}
        table = np.full((self.meta["channels"], 1 + max(u.row for u in self.units)), -1, np.int64)
        for unit in self.units:
            if unit.family == "port":
                table[unit.pu, unit.row] = unit.number
        number = table[access["pu"], access["port"]]
        busy = self.meta["nBL"] * self.dram_period
        whole = access["step"] <= busy  # columns that follow each other without a gap are one interval
        times = np.where(whole, 1, access["count"])
        index = np.repeat(np.arange(len(number)), times)
        nth = np.arange(len(index)) - np.repeat(np.cumsum(times) - times, times)
        rows = np.zeros(len(index), INTERVAL)
        rows["unit"] = number[index]
        rows["start"] = access["first"][index] + nth * access["step"][index]
        length = np.where(whole, (access["count"] - 1) * access["step"] + busy, busy)
        rows["end"] = rows["start"] + length[index]
        rows["reason"], rows["value"], rows["operator"] = first_reason("port"), 1, -1
        rows = rows[wanted[rows["unit"]]]
        rows = rows[np.lexsort((rows["start"], rows["unit"]))]
        return _with_gaps(rows, np.flatnonzero(wanted & np.isin(np.arange(len(wanted)), table)), self.until)


def _with_gaps(rows: NDArray[np.void], units: NDArray[np.int64], until: int) -> NDArray[np.void]:
    """Put idle intervals between the busy ones of every unit, so that they follow each other from 0 to the end."""
    ends = np.zeros(len(units), INTERVAL)
    ends["unit"], ends["start"], ends["end"] = units, until, until
    marks = np.concatenate([rows, ends])
    marks = marks[np.lexsort((marks["start"], marks["unit"]))]
    before = np.zeros(len(marks), np.int64)
    before[1:] = np.where(marks["unit"][1:] == marks["unit"][:-1], marks["end"][:-1], 0)
    idle = np.zeros(len(marks), INTERVAL)
    idle["unit"], idle["start"], idle["end"] = marks["unit"], before, marks["start"]
    idle["reason"], idle["operator"] = first_reason("port") + 1, -1
    return np.concatenate([rows, idle[idle["end"] > idle["start"]]])


def _rows(columns: dict[str, NDArray[Any]], wanted: NDArray[np.bool_]) -> NDArray[np.void]:
    keep = wanted[columns["unit"]]
    rows = np.zeros(int(keep.sum()), INTERVAL)
    rows["operator"] = -1
    for name, column in columns.items():
        rows[name] = column[keep]
    return rows


def _no_trace(path: Path, got: str) -> NmpsimError:
    todo = "simulate with --trace coarse or --trace full"
    return NmpsimError("cannot read the trace", [Fault(str(path), got, "the folder of a traced run", todo)])
