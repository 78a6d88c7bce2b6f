"""Small configurations of both families, and a Hypothesis strategy over valid ones."""

import json

from hypothesis import strategies as st

from nmpsim.workload import parse_config

LLAMA_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "num_attention_heads": 8,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 1000,
}
MIXTRAL_CONFIG = {
    **LLAMA_CONFIG,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "sliding_window": None,
}


def model_of(config):
    """Model of a configuration given as a dict."""
    return parse_config(json.dumps(config).encode(), "small", "small.json", "a test")


def changed(config, **changes):
    """A configuration with some keys changed; a key set to ``...`` is left out."""
    return {key: value for key, value in {**config, **changes}.items() if value is not ...}


@st.composite
def valid_configs(draw):
    """Configurations of either family, with and without an explicit head width and a tied LM head."""
    kv_heads = draw(st.integers(1, 4))
    heads = kv_heads * draw(st.integers(1, 4))
    head_dim = 2 * draw(st.integers(1, 16))
    config = dict(draw(st.sampled_from([LLAMA_CONFIG, MIXTRAL_CONFIG])))
    config |= {
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "num_hidden_layers": draw(st.integers(1, 4)),
        "intermediate_size": draw(st.integers(1, 200)),
        "vocab_size": draw(st.integers(1, 500)),
        "max_position_embeddings": draw(st.integers(1, 300)),
        "tie_word_embeddings": draw(st.booleans()),
    }
    if draw(st.booleans()):
        config |= {"head_dim": head_dim, "hidden_size": draw(st.integers(1, 100))}
    else:
        config["hidden_size"] = heads * head_dim
    if "num_local_experts" in config:
        config["num_local_experts"] = draw(st.integers(1, 6))
        config["num_experts_per_tok"] = draw(st.integers(1, config["num_local_experts"]))
    return config
