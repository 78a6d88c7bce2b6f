"""From byte addresses to level indices, row and column, and back.

A mapper is data: digits of a mixed-radix number from the least significant one up, then XORs between fields.

    RoBaRaCoCh   column, PseudoChannel, (Sid,) BankGroup, Bank, row                       of Ramulator 2.1
    ChRaBaRoCo   column, row, Bank, BankGroup, (Sid,) PseudoChannel                       of Ramulator 2.1
    MOP4CLXOR    2 bits of column, PseudoChannel .. Bank, rest of column, row; every field above the
                 column XOR the next bits of the column                                   of Ramulator 2.1
    RoBaCo       column, bank, row: any order of the levels, named from the most significant one down
    RoBaCo-xor   the same, bits of bank and bank group XOR bits of the row
    PassThrough  none: requests bring their fields

In a named order every level has two letters: Di, Ch, Ps, Si, Bg, Gr, Ba, and Ro, Co for row and column.  A level that
is not named counts with the next named one below it: with Ba alone, all banks are numbered in tree order.  Orders
divide, so that 3 banks or 124 columns are as good as powers of two; XOR and Ramulator's mappers need powers of two.

Source: Ramulator 2.1 (CMU-SAFARI/ramulator2, c5b1c3a), its address mappers within a channel; the named orders are the
usual way to write such a mapping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nmpsim.errors import Fault, SpecError, WorkloadError
from nmpsim.spec.protocol import Protocol

Integers = NDArray[np.int64]

PASS_THROUGH = "PassThrough"  # noqa: S105 (no password)
PEER_MAPPERS = ("RoBaRaCoCh", "ChRaBaRoCo", "MOP4CLXOR")
XOR_SUFFIX = "-xor"
CHUNK_BITS = 2
"""Lowest column bits that MOP4CLXOR keeps together: four transactions."""

SWIZZLED = ("Bank", "BankGroup", "Group")
"""Levels that a named order with XOR swizzles, the first with the lowest bits of the row."""

LARGEST = 2**63
_LETTERS = {"BankGroup": "Bg"}
_WORD = re.compile(r"(?:[A-Z][a-z])+")


class Digit(NamedTuple):
    """One digit of an address: ``field += weight * digit``."""

    field: int
    size: int
    weight: int


class Swizzle(NamedTuple):
    """One XOR: ``target ^= (source >> shift) & mask``."""

    target: int
    source: int
    shift: int
    mask: int


@dataclass(frozen=True)
class AddressMapper:
    """A mapping between byte addresses and fields.

    Parameters
    ----------
    name : str
        As given to `make_mapper`.
    fields_of : tuple of str
        Names of the fields: levels from the root, then Row and Column.
    digits : tuple of Digit
        From the least significant one up.
    swizzles : tuple of Swizzle
        Applied after the digits; no source is a target.
    transaction_bytes : int
        Bytes below the lowest digit.
    """

    name: str
    fields_of: tuple[str, ...]
    digits: tuple[Digit, ...]
    swizzles: tuple[Swizzle, ...]
    transaction_bytes: int

    @property
    def capacity(self) -> int:
        """Addresses run from 0 to below this; bytes."""
        total = self.transaction_bytes
        for digit in self.digits:
            total *= digit.size
        return total

    def fields(self, addr: ArrayLike) -> Integers:
        """Return the fields of byte addresses.

        Parameters
        ----------
        addr : array of int, shape (requests,)
            Byte addresses; the offset within a transaction is dropped.

        Returns
        -------
        ndarray of int64, shape (requests, levels + 2)
            Index per level (the root's is 0), row, column.

        Raises
        ------
        WorkloadError
            With the first address outside the memory.
        SpecError
            If the mapper is PassThrough.
        """
        self._refuse_pass_through()
        given = np.asarray(addr, np.int64).reshape(-1)
        bad = np.flatnonzero((given < 0) | (given >= self.capacity))
        if len(bad):
            where, got = f"address {int(bad[0])}", str(given[bad[0]])
            fault = Fault(where, got, f"0 to {self.capacity - 1}", "keep addresses within the memory")
            raise WorkloadError(f"{len(bad)} addresses lie outside the memory", [fault])
        rest = given // self.transaction_bytes
        found = np.zeros((len(given), len(self.fields_of)), np.int64)
        for digit in self.digits:
            rest, value = np.divmod(rest, digit.size)
            found[:, digit.field] += value * digit.weight
        return self._swizzled(found)

    def addresses(self, fields: ArrayLike) -> Integers:
        """Return the byte address of the first byte of each transaction: the inverse of `fields`.

        Parameters
        ----------
        fields : array of int, shape (requests, levels + 2)
            Index per level, row, column.

        Raises
        ------
        WorkloadError
            With the first request whose fields lie outside the memory.
        SpecError
            If the mapper is PassThrough.
        """
        self._refuse_pass_through()
        given = np.array(fields, np.int64).reshape(-1, len(self.fields_of))
        sizes = np.ones(len(self.fields_of), np.int64)
        for digit in self.digits:
            sizes[digit.field] *= digit.size
        bad = np.argwhere((given < 0) | (given >= sizes))
        if len(bad):
            request, field = (int(index) for index in bad[0])
            where, got = f"request {request}: {self.fields_of[field]}", str(given[request, field])
            fault = Fault(where, got, f"0 to {sizes[field] - 1}", "keep requests within the memory")
            raise WorkloadError("requests lie outside the memory", [fault])
        plain = self._swizzled(given)
        number = np.zeros(len(plain), np.int64)
        for digit in reversed(self.digits):
            number = number * digit.size + plain[:, digit.field] // digit.weight % digit.size
        return number * self.transaction_bytes

    def _swizzled(self, fields: Integers) -> Integers:
        """Apply all XORs, in place; doing it twice changes nothing."""
        for swizzle in self.swizzles:
            fields[:, swizzle.target] ^= (fields[:, swizzle.source] >> swizzle.shift) & swizzle.mask
        return fields

    def _refuse_pass_through(self) -> None:
        if self.name == PASS_THROUGH:
            fault = Fault("mapper", PASS_THROUGH, "a mapper of addresses", "name one, or give every request its fields")
            raise SpecError("these requests have byte addresses and no fields", [fault])


def field_names(protocol: Protocol) -> tuple[str, ...]:
    """Return the names of the fields of an address: the levels from the root, then Row and Column."""
    return (*protocol.levels, "Row", "Column")


def field_sizes(protocol: Protocol) -> tuple[int, ...]:
    """Return how many values each field of an address has."""
    return (*protocol.sizes, protocol.rows, protocol.columns)


def mapper_names() -> tuple[str, ...]:
    """Return the names of the mappers that are no named orders."""
    return (*PEER_MAPPERS, PASS_THROUGH)


def map_addresses(protocol: Protocol, mapper: str, addr: ArrayLike) -> Integers:
    """Return the fields of byte addresses.

    Parameters
    ----------
    protocol : Protocol
        Levels and sizes.
    mapper : str
        Name of a mapper, see `make_mapper`.
    addr : array of int, shape (requests,)
        Byte addresses.

    Returns
    -------
    ndarray of int64, shape (requests, levels + 2)

    Raises
    ------
    SpecError
        If there is no such mapper for the protocol.
    WorkloadError
        With the first address outside the memory.
    """
    return make_mapper(protocol, mapper).fields(addr)


def make_mapper(protocol: Protocol, name: str) -> AddressMapper:
    """Return a mapper by name.

    Parameters
    ----------
    protocol : Protocol
        Levels and sizes.
    name : str
        ``RoBaRaCoCh``, ``ChRaBaRoCo``, ``MOP4CLXOR``, ``PassThrough`` (or ``PassThroughAddrMapper``), or a named order
        as ``RoBaCo`` or ``RoBaCo-xor``.

    Raises
    ------
    SpecError
        If there is no such mapper, or with every size that it cannot map.
    """
    names, sizes = field_names(protocol), field_sizes(protocol)
    capacity = protocol.banks * protocol.rows * protocol.columns * protocol.transaction_bytes
    if capacity >= LARGEST:
        fault = Fault("memory", f"{capacity} bytes", f"less than {LARGEST}", "make it smaller")
        raise SpecError("the memory is too large for 64-bit addresses", [fault])
    digits: list[Digit] = []
    swizzles: list[Swizzle] = []
    if name in {PASS_THROUGH, f"{PASS_THROUGH}AddrMapper"}:
        name = PASS_THROUGH
    elif name in PEER_MAPPERS:
        _refuse_uneven(name, protocol, range(len(sizes)))
        digits, swizzles = _peer(name, sizes)
    else:
        order = name.removesuffix(XOR_SUFFIX)
        digits = [Digit(field, sizes[field], 1) for field in _order(protocol, name, order)]
        if name.endswith(XOR_SUFFIX):
            targets = [names.index(level) for level in SWIZZLED if level in names]
            _refuse_uneven(name, protocol, targets)
            swizzles = list(_swizzles(targets, len(sizes) - 2, sizes))
    return AddressMapper(name, names, tuple(digits), tuple(swizzles), protocol.transaction_bytes)


def _peer(name: str, sizes: tuple[int, ...]) -> tuple[list[Digit], list[Swizzle]]:
    """Return digits and XORs of a mapper of Ramulator 2.1."""
    row, column = len(sizes) - 2, len(sizes) - 1
    levels = list(range(row))
    if name == "RoBaRaCoCh":
        return [Digit(field, sizes[field], 1) for field in (column, *levels, row)], []
    if name == "ChRaBaRoCo":
        return [Digit(field, sizes[field], 1) for field in (column, row, *reversed(levels))], []
    chunk = 1 << CHUNK_BITS
    if sizes[column] < chunk:
        fault = Fault("columns of a row", str(sizes[column]), f"at least {chunk}", "use another mapper")
        raise SpecError("MOP4CLXOR cannot map these sizes", [fault])
    digits = [
        Digit(column, chunk, 1),
        *(Digit(field, sizes[field], 1) for field in levels),
        Digit(column, sizes[column] // chunk, chunk),
        Digit(row, sizes[row], 1),
    ]
    return digits, list(_swizzles([*levels, row], column, sizes))


def _swizzles(targets: Iterable[int], source: int, sizes: tuple[int, ...]) -> Iterator[Swizzle]:
    """Yield the XOR of each target with the next bits of the source."""
    shift = 0
    for target in targets:
        bits = sizes[target].bit_length() - 1
        if bits > 0:
            yield Swizzle(target, source, min(shift, 62), sizes[target] - 1)
        shift += bits


def _refuse_uneven(name: str, protocol: Protocol, fields: Iterable[int]) -> None:
    """Raise a fault for each of these sizes that is no power of two."""
    names, sizes = field_names(protocol), field_sizes(protocol)
    wrong = [(names[field], sizes[field]) for field in fields]
    if name in PEER_MAPPERS:
        wrong.append(("transaction bytes", protocol.transaction_bytes))
    faults = [
        Fault(f"{what} of {protocol.name}", str(size), "a power of two", "use a named order such as RoBaCo")
        for what, size in wrong
        if size & (size - 1)
    ]
    if faults:
        raise SpecError(f"{name} cannot map these sizes", faults)


def level_letters(level: str) -> str:
    """Return the two letters of a level, of ``Row`` or of ``Column`` in a named order."""
    return _LETTERS.get(level, level[:2])


def _order(protocol: Protocol, name: str, order: str) -> list[int]:
    """Return the fields of a named order from the least significant one up; unnamed levels are with those below them.

    Raises
    ------
    SpecError
        If the order is none.
    """
    names, sizes = field_names(protocol), field_sizes(protocol)
    known = {level_letters(level): field for field, level in enumerate(names)}
    words = [order[n : n + 2] for n in range(0, len(order), 2)] if _WORD.fullmatch(order) else []
    bank = level_letters(protocol.levels[-1])
    missing = [word for word in (bank, "Ro", "Co") if word not in words and sizes[known[word]] > 1]
    if not words or len(set(words)) < len(words) or not set(words) <= set(known) or missing or "Co" not in words:
        allowed = f"{', '.join(mapper_names())}, or an order of {' '.join(known)}, each once, with Ro, {bank} and Co"
        fault = Fault("mapper", repr(name), allowed, f"name one of these, or an order such as RoBaCo or Ro{bank}Co-xor")
        raise SpecError("no such address mapper", [fault])
    fields: list[int] = []
    unplaced = set(range(len(protocol.levels))) - {known[word] for word in words}
    for word in reversed(words):
        field = known[word]
        fields.append(field)
        above = field - 1
        while field < len(protocol.levels) and above in unplaced:
            fields.append(above)
            unplaced.discard(above)
            above -= 1
    fields.extend(sorted(unplaced, reverse=True))
    if "Ro" not in words:
        fields.append(len(sizes) - 2)
    return fields
