"""Whole decode steps: schedule, encoder, placement and interpreter against the reference."""

from dataclasses import replace

import numpy as np
import pytest

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
from nmpsim.program.encode import encode
from nmpsim.program.isa import SEND, op_name
from nmpsim.schedule.plain import plain_schedule
from nmpsim.spec.params import MAC_TREE, SYSTOLIC
from nmpsim.workload import decode_step, synthetic_routing
from tests.unit.functional.bench import chip
from tests.unit.functional.models import model

BATCH, TOKENS = 3, (11, 95, 11)


def machine(kind, pus, lanes=0):
    """Four strips of 2 x 8 or four slices; rows of 16 beats; routers copy if there are lanes."""
    params = chip(pus=pus, kind=kind, buffer_bytes=2**18, queue_depth=8, lanes=lanes)
    core = params.core._replace(
        bank_bytes=64,
        buffer_banks=8,
        psum_bytes=4096 if kind == MAC_TREE else 0,
        macs_per_cycle=64,
        lanes=16,
        vector_read_bytes=64,
        vector_write_bytes=64,
    )
    dram, noc = params.dram._replace(rows=4096, columns=16), params.noc._replace(flit_bytes=32)
    return replace(params, core=core, dram=dram, noc=noc)


def make(moe, kind, pus, context, layers=1, batch=BATCH, lanes=0):
    m, params = model(moe=moe, layers=layers), machine(kind, pus, lanes)
    tokens = TOKENS[:batch]
    routing = synthetic_routing(m, batch, layers, seed=2) if moe else None
    graph = decode_step(m, batch, context, layers, routing)
    program = encode(plain_schedule(graph, params, ("OS", "WS", "IS")), params, tokens)
    tensors = random_tensors(m, batch, context, layers, 1)
    reference = reference_step(m, batch, context, tensors, tokens, routing, layers)
    bounds = step_bounds(m, tensors, reference, routing, layers)
    return m, params, program, tensors, reference, bounds


def operations(program):
    return {op_name(int(ins["op"])) for stream in program.streams for ins in stream}


@pytest.mark.parametrize(("context", "layers"), [(1, 1), (21, 2), (40, 1)])
@pytest.mark.parametrize("pus", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [SYSTOLIC, MAC_TREE])
@pytest.mark.parametrize("moe", [False, True])
def test_a_decode_step_computes_the_reference(moe, kind, pus, context, layers):
    m, params, program, tensors, reference, bounds = make(moe, kind, pus, context, layers)
    result = run(program, params, tensors)
    assert check_delivery(result, tensors) == ()
    assert check_operators(result, params).faults == ()
    assert compare_step(reference, bounds, machine_step(result, m, BATCH, layers)) == []


@pytest.mark.parametrize("pus", [2, 3, 4])
@pytest.mark.parametrize("kind", [SYSTOLIC, MAC_TREE])
@pytest.mark.parametrize("moe", [False, True])
def test_a_decode_step_computes_the_same_where_routers_copy(moe, kind, pus):
    m, params, program, tensors, reference, bounds = make(moe, kind, pus, 21, 2, lanes=2)
    assert any((stream["n"][stream["op"] == SEND] > 0).any() for stream in program.streams)
    _, other, messages, *_ = make(moe, kind, pus, 21, 2)
    expected = run(messages, other, tensors)
    for seed in (None, 1, 2):
        result = run(program, params, tensors, seed)
        assert check_delivery(result, tensors) == ()
        assert check_operators(result, params).faults == ()
        assert compare_step(reference, bounds, machine_step(result, m, BATCH, 2)) == []
        assert {n: r.tobytes() for n, r in result.results.items() if expected.program.results[n][0] >= 0} == {
            n: r.tobytes() for n, r in expected.results.items() if expected.program.results[n][0] >= 0
        }


@pytest.mark.parametrize("pus", [4, 6])
@pytest.mark.parametrize("kind", [SYSTOLIC, MAC_TREE])
def test_a_sequence_split_into_parts_computes_the_reference(kind, pus):
    m, params, program, tensors, reference, bounds = make(False, kind, pus, 21, batch=1)
    assert any(name == "combine_parts" for name in operations(program))
    result = run(program, params, tensors)
    assert check_delivery(result, tensors) == ()
    assert check_operators(result, params).faults == ()
    assert compare_step(reference, bounds, machine_step(result, m, 1, 1)) == []


@pytest.mark.parametrize("pus", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [SYSTOLIC, MAC_TREE])
@pytest.mark.parametrize("moe", [False, True])
def test_a_decode_step_gives_the_same_numbers_in_every_order(moe, kind, pus):
    _, params, program, tensors, _, _ = make(moe, kind, pus, 21)
    first = run(program, params, tensors)
    for seed in range(4):
        other = run(program, params, tensors, seed)
        assert first_difference(first, other) is None
        assert (first.results["tokens"] == other.results["tokens"]).all()


def test_a_wrong_weight_in_one_bank_is_found():
    m, params, program, tensors, reference, bounds = make(False, SYSTOLIC, 2, 21)
    wrong = dict(tensors)
    wrong["layers.0.attn_out"] = tensors["layers.0.attn_out"].copy()
    wrong["layers.0.attn_out"][:, 8:16] = np.roll(tensors["layers.0.attn_out"][:, 8:16], 1, axis=1)
    result = run(program, params, wrong)
    assert check_operators(result, params).faults == ()
    assert check_delivery(result, tensors)
    assert compare_step(reference, bounds, machine_step(result, m, BATCH, 1))
