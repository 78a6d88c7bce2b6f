"""A model as text for a person."""

from __future__ import annotations

from collections.abc import Iterable

from nmpsim.workload.model import Model
from nmpsim.workload.parts import WeightTensor


def describe(model: Model) -> str:
    """Text with dimensions, weights per layer and outside, KV bytes per token, and the source.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        Lines of at most 120 characters apart from the source; sizes in bytes (FP16), GB = 10^9 bytes.
    """
    ffn = "feed-forward width of one expert F" if model.is_moe else "feed-forward width F"
    dimensions: list[tuple[str, str]] = [
        ("family", model.family),
        ("parameters", f"{model.parameters:,} ({model.parameters / 1e9:.2f}e9)"),
        ("layers", f"{model.layers:,}"),
        ("model width D", f"{model.hidden:,}"),
        ("query heads H", f"{model.heads:,}"),
        *_attention(model),
        (ffn, f"{model.ffn:,}"),
    ]
    if model.is_moe:
        dimensions.append(("experts", f"{model.experts:,}, {model.experts_per_token} per token"))
        if model.gating.groups > 1:
            dimensions.append(("expert groups", f"{model.gating.groups:,}, {model.gating.kept_groups:,} per token"))
        if model.gating.shared_ffn:
            dimensions.append(("shared expert", f"width {model.gating.shared_ffn:,}"))
    weights = model.weight_bytes
    cache = model.kv_bytes_per_token
    dimensions += [
        ("vocabulary V", f"{model.vocab:,}" + (" (LM head = embedding table)" if model.tie_embeddings else "")),
        ("longest context", f"{model.max_positions:,} tokens"),
        ("weights, FP16", f"{weights:,} B ({weights / 1e9:.3f} GB)"),
        ("KV cache per token", f"{model.layers * cache:,} B ({cache:,} B in each layer)"),
    ]
    width = max(len(label) for label, _ in dimensions) + 2
    return "\n".join(
        [
            model.name,
            *(f"  {label:<{width}}{value}" for label, value in dimensions),
            "",
            *_layers(model),
            "Weights outside the layers",
            *_table(model.outer_tensors, "outside"),
            "",
            f"Source: {model.source}",
            f"sha256 of the configuration: {model.sha256}",
        ]
    )


def _attention(model: Model) -> list[tuple[str, str]]:
    """Dimensions of the attention beside the query heads."""
    latent = model.latent
    if latent is None:
        return [
            ("key/value heads G", f"{model.kv_heads:,} ({model.heads // model.kv_heads} query heads each)"),
            ("head width E", f"{model.head_dim:,}"),
        ]
    return [
        ("head width E", f"{latent.nope:,} and {latent.rope:,} rotated; value {latent.value:,}"),
        ("latent width", f"queries {latent.q_rank:,}; keys and values {latent.kv_rank:,} ({latent.form})"),
    ]


def _layers(model: Model) -> list[str]:
    """Tables of the kinds of layers that the model has."""
    dense = model.gating.dense_layers
    if not dense:
        return [f"Weights of each of the {model.layers} layers", *_table(model.layer_tensors, "one layer"), ""]
    return [
        f"Weights of each of the first {dense} layers",
        *_table(model.tensors_of(0), "one layer"),
        "",
        f"Weights of each of the other {model.layers - dense} layers",
        *_table(model.layer_tensors, "one layer"),
        "",
    ]


def _table(tensors: Iterable[WeightTensor], total: str) -> list[str]:
    """Lines of a table of tensors with a sum."""
    rows = [("tensor", "rows x columns", "copies", "bytes")]
    size = 0
    for tensor in tensors:
        rows.append((tensor.name, f"{tensor.rows} x {tensor.columns}", str(tensor.copies), f"{tensor.bytes:,}"))
        size += tensor.bytes
    rows.append((total, "", "", f"{size:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"  {name:<{widths[0]}}  {shape:>{widths[1]}}  {copies:>{widths[2]}}  {amount:>{widths[3]}}"
        for name, shape, copies, amount in rows
    ]
