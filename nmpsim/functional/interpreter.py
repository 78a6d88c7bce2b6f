"""Executes a program on bytes: which numbers come out, whatever the times.

Any order of steps that queues and semaphores allow is a legal execution, and a correct program gives the same bytes
in all of them.  Without a seed, all units take turns.  With a seed, steps come in a random legal order in which some
units lag far behind others for a while, so that a missing wait shows up as unwritten operands or as other results.

Finite here as in the hardware: instruction queues.  Unlimited here: strip FIFOs, moves on their way, the network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import DeadlockError, Fault, IllegalScheduleError
from nmpsim.functional.core import Core
from nmpsim.functional.image import Tensors, build_dram
from nmpsim.functional.memory import FP16, FP32, INT32, Buffer, Dram, illegal, poisoned
from nmpsim.functional.records import Execution, Message
from nmpsim.functional.sums import Sums
from nmpsim.functional.waiting import blocked, left_over
from nmpsim.program.isa import COPY_IN, COPY_OUT, SEND_0, SEND_1
from nmpsim.program.program import Program
from nmpsim.spec.params import MachineParams

SPEEDS = (0.02, 0.3, 1.0)
"""Chance of a unit to act when it is its turn, in a random order; drawn anew now and then."""

REDRAW = 16
"""Mean number of rounds between two draws of the speeds."""


@dataclass
class FunctionalResult:
    """What a program has computed.

    Parameters
    ----------
    program : Program
        What was executed.
    buffers : ndarray of uint8, shape (pu, byte)
        Buffers at the end.
    dram : Dram
        DRAM at the end.
    executions : list of Execution
        Every PASS and vector operation with operands and results, in the order of execution; empty unless recorded.
    steps : int
        Steps that did something.
    half : dtype
        Type of activations: `FP16`, or `BF16` as bits.
    results : dict of ndarray
        The results that the program names; `half` or float32, shape (row, column).  A result of PU -1 is the same
        place in every PU, shape (pu, row, column), and may have unwritten elements.
    """

    program: Program
    buffers: NDArray[np.uint8]
    dram: Dram
    executions: list[Execution] = field(default_factory=list)
    steps: int = 0
    half: np.dtype[Any] = FP16
    results: dict[str, NDArray[np.floating]] = field(default_factory=dict)


def run(
    program: Program,
    params: MachineParams,
    tensors: Tensors,
    seed: int | None = None,
    *,
    record: bool = True,
    overlap: bool = True,
) -> FunctionalResult:
    """Execute a program.

    Parameters
    ----------
    program : Program
        Streams, table and images.
    params : MachineParams
        The chip.
    tensors : mapping of str to ndarray
        Arrays that the images name, see `nmpsim.functional.image`.
    seed : int, optional
        Seed of a random legal order; None: all take turns.
    record : bool
        Whether to keep operands and results of every PASS and vector operation.
    overlap : bool
        Whether a vector operation may begin before the results of earlier ones stand in the buffer, as in the
        pipelined unit; then one that reads them needs a wait on the semaphore of its own unit.

    Returns
    -------
    FunctionalResult

    Raises
    ------
    DeadlockError
        If nothing can happen and work is left: who waits for what.
    IllegalScheduleError
        If an address lies outside, an operand was never written, a result is no number, beats are left in a FIFO, or
        an instruction is none of this chip.
    WorkloadError
        If tensors are missing.
    """
    if len(program.streams) != params.cores:
        got = f"{len(program.streams)} instruction streams"
        raise illegal("program", got, f"{params.cores}, one per PU", "encode it for this chip")
    if params.core.columns * FP16.itemsize != params.dram.column_bytes or params.core.strips != params.dram.banks:
        got = f"{params.core.strips} strips of {params.core.columns} columns"
        allowed = f"{params.dram.banks} banks of {params.dram.column_bytes} B a beat"
        raise illegal("chip", got, allowed, "give every strip one bank and one FP16 element per column")
    machine = _Machine(program, params, build_dram(program, params, tensors), record=record, overlap=overlap)
    if seed is None:
        machine.take_turns()
    else:
        machine.scramble(np.random.default_rng(seed))
    return machine.finish()


class _Machine:
    """All cores and the messages between them."""

    def __init__(self, program: Program, params: MachineParams, dram: Dram, *, record: bool, overlap: bool) -> None:
        self.program = program
        self.executions: list[Execution] = []
        note = self.executions.append if record else None
        self.dram = dram
        self.cores = [Core(pu, program, params, dram, note) for pu in range(params.cores)]
        self.flights: list[deque[Message]] = [deque() for _ in range(2 * params.cores)]
        self.copies: list[dict[int, deque[Message]]] = [{} for _ in range(2 * params.cores)]  # by destination
        self.sums = Sums(params.noc, params.cores)
        self.overlap = overlap
        self.steps = 0
        self.rng: np.random.Generator | None = None
        self.agents: list[Callable[[], bool]] = []
        for core in self.cores:
            self.agents += [core.take_pass, self._vector(core), core.land_vector, core.take_move]
            self.agents += [self._landing(core), self._sending(core, SEND_0), self._sending(core, SEND_1)]
            if params.core.separate:
                for unit in (COPY_IN, COPY_OUT):
                    self.agents += [partial(core.take_copy, unit), partial(core.land_copy, unit)]
        self.agents += [self._delivery(flight) for flight in self.flights]
        if params.noc.multicast_lanes:
            self.agents += [self._copying(copies) for copies in self.copies]
        if params.noc.sum_lanes:
            self.agents.append(self._add_up)

    def take_turns(self) -> None:
        """Step all agents in turn until nothing can happen."""
        while True:
            fired = sum(agent() for agent in self.agents)
            if not fired:
                return
            self.steps += fired

    def scramble(self, rng: np.random.Generator) -> None:
        """Step agents in a random order until nothing can happen."""
        self.rng = rng
        count = len(self.agents)
        speeds = rng.choice(SPEEDS, count)
        while True:
            if rng.integers(REDRAW) == 0:
                speeds = rng.choice(SPEEDS, count)
            order = rng.permutation(count)
            acts = rng.random(count) < speeds[order]
            fired = sum(self.agents[i]() for i in order[acts])
            if not fired and not any(self.agents[i]() for i in order):
                return
            self.steps += max(fired, 1)

    def finish(self) -> FunctionalResult:
        """Results, if all is done."""
        if not all(core.is_done for core in self.cores):
            faults = [fault for core in self.cores for fault in blocked(core)]
            raise DeadlockError("the program cannot go on: every unit with work left waits", faults)
        left = [fault for core in self.cores for fault in left_over(core)]
        if left:
            raise IllegalScheduleError("the program leaves beats in the strip FIFOs", left)
        if apart := self.sums.left_over():
            raise IllegalScheduleError("the program leaves contributions to sums that are not complete", apart)
        buffers = np.stack([core.buffer.bytes for core in self.cores])
        result = FunctionalResult(self.program, buffers, self.dram, self.executions, self.steps, self.cores[0].half)
        faults = []
        for name, place in self.program.results.items():
            pu, *rest = place
            if pu < 0:
                result.results[name] = np.stack([self._result(name, core.pu, *rest) for core in self.cores])
                continue
            values = self._result(name, pu, *rest)
            if poisoned(values).any():
                where = f"result {name}, element {tuple(int(i) for i in np.argwhere(poisoned(values))[0])}"
                faults.append(Fault(where, "unwritten bytes", "a number", "correct its place, or write it"))
            result.results[name] = values
        if faults:
            raise IllegalScheduleError("the program does not write all its results", faults)
        return result

    def _result(
        self, name: str, pu: int, address: int, rows: int, columns: int, ld: int, fp32: bool
    ) -> NDArray[np.floating]:
        buffer: Buffer = self.cores[pu].buffer
        buffer.where = f"result {name}"
        return buffer.read(address, rows, columns, ld, FP32 if fp32 else buffer.half)

    def _vector(self, core: Core) -> Callable[[], bool]:
        def begin() -> bool:
            return core.take_vector()

        def whole() -> bool:
            return core.take_vector() and core.land_vector()

        return begin if self.overlap else whole

    def _landing(self, core: Core) -> Callable[[], bool]:
        def land() -> bool:
            banks = core.landing()
            if not banks:
                return False
            core.land_beat(banks[0] if self.rng is None else int(self.rng.choice(banks)))
            return True

        return land

    def _sending(self, core: Core, unit: int) -> Callable[[], bool]:
        def send() -> bool:
            messages = core.take_send(unit)
            way = 2 * core.pu + unit - SEND_0
            if messages and messages[0].summed:
                self.sums.contribute(messages[0])
            elif len(messages) == 1:
                self.flights[way].append(messages[0])
            else:
                for message in messages:
                    self.copies[way].setdefault(message.target, deque()).append(message)
            return bool(messages)

        return send

    def _add_up(self) -> bool:
        """Deliver a sum that all have contributed to; those of one owner and port come in their order."""
        whole = self.sums.whole()
        if not whole:
            return False
        way = whole[0 if self.rng is None else int(self.rng.integers(len(whole)))]
        self.cores[way[0]].receive(self.sums.take(way))
        return True

    def _delivery(self, flight: deque[Message]) -> Callable[[], bool]:
        def deliver() -> bool:
            if not flight:
                return False
            message = flight.popleft()
            self.cores[message.target].receive(message)
            return True

        return deliver

    def _copying(self, copies: dict[int, deque[Message]]) -> Callable[[], bool]:
        """Deliver multicasts: in their order at each destination, at each on its own."""

        def deliver() -> bool:
            waiting = [pu for pu, flight in copies.items() if flight]
            if not waiting:
                return False
            pu = waiting[0] if self.rng is None else int(self.rng.choice(waiting))
            self.cores[pu].receive(copies[pu].popleft())
            return True

        return deliver


def pairs(result: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Values and indices of a result of argmax, an FP32 result of two columns.

    Parameters
    ----------
    result : ndarray of float32, shape (m, 2)
        From `FunctionalResult.results`.

    Returns
    -------
    tuple of ndarray, shapes (m,)
        FP32 values and int32 indices.
    """
    words = np.ascontiguousarray(result, FP32)
    return words[:, 0].copy(), words.view(INT32)[:, 1].copy()
