"""Instruction streams under construction: one list per core, with the counts that semaphores will have reached."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.program.isa import (
    F_A_FP32,
    F_SUM,
    FIELDS,
    GATHERS,
    INSTRUCTION,
    KV,
    MOVE,
    SEND,
    SEND_0,
    SEND_1,
    V_COPY,
    VECTOR,
    WAITS,
    arrival,
    semaphores,
    shared,
)
from nmpsim.program.vector import loops
from nmpsim.spec.params import MachineParams


def fp32_bits(x: float) -> int:
    """Bits of an FP32 number."""
    return int(struct.unpack("<I", struct.pack("<f", x))[0])


class Event(NamedTuple):
    """A point in the life of a core: semaphore `semaphore` of that core has reached `value`."""

    semaphore: int
    value: int


_INDEX = {name: i for i, (name, _) in enumerate(FIELDS)}
_BLANK = [0] * len(FIELDS)
for _name in ("wait0", "wait1", "wait2", "wait3", "table"):
    _BLANK[_INDEX[_name]] = -1


class Emitter:
    """Collects the instructions of all cores in an order in which they could run one by one.

    Parameters
    ----------
    params : MachineParams
        The chip.
    """

    def __init__(self, params: MachineParams) -> None:
        self.params = params
        self.pus = params.cores
        self.operator = 0
        self._rows: list[list[tuple[int, ...]]] = [[] for _ in range(self.pus)]
        self._counts = [[0] * semaphores(self.pus) for _ in range(self.pus)]
        self._gathers = 0
        self._tables: list[int] = []
        self._known: dict[tuple[int, ...], int] = {}

    def table(self, values: Sequence[int]) -> int:
        """Offset of `values` in the table of integers; equal sequences are stored once."""
        key = tuple(int(v) for v in values)
        if key not in self._known:
            self._known[key] = len(self._tables)
            self._tables.extend(key)
        return self._known[key]

    def emit(self, pu: int, unit: int, op: int, waits: Iterable[Event | None] = (), **fields: int) -> Event:
        """Append one instruction to a core and return the event of its completion.

        Parameters
        ----------
        pu, unit, op : int
            Core, unit and operation.
        waits : iterable of Event or None
            Events of the same core; None is ignored, several on one semaphore become one.
        **fields : int
            Operand fields.

        Raises
        ------
        InternalError
            If the waits need more than four semaphores.
        """
        row = _BLANK.copy()
        row[_INDEX["unit"]], row[_INDEX["op"]], row[_INDEX["operator"]] = unit, op, self.operator
        for name, value in fields.items():
            row[_INDEX[name]] = value
        strongest: dict[int, int] = {}
        for wait in waits:
            if wait is not None:
                strongest[wait.semaphore] = max(wait.value, strongest.get(wait.semaphore, 0))
        if len(strongest) > WAITS:
            raise InternalError(f"encoder: an instruction of PU {pu} waits for {len(strongest)} semaphores")
        for i, (semaphore, count) in enumerate(sorted(strongest.items())):
            row[_INDEX[f"wait{i}"]], row[_INDEX[f"count{i}"]] = semaphore, count
        self._rows[pu].append(tuple(row))
        counts = self._counts[pu]
        counts[unit] += 1
        return Event(unit, counts[unit])

    def vector(self, pu: int, op: int, m: int, n: int, waits: Iterable[Event | None] = (), **fields: int) -> Event:
        """Append a vector operation on [m, n], with its microcode, and return its completion."""
        parts = loops(op, m, n, fields.get("planes", 0), fields.get("modifiers", 0), fields.get("imm", 0))
        for i, (elements, read, write, rate) in enumerate(parts):
            fields |= {f"elements{i}": elements, f"read{i}": read, f"write{i}": write, f"rate{i}": rate}
        return self.emit(pu, VECTOR, op, waits, m=m, n=n, **fields)

    def after(self, pu: int, waits: Iterable[Event | None], source: int, target: int) -> Event:
        """Append a copy of one FP32 number and return its completion: one event of the vector unit after several."""
        return self.vector(pu, V_COPY, 1, 1, waits, modifiers=F_A_FP32, a=source, a_ld=4, out=target, out_ld=4)

    def send(
        self,
        pu: int,
        destination: int,
        waits: Iterable[Event | None],
        *,
        direction: int | None = None,
        common: int | None = None,
        rows: int = 1,
        size: int,
        source: int,
        source_ld: int = 0,
        target: int,
        target_ld: int = 0,
        stack: int = 0,
    ) -> tuple[Event, Event]:
        """Append a message; return its completion at the sender and its arrival at the destination.

        Parameters
        ----------
        pu, destination : int
            Cores; must differ, unless in another stack.
        waits : iterable of Event
            Events of the sender.
        direction : int, optional
            Network port of both; default: 0 if the destination is nearer upwards, counted round the ring, else 1.
        common : int, optional
            Index of a shared semaphore to count it; default that of (sender, direction).
        rows, size : int
            Rows of the message and bytes of each.
        source, source_ld, target, target_ld : int
            Buffer addresses and row distances; bytes.
        stack : int
            How many stacks further on the destination is.  All stacks send alike, so this core gets as many messages
            from the stack as far back, and they are counted as if they came from here.
        """
        if direction is None:
            direction = 0 if (destination - pu) % self.pus <= (pu - destination) % self.pus else 1
        signal = arrival(pu, direction) if common is None else shared(self.pus, common)
        sent = self.emit(
            pu,
            SEND_1 if direction else SEND_0,
            SEND,
            waits,
            m=rows,
            bytes=size,
            a=source,
            a_ld=source_ld,
            b=target,
            b_ld=target_ld,
            bank=destination,
            stack=stack,
            imm=direction,
            signal=signal,
        )
        counts = self._counts[destination]
        counts[signal] += 1
        return sent, Event(signal, counts[signal])

    def multicast(
        self,
        pu: int,
        waits: Iterable[Event | None],
        *,
        port: int,
        common: int,
        rows: int,
        size: int,
        place: int,
        ld: int,
    ) -> Event:
        """Append a message to the same place of all other PUs of the die; return its completion at the sender.

        Parameters
        ----------
        pu : int
            Core that sends.
        waits : iterable of Event
            Events of the sender.
        port : int
            Network port, at both ends.
        common : int
            Index of the shared semaphore that counts it.
        rows, size : int
            Rows of the message and bytes of each.
        place, ld : int
            Buffer address and row distance, at both ends; bytes.
        """
        signal = shared(self.pus, common)
        for other in range(self.pus):
            if other != pu:
                self._counts[other][signal] += 1
        return self.emit(
            pu,
            SEND_1 if port else SEND_0,
            SEND,
            waits,
            m=rows,
            n=self.pus,
            bytes=size,
            a=place,
            a_ld=ld,
            b=place,
            b_ld=ld,
            imm=port,
            signal=signal,
        )

    def add_up(
        self,
        owner: int,
        waits: Sequence[Iterable[Event | None]],
        *,
        port: int,
        common: int,
        rows: int,
        size: int,
        place: int,
        ld: int,
    ) -> Event:
        """Append a contribution of every PU to a sum that the routers make; return its arrival at the owner.

        Parameters
        ----------
        owner : int
            Core whose part becomes the sum.
        waits : sequence of iterables of Event, by PU
            Events of each core.
        port : int
            Network port of all.
        common : int
            Index of the shared semaphore of the owner that counts the sum.
        rows, size : int
            Rows of FP32 numbers, and bytes of each.
        place, ld : int
            Buffer address and row distance, at all ends; bytes.
        """
        signal = shared(self.pus, common)
        self._counts[owner][signal] += 1
        for pu, events in enumerate(waits):
            self.emit(
                pu,
                SEND_1 if port else SEND_0,
                SEND,
                events,
                m=rows,
                bytes=size,
                a=place,
                a_ld=ld,
                b=place,
                b_ld=ld,
                bank=owner,
                imm=port,
                signal=signal,
                modifiers=F_SUM,
            )
        return self.arrived(owner, common)

    def arrived(self, pu: int, common: int) -> Event:
        """All messages to a core so far that a shared semaphore counts."""
        signal = shared(self.pus, common)
        return Event(signal, self._counts[pu][signal])

    def gather_turn(self) -> int:
        """Return the shared semaphore of the next all-gather by multicast."""
        self._gathers += 1
        return GATHERS[self._gathers % len(GATHERS)]

    def last(self, pu: int, unit: int) -> Event | None:
        """Completion of the latest instruction of a unit, None if it has none."""
        count = self._counts[pu][unit]
        return Event(unit, count) if count else None

    def streams(self, offsets: list[tuple[int, int]]) -> tuple[NDArray[np.void], ...]:
        """Return the instruction streams, one array of INSTRUCTION per core.

        Parameters
        ----------
        offsets : list of (int, int), by PU
            Rows to add to moves of the model's tensors and of the KV cache.
        """
        streams = []
        for rows, (weights, cache) in zip(self._rows, offsets, strict=True):
            stream = np.array(rows, INSTRUCTION)
            moves, cached = stream["unit"] == MOVE, stream["traffic"] == KV
            stream["row"][moves & ~cached] += weights
            stream["row"][moves & cached] += cache
            streams.append(stream)
        return tuple(streams)

    def tables(self) -> NDArray[np.int64]:
        """Return the table of integers; at least one element."""
        return np.array(self._tables or [0], np.int64)
