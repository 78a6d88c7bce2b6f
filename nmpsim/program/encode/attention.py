"""Attention on the tasks of every PU: a task is one sequence, one KV head and one part of the sequence.

exchange   heads of Q, K, V go from the PU that projected them to the PUs that own their tasks
append     the new token's K and V are stored behind the cached ones
scores     a pass per task, K token-major: IS or MAC tree, tokens over the strip groups
softmax    on the vector unit, under the scores of the next task
values     a pass per task, V token-major: OS or MAC tree, tokens over the strip groups
output     planes added and divided; with split sequences the parts go to the owner first
"""

from __future__ import annotations

from nmpsim.program.beats import useful_bytes
from nmpsim.program.encode.collective import Region
from nmpsim.program.encode.emitter import Event, fp32_bits
from nmpsim.program.encode.members import PARTS, to_members
from nmpsim.program.encode.memory import Banks, Buffer, strip_counts
from nmpsim.program.encode.passes import PassEmitter, coding
from nmpsim.program.encode.tasks import Carried, Places, Side, Task, Tasks
from nmpsim.program.isa import (
    F_A_FP32,
    F_OUT_FP32,
    KV,
    MOVE,
    STREAM,
    V_ATTENTION_OUT,
    V_COMBINE_PARTS,
    V_COPY,
    V_QUANTISE,
    V_SOFTMAX,
    expansion,
)
from nmpsim.program.schedule import AttentionPlan
from nmpsim.workload import OperatorGraph

EXCHANGE = 2
"""Shared semaphore that counts exchanged heads."""


