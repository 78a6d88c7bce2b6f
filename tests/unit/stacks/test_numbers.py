"""Several stacks compute what one model computes: programs of all stacks together against the whole reference."""

from dataclasses import replace

import numpy as np
import pytest

from nmpsim.functional import first_difference, run
from nmpsim.program.isa import SEND
from nmpsim.program.program import StreamImage
from nmpsim.program.system import differences, join_stacks
from nmpsim.schedule.check import check_hazards
from nmpsim.schedule.stacks import die_to_die_bytes, expected_die_to_die_bytes
from tests.builders import COLUMNS, KINDS, SNAKE, small_model
from tests.families import ABSORBED_LATENT, BIASED, EXPANDED_LATENT, LEARNED, NORMED_HEADS, NORMED_TOGETHER
from tests.unit.stacks.bench import execute, programs_of

MODELS = {
    "dense over 2": (small_model(layers=2), 2),
    "dense over 3": (small_model(heads=6, kv_heads=3), 3),
    "dense over 4": (small_model(kv_heads=4, ffn=100, vocab=98), 4),
    "a KV head for 2 of 4 stacks": (small_model(heads=8, layers=2), 4),
    "a KV head for all 4 stacks": (small_model(kv_heads=1), 4),
    "experts that do not divide": (small_model(moe=True, layers=2, experts=5), 2),
    "experts and a KV head for 2 of 4": (small_model(moe=True, experts=6), 4),
    "absorbed latent over 2": (ABSORBED_LATENT, 2),
    "absorbed latent over 4": (ABSORBED_LATENT, 4),
    "expanded latent": (EXPANDED_LATENT, 2),
    "biases": (BIASED, 2),
    "learned positions": (LEARNED, 2),
    "normed heads": (NORMED_HEADS, 2),
    "heads normed together over 2": (replace(NORMED_TOGETHER, layers=2), 2),
    "heads normed together over 4": (NORMED_TOGETHER, 4),
    "heads normed together, a KV head for 2 of 4": (replace(NORMED_TOGETHER, kv_heads=2), 4),
}


def parts_of(program, graph):
    """Pieces of a sequence within a stack: streams of keys over sequences, KV heads and turns."""
    images = [i for i in program.images if isinstance(i, StreamImage) and ".k." in i.tensor]
    return len(images) // (graph.batch * graph.model.kv_heads * graph.layers)


@pytest.mark.parametrize(("pus", "batch", "context"), [(2, 2, 21), (3, 1, 40)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_stacks_compute_the_reference_of_the_whole_model(name, kind, pus, batch, context):
    model, stacks = MODELS[name]
    execute(model, kind, stacks, pus, batch, context)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dense over 2", "experts and a KV head for 2 of 4", "absorbed latent over 2"])
def test_drawn_plans_of_stacks_compute_the_reference_of_the_whole_model(name, kind):
    """Every stack has plans of its own for GEMMs, and all one for attention."""
    model, stacks = MODELS[name]
    execute(model, kind, stacks, 2, 2, 21, policy="random-legal", seed=1, core__buffer__bytes=2**20)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "a KV head for 2 of 4 stacks",
        "experts that do not divide",
        "absorbed latent over 2",
        "heads normed together over 2",
        "heads normed together, a KV head for 2 of 4",
    ],
)
def test_no_byte_is_read_too_early_in_any_order_of_the_stacks(name, kind):
    model, stacks = MODELS[name]
    _, program, system, tensors, first = execute(model, kind, stacks, 2, 2, 21)
    check_hazards(program, system)
    assert first_difference(first, run(program, system, tensors, 1)) is None


def test_round_robin_places_other_experts_and_computes_the_same():
    model = small_model(moe=True, experts=5)
    blocks, *_ = programs_of(model, SNAKE, 2, 2, 2, 21)
    others, *_ = programs_of(model, SNAKE, 2, 2, 2, 21, placement="round_robin")
    assert [s.experts for s in blocks] == [(0, 1), (2, 3, 4)]
    assert [s.experts for s in others] == [(0, 2, 4), (1, 3)]
    execute(model, SNAKE, 2, 2, 2, 21, placement="round_robin")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_die_to_die_bytes_of_the_program_are_those_of_arithmetic(name, kind):
    model, stacks = MODELS[name]
    plans = programs_of(model, kind, stacks, 2, 2, 40)
    for graph, program in zip(plans[1], plans[2], strict=True):
        grain = plans[3].noc.flit_bytes // 4
        expected = expected_die_to_die_bytes(graph, 2, COLUMNS, grain, parts_of(program, graph))
        assert die_to_die_bytes(program) == expected > 0


def test_programs_of_dense_stacks_are_alike_but_for_addresses():
    _, _, programs, *_ = programs_of(small_model(kv_heads=4), SNAKE, 4, 2, 2, 21)
    assert [differences(programs[0], other) for other in programs] == [()] * 4
    assert programs[0].sha256 != programs[1].sha256


def test_who_holds_the_end_of_the_context_does_more():
    shards, graphs, programs, *_ = programs_of(small_model(kv_heads=1), SNAKE, 4, 2, 2, 20)
    assert [shard.appends for shard in shards] == [False, False, False, True]
    assert [graph.kv_write_bytes for graph in graphs] == [0, 0, 0, 2 * 2 * 2 * 16]
    assert differences(programs[0], programs[3])


def test_a_lost_message_between_stacks_is_found():
    _, _, programs, params, _ = programs_of(small_model(), SNAKE, 2, 2, 2, 21)
    broken = programs[0].streams[0].copy()
    index = np.flatnonzero((broken["op"] == SEND) & (broken["stack"] != 0))[0]
    wrong = replace(programs[0], streams=(np.delete(broken, index), *programs[0].streams[1:]))
    joined, system = join_stacks([wrong, programs[1]], params)
    with pytest.raises(Exception, match="waits"):
        check_hazards(joined, system)
