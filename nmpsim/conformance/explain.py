"""What lies between the compatibility timing ``scale_sim`` and the native one on the same fixed array, by name.

The native array is one strip of R x C PEs whose edges never limit it.  Every fold is run alone, then all together;
the differences that are named are counted, and what the two leave between them must be nothing.
"""

from __future__ import annotations

from functools import cache

from nmpsim.conformance.compute_rows import ComputeRow
from nmpsim.conformance.core import operands
from nmpsim.core.pe.run import ArrayPass, run_passes
from nmpsim.core.pe.scale_sim import run_wavefront
from nmpsim.program.isa import CHAIN, IS, OS, WS
from nmpsim.spec import load_chip, resolve
from nmpsim.spec.params import CoreParams

LAST_CYCLE = "last cycle"
ORIENTATION = "orientation of IS"
EDGE_REGISTER = "edge register"
DRAIN = "drain"
USED_ROWS = "used rows"
STRETCH = "stretched folds"
OVERLAP = "overlap of folds"
UNNAMED = "without a name"

NAMES = {
    LAST_CYCLE: "scale_sim gives the number of the last cycle, counted from 0; native counts the cycles that pass",
    ORIENTATION: "IS: scale_sim keeps A with k along the rows and m along the columns, native m along the rows and"
    " k along the columns (B streams as banks deliver it); the number of folds differs",
    EDGE_REGISTER: "native takes an operand into a register at the edge, a cycle before the first PE works on it",
    DRAIN: "native writes results: OS a row of a fold in a cycle, WS and IS one more cycle for the last sums;"
    " scale_sim drops them",
    USED_ROWS: "WS, IS: native loads only the rows of the stationary operand that exist, scale_sim always R",
    STRETCH: "IS: native stretches a fold to m steps if the A of another one loads meanwhile",
    OVERLAP: "native streams a fold while the one before drains (second accumulator set) and while the next stationary"
    " operand loads (shadow registers); scale_sim begins when all is over",
}
"""Every difference on one fixed array with operands in time and edges that are wide enough."""

BEYOND = {
    "strips": "native chains strips to other logical shapes, or splits them (fission); scale_sim has one array",
    "parallel load": "native loads the stationary operand of all strips at once, r beats; on one strip that is R",
    "edge bandwidth": "native takes as many cycles per step as the ports of the buffer need",
    "lock step": "native holds the whole array while a beat is late; scale_sim's stalls come from an invented prefetch",
    "reconfiguration": "native drains and pays for a change of shape or flow",
}
"""Differences that do not show there."""


def fixed_core(rows: int, columns: int) -> CoreParams:
    """Return a core with one strip of the given size and edges that never limit it; the rest is that of `snake`.

    Parameters
    ----------
    rows, columns : int
    """
    core = resolve(load_chip("snake")).core
    return core._replace(strips=1, strip_rows=rows, columns=columns, buffer_banks=1, bank_bytes=2**40, pe_latency=0)


def _passes(row: ComputeRow) -> list[ArrayPass]:
    """Return the product as passes of a fixed array: as few as can be."""
    a, b = operands(row)
    height = row.m if row.flow == WS else row.rows
    return [ArrayPass(row.flow, 1, CHAIN, a[first : first + height], b) for first in range(0, row.m, height)]


def _folds(row: ComputeRow) -> list[tuple[int, int, int]]:
    """Return (m, n, k) of every fold as a product of its own."""

    def pieces(extent: int, width: int) -> list[int]:
        return [min(width, extent - first) for first in range(0, extent, width)]

    high, wide = row.rows, row.columns
    if row.flow == OS:
        return [(m, n, row.k) for m in pieces(row.m, high) for n in pieces(row.n, wide)]
    if row.flow == WS:
        return [(row.m, n, k) for n in pieces(row.n, wide) for k in pieces(row.k, high)]
    return [(m, row.n, k) for m in pieces(row.m, high) for k in pieces(row.k, wide)]


def native_terms(row: ComputeRow) -> list[tuple[str, int]]:
    """Return what leads from the total of ``scale_sim`` to the native cycles of a product.

    Parameters
    ----------
    row : ComputeRow

    Returns
    -------
    list of (str, int)
        ``scale_sim``, the terms of `NAMES` that are not 0, what is `UNNAMED` if anything is, and ``native``; the last
        one is the sum of all others.
    """
    core = fixed_core(row.rows, row.columns)
    folds = _folds(row)

    @cache
    def alone(m: int, n: int, k: int) -> int:
        a, b = operands(ComputeRow("", row.flow, m, n, k, 1, 1, 0, False, None, None, None))
        return run_passes(core, [ArrayPass(row.flow, 1, CHAIN, a, b)]).cycles

    total = run_wavefront(row.rows, row.columns, row.flow, row.m, row.n, row.k).total
    turned = total
    if row.flow == IS:  # rows and columns of the stationary operand change places
        turned = run_wavefront(row.rows, row.columns, row.flow, row.k, row.n, row.m).total
    apart = sum(alone(*fold) for fold in folds)
    together = run_passes(core, _passes(row)).cycles
    kept = {OS: 0, WS: 2, IS: 0}[row.flow]  # the extent along the rows that hold a stationary operand
    terms = {
        LAST_CYCLE: 1,
        ORIENTATION: turned - total,
        EDGE_REGISTER: len(folds),
        DRAIN: sum(fold[0] for fold in folds) if row.flow == OS else len(folds),
        USED_ROWS: 0 if row.flow == OS else sum(fold[kept] - row.rows for fold in folds),
    }
    terms[UNNAMED] = apart - total - sum(terms.values())
    several = row.flow == IS and row.k > row.columns
    terms[STRETCH] = sum(max(fold[0] - row.n, 0) for fold in folds) if several else 0
    terms[OVERLAP] = together - apart - terms[STRETCH]
    shown = [(name, value) for name, value in terms.items() if value]
    return [("scale_sim", total), *shown, ("native", together)]


def explanation() -> list[str]:
    """Return every difference by name, one per line."""
    return [
        "Differences of the native timing from scale_sim, on one fixed array:",
        *(f"  {name}: {text}" for name, text in NAMES.items()),
        "and in other cases:",
        *(f"  {name}: {text}" for name, text in BEYOND.items()),
    ]


def terms_line(terms: list[tuple[str, int]]) -> str:
    """Return the terms of a row as one line for a person.

    Parameters
    ----------
    terms : list of (str, int)
        As `native_terms` returns them.
    """
    (_, total), *between, (_, native) = terms
    steps = "".join(f" {'+' if value > 0 else '-'} {abs(value)} {name}" for name, value in between)
    return f"  native {native} = {total}{steps}"
