"""Runs inside the Verilog simulator: drives the bench of verilog.py with the recordings and compares every cycle."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from tests.cosim.words import differences


def read_parts():
    """The recordings, in the order of the blocks."""
    return json.loads(Path(os.environ["NMPSIM_REPLAYS"]).read_text(encoding="utf-8"))


def write_summary(**summary: float) -> None:
    """Leave what the caller wants to know."""
    Path(os.environ["NMPSIM_SUMMARY"]).write_text(json.dumps(summary), encoding="utf-8")


def joined(parts, key: str, bits: str) -> list[int]:
    """One word per cycle for all blocks together."""
    cycles = len(parts[0][key])
    assert all(len(part[key]) == cycles for part in parts), "recordings differ in length"
    words = []
    for cycle in range(cycles):
        word = base = 0
        for part in parts:
            word |= int(part[key][cycle], 16) << base
            base += part[bits]
        words.append(word)
    return words


def fields_of_all(parts) -> dict[str, tuple[int, int]]:
    """Place of every output of every block in the response."""
    fields, base = {}, 0
    for part in parts:
        fields |= {f"{part['name']} {name}": (base + low, bits) for name, (low, bits) in part["output_fields"].items()}
        base += part["output_bits"]
    return fields


@cocotb.test()
async def blocks_do_what_was_recorded(dut):
    parts = read_parts()
    fields = fields_of_all(parts)
    stimulus = joined(parts, "stimulus", "input_bits")
    expected = joined(parts, "expected", "output_bits")
    relevant = joined(parts, "relevant", "output_bits")
    phase = Timer(1, unit="step")

    dut.rst.value = 1
    for level in (0, 1):
        dut.clk.value = level
        dut.stimulus.value = stimulus[-1]  # whatever stands at the inputs, reset wins
        await phase
    dut.rst.value = 0
    began = time.process_time()
    for cycle, word in enumerate(stimulus):
        dut.clk.value = 0
        dut.stimulus.value = word
        await phase
        response = dut.response.value
        assert response.is_resolvable, f"cycle {cycle}: outputs are not 0 or 1: {response}"
        text = differences(response.to_unsigned(), expected[cycle], relevant[cycle], fields)
        assert not text, f"cycle {cycle}: {text}"
        dut.clk.value = 1
        await phase
    seconds = time.process_time() - began
    write_summary(cycles=len(stimulus), seconds=seconds)
