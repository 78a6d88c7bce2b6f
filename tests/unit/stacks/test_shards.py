"""What the stacks hold and compute: parts of the whole, by arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.api import prepare
from nmpsim.errors import WorkloadError
from nmpsim.schedule.stacks import die_to_die_bytes
from nmpsim.workload import OperatorKind, decode_step, load_model, synthetic_routing
from nmpsim.workload.shards import choose_stacks, make_shard, shard_bytes
from tests.builders import KINDS, SNAKE, small_chip, small_model
from tests.families import ABSORBED_LATENT

SPLIT = {OperatorKind.SCORE, OperatorKind.VALUE, OperatorKind.ATTN_OUT, OperatorKind.LM_HEAD, OperatorKind.DOWN}


def graphs_of(model, batch, context, stacks, layers=None, first_layer=0, placement="blocks"):
    depth = None if layers is None else first_layer + layers
    routing = synthetic_routing(model, batch, depth) if model.is_moe else None
    shards = [make_shard(model, context, stacks, s, placement) for s in range(stacks)]
    return [decode_step(model, batch, context, layers, routing, first_layer, shard=shard) for shard in shards]


@given(
    groups=st.integers(1, 4),
    log_heads=st.integers(0, 3),
    log_stacks=st.integers(1, 3),
    ffn=st.integers(8, 90),
    vocab=st.integers(8, 99),
    context=st.integers(8, 60),
)
def test_work_of_all_stacks_is_that_of_the_model(groups, log_heads, log_stacks, ffn, vocab, context):
    """KV heads divide the stacks or the stacks them; whatever is not replicated adds up to the whole."""
    stacks = 2**log_stacks
    kv_heads = 2**log_heads
    heads = kv_heads * groups * max(1, stacks // kv_heads)
    model = small_model(heads=heads, kv_heads=kv_heads, ffn=ffn, vocab=vocab)
    whole = decode_step(model, 3, context)
    parts = graphs_of(model, 3, context, stacks)
    share = max(1, stacks // kv_heads)
    for kind in SPLIT:
        assert sum(o.macs for g in parts for o in g.of_kind(kind)) == sum(o.macs for o in whole.of_kind(kind))
    assert sum(g.kv_read_bytes for g in parts) == whole.kv_read_bytes
    assert sum(g.kv_write_bytes for g in parts) == whole.kv_write_bytes
    again = 2 * (share - 1) * 2 * kv_heads * 16 * model.hidden  # KV projections of heads that stacks share
    assert sum(g.weight_bytes for g in parts) == whole.weight_bytes + again


@pytest.mark.parametrize("placement", ["blocks", "round_robin"])
@pytest.mark.parametrize("stacks", [2, 3, 6])
def test_every_expert_lies_on_one_stack_and_every_token_is_computed_once(stacks, placement):
    model = small_model(moe=True, heads=6, kv_heads=6, experts=7)
    whole = decode_step(model, 5, 9)
    parts = graphs_of(model, 5, 9, stacks, placement=placement)
    assert sorted(e for g in parts for e in g.shard.experts) == list(range(7))
    for kind in (OperatorKind.GATE_UP, OperatorKind.DOWN, OperatorKind.COMBINE):
        found = sorted((o.expert, o.tokens, o.macs) for g in parts for o in g.of_kind(kind))
        assert found == sorted((o.expert, o.tokens, o.macs) for o in whole.of_kind(kind))
    assert sum(sum(g.distinct_experts.values()) for g in parts) == sum(whole.distinct_experts.values())
    assert all(g.of_kind(OperatorKind.ROUTER)[0].macs == whole.of_kind(OperatorKind.ROUTER)[0].macs for g in parts)


def test_llama_70b_over_8_stacks_by_hand(capsys):
    """D 8192, H 64, G 8, E 128, F 28672, V 128256; one of 8 stacks, batch 16, context 4096, 80 layers.

    A stack: qkv 8192 x (8 + 2) 128, attn_out 1024 x 8192, gate_up 8192 x 2 x 3584, down 3584 x 8192 a layer, and
    8192 x 16032 of the LM head; its KV head: 2 x 128 columns of 16 x 4096 tokens.
    Resident beside the weights: 1024 of 8192 columns of the embedding table, and all norms.
    Die to die: 7 of 8 pieces of 16 x 8192 in FP16 for the embedding; 2 all-reduces a layer, the same in FP32 and in
    FP16; 7 x 16 pairs of 8 B.
    """
    layer = 8192 * 1280 + 1024 * 8192 + 8192 * 7168 + 3584 * 8192
    weights = 2 * (80 * layer + 8192 * 16032)
    cache = 2 * 80 * 16 * 4096 * 2 * 128
    macs = 16 * (80 * layer + 8192 * 16032) + 80 * 16 * 8 * 2 * 128 * 4096
    resident = weights + 2 * (128256 * 1024 + (80 * 2 + 1) * 8192)
    for graph in graphs_of(load_model("llama-3.1-70b"), 16, 4096, 8):
        assert (graph.weight_bytes, graph.kv_read_bytes, graph.macs) == (weights, cache, macs)
        assert shard_bytes(graph.shard, 16, 0, 80) == (resident, cache)
    with capsys.disabled():
        print(f"\na stack of 8: {weights:,} B of weights read, {cache:,} B of cache read, {macs:,} MACs")


def test_deepseek_shards_layers_2_to_5_with_batch_32_by_hand(capsys):
    """Of 8 stacks, 16 heads each; the whole latent projection, 1 / 8 of the context of 1024 tokens for all 128 heads.

    Attention of a layer: latent 7168 x 2112, q_up 1536 x 16 x 192, absorb and value_up 16 x 128 x 512 each, attn_out
    16 x 128 x 7168.  Dense network 3 x 7168 x 2304, shared expert 3 x 7168 x 256, router 7168 x 256, an expert
    3 x 7168 x 2048, LM head 7168 x 16160.
    """
    attention = 7168 * 2112 + 1536 * 16 * 192 + 2 * 16 * 128 * 512 + 16 * 128 * 7168
    once = 4 * attention + 3 * 7168 * 2304 + 3 * (3 * 7168 * 256 + 7168 * 256) + 7168 * 16160
    expert = 3 * 7168 * 2048
    graphs = graphs_of(load_model("deepseek-v3"), 32, 1024, 8, 4, 2)
    chosen = graphs[0].routing.assignment
    for stack, graph in enumerate(graphs):
        pairs = [(i, e) for i in (3, 4, 5) for token in chosen[i] for e in token if e // 32 == stack]
        assert sum(graph.distinct_experts.values()) == len(set(pairs))
        assert graph.weight_bytes == 2 * (once + len(set(pairs)) * expert)
        scores = 4 * 32 * 128 * (576 + 512) * 128
        assert graph.macs == 32 * once + len(pairs) * expert + scores
        assert graph.kv_read_bytes == 2 * 4 * 32 * 128 * (576 + 512)
        assert graph.kv_write_bytes == (2 * 4 * 32 * (576 + 512) if stack == 7 else 0)
        with capsys.disabled():
            print(
                f"\nstack {stack}: {len(set(pairs))} experts, {graph.weight_bytes:,} B of weights, {graph.macs:,} MACs"
            )


@pytest.mark.parametrize("chip", KINDS)
def test_olmoe_over_4_stacks_by_hand(chip, capsys):
    """D 2048, H = G 16, E 128, 64 experts of F 1024, V 50304; 1 layer, batch 4, context 512, 16 PUs.

    A stack: qkv 2048 x 3 x 4 x 128, attn_out 512 x 2048, router 2048 x 64, its experts 3 x 2048 x 1024, LM head
    2048 x 12576; gains of its 4 of 16 heads of queries and keys.  Die to die: 3 of 4 pieces of 4 x 2048 in FP16 for
    the embedding, twice the same in FP32 and FP16; from each PU to 3 stacks the sums of squares of queries and keys,
    FP32; 3 x 4 pairs of 8 B.
    """
    job = prepare("olmoe-1b-7b", chip, batch=4, context=512, layers=1, stacks=4)
    graph, experts = job.graph, sum(job.graph.distinct_experts.values())
    once = 2048 * 12 * 128 + 512 * 2048 + 2048 * 64 + 2048 * 12576
    assert graph.weight_bytes == 2 * (once + experts * 3 * 2048 * 1024)
    here = set(graph.shard.experts)
    pairs = sum(e in here for token in graph.routing.assignment[0] for e in token)
    assert graph.macs == 4 * once + pairs * 3 * 2048 * 1024 + 4 * 4 * 2 * 128 * 512
    assert graph.of_kind(OperatorKind.QK_NORM)[0].vectors == 2 * 4 * 128
    sums = 16 * 3 * 2 * 4 * 4
    assert die_to_die_bytes(job.program) == 3 * 4 * 2048 * (2 + 2 * 6) // 4 + sums + 3 * 4 * 8
    with capsys.disabled():
        print(
            f"\n{chip}, OLMoE, stack {graph.shard.stack} of 4: {graph.weight_bytes:,} B of weights, {graph.macs:,} MACs"
        )


# --- how many stacks


@pytest.mark.parametrize(
    ("name", "batch", "context", "stacks"),
    [
        ("llama-3.1-8b", 1, 1024, 1),
        ("llama-3.1-70b", 16, 4096, 8),
        ("llama-3.1-405b", 1, 1024, 32),
        ("mixtral-8x7b", 1, 1024, 4),
        ("opt-66b", 1, 1024, 4),
        ("qwen2.5-32b", 1, 1024, 2),
        ("qwen3-30b-a3b", 1, 1024, 2),
        ("olmoe-1b-7b", 1, 1024, 1),
        ("deepseek-v3", 1, 1024, 64),
    ],
)
def test_as_few_stacks_as_hold_the_model(name, batch, context, stacks):
    model = load_model(name)
    capacity = 16 * 16 * 32768 * 4096
    assert choose_stacks(model, batch, context, 0, model.layers, capacity) == stacks


@pytest.mark.parametrize(
    ("model", "stacks", "words"),
    [
        (small_model(), 3, r"3 stacks: heads not divisible; allowed: a divisor of 4 query heads"),
        (small_model(heads=12, kv_heads=6), 4, r"4 stacks: KV heads not divisible; allowed: .* multiple of 6 KV heads"),
        (small_model(heads=32, kv_heads=1), 32, r"context: got 21 tokens for 32 stacks that share a KV head"),
        (small_model(ffn=1), 2, r"at most 1, the narrowest network"),
        (small_model(), 0, r"stacks: got 0"),
        (small_model(), 4097, r"stacks: got 4097"),
    ],
)
def test_models_that_so_many_stacks_cannot_share_are_refused(model, stacks, words):
    with pytest.raises(WorkloadError, match=words):
        prepare(model, small_chip(SNAKE, 2), batch=1, context=21, stacks=stacks)


def test_stacks_that_are_too_small_are_refused_by_how_much():
    with pytest.raises(WorkloadError, match=r"fullest of 2 stacks .*at most 34\.36 GB.*\d+\.\d\d GB too much"):
        prepare("llama-3.1-70b", SNAKE, batch=16, context=4096, stacks=2)


# --- which stack is simulated


def test_identical_stacks_have_a_representative():
    job = prepare(small_model(kv_heads=4), small_chip(SNAKE, 2), batch=2, context=21, stacks=4)
    chosen = job.representative
    assert (chosen.stack, chosen.identical, chosen.imbalance) == (0, True, 1.0)
    assert "4 stacks compared" in chosen.reason
    assert job.params.stacks == 4


def test_of_split_sequences_the_stack_with_the_end_is_simulated():
    job = prepare(ABSORBED_LATENT, small_chip(SNAKE, 2), batch=1, context=21, layers=1, stacks=4)
    chosen = job.representative
    assert (chosen.stack, chosen.identical) == (3, False)
    assert chosen.imbalance > 1


def test_of_experts_the_most_loaded_stack_is_simulated():
    model = small_model(moe=True, experts=8)
    job = prepare(model, small_chip(SNAKE, 2), batch=2, context=21, stacks=2)
    read = [g.read_bytes + g.kv_write_bytes for g in graphs_of(model, 2, 21, 2)]
    assert job.graph.read_bytes + job.graph.kv_write_bytes == max(read)
    assert job.representative.imbalance == pytest.approx(2 * max(read) / sum(read))


def test_one_stack_is_as_before():
    one = prepare(small_model(), small_chip(SNAKE, 2), batch=2, context=21)
    same = prepare(small_model(), small_chip(SNAKE, 2), batch=2, context=21, stacks=1)
    assert one.program.sha256 == same.program.sha256
    assert one.representative is None
    assert "stacks" not in one.options
