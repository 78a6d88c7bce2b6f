"""Rules 4 and 5: streams deliver what passes take, and work is conserved."""

from dataclasses import replace

import pytest

from nmpsim.program.beats import Tile
from nmpsim.program.isa import CHAIN, N_CONTIGUOUS, OS, PASS, SPLIT_N, STREAM
from nmpsim.program.program import StreamImage
from tests.builders import KINDS, SNAKE, small_job
from tests.unit.schedule.drafts import Draft, copied, faults_of, place_of, swapped, with_field, with_image, without


@pytest.mark.parametrize("kind", KINDS)
def test_rule_4_a_wrong_number_of_beats_is_refused(kind):
    job = small_job(kind)
    pu, index, place = place_of(job.program, STREAM)
    program = copied(job.program)
    program.tables[program.streams[pu]["table"][index] + 1] += 1
    found = faults_of(program, job.params)
    assert any(f.where.startswith(place) and f.got.startswith("beats [") for f in found)


@pytest.mark.parametrize(("field", "change"), [("n", 8), ("n", -8), ("k", 1)])
def test_rule_4_a_pass_that_takes_other_beats_is_refused(field, change):
    draft = Draft()
    tile = draft.tile(n=16, k=6)
    draft.load(0, 0)
    draft.stream(0, tile)
    draft.work(0, tile, 0, 64, [(2, 1)])
    program = draft.program()
    changed = with_field(program, 0, 2, **{field: int(program.streams[0][field][2]) + change}, out_ld=128)
    found = faults_of(changed, draft.params)
    assert any(f.where.startswith("PU 0, instruction 2 (pass") and "beats of strip" in f.got for f in found)


def test_rule_4_a_pass_of_another_shape_may_take_the_same_beats():
    """A group of all strips and a chain of one group are the same beats for one block of columns."""
    draft = Draft()
    tile = Tile(OS, 4, CHAIN, N_CONTIGUOUS, 8, 8, 0, ((0, 8),))
    draft.load(0, 0)
    draft.stream(0, tile)
    draft.work(0, tile, 0, 64, [(2, 1)])
    assert faults_of(with_field(draft.program(), 0, 2, split=SPLIT_N), draft.params) == ()
    found = faults_of(with_field(draft.program(), 0, 2, group=2), draft.params)
    assert any("beats of strip" in f.got for f in found)


def test_rule_4_a_dropped_pass_or_stream_is_refused():
    job = small_job(SNAKE)
    pu, index, _ = place_of(job.program, PASS, nth=-1)
    found = faults_of(without(job.program, pu, index), job.params)
    assert any(f.got == "a tile that no PASS takes" for f in found)
    pu, index, _ = place_of(job.program, STREAM)
    found = faults_of(without(job.program, pu, index), job.params)
    assert any(f.got == "0 STREAMs" for f in found)
    row = int(job.program.streams[pu]["row"][index])
    left = tuple(i for i in job.program.images if (i.pu, i.row) != (pu, row))
    found = faults_of(replace(without(job.program, pu, index), images=left), job.params)
    assert any(f.got == "no beats left" for f in found)


def test_rule_4_passes_in_another_order_than_their_beats_are_refused():
    draft = Draft()
    tiles = [draft.tile(n=8), draft.tile(n=16)]
    draft.load(0, 0)
    for tile in tiles:
        draft.stream(0, tile)
    for tile in tiles:
        draft.work(0, tile, 0, 64 * tile.n, [(2, 1)])
    assert faults_of(draft.program(), draft.params) == ()
    found = faults_of(swapped(draft.program(), 0, 3, 4), draft.params)
    assert {f.where for f in found} == {"PU 0, instruction 3 (pass of all)", "PU 0, instruction 4 (pass of all)"}


@pytest.mark.parametrize("field", ["macs", "weight_bytes", "kv_read_bytes"])
@pytest.mark.parametrize("kind", KINDS)
def test_rule_5_work_of_an_operator_is_conserved(kind, field):
    job = small_job(kind)
    operators = list(job.program.operators)
    index = next(i for i, operator in enumerate(operators) if getattr(operator, field))
    was = getattr(operators[index], field)
    operators[index] = replace(operators[index], **{field: was + 1})
    (fault,) = faults_of(replace(job.program, operators=tuple(operators)), job.params)
    assert fault.where == f"operator {operators[index].name}"
    assert fault.got.startswith(f"{was} ")
    assert fault.allowed == str(was + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_rule_5_a_pass_with_fewer_rows_is_missed(kind):
    job = small_job(kind)
    pu, index, _ = place_of(job.program, PASS)
    found = faults_of(with_field(job.program, pu, index, m=1), job.params)
    assert [f.where for f in found] == ["operator layer0.qkv"]
    assert "multiply-accumulates" in found[0].got


def test_rule_5_a_stream_counts_for_the_operator_of_its_passes():
    job = small_job(SNAKE)
    pu, index, _ = place_of(job.program, STREAM)
    found = faults_of(with_field(job.program, pu, index, operator=0), job.params)
    assert {f.where.split(" (")[0] for f in found} >= {"operator embedding", "operator layer0.qkv"}


@pytest.mark.parametrize("fields", [{"k_start": 0}, {"segments": None}])
def test_rule_5_an_element_in_two_tiles_is_refused(fields):
    job = small_job(SNAKE)
    images = [
        (i, image)
        for i, image in enumerate(job.program.images)
        if isinstance(image, StreamImage) and image.tensor == "lm_head"
    ]
    index, image = images[-1]
    first, *rest = image.tiles
    start = images[0][1].tiles[0].segments[0][0]
    tile = replace(first, segments=((start, first.n),))
    found = faults_of(with_image(job.program, index, tiles=(tile, *rest)), job.params)
    assert [(f.where, f.allowed) for f in found] == [("tensor lm_head", "every element in one")]
