"""A recording: the inputs of a block in each cycle, the outputs it must show, and which bits of them matter."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyrtl

from tests.cosim.words import pack


def fields_of(wires) -> dict[str, tuple[int, int]]:
    """Lowest bit and width of each wire of a port list packed into one word."""
    places, low = {}, 0
    for wire in sorted(wires, key=lambda wire: wire.name):
        places[wire.name] = (low, len(wire))
        low += len(wire)
    return places


@dataclass
class Replay:
    """A block, and what it must do.

    Parameters
    ----------
    name : str
        Of the Verilog module, and in messages.
    block : pyrtl.Block
    inputs, outputs : list of dict
        Values by wire of each cycle; an output that is not named may be anything.
    """

    name: str
    block: pyrtl.Block
    inputs: list[dict[str, int]]
    outputs: list[dict[str, int]]
    input_fields: dict[str, tuple[int, int]] = field(init=False)
    output_fields: dict[str, tuple[int, int]] = field(init=False)

    def __post_init__(self):
        self.input_fields = fields_of(self.block.wirevector_subset(pyrtl.Input))
        self.output_fields = fields_of(self.block.wirevector_subset(pyrtl.Output))

    def stimulus(self) -> list[int]:
        """Input word of each cycle; what the block has no wire for is left out."""
        return [pack({name: values[name] for name in self.input_fields}, self.input_fields) for values in self.inputs]

    def expected(self) -> list[int]:
        """Output word of each cycle, 0 where anything may stand."""
        return [pack(values, self.output_fields) for values in self.outputs]

    def relevant(self) -> list[int]:
        """Ones at the bits of each cycle's output word that matter."""
        ones = dict.fromkeys(self.output_fields, -1)
        return [pack({name: ones[name] for name in values}, self.output_fields) for values in self.outputs]


class PyrtlRun:
    """A replay in PyRTL's own simulator, one cycle at a time.

    Parameters
    ----------
    replay : Replay
    """

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.masks = {name: (1 << bits) - 1 for name, (_, bits) in replay.input_fields.items()}
        registers = {wire.name for wire in replay.block.wirevector_subset(pyrtl.Register)}
        self.registers = sorted(registers)
        self.simulation = pyrtl.FastSimulation(block=replay.block, tracer=None)

    def step(self, cycle: int) -> tuple[dict[str, int], dict[str, int]]:
        """Run one cycle; return its outputs and the registers as they were in it."""
        inputs = self.replay.inputs[cycle]
        self.simulation.step({name: inputs[name] & mask for name, mask in self.masks.items()})
        outputs, registers = (
            {name: self.simulation.inspect(name) for name in names}
            for names in (self.replay.output_fields, self.registers)
        )
        return outputs, registers

    def difference(self, cycle: int, outputs: dict[str, int]) -> str:
        """What the outputs of one cycle have wrong, as text; empty if nothing."""
        wrong = []
        for name, value in self.replay.outputs[cycle].items():
            expected = value & (1 << self.replay.output_fields[name][1]) - 1
            if outputs[name] != expected:
                wrong.append(f"{name}: RTL {outputs[name]}, kernel {expected}")
        return f"cycle {cycle}: {self.replay.name} {', '.join(wrong)}" if wrong else ""

    def first_difference(self) -> str:
        """Run the whole recording; return where RTL and kernel differ first, empty if nowhere."""
        for cycle in range(len(self.replay.inputs)):
            outputs, _ = self.step(cycle)
            if text := self.difference(cycle, outputs):
                return text
        return ""
