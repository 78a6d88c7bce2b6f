from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import WorkloadError
from nmpsim.workload import (
    OUTSIDE,
    OperatorKind,
    Routing,
    decode_step,
    footprint_bytes,
    load_model,
    synthetic_routing,
)
from tests.unit.workload.configs import LLAMA_CONFIG, MIXTRAL_CONFIG, changed, model_of, valid_configs

DENSE = model_of(LLAMA_CONFIG)
MOE = model_of(MIXTRAL_CONFIG)


def named(graph, name):
    (operator,) = [operator for operator in graph if operator.name == name]
    return operator


def operands(graph, name):
    return [graph[index].name for index in named(graph, name).depends]


# --- the totals of a real model


def test_totals_of_llama_8b_with_batch_16_and_context_4096():
    """By hand, D 4096, H 32, G 8, E 128, F 14336, V 128256, 32 layers, B 16, S 4096.

    One layer, elements: qkv 4096 x 6144 = 25,165,824; attn_out 4096 x 4096 = 16,777,216; gate_up 4096 x 28672 =
    117,440,512; down 14336 x 4096 = 58,720,256; together 218,103,808.  LM head 4096 x 128256 = 525,336,576.
    All: 32 x 218,103,808 + 525,336,576 = 7,504,658,432 elements = 15,009,316,864 B.
    KV: 2 (K, V) x 2 B x 8 x 128 x 4096 x 16 x 32 = 8,589,934,592 B.
    MACs: GEMM 16 x 7,504,658,432 = 120,074,534,912; attention 2 x 32 x 128 x 4096 x 16 x 32 = 17,179,869,184.
    """
    graph = decode_step(load_model("llama-3.1-8b"), 16, 4096)
    assert graph.weight_bytes == 15_009_316_864
    assert graph.embedding_bytes == 16 * 8192
    assert graph.kv_read_bytes == 8_589_934_592
    assert graph.kv_write_bytes == 2 * 2 * 8 * 128 * 16 * 32
    assert graph.gain_bytes == 65 * 8192
    assert graph.macs == 120_074_534_912 + 17_179_869_184
    assert graph.read_bytes == 15_009_316_864 + 16 * 8192 + 8_589_934_592 + 65 * 8192


def test_mixtral_reads_all_experts_when_all_have_tokens():
    """Router 4096 x 8 in each layer; with 256 tokens every expert of this routing has one, so all are read."""
    model = load_model("mixtral-8x7b")
    graph = decode_step(model, 256, 128)
    experts = 8 * 3 * 4096 * 14336
    layer = 4096 * 6144 + 4096 * 4096 + 4096 * 8 + experts
    assert all(len(layer) == 8 for layer in graph.routing.tokens)
    assert graph.weight_bytes == 2 * (32 * layer + 4096 * 32000)
    attention = 2 * 32 * 128 * 128 * 256 * 32
    active = 4096 * 6144 + 4096 * 4096 + 4096 * 8 + 2 * 3 * 4096 * 14336
    assert graph.macs == 256 * (32 * active + 4096 * 32000) + attention


# --- totals of any model


@given(config=valid_configs(), batch=st.integers(1, 9), data=st.data())
def test_totals_equal_the_formula(config, batch, data):
    model = model_of(config)
    layers = data.draw(st.integers(1, model.layers))
    context = data.draw(st.integers(1, model.max_positions))
    routing = (
        synthetic_routing(model, batch, layers, "zipf", 2.0, data.draw(st.integers(0, 9))) if model.is_moe else None
    )
    graph = decode_step(model, batch, context, layers, routing)

    width, ffn = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim", width // heads)
    experts, chosen = config.get("num_local_experts", 0), config.get("num_experts_per_tok", 1)
    used = [len({e for token in layer for e in token}) for layer in routing.assignment] if routing else [1] * layers
    attention = width * (heads + 2 * kv_heads) * head_dim + heads * head_dim * width
    head = width * config["vocab_size"]

    assert graph.weight_bytes == 2 * (layers * (attention + width * experts) + sum(used) * 3 * width * ffn + head)
    per_token = layers * (attention + width * experts + chosen * 3 * width * ffn) + head
    assert graph.macs == batch * per_token + layers * 2 * batch * heads * head_dim * context
    assert graph.kv_read_bytes == layers * 2 * 2 * batch * kv_heads * head_dim * context
    assert graph.kv_write_bytes == layers * 2 * 2 * batch * kv_heads * head_dim
    assert graph.gain_bytes == 2 * width * (2 * layers + 1)
    assert graph.embedding_bytes == 2 * width * batch
    vector = 4 * width + (heads + kv_heads) * head_dim + heads * context + chosen * ffn
    vector += experts + chosen * width if routing else 0
    assert graph.vector_elements == batch * (layers * vector + width + config["vocab_size"])


