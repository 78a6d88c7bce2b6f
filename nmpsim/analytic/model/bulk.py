"""Many chips in one pass: every operator of a step on all of them, each with the best mapping of a fixed list.

The closed forms are those of one chip (`nmpsim.analytic.model.timing.times`); here the fields of the chip are arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.analytic.model.calibration import Calibration
from nmpsim.analytic.model.chips import Chips
from nmpsim.analytic.model.counting.shares import begun, firsts
from nmpsim.analytic.model.residual import about
from nmpsim.analytic.model.step import CONSUMERS, prefix_of, tag_of
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.times import StepTimes
from nmpsim.analytic.model.timing.units import NEVER, Array, Streaming, passes, streaming, up
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.program.schedule import OVER_K, OVER_N, AttentionPlan, GemmPlan, PassPlan
from nmpsim.spec.params import MAC_TREE
from nmpsim.workload import GEMM_KINDS, HEAD_KINDS, Operator, OperatorGraph, OperatorKind

Floats = NDArray[np.float64]
K = OperatorKind

TIERS_SEEN = 8
"""Layers at which the latency class is looked up; those between get the mean."""


@dataclass(frozen=True)
class BulkEstimate:
    """What was found for every chip.

    Parameters
    ----------
    cycles : ndarray of float64, shape (chips,)
        Of the step; infinite where no mapping of the list fits.
    operators : ndarray of float64, shape (operators, chips)
        Of every different operator.
    mapping : ndarray of int64, shape (operators, chips)
        Index into the candidates; -1 where there is no choice.
    seconds : ndarray of float64, shape (chips,)
    estimates : int
        Operator estimates that were made: operators x candidates x chips.
    """

    cycles: Floats
    operators: Floats
    mapping: NDArray[np.int64]
    seconds: Floats
    estimates: int


@dataclass(frozen=True)
class Mapping:
    """A way to map a GEMM, whatever the chip.

    Parameters
    ----------
    over : int
        OVER_N or OVER_K.
    flow, split, contiguous : int
        As in the instruction PASS.
    groups : int
        Groups of strips; 0: as many as hold the rows of A.
    """

    over: int
    flow: int
    split: int
    contiguous: int
    groups: int

    def plan(self, chips: Any, m: int) -> GemmPlan:
        """Return the plan of a GEMM with m rows, its group by chip.

        Parameters
        ----------
        chips : Chips
        m : int
        """
        core = chips.core
        if self.flow == TREE:
            group: Array = 1
        elif self.groups:
            group = np.maximum(1, core.strips // self.groups)
        else:
            group = np.minimum(2 ** np.ceil(np.log2(np.maximum(1, m / core.strip_rows))), core.strips)
        shape = PassPlan(self.flow, group, self.split, self.contiguous)
        return GemmPlan(self.over, shape, 0, 0, 1 if self.over == OVER_N else 4)


def candidates(kind: int) -> list[Mapping]:
    """Return the fixed list of mappings of a GEMM.

    Of the flows that hold A, the smallest group that does has the most columns at work; WS differs by rounding only.

    Parameters
    ----------
    kind : int
        Of compute unit.
    """
    if kind == MAC_TREE:
        forms = [(TREE, SPLIT_N, K_CONTIGUOUS, 0), (TREE, SPLIT_K, N_CONTIGUOUS, 0), (TREE, SPLIT_N, N_CONTIGUOUS, 0)]
    else:
        forms = [(IS, SPLIT_N, K_CONTIGUOUS, 0), (OS, SPLIT_K, N_CONTIGUOUS, 0)]
        forms += [(WS, split, N_CONTIGUOUS, groups) for groups in (1, 2, 4) for split in (SPLIT_N, SPLIT_K)]
    return [Mapping(over, *form) for over in (OVER_N, OVER_K) for form in forms]


def spreads(kind: OperatorKind) -> tuple[int, ...]:
    """Return the dimensions that a kind of GEMM may be spread over, as in the plain schedule.

    Parameters
    ----------
    kind : OperatorKind
    """
    if kind is K.ROUTER:
        return (OVER_K,)
    fixed = {K.ATTN_OUT, K.LM_HEAD, K.LATENT, K.Q_UP, K.KV_UP, *HEAD_KINDS}
    return (OVER_N,) if kind in fixed else (OVER_N, OVER_K)


class _BulkTimes(StepTimes):
    """Times with the best of the candidates of every GEMM."""

    def __init__(self, graph: OperatorGraph, chips: Chips, plan: AttentionPlan, deepest: Array) -> None:
        super().__init__(graph, chips, lambda _: _NO_PLAN, plan, deepest=deepest)
        core = chips.core  # type: ignore[attr-defined]
        self.list = candidates(int(np.max(core.kind)))
        self.chips, self.fitted = chips, None
        self.best: dict[int, tuple[Time, Time, Any]] = {}
        self.done: tuple[Time, Time, Time] | None = None
        self.made = 0
        self.cost: dict[int, Floats] = {}

    def choose(self, index: int, fitted: Calibration | None, consumer: str) -> None:
        """Find the best candidate of a GEMM; `consumer` names the operator behind it, empty if there is none."""
        o = self.graph.operators[index]
        number = self.chips.number
        least = np.full(number, np.inf)
        body = tail = np.zeros(number)
        chosen = np.full(number, -1)
        for place, mapping in enumerate(self.list):
            if mapping.over not in spreads(o.kind):
                continue
            plan = mapping.plan(self.p, o.m)
            first, last = super().gemm(index, plan)
            self.made += number
            kept = not consumer
            here = first + last if kept else first
            a = self.calibrated(o, tag_of(o, plan.over), here, fitted)
            b: Array = 0.0
            if consumer:
                after = next(x for x in self.graph.operators if str(x.kind) == consumer and index in x.depends)
                b = self.calibrated(after, tag_of(after, plan.over), last, fitted)
            total = a + b + np.where(self._fits(o, plan), 0.0, np.inf)
            better = total < least
            least = np.where(better, total, least)
            body, tail = np.where(better, a, body), np.where(better, b, tail)
            chosen = np.where(better, place, chosen)
        body = np.where(least < NEVER, body, np.inf)
        self.best[index] = Time(latency=body), Time(latency=tail), chosen

    def calibrated(self, o: Operator, kind: str, time: Time, fitted: Calibration | None) -> Array:
        """Return the cycles of an operator, calibrated if there is a calibration.

        Parameters
        ----------
        o : Operator
        kind : str
            Under which coefficients are kept.
        time : Time
        fitted : Calibration or None
        """
        if fitted is None:
            return time.cycles
        values = about(self.p, self.graph, o, self.plan, time) if kind in fitted.residuals else ()
        return fitted.cycles(kind, time, values)

    def _fits(self, o: Operator, plan: GemmPlan) -> Array:
        """Whether results of a pass fit into a quarter of the buffer."""
        core = self.p.core
        groups = core.strips // plan.shape.group
        planes = groups if plan.shape.split == SPLIT_K and plan.shape.flow != TREE else 1
        blocks = 1 if plan.shape.split == SPLIT_K else groups
        width = core.columns * np.maximum(blocks, 2 if o.kind is K.GATE_UP else 1)
        enough = plan.over == OVER_N or o.kind is K.ROUTER or up(o.k, core.columns) >= self.p.cores
        return (planes * o.m * width * 4 <= core.buffer_bytes / 4) & enough

    def gemm(self, index: int, plan: GemmPlan) -> tuple[Time, Time]:
        """Return the chosen times; parameters as in `StepTimes.gemm`."""
        del plan
        body, tail, _ = self.best[index]
        return body, tail


_NO_PLAN = GemmPlan(OVER_N, PassPlan(OS, 1, CHAIN, N_CONTIGUOUS), 0, 0)


class BulkStep:
    """A step to be evaluated on many chips; equal operators once.

    Parameters
    ----------
    graph : OperatorGraph
    """

    def __init__(self, graph: OperatorGraph) -> None:
        self.graph = graph
        groups: dict[tuple[Any, ...], list[int]] = {}
        begins = [
            (True,) * sum(b) if o.kind is K.COMBINE else () for o, b in zip(graph.operators, begun(graph), strict=True)
        ]
        for index, (o, first, fresh) in enumerate(zip(graph.operators, firsts(graph), begins, strict=True)):
            key = (
                o.kind, o.name.rsplit(".", 1)[-1], o.m, o.n, o.k, o.vectors, o.expert >= 0, "shared" in o.name,
                graph.model.has_experts(o.layer), first, fresh,
            )  # fmt: skip
            groups.setdefault(key, []).append(index)
        self.groups = list(groups.values())
        brings = firsts(graph)
        self.first = {g[0]: brings[g[0]] for g in self.groups}
        self.begun = {g[0]: begins[g[0]] for g in self.groups}

    @property
    def repeats(self) -> list[int]:
        """How often every different operator stands in the step."""
        return [len(g) for g in self.groups]

    @property
    def kinds(self) -> list[str]:
        """Kind of every different operator."""
        return [str(self.graph.operators[g[0]].kind) for g in self.groups]

    @cached_property
    def _weights(self) -> Floats:
        """Bytes of weights and cache before the middle of every operator, over those of the step."""
        size = np.array([o.weight_bytes + o.kv_read_bytes for o in self.graph.operators], dtype=np.float64)
        return np.asarray(np.cumsum(size) - size / 2, dtype=np.float64)

    def _stream(self, chips: Any, group: list[int]) -> Streaming:
        """Mean of the bank's times over the latency classes that equal operators lie in."""
        dram = chips.dram
        bytes_per_row = dram.columns * dram.column_bytes * dram.banks * chips.cores
        seen = group[:: max(1, len(group) // TIERS_SEEN)]
        found = []
        for index in seen:
            tier = np.clip(self._weights[index] // bytes_per_row // dram.rows_per_tier, 0, dram.tiers - 1)
            found.append(streaming(chips, np.asarray(tier).astype(np.int64)))
        return found[0] if len(found) == 1 else Streaming.mean(found, [1 / len(found)] * len(found))

    def attention_plan(self, chips: Any) -> AttentionPlan:
        """Return parts, tasks together and shapes of attention on every chip.

        Parameters
        ----------
        chips : Chips
        """
        graph, core = self.graph, chips.core
        model = graph.model
        tasks, rows, tokens = graph.batch * model.kv_heads, graph.group, graph.most_tokens
        parts: Any = np.ones(np.broadcast(chips.cores, core.strips, core.buffer_bytes).shape)
        room = core.buffer_bytes / 2 - graph.batch * model.heads * model.output_dim * 2
        for _ in range(tokens.bit_length()):
            need = rows * up(tokens, parts) * (2 * 4 + 2)
            more = ((tasks * parts < chips.cores) & (parts * core.strips < tokens)) | (need > room)
            parts = np.where(more & (parts * 2 <= tokens), parts * 2, parts)
        per_pu = up(tasks * parts, chips.cores)
        each = rows * up(tokens, parts) * 2 + rows * (model.value_dim * 4 + 8)
        together = np.clip(np.floor((room - rows * up(tokens, parts) * 8) / each), 1, per_pu)
        together = up(per_pu, up(per_pu, together))
        kind = int(np.max(core.kind))
        if kind == MAC_TREE:
            score, value = PassPlan(TREE, 1, SPLIT_N, K_CONTIGUOUS), PassPlan(TREE, 1, SPLIT_K, N_CONTIGUOUS)
        else:
            strips = int(np.min(core.strips))
            score = self._shape(chips, IS, SPLIT_N, K_CONTIGUOUS, rows, up(tokens, parts), model.key_dim, strips)
            value = self._shape(chips, OS, SPLIT_K, N_CONTIGUOUS, rows, model.value_dim, up(tokens, parts), strips)
        return AttentionPlan(parts, score, value, together, 1, graph.precision.kv)

    @staticmethod
    def _shape(chips: Any, flow: int, split: int, contiguous: int, m: int, n: Any, k: Any, strips: int) -> PassPlan:
        """The group, by chip, with the fewest cycles of the array."""
        least: Array = np.inf
        best: Array = strips
        group = 1
        while group <= strips:
            cycles = passes(chips, (flow, group, split, contiguous), m, n, k).cycles
            best = np.where(cycles < least, group, best)
            least = np.minimum(cycles, least)
            group *= 2
        return PassPlan(flow, best, split, contiguous)

    def evaluate(self, chips: Chips, calibration: Calibration | None = None) -> BulkEstimate:
        """Return the cycles of the step on every chip.

        Parameters
        ----------
        chips : Chips
        calibration : Calibration, optional
            None: the closed forms alone.
        """
        p: Any = chips
        deepest = up(self.graph.batch, p.dram.banks)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            times = _BulkTimes(self.graph, chips, self.attention_plan(p), deepest)
            found = [self._one(times, p, group, calibration) for group in self.groups]
        operators = np.stack([np.broadcast_to(c, (chips.number,)) for c, _ in found])
        mapping = np.stack([np.broadcast_to(m, (chips.number,)) for _, m in found])
        cycles = (operators * np.array(self.repeats)[:, None]).sum(axis=0)
        seconds = cycles * float(p.tick_ps) * 1e-12 * p.core_period
        return BulkEstimate(cycles, operators, mapping, seconds, times.made + len(found) * chips.number)

    def _one(
        self, times: _BulkTimes, p: Any, group: list[int], fitted: Calibration | None
    ) -> tuple[Array, NDArray[np.int64] | int]:
        """Cycles of an operator, and its mapping."""
        index = group[0]
        o = self.graph.operators[index]
        times.stream = self._stream(p, group)
        if o.kind in GEMM_KINDS:
            times.choose(index, fitted, self._consumer(times, index))
            body, _, chosen = times.best[index]
            return body.latency, chosen
        if o.kind in CONSUMERS and (before := [i for i in o.depends if i in times.best]) and self._alone(o):
            return times.best[before[-1]][1].latency, -1
        if o.kind in {K.SCORE, K.SOFTMAX, K.VALUE}:
            if o.kind is K.SCORE or times.done is None:
                times.done = times.attention()
            time = times.done[(K.SCORE, K.SOFTMAX, K.VALUE).index(o.kind)]
        else:
            time = times.of(index, first=self.first[index], begun=self.begun[index])
        kind = tag_of(o, None, prefix_of(self.graph, o, first=self.first[index]))
        return times.calibrated(o, kind, time, fitted), -1

    def _alone(self, o: Operator) -> bool:
        """Whether a consumer is nothing but the tail of the GEMM before it."""
        if o.kind is K.ACTIVATION:
            return True
        experts = o.name.endswith("ffn_residual") and self.graph.model.has_experts(o.layer)
        return o.kind is K.RESIDUAL and not experts and self.graph.stacks == 1

    def _consumer(self, times: _BulkTimes, index: int) -> str:
        """Kind of the operator that the tail of a GEMM is counted with; empty if with itself."""
        del times
        for o in self._readers.get(index, ()):
            if o.kind in CONSUMERS and self._alone(o):
                return str(o.kind)
        return ""

    @cached_property
    def _readers(self) -> dict[int, list[Operator]]:
        found: dict[int, list[Operator]] = {}
        for o in self.graph.operators:
            for before in o.depends:
                found.setdefault(before, []).append(o)
        return found
