"""Narrow numbers: from codes to the FP16 or BF16 that a PE gets, and from these to the codes of the KV cache.

E4M3: sign, four bits of exponent (bias 7), three of fraction; exponent field 0 is subnormal (steps of 2^-9), the code
with all ones is not a number, there is no infinity.  Every number of it is one of FP16 and of BF16.  INT8 and INT4 are
two's complement; -128 and -8 are read as they stand and never written.  Elements of 4 bits lie two in a byte, the first
one in the low half.

The decoder multiplies code and scale exactly and rounds once, to nearest even, to the format of the PEs.

Source
------
OCP 8-bit Floating Point Specification (OFP8) 1.0, section 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.functional.memory import BF16, FP16, FP32
from nmpsim.program.isa import B_FP8, B_FP16, B_INT4, B_INT8, EXPANSION

LARGEST_FP8 = 448.0
"""Largest number of E4M3."""

LARGEST_INT8 = 127
"""Largest code of INT8 that is written; its negative is the smallest."""

NAN_FP8 = 0x7F
"""Code of what is not a number; also with the sign."""


NAN_BF16 = 0x7FC0
"""Bits of the BF16 number that is none."""


def real(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers of FP16, BF16 (bits) or FP32 in FP32, exact; integers and FP64 rounded."""
    if values.dtype == BF16:
        wide: NDArray[np.float32] = (values.astype(np.uint32) << 16).view(FP32)
        return wide
    return values.astype(FP32)


def halved(values: NDArray[Any], half: np.dtype[Any]) -> NDArray[Any]:
    """Return numbers rounded once to FP16 or BF16 (bits), to nearest, ties to even.

    Parameters
    ----------
    values : ndarray
        Real numbers, in FP64 at most; BF16 only as FP32 or FP64 numbers.
    half : dtype
        `FP16` or `BF16`.
    """
    if half == FP16:
        return values.astype(FP16)
    exact = values.astype(np.float64)
    _, exponent = np.frexp(np.nan_to_num(exact, posinf=1.0, neginf=1.0))
    spacing = 2.0 ** np.maximum(exponent - 8.0, -133.0)
    with np.errstate(over="ignore", invalid="ignore"):
        single = (np.rint(exact / spacing) * spacing).astype(FP32)
    bits = (single.view(np.uint32) >> 16).astype(BF16)
    return np.where(np.isnan(exact), BF16.type(NAN_BF16), bits)


def as_numbers(values: NDArray[Any], half: np.dtype[Any]) -> NDArray[np.floating]:
    """Return numbers rounded to FP16, as such, or to BF16, in FP32: what tensors and references are made of.

    Parameters
    ----------
    values : ndarray
        Real numbers.
    half : dtype
        `FP16` or `BF16`.
    """
    found = halved(values, half)
    return found if half == FP16 else real(found)


def _in_half(numbers: NDArray[np.float16], half: np.dtype[Any]) -> NDArray[Any]:
    """Return numbers of a narrow format in that of the PEs, exact; what was never written stays told apart."""
    if half == FP16:
        return numbers
    return np.where(numbers.view(np.uint16) == 0xFFFF, BF16.type(0xFFFF), halved(numbers, half))


def _fp8_values() -> NDArray[np.float16]:
    codes = np.arange(256)
    sign, exponent, fraction = np.where(codes & 0x80, -1.0, 1.0), codes >> 3 & 0xF, codes & 7
    normal = (8 + fraction) * 2.0 ** (exponent - 10.0)
    values: NDArray[np.float16] = (sign * np.where(exponent == 0, fraction * 2.0**-9, normal)).astype(FP16)
    values[codes & NAN_FP8 == NAN_FP8] = np.nan
    values.view(np.uint16)[0xFF] = 0xFFFF  # what was never written stays told apart
    return values


FP8_VALUES = _fp8_values()
"""Number of every code of E4M3; shape (256,)."""


def numbers_of(codes: NDArray[np.uint8], code: int, half: np.dtype[Any] = FP16) -> NDArray[Any]:
    """Return the numbers that bytes stand for, exact; the last axis is twice as long for INT4.

    Parameters
    ----------
    codes : ndarray of uint8
        Bytes.
    code : int
        ``B_FP8``, ``B_INT8`` or ``B_INT4``; ``B_FP16``: two bytes an element, as the PEs take them.
    half : dtype
        Type of the result, that of the PEs.
    """
    raw = np.ascontiguousarray(codes)
    if code == B_FP16:
        return raw.view(half)
    if code == B_FP8:
        return _in_half(FP8_VALUES[raw], half)
    if code == B_INT8:
        return _in_half(raw.view(np.int8).astype(FP16), half)
    assert code == B_INT4
    both = np.stack([raw << 4, raw & 0xF0], axis=-1).view(np.int8) >> 4
    return _in_half(both.reshape(*raw.shape[:-1], 2 * raw.shape[-1]).astype(FP16), half)


