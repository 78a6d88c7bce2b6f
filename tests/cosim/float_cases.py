"""Numbers that floating-point datapaths get wrong, and what IEEE 754 says of them, by NumPy.

NumPy's float16 and float32 round to nearest even and keep subnormals; every NaN is replaced by the canonical one.
"""

from __future__ import annotations

import numpy as np
import pyrtl

NAN16, NAN32, NAN_BF16 = 0x7E00, 0x7FC00000, 0x7FC0

EDGES16 = np.array(
    [sign | bits for sign in (0, 0x8000) for bits in (
        0x0000, 0x0001, 0x0002, 0x0003, 0x0200, 0x03FF,  # zero, subnormals
        0x0400, 0x0401, 0x07FF, 0x1400, 0x3BFF, 0x3C00, 0x3C01, 0x4000, 0x4248, 0x5555, 0x7BFE, 0x7BFF,  # normals
        0x7C00, 0x7C01, 0x7D55, 0x7E00, 0x7FFF,  # infinity, NaN with and without the quiet bit
    )],
    np.uint64,
)  # fmt: skip

EDGES_BF16 = np.array(
    [sign | bits for sign in (0, 0x8000) for bits in (
        0x0000, 0x0001, 0x0002, 0x0003, 0x0040, 0x007F,  # zero, subnormals
        0x0080, 0x0081, 0x00FF, 0x0100, 0x1F80, 0x2000, 0x2001, 0x2F80, 0x3380, 0x3F7F, 0x3F80, 0x3F81, 0x4000, 0x4049,
        0x5F00, 0x5F7F, 0x5F80, 0x5FFF, 0x7EFF, 0x7F00, 0x7F7E, 0x7F7F,  # normals, also whose squares are too large
        0x7F80, 0x7F81, 0x7FBF, 0x7FC0, 0x7FFF,  # infinity, NaN with and without the quiet bit
    )],
    np.uint64,
)  # fmt: skip

EDGES32 = np.array(
    [sign | bits for sign in (0, 0x80000000) for bits in (
        0x00000000, 0x00000001, 0x00000002, 0x00000003, 0x003FFFFF, 0x00400000, 0x007FFFFE, 0x007FFFFF,
        0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000, 0x017FFFFF, 0x33000000, 0x33800000, 0x33800001, 0x34000000,
        0x3F000000, 0x3F7FFFFE, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3F800002, 0x3FFFFFFF, 0x40000000, 0x40490FDB,
        0x477FE000, 0x477FEFFF, 0x477FF000, 0x4B000000, 0x4B7FFFFF, 0x4B800000, 0x4B800001, 0x5F000000, 0x72FFFFFF,
        0x73000000, 0x73800000, 0x7EFFFFFF, 0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF,
        0x7F800000, 0x7F800001, 0x7FBFFFFF, 0x7FC00000, 0x7FFFFFFF,
    )],
    np.uint64,
)  # fmt: skip


def pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every number of one list with every one of the other."""
    return np.repeat(first, len(second)), np.tile(second, len(first))


def half(bits: np.ndarray) -> np.ndarray:
    """Bits as FP16 numbers."""
    return bits.astype(np.uint16).view(np.float16)


def single(bits: np.ndarray) -> np.ndarray:
    """Bits as FP32 numbers."""
    return bits.astype(np.uint32).view(np.float32)


def bits_of(numbers: np.ndarray) -> np.ndarray:
    """Bits of FP16 or FP32 numbers, NaN canonical; uint64."""
    kind, nan = (np.uint16, NAN16) if numbers.dtype == np.float16 else (np.uint32, NAN32)
    bits = numbers.view(kind).astype(np.uint64)
    bits[np.isnan(numbers)] = nan
    return bits


def sum32(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bits of x + y, of bits of FP32."""
    with np.errstate(all="ignore"):
        return bits_of(single(x) + single(y))


