"""Collectives between stacks: every PU with the PU of the same number in the neighbour, along the ring of stacks.

All-reduce of partial sums [m, own columns] into the residual stream, for N = 4 stacks; piece c of a PU's columns
belongs to stack c::

    reduce-scatter, FP32      step 0        step 1        step 2
    stack s sends on          piece s - 1   piece s - 2   piece s - 3      (to s + 1, modulo 4)
    stack s adds its own to   piece s - 2   piece s - 3   piece s          (then bias and residual, to FP16)

    all-gather, FP16          piece s       piece s - 1   piece s - 2

The embedding is an all-gather alone: every stack loads its pieces of the rows.  Sums of squares of a norm over all
heads go from every stack to all others, each to a place of its own, and are added there.

All stacks run the same program but for the addresses of the pieces.  A stack's next collective cannot reach this one's
landing space too early: it needs the sum of this one, to which every stack has contributed by then.
"""

from __future__ import annotations

from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.encode.collective import Piece
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import balanced
from nmpsim.program.encode.memory import Buffer
from nmpsim.program.encode.passes import PassEmitter
from nmpsim.program.isa import (
    F_BIAS,
    F_OUT_FP32,
    F_RESIDUAL,
    STACK_ALL,
    STACK_SUMS,
    V_ADD,
    V_ARGMAX_MERGE,
    V_REDUCE,
)
from nmpsim.workload import ALL_HEADS
from nmpsim.workload.shards import Shard

Ready = list[list[Event | None]]


