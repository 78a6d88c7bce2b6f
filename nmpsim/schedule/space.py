"""The plan space: every legal plan of every operator that has a choice.

::

    GEMM        spread over PUs   x  shape on a core                x  chunks
                N (gather first)     dataflow x strips per group       (where results
                K (reduce after)     x chain | fission N | fission K   are reduced)
                teams (both)

    attention   sequence parts  x  turns of the heads  x  tasks together  x  shape of scores  x  shape of values

What a plan may not do follows from the encoder: heads of attention stay whole on a PU, a router is reduced by all PUs
at once, all down projections take their input in one layout, and everything that lives at a time fits into the buffer.
The last is asked of the encoder itself (`fits`), which lays out the regions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from nmpsim.analytic.array import pass_cycles
from nmpsim.analytic.gemm import Cost, Shares
from nmpsim.errors import InfeasibleError
from nmpsim.program.encode.gemm import balanced, column_shares
from nmpsim.program.encode.step import StepEncoder
from nmpsim.program.isa import K_CONTIGUOUS, N_CONTIGUOUS, SPLIT_K
from nmpsim.program.schedule import OVER_K, OVER_N, AttentionPlan, GemmPlan, PassPlan, Schedule
from nmpsim.schedule.modes import Modes, forms, shapes
from nmpsim.schedule.plain import CHUNKS, candidates, crosses, spreads, widest
from nmpsim.schedule.teams import chunkings, team_plans
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ABSORBED, GEMM_KINDS, HEAD_KINDS, Operator, OperatorGraph, OperatorKind

Key = tuple[OperatorKind, int, int, int, int]
"""What makes two operators have the same plans: kind, M, N, K, heads."""


def key_of(operator: Operator) -> Key:
    """Return what the plans of a GEMM depend on."""
    return operator.kind, operator.m, operator.n, operator.k, operator.heads


Sizes = tuple[Key, Shares, tuple[int, ...]]
"""What makes two operators have the same plans on different stacks: key, what PUs own, spreads."""


@dataclass(frozen=True)
class Shared:
    """What spaces of one chip, batch, format and modes have in common: the parts of a step on several stacks.

    Parameters
    ----------
    plans : dict of Sizes to tuple of GemmPlan
        Of GEMMs, before any rule.
    single : dict of (Sizes, int) to dict of GemmPlan to Cost
        Predicted costs, by sizes and tier; None where a plan is not possible.
    costs : dict of (Sizes, int) to tuple of (GemmPlan, Cost)
        Plans worth a comparison with their predicted costs, by sizes and tier; of one rule.
    """

    plans: dict[Sizes, tuple[GemmPlan, ...]] = field(default_factory=dict)
    single: dict[tuple[Sizes, int], dict[GemmPlan, Cost | None]] = field(default_factory=dict)
    costs: dict[tuple[Sizes, int], tuple[tuple[GemmPlan, Cost], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """Plans of one decode step on one chip.

    Parameters
    ----------
    graph : OperatorGraph
    params : MachineParams
    dataflows : tuple of str
        Dataflows of the chip; ignored for a MAC tree.
    first_row : int
        Row of every bank at which placement starts.
    modes : Modes
        Modes that may be used; all of the dataflows by default.
    attending : AttentionPlan, optional
        The only plan of attention, where other stacks have chosen it.
    shared : Shared
        What is known from other stacks.
    """

    graph: OperatorGraph
    params: MachineParams
    dataflows: tuple[str, ...]
    first_row: int = 0
    modes: Modes = field(default_factory=Modes)
    attending: AttentionPlan | None = None
    shared: Shared = field(default_factory=Shared, repr=False, compare=False)

    @property
    def flows(self) -> tuple[str, ...]:
        """Dataflows, or modes, of GEMMs."""
        return self.modes.gemm or self.dataflows

    @cached_property
    def gemms(self) -> dict[int, Operator]:
        """GEMMs of the step, by index into the graph."""
        return {i: o for i, o in enumerate(self.graph.operators) if o.kind in GEMM_KINDS}

    @cached_property
    def _sizes(self) -> dict[Key, Sizes]:
        return {}

    def sizes(self, operator: Operator) -> Sizes:
        """Return what the plans of a GEMM depend on, on any stack.

        Parameters
        ----------
        operator : Operator
        """
        key = key_of(operator)
        if key not in self._sizes:
            self._sizes[key] = key, self.shares(operator), self.spreads(operator.kind)
        return self._sizes[key]

    def plans(self, operator: Operator) -> tuple[GemmPlan, ...]:
        """Return every plan of a GEMM, in a fixed order.

        Parameters
        ----------
        operator : Operator
        """
        sizes = self.sizes(operator)
        if sizes not in self.shared.plans:
            found: list[GemmPlan] = []
            _, shares, over = sizes
            for candidate in candidates(operator, self.params, self.flows, over, self.graph.precision):
                chunked = self.reduces(operator, candidate.plan)
                found += (
                    [replace(candidate.plan, chunks=c) for c in self._chunks(operator)] if chunked else [candidate.plan]
                )
            every = tuple(forms(operator, self.params.core, self.flows, self.graph.precision))
            found += team_plans(operator, self.params, every, shares, over)
            self.shared.plans[sizes] = tuple(found)
        return self.shared.plans[sizes]

    def reduces(self, operator: Operator, plan: GemmPlan) -> bool:
        """Whether a plan reduces chunks of its result."""
        return plan.reduces and operator.kind is not OperatorKind.ROUTER and self.params.cores > 1

    def _chunks(self, operator: Operator) -> list[int]:
        """Numbers of chunks that differ, the plain schedule's first; no chunk is smaller than what one flit carries."""
        paired = operator.kind is OperatorKind.GATE_UP
        columns, flit_bytes = self.shares(operator).columns, self.params.noc.flit_bytes
        return chunkings(self.params.core, flit_bytes, columns, (*CHUNKS, 2, 1), paired=paired)

    def spreads(self, kind: OperatorKind) -> tuple[int, ...]:
        """Return the dimensions that a kind of GEMM may be spread over.

        Parameters
        ----------
        kind : OperatorKind
        """
        model, pus = self.graph.model, self.params.cores
        whole = model.heads >= pus if self._absorbs else model.kv_heads % pus == 0
        if kind is OperatorKind.ATTN_OUT and whole:  # every PU holds some heads, of all sequences
            return (OVER_N, OVER_K)
        return spreads(kind)

    @property
    def _absorbs(self) -> bool:
        latent = self.graph.model.latent
        return latent is not None and latent.form == ABSORBED

    def shares(self, operator: Operator) -> Shares:
        """Return what the busiest PU has of a GEMM.

        Parameters
        ----------
        operator : Operator
        """
        model, pus, quantum = self.graph.model, self.params.cores, self.params.core.columns
        kind, n, k = operator.kind, operator.n, operator.k
        queries = [number for _, number in balanced(model.heads, pus)]
        if kind is OperatorKind.QKV:
            others = balanced(2 * model.kv_heads, pus)
            widths = [(q + o) * model.head_dim for q, (_, o) in zip(queries, others, strict=True)]
        elif kind in {OperatorKind.Q_UP, OperatorKind.KV_UP} or kind in HEAD_KINDS:
            widths = [number * (n if kind in HEAD_KINDS else n // model.heads) for number in queries]
        elif kind is OperatorKind.GATE_UP:
            widths = [2 * number for _, number in column_shares(n // 2, quantum, pus)]
        else:
            widths = [number for _, number in column_shares(n, quantum, pus)]
        depth = max(queries) * (k // model.heads) if kind is OperatorKind.ATTN_OUT else widest(k, quantum, pus)
        return Shares(max(widths), depth, sum(1 for w in widths if w), tuple(widths))

    def partial_bytes(self, operator: Operator, plan: GemmPlan) -> int:
        """Bytes of one of the two regions for results of passes that a plan needs.

        Parameters
        ----------
        operator : Operator
        plan : GemmPlan
        """
        paired = operator.kind is OperatorKind.GATE_UP
        return plan.shape.partial_bytes(self.params.core, operator.m, paired=paired)

    @cached_property
    def attention_shapes(self) -> tuple[tuple[PassPlan, ...], tuple[PassPlan, ...]]:
        """Shapes that take token-major keys, and those that take token-major values."""
        if self.attending is not None:
            return (self.attending.score,), (self.attending.value,)
        every = list(shapes(self.params.core, self.modes.attention or self.flows))
        keys = tuple(s for s in every if s.contiguous == K_CONTIGUOUS and s.split != SPLIT_K)
        return keys, tuple(s for s in every if s.contiguous == N_CONTIGUOUS)

    @cached_property
    def attention(self) -> tuple[AttentionPlan, ...]:
        """Every plan of attention, in a fixed order; whether it fits is another question."""
        if self.attending is not None:
            return (self.attending,)
        graph, core, found = self.graph, self.params.core, []
        model, group = graph.model, graph.group
        turning = [t for t in range(1, group + 1) if group % t == 0] if model.latent is not None else [1]
        parts = 1
        while parts <= graph.most_tokens:
            tokens = -(-graph.most_tokens // parts)
            own = -(-graph.batch * model.kv_heads * parts // self.params.cores)
            for turns in turning:
                m = group // turns
                products = ((tokens, model.key_dim), (model.value_dim, tokens))
                usable = [
                    [s for s in kind if pass_cycles(core, s.flow, s.group, s.split, s.contiguous, m, n, k) >= 0]
                    for kind, (n, k) in zip(self.attention_shapes, products, strict=True)
                ]
                for together in sorted({-(-own // rounds) for rounds in (1, 2, 4, 8)} | {1}, reverse=True):
                    for score in usable[0]:
                        found += [
                            AttentionPlan(parts, score, value, together, turns, graph.precision.kv)
                            for value in usable[1]
                            if self._crosses(m, tokens, together * turns, value.planes(core))
                        ]
            parts *= 2
            if parts > 1 and tokens <= core.strips:
                break
        return tuple(found)

    def _crosses(self, m: int, tokens: int, together: int, planes: int) -> bool:
        """Whether operands and results of attention fit into the compute unit's own buffers, if it has any."""
        core, model = self.params.core, self.graph.model
        result = planes * m * -(-model.value_dim // core.columns) * core.columns * 4
        return crosses(core, 2 * m * max(tokens, together * model.key_dim), max(4 * m * tokens, result))

    def schedule(self, gemm: dict[int, GemmPlan], attention: AttentionPlan) -> Schedule:
        """Return the schedule of a choice.

        Parameters
        ----------
        gemm : dict of int to GemmPlan
            By index into the graph.
        attention : AttentionPlan
        """
        return Schedule(self.graph, self.params.name, gemm, attention, self.params.fill, self.first_row)

    @property
    def overlaps_experts(self) -> bool:
        """Whether experts may begin ahead of one another."""
        return self.graph.model.is_moe

    def fits(self, schedule: Schedule) -> bool:
        """Whether everything that lives at a time fits into the buffer: the encoder lays it out.

        Parameters
        ----------
        schedule : Schedule
        """
        try:
            StepEncoder(schedule, self.params, (0,) * self.graph.batch)
        except InfeasibleError:
            return False
        return True
