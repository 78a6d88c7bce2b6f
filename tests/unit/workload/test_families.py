"""Every family from its real file: parameters, totals by hand, and what a changed field does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import WorkloadError
from nmpsim.workload import (
    ABSORBED,
    EXPANDED,
    OperatorKind,
    catalog,
    decode_step,
    footprint_bytes,
    load_model,
    model_names,
    with_form,
)
from tests.unit.workload.checkpoint import checkpoint_tensors
from tests.unit.workload.configs import changed, model_of


def config_of(name):
    return json.loads((catalog.catalog_folder() / name / "config.json").read_text(encoding="utf-8"))


def faults_of(config):
    with pytest.raises(WorkloadError) as caught:
        model_of(config)
    return caught.value.faults


def only_fault(config):
    (fault,) = faults_of(config)
    return fault.where.removeprefix("small.json: "), fault.got, fault.allowed


# Published: Qwen2.5-32B 32.5B and Qwen3-30B-A3B 30.5B (model cards, with 3.3B active); OLMoE-1B-7B 6.9B (arXiv
# 2409.02060, Table 1); OPT-66B (arXiv 2205.01068); Llama 3.1 405B (arXiv 2407.21783); DeepSeek-V3 671B (arXiv
# 2412.19437, abstract; its checkpoint has one more layer for multi-token prediction, which decoding does not run).
PARAMETERS = {
    "deepseek-v3": (671_026_419_200, 671.0),
    "llama-3.1-405b": (405_853_388_800, 405.9),
    "llama-3.1-70b": (70_553_706_496, 70.6),
    "llama-3.1-8b": (8_030_261_248, 8.0),
    "mixtral-8x7b": (46_702_792_704, 46.7),
    "olmoe-1b-7b": (6_919_161_856, 6.9),
    "opt-66b": (65_719_701_504, 65.7),
    "qwen2.5-32b": (32_763_876_352, 32.8),
    "qwen3-30b-a3b": (30_532_122_624, 30.5),
}


def test_all_shipped_models_are_in_the_table():
    assert tuple(PARAMETERS) == model_names()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_ones(name):
    exact, billions = PARAMETERS[name]
    assert load_model(name).parameters == exact
    assert round(exact / 1e9, 1) == billions


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_of_the_tensors_of_the_checkpoint(name):
    """An independent reader lists the tensors of a checkpoint by name and shape from the same file."""
    tensors = checkpoint_tensors(config_of(name))
    assert sum(rows * columns for rows, columns in tensors.values()) == load_model(name).parameters


@pytest.mark.parametrize("form", [ABSORBED, EXPANDED])
def test_the_form_of_latent_attention_changes_no_parameter(form):
    assert with_form(load_model("deepseek-v3"), form).parameters == 671_026_419_200


def test_a_model_without_latent_has_no_form():
    with pytest.raises(WorkloadError, match=r"qwen2\.5-32b has none"):
        with_form(load_model("qwen2.5-32b"), ABSORBED)
    with pytest.raises(WorkloadError, match="absorbed or expanded"):
        with_form(load_model("deepseek-v3"), "naive")


# --- deepseek-v3, layers 2 to 5, batch 32, by hand


def test_deepseek_layers_2_to_5_with_batch_32():
    """D 7168, H 128, q 1536, kv 512, rope 64, nope 128, v 128; layer 2 dense (F 18432), 3 to 5 of 256 experts (2048).

    Attention of a layer: latent 7168 x 2112 = 15,138,816; q_up 1536 x 24576 = 37,748,736; absorb 128 x 128 x 512 =
    8,388,608; value_up the same; attn_out 16384 x 7168 = 117,440,512: together 187,105,280.
    Dense network 3 x 7168 x 18432 = 396,361,728.  Router 7168 x 256 = 1,835,008, shared expert 3 x 7168 x 2048 =
    44,040,192, and as much for each routed expert with a token: their number per layer is in the routing.
    LM head 7168 x 129280 = 926,679,040.
    """
    model = load_model("deepseek-v3")
    batch, context = 32, 1024
    graph = decode_step(model, batch, context, 4, first_layer=2)
    attention, dense, expert, router, head = 187_105_280, 396_361_728, 44_040_192, 1_835_008, 926_679_040
    chosen = graph.routing.assignment
    distinct = {layer: len({e for token in chosen[layer] for e in token}) for layer in (3, 4, 5)}
    assert graph.distinct_experts == distinct
    read = 4 * attention + dense + 3 * (router + expert) + sum(distinct.values()) * expert + head
    assert graph.weight_bytes == 2 * read
    scores, values = 128 * 576 * context, 128 * 512 * context
    active = 4 * attention + dense + 3 * (router + 9 * expert) + head
    assert graph.macs == batch * (active + 4 * (scores + values))
    assert graph.kv_read_bytes == 2 * batch * 4 * context * (576 + 512)
    assert graph.kv_write_bytes == 2 * batch * 4 * (576 + 512)
    gains = 4 * (2 * 7168 + 1536 + 512) + 7168
    assert graph.gain_bytes == 2 * gains + 3 * 4 * 256
    names = {operator.name for operator in graph}
    assert {"layer2.down", "layer3.shared.down", "layer5.router"} <= names
    assert not {"layer2.router", "layer1.latent", "layer6.latent"} & names


def test_deepseek_expanded_reads_the_cache_of_every_head():
    graph = decode_step(with_form(load_model("deepseek-v3"), EXPANDED), 2, 100, 1)
    assert graph.kv_read_bytes == 2 * 2 * 128 * (192 + 128) * 100
    assert graph.of_kind(OperatorKind.KV_UP)[0].weight_bytes == 2 * 512 * 128 * 256
    assert not graph.of_kind(OperatorKind.ABSORB)


def test_scores_of_deepseek_have_the_factor_of_yarn():
    """0.1 ln 40 + 1 = 1.368888; its square over the root of 192."""
    assert load_model("deepseek-v3").score_scale == pytest.approx(1.368888**2 / 192**0.5, rel=1e-5)


# --- what else is charged


@pytest.mark.parametrize(
    ("name", "kinds", "vectors"),
    [
        ("opt-66b", {"position", "up"}, 64 * (27_648 + 9216 + 36_864 + 9216 + 4 * 9216) + 2 * 9216),
        ("qwen2.5-32b", {"rope", "gate_up"}, 64 * (7168 + 2 * 5120) + 5120),
        ("qwen3-30b-a3b", {"qk_norm", "router"}, 48 * (2 * 128 + 2 * 2048) + 2048),
        ("olmoe-1b-7b", {"qk_norm", "router"}, 16 * (2 * 2048 + 2 * 2048) + 2048),
        ("llama-3.1-405b", {"rope"}, 126 * 2 * 16384 + 16384),
    ],
)
def test_gains_and_biases_by_hand(name, kinds, vectors):
    graph = decode_step(load_model(name), 1, 1)
    assert kinds <= {operator.kind.value for operator in graph}
    assert graph.gain_bytes == 2 * vectors


def test_opt_has_no_rotation_and_reads_one_row_of_positions():
    graph = decode_step(load_model("opt-66b"), 3, 7, 1)
    assert not graph.of_kind(OperatorKind.ROPE)
    assert graph.embedding_bytes == 2 * 9216 * (3 + 1)


# --- errors


def test_opt_knows_2048_positions():
    model = load_model("opt-66b")
    assert decode_step(model, 1, 2048, 1).context == 2048
    with pytest.raises(WorkloadError, match=r"context: got 2049; allowed: an integer in 1\.\.2048"):
        decode_step(model, 1, 2049, 1)


@pytest.mark.parametrize(
    ("name", "changes", "where", "allowed"),
    [
        ("opt-66b", {"num_attention_heads": 70}, "hidden_size", "a multiple of num_attention_heads = 70"),
        ("opt-66b", {"activation_function": "gelu"}, "activation_function", "'relu'"),
        ("opt-66b", {"do_layer_norm_before": False}, "do_layer_norm_before", "true or no such key"),
        ("opt-66b", {"word_embed_proj_dim": 512}, "word_embed_proj_dim", "9216"),
        ("qwen2.5-32b", {"num_key_value_heads": 7}, "num_key_value_heads", "a divisor of num_attention_heads = 40"),
        ("qwen3-30b-a3b", {"decoder_sparse_step": 2}, "decoder_sparse_step", "1: experts in every layer"),
        ("qwen3-30b-a3b", {"mlp_only_layers": [3]}, "mlp_only_layers", "[]: experts in every layer"),
        ("qwen3-30b-a3b", {"norm_topk_prob": ...}, "norm_topk_prob", "true or false"),
        ("olmoe-1b-7b", {"num_experts_per_tok": 65}, "num_experts_per_tok", "1..64 (num_experts)"),
        ("olmoe-1b-7b", {"clip_qkv": 8.0}, "clip_qkv", "null or no such key"),
        ("deepseek-v3", {"num_key_value_heads": 8}, "num_key_value_heads", "num_attention_heads = 128"),
        ("deepseek-v3", {"n_group": 7}, "n_group", "a divisor of n_routed_experts = 256"),
        ("deepseek-v3", {"n_group": 256}, "n_group", "at least 2 of 256 experts in a group"),
        ("deepseek-v3", {"topk_group": 9}, "topk_group", "1..8 (n_group)"),
        ("deepseek-v3", {"scoring_func": "softmax"}, "scoring_func", "'sigmoid'"),
        ("deepseek-v3", {"topk_method": "greedy"}, "topk_method", "'noaux_tc'"),
        ("deepseek-v3", {"first_k_dense_replace": -1}, "first_k_dense_replace", "an integer of at least 0"),
        ("deepseek-v3", {"qk_rope_head_dim": 63}, "qk_rope_head_dim", "an even number (rotary halves)"),
        (
            "deepseek-v3",
            {"quantization_config": {"quant_method": "awq"}},
            "quantization_config",
            "null, no such key, fp8 with square blocks, or gptq of 4 or 8 bits, symmetric, in groups, without desc_act",
        ),
    ],
)
def test_what_is_not_modelled_is_refused(name, changes, where, allowed):
    found = only_fault(changed(config_of(name), **changes))
    assert (found[0], found[2]) == (where, allowed)


def test_groups_must_hold_the_experts_of_a_token():
    where, got, allowed = only_fault(changed(config_of("deepseek-v3"), n_group=64, topk_group=1))
    assert (where, got) == ("topk_group", "1 groups of 4 experts")
    assert allowed == "groups that hold num_experts_per_tok = 8 experts"


# --- a changed field changes the counts as arithmetic says

FIELDS = {
    "qwen2.5-32b": ("hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers"),
    "qwen3-30b-a3b": ("hidden_size", "moe_intermediate_size", "num_experts", "head_dim"),
    "olmoe-1b-7b": ("intermediate_size", "num_experts", "vocab_size"),
    "opt-66b": ("ffn_dim", "vocab_size", "num_hidden_layers"),
    "deepseek-v3": (
        "hidden_size",
        "q_lora_rank",
        "kv_lora_rank",
        "v_head_dim",
        "qk_nope_head_dim",
        "moe_intermediate_size",
        "intermediate_size",
        "n_shared_experts",
        "first_k_dense_replace",
    ),
}


@given(data=st.data(), name=st.sampled_from(sorted(FIELDS)))
def test_a_changed_field_changes_parameters_and_footprint_as_the_checkpoint_says(data, name):
    config = config_of(name)
    field = data.draw(st.sampled_from(FIELDS[name]))
    step = {"hidden_size": 2 * config["num_attention_heads"], "num_experts": 8, "head_dim": 2}.get(field, 1)
    config[field] += step * data.draw(st.integers(1, 5))
    config["num_hidden_layers"] = min(config["num_hidden_layers"], 9)
    model = model_of(config)
    tensors = checkpoint_tensors(config)
    assert model.parameters == sum(rows * columns for rows, columns in tensors.values())
    weights = 2 * model.parameters + 2 * sum(columns for key, (_, columns) in tensors.items() if "correction" in key)
    assert footprint_bytes(model, 1, 1) == weights + model.layers * model.kv_bytes_per_token


@given(heads=st.integers(1, 12), width=st.integers(1, 40), batch=st.integers(1, 4), context=st.integers(1, 90))
def test_attention_work_of_a_changed_latent_is_arithmetic(heads, width, batch, context):
    config = changed(config_of("deepseek-v3"), num_attention_heads=heads, num_key_value_heads=heads)
    config |= {"kv_lora_rank": width, "num_hidden_layers": 1}
    graph = decode_step(model_of(config), batch, context)
    score, value = graph.of_kind(OperatorKind.SCORE)[0], graph.of_kind(OperatorKind.VALUE)[0]
    assert score.macs == batch * heads * context * (width + 64)
    assert value.macs == batch * heads * context * width
    assert graph.kv_read_bytes == 2 * batch * context * (2 * width + 64)


GRAPH_FIELDS = {
    "llama-3.1-8b": ("hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size"),
    "mixtral-8x7b": ("hidden_size", "num_local_experts", "num_attention_heads", "intermediate_size"),
}


@given(data=st.data(), name=st.sampled_from(sorted(GRAPH_FIELDS)), batch=st.integers(1, 5), context=st.integers(1, 99))
def test_a_changed_field_changes_the_counts_of_a_step_as_arithmetic_says(data, name, batch, context):
    """Hidden size, heads, experts: MACs, weights and cache of one layer and the LM head, written out by hand."""
    config = config_of(name)
    field = data.draw(st.sampled_from(GRAPH_FIELDS[name]))
    factor = data.draw(st.sampled_from((1, 2, 4)))
    config["head_dim"] = 128  # stays as it is where hidden size or heads change
    config[field] *= factor
    config["num_attention_heads"] = max(config["num_attention_heads"], config["num_key_value_heads"])
    config["num_hidden_layers"] = 1
    hidden, heads, keys = (config[f] for f in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    width, vocab = config["intermediate_size"], config["vocab_size"]
    graph = decode_step(model_of(config), batch, context)
    attention = hidden * 128 * (heads + 2 * keys) + heads * 128 * hidden
    network = 3 * hidden * width
    read, active = network, network * batch
    if "num_local_experts" in config:
        router = hidden * config["num_local_experts"]
        read = router + len(graph.routing.tokens[0]) * network
        active = batch * (router + config["num_experts_per_tok"] * network)
    assert graph.weight_bytes == 2 * (attention + read + hidden * vocab)
    assert graph.macs == batch * (attention + hidden * vocab + 2 * heads * 128 * context) + active
    assert graph.kv_read_bytes == 2 * batch * context * 2 * keys * 128
    assert graph.kv_write_bytes == 2 * batch * 2 * keys * 128
