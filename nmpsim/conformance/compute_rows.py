"""Rows of recorded compute cycles of fixed systolic arrays, read from CSV files with every fault noted."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from nmpsim.conformance.case import CaseError
from nmpsim.errors import Fault
from nmpsim.program.isa import IS, OS, WS

FLOWS = {"os": OS, "ws": WS, "is": IS}
"""Names of the dataflows in these files."""

NEEDED = ("M", "N", "K", "array_rows", "array_cols", "dataflow", "compute_cycles")
"""Columns that must stand there; others are read if they do, or ignored."""

MOST = {"M": 2**20, "N": 2**20, "K": 2**20, "array_rows": 2**12, "array_cols": 2**12}
"""Largest values: what fits the memory of one computer."""

MOST_ELEMENTS, MOST_PES = 2**28, 2**22
"""Most elements of an operand or of the result, and most PEs."""


@dataclass(frozen=True)
class ComputeRow:
    """What a recorded run was, and what it showed.

    Parameters
    ----------
    where : str
        File and line.
    flow : int
        OS, WS or IS.
    m, n, k : int
        Extents of the product.
    rows, columns : int
        Of the array.
    cycles : int
        Compute cycles.
    by_formula : bool
        True where the recorded program did not finish, and the file gives the cycles of its closed form.
    mapping, utilisation, busy : Decimal or None
        In per cent: PEs with work; products per PE and cycle of the total; the same without the missing last cycle.
        None where the file has none, or it is not well defined.
    """

    where: str
    flow: int
    m: int
    n: int
    k: int
    rows: int
    columns: int
    cycles: int
    by_formula: bool
    mapping: Decimal | None
    utilisation: Decimal | None
    busy: Decimal | None


class _Line:
    """One line of a file, by column name; faults are collected."""

    def __init__(self, where: str, cells: dict[str, str], faults: list[Fault]) -> None:
        self.where, self.cells, self.faults = where, cells, faults

    def _wrong(self, name: str, allowed: str) -> None:
        got = repr(self.cells[name][:40])
        self.faults.append(Fault(f"{self.where}: {name}", got, allowed, "correct it"))

    def count(self, name: str) -> int:
        """Return a whole number of at least 1."""
        text, most = self.cells[name].strip(), MOST.get(name, 2**62)
        if text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most:
            return int(text)
        self._wrong(name, f"a whole number from 1 to {most}")
        return 1

    def percent(self, name: str, *, defined: bool) -> Decimal | None:
        """Return a finite number, None if the column or the cell is empty or not `defined`."""
        text = self.cells.get(name, "").strip()
        if not text or not defined:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            self._wrong(name, "a number")
            return None
        return value

    def row(self) -> ComputeRow | None:
        """Return the whole row; None with faults noted if it is wrong."""
        before = len(self.faults)
        flow = FLOWS.get(self.cells["dataflow"])
        if flow is None:
            self._wrong("dataflow", ", ".join(FLOWS))
        m, n, k, rows, columns = (self.count(name) for name in NEEDED[:5])
        largest = max(m * n, m * k, k * n)
        if len(self.faults) == before and largest > MOST_ELEMENTS:
            allowed = f"at most {MOST_ELEMENTS} elements"
            self.faults.append(Fault(f"{self.where}: M, N, K", f"{largest} elements", allowed, "take a smaller share"))
        if len(self.faults) == before and rows * columns > MOST_PES:
            got = f"{rows * columns} PEs"
            self.faults.append(Fault(f"{self.where}: array_rows, array_cols", got, f"at most {MOST_PES}", "shrink it"))
        finished = self.cells.get("status", "ok") == "ok"
        cycles = "compute_cycles" if finished else "closed_form_cycles"
        if cycles not in self.cells:
            allowed = "ok, or a column closed_form_cycles"
            self.faults.append(Fault(f"{self.where}: status", repr(self.cells["status"]), allowed, "leave the row out"))
            return None
        calculated = finished and self.cells.get("bandwidth_mode", "calc") == "calc"
        read = ComputeRow(
            where=self.where,
            flow=OS if flow is None else flow,
            m=m,
            n=n,
            k=k,
            rows=rows,
            columns=columns,
            cycles=self.count(cycles) if self.cells[cycles].strip() != "0" else 0,
            by_formula=not finished,
            mapping=self.percent("mapping_eff_pct", defined=finished),
            utilisation=self.percent("overall_util_pct", defined=calculated),
            busy=self.percent("compute_util_pct", defined=finished and flow == OS),
        )
        return read if len(self.faults) == before else None


def _read_file(path: Path, faults: list[Fault]) -> list[ComputeRow]:
    """Return the rows of one file; note its faults."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(Fault(str(path), str(error), "a CSV file", "check the path"))
        return []
    reader = csv.reader(text.splitlines())
    found: list[ComputeRow] = []
    try:
        header = next(reader, [])
        missing = [name for name in NEEDED if name not in header]
        twice = sorted({name for name in header if header.count(name) > 1})
        if missing or twice:
            got = f"no {', '.join(missing)}" if missing else f"{', '.join(twice)} more than once"
            faults.append(Fault(f"{path}:1", got, f"the columns {', '.join(NEEDED)}, once each", "correct the header"))
            return []
        before = len(faults)
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if len(cells) != len(header):
                faults.append(Fault(where, f"{len(cells)} fields", f"{len(header)} fields", "write the line anew"))
                continue
            row = _Line(where, dict(zip(header, cells, strict=True)), faults).row()
            if row is not None:
                found.append(row)
    except csv.Error as error:
        faults.append(Fault(f"{path}:{reader.line_num}", str(error), "a CSV file", "write the line anew"))
        return []
    if not found and len(faults) == before:
        faults.append(Fault(str(path), "no row", "one row or more below the header", "check the file"))
    return found


def read_rows(paths: Sequence[Path]) -> list[ComputeRow]:
    """Return all rows of the given files, in order.

    Parameters
    ----------
    paths : sequence of Path

    Raises
    ------
    CaseError
        With every fault of every file.
    """
    faults: list[Fault] = []
    rows = [row for path in paths for row in _read_file(path, faults)]
    if not paths:
        faults.append(Fault("FILE.csv", "none", "one file or more", "name the files to compare with"))
    if faults:
        raise CaseError("recorded compute cycles cannot be read", faults)
    return rows
