"""Command traces: read ours and Ramulator's, and write ours.

    clock,command,Channel,...,Bank,Row,Column,type        ours; type 0 read, 1 write, -1 maintenance; may be left out
    clock,command,Channel,...,Bank,Row,Column,count,port  the die's controllers: columns to come, port
    clock,command,Channel,...,Bank,Row,Column,type,source Ramulator 2.1, recorder of commands, text
    3, ACT, 0, 1, 2, 0, 17, 4                             Ramulator 2.0, recorder of traces: no header

Source: Ramulator 2.1 (CMU-SAFARI/ramulator2, c5b1c3a), CmdTraceRecorder; Ramulator 2.0, TraceRecorder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.address import field_names
from nmpsim.dram.trace.lines import Column, Integers, LineFaults, LineFormat, header_fault, text_chunks
from nmpsim.dram.trace.writing import write_table
from nmpsim.spec.protocol import IssuedCommand, Protocol

HEADER = ("clock", "command")
EXTRA = ("type", "source", "count", "port")
"""Columns that may follow those of the address, in this order."""

_BARE = re.compile(rb"\d+, ?[A-Za-z]+,")


@dataclass(frozen=True)
class CommandTrace:
    """Commands in the order of their file, which is the order of issue.

    Parameters
    ----------
    clock : ndarray of int64, shape (commands,)
        Ticks.
    command : ndarray of int64, shape (commands,)
        Index into `names`.
    address : ndarray of int64, shape (commands, levels)
        -1 = all children.
    row, column : ndarray of int64, shape (commands,)
        -1 where the command has none.
    names : tuple of str
        Names of the commands.
    extra : dict of str to ndarray of int64
        Columns of EXTRA that the file has.
    line : ndarray of int64, shape (commands,)
        Line of the file.
    """

    clock: Integers
    command: Integers
    address: Integers
    row: Integers
    column: Integers
    names: tuple[str, ...]
    extra: dict[str, Integers]
    line: Integers

    def __len__(self) -> int:
        return len(self.clock)

    def issued(self) -> list[IssuedCommand]:
        """Return the commands one by one."""
        port = self.extra.get("port", np.full(len(self), -1))
        columns = (self.clock, self.command, self.row, self.column, port)
        rows = zip(*(column.tolist() for column in columns), self.address.tolist(), strict=True)
        return [
            IssuedCommand(clock, self.names[command], tuple(address), row, column, port)
            for clock, command, row, column, port, address in rows
        ]


def read_commands(path: Path, protocol: Protocol) -> CommandTrace:
    """Return the commands of a file.

    Parameters
    ----------
    path : Path
        In one of the formats above, plain or gzip.
    protocol : Protocol
        Levels, and names of the commands.

    Raises
    ------
    WorkloadError
        With the line of everything that is wrong, the first `MOST_FAULTS` of them.  Whether the commands obey the
        protocol is not asked here.
    """
    faults = LineFaults(str(path), "command trace")
    layout: LineFormat | None = None
    numbers, lines = [], []
    for first, chunk in text_chunks(path, faults):
        number, body = first, chunk
        if layout is None:
            layout, skip = _layout_of(chunk, protocol, faults)
            if layout is None:
                break
            number, body = (2, chunk.partition(b"\n")[2]) if skip else (1, chunk)
        rows, which = layout.read(number, body, faults)
        numbers.append(rows)
        lines.append(which)
    if layout is None:
        if not faults.count:
            faults.add(0, "an empty file", "a header and commands", "give a trace")
        faults.refuse()
        raise AssertionError
    table, line = np.concatenate(numbers), np.concatenate(lines)
    clock = table[:, 0]

    def tell(row: int) -> tuple[str, str, str]:
        allowed = f"at least {clock[row - 1]}, as in line {line[row - 1]}"
        return f"clock = {clock[row]}", allowed, "sort the commands by time"

    faults.add_rows(np.flatnonzero(np.diff(clock) < 0) + 1, line, tell)
    faults.refuse()
    levels = len(protocol.levels)
    row = 2 + levels
    return CommandTrace(
        clock=clock,
        command=table[:, 1],
        address=table[:, 2:row],
        row=table[:, row],
        column=table[:, row + 1],
        names=tuple(command.name for command in protocol.commands),
        extra={column.name: table[:, n] for n, column in enumerate(layout.columns) if n > row + 1},
        line=line,
    )


def _layout_of(chunk: bytes, protocol: Protocol, faults: LineFaults) -> tuple[LineFormat | None, int]:
    """Return the format that the first line tells and the lines of its header, or None and a fault."""
    first = chunk.partition(b"\n")[0]
    names = (*HEADER, *field_names(protocol))
    columns = [
        Column("clock"),
        Column("command", tuple(command.name for command in protocol.commands)),
        *(Column(name, low=-1) for name in names[2:]),
    ]
    spelled = tuple(word.strip() for word in first.decode("ascii", "replace").split(","))
    rest = spelled[len(names) :]
    if spelled[: len(names)] == names and rest == tuple(name for name in EXTRA if name in rest):
        columns += [Column(name, low=-1) for name in rest]
        return LineFormat(columns, "," * (len(columns) - 1)), 1
    if _BARE.match(first):
        return LineFormat(columns, "," * (len(columns) - 1)), 0
    allowed = f"{','.join(names)}, then any of {','.join(EXTRA)} in this order"
    if b"\0" in first:
        allowed += "; a binary trace of Ramulator is not read, record it as text"
    header_fault(faults, first, allowed)
    return None, 0


def write_commands(
    path: Path,
    protocol: Protocol,
    *,
    clock: Integers,
    names: NDArray[np.str_],
    address: Integers,
    row: Integers,
    column: Integers,
    extra: dict[str, Integers],
) -> None:
    """Write commands in our format, as a whole or not at all.

    Parameters
    ----------
    path : Path
        Packed with gzip if it ends in ``.gz``.
    protocol : Protocol
        Whose levels the addresses have.
    clock : ndarray of int64, shape (commands,)
        Ticks, in the order of issue.
    names : ndarray of str, shape (commands,)
        Names of the commands.
    address : ndarray of int64, shape (commands, levels)
        -1 = all children.
    row, column : ndarray of int64, shape (commands,)
        -1 where the command has none.
    extra : dict of str to ndarray of int64
        Further columns, of EXTRA.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    kept = [name for name in EXTRA if name in extra]
    header = [*HEADER, *field_names(protocol), *kept]
    write_table(path, header, [clock, names, *address.T, row, column, *(extra[name] for name in kept)])
