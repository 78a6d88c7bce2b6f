"""Attention on the tasks of every PU: a task is one sequence, one KV head and one part of the sequence.

exchange   heads of Q, K, V go from the PU that projected them to the PUs that own their tasks
append     the new token's K and V are stored behind the cached ones
scores     a pass per task, K token-major: IS or MAC tree, tokens over the strip groups
softmax    on the vector unit, under the scores of the next task
values     a pass per task, V token-major: OS or MAC tree, tokens over the strip groups
output     planes added and divided; with split sequences the parts go to the owner first
"""

from __future__ import annotations

import struct

from nmpsim.program.beats import useful_bytes
from nmpsim.program.encode.collective import Region
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import planes_of
from nmpsim.program.encode.memory import Banks, Buffer, strip_counts
from nmpsim.program.encode.passes import PassEmitter
from nmpsim.program.encode.tasks import Places, Task, Tasks
from nmpsim.program.isa import (
    F_A_FP32,
    F_OUT_FP32,
    KV,
    MOVE,
    STREAM,
    V_ATTENTION_OUT,
    V_COMBINE_PARTS,
    V_COPY,
    V_SOFTMAX,
)
from nmpsim.program.schedule import AttentionPlan
from nmpsim.workload import Model

EXCHANGE = 2
"""Shared semaphore that counts exchanged heads."""

PARTS = 3
"""Shared semaphore that counts results of sequence parts."""


def fp32_bits(x: float) -> int:
    """Bits of an FP32 number."""
    return int(struct.unpack("<I", struct.pack("<f", x))[0])


