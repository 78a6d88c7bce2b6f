"""Registers and multiplexers that make strips of PEs a reconfigurable array: closed forms of what the RTL has.

    edges     skew of A at the left and of beats at the top of every strip, delays of chained groups
    loads     skew of A on its way down (IS), at the top of every strip
    lines     skew of the weights of WS: every weight meets the wavefront at its own PE (docs/core/array.md)
    stairs    that part of the lines which would stay if strips took their weights one after another
    links     two-to-one multiplexers between strips: chains, turns of a group, choice of an edge, ways of the sums

Source: rtl_models/core/array.py; tests/unit/cost compare the registers with those of the RTL, bit by bit.
"""

from __future__ import annotations

from typing import NamedTuple

from nmpsim.spec.params import CoreParams

SUM_BITS = 32


class Glue(NamedTuple):
    """What stands around the PEs of one array; bits."""

    edges: int  # register bits
    loads: int  # register bits
    lines: int  # register bits
    stairs: int  # register bits
    links: int  # bits of two-to-one multiplexers


def sizes_of(core: CoreParams) -> list[int]:
    """Return the sizes of groups that are powers of two: those that the RTL has."""
    return [size for size in core.group_sizes() if size.bit_count() == 1]


def _is_first(core: CoreParams, s: int) -> bool:
    """Return whether strip `s` can be the first one of its group, and so needs edges at its top."""
    return any(s % size == 0 for size in sizes_of(core))


def _skew(core: CoreParams, s: int) -> int:
    """Return the longest delay of the group of strip `s` in a chain; cycles."""
    return max(s // size for size in sizes_of(core)) * core.columns


def array_glue(core: CoreParams, operand_bits: int = 16) -> Glue:
    """Return the registers and multiplexers around the PEs of one array.

    Parameters
    ----------
    core : CoreParams
        A systolic array.
    operand_bits : int
        Width of an operand.
    """
    strips = range(core.strips)
    return Glue(
        edges=sum(_edge_bits(core, s, operand_bits) for s in strips),
        loads=sum(_load_bits(core, s, operand_bits) for s in strips),
        lines=sum(_line_bits(core, s, operand_bits) for s in strips),
        stairs=core.strips * _stair_bits(core, operand_bits),
        links=sum(_link_bits(core, s, operand_bits) for s in strips),
    )


def _triangle(steps: int) -> int:
    """Return 1 + 2 + ... + steps."""
    return steps * (steps + 1) // 2


def _row_bits(core: CoreParams) -> int:
    return (core.strips * core.strip_rows).bit_length()


def _edge_bits(core: CoreParams, s: int, bits: int) -> int:
    """Return the skew registers of operands that stream, at the edges of strip `s`."""
    rows, columns = core.strip_rows, core.columns
    turn = max(s % size for size in sizes_of(core)) * rows
    left = turn * (rows + 2 + rows * bits) + _triangle(rows) * (3 + bits)
    top = _triangle(columns) * (1 + bits) + _skew(core, s) + core.pe_latency + columns
    return left + top * _is_first(core, s)


def _load_bits(core: CoreParams, s: int, bits: int) -> int:
    """Return the skew registers of A on its way down (IS), at the top of strip `s`."""
    row_bits = _row_bits(core)
    return (_skew(core, s) * (row_bits + 1) + _triangle(core.columns) * (1 + row_bits + bits)) * _is_first(core, s)


def _line_bits(core: CoreParams, s: int, bits: int) -> int:
    """Return the registers of the weights of strip `s`: its shadow, the delay of its group, the skew of its PEs."""
    rows, columns = core.strip_rows, core.columns
    delay = max(s % size * rows + s // size * columns for size in sizes_of(core))
    return delay * rows * columns * (bits + 1) + _stair_bits(core, bits)


def _stair_bits(core: CoreParams, bits: int) -> int:
    """Return the shadow of a strip, and the skew of its PEs against each other."""
    rows, columns = core.strip_rows, core.columns
    skew = rows * columns * (rows + columns) // 2  # the sum of 1 + q + j over rows q and columns j
    return (rows * columns + skew) * (bits + 1)


def _link_bits(core: CoreParams, s: int, bits: int) -> int:
    """Return the two-to-one multiplexers around strip `s`, but for those of the weight lines."""
    rows, columns, sizes = core.strip_rows, core.columns, sizes_of(core)
    chains = sum(size <= s for size in sizes) * rows * (bits + SUM_BITS + 3)
    first = _is_first(core, s)
    either = first and any(s % size for size in sizes)  # the edge of a group, or the strip before it
    stack = either * columns * (2 * bits + SUM_BITS + 3 + _row_bits(core))
    turns = sum(min(size, core.strips - s) - 1 for size in sizes) * columns * bits + (len(sizes) - 1) * columns * bits
    delays = (len(sizes) - 1) * (rows + 2 + rows * bits)
    sums = (len(sizes) + 2) * columns * SUM_BITS + rows * SUM_BITS
    return chains + stack + turns * first + delays + sums
