"""FP32 (binary32): sum and product, rounded to nearest, ties to even; order and maximum.

    x --> [by mag- ]-larger-------------------------|->[   ]--|                              |
    y --> [ nitude ]-smaller->[shift right, sticky]-|->[+/-]--|->[leading zeros, shift left]-|->[round]--> sum
                    -exponent-----------------------|---------|->[- leading zeros]-----------|->[     ]
                                               "aligned"   "summed"                     "normalised"

Subnormal numbers are kept, too large results become infinite, infinity - infinity and 0 x infinity are NaN, every NaN
is 0x7FC00000; x - x is +0, and only (-0) + (-0) is -0.

Numbers of a cycle's operands leave a datapath after `stages` cycles; cuts of the adder that have registers::

    stages    0    1       2                3
    aligned                x                x
    summed         x       x                x
    normalised                              x
"""

from __future__ import annotations

import pyrtl

from rtl_models.core.floats import (
    FP32,
    Cuts,
    Format,
    Wire,
    chosen,
    leading_zeros,
    parts_of,
    product_of,
    rounded,
    shifted_left,
    shifted_right_sticky,
)

ADD_CUTS = ("summed", "aligned", "normalised")
MULTIPLY_CUTS = ("multiplied", "normalised", "denormalised")


def fp32_add(x: Wire, y: Wire, *, stages: int = 0, enable: Wire | None = None) -> Wire:
    """Return the sum of two FP32 numbers.

    Parameters
    ----------
    x, y : Wire
        Summands; 32 bits.
    stages : int
        Register levels within; cycles.
    enable : Wire, optional
        The registers load only in cycles in which it is 1.

    Returns
    -------
    Wire
        The sum; 32 bits.
    """
    cuts = Cuts(stages, ADD_CUTS, enable)
    swap = x[:-1] < y[:-1]
    large, small = parts_of(pyrtl.select(swap, y, x), FP32), parts_of(pyrtl.select(swap, x, y), FP32)
    subtract = x[-1] ^ y[-1]
    nan = large.is_nan | (large.is_infinite & small.is_infinite & subtract)  # a NaN is larger than all else
    three = pyrtl.Const(0, 3)  # guard, round, sticky
    distance = (large.exponent - small.exponent).truncate(FP32.exponent)
    kept, moved, sign, exponent, subtract, infinite, nan = cuts.at(
        "aligned",
        pyrtl.concat(large.significand, three),
        shifted_right_sticky(pyrtl.concat(small.significand, three), distance),
        large.sign,
        large.exponent,
        subtract,
        large.is_infinite,
        nan,
    )
    inverted = moved ^ subtract.sign_extended(len(moved))
    total = (kept + inverted + subtract).truncate(len(kept) + 1)
    total = pyrtl.concat(total[-1] & ~subtract, total[:-1])  # a difference is not negative: its carry says nothing
    total, sign, exponent, subtract, infinite, nan = cuts.at("summed", total, sign, exponent, subtract, infinite, nan)

    carry = total[-1]
    zeros = leading_zeros(total[:-1])
    room = (exponent - 1).truncate(FP32.exponent)  # places up to the exponent of subnormal numbers
    limited = zeros > room
    places = pyrtl.select(limited, room[: len(zeros)], zeros)
    halved = pyrtl.concat(total[2:], total[1] | total[0])
    significand = pyrtl.select(carry, halved, shifted_left(total[:-1], places))
    field = pyrtl.select(
        carry, exponent + 1, (exponent - places).truncate(FP32.exponent).zero_extended(FP32.exponent + 1)
    )
    sign = sign & ~(subtract & (total == 0))
    significand, field, sign, infinite, nan = cuts.at("normalised", significand, field, sign, infinite, nan)

    magnitude = chosen((nan, FP32.nan), (infinite, FP32.infinity), otherwise=rounded(field, significand, FP32))
    return cuts.end(pyrtl.concat(sign & ~nan, magnitude))


def fp32_multiply(x: Wire, y: Wire, *, stages: int = 0, enable: Wire | None = None) -> Wire:
    """Return the product of two FP32 numbers.

    Parameters
    ----------
    x, y : Wire
        Factors; 32 bits.
    stages : int
        Register levels within; cycles.
    enable : Wire, optional
        The registers load only in cycles in which it is 1.

    Returns
    -------
    Wire
        The product; 32 bits.
    """
    return wide_multiply(x, y, FP32, stages=stages, enable=enable)


def wide_multiply(x: Wire, y: Wire, form: Format, *, stages: int = 0, enable: Wire | None = None) -> Wire:
    """Return the product, in FP32, of two numbers of a format with the exponents of FP32.

    Parameters
    ----------
    x, y : Wire
        Factors.
    form : Format
        FP32 or BF16.
    stages : int
        Register levels within; cycles.
    enable : Wire, optional
        The registers load only in cycles in which it is 1.

    Returns
    -------
    Wire
        The product, rounded where the format does not hold it; 32 bits.
    """
    cuts = Cuts(stages, MULTIPLY_CUTS, enable)
    sign, exponents, product, infinite, nan = product_of(x, y, form, cuts)
    zeros = leading_zeros(product)
    bits = FP32.exponent + 3  # of signed exponents
    field = (exponents.zero_extended(bits) - (127 - 1) - zeros).truncate(bits)
    product = shifted_left(product, zeros)
    if len(product) < FP32.fraction + 3:  # down to where guard and sticky bit stand
        product = pyrtl.concat(product, pyrtl.Const(0, FP32.fraction + 3 - len(product)))
    sign, field, product, infinite, nan = cuts.at("normalised", sign, field, product, infinite, nan)
    small = field[-1] | (field == 0)
    places = pyrtl.select(small, (1 - field).truncate(bits), pyrtl.Const(0, bits))
    significand = shifted_right_sticky(product, places[:-1])
    field = pyrtl.select(small, pyrtl.Const(1, bits - 1), field[:-1])
    sign, field, significand, infinite, nan = cuts.at("denormalised", sign, field, significand, infinite, nan)
    magnitude = chosen((nan, FP32.nan), (infinite, FP32.infinity), otherwise=rounded(field, significand, FP32))
    return cuts.end(pyrtl.concat(sign & ~nan, magnitude))


def fp32_less(x: Wire, y: Wire) -> Wire:
    """Return whether x < y, one bit; -0 equals +0, and a NaN is less than nothing and nothing than it."""
    a, b = parts_of(x, FP32), parts_of(y, FP32)
    below, above = x[:-1] < y[:-1], x[:-1] > y[:-1]
    ordered = pyrtl.select(a.sign, ~b.sign | above, ~b.sign & below)
    return ordered & ~a.is_nan & ~b.is_nan & ~(a.is_zero & b.is_zero)


def fp32_max(x: Wire, y: Wire) -> Wire:
    """Return the larger number, y if they are equal (+0 before -0); NaN if one is NaN."""
    a, b = parts_of(x, FP32), parts_of(y, FP32)
    zeros = pyrtl.Const(0, FP32.bits)
    zeros = pyrtl.concat(x[-1] & y[-1], zeros[:-1])
    return chosen(
        (a.is_nan | b.is_nan, FP32.nan),
        (a.is_zero & b.is_zero, zeros),
        otherwise=pyrtl.select(fp32_less(y, x), x, y),
    )
