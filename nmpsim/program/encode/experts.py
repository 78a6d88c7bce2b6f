"""A mixture-of-experts layer: router, top-k, and the experts one at a time over all PUs.

The assignment of tokens to experts is part of the workload, so the program is static; the weights of the chosen
experts are computed from the router's logits.  The router is multiplied over K: every PU uses its slice of the
activations, sends its partial logits to all others (a word, if it has no slice), and routes on its own.
"""

from __future__ import annotations

from dataclasses import replace

from nmpsim.program.encode.collective import Region, to_all
from nmpsim.program.encode.emitter import Event, fp32_bits
from nmpsim.program.encode.gemm import Chunk, Gemm, Segments, reduce_chunk
from nmpsim.program.encode.layout import Ready
from nmpsim.program.encode.spread import Brought, Sliced
from nmpsim.program.encode.teams import WORD
from nmpsim.program.encode.vectors import StepVectors
from nmpsim.program.isa import (
    F_A_FP32,
    F_ACCUMULATE,
    F_ALL,
    F_NORMALISE,
    F_RESIDUAL,
    V_AXPY,
    V_COPY,
    V_GROUP_LIMIT,
    V_PICK,
    V_REDUCE,
    V_ROUTE,
    V_SIGMOID,
)
from nmpsim.program.schedule import OVER_N
from nmpsim.workload import SIGMOID, Operator, OperatorKind

AHEAD_SPACES = 3
"""Spaces for rows where an expert begins before the one before it is over: of the one that is copied, of the one that
is multiplied, and of the one before, which other instructions of the PU may still read."""

COPY, BRING, FIRST, SECOND = range(4)
"""Parts of an expert: copies of its rows, gather of its activations, first GEMM, second GEMM and combination."""


def _order(experts: int, *, ahead: bool) -> list[tuple[int, int]]:
    """Return the parts of all experts in the order in which they are emitted.

    Ahead: the first GEMM of an expert comes before the second of the one before it, and its rows are copied before
    the results of the one before that are added::

        copy 0 | copy 1, first 0 | copy 2, bring 0, first 1, second 0 | copy 3, bring 1, first 2, second 1 | ...
    """
    if not ahead:
        return [(part, number) for number in range(experts) for part in (COPY, FIRST, BRING, SECOND)]
    late = {COPY: 0, BRING: 2, FIRST: 1, SECOND: 2}
    places = [(part, turn - behind) for turn in range(experts + 2) for part, behind in late.items()]
    return [(part, number) for part, number in places if 0 <= number < experts]


