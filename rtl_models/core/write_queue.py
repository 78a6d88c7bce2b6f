"""Completed folds on their way to the buffer: a queue whose entries count the advances until their first result.

    push --> [ 7 | 6 | ... | 1 | head ] --> writing, row --> finish
               each: advances left, cycles of the write, last of its pass, frees a set

Entries move towards the head when it leaves.  A write begins in the cycle after its fold has advanced far enough, at
the earliest in the one in which the write before it ends, and then goes on whatever the pipeline does.

First cycles of a fold of depth 2 whose write takes three cycles, pushed in cycle 0, the pipeline held in cycle 2::

    cycle      0    1    2    3    4    5    6    7
    push       1
    move       1    1         1    1    1    1    1
    left            2    1    1    0    0    0    0
    writing                        1    1    1
    finish                                        1
"""

from __future__ import annotations

from typing import NamedTuple

import pyrtl

from rtl_models.core.pass_shape import Geometry
from rtl_models.core.wires import minus_one, plus_one

PLACES = 8
"""Folds that may wait (PENDING_DEPTH of nmpsim/core/state.py)."""


class Fold(NamedTuple):
    """What the queue knows of a fold."""

    left: pyrtl.WireVector  # advances until its first result stands at the edge
    cycles: pyrtl.WireVector  # cycles of its write
    row_cycles: pyrtl.WireVector  # cycles of one row of it
    last: pyrtl.WireVector  # 1 for the last fold of a pass
    frees: pyrtl.WireVector  # 1 if an accumulator set is free after the write


class WriteQueue:
    """The queue and the write in progress.

    Parameters
    ----------
    sizes : Geometry
        Sizes of the array.
    """

    def __init__(self, sizes: Geometry) -> None:
        bits = sizes.depth_most.bit_length(), sizes.sum_bits, sizes.sum_bits - sizes.extent_bits, 1, 1
        self.entries = [
            Fold(*(pyrtl.Register(width, f"fold{i}_{name}") for name, width in zip(Fold._fields, bits, strict=True)))
            for i in range(PLACES)
        ]
        count = pyrtl.Register(PLACES.bit_length(), "folds_waiting")
        writing = pyrtl.Register(1, "fold_writing")
        write_left = pyrtl.Register(sizes.sum_bits, "write_left")
        row = pyrtl.Register(sizes.extent_bits, "write_row_held")
        row_left = pyrtl.Register(len(self.entries[0].row_cycles), "write_row_left")

        head = self.entries[0]
        self.finish = writing & (write_left == 0)
        self.passes = self.finish & head.last
        self.frees = self.finish & head.frees
        self.after: list[Fold] = [
            Fold(*(pyrtl.select(self.finish, nxt, own) for own, nxt in zip(entry, following, strict=True)))
            for entry, following in zip(self.entries, [*self.entries[1:], self.entries[-1]], strict=True)
        ]
        self.waiting = (count - self.finish).truncate(len(count))
        goes_on = writing & ~self.finish
        self.start = ~goes_on & (self.waiting != 0) & (self.after[0].left == 0)
        self.writing = goes_on | self.start
        cycles_now = pyrtl.select(self.start, self.after[0].cycles, write_left)
        writing.next <<= self.writing
        write_left.next <<= minus_one(cycles_now)

        self.row = pyrtl.select(self.start, pyrtl.Const(0, len(row)), row)
        in_row = pyrtl.select(self.start, self.after[0].row_cycles, row_left)
        self.row_first = self.writing & (self.start | (in_row == self.after[0].row_cycles))
        ends = in_row <= 1
        row.next <<= pyrtl.select(ends, plus_one(self.row), self.row)
        row_left.next <<= pyrtl.select(ends, self.after[0].row_cycles, minus_one(in_row))
        self.count = count

    def drive(self, move: pyrtl.WireVector, push: pyrtl.WireVector, fold: Fold) -> None:
        """Connect the registers.

        Parameters
        ----------
        move : WireVector
            1 in a cycle in which the pipeline advances.
        push : WireVector
            1 in a cycle in which a fold ends; never with eight folds waiting.
        fold : Fold
            The fold that ends; its advances count from the next cycle on.
        """
        for i, entry in enumerate(self.entries):
            here = push & (self.waiting == i)
            moved = pyrtl.select(move, minus_one(self.after[i].left), self.after[i].left)
            kept = self.after[i]._replace(left=moved)
            for register, own, new in zip(entry, kept, fold, strict=True):
                register.next <<= pyrtl.select(here, new, own).truncate(len(register))
        self.count.next <<= (self.waiting + push).truncate(len(self.count))
