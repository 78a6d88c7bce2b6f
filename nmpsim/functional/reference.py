"""One decode step in plain NumPy, operator by operator: what the numbers should be.

Arithmetic is FP64; results are rounded to FP16 (or BF16) where the machine stores it, and nowhere
else.  Tensors are named as
in `nmpsim.functional.image`.  The results of a step, by name (L the layer, X the expert; names of the operator graph):

=======================  =================  =======  ==========================================================
name                     shape              stored   content
=======================  =================  =======  ==========================================================
``embedding``            B, D               FP16
``layerL.attn_norm``     B, D               FP16
``position``             B, D               FP16     learned positions: embedding and position
``layerL.qkv``           B, (H + 2G)E       FP16     before norm and rotation
``layerL.qk_norm``       B, (H + G)E        FP16     queries and keys, normed
``layerL.rope``          B, (H + G)E        FP16     queries and keys, rotated
``layerL.latent``        B, R               FP16     latent attention: latents and rotated part of the key
``layerL.q_norm``        B, q_rank          FP16     the same for ``kv_norm``
``layerL.q_up``          B, HE              FP16     queries before the rotation
``layerL.kv_up``         B, n               FP16     expanded: keys and values of all heads
``layerL.absorb``        B, H kv_rank       FP16     absorbed: queries in the space of the latent
``layerL.value_up``      B, H v             FP16     absorbed: attention output
``layerL.new_k``         B, G, E            FP16     keys that are appended, rotated
``layerL.new_v``         B, G, E            FP16     values that are appended
``layerL.score``         B, H, S            no       query times key, not scaled
``layerL.softmax``       B, H, S            FP16     exp(scale (score - its maximum)), not normalised
``layerL.value``         B, HE              FP16     attention output, normalised
``layerL.attn_residual`` B, D               FP16
``layerL.ffn_norm``      B, D               FP16
``layerL.activation``    B, F               FP16     dense; also ``layerL.shared.activation``
``layerL.shared.down``   B, D               no       shared expert
``layerL.router``        B, experts         no       mixture of experts: logits
``layerL.topk``          B, per token       no       weights of the chosen experts, in the order of the routing
``layerL.expertX.activation``, ``.down``    rows     FP16, no; one row per token of the expert, ascending
``layerL.combine``       B, D               no       weighted sum of the experts, and the shared one
``layerL.ffn_residual``  B, D               FP16
``final_norm``           B, D               FP16
``lm_head``              B, V               no       logits
``sampling``             B                  int      token with the greatest logit
=======================  =================  =======  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.functional.formats import as_numbers
from nmpsim.functional.image import Tensors
from nmpsim.functional.memory import HALVES
from nmpsim.workload import (
    ABSORBED,
    LAYER_NORM,
    OPT_POSITION_OFFSET,
    PER_HEAD,
    RELU,
    SIGMOID,
    Latent,
    Model,
    Routing,
)

Reals = NDArray[np.float64]
Step = dict[str, NDArray[Any]]
Stored = NDArray[np.floating]
"""Numbers of the format of the PEs."""

Half = Callable[[NDArray[Any]], Stored]
"""Rounds to that format."""


def reference_step(
    model: Model,
    batch: int,
    context: int,
    tensors: Tensors,
    tokens: Sequence[int],
    routing: Routing | None = None,
    layers: int | None = None,
    first_layer: int = 0,
    cached: Step | None = None,
    operands: str = "fp16",
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
        Number of layers; all from ``first_layer`` on by default.
    first_layer : int
        First of them.
    cached : dict of ndarray, optional
        New keys and values as a narrow cache holds them, by name (``layerL.cached_k``, ``layerL.cached_v``): what the
        machine under test has stored, since a rounding error may move them to the next number of the format.
    operands : str
        Format of the PEs of the chip: ``fp16`` or ``bf16``.

    Returns
    -------
    dict of ndarray
        By name, see the module; stored results as float16, or as float32 where they are BF16; others as float64.
    """
    half = _rounding(operands)
    depth = model.layers - first_layer if layers is None else layers
    assert len(tokens) == batch
    step: Step = dict(cached or {}) | {"embedding": half(_real(tensors["embedding"])[np.asarray(tokens, np.int64)])}
    x = step["embedding"]
    if model.learned_positions:
        x = half(_real(x) + _real(tensors["positions"])[context - 1 + OPT_POSITION_OFFSET])
        step["position"] = x
    for layer in range(first_layer, first_layer + depth):
        name, prefix = f"layer{layer}", f"layers.{layer}"
        step[f"{name}.attn_norm"] = _norm(half, x, tensors[f"{prefix}.norm1"], model)
        attend = _attention if model.latent is None else _latent_attention
        attention = attend(half, model, context, tensors, prefix, step, name)
        x = half(_real(x) + attention @ _real(tensors[f"{prefix}.attn_out"]) + _bias(tensors, f"{prefix}.attn_out"))
        step[f"{name}.attn_residual"] = x
        normed = _norm(half, x, tensors[f"{prefix}.norm2"], model)
        step[f"{name}.ffn_norm"] = normed
        if model.has_experts(layer):
            assert routing is not None
            out = _experts(half, model, tensors, prefix, routing, layer, step)
        else:
            step[f"{name}.activation"] = _activation(half, model, normed, tensors, prefix)
            out = _real(step[f"{name}.activation"]) @ _real(tensors[f"{prefix}.down"]) + _bias(
                tensors, f"{prefix}.down"
            )
        x = half(_real(x) + out)
        step[f"{name}.ffn_residual"] = x
    step["final_norm"] = _norm(half, x, tensors["final_norm"], model)
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


