"""Which decode steps a model has, and the memory that one takes."""

from __future__ import annotations

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.limits import MAX_BATCH, count_faults, is_integer
from nmpsim.workload.model import Model
from nmpsim.workload.precision import BITS, FP16, PLAIN, Precision


def step_faults(model: Model, batch: object, context: object, layers: object, first_layer: object = 0) -> list[Fault]:
    """Faults of the size of a step: batch, context (tokens with the new one), layers and the first of them."""
    return [
        *count_faults("batch", batch, 1, MAX_BATCH, "give the number of sequences decoded together"),
        *count_faults(
            "context",
            context,
            1,
            model.max_positions,
            f"give the tokens of a sequence with the new one; {model.name} knows {model.max_positions} positions",
        ),
        *layer_faults(model, layers, first_layer),
    ]


def layer_faults(model: Model, layers: object, first_layer: object = 0) -> list[Fault]:
    """Faults of a number of layers and of the first of them."""
    faults = count_faults("first layer", first_layer, 0, model.layers - 1, f"name a layer of {model.name}")
    most = model.layers - first_layer if is_integer(first_layer) and not faults else model.layers
    todo = f"give how many of the first layers to run, or leave it out for all {model.layers} of {model.name}"
    return [*faults, *count_faults("layers", layers, 1, most, todo)]


def footprint_bytes(
    model: Model,
    batch: int,
    context: int,
    layers: int | None = None,
    first_layer: int = 0,
    precision: Precision = PLAIN,
) -> int:
    """Bytes of memory that a decode step keeps resident: all weights and the KV cache.

    Parameters
    ----------
    model : Model
        The model.
    batch : int
        Sequences.
    context : int
        Tokens of each sequence, the new one counted.
    layers : int, optional
        Number of layers; all from ``first_layer`` on by default.
    first_layer : int
        First of them.
    precision : Precision
        Formats of weights and KV cache.

    Returns
    -------
    int
        Weights of these layers with every expert, embedding table, final norm, LM head (unless tied), KV cache; bytes.

    Raises
    ------
    WorkloadError
        If batch, context or layers is out of range; all faults at once.
    """
    depth = model.layers - first_layer if layers is None else layers
    faults = step_faults(model, batch, context, depth, first_layer)
    if faults:
        raise WorkloadError(f"{model.name}: no such decode step", faults)
    cache = batch * context * depth * model.kv_bytes_per_token * BITS[precision.kv] // BITS[FP16]
    weights = sum(
        precision.tensor_bytes(tensor.name, tensor.rows, tensor.columns, tensor.copies, tensor.bytes) * number
        for layer, number in model.alike(first_layer, depth).items()
        for tensor in model.tensors_of(layer)
    )
    return weights + model.outer_weight_bytes + cache
