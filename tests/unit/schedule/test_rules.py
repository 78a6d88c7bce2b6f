"""Every rule of the checker: a program that breaks it, and only it, is refused with the place."""

import re
from dataclasses import replace

import numpy as np
import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.program.isa import (
    CHAIN,
    IS,
    K_CONTIGUOUS,
    LOAD,
    N_CONTIGUOUS,
    OS,
    PASS,
    SEND,
    SPLIT_K,
    SPLIT_N,
    STORE,
    STREAM,
    TREE,
    V_NORM,
    V_REDUCE,
    V_ROPE,
    V_SOFTMAX,
    VECTOR,
)
from nmpsim.program.program import BeatImage, StreamImage
from nmpsim.schedule.check import check_program
from nmpsim.schedule.legality.listing import MOST_FAULTS
from tests.builders import KINDS, SNAKE, STRATUM, small_job
from tests.unit.schedule.drafts import (
    Draft,
    copied,
    faults_of,
    find,
    place_of,
    swapped,
    with_field,
    with_image,
    without,
)

FIELDS = [
    # operation, fields to set, what the fault must say
    (PASS, {"unit": VECTOR}, "operation 0 on unit 1"),
    (SEND, {"unit": 0}, "operation 4 on unit 0"),
    (LOAD, {"op": 7}, "operation 7 on unit 2"),
    (PASS, {"operator": 999}, "operator 999"),
    (PASS, {"operator": -1}, "operator -1"),
    (PASS, {"wait3": 99, "count3": 1}, "a wait for count 1 of semaphore 99"),
    (PASS, {"wait3": -2, "count3": 1}, "semaphore -2"),
    (PASS, {"wait3": 0, "count3": 0}, "a wait for count 0 of semaphore 0"),
    (PASS, {"m": 0}, "0 rows"),
    (PASS, {"n": 0}, "0 columns"),
    (PASS, {"k": -1}, "-1 inner elements"),
    (PASS, {"group": 3}, "groups of 3 strips"),
    (PASS, {"group": 0}, "groups of 0 strips"),
    (PASS, {"planes": 7}, "7 planes"),
    (PASS, {"split": 9}, "split 9"),
    (STREAM, {"table": -1}, "table offset -1"),
    (STREAM, {"table": 10**6}, "table offset 1000000"),
    (STREAM, {"traffic": 4}, "traffic 4"),
    (STREAM, {"bytes": 0}, "0 bytes"),
    (LOAD, {"beats": 0}, "0 beats"),
    (LOAD, {"bytes": 10**4}, "10000 bytes in"),
    (STORE, {"bytes": 17}, "17 bytes in 1 beats"),
    (SEND, {"m": 0}, "0 rows"),
    (SEND, {"bytes": 0}, "0 bytes a row"),
    (SEND, {"bank": 0}, "a message to PU 0"),
    (SEND, {"bank": 2}, "a message to PU 2"),
    (SEND, {"imm": 1}, "direction 1 on unit 3"),
    (SEND, {"signal": 0}, "signal 0"),
    (SEND, {"signal": 9}, "signal 9"),
    (V_NORM, {"m": 0}, "m = 0"),
    (V_NORM, {"table": -1}, "table offset -1"),
    (V_SOFTMAX, {"table": 10**6}, "table offset 1000000"),
    (V_ROPE, {"imm": 3}, "heads of 3 columns"),
    (V_ROPE, {"imm": 0}, "heads of 0 columns"),
    (V_REDUCE, {"read0": 1}, "loops ["),
    (V_NORM, {"elements2": 1}, "loops ["),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("op", "fields", "text"), FIELDS, ids=[f"{op}-{fields}" for op, fields, _ in FIELDS])
def test_rule_1_a_malformed_instruction_is_refused(kind, op, fields, text):
    job = small_job(kind)
    pu, index, place = place_of(job.program, op)
    found = faults_of(with_field(job.program, pu, index, **fields), job.params)
    assert any(fault.where.startswith(place) and text in fault.got for fault in found), found


@pytest.mark.parametrize(
    ("kind", "flow", "split", "contiguous"),
    [
        (SNAKE, OS, CHAIN, K_CONTIGUOUS),
        (SNAKE, IS, CHAIN, N_CONTIGUOUS),
        (SNAKE, TREE, SPLIT_N, N_CONTIGUOUS),
        (STRATUM, TREE, CHAIN, N_CONTIGUOUS),
        (STRATUM, TREE, SPLIT_K, K_CONTIGUOUS),
        (STRATUM, OS, CHAIN, N_CONTIGUOUS),
    ],
)
def test_rule_1_a_dataflow_that_the_chip_cannot_run_is_refused(kind, flow, split, contiguous):
    job = small_job(kind)
    pu, index, place = place_of(job.program, PASS)
    program = with_field(job.program, pu, index, flow=flow, split=split, contiguous=contiguous, planes=1)
    found = faults_of(program, job.params)
    assert any(f.where.startswith(place) and f"flow {flow}, split {split}" in f.got for f in found)


