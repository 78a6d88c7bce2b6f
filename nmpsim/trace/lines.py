"""One line of text per core cycle: a letter per unit, PU by PU, from left to right as the table of units lists them.

    cycle   pu0 array vector move ... banks   pu1 ...
        120 |#|#|l|e|e|Q|  |##.#......|       |#|...

``#`` works, blank has nothing to do, any other letter is the reason of a stall; the legend stands on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from nmpsim.dram.trace.writing import whole_file
from nmpsim.trace.expand import expand
from nmpsim.trace.reader import Trace
from nmpsim.trace.units import FAMILIES, Unit, first_reason


def _groups(units: list[Unit]) -> list[list[Unit]]:
    """Units side by side: one of a kind and PU after the other."""
    groups: list[list[Unit]] = []
    for unit in units:
        if groups and (groups[-1][0].pu, groups[-1][0].kind) == (unit.pu, unit.kind):
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def legend(trace: Trace) -> Iterator[str]:
    """Yield what the letters of a trace mean, a line for each family of units."""
    letters = trace.meta["letters"]
    for family in dict.fromkeys(unit.family for unit in trace.recorded):
        first = first_reason(family)
        words = [f"{letters[i]!r} {trace.reasons[i]}" for i in range(first, first + len(FAMILIES[family]))]
        yield f"# {family}: {', '.join(words)}"


def cycle_lines(
    trace: Trace, kinds: Iterable[str] = (), start: int | None = None, end: int | None = None
) -> Iterator[str]:
    """Yield a legend, the names of the columns, and one line per core cycle.

    Parameters
    ----------
    trace : Trace
    kinds : iterable of str
        Kinds of units; empty = all.
    start, end : int, optional
        Window; core cycles.
    """
    units = trace.choose(kinds)
    groups = _groups(units)
    yield from legend(trace)
    low, high = trace.window(start, end)
    period = trace.core_period
    ticks = np.arange(low, high, period)
    letters = np.array([ord(letter) for letter in trace.meta["letters"]], np.uint8)
    page = np.full((len(ticks), len(units)), ord(" "), np.uint8)
    heads = [f"{g[0].name}{'..' + g[-1].name.split()[-1] if len(g) > 1 else ''}" for g in groups]
    for column, unit in enumerate(units):
        seen = expand(trace, unit, start, end)
        if len(seen["tick"]) == 0:
            continue
        found = np.searchsorted(seen["tick"], ticks, side="right") - 1
        page[found >= 0, column] = letters[seen["reason"][found[found >= 0]]]
    yield "# columns: " + " | ".join(f"pu{g[0].pu} {head}" for g, head in zip(groups, heads, strict=True))
    edges = np.cumsum([len(group) for group in groups], dtype=np.int64)[:-1]
    for tick, line in zip(ticks.tolist(), page, strict=True):
        yield f"{tick // period:8d} |" + "|".join(part.tobytes().decode() for part in np.split(line, edges)) + "|"


def write_lines(
    trace: Trace, path: Path, kinds: Iterable[str] = (), start: int | None = None, end: int | None = None
) -> int:
    """Write `cycle_lines` to a file.

    Parameters
    ----------
    trace : Trace
    path : Path
        Packed with gzip if it ends in ``.gz``.
    kinds, start, end
        As for `cycle_lines`.

    Returns
    -------
    int
        Lines written.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    count = 0
    with whole_file(path) as file:
        for line in cycle_lines(trace, kinds, start, end):
            file.write(line.encode() + b"\n")
            count += 1
    return count
