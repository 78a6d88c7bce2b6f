"""A lab bench for one core: instructions by hand, beats that are already there, one cycle at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from nmpsim.core.core import step_core
from nmpsim.core.state import REASONS
from nmpsim.kernel import NEVER
from nmpsim.link import fifo as link_fifo
from nmpsim.machine.state import build
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.isa import ARRAY, INSTRUCTION, N_CONTIGUOUS, PASS, V_COPY, VECTOR
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.spec import resolve
from nmpsim.spec.params import MachineParams
from tests.builders import SNAKE, small_chip

push = getattr(link_fifo.push, "py_func", link_fifo.push)


def core_params(kind=SNAKE, **changes) -> MachineParams:
    """A small chip of one PU whose clocks are one, with fields of CoreParams changed."""
    chip = small_chip(kind, 1, clock__core_GHz=1.0, clock__link_GHz=1.0, port__fifo_bytes=2**16)
    params = resolve(chip)
    return replace(params, core=params.core._replace(**changes))


def instruction(unit: int, op: int, **fields: int):
    """One instruction; waits are ``wait=(semaphore, count)``."""
    row = np.zeros(1, INSTRUCTION)[0]
    for i in range(4):
        row[f"wait{i}"] = -1
    row["table"] = -1
    row["unit"], row["op"] = unit, op
    for name, value in fields.items():
        if name == "wait":
            row["wait0"], row["count0"] = value
        else:
            row[name] = value
    return row


def product(flow, m, n, k, *, group=1, split=0, contiguous=N_CONTIGUOUS, **fields):
    """A PASS."""
    return instruction(
        ARRAY,
        PASS,
        flow=flow,
        m=m,
        n=n,
        k=k,
        group=group,
        split=split,
        contiguous=contiguous,
        a_ld=2 * k,
        out_ld=4 * n,
        planes=1,
        **fields,
    )


def elements(count: int, read: int = 2, write: int = 2, rate: int = 0, **fields: int):
    """A vector operation of one element loop."""
    return instruction(VECTOR, V_COPY, elements0=count, read0=read, write0=write, rate0=rate, **fields)


class CoreBench:
    """One core without DRAM and network: `beats` per strip lie in the FIFOs, ready at the cycles given.

    Parameters
    ----------
    params : MachineParams
    instructions : iterable
    beats : list of iterables of int, by strip
        Cycle from which each beat may be taken; default: all that the passes need, from the start.
    plain : bool
    """

    def __init__(self, params: MachineParams, instructions: Iterable, beats=None, *, plain: bool = True) -> None:
        self.params, self.plain = params, plain
        stream = np.array(list(instructions), INSTRUCTION)
        operators = (ProgramOperator("op", "test", 0, 0, 0, 0, 0, ""),)
        self.tables = np.zeros(params.core.strips, np.int64)
        program = Program("bench", (stream,), self.tables, operators)
        self.die, self.records = build(params, program)
        if beats is None:
            counts = np.zeros(params.core.strips, np.int64)
            for row in stream[stream["op"] == PASS]:
                counts += [len(beats_of(tile_of(row), params.core, s)) for s in range(params.core.strips)]
            beats = [[0] * int(count) for count in counts]
        for s, stamps in enumerate(beats):
            fifo, slots = self.die.channels.fifo[0, s], self.die.channels.slot[0, s]
            for cycle in stamps:
                fifo.reserved += 1
                push(fifo, slots, cycle * params.core_period, 0, 0)
        self.now = self.wake = 0
        self.visits = 0

    @property
    def actor(self):
        return self.die.cores.actor[0]

    def visit(self, now: int, *, plain: bool) -> int:
        """Visit the core at tick `now` and return its wake."""
        p = self.params
        periods = (p.core_period, p.dram_period, p.noc_period)
        self.visits += 1
        die = self.die
        return step_core(0, now, int(plain), p.core, p.dram, p.noc, periods, die.cores, die.channels, die.network,
                         self.records, self.tables)  # fmt: skip

    def step(self) -> None:
        """Let one cycle pass."""
        if self.plain or self.wake <= self.now:
            self.wake = self.visit(self.now, plain=self.plain)
            assert self.wake > self.now
        self.now += self.params.core_period

    def trace(self, cycles: int, index: int = 0) -> list[str]:
        """Reason of each of the next cycles of the compute unit; needs plain mode."""
        seen = []
        for _ in range(cycles):
            self.step()
            seen.append(REASONS[self.actor[index].reason])
        return seen

    def reasons(self, unit: int, cycles: int) -> list[str]:
        """Reason of each of the next cycles of another unit; needs plain mode."""
        seen = []
        for _ in range(cycles):
            self.step()
            seen.append(REASONS[self.die.cores.unit[0, unit].reason])
        return seen

    def run(self, limit: int = 20_000) -> int:
        """Run to the end of the program and return the cycle in which it was complete."""
        for _ in range(limit):
            self.step()
            if self.die.cores.core[0].finished_at < NEVER:
                return int(self.die.cores.core[0].finished_at) // self.params.core_period
        raise AssertionError(f"not finished after {limit} cycles: {self.actor}")


def tile_of(row) -> Tile:
    """The B operand of a PASS."""
    shape = (int(row[name]) for name in ("flow", "group", "split", "contiguous", "n", "k"))
    return Tile(*shape, 0, ((0, int(row["n"])),))
