"""Parquet files: one row per operator, and the intervals in which operators and units were at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from nmpsim.measure.run import Run
from nmpsim.report.result import operator_of

OPERATOR_SPAN = "span"
"""What stands in the column ``unit`` of the row that holds the span of an operator."""

INTERVALS = pa.schema(
    [
        ("unit", pa.string()),
        ("pu", pa.int64()),
        ("reason", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("layer", pa.int64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
    ],
    metadata={"start": "core cycle", "end": "core cycle, the first one after the interval"},
)


def operator_table(run: Run) -> Any:
    """Return one row per operator, in the order of the graph, with the columns of ``result.json``.

    Bounds and array cycles become columns ``bound_dram``, ``array_busy`` and so on.
    """
    reasons = sorted({reason for operator in run.operators for reason in operator.array_cycles})
    rows = []
    for operator in run.operators:
        row = operator_of(run, operator)
        row |= {f"bound_{name}": cycles for name, cycles in row.pop("bounds").items()}
        array = row.pop("array_cycles")
        row |= {f"array_{reason}": array.get(reason, 0) for reason in reasons}
        rows.append(row)
    types = [(name, _type(name)) for name in rows[0]]
    return pa.Table.from_pylist(rows, schema=pa.schema(types))


def _type(column: str) -> Any:
    if column in {"name", "kind", "plan", "bound_by"}:
        return pa.string()
    return pa.float64() if column.startswith("bound_") or column.endswith("utilisation") else pa.int64()


def interval_table(run: Run) -> Any:
    """Return the spans of all operators (``unit`` is ``span``), then the intervals of the units if recorded.

    A span has no PU and no reason; a unit that worked on no operator has no name, kind and layer.
    """
    operators = {operator.name: operator for operator in run.operators}
    rows: list[tuple[object, ...]] = [
        (OPERATOR_SPAN, None, None, o.name, o.kind, o.layer, o.start, o.end) for o in run.operators if o.start >= 0
    ]
    for interval in run.intervals:
        owner = operators.get(interval.operator)
        told = (owner.name, owner.kind, owner.layer) if owner else (None, None, None)
        rows.append((interval.unit, interval.pu, interval.reason, *told, interval.start, interval.end))
    columns = zip(*rows, strict=True) if rows else ([] for _ in INTERVALS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, INTERVALS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=INTERVALS)


def write_parquet(table: Any, path: Path) -> None:
    """Write a table.

    Parameters
    ----------
    table : pyarrow.Table
    path : Path
        The file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    parquet.write_table(table, path)
