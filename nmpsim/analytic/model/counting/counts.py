"""Counts of every operator of a scheduled step, kind by kind; equal layers are counted once.

Work stands with the operator to which the program attributes it: what gathers the input of a GEMM and streams its
weights with the GEMM, the words that landing spaces are empty with whoever consumes the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from nmpsim.analytic.model.counting.alike import alike
from nmpsim.analytic.model.counting.attention import AttentionWork
from nmpsim.analytic.model.counting.shares import Ints, column_counts, even
from nmpsim.analytic.model.counting.teams import handed, untold, worker_streams
from nmpsim.analytic.model.counting.work import (
    NOTHING,
    Chunks,
    Streams,
    Work,
    chunked,
    flits_of,
    gathered,
    loaded,
    streamed,
    told_to_all,
)
from nmpsim.program.schedule import OVER_K, OVER_N, GemmPlan, Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import (
    ABSORBED,
    ALL_HEADS,
    GEMM_KINDS,
    HEAD_KINDS,
    LAYER_NORM,
    PER_HEAD,
    Operator,
    OperatorKind,
)

K = OperatorKind


class StepCounts:
    """Counts of a step.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    """

    def __init__(self, schedule: Schedule, params: MachineParams) -> None:
        self.schedule, self.params, self.graph = schedule, params, schedule.graph
        self.model, self.m, self.pus = self.graph.model, self.graph.batch, params.cores
        self.core, self.dram, self.flit = params.core, params.dram, params.noc.flit_bytes
        columns = self.core.columns
        self.hidden = column_counts(self.model.hidden, columns, self.pus)
        self.vocab = column_counts(self.graph.columns[1], columns, self.pus)
        self.attention = AttentionWork(schedule, params)
        self.heads = self._heads()
        self.down_over_k = any(
            plan.over == OVER_K and self.graph.operators[i].kind is K.DOWN for i, plan in schedule.gemm.items()
        )
        self._rounds: dict[tuple[int, int], Work] = {}

    def _heads(self) -> tuple[Ints, Ints]:
        """Query heads, and heads of keys and values, that every PU projects."""
        others = 0 if self.model.latent is not None else 2 * self.model.kv_heads
        return even(self.model.heads, self.pus), even(others, self.pus)

    def all(self, classes: Sequence[int] | None = None, first: Sequence[bool] | None = None) -> list[Work]:
        """Return the work of every operator, in the order of the graph; operators that are alike share theirs.

        Parameters
        ----------
        classes, first : sequence, optional
            From `nmpsim.analytic.model.counting.alike.alike`, if they are there already.
        """
        if classes is None or first is None:
            classes, first = alike(self.graph, self.schedule.gemm)
        known: list[Work] = []  # by class: they are numbered in the order in which they occur
        for index, number in enumerate(classes):
            if number == len(known):
                operator = self.graph.operators[index]
                known.append(self._counted(index, operator, operator.name.rsplit(".", 1)[-1], first=first[index]))
        found = [known[number] for number in classes]
        for index, words in self._untold().items():
            found[index] += Work(flits=-words, messages=-words)
        return found

    def _untold(self) -> dict[int, int]:
        """Return the words that GEMMs on teams do not send, by index: those of spaces that nobody has used."""
        gemm = self.schedule.gemm
        if all(plan.team == 1 for plan in gemm.values()):
            return {}
        known: dict[tuple[object, ...], tuple[tuple[int, ...], ...]] = {}
        owned = {}
        for index, plan in gemm.items():
            operator = self.graph.operators[index]
            if plan.reduces and operator.kind is not K.ROUTER:
                key = operator.kind, operator.n, plan.chunks
                if key not in known:
                    known[key] = self._chunks(operator, plan).pieces
                owned[index] = known[key]
        return {i: n for i, n in untold(self.graph, gemm, owned, ahead=self.schedule.ahead).items() if n}

    def _counted(self, index: int, operator: Operator, part: str, *, first: bool) -> Work:
        kind = operator.kind
        found = Work(macs=operator.macs, vector_elements=operator.vector_elements)
        if kind in GEMM_KINDS:
            found += self._gemm(index, operator)
        makers: dict[OperatorKind, Callable[[], Work]] = {
            K.EMBEDDING: self._embedding,
            K.POSITION: lambda: loaded(self.hidden, 2, self.dram),
            K.NORM: lambda: self._norm(part),
            K.KV_APPEND: self.attention.append,
            K.SCORE: self.attention.score,
            K.VALUE: self.attention.value,
            K.SAMPLING: self._sampling,
            K.QK_NORM: self._qk_norm,
            K.TOPK: self._topk,
            K.RESIDUAL: lambda: self._residual(operator, part),
            K.ACTIVATION: lambda: self._activation(operator),
            K.GATHER: lambda: gathered(self.m, self.hidden, self.flit) if first else NOTHING,
        }
        if kind in makers:
            found += makers[kind]()
        if kind is self._exchanger():
            found += self.attention.exchange()
        return found

    def _exchanger(self) -> OperatorKind:
        """Return the kind of the operator behind which heads go to their tasks."""
        model = self.model
        if model.latent is not None:
            return K.ABSORB if model.latent.form == ABSORBED else K.KV_UP
        return K.ROPE if model.rope_dim else K.QK_NORM if model.qk_norm else K.QKV

    def _embedding(self) -> Work:
        beat, own, gathered = self.dram.column_bytes, self.hidden, NOTHING
        if self.graph.stacks > 1 and self.graph.shard is not None:
            own = np.array([pieces[self.graph.shard.stack] for pieces in self._pieces()], np.int64)
            gathered = self._round(2, 0)
        beats = -(-own * 2 // beat)
        rows = Work(RD=int(beats.sum()), ACT=int((own > 0).sum()), read_bytes=int(own.sum()) * 2).times(self.m)
        return rows + gathered + loaded(np.full(self.pus, self.model.rope_dim, np.int64), 4, self.dram)

    def _norm(self, part: str) -> Work:
        latent = self.model.latent
        if part == "kv_norm" and latent is not None:
            return NOTHING  # told with that of the queries
        if part == "q_norm" and latent is not None:
            queries, keys, _ = self.latent_counts()
            gains = loaded(queries, 2, self.dram) + loaded(keys, 2, self.dram)
            return gains + told_to_all(2 * self.m * 4, self.pus, self.pus, self.flit)
        size = self.m * (8 if self.model.norm == LAYER_NORM else 4)
        told = told_to_all(size, self.pus, self.pus, self.flit)
        return loaded(self.hidden, 2, self.dram, self.model.norm_vectors) + told

    def _qk_norm(self) -> Work:
        model = self.model
        if model.qk_norm == PER_HEAD:
            return loaded(np.full(self.pus, model.head_dim, np.int64), 2, self.dram, 2)
        if model.qk_norm != ALL_HEADS:
            return NOTHING
        keys = np.array([sum(1 for h in own if h % 2 == 0) for own in self._pairs()], np.int64)
        gains = loaded(self.heads[0] * model.head_dim, 2, self.dram) + loaded(keys * model.head_dim, 2, self.dram)
        others = (self.graph.stacks - 1) * self.pus
        between = Work(flits=flits_of(1, 2 * self.m * 4, self.flit) * others, messages=others)
        return gains + between + told_to_all(2 * self.m * 4, self.pus, self.pus, self.flit)

    def _pairs(self) -> list[range]:
        """Heads of keys (even) and values (odd) that every PU projects."""
        ends = np.concatenate([[0], np.cumsum(self.heads[1])])
        return [range(int(a), int(b)) for a, b in pairwise(ends)]

    def _topk(self) -> Work:
        if not self.model.gating.corrected:
            return NOTHING
        return loaded(np.full(self.pus, self.model.experts, np.int64), 4, self.dram)

    def _sampling(self) -> Work:
        others = int((self.vocab[1:] > 0).sum()) + self.graph.stacks - 1
        return Work(flits=flits_of(1, self.m * 8, self.flit) * others, messages=others)

    def _activation(self, operator: Operator) -> Work:
        """The words that landing spaces are empty, of a projection over K before it."""
        before = operator.depends[0]
        plan = self.schedule.gemm[before]
        return self._chunks(self.graph.operators[before], plan).credits() if self._reduces(plan) else NOTHING

    def _residual(self, operator: Operator, part: str) -> Work:
        """The same behind projections into the residual stream, and what joins the stacks."""
        found = NOTHING
        experts = part == "ffn_residual" and self.model.has_experts(operator.layer)
        if not experts:
            before = operator.depends[1]
            plan = self.schedule.gemm[before]
            if self._reduces(plan):
                chunks = self._chunks(self.graph.operators[before], plan)
                found += chunks.credits() if self.graph.stacks == 1 else NOTHING
        if self.graph.stacks == 1:
            return found
        if experts and not self.model.gating.shared_ffn:
            here = [o.tokens for o in self.graph.operators if o.kind is K.GATHER and o.layer == operator.layer]
            if len(set().union(*here)) < self.m:  # sums of tokens without an expert here begin with zeros
                found += loaded(self.hidden, 4, self.dram)
        return found + self._stacks()

    def _pieces(self) -> list[Ints]:
        """Columns of the residual stream that every stack sums up, of every PU that has columns."""
        stacks, grain = self.graph.stacks, max(1, self.flit // 4)
        found = []
        for columns in map(int, self.hidden[self.hidden > 0]):
            unit = grain if columns >= stacks * grain and columns % grain == 0 else 1
            found.append(even(columns // unit, stacks) * unit)
        return found

    def _round(self, size: int, late: int) -> Work:
        """Pieces that a stack passes on round the ring, from its own one back by `late`; `size` bytes an element.

        All but the one that stands at the end of its way.
        """
        if (size, late) not in self._rounds:
            stacks, stack = self.graph.stacks, self.graph.shard.stack if self.graph.shard is not None else 0
            pieces = np.array(self._pieces(), dtype=np.int64).reshape(-1, stacks)
            rows = -(-pieces * size // self.flit)
            flits = int(rows.sum() - rows[:, (stack - late + 1) % stacks].sum()) * self.m
            self._rounds[size, late] = Work(flits=flits, messages=len(pieces) * (stacks - 1))
        return self._rounds[size, late]

    def _stacks(self) -> Work:
        """An all-reduce over the stacks: every piece of a PU's columns goes once round as sums, once as results."""
        return self._round(4, 1) + self._round(2, 0)

    @staticmethod
    def _reduces(plan: GemmPlan) -> bool:
        return plan.over == OVER_K

    def latent_counts(self) -> tuple[Ints, Ints, Ints]:
        """Return the columns of latents by PU: of the queries' one, the keys' one, and of the fused projection."""
        latent = self.model.latent
        assert latent is not None
        plain = column_counts(latent.q_rank + latent.kv_rank, self.core.columns, self.pus)
        ends = np.cumsum(plain)
        queries = np.clip(np.minimum(ends, latent.q_rank) - (ends - plain), 0, None)
        fused = plain.copy()
        fused[-1] += latent.rope
        return queries, plain - queries, fused

    def columns_of(self, operator: Operator) -> Ints:
        """Return the result columns of a GEMM by PU.

        Parameters
        ----------
        operator : Operator
        """
        kind, latent = operator.kind, self.model.latent
        if kind is K.QKV:
            return (self.heads[0] + self.heads[1]) * self.model.head_dim
        if kind is K.LATENT:
            return self.latent_counts()[2]
        if latent is not None and kind in {K.Q_UP, K.KV_UP}:
            return self.heads[0] * (self.model.head_dim if kind is K.Q_UP else latent.nope + latent.value)
        if kind is K.GATE_UP:
            return 2 * column_counts(operator.n // 2, self.core.columns, self.pus)
        if kind is K.UP:
            return column_counts(operator.n, self.core.columns, self.pus)
        return self.vocab if kind is K.LM_HEAD else self.hidden

    def entry_of(self, operator: Operator) -> Ints:
        """Return the columns of the input of a GEMM by PU.

        Parameters
        ----------
        operator : Operator
        """
        kind, latent = operator.kind, self.model.latent
        if kind is K.DOWN:
            return column_counts(operator.k, self.core.columns, self.pus)
        if latent is not None:
            if kind is K.Q_UP:
                return self.latent_counts()[0]
            if kind is K.KV_UP:
                return self.latent_counts()[1]
            if kind is K.ATTN_OUT and latent.form == ABSORBED:
                return self.heads[0] * latent.value
        if kind is K.ATTN_OUT:  # over K, where every PU has all sequences of its heads
            group = self.model.heads // self.model.kv_heads
            return even(self.model.kv_heads, self.pus) * group * self.model.value_dim
        return self.hidden

    def _chunks(self, operator: Operator, plan: GemmPlan) -> Chunks:
        unit = 2 * self.core.columns if operator.kind is K.GATE_UP else 0
        return chunked(self.columns_of(operator), plan.chunks, unit, self.flit)

    def _bias(self, operator: Operator) -> Work:
        """Loads of the own part of a bias; every PU has that of its columns."""
        if not operator.vectors:
            return NOTHING
        return loaded(self.columns_of(operator), 2, self.dram)

    def _gemm(self, index: int, operator: Operator) -> Work:
        plan, kind = self.schedule.gemm[index], operator.kind
        core, dram, m = self.core, self.dram, operator.m
        found = self._bias(operator)
        paired = kind is K.GATE_UP
        if kind in HEAD_KINDS:
            streams = [Streams((operator.n,) * int(h), operator.k) for h in self.heads[0]]
            return found + streamed(core, dram, plan.shape, streams, paired=False)
        if kind is K.ROUTER:
            starts = np.cumsum(self.hidden) - self.hidden
            streams = [
                Streams((operator.n,), int(k), self._start(plan, int(s)))
                for k, s in zip(self.hidden, starts, strict=True)
            ]
            owners = int((self.hidden > 0).sum())
            found += told_to_all(self.m * operator.n * 4, owners, self.pus, self.flit)
            found += told_to_all(4, self.pus - owners, self.pus, self.flit)
            return found + streamed(core, dram, plan.shape, streams, paired=False)
        columns, entry = self.columns_of(operator), self.entry_of(operator)
        if plan.over == OVER_K:
            chunks = self._chunks(operator, plan)
            whole = tuple(sum(owners) for owners in chunks.pieces)
            starts = np.cumsum(entry) - entry
            streams = [Streams(whole, int(k), self._start(plan, int(s))) for k, s in zip(entry, starts, strict=True)]
            found += chunks.flits(m, self.flit)
            consumed = kind in {K.QKV, K.LATENT} or (kind in {K.ATTN_OUT, K.DOWN} and self._kept(operator))
            found += chunks.credits() if consumed else NOTHING
        elif plan.team > 1:
            chunks = self._chunks(operator, plan)
            streams = worker_streams(plan, chunks, operator.k, core.columns)
            found += self._gather(operator, entry) + handed(plan, chunks, m, self.flit)
        else:
            streams = [Streams((int(n),), operator.k) for n in columns]
            found += self._gather(operator, entry)
        return found + streamed(core, dram, plan.shape, streams, paired=paired)

    @staticmethod
    def _start(plan: GemmPlan, start: int) -> int:
        """First row of the weights where groups of scales make it matter."""
        return start if plan.shape.precision.group else 0

    def _kept(self, operator: Operator) -> bool:
        """Whether what comes behind a projection stays with it: of an expert, or with several stacks."""
        return operator.expert >= 0 or "shared" in operator.name or self.graph.stacks > 1

    def _gather(self, operator: Operator, entry: Ints) -> Work:
        if operator.kind is K.GATE_UP and operator.expert >= 0:
            return NOTHING  # the rows of its tokens stand everywhere
        if operator.kind is K.ATTN_OUT and not (self.model.latent is not None and self.model.latent.form == ABSORBED):
            return self.attention.gathered()
        silent = int((entry == 0).sum()) if self._tells(operator) else 0
        return gathered(operator.m, entry, self.flit) + told_to_all(4, silent, self.pus, self.flit)

    def _tells(self, operator: Operator) -> bool:
        """Whether PUs without a part of an expert's activations tell that they are over with the expert before."""
        if operator.kind is not K.DOWN or operator.expert < 0 or self.down_over_k:
            return False
        activation = self.graph.operators[operator.depends[0]]
        return self.schedule.ahead or self.schedule.gemm[activation.depends[0]].over == OVER_N
