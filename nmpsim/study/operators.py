"""What a point of the validation bench computes: every operator of a decode step with its shape and its cycles."""

from __future__ import annotations

from typing import Any

from nmpsim.api import run_job
from nmpsim.study.tasks import job_of
from nmpsim.workload import Model
from nmpsim.workload.operators import Operator

OPERATORS = "nmpsim.study.operators:operators"

SHAPE = (
    "m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "value_dim", "context", "weight_bits", "kv_bits",
)  # fmt: skip
"""Fields of an operator of the graph that say how large it is."""


def work_of(operator: Operator) -> dict[str, Any]:
    """Return name, kind, layer, sizes and work of an operator; bytes as the graph asks for them, each once.

    Parameters
    ----------
    operator : Operator
    """
    weights = operator.weight_bytes + operator.scale_bytes + operator.gain_bytes
    return {
        "name": operator.name,
        "kind": str(operator.kind),
        "layer": operator.layer,
        **{field: getattr(operator, field) for field in SHAPE},
        "macs": operator.macs,
        "read_bytes": weights + operator.embedding_bytes + operator.kv_read_bytes,
        "write_bytes": operator.kv_write_bytes,
        "vector_elements": operator.vector_elements,
    }


def operators(settings: dict[str, Any]) -> dict[str, Any]:
    """Simulate one decode step and return its operators.

    Parameters
    ----------
    settings : dict
        As for `nmpsim.study.tasks.step`.

    Returns
    -------
    dict
        ``cycles`` of the step, ``stacks``, and ``operators``: a table each of shape, work (bytes as the graph asks for
        them), ``repeat`` (operators of the whole model that it stands for), ``cycles``, ``start``, ``end``, ``bounds``
        and ``array_cycles`` as in `nmpsim.measure.run.OperatorRun`.

    Raises
    ------
    NmpsimError
        If the step is refused.
    """
    job = job_of(settings)
    run = run_job(job)
    repeats = _repeats(job.model, job.graph.layer_numbers)
    rows = []
    for operator, ran in zip(job.graph.operators, run.operators, strict=True):
        rows.append(
            {
                **work_of(operator),
                "repeat": repeats.get(operator.layer, 1.0),
                "cycles": ran.cycles,
                "start": ran.start,
                "end": ran.end,
                "bounds": ran.bounds,
                "array_cycles": ran.array_cycles,
            }
        )
    return {"cycles": run.cycles, "stacks": job.params.stacks, "operators": rows}


def _repeats(model: Model, simulated: range) -> dict[int, float]:
    """Return how many layers of the model each simulated one stands for: those with experts, or those without."""
    alike = {layer: model.has_experts(layer) for layer in range(model.layers)}
    found = {}
    for layer in simulated:
        own = sum(alike[other] == alike[layer] for other in simulated)
        found[layer] = sum(kind == alike[layer] for kind in alike.values()) / own
    return found
