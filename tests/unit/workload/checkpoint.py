"""An independent reader: names and shapes of the tensors of a checkpoint, from a ``config.json`` alone.

Written from the modules of the published model code (names of the released checkpoints), not from `nmpsim.workload`.
"""


def checkpoint_tensors(config):
    """Name -> (rows, columns); vectors have one row.  A tied LM head is not listed."""
    reader = {"opt": _opt, "deepseek_v3": _deepseek}.get(config["model_type"], _llama_like)
    return reader(config)


def _linear(tensors, name, inputs, outputs, bias=False):
    tensors[f"{name}.weight"] = (outputs, inputs)
    if bias:
        tensors[f"{name}.bias"] = (1, outputs)


def _mlp(tensors, name, hidden, width):
    for part in ("gate_proj", "up_proj"):
        _linear(tensors, f"{name}.{part}", hidden, width)
    _linear(tensors, f"{name}.down_proj", width, hidden)


def _outside(tensors, config):
    tensors["model.embed_tokens.weight"] = (config["vocab_size"], config["hidden_size"])
    tensors["model.norm.weight"] = (1, config["hidden_size"])
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = (config["vocab_size"], config["hidden_size"])


def _llama_like(config):
    kind, hidden = config["model_type"], config["hidden_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim") or hidden // heads
    tensors = {}
    _outside(tensors, config)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        for projection, outputs in (("q_proj", heads), ("k_proj", kv_heads), ("v_proj", kv_heads)):
            _linear(tensors, f"{block}.self_attn.{projection}", hidden, outputs * head, bias=kind == "qwen2")
        _linear(tensors, f"{block}.self_attn.o_proj", heads * head, hidden)
        if kind == "qwen3_moe":
            tensors[f"{block}.self_attn.q_norm.weight"] = tensors[f"{block}.self_attn.k_norm.weight"] = (1, head)
        if kind == "olmoe":
            tensors[f"{block}.self_attn.q_norm.weight"] = (1, heads * head)
            tensors[f"{block}.self_attn.k_norm.weight"] = (1, kv_heads * head)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}.{norm}.weight"] = (1, hidden)
        experts = config.get("num_local_experts", config.get("num_experts"))
        if experts is None:
            _mlp(tensors, f"{block}.mlp", hidden, config["intermediate_size"])
            continue
        _linear(tensors, f"{block}.mlp.gate", hidden, experts)
        for expert in range(experts):
            width = config.get("moe_intermediate_size", config["intermediate_size"])
            _mlp(tensors, f"{block}.mlp.experts.{expert}", hidden, width)
    return tensors


def _opt(config):
    hidden, ffn = config["hidden_size"], config["ffn_dim"]
    tensors = {
        "decoder.embed_tokens.weight": (config["vocab_size"], hidden),
        "decoder.embed_positions.weight": (config["max_position_embeddings"] + 2, hidden),
        "decoder.final_layer_norm.weight": (1, hidden),
        "decoder.final_layer_norm.bias": (1, hidden),
    }
    for layer in range(config["num_hidden_layers"]):
        block = f"decoder.layers.{layer}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            _linear(tensors, f"{block}.self_attn.{projection}", hidden, hidden, bias=True)
        _linear(tensors, f"{block}.fc1", hidden, ffn, bias=True)
        _linear(tensors, f"{block}.fc2", ffn, hidden, bias=True)
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            tensors[f"{block}.{norm}.weight"] = tensors[f"{block}.{norm}.bias"] = (1, hidden)
    return tensors


def _deepseek(config):
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    q_rank, kv_rank = config["q_lora_rank"], config["kv_lora_rank"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    tensors = {}
    _outside(tensors, config)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        _linear(tensors, f"{block}.self_attn.q_a_proj", hidden, q_rank)
        tensors[f"{block}.self_attn.q_a_layernorm.weight"] = (1, q_rank)
        _linear(tensors, f"{block}.self_attn.q_b_proj", q_rank, heads * (nope + rope))
        _linear(tensors, f"{block}.self_attn.kv_a_proj_with_mqa", hidden, kv_rank + rope)
        tensors[f"{block}.self_attn.kv_a_layernorm.weight"] = (1, kv_rank)
        _linear(tensors, f"{block}.self_attn.kv_b_proj", kv_rank, heads * (nope + value))
        _linear(tensors, f"{block}.self_attn.o_proj", heads * value, hidden)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{block}.{norm}.weight"] = (1, hidden)
        if layer < config["first_k_dense_replace"]:
            _mlp(tensors, f"{block}.mlp", hidden, config["intermediate_size"])
            continue
        width = config["moe_intermediate_size"]
        _linear(tensors, f"{block}.mlp.gate", hidden, config["n_routed_experts"])
        tensors[f"{block}.mlp.gate.e_score_correction_bias"] = (1, config["n_routed_experts"])
        _mlp(tensors, f"{block}.mlp.shared_experts", hidden, config["n_shared_experts"] * width)
        for expert in range(config["n_routed_experts"]):
            _mlp(tensors, f"{block}.mlp.experts.{expert}", hidden, width)
    return tensors
