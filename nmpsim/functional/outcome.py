"""Results of a decode step, as the reference names them, from a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, IllegalScheduleError
from nmpsim.functional.image import written_pieces
from nmpsim.functional.interpreter import FunctionalResult, pairs
from nmpsim.functional.memory import FP16, FP32
from nmpsim.functional.operations import add_planes
from nmpsim.program.isa import V_ARGMAX
from nmpsim.program.program import BeatImage
from nmpsim.workload import Model


def machine_step(
    result: FunctionalResult, model: Model, batch: int, layers: int, tokens: str = "tokens", first_layer: int = 0
) -> dict[str, NDArray[Any]]:
    """Collect what `compare_step` takes: appended keys and values, logits, tokens.

    Parameters
    ----------
    result : FunctionalResult
        Of a run with ``record``.
    model : Model
        Dimensions.
    batch, layers : int
        Of the step.
    tokens : str
        Name of the program's result with (value, index) of the best logits.
    first_layer : int
        First of the layers.

    Returns
    -------
    dict of ndarray
        ``layerL.new_k``, ``layerL.new_v`` (B, G, columns) from the DRAM at the end,
        ``layerL.cached_k``, ``layerL.cached_v`` instead if the cache is narrow,
        ``lm_head`` (B, V) from the operands of
        the argmax instructions, ``sampling`` (B,) from the buffer at the end.

    Raises
    ------
    IllegalScheduleError
        If the program has not computed or stored one of these, or not once.
    """
    found: dict[str, NDArray[Any]] = {"sampling": pairs(result.results[tokens])[1]}
    times: dict[str, NDArray[np.int64]] = {}
    narrow = any(isinstance(image, BeatImage) and image.code for image in result.program.images)
    stem = "cached" if narrow else "new"
    kind = FP16 if result.half == FP16 else FP32  # NumPy has no BF16
    for part, columns in (("k", model.key_dim), ("v", model.value_dim)):
        shape = (batch, model.kv_heads, columns)
        for layer in range(first_layer, first_layer + layers):
            name = f"layer{layer}.{stem}_{part}"
            found[name], times[name] = np.zeros(shape, kind), np.zeros(shape, np.int64)
    for image, values in written_pieces(result.program, result.dram, result.half):
        _, number, part, b, g = image.tensor.split(".")
        name, where = f"layer{number}.{stem}_{part}", (int(b), int(g), slice(image.start, image.start + image.length))
        found[name][where] = values
        times[name][where] += 1
    logits, seen = np.zeros((batch, model.vocab)), np.zeros((batch, model.vocab), np.int64)
    for execution in result.executions:
        if execution.ins.op == V_ARGMAX:
            span = slice(execution.ins.imm, execution.ins.imm + execution.ins.n)
            logits[:, span] = add_planes(execution.inputs["planes"])
            seen[:, span] += 1
    found["lm_head"], times["lm_head"] = logits, seen
    faults = []
    for name, counts in times.items():
        if (counts != 1).any():
            place = tuple(int(i) for i in np.argwhere(counts != 1)[0])
            todo = "correct the encoder or its images"
            faults.append(Fault(f"{name}, element {place}", f"{counts[place]} times", "computed once", todo))
    if faults:
        raise IllegalScheduleError("the program does not compute the step", faults)
    return found
