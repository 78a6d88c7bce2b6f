"""Blocks of the compute units: PEs, multipliers and adders alone, the engine of a MAC tree."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import pyrtl

from nmpsim.spec import load_chip
from rtl_models.core.decoder import FP8, INT4, INT8, decoder_block
from rtl_models.core.floats import delayed, held
from rtl_models.core.fp32 import fp32_add
from rtl_models.core.mac_tree import TreeParams, multiplier, tree_params
from rtl_models.core.pe import PeParams, int8_multiply, int32_add, pe_block
from rtl_models.synthesis.block import (
    SNAKE_GHZ,
    STRATUM_GHZ,
    Block,
    Make,
    bf16_bits,
    fp16_bits,
    fp32_bits,
    int8_bits,
    nothing,
)

OPERANDS: Mapping[str, Callable[[random.Random], int]] = {"fp16": fp16_bits, "bf16": bf16_bits, "int8": int8_bits}
"""What draws an operand, by precision."""


def _two(operand: Callable[[random.Random], int]) -> Make:
    """Two new operands in every cycle."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        while True:
            yield {"x": operand(generator), "y": operand(generator)}

    return inputs


def _pe_os(operand: Callable[[random.Random], int]) -> Make:
    """A fold of 64 products after another, accumulated in place."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        k = 0
        while True:
            pair = {"a": operand(generator), "b": operand(generator), "b_valid": 1, "tag_valid": 1}
            yield {**pair, "move": 1, "tag_first": int(k % 64 == 0), "tag_set": k // 64 % 2}
            k += 1

    return inputs


def _pe_ws(operand: Callable[[random.Random], int], total: Callable[[random.Random], int]) -> Make:
    """A stationary weight for 16 rows of A, sums passing down."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        k, weight = 0, 0
        while True:
            if k % 16 == 0:
                weight = operand(generator)
            row = {"flow": 1, "move": 1, "a": operand(generator), "tag_valid": 1, "tag_first": int(k % 16 == 0)}
            sums = {"psum_above": total(generator), "p_valid_above": 1}
            yield {**row, **sums, "weight": weight, "weight_valid": 1}
            k += 1

    return inputs


def _pe_clock(_: random.Random) -> Iterator[Mapping[str, int]]:
    """The wavefront moves, without operands."""
    while True:
        yield {"move": 1}


def pe_of(precision: str, stages: int) -> Block:
    """Return the PE of the array with so many registers between multiplier and adder."""
    operand = OPERANDS[precision]
    total = fp32_bits if precision != "int8" else (lambda generator: generator.getrandbits(20))
    return Block(
        name=f"pe_{precision}_{stages}",
        what="PE of the reconfigurable array; operation: one multiply-accumulate and all its registers moving",
        build=lambda: pe_block(PeParams(precision, stages)),
        GHz=SNAKE_GHZ,
        operations={"OS": _pe_os(operand), "WS": _pe_ws(operand, total), "idle": _pe_clock},
        stages=stages,
        family=f"pe_{precision}",
    )


def _function(build: Callable[..., pyrtl.WireVector], bits: int, stages: int) -> Callable[[], pyrtl.Block]:
    """Return a builder of a block of a function of x and y, with a register behind it."""

    def make() -> pyrtl.Block:
        block = pyrtl.Block()
        with pyrtl.set_working_block(block):
            result = build(pyrtl.Input(bits, "x"), pyrtl.Input(bits, "y"), stages=stages)
            register = pyrtl.Register(len(result), "result")
            register.next <<= result
            port = pyrtl.Output(len(result), "z")
            port <<= register
        return block

    return make


def arithmetic_of(
    family: str,
    what: str,
    build: Callable[..., pyrtl.WireVector],
    operand: Callable[[random.Random], int],
    stages: int,
    GHz: float,
) -> Block:
    """Return a function of two numbers with so many registers within, and one behind it."""
    return Block(
        name=f"{family}_{stages}",
        what=f"{what}; operation: one result, register behind it included",
        build=_function(build, 32 if operand is fp32_bits else 16, stages),
        GHz=GHz,
        operations={"random": _two(operand), "idle": nothing},
        stages=stages,
        family=family,
    )


def _plain_pe() -> pyrtl.Block:
    """Return an output-stationary INT8 PE and nothing else: operands pass right and down, one sum stays."""
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        a, b = held(pyrtl.Input(8, "a")), held(pyrtl.Input(8, "b"))
        total = pyrtl.Register(32, "total")
        total.next <<= int32_add(pyrtl.select(pyrtl.Input(1, "first"), pyrtl.Const(0, 32), total), int8_multiply(a, b))
        for name, wire in {"out_a": a, "out_b": b, "sum": total}.items():
            port = pyrtl.Output(len(wire), name)
            port <<= wire
    return block


