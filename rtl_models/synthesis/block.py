"""What a block to synthesise is, and the operands that it is given."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyrtl

from rtl_models.synthesis.activity import Stimulus

CYCLES = 256
"""Cycles counted of each operation, unless the block is large."""

WARM_UP = 16
"""Cycles before them: reset, then operands until pipelines are full."""

SNAKE_GHZ, DRAM_GHZ, STRATUM_GHZ = 0.8, 1.0, 1.0
"""Core clock of the chip ``snake``, command clock of its DRAM, core clock of ``stratum``."""

Make = Callable[[random.Random], Iterator[Mapping[str, int]]]
"""Endless inputs of an operation."""


@dataclass(frozen=True)
class Block:
    """A block to synthesise.

    Parameters
    ----------
    name : str
        Of the module and of its entry in the table.
    what : str
        In words, with what an operation is.
    build : function
        Makes the PyRTL block.
    GHz : float
        Clock it must run at.
    operations : mapping of str to Make
        Inputs of each operation whose energy is measured; ``idle`` is the clock alone.
    per_cycle : mapping of str to float
        Operations done per cycle of these inputs, 1 unless given.
    stages : int
        Pipeline registers within.
    family : str
        Blocks of a family differ in their stages; empty = none.
    cycles : int
        Cycles counted of each operation.
    efforts : int, optional
        How many of the efforts are tried; fewer for large blocks. All unless given.
    """

    name: str
    what: str
    build: Callable[[], pyrtl.Block]
    GHz: float
    operations: Mapping[str, Make] = field(default_factory=dict)
    per_cycle: Mapping[str, float] = field(default_factory=dict)
    stages: int = 0
    family: str = ""
    cycles: int = CYCLES
    efforts: int | None = None

    @property
    def period_ps(self) -> float:
        """Clock period; ps."""
        return 1e3 / self.GHz

    def stimulus(self, operation: str) -> Stimulus:
        """Return the inputs of an operation: reset, warm-up, counted cycles; the same at every call."""
        generator = random.Random(f"{self.name} {operation}")  # noqa: S311 - operands, not secrets
        inputs = self.operations[operation](generator)
        reset = [{"rst": 1}] * 4
        return [*reset, *(next(inputs) for _ in range(WARM_UP - 4 + self.cycles))]


def fp16_bits(generator: random.Random) -> int:
    """Return a normally distributed FP16 number, as bits (weights and activations after normalisation are alike)."""
    return int(np.float16(generator.gauss(0.0, 1.0)).view(np.uint16))


def bf16_bits(generator: random.Random) -> int:
    """Return a normally distributed BF16 number, as bits: the upper half of FP32, rounded to nearest even."""
    bits = fp32_bits(generator)
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def fp32_bits(generator: random.Random) -> int:
    """Return a normally distributed FP32 number, as bits."""
    return int(np.float32(generator.gauss(0.0, 1.0)).view(np.uint32))


def int8_bits(generator: random.Random) -> int:
    """Return a normally distributed INT8 number of deviation 32, as bits."""
    return int(np.clip(round(generator.gauss(0.0, 32.0)), -128, 127)) & 0xFF


def nothing(_: random.Random) -> Iterator[Mapping[str, int]]:
    """All inputs stay 0."""
    while True:
        yield {}
