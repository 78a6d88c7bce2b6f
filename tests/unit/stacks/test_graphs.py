"""Graphs of stacks are made when they are asked for; what stacks move is known without them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.prediction import schedule_of
from nmpsim.schedule.graphs import StackGraphs
from nmpsim.schedule.step import plan_step
from nmpsim.workload import Precision, load_model, synthetic_routing
from nmpsim.workload.shards import largest_shard, make_shard, shard_bytes
from tests.builders import SNAKE, small_chip, small_model

NARROW = Precision("int4", kv="int8", group=8)


def moved(graph):
    return graph.read_bytes + graph.kv_write_bytes


@given(
    moe=st.booleans(),
    log_heads=st.integers(0, 3),
    log_stacks=st.integers(0, 3),
    ffn=st.integers(8, 90),
    vocab=st.integers(8, 99),
    batch=st.integers(1, 4),
    context=st.integers(8, 60),
    placement=st.sampled_from(["blocks", "round_robin"]),
    precision=st.sampled_from([Precision(), NARROW]),
    seed=st.integers(0, 99),
)
def test_stacks_move_what_their_graphs_say(
    moe, log_heads, log_stacks, ffn, vocab, batch, context, placement, precision, seed
):
    model = small_model(moe=moe, heads=8, kv_heads=2**log_heads, ffn=ffn, vocab=vocab)
    routing = synthetic_routing(model, batch, seed=seed) if moe else None
    graphs = StackGraphs(model, batch, context, model.layers, routing, 0, precision, 2**log_stacks, placement)
    assert graphs.moved_bytes() == [moved(graph) for graph in graphs]


@pytest.mark.parametrize(("first", "layers"), [(0, 3), (0, 5), (2, 3), (3, 2), (57, 4)])
@pytest.mark.parametrize("batch", [1, 3])
def test_dense_layers_shared_experts_and_a_shared_cache_row(first, layers, batch):
    """DeepSeek-V3: three dense layers, a shared expert, one cache row for all heads, spread over all stacks."""
    model = load_model("deepseek-v3")
    routing = synthetic_routing(model, batch, first + layers, "zipf")
    graphs = StackGraphs(model, batch, 1000, layers, routing, first, stacks=16)
    assert graphs.moved_bytes() == [moved(graph) for graph in graphs]


def test_only_the_most_loaded_stack_gets_a_graph_for_an_estimate(monkeypatch):
    plan = plan_step("deepseek-v3", SNAKE, batch=1, context=1024, layers=5)
    made = spans_of(monkeypatch)
    schedule = schedule_of(plan)
    assert [layers for layers in made if layers > 1] == [5]
    load = [moved(graph) for graph in plan.graphs]
    assert schedule.graph.shard.stack == load.index(max(load))


def spans_of(monkeypatch):
    """Numbers of layers of the graphs made from now on."""
    found = []
    made = StackGraphs._graph
    monkeypatch.setattr(
        StackGraphs,
        "_graph",
        lambda self, first, layers, shard: found.append(layers) or made(self, first, layers, shard),
    )
    return found


def test_graphs_are_a_sequence():
    model = small_model(kv_heads=4)
    graphs = plan_step(model, small_chip(SNAKE, 2), batch=2, context=21, stacks=4).graphs
    assert len(graphs) == 4
    assert [graph.shard.stack for graph in graphs] == [0, 1, 2, 3]
    assert graphs[-1] is graphs[3]
    assert graphs[1:3] == (graphs[1], graphs[2])
    with pytest.raises(IndexError):
        graphs[4]
    alone = plan_step(model, small_chip(SNAKE, 2), batch=2, context=21, stacks=1).graphs
    assert alone[0].shard is None
    assert alone.moved_bytes() == [moved(alone[0])]


@pytest.mark.parametrize("name", ["deepseek-v3", "llama-3.1-70b", "qwen3-30b-a3b"])
@pytest.mark.parametrize(("stacks", "context"), [(4, 1000), (16, 77)])
def test_the_fullest_stack_is_the_fullest_of_all(name, stacks, context):
    model = load_model(name)
    shards = [make_shard(model, context, stacks, stack) for stack in range(stacks)]
    sizes = [sum(shard_bytes(shard, 3, 1, 9)) for shard in shards]
    assert largest_shard(model, 3, context, 1, 9, stacks) == max(sizes)


def test_layers_of_a_kind_are_counted():
    assert load_model("deepseek-v3").alike(1, 10) == {1: 2, 3: 8}
    assert load_model("llama-3.1-8b").alike(4, 7) == {4: 7}
