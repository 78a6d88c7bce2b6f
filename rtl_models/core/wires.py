"""Small pieces of logic that several blocks of the core use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_

import pyrtl


def first_of(*cases: tuple[pyrtl.WireVector, pyrtl.WireVector], otherwise: pyrtl.WireVector) -> pyrtl.WireVector:
    """Return the value of the first case whose bit is 1."""
    value = otherwise
    for bit, chosen in reversed(cases):
        value = pyrtl.select(bit, chosen, value)
    return value


def one_of(choice: Mapping[int, pyrtl.WireVector], values: Mapping[int, pyrtl.WireVector]) -> pyrtl.WireVector:
    """Return the value whose one-hot bit in `choice` is 1; the last one needs no bit.

    Parameters
    ----------
    choice : mapping of int to WireVector
        One bit per key, exactly one of them 1.
    values : mapping of int to WireVector
        The same keys.
    """
    keys = list(choice)
    bits = max(len(values[key]) for key in keys)
    value = values[keys[-1]].zero_extended(bits)
    for key in reversed(keys[:-1]):
        value = pyrtl.select(choice[key], values[key].zero_extended(bits), value)
    return value


def any_of(bits: Sequence[pyrtl.WireVector]) -> pyrtl.WireVector:
    """Return 1 if a bit is 1; 0 without bits."""
    return reduce(or_, bits, pyrtl.Const(0, 1))


def minus_one(count: pyrtl.WireVector) -> pyrtl.WireVector:
    """Return a count less one, but not below 0."""
    less = (count - 1).truncate(len(count))
    return pyrtl.select(count == 0, pyrtl.Const(0, len(count)), less)


def plus_one(count: pyrtl.WireVector) -> pyrtl.WireVector:
    """Return a count plus one, of the same width."""
    return (count + 1).truncate(len(count))


def up(value: pyrtl.WireVector, shift: int) -> pyrtl.WireVector:
    """Return value times 2**shift, wide enough."""
    return pyrtl.concat(value, pyrtl.Const(0, shift)) if shift else value


def ceil_down(value: pyrtl.WireVector, shift: int) -> pyrtl.WireVector:
    """Return value / 2**shift, rounded up, wide enough."""
    if not shift:
        return value
    whole = value + (2**shift - 1)
    return whole[shift:] if len(whole) > shift else pyrtl.Const(0, 1)


def lower(a: pyrtl.WireVector, b: pyrtl.WireVector) -> pyrtl.WireVector:
    """Return the smaller of two counts."""
    return pyrtl.select(a < b, a, b)


def log2(value: int, name: str) -> int:
    """Return the logarithm of a power of two.

    Raises
    ------
    ValueError
        If it is none.
    """
    if value < 1 or value & (value - 1):
        raise ValueError(f"array: {name}: got {value}; allowed: powers of two, so that divisions are shifts; change it")
    return value.bit_length() - 1
