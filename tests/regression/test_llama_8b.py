"""The main job of `make run`, whole: llama-3.1-8b, 32 layers and LM head, batch 16, context 4096, on `snake`.

Expected figures by hand, from the model's dimensions (D 4096, H 32, G 8, E 128, F 14336, V 128256, 32 layers):

* weights per layer: D (H + 2G) E + H E D + 3 D F = 218,103,808; all: 32 of them + D V = 7,504,658,432 of 2 bytes
* KV: 32 layers x 2 x 16 sequences x 8 heads x 4096 tokens x 128 x 2 bytes = 8,589,934,592 bytes
* MACs: 16 x 7,504,658,432 + 32 layers x 2 x 16 x 32 heads x 4096 x 128 = 137,254,404,096
"""

import pytest

import nmpsim
from nmpsim.measure.run import Run


@pytest.fixture(scope="module")
def run() -> Run:
    return nmpsim.simulate("llama-3.1-8b", "snake", batch=16, context=4096)


def test_bytes_read_are_the_models(run: Run) -> None:
    counts = run.counts
    assert counts["weight_read_bytes"] == 15_009_316_864
    assert counts["kv_read_bytes"] == 8_589_934_592
    assert counts["embedding_read_bytes"] == 16 * 8192
    constants = 65 * 8192 + 16 * 512  # gains of 65 norms, spread over the PUs; the RoPE row in each of 16 PUs
    assert counts["constant_read_bytes"] == constants
    useful = sum(counts[f"{kind}_read_bytes"] for kind in ("weight", "kv", "embedding", "constant"))
    assert counts["RD"] * counts["column_bytes"] == counts["dram_read_bytes"] == useful


def test_commands_fit_the_bytes(run: Run) -> None:
    assert run.counts["ACT"] >= run.counts["dram_read_bytes"] / 4096
    assert run.counts["ACT"] == run.counts["PRE"]
    assert run.counts["WR"] == 32 * 16 * 8 * 2  # a K and a V column per layer, sequence and KV head


def test_macs_are_the_models(run: Run) -> None:
    assert run.counts["macs"] == 137_254_404_096


def test_no_bound_is_beaten_and_the_largest_is_near(run: Run) -> None:
    largest = max(run.bounds.values())
    assert largest <= run.cycles <= 1.4 * largest


def test_cycles_of_the_operators_add_up(run: Run) -> None:
    assert sum(o.cycles for o in run.operators) == run.cycles


def test_every_layer_was_stepped(run: Run) -> None:
    passes = {o.layer for o in run.operators if o.array_cycles.get("busy", 0) > 0}
    assert passes == set(range(32)) | {-1}


def test_stalls_add_up_and_have_reasons(run: Run) -> None:
    arrays = sum(run.stalls["array"].values())
    for unit in ("vector", "move", "send_0", "send_1", "sequencer"):
        assert sum(run.stalls[unit].values()) == arrays  # one of each per PU
    assert arrays % 16 == 0
    assert all(reason != "other" for table in run.stalls.values() for reason in table)
