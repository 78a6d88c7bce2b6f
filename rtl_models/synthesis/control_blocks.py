"""Blocks of control: of the array, of a MAC-tree slice, of a DRAM bank."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import pyrtl

from nmpsim.spec import ChipSpec, MachineParams
from rtl_models.core.array_control import array_control
from rtl_models.core.mac_tree import tree_params
from rtl_models.core.mac_tree_control import SliceControl
from rtl_models.core.mac_tree_ports import Geometry
from rtl_models.core.port_arbiter import arbiter_params, port_arbiter
from rtl_models.core.sequencer import sequencer, sequencer_params
from rtl_models.dram.bank_sequencer import for_chip
from rtl_models.synthesis.block import DRAM_GHZ, SNAKE_GHZ, STRATUM_GHZ, Block, Make, nothing


def _constant(**inputs: int) -> Make:
    """The same inputs in every cycle."""

    def cycles(_: random.Random) -> Iterator[Mapping[str, int]]:
        while True:
            yield inputs

    return cycles


def array_controller(machine: MachineParams) -> Block:
    """Return the control of a whole array."""
    core = machine.core
    beats = {f"beat_valid{strip}": 1 for strip in range(core.strips)}
    extents = {"pass_m": 16, "pass_n": 16 * core.columns, "pass_k": 512}
    return Block(
        name="array_control",
        what=f"control of an array of {core.strips} strips; operation: a cycle of output-stationary passes",
        build=lambda: array_control(core),
        GHz=SNAKE_GHZ,
        operations={"pass": _constant(pass_valid=1, pass_group=core.strips, **extents, **beats), "idle": nothing},
        cycles=64,
        efforts=1,
    )


def _slice_control(chip: ChipSpec) -> pyrtl.Block:
    """Return the control of a MAC-tree slice as a block of its own."""
    params = tree_params(chip)
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        geometry = Geometry(params.register_beats, params.columns, params.engines, params.taps)
        for bundle in SliceControl(geometry, params.sets, params.latency).connect():
            for name, wire in bundle._asdict().items():
                port = pyrtl.Output(len(wire), f"out_{type(bundle).__name__.lower()}_{name}")
                port <<= wire
    return block


def slice_controller(chip: ChipSpec) -> Block:
    """Return the control of a slice of a chip with MAC trees."""
    lines = {"pass_rows": 16, "pass_lines": 256, "pass_blocks": 4, "pass_tail": 128, "pass_write_cycles": 16}
    passes = {"pass_seen": 1, "pass_ready": 1, "pass_k_contiguous": 1, "beat_valid": 1}
    return Block(
        name="slice_control",
        what="control of a MAC-tree slice; operation: a cycle of K-contiguous passes",
        build=lambda: _slice_control(chip),
        GHz=STRATUM_GHZ,
        operations={"pass": _constant(**lines, **passes), "idle": nothing},
    )


def _requests(machine: MachineParams) -> Make:
    """Every requester but the folds asks in half of the cycles, for places of its own; operands stream all the time."""
    core = machine.core

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        def place() -> int:
            return generator.randrange(core.buffer_banks) * core.bank_bytes

        loads = [f"load{strip}" for strip in range(core.strips)]
        ends = [f"{name}{d}" for name in ("send", "receive") for d in range(2)]
        operands = {
            "operand_stream": 1,
            "operand_valid": 1,
            "operand_bytes": core.strips * 4,
            "operand_address": place(),
        }
        while True:
            asked = dict(operands)
            for name in ("vector", "store", *loads, *ends):
                asked[f"{name}_valid"] = generator.getrandbits(1)
            for name in ("store", *loads, *ends, "vector_read", "vector_write"):
                asked[f"{name}_address"] = place()
            asked |= {f"{name}_bytes": machine.noc.flit_bytes for name in ends}
            yield asked | {"vector_read_bytes": core.vector_read_bytes, "vector_write_bytes": core.vector_write_bytes}

    return inputs


def buffer_arbiter(machine: MachineParams) -> Block:
    """Return the arbiter of the ports of a core's buffer."""
    return Block(
        name="port_arbiter",
        what="arbiter of the ports of a core's buffer; operation: a cycle of new requests from half of its requesters",
        build=lambda: port_arbiter(arbiter_params(machine)),
        GHz=SNAKE_GHZ,
        operations={"work": _requests(machine), "idle": nothing},
    )


SEMAPHORES, COMPLETIONS = 49, (1, 1, 16, 1, 1)
"""Of a core of 16 in a ring: units, messages; most completions in a cycle of array, vector unit, mover, two senders."""


def _dispatch(generator: random.Random) -> Iterator[Mapping[str, int]]:
    """An instruction in every cycle, with two waits that are met; every unit takes what it is offered."""
    units = len(COMPLETIONS)
    while True:
        cycle = {"program_end": 1 << 19, "instruction_unit": generator.randrange(units)}
        for wait in range(2):
            cycle |= {f"wait{wait}_valid": 1, f"wait{wait}_semaphore": generator.randrange(SEMAPHORES)}
        for unit in range(units):
            cycle |= {f"take{unit}": 1, f"complete{unit}": generator.getrandbits(1)}
        cycle |= {
            "arrive0_valid": generator.getrandbits(1),
            "arrive0_semaphore": generator.randrange(units, SEMAPHORES),
        }
        yield cycle


def core_sequencer(machine: MachineParams) -> Block:
    """Return the sequencer of a core with its queues and semaphores."""
    return Block(
        name="sequencer",
        what="sequencer of a core with its queues and semaphores, no program memory; operation: an instruction",
        build=lambda: sequencer(sequencer_params(machine.core, SEMAPHORES, COMPLETIONS)),
        GHz=SNAKE_GHZ,
        operations={"work": _dispatch, "idle": nothing},
        cycles=64,
        efforts=1,
    )


def _bank_runs(machine: MachineParams) -> Make:
    """Read runs of whole rows, every row another one, data taken as they come."""
    dram = machine.dram

    def inputs(generator: random.Random) -> Iterator[Mapping[str, int]]:
        row = generator.randrange(dram.rows - 64)
        run = {"run_valid": 1, "run_first_row": row, "run_rows": 32, "run_row_stride": 1, "run_columns": dram.columns}
        while True:
            yield {**run, "act_grant": 1, "credit_return": 1, "write_valid": 0}

    return inputs


def bank_sequencer(machine: MachineParams) -> Block:
    """Return the command sequencer of a DRAM bank."""
    return Block(
        name="bank_sequencer",
        what="command sequencer of one DRAM bank; operation: a cycle in which it streams whole rows",
        build=lambda: for_chip(machine),
        GHz=DRAM_GHZ,
        operations={"stream": _bank_runs(machine), "idle": nothing},
    )
