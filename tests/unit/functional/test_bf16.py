"""PEs of BF16: rounding, and whole decode steps with all activations, weights and caches in BF16."""

import numpy as np
import pytest

from nmpsim.functional import (
    check_cache,
    check_delivery,
    check_operators,
    compare_step,
    machine_step,
    narrow_tensors,
    random_tensors,
    reference_step,
    run,
    step_bounds,
)
from nmpsim.functional.formats import as_numbers, halved, numbers_of, real, scaled
from nmpsim.functional.memory import BF16
from nmpsim.program.encode import encode
from nmpsim.program.isa import B_FP8, B_INT4, B_INT8
from nmpsim.schedule.check import check_program
from nmpsim.schedule.plain import plain_schedule
from nmpsim.spec import resolve
from nmpsim.workload import decode_step, read_precision, synthetic_routing
from tests.builders import KINDS, small_chip, small_model
from tests.families import FAMILIES

TOKENS = (11, 95, 11)
ALL = np.arange(1 << 16, dtype=np.uint16)
MODELS = {"dense": small_model(), "experts": small_model(moe=True), **FAMILIES}


def program_of(model, kind, pus, context, batch, precision, operands):
    params = resolve(small_chip(kind, pus, core__operands=operands))
    routing = synthetic_routing(model, batch, None, seed=2) if model.is_moe else None
    graph = decode_step(model, batch, context, None, routing, precision=precision)
    program = encode(plain_schedule(graph, params, ("OS", "WS", "IS")), params, TOKENS[:batch])
    check_program(program, params)
    return program, params, routing


def calm(tensors, seed=3):
    """Make tensors whose rounding errors stay so small that they can be propagated, though BF16 rounds 8 times coarser.

    No element of the residual stream is far larger than others, scores are small, and so is what layers add.
    """
    rng = np.random.default_rng(seed)
    smaller = {"attn_out": 0.25, "down": 0.25, "qkv": 0.25, "q_up": 0.5, "router": 0.5, "q_norm": 0.5, "kv_norm": 0.5}
    found = {}
    for name, values in tensors.items():
        parts = name.split(".")
        factor = smaller.get(parts[-1], 0.5 if len(parts) == 5 and parts[2] in "kv" else 1.0)
        found[name] = values * np.float32(factor)
        if name in ("embedding", "positions"):
            found[name] = np.sign(values) * rng.uniform(0.75, 1.25, values.shape).astype(np.float32)
    return {name: v if name == "rope" else as_numbers(v, BF16) for name, v in found.items()}


def executed(name, kind, pus, context, batch, weights="", kv=""):
    """Program and results; every instruction and every operand of a PASS is right."""
    model = MODELS[name]
    precision = read_precision(weights, "", kv, operands="bf16")
    program, params, routing = program_of(model, kind, pus, context, batch, precision, "bf16")
    drawn = random_tensors(model, batch, context, model.layers, 1, operands="bf16")
    tensors = narrow_tensors(calm(drawn), precision)
    result = run(program, params, tensors)
    assert check_delivery(result, tensors) == ()
    assert check_operators(result, params).faults == ()
    return program, precision, tensors, routing, result


def assert_step(name, kind, pus, context, batch, weights="", kv=""):
    """Compare the whole step with the reference, too."""
    model = MODELS[name]
    _, precision, tensors, routing, result = executed(name, kind, pus, context, batch, weights, kv)
    found = machine_step(result, model, batch, model.layers)
    cached = {part: values for part, values in found.items() if ".cached_" in part}
    reference = reference_step(model, batch, context, tensors, TOKENS[:batch], routing, cached=cached, operands="bf16")
    bounds = step_bounds(model, tensors, reference, routing, operands="bf16")
    assert compare_step(reference, bounds, found) == []
    assert check_cache(reference, bounds, found, precision.kv) == []
    return reference, bounds, found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dense", "biased", "experts"])
def test_a_decode_step_in_bf16_computes_the_reference(name, kind):
    assert_step(name, kind, 2, 40, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("weights", "kv"), [("fp8:8", "int8"), ("int4:8", "fp8"), ("int8:32", "")])
def test_narrow_weights_and_caches_become_bf16(kind, weights, kv):
    assert_step("dense", kind, 2, 40, 1, weights, kv)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_the_program_is_that_of_fp16_and_every_instruction_of_it_right(name, kind):
    """What whole steps of a family compute is compared in FP16 (test_families.py): the instructions are the same."""
    program, *_ = executed(name, kind, 2, 21, 2)
    plain = read_precision()
    other, *_ = program_of(MODELS[name], kind, 2, 21, 2, plain, "fp16")
    for one, two in zip(program.streams, other.streams, strict=True):
        assert (one == two).all()
    assert (program.tables == other.tables).all()


def test_a_result_of_fp16_is_found_where_bf16_is_wanted():
    reference, bounds, found = assert_step("dense", KINDS[0], 2, 40, 1)
    wrong = dict(found)
    wrong["lm_head"] = found["lm_head"].copy()
    place = np.unravel_index(int(abs(found["lm_head"]).argmax()), found["lm_head"].shape)
    wrong["lm_head"][place] = reference["lm_head"][place] + 1.01 * bounds["lm_head"][place]
    assert compare_step(reference, bounds, wrong)


# --- rounding


def test_every_bf16_number_stays_what_it_is():
    finite = np.isfinite(real(ALL))
    assert (halved(real(ALL[finite]), BF16) == ALL[finite]).all()
    assert (halved(np.array([np.nan, np.inf, -np.inf, 3.4e38]), BF16) == [0x7FC0, 0x7F80, 0xFF80, 0x7F80]).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_middles_go_to_the_even_one_and_what_lies_beside_to_the_nearer(kind):
    low = ALL[:0x7F7F]  # but the largest
    here, above = (real(bits).astype(np.float64) for bits in (low, low + np.uint16(1)))
    middle = (here + above) / 2
    even = low + (low & np.uint16(1))
    assert (halved(middle.astype(kind), BF16) == even).all()
    normal = low >= 0x80
    for factor, wanted in ((1 - 2.0**-20, low), (1 + 2.0**-20, low + np.uint16(1))):
        beside = (middle * factor).astype(kind)
        assert (halved(beside, BF16)[normal] == wanted[normal]).all()
        assert (halved(-beside, BF16)[normal] == wanted[normal] + np.uint16(0x8000)).all()


def test_fp64_is_rounded_once():
    """By way of FP32, a little above a middle would become the middle, and then the even number below."""
    assert halved(np.array([1 + 2.0**-8 + 2.0**-40]), BF16).tolist() == [0x3F81]


@pytest.mark.parametrize(("code", "count"), [(B_FP8, 256), (B_INT8, 256), (B_INT4, 256)])
def test_codes_times_scales_are_rounded_to_bf16(code, count):
    raw = np.arange(count, dtype=np.uint8)
    scale = halved(np.array([0.37]), BF16)
    numbers = numbers_of(raw, code, BF16)
    exact = real(numbers_of(raw, code)).astype(np.float64) * float(real(scale)[0])
    known = ~np.isnan(exact)
    assert (scaled(numbers, scale, BF16)[known] == halved(exact, BF16)[known]).all()
