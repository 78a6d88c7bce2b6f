"""A GEMM spread over the PUs, from column slices to column slices.

Between operators every activation is *sliced*: PU p has its own columns.  Over N the slices of A are gathered by all
PUs first; over K every PU multiplies its slice by its rows of B, and the partial sums are reduced to their owners,
chunk by chunk, under the passes of the next chunk::

    over N   all-gather A | stream + passes | consume
    over K                | passes 0 | passes 1 | ...
                                     | reduce-scatter 0 | consume 0 | ...
    teams    all-gather A | passes 0 | passes 1 | ...             N over teams, K over members (teams.py)
                                     | hand over 0 | consume 0 | ...
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nmpsim.program.encode.collective import Piece, Region, adds, all_gather, reduce_scatter, sum_scatter
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import (
    Chunk,
    Consume,
    Gemm,
    PartialSpace,
    Segments,
    column_shares,
    cut,
    reduce_chunk,
    width,
)
from nmpsim.program.encode.memory import Banks
from nmpsim.program.encode.passes import Operand, PassEmitter
from nmpsim.program.encode.reduction import Division, PartialChunk, Reduction, chunk_step
from nmpsim.program.encode.teams import WORD, TeamSpace, hand_over, promise, teams, workers
from nmpsim.program.isa import SEND_0, SEND_1, SUMS, VECTOR
from nmpsim.program.schedule import OVER_N, GemmPlan


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


@dataclass(frozen=True)
class Brought:
    """An activation that has been gathered before its GEMM is emitted.

    Parameters
    ----------
    whole, sent : list of lists of Event, by PU
        When it stands whole, and events after which the PU has passed on all that it passes on.
    """

    whole: list[list[Event | None]]
    sent: list[list[Event | None]]


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
    handed : TeamSpace, optional
        Regions for what teams hand over.
    """

    def __init__(
        self,
        out: PassEmitter,
        banks: Banks,
        partial: PartialSpace,
        reduction: Reduction,
        handed: TeamSpace | None = None,
    ) -> None:
        self.out, self.banks, self.partial, self.reduction, self.handed = out, banks, partial, reduction, handed
        self.grain = max(1, out.params.noc.flit_bytes // 4)
        reduction.credit = [[[None] * out.pus for _ in range(2)] for _ in range(2)]
        # by PU: events after which the latest gather is over there, arrivals and own forwarding
        self.sent: list[list[Event | None]] = [[] for _ in range(out.pus)]
        # by PU: when the input of the latest GEMM over N stands whole; empty behind one over K
        self.whole: list[list[Event | None]] = []
        reduction.free = [[[] for _ in range(out.pus)] for _ in range(2)]
        reduction.complete = [[] for _ in range(out.pus)]
        if handed is not None:
            handed.emptied = [[None] * out.pus for _ in range(2)]

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
        brought: Brought | None = None,
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
        brought : Brought, optional
            Over N: A has been gathered.
        """
        self.out.operator = operator
        pus = self.out.pus
        if plan.reduces and plan.over != OVER_N:
            self.whole = []
            addresses = [(a.address + (0 if a.packed else first * 2), a.ld) for first, _ in a.shares]
            every = Division(operator, plan, [range(pus)], a.shares, addresses, a.ready)
            return self._reduced(every, tensor, m, segments, consume, paired=paired)
        rows = sum(number for _, number in a.shares)
        if plan.reduces:
            ready = self._gather(m, a, brought)
            depth = self._depth(plan, rows)
            addresses = [(a.address + first * 2, a.ld) for first, _ in depth]
            some = Division(operator, plan, teams(pus, plan.team), depth, addresses, ready)
            return self._reduced(some, tensor, m, segments, consume, paired=paired)
        gemm = Gemm(self.out, self.banks, plan.shape, tensor, segments, [(0, rows)] * pus, paired=paired)
        gemm.stream()
        operands = gemm.bring(m, [(a.address, a.ld)] * pus, self._gather(m, a, brought))
        return gemm.passes(m, operands, self.partial, consume)

    def bring(self, m: int, a: Sliced) -> Brought:
        """Bring the slices of A to all PUs.

        Parameters
        ----------
        m : int
            Rows.
        a : Sliced
        """
        came = all_gather(self.out, a.own_regions(m), a.ready)
        sent = [[*arrivals, self.out.last(pu, SEND_0), self.out.last(pu, SEND_1)] for pu, arrivals in enumerate(came)]
        return Brought([[*own, *others] for own, others in zip(a.ready, came, strict=True)], sent)

    def _gather(self, m: int, a: Sliced, brought: Brought | None) -> list[list[Event | None]]:
        """Bring the slices of A to all PUs, if they are not there; return when it stands whole."""
        brought = brought or self.bring(m, a)
        self.sent, self.whole = brought.sent, brought.whole
        return self.whole

    def _depth(self, plan: GemmPlan, rows: int) -> list[tuple[int, int]]:
        """Rows of the weights of every PU: parts for the workers of a team, none for the others."""
        parts = column_shares(rows, self.out.params.core.columns, plan.working)
        own = dict(zip(workers(plan.team, plan.working), parts, strict=True))
        return [own.get(pu % plan.team, (0, 0)) for pu in range(self.out.pus)]

    def _reduced(
        self,
        division: Division,
        tensor: str,
        m: int,
        segments: list[Segments],
        consume: Consume,
        *,
        paired: bool,
    ) -> list[Event | None]:
        """Passes of a chunk are emitted before the reduction of the chunk before it, so that the array runs ahead."""
        out, operator, plan = self.out, division.operator, division.plan
        last: list[Event | None] = [None] * out.pus
        step = chunk_step(segments, plan.chunks, 2 * out.params.core.columns if paired else self.grain)
        waiting: PartialChunk | None = None
        operands: list[Operand | None] | None = None
        for start in range(0, max(width(s) for s in segments), step):
            out.operator = operator
            pieces = [cut(s, start, step) for s in segments]
            fresh, operands = self._multiply(division, tensor, m, operands, pieces, start, paired=paired)
            if waiting is not None:
                self._reduce(waiting, m, consume, last)
            waiting = fresh
        if waiting is not None:
            out.operator = operator
            self._reduce(waiting, m, consume, last)
            if self.handed is not None and plan.over == OVER_N:
                self._come_to_an_end(self.handed, waiting, last)
        return last

    def _come_to_an_end(self, space: TeamSpace, chunk: PartialChunk, last: list[Event | None]) -> None:
        """Let PUs whose last result does not say that they are over do so by an event (changes `last`).

        Those are the ones without a part of the last chunk, and those that do not work: nothing else of theirs waits
        for what they have passed on of the gather.
        """
        for pu, piece in enumerate(chunk.pieces):
            if not piece.columns or not chunk.division.depth[pu][1]:
                stands = chunk.stands[pu]
                sent = [self.out.last(pu, SEND_0), self.out.last(pu, SEND_1)]
                waits = self.sent[pu] if stands is None else [stands]
                last[pu] = self.out.after(pu, [*waits, *sent], space.flag, space.mark)

    def _multiply(
        self,
        division: Division,
        tensor: str,
        m: int,
        brought: list[Operand | None] | None,
        parts: list[Segments],
        start: int,
        *,
        paired: bool,
    ) -> tuple[PartialChunk, list[Operand | None]]:
        """Emit stream and passes of one chunk; its partial sums over the PU's rows of B go to the next space."""
        out, space, shape = self.out, self.reduction, division.plan.shape
        pieces: list[Piece] = []
        columns: list[Segments] = []
        most = 0
        for members in division.teams:
            at = 0
            for pu in members:
                pieces.append(Piece(at, width(parts[pu])))
                at += width(parts[pu])
            most = max(most, at)
            columns += [tuple(segment for pu in members for segment in parts[pu])] * len(members)
        gemm = Gemm(out, self.banks, shape, tensor, columns, division.depth, paired=paired)
        gemm.stream()
        turn, ld = space.turn, most * 4
        space.turn = 1 - turn
        free = space.free[turn]
        if self.handed is not None and division.plan.over == OVER_N and start == 0:
            # passes that wait for a gather, too, cannot name all of them
            flag, mark = self.handed.flag, self.handed.mark
            free = [[out.after(pu, waits, flag, mark)] if waits else [] for pu, waits in enumerate(free)]
        told = self._promised(division, turn, pieces)

        def keep(pu: int, chunk: Chunk) -> Event:
            target = space.partial[turn] + chunk.start * 4
            return reduce_chunk(out, pu, m, chunk, target, ld, fp32=True, waits=free[pu])

        operands = gemm.bring(m, division.addresses, division.ready) if brought is None else brought
        if shape.planes(out.params.core) == 1:
            stands = gemm.passes_into(m, operands, space.partial[turn], ld, free)
        else:
            stands = gemm.passes(m, operands, self.partial, keep)
        if division.plan.over == OVER_N:  # later chunks need not wait for a gather that the first one waited for
            operands = [None if o is None else replace(o, ready=()) for o in operands]
        return PartialChunk(division, turn, start, ld, pieces, stands, told), operands

    def _promised(self, division: Division, turn: int, pieces: list[Piece]) -> dict[tuple[int, int], Event]:
        """Let owners of a chunk of teams tell their workers that they may send."""
        if self.handed is None or division.plan.over != OVER_N:
            return {}
        pairs = [
            (worker, owner)
            for members in division.teams
            for owner in members
            if pieces[owner].columns
            for worker in members
            if worker != owner and division.depth[worker][1]
        ]
        return promise(self.out, self.handed, turn, pairs)

    def _reduce(self, chunk: PartialChunk, m: int, consume: Consume, last: list[Event | None]) -> None:
        """Emit the reduction of a chunk and what follows it (changes `last`)."""
        out, space = self.out, self.reduction
        out.operator = chunk.division.operator
        if self.handed is not None and chunk.division.plan.over == OVER_N:
            self._hand_over(self.handed, chunk, m, consume, last)
            return
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

    def _hand_over(
        self, handed: TeamSpace, chunk: PartialChunk, m: int, consume: Consume, last: list[Event | None]
    ) -> None:
        """Emit what teams hand over of a chunk, and what follows it (changes `last`)."""
        out, space, turn, depth = self.out, self.reduction, chunk.turn, chunk.division.depth
        for members in chunk.division.teams:
            pieces = {pu: chunk.pieces[pu] for pu in members if chunk.pieces[pu].columns}
            working = [pu for pu in members if depth[pu][1]]
            sums = hand_over(
                out,
                m,
                space.partial[turn],
                chunk.ld,
                handed.landing[turn],
                members,
                working,
                {pu: (piece.start, piece.columns) for pu, piece in pieces.items()},
                chunk.stands,
                chunk.told,
            )
            for pu, at in sums.items():
                last[pu] = consume(pu, Chunk(chunk.start, pieces[pu].columns, at.address, at.ld, 1, 0, at.ready))
                handed.emptied[turn][pu] = out.last(pu, VECTOR)
                out.operator = chunk.division.operator
        for pu in range(out.pus):
            space.free[turn][pu] = [out.last(pu, VECTOR), out.last(pu, SEND_0), out.last(pu, SEND_1)]

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
