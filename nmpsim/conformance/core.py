"""Runs recorded products on fixed systolic arrays in the timing ``scale_sim``, twice, and compares.

Every row is stepped at PE level, with values that are compared with NumPy's, and in wavefront mode; no formula is used.

What of the recorded utilisations is compared, and why:

=================  ===================================================================================================
mapping_eff_pct    PEs with work, mean over the folds: always
overall_util_pct   products per PE and cycle of the total: stall-free runs only (stalls follow an invented prefetch)
compute_util_pct   OS only, where it is the same per cycle that passed; for WS and IS it counts R cycles a fold twice
=================  ===================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from nmpsim.conformance.compute_rows import FLOWS, ComputeRow
from nmpsim.core.pe.scale_sim import FixedRun, run_pe_level, run_wavefront

HALF_UNIT = Fraction(1, 2_000_000)
"""Half a unit of the sixth decimal, to which per cents are recorded."""

_NAMES = {flow: name for name, flow in FLOWS.items()}


@dataclass(frozen=True)
class CoreOutcome:
    """How one row went.

    Parameters
    ----------
    row : ComputeRow
    pe_level, wavefront : FixedRun
    differences : tuple of str
        Everything that is not as recorded; empty if all is equal.
    """

    row: ComputeRow
    pe_level: FixedRun
    wavefront: FixedRun
    differences: tuple[str, ...]

    @property
    def pe_cycles(self) -> int:
        """PEs times cycles that were stepped."""
        return (self.pe_level.total + 1) * self.row.rows * self.row.columns

    def line(self) -> str:
        """One line for a person."""
        row = self.row
        shape = f"{_NAMES[row.flow]} {row.m}x{row.n}x{row.k} on {row.rows}x{row.columns}"
        cycles = f"PE level {self.pe_level.total}, wavefront {self.wavefront.total}, file {row.cycles}"
        used = ", ".join(f"{name} {float(value):.6g} %" for name, value in per_cents(row, self.pe_level))
        source = " (closed form in the file: the recorded program did not finish)" if row.by_formula else ""
        verdict = f"DIFFERENT: {'; '.join(self.differences)}" if self.differences else "equal"
        return f"{row.where}: {shape}: {cycles}{source}; {used}: {verdict}"


def per_cents(row: ComputeRow, run: FixedRun) -> list[tuple[str, Fraction]]:
    """Return the utilisations of a run, by name; per cent, exact.

    Parameters
    ----------
    row : ComputeRow
    run : FixedRun
    """
    places = row.rows * row.columns
    return [
        ("mapping", Fraction(100 * run.mapped, run.folds * places)),
        ("utilisation", Fraction(100 * run.macs, max(1, run.total) * places)),
        ("busy", Fraction(100 * run.macs, (run.total + 1) * places)),
    ]


def operands(row: ComputeRow) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return operands of small values, the same ones on every run.

    Parameters
    ----------
    row : ComputeRow

    Returns
    -------
    tuple of ndarray of int8, shapes (M, K) and (K, N)
        From -4 to 4: sums over up to 2^20 products are exact in float32 (below 2^24).
    """
    generator = np.random.default_rng((row.m, row.n, row.k))
    a = generator.integers(-4, 5, (row.m, row.k), dtype=np.int8)
    return a, generator.integers(-4, 5, (row.k, row.n), dtype=np.int8)


def _wrong_sums(result: NDArray[np.int64], a: NDArray[np.int8], b: NDArray[np.int8]) -> int:
    """Count the sums that are not those of NumPy."""
    expected = a.astype(np.float32) @ b.astype(np.float32)
    return int(np.count_nonzero(expected != result))


def compare_row(row: ComputeRow) -> CoreOutcome:
    """Run a row at PE level and in wavefront mode, and compare.

    Parameters
    ----------
    row : ComputeRow
    """
    a, b = operands(row)
    fine = run_pe_level(row.rows, row.columns, row.flow, a, b)
    coarse = run_wavefront(row.rows, row.columns, row.flow, row.m, row.n, row.k)
    assert fine.result is not None
    found = []
    for name, run in (("PE level", fine), ("wavefront", coarse)):
        if run.total != row.cycles:
            found.append(f"{name} has {run.total} cycles, the file {row.cycles}")
        recorded: tuple[Decimal | None, ...] = (row.mapping, row.utilisation, row.busy)
        for (what, value), expected in zip(per_cents(row, run), recorded, strict=True):
            if expected is not None and abs(value - Fraction(expected)) > HALF_UNIT:
                found.append(f"{name}: {what} {float(value):.6f} %, the file {expected} %")
    wrong = _wrong_sums(fine.result, a, b)
    if wrong:
        found.append(f"PE level: {wrong} sums differ from NumPy's")
    if fine.macs != row.m * row.n * row.k:
        found.append(f"PE level: {fine.macs} products, of {row.m * row.n * row.k}")
    return CoreOutcome(row, fine, coarse, tuple(found))
