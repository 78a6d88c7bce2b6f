"""``result.json``: a run as numbers, described by a JSON Schema that ships with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nmpsim.measure.run import OperatorRun, Run
from nmpsim.report.figures import check_sum, dram_utilisation, mac_utilisation

FORMAT = "nmpsim-result-1"
"""Name and version of the format; stands in each file, so that a result is known as one."""

SCHEMA_FILE = Path(__file__).parent / "schema" / "result.schema.json"


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a result."""
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def result_of(run: Run) -> dict[str, Any]:
    """Return a run as the tree of a ``result.json``.

    All but ``speed`` is the same for the same input, whenever and wherever it is simulated.

    Raises
    ------
    InternalError
        If the cycles of the operators do not add up to those of the run.
    """
    check_sum(run)
    return {
        "format": FORMAT,
        "cycles": run.cycles,
        "clock_GHz": run.clock_GHz,
        "seconds_per_token": run.seconds,
        "tokens_per_second": int(run.provenance["options"]["batch"]) / run.seconds,
        "bounds": dict(run.bounds),
        "mac_utilisation": mac_utilisation(run, sum(o.macs for o in run.operators), run.cycles),
        "dram_utilisation": dram_utilisation(run, sum(o.read_bytes + o.write_bytes for o in run.operators), run.cycles),
        "operators": [operator_of(run, operator) for operator in run.operators],
        "stalls": {unit: dict(reasons) for unit, reasons in run.stalls.items()},
        "counts": dict(run.counts),
        "network": {level: [dict(row) for row in rows] for level, rows in run.network.items()},
        "energy_J": energy_of(run),
        "peaks": dict(run.peaks),
        "speed": dict(run.speed),
        "provenance": run.provenance,
        "rounding": list(run.notes),
    }


def energy_of(run: Run) -> dict[str, Any]:
    """Return the energy of a result: of the step, per token, and of the step by component; J.

    Parameters
    ----------
    run : Run
    """
    step = sum(run.energy_J.values())
    batch = int(run.provenance["options"]["batch"])
    return {"step": step, "per_token": step / batch, "components": dict(run.energy_J)}


def operator_of(run: Run, operator: OperatorRun) -> dict[str, Any]:
    """Return one operator of a result.

    Parameters
    ----------
    run : Run
        Where peaks and clock come from.
    operator : OperatorRun
    """
    moved = operator.read_bytes + operator.write_bytes
    span = operator.end - operator.start
    return {
        "name": operator.name,
        "kind": operator.kind,
        "layer": operator.layer,
        "plan": operator.plan,
        "cycles": operator.cycles,
        "start": operator.start,
        "end": operator.end,
        "bound_by": operator.bound_by,
        "mac_utilisation": mac_utilisation(run, operator.macs, operator.cycles),
        "dram_utilisation": dram_utilisation(run, moved, operator.cycles),
        "span_mac_utilisation": mac_utilisation(run, operator.macs, span),
        "span_dram_utilisation": dram_utilisation(run, moved, span),
        "macs": operator.macs,
        "read_bytes": operator.read_bytes,
        "write_bytes": operator.write_bytes,
        "flits": operator.flits,
        "vector_elements": operator.vector_elements,
        "bounds": dict(operator.bounds),
        "array_cycles": dict(operator.array_cycles),
    }


def to_json(result: dict[str, Any]) -> str:
    """Return a result as text: keys sorted, one per line, the same bytes for the same tree."""
    return json.dumps(result, sort_keys=True, indent=1, allow_nan=False) + "\n"
