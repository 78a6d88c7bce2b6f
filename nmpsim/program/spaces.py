"""The buffers of a core as one space of addresses: who may read and write which part of it.

In the unified arrangement there is one buffer for everybody.  In the separate one the compute unit has an operand and
an output buffer of its own, behind the buffer of all others; only CROSS instructions go from one to another.
"""

from __future__ import annotations

from typing import NamedTuple

from nmpsim.spec.params import CoreParams


class Space(NamedTuple):
    """One buffer: its name in words, first address and bytes."""

    name: str
    start: int
    size: int

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.start + self.size


class Spaces(NamedTuple):
    """The buffers of a core: of all others, and where operands and results of a PASS lie."""

    shared: Space
    operand: Space
    output: Space


def spaces_of(core: CoreParams) -> Spaces:
    """Return the buffers of a core; all three are one in the unified arrangement.

    Parameters
    ----------
    core : CoreParams
    """
    shared = Space("the buffer", 0, core.buffer_bytes)
    if not core.separate:
        return Spaces(shared, shared, shared)
    operand = Space("the operand buffer", shared.end, core.operand_bytes)
    return Spaces(shared, operand, Space("the output buffer", operand.end, core.output_bytes))
