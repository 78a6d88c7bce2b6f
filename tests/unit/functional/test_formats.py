"""Narrow formats: every code of E4M3, INT8 and INT4, nearest numbers, and the packing of beats."""

from fractions import Fraction

import numpy as np
import pytest

from nmpsim.functional.formats import FP8_VALUES, codes_of, numbers_of, pack, rounded, scaled, spread_scales, unpack
from nmpsim.program.isa import B_FP8, B_FP16, B_INT4, B_INT8, EXPANSION
from nmpsim.program.packing import place_of, stored_beats

BYTES = np.arange(256, dtype=np.uint8)


def ofp8(code):
    """Number of an E4M3 code by table 1 of the specification, exact; None: not a number."""
    sign, exponent, fraction = (-1) ** (code >> 7), code >> 3 & 0xF, code & 7
    if exponent == 0xF and fraction == 7:
        return None
    if exponent == 0:
        return sign * Fraction(fraction, 8) * Fraction(2) ** -6
    return sign * (1 + Fraction(fraction, 8)) * Fraction(2) ** (exponent - 7)


def test_every_code_of_fp8_is_the_number_of_the_specification():
    found = numbers_of(BYTES, B_FP8)
    for code in range(256):
        wanted = ofp8(code)
        if wanted is None:
            assert np.isnan(found[code])
        else:
            assert Fraction(float(found[code])) == wanted
            assert np.signbit(found[code]) == (code >= 0x80)
    assert found[0x7E] == 448


def test_every_code_of_int8_and_int4_is_its_two_s_complement():
    assert numbers_of(BYTES, B_INT8).tolist() == [c - 256 if c >= 128 else c for c in range(256)]
    pairs = numbers_of(BYTES, B_INT4).reshape(-1, 2)
    for code in range(256):
        low, high = code & 0xF, code >> 4
        assert pairs[code].tolist() == [low - 16 if low >= 8 else low, high - 16 if high >= 8 else high]


@pytest.mark.parametrize("code", [B_FP8, B_INT8, B_INT4])
def test_numbers_of_a_format_have_the_codes_that_they_came_from(code):
    numbers = numbers_of(BYTES, code)
    known = ~np.isnan(numbers.reshape(256, -1)).any(axis=1)
    assert (codes_of(numbers, code)[known] == BYTES[known]).all()
    assert (codes_of(np.full(2, np.nan), code) == 0xFF).all()


def test_rounding_takes_the_nearest_number_of_the_format_and_the_even_one_of_two():
    finite = FP8_VALUES[:0x7F].astype(np.float64)
    middles = (finite[1:] + finite[:-1]) / 2
    for low, middle, code in zip(finite[:-1], middles, range(0x7E), strict=True):
        even = finite[code + code % 2]
        assert rounded(np.array(middle), B_FP8) == even
        assert rounded(np.array(-middle), B_FP8) == -even
        assert rounded(np.array(np.nextafter(middle, 0)), B_FP8) == low
        assert rounded(np.array(np.nextafter(middle, 1e9)), B_FP8) == finite[code + 1]
    assert rounded(np.array([500.0, -1e6, 448.0]), B_FP8).tolist() == [448, -448, 448]
    assert rounded(np.array([0.5, 1.5, -2.5, 126.6, 300, -300]), B_INT8).tolist() == [0, 2, -2, 127, 127, -127]
    assert rounded(np.array([0.03, 0.04, 100.0]), B_INT8, 2.0**-4).tolist() == [0, 0.0625, 127 / 16]
    assert rounded(np.array(1 + 2.0**-11), B_FP16) == 1


def test_a_scaled_code_is_rounded_once():
    codes, scales = np.array([7.0, -5.0, 448.0]), np.array([0.0371, 6e-8, 100.0], np.float16)
    wanted = [np.float16(float(c) * float(s)) for c, s in zip(codes, scales, strict=True)]
    assert scaled(codes, scales).tolist() == wanted


def test_scales_are_spread_over_their_blocks():
    wide = spread_scales(np.array([[1, 2], [3, 4]], np.float16), 3, 5, (2, 4))
    assert wide.tolist() == [[1, 1, 1, 1, 2], [1, 1, 1, 1, 2], [3, 3, 3, 3, 4]]


@pytest.mark.parametrize("run", [0, 1, 2, 4, 6])
@pytest.mark.parametrize("code", [B_FP16, B_FP8, B_INT8, B_INT4])
@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_packed_beats_hold_every_array_beat_at_its_place(code, count, run):
    if code == B_FP16 and run:
        return
    width = 16 // EXPANSION[code]
    beats = np.arange(count * width, dtype=np.uint8).reshape(count, width)
    runs = -(-count // run) if run else 0
    scales = np.arange(runs * 8).astype(np.float16).reshape(runs, 8)
    raw = pack(beats, scales.view(np.uint8).reshape(runs, 16), code, run)
    assert len(raw) == stored_beats(count, code, run)
    codes, found = unpack(raw, count, code, run)
    assert (codes == beats).all()
    assert (found == scales).all()
    for position in range(count):
        at, part = place_of(position, code, run)
        assert (raw[at, part * width : (part + 1) * width] == beats[position]).all()
