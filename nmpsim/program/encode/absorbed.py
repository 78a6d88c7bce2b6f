"""Attention whose heads share one row of the cache: results go from the tasks straight to the PUs of their heads.

task (b, part)   values of all heads, FP32, and their statistics
                    | heads of PU 0      | heads of PU 1   ...
PU of the heads  parts of sequence b side by side -> combine -> [B, own heads * value_dim] FP16
"""

from __future__ import annotations

from nmpsim.program.encode.attention import Attention
from nmpsim.program.encode.collective import Region
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import balanced
from nmpsim.program.encode.members import PARTS
from nmpsim.program.encode.memory import Buffer
from nmpsim.program.encode.tasks import Task
from nmpsim.program.isa import (
    F_A_FP32,
    F_OUT_FP32,
    SEND_0,
    SEND_1,
    V_ATTENTION_OUT,
    V_COMBINE_PARTS,
    V_COPY,
    VECTOR,
)


class AbsorbedAttention(Attention):
    """As `Attention`; `output` is where the own heads of all sequences stand, the same on every PU."""

    def _value_region(self, buffer: Buffer, most: int) -> None:
        del buffer, most
        self.v, self.v_step = self.k, self.row  # the new value is the first part of the new key

    def _result_regions(self, buffer: Buffer, together: int) -> None:
        self.heads = balanced(self.model.heads, self.out.pus)
        self.most = max(number for _, number in self.heads)
        self.direct = self.planes == 1  # the only plane is the sum already
        width = self.rows * self.model.value_dim * 4
        taken = range(0 if self.direct else together)
        self.slots = [buffer.take_local(f"part result {i}", width, "attention") for i in taken]
        self.statistics = [
            buffer.take_local(f"statistics {i}", 2 * self.rows * 4, "attention") for i in range(together)
        ]
        self.block = self.most * (self.model.value_dim * 4 + 8)
        self.all_parts = self.parts * self.share  # of all stacks
        self.parts_at = buffer.take("parts", len(self.owners) * self.all_parts * self.block, "attention")

    def _regions(self) -> list[list[Region]]:
        return [[] for _ in range(self.out.pus)]

    def _finish(
        self, pu: int, i: int, task: Task, turn: int, valued: Event, arrived: list[dict[int, int]]
    ) -> tuple[Event | None, list[Event | None]]:
        out, rows, width = self.out, self.rows, self.model.value_dim
        source, ld, done = self.partial[i % 2], self.partial_ld, valued
        if not self.direct:
            source, ld = self.slots[i], width * 4
            done = out.vector(
                pu,
                V_ATTENTION_OUT,
                rows,
                width,
                [valued],
                a=self.partial[i % 2],
                a_ld=self.partial_ld,
                planes=self.planes,
                plane_ld=rows * self.partial_ld,
                c=self.statistics[i],
                out=source,
                out_ld=ld,
                modifiers=F_OUT_FP32,
            )
        own = 0 if self.shard is None else self.shard.part
        part = own * self.parts + task.part
        owners = [
            (to, stack, member * self.model.heads + first, number)
            for member, stack in self.members()
            for to, (first, number) in enumerate(self.heads)
        ]
        for to, stack, first, number in owners:
            low, high = max(first, turn * rows), min(first + number, (turn + 1) * rows)
            if low >= high:
                continue
            place = self._place(task.batch, part) + (low - first) * width * 4
            statistics = self._statistics(task.batch, part, number) + (low - first) * 4
            inside = low - turn * rows
            pieces = (
                (high - low, width, source + inside * ld, ld, place, width * 4),
                (2, high - low, self.statistics[i] + inside * 4, rows * 4, statistics, number * 4),
            )
            for m, n, a, a_ld, target, target_ld in pieces:
                if to == pu and stack == 0:
                    ends = {"a": a, "a_ld": a_ld, "out": target, "out_ld": target_ld}
                    event = out.vector(pu, V_COPY, m, n, [done], modifiers=F_A_FP32, **ends)
                else:
                    _, event = out.send(
                        pu,
                        to,
                        [done],
                        stack=stack,
                        common=PARTS,
                        rows=m,
                        size=n * 4,
                        source=a,
                        source_ld=a_ld,
                        target=target,
                        target_ld=target_ld,
                    )
                arrived[to][event.semaphore] = event.value
        return out.last(pu, VECTOR), [out.last(pu, VECTOR), out.last(pu, SEND_0), out.last(pu, SEND_1)]

    def _place(self, batch: int, part: int) -> int:
        return self.parts_at + (batch * self.all_parts + part) * self.block

    def _statistics(self, batch: int, part: int, number: int) -> int:
        return self._place(batch, part) + number * self.model.value_dim * 4

    def _combine(self, arrived: list[dict[int, int]], last: list[Event | None]) -> None:
        """Combine the parts of every sequence for the own heads."""
        out, width = self.out, self.model.value_dim
        ld = self.most * width * 2
        for pu, (_, number) in enumerate(self.heads):
            if not number:
                continue
            waits = [Event(s, c) for s, c in arrived[pu].items()]
            for b in range(len(self.owners)):
                place = self._place(b, 0)
                last[pu] = out.vector(
                    pu,
                    V_COMBINE_PARTS,
                    number,
                    width,
                    waits,
                    a=place,
                    a_ld=width * 4,
                    planes=self.all_parts,
                    plane_ld=self.block,
                    c=self._statistics(b, 0, number),
                    imm=self.block,
                    out=self.output + b * ld,
                    out_ld=width * 2,
                )