@pytest.mark.parametrize("kind", KINDS)
def test_rule_1_rows_beyond_the_array_or_the_partial_sums_are_refused(kind):
    draft = Draft(kind=kind)
    core, tile = draft.params.core, draft.tile()
    most = core.strip_rows if kind == SNAKE else core.psum_bytes // core.fold_sets // (4 * core.columns)
    draft.load(0, 0, beats=8)
    draft.stream(0, tile)
    draft.work(0, tile, 0, 4096, [(2, 1)], m=most)
    assert faults_of(draft.program(), draft.params) == ()
    program = with_field(draft.program(), 0, 2, m=most + 1)
    assert [f.got for f in faults_of(program, draft.params)] == [f"m = {most + 1}"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("op", "field", "change"),
    [
        (PASS, "a", 2**18),
        (PASS, "out", 2**18),
        (LOAD, "out", 2**18),
        (STORE, "a", 2**18),
        (SEND, "a", 2**18),
        (SEND, "b", 2**18),
        (V_NORM, "b", 2**18),
        (V_NORM, "c", -(2**18)),
        (V_SOFTMAX, "c", 2**18),
        (V_REDUCE, "a", -(2**18)),
        (V_REDUCE, "out", 2**18),
    ],
)
def test_rule_2_an_address_outside_the_buffer_is_refused(kind, op, field, change):
    job = small_job(kind)
    pu, index, place = place_of(job.program, op)
    program = copied(job.program)
    program.streams[pu][field][index] += change
    found = faults_of(program, job.params)
    assert found
    assert all(f.where.startswith(place) and f.allowed == f"bytes 0..{2**18} of the buffer" for f in found)


def test_rule_2_an_address_outside_every_region_is_refused():
    job = small_job(SNAKE)
    pu, index, place = place_of(job.program, STORE)
    end = max(start + size for start, size in job.program.regions.values())
    found = faults_of(with_field(job.program, pu, index, a=end), job.params)
    assert [(f.where.startswith(place), f.allowed) for f in found] == [(True, "bytes of one region of the program")]


def test_rule_2_rows_of_a_result_must_not_cover_each_other():
    job = small_job(SNAKE)
    pu, index, place = place_of(job.program, PASS)
    found = faults_of(with_field(job.program, pu, index, out_ld=4), job.params)
    assert [(f.where.startswith(place), "do not cover" in f.allowed) for f in found] == [(True, True)]


@pytest.mark.parametrize(("out", "is_legal"), [(0, True), (2, False), (16, True), (15, False)])
def test_rule_2_a_result_lies_beside_its_operand_or_exactly_on_it(out, is_legal):
    draft = Draft()
    draft.load(0, 0, beats=2)
    draft.copy(0, 0, out, [(2, 1)])
    assert (faults_of(draft.program(), draft.params) == ()) == is_legal


def test_rule_2_a_pass_does_not_write_over_its_operand():
    draft = Draft()
    tile = draft.tile()
    draft.load(0, 0)
    draft.stream(0, tile)
    draft.work(0, tile, 0, 0, [(2, 1)])
    (fault,) = faults_of(draft.program(), draft.params)
    assert fault.allowed == "a result beside its operands, or exactly in place"


def index_of_image(program, **wanted):
    """First image with these attributes."""
    return next(
        i
        for i, image in enumerate(program.images)
        if all(getattr(image, name, None) == value for name, value in wanted.items())
    )


def test_rule_3_an_image_outside_the_bank_is_refused():
    job = small_job(SNAKE)
    found = faults_of(with_image(job.program, index_of_image(job.program, tensor="lm_head"), row=8192), job.params)
    assert [f.where for f in found if "lm_head" in f.where] == ["image of lm_head at PU 0, row 8192"]
    embedding = index_of_image(job.program, tensor="embedding")
    for fields in ({"bank": 4}, {"column": 16}, {"column": -1}, {"row": -1}, {"beats": 0}, {"pu": 2}):
        found = faults_of(with_image(job.program, embedding, **fields), job.params)
        assert any("embedding" in f.where for f in found), fields


@pytest.mark.parametrize(("tensor", "other"), [("layers.0.attn_out", "layers.0.qkv"), ("lm_head", "final_norm")])
def test_rule_3_images_over_one_another_are_refused(tensor, other):
    job = small_job(SNAKE)
    program = job.program
    image, over = (program.images[index_of_image(program, tensor=name)] for name in (tensor, other))
    moved = with_image(program, index_of_image(program, tensor=tensor), row=over.row)
    index = next(
        i
        for i in np.flatnonzero(program.streams[image.pu]["op"] == STREAM)
        if program.streams[image.pu]["row"][i] == image.row
    )
    if over.row != image.row:
        moved = with_field(moved, image.pu, index, row=over.row)
    found = faults_of(moved, job.params)
    assert any(
        f.allowed == "places of its own" and {tensor, other} <= set(re.findall(r"[\w.]*\w", f.where + f.got))
        for f in found
    ), found


