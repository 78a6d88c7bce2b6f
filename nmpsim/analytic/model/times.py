"""Time of every operator of a step: which closed form, with which sizes of the busiest PU.

Time stands with the operator to which the program attributes the last instruction: of a projection until its last pass,
of the activation or residual behind it what the last result still takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nmpsim.analytic.model import vectors as v
from nmpsim.analytic.model.attending import Tasks, attention, brought
from nmpsim.analytic.model.gemms import Loop, Scatter, Weights, gather, over_k, over_n, scatter_of
from nmpsim.analytic.model.rows import Shares
from nmpsim.analytic.model.spent import Time
from nmpsim.analytic.model.units import FP16, FP32, Array, Streaming, slots, streaming, up
from nmpsim.program.isa import SPLIT_K, WS, expansion
from nmpsim.program.packing import CODES
from nmpsim.program.schedule import OVER_K, AttentionPlan, GemmPlan, PassPlan
from nmpsim.workload import (
    ABSORBED,
    ALL_HEADS,
    GEMM_KINDS,
    HEAD_KINDS,
    LAYER_NORM,
    PER_HEAD,
    SIGMOID,
    Operator,
    OperatorGraph,
    OperatorKind,
)

K = OperatorKind

SMALL = 1.0
"""Least cycles of an operator whose work is hidden under others."""


class StepTimes:
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
    """

    def __init__(
        self,
        graph: OperatorGraph,
        p: Any,
        plans: Callable[[int], GemmPlan],
        attending: AttentionPlan,
        *,
        deepest: Array,
    ) -> None:
        self.graph, self.p, self.plans, self.plan = graph, p, plans, attending
        self.model, self.m = graph.model, graph.batch
        self.deepest = deepest
        self.latent = self.model.latent
        self.absorbed = self.latent is not None and self.latent.form == ABSORBED
        self.hidden = self.share(self.model.hidden)
        self.q = up(self.model.heads, p.cores)
        self.kv = up(0 if self.latent is not None else 2 * self.model.kv_heads, p.cores)
        shard = graph.shard
        self.stack_share = 1 if shard is None else shard.share
        self.appends = shard is None or shard.appends
        self._streams: dict[Shares, Streaming] = {}
        self.stream: Streaming = streaming(p, 0)

    def share(self, columns: Array) -> Array:
        """Return the columns of the widest PU, dealt out in whole blocks.

        Parameters
        ----------
        columns : array
        """
        cols = self.p.core.columns
        return np.minimum(columns, up(up(columns, cols), self.p.cores) * cols)

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

    def of(self, index: int, *, first: bool = False) -> Time:
        """Return the time of an operator.

        Parameters
        ----------
        index : int
            In the graph.
        first : bool
            It is the first gather of its layer.
        """
        o = self.graph.operators[index]
        kind = o.kind
        if kind in GEMM_KINDS:
            found, tail = self.gemm(index, self.plans(index))
            if kind in {K.QKV, K.LATENT, K.Q_UP, K.KV_UP, *HEAD_KINDS, K.ROUTER} or self._kept(o):
                found += tail
            if kind is K.GATE_UP and "shared" in o.name:
                found = self._under(found, self._routing())
        elif kind in {K.SCORE, K.SOFTMAX, K.VALUE}:
            found = self.attention()[(K.SCORE, K.SOFTMAX, K.VALUE).index(kind)]
        else:
            found = self._other(o, first=first)
        return found + self.exchanged() if kind is self._exchanger() else found

    def _kept(self, o: Operator) -> bool:
        """Whether the consumer of a down projection is counted with it."""
        return o.kind is K.DOWN and (o.expert >= 0 or "shared" in o.name or self.graph.stacks > 1)

    def _exchanger(self) -> OperatorKind:
        if self.latent is not None:
            return K.ABSORB if self.absorbed else K.KV_UP
        return K.ROPE if self.model.rope_dim else K.QK_NORM if self.model.qk_norm else K.QKV

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
            return self._norm(o)
        if kind is K.QK_NORM and model.qk_norm == PER_HEAD:
            return v.head_norm(p, m, self.q + up(self.kv, 2), model.head_dim)
        if kind is K.QK_NORM and model.qk_norm == ALL_HEADS:
            queries, keys = self.q * model.head_dim, up(self.kv, 2) * model.head_dim
            norms = v.norm(p, m, queries, parts=2) + v.normed(p, m, keys)
            others = self.graph.stacks - 1
            return norms + v.hop(p, 1, 8 * m).times(others) if others else norms
        if kind is K.ROPE:
            if self.latent is not None:
                return v.rope(p, m, self.q + 1, self.latent.rope)
            return v.rope(p, m, self.q + up(self.kv, 2), model.head_dim)
        if kind is K.KV_APPEND:
            return self._append()
        if kind is K.ACTIVATION:
            return self._tail(o.depends[0])
        if kind is K.RESIDUAL:
            return self._residual(o)
        if kind is K.SAMPLING:
            return self._tail(o.depends[0]) + v.to_one(p, m)
        if kind is K.TOPK:
            return self._topk()
        if kind is K.GATHER:
            copies = v.rowwise(p, o.m, model.hidden, FP16, FP16)
            if first and not model.gating.shared_ffn:
                return self._under(gather(p, m, self.hidden * FP16), self._topk()) + copies
            return copies + gather(p, m, self.hidden * FP16) if first else copies
        return v.rowwise(p, o.m, self.hidden, 2 * FP32, FP32)  # combine

    @staticmethod
    def _under(time: Time, other: Time) -> Time:
        """Return what a time that begins together with another adds behind it."""
        rest = np.maximum(SMALL, time.cycles - other.cycles)
        return time.times(rest / np.maximum(SMALL, time.cycles))

    def _routing(self) -> Time:
        """What the vector unit and the network still do when the array is through with the router."""
        experts = self.model.experts
        told = v.to_all(self.p, self.m * experts * FP32)
        return replace(told, latency=0.0) + self._topk()

    def _topk(self) -> Time:
        p, m, model = self.p, self.m, self.model
        planes = np.minimum(p.cores, up(model.hidden, p.core.columns))
        gating = model.gating
        arrived = Time(latency=v.to_all(p, FP32).latency)
        if gating.scoring == SIGMOID:
            return arrived + v.picked(p, m, model.experts, model.experts_per_token, planes, gating.groups)
        return arrived + v.routed(p, m, model.experts, model.experts_per_token, planes, every=not gating.normalise)

    def _norm(self, o: Operator) -> Time:
        latent = self.latent
        name = o.name.rsplit(".", 1)[-1]
        if latent is None or name not in {"q_norm", "kv_norm"}:
            even = self.model.hidden / (self.hidden * self.p.cores)
            return v.norm(self.p, self.m, self.hidden, layered=self.model.norm == LAYER_NORM, even=even)
        both = self.share(latent.q_rank + latent.kv_rank)
        if name == "q_norm":
            return v.norm(
                self.p, self.m, np.minimum(both, latent.q_rank), parts=2, even=latent.q_rank / (both * self.p.cores)
            )
        return replace(v.normed(self.p, self.m, np.minimum(both, latent.kv_rank)), latency=0.0)

    def _append(self) -> Time:
        p, model = self.p, self.model
        cols = p.core.columns
        owners = up(model.kv_heads * self.m, p.cores)
        keys, values = up(model.key_dim, cols), up(model.value_dim, cols)
        # tasks begin at different strips; where strips hold adjacent tokens, only groups take turns
        shape = self.plan.value
        turns = p.core.strips // shape.group if shape.flow == WS else p.core.strips
        deepest = keys * up(owners, p.core.strips) + values * up(owners, turns)
        return v.append(self.stream, owners * (keys + values), keys + values, deepest)

    def _tail(self, index: int) -> Time:
        return self.gemm(index, self.plans(index))[1]

    def _residual(self, o: Operator) -> Time:
        p, m = self.p, self.m
        if self.graph.stacks > 1:
            return v.joined(p, m, self.hidden, self.graph.stacks)
        if o.name.endswith("ffn_residual") and self.model.has_experts(o.layer):
            return v.rowwise(p, 1, m * self.hidden, FP32 + FP16, FP16)
        return self._tail(o.depends[1])

    def exchanged(self) -> Time:
        """Return the time in which projected heads come to their tasks."""
        p, m, model = self.p, self.m, self.model
        groups, parts = model.kv_heads, self.plan.parts
        flit = p.noc.flit_bytes
        near = np.minimum(1.0, groups / p.cores)
        away = 1 - near
        behind = p.cores / 2  # all PUs send to one after the other, which takes in a flit at each of two ports
        if self.latent is not None and self.absorbed:
            latent = self.latent
            per = self.q * (up(latent.kv_rank * FP16, flit) + up(latent.rope * FP16, flit))
            sent = m * parts * away * per
            copies = m * parts / p.cores * self.q * model.key_dim
            return v.exchange(p, sent / 2, sent * behind, copies)
        per = up(model.head_dim * FP16, flit)
        copies = near * m * model.head_dim * (self.q * parts + self.kv)
        if self.latent is not None:
            rope = model.heads * m * (1 - 1 / p.cores) * up(self.latent.rope * FP16, flit) / 2
            return v.exchange(p, rope, rope, near * m * self.q * 4 * model.head_dim)
        rows = self.q * m * parts * self.stack_share + self.kv * m
        sent = np.where(away > 0, rows * per * away, 0.0)
        return v.exchange(p, sent, sent, copies)

    def attention(self) -> tuple[Time, Time, Time]:
        """Return the times of scores, softmax and values of a layer."""
        p, m, model, plan = self.p, self.m, self.model, self.plan
        parts, groups = plan.parts, model.kv_heads
        own = up(m * groups * parts, p.cores)
        rows = self.graph.group / plan.turns
        several = parts * self.stack_share
        code = CODES[plan.kv]
        tasks = Tasks(
            own, plan.together, plan.turns, rows, up(self.graph.tokens, parts), model.key_dim, model.value_dim,
            _form(plan.score), _form(plan.value), 1 / expansion(code),
            FP32 if self.absorbed or np.max(several) > 1 else FP16, self.absorbed, self.appends,
        )  # fmt: skip
        return attention(p, self.stream, tasks, *self._returned(own, several))

    def _returned(self, own: Array, several: Array) -> tuple[Time, Time]:
        """Time of bringing results to where parts are added up, and of adding them."""
        p, m, model, plan = self.p, self.m, self.model, self.plan
        core, value = p.core, model.value_dim
        latency = core.vector_latency
        if self.absorbed:
            number = m * plan.parts * (1 - 1 / p.cores) * self.stack_share
            sent = brought(p, number, self.q, value * FP32, v.furthest(p), p.cores / 2)
            add = m * (
                slots(p, self.q * several, 2 * FP32, 0, core.exp_interval)
                + slots(p, self.q * value, several * FP32, FP16)
            )
            return sent, Time(vector=add, latency=latency)
        owners = up(m * model.kv_heads, p.cores)
        messages = owners * plan.turns * np.maximum(0, several - np.minimum(plan.parts, own))
        rows = self.graph.group / plan.turns
        hops = np.minimum(v.furthest(p), up(plan.parts, own))
        sent = brought(p, messages, 1, rows * (value * FP32 + 2 * FP32), hops)
        add = (
            owners
            * plan.turns
            * (slots(p, rows * several, 2 * FP32, 0, core.exp_interval) + slots(p, rows * value, several * FP32, FP16))
        )
        some = np.where(several > 1, 1.0, 0.0)
        return sent.times(some), Time(vector=add, latency=latency).times(some)

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

    def _loops(self, o: Operator) -> tuple[Loop, ...]:
        """What consumes results of a GEMM."""
        core = self.p.core
        kind, bias = o.kind, FP16 if o.vectors else 0
        if kind is K.GATE_UP:
            return Loop(0.5, FP32, 0, 0, core.exp_interval), Loop(0.5, FP32, FP16, 0, core.sqrt_interval)
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
        shape, loops = _form(plan.shape), self._loops(o)
        width, packed = _width(p, plan.shape, paired=o.kind is K.GATE_UP), _packed(plan.shape)
        if o.kind in HEAD_KINDS:
            weights = Weights(shape, o.m, o.k, o.n, np.minimum(width, o.n), packed)
            return over_n(p, self.stream, weights, loops, Time(), self.q)
        columns = self.columns_of(o)
        if o.kind is K.ROUTER:
            weights = Weights(shape, o.m, self.hidden, o.n, np.minimum(width, o.n), packed)
            body, tail = over_n(p, self.stream, weights, loops, Time())
            told = v.to_all(p, o.m * o.n * FP32)
            return body, tail + replace(told, latency=0.0)  # the last word is under way when the router is through
        if plan.over != OVER_K:
            weights = Weights(shape, o.m, o.k, columns, np.minimum(width, columns), packed)
            return over_n(p, self.stream, weights, loops, self._entry(o))
        whole = o.n if o.kind is not K.GATE_UP else 2 * (o.n // 2)
        unit = 2 * p.core.columns if o.kind is K.GATE_UP else 0
        owners = np.minimum(p.cores, up(whole, p.core.columns))
        cut: Scatter = scatter_of(p, columns, owners, plan.chunks, unit)
        chunk = up(whole, cut.number)
        depth = self.share(o.k) if o.kind is K.DOWN else self.hidden
        weights = Weights(shape, o.m, depth, chunk, np.minimum(width, chunk), packed)
        return over_k(p, self.stream, weights, loops, cut)


def _form(shape: PassPlan) -> tuple[int, Array, int, int]:
    return shape.flow, shape.group, shape.split, shape.contiguous


def _width(p: Any, shape: PassPlan, *, paired: bool) -> Array:
    groups: Array = 1 if shape.split == SPLIT_K else p.core.strips // shape.group
    return p.core.columns * np.maximum(groups, 2 if paired else 1)


def _packed(shape: PassPlan) -> float:
    """Beats of the DRAM per beat of the array; scales count as one value per group of k."""
    precision = shape.precision
    if not precision.group:
        return 1.0
    e = expansion(CODES[precision.weights])
    return 1 / e + (FP16 / 2) / precision.group
