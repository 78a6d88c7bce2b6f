import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import WorkloadError
from nmpsim.workload import MIXTRAL, parse_config
from tests.unit.workload.configs import LLAMA_CONFIG, MIXTRAL_CONFIG, changed, model_of, valid_configs


def faults_of(config):
    with pytest.raises(WorkloadError) as caught:
        model_of(config)
    return caught.value.faults


def only_fault(config):
    (fault,) = faults_of(config)
    return fault


def test_fields_of_a_dense_model():
    model = model_of(LLAMA_CONFIG)
    assert (model.layers, model.hidden, model.heads, model.kv_heads, model.head_dim) == (3, 64, 8, 2, 8)
    assert (model.ffn, model.vocab, model.max_positions) == (96, 1000, 128)
    assert (model.experts, model.experts_per_token, model.is_moe) == (0, 0, False)
    assert (model.tie_embeddings, model.rms_eps, model.rope_theta) == (False, 1e-5, 10000.0)


def test_fields_of_a_mixture_of_experts():
    model = model_of(MIXTRAL_CONFIG)
    assert (model.family, model.experts, model.experts_per_token, model.is_moe) == (MIXTRAL, 6, 2, True)


def test_explicit_head_width_wins_over_the_quotient():
    assert model_of(changed(LLAMA_CONFIG, head_dim=24)).head_dim == 24
    assert model_of(changed(LLAMA_CONFIG, head_dim=None)).head_dim == 8


def test_explicit_head_width_frees_the_model_width():
    assert model_of(changed(LLAMA_CONFIG, head_dim=24, hidden_size=65)).hidden == 65


def test_rotary_base_may_stand_in_rope_parameters():
    config = changed(LLAMA_CONFIG, rope_theta=..., rope_parameters={"rope_theta": 5e5, "rope_type": "llama3"})
    assert model_of(config).rope_theta == 5e5


def test_frequency_scaling_is_taken():
    scaling = {"factor": 8.0, "rope_type": "llama3"}
    assert model_of(changed(LLAMA_CONFIG, rope_scaling=scaling)).hidden == 64
    assert model_of(changed(LLAMA_CONFIG, rope_scaling=None)).hidden == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_bias": False},
        {"mlp_bias": None},
        {"quantization_config": None},
        {"sliding_window": None},
        {"sliding_window": 128},
        {"torch_dtype": "bfloat16"},
        {"a_key_of_the_future": [1, 2]},
    ],
)
def test_keys_without_effect_are_taken(changes):
    assert model_of(changed(LLAMA_CONFIG, **changes)).hidden == 64


@given(valid_configs())
def test_every_valid_configuration_is_taken(config):
    model = model_of(config)
    assert model.hidden == config["hidden_size"]
    assert model.head_dim == config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])


# --- architecture


def test_other_architecture_is_refused_by_name_with_the_supported_ones():
    fault = faults_of(changed(LLAMA_CONFIG, architectures=["GemmaForCausalLM"], model_type="gemma"))[0]
    assert str(fault) == (
        "small.json: architectures: got the architecture GemmaForCausalLM; allowed: one of LlamaForCausalLM (llama), "
        "MixtralForCausalLM (mixtral), OPTForCausalLM (opt), Qwen2ForCausalLM (qwen2), "
        "Qwen3MoeForCausalLM (qwen3_moe), OlmoeForCausalLM (olmoe), "
        "DeepseekV3ForCausalLM (deepseek_v3); choose a model of a supported architecture"
    )


def test_model_type_must_fit_the_architecture():
    fault = only_fault(changed(LLAMA_CONFIG, model_type="mixtral"))
    assert (fault.where, fault.got, fault.allowed) == ("small.json: model_type", "'mixtral'", "llama")


@pytest.mark.parametrize("architectures", [[], ["LlamaForCausalLM", "MixtralForCausalLM"], "LlamaForCausalLM", [3], 7])
def test_architectures_is_a_list_of_one_name(architectures):
    fault = only_fault(changed(LLAMA_CONFIG, architectures=architectures))
    assert fault.where == "small.json: architectures"


def test_missing_architecture_and_model_type_are_both_told():
    wheres = [fault.where for fault in faults_of({})]
    assert wheres == ["small.json: architectures", "small.json: model_type"]


# --- keys


@pytest.mark.parametrize("key", sorted(set(LLAMA_CONFIG) - {"architectures", "model_type"}))
def test_each_dense_key_is_required(key):
    fault = only_fault(changed(LLAMA_CONFIG, **{key: ...}))
    assert (fault.where, fault.got) == (f"small.json: {key}", "no such key")


@pytest.mark.parametrize("key", ["num_local_experts", "num_experts_per_tok"])
def test_each_expert_key_is_required(key):
    assert only_fault(changed(MIXTRAL_CONFIG, **{key: ...})).where == f"small.json: {key}"


def test_misspelt_key_is_pointed_out():
    fault = only_fault(changed(LLAMA_CONFIG, vocab_size=..., vocab_sise=1000))
    assert (fault.where, fault.todo) == ("small.json: vocab_size", "rename 'vocab_sise'")


INTEGER_KEYS = [
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "vocab_size",
    "num_local_experts",
    "num_experts_per_tok",
]


@pytest.mark.parametrize("value", [0, -4, 4.0, "4", True, None, [4], 2**31])
@pytest.mark.parametrize("key", INTEGER_KEYS)
def test_dimensions_are_positive_integers(key, value):
    fault = only_fault(changed(MIXTRAL_CONFIG, **{key: value}))
    assert (fault.where, fault.got) == (f"small.json: {key}", repr(value))
    assert fault.allowed.startswith("an integer in 1..")


