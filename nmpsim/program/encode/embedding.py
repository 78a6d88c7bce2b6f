"""The embedding: rows of the tokens, each PU its own columns; of several stacks, each its own piece of them.

A piece that is less than a beat shares it with those of the next tokens; two stacks, pieces of a PU of half a beat::

    beat r of stack 0     | row 2r, piece 0 | row 2r + 1, piece 0 |   of stack 1    | row 2r, piece 1 | row 2r + 1, ...
    token 2r + 1          load the beat -> copy the second half to piece 0 of x -> all-gather over the stacks
"""

from __future__ import annotations

from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.layout import Ready
from nmpsim.program.encode.memory import WEIGHTS
from nmpsim.program.encode.vectors import StepVectors
from nmpsim.program.isa import EMBEDDING, LOAD, MOVE, V_COPY
from nmpsim.program.program import BeatImage


class Embedding:
    """Encoder of the embedding.

    Parameters
    ----------
    step : StepVectors
        The step it belongs to.
    """

    def __init__(self, step: StepVectors) -> None:
        self.step = step

    def load(self, operator: int) -> Ready:
        """Load the rows of the tokens, each PU its own columns; of several stacks, each its own piece of them.

        A piece that is less than a beat shares it with those of the next tokens.
        """
        stacks = self.step.stacks
        self.step.out.operator = operator
        ready: Ready = []
        for pu, (first, number) in enumerate(self.step.hidden):
            if stacks is None or not number:
                ready.append([self._rows(pu, (first, number), self.step.x, self.step.x_ld, self.step.beats, 1)])
                continue
            piece = stacks.pieces[pu][stacks.stack]
            size, beat = piece.columns * 2, self.step.params.dram.column_bytes
            beats, held = -(-size // beat), max(1, beat // size)
            own = first + piece.start, piece.columns
            target = self.step.x + piece.start * 2
            if size % beat == 0:
                done = self._rows(pu, own, target, self.step.x_ld, beats, 1)
            else:
                came = self._rows(pu, own, stacks.partial, beats * beat, beats, held)
                done = self._own_pieces(pu, piece.columns, came, stacks.partial, beats * beat, target, held)
            assert done is not None
            ready.append(stacks.all_gather(pu, done, self.step.x, self.step.x_ld))
        for pu in range(self.step.pus):
            self.step.join(pu, ready[pu], self.step.flag)
        return ready

    def _rows(self, pu: int, own: tuple[int, int], target: int, ld: int, beats: int, held: int) -> Event | None:
        """Load columns (first, number) of the rows of all tokens to `target`; `held` rows share `beats` beats."""
        dram = self.step.params.dram
        first, number = own
        per_row = dram.columns // beats
        if per_row == 0:
            fault = Fault(
                "placement of the embedding",
                f"{beats} beats per PU and token",
                f"at most {dram.columns} (one row)",
                "use more PUs or a chip with longer rows",
            )
            raise InfeasibleError("an embedding row does not fit", [fault])
        groups = -(-self.step.model.vocab // held)
        start = self.step.banks.rows(pu, -(-groups // (dram.banks * per_row)))
        done = None
        for b, token in enumerate(self.step.tokens):
            group = token // held
            bank, place = group % dram.banks, group // dram.banks
            row, column = start + place // per_row, place % per_row * beats
            taken = -(-number * 2 // dram.column_bytes)
            if taken:
                done = self.step.out.emit(
                    pu,
                    MOVE,
                    LOAD,
                    bank=bank,
                    row=row,
                    column=column,
                    beats=taken,
                    out=target + b * ld,
                    traffic=EMBEDDING,
                    bytes=number * 2,
                )
                rows = min(held, self.step.model.vocab - group * held)
                image = BeatImage("embedding", pu, bank, row, column, taken, group * held, first, number, rows=rows)
                self.step.banks.images[WEIGHTS].append(image)
        return done

    def _own_pieces(
        self, pu: int, columns: int, came: Event | None, source: int, step: int, target: int, held: int
    ) -> Event | None:
        """Bring loaded pieces, `step` bytes a token, to their columns of the residual stream."""
        done: Event | None = None
        for b, token in enumerate(self.step.tokens if held > 1 else self.step.tokens[:1]):
            done = self.step.out.vector(
                pu,
                V_COPY,
                1 if held > 1 else self.step.m,
                columns,
                [came],
                a=source + b * step + token % held * columns * 2,
                a_ld=step,
                out=target + b * self.step.x_ld,
                out_ld=self.step.x_ld,
            )
        return done
