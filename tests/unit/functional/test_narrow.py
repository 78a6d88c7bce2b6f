"""Whole decode steps with narrow weights and a narrow KV cache: schedule, encoder, checkers, interpreter, reference."""

import numpy as np
import pytest

from nmpsim.functional import (
    check_cache,
    check_delivery,
    check_operators,
    compare_step,
    first_difference,
    machine_step,
    narrow_tensors,
    random_tensors,
    reference_step,
    run,
    step_bounds,
)
from nmpsim.program.encode import encode
from nmpsim.program.isa import B_NAMES, PASS, V_QUANTISE
from nmpsim.schedule.check import check_hazards, check_program
from nmpsim.schedule.plain import plain_schedule
from nmpsim.spec import resolve
from nmpsim.workload import decode_step, read_precision, synthetic_routing
from tests.builders import KINDS, SEPARATE, SNAKE, small_chip, small_model
from tests.families import FAMILIES

TOKENS = (11, 95, 11)
PRECISIONS = [("int4:16", ""), ("int4:8", "fp8"), ("fp8:8", "int8"), ("int8:32", ""), ("", "fp8"), ("", "int8")]
MODELS = {"dense": small_model(), "experts": small_model(moe=True), **FAMILIES}


def steps(model, kind, pus, context, batch, weights, kv, **overrides):
    """Program and what it computed, compared with the reference in every way there is."""
    params = resolve(small_chip(kind, pus, **overrides))
    precision = read_precision(weights, "", kv)
    routing = synthetic_routing(model, batch, None, seed=2) if model.is_moe else None
    graph = decode_step(model, batch, context, None, routing, precision=precision)
    program = encode(plain_schedule(graph, params, ("OS", "WS", "IS")), params, TOKENS[:batch])
    check_program(program, params)
    tensors = narrow_tensors(random_tensors(model, batch, context, model.layers, 1), precision)
    result = run(program, params, tensors)
    found = machine_step(result, model, batch, model.layers)
    cached = {name: values for name, values in found.items() if ".cached_" in name}
    reference = reference_step(model, batch, context, tensors, TOKENS[:batch], routing, cached=cached)
    bounds = step_bounds(model, tensors, reference, routing)
    assert check_delivery(result, tensors) == ()
    assert check_operators(result, params).faults == ()
    assert compare_step(reference, bounds, found) == []
    assert check_cache(reference, bounds, found, precision.kv) == []
    assert bool(cached) == (kv != "")
    return program, result, tensors, params, (reference, bounds, found)


def formats(program):
    """Formats of B of all passes, with and without scales."""
    passes = np.concatenate([stream[stream["op"] == PASS] for stream in program.streams])
    return {(B_NAMES[int(p["imm"])], int(p["beats"]) > 0) for p in passes}


CASES = [
    *(("dense", pus, *formats) for pus in (1, 3) for formats in PRECISIONS),
    *((name, 2, *formats) for name in ("experts", "absorbed") for formats in PRECISIONS[:3]),
    *((name, 2, "int4:8", "fp8") for name in FAMILIES if name != "absorbed"),
]
ALL_CASES = [(name, pus, *formats) for name in MODELS for pus in (1, 3) for formats in PRECISIONS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "pus", "weights", "kv"), CASES)
def test_a_narrow_decode_step_computes_the_reference(name, kind, pus, weights, kv):
    assert_right(name, kind, pus, weights, kv)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "pus", "weights", "kv"), ALL_CASES)
def test_every_model_computes_the_reference_in_every_precision(name, kind, pus, weights, kv):
    assert_right(name, kind, pus, weights, kv)


def assert_right(name, kind, pus, weights, kv):
    """Run a step, and look whether its passes have the formats that were asked for."""
    program = steps(MODELS[name], kind, pus, 21, 2, weights, kv)[0]
    wanted = {("fp16", False)}
    wanted |= {(weights.split(":")[0], True)} if weights else set()
    wanted |= {(kv, False)} if kv else set()
    assert formats(program) == wanted
    quantised = sum(int((stream["op"] == V_QUANTISE).sum()) for stream in program.streams)
    assert (quantised > 0) == (kv != "")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dense", "experts", "absorbed"])
def test_orders_give_the_same_numbers_and_no_byte_is_read_too_early(name, kind):
    program, first, tensors, params, _ = steps(MODELS[name], kind, 2, 9, 2, "int4:8", "fp8")
    check_hazards(program, params)
    for seed in range(2):
        assert first_difference(first, run(program, params, tensors, seed)) is None


@pytest.mark.parametrize(("weights", "kv"), PRECISIONS[:3])
def test_a_core_with_buffers_of_its_own_computes_the_reference(weights, kv):
    steps(MODELS["dense"], SNAKE, 2, 21, 2, weights, kv, **SEPARATE)


def test_a_wrong_scale_a_wrong_code_and_a_wrong_cache_are_found():
    program, _, tensors, params, (reference, bounds, found) = steps(MODELS["dense"], SNAKE, 2, 9, 2, "int8:8", "fp8")
    name = "layers.0.attn_out"
    for part in ("#scales", "#codes"):
        wrong = dict(tensors)
        wrong[name + part] = wrong[name + part].copy()
        wrong[name + part][0, 0] *= 0.5
        assert check_delivery(run(program, params, wrong), tensors)
    moved = {key: values * np.float16(1.125) for key, values in found.items() if ".cached_" in key}
    assert check_cache(reference, bounds, moved, "fp8")
