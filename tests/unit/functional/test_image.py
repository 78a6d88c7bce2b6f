"""The bytes of the DRAM before a step."""

import numpy as np
import pytest

from nmpsim.errors import IllegalScheduleError, WorkloadError
from nmpsim.functional import build_dram, written_pieces
from nmpsim.functional.image import operand
from nmpsim.program.beats import Tile
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS
from nmpsim.program.program import BeatImage, Program, StreamImage
from tests.unit.functional.bench import Writer, chip, halves


def program(*images, pus=1):
    return Program("tiny", tuple(Program.empty_streams(pus)), np.zeros(0, np.int64), (), images)


def beats(dram, pu, bank, row, column, count):
    return dram.read(pu, bank, row, column, count, "here").view(np.float16)


def test_a_beat_holds_a_row_of_the_tile_and_zeros():
    tensor = np.arange(60, dtype=np.float16).reshape(5, 12)
    tile = Tile(OS, 4, CHAIN, N_CONTIGUOUS, 10, 3, 1, ((0, 2), (4, 8)))
    dram = build_dram(program(StreamImage("w", 0, 7, (tile,))), chip(), {"w": tensor})
    # strips take turns over k; two blocks of columns one after the other
    assert beats(dram, 0, 1, 7, 0, 2).tolist() == [[24, 25, 28, 29, 30, 31, 32, 33], [34, 35, 0, 0, 0, 0, 0, 0]]
    assert beats(dram, 0, 2, 7, 0, 1)[0, 0] == 36
    assert np.isnan(beats(dram, 0, 3, 7, 0, 1)).all()


def test_keys_are_stored_token_by_token_and_indexed_transposed():
    keys = np.arange(30, dtype=np.float16).reshape(6, 5)
    tile = Tile(IS, 4, CHAIN, K_CONTIGUOUS, 4, 5, 0, ((1, 4),))
    assert operand(tile, "layers.0.k.0.0", keys, "").tolist() == keys[1:5].T.tolist()
    dram = build_dram(program(StreamImage("layers.0.k.0.0", 0, 0, (tile,))), chip(), {"layers.0.k.0.0": keys})
    assert beats(dram, 0, 2, 0, 0, 1).tolist() == [[15, 16, 17, 18, 19, 0, 0, 0]]


def test_tiles_of_a_stream_follow_each_other_in_each_bank():
    rng = np.random.default_rng(0)
    tensor = halves(rng, 8, 16)
    tiles = tuple(Tile(OS, 4, CHAIN, N_CONTIGUOUS, 8, 8, 0, ((start, 8),)) for start in (0, 8))
    dram = build_dram(program(StreamImage("w", 0, 0, tiles)), chip(), {"w": tensor})
    assert (beats(dram, 0, 3, 0, 0, 4) == tensor[[3, 7, 3, 7]].reshape(4, 2, 8)[range(4), [0, 0, 1, 1]]).all()


def test_a_piece_lies_in_one_bank_padded_with_zeros():
    tensor = np.arange(40, dtype=np.float16).reshape(2, 20)
    image = BeatImage("t", 1, 2, 3, 1, 2, 1, 4, 11)
    dram = build_dram(program(image, pus=2), chip(pus=2), {"t": tensor})
    assert beats(dram, 1, 2, 3, 1, 2).reshape(-1).tolist() == [*range(24, 35), 0, 0, 0, 0, 0]


def test_a_piece_of_a_vector_may_be_single_precision():
    image = BeatImage("rope", 0, 0, 0, 0, 1, 0, 1, 3, fp32=True)
    dram = build_dram(program(image), chip(), {"rope": np.array([0.1, 0.2, 0.3, 0.4], np.float32)})
    assert dram.read(0, 0, 0, 0, 1, "").view(np.float32)[0].tolist() == [np.float32(x) for x in (0.2, 0.3, 0.4, 0)]


def test_what_the_program_stores_is_unwritten_before():
    rng = np.random.default_rng(0)
    values = halves(rng, 6, 8)
    tile = Tile(OS, 1, CHAIN, N_CONTIGUOUS, 8, 6, 0, ((0, 8),))
    stream = StreamImage("layers.0.v.0.0", 0, 0, (tile,))
    new = BeatImage("layers.0.v.0.0", 0, 0, 1, 1, 1, 5, 0, 8, written=True)
    before = program(new, stream)
    dram = build_dram(before, chip(), {"layers.0.v.0.0": values})
    assert (beats(dram, 0, 0, 0, 0, 5) == values[:5]).all()
    assert np.isnan(beats(dram, 0, 0, 1, 1, 1)).all()
    dram.write(0, 0, 1, 1, values[5:].view(np.uint8), "")
    ((image, stored),) = written_pieces(before, dram)
    assert image is new
    assert (stored == values[5]).all()


def test_all_missing_tensors_are_named_at_once():
    images = [BeatImage(name, 0, 0, 0, 0, 1, 0, 0, 1) for name in ("b", "a")]
    with pytest.raises(WorkloadError, match=r"(?s)tensor a: got none.*tensor b"):
        build_dram(program(*images), chip(), {})


def test_two_images_with_other_bytes_at_one_place_are_refused():
    tensors = {"a": np.zeros((1, 8), np.float16), "b": np.ones((1, 8), np.float16)}
    images = [BeatImage(name, 0, 0, 0, 0, 1, 0, 0, 8) for name in ("a", "b")]
    with pytest.raises(IllegalScheduleError, match="image of b: got other bytes"):
        build_dram(program(*images), chip(), tensors)
    build_dram(program(*images), chip(), {"a": tensors["a"], "b": tensors["a"]})


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (BeatImage("t", 0, 0, 0, 3, 2, 0, 0, 8), "one row of 4 columns"),
        (BeatImage("t", 0, 0, 0, 0, 1, 0, 0, 9), "18 B in 1 beats"),
        (BeatImage("t", 0, 0, 0, 0, 1, 2, 0, 8), "row 2"),
        (BeatImage("t", 0, 0, 0, 0, 1, 0, 5, 8), "elements 5..13"),
        (StreamImage("t", 0, 0, (Tile(OS, 4, CHAIN, N_CONTIGUOUS, 8, 3, 0, ((0, 8),)),)), "rows 0..3"),
        (StreamImage("t", 0, 0, (Tile(OS, 4, CHAIN, N_CONTIGUOUS, 8, 2, 0, ((0, 7),)),)), "segments of 7 columns"),
        (StreamImage("t", 0, 64, (Tile(OS, 4, CHAIN, N_CONTIGUOUS, 8, 2, 0, ((0, 8),)),)), "64 rows"),
    ],
)
def test_an_image_outside_its_tensor_or_bank_is_refused(image, words):
    with pytest.raises(IllegalScheduleError, match=words):
        build_dram(program(image), chip(), {"t": np.zeros((2, 12), np.float16)})


def test_the_bench_loads_what_it_puts():
    rng = np.random.default_rng(1)
    writer = Writer(chip())
    values = halves(rng, 50)
    writer.put(0, 32, values, bank=3)
    writer.result("values", 0, 32, 1, 50, False)
    assert (writer.run().results["values"][0] == values).all()
