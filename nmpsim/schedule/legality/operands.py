"""Which bytes of the buffers every instruction reads and writes, and whether they lie there.

An operand is a box: `planes` planes of `rows` rows of `width` bytes.  The boxes follow from docs/program.md alone.
A STORE sends whole beats; only its `bytes` are operands, the rest is padding.

A PASS reads the operand buffer and writes the output buffer, a CROSS joins one of them with the buffer of all others,
and everything else stays in that one (`nmpsim.program.spaces`; in the unified arrangement all three are one).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import (
    COPY_IN,
    COPY_OUT,
    CROSS,
    F_A_FP32,
    F_ACCUMULATE,
    F_BIAS,
    F_FIRST,
    F_OUT_FP32,
    F_RESIDUAL,
    F_SUM,
    LOAD,
    PASS,
    SEND,
    STORE,
    V_ADD,
    V_ARGMAX,
    V_ARGMAX_MERGE,
    V_ATTENTION_OUT,
    V_AXPY,
    V_BIAS,
    V_COMBINE_PARTS,
    V_COPY,
    V_GROUP_LIMIT,
    V_HEAD_NORM,
    V_LAYER_NORM,
    V_MOMENTS,
    V_NORM,
    V_PICK,
    V_QUANTISE,
    V_REDUCE,
    V_RELU,
    V_ROPE,
    V_ROUTE,
    V_SIGMOID,
    V_SOFTMAX,
    V_SUM_SQUARES,
    V_SWIGLU,
)
from nmpsim.program.spaces import spaces_of
from nmpsim.schedule.legality.listing import Indices, Listing

FP16, FP32, PAIR = 2, 4, 8
"""Bytes of an element: half, single, (value, index)."""

READ, WRITE = False, True


class Boxes(NamedTuple):
    """Operands of many instructions, one element of every array each.

    Parameters
    ----------
    instruction : ndarray of int64
        Index in the listing.
    pu : ndarray of int64
        Whose buffer.
    write : ndarray of bool
    address, rows, width, ld, planes, plane_ld : ndarray of int64
        Where; bytes.
    """

    instruction: Indices
    pu: Indices
    write: NDArray[np.bool_]
    address: Indices
    rows: Indices
    width: Indices
    ld: Indices
    planes: Indices
    plane_ld: Indices

    @property
    def last(self) -> Indices:
        """First byte behind each box; its address if it is empty."""
        behind = self.address + (self.planes - 1) * self.plane_ld + (self.rows - 1) * self.ld + self.width
        return np.where(self.rows * self.width * self.planes > 0, behind, self.address)

    def take(self, which: NDArray[np.generic]) -> Boxes:
        """Return some of the boxes."""
        return Boxes(*(array[which] for array in self))


class _Collector:
    """Boxes of one operation after the other."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.parts: list[Boxes] = []
        self.at: Indices = np.zeros(0, np.int64)

    def select(self, op: int) -> bool:
        """Go on with the instructions of an operation; return whether there are any."""
        self.at = self.listing.of_op(op)
        return len(self.at) > 0

    def __getitem__(self, name: str) -> Indices:
        return self.listing.field(name)[self.at]

    def box(
        self,
        write: bool,
        address: Indices,
        rows: Indices | int,
        width: Indices | int,
        ld: Indices | int = 0,
        planes: Indices | int = 1,
        plane_ld: Indices | int = 0,
        *,
        only: NDArray[np.bool_] | None = None,
        pu: Indices | None = None,
    ) -> None:
        """Note an operand of all selected instructions, or `only` of some."""
        size = len(self.at)
        owner = self.listing.pu[self.at] if pu is None else pu
        wide = [np.broadcast_to(np.asarray(x, np.int64), (size,)) for x in (rows, width, ld, planes, plane_ld)]
        boxes = Boxes(self.at, owner, np.full(size, write), address, *wide)
        self.parts.append(boxes if only is None else boxes.take(only))


def operand_boxes(listing: Listing) -> Boxes:
    """Return the operands of all instructions, in the order of the operations.

    Parameters
    ----------
    listing : Listing
        Well formed, see `nmpsim.schedule.legality.form`.
    """
    c = _Collector(listing)
    _unit_boxes(c)
    _row_boxes(c)
    _attention_boxes(c)
    _choice_boxes(c)
    if not c.parts:
        nothing = np.zeros(0, np.int64)
        return Boxes(nothing, nothing, np.zeros(0, bool), *([nothing] * 6))
    return Boxes(*(np.concatenate([getattr(part, name) for part in c.parts]) for name in Boxes._fields))


