"""All instructions of a program in one array, and faults that name their place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault
from nmpsim.program.isa import CROSS, F_SUM, FROM, PASS, UNIT_NAMES, UNITS, VECTOR_BASE, VECTOR_NAMES, op_name, shared
from nmpsim.program.program import Program
from nmpsim.program.sums import sums_of
from nmpsim.spec.params import MachineParams

MOST_FAULTS = 20
"""Faults that one report lists."""

Instruction = NDArray[np.void]
Indices = NDArray[np.int64]


class Listing:
    """Instructions of all cores, one core after the other, and the faults found in them.

    Parameters
    ----------
    program : Program
    params : MachineParams

    Attributes
    ----------
    ins : ndarray of INSTRUCTION
        All instructions.
    pu : ndarray of int64
        Core of each.
    first : ndarray of int64, shape (core + 1,)
        Index of the first instruction of each core.
    faults : list of Fault
        The first `MOST_FAULTS` found.
    number : int
        Faults found in all.
    """

    def __init__(self, program: Program, params: MachineParams) -> None:
        self.program, self.params = program, params
        self.ins: Instruction = np.concatenate(program.streams)
        lengths = np.array([len(stream) for stream in program.streams], np.int64)
        self.pu = np.repeat(np.arange(len(lengths)), lengths)
        self.first = np.concatenate([[0], np.cumsum(lengths)])
        self.faults: list[Fault] = []
        self.number = 0
        self._fields: dict[str, Indices] = {}

    def field(self, name: str) -> Indices:
        """One field of all instructions, contiguous."""
        if name not in self._fields:
            self._fields[name] = np.ascontiguousarray(self.ins[name])
        return self._fields[name]

    def of_op(self, op: int) -> Indices:
        """Indices of the instructions with an operation code."""
        return np.flatnonzero(self.field("op") == op)

    def destinations(self, index: int) -> list[int]:
        """Cores that the message of a SEND goes to; of the contributions to a sum only the owner's has one."""
        first, number = int(self.field("bank")[index]), int(self.field("n")[index])
        if self.field("modifiers")[index] & F_SUM:
            return [first] if first == self.pu[index] else []
        return [pu for pu in range(first, first + number) if pu != self.pu[index]] if number else [first]

    def sums(self) -> list[list[int]]:
        """Instructions that contribute to each sum; only of a program whose contributions agree."""
        found = sums_of(self.program.streams, self.params.noc.nodes)
        return [(self.first[sum_[:, 0]] + sum_[:, 1]).tolist() for sum_ in found]

    def where(self, index: int) -> str:
        """Place of an instruction in words."""
        pu = int(self.pu[index])
        op, operator = int(self.ins["op"][index]), int(self.ins["operator"][index])
        known = PASS <= op <= CROSS or VECTOR_BASE <= op < VECTOR_BASE + len(VECTOR_NAMES)
        name = op_name(op) if known else f"operation {op}"
        operators = self.program.operators
        of = f" of {operators[operator].name}" if 0 <= operator < len(operators) else ""
        return f"PU {pu}, instruction {index - self.first[pu]} ({name}{of})"

    def add(self, where: str, got: str, allowed: str, todo: str) -> None:
        """Note one fault."""
        self.number += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(where, got, allowed, todo))

    def refuse(self, indices: Indices, got: Callable[[Instruction], str], allowed: str, todo: str) -> None:
        """Note a fault of each of these instructions; `got` puts an instruction into words."""
        self.number += len(indices)
        for index in indices[: max(0, MOST_FAULTS - len(self.faults))]:
            self.faults.append(Fault(self.where(int(index)), got(self.ins[index]), allowed, todo))

    def semaphore_name(self, semaphore: int) -> str:
        """Name what a semaphore counts."""
        if semaphore < UNITS:
            return f"instructions completed by {UNIT_NAMES[semaphore]}"
        if semaphore >= shared(self.params.cores, 0):
            return f"messages of shared semaphore {semaphore - shared(self.params.cores, 0)}"
        source, port = divmod(semaphore - FROM, 2)
        return f"messages from PU {source} by port {port}"