class Attention(Tasks):
    """Buffer regions, tasks and cached rows of attention; `encode_layer` emits one layer.

    Parameters
    ----------
    out : PassEmitter
    banks : Banks
    buffer : Buffer
        Regions are taken in phase ``attention``.
    model : Model
    batch, context : int
    plan : AttentionPlan
    output : int
        Address of the attention output [batch, heads * head_dim] FP16.
    """

    def __init__(
        self,
        out: PassEmitter,
        banks: Banks,
        buffer: Buffer,
        model: Model,
        batch: int,
        context: int,
        plan: AttentionPlan,
        output: int,
    ) -> None:
        super().__init__(out, banks, model, batch, context, plan)
        self.output = output
        self.group = model.heads // model.kv_heads
        self.output_ld = model.heads * model.head_dim * 2
        beat = out.params.dram.column_bytes
        self.blocks = -(-model.head_dim // self.core.columns)
        self.row = self.blocks * beat
        most = max(len(tasks) for tasks in self.by_pu)
        tokens = max(t.tokens for t in self.all)
        self.q = buffer.take("q of the tasks", most * self.group * self.row, "attention")
        self.k = buffer.take("new k of the tasks", most * self.row, "attention")
        self.v = buffer.take("new v of the tasks", most * self.row, "attention")
        self.score_ld = tokens * 4
        self.scores = [buffer.take_local(f"scores {i}", self.group * tokens * 4, "attention") for i in range(2)]
        self.prob_ld = tokens * 2
        self.probs = [
            buffer.take_local(f"probabilities {i}", self.group * tokens * 2, "attention") for i in range(plan.together)
        ]
        self.part_bytes = self.group * model.head_dim * 4 + 2 * self.group * 4
        self.slots = [buffer.take_local(f"part result {i}", self.part_bytes, "attention") for i in range(plan.together)]
        owned = max(sum(1 for t in self.owners.values() if t.pu == pu) for pu in range(out.pus))
        self.parts_at = buffer.take("parts", owned * self.parts * self.part_bytes if self.parts > 1 else 1, "attention")
        self.planes = planes_of(self.core, plan.value)
        size = self.planes * self.group * self.blocks * self.core.columns * 4
        self.partial = [buffer.take_local(f"value planes {i}", size, "attention") for i in range(2)]
        self.scale = out.table([fp32_bits(model.head_dim**-0.5)])

    def exchange(
        self, heads: list[tuple[str, int, int, int]], ld: int, ready: list[Event | None]
    ) -> list[list[Event | None]]:
        """Bring projected heads to the PUs of their tasks.

        Parameters
        ----------
        heads : list of (str, int, int, int)
            (``"q"``, ``"k"`` or ``"v"``; head; PU that projected it; address of its column there), rows = batch.
        ld : int
            Bytes between rows of the projection.
        ready : list of Event, by PU
            When the projected and rotated heads stand.

        Returns
        -------
        list of lists of Event, by PU
            When all heads of the PU's tasks stand there.
        """
        out = self.out
        size = self.model.head_dim * 2
        done: list[dict[int, int]] = [{} for _ in range(out.pus)]
        for kind, head, source, address in heads:
            kv_head = head // self.group if kind == "q" else head
            for runs in self.runs(kv_head, appended=kind != "q"):
                first = runs[0]
                start = address + first.batch * ld
                if kind == "q":
                    target, target_ld = self.q + (first.slot * self.group + head % self.group) * self.row, 0
                    target_ld = self.group * self.row
                else:
                    target, target_ld = (self.k if kind == "k" else self.v) + first.slot * self.row, self.row
                if first.pu == source:
                    event = out.vector(
                        source,
                        V_COPY,
                        len(runs),
                        self.model.head_dim,
                        [ready[source]],
                        a=start,
                        a_ld=ld,
                        out=target,
                        out_ld=target_ld,
                    )
                else:
                    _, event = out.send(
                        source,
                        first.pu,
                        [ready[source]],
                        common=EXCHANGE,
                        rows=len(runs),
                        size=size,
                        source=start,
                        source_ld=ld,
                        target=target,
                        target_ld=target_ld,
                    )
                done[first.pu][event.semaphore] = event.value
        return [[Event(s, c) for s, c in d.items()] for d in done]

    def _stream(self, pu: int, places: Places, index: int, name: str, operator: int) -> None:
        row, tile = places[index, name]
        counts = self.out.table(strip_counts((tile,), self.core))
        self.out.emit(pu, MOVE, STREAM, operator=operator, row=row, table=counts, traffic=KV, bytes=useful_bytes(tile))

    def encode_layer(
        self, layer: int, operators: dict[str, int], ready: list[list[Event | None]]
    ) -> tuple[list[list[Region]], list[list[Event | None]]]:
        """Emit append, scores, softmax, values and output of a layer.

        Parameters
        ----------
        layer : int
        operators : dict of str to int
            Indices of ``kv_append``, ``score``, ``softmax`` and ``value``.
        ready : list of lists of Event, by PU
            When the heads of the PU's tasks stand.

        Returns
        -------
        regions : list of lists of Region, by PU
            What each PU holds of the attention output.
        done : list of lists of Event, by PU
            When it stands.
        """
        places = self.place(layer)
        arrived: list[dict[int, int]] = [{} for _ in range(self.out.pus)]
        last: list[Event | None] = [None] * self.out.pus
        for pu, tasks in enumerate(self.by_pu):
            self.out.operator = operators["kv_append"]
            for task in tasks:
                if task.part == self.parts - 1:
                    sources = self.k + task.slot * self.row, self.v + task.slot * self.row
                    self.append(layer, task, places, sources, ready[pu])
            for first in range(0, len(tasks), self.plan.together):
                self._batch_of_tasks(
                    pu, tasks[first : first + self.plan.together], places, operators, ready[pu], arrived, last
                )
        if self.parts > 1:
            self.out.operator = operators["value"]
            self._combine(arrived, last)
        regions = [
            [
                self._region(run)
                for g in range(self.model.kv_heads)
                for run in self.runs(g, appended=True)
                if run[0].pu == pu
            ]
            for pu in range(self.out.pus)
        ]
        return regions, [[event] for event in last]

    def _region(self, run: list[Task]) -> Region:
        size = self.group * self.model.head_dim * 2
        address = self.output + run[0].batch * self.output_ld + run[0].head * size
        return Region(address, len(run), size, self.output_ld)

    def _batch_of_tasks(
        self,
        pu: int,
        tasks: list[Task],
        places: Places,
        operators: dict[str, int],
        ready: list[Event | None],
        arrived: list[dict[int, int]],
        last: list[Event | None],
    ) -> None:
        """Scores of all tasks of a batch, then their values."""
        out, model = self.out, self.model
        softmax: list[Event] = []
        free: list[Event | None] = [last[pu], last[pu]]
        out.operator = operators["score"]
        q = self.q + tasks[0].slot * self.group * self.row
        queries = out.bring(pu, q, self.row, len(tasks) * self.group, model.head_dim * 2, ready)
        for i, task in enumerate(tasks):
            out.operator = operators["score"]
            self._stream(pu, places, self.number[task], "k", operators["score"])
            scored = out.run_pass(
                pu,
                self.plan.score,
                queries.below(i * self.group),
                [softmax[i - 2] if i >= 2 else last[pu]],
                m=self.group,
                n=task.tokens,
                k=model.head_dim,
                out=self.scores[i % 2],
                out_ld=self.score_ld,
                operator=operators["score"],
            )
            out.operator = operators["softmax"]
            stats = self.slots[i] + self.group * model.head_dim * 4
            softmax.append(
                out.vector(
                    pu,
                    V_SOFTMAX,
                    self.group,
                    task.tokens,
                    [scored, last[pu]],
                    a=self.scores[i % 2],
                    a_ld=self.score_ld,
                    out=self.probs[i],
                    out_ld=self.prob_ld,
                    c=stats,
                    table=self.scale,
                )
            )
        out.operator = operators["value"]
        for i, task in enumerate(tasks):
            self._stream(pu, places, self.number[task], "v", operators["value"])
            ld = self.blocks * self.core.columns * 4
            valued = out.run_pass(
                pu,
                self.plan.value,
                out.bring(pu, self.probs[i], self.prob_ld, self.group, task.tokens * 2, [softmax[i]]),
                [free[i % 2]],
                m=self.group,
                n=model.head_dim,
                k=task.tokens,
                out=self.partial[i % 2],
                out_ld=ld,
                planes=self.planes,
                plane_ld=self.group * ld,
                operator=operators["value"],
            )
            free[i % 2] = last[pu] = self._finish(pu, i, task, valued, ld, arrived)

    def _finish(self, pu: int, i: int, task: Task, valued: Event, ld: int, arrived: list[dict[int, int]]) -> Event:
        """Add the planes of a task's result; into the output, or into the owner's list of parts."""
        out, model = self.out, self.model
        width = model.head_dim
        stats = self.slots[i] + self.group * width * 4
        common = {"a": self.partial[i % 2], "a_ld": ld, "planes": self.planes, "plane_ld": self.group * ld, "c": stats}
        if self.parts == 1:
            target = self.output + task.batch * self.output_ld + task.head * self.group * width * 2
            return out.vector(pu, V_ATTENTION_OUT, self.group, width, [valued], out=target, out_ld=width * 2, **common)
        done = out.vector(
            pu,
            V_ATTENTION_OUT,
            self.group,
            width,
            [valued],
            out=self.slots[i],
            out_ld=width * 4,
            flags=F_OUT_FP32,
            **common,
        )
        owner = self.owners[task.head, task.batch]
        place = self._part_place(owner, task.part)
        if owner.pu == pu:
            done = out.vector(pu, V_COPY, 1, self.part_bytes // 4, [done], a=self.slots[i], out=place, flags=F_A_FP32)
            event = done
        else:
            done, event = out.send(
                pu, owner.pu, [done], common=PARTS, size=self.part_bytes, source=self.slots[i], target=place
            )
        arrived[owner.pu][event.semaphore] = event.value
        return done

    def _part_place(self, owner: Task, part: int) -> int:
        mine = [t for t in self.owners.values() if t.pu == owner.pu]
        return self.parts_at + (mine.index(owner) * self.parts + part) * self.part_bytes

    def _combine(self, arrived: list[dict[int, int]], last: list[Event | None]) -> None:
        """Combine the parts of every sequence at its owner."""
        out, width = self.out, self.model.head_dim
        for owner in self.owners.values():
            waits = [Event(s, c) for s, c in arrived[owner.pu].items()]
            place = self._part_place(owner, 0)
            target = self.output + owner.batch * self.output_ld + owner.head * self.group * width * 2
            last[owner.pu] = out.vector(
                owner.pu,
                V_COMBINE_PARTS,
                self.group,
                width,
                waits,
                a=place,
                a_ld=width * 4,
                planes=self.parts,
                plane_ld=self.part_bytes,
                c=place + self.group * width * 4,
                imm=self.part_bytes,
                out=target,
                out_ld=width * 2,
            )
