"""Skew: registers that make a value meet the wavefront later, all clocked by ``move``.

    a line                          a staircase of three elements
    in --[ ]--+--[ ]--+--> ...      e0 --[ ]--> out 0
              |       |             e1 --[ ]--[ ]--> out 1
            delay 1  delay 2        e2 --[ ]--[ ]--[ ]--> out 2

Elements that are equally far travel in one wide register.

First cycles of a staircase of delays 1 and 2 whose elements are both `cycle`, ``move`` 0 in cycle 2::

    cycle      0    1    2    3    4
    delay 1         0    1    1    3
    delay 2              0    0    1
"""

from __future__ import annotations

from collections.abc import Sequence

import pyrtl

from rtl_models.core.floats import held


def line(
    wire: pyrtl.WireVector, move: pyrtl.WireVector, most: int, clear: pyrtl.WireVector | None = None
) -> list[pyrtl.WireVector]:
    """Return the wire delayed by 0, 1, ... `most` advances.

    Parameters
    ----------
    wire : WireVector
    move : WireVector
        The registers' enable.
    most : int
        Length of the line; advances.
    clear : WireVector, optional
        In a cycle with it all registers count as 0: what a line still holds beyond the tap that was in use must not
        come out when another one is.
    """
    taps = [wire]
    for _ in range(most):
        register = pyrtl.Register(len(wire))
        value = register if clear is None else pyrtl.select(clear, pyrtl.Const(0, len(wire)), register)
        register.next <<= pyrtl.select(move, taps[-1], value)
        taps.append(value)
    return taps


def staircase(elements: Sequence[tuple[pyrtl.WireVector, int]], move: pyrtl.WireVector) -> list[pyrtl.WireVector]:
    """Return every element, each delayed by its own number of advances.

    Parameters
    ----------
    elements : sequence of (WireVector, int)
        Values of one width, and their delays, 1 or more; advances.
    move : WireVector
        The registers' enable.
    """
    order = sorted(range(len(elements)), key=lambda e: elements[e][1])
    outputs: list[pyrtl.WireVector] = [elements[0][0]] * len(elements)
    bits = len(elements[0][0])
    stage: pyrtl.WireVector = pyrtl.concat_list([elements[e][0] for e in order])
    delay = 0
    while order:
        stage = held(stage, move)
        delay += 1
        while order and elements[order[0]][1] == delay:
            outputs[order.pop(0)] = stage[:bits]
            if order:
                stage = stage[bits:]
    return outputs
