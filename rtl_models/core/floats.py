"""Parts that all floating-point datapaths are made of: fields, leading zeros, shifts that keep a sticky bit, cuts.

A format has a sign, ``exponent`` bits and ``fraction`` bits (IEEE 754-2008, binary16 and binary32; bfloat16, the upper
half of binary32)::

    15 14      10 9             0        31 30        23 22                    0        15 14        7 6        0
    [s][exponent][   fraction   ]        [s][ exponent  ][       fraction       ]        [s][ exponent ][fraction]

Subnormal numbers are kept: their hidden bit is 0 and their exponent counts as 1.  Every NaN that leaves a datapath is
the quiet one with a positive sign and an otherwise empty fraction.

A *cut* is a place where a datapath may have registers.  ``Cuts`` puts them at as many cuts as there are stages, in
the order in which they shorten the longest path; stages beyond the cuts follow the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import pyrtl

Wire: TypeAlias = pyrtl.WireVector


class Format(NamedTuple):
    """A binary floating-point format."""

    exponent: int  # bits
    fraction: int  # bits

    @property
    def bits(self) -> int:
        """Width of a number; bits."""
        return 1 + self.exponent + self.fraction

    @property
    def infinity(self) -> int:
        """Bits of plus infinity."""
        return ((1 << self.exponent) - 1) << self.fraction

    @property
    def nan(self) -> int:
        """Bits of the canonical quiet NaN."""
        return self.infinity | 1 << (self.fraction - 1)


FP16, FP32, BF16 = Format(5, 10), Format(8, 23), Format(8, 7)


class Parts(NamedTuple):
    """A number taken apart."""

    sign: Wire  # 1 bit
    exponent: Wire  # as if normal: 1 for zero and subnormal numbers
    significand: Wire  # fraction with its hidden bit in front
    is_zero: Wire
    is_infinite: Wire
    is_nan: Wire


def parts_of(number: Wire, form: Format) -> Parts:
    """Return the parts of a number; its width must be that of the format."""
    assert len(number) == form.bits, f"got {len(number)} bits; allowed: {form.bits}"
    field, fraction = number[form.fraction : -1], number[: form.fraction]
    normal, empty = field != 0, fraction == 0
    full = field == (1 << form.exponent) - 1
    return Parts(
        sign=number[-1],
        exponent=pyrtl.concat(field[1:], field[0] | ~normal),
        significand=pyrtl.concat(normal, fraction),
        is_zero=~normal & empty,
        is_infinite=full & empty,
        is_nan=full & ~empty,
    )


def leading_zeros(bits: Wire) -> Wire:
    """Return how many zeros stand before the first one, the width if there is none.

    Built as a tree: two halves count for themselves, and the upper one, if it is all zero, adds the lower one's count.
    """
    width = len(bits)
    size = 1 << (width - 1).bit_length()
    padded = bits if size == width else pyrtl.concat(bits, pyrtl.Const((1 << (size - width)) - 1, size - width))
    count = _zeros(padded)
    return count[: width.bit_length()]


def _zeros(bits: Wire) -> Wire:
    """Return the leading zeros of a power of two of bits; the top bit of the count says that all are zero."""
    if len(bits) == 1:
        return ~bits
    half = len(bits) // 2
    high, low = _zeros(bits[half:]), _zeros(bits[:half])
    if half == 1:
        return pyrtl.concat(high & low, high & ~low)
    rest = pyrtl.select(high[-1], low[:-1], high[:-1])
    return pyrtl.concat(high[-1] & low[-1], high[-1] & ~low[-1], rest)


def shifted_left(bits: Wire, count: Wire) -> Wire:
    """Return `bits` moved up by `count`, zeros behind, the width unchanged."""
    for i, move in enumerate(count):
        step = 1 << i
        moved = pyrtl.Const(0, len(bits)) if step >= len(bits) else pyrtl.concat(bits[:-step], pyrtl.Const(0, step))
        bits = pyrtl.select(move, moved, bits)
    return bits


def shifted_right_sticky(bits: Wire, count: Wire) -> Wire:
    """Return `bits` moved down by `count`; the lowest bit is 1 also if any bit that fell out was."""
    width = len(bits)
    levels = (width - 1).bit_length()
    lost = pyrtl.Const(0, 1)
    kept = bits
    for i, move in enumerate(count[:levels]):
        step = 1 << i
        lost = lost | (move & pyrtl.or_all_bits(kept[:step]))
        kept = pyrtl.select(move, pyrtl.concat(pyrtl.Const(0, step), kept[step:]), kept)
    if len(count) > levels:
        far = pyrtl.or_all_bits(count[levels:])
        lost = pyrtl.select(far, pyrtl.or_all_bits(bits), lost)
        kept = pyrtl.select(far, pyrtl.Const(0, width), kept)
    return pyrtl.concat(kept[1:], kept[0] | lost)


def rounded(field: Wire, significand: Wire, form: Format) -> Wire:
    """Return exponent and fraction rounded to nearest, ties to even; beyond the largest number lies infinity.

    Parameters
    ----------
    field : Wire
        Exponent of the first bit of the significand, as for a normal number, at least 1; may be wider than the format.
    significand : Wire
        Hidden bit (0 only where `field` is 1, or for zero), fraction, guard bit, and one or more bits whose OR says
        that the rest is not zero.
    form : Format

    Returns
    -------
    Wire
        Exponent and fraction without a sign.
    """
    below = len(significand) - 1 - form.fraction
    hidden, fraction = significand[-1], significand[below:-1]
    guard, rest = significand[below - 1], pyrtl.or_all_bits(significand[: below - 1])
    up = guard & (rest | fraction[0])
    width = form.bits - 1
    biased = pyrtl.select(hidden, field, pyrtl.Const(0, len(field)))
    packed = (pyrtl.concat(biased, fraction) + up).truncate(len(field) + form.fraction)
    over = packed[form.fraction :] >= (1 << form.exponent) - 1
    return pyrtl.select(over, pyrtl.Const(form.infinity, width), packed[:width])


def chosen(*cases: tuple[Wire, Wire | int], otherwise: Wire) -> Wire:
    """Return the value of the first case whose bit is 1."""
    value = otherwise
    for bit, wanted in reversed(cases):
        value = pyrtl.select(bit, pyrtl.Const(wanted, len(value)) if isinstance(wanted, int) else wanted, value)
    return value


def held(wire: Wire, enable: Wire | None = None, name: str = "") -> Wire:
    """Return a register behind a wire; it loads in every cycle, or in those in which `enable` is 1."""
    register = pyrtl.Register(len(wire), name)
    register.next <<= wire if enable is None else pyrtl.select(enable, wire, register)
    return register


def delayed(wire: Wire, cycles: int) -> Wire:
    """Return a wire as it was some cycles ago."""
    for _ in range(cycles):
        wire = held(wire)
    return wire


class Product(NamedTuple):
    """A product before it is normalised."""

    sign: Wire  # 1 bit
    exponents: Wire  # sum of both, as if normal
    significand: Wire  # product of both, twice as wide
    infinite: Wire
    nan: Wire  # also 0 x infinity


def product_of(x: Wire, y: Wire, form: Format, cuts: Cuts) -> Product:
    """Return the product of two numbers, behind the cut "multiplied": the head of every multiplier."""
    a, b = parts_of(x, form), parts_of(y, form)
    infinite = a.is_infinite | b.is_infinite
    nan = a.is_nan | b.is_nan | (infinite & (a.is_zero | b.is_zero))
    return Product(
        *cuts.at("multiplied", a.sign ^ b.sign, a.exponent + b.exponent, a.significand * b.significand, infinite, nan)
    )


class Cuts:
    """Registers within a datapath.

    Parameters
    ----------
    stages : int
        Register levels, >= 0.
    order : sequence of str
        Cuts of the datapath, the most useful one first.
    enable : Wire, optional
        The registers load only in cycles in which it is 1.

    Raises
    ------
    ValueError
        If `stages` is negative.
    """

    def __init__(self, stages: int, order: Sequence[str], enable: Wire | None = None) -> None:
        if stages < 0:
            raise ValueError(f"stages: got {stages}; allowed: 0 or more; give the register levels of the datapath")
        self.used = frozenset(order[:stages])
        self.left = max(0, stages - len(order))
        self.enable = enable

    def at(self, cut: str, *wires: Wire) -> tuple[Wire, ...]:
        """Return the wires behind a cut: registers, or the wires themselves."""
        return tuple(held(wire, self.enable) for wire in wires) if cut in self.used else wires

    def end(self, wire: Wire) -> Wire:
        """Return the result behind the stages that found no cut."""
        for _ in range(self.left):
            wire = held(wire, self.enable)
        return wire
