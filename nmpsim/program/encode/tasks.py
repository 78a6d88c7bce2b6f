"""Attention tasks: one sequence, one KV head, one part of the sequence; where they run and where their cache lies."""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.beats import Tile
from nmpsim.program.encode.emitter import Event, fp32_bits
from nmpsim.program.encode.gemm import balanced
from nmpsim.program.encode.memory import CACHE, Banks, beats_in_strip
from nmpsim.program.encode.passes import PassEmitter
from nmpsim.program.isa import B_INT8, KV, MOVE, STORE, expansion
from nmpsim.program.packing import CODES, place_of
from nmpsim.program.program import BeatImage
from nmpsim.program.schedule import AttentionPlan
from nmpsim.workload import KV_STEP, OperatorGraph

Places = dict[tuple[int, str], tuple[int, Tile]]
"""(task index, ``"k"`` or ``"v"``) -> (first row, tile)."""


@dataclass(frozen=True)
class Task:
    """One sequence, one KV head, one part: its tokens, its PU and its position there."""

    batch: int
    head: int
    part: int
    start: int
    tokens: int
    pu: int
    slot: int


@dataclass(frozen=True)
class Carried:
    """Columns of a projected head, or of a row that all heads share, on the PU that computed them; rows = batch.

    Parameters
    ----------
    kind : str
        ``"q"``, ``"k"`` or ``"v"``.
    head : int
        Query or key/value head.
    pu : int
    address, ld : int
        Where the columns of the first sequence stand, and bytes from one sequence to the next.
    columns : int
    first : int
        Column of the head that the first of them is.
    """

    kind: str
    head: int
    pu: int
    address: int
    ld: int
    columns: int
    first: int = 0


@dataclass(frozen=True)
class Side:
    """Consecutive query heads side by side on the PU that computed them: heads * columns of one sequence in a row.

    Parameters
    ----------
    head, heads : int
        First head, and number of heads.
    pu : int
    address, ld : int
        Where the first head of the first sequence stands, and bytes from one sequence to the next.
    step : int
        Bytes from one head to the next.
    columns : int
        Columns of a head that are carried.
    first : int
        Column of the head that the first of them is.
    """

    head: int
    heads: int
    pu: int
    address: int
    ld: int
    step: int
    columns: int
    first: int


def make_tasks(kv_heads: int, batch: int, context: int, parts: int, pus: int) -> list[Task]:
    """Spread the tasks over the PUs, head by head, sequence by sequence, part by part."""
    ranges = [r for r in balanced(context, parts) if r[1] > 0]
    keys = [(g, b, r) for g in range(kv_heads) for b in range(batch) for r in range(len(ranges))]
    tasks = []
    for pu, (first, count) in enumerate(balanced(len(keys), pus)):
        for slot, (g, b, r) in enumerate(keys[first : first + count]):
            tasks.append(Task(b, g, r, *ranges[r], pu, slot))
    return tasks


