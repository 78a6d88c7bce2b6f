"""One advance of all PEs: every register takes what its neighbours held before the clock edge.

    left edge -> a  PE(i, j) -> a       OS: acc += a b     WS: psum down += a stay     IS: psum right += stay b
                    |  b, psum, load

Rows are independent of each other within an advance: they read the image before the edge and write the one after it.
Each loop below is one register of a row of PEs; loops are kept apart so that they compile to vector instructions.

First advances of PE(0, 0) and its right neighbour (OS, k = 2; x.s = operands of step s, held in the register)::

    advance        0      1      2      3
    a, left edge   -     x.0    x.1     -
    PE(0, 0)       -    mul 0  mul 1    -
    a, PE(0, 0)    -      -     x.0    x.1
    PE(0, 1)       -      -    mul 0  mul 1
"""

from __future__ import annotations

from nmpsim.core.pe.state import (
    ACTIVE,
    FIRST,
    LOAD_SHIFT,
    P_VALID,
    ROW_SHIFT,
    SET,
    SLOT_SHIFT,
    VALID,
    VALUE_SHIFT,
)
from nmpsim.kernel import inlined

_TAGS = 15
"""The tag bits of a word of `a`."""

_SLOTS = 0xFFFF
"""The operand number of it, shifted down."""

_ROWS = 0x3FFF
"""The row number of a word of `load`, shifted down."""


@inlined
def pass_on(source, target):
    """Let a row of registers take what the wires before them hold (changes `target`)."""
    for j in range(len(source)):
        target[j] = source[j]


@inlined
def multiply_streams(left, top, product, mark):
    """Multiply what comes from the left and from the top; return the active PEs (changes `product`, `mark`)."""
    active = 0
    for j in range(len(top)):
        both = left[j] & top[j] & VALID
        product[j] = ((left[j] >> VALUE_SHIFT) * (top[j] >> 1)) & -both
        active += both
    for j in range(len(top)):
        mark[j] = (left[j] & _TAGS) | (left[j] & top[j] & VALID) * ACTIVE
    return active


@inlined
def accumulate(product, mark, acc, which):
    """Add products to the accumulators of set `which` (changes `acc`)."""
    for j in range(len(acc)):
        tag = mark[j]
        chosen = tag & VALID
        if which == 0:
            chosen &= 1 - ((tag & SET) >> 2)
        else:
            chosen &= (tag & SET) >> 2
        old = acc[j]
        cleared = old & -((tag & FIRST) >> 1)
        acc[j] = old + ((product[j] - cleared) & -chosen)


@inlined
def swap(left, shadow, stay):
    """Let PEs with the tag `first` take their next stationary operand (changes `stay`)."""
    for j in range(len(stay)):
        fresh = -((left[j] & FIRST) >> 1)
        stay[j] = (shadow[j] & fresh) | (stay[j] & ~fresh)


@inlined
def swap_from_lines(left, operand, row, stay):
    """Let PEs with the tag `first` take the operand that has come down their skew line (changes `stay`)."""
    for j in range(len(stay)):
        if left[j] & FIRST:
            stay[j] = operand[(left[j] >> SLOT_SHIFT) & _SLOTS, row, j]


@inlined
def multiply_stationary(left, top, stay, product, mark, weights):
    """Multiply by the stationary operand; return the active PEs (changes `product`, `mark`).

    `weights` is 1 if A streams past B (WS), 0 if B streams past A (IS).
    """
    active = 0
    for j in range(len(top)):
        all_of = left[j] & top[j] & stay[j] & VALID
        stream = (left[j] >> VALUE_SHIFT) if weights == 1 else (top[j] >> 1)
        product[j] = (stream * (stay[j] >> 1)) & -all_of
        active += all_of
    for j in range(len(top)):
        mark[j] = (left[j] & _TAGS) | (left[j] & top[j] & stay[j] & VALID) * ACTIVE | (top[j] & VALID) * P_VALID
    return active


@inlined
def add(product, come, gone):
    """Add products to passing sums (changes `gone`)."""
    for j in range(len(product)):
        gone[j] = come[j] + product[j]


@inlined
def catch(load, row, shadow):
    """Let the row that a passing operand names keep it (changes `shadow`)."""
    for j in range(len(shadow)):
        word = load[j]
        hit = (word & VALID) == 1 and ((word >> ROW_SHIFT) & _ROWS) == row
        kept = ((word >> LOAD_SHIFT) << 1) | ((word >> 1) & 1)
        shadow[j] = kept if hit else shadow[j]


