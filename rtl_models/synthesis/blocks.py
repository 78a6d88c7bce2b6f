"""The blocks that are synthesised: how each is built, which operands it is given, and at which clock it must run.

One PE, one engine, one lane stands for all of its kind: `nmpsim.cost` multiplies.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import pyrtl

from nmpsim.spec import MachineParams, load_chip, resolve
from rtl_models.core.bf16 import bf16_multiply
from rtl_models.core.floats import held
from rtl_models.core.fp16 import fp16_multiply
from rtl_models.core.fp32 import fp32_add, fp32_multiply
from rtl_models.core.lane import (
    ADD,
    EXP,
    MAXIMUM,
    MULTIPLY,
    RECIPROCAL,
    RSQRT,
    TO_FP16,
    LaneParams,
    lane_group,
    lane_params,
)
from rtl_models.core.mac_tree import tree_params
from rtl_models.synthesis.block import (
    SNAKE_GHZ,
    STRATUM_GHZ,
    Block,
    Make,
    bf16_bits,
    fp16_bits,
    fp32_bits,
    nothing,
)
from rtl_models.synthesis.compute_blocks import arithmetic_of, decoder_of, engine_of, pe_of, plain_pe
from rtl_models.synthesis.control_blocks import (
    array_controller,
    bank_sequencer,
    buffer_arbiter,
    core_sequencer,
    slice_controller,
)


def _links(lines: int) -> pyrtl.Block:
    """Return two-to-one multiplexers as they stand between strips: one select for a row of them."""
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        port = pyrtl.Output(lines, "z")
        port <<= pyrtl.select(pyrtl.Input(1, "s"), pyrtl.Input(lines, "y"), pyrtl.Input(lines, "x"))
    return block


def _select(words: int, bits: int) -> pyrtl.Block:
    """Return the choice of one of several words of operand registers, as in front of the multipliers of a MAC tree."""
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        every = pyrtl.Input(words * bits, "x")
        port = pyrtl.Output(bits, "z")
        chosen = [every[word * bits : (word + 1) * bits] for word in range(words)]
        port <<= pyrtl.mux(pyrtl.Input((words - 1).bit_length(), "s"), *chosen)
    return block


def _other_words(words: int, bits: int) -> Make:
    """Registers that stay, and another one of them in every cycle."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        held_bits = generator.getrandbits(words * bits)
        while True:
            yield {"x": held_bits, "s": generator.randrange(words)}

    return inputs


def _line(bits: int) -> pyrtl.Block:
    """Return one register of a skew line, loaded with ``move``."""
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        port = pyrtl.Output(bits, "z")
        port <<= held(pyrtl.Input(bits, "x"), pyrtl.Input(1, "move"))
    return block


def _new_bits(names: tuple[str, ...], bits: int, **fixed: int) -> Make:
    """New random bits in every cycle."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        while True:
            yield {name: generator.getrandbits(bits) for name in names} | fixed

    return inputs


def _lanes(params: LaneParams, operation: int, interval: int) -> Make:
    """New operands in all lanes, every `interval` cycles."""

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        while True:
            operands = {f"{side}{lane}": fp32_bits(generator) for side in "xy" for lane in range(params.lanes)}
            yield {"issue": 1, "operation": operation, **operands}
            for _ in range(interval - 1):
                yield {"operation": operation, **operands}

    return inputs


def _lane_block(machine: MachineParams) -> Block:
    params = lane_params(machine.core)
    intervals = {
        "add": (ADD, 1),
        "multiply": (MULTIPLY, 1),
        "max": (MAXIMUM, 1),
        "convert": (TO_FP16, 1),
        "exp": (EXP, params.exp_interval),
        "reciprocal": (RECIPROCAL, params.sqrt_interval),
        "rsqrt": (RSQRT, params.sqrt_interval),
    }
    return Block(
        name="lane_group",
        what=f"{params.lanes} vector lanes with shared exponential and root units; operation: one result of a lane",
        build=lambda: lane_group(params),
        GHz=STRATUM_GHZ,
        operations={name: _lanes(params, *entry) for name, entry in intervals.items()} | {"idle": nothing},
        per_cycle={name: params.lanes / interval for name, (_, interval) in intervals.items()},
        stages=params.latency,
        cycles=64,
        efforts=2,
    )


def blocks() -> tuple[Block, ...]:
    """Return the blocks, in the order of the table."""
    stratum = load_chip("stratum")
    snake = resolve(load_chip("snake"))
    return (
        *(pe_of("fp16", stages) for stages in (0, 1, 2)),
        *(pe_of("int8", stages) for stages in (0, 1)),
        plain_pe(),
        *(decoder_of(stages) for stages in (0, 1)),
        *(
            arithmetic_of(
                "fp16_multiplier", "FP16 multiplier with an FP32 product", fp16_multiply, fp16_bits, stages, STRATUM_GHZ
            )
            for stages in (0, 1)
        ),
        *(
            arithmetic_of("fp32_adder", "FP32 adder", fp32_add, fp32_bits, stages, STRATUM_GHZ)
            for stages in (0, 1, 2, 3)
        ),
        engine_of(),
        engine_of(tree_params(stratum).levels),
        Block(
            name="links",
            what="64 two-to-one multiplexers, as between strips; operation: 64 new bits",
            build=lambda: _links(64),
            GHz=SNAKE_GHZ,
            operations={"random": _new_bits(("x", "y"), 64)},
        ),
        Block(
            name="skew_register",
            what="64 register bits with an enable, as in the skew lines of the array; operation: 64 new bits",
            build=lambda: _line(64),
            GHz=SNAKE_GHZ,
            operations={"random": _new_bits(("x",), 64, move=1), "idle": nothing},
        ),
        Block(
            name="operand_select",
            what="choice of one of 16 words of 64 bits, as in front of the multipliers of a MAC tree; "
            "operation: another word",
            build=lambda: _select(16, 64),
            GHz=STRATUM_GHZ,
            operations={"random": _other_words(16, 64)},
        ),
        _lane_block(snake),
        slice_controller(stratum),
        buffer_arbiter(snake),
        bank_sequencer(snake),
        *(
            arithmetic_of("fp32_multiplier", "FP32 multiplier", fp32_multiply, fp32_bits, stages, STRATUM_GHZ)
            for stages in (0, 3)
        ),
        core_sequencer(snake),
        array_controller(snake),
        *(pe_of("bf16", stages) for stages in (0, 1, 2)),
        *(decoder_of(stages, "bf16") for stages in (0, 1)),
        *(
            arithmetic_of(
                "bf16_multiplier", "BF16 multiplier with an FP32 product", bf16_multiply, bf16_bits, stages, STRATUM_GHZ
            )
            for stages in (0, 1)
        ),
    )
