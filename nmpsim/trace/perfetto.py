"""A trace for the Perfetto viewer: a group per PU, a track per unit, counters, arrows.

Arrows go from a load to its use, and from a SEND to whoever waits for the message.
A slice of a unit is named after the operator it works on, or after the reason why it does not; what has nothing to do
is blank.  Instructions and row accesses overlap, so they are spread over as many tracks as overlap at once.  Times are
exact: one nanosecond of the viewer is one picosecond of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.trace.writing import whole_file
from nmpsim.trace import protobuf
from nmpsim.trace.reader import Trace
from nmpsim.trace.units import Unit

BLANK = {"queue_empty", "finished", "idle", "no_request", "no_column", "no_flit"}
"""Reasons of a unit that has nothing to do: no slice."""

WORK = {"busy", "active", "column"}
"""Reasons of a unit that works: its slice is named after the operator."""


class _Names:
    """Numbers of names, from 1 on."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def of(self, name: str) -> int:
        return self.number.setdefault(name, len(self.number) + 1)


def lanes_of(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a lane for every interval so that no two of a lane overlap: the first that is free.

    Parameters
    ----------
    start, end : ndarray of int64, shape (intervals,)
        Sorted by start.
    """
    free: list[int] = []
    lanes = np.zeros(len(start), np.int64)
    for i, (low, high) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        lane = next((n for n, at in enumerate(free) if at <= low), len(free))
        if lane == len(free):
            free.append(0)
        free[lane] = max(high, low + 1)
        lanes[i] = lane
    return lanes


class _Writer:
    """Makes the packets of a trace."""

    def __init__(self, trace: Trace, start: int | None, end: int | None) -> None:
        self.trace, self.start, self.end = trace, start, end
        self.low, self.high = trace.window(start, end)
        self.names = _Names()
        self.uuid = 10_000

    def ps(self, tick: int) -> int:
        """Picoseconds of a tick."""
        top, bottom = self.trace.meta["tick_ps"]
        return int(tick * top // bottom)

    def track(self, name: str, pu: int, rank: int) -> tuple[int, bytes]:
        """Return the number of a new track of slices and its packet."""
        self.uuid += 1
        return self.uuid, protobuf.slice_track(self.uuid, name, pu + 1, rank)

    def unit(self, unit: Unit) -> Iterator[bytes]:
        """Yield the packets of one unit."""
        rows = self.trace.intervals([unit], self.start, self.end)
        if len(rows) == 0:
            return
        track, made = self.track(unit.name, unit.pu, unit.number * 2)
        yield made
        last_name = -1
        for row in _joined(rows):
            reason, operator, low, high = row
            name = self.trace.reasons[reason]
            if name in BLANK:
                continue
            if name in WORK and operator >= 0:
                name = self.trace.operators[operator]
            last_name = self.names.of(name)
            yield protobuf.begin(self.ps(low), track, last_name)
            yield protobuf.end(self.ps(high), track)
        if unit.measure:
            self.uuid += 1
            yield protobuf.counter_track(
                self.uuid, f"{unit.name}: {unit.measure}", unit.pu + 1, unit.measure, unit.number * 2 + 1
            )
            value = -1
            for low, now in zip(rows["start"].tolist(), rows["value"].tolist(), strict=True):
                if now != value:
                    yield protobuf.count(self.ps(low), self.uuid, now)
                    value = now

    def instructions(self, units: Sequence[Unit]) -> Iterator[bytes]:
        """Yield the packets of all instructions of some units and the arrows between them."""
        columns = self.trace.columns("instructions")
        flows = self.trace.columns("flows")
        numbers = np.array([unit.number for unit in units])
        shown = np.isin(columns["unit"], numbers) & (columns["end"] >= self.low) & (columns["start"] < self.high)
        arrows: dict[int, bytes] = {}
        for identity, (source, target) in enumerate(
            zip(flows["source"].tolist(), flows["target"].tolist(), strict=True), 1
        ):
            if shown[source] and shown[target]:
                arrows[source] = arrows.get(source, b"") + protobuf.flow_from(identity)
                arrows[target] = arrows.get(target, b"") + protobuf.flow_to(identity)
        ops = self.trace.meta["ops"]
        for unit in units:
            rows = np.flatnonzero(shown & (columns["unit"] == unit.number))
            if len(rows) == 0:
                continue
            names = [
                f"{ops[str(op)]} {self.trace.operators[operator]}" if operator >= 0 else ops[str(op)]
                for op, operator in zip(columns["op"][rows].tolist(), columns["operator"][rows].tolist(), strict=True)
            ]
            extra = [arrows.get(row, b"") for row in rows.tolist()]
            title = f"{unit.name} instructions"
            yield from self.overlapping(title, unit, columns["start"][rows], columns["end"][rows], names, extra)

    def accesses(self, unit: Unit) -> Iterator[bytes]:
        """Yield the packets of the row accesses of a bank."""
        columns = self.trace.accesses()
        begins = np.where(columns["act"] >= 0, columns["act"], columns["first"])
        moved = columns["first"] + np.maximum(columns["count"] - 1, 0) * columns["step"]
        ends = np.where(columns["pre"] >= 0, columns["pre"], np.maximum(moved, begins) + self.trace.dram_period)
        rows = np.flatnonzero(
            (columns["pu"] == unit.pu)
            & (columns["bank"] == unit.row)
            & (begins >= 0)
            & (ends >= self.low)
            & (begins < self.high)
        )
        if len(rows) == 0:
            return
        words = ("ACT", "PRE", "RD", "WR", "REF")
        names = [
            words[command] if command == 4 else f"{words[command]} x{count} row {row}"
            for command, count, row in zip(
                *(columns[name][rows].tolist() for name in ("command", "count", "row")), strict=True
            )
        ]
        yield from self.overlapping(f"{unit.name} rows", unit, begins[rows], ends[rows], names, [b""] * len(rows))

    def overlapping(
        self,
        title: str,
        unit: Unit,
        start: NDArray[np.int64],
        end: NDArray[np.int64],
        names: Sequence[str],
        extra: Sequence[bytes],
    ) -> Iterator[bytes]:
        """Yield slices that may overlap, on as many tracks as needed."""
        order = np.argsort(start, kind="stable")
        lanes = lanes_of(start[order], end[order])
        tracks: dict[int, int] = {}
        for i, lane in zip(order.tolist(), lanes.tolist(), strict=True):
            if lane not in tracks:
                name = title if lane == 0 else f"{title} ({lane + 1})"
                tracks[lane], made = self.track(name, unit.pu, unit.number * 2 + 1)
                yield made
            low = int(start[i])
            yield protobuf.begin(self.ps(low), tracks[lane], self.names.of(names[i]), extra[i])
            yield protobuf.end(self.ps(max(int(end[i]), low + 1)), tracks[lane])


def _joined(rows: NDArray[np.void]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (reason, operator, start, end), neighbours that differ in their value only as one."""
    if len(rows) == 0:
        return
    same = (rows["reason"][1:] == rows["reason"][:-1]) & (rows["operator"][1:] == rows["operator"][:-1])
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    last = np.concatenate([first[1:], [len(rows)]]) - 1
    columns = (rows["reason"][first], rows["operator"][first], rows["start"][first], rows["end"][last])
    yield from zip(*(column.tolist() for column in columns), strict=True)


def write_perfetto(
    trace: Trace, path: Path, kinds: Iterable[str] = (), start: int | None = None, end: int | None = None
) -> int:
    """Write a trace in Perfetto's protobuf format.

    Parameters
    ----------
    trace : Trace
    path : Path
        Packed with gzip if it ends in ``.gz``.
    kinds : iterable of str
        Kinds of units; empty = all.
    start, end : int, optional
        Window; core cycles.

    Returns
    -------
    int
        Packets written.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    kinds = tuple(kinds)
    writer = _Writer(trace, start, end)
    units = trace.choose(kinds)
    packets: list[Any] = []
    plain = {kind.partition("@")[0] for kind in kinds}
    for unit in units:
        packets += writer.unit(unit)
        if unit.kind == "bank" and (not plain or "command" in plain):
            packets += writer.accesses(unit)
    if not plain or "instruction" in plain:
        packets += writer.instructions([u for u in trace.recorded if u.family == "core"])
    pus = sorted({unit.pu for unit in trace.recorded})
    head = [protobuf.first_packet(list(writer.names.number))]
    head += [protobuf.group_track(pu + 1, f"pu {pu}", pu + 1) for pu in pus]
    with whole_file(path) as file:
        for made in (*head, *packets):
            file.write(made)
    return len(head) + len(packets)