def test_rule_3_two_sequences_may_read_the_same_row_of_the_embedding():
    job = small_job(SNAKE)
    program = job.program
    one = program.images[index_of_image(program, tensor="embedding", pu=0)]
    assert faults_of(replace(program, images=(*program.images, one)), job.params) == ()


@pytest.mark.parametrize(
    ("op", "field", "text"),
    [
        (STREAM, "row", "first row of a stream image"),
        (LOAD, "row", "the place of an image"),
        (LOAD, "column", "the place of an image"),
        (LOAD, "bank", "the place of an image"),
        (STORE, "row", "the place of an image"),
    ],
)
def test_rule_3_a_move_that_refers_to_no_image_is_refused(op, field, text):
    job = small_job(SNAKE)
    pu, index, place = place_of(job.program, op)
    program = copied(job.program)
    program.streams[pu][field][index] += 1 if field != "row" else 4096
    found = faults_of(program, job.params)
    assert any(f.where.startswith(place) and text in f.allowed for f in found), found


def test_rule_3_a_load_of_another_size_than_its_image_is_refused():
    draft = Draft()
    draft.load(0, 0, beats=2)
    found = faults_of(with_field(draft.program(), 0, 0, beats=1, bytes=16), draft.params)
    assert [f.allowed for f in found] == ["2 beats, 32 bytes of t0"]


def test_rule_3_an_image_is_streamed_exactly_once():
    draft = Draft()
    tile = draft.tile()
    draft.load(0, 0)
    for _ in range(2):
        draft.stream(0, tile)
        draft.work(0, tile, 0, 64, [(2, 1)])
    program = draft.program()
    found = faults_of(with_field(program, 0, 3, row=int(program.streams[0]["row"][1])), draft.params)
    assert {(f.where, f.got) for f in found} == {
        ("image of w1 at PU 0, row 1", "2 STREAMs"),
        ("image of w2 at PU 0, row 2", "0 STREAMs"),
    }


def test_rule_3_a_token_is_stored_before_it_is_streamed():
    job = small_job(SNAKE)
    pu, store = find(job.program, STORE)
    stream = job.program.streams[pu]
    row = int(stream["row"][store])
    later = next(i for i in np.flatnonzero(stream["op"] == STREAM) if stream["row"][i] == row)
    found = faults_of(swapped(job.program, pu, store, int(later)), job.params)
    assert any("has streamed before" in f.got and f.allowed == "a STORE before the stream" for f in found)


def test_rule_3_a_token_that_is_not_stored_is_missed():
    job = small_job(SNAKE)
    pu, store = find(job.program, STORE)
    found = faults_of(without(job.program, pu, store), job.params)
    assert any(f.got == "no STORE" and ".k." in f.where for f in found)


def test_rule_3_a_token_stored_at_the_place_of_another_is_refused():
    job = small_job(SNAKE)
    for index, image in enumerate(job.program.images):
        if isinstance(image, BeatImage) and image.written:
            found = faults_of(with_image(job.program, index, index=image.index - 1), job.params)
            assert any("from element" in f.got for f in found)


def test_rule_3_a_tile_without_meaning_is_refused():
    job = small_job(SNAKE)
    index = next(i for i, image in enumerate(job.program.images) if isinstance(image, StreamImage))
    tile = job.program.images[index].tiles[0]
    for fields in ({"group": 3}, {"flow": 9}, {"n": 0}, {"segments": ((0, 1),)}, {"k_rotate": tile.k}):
        found = faults_of(with_image(job.program, index, tiles=(replace(tile, **fields),)), job.params)
        assert any(f.got.startswith("tiles (Tile(") for f in found), fields


def test_a_program_of_another_chip_is_refused():
    job = small_job(SNAKE)
    for program in (replace(job.program, chip="stratum"), replace(job.program, streams=job.program.streams[:1])):
        assert [f.where for f in faults_of(program, job.params)] == ["program"]


def test_all_faults_are_told_up_to_a_limit_and_all_are_counted():
    job = small_job(SNAKE)
    program = copied(job.program)
    for stream in program.streams:
        stream["operator"] = 999
    with pytest.raises(IllegalScheduleError) as caught:
        check_program(program, job.params)
    number = sum(len(stream) for stream in program.streams)
    assert len(caught.value.faults) == MOST_FAULTS
    assert f"{number} faults (the first {MOST_FAULTS} of {number})" in str(caught.value)
