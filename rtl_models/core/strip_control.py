"""Where one strip stands in a streaming pass (OS, IS): its fold, its step, its skew, and whether it takes a beat.

    step 0 ... steps - 1 --> inner fold --> output fold --> done
      |
      +--- turn of the strip within its group, and a beat for its group? --> needs --> pop

The strips of a group take turns; in a chain, group g follows `g * columns` advances behind the first one.

First cycles of the strips of two groups of one strip each, columns 2, two steps a fold, every beat in time::

    cycle      0    1    2    3    4    5
    strip 0    s0   s1   s0   s1
    strip 1              s0   s1   s0   s1
"""

from __future__ import annotations

from typing import NamedTuple

import pyrtl

from rtl_models.core.pass_shape import Choice, Geometry, Pass, Shape, share
from rtl_models.core.wires import one_of, plus_one


class Opening(NamedTuple):
    """What the strips of a chain must know of the first group (OS)."""

    opens: pyrtl.WireVector  # 1 in the cycle in which the first group begins an output fold
    fold: pyrtl.WireVector  # output fold that it began last, this cycle included
    since: pyrtl.WireVector  # advances from that cycle to the end of this one


class StripControl:
    """Control of one strip in a streaming pass.

    Parameters
    ----------
    index : int
        Of the strip.
    sizes : Geometry
    ins : Pass
        The pass, in the cycle in which it is taken too.
    choice : Choice
    shape : Shape
    begins : WireVector
        1 in the cycle in which the pass is taken.
    """

    def __init__(
        self, index: int, sizes: Geometry, ins: Pass, choice: Choice, shape: Shape, begins: pyrtl.WireVector
    ) -> None:
        self.index, self.sizes, self.ins, self.choice, self.shape = index, sizes, ins, choice, shape
        bits = sizes.extent_bits
        zero = pyrtl.Const(0, bits)
        name = f"strip{index}"
        self.registers = {
            "outer": pyrtl.Register(bits, f"{name}_outer"),
            "inner": pyrtl.Register(bits, f"{name}_inner"),
            "step": pyrtl.Register(bits, f"{name}_step"),
        }
        self.skew_bits = max((sizes.strips * sizes.columns).bit_length(), 1)
        self.wait_held = pyrtl.Register(self.skew_bits, f"{name}_skew")
        self.closed_held = pyrtl.Register(1, f"{name}_not_open")
        self.left_held = pyrtl.Register(1, f"{name}_left")
        self.outer, self.inner, self.step = (pyrtl.select(begins, zero, r) for r in self.registers.values())
        follows = self.follows()
        skew = pyrtl.select(follows, self.skew(), pyrtl.Const(0, self.skew_bits))
        self.wait = pyrtl.select(begins, skew, self.wait_held)
        self.closed = pyrtl.select(begins, follows & choice.os, self.closed_held)
        self.left = begins | self.left_held

        self.moving = self.left & ~self.closed & (self.wait == 0)
        self.has_beat = self.step < self.limit()
        turn = one_of(choice.size, {size: self.is_turn(size) for size in sizes.sizes})
        self.needs = self.moving & self.has_beat & turn

    def group(self) -> pyrtl.WireVector:
        """Return the index of the strip's group."""
        return one_of(self.choice.size, {size: pyrtl.Const(self.index // size) for size in self.sizes.sizes})

    def follows(self) -> pyrtl.WireVector:
        """Return whether the strip stands in a later group of a chain."""
        return self.choice.chain & (self.group() != 0)

    def skew(self) -> pyrtl.WireVector:
        """Return the skew of the strip's group in a chain; advances."""
        columns = self.sizes.columns
        skews = {size: pyrtl.Const(self.index // size * columns, self.skew_bits) for size in self.sizes.sizes}
        return one_of(self.choice.size, skews)

    def is_turn(self, size: int) -> pyrtl.WireVector:
        """Return whether this step belongs to the strip in a group of `size` strips."""
        if size == 1:
            return pyrtl.Const(1, 1)
        return self.step[: size.bit_length() - 1] == self.index % size

    def limit(self) -> pyrtl.WireVector:
        """Return the steps of the present fold that have a beat for the strip's group."""
        values = {}
        for size in self.sizes.sizes:
            groups = self.sizes.strips // size
            group, shift = self.index // size, groups.bit_length() - 1
            index = pyrtl.select(self.choice.os, self.outer, self.inner)
            spread = pyrtl.concat(index, pyrtl.Const(group, shift)) if shift else index
            alone = pyrtl.select(self.choice.os, self.choice.split_k, self.choice.split_n)
            block = pyrtl.select(alone, index, spread)
            blocks = pyrtl.select(self.choice.os, self.shape.n_blocks, self.shape.k_blocks)
            total = pyrtl.select(self.choice.os, self.ins.k, self.ins.n)
            beats = pyrtl.select(alone, share(total, groups, group), total)
            values[size] = pyrtl.select(block < blocks, beats, pyrtl.Const(0, len(beats)))
        return one_of(self.choice.size, values)

    def drive(self, steps: pyrtl.WireVector, opening: Opening) -> None:
        """Connect the registers and make `ends` and `finished`.

        Parameters
        ----------
        steps : WireVector
            1 in a cycle in which the strip may step.
        opening : Opening
        """
        shape, select = self.shape, pyrtl.select
        bits = self.sizes.extent_bits
        zero = pyrtl.Const(0, bits)
        works = steps & self.moving
        fold_ends = works & (plus_one(self.step) == shape.steps)
        inner_ends = fold_ends & (plus_one(self.inner) == shape.inners)
        outer = select(inner_ends, plus_one(self.outer), self.outer)
        self.ends = inner_ends  # an output fold
        self.finished = inner_ends & (outer == shape.outers)
        self.works = works
        self.pop = steps & self.needs
        self.registers["step"].next <<= select(fold_ends, zero, select(works, plus_one(self.step), self.step))
        self.registers["inner"].next <<= select(inner_ends, zero, select(fold_ends, plus_one(self.inner), self.inner))
        self.registers["outer"].next <<= outer
        self.left_held.next <<= self.left & ~self.finished

        # the skew of the next fold of a chain: known once the first group has opened it
        again = fold_ends & ~self.finished & self.choice.os & self.follows()
        opened_now = opening.opens & self.closed
        wait = select(opened_now, self.skew(), self.wait)
        counts = steps & self.left & (~self.closed | opened_now) & (wait != 0)
        waits = select(counts, (wait - 1).truncate(self.skew_bits), wait)
        behind = (self.skew() - 1 - opening.since).truncate(self.skew_bits)
        self.wait_held.next <<= select(again, behind, waits)
        unknown = opening.fold < outer
        self.closed_held.next <<= select(again, unknown, self.closed & ~opening.opens)
