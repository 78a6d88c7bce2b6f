"""The whole decode step: embedding, layers, LM head, sampling.

The residual stream and every operator's result are sliced by columns over the PUs (see spread.py); a norm exchanges
one sum of squares per token; attention runs on tasks (see attention.py).
"""

from __future__ import annotations

from nmpsim.program.encode.embedding import Embedding
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.experts import Experts
from nmpsim.program.encode.gemm import (
    Chunk,
    Consume,
    reduce_chunk,
)
from nmpsim.program.encode.latent import LatentAttention
from nmpsim.program.encode.layout import Ready
from nmpsim.program.encode.spread import Sliced
from nmpsim.program.encode.stacks import StackCollectives
from nmpsim.program.encode.tasks import Carried
from nmpsim.program.encode.vectors import Normed, StepVectors
from nmpsim.program.isa import (
    F_BIAS,
    F_FIRST,
    F_RESIDUAL,
    V_ARGMAX,
    V_ARGMAX_MERGE,
    V_REDUCE,
    V_RELU,
    V_ROPE,
)
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.program.schedule import Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ATTENTION_KINDS, OUTSIDE, PER_HEAD, SWIGLU, OperatorKind


class StepEncoder(StepVectors):
    """Encodes one decode step.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    tokens : tuple of int
        Token of every sequence (for the embedding rows).
    lasting : int
        As for `StepLayout`.
    """

    def __init__(self, schedule: Schedule, params: MachineParams, tokens: tuple[int, ...], lasting: int = 0) -> None:
        super().__init__(schedule, params, tokens, lasting)
        self.experts = Experts(self) if any(map(self.model.has_experts, self.graph.layer_numbers)) else None
        self.latent = LatentAttention(self) if self.model.latent is not None else None
        self.buffer.check()

    def qkv_and_rope(self, layer: int, normed: Sliced, rope: Ready) -> Ready:
        """Project Q, K, V, norm and rotate them, and bring the heads to their tasks."""
        out, model, m = self.out, self.model, self.m
        name = f"layer{layer}."
        index = self.index[name + "qkv"]
        width = model.head_dim
        bias, biased = self.bias(layer, OperatorKind.QKV)
        modifiers = F_BIAS if model.qkv_bias else 0

        def keep(pu: int, chunk: Chunk) -> Event:
            target = self.qkv + chunk.start * 2
            event = reduce_chunk(
                out, pu, m, chunk, target, self.qkv_ld, bias=bias, modifiers=modifiers, waits=biased[pu]
            )
            self.reads_bias(OperatorKind.QKV, pu, event)
            return event

        done = self.spread.run(
            index, self.schedule.gemm[index], f"layers.{layer}.qkv", m, normed, self.segments(OperatorKind.QKV), keep
        )
        joined = [self.join(pu, self.spread.sent[pu], self.joined) for pu in range(self.pus)]
        owned = self.heads()
        ready: Ready = [[event] for event in done]
        if model.qk_norm == PER_HEAD:
            ready = self.norm_heads(self.index[name + "qk_norm"], layer, owned, ready)
        elif model.qk_norm:
            ready = self._norm_all_heads(self.index[name + "qk_norm"], layer, owned, ready)
        heads: list[Carried] = []
        if model.rope_dim:
            out.operator = self.index[name + "rope"]
        for pu, mine in enumerate(owned):
            for i, (kind, head) in enumerate(mine):
                at = self.qkv + i * width * 2
                heads.append(Carried(kind, head, pu, at, self.qkv_ld, width))
                if kind == "v" or not model.rope_dim:
                    continue
                event = out.vector(
                    pu,
                    V_ROPE,
                    m,
                    width,
                    [*ready[pu], *rope[pu]],
                    a=at,
                    a_ld=self.qkv_ld,
                    b=self.rope_at,
                    imm=width,
                    out=at,
                    out_ld=self.qkv_ld,
                )
                ready[pu] = [event]
        there = self.attention.exchange(heads, ready)
        return [[*events, join] for events, join in zip(there, joined, strict=True)]

    def _norm_all_heads(self, operator: int, layer: int, owned: list[list[tuple[str, int]]], ready: Ready) -> Ready:
        """RMSNorm over all query heads of all stacks together, and over all key heads, in place."""
        head, shard = self.model.head_dim, self.graph.shard
        whole = self.model if shard is None else shard.whole
        parts = []
        for which, (kind, total) in enumerate((("q", whole.heads), ("k", whole.kv_heads))):
            shares, places = [], []
            for heads in owned:
                mine = [i for i, (k, _) in enumerate(heads) if k == kind]
                shares.append((heads[mine[0]][1] * head, len(mine) * head) if mine else (0, 0))
                places.append(self.qkv + (mine[0] * head * 2 if mine else 0))
            gain = f"layers.{layer}.{kind}_norm"
            parts.append(Normed(gain, total * head, shares, places, self.qk_gain[which]))
        return self.norms_in_place([operator, operator], parts, self.qkv_ld, ready, self.stacks)

    def residual(self, operator: int, layer: int, kind: OperatorKind) -> Consume:
        """Return a consumer that adds a chunk, and the bias of its GEMM, to the residual stream."""
        if self.stacks is not None:
            return self._partial_sums(self.stacks)
        bias, biased = self.bias(layer, kind)
        modifiers = F_RESIDUAL | (F_BIAS if self.model.linear_bias else 0)

        def add(pu: int, chunk: Chunk) -> Event:
            self.out.operator = operator
            at = self.x + chunk.start * 2
            event = self.out.vector(
                pu,
                V_REDUCE,
                self.m,
                chunk.columns,
                [chunk.ready, *biased[pu]],
                a=chunk.address,
                a_ld=chunk.ld,
                planes=chunk.planes,
                plane_ld=chunk.plane_ld,
                b=bias + chunk.start * 2 if modifiers & F_BIAS else 0,
                c=at,
                c_ld=self.x_ld,
                out=at,
                out_ld=self.x_ld,
                modifiers=modifiers,
            )
            self.reads_bias(kind, pu, event)
            return event

        return add

    def _partial_sums(self, stacks: StackCollectives) -> Consume:
        """Return a consumer that leaves the partial sums of this stack in FP32."""

        def keep(pu: int, chunk: Chunk) -> Event:
            target = stacks.partial + chunk.start * 4
            return reduce_chunk(self.out, pu, self.m, chunk, target, stacks.ld, fp32=True, waits=stacks.free[pu])

        return keep

    def joined_stacks(self, operator: int, layer: int, kind: OperatorKind, added: Ready) -> Ready:
        """Join what the stacks have added: nothing to do for one stack.  Returns when the residual stream stands."""
        if self.stacks is None:
            return added
        biased = None
        bias = 0
        if self.model.linear_bias:
            bias, biased = self.bias(layer, kind)
        self.out.operator = operator
        done = self.stacks.all_reduce(added, self.x, self.x_ld, bias, biased)
        for pu, events in enumerate(done):
            if events and events[0] is not None:
                self.reads_bias(kind, pu, events[0])
        return done

    def relu(self, operator: int, layer: int) -> Consume:
        """Return a consumer that turns columns of the up projection into columns of `h`."""
        whole = self.graph.operators[operator].n
        offset = [first * 2 if self.gathers_ffn() else 0 for first, _ in self.ffn(whole)]
        bias, biased = self.bias(layer, OperatorKind.UP)
        modifiers = F_BIAS if self.model.linear_bias else 0

        def activate(pu: int, chunk: Chunk) -> Event:
            self.out.operator = operator
            event = self.out.vector(
                pu,
                V_RELU,
                self.m,
                chunk.columns,
                [chunk.ready, *biased[pu]],
                a=chunk.address,
                a_ld=chunk.ld,
                planes=chunk.planes,
                plane_ld=chunk.plane_ld,
                b=bias + chunk.start * 2 if modifiers else 0,
                out=self.h + offset[pu] + chunk.start * 2,
                out_ld=self.h_ld(whole),
                modifiers=modifiers,
            )
            self.reads_bias(OperatorKind.UP, pu, event)
            return event

        return activate

    def attend(self, layer: int, normed: Sliced, rope: Ready) -> Sliced:
        """Emit attention up to what the output projection takes."""
        if self.latent is not None:
            return self.latent.encode_layer(layer, normed, rope)
        heads = self.qkv_and_rope(layer, normed, rope)
        numbers = self.cache_operators(layer)
        regions, done = self.attention.encode_layer(layer, numbers, heads)
        width = self.model.heads * self.model.head_dim
        return Sliced(self.attention_out, width * 2, self.attention_shares(width), done, regions)

    def layer(self, layer: int, ready: Ready, rope: Ready) -> Ready:
        """Emit one layer; the residual stream stands at `x` before and after."""
        name = f"layer{layer}."
        normed = self.norm(self.index[name + "attn_norm"], f"layers.{layer}.norm1", ready)
        gathered = self.attend(layer, normed, rope)
        index = self.index[name + "attn_out"]
        added = self.spread.run(
            index,
            self.schedule.gemm[index],
            f"layers.{layer}.attn_out",
            self.m,
            gathered,
            self.segments(OperatorKind.ATTN_OUT),
            self.residual(self.index[name + "attn_residual"], layer, OperatorKind.ATTN_OUT),
        )
        merged = self.joined_stacks(
            self.index[name + "attn_residual"],
            layer,
            OperatorKind.ATTN_OUT,
            [[*a, *r] for a, r in zip(self.over(added), ready, strict=True)],
        )
        normed = self.norm(self.index[name + "ffn_norm"], f"layers.{layer}.norm2", merged)
        second = self.index[name + "ffn_residual"]
        if self.experts is not None and self.model.has_experts(layer):
            return self.experts.encode_layer(layer, normed, second)
        self.h = self.h_spaces[0]
        gated = self.model.network == SWIGLU
        kind = OperatorKind.GATE_UP if gated else OperatorKind.UP
        index, activation = self.index[name + kind], self.index[name + "activation"]
        columns = self.graph.operators[activation].n
        activated = self.spread.run(
            index,
            self.schedule.gemm[index],
            f"layers.{layer}.{kind}",
            self.m,
            normed,
            self.segments(kind, self.graph.operators[index].n),
            self.swiglu(activation, self.m, self.nothing()) if gated else self.relu(activation, layer),
            paired=gated,
        )
        index = self.index[name + "down"]
        self.out.operator = index
        h = self.sliced_ffn([[a] for a in activated], columns)
        added = self.spread.run(
            index,
            self.schedule.gemm[index],
            f"layers.{layer}.down",
            self.m,
            h,
            self.segments(OperatorKind.DOWN),
            self.residual(second, layer, OperatorKind.DOWN),
        )
        merged = [[*a, *r] for a, r in zip(self.over(added), merged, strict=True)]
        return self.joined_stacks(second, layer, OperatorKind.DOWN, merged)

    def head(self, ready: Ready) -> None:
        """Final norm, LM head, greedy sampling."""
        out, m = self.out, self.m
        outside = {o.kind: i for i, o in enumerate(self.graph.operators) if o.layer == OUTSIDE}
        normed = self.norm(outside[OperatorKind.NORM], "final_norm", ready)
        index = outside[OperatorKind.LM_HEAD]
        turn = self.shared_turn()
        owners = [pu for pu, (_, number) in enumerate(self.vocab) if number]
        own = {pu: self.best + rank * m * 8 for rank, pu in enumerate(owners)}
        sampling = outside[OperatorKind.SAMPLING]
        found: list[Event | None] = [None] * self.pus

        def best(pu: int, chunk: Chunk) -> Event:
            out.operator = sampling
            found[pu] = event = out.vector(
                pu,
                V_ARGMAX,
                m,
                chunk.columns,
                [chunk.ready, found[pu]],
                a=chunk.address,
                a_ld=chunk.ld,
                planes=chunk.planes,
                plane_ld=chunk.plane_ld,
                imm=self.graph.columns[0] + self.vocab[pu][0] + chunk.start,
                out=own[pu],
                modifiers=F_FIRST if chunk.start == 0 else 0,
            )
            return event

        done = self.spread.run(
            index, self.schedule.gemm[index], "lm_head", m, normed, self.segments(OperatorKind.LM_HEAD), best
        )
        out.operator = sampling
        waits: list[Event | None] = [done[0]]
        for pu in owners:
            if pu:
                _, there = out.send(pu, 0, [done[pu]], common=turn, size=m * 8, source=own[pu], target=own[pu])
                waits.append(there)
        target = self.best + self.pus * m * 8
        mine = target if self.stacks is None else self.stacks.own_best
        merged = out.vector(0, V_ARGMAX_MERGE, m, 1, waits, a=self.best, planes=len(owners), plane_ld=m * 8, out=mine)
        if self.stacks is not None:
            self.stacks.merge_best(merged, target)

    def encode(self) -> Program:
        """Emit everything and return the program.

        Raises
        ------
        InfeasibleError
            If the tensors do not fit into the banks.
        """
        outside = {o.kind: i for i, o in enumerate(self.graph.operators) if o.layer == OUTSIDE}
        empty: Ready = [[] for _ in range(self.pus)]
        self.out.operator = outside[OperatorKind.EMBEDDING]
        every = [(0, self.model.rope_dim)] * self.pus
        rope = self.constant("rope", self.rope_at, every, 4, empty)
        ready = Embedding(self).load(outside[OperatorKind.EMBEDDING])
        if self.model.learned_positions:
            ready = self.position(outside[OperatorKind.POSITION], ready)
        for layer in self.graph.layer_numbers:
            ready = self.layer(layer, ready, rope)
        self.head(ready)
        offsets, images = self.banks.settle(self.schedule.fill, self.schedule.first_row)
        operators = tuple(
            ProgramOperator(
                o.name,
                str(o.kind),
                o.layer,
                o.macs,
                o.weight_bytes,
                o.kv_read_bytes * (self.schedule.attention.turns if o.kind in ATTENTION_KINDS else 1),
                o.vector_elements,
                str(self.schedule.gemm.get(i, "")),
            )
            for i, o in enumerate(self.graph.operators)
        )
        results = {
            "tokens": (0, self.best + self.pus * self.m * 8, self.m, 2, 8, True),
            "residual": (-1, self.x, self.m, max(n for _, n in self.hidden), self.x_ld, False),
        }
        return Program(
            self.schedule.chip,
            self.out.streams(offsets),
            self.out.tables(),
            operators,
            tuple(images),
            self.buffer.regions | self.out.regions(),
            results,
        )


def encode(schedule: Schedule, params: MachineParams, tokens: tuple[int, ...], lasting: int = 0) -> Program:
    """Encode a schedule into a program.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    tokens : tuple of int
        Token of every sequence.
    lasting : int
        Several stacks: the most of `lasting_end` of them.

    Returns
    -------
    Program

    Raises
    ------
    InfeasibleError
        If buffer or banks are too small; with every region or the missing rows.
    """
    return StepEncoder(schedule, params, tokens, lasting).encode()


def lasting_end(schedule: Schedule, params: MachineParams) -> int:
    """Address behind the regions of the buffer that live through the whole step.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.

    Raises
    ------
    InfeasibleError
        If the buffer is too small.
    """
    return StepEncoder(schedule, params, (0,) * schedule.graph.batch).lasting