def codes_of(numbers: NDArray[Any], code: int, half: np.dtype[Any] = FP16) -> NDArray[np.uint8]:
    """Return the bytes of numbers of a format; what is not a number becomes all ones.

    Parameters
    ----------
    numbers : ndarray
        Numbers of the format (`rounded`), or not a number.
    code, half : int, dtype
        As for `numbers_of`.
    """
    if code == B_FP16:
        return np.ascontiguousarray(halved(numbers, half)).view(np.uint8)
    values = np.ascontiguousarray(numbers, FP16)
    if code == B_FP8:
        size = abs(values.astype(np.float64))
        places = np.searchsorted(FP8_VALUES[:NAN_FP8].astype(np.float64), np.nan_to_num(size, nan=0.0))
        found = (places + np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)
        found[np.isnan(values)] = 0xFF
        return found
    whole = np.where(np.isnan(values), -1, np.nan_to_num(values.astype(np.float64))).astype(np.int8)
    if code == B_INT8:
        return whole.view(np.uint8)
    assert code == B_INT4
    halves = whole.view(np.uint8).reshape(*whole.shape[:-1], whole.shape[-1] // 2, 2) & 0xF
    packed: NDArray[np.uint8] = (halves[..., 0] | halves[..., 1] << 4).astype(np.uint8)
    return packed


def rounded(values: NDArray[Any], code: int, step: float = 1.0) -> NDArray[np.float16]:
    """Return the nearest numbers of a format, ties to even; beyond the largest, the largest.

    Parameters
    ----------
    values : ndarray
    code : int
        ``B_FP16``, ``B_FP8`` or ``B_INT8``.
    step : float
        Value of one step of INT8; a power of two.
    """
    exact = values.astype(np.float64)
    if code == B_FP16:
        return exact.astype(FP16)
    if code == B_INT8:
        return (np.clip(np.rint(exact / step), -LARGEST_INT8, LARGEST_INT8) * step).astype(FP16)
    assert code == B_FP8
    _, exponent = np.frexp(np.nan_to_num(exact))
    spacing = 2.0 ** np.maximum(exponent - 4.0, -9.0)
    found: NDArray[np.float16] = np.clip(np.rint(exact / spacing) * spacing, -LARGEST_FP8, LARGEST_FP8).astype(FP16)
    return found


def scaled(codes: NDArray[Any], scales: NDArray[Any], half: np.dtype[Any] = FP16) -> NDArray[Any]:
    """Return codes times scales, exact in FP32, rounded to the format of the PEs."""
    with np.errstate(over="ignore", invalid="ignore"):
        return halved(real(codes) * real(scales), half)


def spread_scales(scales: NDArray[Any], rows: int, columns: int, group: tuple[int, int]) -> NDArray[Any]:
    """Return a scale for every element of a matrix (rows, columns) from one per block of `group` elements."""
    k, n = group
    return np.repeat(np.repeat(scales, k, axis=0)[:rows], n, axis=1)[:, :columns]


def pack(beats: NDArray[np.uint8], scales: NDArray[np.uint8], code: int, run: int) -> NDArray[np.uint8]:
    """Return the DRAM beats of consecutive array beats of a strip (`nmpsim.program.packing`).

    Parameters
    ----------
    beats : ndarray of uint8, shape (array beat, byte)
        Codes.
    scales : ndarray of uint8, shape (run, column_bytes)
        Beats of scales, one for every run; none without scales.
    code, run : int
        As in the PASS.
    """
    e = EXPANSION[code]
    size = beats.shape[1] * e
    parts = []
    for number, first in enumerate(range(0, len(beats), run or max(len(beats), 1))):
        if run:
            parts.append(scales[number : number + 1])
        part = beats[first : first + run] if run else beats
        whole = np.zeros((-(-len(part) // e) * e, beats.shape[1]), np.uint8)
        whole[: len(part)] = part
        parts.append(whole.reshape(-1, size))
    return np.concatenate(parts) if parts else np.zeros((0, size), np.uint8)


def unpack(
    raw: NDArray[np.uint8], count: int, code: int, run: int, half: np.dtype[Any] = FP16
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return codes and scales from the DRAM beats of a strip: what `pack` packed.

    Parameters
    ----------
    raw : ndarray of uint8, shape (DRAM beat, column_bytes)
    count : int
        Array beats in them.
    code, run : int
        As in the PASS.
    half : dtype
        Type of the scales.

    Returns
    -------
    codes : ndarray of uint8, shape (count, byte)
    scales : ndarray of `half`, shape (run, column_bytes / 2)
        None of them without scales.
    """
    e = EXPANSION[code]
    size = raw.shape[1] // e
    if not run:
        return raw.reshape(-1, size)[:count], np.zeros((0, raw.shape[1] // 2), half)
    codes, scales, at = [np.zeros((0, size), np.uint8)], [np.zeros((0, raw.shape[1] // 2), half)], 0
    for first in range(0, count, run):
        own = min(run, count - first)
        held = -(-own // e)
        scales.append(np.ascontiguousarray(raw[at : at + 1]).view(half))
        codes.append(raw[at + 1 : at + 1 + held].reshape(-1, size)[:own])
        at += 1 + held
    return np.concatenate(codes), np.concatenate(scales)


def fp32_of(tables: NDArray[np.int64], place: int) -> NDArray[np.float32]:
    """Return the FP32 number whose bits stand in the integers of a program, 1 if `place` is negative; shape (1,)."""
    return tables[place : place + 1].astype(np.uint32).view(FP32) if place >= 0 else np.ones(1, FP32)


def quantised(x: NDArray[Any], step: NDArray[np.float32], code: int) -> NDArray[np.uint8]:
    """Return numbers as codes of the cache; a step is a power of two, so that the division is exact."""
    return codes_of(rounded(real(x), code, float(step[0])).astype(FP32) / step, code)