def stack_pieces(columns: int, stacks: int, grain: int) -> list[Piece]:
    """Columns of one PU that each stack sums up: whole flits if there are enough, else as even as possible.

    Parameters
    ----------
    columns : int
        Of the PU.
    stacks : int
    grain : int
        FP32 numbers that fill a flit.
    """
    unit = grain if columns >= stacks * grain and columns % grain == 0 else 1
    return [Piece(first * unit, number * unit) for first, number in balanced(columns // unit, stacks)]


class StackCollectives:
    """Emits what joins the stacks.

    Parameters
    ----------
    out : PassEmitter
    buffer : Buffer
        Lasting regions are taken.
    shard : Shard
        Which stack this is.
    m : int
        Rows.
    columns : list of (int, int), by PU
        First column and number of columns of the residual stream.

    Raises
    ------
    InfeasibleError
        If a PU has fewer columns than there are stacks.
    """

    def __init__(self, out: PassEmitter, buffer: Buffer, shard: Shard, m: int, columns: list[tuple[int, int]]) -> None:
        self.out, self.m, self.stacks, self.stack = out, m, shard.stacks, shard.stack
        self.share = shard.share
        grain = max(1, out.params.noc.flit_bytes // 4)
        self.pieces = [stack_pieces(number, self.stacks, grain) if number else [] for _, number in columns]
        if any(piece.columns == 0 for pieces in self.pieces for piece in pieces):
            least = min(number for _, number in columns if number)
            fault = Fault(
                "stacks", f"{self.stacks}", f"at most {least}, the columns of one PU", "use fewer stacks or PUs"
            )
            raise InfeasibleError("the columns of a PU cannot be shared by the stacks", [fault])
        self.ld = max(number for _, number in columns) * 4
        widest = max(piece.columns for pieces in self.pieces for piece in pieces)
        self.slot = m * widest * 4
        beat = out.params.dram.column_bytes
        self.partial = buffer.take("partial sums of the stack", m * max(self.ld, -(-2 * widest // beat) * beat))
        self.landing = buffer.take("landing of stacks", (self.stacks - 1) * self.slot)
        self.best = buffer.take("best tokens of stacks", m * 8 * self.stacks)
        squares = 2 * m * 4 if shard.whole.qk_norm == ALL_HEADS else 0
        self.squares = buffer.take("sums of squares of stacks", squares * self.stacks)
        self.free: Ready = [[] for _ in range(out.pus)]

    def all_reduce(self, ready: Ready, x: int, x_ld: int, bias: int = 0, biased: Ready | None = None) -> Ready:
        """Add up the partial sums of all stacks, and the residual stream, to the residual stream of every stack.

        Parameters
        ----------
        ready : list of lists of Event, by PU
            When the own partial sums stand at `partial`.
        x, x_ld : int
            Residual stream: address, and bytes from row to row.
        bias : int
            Address of a bias that is added, too; without `biased` there is none.
        biased : list of lists of Event, by PU
            When the bias stands.

        Returns
        -------
        list of lists of Event, by PU
            When the residual stream stands.
        """
        done: Ready = []
        for pu, pieces in enumerate(self.pieces):
            if not pieces:
                done.append(list(ready[pu]))
                continue
            event = self._reduce_scatter(pu, pieces, ready[pu])
            modifiers = F_RESIDUAL | (F_BIAS if biased is not None else 0)
            own = pieces[self.stack]
            at = x + own.start * 2
            event = self.out.vector(
                pu,
                V_REDUCE,
                self.m,
                own.columns,
                [event, *(biased[pu] if biased is not None else [])],
                a=self.partial + own.start * 4,
                a_ld=self.ld,
                planes=1,
                b=bias + own.start * 2 if modifiers & F_BIAS else 0,
                c=at,
                c_ld=x_ld,
                out=at,
                out_ld=x_ld,
                modifiers=modifiers,
            )
            done.append(self.all_gather(pu, event, x, x_ld))
        return done

    def _reduce_scatter(self, pu: int, pieces: list[Piece], ready: list[Event | None]) -> Event:
        """Add up partial sums of one PU; return when the sum of the own piece stands."""
        before = ready
        added: Event | None = None
        for step in range(self.stacks - 1):
            sent, came = (pieces[(self.stack - 1 - step - late) % self.stacks] for late in range(2))
            slot = self.landing + step * self.slot
            _, there = self._pass_on(pu, before, sent, self.partial, self.ld, 4, slot, sent.columns * 4)
            own = self.partial + came.start * 4
            added = self.out.vector(
                pu,
                V_ADD,
                self.m,
                came.columns,
                [there, *ready],
                a=slot,
                a_ld=came.columns * 4,
                b=own,
                b_ld=self.ld,
                out=own,
                out_ld=self.ld,
                modifiers=F_OUT_FP32,
            )
            before = [added]
        assert added is not None
        return added

    def all_gather(self, pu: int, own: Event, x: int, x_ld: int) -> list[Event | None]:
        """Bring the own piece of the residual stream of a PU to all stacks.

        Parameters
        ----------
        pu : int
            One with columns.
        own : Event
            When the own piece stands.
        x, x_ld : int
            Residual stream: address, and bytes from row to row.

        Returns
        -------
        list of Event
            When all pieces stand here.
        """
        pieces = self.pieces[pu]
        before: list[Event | None] = [own]
        sent: Event | None = None
        for step in range(self.stacks - 1):
            piece = pieces[(self.stack - step) % self.stacks]
            sent, there = self._pass_on(pu, before, piece, x, x_ld, 2, x + piece.start * 2, x_ld)
            before = [there]
        self.free[pu] = [sent, own]
        return [own, *before, sent]

    def _pass_on(
        self,
        pu: int,
        waits: list[Event | None],
        piece: Piece,
        base: int,
        ld: int,
        size: int,
        target: int,
        target_ld: int,
    ) -> tuple[Event, Event]:
        """Send a piece, `size` bytes an element, to the next stack."""
        return self.out.send(
            pu,
            pu,
            waits,
            stack=1,
            common=STACK_SUMS,
            rows=self.m,
            size=piece.columns * size,
            source=base + piece.start * size,
            source_ld=ld,
            target=target,
            target_ld=target_ld,
        )

    @property
    def own_squares(self) -> int:
        """Where the sums of squares of a PU belong: m of the queries, then m of the keys."""
        return self.squares + self.stack * 2 * self.m * 4

    def add_squares(self, pu: int, ready: list[Event | None], target: int) -> Event:
        """Add up the sums of squares that this PU has in all stacks; a key head that stacks share counts once.

        Parameters
        ----------
        pu : int
        ready : list of Event
            When those of this stack stand at `own_squares`.
        target : int
            Where the sums go: m of the queries, then m of the keys.

        Returns
        -------
        Event
            When they stand.
        """
        half, at = self.m * 4, self.own_squares
        size, waits = 2 * half, list(ready)
        for distance in range(1, self.stacks):
            _, there = self.out.send(pu, pu, ready, stack=distance, common=STACK_ALL, size=size, source=at, target=at)
            waits = [*ready, there]
        for i, share in enumerate((1, self.share)):
            places = {"a": self.squares + i * half, "planes": self.stacks // share, "plane_ld": share * size}
            added = self.out.vector(
                pu, V_REDUCE, 1, self.m, waits, out=target + i * half, modifiers=F_OUT_FP32, **places
            )
        return added

    @property
    def own_best(self) -> int:
        """Where the best tokens of this stack belong on PU 0: m pairs."""
        return self.best + self.stack * self.m * 8

    def merge_best(self, ready: Event, target: int) -> None:
        """Bring the best tokens of PU 0 of every stack to that of all, and choose the best of them.

        Parameters
        ----------
        ready : Event
            When those of this stack stand at `own_best`.
        target : int
            Where the best of all stacks go.
        """
        size, at = self.m * 8, self.own_best
        waits = [ready]
        for distance in range(1, self.stacks):
            _, there = self.out.send(0, 0, [ready], stack=distance, common=STACK_ALL, size=size, source=at, target=at)
            waits = [ready, there]
        self.out.vector(0, V_ARGMAX_MERGE, self.m, 1, waits, a=self.best, planes=self.stacks, plane_ld=size, out=target)
