"""One decode step in plain NumPy, operator by operator: what the numbers should be.

Arithmetic is FP64; results are rounded to FP16 where the machine stores FP16, and nowhere else.  Tensors are named as
in `nmpsim.functional.image`.  The results of a step, by name (L the layer, X the expert; names of the operator graph):

=======================  =================  =======  ==========================================================
name                     shape              stored   content
=======================  =================  =======  ==========================================================
``embedding``            B, D               FP16
``layerL.attn_norm``     B, D               FP16
``layerL.qkv``           B, (H + 2G)E       FP16     before the rotation
``layerL.rope``          B, (H + G)E        FP16     queries and keys, rotated
``layerL.new_k``         B, G, E            FP16     keys that are appended, rotated
``layerL.new_v``         B, G, E            FP16     values that are appended
``layerL.score``         B, H, S            no       query times key, not scaled
``layerL.softmax``       B, H, S            FP16     exp(scale (score - its maximum)), not normalised
``layerL.value``         B, HE              FP16     attention output, normalised
``layerL.attn_residual`` B, D               FP16
``layerL.ffn_norm``      B, D               FP16
``layerL.activation``    B, F               FP16     dense
``layerL.router``        B, experts         no       mixture of experts: logits
``layerL.topk``          B, per token       no       weights of the chosen experts, in the order of the routing
``layerL.expertX.activation``, ``.down``    rows     FP16, no; one row per token of the expert, ascending
``layerL.combine``       B, D               no       weighted sum of the experts
``layerL.ffn_residual``  B, D               FP16
``final_norm``           B, D               FP16
``lm_head``              B, V               no       logits
``sampling``             B                  int      token with the greatest logit
=======================  =================  =======  ==========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.functional.image import Tensors
from nmpsim.workload import Model, Routing

Reals = NDArray[np.float64]
Step = dict[str, NDArray[Any]]


def random_tensors(model: Model, batch: int, context: int, layers: int, seed: int) -> dict[str, NDArray[Any]]:
    """Draw weights and a KV cache, scaled so that activations stay of order one.

    Parameters
    ----------
    model : Model
        Dimensions; small ones.
    batch, context, layers : int
        Of the step; the context counts the new token.
    seed : int
        Seed of the generator.

    Returns
    -------
    dict of ndarray
        All tensors of the step, FP16 (``rope`` FP32).  The new row of keys and values is not a number.
    """
    rng = np.random.default_rng(seed)
    width, ffn, head = model.hidden, model.ffn, model.head_dim

    def matrix(rows: int, columns: int) -> NDArray[Any]:
        return _half(rng.standard_normal((rows, columns)) / np.sqrt(rows))

    def gain() -> NDArray[Any]:
        return (1 + 0.1 * rng.standard_normal((1, width))).astype(np.float16)

    def cache() -> NDArray[Any]:
        rows = rng.standard_normal((context, head)).astype(np.float16)
        rows[-1] = np.nan
        return rows

    tensors: dict[str, NDArray[Any]] = {"embedding": rng.standard_normal((model.vocab, width)).astype(np.float16)}
    for layer in range(layers):
        prefix = f"layers.{layer}"
        tensors[f"{prefix}.norm1"], tensors[f"{prefix}.norm2"] = gain(), gain()
        tensors[f"{prefix}.qkv"] = matrix(width, model.qkv_width)
        tensors[f"{prefix}.attn_out"] = matrix(model.heads * head, width)
        for name in (f"{prefix}.{part}.{b}.{g}" for part in "kv" for b in range(batch) for g in range(model.kv_heads)):
            tensors[name] = cache()
        if model.is_moe:
            tensors[f"{prefix}.router"] = matrix(width, model.experts)
        experts = [f"{prefix}.expert.{e}" for e in range(model.experts)] if model.is_moe else [prefix]
        for expert in experts:
            tensors[f"{expert}.gate_up"] = matrix(width, 2 * ffn)
            tensors[f"{expert}.down"] = matrix(ffn, width)
    tensors["final_norm"] = gain()
    tied = model.tie_embeddings
    tensors["lm_head"] = np.ascontiguousarray(tensors["embedding"].T) if tied else matrix(width, model.vocab)
    tensors["rope"] = rope_table(model, context - 1)
    return tensors


def rope_table(model: Model, position: int) -> NDArray[np.float32]:
    """Cosines, then sines, of the rotary angles of one position; FP32, shape (1, E)."""
    half = np.arange(model.head_dim // 2)
    angles = position * model.rope_theta ** (-2.0 * half / model.head_dim)
    return np.concatenate([np.cos(angles), np.sin(angles)])[None].astype(np.float32)


def reference_step(
    model: Model,
    batch: int,
    context: int,
    tensors: Tensors,
    tokens: Sequence[int],
    routing: Routing | None = None,
    layers: int | None = None,
) -> Step:
    """Compute a decode step.

    Parameters
    ----------
    model : Model
        Dimensions.
    batch, context : int
        Sequences, and tokens of each with the new one.
    tensors : mapping of str to ndarray
        Weights and KV cache; the last row of keys and values is not read.
    tokens : sequence of int
        Token of each sequence.
    routing : Routing, optional
        Experts of each token; needed for a mixture of experts.
    layers : int, optional
        The first layers only.

    Returns
    -------
    dict of ndarray
        By name, see the module; FP16 results as float16, others as float64.
    """
    depth = model.layers if layers is None else layers
    step: Step = {"embedding": _half(_real(tensors["embedding"])[np.asarray(tokens, np.int64)])}
    x = step["embedding"]
    for layer in range(depth):
        name, prefix = f"layer{layer}", f"layers.{layer}"
        step[f"{name}.attn_norm"] = _norm(x, tensors[f"{prefix}.norm1"], model)
        attention = _attention(model, batch, context, tensors, prefix, step, name)
        x = _half(_real(x) + attention @ _real(tensors[f"{prefix}.attn_out"]))
        step[f"{name}.attn_residual"] = x
        normed = _norm(x, tensors[f"{prefix}.norm2"], model)
        step[f"{name}.ffn_norm"] = normed
        if model.is_moe:
            assert routing is not None
            out = _experts(model, tensors, prefix, routing, layer, step)
        else:
            step[f"{name}.activation"] = _swiglu(normed, tensors[f"{prefix}.gate_up"])
            out = _real(step[f"{name}.activation"]) @ _real(tensors[f"{prefix}.down"])
        x = _half(_real(x) + out)
        step[f"{name}.ffn_residual"] = x
    step["final_norm"] = _norm(x, tensors["final_norm"], model)
    step["lm_head"] = _real(step["final_norm"]) @ _real(tensors["lm_head"])
    step["sampling"] = step["lm_head"].argmax(axis=1)
    return step


def split_qkv(model: Model, qkv: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Split the fused projection (B, (H + 2G)E) into queries (B, H, E), keys and values (B, G, E)."""
    heads = qkv.reshape(len(qkv), model.heads + 2 * model.kv_heads, model.head_dim)
    return (
        heads[:, : model.heads],
        heads[:, model.heads : model.heads + model.kv_heads],
        heads[:, model.heads + model.kv_heads :],
    )


