"""What the cores of the interpreter pass around: moves, beats, messages, and the account of what was executed."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from nmpsim.functional.operations import Arrays
from nmpsim.program.beats import Tile

PORT_NAMES = ("by port 0", "by port 1")


@dataclass(frozen=True)
class Execution:
    """What one PASS or vector operation read and computed.

    Parameters
    ----------
    pu, index : int
        Core, and place in its stream.
    ins : SimpleNamespace
        Fields of the instruction.
    inputs, outputs : dict of ndarray
        Operands and results by name; a PASS has ``a`` (m, k), ``b`` (k, n) and ``out`` (plane, m, n).
    """

    pu: int
    index: int
    ins: SimpleNamespace
    inputs: Arrays
    outputs: Arrays


@dataclass
class Message:
    """A message on its way; `summed` if it is a contribution to a sum."""

    source: int
    direction: int
    signal: int
    target: int
    address: int
    ld: int
    rows: NDArray[np.uint8]
    summed: bool = False


@dataclass
class Move:
    """A move that was issued and has not completed: beats still to land in the buffer."""

    left: int


@dataclass
class Chunk:
    """Beats of one move in the FIFO of a strip; `target` is the buffer address, -1 = for the compute unit."""

    beats: NDArray[np.uint8]
    target: int
    move: Move


@dataclass
class ActivePass:
    """The PASS that takes beats: what it got from each strip, and how many beats it still needs."""

    index: int
    ins: SimpleNamespace
    tile: Tile
    got: list[list[NDArray[np.uint8]]]
    left: list[int]
