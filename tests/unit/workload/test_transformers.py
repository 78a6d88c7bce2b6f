"""Shapes against an independent reader of the same files: the configuration classes of transformers, without torch."""

import pytest
import transformers

from nmpsim.workload import catalog, load_model, model_names


@pytest.fixture(scope="module", params=model_names())
def pair(request):
    """The same file, read by both."""
    folder = catalog.catalog_folder() / request.param
    return load_model(request.param), transformers.AutoConfig.from_pretrained(folder, local_files_only=True)


def first_of(config, *names):
    """The first attribute that the configuration has."""
    return next(getattr(config, name) for name in names if getattr(config, name, None) is not None)


def test_dimensions_are_those_that_transformers_reads(pair):
    model, config = pair
    assert model.layers == config.num_hidden_layers
    assert model.hidden == config.hidden_size
    assert model.heads == config.num_attention_heads
    assert model.vocab == config.vocab_size
    assert model.max_positions == config.max_position_embeddings
    assert model.tie_embeddings == config.tie_word_embeddings


def test_heads_and_their_widths_are_those_that_transformers_reads(pair):
    model, config = pair
    if model.latent is not None:
        latent = model.latent
        told = (latent.q_rank, latent.kv_rank, latent.nope, latent.rope, latent.value)
        names = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        assert told == tuple(getattr(config, name) for name in names)
        return
    assert model.kv_heads == (getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    assert model.head_dim == width
    assert model.qkv_width == (config.num_attention_heads + 2 * model.kv_heads) * width


def test_networks_and_experts_are_those_that_transformers_reads(pair):
    model, config = pair
    if not model.is_moe:
        assert model.ffn == first_of(config, "ffn_dim", "intermediate_size")
        return
    assert model.ffn == first_of(config, "moe_intermediate_size", "intermediate_size")
    assert model.experts == first_of(config, "n_routed_experts", "num_local_experts", "num_experts")
    assert model.experts_per_token == config.num_experts_per_tok
    if model.gating.dense_layers:
        assert model.gating.dense_layers == config.first_k_dense_replace
        assert model.gating.dense_ffn == config.intermediate_size
        assert model.gating.shared_ffn == config.n_shared_experts * config.moe_intermediate_size
        assert (model.gating.groups, model.gating.kept_groups) == (config.n_group, config.topk_group)
        assert model.gating.scale == config.routed_scaling_factor


def test_constants_are_those_that_transformers_reads(pair):
    model, config = pair
    if model.learned_positions:
        return
    assert model.rms_eps == config.rms_norm_eps
    assert model.rope_theta == config.rope_theta
