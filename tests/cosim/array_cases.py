"""Arrays to build, and passes for them: every shape, dataflow and relation of the groups, with stalls everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, VECTOR, WS
from nmpsim.spec import resolve
from nmpsim.spec.params import CoreParams, MachineParams
from tests.builders import SNAKE, small_chip
from tests.unit.core.bench import elements, product

FLOWS, SPLITS = (OS, WS, IS), (CHAIN, SPLIT_K, SPLIT_N)
EXTENT_BITS = 8
MOST = 40
"""Largest n and k."""

SPECIALS = (0x7C00, 0xFC00, 0x7E01, 0xFFFF, 0x0001, 0x83FF, 0x0000, 0x8000, 0x7BFF, 0xFBFF, 0x0400)
"""FP16 bits: infinities, NaNs, subnormals, zeros, largest, smallest normal."""


@dataclass(frozen=True)
class Build:
    """One array that is built once and used for many cases."""

    side: int  # rows = columns
    granularity: int  # rows of a strip
    precision: str
    changes: tuple[tuple[str, int], ...] = ()  # fields of CoreParams

    @property
    def name(self) -> str:
        """For the Verilog module and for messages."""
        sizes = "".join(f"_{size}" for size in self.core.group_sizes()) if self.core.groups else ""
        return f"{self.precision}_{self.side}x{self.side}_g{self.granularity}{sizes}"

    @cached_property
    def machine(self) -> MachineParams:
        """The chip: one PU, all clocks one."""
        side, strips = self.side, self.side // self.granularity
        chip = small_chip(
            SNAKE,
            1,
            clock__core_GHz=1.0,
            clock__link_GHz=1.0,
            port__fifo_bytes=2**20,
            dram__banks_per_channel=strips,
            dram__column_bytes=2 * side,
            dram__row_bytes=32 * side,
            core__array__rows=side,
            core__array__cols=side,
            core__array__granularity=self.granularity,
        )
        params = resolve(chip)
        return replace(params, core=params.core._replace(**dict(self.changes)))

    @property
    def core(self) -> CoreParams:
        """Its integers."""
        return self.machine.core

    def combinations(self) -> list[tuple[int, int, int]]:
        """Every (flow, group, split)."""
        return [(flow, group, split) for flow in FLOWS for group in self.core.group_sizes() for split in SPLITS]


BUILDS = (
    Build(8, 2, "int8"),
    Build(
        8, 4, "int8", (("fold_sets", 1), ("pe_latency", 2), ("reconfigure", 3), ("buffer_banks", 1), ("bank_bytes", 8))
    ),
    Build(8, 2, "int8", (("groups", 1 << 4),)),
    Build(8, 2, "int8", (("groups", 1 << 1 | 1 << 2),)),
    Build(8, 2, "fp16", (("pe_latency", 1),)),
    Build(8, 4, "fp16"),
    Build(16, 4, "int8"),
    Build(16, 8, "int8", (("pe_latency", 1), ("buffer_banks", 2))),
    Build(4, 2, "fp16", (("pe_latency", 2), ("fold_sets", 1))),
)
"""8x8 in strips of 2 and 4 rows, one of them a fixed square, one without squares,
INT8 and floating point; 16x16 in strips of 4 and 8 rows; a small one."""


@dataclass
class Product:
    """One PASS with its operands."""

    flow: int
    group: int
    split: int
    a: NDArray[np.generic]  # int8, or uint16 with the bits of FP16; shape (m, k)
    b: NDArray[np.generic]  # shape (k, n)
    wait: int = 0  # vector operations that must be complete
    before: int = 0  # vector operations in the program before it
    work: int = 0  # elements of each of them

    @property
    def shape(self) -> tuple[int, int, int]:
        """m, n, k."""
        return self.a.shape[0], self.b.shape[1], self.a.shape[1]

    def instructions(self) -> list:
        """The vector operations before it, and the PASS."""
        m, n, k = self.shape
        contiguous = K_CONTIGUOUS if self.flow == IS else N_CONTIGUOUS
        wait = {"wait": (VECTOR, self.wait)} if self.wait else {}
        one = product(self.flow, m, n, k, group=self.group, split=self.split, contiguous=contiguous, **wait)
        return [elements(self.work) for _ in range(self.before)] + [one]


@dataclass
class ArrayCase:
    """A few passes, and how late their beats are."""

    build: Build
    seed: int
    passes: list[Product]
    lateness: float  # share of beats that come late
    slowest: int  # most cycles by which they are


def operands(rng, precision: str, shape: tuple[int, int], *, special: bool) -> NDArray[np.generic]:
    """Draw a matrix; of FP16 its bits."""
    if precision == "int8":
        values = rng.integers(-128, 128, shape)
        return np.where(rng.random(shape) < 0.1, rng.choice([-128, 127, 0], shape), values).astype(np.int8)
    values = (rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 6, shape)).astype(np.float16).view(np.uint16)
    if special:
        values = np.where(rng.random(shape) < 0.05, rng.choice(SPECIALS, shape), values)
    return values.astype(np.uint16)


def draw_case(
    build: Build, combination: tuple[int, int, int], seed: int, most: int = MOST, passes_most: int = 3
) -> ArrayCase:
    """Draw a case whose passes have mostly the given flow, group and split."""
    rng = np.random.default_rng([seed, build.side, build.granularity, *combination])
    others = build.combinations()
    passes, vectors = [], 0
    special = bool(rng.random() < 0.5)
    stalls = float(rng.choice([0.0, 0.4]))
    for index in range(int(rng.integers(1, passes_most + 1))):
        flow, group, split = combination
        if index > 0 and rng.random() < 0.15:
            flow, group, split = others[int(rng.integers(len(others)))]
        rows = group * build.granularity
        m = int(rng.integers(1, 11 if flow == WS else rows + 1))
        n, k = (int(rng.integers(1, most + 1)) for _ in range(2))
        one = Product(
            flow,
            group,
            split,
            operands(rng, build.precision, (m, k), special=special),
            operands(rng, build.precision, (k, n), special=special),
        )
        if rng.random() < stalls:
            one.before, one.work = int(rng.integers(1, 3)), int(rng.integers(1, 400))
            vectors += one.before
            one.wait = vectors if rng.random() < 0.7 else 0
        passes.append(one)
    lateness = float(rng.choice([0.0, 0.3, 0.6, 0.9]))
    return ArrayCase(build, seed, passes, lateness, int(rng.choice([3, 12])))


def draw_cases(build: Build, rounds: int, *, first: int = 0, most: int = MOST) -> list[ArrayCase]:
    """Draw `rounds` cases of every combination."""
    return [
        draw_case(build, combination, seed, most)
        for seed in range(first, first + rounds)
        for combination in build.combinations()
    ]


def draw_few(build: Build, most: int, passes_most: int = 2) -> list[ArrayCase]:
    """Draw one case of every shape and dataflow; the relations of the groups take turns."""
    cases = []
    for index, (flow, group, split) in enumerate(c for c in build.combinations() if c[2] == CHAIN):
        relation = (split + index) % len(SPLITS)
        cases.append(draw_case(build, (flow, group, relation), index, most, passes_most))
    return cases + direct_cases(build)


def direct_cases(build: Build) -> list[ArrayCase]:
    """Make the cases that chance finds seldom."""
    rng = np.random.default_rng(1)

    def one(flow: int, group: int, split: int, shape: tuple[int, int, int]) -> Product:
        m, n, k = shape
        a, b = (operands(rng, build.precision, size, special=False) for size in ((m, k), (k, n)))
        return Product(flow, group, split, a, b)

    if build == BUILDS[1]:  # ports of 8 bytes
        return [
            ArrayCase(build, 0, [one(OS, 2, CHAIN, (7, 9, 5))], 0.0, 1),  # A is wider than the ports
            *(ArrayCase(build, 1, [one(flow, 1, SPLIT_K, (3, 9, 18))], 0.3, 4) for flow in FLOWS),  # planes are, too
        ]
    if build.precision == "fp16":
        of_all_kinds = one(OS, 1, CHAIN, (2, 9, len(SPECIALS)))
        of_all_kinds.a[0] = SPECIALS
        return [ArrayCase(build, 0, [of_all_kinds], 0.3, 4)]
    if build != BUILDS[0]:
        return []
    return [
        ArrayCase(build, 0, [one(IS, 4, CHAIN, (6, 2, 20)), one(IS, 4, CHAIN, (3, 5, 9))], 0.5, 4),  # stretched to m
        ArrayCase(build, 1, [one(OS, 1, SPLIT_K, (2, 9, 3))], 0.0, 1),  # a group without k
        # the second pass is late while the results of the first one are on their way
        ArrayCase(build, 1, [one(OS, 4, CHAIN, (8, 8, 1)), one(OS, 4, CHAIN, (8, 8, 5))], 0.5, 12),
        # the second pass lacks a beat while the sums of the first one are written
        ArrayCase(build, 2, [one(OS, 1, CHAIN, (2, 8, 2)), one(OS, 1, CHAIN, (2, 8, 24))], 0.5, 12),
        ArrayCase(build, 3, [one(WS, 1, CHAIN, (1, 30, 14)), one(WS, 1, CHAIN, (2, 7, 9))], 0.0, 1),  # m < depth
        ArrayCase(build, 4, [one(OS, 1, CHAIN, (2, 70, 3))], 0.0, 1),  # folds shorter than the chain
        ArrayCase(build, 6, [one(WS, 1, CHAIN, (3, 30, 14))], 0.0, 1),  # the edges hold while weights load
        ArrayCase(build, 5, [one(IS, 1, CHAIN, (2, 3, 40)), one(IS, 1, CHAIN, (1, 4, 6))], 0.3, 4),
    ]
