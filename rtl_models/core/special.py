"""Special functions of the vector lanes: exp, reciprocal, reciprocal square root; table and quadratic interpolation.

            [to fixed point]      [table: c0 c1 c2]
    x --|-> x log2(e) = n + f --|-> u = rest of f ----|-> s = c1 + u c2 --|-> v = c0 + u s -> [shift by n, round] -> exp
    x --|-> significand m ------|-> u = rest of m ----|-> s = c1 - u c2 --|-> v = c0 - u s -> [exponent, round] -> 1/x
                           "reduced"             "looked up"         "sloped"

The method is that of Oberman and Siu, "A high-performance area-efficient multifunction interpolator" (ARITH 2005).  The
first bits of the argument choose one of 128 (exp) or 256 segments, in which a quadratic passes through the function at
the three Chebyshev nodes; coefficients have 30 fractional bits.  The largest errors against the exact value are in
``MAX_ULP``: measured over every fraction (exp: every eleventh argument), tests/cosim/test_lane_functions.py.

Special values: exp(-inf) = +0, exp(inf) = inf; 1/(+-0) = +-inf, 1/(+-inf) = +-0; 1/sqrt(+-0) = +-inf, 1/sqrt(inf) = +0,
1/sqrt(x < 0) = NaN; NaN stays NaN.  Subnormal arguments and results are kept.

Results leave after `stages` cycles; cuts that have registers::

    stages        0    1    2    3
    reduced                      x
    looked up               x    x
    sloped             x    x    x
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyrtl

from rtl_models.core.floats import (
    FP32,
    Cuts,
    Wire,
    chosen,
    leading_zeros,
    parts_of,
    rounded,
    shifted_left,
    shifted_right_sticky,
)

CUTS = ("sloped", "looked up", "reduced")
FRACTION = 30
"""Fractional bits of the coefficients and of the interpolated value."""
EXP_INDEX, ROOT_INDEX = 7, 8
"""Bits that choose a segment."""
EXP_BITS, ROOT_BITS = 28, 24
"""Bits of the reduced argument of exp, and of a reciprocal (23) or of a root with its parity (24)."""
LOG2E_BITS = 36
"""Fractional bits of log2(e): 2**-37 of an argument of at most 104 is an error of 2**-30 in f."""
MAX_ULP = {"exp": 0.57, "reciprocal": 0.54, "rsqrt": 0.59}
"""Largest error in units of the last place of the exact result, subnormal ones included."""


class Quadratic(NamedTuple):
    """Coefficients of one segment, as integers of FRACTION fractional bits, for u in [0, 1)."""

    c0: int
    c1: int  # magnitude
    c2: int


def quadratic(function: Callable[[float], float], low: float, width: float) -> Quadratic:
    """Return the quadratic through a function at the three Chebyshev nodes of a segment.

    Parameters
    ----------
    function : function of float
        Convex on the segment.
    low, width : float
        The segment.
    """
    nodes = [0.5 + 0.5 * math.cos(math.pi * (2 * k + 1) / 6) for k in range(3)]
    y = [function(low + width * u) for u in nodes]
    d01 = (y[1] - y[0]) / (nodes[1] - nodes[0])
    d12 = (y[2] - y[1]) / (nodes[2] - nodes[1])
    c2 = (d12 - d01) / (nodes[2] - nodes[0])
    c1 = d01 - c2 * (nodes[0] + nodes[1])
    c0 = y[0] - nodes[0] * (c1 + c2 * nodes[0])
    scale = 2.0**FRACTION
    return Quadratic(round(c0 * scale), round(abs(c1) * scale), round(c2 * scale))


def exp_table() -> list[Quadratic]:
    """Return the segments of 2**f, f in [0, 1)."""
    width = 2.0**-EXP_INDEX
    return [quadratic(lambda f: 2.0**f, i * width, width) for i in range(1 << EXP_INDEX)]


def reciprocal_table() -> list[Quadratic]:
    """Return the segments of 2 / m, m in [1, 2)."""
    width = 2.0**-ROOT_INDEX
    return [quadratic(lambda m: 2.0 / m, 1.0 + i * width, width) for i in range(1 << ROOT_INDEX)]


def rsqrt_table() -> list[Quadratic]:
    """Return the segments of 2 / sqrt(m), m in [1, 2), then those of m in [2, 4)."""
    half = 1 << (ROOT_INDEX - 1)
    return [
        quadratic(lambda m: 2.0 / math.sqrt(m), scale * (1.0 + i / half), scale / half)
        for scale in (1.0, 2.0)
        for i in range(half)
    ]


def table_of(index: Wire, values: Sequence[int], bits: int) -> Wire:
    """Return an entry of a table of constants as logic, equal parts of it built once."""
    built: dict[tuple[int, ...], Wire] = {}

    def entry(column: tuple[int, ...]) -> Wire:
        if len(set(column)) == 1:
            return pyrtl.Const(column[0], 1)
        if column not in built:
            half = len(column) // 2
            choose = index[half.bit_length() - 1]
            built[column] = pyrtl.select(choose, entry(column[half:]), entry(column[:half]))
        return built[column]

    assert len(values) == 1 << len(index)
    return pyrtl.concat_list([entry(tuple(value >> n & 1 for value in values)) for n in range(bits)])


def coefficients(index: Wire, table: Sequence[Quadratic]) -> tuple[Wire, Wire, Wire]:
    """Return the coefficients of a segment."""
    columns = [[getattr(segment, name) for segment in table] for name in Quadratic._fields]
    c0, c1, c2 = (table_of(index, column, max(column).bit_length()) for column in columns)
    return c0, c1, c2


def scaled(x: Wire, y: Wire, places: int) -> Wire:
    """Return x y without its lowest `places` bits."""
    return (x * y)[places:]


def slope(u: Wire, c1: Wire, c2: Wire, *, falls: bool) -> Wire:
    """Return c1 + u c2, or c1 - u c2 for a falling function, which is not negative."""
    bent = scaled(u, c2, len(u))
    return (c1 - bent).truncate(len(c1)) if falls else c1 + bent


def special_exp(x: Wire, *, stages: int = 0) -> Wire:
    """Return exp(x) of an FP32 number.

    Parameters
    ----------
    x : Wire
        32 bits.
    stages : int
        Register levels within; cycles.
    """
    cuts = Cuts(stages, CUTS)
    a = parts_of(x, FP32)
    log2e = round(math.log2(math.e) * 2**LOG2E_BITS)
    product = a.significand * pyrtl.Const(log2e)  # 23 + LOG2E_BITS fractional bits at exponent 127
    keep = 23 + LOG2E_BITS - EXP_BITS
    high = a.exponent >= 127 + 8  # |x| >= 256
    # t = product << (exponent - 127) or >>: as a right shift from exponent 127 + 7 on
    wide = pyrtl.concat(product, pyrtl.Const(0, 7))
    places = (127 + 7 - a.exponent).truncate(FP32.exponent)
    fixed = shifted_right_sticky(wide, places)[keep:]
    sign, fixed, high, nan, infinite = cuts.at("reduced", a.sign, fixed, high, a.is_nan, a.is_infinite)
    signed = pyrtl.concat(pyrtl.Const(0, 1), fixed)
    t = pyrtl.select(sign, (~signed + 1).truncate(len(signed)), signed)
    f, n = t[:EXP_BITS], t[EXP_BITS:]
    u = f[: EXP_BITS - EXP_INDEX]
    c0, c1, c2 = coefficients(f[-EXP_INDEX:], exp_table())
    sign, n, u, c0, c1, c2, high, nan, infinite = cuts.at("looked up", sign, n, u, c0, c1, c2, high, nan, infinite)
    rise = slope(u, c1, c2, falls=False)
    sign, n, u, c0, rise, high, nan, infinite = cuts.at("sloped", sign, n, u, c0, rise, high, nan, infinite)
    value = (c0 + scaled(u, rise, len(u))).truncate(FRACTION + 1)

    bits = len(n) + 1
    field = (n.sign_extended(bits) + 127).truncate(bits)
    magnitude = placed(field, value)
    far = high | infinite
    magnitude = chosen((nan, FP32.nan), (far & ~sign, FP32.infinity), (far & sign, 0), otherwise=magnitude)
    return cuts.end(pyrtl.concat(pyrtl.Const(0, 1), magnitude))


def placed(field: Wire, value: Wire) -> Wire:
    """Return exponent and fraction of `value`, in [1, 2) with FRACTION fractional bits, at a signed field, rounded."""
    bits = len(field)
    small = field[-1] | (field == 0)
    places = pyrtl.select(small, (1 - field).truncate(bits), pyrtl.Const(0, bits))
    field = pyrtl.select(small, pyrtl.Const(1, bits - 1), field[:-1])
    return rounded(field, shifted_right_sticky(value, places), FP32)


def special_root(x: Wire, is_rsqrt: Wire, *, stages: int = 0) -> Wire:
    """Return 1 / x of an FP32 number, or 1 / sqrt(x) where `is_rsqrt` is 1.

    Parameters
    ----------
    x : Wire
        32 bits.
    is_rsqrt : Wire
        One bit.
    stages : int
        Register levels within; cycles.
    """
    cuts = Cuts(stages, CUTS)
    a = parts_of(x, FP32)
    zeros = leading_zeros(a.significand)
    m = shifted_left(a.significand, zeros)[:-1]
    bits = FP32.exponent + 2
    exponent = (a.exponent.zero_extended(bits) - zeros).truncate(bits)  # field, also below 1
    nan = a.is_nan | (is_rsqrt & a.sign & ~a.is_zero)
    sign, m, exponent, zero, infinite, nan, is_rsqrt = cuts.at(
        "reduced", a.sign, m, exponent, a.is_zero, a.is_infinite, nan, is_rsqrt
    )
    odd = ~exponent[0]  # field 127 is exponent 0
    argument = pyrtl.select(is_rsqrt, pyrtl.concat(odd, m), pyrtl.concat(m, pyrtl.Const(0, 1)))
    index, u = argument[-ROOT_INDEX:], argument[:-ROOT_INDEX]
    both = zip(coefficients(index, rsqrt_table()), coefficients(index, reciprocal_table()), strict=True)
    c0, c1, c2 = (_either(is_rsqrt, *pair) for pair in both)
    # 1/x: field 2 * 127 - e - 1; 1/sqrt: 127 - floor((e - 127) / 2) - 1
    halved = (exponent.sign_extended(bits + 1) - 127).truncate(bits + 1)[1:]
    away = pyrtl.select(is_rsqrt, halved, (exponent - 127).truncate(bits))
    field = (126 - away).truncate(bits)
    sign, field, u, c0, c1, c2, zero, infinite, nan = cuts.at(
        "looked up", sign, field, u, c0, c1, c2, zero, infinite, nan
    )
    fall = slope(u, c1, c2, falls=True)
    sign, field, u, c0, fall, zero, infinite, nan = cuts.at("sloped", sign, field, u, c0, fall, zero, infinite, nan)
    bits_of_value = FRACTION + 2
    value = (c0.zero_extended(bits_of_value) - scaled(u, fall, len(u))).truncate(bits_of_value)
    two = value[-1]  # 2 / 1
    value = pyrtl.select(two, value[1:], value[:-1])
    field = (field + two).truncate(bits)
    magnitude = chosen((nan, FP32.nan), (zero, FP32.infinity), (infinite, 0), otherwise=placed(field, value))
    return cuts.end(pyrtl.concat(sign & ~nan, magnitude))


def _either(bit: Wire, yes: Wire, no: Wire) -> Wire:
    """Return one of two wires, the shorter one filled up with zeros."""
    width = max(len(yes), len(no))
    return pyrtl.select(bit, yes.zero_extended(width), no.zero_extended(width))
