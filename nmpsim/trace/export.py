"""Other formats of a trace, by name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nmpsim.dram.trace.writing import whole_file, write_table
from nmpsim.spec.params import COMMANDS
from nmpsim.trace.expand import commands, expand
from nmpsim.trace.lines import write_lines
from nmpsim.trace.perfetto import write_perfetto
from nmpsim.trace.reader import Trace
from nmpsim.trace.waves import write_waves

FORMATS = {
    "perfetto": "trace.perfetto-trace",
    "fst": "trace.fst",
    "npy": "trace.npz",
    "text": "trace.txt",
    "commands": "commands.csv.gz",
}
"""Formats, and the name of the file if none is given."""

CLOCKS = {"core": "core", "watch": "core", "bank": "dram", "port": "dram", "link": "noc"}
"""Clock of each family of units, but those of `LINK_CLOCKS`."""

LINK_CLOCKS = {"stack_link": "stack_link", "pu_link": "pu_noc"}
"""Clock of links by their kind."""


def write_arrays(
    trace: Trace, path: Path, kinds: Iterable[str] = (), start: int | None = None, end: int | None = None
) -> int:
    """Write what every unit did in every cycle as NumPy arrays in one ``.npz`` file.

    For unit 7 they are ``reason_7`` (number of a reason), ``operator_7`` (-1 = none) and ``value_7``, an entry for
    each cycle of its own clock; ``tick_core``, ``tick_dram``, ``tick_noc``, ``tick_pu_noc`` and
    ``tick_stack_link`` hold the ticks of the cycles; ``meta`` is a JSON text
    with the units, the names of reasons and operators, and the length of a tick.

    Parameters
    ----------
    trace : Trace
    path : Path
    kinds : iterable of str
        Kinds of units; empty = all.
    start, end : int, optional
        Window; core cycles.

    Returns
    -------
    int
        Unit-cycles written.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    units = trace.choose(kinds)
    arrays: dict[str, np.ndarray] = {}
    count = 0
    for unit in units:
        seen = expand(trace, unit, start, end)
        clock = LINK_CLOCKS.get(unit.kind, CLOCKS[unit.family])
        arrays[f"tick_{clock}"] = seen["tick"]
        arrays[f"reason_{unit.number}"] = seen["reason"].astype(np.uint8)
        if unit.family == "core":
            arrays[f"operator_{unit.number}"] = seen["operator"].astype(np.int32)
        if unit.measure:
            arrays[f"value_{unit.number}"] = seen["value"].astype(np.int32)
        count += len(seen["tick"])
    meta = {key: trace.meta[key] for key in ("reasons", "operators", "tick_ps", "periods")}
    meta["units"] = [dict(vars(unit)) for unit in units]
    with whole_file(path) as file:
        np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
    return count


def write_command_trace(trace: Trace, path: Path, start: int | None = None, end: int | None = None) -> int:
    """Write the DRAM commands as ``nmpsim dram check --chip`` reads them; clocks are DRAM cycles.

    Parameters
    ----------
    trace : Trace
    path : Path
        Packed with gzip if it ends in ``.gz``.
    start, end : int, optional
        Window; core cycles.  The checker needs the beginning.

    Returns
    -------
    int
        Commands written.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    log = commands(trace, start, end)
    group, bank = np.divmod(log["bank"], trace.meta["group_banks"])
    header = ["clock", "command", *trace.meta["command_fields"], "count", "port"]
    columns = [
        log["tick"] // trace.dram_period,
        np.array(COMMANDS)[log["command"]],
        np.zeros(len(log), np.int64),
        log["channel"],
        group,
        bank,
        *(log[name] for name in ("row", "column", "count", "port")),
    ]
    write_table(path, header, columns)
    return len(log)


def export(
    trace: Trace, to: str, path: Path, kinds: Iterable[str] = (), start: int | None = None, end: int | None = None
) -> int:
    """Write a trace in another format.

    Parameters
    ----------
    trace : Trace
    to : str
        One of `FORMATS`.
    path : Path
        The file.
    kinds : iterable of str
        Kinds of units; empty = all.
    start, end : int, optional
        Window; core cycles.

    Returns
    -------
    int
        Packets, changes, unit-cycles, lines or commands written.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    if to == "commands":
        return write_command_trace(trace, path, start, end)
    writers = {"perfetto": write_perfetto, "fst": write_waves, "npy": write_arrays, "text": write_lines}
    return writers[to](trace, path, kinds, start, end)
