"""A trace as waveforms: an FST file for GTKWave, Surfer and whoever reads it, and a view file for GTKWave.

Every unit is a scope with the signals ``reason`` and ``operator`` (text) and, where it has one, ``value``.  Time is in
picoseconds.  The file is written by libfst, GTKWave's own library, through the package pylibfst.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.trace.writing import unwritable, whole_file
from nmpsim.errors import Fault, NmpsimError
from nmpsim.trace.reader import Trace
from nmpsim.trace.units import Unit

TOP = "die"
VALUE_BITS = 32


def _library() -> Any:
    try:
        import pylibfst
    except ImportError:
        fault = Fault("--to fst", "no package pylibfst", "pylibfst 0.2 or newer", "pip install 'nmpsim[waves]'")
        raise NmpsimError("cannot write waveforms", [fault]) from None
    return pylibfst


def scope_of(unit: Unit) -> str:
    """Name of the scope of a unit within its PU.

    Parameters
    ----------
    unit : Unit
    """
    return unit.name.replace(" ", "_")


class _File:
    """An FST file that is being written."""

    def __init__(self, library: Any, path: Path) -> None:
        self.ffi, self.lib = library.ffi, library.lib
        self.file = self.lib.fstWriterCreate(os.fsencode(path), 1)
        if self.file == self.ffi.NULL:
            raise unwritable(path, OSError(0, "libfst cannot write there"))
        self.lib.fstWriterSetTimescaleFromString(self.file, b"1ps")
        self.lib.fstWriterSetVersion(self.file, b"nmpsim")

    def open_scope(self, name: str) -> None:
        kind = self.lib.FST_ST_VCD_MODULE
        self.lib.fstWriterSetScope(self.file, kind, name.encode(), self.ffi.NULL)

    def close_scope(self) -> None:
        self.lib.fstWriterSetUpscope(self.file)

    def text(self, name: str) -> int:
        return self._variable(self.lib.FST_VT_GEN_STRING, 0, name)

    def integer(self, name: str) -> int:
        return self._variable(self.lib.FST_VT_VCD_INTEGER, VALUE_BITS, name)

    def _variable(self, kind: int, bits: int, name: str) -> int:
        made: int = self.lib.fstWriterCreateVar(self.file, kind, self.lib.FST_VD_IMPLICIT, bits, name.encode(), 0)
        return made

    def time(self, at: int) -> None:
        self.lib.fstWriterEmitTimeChange(self.file, at)

    def set_text(self, variable: int, value: bytes) -> None:
        self.lib.fstWriterEmitVariableLengthValueChange(self.file, variable, value, len(value))

    def set_integer(self, variable: int, value: int) -> None:
        self.lib.fstWriterEmitValueChange(self.file, variable, format(value, f"0{VALUE_BITS}b").encode())

    def close(self) -> None:
        self.lib.fstWriterClose(self.file)


_REASON, _OPERATOR, _VALUE = range(3)


def _changes(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return (tick, unit, signal, value) of every change, sorted by tick; rows are sorted by unit and start."""
    parts = []
    first = np.ones(len(rows), np.bool_)
    first[1:] = rows["unit"][1:] != rows["unit"][:-1]
    for signal, name in ((_REASON, "reason"), (_OPERATOR, "operator"), (_VALUE, "value")):
        changed = first.copy()
        changed[1:] |= rows[name][1:] != rows[name][:-1]
        at = np.flatnonzero(changed)
        parts.append(np.stack([rows["start"][at], rows["unit"][at], np.full(len(at), signal), rows[name][at]], axis=1))
    every = np.concatenate(parts)
    return every[np.argsort(every[:, 0], kind="stable")]


def write_waves(
    trace: Trace, path: Path, kinds: Iterable[str] = (), start: int | None = None, end: int | None = None
) -> int:
    """Write a trace as FST, and a view file for GTKWave beside it.

    Parameters
    ----------
    trace : Trace
    path : Path
        The FST file; the view has the suffix ``.gtkw``.
    kinds : iterable of str
        Kinds of units; empty = all.
    start, end : int, optional
        Window; core cycles.

    Returns
    -------
    int
        Changes written.

    Raises
    ------
    NmpsimError
        If the package pylibfst is missing, or a file cannot be written.
    """
    library = _library()
    units = trace.choose(kinds)
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = _File(library, staging)
        signals = _declare(file, units)
        count = _emit(file, trace, units, signals, start, end)
        file.close()
        staging.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        staging.unlink(missing_ok=True)
        staging.with_name(f"{staging.name}.hier").unlink(missing_ok=True)
    _write_view(path, units)
    return count


def _declare(file: _File, units: list[Unit]) -> dict[tuple[int, int], int]:
    """Declare scopes and signals; return the variable of each unit and signal."""
    signals: dict[tuple[int, int], int] = {}
    file.open_scope(TOP)
    for pu in sorted({unit.pu for unit in units}):
        file.open_scope(f"pu{pu}")
        for unit in units:
            if unit.pu == pu:
                file.open_scope(scope_of(unit))
                signals[unit.number, _REASON] = file.text("reason")
                if unit.family == "core":
                    signals[unit.number, _OPERATOR] = file.text("operator")
                if unit.measure:
                    signals[unit.number, _VALUE] = file.integer("value")
                file.close_scope()
        file.close_scope()
    file.close_scope()
    return signals


def _emit(
    file: _File,
    trace: Trace,
    units: list[Unit],
    signals: dict[tuple[int, int], int],
    start: int | None,
    end: int | None,
) -> int:
    """Write all changes; return how many."""
    top, bottom = trace.meta["tick_ps"]
    reasons = [name.encode() for name in trace.reasons]
    operators = [*(name.encode() for name in trace.operators), b""]
    now = -1
    count = 0
    for tick, unit, signal, value in _changes(trace.intervals(units, start, end)).tolist():
        variable = signals.get((unit, signal))
        if variable is None:
            continue
        if tick != now:
            now = tick
            file.time(tick * top // bottom)
        if signal == _VALUE:
            file.set_integer(variable, value)
        else:
            file.set_text(variable, reasons[value] if signal == _REASON else operators[value])
        count += 1
    high = trace.window(start, end)[1]
    if high > now:
        file.time(high * top // bottom)
    return count


def _write_view(path: Path, units: list[Unit]) -> None:
    """Write a view for GTKWave: compute units, vector units and movers of every PU, each with its operator."""
    lines = [f'[dumpfile] "{path.resolve()}"', f'[savefile] "{path.with_suffix(".gtkw").resolve()}"', "[timestart] 0"]
    for unit in units:
        if unit.kind in {"array", "vector", "move"}:
            scope = f"{TOP}.pu{unit.pu}.{scope_of(unit)}"
            lines += ["@200", f"-pu {unit.pu} {unit.name}", "@820", f"{scope}.reason", f"{scope}.operator"]
            lines += ["@24", f"{scope}.value[{VALUE_BITS - 1}:0]"]
    with whole_file(path.with_suffix(".gtkw")) as file:
        file.write(("\n".join(lines) + "\n").encode())