@pytest.mark.parametrize("value", [0, -1e-5, "1e-5", True, None, 10**400])
@pytest.mark.parametrize("key", ["rms_norm_eps", "rope_theta"])
def test_real_numbers_are_positive(key, value):
    fault = only_fault(changed(LLAMA_CONFIG, **{key: value}))
    assert (fault.where, fault.allowed) == (f"small.json: {key}", "a positive number")


@pytest.mark.parametrize("value", [0, "false", None])
def test_tied_embeddings_is_a_truth_value(value):
    fault = only_fault(changed(LLAMA_CONFIG, tie_word_embeddings=value))
    assert fault.allowed == "true or false"


@pytest.mark.parametrize(
    ("changes", "where", "allowed"),
    [
        ({"num_key_value_heads": 3}, "num_key_value_heads", "a divisor of num_attention_heads = 8"),
        ({"num_key_value_heads": 16}, "num_key_value_heads", "a divisor of num_attention_heads = 8"),
        ({"hidden_size": 65}, "hidden_size", "a multiple of num_attention_heads = 8"),
        ({"hidden_size": 24}, "hidden_size", "heads of even width (rotary halves)"),
        ({"hidden_size": 40}, "hidden_size", "heads of even width (rotary halves)"),
        ({"head_dim": 7}, "head_dim", "an even number (rotary halves)"),
        ({"head_dim": 0}, "head_dim", "an integer in 1..2147483647"),
        ({"hidden_act": "gelu"}, "hidden_act", "'silu'"),
        ({"attention_bias": True}, "attention_bias", "false, null or no such key"),
        ({"attention_bias": 0}, "attention_bias", "false, null or no such key"),
        ({"mlp_bias": True}, "mlp_bias", "false, null or no such key"),
        (
            {"quantization_config": {}},
            "quantization_config",
            "null, no such key, fp8 with square blocks, or gptq of 4 or 8 bits, symmetric, in groups, without desc_act",
        ),
        ({"rope_scaling": "linear"}, "rope_scaling", "an object or null"),
        ({"num_local_experts": 8}, "num_local_experts", "no such key in a dense LlamaForCausalLM"),
    ],
)
def test_what_the_graph_cannot_express_is_refused(changes, where, allowed):
    fault = only_fault(changed(LLAMA_CONFIG, **changes))
    assert (fault.where, fault.allowed) == (f"small.json: {where}", allowed)


@pytest.mark.parametrize("window", [127, 0, True, "full"])
def test_active_sliding_window_is_refused(window):
    fault = only_fault(changed(MIXTRAL_CONFIG, sliding_window=window))
    assert (fault.where, fault.got) == ("small.json: sliding_window", repr(window))


def test_no_more_experts_per_token_than_experts():
    fault = only_fault(changed(MIXTRAL_CONFIG, num_experts_per_tok=7))
    assert (fault.got, fault.allowed) == ("7", "1..6 (num_local_experts)")


def test_all_faults_come_at_once():
    broken = changed(
        MIXTRAL_CONFIG,
        hidden_size=-64,
        vocab_size=...,
        num_key_value_heads=3,
        hidden_act="relu",
        quantization_config={"bits": 4},
        sliding_window=64,
        tie_word_embeddings="no",
    )
    wheres = sorted(fault.where.removeprefix("small.json: ") for fault in faults_of(broken))
    assert wheres == [
        "hidden_act",
        "hidden_size",
        "num_key_value_heads",
        "quantization_config",
        "sliding_window",
        "tie_word_embeddings",
        "vocab_size",
    ]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=3),
    max_leaves=4,
)


@given(key=st.sampled_from(sorted(MIXTRAL_CONFIG)), value=JSON_VALUES)
def test_any_value_is_taken_or_refused_as_a_workload_error_of_its_key(key, value):
    wheres = set()
    try:
        model = model_of({**MIXTRAL_CONFIG, key: value})
    except WorkloadError as error:
        wheres = {fault.where for fault in error.faults}
    else:
        assert model.heads % model.kv_heads == 0
    related = {
        "num_attention_heads": {"hidden_size", "num_key_value_heads"},
        "num_local_experts": {"num_experts_per_tok"},
    }
    assert wheres <= {f"small.json: {name}" for name in {key} | related.get(key, set())}


# --- text


def text_fault(raw):
    with pytest.raises(WorkloadError) as caught:
        parse_config(raw, "small", "small.json", "a test")
    (fault,) = caught.value.faults
    return fault


def test_corrupt_json_is_located():
    fault = text_fault(b'{\n  "hidden_size": 64,\n  "vocab_size" 1000\n}')
    assert fault.where == "small.json, line 3, column 16"
    assert fault.got == "corrupt JSON (Expecting ':' delimiter)"


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (b"[1, 2]", "a JSON list"),
        (b"null", "a JSON NoneType"),
        (b'{"rope_theta": NaN}', "corrupt JSON (NaN is no JSON number)"),
        (b'{"a": 1, "a": 2}', "the key twice"),
    ],
)
def test_other_texts_are_refused(raw, got):
    assert text_fault(raw).got == got


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe{}", b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000])
def test_unreadable_texts_are_refused(raw):
    assert text_fault(raw).got.startswith("corrupt JSON (")


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_as_a_workload_error(raw):
    with pytest.raises(WorkloadError):
        parse_config(raw, "small", "small.json", "a test")


def test_the_hash_is_that_of_the_bytes():
    raw = json.dumps(LLAMA_CONFIG).encode()
    one = parse_config(raw, "small", "small.json", "a test")
    other = parse_config(raw + b"\n", "small", "small.json", "a test")
    assert len(one.sha256) == 64
    assert one.sha256 != other.sha256
