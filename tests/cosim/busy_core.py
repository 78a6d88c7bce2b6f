"""A real core with all its units at work, and a world around it that stalls on every handshake, one cycle at a time.

program of all units --> core (its kernel, interpreted)  <-- beats of LOADs and STREAMs, late
                          |        |                     <-- flits of messages from outside, late
                 requests of units |
                   are recorded    +--> STOREs and flits are taken, late
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nmpsim.core import core as core_module
from nmpsim.kernel import NEVER
from nmpsim.link import fifo as link_fifo
from nmpsim.link import memory_port, network_port
from nmpsim.machine.state import build
from nmpsim.program.beats import beats_of
from nmpsim.program.isa import (
    COPY_IN,
    COPY_OUT,
    CROSS,
    FROM,
    INSTRUCTION,
    IS,
    LOAD,
    MOVE,
    OS,
    SEND,
    SEND_0,
    SEND_1,
    SPLIT_N,
    STORE,
    STREAM,
    TREE,
    WS,
    shared,
)
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.spec.params import MAC_TREE, MachineParams
from tests.cosim.interpreted import interpreted
from tests.unit.core.bench import elements, instruction, product, tile_of
from tests.unit.dram.bench import python_of

head_at, push, pop, credit_at = (
    python_of(getattr(link_fifo, name)) for name in ("head_at", "push", "pop", "credit_at")
)
run_at, take_run = python_of(memory_port.run_at), python_of(memory_port.take_run)
flit_at, flit_space_at, blank_flit, head_flit, take_flit, write_flit = (
    python_of(getattr(network_port, name))
    for name in ("flit_at", "flit_space_at", "blank_flit", "head_flit", "take_flit", "write_flit")
)

PROGRAM = 250
"""Pieces of work in a program."""


@dataclass
class Work:
    """A program as it is drawn, and how often each semaphore will have counted."""

    params: MachineParams
    rng: np.random.Generator
    rows: list = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    counted: dict[int, int] = field(default_factory=dict)

    def add(self, row) -> None:
        """Append an instruction; it may wait for up to four others that come before it."""
        counts = sorted(self.counted.items())
        for i in range(int(self.rng.choice([0] * 12 + [1, 2, 4]))):
            if counts:
                semaphore, count = counts[self.rng.integers(len(counts))]
                row[f"wait{i}"], row[f"count{i}"] = semaphore, max(count - int(self.rng.integers(0, 4)), 1)
        if self.rng.random() < 0.02:
            row["wait0"], row["count0"] = FROM + int(self.rng.integers(2)), 1 + len(self.rows) // 20
        self.rows.append(row)
        self.counted[int(row["unit"])] = self.counted.get(int(row["unit"]), 0) + 1

    def address(self, first: int = 0, size: int = 2**12) -> int:
        """Any address of a small region, often on a word."""
        unit = int(self.rng.choice([2, 16]))
        return first + int(self.rng.integers(size // unit)) * unit

    def multiply(self) -> None:
        """A STREAM and its PASS."""
        p, rng = self.params.core, self.rng
        if p.kind == MAC_TREE:
            flow, group, split = TREE, 1, SPLIT_N
        else:
            flow = int(rng.choice([OS, WS, IS]))
            group = int(rng.choice([1, p.strips]))
            split = SPLIT_N if group < p.strips else 0
        m, n, k = (int(rng.integers(1, most)) for most in (5, 24, 20))
        first = p.buffer_bytes if p.separate else 0
        results = first + p.operand_bytes if p.separate else 2**11
        row = product(flow, m, n, k, group=group, split=split, a=self.address(first), out=self.address(results))
        table = len(self.tables)
        self.tables += [len(beats_of(tile_of(row), p, s)) for s in range(p.strips)]
        self.add(instruction(MOVE, STREAM, table=table, row=int(rng.integers(100))))
        self.add(row)

    def move(self) -> None:
        """A STORE, or a few LOADs."""
        for op in [STORE] if self.rng.random() < 0.5 else [LOAD] * int(self.rng.integers(1, 5)):
            self.move_beats(op)

    def move_beats(self, op: int) -> None:
        """A LOAD or a STORE."""
        fields = {"bank": int(self.rng.integers(self.params.core.strips)), "beats": int(self.rng.integers(1, 9))}
        place = {"a": self.address()} if op == STORE else {"out": self.address()}
        self.add(instruction(MOVE, op, row=int(self.rng.integers(100)), **fields, **place))

    def compute(self) -> None:
        """A vector operation of one loop."""
        count, rate = int(self.rng.integers(1, 120)), int(self.rng.integers(3))
        read, write = int(self.rng.choice([0, 2, 4, 8])), int(self.rng.choice([0, 2, 4]))
        self.add(elements(count, read, write, rate, a=self.address(), out=self.address()))

    def send(self) -> None:
        """A SEND."""
        unit = int(self.rng.choice([SEND_0, SEND_1]))
        size = int(self.rng.integers(1, 60))
        fields = {"m": int(self.rng.integers(1, 4)), "bytes": size, "a_ld": size + 3, "signal": FROM}
        self.add(instruction(unit, SEND, a=self.address(), b=self.address(), **fields))

    def cross(self) -> None:
        """A copy between the buffers of a separate core."""
        p, unit = self.params.core, int(self.rng.choice([COPY_IN, COPY_OUT]))
        size = int(self.rng.integers(1, 200))
        inside = p.buffer_bytes + (p.operand_bytes if unit == COPY_OUT else 0)
        here, there = self.address(), self.address(inside, 2**11)
        a, out = (here, there) if unit == COPY_IN else (there, here)
        fields = {"m": int(self.rng.integers(1, 4)), "bytes": size, "a_ld": size, "out_ld": size, "planes": 1}
        self.add(instruction(unit, CROSS, a=a, out=out, **fields))


def draw_work(params: MachineParams, seed: int) -> Work:
    """Draw a program of all units."""
    work = Work(params, np.random.default_rng([seed, 1]))
    kinds = [work.multiply, work.move, work.move, work.compute, work.compute, work.send]
    if params.core.separate:
        kinds += [work.cross] * 4
    for _ in range(PROGRAM):
        kinds[work.rng.integers(len(kinds))]()
    return work


class BusyCore:
    """One core of a chip of one PU under a random program.

    Parameters
    ----------
    params : MachineParams
        Its three clocks are one.
    seed : int
        Of program and world.
    replaced : dict
        What stands for which function of the kernel; see `interpreted`.
    """

    def __init__(self, params: MachineParams, seed: int, replaced) -> None:
        self.params, self.rng = params, np.random.default_rng([seed, 2])
        work = draw_work(params, seed)
        stream = np.array(work.rows, INSTRUCTION)
        self.tables = np.array([*work.tables, 0], np.int64)
        operators = (ProgramOperator("op", "test", 0, 0, 0, 0, 0, ""),)
        self.die, self.records = build(params, Program("busy", (stream,), self.tables, operators))
        self.step_core = interpreted(core_module.step_core, replaced)
        self.now = 0
        self.due: list[list[tuple[int, int]]] = [[] for _ in range(params.core.strips)]
        self.row_of: dict[int, int] = {}
        self.arriving = [0, 0]
        self.pace = dict.fromkeys(("bank", "store", "inject", "eject"), 1.0)

    @property
    def cores(self):
        return self.die.cores

    def step(self) -> None:
        """Let the world act, then the core."""
        if self.now % 50 == 0:
            self.pace = {name: float(self.rng.choice([0.1, 0.5, 1.0])) for name in self.pace}
        for b in range(self.params.core.strips):
            self.bank(b)
        for d in range(2):
            self.take_sent(d)
            self.deliver(d)
        p, die = self.params, self.die
        self.step_core(0, self.now, 1, p.core, p.dram, p.noc, (1, 1, 1), die.cores, die.channels, die.network,
                       self.records, self.tables)  # fmt: skip
        self.now += 1

    def stalls(self, handshake: str) -> bool:
        """Whether the world does not act on a handshake in this cycle."""
        return self.rng.random() >= self.pace[handshake]

    def bank(self, b: int) -> None:
        """A bank without timing: one beat of the run at its head per cycle, unless it stalls."""
        ports = self.die.channels
        queue, runs = ports.queue[0, b], ports.run[0, b]
        if run_at(queue, runs) > self.now or self.stalls("bank"):
            return
        run = runs[queue.taken % len(runs)]
        done = self.row_of.get(b, 0)
        total = int(run.rows) * int(run.columns)
        if run.is_write:
            fifo, slots = ports.write_fifo[0, b], ports.write_slot[0, b]
            if head_at(fifo, slots) > self.now or self.stalls("store"):
                return
            pop(fifo, slots, self.now + 1)
            token = ports.token[0, run.token]
            token.left -= 1
            token.done_at = self.now + 1
        else:
            fifo, slots = ports.fifo[0, b], ports.slot[0, b]
            if credit_at(fifo, slots, 1) > self.now:
                return
            fifo.reserved += 1
            target = int(run.target) + done * int(run.target_stride) if run.target else 0
            push(fifo, slots, self.now + 1, target, int(run.token))
        self.row_of[b] = (done + 1) % total
        if done + 1 == total:
            take_run(queue, runs, self.now + 1)

    def take_sent(self, d: int) -> None:
        """Take a flit that the core sent, unless the network stalls."""
        queue, flits = self.die.network.inject[0, d], self.die.network.inject_flit[0, d]
        if flit_at(queue, flits) <= self.now and not self.stalls("inject"):
            take_flit(queue, flits, self.now + 1)

    def deliver(self, d: int) -> None:
        """Let a flit arrive, unless the network stalls."""
        queue, flits = self.die.network.eject[0, d], self.die.network.eject_flit[0, d]
        if flit_space_at(queue, flits) > self.now or self.rng.random() > 0.5 or self.stalls("eject"):
            return
        flit = blank_flit(queue, flits)
        flit.address = int(self.rng.integers(2**12))
        flit.bytes = int(self.rng.integers(1, self.params.noc.flit_bytes + 1))
        flit.last = int(self.rng.random() < 0.4)
        flit.signal = int(self.rng.choice([FROM, FROM + 1, shared(1, 0), shared(1, 1)]))
        write_flit(queue, flits, self.now + int(self.rng.integers(1, 4)))

    def candidates(self, credit: int = 1) -> dict[int, int]:
        """Strips whose FIFO has a beat for the buffer at its head that may be taken, with the beat's address."""
        found = {}
        for s in range(self.params.core.strips):
            fifo, ring = self.die.channels.fifo[0, s], self.die.channels.slot[0, s]
            ready = head_at(fifo, ring)
            slot = ring[fifo.head % len(ring)]
            if ready == NEVER or slot.target == 0:
                continue
            if fifo.head > 0:
                ready = max(ready, int(ring[(fifo.head - 1) % len(ring)].free_at) - credit + 1)
            if ready <= self.now:
                found[s] = int(slot.target) - 1
        return found
