"""Time of every operator of a step: which closed form, with which sizes of the busiest PU.

Time stands with the operator to which the program attributes the last instruction: of a projection until its last pass,
of the activation or residual behind it what the last result still takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from nmpsim.analytic.model.counting.rows import Shares
from nmpsim.analytic.model.counting.shares import column_counts, form
from nmpsim.analytic.model.timing import vectors as v
from nmpsim.analytic.model.timing.chunks import over_k, scatter_of
from nmpsim.analytic.model.timing.gemms import Loop, Weights, gather, over_n, packed_beats, pass_width
from nmpsim.analytic.model.timing.handing import in_teams
from nmpsim.analytic.model.timing.heads import HeadTimes
from nmpsim.analytic.model.timing.pieces import team_chunks
from nmpsim.analytic.model.timing.places import WORDS, told_beside
from nmpsim.analytic.model.timing.routing import Routing, under
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.stores import Banks
from nmpsim.analytic.model.timing.units import FP16, FP32, Array, Streaming, slots, streaming, up
from nmpsim.program.schedule import OVER_K, AttentionPlan, GemmPlan
from nmpsim.spec.params import RING
from nmpsim.workload import (
    ALL_HEADS,
    GEMM_KINDS,
    HEAD_KINDS,
    LAYER_NORM,
    PER_HEAD,
    Operator,
    OperatorGraph,
    OperatorKind,
)

K = OperatorKind

LONGEST = 3.0
"""Slots of a loop beside which both words have been sent, wherever they stand."""


class StepTimes(HeadTimes):
    """Times of the operators of a step on one chip, or on many at once.

    Parameters
    ----------
    graph : OperatorGraph
    p : MachineParams or many
    plans : callable
        Plan of the GEMM with an index in the graph.
    attending : AttentionPlan or many
    deepest : array
        Rows of the embedding in the fullest bank.
    words : int, optional
        Banks from an expert's result to the words that tell of its space; None where it is not known.
    stores : sequence of Banks, optional
        Into which banks PUs store new keys and values; None where it is not known.
    """

    def __init__(
        self,
        graph: OperatorGraph,
        p: Any,
        plans: Callable[[int], GemmPlan],
        attending: AttentionPlan,
        *,
        deepest: Array,
        words: int | None = None,
        stores: Sequence[Banks] | None = None,
    ) -> None:
        super().__init__(graph, p, attending, stores=stores)
        self.plans = plans
        self.deepest = deepest
        self.hidden = self.share(self.model.hidden)
        self.words = words
        self.begun: tuple[bool, ...] = ()  # of the operator that is timed
        self.routing = Routing(p, self.m, self.model, self.hidden, self._logits, known=stores is not None)
        self._streams: dict[Shares, Streaming] = {}

    def share(self, columns: Array) -> Array:
        """Return the columns of the widest PU, dealt out in whole blocks.

        Parameters
        ----------
        columns : array
        """
        cols = self.p.core.columns
        return np.minimum(columns, up(up(columns, cols), self.p.cores) * cols)

    @cached_property
    def gathers(self) -> bool:
        """Whether a gather of rows comes right behind the router's words: not if a shared expert over K is first."""
        operators = self.graph.operators
        shared = (i for i, o in enumerate(operators) if o.kind is K.GATE_UP and "shared" in o.name)
        return all(self.plans(i).over != OVER_K for i in shared)

    def at(self, tiers: Shares) -> StepTimes:
        """Choose the latency classes of what is streamed next; returns self.

        Parameters
        ----------
        tiers : tuple of (int, float)
            Class, and share of the rows in it.
        """
        if tiers not in self._streams:
            classes = [streaming(self.p, tier) for tier, _ in tiers]
            self._streams[tiers] = Streaming.mean(classes, [share for _, share in tiers])
        self.stream = self._streams[tiers]
        return self

    def of(self, index: int, *, first: bool = False, begun: tuple[bool, ...] = ()) -> Time:
        """Return the time of an operator.

        Parameters
        ----------
        index : int
            In the graph.
        first : bool
            It is the first gather of its layer.
        begun : tuple of bool
            Of the tokens of an expert, whether their sums begin with it.
        """
        o = self.graph.operators[index]
        kind = o.kind
        self.begun = begun
        if kind in GEMM_KINDS:
            found, tail = self.gemm(index, self.plans(index))
            if kind in {K.QKV, K.LATENT, K.Q_UP, K.KV_UP, *HEAD_KINDS, K.ROUTER} or self._kept(o):
                found += tail
            if kind is K.GATE_UP and "shared" in o.name:
                found = under(found, self.routing.routed(gathers=self.gathers))
        elif kind in {K.SCORE, K.SOFTMAX, K.VALUE}:
            found = self.attention()[(K.SCORE, K.SOFTMAX, K.VALUE).index(kind)]
        else:
            found = self._combine(o, begun) if kind is K.COMBINE else self._other(o, first=first)
        return found + self.exchanged() if kind is self._exchanger() else found

    def _kept(self, o: Operator) -> bool:
        """Whether the consumer of a down projection is counted with it."""
        return o.kind is K.DOWN and (o.expert >= 0 or "shared" in o.name or self.graph.stacks > 1)

    def _exchanger(self) -> OperatorKind:
        if self.latent is not None:
            return K.ABSORB if self.absorbed else K.KV_UP
        return K.ROPE if self.model.rope_dim else K.QK_NORM if self.model.qk_norm else K.QKV

    def _told(self, index: int) -> Array:
        """Cycles after its last sum for which a GEMM over K tells its neighbours, who are not waited for."""
        over_k = self.graph.operators[index].kind in GEMM_KINDS and self.plans(index).over == OVER_K
        return np.where(np.asarray(self.p.cores) > 1, WORDS, 0.0) if over_k else 0.0

    def _combine(self, o: Operator, begun: tuple[bool, ...]) -> Time:
        """A sum that begins reads the new part alone; the words that tell of its space are the last of the expert."""
        p, fresh = self.p, sum(begun)
        issue = fresh * slots(p, self.hidden, FP32, FP32) + (o.m - fresh) * slots(p, self.hidden, 2 * FP32, FP32)
        told = np.where(self._told(o.depends[-1]) > 0, self._beside(o, begun), 0.0)
        return Time(vector=issue, latency=p.core.vector_latency - told)

    def _beside(self, o: Operator, begun: tuple[bool, ...]) -> Array:
        """Cycles until neighbours are told of the space of an expert's result, beside the loop that adds it."""
        if self.words is not None and begun:
            return told_beside(self.p, int(self.hidden), begun, self.words)
        # not known where the words stand: in half of the cases behind the first slot, and between the others
        rows = np.minimum(LONGEST, o.m * slots(self.p, self.hidden, 2 * FP32, FP32))
        return np.where(np.asarray(self.p.cores) > 1, WORDS + rows / 2, 0.0)

    def _other(self, o: Operator, *, first: bool) -> Time:
        p, m, s, model = self.p, self.m, self.stream, self.model
        kind = o.kind
        if kind is K.EMBEDDING:
            others = self.graph.stacks - 1
            own = up(self.hidden, self.graph.stacks) * FP16
            rows = v.loads(p, s, m * up(own, p.dram.column_bytes), self.deepest)
            return rows + v.hop(p, m, own).times(others) if others else rows
        if kind is K.POSITION:
            return v.rowwise(p, 1, m * self.hidden, 2 * FP16, FP16)
        if kind is K.NORM:
            return self._norm(o) + Time(latency=-self._before(o))
        if kind is K.QK_NORM and model.qk_norm == PER_HEAD:
            return v.head_norm(p, m, self.q + up(self.kv, 2), model.head_dim)
        if kind is K.QK_NORM and model.qk_norm == ALL_HEADS:
            queries, keys = self.q * model.head_dim, up(self.kv, 2) * model.head_dim
            sums = Time(vector=slots(p, m * keys, FP16, 0))  # of keys; both exchanges are one
            late = None if self.stores is None else (True,) * p.cores
            norms = v.norm(p, m, queries, parts=2, late=late) + sums + v.normed(p, m, keys)
            others = self.graph.stacks - 1
            return norms + v.hop(p, 1, 8 * m).times(others) if others else norms
        if kind is K.ROPE:
            if self.latent is not None:
                return v.rope(p, m, self.q + 1, self.latent.rope)
            return v.rope(p, m, self.q + up(self.kv, 2), model.head_dim, chained=True)
        if kind is K.KV_APPEND:
            return self.append(self._since_weights(o) if self.stores is not None else (0.0, 0.0))
        if kind is K.ACTIVATION:
            return self._tail(o.depends[0])
        if kind is K.RESIDUAL:
            return self._residual(o)
        if kind is K.SAMPLING:
            return self._tail(o.depends[0]) + v.to_one(p, m, self._hops_of_last(o.depends[0]))
        if kind is K.TOPK:
            return self.routing.topk(gathers=self.gathers)
        copies = v.rowwise(p, o.m, model.hidden, FP16, FP16)  # gather of an expert
        if first and not model.gating.shared_ffn:
            return self.routing.gathered() + copies
        return copies + gather(p, m, self.hidden * FP16) if first else copies

    def _since_weights(self, o: Operator) -> tuple[float, float]:
        """Refreshes that a bank owes when the projection before has read its weights, and cycles from then to its end.

        A bank that reads as fast as it can lets refreshes wait; one that waits for the array does them.
        """
        past, before = 0.0, o.depends[0]
        while self.graph.operators[before].kind not in GEMM_KINDS:
            past += float(self.of(before).cycles)
            before = self.graph.operators[before].depends[0]
        projection = self.graph.operators[before]
        entry = self._entry(projection) if self.plans(before).over != OVER_K else Time()
        busy, dram = float(self.gemm(before, self.plans(before))[0].stream), self.p.dram
        past += float(self.of(before).cycles) - float(entry.cycles) - busy
        return min(float(dram.postpone), busy / float(self.stream.interval)), past

    def _late(self, columns: int, *, alike: bool = False) -> tuple[bool, ...] | None:
        """PUs that are through last with columns of which some have a wider slice; all if they are alike."""
        if self.stores is None:
            return None
        own = column_counts(columns, self.p.core.columns, self.p.cores)
        return tuple(bool(alike or n == own.max()) for n in own)

    def _hops_of_last(self, index: int) -> Array:
        """Links from PU 0 to those that are through last with a projection: the widest slices.

        Which of them is the very last depends on when the input has reached it; the mean is taken.  The furthest of all
        where slices are not known.
        """
        p = self.p
        late = self._late(self.graph.operators[index].n)
        if late is None or p.noc.kind != RING:
            return v.furthest(p)
        return sum(min(i, p.cores - i) for i, last in enumerate(late) if last) / sum(late)

    def _begins_alike(self, o: Operator) -> bool:
        """Whether what comes before a norm takes all PUs about as long: no GEMM of slices that may be uneven."""
        before = self.graph.operators[o.depends[0]]
        return before.kind is not K.RESIDUAL or not self._alone(before)

    def _norm(self, o: Operator) -> Time:
        latent = self.latent
        name = o.name.rsplit(".", 1)[-1]
        if latent is None or name not in {"q_norm", "kv_norm"}:
            even = self.model.hidden / (self.hidden * self.p.cores)
            late = self._late(self.model.hidden, alike=not o.depends or self._begins_alike(o))
            return v.norm(self.p, self.m, self.hidden, layered=self.model.norm == LAYER_NORM, even=even, late=late)
        both = self.share(latent.q_rank + latent.kv_rank)
        if name == "q_norm":
            return v.norm(
                self.p, self.m, np.minimum(both, latent.q_rank), parts=2, even=latent.q_rank / (both * self.p.cores),
                late=self._late(latent.q_rank + latent.kv_rank),
            )  # fmt: skip
        # the last PU has columns of queries alone, and goes through that of keys and values with none
        return Time(vector=1.0, latency=self.p.core.vector_latency)

    def _tail(self, index: int) -> Time:
        return self.gemm(index, self.plans(index))[1]

    def _residual(self, o: Operator) -> Time:
        p, m = self.p, self.m
        if self.graph.stacks > 1:
            return v.joined(p, m, self.hidden, self.graph.stacks)
        if o.name.endswith("ffn_residual") and self.model.has_experts(o.layer):
            return v.rowwise(p, 1, m * self.hidden, FP32 + FP16, FP16)
        return self._tail(o.depends[1])

    def columns_of(self, o: Operator) -> Array:
        """Return the result columns of a GEMM on the busiest PU.

        Parameters
        ----------
        o : Operator
        """
        kind, latent = o.kind, self.latent
        if kind is K.QKV:
            return (self.q + self.kv) * self.model.head_dim
        if kind is K.LATENT and latent is not None:
            return self.share(latent.q_rank + latent.kv_rank) + latent.rope
        if latent is not None and kind in {K.Q_UP, K.KV_UP}:
            return self.q * (self.model.head_dim if kind is K.Q_UP else latent.nope + latent.value)
        if kind is K.GATE_UP:
            return 2 * self.share(o.n // 2)
        return self.share(o.n)

    def _entry(self, o: Operator) -> Time:
        """Time until the input of a GEMM over N stands on all PUs."""
        p, kind, latent, m = self.p, o.kind, self.latent, o.m
        if kind is K.GATE_UP and o.expert >= 0:
            return Time()
        if kind is K.GATE_UP and "shared" in o.name:
            return self.routing.shared()
        if kind is K.ATTN_OUT and not self.absorbed:
            owners = up(m * self.model.kv_heads, p.cores)
            return gather(p, owners, self.model.heads // self.model.kv_heads * self.model.value_dim * FP16)
        columns = self.hidden
        if kind is K.DOWN:
            columns = self.share(o.k)
        elif kind is K.ATTN_OUT and latent is not None:
            columns = self.q * latent.value
        elif latent is not None and kind in {K.Q_UP, K.KV_UP}:
            both = self.share(latent.q_rank + latent.kv_rank)
            columns = np.minimum(both, latent.q_rank if kind is K.Q_UP else latent.kv_rank)
        return gather(p, m, columns * FP16)

    def loops(self, o: Operator) -> tuple[Loop, ...]:
        """Return what consumes results of a GEMM.

        Parameters
        ----------
        o : Operator
        """
        core = self.p.core
        kind, bias = o.kind, FP16 if o.vectors else 0
        if kind is K.GATE_UP:
            return (
                Loop(0.5, FP32, 0, 0, core.exp_interval, core.columns),
                Loop(0.5, FP32, FP16, 0, core.sqrt_interval, core.columns),
            )
        if kind is K.LM_HEAD:
            return (Loop(1.0, FP32, 0),)
        if kind is K.ROUTER or self._kept(o):
            return (Loop(1.0, FP32, FP32),)
        residual = FP16 if kind in {K.ATTN_OUT, K.DOWN} and self.graph.stacks == 1 else 0
        return (Loop(1.0, FP32, FP16, residual + bias),)

    def gemm(self, index: int, plan: GemmPlan) -> tuple[Time, Time]:
        """Return the time of a GEMM until its last pass, or last sum, and of what consumes the last result.

        Parameters
        ----------
        index : int
            In the graph.
        plan : GemmPlan
        """
        o, p = self.graph.operators[index], self.p
        shape, loops = form(plan.shape), self.loops(o)
        width, packed = pass_width(p, plan.shape, paired=o.kind is K.GATE_UP), packed_beats(plan.shape)
        if o.kind in HEAD_KINDS:
            weights = Weights(shape, o.m, o.k, o.n, np.minimum(width, o.n), packed)
            return over_n(p, self.stream, weights, loops, Time(), self.q)
        columns = self.columns_of(o)
        if o.kind is K.ROUTER:
            body, tail = self._router(index, plan, self.hidden)
            return body, tail + self.routing.told(gathers=self.gathers)  # the last word has left
        if plan.team > 1:
            entry = self._entry(o) + Time(latency=-self._before(o))
            return in_teams(p, self.stream, team_chunks(p, self.stream, self.graph, o, plan, loops), entry)
        if plan.over != OVER_K:
            weights = Weights(shape, o.m, o.k, columns, np.minimum(width, columns), packed)
            return over_n(p, self.stream, weights, loops, self._entry(o) + Time(latency=-self._before(o)))
        whole = o.n if o.kind is not K.GATE_UP else 2 * (o.n // 2)
        unit = 2 * p.core.columns if o.kind is K.GATE_UP else 0
        cut = scatter_of(p, whole, unit or p.core.columns, columns, plan.chunks, unit)
        depth = self.share(o.k) if o.kind is K.DOWN else self.hidden
        body, tail = over_k(p, self.stream, Weights(shape, o.m, depth, whole, width, packed), loops, cut)
        routed = o.kind is K.DOWN and o.expert >= 0
        words = self._beside(o, self.begun) if routed else np.where(np.asarray(p.cores) > 1, WORDS, 0.0)
        return body + Time(latency=-self._before(o)), tail + Time(latency=words)

    def _router(self, index: int, plan: GemmPlan, columns: Array) -> tuple[Time, Time]:
        """Time of a router on a PU with so many columns of the activations, until its own logits stand."""
        o, p = self.graph.operators[index], self.p
        width = np.minimum(pass_width(p, plan.shape, paired=False), o.n)
        weights = Weights(form(plan.shape), o.m, columns, o.n, width, packed_beats(plan.shape))
        return over_n(p, self.stream, weights, self.loops(o), Time())

    def _logits(self, columns: int) -> float:
        """Cycles from the norm's last sum until the own logits of a PU stand."""
        normed = v.normed(self.p, self.m, columns)
        if not columns:
            return float(normed.cycles)
        index = next(i for i, o in enumerate(self.graph.operators) if o.kind is K.ROUTER)
        body, tail = self._router(index, self.plans(index), columns)
        return float((normed + body + tail).cycles)

    def _before(self, o: Operator) -> Array:
        """Cycles by which an operator begins before the one it waits for has told its neighbours of its space."""
        before = self.graph.operators[o.depends[0]] if o.depends else o
        if o.kind is K.DOWN and before.kind is K.ACTIVATION:
            return self._told(before.depends[0])
        if o.kind is K.NORM and before.kind is K.RESIDUAL and self._alone(before):
            return self._told(before.depends[1])
        return 0.0

    def _alone(self, o: Operator) -> bool:
        """Whether a residual is nothing but the tail of the GEMM before it."""
        experts = o.name.endswith("ffn_residual") and self.model.has_experts(o.layer)
        return not experts and self.graph.stacks == 1
