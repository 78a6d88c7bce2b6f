"""FP16 (binary16): the exact product in FP32, and the two conversions.

    x --> [parts] --significands--> [ 11 x 11 multiplier ] --|--> [leading zeros, shift left] --> fraction
    y --> [parts] --exponents-----> [ + + bias ] ------------|--> [ - leading zeros ] ----------> exponent
          [parts] --zero, infinite, NaN ---------------------|--> [choose] ------------------> product
                                                             cut "multiplied"

The product of two FP16 numbers has at most 22 significant bits and an exponent from -48 to 31, so FP32 holds it
exactly, subnormal operands included: nothing is rounded.  0 x infinity is NaN.

Numbers of a cycle's operands leave the multiplier after `stages` cycles::

    stages    0    1    2
    product   0    1    2
"""

from __future__ import annotations

import pyrtl

from rtl_models.core.floats import (
    FP16,
    FP32,
    Cuts,
    Wire,
    chosen,
    leading_zeros,
    parts_of,
    product_of,
    rounded,
    shifted_left,
    shifted_right_sticky,
)

MULTIPLY_CUTS = ("multiplied",)


def fp16_multiply(x: Wire, y: Wire, *, stages: int = 0, enable: Wire | None = None) -> Wire:
    """Return the product of two FP16 numbers, in FP32, exact.

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
    cuts = Cuts(stages, MULTIPLY_CUTS, enable)
    sign, exponents, product, infinite, nan = product_of(x, y, FP16, cuts)
    zeros = leading_zeros(product)
    fraction = shifted_left(product, zeros)[:-1]  # the first one becomes the hidden bit
    # the last bit of a significand weighs 2 ** (exponent - 25); the first bit of the product is 21 places up
    field = (exponents + (21 - 50 + 127) - zeros).truncate(FP32.exponent)
    magnitude = chosen(
        (nan, FP32.nan),
        (infinite, FP32.infinity),
        (product == 0, 0),
        otherwise=pyrtl.concat(field, fraction, pyrtl.Const(0, FP32.fraction - len(fraction))),
    )
    return cuts.end(pyrtl.concat(sign & ~nan, magnitude))


def fp16_to_fp32(x: Wire) -> Wire:
    """Return an FP16 number as FP32; exact."""
    a = parts_of(x, FP16)
    zeros = leading_zeros(a.significand)
    fraction = shifted_left(a.significand, zeros)[:-1]
    field = (a.exponent + (127 - 15) - zeros).truncate(FP32.exponent)
    magnitude = chosen(
        (a.is_nan, FP32.nan),
        (a.is_infinite, FP32.infinity),
        (a.is_zero, 0),
        otherwise=pyrtl.concat(field, fraction, pyrtl.Const(0, FP32.fraction - FP16.fraction)),
    )
    return pyrtl.concat(a.sign & ~a.is_nan, magnitude)


def fp32_to_fp16(x: Wire) -> Wire:
    """Return an FP32 number rounded to FP16, to nearest, ties to even; overflow to infinity, subnormals kept."""
    a = parts_of(x, FP32)
    least = 127 - 15 + 1  # exponent field of the smallest normal number of FP16
    small = a.exponent < least
    places = pyrtl.select(small, (least - a.exponent).truncate(FP32.exponent), pyrtl.Const(0, FP32.exponent))
    significand = shifted_right_sticky(a.significand, places)
    field = pyrtl.select(small, pyrtl.Const(1, FP32.exponent), (a.exponent - (least - 1)).truncate(FP32.exponent))
    magnitude = chosen(
        (a.is_nan, FP16.nan),
        (a.is_infinite, FP16.infinity),
        otherwise=rounded(field, significand, FP16),
    )
    return pyrtl.concat(a.sign & ~a.is_nan, magnitude)