class Experts:
    """Buffer regions of a MoE layer and its encoder.

    Parameters
    ----------
    step : StepVectors
        The step it belongs to; regions are taken in phase ``ffn``.
    """

    def __init__(self, step: StepVectors) -> None:
        self.step = step
        model, m, take = step.model, step.m, step.buffer.take
        most = max((o.m for o in step.graph.operators if o.kind is OperatorKind.GATHER), default=1)
        self.choices = model.experts_per_token
        self.logits = take("router logits", step.pus * m * model.experts * 4, "ffn")
        if model.gating.scoring == SIGMOID:
            self.scores, self.ranked = (
                take(f"{name}router scores", m * model.experts * 4, "ffn") for name in ("", "ranked ")
            )
            beat = step.params.dram.column_bytes
            self.correction = take("correction of scores", -(-model.experts * 4 // beat) * beat, "ffn")
        self.weights = take("expert weights", m * self.choices * 4, "ffn")
        self.ahead = step.schedule.ahead
        names = [f"rows of an expert {i}" for i in range(AHEAD_SPACES)] if self.ahead else ["rows of an expert"]
        self.row_spaces = [take(name, most * model.hidden * 2, "ffn") for name in names]
        self.sum_ld = max(n for _, n in step.hidden) * 4
        self.result = take("result of an expert", most * self.sum_ld, "ffn")
        if step.stacks is not None:
            self.sum = step.stacks.partial
            self.zeros_at = take(
                "zeros", -(-self.sum_ld // step.params.dram.column_bytes) * step.params.dram.column_bytes, "ffn"
            )
        else:
            self.sum = take("sum of experts", m * self.sum_ld, "ffn")

    def _route(self, layer: int, normed: Sliced) -> tuple[Sliced, Ready, list[tuple[int, ...]]]:
        """Emit router and top-k; returns the activations gathered by nobody yet, the weights' events, the choices."""
        step, m = self.step, self.step.m
        out, experts = step.out, step.model.experts
        index = step.index[f"layer{layer}.router"]
        plan = step.schedule.gemm[index]
        out.operator = index
        segments: list[Segments] = [((0, experts),)] * step.pus
        gemm = Gemm(out, step.banks, plan.shape, f"layers.{layer}.router", segments, step.hidden)
        gemm.stream()
        size = m * experts * 4
        owners = [pu for pu, (_, number) in enumerate(step.hidden) if number]
        silent = [pu for pu, (_, number) in enumerate(step.hidden) if not number]
        own = {pu: self.logits + rank * size for rank, pu in enumerate([*owners, *silent])}

        def keep(pu: int, chunk: Chunk) -> Event:
            return reduce_chunk(out, pu, m, chunk, own[pu] + chunk.start * 4, experts * 4, fp32=True)

        a = [(normed.address + first * 2, normed.ld) for first, _ in step.hidden]
        done = gemm.passes(m, gemm.bring(m, a, normed.ready), step.partial, keep)
        for pu in silent:  # a word, so that whoever has all logits knows that every PU is over with the norm
            done[pu] = step.join(pu, normed.ready[pu], own[pu])
        sizes = [size if number else WORD for _, number in step.hidden]
        sent = [Region(own[pu], 1, sizes[pu], sizes[pu]) for pu in range(step.pus)]
        came = to_all(out, sent, [[d] for d in done], step.shared_turn())
        out.operator = step.index[f"layer{layer}.topk"]
        assert step.graph.routing is not None
        chosen = [tuple(experts) for experts in step.graph.routing.assignment[layer]]
        weights: Ready = []
        corrected = step.nothing()
        if step.model.gating.scoring == SIGMOID:
            every = [(0, experts)] * step.pus
            corrected = step.constant(f"layers.{layer}.router_bias", self.correction, every, 4, normed.ready)
        for pu in range(step.pus):
            waits = [done[pu], *came[pu], *corrected[pu]]
            weights.append([self._weigh(pu, chosen, len(owners), waits)])
        return normed, weights, chosen

    def _weigh(self, pu: int, chosen: list[tuple[int, ...]], planes: int, waits: list[Event | None]) -> Event:
        """Emit choice and weights of the experts from the logits; returns when the weights stand."""
        step, m = self.step, self.step.m
        out, gating, experts = step.out, step.model.gating, step.model.experts
        numbers = [e for token in chosen for e in token]
        ld = experts * 4
        logits = {"a": self.logits, "a_ld": ld, "planes": planes, "plane_ld": m * ld}
        result = {"out": self.weights, "out_ld": self.choices * 4, "imm": self.choices}
        if gating.scoring != SIGMOID:
            modifiers = 0 if gating.normalise else F_ALL
            table = out.table(numbers)
            return out.vector(pu, V_ROUTE, m, experts, waits, table=table, modifiers=modifiers, **logits, **result)
        scored = out.vector(pu, V_SIGMOID, m, experts, waits, out=self.scores, out_ld=ld, **logits)
        limited = out.vector(
            pu,
            V_GROUP_LIMIT,
            m,
            experts,
            [scored],
            a=self.scores,
            a_ld=ld,
            b=self.correction,
            imm=gating.groups,
            table=out.table([gating.kept_groups]),
            out=self.ranked,
            out_ld=ld,
        )
        table = out.table([*numbers, fp32_bits(gating.scale)])
        modifiers = F_NORMALISE if gating.normalise else 0
        both = {"a": self.scores, "a_ld": ld, "c": self.ranked, "c_ld": ld}
        return out.vector(pu, V_PICK, m, experts, [limited], table=table, modifiers=modifiers, **both, **result)

    def _shared(self, layer: int, normed: Sliced) -> tuple[Ready, Ready]:
        """Emit the expert that every token goes to; its result begins the sum.

        Returns when the result stands, and when the activations stand whole on every PU: empty if they need not.
        """
        step = self.step
        name, tensor = f"layer{layer}.shared.", f"layers.{layer}.shared."
        step.h = step.h_spaces[1]  # the first routed expert takes the other
        index, activation = step.index[name + "gate_up"], step.index[name + "activation"]
        columns = step.graph.operators[activation].n
        activated = step.spread.run(
            index,
            step.schedule.gemm[index],
            tensor + "gate_up",
            step.m,
            normed,
            step.segments(OperatorKind.GATE_UP, 2 * columns),
            step.swiglu(activation, step.m, step.nothing()),
            paired=True,
        )
        whole = step.spread.whole
        index = step.index[name + "down"]

        def keep(pu: int, chunk: Chunk) -> Event:
            step.out.operator = index
            free = None if step.stacks is None else step.stacks.free[pu]
            target = self.sum + chunk.start * 4
            return reduce_chunk(step.out, pu, step.m, chunk, target, self.sum_ld, fp32=True, waits=free)

        h = step.sliced_ffn([[a] for a in activated], columns)
        segments = step.segments(OperatorKind.DOWN)
        results = step.spread.run(index, step.schedule.gemm[index], tensor + "down", step.m, h, segments, keep)
        return step.over(results), whole

    def encode_layer(self, layer: int, normed: Sliced, residual: int) -> Ready:
        """Emit a MoE layer behind its norm; the residual stream stands at ``x`` afterwards.

        Parameters
        ----------
        layer : int
        normed : Sliced
            Activations behind the norm.
        residual : int
            Index of the residual operator.
        """
        step, m, out = self.step, self.step.m, self.step.out
        normed, weights, chosen = self._route(layer, normed)
        done: Ready = step.nothing() if step.stacks is None else [list(events) for events in step.stacks.free]
        started: set[int] = set()
        gathered: Ready = []
        sent: list[Ready] = [step.nothing(), step.nothing()]  # of the two gathers before: by space of the activations
        if step.model.gating.shared_ffn:
            done, gathered = self._shared(layer, normed)
            started.update(range(m))
            sent[1] = step.spread.sent
        experts = [o for o in step.graph.of_layer(layer) if o.kind is OperatorKind.GATHER]
        if experts and not gathered:
            gathered = step.gather(normed, step.index[experts[0].name])
        copied: list[Ready] = []
        activated: list[Ready] = []
        brought: list[tuple[Sliced, Brought | None]] = []
        for part, number in _order(len(experts), ahead=self.ahead):
            gather = experts[number]
            if part == COPY:
                copied.append(self._copy(gather, number, gathered, done))
            elif part == FIRST:
                free = self._passed_on(done, sent[number % 2]) if self.ahead else done
                activated.append(self._first(layer, gather, number, copied[number], free))
            elif part == BRING:
                h, came = self._bring(layer, gather, number, activated[number], done)
                brought.append((h, came))
                sent[number % 2] = step.nothing() if came is None else came.sent
            else:
                results = self._second(layer, gather, *brought[number], done)
                self._combine(layer, gather, chosen, results, weights, started, done)
        out.operator = residual
        if step.stacks is not None:
            self._zero([t for t in range(m) if t not in started], done)
            return step.stacks.all_reduce(done, step.x, step.x_ld)
        ready: Ready = []
        for pu, (_, number) in enumerate(step.hidden):
            ready.append(
                [
                    out.vector(
                        pu,
                        V_REDUCE,
                        m,
                        number,
                        done[pu],
                        a=self.sum,
                        a_ld=self.sum_ld,
                        planes=1,
                        c=step.x,
                        c_ld=step.x_ld,
                        out=step.x,
                        out_ld=step.x_ld,
                        modifiers=F_RESIDUAL,
                    )
                ]
            )
        return ready

    def _zero(self, tokens: list[int], done: Ready) -> None:
        """Clear the sums of tokens whose experts are all in other stacks (changes `done`)."""
        step = self.step
        if not tokens:
            return
        came = step.constant("zeros", self.zeros_at, step.hidden, 4, done)
        for pu, (_, columns) in enumerate(step.hidden):
            for token in tokens if columns else ():
                target = self.sum + token * self.sum_ld
                waits = [*came[pu], *done[pu]]
                ends = {"a": self.zeros_at, "a_ld": self.sum_ld, "out": target, "out_ld": self.sum_ld}
                done[pu] = [step.out.vector(pu, V_COPY, 1, columns, waits, modifiers=F_A_FP32, **ends)]

    def _copy(self, gather: Operator, number: int, gathered: Ready, done: Ready) -> Ready:
        """Emit the copies of the rows of an expert; returns when they stand on every PU."""
        step, out = self.step, self.step.out
        out.operator = step.index[gather.name]
        space = self.row_spaces[number % len(self.row_spaces)]
        copied: Ready = []
        for pu in range(step.pus):
            event: Event | None = None
            for i, token in enumerate(gather.tokens):
                event = out.vector(
                    pu,
                    V_COPY,
                    1,
                    step.model.hidden,
                    [*gathered[pu], *done[pu]],
                    a=step.y + token * step.y_ld,
                    a_ld=step.y_ld,
                    out=space + i * step.y_ld,
                    out_ld=step.y_ld,
                )
            copied.append([event])
        return copied

    def _first(self, layer: int, gather: Operator, number: int, rows: Ready, free: Ready) -> Ready:
        """Emit the first GEMM of an expert on its gathered rows; returns when its activations stand, sliced.

        `free`: when their space is free.
        """
        step = self.step
        step.h = step.h_spaces[number % 2]  # the one before may still be read by a slower PU
        name, tensor = f"layer{layer}.expert{gather.expert}.", f"layers.{layer}.expert.{gather.expert}."
        space = self.row_spaces[number % len(self.row_spaces)]
        everywhere = Sliced(space, step.y_ld, step.hidden, rows, regions=[[] for _ in range(step.pus)])
        index = step.index[name + "gate_up"]
        activated = step.spread.run(
            index,
            step.schedule.gemm[index],
            tensor + "gate_up",
            gather.m,
            everywhere,
            step.segments(OperatorKind.GATE_UP, step.graph.operators[index].n),
            step.swiglu(step.index[name + "activation"], gather.m, free),
            paired=True,
        )
        return [[event] for event in activated]

    def _passed_on(self, done: Ready, sent: Ready) -> Ready:
        """When every PU is over with an expert and has passed on the activations in the space of the next one."""
        step = self.step
        return [
            [step.join(pu, [*own, *passed], step.joined)] if passed else own
            for pu, (own, passed) in enumerate(zip(done, sent, strict=True))
        ]

    def _bring(
        self, layer: int, gather: Operator, number: int, activated: Ready, before: Ready
    ) -> tuple[Sliced, Brought | None]:
        """Gather the activations that the second GEMM of an expert takes whole; returns them, and when they stand.

        Of experts one after another, the second GEMM gathers them itself, behind its stream.
        """
        step = self.step
        step.h = step.h_spaces[number % 2]
        name = f"layer{layer}.expert{gather.expert}."
        if self.ahead:  # the first GEMM did not wait for the expert before: this gather tells that it is over
            activated = [[*own, *over] for own, over in zip(activated, before, strict=True)]
        h = step.sliced_ffn(activated, step.model.ffn)
        over = step.schedule.gemm[step.index[name + "gate_up"]].over
        if self.ahead or over == OVER_N:  # over K all PUs have given partial sums, of an expert that comes later
            h = self._telling(h, before)
        step.out.operator = step.index[name + "down"]
        return h, step.spread.bring(gather.m, h) if self.ahead and not h.packed else None

    def _second(self, layer: int, gather: Operator, h: Sliced, brought: Brought | None, before: Ready) -> Ready:
        """Emit the second GEMM of an expert; returns when its result stands, sliced."""
        step, m = self.step, gather.m
        name, tensor = f"layer{layer}.expert{gather.expert}.", f"layers.{layer}.expert.{gather.expert}."
        index = step.index[name + "down"]

        def keep(pu: int, chunk: Chunk) -> Event:
            step.out.operator = index
            return reduce_chunk(
                step.out, pu, m, chunk, self.result + chunk.start * 4, self.sum_ld, fp32=True, waits=list(before[pu])
            )

        plan, segments = step.schedule.gemm[index], step.segments(OperatorKind.DOWN)
        return step.over(step.spread.run(index, plan, tensor + "down", m, h, segments, keep, brought=brought))

    def _combine(
        self,
        layer: int,
        gather: Operator,
        chosen: list[tuple[int, ...]],
        results: Ready,
        weights: Ready,
        started: set[int],
        done: Ready,
    ) -> None:
        """Add the result of an expert to the sums of its tokens (changes `started` and `done`)."""
        step, out = self.step, self.step.out
        out.operator = step.index[f"layer{layer}.expert{gather.expert}.combine"]
        for pu, (_, columns) in enumerate(step.hidden):
            if columns == 0:
                done[pu] = results[pu]
                continue
            for i, token in enumerate(gather.tokens):
                choice = chosen[token].index(gather.expert)
                first = token not in started
                done[pu] = [
                    out.vector(
                        pu,
                        V_AXPY,
                        1,
                        columns,
                        [*results[pu], *weights[pu]],
                        a=self.result + i * self.sum_ld,
                        a_ld=self.sum_ld,
                        b=self.weights + (token * self.choices + choice) * 4,
                        out=self.sum + token * self.sum_ld,
                        out_ld=self.sum_ld,
                        modifiers=F_A_FP32 | (0 if first else F_ACCUMULATE),
                    )
                ]
        started.update(gather.tokens)

    def _telling(self, h: Sliced, before: Ready) -> Sliced:
        """Return activations of an expert whose gather also tells that every PU is over with the expert before.

        A PU with columns of its own says so by them.  One without would say nothing: the others might begin the next
        expert while it still reads the space that this one is to be written to.
        """
        step = self.step
        if h.packed or all(number for _, number in h.shares):
            return h
        words = step.h + step.h_bytes
        ready: Ready = [list(own) for own in h.ready]
        for pu, (_, number) in enumerate(h.shares):
            if not number:
                ready[pu] = [step.join(pu, before[pu], words + pu * WORD)]
        return replace(h, ready=ready, words=words)