def caches(
    model: Model, tensors: Tensors, prefix: str, sequence: int, new_keys: NDArray[Any], new_values: NDArray[Any]
) -> tuple[Reals, Reals]:
    """Keys and values of one sequence with the new token in the last row; shapes (G, S, E)."""
    keys, values = (
        np.stack([_real(tensors[f"{prefix}.{part}.{sequence}.{g}"]) for g in range(model.kv_heads)]) for part in "kv"
    )
    keys[:, -1], values[:, -1] = _real(new_keys), _real(new_values)
    return keys, values


def _attention(model: Model, batch: int, context: int, tensors: Tensors, prefix: str, step: Step, name: str) -> Reals:
    """Attention output (B, HE) from the norm; notes qkv, rope, score, softmax and value in `step`."""
    group, head = model.heads // model.kv_heads, model.head_dim
    qkv = _half(_real(step[f"{name}.attn_norm"]) @ _real(tensors[f"{prefix}.qkv"]))
    queries, keys, values = split_qkv(model, qkv)
    turned = _rotate(np.concatenate([queries, keys], axis=1), _real(tensors["rope"])[0])
    score = np.zeros((batch, model.heads, context))
    out = np.zeros((batch, model.heads, head))
    softmax = np.zeros((batch, model.heads, context), np.float16)
    for b in range(batch):
        cached_keys, cached_values = caches(model, tensors, prefix, b, turned[b, model.heads :], values[b])
        for h in range(model.heads):
            score[b, h] = cached_keys[h // group] @ _real(turned[b, h])
            softmax[b, h] = _half(np.exp((score[b, h] - score[b, h].max()) / np.sqrt(head)))
            weights = _real(softmax[b, h])
            out[b, h] = weights @ cached_values[h // group] / weights.sum()
    step[f"{name}.qkv"], step[f"{name}.rope"] = qkv, turned.reshape(batch, -1)
    step[f"{name}.new_k"], step[f"{name}.new_v"] = turned[:, model.heads :], values
    step[f"{name}.score"], step[f"{name}.softmax"] = score, softmax
    step[f"{name}.value"] = _half(out.reshape(batch, -1))
    return _real(step[f"{name}.value"])


def _experts(model: Model, tensors: Tensors, prefix: str, routing: Routing, layer: int, step: Step) -> Reals:
    """Weighted sum of the experts (B, D) from the norm; notes router, topk, experts and combine in `step`."""
    name = f"layer{layer}"
    normed = step[f"{name}.ffn_norm"]
    logits = _real(normed) @ _real(tensors[f"{prefix}.router"])
    chosen = np.array(routing.assignment[layer], np.int64)
    picked = np.take_along_axis(logits, chosen, axis=1)
    weights = np.exp(picked - picked.max(axis=1, keepdims=True))
    gates = weights / weights.sum(axis=1, keepdims=True)
    total = np.zeros((len(normed), model.hidden))
    for expert, rows in routing.tokens[layer].items():
        own = list(rows)
        active = _swiglu(normed[own], tensors[f"{prefix}.expert.{expert}.gate_up"])
        down = _real(active) @ _real(tensors[f"{prefix}.expert.{expert}.down"])
        total[own] += gates[own][chosen[own] == expert][:, None] * down
        step[f"{name}.expert{expert}.activation"], step[f"{name}.expert{expert}.down"] = active, down
    step[f"{name}.router"], step[f"{name}.topk"], step[f"{name}.combine"] = logits, gates, total
    return total


def _norm(x: NDArray[Any], gain: NDArray[Any], model: Model) -> NDArray[np.float16]:
    values = _real(x)
    mean = (values**2).mean(axis=1, keepdims=True)
    return _half(values * _real(gain).reshape(1, -1) / np.sqrt(mean + model.rms_eps))


def _rotate(heads: NDArray[Any], table: Reals) -> NDArray[np.float16]:
    half = heads.shape[-1] // 2
    cos, sin = table[:half], table[half:]
    first, second = _real(heads[..., :half]), _real(heads[..., half:])
    return _half(np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1))


def _swiglu(x: NDArray[Any], gate_up: NDArray[Any]) -> NDArray[np.float16]:
    both = _real(x) @ _real(gate_up)
    gate, up = np.split(both, 2, axis=1)
    return _half(gate * up / (1 + np.exp(-gate)))


def _real(values: NDArray[Any]) -> Reals:
    return values.astype(np.float64)


def _half(values: NDArray[Any]) -> NDArray[np.float16]:
    return values.astype(np.float16)