class Attention(Tasks):
    """Buffer regions, tasks and cached rows of attention; `encode_layer` emits one layer.

    Parameters
    ----------
    out : PassEmitter
    banks : Banks
    buffer : Buffer
        Regions are taken in phase ``attention``.
    graph : OperatorGraph
    plan : AttentionPlan
    output : int
        Address of the attention output [batch, heads * head_dim] FP16.
    """

    def __init__(
        self,
        out: PassEmitter,
        banks: Banks,
        buffer: Buffer,
        graph: OperatorGraph,
        plan: AttentionPlan,
        output: int,
    ) -> None:
        super().__init__(out, banks, graph, plan)
        model = graph.model
        self.output = output
        self.turns = plan.turns
        self.rows = self.group // plan.turns
        key, value = model.key_dim, model.value_dim
        self.output_ld = model.heads * value * 2
        beat, columns = out.params.dram.column_bytes, self.core.columns
        self.row = -(-key // columns) * beat
        self.value_row = -(-value // columns) * beat
        most = max(len(tasks) for tasks in self.by_pu)
        tokens = self.most_tokens
        together = plan.together * self.turns
        self.q = buffer.take("q of the tasks", most * self.group * self.row, "attention")
        self.k = buffer.take("new k of the tasks", most * self.row, "attention")
        self._value_region(buffer, most)
        self.narrow = (
            buffer.take("narrow k and v of the tasks", most * self._narrow_row(), "attention") if self.code else 0
        )
        self.score_ld = tokens * 4
        self.scores = [buffer.take_local(f"scores {i}", self.rows * tokens * 4, "attention") for i in range(2)]
        self.prob_ld = tokens * 2
        self.probs = [
            buffer.take_local(f"probabilities {i}", self.rows * tokens * 2, "attention") for i in range(together)
        ]
        self.part_bytes = self.rows * value * 4 + 2 * self.rows * 4
        self.planes = plan.value.planes(self.core)
        self.partial_ld = -(-value // columns) * columns * 4
        size = self.planes * self.rows * self.partial_ld
        self.partial = [buffer.take_local(f"value planes {i}", size, "attention") for i in range(2)]
        self.scale = out.table([fp32_bits(model.score_scale)])
        self._result_regions(buffer, together)

    def _narrow_row(self) -> int:
        """Bytes of the new key and value of a task in a narrow cache; 0 if it is FP16."""
        return (self.row + self.v_step) // expansion(self.code) if self.code else 0

    def _narrow_sources(self, slot: int) -> tuple[int, int]:
        """Where the new key and value of a task stand in the format of a narrow cache."""
        place = self.narrow + slot * self._narrow_row()
        return place, place + self.row // expansion(self.code)

    def _quantise(self, pu: int, task: Task, ready: list[Event | None]) -> list[Event | None]:
        """Bring the new key and value of a task into the format of the cache; return when they stand."""
        targets = self._narrow_sources(task.slot)
        sources = self.k + task.slot * self.row, self.v + task.slot * self.v_step
        done: list[Event | None] = list(ready)
        for width, a, out in zip((self.model.key_dim, self.model.value_dim), sources, targets, strict=True):
            done = [self.out.vector(pu, V_QUANTISE, 1, width, ready, a=a, out=out, imm=self.code, table=self.step)]
        return done

    def _value_region(self, buffer: Buffer, most: int) -> None:
        """Take the region of new values of `most` tasks."""
        self.v = buffer.take("new v of the tasks", most * self.value_row, "attention")
        self.v_step = self.value_row

    def _result_regions(self, buffer: Buffer, together: int) -> None:
        """Take the regions of results, statistics and parts; `together` results at once."""
        owned = max(len(self._mine(pu)) for pu in range(self.out.pus))
        self.slots = [buffer.take_local(f"part result {i}", self.part_bytes, "attention") for i in range(together)]
        self.statistics = [slot + self.rows * self.model.value_dim * 4 for slot in self.slots]
        self.all_parts = self.parts * self.share  # of all stacks
        self.place_bytes = self.part_bytes // self.share
        size = owned * self.turns * self.all_parts * self.place_bytes if self.all_parts > 1 else 1
        self.parts_at = buffer.take("parts", size, "attention")

    def exchange(self, heads: list[Carried], ready: list[list[Event | None]]) -> list[list[Event | None]]:
        """Bring projected heads to the PUs of their tasks.

        Parameters
        ----------
        heads : list of Carried
        ready : list of lists of Event, by PU
            When the projected and rotated heads stand.

        Returns
        -------
        list of lists of Event, by PU
            When all heads of the PU's tasks stand there.
        """
        done: list[dict[int, int]] = [{} for _ in range(self.out.pus)]
        for piece in heads:
            if piece.kind != "q" and not self.appends:
                continue
            kv_head = piece.head // self.own if piece.kind == "q" else piece.head
            for run in self.runs(kv_head, appended=piece.kind != "q"):
                slot = run[0].slot
                if piece.kind == "q":
                    target = self.q + (slot * self.group + self._row(piece.head % self.own)) * self.row
                    target_ld = self.group * self.row
                else:
                    target_ld = self.row if piece.kind == "k" else self.value_row
                    target = (self.k if piece.kind == "k" else self.v) + slot * target_ld
                source = piece.address + run[0].batch * piece.ld, piece.ld
                for _, stack in self.members() if piece.kind == "q" else [(0, 0)]:
                    self._carry(
                        (run[0].pu, stack),
                        piece.pu,
                        len(run),
                        piece.columns,
                        source,
                        (target, target_ld),
                        ready,
                        done,
                        piece.first,
                    )
        return [[Event(s, c) for s, c in d.items()] for d in done]

    def exchange_sides(self, sides: list[Side], ready: list[list[Event | None]]) -> list[list[Event | None]]:
        """Bring query heads that stand side by side to the PUs of their tasks; parameters as for `exchange`.

        Parameters
        ----------
        sides : list of Side
        ready : list of lists of Event, by PU
        """
        done: list[dict[int, int]] = [{} for _ in range(self.out.pus)]
        for side in sides:
            for task in self.all:
                target = self.q + (task.slot * self.group + self._row(side.head)) * self.row
                source = side.address + task.batch * side.ld, side.step
                for _, stack in self.members():
                    to = task.pu, stack
                    self._carry(
                        to, side.pu, side.heads, side.columns, source, (target, self.row), ready, done, side.first
                    )
        return [[Event(s, c) for s, c in d.items()] for d in done]

    def _carry(
        self,
        to: tuple[int, int],
        pu: int,
        rows: int,
        columns: int,
        source: tuple[int, int],
        target: tuple[int, int],
        ready: list[list[Event | None]],
        done: list[dict[int, int]],
        first: int,
    ) -> None:
        """Copy or send rows of columns to (PU, stacks further on); (address, ld) of both ends; notes the event."""
        out = self.out
        at = target[0] + first * 2
        if to == (pu, 0):
            place = {"a": source[0], "a_ld": source[1], "out": at, "out_ld": target[1]}
            event = out.vector(pu, V_COPY, rows, columns, ready[pu], **place)
        else:
            _, event = out.send(
                pu,
                to[0],
                ready[pu],
                stack=to[1],
                common=EXCHANGE,
                rows=rows,
                size=columns * 2,
                source=source[0],
                source_ld=source[1],
                target=at,
                target_ld=target[1],
            )
        done[to[0]][event.semaphore] = event.value

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
            for task in tasks if self.appends else ():
                self.out.operator = operators["kv_append"]
                if task.part == self.parts - 1:
                    sources = self.k + task.slot * self.row, self.v + task.slot * self.v_step
                    stands = ready[pu]
                    if self.code:
                        sources, stands = self._narrow_sources(task.slot), self._quantise(pu, task, ready[pu])
                    self.append(layer, task, places, sources, stands)
            self.over: list[Event | None] = []
            for first in range(0, len(tasks), self.plan.together):
                self._batch_of_tasks(
                    pu, tasks[first : first + self.plan.together], places, operators, ready[pu], arrived, last
                )
        self.out.operator = operators["value"]
        self._combine(arrived, last)
        return self._regions(), [[event] for event in last]

    def _regions(self) -> list[list[Region]]:
        """What each PU holds of the attention output."""
        return [
            [
                self._region(run)
                for g in range(self.model.kv_heads)
                for run in self.runs(g, appended=True)
                if run[0].pu == pu
            ]
            for pu in range(self.out.pus)
        ]

    def _region(self, run: list[Task]) -> Region:
        size = self.own * self.model.value_dim * 2
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
        """Scores of all tasks of a batch, then their values; heads of a task in turns."""
        out, model, rows = self.out, self.model, self.rows
        softmax: list[Event] = []
        before = [last[pu], *self.over]  # results of the batch before may still be on their way
        self.over = []
        free: list[list[Event | None]] = [before, before]
        out.operator = operators["score"]
        q = self.q + tasks[0].slot * self.group * self.row
        queries = out.bring(pu, q, self.row, len(tasks) * self.group, model.key_dim * 2, ready)
        items = [(task, turn) for task in tasks for turn in range(self.turns)]
        for i, (task, _) in enumerate(items):
            out.operator = operators["score"]
            self._stream(pu, places, self.number[task], "k", operators["score"])
            scored = out.run_pass(
                pu,
                self.plan.score,
                queries.below(i * rows),
                [softmax[i - 2] if i >= 2 else last[pu]],
                m=rows,
                n=task.tokens,
                k=model.key_dim,
                out=self.scores[i % 2],
                out_ld=self.score_ld,
                operator=operators["score"],
                form=coding(places[self.number[task], "k"][1], self.step),
            )
            out.operator = operators["softmax"]
            softmax.append(
                out.vector(
                    pu,
                    V_SOFTMAX,
                    rows,
                    task.tokens,
                    [scored, *before],
                    a=self.scores[i % 2],
                    a_ld=self.score_ld,
                    out=self.probs[i],
                    out_ld=self.prob_ld,
                    c=self.statistics[i],
                    table=self.scale,
                )
            )
        out.operator = operators["value"]
        for i, (task, turn) in enumerate(items):
            self._stream(pu, places, self.number[task], "v", operators["value"])
            valued = out.run_pass(
                pu,
                self.plan.value,
                out.bring(pu, self.probs[i], self.prob_ld, rows, task.tokens * 2, [softmax[i]]),
                free[i % 2],
                m=rows,
                n=model.value_dim,
                k=task.tokens,
                out=self.partial[i % 2],
                out_ld=self.partial_ld,
                planes=self.planes,
                plane_ld=rows * self.partial_ld,
                operator=operators["value"],
                form=coding(places[self.number[task], "v"][1], self.step),
            )
            last[pu], free[i % 2] = self._finish(pu, i, task, turn, valued, arrived)
            self.over += free[i % 2]

    def result(self, owner: Task, turn: int = 0) -> int:
        """Address of the result of a task that owns its sequence, or of a turn of its heads."""
        size = self.own * self.model.value_dim * 2
        inside = turn * (size // self.turns)
        return self.output + owner.batch * self.output_ld + owner.head * size + inside

    def _finish(
        self, pu: int, i: int, task: Task, turn: int, valued: Event, arrived: list[dict[int, int]]
    ) -> tuple[Event | None, list[Event | None]]:
        """Add the planes of a task's result; into the output, or into the owner's list of parts.

        Returns when the task is over, and when its planes may be written again.
        """
        out, width, rows = self.out, self.model.value_dim, self.rows
        common = {
            "a": self.partial[i % 2],
            "a_ld": self.partial_ld,
            "planes": self.planes,
            "plane_ld": rows * self.partial_ld,
            "c": self.statistics[i],
        }
        if self.all_parts == 1:
            target = self.result(task, turn)
            done = out.vector(pu, V_ATTENTION_OUT, rows, width, [valued], out=target, out_ld=width * 2, **common)
            return done, [done]
        done = out.vector(
            pu,
            V_ATTENTION_OUT,
            rows,
            width,
            [valued],
            out=self.slots[i],
            out_ld=width * 4,
            modifiers=F_OUT_FP32,
            **common,
        )
        owner = self.owners[task.head, task.batch]
        if self.share > 1:
            return to_members(self, pu, i, task, owner, done, arrived)
        place = self.part_place(owner, task.part, turn)
        if owner.pu == pu:
            done = out.vector(
                pu, V_COPY, 1, self.part_bytes // 4, [done], a=self.slots[i], out=place, modifiers=F_A_FP32
            )
            event = done
        else:
            done, event = out.send(
                pu, owner.pu, [done], common=PARTS, size=self.part_bytes, source=self.slots[i], target=place
            )
        arrived[owner.pu][event.semaphore] = event.value
        return done, [done]

    def part_place(self, owner: Task, part: int, turn: int) -> int:
        """Address of the results of one part of a sequence at its owner.

        Parameters
        ----------
        owner : Task
        part : int
            Of all stacks.
        turn : int
        """
        number = (self._mine(owner.pu).index(owner) * self.turns + turn) * self.all_parts + part
        return self.parts_at + number * self.place_bytes

    def _combine(self, arrived: list[dict[int, int]], last: list[Event | None]) -> None:
        """Combine the parts of every sequence at its owner."""
        if self.all_parts == 1:
            return
        out, width = self.out, self.model.value_dim
        rows = self.rows // self.share
        for owner, turn in ((o, t) for o in self.owners.values() for t in range(self.turns)):
            waits = [Event(s, c) for s, c in arrived[owner.pu].items()]
            place = self.part_place(owner, 0, turn)
            last[owner.pu] = out.vector(
                owner.pu,
                V_COMBINE_PARTS,
                rows,
                width,
                waits,
                a=place,
                a_ld=width * 4,
                planes=self.all_parts,
                plane_ld=self.place_bytes,
                c=place + rows * width * 4,
                imm=self.place_bytes,
                out=self.result(owner, turn),
                out_ld=width * 2,
            )