def product32(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bits of x y, of bits of FP32."""
    with np.errstate(all="ignore"):
        return bits_of(single(x) * single(y))


def product16(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bits of the FP32 product of bits of FP16; float64 holds it exactly, so a rounding would show."""
    with np.errstate(all="ignore"):
        exact = half(x).astype(np.float64) * half(y).astype(np.float64)
        rounded = exact.astype(np.float32)
    assert ((rounded == exact) | np.isnan(exact)).all()
    return bits_of(rounded)


def widened(bits: np.ndarray) -> np.ndarray:
    """Bits of BF16 as FP32 numbers: their upper halves."""
    return single(bits << np.uint64(16))


def product_bf16(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bits of the FP32 product of bits of BF16; float64 holds it exactly and is rounded once."""
    with np.errstate(all="ignore"):
        return bits_of((widened(x).astype(np.float64) * widened(y).astype(np.float64)).astype(np.float32))


def to_bf16(x: np.ndarray) -> np.ndarray:
    """Bits of FP32 rounded to BF16: the nearer neighbour by distance in float64, the even one of two as near."""
    below = x >> np.uint64(16)
    above = below + np.uint64(1)  # away from zero; beyond the largest number stands the next power of two
    with np.errstate(all="ignore"):
        wide = single(x).astype(np.float64)
        least = widened(below).astype(np.float64)
        most = np.where(np.isinf(widened(above)), np.sign(wide) * 2.0**128, widened(above).astype(np.float64))
        to_least, to_most = abs(wide - least), abs(most - wide)
    up = (to_most < to_least) | ((to_most == to_least) & (below & np.uint64(1) == 1))
    found = np.where(up & np.isfinite(wide), above, below)
    return np.where(np.isnan(wide), np.uint64(NAN_BF16), found)


def from_bf16(x: np.ndarray) -> np.ndarray:
    """Bits of BF16 as FP32."""
    return bits_of(widened(x))


def to_half(x: np.ndarray) -> np.ndarray:
    """Bits of FP32 rounded to FP16."""
    with np.errstate(all="ignore"):
        return bits_of(single(x).astype(np.float16))


def to_single(x: np.ndarray) -> np.ndarray:
    """Bits of FP16 as FP32."""
    with np.errstate(all="ignore"):
        return bits_of(half(x).astype(np.float32))


def is_less(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether x < y, of bits of FP32."""
    with np.errstate(all="ignore"):
        return (single(x) < single(y)).astype(np.uint64)


def maximum(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bits of the larger number, NaN if one is; +0 before -0."""
    with np.errstate(all="ignore"):
        larger = bits_of(np.maximum(single(x), single(y)))
        zeros = (single(x) == 0) & (single(y) == 0)
    larger[zeros] = (x & y)[zeros]
    return larger


def random_singles(rng: np.random.Generator, count: int) -> np.ndarray:
    """FP32 numbers: any bits, close exponents, short fractions (ties), subnormals, huge ones; in random order."""
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint64)
    part = count // 6
    sign, fraction = np.uint64(0x80000000), np.uint64(0x007FFFFF)

    def with_exponent(numbers, low, high):
        exponents = rng.integers(low, high, len(numbers)).astype(np.uint64) << np.uint64(23)
        return numbers & (sign | fraction) | exponents

    bits[:part] = with_exponent(bits[:part], 110, 140)
    short = bits[part : 2 * part] & ~np.uint64(0x3FFFFE)
    bits[part : 2 * part] = with_exponent(short, 115, 140)
    bits[2 * part : 3 * part] = with_exponent(bits[2 * part : 3 * part], 0, 3)
    bits[3 * part : 4 * part] = with_exponent(bits[3 * part : 4 * part], 250, 256)
    return rng.permutation(bits)


def random_pairs(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of FP32 numbers; in a quarter of them the second nearly cancels the first."""
    x, y = random_singles(rng, count), random_singles(rng, count)
    near = count // 4
    change = rng.integers(0, 8, near).astype(np.uint64) ^ (rng.integers(0, 2, near).astype(np.uint64) << np.uint64(31))
    y[:near] = x[:near] ^ change
    return x, y


def ties_of_sum(x: np.ndarray, y: np.ndarray) -> int:
    """How many sums lie exactly between two FP32 numbers."""
    with np.errstate(all="ignore"):
        exact = single(x).astype(np.float64) + single(y).astype(np.float64)
        rounded = exact.astype(np.float32)
        far = np.nextafter(rounded, np.where(exact > rounded, np.inf, -np.inf).astype(np.float32))
        between = (rounded.astype(np.float64) + far.astype(np.float64)) / 2
        return int(((between == exact) & (rounded != exact) & np.isfinite(exact)).sum())


def function_block(function, *widths: int) -> pyrtl.Block:
    """A block of one function: inputs x0, x1 ..., output y."""
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        inputs = [pyrtl.Input(bits, f"x{n}") for n, bits in enumerate(widths)]
        result = function(*inputs)
        output = pyrtl.Output(len(result), "y")
        output <<= result
    return block
