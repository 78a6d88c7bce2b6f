"""Bytes of buffer and DRAM."""

import numpy as np
import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.functional.memory import FP16, FP32, POISON, Buffer, Dram, poisoned
from tests.unit.functional.bench import chip


def test_unwritten_bytes_are_no_number_in_either_format():
    buffer = Buffer(64, "here")
    for dtype in (FP16, FP32):
        values = buffer.read(2, 2, 3, 16, dtype)
        assert np.isnan(values).all()
        assert poisoned(values).all()


def test_a_computed_nan_is_not_taken_for_unwritten_bytes():
    with np.errstate(invalid="ignore"):
        for dtype in (FP16, FP32):
            infinite = np.array([np.inf, -np.inf, 0], dtype)
            values = np.concatenate([infinite - infinite, infinite * 0, np.array([np.nan, -np.nan], dtype)])
            assert not poisoned(values).any()


def test_rows_are_read_and_written_at_their_distance():
    buffer = Buffer(64, "here")
    buffer.write(4, np.array([[1, 2], [3, 4]], FP16), 10)
    assert buffer.read(4, 2, 2, 10, FP16).tolist() == [[1, 2], [3, 4]]
    assert buffer.read(4, 1, 1, 0, FP16).tolist() == [[1]]
    assert (buffer.bytes[8:14] == POISON).all()
    assert buffer.read(14, 3, 1, 0, FP16).tolist() == [[3], [3], [3]]


@pytest.mark.parametrize(("address", "rows", "ld"), [(-1, 1, 0), (61, 1, 0), (0, 2, 61), (0, 2, -4), (64, 1, 4)])
def test_a_byte_outside_the_buffer_is_refused(address, rows, ld):
    with pytest.raises(IllegalScheduleError, match=r"here: got .* allowed: 0\.\.64 B"):
        Buffer(64, "here").read(address, rows, 1, ld, FP32)


def test_rows_of_a_result_that_cover_each_other_are_refused():
    with pytest.raises(IllegalScheduleError, match="cover each other"):
        Buffer(64, "here").write(0, np.zeros((2, 4), FP16), 6)


def test_beats_run_on_into_the_next_row():
    params = chip()
    dram = Dram(1, params.dram)
    beats = np.arange(6 * 16, dtype=np.uint8).reshape(6, 16)
    dram.write(0, 2, 5, 3, beats, "here")
    assert (dram.read(0, 2, 5, 3, 6, "here") == beats).all()
    assert (dram.read(0, 2, 6, 0, 1, "here") == beats[1]).all()
    assert (dram.read(0, 2, 5, 2, 1, "here") == POISON).all()
    assert (dram.read(0, 3, 5, 3, 6, "here") == POISON).all()


@pytest.mark.parametrize(
    "place", [(1, 0, 0, 0, 1), (0, 4, 0, 0, 1), (0, 0, 64, 0, 1), (0, 0, 63, 2, 3), (0, 0, 0, 4, 1)]
)
def test_a_beat_outside_the_bank_is_refused(place):
    with pytest.raises(IllegalScheduleError, match="4 banks, 64 rows of 4 columns"):
        Dram(1, chip().dram).read(*place, "here")


def test_a_copy_is_independent():
    dram = Dram(1, chip().dram)
    dram.write(0, 0, 0, 0, np.zeros((1, 16), np.uint8), "here")
    other = dram.copy()
    dram.write(0, 0, 0, 0, np.ones((1, 16), np.uint8), "here")
    assert (other.read(0, 0, 0, 0, 1, "here") == 0).all()
