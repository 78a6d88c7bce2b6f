"""A GEMM spread over the PUs, from column slices to column slices.

Between operators every activation is *sliced*: PU p has its own columns.  Over N the slices of A are gathered by all
PUs first; over K every PU multiplies its slice by its rows of B, and the partial sums are reduced to their owners,
chunk by chunk, under the passes of the next chunk::

    over N   all-gather A | stream + passes | consume
    over K                | passes 0 | passes 1 | ...
                                     | reduce-scatter 0 | consume 0 | ...
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nmpsim.program.encode.collective import Piece, Region, adds, all_gather, landing_bytes, reduce_scatter, sum_scatter
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import Chunk, Consume, Gemm, PartialSpace, Segments, cut, planes_of, reduce_chunk, width
from nmpsim.program.encode.memory import Banks
from nmpsim.program.encode.passes import Operand, PassEmitter
from nmpsim.program.isa import SEND_0, SEND_1, SUMS, VECTOR
from nmpsim.program.schedule import OVER_N, GemmPlan

WORD = 4
"""Bytes of a word that says something by its arrival."""


@dataclass
class Sliced:
    """An activation [m, columns] in FP16, sliced by columns over the PUs.

    Parameters
    ----------
    address, ld : int
        Of the whole matrix, at the same place in every PU's buffer; each PU holds its own columns of it.
    shares : list of (int, int), by PU
        First column and number of columns.
    ready : list of lists of Event, by PU
        When the own columns stand.
    regions : list of lists of Region, by PU, optional
        What each PU holds, where that is not its columns of all rows.
    packed : bool
        Every PU has only its own columns, from `address` on; such an activation cannot be gathered.
    words : int
        Address of a word per PU: a PU without columns contributes its word to a gather, so that whoever has gathered
        knows what it has done before; 0: there are none.
    """

    address: int
    ld: int
    shares: list[tuple[int, int]]
    ready: list[list[Event | None]]
    regions: list[list[Region]] | None = None
    packed: bool = False
    words: int = 0

    def own_regions(self, m: int) -> list[list[Region]]:
        """What each PU contributes to an all-gather."""
        if self.regions is not None:
            return self.regions
        word = [[Region(self.words + pu * WORD, 1, WORD, WORD)] if self.words else [] for pu in range(len(self.shares))]
        return [
            [Region(self.address + first * 2, m, number * 2, self.ld)] if number else word[pu]
            for pu, (first, number) in enumerate(self.shares)
        ]


@dataclass
class Reduction:
    """Buffer space of the reduce-scatters, used in turn by consecutive chunks.

    A PU that has emptied its landing space says so to both neighbours by a message of 4 bytes (``flag``, which lands
    at ``credit_at``): only then may they fill it again.
    """

    partial: tuple[int, int]
    landing: tuple[int, int]
    flag: int
    credit_at: int
    turn: int = 0
    credit: list[list[list[Event | None]]] = field(default_factory=list)
    free: list[list[list[Event | None]]] = field(default_factory=list)
    complete: list[list[Event | None]] = field(default_factory=list)


@dataclass(frozen=True)
class PartialChunk:
    """Columns of a GEMM over K whose partial sums wait for their reduction.

    Parameters
    ----------
    operator : int
    turn : int
        Which of the two spaces holds them.
    start : int
        First column of every owner's share.
    ld : int
        Bytes between rows of the partial sums.
    pieces : list of Piece, by owner
    stands : list of Event, by PU
        When the PU's partial sums are complete.
    """

    operator: int
    turn: int
    start: int
    ld: int
    pieces: list[Piece]
    stands: list[Event | None]


class Spread:
    """Emits GEMMs over the PUs.

    Parameters
    ----------
    out : PassEmitter
    banks : Banks
    partial : PartialSpace
        Regions for the planes of passes.
    reduction : Reduction
        Regions for partial sums over K.
    """

    def __init__(self, out: PassEmitter, banks: Banks, partial: PartialSpace, reduction: Reduction) -> None:
        self.out, self.banks, self.partial, self.reduction = out, banks, partial, reduction
        self.grain = max(1, out.params.noc.flit_bytes // 4)
        reduction.credit = [[[None] * out.pus for _ in range(2)] for _ in range(2)]
        # by PU: events after which the latest gather is over there, arrivals and own forwarding
        self.sent: list[list[Event | None]] = [[] for _ in range(out.pus)]
        # by PU: when the input of the latest GEMM over N stands whole; empty behind one over K
        self.whole: list[list[Event | None]] = []
        reduction.free = [[[] for _ in range(out.pus)] for _ in range(2)]
        reduction.complete = [[] for _ in range(out.pus)]

    def run(
        self,
        operator: int,
        plan: GemmPlan,
        tensor: str,
        m: int,
        a: Sliced,
        segments: list[Segments],
        consume: Consume,
        *,
        paired: bool = False,
    ) -> list[Event | None]:
        """Emit one GEMM; return the last consumer's event of every PU.

        Parameters
        ----------
        operator : int
            Index of the operator.
        plan : GemmPlan
        tensor : str
            The weight tensor.
        m : int
            Rows of A.
        a : Sliced
            Activations; over N they are gathered to the same addresses everywhere.
        segments : list of Segments, by PU
            Columns of the tensor that each PU owns in the result, in local order.
        consume : callable
            Emits what follows a chunk of the owner's result.
        paired : bool
            Results are consumed in pairs of column blocks.
        """
        self.out.operator = operator
        if plan.over == OVER_N:
            rows = sum(number for _, number in a.shares)
            gemm = Gemm(self.out, self.banks, plan.shape, tensor, segments, [(0, rows)] * self.out.pus, paired=paired)
            gemm.stream()
            came = all_gather(self.out, a.own_regions(m), a.ready)
            self.sent = [
                [*arrivals, self.out.last(pu, SEND_0), self.out.last(pu, SEND_1)] for pu, arrivals in enumerate(came)
            ]
            self.whole = ready = [[*own, *others] for own, others in zip(a.ready, came, strict=True)]
            operands = gemm.bring(m, [(a.address, a.ld)] * self.out.pus, ready)
            return gemm.passes(m, operands, self.partial, consume)
        self.whole = []
        return self._over_k(operator, plan, tensor, m, a, segments, consume, paired=paired)

    def _over_k(
        self,
        operator: int,
        plan: GemmPlan,
        tensor: str,
        m: int,
        a: Sliced,
        segments: list[Segments],
        consume: Consume,
        *,
        paired: bool,
    ) -> list[Event | None]:
        """Passes of a chunk are emitted before the reduction of the chunk before it, so that the array runs ahead."""
        out = self.out
        last: list[Event | None] = [None] * out.pus
        step = chunk_step(segments, plan.chunks, 2 * out.params.core.columns if paired else self.grain)
        waiting: PartialChunk | None = None
        operands: list[Operand | None] | None = None
        for start in range(0, max(width(s) for s in segments), step):
            out.operator = operator
            pieces = [cut(s, start, step) for s in segments]
            fresh, operands = self._multiply(plan, tensor, m, a, operands, pieces, start, paired=paired)
            if waiting is not None:
                self._reduce(waiting, m, consume, last)
            waiting = fresh
        if waiting is not None:
            out.operator = operator
            self._reduce(waiting, m, consume, last)
        return last

    def _multiply(
        self,
        plan: GemmPlan,
        tensor: str,
        m: int,
        a: Sliced,
        brought: list[Operand | None] | None,
        parts: list[Segments],
        start: int,
        *,
        paired: bool,
    ) -> tuple[PartialChunk, list[Operand | None]]:
        """Emit stream and passes of one chunk; its partial sums over the PU's rows of B go to the next space."""
        out, space = self.out, self.reduction
        pieces = []
        at = 0
        for part in parts:
            pieces.append(Piece(at, width(part)))
            at += width(part)
        whole = tuple(segment for part in parts for segment in part)
        gemm = Gemm(out, self.banks, plan.shape, tensor, [whole] * out.pus, a.shares, paired=paired)
        gemm.stream()
        turn, ld = space.turn, at * 4
        space.turn = 1 - turn
        free = space.free[turn]

        def keep(pu: int, chunk: Chunk) -> Event:
            target = space.partial[turn] + chunk.start * 4
            return reduce_chunk(out, pu, m, chunk, target, ld, fp32=True, waits=free[pu])

        addresses = [(a.address + (0 if a.packed else first * 2), a.ld) for first, _ in a.shares]
        operands = gemm.bring(m, addresses, a.ready) if brought is None else brought
        if planes_of(out.params.core, plan.shape) == 1:
            stands = gemm.passes_into(m, operands, space.partial[turn], ld, free)
        else:
            stands = gemm.passes(m, operands, self.partial, keep)
        return PartialChunk(out.operator, turn, start, ld, pieces, stands), operands

    def _reduce(self, chunk: PartialChunk, m: int, consume: Consume, last: list[Event | None]) -> None:
        """Emit the reduction of a chunk and what follows it (changes `last`)."""
        out, space = self.out, self.reduction
        out.operator = chunk.operator
        target = space.partial[chunk.turn]
        if adds(out):
            self._sum(chunk, m, consume, last)
            return
        ready = [[s, *c] for s, c in zip(chunk.stands, space.complete, strict=True)]
        reduce_scatter(
            out,
            m,
            target,
            chunk.ld,
            space.landing[chunk.turn],
            chunk.pieces,
            ready,
            space.credit[chunk.turn],
            self.grain,
        )
        for pu, piece in enumerate(chunk.pieces):
            event = out.last(pu, VECTOR)
            if piece.columns and event is not None:
                place = Chunk(chunk.start, piece.columns, target + piece.start * 4, chunk.ld, 1, 0, event)
                last[pu] = consume(pu, place)
            space.complete[pu] = [out.last(pu, VECTOR)]
        self._return_credits(chunk.turn)
        for pu in range(out.pus):
            space.free[chunk.turn][pu] = [out.last(pu, VECTOR), out.last(pu, SEND_0), out.last(pu, SEND_1)]

    def _sum(self, chunk: PartialChunk, m: int, consume: Consume, last: list[Event | None]) -> None:
        """Emit the reduction of a chunk by the routers and what follows it (changes `last`).

        Sums of one space and those of the next may be under way together, so each space has a semaphore of its own.
        """
        out, space = self.out, self.reduction
        target, stands = space.partial[chunk.turn], [[event] for event in chunk.stands]
        came = sum_scatter(out, m, target, chunk.ld, chunk.pieces, stands, self.grain, SUMS[chunk.turn])
        for pu, (piece, event) in enumerate(zip(chunk.pieces, came, strict=True)):
            if event is not None:
                place = Chunk(chunk.start, piece.columns, target + piece.start * 4, chunk.ld, 1, 0, event)
                last[pu] = consume(pu, place)
            space.free[chunk.turn][pu] = [out.last(pu, VECTOR), out.last(pu, SEND_0), out.last(pu, SEND_1)]

    def _return_credits(self, turn: int) -> None:
        """Tell the neighbours that a landing space is empty once the additions emitted so far are done."""
        out, space = self.out, self.reduction
        for direction in range(2 if out.pus > 1 else 0):
            for pu in range(out.pus):
                sender = (pu + (1 if direction else -1)) % out.pus
                target = space.credit_at + 4 * direction
                _, space.credit[turn][direction][sender] = out.send(
                    pu,
                    sender,
                    [out.last(pu, VECTOR)],
                    direction=1 - direction,
                    size=4,
                    source=space.flag,
                    target=target,
                )


def chunk_step(segments: list[Segments], chunks: int, grain: int) -> int:
    """Columns of every owner that one chunk of a GEMM over K reduces."""
    longest = max(width(s) for s in segments)
    return max(grain, -(-longest // (chunks * grain)) * grain)


def reduction_bytes(pus: int, m: int, segments: list[Segments], chunks: int, grain: int, unit: int) -> tuple[int, int]:
    """Bytes of the partial sums and of the landing space of one chunk."""
    step = chunk_step(segments, chunks, unit)
    columns = sum(min(step, width(s)) for s in segments)
    return columns * m * 4, landing_bytes(pus, m, min(step, max(width(s) for s in segments)), grain)
