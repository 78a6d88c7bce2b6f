"""Arrow tables and plots of a run."""

import pytest
from pyarrow import parquet

from nmpsim.errors import NmpsimError
from nmpsim.report.result import result_of
from nmpsim.report.tables import operator_table, write_parquet
from tests.unit.report.small import run_of


def test_the_operator_table_is_the_result_row_by_row(tmp_path):
    run = run_of()
    write_parquet(operator_table(run), tmp_path / "operators.parquet")
    rows = parquet.read_table(tmp_path / "operators.parquet").to_pylist()
    expected = result_of(run)["operators"]
    assert len(rows) == len(expected) == len(run.operators)
    for row, operator in zip(rows, expected, strict=True):
        bounds, array = operator.pop("bounds"), operator.pop("array_cycles")
        assert {key: row[key] for key in operator} == operator
        assert {key: row[f"bound_{key}"] for key in bounds} == bounds
        assert {k.removeprefix("array_"): v for k, v in row.items() if k.startswith("array_") and v} == array


def test_the_tables_of_a_run_are_its_figures():
    run = run_of(trace="full")
    assert run.tables.operators().num_rows == len(run.operators)
    stalls = {}
    for row in run.tables.stalls().to_pylist():
        stalls.setdefault(row["unit"], {})[row["reason"]] = row["cycles"]
    assert stalls == run.stalls
    rows = run.tables.intervals(("array", "vector")).to_pylist()
    total = sum(r["end"] - r["start"] for r in rows if r["unit"] == "vector" and r["reason"] == "busy")
    assert total == run.stalls["vector"]["busy"]
    assert {r["kind"] for r in rows} == {"array", "vector"}
    assert {r["operator"] for r in rows} <= {o.name for o in run.operators} | {None}


@pytest.mark.parametrize("name", ["timeline", "units", "stalls", "roofline", "bounds"])
def test_every_plot_draws(name, tmp_path):
    run = run_of(trace="coarse")
    figure = getattr(run.plot, name)()
    figure.savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert figure.axes[0].has_data()


def test_what_was_not_recorded_is_not_plotted():
    with pytest.raises(NmpsimError, match="nothing was recorded"):
        run_of().plot.units()
