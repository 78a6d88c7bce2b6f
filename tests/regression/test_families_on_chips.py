"""Every shipped model on both chips: two layers, small batch and context, the work that the graph asks for."""

import pytest

from nmpsim.api import prepare, run_job
from nmpsim.errors import InfeasibleError, WorkloadError
from nmpsim.spec import load_chip
from nmpsim.spec.load import with_overrides
from nmpsim.workload import model_names

OPTIONS = {"deepseek-v3": {"first_layer": 2}}
"""DeepSeek-V3: layers 2, dense, and 3, the first one with experts."""

CASES = [(name, OPTIONS.get(name, {})) for name in model_names()]
CASES.append(("deepseek-v3", {"first_layer": 2, "attention": "expanded"}))


@pytest.mark.parametrize("chip", ["snake", "stratum"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_two_layers_do_the_work_of_the_graph(name, options, chip):
    job = prepare(name, chip, batch=2, context=64, layers=2, **options)
    run = run_job(job)
    graph, turns = job.graph, job.schedule.attention.turns
    assert run.cycles > max(run.bounds.values())
    assert run.counts["macs"] == graph.macs
    assert run.counts["weight_read_bytes"] == graph.weight_bytes
    assert run.counts["kv_read_bytes"] == turns * graph.kv_read_bytes
    assert run.counts["kv_write_bytes"] == graph.kv_write_bytes
    assert run.counts["embedding_read_bytes"] == graph.embedding_bytes
    assert run.counts["constant_read_bytes"] >= graph.gain_bytes
    if graph.distinct_experts:
        told = run.provenance["distinct_experts"]
        assert told == {str(layer): len(graph.routing.tokens[layer]) for layer in graph.distinct_experts}


def test_a_model_that_does_not_fit_is_refused_by_how_much():
    """61 layers in FP16: 1342.05 GB of weights; 2,176 B of cache for each of 32 x 64 tokens and 61 layers, 0.27 GB."""
    with pytest.raises(WorkloadError, match=r"1342\.32 GB .*; 1307\.96 GB too much") as caught:
        prepare("deepseek-v3", "snake", batch=32, context=64, stacks=1)
    assert "--layers 4 fits" in str(caught.value)


def test_a_batch_that_does_not_fit_is_refused_by_how_much():
    with pytest.raises(InfeasibleError, match=r"at least \d+ bytes"):
        prepare("deepseek-v3", "snake", batch=32, context=64, layers=1, stacks=1)


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_deepseek_layers_2_to_5_with_batch_32_by_hand(chip, capsys):
    """A stack and a buffer large enough, since 4 layers take 74 GB in FP16; the counts do not depend on either.

    By hand as in tests/unit/workload/test_families.py: attention 187,105,280 a layer, dense network 396,361,728,
    router 1,835,008, an expert (and the shared one) 44,040,192, LM head 926,679,040.
    """
    room = {"core.buffer.bytes": 40 * 64 * 13_104, "dram.rows_per_bank": 131_072}
    if chip == "snake":
        room["core.buffer.bytes"] = 2**25
    job = prepare("deepseek-v3", with_overrides(load_chip(chip), room), batch=32, context=1024, layers=4, first_layer=2)
    run = run_job(job)
    chosen = job.graph.routing.assignment
    distinct = {str(layer): len({e for token in chosen[layer] for e in token}) for layer in (3, 4, 5)}
    once = 4 * 187_105_280 + 396_361_728 + 3 * (1_835_008 + 44_040_192) + 926_679_040
    weights = 2 * (once + sum(distinct.values()) * 44_040_192)
    macs = 32 * (once + 3 * 8 * 44_040_192 + 4 * 128 * (576 + 512) * 1024)
    cache = 2 * 32 * 4 * 1024 * (576 + 512) * job.schedule.attention.turns
    with capsys.disabled():
        print(f"\n{chip}: {weights:,} B of weights, {cache:,} B of cache, {macs:,} MACs, distinct experts {distinct}")
    assert run.provenance["distinct_experts"] == distinct
    counts = run.counts["weight_read_bytes"], run.counts["kv_read_bytes"], run.counts["macs"]
    assert counts == (weights, cache, macs)
