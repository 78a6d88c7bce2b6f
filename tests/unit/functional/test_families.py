"""Whole decode steps of every family: schedule, encoder, interpreter and checkers against the reference."""

from dataclasses import replace

import numpy as np
import pytest

from nmpsim.api import prepare
from nmpsim.functional import (
    check_delivery,
    check_operators,
    compare_step,
    first_difference,
    machine_step,
    random_tensors,
    reference_step,
    run,
    step_bounds,
)
from nmpsim.machine.simulate import Simulation
from nmpsim.program.encode import encode
from nmpsim.program.isa import op_name
from nmpsim.schedule.check import check_hazards, check_program
from nmpsim.schedule.plain import plain_schedule
from nmpsim.spec import resolve
from nmpsim.workload import decode_step, synthetic_routing
from tests.builders import KINDS, SEPARATE, SNAKE, STRATUM, small_chip
from tests.families import ABSORBED_LATENT, FAMILIES, LEARNED

TOKENS = (11, 95, 11)


def steps(model, kind, pus, context, batch, first_layer=0, **overrides):
    """Program, reference, bounds and results of the machine, all layers from `first_layer` on."""
    layers = model.layers - first_layer
    params = resolve(small_chip(kind, pus, **overrides))
    routing = synthetic_routing(model, batch, None, seed=2) if model.is_moe else None
    graph = decode_step(model, batch, context, layers, routing, first_layer)
    schedule = plain_schedule(graph, params, ("OS", "WS", "IS"))
    program = encode(schedule, params, TOKENS[:batch])
    check_program(program, params)
    tensors = random_tensors(model, batch, context, layers, 1, first_layer)
    reference = reference_step(model, batch, context, tensors, TOKENS[:batch], routing, layers, first_layer)
    bounds = step_bounds(model, tensors, reference, routing, layers, first_layer)
    result = run(program, params, tensors)
    assert check_delivery(result, tensors) == ()
    assert check_operators(result, params).faults == ()
    found = machine_step(result, model, batch, layers, first_layer=first_layer)
    assert compare_step(reference, bounds, found) == []
    return schedule, program, result, tensors, params


def operations(program):
    return {op_name(int(ins["op"])) for stream in program.streams for ins in stream}


@pytest.mark.parametrize(("context", "batch"), [(1, 3), (40, 1)])
@pytest.mark.parametrize("pus", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_decode_step_computes_the_reference(family, kind, pus, context, batch):
    steps(FAMILIES[family], kind, pus, context, batch)


NEW_OPERATIONS = {
    "biased": set(),
    "learned": {"moments", "layer_norm", "relu", "bias"},
    "normed-heads": {"head_norm", "route"},
    "normed-together": {"norm", "route"},
    "absorbed": {"sigmoid", "group_limit", "pick", "combine_parts"},
    "expanded": {"sigmoid", "group_limit", "pick"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_orders_give_the_same_numbers_and_no_byte_is_read_too_early(family, kind):
    _, program, first, tensors, params = steps(FAMILIES[family], kind, 3, 21, 2)
    assert NEW_OPERATIONS[family] <= operations(program)
    check_hazards(program, params)
    for seed in range(2):
        assert first_difference(first, run(program, params, tensors, seed)) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_the_separate_arrangement_computes_the_reference(family):
    steps(FAMILIES[family], SNAKE, 2, 21, 2, **SEPARATE)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_may_begin_anywhere(kind):
    """Layer 1 of the small DeepSeek is its first one with experts; its tensors keep their names."""
    _, program, *_ = steps(ABSORBED_LATENT, kind, 2, 21, 2, first_layer=1)
    assert {o.layer for o in program.operators} == {-1, 1}


@pytest.mark.parametrize("kind", KINDS)
def test_heads_that_one_pass_cannot_hold_take_turns_and_stream_the_cache_again(kind):
    """12 heads of one sequence: the array has 8 rows; partial sums of 256 B hold 8 rows of a block."""
    few = {"core__mac_tree__psum_bytes": 512} if kind == STRATUM else {}
    model = replace(ABSORBED_LATENT, heads=12)
    for context, batch in ((21, 2), (40, 1)):
        schedule, program, *_ = steps(model, kind, 2, context, batch, **few)
        assert schedule.attention.turns == 2
        asked = {o.name: o.kv_read_bytes for o in schedule.graph}
        assert all(o.kv_read_bytes == 2 * asked[o.name] for o in program.operators)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_engine_does_the_work_of_the_graph(family, kind):
    job = prepare(FAMILIES[family], small_chip(kind, 2), batch=2, context=21)
    simulation = Simulation(job.params, job.program)
    simulation.run(None)
    counts = simulation.counts()
    stepped = Simulation(job.params, job.program, plain=True)
    stepped.run(None)
    assert stepped.end == simulation.end > 0
    assert stepped.stalls() == simulation.stalls()
    assert counts["macs"] == job.graph.macs


def test_the_position_row_is_that_of_the_new_token():
    """Only row context + 1 of the table is placed."""
    _, program, *_ = steps(LEARNED, STRATUM, 2, 21, 3)
    assert {image.index for image in program.images if image.tensor == "positions"} == {22}


def test_a_wrong_bias_is_found():
    _, program, _, tensors, params = steps(LEARNED, SNAKE, 2, 21, 3)
    wrong = {**tensors, "layers.0.up_bias": tensors["layers.0.up_bias"] + np.float16(0.5)}
    reference = reference_step(LEARNED, 3, 21, tensors, TOKENS)
    bounds = step_bounds(LEARNED, tensors, reference)
    found = machine_step(run(program, params, wrong), LEARNED, 3, 1)
    assert compare_step(reference, bounds, found)