def appended(step: Step, name: str, sequence: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """New keys and values of one sequence and layer, as the cache holds them; shapes (G, columns)."""
    keys, values = (step.get(f"{name}.cached_{part}", step[f"{name}.new_{part}"])[sequence] for part in "kv")
    return keys, values


def caches(
    model: Model, tensors: Tensors, prefix: str, sequence: int, new_keys: NDArray[Any], new_values: NDArray[Any]
) -> tuple[Reals, Reals]:
    """Keys and values of one sequence with the new token in the last row; shapes (G, S, E)."""
    keys, values = (
        np.stack([_real(tensors[f"{prefix}.{part}.{sequence}.{g}"]) for g in range(model.kv_heads)]) for part in "kv"
    )
    keys[:, -1], values[:, -1] = _real(new_keys), _real(new_values)
    return keys, values


def _attention(half: Half, model: Model, context: int, tensors: Tensors, prefix: str, step: Step, name: str) -> Reals:
    """Attention output (B, HE) from the norm; notes qkv, qk_norm, rope, score, softmax and value in `step`."""
    product = _real(step[f"{name}.attn_norm"]) @ _real(tensors[f"{prefix}.qkv"])
    step[f"{name}.qkv"] = qkv = half(product + _bias(tensors, f"{prefix}.qkv"))
    queries, keys, values = split_qkv(model, qkv)
    turned: NDArray[Any] = np.concatenate([queries, keys], axis=1)
    batch = len(turned)
    if model.qk_norm:
        turned = _norm_heads(half, model, queries, keys, tensors, prefix)
        step[f"{name}.qk_norm"] = turned.reshape(batch, -1)
    if model.rope_dim:
        turned = _rotate(half, turned, _real(tensors["rope"])[0])
        step[f"{name}.rope"] = turned.reshape(batch, -1)
    new = turned[:, model.heads :], values
    return _cached(half, model, context, tensors, prefix, step, name, turned[:, : model.heads], new)


def _norm_heads(
    half: Half, model: Model, queries: NDArray[Any], keys: NDArray[Any], tensors: Tensors, prefix: str
) -> Stored:
    """RMSNorm of queries and keys, per head or of all heads together."""
    parts = []
    for name, heads in (("q_norm", queries), ("k_norm", keys)):
        rows = heads if model.qk_norm == PER_HEAD else heads.reshape(len(heads), -1)
        parts.append(_rms(half, rows, tensors[f"{prefix}.{name}"].reshape(-1), model.rms_eps).reshape(heads.shape))
    return np.concatenate(parts, axis=1)


def split_latents(latent: Latent, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Split the fused down projection: latent of the queries, of keys and values, rotated part of the key."""
    second = latent.q_rank + latent.kv_rank
    return rows[..., : latent.q_rank], rows[..., latent.q_rank : second], rows[..., second:]


def _latent_attention(
    half: Half, model: Model, context: int, tensors: Tensors, prefix: str, step: Step, name: str
) -> Reals:
    """Latent attention: output (B, H v) from the norm; notes everything on the way in `step`."""
    latent, heads = model.latent, model.heads
    assert latent is not None
    step[f"{name}.latent"] = rows = half(_real(step[f"{name}.attn_norm"]) @ _real(tensors[f"{prefix}.latent"]))
    batch = len(rows)
    for_queries, for_keys, shared = split_latents(latent, rows)
    step[f"{name}.q_norm"] = _rms(half, for_queries, tensors[f"{prefix}.q_norm"].reshape(-1), model.rms_eps)
    step[f"{name}.kv_norm"] = kept = _rms(half, for_keys, tensors[f"{prefix}.kv_norm"].reshape(-1), model.rms_eps)
    step[f"{name}.q_up"] = half(_real(step[f"{name}.q_norm"]) @ _real(tensors[f"{prefix}.q_up"]))
    queries = step[f"{name}.q_up"].reshape(batch, heads, model.head_dim)
    both = np.concatenate([queries[:, :, latent.nope :], shared[:, None]], axis=1)
    turned = _rotate(half, both, _real(tensors["rope"])[0])
    step[f"{name}.rope"] = turned.reshape(batch, -1)
    plain, key = queries[:, :, : latent.nope], turned[:, heads:]
    if latent.form != ABSORBED:
        step[f"{name}.kv_up"] = half(_real(kept) @ _real(tensors[f"{prefix}.kv_up"]))
        parts = step[f"{name}.kv_up"].reshape(batch, heads, latent.nope + latent.value)
        keys = np.concatenate([parts[:, :, : latent.nope], np.repeat(key, heads, axis=1)], axis=2)
        full = np.concatenate([plain, turned[:, :heads]], axis=2)
        return _cached(half, model, context, tensors, prefix, step, name, full, (keys, parts[:, :, latent.nope :]))
    absorb = _real(tensors[f"{prefix}.absorb"]).reshape(heads, latent.nope, latent.kv_rank)
    absorbed = half(np.einsum("bhn,hnc->bhc", _real(plain), absorb))
    step[f"{name}.absorb"] = absorbed.reshape(batch, -1)
    full = np.concatenate([absorbed, turned[:, :heads]], axis=2)
    new = np.concatenate([kept[:, None], key], axis=2), kept[:, None]
    out = _cached(half, model, context, tensors, prefix, step, name, full, new).reshape(batch, heads, latent.kv_rank)
    up = _real(tensors[f"{prefix}.value_up"]).reshape(heads, latent.kv_rank, latent.value)
    step[f"{name}.value_up"] = half(np.einsum("bhc,hcv->bhv", out, up).reshape(batch, -1))
    return _real(step[f"{name}.value_up"])


def _cached(
    half: Half,
    model: Model,
    context: int,
    tensors: Tensors,
    prefix: str,
    step: Step,
    name: str,
    queries: NDArray[Any],
    new: tuple[NDArray[Any], NDArray[Any]],
) -> Reals:
    """Scores, softmax and values over the cache with the new keys and values in it; output (B, H value_dim)."""
    batch, group = len(queries), model.heads // model.kv_heads
    step[f"{name}.new_k"], step[f"{name}.new_v"] = new
    score = np.zeros((batch, model.heads, context))
    out = np.zeros((batch, model.heads, model.value_dim))
    softmax = half(np.zeros((batch, model.heads, context)))
    for b in range(batch):
        keys, values = caches(model, tensors, prefix, b, *appended(step, name, b))
        for h in range(model.heads):
            score[b, h] = keys[h // group] @ _real(queries[b, h])
            softmax[b, h] = half(np.exp((score[b, h] - score[b, h].max()) * model.score_scale))
            weights = _real(softmax[b, h])
            out[b, h] = weights @ values[h // group] / weights.sum()
    step[f"{name}.score"], step[f"{name}.softmax"] = score, softmax
    step[f"{name}.value"] = half(out.reshape(batch, -1))
    return _real(step[f"{name}.value"])


def _experts(
    half: Half, model: Model, tensors: Tensors, prefix: str, routing: Routing, layer: int, step: Step
) -> Reals:
    """Weighted sum of the experts (B, D) from the norm; notes router, topk, experts and combine in `step`."""
    name = f"layer{layer}"
    normed = step[f"{name}.ffn_norm"]
    logits = _real(normed) @ _real(tensors[f"{prefix}.router"])
    chosen = np.array(routing.assignment[layer], np.int64)
    gates = gates_of(model, logits, chosen)
    total = np.zeros((len(normed), model.hidden))
    if model.gating.shared_ffn:
        active = _swiglu(half, normed, tensors[f"{prefix}.shared.gate_up"])
        total += _real(active) @ _real(tensors[f"{prefix}.shared.down"])
        step[f"{name}.shared.activation"], step[f"{name}.shared.down"] = active, total.copy()
    for expert, rows in routing.tokens[layer].items():
        own = list(rows)
        active = _swiglu(half, normed[own], tensors[f"{prefix}.expert.{expert}.gate_up"])
        down = _real(active) @ _real(tensors[f"{prefix}.expert.{expert}.down"])
        total[own] += gates[own][chosen[own] == expert][:, None] * down
        step[f"{name}.expert{expert}.activation"], step[f"{name}.expert{expert}.down"] = active, down
    step[f"{name}.router"], step[f"{name}.topk"], step[f"{name}.combine"] = logits, gates, total
    return total


def gates_of(model: Model, logits: Reals, chosen: NDArray[np.int64]) -> Reals:
    """Weights of the chosen experts from the logits (B, experts); shape of `chosen`."""
    gating = model.gating
    if gating.scoring == SIGMOID:
        scores = 1 / (1 + np.exp(-logits))
    else:
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    gates = np.take_along_axis(scores, chosen, axis=1)
    if gating.normalise:
        gates = gates / gates.sum(axis=1, keepdims=True)
    return np.asarray(gating.scale * gates, np.float64)


def _norm(half: Half, x: NDArray[Any], gain: NDArray[Any], model: Model) -> Stored:
    if model.norm != LAYER_NORM:
        return _rms(half, x, gain.reshape(-1), model.rms_eps)
    values = _real(x)
    apart = values - values.mean(axis=1, keepdims=True)
    spread = np.sqrt((apart**2).mean(axis=1, keepdims=True) + model.rms_eps)
    return half(apart * _real(gain)[0] / spread + _real(gain)[1])


def _rms(half: Half, x: NDArray[Any], gain: NDArray[Any], eps: float) -> Stored:
    """RMSNorm over the last axis."""
    values = _real(x)
    mean = (values**2).mean(axis=-1, keepdims=True)
    return half(values * _real(gain) / np.sqrt(mean + eps))


def _bias(tensors: Tensors, name: str) -> Reals | float:
    """Bias of a GEMM, 0 if it has none."""
    return _real(tensors[f"{name}_bias"]).reshape(1, -1) if f"{name}_bias" in tensors else 0.0


def _activation(half: Half, model: Model, x: NDArray[Any], tensors: Tensors, prefix: str) -> Stored:
    """Activations of a dense network."""
    if model.network != RELU:
        return _swiglu(half, x, tensors[f"{prefix}.gate_up"])
    return half(np.maximum(_real(x) @ _real(tensors[f"{prefix}.up"]) + _bias(tensors, f"{prefix}.up"), 0))


def _rotate(half: Half, heads: NDArray[Any], table: Reals) -> Stored:
    turned = heads.shape[-1] // 2
    cos, sin = table[:turned], table[turned:]
    first, second = _real(heads[..., :turned]), _real(heads[..., turned:])
    return half(np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1))


def _swiglu(half: Half, x: NDArray[Any], gate_up: NDArray[Any]) -> Stored:
    both = _real(x) @ _real(gate_up)
    gate, up = np.split(both, 2, axis=1)
    return half(gate * up / (1 + np.exp(-gate)))


def _real(values: NDArray[Any]) -> Reals:
    return values.astype(np.float64)


def _rounding(operands: str) -> Half:
    """Return what rounds to the format of the PEs."""
    kind = HALVES[operands]
    return lambda values: as_numbers(values, kind)
