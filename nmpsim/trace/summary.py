"""What a page can show of a trace of any length: units over a fixed number of time bins, banks as totals."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.spec.params import RD, REF, WR
from nmpsim.trace.reader import Trace
from nmpsim.trace.units import FAMILIES, first_reason

BINS = 2048
"""Time bins: more than a screen is wide, few enough for all units of a die in about a megabyte."""

WORK = {"busy", "active", "transfer", "column"}
"""Reasons of a unit that works."""

LANES = ("array", "vector", "move", "send", "copy", "sequencer")
"""Kinds of units that are shown over time."""


def _text(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _time_in_bins(start: NDArray[np.int64], end: NDArray[np.int64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of each bin is covered by intervals that are sorted and do not overlap; ticks."""
    if len(start) == 0:
        return np.zeros(len(edges) - 1)
    marks = np.stack([start, end], axis=1).ravel().astype(np.float64)
    covered = np.cumsum(end - start).astype(np.float64)
    heights = np.stack([np.concatenate([[0.0], covered[:-1]]), covered], axis=1).ravel()
    return np.diff(np.interp(edges, marks, heights))


def summarise(trace: Trace, bins: int = BINS) -> dict[str, Any]:
    """Return the figures of a trace that a page shows.

    Parameters
    ----------
    trace : Trace
    bins : int
        Time bins over the recorded window.

    Returns
    -------
    dict
        ``window`` (core cycles), ``bins``, ``reasons``; ``units``: per unit ``pu``, ``kind``, ``name``, ``share`` of
        time at work, and for units shown over time ``reason`` and ``work`` per bin (bytes in base64: reason that
        takes the largest part, 255 for none; work in 255ths); ``banks``: per PU and bank ``transfer`` (share of
        time), ``ACT``, ``columns``, ``hits``.
    """
    low, high = trace.window()
    edges = np.linspace(low, high, bins + 1)
    width = max((high - low) / bins, 1e-9)
    rows = trace.intervals()
    starts = np.searchsorted(rows["unit"], [unit.number for unit in trace.recorded], side="left")
    ends = np.searchsorted(rows["unit"], [unit.number for unit in trace.recorded], side="right")
    units = []
    for unit, first, last in zip(trace.recorded, starts.tolist(), ends.tolist(), strict=True):
        own = rows[first:last]
        if len(own) == 0:
            continue
        base = first_reason(unit.family)
        working = [base + i for i, name in enumerate(FAMILIES[unit.family]) if name in WORK]
        length = own["end"] - own["start"]
        share = float(length[np.isin(own["reason"], working)].sum()) / max(high - low, 1)
        told: dict[str, Any] = {"pu": unit.pu, "kind": unit.kind, "name": unit.name, "share": round(share, 5)}
        if unit.kind in LANES:
            times = np.stack(
                [
                    _time_in_bins(own["start"][own["reason"] == r], own["end"][own["reason"] == r], edges)
                    for r in range(base, base + len(FAMILIES[unit.family]))
                ]
            )
            told["reason"] = _text(np.where(times.max(axis=0) > 0, times.argmax(axis=0), 255).astype(np.uint8))
            work = times[[r - base for r in working]].sum(axis=0) / width
            told["work"] = _text(np.clip(np.rint(work * 255), 0, 255).astype(np.uint8))
        units.append(told)
    return {
        "window": [low // trace.core_period, high // trace.core_period],
        "bins": bins,
        "reasons": list(FAMILIES["core"]),
        "units": units,
        "banks": _banks(trace, units),
    }


def _banks(trace: Trace, units: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals of every bank; empty without commands."""
    access = trace.accesses()
    if len(access["pu"]) == 0:
        return {}
    banks = 1 + max((unit.row for unit in trace.units if unit.kind == "bank"), default=0)
    shape = (trace.meta["channels"], banks)
    place = (access["pu"], access["bank"])

    def total(values: NDArray[Any]) -> list[list[int]]:
        table = np.zeros(shape, np.int64)
        np.add.at(table, place, values)
        return table.tolist()  # type: ignore[no-any-return]

    moves = np.isin(access["command"], (RD, WR)) & (access["count"] > 0)
    share = np.zeros(shape)
    for unit in units:
        if unit["kind"] == "bank":
            share[unit["pu"], int(unit["name"].split()[-1])] = unit["share"]
    return {
        "transfer": share.tolist(),
        "ACT": total((access["act"] >= 0) & (access["command"] != REF)),
        "refreshes": total(access["command"] == REF),
        "columns": total(access["count"]),
        "reopened": total(moves & (access["act"] < 0)),
    }