@inlined
def move_output_stationary(grid, edges, advances, rows, chain):
    """Do one advance of all PEs (OS); return the active PEs (changes `grid`).

    `rows` are those of a group.  The left edge (place 0 of `a`) is set by the caller; ``wire`` is filled per group.
    """
    now, then = advances & 1, 1 - (advances & 1)
    stages = len(grid.product)
    stage, oldest = advances % stages, (advances + 1) % stages
    active = 0
    for row in range(len(grid.stay)):
        i = row % rows
        left = grid.a[now, row]
        if chain == 1 and row >= rows:
            left[0] = grid.a[now, row - rows, -1]
        if i == 0:
            enter_top(edges.top, edges.wire[0], row // rows, advances, 0)
            top = edges.wire[0]
        else:
            top = grid.b[now, row - 1]
        active += multiply_streams(left, top, grid.product[stage, row], grid.product_mark[stage, row])
        accumulate(grid.product[oldest, row], grid.product_mark[oldest, row], grid.acc[0, row], 0)
        accumulate(grid.product[oldest, row], grid.product_mark[oldest, row], grid.acc[1, row], 1)
        pass_on(left[:-1], grid.a[then, row, 1:])
        pass_on(top, grid.b[then, row])
    return active


@inlined
def move_weight_stationary(grid, edges, advances, rows, chain):
    """Do one advance of all PEs (WS); return the active PEs (changes `grid`); arguments as for OS."""
    now, then = advances & 1, 1 - (advances & 1)
    stages = len(grid.product)
    stage, oldest = advances % stages, (advances + 1) % stages
    active = 0
    for row in range(len(grid.stay)):
        i = row % rows
        left = grid.a[now, row]
        if chain == 1 and row >= rows:
            left[0] = grid.a[now, row - rows, -1]
        if i == 0:
            skew = (row // rows) * grid.b.shape[2] if chain == 1 else 0
            enter_top(edges.top, edges.wire[0], row // rows, advances, skew)
            top = edges.wire[0]
            come = edges.wire[2]
        else:
            top = grid.b[now, row - 1]
            come = grid.psum[now, row - 1, 1:]
        swap_from_lines(left, edges.operand, row, grid.stay[row])
        active += multiply_stationary(
            left, top, grid.stay[row], grid.product[stage, row], grid.product_mark[stage, row], 1
        )
        add(grid.product[oldest, row], come, grid.psum[then, row, 1:])
        pass_on(left[:-1], grid.a[then, row, 1:])
        pass_on(top, grid.b[then, row])
    return active


@inlined
def move_input_stationary(grid, edges, advances, rows, chain):
    """Do one advance of all PEs (IS); return the active PEs (changes `grid`); arguments as for OS."""
    now, then = advances & 1, 1 - (advances & 1)
    stages = len(grid.product)
    stage, oldest = advances % stages, (advances + 1) % stages
    active = 0
    for row in range(len(grid.stay)):
        i = row % rows
        left = grid.a[now, row]
        come = grid.psum[now, row]
        come[0] = 0
        if chain == 1 and row >= rows:
            left[0] = grid.a[now, row - rows, -1]
            come[0] = grid.psum[now, row - rows, -1]
        if i == 0:
            skew = (row // rows) * grid.b.shape[2] if chain == 1 else 0
            enter_top(edges.top, edges.wire[0], row // rows, advances, 0)
            enter_top(edges.load, edges.wire[1], row // rows, advances, skew)
            top = edges.wire[0]
            load = edges.wire[1]
        else:
            top = grid.b[now, row - 1]
            load = grid.load[now, row - 1]
        swap(left, grid.shadow[row], grid.stay[row])
        catch(load, i, grid.shadow[row])
        active += multiply_stationary(
            left, top, grid.stay[row], grid.product[stage, row], grid.product_mark[stage, row], 0
        )
        add(grid.product[oldest, row], come[:-1], grid.psum[then, row, 1:])
        pass_on(left[:-1], grid.a[then, row, 1:])
        pass_on(top, grid.b[then, row])
        pass_on(load, grid.load[then, row])
    return active


@inlined
def enter_top(line, wire, group, advances, delay):
    """Put what the skew registers of a group's top edge give in this advance on its wires (changes `wire`)."""
    place = line.shape[2]
    for j in range(len(wire)):
        wire[j] = line[group, j, (advances - 1 - j - delay) % place]


@inlined
def enter_left(grid, edges, advances, rows):
    """Put what the skew registers of the left edges give in this advance on their wires (changes `grid`)."""
    place = edges.left.shape[1]
    for row in range(len(edges.left)):
        grid.a[advances & 1, row, 0] = edges.left[row, (advances - 1 - row % rows) % place]
