"""Counts of attention: tasks, what they read, and what is exchanged before and behind them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from nmpsim.analytic.model.counting.shares import Ints, column_counts, dram_beats, even, form, up
from nmpsim.analytic.model.counting.work import NOTHING, Work, flits_of
from nmpsim.program.isa import expansion
from nmpsim.program.packing import CODES
from nmpsim.program.schedule import PassPlan, Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ABSORBED


class AttentionWork:
    """Tasks of a step: one sequence, one KV head, one part of the context; dealt out head by head.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
    """

    def __init__(self, schedule: Schedule, params: MachineParams) -> None:
        self.graph, self.plan, self.params = schedule.graph, schedule.attention, params
        self.model, self.pus, self.flit = self.graph.model, params.cores, params.noc.flit_bytes
        shard = self.graph.shard
        self.share = 1 if shard is None else shard.share
        self.part = 0 if shard is None else shard.part
        self.appends = shard is None or shard.appends
        self.members = [(0, 0)] if shard is None else [shard.member(d) for d in range(self.share)]
        self.group, self.own = self.graph.group, self.model.heads // self.model.kv_heads
        self.tokens = even(self.graph.tokens, self.plan.parts)
        self.tokens = self.tokens[self.tokens > 0]
        self.parts = len(self.tokens)
        heads, batch = self.model.kv_heads, self.graph.batch
        number = heads * batch * self.parts
        ends = number * np.arange(self.pus + 1, dtype=np.int64) // self.pus
        self.counts = np.diff(ends)
        self.pu = np.repeat(np.arange(self.pus), self.counts).reshape(heads, batch, self.parts)
        self.code = CODES[self.plan.kv]
        self.absorbed = self.model.latent is not None and self.model.latent.form == ABSORBED

    @cached_property
    def owner(self) -> Ints:
        """PU of the task that owns a sequence and a KV head; shape (head, sequence)."""
        return np.asarray(self.pu[:, :, -1], dtype=np.int64)

    def _streamed(self, shape: PassPlan, *, keys: bool) -> Work:
        """Streams and passes of one product of all tasks."""
        found = NOTHING
        width = self.model.key_dim if keys else self.model.value_dim
        for tokens, alike in zip(*np.unique(self.tokens, return_counts=True), strict=True):
            n, k = (int(tokens), width) if keys else (width, int(tokens))
            beats = dram_beats(self.params.core, form(shape), n, k, self.code)
            rows = int((-(-beats // self.params.dram.columns)).sum())
            size = n * k * (16 // expansion(self.code)) // 8
            found += Work(passes=1, RD=int(beats.sum()), ACT=rows, read_bytes=size).times(int(alike))
        return found.times(self.model.kv_heads * self.graph.batch * self.plan.turns)

    def score(self) -> Work:
        """Return the work of the scores."""
        return self._streamed(self.plan.score, keys=True)

    def value(self) -> Work:
        """Return the work of the values, and of bringing parts together."""
        return self._streamed(self.plan.value, keys=False) + self._returned()

    def append(self) -> Work:
        """Return the work of storing new keys and values: every beat by itself."""
        if not self.appends:
            return NOTHING
        columns, model = self.params.core.columns, self.model
        stores = up(model.key_dim, columns) + up(model.value_dim, columns)
        size = (model.key_dim + model.value_dim) * 2 // expansion(self.code)
        return Work(WR=stores, ACT=stores, write_bytes=size).times(model.kv_heads * self.graph.batch)

    def _to(self, source: int, head: int, *, last: bool) -> int:
        """Tasks of a KV head on other PUs than the source; `last`: those that own a sequence."""
        tasks = self.owner[head] if last else self.pu[head]
        return int((tasks != source).sum())

    def exchange(self) -> Work:
        """Return the work of bringing projected heads to their tasks."""
        if self.absorbed:
            return self._exchange_rows()
        model, flit = self.model, self.flit
        found = 0
        sources = np.repeat(np.arange(self.pus), even(model.heads, self.pus))
        latent = model.latent
        for head in range(model.heads):
            for _, stack in self.members:
                rows = self._to(int(sources[head]) if stack == 0 else -1, head // self.own, last=False)
                found += flits_of(rows, model.head_dim * 2, flit)
        if not self.appends:
            return Work(flits=found)
        if latent is not None:
            for head in range(model.heads):
                at = int(sources[head])
                rows = self._to(at, head, last=True)
                found += flits_of(rows, latent.nope * 2, flit) + flits_of(rows, latent.value * 2, flit)
                found += flits_of(self._to(self.pus - 1, head, last=True), latent.rope * 2, flit)
            return Work(flits=found)
        others = np.repeat(np.arange(self.pus), even(2 * model.kv_heads, self.pus))
        for number in range(2 * model.kv_heads):
            rows = self._to(int(others[number]), number // 2, last=True)
            found += flits_of(rows, model.head_dim * 2, flit)
        return Work(flits=found)

    def _exchange_rows(self) -> Work:
        """The same where all heads of a sequence share one row: sides of heads go to every task."""
        latent, flit = self.model.latent, self.flit
        assert latent is not None
        found = 0
        for pu, number in enumerate(map(int, even(self.model.heads, self.pus))):
            for _, stack in self.members if number else ():
                tasks = self._to(pu if stack == 0 else -1, 0, last=False)
                found += tasks * (flits_of(number, latent.kv_rank * 2, flit) + flits_of(number, latent.rope * 2, flit))
        if not self.appends:
            return Work(flits=found)
        plain = column_counts(latent.q_rank + latent.kv_rank, self.params.core.columns, self.pus)
        ends = np.cumsum(plain)
        keys = plain - np.clip(np.minimum(ends, latent.q_rank) - (ends - plain), 0, None)
        for pu, number in enumerate(map(int, keys)):
            if number:
                found += flits_of(self._to(pu, 0, last=True), number * 2, flit)
        found += flits_of(self._to(self.pus - 1, 0, last=True), latent.rope * 2, flit)
        return Work(flits=found)

    def gathered(self) -> Work:
        """Return the work of bringing the output of attention to all PUs."""
        size = self.own * self.model.value_dim * 2
        number = self.owner.size
        return Work(flits=flits_of(number, size, self.flit) * (self.pus - 1))

    def _returned(self) -> Work:
        """Parts of a sequence, and with a shared row of the cache all results, go to where they are added up."""
        if self.absorbed:
            return self._returned_rows()
        if self.parts * self.share == 1:
            return NOTHING
        rows, width, flit = self.group // self.plan.turns, self.model.value_dim, self.flit
        away = (self.pu != self.owner[:, :, None]).sum()
        if self.share > 1:
            own = self.own
            one = flits_of(1, own * width * 4, flit) + flits_of(2, own * 4, flit)
            others = self.pu.size * (self.share - 1)
            return Work(flits=int(away + others) * one * self.plan.turns)
        return Work(flits=int(away) * self.plan.turns * flits_of(1, rows * width * 4 + 2 * rows * 4, flit))

    def _returned_rows(self) -> Work:
        model, flit, turns = self.model, self.flit, self.plan.turns
        rows, width = self.group // turns, model.value_dim
        heads = even(model.heads, self.pus)
        first = np.cumsum(heads) - heads
        tasks = np.bincount(self.pu.ravel(), minlength=self.pus)
        found = 0
        for member, stack in self.members:
            others = tasks.sum() - (tasks if stack == 0 else 0)  # tasks on other PUs than that of the heads
            start = member * model.heads + first
            for turn in range(turns):
                own = np.maximum(0, np.minimum(start + heads, (turn + 1) * rows) - np.maximum(start, turn * rows))
                some = np.minimum(1, own)
                one = own * up(width * 4, flit) + some * 2 * -(-own * 4 // flit)  # the rows, and two statistics
                found += int((others * one).sum())
        return Work(flits=found)