def _unit_boxes(c: _Collector) -> None:
    """Operands of array, data mover and senders."""
    beat = c.listing.params.dram.column_bytes
    if c.select(PASS):
        c.box(READ, c["a"], c["m"], c["k"] * FP16, c["a_ld"])
        c.box(WRITE, c["out"], c["m"], c["n"] * FP32, c["out_ld"], c["planes"], c["plane_ld"])
    if c.select(LOAD):
        c.box(WRITE, c["out"], 1, c["beats"] * beat)
    if c.select(STORE):
        c.box(READ, c["a"], 1, c["bytes"])
    if c.select(SEND):
        c.box(READ, c["a"], c["m"], c["bytes"], c["a_ld"])
        first, number, own = c["bank"], c["n"], c.listing.pu[c.at]
        lands = ((c["modifiers"] & F_SUM) == 0) | (first == own)
        c.box(WRITE, c["b"], c["m"], c["bytes"], c["b_ld"], pu=first, only=(number == 0) & lands)
        for distance in range(1, int(number.max())):
            to = first + (own - first + distance) % np.maximum(number, 1)
            c.box(WRITE, c["b"], c["m"], c["bytes"], c["b_ld"], pu=to, only=number > distance)
    if c.select(CROSS):
        c.box(READ, c["a"], c["m"], c["bytes"], c["a_ld"], c["planes"], c["plane_ld"])
        c.box(WRITE, c["out"], c["m"], c["bytes"], c["out_ld"], c["planes"], c["plane_ld"])


def _planes(c: _Collector, name: str, ld: str) -> None:
    c.box(READ, c[name], c["m"], c["n"] * FP32, c[ld], np.maximum(c["planes"], 1), c["plane_ld"])


def _result(c: _Collector) -> None:
    """FP16 [m, n], or FP32 if the flag says so."""
    size = np.where(c["modifiers"] & F_OUT_FP32, FP32, FP16)
    c.box(WRITE, c["out"], c["m"], c["n"] * size, c["out_ld"])


def _residual(c: _Collector) -> None:
    c.box(READ, c["c"], c["m"], c["n"] * FP16, c["c_ld"], only=(c["modifiers"] & F_RESIDUAL) != 0)


def _bias(c: _Collector) -> None:
    c.box(READ, c["b"], 1, c["n"] * FP16, only=(c["modifiers"] & F_BIAS) != 0)


def _row_boxes(c: _Collector) -> None:
    """Operands of norms, sums, copies and activations."""
    if c.select(V_SUM_SQUARES):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(WRITE, c["out"], 1, c["m"] * FP32)
    if c.select(V_NORM):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(READ, c["b"], 1, c["n"] * FP16)
        c.box(READ, c["c"], 1, c["m"] * FP32, 0, np.maximum(c["planes"], 1), c["plane_ld"])
        _result(c)
    if c.select(V_MOMENTS):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(WRITE, c["out"], 1, 2 * c["m"] * FP32)
    if c.select(V_LAYER_NORM):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(READ, c["b"], 2, c["n"] * FP16, c["b_ld"])
        c.box(READ, c["c"], 1, 2 * c["m"] * FP32, 0, np.maximum(c["planes"], 1), c["plane_ld"])
        _result(c)
    if c.select(V_HEAD_NORM):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(READ, c["b"], 1, c["imm"] * FP16)
        _result(c)
    if c.select(V_RELU):
        _planes(c, "a", "a_ld")
        _bias(c)
        _result(c)
    if c.select(V_QUANTISE):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(WRITE, c["out"], c["m"], c["n"], c["out_ld"])
    if c.select(V_BIAS):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(READ, c["b"], 1, c["n"] * FP16)
        _result(c)
    if c.select(V_REDUCE):
        _planes(c, "a", "a_ld")
        _residual(c)
        _bias(c)
        _result(c)
    if c.select(V_ADD):
        c.box(READ, c["a"], c["m"], c["n"] * FP32, c["a_ld"])
        c.box(READ, c["b"], c["m"], c["n"] * FP32, c["b_ld"])
        _residual(c)
        _result(c)
    if c.select(V_SWIGLU):
        _planes(c, "a", "a_ld")
        _planes(c, "b", "b_ld")
        _result(c)
    if c.select(V_COPY):
        size = np.where(c["modifiers"] & F_A_FP32, FP32, FP16)
        c.box(READ, c["a"], c["m"], c["n"] * size, c["a_ld"])
        c.box(WRITE, c["out"], c["m"], c["n"] * size, c["out_ld"])
    if c.select(V_AXPY):
        size = np.where(c["modifiers"] & F_A_FP32, FP32, FP16)
        c.box(READ, c["a"], c["m"], c["n"] * size, c["a_ld"])
        c.box(READ, c["b"], c["m"], FP32, c["b_ld"])
        c.box(READ, c["out"], c["m"], c["n"] * FP32, c["out_ld"], only=(c["modifiers"] & F_ACCUMULATE) != 0)
        c.box(WRITE, c["out"], c["m"], c["n"] * FP32, c["out_ld"])


