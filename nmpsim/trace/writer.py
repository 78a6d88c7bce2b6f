"""Takes the logs of a die while it runs and stores them, to Parquet files or in memory.

    core log      --> trace-intervals.parquet      unit, reason, operator, value, start, end
    bank log      --> trace-banks.parquet          key (unit and reason), length; links too
    link log      --^
    access log    --> trace-accesses.parquet       pu, at, and the fields of ROW_ACCESS, ticks counted from `at`
    events        --> trace-instructions.parquet   at the end: taken and completed, paired
    which load serves which use --> trace-flows.parquet
    units, reasons, operators, clocks, window --> trace.json

Times are ticks.  Rows come in the order in which the die gave them up: in the order of time for every unit, not for all
together.  Intervals of a bank or link follow each other without a gap from the start of the window on, so a length says
it all.
Every file is written under a temporary name and renamed at the end, ``trace.json`` last.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from nmpsim.core.state import COMPLETED, TAKEN
from nmpsim.dram.address import field_names
from nmpsim.dram.native.state import BANK_BITS, ROW_ACCESS
from nmpsim.dram.native.state import REASON_BITS as BANK_REASON_BITS
from nmpsim.program.isa import op_name
from nmpsim.program.program import Program
from nmpsim.spec.params import MachineParams
from nmpsim.spec.standard.native import machine_protocol
from nmpsim.trace.instructions import flow_table, instruction_table
from nmpsim.trace.options import TraceOptions
from nmpsim.trace.store import COLUMNS, REASON_BITS, Table, file_of
from nmpsim.trace.units import first_reason, reason_letters, reason_names, unit_table

FORMAT = "nmpsim-trace-2"
META = "trace.json"
TABLES = ("intervals", "banks", "accesses", "instructions", "flows")

REASON_WORD = 2**BANK_REASON_BITS - 1
BANK_WORD = 2 ** (BANK_BITS + BANK_REASON_BITS) - 1
"""Parts of the word that tells of an interval of a bank: its reason; bank and reason."""

FILES = (META, *map(file_of, TABLES))
"""All files of a trace."""


class TraceWriter:
    """A recorder that stores a trace.

    Parameters
    ----------
    params : MachineParams
        The chip.
    program : Program
        What it executes.
    options : TraceOptions
        What to record.
    folder : Path or None
        Where to write; None keeps the trace in memory.
    """

    def __init__(
        self, params: MachineParams, program: Program, options: TraceOptions, folder: Path | None = None
    ) -> None:
        self.params, self.program, self.options, self.folder = params, program, options, folder
        self.units = unit_table(params)
        self.full = options.full
        chosen = options.chosen(self.units)
        self._cores = _numbers(params.cores, [u for u in self.units if u.family in {"core", "watch"}])
        banks = _numbers(params.cores, [u for u in self.units if u.family == "bank"])
        links = np.array([u.number for u in self.units if u.family == "link"], np.int64)
        self._bank_keys = (banks << REASON_BITS) + first_reason("bank")  # by PU and bank, of the first reason
        self._bank_until = np.zeros(banks.shape, np.int64)  # by PU and bank, what was recorded so far
        self._link_keys = (links << REASON_BITS) + first_reason("link")  # by link
        self._wanted = np.array([*chosen, False])  # the last one is for what has no unit
        self._all = all(chosen[u.number] for u in self.units if u.family in {"bank", "link"})
        self._no_bank = not any(chosen[u.number] for u in self.units if u.family == "bank")
        self._no_link = not any(chosen[u.number] for u in self.units if u.family == "link")
        self._commands = [options.wants("command", c) or options.wants("port", c) for c in range(params.cores)]
        watched = np.array([u >= 0 and self.units[u].family == "watch" for u in self._cores[0].tolist()])
        self._first_reason = np.where(watched, first_reason("watch"), first_reason("core"))  # by row of the log
        self._window = _window(options, params.core_period)
        self._tables = {name: Table(name, folder) for name in COLUMNS}
        self._events: list[NDArray[np.int64]] = []
        self.tables: dict[str, Any] = {}
        self.meta: dict[str, Any] = {}

    def _clip(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Cut intervals to the window; return which are left, None for all."""
        if self._window is None:
            return None
        low, high = self._window
        np.maximum(start, low, out=start)
        np.minimum(end, high, out=end)
        return start < end

    def core(self, pu: int, rows: Any) -> None:
        """Store intervals of the units of a core, keep its events.

        Parameters
        ----------
        pu : int
        rows : array of INTERVAL
        """
        rows = np.asarray(rows)
        reason, unit = rows["reason"], rows["unit"]
        is_event = reason < 0
        if is_event.any():
            found = np.flatnonzero(is_event)
            kept = np.empty((len(found), 5), np.int64)
            kept[:, 0] = pu
            for i, name in enumerate(("unit", "reason", "value", "start"), 1):
                kept[:, i] = rows[name][found]
            self._events.append(kept)
            rows = rows[~is_event]
            reason, unit = rows["reason"], rows["unit"]
        number = self._cores[pu][unit]
        start, end = rows["start"], rows["end"]
        keep = None
        if self._window is not None:
            start, end = start.copy(), end.copy()
            keep = self._clip(start, end)
        wanted = self._wanted[number]  # of rows that have no unit too
        keep = wanted if keep is None else keep & wanted
        columns = {
            "unit": number,
            "reason": reason + self._first_reason[unit],
            "operator": rows["operator"],
            "value": rows["value"],
            "start": start,
            "end": end,
        }
        self._tables["intervals"].add(columns, None if keep.all() else keep)

    def bank(self, pu: int, words: NDArray[np.int64]) -> None:
        """Store intervals of the banks of a channel.

        Parameters
        ----------
        pu : int
        words : ndarray of int64
            As `nmpsim.dram.native.state.BANK_BITS` tells.
        """
        if self._no_bank:
            return
        low = words & BANK_WORD
        bank, length = low >> BANK_REASON_BITS, words >> BANK_WORD.bit_length()
        key = self._bank_keys[pu][bank] + (low & REASON_WORD)
        keep = None
        if self._window is not None:
            start = self._starts(self._bank_until[pu], bank, length)
            end = start + length
            keep = self._clip(start, end)
            length = end - start
        self._store_lengths(key, length, keep)

    def link(self, rows: Any) -> None:
        """Store intervals of the links.

        Parameters
        ----------
        rows : array of LINK_INTERVAL
        """
        if self._no_link:
            return
        rows = np.asarray(rows)
        start, end = rows["start"].copy(), rows["end"].copy()
        keep = self._clip(start, end)
        self._store_lengths(self._link_keys[rows["link"]] + rows["reason"], end - start, keep)

    @staticmethod
    def _starts(until: NDArray[np.int64], bank: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the starts of intervals that follow those before them; `until`, by bank, moves on."""
        order = np.argsort(bank, kind="stable")
        ends = np.cumsum(length[order])
        of, first, rows = np.unique(bank[order], return_index=True, return_counts=True)
        before = np.repeat(ends[first] - length[order][first] - until[of], rows)
        start = np.empty(len(bank), np.int64)
        start[order] = ends - length[order] - before
        until[of] = (ends - before)[first + rows - 1]
        return start

    def _store_lengths(self, key: NDArray[np.int64], length: NDArray[np.int64], keep: NDArray[np.bool_] | None) -> None:
        """Store intervals of units whose intervals follow each other without a gap."""
        if not self._all:
            wanted = self._wanted[key >> REASON_BITS]
            keep = wanted if keep is None else keep & wanted
        self._tables["banks"].add({"key": key, "length": length}, keep)

    def access(self, pu: int, rows: Any) -> None:
        """Store row accesses of a channel.

        Parameters
        ----------
        pu : int
        rows : array of ROW_ACCESS
        """
        if not self._commands[pu]:
            return
        rows = np.asarray(rows)
        keep = None
        if self._window is not None:
            low, high = self._window
            after = rows["first"] + np.maximum(rows["count"] - 1, 0) * rows["step"]
            last = rows["at"] + np.maximum(np.maximum(rows["act"], rows["pre"]), after)
            keep = (last >= low) & (rows["at"] < high)
        columns = {name: rows[name] for name in ROW_ACCESS.dtype.names or ()}
        self._tables["accesses"].add({"pu": np.full(len(rows), pu, np.uint32), **columns}, keep)

    def close(self, until: int) -> None:
        """Store the rest, and give the files their names.

        Parameters
        ----------
        until : int
            Tick at which the recording ends: the first core cycle after the run.
        """
        for name, table in self._tables.items():
            self.tables[name] = table.close()
        events = np.concatenate(self._events) if self._events else np.zeros((0, 5), np.int64)
        instructions = instruction_table(self.params, self.program, self._cores, self.units, events, (TAKEN, COMPLETED))
        flows = flow_table(self.program, instructions, self.params.noc.nodes)
        keep = np.array([self.options.wants("instruction", pu) for pu in range(self.params.cores)])[instructions["pu"]]
        if self._window is not None:
            low, high = self._window
            keep &= (instructions["end"] >= low) & (instructions["start"] < high)
        place = np.where(keep, np.cumsum(keep) - 1, -1)
        flows = {key: place[column] for key, column in flows.items()}
        both = (flows["source"] >= 0) & (flows["target"] >= 0)
        self.tables["instructions"] = pa.table({key: column[keep] for key, column in instructions.items()})
        self.tables["flows"] = pa.table({key: column[both] for key, column in flows.items()})
        self.meta = self._meta(until)
        if self.folder is None:
            return
        for name in ("instructions", "flows"):
            parquet.write_table(self.tables[name], self.folder / f"{file_of(name)}.partial", compression="zstd")
        (self.folder / f"{META}.partial").write_text(json.dumps(self.meta) + "\n", encoding="utf-8")
        for name in (*map(file_of, TABLES), META):
            (self.folder / f"{name}.partial").replace(self.folder / name)

    def _meta(self, until: int) -> dict[str, Any]:
        p, program = self.params, self.program
        protocol = machine_protocol(p)
        ops = sorted({int(op) for stream in program.streams for op in np.unique(stream["op"])})
        return {
            "format": FORMAT,
            "level": self.options.level,
            "filter": list(self.options.units),
            "window": [self.options.start, self.options.end],
            "until": until,
            "chip": p.name,
            "tick_ps": [p.tick_ps.numerator, p.tick_ps.denominator],
            "periods": {
                "core": p.core_period,
                "dram": p.dram_period,
                "noc": p.between[1],
                "pu_noc": p.noc_period,
                "stack_link": p.link.period,
            },
            "nBL": p.dram.nBL,
            "channels": p.cores,
            "command_fields": list(field_names(protocol)),
            "group_banks": protocol.sizes[-1],
            "units": [dict(vars(unit)) for unit in self.units],
            "recorded": self.options.chosen(self.units),
            "reasons": list(reason_names()),
            "letters": reason_letters(),
            "ops": {str(op): op_name(op) for op in ops},
            "operators": [{"name": o.name, "kind": o.kind, "layer": o.layer} for o in program.operators],
        }


def _numbers(pus: int, units: list[Any]) -> NDArray[np.int64]:
    """Unit by PU and row; -1 where a row has no unit."""
    table = np.full((pus, 1 + max((u.row for u in units), default=0)), -1, np.int64)
    for unit in units:
        table[unit.pu, unit.row] = unit.number
    return table


def _window(options: TraceOptions, period: int) -> tuple[int, int] | None:
    if options.start is None and options.end is None:
        return None
    return (options.start or 0) * period, 2**62 if options.end is None else options.end * period
