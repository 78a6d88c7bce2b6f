"""Programs for a compute unit with buffers of its own: legal as encoded, refused where a copy is missing or wrong."""

from functools import lru_cache

import numpy as np
import pytest

from nmpsim.api import prepare
from nmpsim.errors import IllegalScheduleError, InfeasibleError
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.passes import Ring
from nmpsim.program.isa import ARRAY, COPY_IN, COPY_OUT, CROSS, MOVE, PASS, VECTOR
from nmpsim.program.spaces import Space, spaces_of
from nmpsim.schedule.check import check_hazards, check_program
from tests.builders import KINDS, SEPARATE, SNAKE, small_chip, small_job, small_model
from tests.unit.schedule.drafts import Draft, faults_of, find, waits_of, with_field, without_wait


@lru_cache
def job(kind=SNAKE, pus=2, moe=False, batch=2, context=21, layers=1, **changes):
    model = small_model(moe=moe, layers=layers)
    return prepare(model, small_chip(kind, pus, **(SEPARATE | changes)), batch=batch, context=context, layers=layers)


def hazards(program, params):
    """What the checker refuses, in words."""
    try:
        check_hazards(program, params)
    except IllegalScheduleError as error:
        return [fault.got for fault in error.faults]
    return []


@pytest.mark.parametrize(("batch", "context"), [(1, 1), (1, 21), (3, 40)])
@pytest.mark.parametrize("pus", [1, 2, 3, 4])
@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_is_legal(kind, moe, pus, batch, context):
    found = job(kind, pus, moe, batch, context, layers=2)
    check_hazards(found.program, found.params)


@pytest.mark.parametrize("kind", KINDS)
def test_small_buffers_are_used_round_and_round(kind):
    # the largest operand or result of this step needs one of these buffers whole
    sizes = {"core__array_buffer__operand_bytes": 2**9, "core__array_buffer__output_bytes": 2**11}
    found = job(kind, 2, False, 3, 40, 2, **sizes)
    check_hazards(found.program, found.params)
    for op, unit, size in ((CROSS, COPY_IN, 2**9), (PASS, ARRAY, 2**11)):
        ins = np.concatenate(found.program.streams)
        ins = ins[(ins["op"] == op) & (ins["unit"] == unit)]
        wide = (ins["m"] * (ins["bytes"] if op == CROSS else ins["n"] * 4 * ins["planes"])).sum()
        assert wide > 2 * 2 * size, op  # of two PUs: more than twice around


def test_what_fits_into_no_buffer_is_refused():
    with pytest.raises(InfeasibleError):
        job(core__array_buffer__output_bytes=2**7)
    with pytest.raises(InfeasibleError):
        job(core__array_buffer__operand_bytes=2**6)


def test_a_unified_program_is_none_of_a_separate_chip_and_the_other_way_round():
    unified, separate = small_job(SNAKE, 2), job()
    got = [fault.got for fault in faults_of(unified.program, separate.params)]
    assert any(text.startswith("reads") for text in got)
    assert any("operation 5 on unit 5" in fault.got for fault in faults_of(separate.program, unified.params))


def test_every_result_and_operand_crosses_once():
    program = job().program
    ins = np.concatenate(program.streams)
    passes, copies = ins[ins["op"] == PASS], ins[ins["op"] == CROSS]
    out = copies[copies["unit"] == COPY_OUT]
    assert len(out) == len(passes)
    written = (passes["planes"] * passes["m"] * passes["n"] * 4).sum()
    assert (out["planes"] * out["m"] * out["bytes"]).sum() >= written  # planes are copied with their padding
    assert len(copies[copies["unit"] == COPY_IN]) < len(passes)  # an operand serves several passes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("unit", "field"), [(COPY_IN, "a"), (COPY_IN, "out"), (COPY_OUT, "a"), (COPY_OUT, "out")])