def _attention_boxes(c: _Collector) -> None:
    """Operands of rotation, softmax and what follows it."""
    if c.select(V_ROPE):
        c.box(READ, c["a"], c["m"], c["n"] * FP16, c["a_ld"])
        c.box(READ, c["b"], 1, c["imm"] * FP32)
        _result(c)
    if c.select(V_SOFTMAX):
        c.box(READ, c["a"], c["m"], c["n"] * FP32, c["a_ld"])
        _result(c)
        c.box(WRITE, c["c"], 1, 2 * c["m"] * FP32)
    if c.select(V_ATTENTION_OUT):
        _planes(c, "a", "a_ld")
        c.box(READ, c["c"] + c["m"] * FP32, 1, c["m"] * FP32, only=(c["modifiers"] & F_OUT_FP32) == 0)
        _result(c)
    if c.select(V_COMBINE_PARTS):
        _planes(c, "a", "a_ld")
        c.box(READ, c["c"], 1, 2 * c["m"] * FP32, 0, np.maximum(c["planes"], 1), c["imm"])
        _result(c)


def _choice_boxes(c: _Collector) -> None:
    """Operands of the router and of the search for the greatest logit."""
    if c.select(V_ROUTE):
        _planes(c, "a", "a_ld")
        c.box(WRITE, c["out"], c["m"], c["imm"] * FP32, c["out_ld"])
    if c.select(V_SIGMOID):
        _planes(c, "a", "a_ld")
        c.box(WRITE, c["out"], c["m"], c["n"] * FP32, c["out_ld"])
    if c.select(V_GROUP_LIMIT):
        c.box(READ, c["a"], c["m"], c["n"] * FP32, c["a_ld"])
        c.box(READ, c["b"], 1, c["n"] * FP32)
        c.box(WRITE, c["out"], c["m"], c["n"] * FP32, c["out_ld"])
    if c.select(V_PICK):
        c.box(READ, c["a"], c["m"], c["n"] * FP32, c["a_ld"])
        c.box(READ, c["c"], c["m"], c["n"] * FP32, c["c_ld"])
        c.box(WRITE, c["out"], c["m"], c["imm"] * FP32, c["out_ld"])
    if c.select(V_ARGMAX):
        _planes(c, "a", "a_ld")
        c.box(READ, c["out"], 1, c["m"] * PAIR, only=(c["modifiers"] & F_FIRST) == 0)
        c.box(WRITE, c["out"], 1, c["m"] * PAIR)
    if c.select(V_ARGMAX_MERGE):
        c.box(READ, c["a"], 1, c["m"] * PAIR, 0, np.maximum(c["planes"], 1), c["plane_ld"])
        c.box(WRITE, c["out"], 1, c["m"] * PAIR)


