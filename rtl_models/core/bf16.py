"""BF16 (bfloat16): the product in FP32, and the two conversions.

A BF16 number is the upper half of an FP32 number: the same exponents, 8 significant bits.  So a product has at most 16
significant bits, which FP32 holds exactly as long as its exponent does; beyond the largest number it becomes infinite,
and below the smallest normal one it is rounded like any FP32 product (`rtl_models.core.fp32`, where the drawing is).
The datapath is that of FP32 with an 8 x 8 multiplier.  Subnormal operands are kept.
"""

from __future__ import annotations

import pyrtl

from rtl_models.core.floats import BF16, FP32, Wire, chosen, parts_of, rounded
from rtl_models.core.fp32 import wide_multiply


def bf16_multiply(x: Wire, y: Wire, *, stages: int = 0, enable: Wire | None = None) -> Wire:
    """Return the product of two BF16 numbers, in FP32.

    Parameters
    ----------
    x, y : Wire
        Factors; 16 bits.
    stages : int
        Register levels within; cycles.
    enable : Wire, optional
        The registers load only in cycles in which it is 1.

    Returns
    -------
    Wire
        The product; 32 bits.
    """
    return wide_multiply(x, y, BF16, stages=stages, enable=enable)


def bf16_to_fp32(x: Wire) -> Wire:
    """Return a BF16 number as FP32; exact."""
    is_nan = parts_of(x, BF16).is_nan
    return pyrtl.select(is_nan, pyrtl.Const(FP32.nan, 32), pyrtl.concat(x, pyrtl.Const(0, 16)))


def fp32_to_bf16(x: Wire) -> Wire:
    """Return an FP32 number rounded to BF16, to nearest, ties to even; overflow to infinity, subnormals kept."""
    a = parts_of(x, FP32)
    magnitude = chosen(
        (a.is_nan, BF16.nan),
        (a.is_infinite, BF16.infinity),
        otherwise=rounded(a.exponent, a.significand, BF16),
    )
    return pyrtl.concat(a.sign & ~a.is_nan, magnitude)