@given(config=valid_configs(), batch=st.integers(1, 9))
def test_the_graph_is_connected_and_in_order(config, batch):
    graph = decode_step(model_of(config), batch, 1)
    used = {index for operator in graph for index in operator.depends}
    assert used == set(range(len(graph) - 1))  # only the last one is read by nobody
    assert [index for index, operator in enumerate(graph) if not operator.depends] == [0]
    assert all(earlier < index for index, operator in enumerate(graph) for earlier in operator.depends)


@given(batch=st.integers(1, 12), seed=st.integers(0, 20))
def test_each_token_reaches_each_of_its_experts_once(batch, seed):
    routing = synthetic_routing(MOE, batch, seed=seed)
    graph = decode_step(MOE, batch, 8, routing=routing)
    for kind in (OperatorKind.GATHER, OperatorKind.COMBINE):
        pairs = [(op.layer, token, op.expert) for op in graph.of_kind(kind) for token in op.tokens]
        wanted = [
            (i, t, e) for i, layer in enumerate(routing.assignment) for t, experts in enumerate(layer) for e in experts
        ]
        assert sorted(pairs) == sorted(wanted)


# --- shapes and dependences


def test_dense_layer_in_order():
    graph = decode_step(DENSE, 2, 5, layers=1)
    assert [operator.name for operator in graph] == [
        "embedding",
        *(f"layer0.{part}" for part in ("attn_norm", "qkv", "rope", "kv_append", "score", "softmax", "value")),
        *(f"layer0.{part}" for part in ("attn_out", "attn_residual", "ffn_norm", "gate_up", "activation", "down")),
        "layer0.ffn_residual",
        "final_norm",
        "lm_head",
        "sampling",
    ]


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("layer0.attn_norm", ["embedding"]),
        ("layer0.rope", ["layer0.qkv"]),
        ("layer0.kv_append", ["layer0.qkv", "layer0.rope"]),
        ("layer0.score", ["layer0.rope", "layer0.kv_append"]),
        ("layer0.value", ["layer0.kv_append", "layer0.softmax"]),
        ("layer0.attn_residual", ["embedding", "layer0.attn_out"]),
        ("layer0.ffn_residual", ["layer0.attn_residual", "layer0.down"]),
        ("layer1.attn_norm", ["layer0.ffn_residual"]),
        ("layer1.attn_residual", ["layer0.ffn_residual", "layer1.attn_out"]),
        ("final_norm", ["layer2.ffn_residual"]),
        ("lm_head", ["final_norm"]),
        ("sampling", ["lm_head"]),
    ],
)
def test_dense_dependences(name, reads):
    assert operands(decode_step(DENSE, 2, 5), name) == reads


def test_expert_dependences():
    graph = decode_step(MOE, 3, 5, 1, Routing((((4, 1), (1, 4), (1, 2)),), "a test"))
    assert operands(graph, "layer0.topk") == ["layer0.router"]
    assert operands(graph, "layer0.expert1.gather") == ["layer0.ffn_norm", "layer0.topk"]
    assert operands(graph, "layer0.expert1.combine") == ["layer0.topk", "layer0.expert1.down"]
    assert operands(graph, "layer0.ffn_residual") == [
        "layer0.attn_residual",
        *(f"layer0.expert{expert}.combine" for expert in (1, 2, 4)),
    ]


def test_expert_shapes_follow_the_tokens():
    graph = decode_step(MOE, 3, 5, 1, Routing((((4, 1), (1, 4), (1, 2)),), "a test"))
    gate_up, down = named(graph, "layer0.expert4.gate_up"), named(graph, "layer0.expert4.down")
    assert (gate_up.m, gate_up.n, gate_up.k, gate_up.expert) == (2, 2 * 96, 64, 4)
    assert (down.m, down.n, down.k, down.expert) == (2, 64, 96, 4)
    assert named(graph, "layer0.expert4.gather").tokens == (0, 1)
    assert named(graph, "layer0.expert1.combine").tokens == (0, 1, 2)
    assert {operator.expert for operator in graph} == {OUTSIDE, 1, 2, 4}
    router = named(graph, "layer0.router")
    assert (router.m, router.n, router.k) == (3, 6, 64)


def test_attention_shapes():
    graph = decode_step(DENSE, 2, 5)
    qkv, score, value = (named(graph, f"layer1.{part}") for part in ("qkv", "score", "value"))
    assert (qkv.m, qkv.n, qkv.k) == (2, (8 + 2 * 2) * 8, 64)
    for operator in (score, value):
        shape = (operator.batch, operator.heads, operator.kv_heads, operator.head_dim, operator.context)
        assert shape == (2, 8, 2, 8, 5)
        assert operator.macs == 2 * 8 * 8 * 5
        assert operator.kv_read_bytes == 2 * 2 * 2 * 8 * 5
    assert named(graph, "layer1.softmax").vector_elements == 2 * 8 * 5