class Tasks:
    """All tasks of a step, spread over the PUs, and the cached keys and values they read.

    Parameters
    ----------
    out : PassEmitter
    banks : Banks
    graph : OperatorGraph
    plan : AttentionPlan
    """

    def __init__(self, out: PassEmitter, banks: Banks, graph: OperatorGraph, plan: AttentionPlan) -> None:
        model, batch, context = graph.model, graph.batch, graph.tokens
        self.out, self.banks, self.model, self.plan, self.context = out, banks, model, plan, context
        self.shard = graph.shard
        self.appends = self.shard is None or self.shard.appends
        self.share = 1 if self.shard is None else self.shard.share
        self.group = graph.group  # query heads of a task
        self.own = model.heads // model.kv_heads  # of which projected here
        self.core = out.params.core
        if self.share > 1 and graph.context // self.share < plan.parts:
            got = f"{plan.parts} parts of {graph.context // self.share} tokens"
            fault = Fault("attention", got, "at least a token in every part", "a longer context, or fewer stacks")
            raise InfeasibleError("the context is too short for the stacks", [fault])
        self.most_tokens = -(-graph.most_tokens // plan.parts)
        self.all = make_tasks(model.kv_heads, batch, context, plan.parts, out.pus)
        self.by_pu = [[t for t in self.all if t.pu == pu] for pu in range(out.pus)]
        self.parts = 1 + max(t.part for t in self.all)
        self.owners = {(t.head, t.batch): t for t in self.all if t.part == self.parts - 1}
        self.number = {task: i for i, task in enumerate(self.all)}
        self.width = {"k": model.key_dim, "v": model.value_dim}
        self.code = CODES[plan.kv]
        self.step = out.table([fp32_bits(KV_STEP)]) if self.code == B_INT8 else -1

    def place(self, layer: int) -> Places:
        """Give the cached K and V of a layer their rows; returns (task index, "k" or "v") -> (row, tile)."""
        places = {}
        for index, task in enumerate(self.all):
            for name, plan in (("k", self.plan.score), ("v", self.plan.value)):
                width = self.width[name]
                shift = self._shift(task)
                if name == "k":
                    parts = ((task.start + shift, task.tokens - shift), (task.start, shift))
                    tile = Tile(
                        plan.flow,
                        plan.group,
                        plan.split,
                        plan.contiguous,
                        task.tokens,
                        width,
                        0,
                        tuple(part for part in parts if part[1]),
                    )
                else:
                    tile = Tile(
                        plan.flow,
                        plan.group,
                        plan.split,
                        plan.contiguous,
                        width,
                        task.tokens,
                        task.start,
                        ((0, width),),
                        shift,
                    )
                tensor = f"layers.{layer}.{name}.{task.batch}.{task.head}"
                tile = tile.coded(self.code)
                places[index, name] = (self.banks.stream(tensor, task.pu, (tile,), CACHE), tile)
        return places

    def _shift(self, task: Task) -> int:
        """Rotate the tokens of a task by its slot, so that the new tokens of a PU's tasks fall into different banks."""
        return task.slot % min(self.core.strips, task.tokens)

    def append(
        self,
        layer: int,
        task: Task,
        places: Places,
        sources: tuple[int, int],
        ready: list[Event | None],
    ) -> None:
        """Store the new token's K and V of a task that owns the end of its sequence.

        Parameters
        ----------
        layer : int
        task : Task
        places : Places
            Of the layer.
        sources : (int, int)
            Buffer addresses of the new K and V, in whole beats of the array.
        ready : list of Event
            When they stand.
        """
        columns = self.out.params.dram.columns
        size = self.out.params.dram.column_bytes // expansion(self.code)  # of a beat of the array
        for name, source in zip("kv", sources, strict=True):
            row, tile = places[self.number[task], name]
            local = task.tokens - 1 - self._shift(task)
            for strip in range(self.core.strips):
                beats = beats_in_strip(tile, self.core, strip)
                for position in (beats[:, 0] == local).nonzero()[0]:
                    block = int(beats[position, 1])
                    beat, part = place_of(int(position), self.code, 0)
                    at, column = row + beat // columns, beat % columns
                    useful = min(self.core.columns, self.width[name] - block * self.core.columns)
                    mask = {"imm": part * size, "n": size} if self.code else {}
                    self.out.emit(
                        task.pu,
                        MOVE,
                        STORE,
                        ready,
                        bank=strip,
                        row=at,
                        column=column,
                        beats=1,
                        a=source + block * size,
                        traffic=KV,
                        bytes=useful * 2 // expansion(self.code),
                        **mask,
                    )
                    tensor = f"layers.{layer}.{name}.{task.batch}.{task.head}"
                    self.banks.images[CACHE].append(
                        BeatImage(
                            tensor,
                            task.pu,
                            strip,
                            at,
                            column,
                            1,
                            self.context - 1,
                            block * self.core.columns,
                            useful,
                            written=True,
                            code=self.code,
                            byte=part * size,
                        )
                    )

    def members(self) -> list[tuple[int, int]]:
        """Stacks that hold the parts of the same context, this one first: their part, and how many stacks on."""
        return [(0, 0)] if self.shard is None else [self.shard.member(d) for d in range(self.share)]

    def runs(self, head: int, *, appended: bool) -> list[list[Task]]:
        """Tasks of a KV head as runs with consecutive sequences and slots on one PU."""
        tasks = [t for t in self.all if t.head == head and (not appended or t.part == self.parts - 1)]
        runs: list[list[Task]] = []
        for task in tasks:
            before = runs[-1][-1] if runs else None
            if before and before.pu == task.pu and (before.batch + 1, before.slot + 1) == (task.batch, task.slot):
                runs[-1].append(task)
            else:
                runs.append([task])
        return runs

    def _row(self, head: int) -> int:
        """Row of a query head projected here among those of a task."""
        return head + (self.shard.part * self.own if self.shard is not None else 0)

    def _mine(self, pu: int) -> list[Task]:
        return [t for t in self.owners.values() if t.pu == pu]