def test_a_copy_that_does_not_cross_is_refused(kind, unit, field):
    found = job(kind)
    pu, index = next((pu, i) for pu, s in enumerate(found.program.streams) for i in np.flatnonzero(s["unit"] == unit))
    spaces = spaces_of(found.params.core)
    mine = {(COPY_IN, "a"): 0, (COPY_IN, "out"): 1, (COPY_OUT, "a"): 2, (COPY_OUT, "out"): 0}[unit, field]
    for other in set(range(3)) - {mine}:
        wrong = with_field(found.program, pu, int(index), **{field: spaces[other].start})
        (fault,) = faults_of(wrong, found.params)
        assert fault.allowed.endswith(f"of {spaces[mine].name}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("op", "field"), [(PASS, "a"), (PASS, "out")])
def test_a_pass_outside_its_buffers_is_refused(kind, op, field):
    found = job(kind)
    pu, index = find(found.program, op)
    got = [fault.allowed for fault in faults_of(with_field(found.program, pu, index, **{field: 0}), found.params)]
    space = spaces_of(found.params.core)[1 + (field == "out")]
    assert got == [f"bytes {space.start}..{space.end} of {space.name}"]


def draft(**missing):
    """LOAD, copy in, PASS, copy out, vector operation, by hand; with the parts or waits left out that are named."""
    d = Draft(1, **SEPARATE)
    _, operand, output = spaces_of(d.params.core)
    tile = d.tile()
    loaded = d.load(0, 0)
    d.stream(0, tile)

    def cross(unit, a, out, size, waits):
        return d.emit(0, unit, CROSS, waits, m=1, bytes=size, planes=1, a=a, out=out)

    come = (
        loaded
        if "copy_in" in missing
        else cross(COPY_IN, 0, operand.start, 8, [] if "load_wait" in missing else [loaded])
    )
    done = d.work(0, tile, operand.start, output.start, [] if "in_wait" in missing else [come])
    there = done
    if "copy_out" not in missing:
        there = cross(COPY_OUT, output.start, 512, 32, [] if "pass_wait" in missing else [done])
    d.copy(0, 512, 1024, [loaded if "out_wait" in missing else there], n=16)
    return d.program(), d.params


def test_the_draft_is_legal():
    assert hazards(*draft()) == []


@pytest.mark.parametrize("part", ["copy_in", "copy_out"])
def test_a_missing_copy_is_found(part):
    (got,) = hazards(*draft(**{part: True}))
    assert "never written" in got


@pytest.mark.parametrize("part", ["load_wait", "in_wait", "pass_wait", "out_wait"])
def test_a_missing_wait_around_a_copy_is_found(part):
    got = hazards(*draft(**{part: True}))
    assert got
    assert all("read after write" in text for text in got)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_is_too_short_is_found(kind):
    found = job(kind)
    for unit in (COPY_IN, COPY_OUT):
        pu, index = next(
            (pu, int(i)) for pu, s in enumerate(found.program.streams) for i in np.flatnonzero(s["unit"] == unit)
        )
        size = int(found.program.streams[pu]["bytes"][index])
        wrong = with_field(found.program, pu, index, bytes=size // 2)
        check_program(wrong, found.params)
        assert any("never written" in got for got in hazards(wrong, found.params))


@pytest.mark.parametrize("unit", [COPY_IN, COPY_OUT])
def test_most_waits_on_copies_and_of_copies_are_needed(unit):
    found = job()
    refused = {"of": 0, "on": 0}
    for pu, index, which in waits_of(found.program):
        ins = found.program.streams[pu][index]
        kinds = [k for k, yes in (("of", ins["unit"] == unit), ("on", ins[f"wait{which}"] == unit)) if yes]
        if kinds and hazards(without_wait(found.program, pu, index, which), found.params):
            for kind in kinds:
                refused[kind] += 1
    assert all(count >= 3 for count in refused.values()), refused


def test_a_ring_waits_for_what_it_overwrites():
    ring = Ring(Space("x", 1000, 96), 16)
    first, free = ring.take(30)
    assert (first.start, first.end, free) == (1000, 1032, None)
    second, free = ring.take(64)
    assert (second.start, second.end, free) == (1032, 1096, None)
    first.read, second.read = Event(VECTOR, 4), Event(VECTOR, 9)
    third, free = ring.take(20)
    assert (third.start, free) == (1000, Event(VECTOR, 4))
    third.read = Event(VECTOR, 12)
    fourth, free = ring.take(80)  # does not fit behind: from the start again
    assert (fourth.start, free) == (1000, Event(VECTOR, 12))
    with pytest.raises(InfeasibleError, match="fit"):
        ring.take(97)


def test_the_draft_uses_every_unit_of_a_separate_core():
    program, _ = draft()
    assert {int(u) for u in program.streams[0]["unit"]} == {ARRAY, VECTOR, MOVE, COPY_IN, COPY_OUT}
