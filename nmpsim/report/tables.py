"""Results as Arrow tables, ready for pandas and Polars; and the Parquet file of the operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute, parquet

from nmpsim.errors import Fault, NmpsimError
from nmpsim.measure.run import Run
from nmpsim.report.result import operator_of


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


def need_trace(trace: Any) -> Any:
    """Return a trace, or say how to get one.

    Parameters
    ----------
    trace : nmpsim.trace.Trace or None

    Raises
    ------
    NmpsimError
        If nothing was recorded.
    """
    if trace is None:
        fault = Fault("trace", "none", "coarse or full", 'simulate with trace="coarse" or trace="full"')
        raise NmpsimError("nothing was recorded", [fault])
    return trace


class Tables:
    """Arrow tables of a run.

    Parameters
    ----------
    run : Run
    trace : nmpsim.trace.Trace or None
    """

    def __init__(self, run: Run, trace: Any) -> None:
        self._run, self._trace = run, trace

    def operators(self) -> Any:
        """Return one row per operator; see `operator_table`."""
        return operator_table(self._run)

    def stalls(self) -> Any:
        """Return one row per kind of unit and reason: ``unit``, ``reason``, ``cycles`` of the unit's own clock."""
        rows = [(u, r, c) for u, reasons in self._run.stalls.items() for r, c in reasons.items()]
        columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
        return pa.table({"unit": columns[0], "reason": columns[1], "cycles": pa.array(columns[2], pa.int64())})

    def intervals(self, kinds: tuple[str, ...] = (), start: int | None = None, end: int | None = None) -> Any:
        """Return the recorded intervals with their names.

        Parameters
        ----------
        kinds : tuple of str
            Kinds of units; empty = all.
        start, end : int, optional
            Window; core cycles.

        Returns
        -------
        pyarrow.Table
            ``pu``, ``unit``, ``kind``, ``reason``, ``operator`` (null without), ``value``, ``start``, ``end``; core
            cycles, with fractions where a unit has another clock.

        Raises
        ------
        NmpsimError
            If nothing was recorded.
        """
        trace = need_trace(self._trace)
        rows = trace.intervals(trace.choose(kinds), start, end)
        number = rows["unit"]
        period = trace.core_period
        operator = compute.take(
            pa.array([*trace.operators, None], pa.string()), pa.array(rows["operator"] % (len(trace.operators) + 1))
        )
        return pa.table(
            {
                "pu": compute.take(pa.array([u.pu for u in trace.units]), pa.array(number)),
                "unit": compute.take(pa.array([u.name for u in trace.units]), pa.array(number)),
                "kind": compute.take(pa.array([u.kind for u in trace.units]), pa.array(number)),
                "reason": compute.take(pa.array(trace.reasons), pa.array(rows["reason"])),
                "operator": operator,
                "value": rows["value"],
                "start": rows["start"] / period,
                "end": rows["end"] / period,
            }
        )
