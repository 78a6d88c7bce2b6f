"""The Parquet files say what the run says."""

from pyarrow import parquet

from nmpsim.report.intervals import OPERATOR_SPAN, interval_table, operator_table, write_parquet
from nmpsim.report.result import result_of
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


def test_every_operator_has_its_span(tmp_path):
    run = run_of()
    write_parquet(interval_table(run), tmp_path / "intervals.parquet")
    rows = parquet.read_table(tmp_path / "intervals.parquet").to_pylist()
    told = [(r["unit"], r["pu"], r["name"], r["kind"], r["layer"], r["start"], r["end"]) for r in rows]
    assert told == [(OPERATOR_SPAN, None, o.name, o.kind, o.layer, o.start, o.end) for o in run.operators]
    assert max(row["end"] for row in rows) == run.cycles


def test_recorded_units_follow_the_spans_with_their_reason_and_operator():
    run = run_of(trace="units")
    assert run.intervals
    rows = interval_table(run).to_pylist()
    spans, units = rows[: len(run.operators)], rows[len(run.operators) :]
    assert {row["unit"] for row in spans} == {OPERATOR_SPAN}
    assert len(units) == len(run.intervals)
    kinds = {o.name: (o.kind, o.layer) for o in run.operators}
    for row, interval in zip(units, run.intervals, strict=True):
        assert (row["pu"], row["unit"], row["reason"]) == (interval.pu, interval.unit, interval.reason)
        assert (row["start"], row["end"]) == (interval.start, interval.end)
        assert (row["kind"], row["layer"]) == kinds.get(interval.operator, (None, None))
        assert (row["name"] or "") == interval.operator
