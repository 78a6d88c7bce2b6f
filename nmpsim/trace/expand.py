"""Intervals back to cycles, row accesses back to commands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.spec.params import ACT, PRE, RD, REF, WR
from nmpsim.trace.reader import Trace
from nmpsim.trace.units import Unit

COMMAND = np.dtype([(name, "i8") for name in ("tick", "channel", "bank", "command", "row", "column", "count", "port")])
"""One command, as in the log of the channels (nmpsim/dram/native/state.py)."""


def expand(trace: Trace, unit: Unit, start: int | None = None, end: int | None = None) -> dict[str, NDArray[np.int64]]:
    """Return what a unit did in every cycle of its own clock.

    Parameters
    ----------
    trace : Trace
    unit : Unit
    start, end : int, optional
        Window; core cycles.

    Returns
    -------
    dict of str to ndarray of int64, shape (cycles,)
        ``reason``, ``operator`` and ``value`` in each cycle whose edge lies in the window, and ``tick`` of that edge.
    """
    rows = trace.intervals([unit], start, end)
    low, high = trace.window(start, end)
    edges = np.arange(-(-low // unit.period), -(-high // unit.period), dtype=np.int64) * unit.period
    found = np.searchsorted(rows["start"], edges, side="right") - 1
    inside = found >= 0
    inside[inside] = rows["end"][found[inside]] > edges[inside]
    edges, found = edges[inside], found[inside]
    return {"tick": edges} | {name: rows[name][found] for name in ("reason", "operator", "value")}


def commands(trace: Trace, start: int | None = None, end: int | None = None) -> NDArray[np.void]:
    """Return the DRAM commands of a window, sorted by (tick, channel, bank).

    Parameters
    ----------
    trace : Trace
    start, end : int, optional
        Window; core cycles.

    Returns
    -------
    ndarray, shape (commands,)
        Fields of `COMMAND`.
    """
    access = trace.accesses()
    is_refresh = access["command"] == REF
    parts = [
        _commands(access, np.flatnonzero((access["act"] >= 0) & ~is_refresh), ACT, "act", "columns"),
        _commands(access, np.flatnonzero(access["pre"] >= 0), PRE, "pre", None),
        _commands(access, np.flatnonzero(is_refresh), REF, "act", None),
    ]
    index = np.repeat(np.arange(len(access["count"])), access["count"])
    nth = np.arange(len(index)) - np.repeat(np.cumsum(access["count"]) - access["count"], access["count"])
    moved = np.zeros(len(index), COMMAND)
    moved["tick"] = access["first"][index] + nth * access["step"][index]
    moved["channel"], moved["bank"], moved["row"] = (access[name][index] for name in ("pu", "bank", "row"))
    moved["command"] = np.where(access["command"] == WR, WR, RD)[index]
    moved["column"], moved["count"], moved["port"] = access["column"][index] + nth, 1, access["port"][index]
    every = np.concatenate([*parts, moved])
    low, high = trace.window(start, end)
    every = every[(every["tick"] >= low) & (every["tick"] < high)]
    return every[np.lexsort((every["bank"], every["channel"], every["tick"]))]


def _commands(
    access: dict[str, NDArray[Any]], index: NDArray[np.int64], command: int, at: str, count: str | None
) -> NDArray[np.void]:
    made = np.zeros(len(index), COMMAND)
    made["tick"] = access[at][index]
    made["channel"], made["bank"], made["row"] = (access[name][index] for name in ("pu", "bank", "row"))
    made["command"], made["column"], made["port"] = command, -1, -1
    if count is not None:
        made["column"], made["count"] = access["column"][index], access[count][index]
    return made
