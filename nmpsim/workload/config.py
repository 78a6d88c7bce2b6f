"""From a model's ``config.json`` to a `Model`: strict, and with every fault of the file in one error.

The weights are taken as FP16 whatever type the file names, unless the user asks for what the file states; a family's
own constants, which its files do not repeat,
stand here with their source.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from nmpsim.workload.limits import is_integer, shown
from nmpsim.workload.model import Model
from nmpsim.workload.parts import (
    ALL_HEADS,
    DEEPSEEK_V3,
    LAYER_NORM,
    LLAMA,
    MIXTRAL,
    OLMOE,
    OPT,
    PER_HEAD,
    QWEN2,
    QWEN3_MOE,
    RELU,
    SIGMOID,
    Gating,
    Latent,
)
from nmpsim.workload.precision import FP8, INT4, INT8
from nmpsim.workload.reading import COPY, FAMILIES, MOST_LAYERS, ConfigReader, family_of, parse_json, refuse

OPT_EPS = 1e-5
"""Constant of the norms of OPT, which its files do not state.  Source: PyTorch, torch.nn.LayerNorm, default of eps."""

_WITHOUT = "choose a model without it"


def parse_config(raw: bytes, name: str, where: str, source: str) -> Model:
    """Model of the bytes of a ``config.json``.

    Parameters
    ----------
    raw : bytes
        Content of the file.
    name : str
        Name of the model.
    where : str
        File, for messages.
    source : str
        Where the file comes from.

    Returns
    -------
    Model
        The checked dimensions.

    Raises
    ------
    WorkloadError
        If the text is no JSON object, the architecture is not supported, or a key is missing, of the wrong type, out
        of range, or asks for something that is not modelled.  All faults at once.
    """
    reader = ConfigReader(parse_json(raw, where), where)
    family = family_of(reader)
    if not family:
        refuse(where, reader.faults)
    hidden, heads = reader.count("hidden_size"), reader.count("num_attention_heads")
    fields: dict[str, Any] = {
        "name": name,
        "family": family,
        "layers": reader.count("num_hidden_layers", MOST_LAYERS),
        "hidden": hidden,
        "heads": heads,
        "vocab": reader.count("vocab_size"),
        "experts": 0,
        "experts_per_token": 0,
        "max_positions": reader.count("max_position_embeddings"),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "source": source,
        "stored": _stored(reader),
    }
    if family == OPT:
        fields |= _opt(reader, hidden, heads)
    else:
        fields |= {
            "tie_embeddings": reader.flag("tie_word_embeddings"),
            "rms_eps": reader.positive("rms_norm_eps"),
            "rope_theta": _rope_theta(reader),
        }
        fields |= _deepseek(reader, heads) if family == DEEPSEEK_V3 else _grouped(reader, family, hidden, heads)
    model = Model(**fields)
    _refuse_unmodelled(reader, model)
    if reader.faults:
        refuse(where, reader.faults)
    return model


def _grouped(reader: ConfigReader, family: str, hidden: int, heads: int) -> dict[str, Any]:
    """Fields of the families with grouped-query attention and SwiGLU."""
    kv_heads = reader.count("num_key_value_heads")
    if heads and kv_heads and heads % kv_heads:
        reader.fault("num_key_value_heads", str(kv_heads), f"a divisor of num_attention_heads = {heads}", COPY)
    fields: dict[str, Any] = {
        "kv_heads": kv_heads,
        "head_dim": _head_dim(reader, hidden, heads),
        "qkv_bias": family == QWEN2,
        "qk_norm": {QWEN3_MOE: PER_HEAD, OLMOE: ALL_HEADS}.get(family, ""),
    }
    if family == QWEN3_MOE:
        fields["ffn"] = reader.count("moe_intermediate_size")
        for key, value in (("decoder_sparse_step", 1), ("mlp_only_layers", [])):
            if reader.present(key, str(value)) and reader.config[key] != value:
                reader.fault(key, shown(reader.config[key]), f"{value}: experts in every layer", _WITHOUT)
    else:
        fields["ffn"] = reader.count("intermediate_size")
    experts_key = {MIXTRAL: "num_local_experts", QWEN3_MOE: "num_experts", OLMOE: "num_experts"}.get(family)
    if experts_key is not None:
        fields |= _experts(reader, experts_key)
        if family != MIXTRAL:  # Mixtral: a softmax of the chosen logits, which is the same as normalised weights
            fields["gating"] = Gating(normalise=reader.flag("norm_topk_prob"))
    return fields


def _experts(reader: ConfigReader, key: str) -> dict[str, Any]:
    """Read numbers of experts."""
    experts, chosen = reader.count(key), reader.count("num_experts_per_tok")
    if experts and chosen > experts:
        reader.fault("num_experts_per_tok", str(chosen), f"1..{experts} ({key})", COPY)
    return {"experts": experts, "experts_per_token": chosen}


def _opt(reader: ConfigReader, hidden: int, heads: int) -> dict[str, Any]:
    """Fields of OPT: learned positions, LayerNorm, ReLU, biases everywhere, the LM head tied to the embedding.

    Source: Zhang et al., OPT: Open Pre-trained Transformer Language Models, arXiv 2205.01068, section 2.1; tying: the
    released checkpoints hold one table for both.
    """
    if hidden and heads and hidden % heads:
        reader.fault("hidden_size", str(hidden), f"a multiple of num_attention_heads = {heads}", COPY)
    reader.choice("activation_function", ("relu",), "choose a model with ReLU")
    accepted = {"do_layer_norm_before": True, "_remove_final_layer_norm": False, "enable_bias": True}
    accepted |= {"layer_norm_elementwise_affine": True, "tie_word_embeddings": True}
    for key, value in accepted.items():
        reader.refuse(key, (value,), f"{str(value).lower()} or no such key", _WITHOUT)
    if reader.config.get("word_embed_proj_dim", hidden) != hidden:
        reader.fault("word_embed_proj_dim", shown(reader.config["word_embed_proj_dim"]), f"{hidden}", _WITHOUT)
    return {
        "kv_heads": heads,
        "head_dim": hidden // heads if heads else 0,
        "ffn": reader.count("ffn_dim"),
        "tie_embeddings": True,
        "rms_eps": OPT_EPS,
        "rope_theta": 1.0,
        "norm": LAYER_NORM,
        "network": RELU,
        "learned_positions": True,
        "qkv_bias": True,
        "linear_bias": True,
    }


def _deepseek(reader: ConfigReader, heads: int) -> dict[str, Any]:
    """Fields of DeepSeek-V3: latent attention, shared and routed experts, first layers dense.

    Source: DeepSeek-V3 Technical Report, arXiv 2412.19437, section 2.1.
    """
    nope, rope = reader.count("qk_nope_head_dim"), reader.count("qk_rope_head_dim")
    if rope % 2:
        reader.fault("qk_rope_head_dim", str(rope), "an even number (rotary halves)", COPY)
    latent = Latent(reader.count("q_lora_rank"), reader.count("kv_lora_rank"), nope, rope, reader.count("v_head_dim"))
    if reader.count("num_key_value_heads") != heads:
        got = shown(reader.config.get("num_key_value_heads"))
        reader.fault("num_key_value_heads", got, f"num_attention_heads = {heads}", COPY)
    width = reader.count("moe_intermediate_size")
    experts = _experts(reader, "n_routed_experts")
    dense = reader.config.get("first_k_dense_replace")
    if not is_integer(dense) or dense < 0:
        reader.fault("first_k_dense_replace", shown(dense), "an integer of at least 0", COPY)
        dense = 0
    if reader.config.get("moe_layer_freq", 1) != 1:
        reader.fault("moe_layer_freq", shown(reader.config["moe_layer_freq"]), "1", _WITHOUT)
    groups, kept = reader.count("n_group"), reader.count("topk_group")
    _check_groups(reader, experts["experts"], experts["experts_per_token"], groups, kept)
    scoring = reader.choice("scoring_func", (SIGMOID,), "choose a model with sigmoid scores")
    reader.choice("topk_method", ("noaux_tc",), "choose a model with the choice of DeepSeek-V3")
    gating = Gating(
        scoring=scoring,
        normalise=reader.flag("norm_topk_prob"),
        scale=reader.positive("routed_scaling_factor"),
        groups=max(1, groups),
        kept_groups=max(1, kept),
        corrected=True,
        shared_ffn=reader.count("n_shared_experts") * width,
        dense_layers=dense,
        dense_ffn=reader.count("intermediate_size"),
    )
    return {
        **experts,
        "kv_heads": 1,
        "head_dim": nope + rope,
        "ffn": width,
        "gating": gating,
        "latent": latent,
        "score_factor": _yarn_factor(reader),
    }


def _check_groups(reader: ConfigReader, experts: int, chosen: int, groups: int, kept: int) -> None:
    """Note limits of expert groups that no choice can meet."""
    if groups and experts % groups:
        reader.fault("n_group", str(groups), f"a divisor of n_routed_experts = {experts}", COPY)
    elif groups and experts // groups < 2:
        reader.fault("n_group", str(groups), f"at least 2 of {experts} experts in a group", COPY)
    elif groups and kept > groups:
        reader.fault("topk_group", str(kept), f"1..{groups} (n_group)", COPY)
    elif groups and kept * (experts // groups) < chosen:
        got = f"{kept} groups of {experts // groups} experts"
        reader.fault("topk_group", got, f"groups that hold num_experts_per_tok = {chosen} experts", COPY)


def _yarn_factor(reader: ConfigReader) -> float:
    """Factor that YaRN puts on the scores: (0.1 mscale_all_dim ln(factor) + 1)^2.

    Source: Peng et al., YaRN, arXiv 2309.00071, section 3.4, and the code that DeepSeek-V3 is published with.
    """
    scaling = reader.config.get("rope_scaling")
    if not isinstance(scaling, dict):
        return 1.0
    factor, share = scaling.get("factor", 1.0), scaling.get("mscale_all_dim", 0.0)
    sound = all(isinstance(x, int | float) and not isinstance(x, bool) and 0 <= x < 1e6 for x in (factor, share))
    if not sound or factor < 1:
        reader.fault("rope_scaling", f"factor {factor!r}, mscale_all_dim {share!r}", "numbers from 1 and 0 on", COPY)
        return 1.0
    return float((0.1 * share * math.log(factor) + 1) ** 2)


def _head_dim(reader: ConfigReader, hidden: int, heads: int) -> int:
    """Explicit head width, or hidden / heads."""
    if reader.config.get("head_dim") is not None:
        head_dim = reader.count("head_dim")
        if head_dim % 2:
            reader.fault("head_dim", str(head_dim), "an even number (rotary halves)", COPY)
        return head_dim
    if not hidden or not heads:
        return 0
    if hidden % heads:
        reader.fault("hidden_size", str(hidden), f"a multiple of num_attention_heads = {heads}", "or add head_dim")
    elif hidden // heads % 2:
        got = f"{hidden} = {heads} heads of {hidden // heads}"
        reader.fault("hidden_size", got, "heads of even width (rotary halves)", COPY)
    return hidden // heads


def _stored(reader: ConfigReader) -> str:
    """Format of the weights that the file states: FP8 with square blocks, or symmetric GPTQ of 4 or 8 bits."""
    key = "quantization_config"
    stated = reader.config.get(key)
    if stated is None:
        return ""
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    if isinstance(stated, dict) and method == "fp8":
        block = stated.get("weight_block_size")
        if isinstance(block, list) and len(block) == 2 and block[0] == block[1] and is_integer(block[0]):
            return f"{FP8}:{block[0]}"
    if isinstance(stated, dict) and method == "gptq" and stated.get("bits") in (4, 8):
        group = stated.get("group_size")
        if is_integer(group) and group > 1 and stated.get("sym") is True and not stated.get("desc_act"):
            return f"{INT4 if stated['bits'] == 4 else INT8}:{group}"
    allowed = (
        "null, no such key, fp8 with square blocks, or gptq of 4 or 8 bits, symmetric, in groups, without desc_act"
    )
    reader.fault(key, shown(stated), allowed, "take the unquantised model")
    return ""


def _rope_theta(reader: ConfigReader) -> float:
    """Read the base of the rotary frequencies, at the top level or, in newer files, in ``rope_parameters``."""
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(reader.config.get(key), dict | None):
            reader.fault(key, shown(reader.config[key]), "an object or null", COPY)
    inner = reader.config.get("rope_parameters")
    if "rope_theta" not in reader.config and isinstance(inner, dict) and "rope_theta" in inner:
        nested = ConfigReader(inner, f"{reader.where}: rope_parameters")
        theta = nested.positive("rope_theta")
        reader.faults.extend(nested.faults)
        return theta
    return reader.positive("rope_theta")


def _refuse_unmodelled(reader: ConfigReader, model: Model) -> None:
    """Fault for each thing that the decode graph has no operator for."""
    family = model.family
    if family != OPT and reader.present("hidden_act", "'silu'") and reader.config["hidden_act"] != "silu":
        reader.fault("hidden_act", shown(reader.config["hidden_act"]), "'silu'", "choose a model with SwiGLU")
    for key in ("attention_bias", "mlp_bias"):
        reader.refuse(key, (False, None), "false, null or no such key", _WITHOUT)
    reader.refuse("clip_qkv", (None,), "null or no such key", _WITHOUT)
    if reader.config.get("use_sliding_window") is not False:
        window = reader.config.get("sliding_window")
        reaches = is_integer(window) and 0 < model.max_positions <= window
        if window is not None and not reaches:
            allowed = "null, no such key, or at least max_position_embeddings (every token attends to all)"
            reader.fault("sliding_window", shown(window), allowed, _WITHOUT)
    if family == LLAMA:
        for key in ("num_local_experts", "num_experts_per_tok"):
            reader.refuse(key, (None,), f"no such key in a dense {LLAMA}", f"use {MIXTRAL} for a mixture of experts")


__all__ = ["FAMILIES", "parse_config"]