def _plain_sums(generator: random.Random) -> Iterator[Mapping[str, int]]:
    """A fold of 64 products after another."""
    k = 0
    while True:
        yield {"a": int8_bits(generator), "b": int8_bits(generator), "first": int(k % 64 == 0)}
        k += 1


def plain_pe() -> Block:
    """Return the smallest PE there is, to see what dataflows, tags and holds add to it."""
    return Block(
        name="pe_int8_plain",
        what="output-stationary INT8 PE with one INT32 sum and nothing else, for comparison; operation: one MAC",
        build=_plain_pe,
        GHz=SNAKE_GHZ,
        operations={"OS": _plain_sums, "idle": nothing},
    )


def _codes(form: int, operand: Callable[[random.Random], int]) -> Make:
    """New codes of one format in every cycle, part after part, a new scale for every 128."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        k = 0
        while True:
            beat = {"whole": operand(generator), "octets": int8_bits(generator) | int8_bits(generator) << 8}
            beat["nibbles"] = generator.getrandbits(16)
            for part in range((1, 2, 2, 4)[form]):
                scale = {"load_scale": int(k % 128 == 0), "scale": operand(generator) if k % 128 == 0 else 0}
                yield {**beat, **scale, "part": part, "form": form}
                k += 1

    return inputs


def family_of(stem: str, precision: str) -> str:
    """Return the name of a family of blocks whose operands are FP16, or of another precision."""
    return stem if precision == "fp16" else f"{stem}_{precision}"


def decoder_of(stages: int, precision: str = "fp16") -> Block:
    """Return a column of the decoder of narrow weights with so many registers within."""
    family, operand = family_of("decoder", precision), OPERANDS[precision]
    return Block(
        name=f"{family}_{stages}",
        what=f"column of the decoder of a strip: FP8, INT8 or INT4 to {precision.upper()}, times a scale; "
        "operation: one element",
        build=lambda: decoder_block(stages, precision),
        GHz=SNAKE_GHZ,
        operations={n: _codes(f, operand) for n, f in (("fp8", FP8), ("int8", INT8), ("int4", INT4))}
        | {"idle": nothing},
        stages=stages,
        family=family,
    )


def registers_behind(params: TreeParams, level: int) -> int:
    """Return how many of its `latency` registers a MAC tree has behind a level, at most as many as levels."""
    return params.latency * level // params.levels - params.latency * (level - 1) // params.levels


def tree_engine(params: TreeParams) -> pyrtl.Block:
    """Return one engine of a MAC tree: multipliers, their tree, the levels that engines share passed by, the sum.

    Operands come from registers outside; the sum is a register instead of a word of the partial-sum memory.

    Parameters
    ----------
    params : TreeParams
        Of the slice.
    """
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        x, y = (pyrtl.Input(16 * params.taps, name) for name in "xy")
        multiply = multiplier(params)
        row = [multiply(x[16 * tap : 16 * tap + 16], y[16 * tap : 16 * tap + 16]) for tap in range(params.taps)]
        for level in range(1, params.levels + 1):
            if level > 1 and len(row) > 1:
                row = [fp32_add(row[i], row[i + 1]) for i in range(0, len(row), 2)]
            row = [delayed(wire, registers_behind(params, level)) for wire in row]
        total = pyrtl.Register(32, "total")
        first = delayed(pyrtl.Input(1, "first"), params.latency)
        total.next <<= fp32_add(pyrtl.select(first, pyrtl.Const(0, 32), total), row[0])
        port = pyrtl.Output(32, "sum")
        port <<= total
    return block


def _engine_sums(taps: int, operand: Callable[[random.Random], int]) -> Make:
    """A row of 16 steps after another, new operands at every tap."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        k = 0
        while True:
            lines = [sum(operand(generator) << 16 * tap for tap in range(taps)) for _ in "xy"]
            yield {"x": lines[0], "y": lines[1], "first": int(k % 16 == 0)}
            k += 1

    return inputs


def engine_of(latency: int | None = None) -> Block:
    """Return the engine of the chip ``stratum``, with the latency of the chip or another one."""
    params = tree_params(load_chip("stratum"))
    if latency is not None:
        params = params._replace(latency=latency)
    return Block(
        name=f"tree_engine_{params.latency}",
        what=f"engine of a MAC tree: {params.taps} {params.precision.upper()} multipliers, FP32 adders, "
        f"{params.latency} register levels; operation: one of its MACs",
        build=lambda: tree_engine(params),
        GHz=STRATUM_GHZ,
        operations={"random": _engine_sums(params.taps, OPERANDS[params.precision]), "idle": nothing},
        per_cycle={"random": params.taps, "idle": params.taps},
        stages=params.latency,
        family="tree_engine",
        cycles=64,
        efforts=2,
    )
