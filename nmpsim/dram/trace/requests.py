"""Request traces: read in any of the known formats, and written in ours.

    id,at,op,addr                         ours: what, and from which tick on it is offered
    0,0,R,4096
    id,at,op,addr,Channel,...,Row,Column  the same with fields, which then say where; addr is what reads compare with
    0,0,R,4096,0,1,2,3,17,4               buffered writes
    LD 0x12340                            Ramulator 2.x, load/store: byte addresses
    ST 4096
    R 0,0,1,3,17,4                        Ramulator 2.x, read/write: index per level, row, column; or a byte address
    W 0,0,1,3,17,5

Formats are told apart by the first line; every file may be packed with gzip.  Those of Ramulator have no times: all
requests are there at tick 0, in order.

Source: Ramulator 2.1 (CMU-SAFARI/ramulator2, c5b1c3a), front ends LoadStoreTrace and ReadWriteTrace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nmpsim.dram.address import field_names, field_sizes, make_mapper
from nmpsim.dram.trace.lines import Column, Integers, LineFaults, LineFormat, header_fault, text_chunks
from nmpsim.dram.trace.writing import write_table
from nmpsim.spec.protocol import Protocol

HEADER = ("id", "at", "op", "addr")
OPERATIONS = ("R", "W")

_OPERATION = re.compile(rb"(LD|ST|R|W)\s")


@dataclass(frozen=True)
class RequestTrace:
    """Requests in the order of their file.

    Parameters
    ----------
    identity : ndarray of int64, shape (requests,)
        Names of the requests.
    at : ndarray of int64, shape (requests,)
        Tick from which each is offered.
    is_write : ndarray of int64, shape (requests,)
        0 or 1.
    addr : ndarray of int64, shape (requests,)
        Byte addresses.
    fields : ndarray of int64, shape (requests, levels + 2)
        Index per level, row, column.
    is_timed : bool
        False where the file gives no times.
    has_fields : bool
        Whether the fields are those of the file; else they are mapped.
    """

    identity: Integers
    at: Integers
    is_write: Integers
    addr: Integers
    fields: Integers
    is_timed: bool
    has_fields: bool

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True)
class _Layout:
    """Which column of a format is what; -1 = it has none."""

    format: LineFormat
    skip: int  # lines of the header
    identity: int = -1
    at: int = -1
    op: int = 0
    addr: int = -1
    fields: int = -1  # the first of them


def read_requests(path: Path, protocol: Protocol, mapper: str) -> RequestTrace:
    """Return the requests of a file.

    Parameters
    ----------
    path : Path
        In one of the formats above, plain or gzip.
    protocol : Protocol
        Levels and sizes.
    mapper : str
        How byte addresses become fields, see `nmpsim.dram.address`; not used where the file has fields.

    Raises
    ------
    WorkloadError
        With the line of everything that is wrong, the first `MOST_FAULTS` of them.
    SpecError
        If the protocol has no such mapper, or the mapper is PassThrough and the file has no fields.
    """
    mapping = make_mapper(protocol, mapper)
    faults = LineFaults(str(path), "request trace")
    layout: _Layout | None = None
    numbers, lines = [], []
    for first, chunk in text_chunks(path, faults):
        number, body = first, chunk
        if layout is None:
            layout = _layout_of(chunk, protocol, faults)
            if layout is None:
                break
            number, body = (2, chunk.partition(b"\n")[2]) if layout.skip else (1, chunk)
        rows, which = layout.format.read(number, body, faults)
        numbers.append(rows)
        lines.append(which)
    if layout is None:
        if not faults.count:
            faults.add(0, "an empty file", "at least one request", "give a trace")
        faults.refuse()
        raise AssertionError
    table, line = np.concatenate(numbers), np.concatenate(lines)
    if not len(table) and not faults.count:
        faults.add(0, "no request", "at least one request", "give a trace")
    names, sizes = field_names(protocol), field_sizes(protocol)
    is_write = table[:, layout.op]
    at = _timed(table, line, layout, faults)
    identity = _identities(table, line, layout, faults)
    if layout.fields >= 0:
        where = table[:, layout.fields :]
        for n, (name, size) in enumerate(zip(names, sizes, strict=True)):
            _refuse_outside(where[:, n], size, name, line, faults)
        addr = table[:, layout.addr] if layout.addr >= 0 else _numbered(where, sizes) * protocol.transaction_bytes
        if layout.addr >= 0:
            _refuse_unaligned(addr, protocol, line, faults)
            _refuse_shared(addr, where, line, faults)
        faults.refuse()
    else:
        addr = table[:, layout.addr]
        _refuse_unaligned(addr, protocol, line, faults)
        if mapping.digits:
            _refuse_outside(addr, mapping.capacity, "addr", line, faults)
        faults.refuse()
        where = mapping.fields(addr)
    return RequestTrace(identity, at, is_write, addr, where, layout.at >= 0, layout.fields >= 0)


def _layout_of(chunk: bytes, protocol: Protocol, faults: LineFaults) -> _Layout | None:
    """Return the layout that the first line tells, or None and a fault."""
    first = chunk.partition(b"\n")[0]
    names = field_names(protocol)
    full = (*HEADER, *names)
    spelled = [word.strip() for word in first.decode("ascii", "replace").split(",")]
    if spelled[:4] == list(HEADER) and len(spelled) in {4, len(full)} and tuple(spelled) == full[: len(spelled)]:
        columns = [Column("id"), Column("at"), Column("op", OPERATIONS), Column("addr")]
        columns += [Column(name) for name in full[4 : len(spelled)]]
        fields = 4 if len(spelled) > 4 else -1
        return _Layout(LineFormat(columns, "," * (len(columns) - 1)), 1, 0, 1, 2, 3, fields)
    found = _OPERATION.match(first)
    if found is None:
        allowed = (
            f"{','.join(HEADER)} alone or followed by {','.join(names)} (the levels of {protocol.name}), "
            "or a first line as 'LD 0x1000' or 'R 0,1,2'"
        )
        header_fault(faults, first, allowed)
        return None
    operation = Column("op", ("LD", "ST") if found[1] in {b"LD", b"ST"} else OPERATIONS)
    if operation.words == OPERATIONS and b"," in first:
        columns = [operation, *(Column(name) for name in names)]
        return _Layout(LineFormat(columns, " " + "," * (len(names) - 1)), 0, fields=1)
    return _Layout(LineFormat([operation, Column("address", base=0)], " "), 0, addr=1)


def _timed(table: Integers, line: Integers, layout: _Layout, faults: LineFaults) -> Integers:
    """Return the times; those that go backwards are noted."""
    if layout.at < 0:
        return np.zeros(len(table), np.int64)
    at = table[:, layout.at]
    back = np.flatnonzero(np.diff(at) < 0) + 1

    def tell(row: int) -> tuple[str, str, str]:
        return f"at = {at[row]}", f"at least {at[row - 1]}, as in line {line[row - 1]}", "sort the requests by time"

    faults.add_rows(back, line, tell)
    return at


def _identities(table: Integers, line: Integers, layout: _Layout, faults: LineFaults) -> Integers:
    """Return the identities; repeated ones are noted."""
    if layout.identity < 0:
        return np.arange(len(table))
    identity = table[:, layout.identity]
    _, first = np.unique(identity, return_index=True)
    again = np.ones(len(identity), bool)
    again[first] = False

    def tell(row: int) -> tuple[str, str, str]:
        return f"id = {identity[row]} once more", "each id once", "number the requests"

    faults.add_rows(np.flatnonzero(again), line, tell)
    return identity


def _refuse_outside(values: Integers, size: int, name: str, line: Integers, faults: LineFaults) -> None:
    def tell(row: int) -> tuple[str, str, str]:
        return f"{name} = {values[row]}", f"0 to {size - 1}", "correct it, or choose a larger organisation"

    faults.add_rows(np.flatnonzero((values < 0) | (values >= size)), line, tell)


def _refuse_unaligned(addr: Integers, protocol: Protocol, line: Integers, faults: LineFaults) -> None:
    unit = protocol.transaction_bytes

    def tell(row: int) -> tuple[str, str, str]:
        todo = f"align it, as {addr[row] - addr[row] % unit}"
        return f"addr = {addr[row]}", f"a multiple of {unit}, the bytes of one transaction", todo

    faults.add_rows(np.flatnonzero(addr % unit), line, tell)


def _refuse_shared(addr: Integers, where: Integers, line: Integers, faults: LineFaults) -> None:
    """Note requests whose address stands for another place in an earlier line: buffered writes would mix them up."""
    _, first, which = np.unique(addr, return_index=True, return_inverse=True)
    earlier = first[which]
    bad = np.flatnonzero((where != where[earlier]).any(axis=1))

    def tell(row: int) -> tuple[str, str, str]:
        allowed = f"one place per address; line {line[earlier[row]]} has another one"
        return f"addr = {addr[row]} at {','.join(map(str, where[row].tolist()))}", allowed, "give it its own address"

    faults.add_rows(bad, line, tell)


def _numbered(where: Integers, sizes: tuple[int, ...]) -> Integers:
    """Return the number of each place."""
    number = np.zeros(len(where), np.int64)
    for n, size in enumerate(sizes):
        number = number * size + where[:, n]
    return number


def write_requests(path: Path, trace: RequestTrace, protocol: Protocol) -> None:
    """Write requests in our format with fields, as a whole or not at all.

    Parameters
    ----------
    path : Path
        Packed with gzip if it ends in ``.gz``.
    trace : RequestTrace
    protocol : Protocol
        Whose levels the fields are.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    operation = np.array(OPERATIONS)[trace.is_write]
    header = [*HEADER, *field_names(protocol)]
    write_table(path, header, [trace.identity, trace.at, operation, trace.addr, *trace.fields.T])
