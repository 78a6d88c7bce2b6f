"""Verilog of a block, and its size: one exporter for all blocks."""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyrtl

from nmpsim.spec import MachineParams, chip_names, load_chip, resolve


class Size(NamedTuple):
    """How large a block is before technology mapping."""

    flops: int  # register bits
    gates: int  # AND, OR, XOR, NAND of two inputs and inverters
    inputs: int  # input bits, clock and reset left out
    outputs: int  # output bits


def verilog(block: pyrtl.Block, name: str) -> str:
    """Return the Verilog module of a block; the same text whenever the block is made anew.

    Parameters
    ----------
    block : pyrtl.Block
    name : str
        Name of the module; its ports are `clk`, the synchronous `rst` and the inputs and outputs of the block.
    """
    text = io.StringIO()
    pyrtl.output_to_verilog(text, add_reset=True, block=block, module_name=name)
    numbers: dict[str, str] = {}  # PyRTL counts temporary wires and constants through the whole interpreter
    return re.sub(
        r"\b(tmp|const_)\d+(_\d+)?\b",
        lambda wire: numbers.setdefault(wire[0], f"{wire[1]}{len(numbers)}"),
        text.getvalue(),
    )


def write_verilog(block: pyrtl.Block, name: str, path: Path) -> None:
    """Write the Verilog module of a block, under a temporary name first.

    Parameters
    ----------
    block : pyrtl.Block
    name : str
        Name of the module.
    path : Path
        The file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(verilog(block, name), encoding="utf-8")
    unfinished.replace(path)


def size_of(block: pyrtl.Block) -> Size:
    """Return the size of a block taken apart to gates of one bit."""
    gates = pyrtl.synthesize(update_working_block=False, merge_io_vectors=False, block=block)
    with pyrtl.set_working_block(gates):
        pyrtl.optimize(block=gates)
    ports = {kind: sum(len(w) for w in block.wirevector_subset(kind)) for kind in (pyrtl.Input, pyrtl.Output)}
    return Size(
        flops=sum(len(net.dests[0]) for net in gates.logic_subset("r")),
        gates=len(gates.logic_subset("&|^n~")),
        inputs=ports[pyrtl.Input],
        outputs=ports[pyrtl.Output],
    )


def export(name: str, build: Callable[[MachineParams], pyrtl.Block], arguments: Sequence[str] | None = None) -> int:
    """Run the command line of a block: write its Verilog for one chip, print its size; return the exit code.

    Parameters
    ----------
    name : str
        Name of the Verilog module.
    build : function of MachineParams
        Makes the block.
    arguments : sequence of str, optional
        Those of the command line unless given.
    """
    parser = argparse.ArgumentParser(description=f"Write the Verilog module {name}.")
    parser.add_argument("--export", metavar="FILE", type=Path, required=True, help="the Verilog file to write")
    parser.add_argument("--chip", choices=chip_names(), default="snake", help="shipped chip whose integers it is for")
    asked = parser.parse_args(arguments)
    block = build(resolve(load_chip(asked.chip)))
    try:
        write_verilog(block, name, asked.export)
    except OSError as error:
        parser.error(f"--export: got {asked.export}: {error.strerror}; allowed: a file that can be written; change it")
    size = size_of(block)
    print(f"{asked.export}: module {name} for chip {asked.chip}: {size.flops} flops, {size.gates} gates")  # noqa: T201
    return 0
