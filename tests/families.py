"""Small models of every family: a few dozen columns, everything that the family has and others have not."""

from dataclasses import replace

from nmpsim.workload import (
    ALL_HEADS,
    DEEPSEEK_V3,
    EXPANDED,
    LAYER_NORM,
    OLMOE,
    OPT,
    PER_HEAD,
    QWEN2,
    QWEN3_MOE,
    RELU,
    SIGMOID,
    Gating,
    Latent,
    with_form,
)
from tests.builders import small_model

BIASED = replace(small_model(), name="tiny-qwen2", family=QWEN2, qkv_bias=True)

LEARNED = replace(
    small_model(kv_heads=4, tied=True, max_positions=64),
    name="tiny-opt",
    family=OPT,
    norm=LAYER_NORM,
    network=RELU,
    learned_positions=True,
    qkv_bias=True,
    linear_bias=True,
)

NORMED_HEADS = replace(
    small_model(moe=True, hidden=48, experts=6, ffn=40), name="tiny-qwen3", family=QWEN3_MOE, qk_norm=PER_HEAD
)

NORMED_TOGETHER = replace(
    small_model(moe=True, kv_heads=4, experts=6, ffn=40),
    name="tiny-olmoe",
    family=OLMOE,
    qk_norm=ALL_HEADS,
    gating=Gating(normalise=False),
)

ABSORBED_LATENT = replace(
    small_model(moe=True, experts=8, experts_per_token=3, ffn=40, kv_heads=1, head_dim=24, layers=2),
    name="tiny-deepseek",
    family=DEEPSEEK_V3,
    gating=Gating(
        scoring=SIGMOID,
        scale=2.5,
        groups=4,
        kept_groups=2,
        corrected=True,
        shared_ffn=40,
        dense_layers=1,
        dense_ffn=96,
    ),
    latent=Latent(q_rank=40, kv_rank=32, nope=16, rope=8, value=16),
    score_factor=1.25,
)

EXPANDED_LATENT = with_form(ABSORBED_LATENT, EXPANDED)

FAMILIES = {
    "biased": BIASED,
    "learned": LEARNED,
    "normed-heads": NORMED_HEADS,
    "normed-together": NORMED_TOGETHER,
    "absorbed": ABSORBED_LATENT,
    "expanded": EXPANDED_LATENT,
}
"""By what is particular; latent attention in both forms."""
