"""Attention tasks: one sequence, one KV head, one part of the sequence; where they run and where their cache lies."""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.program.beats import Tile
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import balanced
from nmpsim.program.encode.memory import CACHE, Banks, beats_in_strip
from nmpsim.program.encode.passes import PassEmitter
from nmpsim.program.isa import KV, MOVE, STORE
from nmpsim.program.program import BeatImage
from nmpsim.program.schedule import AttentionPlan
from nmpsim.workload import Model

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


def make_tasks(model: Model, batch: int, context: int, parts: int, pus: int) -> list[Task]:
    """Spread the tasks over the PUs, head by head, sequence by sequence, part by part."""
    ranges = [r for r in balanced(context, parts) if r[1] > 0]
    keys = [(g, b, r) for g in range(model.kv_heads) for b in range(batch) for r in range(len(ranges))]
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
    model : Model
    batch, context : int
    plan : AttentionPlan
    """

    def __init__(
        self, out: PassEmitter, banks: Banks, model: Model, batch: int, context: int, plan: AttentionPlan
    ) -> None:
        self.out, self.banks, self.model, self.plan, self.context = out, banks, model, plan, context
        self.core = out.params.core
        self.all = make_tasks(model, batch, context, plan.parts, out.pus)
        self.by_pu = [[t for t in self.all if t.pu == pu] for pu in range(out.pus)]
        self.parts = 1 + max(t.part for t in self.all)
        self.owners = {(t.head, t.batch): t for t in self.all if t.part == self.parts - 1}
        self.number = {task: i for i, task in enumerate(self.all)}
        self.width = {"k": model.key_dim, "v": model.value_dim}

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
            Buffer addresses of the new K and V, in whole beats.
        ready : list of Event
            When they stand.
        """
        columns = self.out.params.dram.columns
        for name, source in zip("kv", sources, strict=True):
            row, tile = places[self.number[task], name]
            local = task.tokens - 1 - self._shift(task)
            for strip in range(self.core.strips):
                beats = beats_in_strip(tile, self.core, strip)
                for position in (beats[:, 0] == local).nonzero()[0]:
                    block = int(beats[position, 1])
                    at, column = row + int(position) // columns, int(position) % columns
                    useful = min(self.core.columns, self.width[name] - block * self.core.columns)
                    beat = self.out.params.dram.column_bytes
                    self.out.emit(
                        task.pu,
                        MOVE,
                        STORE,
                        ready,
                        bank=strip,
                        row=at,
                        column=column,
                        beats=1,
                        a=source + block * beat,
                        traffic=KV,
                        bytes=useful * 2,
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
                        )
                    )

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
