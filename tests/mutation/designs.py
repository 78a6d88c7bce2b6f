"""The netlists that are mutated, and the comparisons that the wrong ones must fail.

Each design is compared in two stages: with what the default lane compares, and, for mutants that survive it, with more
of the same, as the slow lane does.  The comparisons are those of the co-simulation: the kernel cycle by cycle, sums by
NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pyrtl

from rtl_models.core.array import array
from rtl_models.core.array_control import array_control
from rtl_models.core.lane import LaneParams, lane_group
from rtl_models.core.mac_tree import mac_tree_slice
from rtl_models.core.pe import FLOW_IS, FLOW_OS, FLOW_WS, PeParams, pe_block
from tests.cosim.array_cases import BUILDS, EXTENT_BITS, ArrayCase, Build, direct_cases, draw_cases, draw_few
from tests.cosim.array_replay import first_difference, join
from tests.cosim.float_cases import EDGES16, EDGES32, function_block, pairs, random_pairs
from tests.cosim.lane_kernel import replay as lane_replay
from tests.cosim.mac_tree_kernel import Recording, SliceCase
from tests.cosim.pe_model import record
from tests.cosim.replay import Replay
from tests.cosim.sliced import Sliced
from tests.cosim.test_array_control import join as join_control
from tests.cosim.test_lane import special_replay
from tests.cosim.test_mac_tree import BOTH, SMALL
from tests.cosim.test_mutants_found import cancelling, short_passes
from tests.cosim.test_pe_arithmetic import ALL16, DATAPATHS, mismatches
from tests.mutation.netlist import Design, design_of

ARRAY = Build(8, 2, "int8", (("buffer_banks", 2), ("bank_bytes", 16), ("pe_latency", 1), ("reconfigure", 3)))
"""8x8, strips of 2 rows, INT8; with the wide ports of BUILDS[0] much of the control could never matter."""

ONE_SET = Build(4, 2, "int8", BUILDS[1].changes)
"""4x4 with one accumulator set and ports of 8 bytes."""

PE = PeParams("fp16", 1)
TREE = SMALL._replace(taps=2)
"""A beat takes two steps of an engine."""

LANES = LaneParams(lanes=4, latency=4, exp_interval=4, sqrt_interval=2)
STAGES = ("default lane", "slow lane")
PORTION = 1 << 16

Compare = Callable[[pyrtl.Block], str]
"""Returns the first difference of a block from what is right; empty if there is none."""


@dataclass
class Netlist:
    """A design, its share of the mutants, and its comparisons."""

    name: str
    share: int  # percent
    make: Callable[[], pyrtl.Block]
    stages: tuple[Compare, Compare]
    only: tuple[str, ...] = ()  # beginnings of the names of the functions that are mutated; empty: all of them

    def design(self) -> Design:
        """Make the block."""
        return design_of(self.make)

    def killed_by(self, block: pyrtl.Block, stage: int) -> str:
        """Return how a block is found to be wrong; empty if it is not."""
        try:
            return self.stages[stage](block)
        except pyrtl.PyrtlError as error:  # no circuit any more: a loop of logic
            return f"refused: {str(error).splitlines()[0]}"


def replayed(make: Callable[[], list[Replay]]) -> Compare:
    """Return the comparison with recordings, which are made once."""
    made = cache(make)

    def compare(block: pyrtl.Block) -> str:
        texts = (first_difference(block, replay)[1] for replay in made())
        return next((text for text in texts if text), "")

    return compare


def cases_of(build: Build, most: int) -> list[ArrayCase]:
    """Every shape and dataflow, the cases that chance finds seldom, and those that mutants asked for."""
    seldom = direct_cases(BUILDS[0]) if build.side == BUILDS[0].side else []
    return draw_few(build, most) + [replace(case, build=build) for case in seldom] + short_passes(build)


def whole(build: Build, most: int, rounds: int, first: int) -> tuple[Compare, Compare]:
    """Stages of an array with all its PEs."""
    return (
        replayed(lambda: [join(build, cases_of(build, most)).replay]),
        replayed(lambda: [join(build, draw_cases(build, rounds, first=first, most=24)).replay]),
    )


def control(build: Build, most: int, rounds: int, first: int) -> tuple[Compare, Compare]:
    """Stages of the control of an array."""
    return (
        replayed(lambda: [join_control(build, cases_of(build, most))]),
        replayed(lambda: [join_control(build, draw_cases(build, rounds, first=first))]),
    )


def pe_stage(cycles: int, seed: int) -> Compare:
    """A PE in all three dataflows."""
    return replayed(lambda: [record(PE, flow, cycles, seed) for flow in (FLOW_OS, FLOW_WS, FLOW_IS)])


def slice_stage(seeds: Sequence[int], cycles: int) -> Compare:
    """A MAC-tree slice, in turn in fission-N alone and in both relations."""
    splits = [BOTH, (BOTH[0],)]
    return replayed(
        lambda: [
            Recording(SliceCase(TREE, 4, seed % 4, seed, splits[seed % 2], cycles=cycles)).replay("slice")
            for seed in seeds
        ]
    )


def lane_stage(seed: int, cycles: int) -> Compare:
    """Lanes that are issued to as the kernel does, and special functions as often as possible."""
    units = {"vector_latency": 4, "exp_interval": 4, "sqrt_interval": 2}
    return replayed(lambda: [lane_replay(seed, cycles, **units)[0], special_replay(seed, cycles)])


def datapath(name: str, *stages: Callable[[], list[tuple[np.ndarray, ...]]]) -> tuple[Compare, ...]:
    """Stages of an arithmetic function: gates against NumPy, in portions of operands."""

    def stage(make: Callable[[], list[tuple[np.ndarray, ...]]]) -> Compare:
        made = cache(make)

        def compare(block: pyrtl.Block) -> str:
            gates = Sliced(block)
            for operands in made():
                for first in range(0, len(operands[0]), PORTION):
                    if wrong := mismatches(name, gates, *(one[first : first + PORTION] for one in operands)):
                        return wrong[0]
            return ""

        return compare

    return tuple(stage(make) for make in stages)


def products(count: int, seed: int) -> list[tuple[np.ndarray, ...]]:
    """Operands of the FP16 multiplier, as in its test."""
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 1 << 16, count, dtype=np.uint64) for _ in range(2))
    return [(x, y), pairs(EDGES16, ALL16[::7]), pairs(ALL16, EDGES16)]


def sums(count: int, seed: int) -> list[tuple[np.ndarray, ...]]:
    """Operands of the FP32 adder, as in its test."""
    exponents = np.arange(256, dtype=np.uint64) << np.uint64(23)
    x, y = pairs(exponents, exponents)
    rng = np.random.default_rng(seed + 1)
    a, b = (rng.integers(0, 1 << 32, len(x), dtype=np.uint64) & np.uint64(0x807FFFFF) for _ in range(2))
    return [
        pairs(EDGES32, EDGES32),
        cancelling(count // 2, seed),
        random_pairs(np.random.default_rng(seed), count),
        (x | a, y | b),
    ]


def block_of(name: str) -> pyrtl.Block:
    """Make an arithmetic function alone."""
    function, widths, _ = DATAPATHS[name]
    return function_block(function, *widths)


NETLISTS = (
    Netlist("array", 30, lambda: array(ARRAY.core, "int8", EXTENT_BITS), whole(ARRAY, 12, 1, 100)),
    Netlist("control", 14, lambda: array_control(ARRAY.core, EXTENT_BITS), control(ARRAY, 12, 4, 500)),
    Netlist("array of one set", 14, lambda: array(ONE_SET.core, "int8", EXTENT_BITS), whole(ONE_SET, 12, 3, 100)),
    Netlist("pe", 8, lambda: pe_block(PE), (pe_stage(600, 1), pe_stage(6000, 7)), ("pe.",)),
    Netlist(
        "multiplier",
        5,
        lambda: block_of("fp16_multiply"),
        datapath("fp16_multiply", lambda: products(300_000, 1), lambda: products(2_000_000, 11)),
    ),
    Netlist(
        "adder",
        7,
        lambda: block_of("fp32_add"),
        datapath("fp32_add", lambda: sums(400_000, 2), lambda: sums(2_000_000, 12)),
    ),
    Netlist(
        "mac tree",
        14,
        lambda: mac_tree_slice(TREE),
        (slice_stage((1, 2), 400), slice_stage((100, 101), 1500)),
        ("mac_tree",),
    ),
    Netlist("lanes", 8, lambda: lane_group(LANES), (lane_stage(1, 200), lane_stage(11, 800)), ("lane.",)),
)
