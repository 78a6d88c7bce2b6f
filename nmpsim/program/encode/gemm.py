"""A GEMM over the PUs: one weight stream and a chain of passes per PU, results handed on chunk by chunk.

stream  ......................................
array   [chunk 0][chunk 1][chunk 2] ...          partial sums to two alternating regions
vector           [ 0 ]    [ 1 ]    [ 2 ] ...     adds the planes and does what comes next (SwiGLU, residual, ...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nmpsim.program.beats import Tile, useful_bytes
from nmpsim.program.encode.emitter import Emitter, Event
from nmpsim.program.encode.memory import Banks, strip_counts
from nmpsim.program.encode.passes import Operand, PassEmitter, coding
from nmpsim.program.isa import F_BIAS, F_OUT_FP32, MOVE, STREAM, V_REDUCE, WEIGHT
from nmpsim.program.packing import narrow, scale_bytes
from nmpsim.program.schedule import PassPlan

Segments = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Chunk:
    """Result of one pass, in FP32 partial-sum planes.

    Parameters
    ----------
    start, columns : int
        Columns within the PU's share.
    address, ld, planes, plane_ld : int
        Where the planes stand; bytes.
    ready : Event
        When they do.
    """

    start: int
    columns: int
    address: int
    ld: int
    planes: int
    plane_ld: int
    ready: Event


Consume = Callable[[int, Chunk], Event]


def cut(segments: Segments, start: int, length: int) -> Segments:
    """Return the part of a list of column ranges that covers `length` columns from `start` on."""
    parts = []
    at = 0
    for first, size in segments:
        low, high = max(start, at), min(start + length, at + size)
        if low < high:
            parts.append((first + low - at, high - low))
        at += size
    return tuple(parts)


def width(segments: Segments) -> int:
    """Return the columns of a list of ranges."""
    return sum(size for _, size in segments)


class PartialSpace:
    """Two regions for the planes of passes, used in turn by every PU; remembers who reads them.

    Parameters
    ----------
    addresses : (int, int)
        The regions.
    pus : int
        Number of PUs.
    """

    def __init__(self, addresses: tuple[int, int], pus: int) -> None:
        self.addresses = addresses
        self._readers: list[list[Event | None]] = [[None, None] for _ in range(pus)]
        self._turn = [0] * pus

    def next(self, pu: int) -> tuple[int, int, Event | None]:
        """Return (turn, address, event after which it may be written) of the next region of a PU."""
        turn = self._turn[pu]
        self._turn[pu] = 1 - turn
        return turn, self.addresses[turn], self._readers[pu][turn]

    def read_by(self, pu: int, turn: int, event: Event) -> None:
        """Note the event after which a region has been read."""
        self._readers[pu][turn] = event


class Gemm:
    """One GEMM being encoded: `stream` starts the weights, `passes` computes.

    Parameters
    ----------
    out : PassEmitter
    banks : Banks
    shape : PassPlan
        Shape and dataflow on every core.
    tensor : str
        The weight tensor.
    segments : list of Segments, by PU
        Columns of the tensor that each PU computes, in the order of its results.
    k_ranges : list of (int, int), by PU
        First row of the tensor and number of rows that each PU multiplies.
    paired : bool
        Results are consumed in pairs of column blocks.
    """

    def __init__(
        self,
        out: PassEmitter,
        banks: Banks,
        shape: PassPlan,
        tensor: str,
        segments: list[Segments],
        k_ranges: list[tuple[int, int]],
        *,
        paired: bool = False,
    ) -> None:
        self.out = out
        self.core = out.params.core
        self.shape = shape
        self.columns = shape.pass_columns(self.core, paired=paired)
        self.operator = out.operator
        self.tiles: list[tuple[Tile, ...]] = []
        for pu in range(out.pus):
            tiles = []
            k_start, k = k_ranges[pu]
            total = width(segments[pu]) if k > 0 else 0
            for start in range(0, total, self.columns):
                part = cut(segments[pu], start, self.columns)
                whole = Tile(shape.flow, shape.group, shape.split, shape.contiguous, width(part), k, k_start, part)
                tiles.append(narrow(whole, self.core, shape.precision) if shape.precision.group else whole)
            self.tiles.append(tuple(tiles))
        self.rows = [banks.stream(tensor, pu, tiles) if tiles else 0 for pu, tiles in enumerate(self.tiles)]

    def stream(self) -> None:
        """Start the weights on their way; they wait in the strip FIFOs for the first pass."""
        for pu, tiles in enumerate(self.tiles):
            if tiles:
                counts = strip_counts(tiles, self.core)
                self.out.emit(
                    pu,
                    MOVE,
                    STREAM,
                    row=self.rows[pu],
                    table=self.out.table(counts),
                    traffic=WEIGHT,
                    bytes=sum(useful_bytes(t) for t in tiles),
                    imm=sum(scale_bytes(t) for t in tiles),
                )

    def bring(self, m: int, a: list[tuple[int, int]], ready: list[list[Event | None]]) -> list[Operand | None]:
        """Bring A to the compute units of all PUs; return it by PU, None where there are no passes.

        Parameters
        ----------
        m : int
            Rows of A.
        a : list of (int, int), by PU
            Address and row distance of A in the buffer.
        ready : list of lists of Event, by PU
            When A stands there.
        """
        return [
            self.out.bring(pu, *a[pu], m, tiles[0].k * 2, ready[pu]) if tiles else None
            for pu, tiles in enumerate(self.tiles)
        ]

    def passes(
        self, m: int, operands: list[Operand | None], partial: PartialSpace, consume: Consume
    ) -> list[Event | None]:
        """Emit the passes and their consumers; return the last consumer's event of every PU.

        Parameters
        ----------
        m : int
            Rows of A.
        operands : list of Operand, by PU
            A, from `bring`.
        partial : PartialSpace
            Where the partial sums go.
        consume : callable
            Emits what follows a chunk on its PU and returns its completion.
        """
        planes = self.shape.planes(self.core)
        last: list[Event | None] = [None] * self.out.pus
        for pu, operand, i, tile in self._tiles(operands):
            ld = self.columns * 4
            plane_ld = m * ld
            turn, address, free = partial.next(pu)
            done = self._pass(pu, [free], m, i, tile, operand, address, ld, planes, plane_ld)
            chunk = Chunk(i * self.columns, tile.n, address, ld, planes, plane_ld, done)
            last[pu] = event = consume(pu, chunk)
            partial.read_by(pu, turn, event)
        return last

    def passes_into(
        self,
        m: int,
        operands: list[Operand | None],
        target: int,
        ld: int,
        free: list[list[Event | None]],
    ) -> list[Event | None]:
        """Emit passes that write one plane straight into [m, all columns] at `target`; return the last one's event.

        Parameters
        ----------
        m : int
            Rows of A.
        operands : list of Operand, by PU
            A, from `bring`.
        target, ld : int
            Address and row distance of the FP32 result.
        free : list of lists of Event, by PU
            When the target may be written.
        """
        last: list[Event | None] = [None] * self.out.pus
        for pu, operand, i, tile in self._tiles(operands):
            waits = free[pu] if i == 0 else []
            last[pu] = self._pass(pu, waits, m, i, tile, operand, target + i * self.columns * 4, ld, 1, 0)
        return last

    def _tiles(self, operands: list[Operand | None]) -> Iterator[tuple[int, Operand, int, Tile]]:
        """Yield every pass: PU, operand, number of the pass on the PU, tile."""
        for pu, (operand, tiles) in enumerate(zip(operands, self.tiles, strict=True)):
            if operand is not None:
                for i, tile in enumerate(tiles):
                    yield pu, operand, i, tile

    def _pass(
        self,
        pu: int,
        waits: list[Event | None],
        m: int,
        index: int,
        tile: Tile,
        operand: Operand,
        address: int,
        ld: int,
        planes: int,
        plane_ld: int,
    ) -> Event:
        return self.out.run_pass(
            pu,
            self.shape,
            operand,
            waits,
            m=m,
            n=tile.n,
            k=tile.k,
            out=address,
            out_ld=ld,
            planes=planes,
            plane_ld=plane_ld,
            operator=self.operator,
            ready=index == 0,
            form=coding(tile),
        )


def reduce_chunk(
    out: Emitter,
    pu: int,
    m: int,
    chunk: Chunk,
    target: int,
    ld: int,
    *,
    fp32: bool = False,
    waits: list[Event | None] | None = None,
    bias: int = 0,
    modifiers: int = 0,
) -> Event:
    """Add the planes of a chunk into [m, columns] at `target`, in FP16 or FP32.

    Parameters
    ----------
    out : Emitter
    pu, m : int
        PU, and rows.
    chunk : Chunk
    target, ld : int
        Where the result goes; bytes.
    fp32 : bool
        Whether it is FP32.
    waits : list of Event, optional
        When the target may be written.
    bias : int
        With F_BIAS: address of the bias of the first column of the PU's share.
    modifiers : int
        F_BIAS or 0.
    """
    return out.vector(
        pu,
        V_REDUCE,
        m,
        chunk.columns,
        [chunk.ready, *(waits or [])],
        a=chunk.address,
        a_ld=chunk.ld,
        planes=chunk.planes,
        plane_ld=chunk.plane_ld,
        out=target,
        out_ld=ld,
        modifiers=(F_OUT_FP32 if fp32 else 0) | modifiers,
        **({"b": bias + chunk.start * 2} if modifiers & F_BIAS else {}),
    )


def balanced(count: int, pus: int) -> list[tuple[int, int]]:
    """Split `count` things over the PUs as evenly as possible, in order: (first, number) by PU."""
    return [(count * p // pus, count * (p + 1) // pus - count * p // pus) for p in range(pus)]


def column_shares(columns: int, quantum: int, pus: int) -> list[tuple[int, int]]:
    """Split columns over the PUs in whole quanta (the last one may be short): (first, number) by PU."""
    shares = []
    for first, number in balanced(-(-columns // quantum), pus):
        start = min(first * quantum, columns)
        shares.append((start, min((first + number) * quantum, columns) - start))
    return shares