def check_operands(listing: Listing, boxes: Boxes) -> None:
    """Note operands outside the buffer or outside every region, and results that cover themselves or their operands.

    Parameters
    ----------
    listing : Listing
        Changed.
    boxes : Boxes
        From `operand_boxes`.
    """
    last = boxes.last
    outside = (boxes.ld < 0) | (boxes.plane_ld < 0)
    spaces = spaces_of(listing.params.core)
    op, unit = (listing.field(name)[boxes.instruction] for name in ("op", "unit"))
    to_array = (op == CROSS) & (unit == COPY_IN)
    from_array = (op == CROSS) & (unit == COPY_OUT)
    operand = ((op == PASS) & ~boxes.write) | (to_array & boxes.write)
    output = ((op == PASS) & boxes.write) | (from_array & ~boxes.write)
    for space, mine in ((spaces.operand, operand), (spaces.output, output), (spaces.shared, ~operand & ~output)):
        wrong = mine & ((boxes.address < space.start) | (last > space.end) | (boxes.ld < 0) | (boxes.plane_ld < 0))
        _refuse(listing, boxes, wrong, f"bytes {space.start}..{space.end} of {space.name}")
        outside |= wrong
    _regions(listing, boxes, ~outside & (last > boxes.address), last)
    covers = boxes.write & (boxes.rows > 1) & (boxes.ld < boxes.width)
    plane = (boxes.rows - 1) * boxes.ld + boxes.width
    covers |= boxes.write & (boxes.planes > 1) & (boxes.plane_ld < plane)
    _refuse(listing, boxes, covers & (boxes.width > 0), "rows and planes of a result that do not cover each other")
    _in_place(listing, boxes.take(~outside & (last > boxes.address)))


def words(boxes: Boxes, i: int) -> str:
    """Put a box into words."""
    planes = f"{boxes.planes[i]} planes every {boxes.plane_ld[i]} of " if boxes.planes[i] > 1 else ""
    rows = f"{boxes.rows[i]} rows every {boxes.ld[i]} of " if boxes.rows[i] > 1 else ""
    verb = "writes" if boxes.write[i] else "reads"
    return f"{verb} {planes}{rows}{boxes.width[i]} bytes at {boxes.address[i]} of PU {boxes.pu[i]}"


def _refuse(listing: Listing, boxes: Boxes, bad: NDArray[np.bool_], allowed: str) -> None:
    for i in np.flatnonzero(bad):
        todo = "correct address, shape or leading dimension"
        listing.add(listing.where(int(boxes.instruction[i])), words(boxes, int(i)), allowed, todo)


def _regions(listing: Listing, boxes: Boxes, sound: NDArray[np.bool_], last: Indices) -> None:
    """Refuse boxes that lie in no single region of the program, if it names regions."""
    regions = listing.program.regions
    if not regions:
        return
    inside = ~sound
    for start, size in regions.values():
        inside |= (boxes.address >= start) & (last <= start + size)
    _refuse(listing, boxes, ~inside, "bytes of one region of the program")


def _in_place(listing: Listing, boxes: Boxes) -> None:
    """Refuse results over operands, but for those of a vector operation that are replaced element by element."""
    order = np.argsort(boxes.instruction, kind="stable")
    boxes = boxes.take(order)
    last = boxes.last
    for distance in (1, 2, 3):  # an operation has at most four boxes
        here, there = slice(None, -distance), slice(distance, None)
        pair = (boxes.instruction[here] == boxes.instruction[there]) & (boxes.pu[here] == boxes.pu[there])
        pair &= boxes.write[here] != boxes.write[there]
        pair &= (boxes.address[here] < last[there]) & (boxes.address[there] < last[here])
        same = (boxes.address[here] == boxes.address[there]) & (boxes.width[here] == boxes.width[there])
        same &= (boxes.ld[here] == boxes.ld[there]) | (boxes.rows[here] == 1)
        same &= (boxes.planes[here] == 1) & (boxes.planes[there] == 1)
        same &= listing.field("op")[boxes.instruction[here]] != PASS
        for i in np.flatnonzero(pair & ~same):
            one, other = spots(boxes, int(i)), spots(boxes, int(i) + distance)
            if len(np.intersect1d(one, other)):
                got = f"{words(boxes, int(i))} and {words(boxes, int(i) + distance)}"
                listing.add(
                    listing.where(int(boxes.instruction[i])),
                    got,
                    "a result beside its operands, or exactly in place",
                    "move the result",
                )


def spots(boxes: Boxes, i: int) -> Indices:
    """Return every byte address of a box; ascending if its rows do not cover each other."""
    planes = boxes.address[i] + np.arange(boxes.planes[i]) * boxes.plane_ld[i]
    rows = np.arange(boxes.rows[i]) * boxes.ld[i]
    every: Indices = np.add.outer(np.add.outer(planes, rows), np.arange(boxes.width[i])).reshape(-1)
    return every
