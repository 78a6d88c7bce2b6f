"""Random tensors of a step, named as in `nmpsim.functional.image`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.functional.formats import as_numbers
from nmpsim.functional.memory import FP16, HALVES
from nmpsim.workload import ABSORBED, ALL_HEADS, LAYER_NORM, OPT_POSITION_OFFSET, RELU, Model


def random_tensors(
    model: Model, batch: int, context: int, layers: int, seed: int, first_layer: int = 0, operands: str = "fp16"
) -> dict[str, NDArray[Any]]:
    """Draw weights and a KV cache, scaled so that activations stay of order one.

    Parameters
    ----------
    model : Model
        Dimensions; small ones.
    batch, context, layers : int
        Of the step; the context counts the new token.
    seed : int
        Seed of the generator.
    first_layer : int
        First of the layers.
    operands : str
        Format of the PEs of the chip: ``fp16`` or ``bf16``.

    Returns
    -------
    dict of ndarray
        All tensors of the step, FP16, or numbers of BF16 in FP32 (``rope`` and ``router_bias`` are any FP32).  The new
        row of keys and values is not a number.
    """
    draw = _Draw(model, np.random.default_rng(seed))
    width = model.hidden
    tensors: dict[str, NDArray[Any]] = {"embedding": draw.plain(model.vocab, width)}
    for layer in range(first_layer, first_layer + layers):
        prefix = f"layers.{layer}"
        tensors[f"{prefix}.norm1"], tensors[f"{prefix}.norm2"] = draw.norm(), draw.norm()
        tensors |= draw.attention(prefix)
        for part, columns in (("k", model.key_dim), ("v", model.value_dim)):
            for name in (f"{prefix}.{part}.{b}.{g}" for b in range(batch) for g in range(model.kv_heads)):
                tensors[name] = draw.cache(context, columns)
        if model.latent is not None and model.latent.form == ABSORBED:
            for b in range(batch):  # one row of the cache for both
                tensors[f"{prefix}.v.{b}.0"] = tensors[f"{prefix}.k.{b}.0"][:, : model.value_dim].copy()
        tensors |= draw.network(prefix, layer)
    tensors["final_norm"] = draw.norm()
    tied = model.tie_embeddings
    tensors["lm_head"] = np.ascontiguousarray(tensors["embedding"].T) if tied else draw.matrix(width, model.vocab)
    tensors["rope"] = rope_table(model, context - 1)
    if model.learned_positions:
        tensors["positions"] = draw.plain(model.max_positions + OPT_POSITION_OFFSET, width)
    half = HALVES[operands]
    return {name: as_numbers(v, half) if v.dtype == FP16 else v for name, v in tensors.items()}


def rope_table(model: Model, position: int) -> NDArray[np.float32]:
    """Cosines, then sines, of the rotary angles of one position; FP32, shape (1, rotated columns of a head)."""
    half = np.arange(model.rope_dim // 2)
    angles = position * model.rope_theta ** (-2.0 * half / model.rope_dim)
    return np.concatenate([np.cos(angles), np.sin(angles)])[None].astype(np.float32)


class _Draw:
    """Draws of one model, in a fixed order."""

    def __init__(self, model: Model, rng: np.random.Generator) -> None:
        self.model, self.rng = model, rng

    def plain(self, rows: int, columns: int) -> NDArray[np.float16]:
        return self.rng.standard_normal((rows, columns)).astype(np.float16)

    def matrix(self, rows: int, columns: int, depth: int = 0) -> NDArray[np.float16]:
        """Draw a matrix whose products with numbers of order one are of order one; `depth`: terms of a sum."""
        values: NDArray[np.float64] = self.rng.standard_normal((rows, columns)) / np.sqrt(depth or rows)
        return values.astype(np.float16)

    def gain(self, columns: int) -> NDArray[np.float16]:
        return (1 + 0.1 * self.rng.standard_normal((1, columns))).astype(np.float16)

    def bias(self, columns: int) -> NDArray[np.float16]:
        return (0.3 * self.rng.standard_normal((1, columns))).astype(np.float16)

    def norm(self) -> NDArray[np.float16]:
        gain = self.gain(self.model.hidden)
        return np.concatenate([gain, self.bias(self.model.hidden)]) if self.model.norm == LAYER_NORM else gain

    def cache(self, context: int, columns: int) -> NDArray[np.float16]:
        rows = self.plain(context, columns)
        rows[-1] = np.nan
        return rows

    def attention(self, prefix: str) -> dict[str, NDArray[Any]]:
        model, head, latent = self.model, self.model.head_dim, self.model.latent
        found: dict[str, NDArray[Any]] = {}
        if latent is None:
            found["qkv"] = self.matrix(model.hidden, model.qkv_width)
        else:
            found["latent"] = self.matrix(model.hidden, latent.width)
            found["q_norm"], found["kv_norm"] = self.gain(latent.q_rank), self.gain(latent.kv_rank)
            found["q_up"] = self.matrix(latent.q_rank, model.heads * head)
            if latent.form == ABSORBED:
                found["absorb"] = self.matrix(model.heads * latent.nope, latent.kv_rank, latent.nope)
                found["value_up"] = self.matrix(model.heads * latent.kv_rank, latent.value, latent.kv_rank)
            else:
                found["kv_up"] = self.matrix(latent.kv_rank, model.heads * (latent.nope + latent.value))
        found["attn_out"] = self.matrix(model.heads * model.output_dim, model.hidden)
        if model.qkv_bias:
            found["qkv_bias"] = self.bias(model.qkv_width)
        if model.linear_bias:
            found["attn_out_bias"] = self.bias(model.hidden)
        if model.qk_norm:
            whole = model.qk_norm == ALL_HEADS
            found["q_norm"] = self.gain(model.heads * head if whole else head)
            found["k_norm"] = self.gain(model.kv_heads * head if whole else head)
        return {f"{prefix}.{name}": values for name, values in found.items()}

    def network(self, prefix: str, layer: int) -> dict[str, NDArray[Any]]:
        model, width, ffn = self.model, self.model.hidden, self.model.ffn_of(layer)
        found: dict[str, NDArray[Any]] = {}
        if model.network == RELU:
            found["up"], found["down"] = self.matrix(width, ffn), self.matrix(ffn, width)
            if model.linear_bias:
                found["up_bias"], found["down_bias"] = self.bias(ffn), self.bias(width)
            return {f"{prefix}.{name}": values for name, values in found.items()}
        stems = [("", ffn)]
        if model.has_experts(layer):
            found["router"] = self.matrix(width, model.experts)
            if model.gating.corrected:
                found["router_bias"] = self.rng.standard_normal((1, model.experts)).astype(np.float32)
            shared = model.gating.shared_ffn
            stems = [("shared.", shared)] if shared else []
            stems += [(f"expert.{e}.", ffn) for e in range(model.experts)]
        for stem, columns in stems:
            found[f"{stem}gate_up"] = self.matrix(width, 2 * columns)
            found[f"{stem}down"] = self.matrix(columns, width)
        return {f"{prefix}.{name}": values for name, values in found.items()}
