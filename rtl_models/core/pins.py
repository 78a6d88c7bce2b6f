"""Pins of a block."""

from __future__ import annotations

import pyrtl


def show(name: str, wire: pyrtl.WireVector) -> None:
    """Make an output that shows a wire."""
    port = pyrtl.Output(len(wire), name)
    port <<= wire
