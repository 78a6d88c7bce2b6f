"""Several stacks in the interpreter: the tensors of each, and the results of all as those of one step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, IllegalScheduleError
from nmpsim.functional.image import Tensors, written_pieces
from nmpsim.functional.interpreter import FunctionalResult, pairs
from nmpsim.functional.memory import FP16, FP32
from nmpsim.functional.operations import add_planes
from nmpsim.program.isa import V_ARGMAX
from nmpsim.program.system import stack_tensor
from nmpsim.workload import ALL_HEADS, Model
from nmpsim.workload.shards import Shard, balanced_share

Arrays = dict[str, NDArray[Any]]


def shard_tensors(tensors: Tensors, shard: Shard) -> Arrays:
    """Tensors of one stack, cut from those of the whole model, named as there and counted from 0.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Of the whole step.
    shard : Shard
        Which part.
    """
    found: Arrays = {"zeros": np.zeros((1, shard.model.hidden), np.float32)}
    for name, values in tensors.items():
        own = _shard_of(name, values, shard)
        if own is not None:
            found[own[0]] = own[1]
    return found


def joined_tensors(tensors: Tensors, shards: list[Shard]) -> Arrays:
    """Tensors of all stacks, as the joined program of `nmpsim.program.system` names them."""
    return {
        stack_tensor(shard.stack, name): values
        for shard in shards
        for name, values in shard_tensors(tensors, shard).items()
    }


def _shard_of(name: str, values: NDArray[Any], shard: Shard) -> tuple[str, NDArray[Any]] | None:
    """Return name and part of a tensor in a stack, None if it has none of it."""
    whole, own, last = shard.whole, shard.model, name.rsplit(".", 1)[-1]
    words = name.split(".")
    if name == "lm_head":
        return name, values[:, shard.first_column : shard.first_column + shard.columns]
    if len(words) == 5 and words[2] in ("k", "v"):  # layers.L.k.sequence.head
        head = int(words[4]) - shard.first_kv_head
        if not 0 <= head < own.kv_heads:
            return None
        rows = values[shard.first_token : shard.first_token + shard.tokens]
        return ".".join([*words[:4], str(head)]), rows
    if "expert" in words:
        return (name, values) if int(words[3]) in shard.experts else None
    if last in ("qkv", "qkv_bias"):
        return name, values[..., _qkv_columns(whole, shard)]
    heads = {"q_up": whole.head_dim}
    if whole.qk_norm == ALL_HEADS and last in ("q_norm", "k_norm"):
        number, first = (own.heads, shard.first_head) if last == "q_norm" else (own.kv_heads, shard.first_kv_head)
        return name, values[..., _spread(np.arange(first, first + number), whole.head_dim)]
    rows_of_head = {"attn_out": whole.output_dim}
    if whole.latent is not None:
        latent = whole.latent
        heads["kv_up"] = latent.nope + latent.value
        rows_of_head |= {"absorb": latent.nope, "value_up": latent.kv_rank}
    span = np.arange(shard.first_head, shard.first_head + own.heads)
    if last in heads:
        return name, values[:, _spread(span, heads[last])]
    if last in rows_of_head:
        return name, values[_spread(span, rows_of_head[last])]
    if last in ("gate_up", "up", "up_bias", "down"):
        return name, _network(last, values, shard)
    return name, values


def _spread(heads: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Columns of some heads."""
    return (heads[:, None] * width + np.arange(width)).reshape(-1)


def _qkv_columns(whole: Model, shard: Shard) -> NDArray[np.int64]:
    own, first = shard.model, shard.first_kv_head
    keys = np.arange(whole.heads + first, whole.heads + first + own.kv_heads)
    queries = np.arange(shard.first_head, shard.first_head + own.heads)
    return _spread(np.concatenate([queries, keys, keys + whole.kv_heads]), whole.head_dim)


def _network(last: str, values: NDArray[Any], shard: Shard) -> NDArray[Any]:
    """Own columns of the up projections of a network, or own rows of its down projection."""
    if last == "down":
        first, number = balanced_share(len(values), shard.stacks, shard.stack)
        return values[first : first + number]
    width = values.shape[-1] // (2 if last == "gate_up" else 1)
    first, number = balanced_share(width, shard.stacks, shard.stack)
    columns = np.arange(first, first + number)
    return values[..., np.concatenate([columns, width + columns]) if last == "gate_up" else columns]


def system_step(result: FunctionalResult, shards: list[Shard], batch: int, layers: int, first_layer: int = 0) -> Arrays:
    """Collect what `compare_step` takes from a run of the joined program.

    Parameters
    ----------
    result : FunctionalResult
        Of a run with ``record``.
    shards : list of Shard
        One per stack.
    batch, layers : int
        Of the step.
    first_layer : int
        First of the layers.

    Returns
    -------
    dict of ndarray
        As `machine_step`: appended keys and values, logits, tokens.

    Raises
    ------
    IllegalScheduleError
        If something was not computed exactly once, or the stacks do not choose the same tokens.
    """
    model = shards[0].whole
    tokens = [pairs(result.results[f"stack{shard.stack}:tokens"])[1] for shard in shards]
    found: Arrays = {"sampling": tokens[0]}
    times: dict[str, NDArray[np.int64]] = {}
    kind = FP16 if result.half == FP16 else FP32  # NumPy has no BF16
    for part, columns in (("k", model.key_dim), ("v", model.value_dim)):
        for layer in range(first_layer, first_layer + layers):
            shape = (batch, model.kv_heads, columns)
            name = f"layer{layer}.new_{part}"
            found[name], times[name] = np.zeros(shape, kind), np.zeros(shape, np.int64)
    for image, values in written_pieces(result.program, result.dram, result.half):
        stack, tensor = image.tensor.split(":")
        _, number, part, b, g = tensor.split(".")
        head = shards[int(stack.removeprefix("stack"))].first_kv_head + int(g)
        where = (int(b), head, slice(image.start, image.start + image.length))
        found[f"layer{number}.new_{part}"][where] = values
        times[f"layer{number}.new_{part}"][where] += 1
    logits, seen = np.zeros((batch, model.vocab)), np.zeros((batch, model.vocab), np.int64)
    for execution in result.executions:
        if execution.ins.op == V_ARGMAX:
            span = slice(execution.ins.imm, execution.ins.imm + execution.ins.n)
            logits[:, span] = add_planes(execution.inputs["planes"])
            seen[:, span] += 1
    found["lm_head"], times["lm_head"] = logits, seen
    faults = []
    todo = "correct the encoder or its images"
    for name, counts in times.items():
        if (counts != 1).any():
            place = tuple(int(i) for i in np.argwhere(counts != 1)[0])
            faults.append(Fault(f"{name}, element {place}", f"{counts[place]} times", "computed once", todo))
    for shard, chosen in zip(shards, tokens, strict=True):
        if (chosen != tokens[0]).any():
            faults.append(Fault(f"tokens of stack {shard.stack}", f"{chosen}", f"{tokens[0]}, as in stack 0", todo))
    if faults:
        raise IllegalScheduleError("the programs do not compute the step", faults)
    return found
