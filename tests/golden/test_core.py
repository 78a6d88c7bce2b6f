"""Every recorded product on a fixed array: cycles and utilisation, at PE level and in wavefront mode."""

from pathlib import Path

import pytest

from nmpsim.conformance.compute_rows import read_rows
from nmpsim.conformance.core import compare_row

FOLDER = Path(__file__).parent / "npu"
COMPUTE = read_rows([FOLDER / "scalesim_compute.csv"])


def test_all_rows_are_read():
    assert len(COMPUTE) == 216
    assert {row.flow for row in COMPUTE} == {0, 1, 2}
    assert all(row.mapping is not None and row.utilisation is not None for row in COMPUTE)
    assert not any(row.by_formula for row in COMPUTE)


def test_every_row_is_as_recorded():
    assert [outcome.line() for outcome in map(compare_row, COMPUTE) if outcome.differences] == []


def test_runs_with_stalls_have_the_recorded_compute_cycles():
    rows = read_rows([FOLDER / "scalesim_stall.csv"])
    assert len(rows) == 36
    assert all(row.utilisation is None for row in rows)
    assert [outcome.line() for outcome in map(compare_row, rows) if outcome.differences] == []


@pytest.mark.slow
def test_whole_projections_that_the_recorded_program_could_not_finish():
    rows = read_rows([FOLDER / "scalesim_full_shapes.csv"])
    assert [row.by_formula for row in rows].count(True) == 5
    assert [outcome.line() for outcome in map(compare_row, rows) if outcome.differences] == []