def test_layers_and_kinds_can_be_selected():
    graph = decode_step(DENSE, 2, 5)
    assert [operator.name for operator in graph.of_layer(OUTSIDE)] == ["embedding", "final_norm", "lm_head", "sampling"]
    assert len(graph.of_layer(1)) == 14
    assert len(graph.of_kind(OperatorKind.NORM)) == 7
    assert sum(len(graph.of_kind(kind)) for kind in OperatorKind) == len(graph)


def test_the_first_layers_are_the_same_in_a_shorter_graph():
    whole, short = decode_step(DENSE, 2, 5), decode_step(DENSE, 2, 5, layers=2)
    assert short.layers == 2
    for layer in range(2):
        assert short.of_layer(layer) == whole.of_layer(layer)


def test_without_a_routing_it_is_uniform_with_seed_0():
    graph = decode_step(MOE, 4, 5)
    assert graph.routing == synthetic_routing(MOE, 4)
    assert decode_step(DENSE, 4, 5).routing is None


def test_equal_steps_have_equal_hashes_and_others_not():
    assert decode_step(MOE, 4, 5).sha256 == decode_step(MOE, 4, 5, routing=synthetic_routing(MOE, 4)).sha256
    graphs = [
        decode_step(MOE, 4, 5),
        decode_step(MOE, 4, 6),
        decode_step(MOE, 5, 5),
        decode_step(MOE, 4, 5, 2),
        decode_step(MOE, 4, 5, routing=synthetic_routing(MOE, 4, seed=1)),
        decode_step(model_of(changed(MIXTRAL_CONFIG, rope_theta=1.0)), 4, 5),
    ]
    assert len({graph.sha256 for graph in graphs}) == len(graphs)


# --- limits


def test_all_faults_of_a_step_come_at_once():
    with pytest.raises(WorkloadError) as caught:
        decode_step(DENSE, 0, 129, 4)
    assert str(caught.value) == (
        "small: no such decode step\n"
        "  - batch: got 0; allowed: an integer in 1..65536; give the number of sequences decoded together\n"
        "  - context: got 129; allowed: an integer in 1..128; give the tokens of a sequence with the new one; small "
        "knows 128 positions\n"
        "  - layers: got 4; allowed: an integer in 1..3; give how many of the first layers to run, or leave it out for "
        "all 3 of small"
    )


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "2", None, 10**9])
@pytest.mark.parametrize("argument", ["batch", "context"])
def test_batch_and_context_are_counts(argument, value):
    for step in (decode_step, footprint_bytes):
        with pytest.raises(WorkloadError) as caught:
            step(DENSE, **{"batch": 2, "context": 2, argument: value})
        (fault,) = caught.value.faults
        assert (fault.where, fault.got) == (argument, repr(value))


@pytest.mark.parametrize("layers", [0, -1, 4, True, 1.0])
def test_layers_are_some_of_the_model(layers):
    for step in (decode_step, footprint_bytes):
        with pytest.raises(WorkloadError, match=r"layers: got .*; allowed: an integer in 1\.\.3"):
            step(DENSE, 2, 2, layers)


def test_the_longest_context_is_taken():
    assert decode_step(DENSE, 1, 128).context == 128
    assert decode_step(DENSE, 1, 1).context == 1


# --- footprint


def test_footprint_of_llama_8b():
    """8,030,261,248 parameters of 2 B, and 131,072 B of keys and values for each of 16 x 4096 tokens."""
    assert footprint_bytes(load_model("llama-3.1-8b"), 16, 4096) == 2 * 8_030_261_248 + 131_072 * 16 * 4096


@given(config=valid_configs(), batch=st.integers(1, 5))
def test_footprint_holds_everything_read_and_grows_by_layer(config, batch):
    model = model_of(config)
    sizes = [footprint_bytes(model, batch, 1, layers) for layers in range(1, model.layers + 1)]
    per_layer = model.layer_weight_bytes + batch * model.kv_bytes_per_token
    assert all(after - before == per_layer for before, after in pairwise(sizes))
    assert sizes[-1] == footprint_bytes(model, batch, 1)
    graph = decode_step(model, batch, 1)
    tied = config["tie_word_embeddings"]
    table = 2 * config["vocab_size"] * config["hidden_size"]
    read = graph.weight_bytes + graph.gain_bytes + graph.kv_read_bytes
    idle = sum(config.get("num_local_experts", 0) - len(used) for used in graph.routing.tokens) if graph.routing else 0
    unread = idle * 2 * 3 * config["hidden_size"] * config["intermediate_size"]
    assert sizes[-1] == read + unread + (0 if tied else table)
