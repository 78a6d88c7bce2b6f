"""Time of what happens to heads: their way to the tasks, stores of new keys and values, attention, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nmpsim.analytic.model.counting.shares import form
from nmpsim.analytic.model.timing import vectors as v
from nmpsim.analytic.model.timing.attending import Returned, Tasks, attention
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.stores import Banks, stores
from nmpsim.analytic.model.timing.units import (
    FP16,
    FP32,
    SIGNAL,
    Array,
    Streaming,
    flits,
    flow,
    slots,
    streaming,
    up,
    way,
)
from nmpsim.program.isa import WS, expansion
from nmpsim.program.packing import CODES
from nmpsim.program.schedule import AttentionPlan
from nmpsim.workload import ABSORBED, OperatorGraph

SMALL = 1.0
"""Least cycles of an operator whose work is hidden under others."""


class HeadTimes:
    """Times of the heads of a layer on one chip, or on many at once.

    Parameters
    ----------
    graph : OperatorGraph
    p : MachineParams or many
    plan : AttentionPlan or many
    stores : sequence of Banks, optional
        Into which banks PUs store new keys and values; None where it is not known.
    """

    def __init__(self, graph: OperatorGraph, p: Any, plan: AttentionPlan, *, stores: Sequence[Banks] | None) -> None:
        self.graph, self.p, self.plan = graph, p, plan
        self.model, self.m = graph.model, graph.batch
        self.latent = self.model.latent
        self.absorbed = self.latent is not None and self.latent.form == ABSORBED
        self.q = up(self.model.heads, p.cores)
        self.kv = up(0 if self.latent is not None else 2 * self.model.kv_heads, p.cores)
        shard = graph.shard
        self.stack_share = 1 if shard is None else shard.share
        self.appends = shard is None or shard.appends
        self.stores = stores
        self.stream: Streaming = streaming(p, 0)

    def exchanged(self) -> Time:
        """Return the time in which projected heads come to their tasks."""
        p, m, model = self.p, self.m, self.model
        groups, parts = model.kv_heads, self.plan.parts
        flit = p.noc.flit_bytes
        near = np.minimum(1.0, groups / p.cores)
        away = 1 - near
        if self.latent is not None and self.absorbed:
            latent = self.latent
            per = self.q * (up(latent.kv_rank * FP16, flit) + up(latent.rope * FP16, flit))
            sent, crossing = m * parts * away * per, v.one_by_one(p, m * parts, p.cores, per)
            copied = slots(p, m * parts / p.cores * self.q * model.key_dim, FP16, FP16)
            return v.exchange(p, sent / 2, crossing, copied)
        per = up(model.head_dim * FP16, flit)
        if self.latent is not None:
            rope = model.heads * m * (1 - 1 / p.cores) * up(self.latent.rope * FP16, flit) / 2
            copied = slots(p, near * m * self.q * 4 * model.head_dim, FP16, FP16)
            return v.exchange(p, rope, rope * p.noc_period / p.core_period, copied)
        # a run ends where the next task is another part of the same sequence; only the last part takes new ones
        own = v.copies(p, self.q, m * (parts - 1) + 1, m * parts, model.head_dim)
        own = own + v.copies(p, self.kv, np.where(parts > 1, m, 1), m, model.head_dim)
        rows = self.q * m * parts * self.stack_share + self.kv * m
        sent = np.where(away > 0, rows * per * away, 0.0)
        return v.exchange(p, sent, sent * p.noc_period / p.core_period, near * own)

    def append(self, waited: tuple[float, float] = (0.0, 0.0)) -> Time:
        """Return the time in which new keys and values are stored.

        Parameters
        ----------
        waited : (float, float)
            Refreshes that a bank owes when weights have been read, and cycles since then.
        """
        p, model = self.p, self.model
        if self.absorbed and self.m == 1:  # the only owner is the last PU: it has all before it is through with sending
            return Time(vector=SMALL)
        if self.stores is not None:
            whole, moved = stores(p, self.stream, self.stores, *waited)
            return Time(stream=max(0.0, whole - moved), vector=min(whole, moved), latency=SIGNAL)
        cols = p.core.columns
        owners = up(model.kv_heads * self.m, p.cores)
        keys, values = up(model.key_dim, cols), up(model.value_dim, cols)
        # tasks begin at different strips; where strips hold adjacent tokens, only groups take turns
        shape = self.plan.value
        turns = p.core.strips // shape.group if shape.flow == WS else p.core.strips
        deepest = keys * up(owners, p.core.strips) + values * up(owners, turns)
        return v.append(self.stream, owners * (keys + values), keys + values, deepest)

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
            form(plan.score), form(plan.value), 1 / expansion(code),
            FP32 if self.absorbed or np.max(several) > 1 else FP16, self.absorbed, self.appends,
        )  # fmt: skip
        return attention(p, self.stream, tasks, self._returned(own, several))

    def _returned(self, own: Array, several: Array) -> Returned:
        """How results come to where parts are added up."""
        p, m, model, plan = self.p, self.m, self.model, self.plan
        core, value = p.core, model.value_dim
        latency, furthest = core.vector_latency, v.furthest(p)
        number = own * plan.turns
        if self.absorbed:
            heads = np.minimum(self.q, self.graph.group / plan.turns)  # of a PU in a turn
            sent = flits(p, heads, value * FP32) + flits(p, 2, heads * FP32)
            to = up(p.cores, plan.turns)  # PUs of the heads of a turn
            last = m * plan.parts * model.kv_heads - p.cores * (own - 1)
            apart = np.where(last < p.cores, 1.0, 0.0)
            each, rest = (v.one_by_one(p, to, n, sent, apart) * self.stack_share for n in (p.cores, last))
            add = m * (
                slots(p, self.q * several, 2 * FP32, 0, core.exp_interval)
                + slots(p, self.q * value, several * FP32, FP16)
            )
            alone, combined = up(to, 2) * sent * flow(p), Time(vector=add, latency=latency)
            return Returned(each, rest, v.in_queue(p, to), alone, way(p, furthest), combined)
        owners = up(m * model.kv_heads, p.cores)
        messages = owners * plan.turns * np.maximum(0, several - np.minimum(plan.parts, own))
        rows = self.graph.group / plan.turns
        some = np.where(several > 1, 1.0, 0.0)
        size = flits(p, 1, rows * (value * FP32 + 2 * FP32))
        got = np.maximum(messages * 0.5, np.minimum(1, messages)) * flow(p) * size * some
        add = (
            owners
            * plan.turns
            * (slots(p, rows * several, 2 * FP32, 0, core.exp_interval) + slots(p, rows * value, several * FP32, FP16))
        )
        arrives = some * np.minimum(1, messages) * way(p, np.minimum(furthest, up(plan.parts, own)))
        each, combined = got / number, Time(vector=add, latency=latency).times(some)
        return Returned(each, each, 1.0, each, arrives, combined)
