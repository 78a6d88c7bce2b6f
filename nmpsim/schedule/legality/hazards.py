"""No byte is read before it is written, nor overwritten while it may still be read or written.

Every byte of every buffer remembers who wrote it last, and which instruction of every unit read it last since.  An
access must be certain to start after these are over (see `nmpsim.schedule.legality.clocks`).  Of one and the same unit
less is asked where the hardware keeps the order by itself:

===========  ========================================================================================
vector       a later operation writes after an earlier one has read or written (one pipeline)
array        the same for passes of a systolic array; the slices of a MAC tree stand alone
copy engine  a later copy writes after an earlier one of the same engine has written
data mover   a LOAD writes after an earlier STORE has read (moves start one after the other)
             so a STORE has read when a later move has started
messages     those of one source, direction and destination arrive in order, multicasts and others each for themselves
===========  ========================================================================================

What an operation reads and replaces in place it does element by element.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import ARRAY, COPY_IN, COPY_OUT, MOVE, SEND, STORE, UNITS, VECTOR
from nmpsim.program.spaces import spaces_of
from nmpsim.schedule.legality.clocks import Clocks
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.schedule.legality.operands import Boxes, words
from nmpsim.schedule.legality.order import Order
from nmpsim.spec.params import MAC_TREE

NOBODY = -1


class _Shadow:
    """Who touched every grain of the buffer of one core last.

    Parameters
    ----------
    grains : int
        Grains of the buffer.
    """

    def __init__(self, grains: int) -> None:
        self.writer = np.full(grains, NOBODY, np.int32)
        self.readers = np.full((UNITS, grains), NOBODY, np.int32)
        self.is_read = np.zeros(UNITS, bool)


def find_hazards(listing: Listing, boxes: Boxes, order: Order, source: Indices) -> None:
    """Note reads of unwritten bytes and accesses without order (changes `listing`).

    Parameters
    ----------
    listing : Listing
        Of a program that keeps all other rules.
    boxes : Boxes
        Its operands.
    order : Order
        A complete execution.
    source : ndarray of int64
        STREAM of every PASS.
    """
    _Hazards(listing, boxes, Clocks(listing, order, source)).run(order.issued)


class _Hazards:
    def __init__(self, listing: Listing, boxes: Boxes, clocks: Clocks) -> None:
        self.listing, self.boxes, self.clocks = listing, boxes, clocks
        self.unit = listing.field("unit").tolist()
        self.op = listing.field("op").tolist()
        self.tree = listing.params.core.kind == MAC_TREE
        size = spaces_of(listing.params.core).output.end
        places = [boxes.address, boxes.width, boxes.ld[boxes.rows > 1], boxes.plane_ld[boxes.planes > 1]]
        self.grain = math.gcd(size, *(int(np.gcd.reduce(place)) for place in places if len(place)))
        self.shadows = [_Shadow(size // self.grain) for _ in range(listing.params.cores)]
        self.told: set[tuple[int, int, str]] = set()
        order = np.lexsort((boxes.write, boxes.instruction))
        self.of: dict[int, list[int]] = {}
        for box in order.tolist():
            if boxes.width[box] * boxes.rows[box] * boxes.planes[box] > 0:
                self.of.setdefault(int(boxes.instruction[box]), []).append(box)

    def run(self, issued: list[int]) -> None:
        """Let all instructions access their bytes, in the order in which they started; then look at the results."""
        for i in issued:
            for box in self.of.get(i, ()):
                if self.boxes.write[box]:
                    self._write(i, box)
                else:
                    self._read(i, box)
        for name, (pu, address, rows, columns, ld, fp32) in self.listing.program.results.items():
            if pu >= 0:
                width = columns * (4 if fp32 else 2)
                self._result(name, pu, [address + row * ld + byte for row in range(rows) for byte in range(width)])

    def _result(self, name: str, pu: int, addresses: list[int]) -> None:
        writers = self.shadows[pu].writer[np.unique(np.array(addresses, np.int64) // self.grain)]
        if (writers == NOBODY).any():
            self.listing.add(
                f"result {name} of PU {pu}",
                "bytes that nobody writes",
                "bytes that stand at the end",
                "correct its place, or write it",
            )

    def _view(self, shadow: NDArray[np.int32], box: int) -> NDArray[np.int32]:
        """Grains of a box, as a view of `shadow`; shape (planes, rows, grains of a row)."""
        b, g = self.boxes, self.grain
        shape = int(b.planes[box]), int(b.rows[box]), int(b.width[box]) // g
        steps = int(b.plane_ld[box]) // g if shape[0] > 1 else 0, int(b.ld[box]) // g if shape[1] > 1 else 0, 1
        strides = tuple(step * shadow.itemsize for step in steps)
        return np.lib.stride_tricks.as_strided(shadow[int(b.address[box]) // g :], shape, strides)

    def _read(self, i: int, box: int) -> None:
        pu = int(self.boxes.pu[box])
        shadow = self.shadows[pu]
        for writer in _distinct(self._view(shadow.writer, box)):
            if writer == NOBODY:
                self._tell(i, NOBODY, "unwritten", box)
            elif not self._ordered(pu, writer, i, True, False):
                self._tell(i, writer, "read after write", box)
        self._view(shadow.readers[self.unit[i]], box)[:] = i
        shadow.is_read[self.unit[i]] = True

    def _write(self, i: int, box: int) -> None:
        pu = int(self.boxes.pu[box])
        shadow = self.shadows[pu]
        writers = self._view(shadow.writer, box)
        for writer in _distinct(writers):
            if writer not in {NOBODY, i} and not self._ordered(pu, writer, i, True, True):
                self._tell(i, writer, "write after write", box)
        for unit in np.flatnonzero(shadow.is_read):
            readers = self._view(shadow.readers[unit], box)
            for reader in _distinct(readers):
                if reader not in {NOBODY, i} and not self._ordered(pu, reader, i, False, True):
                    self._tell(i, reader, "write after read", box)
            readers[:] = NOBODY
        writers[:] = i

    def _ordered(self, pu: int, earlier: int, later: int, wrote: bool, writes: bool) -> bool:
        """Whether the access of an instruction is certain to be over when that of a later one comes.

        Parameters
        ----------
        pu : int
            Whose buffer.
        earlier, later : int
            Instructions that access it.
        wrote, writes : bool
            Whether the earlier one wrote, the later one writes; else they read.
        """
        clocks = self.clocks
        landing = clocks.message[earlier, pu] if wrote and self.op[earlier] == SEND else None
        if clocks.is_over(earlier, later, landing=landing):
            return True
        if self.op[earlier] == STORE and clocks.is_passed(earlier, later):
            return True
        lands = writes and self.op[later] == SEND
        if landing is not None or lands:
            both = landing is not None and lands
            return both and bool(clocks.arrival[landing] == clocks.arrival[clocks.message[later, pu]])
        if not writes or self.unit[earlier] != self.unit[later]:
            return False
        unit = self.unit[later]
        return unit in {VECTOR, COPY_IN, COPY_OUT} or (unit == ARRAY and not self.tree) or (unit == MOVE and not wrote)

    def _tell(self, i: int, other: int, kind: str, box: int) -> None:
        key = i, other, kind
        if key in self.told:
            return
        self.told.add(key)
        access = words(self.boxes, box)
        where, region = self.listing.where(i), self._region(box)
        if other == NOBODY:
            self.listing.add(
                where,
                f"{access}{region}, of which some were never written",
                "bytes written before",
                "wait for who writes them, or write them",
            )
            return
        before = self.listing.where(other)
        done = (
            "the arrival of the message of " if self.op[other] == SEND and kind != "write after read" else "the end of "
        )
        self.listing.add(
            where,
            f"{access}{region}: {kind} of {before}",
            f"a start after {done}{before}",
            f"wait for it, or for something after it{self._hint(other)}",
        )

    def _hint(self, other: int) -> str:
        unit, ordinal = self.unit[other], int(self.clocks.ordinal[other])
        return f" (there, semaphore {unit} counts {ordinal} then)"

    def _region(self, box: int) -> str:
        address = int(self.boxes.address[box])
        names = [
            name for name, (start, size) in self.listing.program.regions.items() if start <= address < start + size
        ]
        return f" ({' or '.join(names)})" if names else ""


def _distinct(values: NDArray[Any]) -> list[int]:
    """Return the distinct elements of an array."""
    first = int(values.flat[0])
    if (values == first).all():
        return [first]
    found: Indices = np.unique(values)
    return [int(x) for x in found]
