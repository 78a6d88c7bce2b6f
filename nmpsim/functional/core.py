"""One core of the interpreter: its queues, its buffer, the FIFOs of its strips, and what its units do.

                 stream --> queues --> units --> buffer
                                         ^
    DRAM rows --> FIFO of strip s -------+----- beats of a LOAD leave to the buffer

Every method `take_*` or `land_*` is one step: it returns whether it did anything.  Which step comes next is the
interpreter's choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from nmpsim.functional import operations
from nmpsim.functional.formats import fp32_of, real
from nmpsim.functional.memory import FP32, HALVES, Buffer, Dram, Write, illegal, poisoned
from nmpsim.functional.operations import Arrays
from nmpsim.functional.product import delivery, multiply, plane_count, rebuild
from nmpsim.functional.records import PORT_NAMES, ActivePass, Chunk, Execution, Message, Move
from nmpsim.program.beats import Tile, legal
from nmpsim.program.isa import (
    ARRAY,
    COPY_IN,
    COPY_OUT,
    CROSS,
    EXPANSION,
    F_SUM,
    FIELDS,
    FLOW_NAMES,
    IS,
    LOAD,
    MOVE,
    OS,
    PASS,
    SEND,
    SEND_0,
    SEND_1,
    SPLIT_NAMES,
    STORE,
    STREAM,
    TREE,
    UNIT_NAMES,
    UNITS,
    VECTOR,
    VECTOR_BASE,
    WAITS,
    arrival,
    op_name,
    semaphores,
    shared,
)
from nmpsim.program.packing import stored_beats
from nmpsim.program.program import Program
from nmpsim.program.spaces import Space, spaces_of
from nmpsim.spec.params import MAC_TREE, MachineParams


class Core:
    """State of one core.

    Parameters
    ----------
    pu : int
        Which one.
    program : Program
        What it executes.
    params : MachineParams
        The chip.
    dram : Dram
        Shared by all cores; a core uses its own channel.
    note : callable, optional
        Called with each `Execution`.
    """

    def __init__(
        self, pu: int, program: Program, params: MachineParams, dram: Dram, note: Callable[[Execution], None] | None
    ) -> None:
        names = [name for name, _ in FIELDS]
        self.pu = pu
        self.program = program
        self.params = params
        self.dram = dram
        self.note = note
        self.stream = [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in program.streams[pu].tolist()]
        self.waits = [self._waits(index, ins) for index, ins in enumerate(self.stream)]
        self.dispatched = 0
        self.queues: list[deque[int]] = [deque() for _ in range(UNITS)]
        self.semaphores = [0] * semaphores(params.cores)
        self.spaces = spaces_of(params.core)
        self.half = HALVES[params.operands]
        self.buffer = Buffer(self.spaces.output.end, f"PU {pu}", self.half)
        self.copies: dict[int, deque[list[Write]]] = {COPY_IN: deque(), COPY_OUT: deque()}
        self.fifos: list[deque[Chunk]] = [deque() for _ in range(params.core.strips)]
        self.moves: deque[Move] = deque()
        self.flying: deque[tuple[int, list[Write]]] = deque()
        self.active: ActivePass | None = None
        self.dispatch()

    # ------------------------------------------------------------------------------------------------ sequencing

    def dispatch(self) -> None:
        """Move instructions, in order, into the queues of their units as far as there is room."""
        while self.dispatched < len(self.stream):
            queue = self.queues[self.stream[self.dispatched].unit]
            if len(queue) >= self.params.core.queue_depth:
                return
            queue.append(self.dispatched)
            self.dispatched += 1

    def take(self, unit: int) -> int:
        """Take the head of a queue if its waits hold; its index, -1 if there is none."""
        queue = self.queues[unit]
        if not queue or any(self.semaphores[s] < count for s, count in self.waits[queue[0]]):
            return -1
        index = queue.popleft()
        self.dispatch()
        self.buffer.where = self.where(index)
        return index

    def where(self, index: int) -> str:
        """Place of an instruction, for messages."""
        ins = self.stream[index]
        operators = self.program.operators
        part = f" of {operators[ins.operator].name}" if 0 <= ins.operator < len(operators) else ""
        return f"PU {self.pu}, instruction {index} ({op_name(ins.op)}{part})"

    # ----------------------------------------------------------------------------------------------------- array

    def take_pass(self) -> bool:
        """Begin a PASS, take the beats that are there, and compute once all have come."""
        begun = False
        if self.active is None:
            index = self.take(ARRAY)
            if index < 0:
                return False
            self.active = self._begin(index)
            begun = True
        current = self.active
        for strip, fifo in enumerate(self.fifos):
            while current.left[strip] and fifo and fifo[0].target < 0:
                chunk = fifo[0]
                count = min(current.left[strip], len(chunk.beats))
                current.got[strip].append(chunk.beats[:count])
                current.left[strip] -= count
                chunk.beats = chunk.beats[count:]
                if not len(chunk.beats):
                    fifo.popleft()
                begun = True
        if any(current.left):
            return begun
        self._multiply(current)
        self.active = None
        self.semaphores[ARRAY] += 1
        return True

    def _begin(self, index: int) -> ActivePass:
        ins, core, where = self.stream[index], self.params.core, self.where(index)
        if (ins.flow == TREE) != (core.kind == MAC_TREE):
            raise illegal(where, f"flow {FLOW_NAMES[ins.flow]}", "a flow of this core", "encode it for this chip")
        if ins.group < 1 or core.strips % ins.group:
            raise illegal(where, f"groups of {ins.group} strips", f"a divisor of {core.strips}", "correct group")
        if not legal(ins.flow, ins.split, ins.contiguous):
            got = f"{FLOW_NAMES[ins.flow]} with {SPLIT_NAMES[ins.split]}, contiguous {ins.contiguous}"
            raise illegal(where, got, "a relation that nmpsim.program.beats allows", "correct split or layout")
        if ins.flow in (OS, IS) and ins.m > ins.group * core.strip_rows:
            allowed = f"m up to {ins.group * core.strip_rows} rows of a group"
            raise illegal(where, f"m = {ins.m}", allowed, "use taller groups or more passes")
        if not 0 <= ins.imm < len(EXPANSION) or ins.beats < 0:
            raise illegal(where, f"format {ins.imm}, runs of {ins.beats}", "a format of B", "correct imm or beats")
        tile = Tile(ins.flow, ins.group, ins.split, ins.contiguous, ins.n, ins.k, 0, ((0, ins.n),))
        tile = tile.coded(ins.imm, ins.beats)
        planes = plane_count(tile, core)
        if max(1, ins.planes) != planes:
            raise illegal(where, f"{ins.planes} planes", f"{planes} planes", "correct planes")
        left = [stored_beats(len(delivery(tile, core, strip)), tile.code, tile.run) for strip in range(core.strips)]
        return ActivePass(index, ins, tile, [[] for _ in left], left)

    def _multiply(self, current: ActivePass) -> None:
        ins, core = current.ins, self.params.core
        self.buffer.where = self.where(current.index)
        self._inside(ins.a, self.spaces.operand)
        self._inside(ins.out, self.spaces.output)
        none = np.zeros((0, 2 * core.columns), np.uint8)
        a = self.buffer.read(ins.a, ins.m, ins.k, ins.a_ld, self.half)
        step = float(fp32_of(self.program.tables, ins.table)[0])
        b = rebuild(current.tile, core, [np.concatenate([none, *parts]) for parts in current.got], step, self.half)
        inputs: Arrays = {"a": a, "b": b}
        self._refuse_poison(inputs)
        with np.errstate(over="ignore", invalid="ignore"):
            out = multiply(a, b, current.tile, core)
        writes = [Write(ins.out + p * ins.plane_ld, ins.out_ld, plane) for p, plane in enumerate(out)]
        self._finish(current.index, inputs, {"out": out}, writes)
        self._write(writes)

    # ---------------------------------------------------------------------------------------------------- vector

    def take_vector(self) -> bool:
        """Begin a vector operation: read its operands and compute."""
        index = self.take(VECTOR)
        if index < 0:
            return False
        ins = self.stream[index]
        self._inside(ins.a, self.spaces.shared)
        self._inside(ins.out, self.spaces.shared)
        inputs = operations.operands(ins, self.buffer, self.program.tables)
        self._refuse_poison(inputs)
        outputs = operations.evaluate(ins, inputs, self.half)
        writes = operations.results(ins, outputs)
        self._finish(index, inputs, outputs, writes)
        self.flying.append((index, writes))
        return True

    def land_vector(self) -> bool:
        """Complete the oldest vector operation: its results stand in the buffer."""
        if not self.flying:
            return False
        index, writes = self.flying.popleft()
        self.buffer.where = self.where(index)
        self._write(writes)
        self.semaphores[VECTOR] += 1
        return True

    def _write(self, writes: list[Write]) -> None:
        for write in writes:
            self.buffer.write(write.address, write.values, write.ld)

    def _refuse_poison(self, inputs: Arrays) -> None:
        for name, values in inputs.items():
            if values.dtype in (self.half, FP32) and poisoned(values).any():
                place = tuple(int(i) for i in np.argwhere(poisoned(values))[0])
                got = f"operand {name} with unwritten bytes, first at {place} of {values.shape}"
                raise illegal(
                    self.buffer.where, got, "operands that were written", "wait for the producer, or place it"
                )

    def _finish(self, index: int, inputs: Arrays, outputs: Arrays, writes: list[Write]) -> None:
        """Refuse results that are no numbers or outside the buffer, and note the execution."""
        for name, values in outputs.items():
            if values.dtype in (self.half, FP32) and np.isnan(real(values)).any():
                place = tuple(int(i) for i in np.argwhere(np.isnan(real(values)))[0])
                got = f"result {name} is not a number at {place} of {values.shape}"
                raise illegal(self.buffer.where, got, "numbers", "check the operands: overflow, or a wrong place")
        for write in writes:
            self.buffer.read(write.address, len(write.values), write.values[0].nbytes, write.ld, np.dtype(np.uint8))
        if self.note is not None:
            self.note(Execution(self.pu, index, self.stream[index], inputs, outputs))

    # ------------------------------------------------------------------------------------------------------ move

    def take_move(self) -> bool:
        """Issue a move: post the beats of a STREAM or LOAD, or do a STORE."""
        index = self.take(MOVE)
        if index < 0:
            return False
        ins, where = self.stream[index], self.where(index)
        p = self.params.dram
        move = Move(0)
        if ins.op == STREAM:
            strips = self.params.core.strips
            if ins.table < 0 or ins.table + strips > len(self.program.tables):
                allowed = f"0..{len(self.program.tables)}"
                raise illegal(where, f"table {ins.table}..{ins.table + strips}", allowed, "correct the table offset")
            for strip, fifo in enumerate(self.fifos):
                count = int(self.program.tables[ins.table + strip])
                if count:
                    fifo.append(Chunk(self.dram.read(self.pu, strip, ins.row, 0, count, where), -1, move))
        else:
            if ins.beats < 1 or ins.column + ins.beats > p.columns:
                got = f"{ins.beats} beats from column {ins.column}"
                raise illegal(where, got, f"1 beat or more of one row of {p.columns} columns", "split the move")
            if ins.op == LOAD:
                self.buffer.read(ins.out, 1, ins.beats * p.column_bytes, 0, np.dtype(np.uint8))
                beats = self.dram.read(self.pu, ins.bank, ins.row, ins.column, ins.beats, where)
                move.left = ins.beats
                self.fifos[ins.bank].append(Chunk(beats, ins.out, move))
            else:
                beats = self.dram.read(self.pu, ins.bank, ins.row, ins.column, ins.beats, where)
                size = ins.n or p.column_bytes  # a narrow element row is written under the mask of a beat
                if not 0 <= ins.imm <= p.column_bytes - size:
                    raise illegal(where, f"bytes {ins.imm}..{ins.imm + size} of a beat", "bytes within", "correct imm")
                part = self.buffer.read(ins.a, ins.beats, size, size, np.dtype(np.uint8))
                beats[:, ins.imm : ins.imm + size] = part
                self.dram.write(self.pu, ins.bank, ins.row, ins.column, beats, where)
        self.moves.append(move)
        self._retire()
        return True

    def landing(self) -> list[int]:
        """Banks with a beat for the buffer at the head of their FIFO."""
        return [bank for bank, fifo in enumerate(self.fifos) if fifo and fifo[0].target >= 0]

    def land_beat(self, bank: int) -> None:
        """Take one beat of a LOAD from the FIFO of a bank into the buffer."""
        chunk = self.fifos[bank][0]
        self.buffer.write(chunk.target, chunk.beats[:1], 0)
        chunk.beats = chunk.beats[1:]
        chunk.target += self.params.dram.column_bytes
        chunk.move.left -= 1
        if not len(chunk.beats):
            self.fifos[bank].popleft()
        self._retire()

    def _retire(self) -> None:
        while self.moves and not self.moves[0].left:
            self.moves.popleft()
            self.semaphores[MOVE] += 1

    # ------------------------------------------------------------------------------------------------------ send

    def take_send(self, unit: int) -> list[Message]:
        """Send a message, one to each destination: its bytes are read now; none if nothing can start."""
        index = self.take(unit)
        if index < 0:
            return []
        ins, where = self.stream[index], self.where(index)
        if ins.imm != unit - SEND_0:
            got = f"direction {ins.imm} in the queue of {UNIT_NAMES[unit]}"
            raise illegal(where, got, f"direction {unit - SEND_0}", "correct unit or imm")
        own, last = arrival(self.pu, ins.imm), semaphores(self.params.cores) - 1
        summed = bool(ins.modifiers & F_SUM)
        if (ins.signal != own or ins.n or summed) and not shared(self.params.cores, 0) <= ins.signal <= last:
            allowed = f"{own} or a shared one, {shared(self.params.cores, 0)}..{last}"
            raise illegal(where, f"signal {ins.signal}", allowed, "correct the signal")
        targets = [pu for pu in range(ins.bank, ins.bank + max(ins.n, 1)) if pu != self.pu or not ins.n]
        if not targets or not all(0 <= pu < self.params.cores and (pu != self.pu or summed) for pu in targets):
            got = f"destinations PU {targets}" if ins.n else f"destination PU {ins.bank}"
            raise illegal(where, got, "other PUs of the die", "correct the destination")
        rows = self.buffer.read(ins.a, ins.m, ins.bytes, ins.a_ld, np.dtype(np.uint8))
        if summed:
            self._refuse_poison({"a": np.ascontiguousarray(rows).view(FP32)})
        self.semaphores[unit] += 1
        return [Message(self.pu, ins.imm, ins.signal, pu, ins.b, ins.b_ld, rows, summed) for pu in targets]

    def receive(self, message: Message) -> None:
        """Land a message in the buffer and count it."""
        way = PORT_NAMES[message.direction]
        self.buffer.where = f"PU {self.pu}, message from PU {message.source} {way}"
        self.buffer.write(message.address, message.rows, message.ld)
        self.semaphores[message.signal] += 1

    # ------------------------------------------------------------------------------------------------------ copy

    def take_copy(self, unit: int) -> bool:
        """Begin a copy between the buffer and those of the compute unit: its bytes are read now."""
        index = self.take(unit)
        if index < 0:
            return False
        ins, spaces = self.stream[index], self.spaces
        inward = unit == COPY_IN
        self._inside(ins.a, spaces.shared if inward else spaces.output)
        self._inside(ins.out, spaces.operand if inward else spaces.shared)
        planes = [p * ins.plane_ld for p in range(max(1, ins.planes))]
        rows = [self.buffer.read(ins.a + p, ins.m, ins.bytes, ins.a_ld, np.dtype(np.uint8)) for p in planes]
        self.copies[unit].append([Write(ins.out + p, ins.out_ld, r) for p, r in zip(planes, rows, strict=True)])
        return True

    def land_copy(self, unit: int) -> bool:
        """Complete the oldest copy of an engine: its bytes stand in the other buffer."""
        if not self.copies[unit]:
            return False
        self._write(self.copies[unit].popleft())
        self.semaphores[unit] += 1
        return True

    def _inside(self, address: int, space: Space) -> None:
        if not space.start <= address < space.end:
            allowed = f"{space.start}..{space.end} of {space.name}"
            raise illegal(self.buffer.where, f"address {address}", allowed, "correct the address, or copy it there")

    # --------------------------------------------------------------------------------------------------- the end

    @property
    def is_done(self) -> bool:
        """Whether every instruction has completed."""
        waiting = self.dispatched < len(self.stream) or any(self.queues)
        copying = any(self.copies.values())
        return not waiting and not copying and self.active is None and not self.moves and not self.flying

    def _waits(self, index: int, ins: SimpleNamespace) -> list[tuple[int, int]]:
        named = [(getattr(ins, f"wait{i}"), getattr(ins, f"count{i}")) for i in range(WAITS)]
        waits = [(semaphore, count) for semaphore, count in named if semaphore >= 0]
        total = semaphores(self.params.cores)
        if any(semaphore >= total for semaphore, _ in waits):
            raise illegal(self.where(index), f"waits {waits}", f"semaphores 0..{total - 1}", "correct the semaphore")
        if not 0 <= ins.unit < UNITS or ins.unit not in _units_of(ins.op):
            names = " or ".join(UNIT_NAMES[u] for u in _units_of(ins.op))
            raise illegal(self.where(index), f"unit {ins.unit}", names, "correct the unit")
        return waits


def _units_of(op: int) -> tuple[int, ...]:
    if op >= VECTOR_BASE:
        return (VECTOR,)
    table: dict[int, tuple[int, ...]] = {
        PASS: (ARRAY,),
        STREAM: (MOVE,),
        LOAD: (MOVE,),
        STORE: (MOVE,),
        SEND: (SEND_0, SEND_1),
        CROSS: (COPY_IN, COPY_OUT),
    }
    return table[op]
