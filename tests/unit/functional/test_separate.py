"""Whole decode steps on a core whose compute unit has buffers of its own: the same numbers, in every order."""

from dataclasses import replace

import numpy as np
import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.functional import check_operators, compare_step, first_difference, machine_step, run
from nmpsim.program.isa import COPY_IN, COPY_OUT, CROSS, V_COPY
from nmpsim.spec.params import MAC_TREE, SYSTOLIC
from tests.unit.functional import test_decode_step as unified
from tests.unit.functional.bench import Writer, chip
from tests.unit.functional.test_interpreter import TILE

OWN = {
    "separate": 1,
    "operand_bytes": 2**12,
    "operand_banks": 4,
    "output_bytes": 2**13,
    "output_banks": 8,
    "array_bank_bytes": 16,
    "copy_bytes": 64,
}
KINDS, MOE = (SYSTOLIC, MAC_TREE), (False, True)


def separated(params):
    return replace(params, core=params.core._replace(**OWN))


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Steps of this file are made for the chips of the unified ones with separate buffers."""
    plain = unified.machine
    monkeypatch.setattr(unified, "machine", lambda kind, pus, lanes=0: separated(plain(kind, pus, lanes)))


@pytest.mark.parametrize(("context", "layers"), [(1, 1), (21, 2)])
@pytest.mark.parametrize("pus", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moe", MOE)
def test_a_decode_step_computes_the_reference(moe, kind, pus, context, layers):
    m, params, program, tensors, reference, bounds = unified.make(moe, kind, pus, context, layers)
    assert any((s["op"] == CROSS).any() for s in program.streams)
    result = run(program, params, tensors)
    assert check_operators(result, params).faults == ()
    assert compare_step(reference, bounds, machine_step(result, m, unified.BATCH, layers)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moe", MOE)
def test_a_decode_step_gives_the_same_numbers_in_every_order(moe, kind):
    _, params, program, tensors, _, _ = unified.make(moe, kind, 2, 21)
    first = run(program, params, tensors)
    for seed in range(6):
        other = run(program, params, tensors, seed)
        assert first_difference(first, other) is None
        assert (first.results["tokens"] == other.results["tokens"]).all()


@pytest.mark.parametrize("pus", [1, 3])
def test_separate_and_unified_give_the_same_tokens(pus, monkeypatch):
    _, params, program, tensors, _, _ = unified.make(False, SYSTOLIC, pus, 21)
    separate = run(program, params, tensors)
    monkeypatch.undo()
    _, params, program, tensors, _, _ = unified.make(False, SYSTOLIC, pus, 21)
    assert (run(program, params, tensors).results["tokens"] == separate.results["tokens"]).all()


def crossing(unit, a, out, **changes):
    """A value that is loaded, copied between the buffers and named as a result."""
    params = separated(chip(buffer_bytes=2**12))
    writer = Writer(params)
    loaded = writer.put(0, 0, [1.0, 2.0, 3.0, 4.0])
    writer.add(0, unit, CROSS, [loaded], **({"m": 1, "bytes": 8, "planes": 1, "a": a, "out": out} | changes))
    return run(writer.program(), params, writer.tensors)


def test_bytes_are_copied_as_they_are():
    result = crossing(COPY_IN, 0, 2**12, m=2, bytes=8, planes=2, a_ld=8, out_ld=64, plane_ld=16)
    own = result.buffers[0, 2**12 :]
    for plane in range(2):
        for row in range(2):
            there = own[plane * 16 + row * 64 :][:8]
            assert (there == result.buffers[0, plane * 16 + row * 8 :][:8]).all()


@pytest.mark.parametrize(("unit", "a", "out"), [(COPY_IN, 0, 64), (COPY_IN, 2**12, 2**12), (COPY_OUT, 0, 64)])
def test_a_copy_that_does_not_cross_is_refused(unit, a, out):
    with pytest.raises(IllegalScheduleError, match="copy it there"):
        crossing(unit, a, out)


def test_a_vector_operation_does_not_reach_the_buffers_of_the_compute_unit():
    params = separated(chip(buffer_bytes=2**12))
    writer = Writer(params)
    loaded = writer.put(0, 0, [1.0])
    writer.vector(0, V_COPY, [loaded], m=1, n=1, a=0, out=2**12)
    with pytest.raises(IllegalScheduleError, match="the buffer"):
        run(writer.program(), params, writer.tensors)


def test_a_pass_does_not_reach_the_buffer_of_the_others():
    params = separated(chip(buffer_bytes=2**12))
    writer = Writer(params)
    loaded = writer.put(0, 0, [1.0])
    writer.stream(0, "b", [TILE])
    writer.product(0, TILE, 1, 0, 2**12 + 2**12, [loaded])
    writer.tensors["b"] = np.ones((TILE.k, TILE.n), np.float16)
    with pytest.raises(IllegalScheduleError, match="the operand buffer"):
        run(writer.program(), params, writer.tensors)
