"""The whole decode step: embedding, layers, LM head, sampling.

The residual stream and every operator's result are sliced by columns over the PUs (see spread.py); a norm exchanges
one sum of squares per token; attention runs on tasks (see attention.py).
"""

from __future__ import annotations

from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.encode.attention import fp32_bits
from nmpsim.program.encode.collective import Region, to_all
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.experts import Experts
from nmpsim.program.encode.gemm import (
    Chunk,
    Consume,
    reduce_chunk,
)
from nmpsim.program.encode.layout import Ready, StepLayout
from nmpsim.program.encode.memory import WEIGHTS
from nmpsim.program.encode.spread import Sliced
from nmpsim.program.isa import (
    CONSTANT,
    EMBEDDING,
    F_FIRST,
    F_RESIDUAL,
    LOAD,
    MOVE,
    V_ARGMAX,
    V_ARGMAX_MERGE,
    V_NORM,
    V_REDUCE,
    V_ROPE,
    V_SUM_SQUARES,
)
from nmpsim.program.program import BeatImage, Program, ProgramOperator
from nmpsim.program.schedule import Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import OUTSIDE, OperatorKind


class StepEncoder(StepLayout):
    """Encodes one decode step.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    tokens : tuple of int
        Token of every sequence (for the embedding rows).
    """

    def __init__(self, schedule: Schedule, params: MachineParams, tokens: tuple[int, ...]) -> None:
        super().__init__(schedule, params)
        self.tokens = tokens
        self.experts = Experts(self) if self.model.experts else None
        self.buffer.check()

    def embedding(self, operator: int) -> Ready:
        """Load the rows of the tokens, each PU its own columns."""
        dram, model = self.params.dram, self.model
        self.out.operator = operator
        per_row = dram.columns // self.beats
        if per_row == 0:
            fault = Fault(
                "placement of the embedding",
                f"{self.beats} beats per PU and token",
                f"at most {dram.columns} (one row)",
                "use more PUs or a chip with longer rows",
            )
            raise InfeasibleError("an embedding row does not fit", [fault])
        ready: Ready = []
        for pu, (first, number) in enumerate(self.hidden):
            start = self.banks.rows(pu, -(-model.vocab // (dram.banks * per_row)))
            done = None
            for b, token in enumerate(self.tokens):
                bank, place = token % dram.banks, token // dram.banks
                row, column = start + place // per_row, place % per_row * self.beats
                beats = -(-number * 2 // dram.column_bytes)
                if beats:
                    done = self.out.emit(
                        pu,
                        MOVE,
                        LOAD,
                        bank=bank,
                        row=row,
                        column=column,
                        beats=beats,
                        out=self.x + b * self.x_ld,
                        traffic=EMBEDDING,
                        bytes=number * 2,
                    )
                    self.banks.images[WEIGHTS].append(
                        BeatImage("embedding", pu, bank, row, column, beats, token, first, number)
                    )
            ready.append([done])
        for pu in range(self.pus):
            self.join(pu, ready[pu], self.flag)
        return ready

    def join(self, pu: int, waits: list[Event | None], target: int) -> Event:
        """Emit the cheapest vector operation, one element, to wait for more events than an instruction can name."""
        own = min(1, self.hidden[pu][1])
        return self.out.vector(pu, V_SUM_SQUARES, 1, own, waits, a=self.x, a_ld=self.x_ld, out=target)

    def constant(self, tensor: str, target: int, shares: list[tuple[int, int]], size: int, waits: Ready) -> Ready:
        """Load the own columns of a vector (`size` bytes an element) to `target`."""
        dram = self.params.dram
        ready: Ready = []
        for pu, (first, number) in enumerate(shares):
            beats = -(-number * size // dram.column_bytes)
            done = None
            if beats > dram.columns:
                fault = Fault(
                    f"placement of {tensor}",
                    f"{beats} beats per PU",
                    f"at most {dram.columns} (one row)",
                    "use more PUs or a chip with longer rows",
                )
                raise InfeasibleError("a vector does not fit into a row", [fault])
            if beats:
                row = self.banks.rows(pu, 1)
                bank = row % dram.banks
                done = self.out.emit(
                    pu,
                    MOVE,
                    LOAD,
                    waits[pu],
                    bank=bank,
                    row=row,
                    column=0,
                    beats=beats,
                    out=target,
                    traffic=CONSTANT,
                    bytes=number * size,
                )
                self.banks.images[WEIGHTS].append(
                    BeatImage(tensor, pu, bank, row, 0, beats, 0, first, number, fp32=size == 4)
                )
            ready.append([done])
        return ready

    def norm(self, operator: int, tensor: str, ready: Ready) -> Sliced:
        """RMSNorm of the residual stream into the sliced activations `y`."""
        out, m = self.out, self.m
        out.operator = operator
        turn = self.shared_turn()
        space = self.norms % 2
        self.norms += 1
        gain = self.constant(tensor, self.gain[space], self.hidden, 2, self.gain_readers[space])
        own = [self.stats[turn] + pu * m * 4 for pu in range(self.pus)]
        sums: Ready = []
        for pu, (_, number) in enumerate(self.hidden):
            sums.append([out.vector(pu, V_SUM_SQUARES, m, number, ready[pu], a=self.x, a_ld=self.x_ld, out=own[pu])])
        came = to_all(out, [Region(a, 1, m * 4, m * 4) for a in own], sums, turn)
        normed: Ready = []
        eps = out.table([fp32_bits(self.model.rms_eps)])
        for pu, (first, number) in enumerate(self.hidden):
            waits = [*sums[pu], *came[pu], *gain[pu]]
            normed.append(
                [
                    out.vector(
                        pu,
                        V_NORM,
                        m,
                        number,
                        waits,
                        a=self.x,
                        a_ld=self.x_ld,
                        b=self.gain[space],
                        c=self.stats[turn],
                        planes=self.pus,
                        plane_ld=m * 4,
                        imm=self.model.hidden,
                        table=eps,
                        out=self.y + first * 2,
                        out_ld=self.y_ld,
                    )
                ]
            )
        self.gain_readers[space] = normed
        return Sliced(self.y, self.y_ld, self.hidden, normed)

    def qkv_and_rope(self, layer: int, normed: Sliced, rope: Ready) -> Ready:
        """Project Q, K, V, rotate, and bring the heads to their tasks."""
        out, model, m = self.out, self.model, self.m
        index = self.index[f"layer{layer}.qkv"]
        width = model.head_dim

        def keep(pu: int, chunk: Chunk) -> Event:
            return reduce_chunk(out, pu, m, chunk, self.qkv + chunk.start * 2, self.qkv_ld)

        done = self.spread.run(
            index, self.schedule.gemm[index], f"layers.{layer}.qkv", m, normed, self.segments(OperatorKind.QKV), keep
        )
        joined = [self.join(pu, self.spread.sent[pu], self.joined) for pu in range(self.pus)]
        out.operator = self.index[f"layer{layer}.rope"]
        heads: list[tuple[str, int, int, int]] = []
        rotated: list[Event | None] = []
        for pu, owned in enumerate(self.heads()):
            event = done[pu]
            for i, (kind, head) in enumerate(owned):
                heads.append((kind, head, pu, self.qkv + i * width * 2))
                if kind == "v":
                    continue
                at = self.qkv + i * width * 2
                event = out.vector(
                    pu,
                    V_ROPE,
                    m,
                    width,
                    [event, *rope[pu]],
                    a=at,
                    a_ld=self.qkv_ld,
                    b=self.rope_at,
                    imm=width,
                    out=at,
                    out_ld=self.qkv_ld,
                )
            rotated.append(event)
        there = self.attention.exchange(heads, self.qkv_ld, rotated)
        return [[*events, join] for events, join in zip(there, joined, strict=True)]

    def residual(self, operator: int) -> Consume:
        """Return a consumer that adds a chunk to the residual stream."""

        def add(pu: int, chunk: Chunk) -> Event:
            self.out.operator = operator
            at = self.x + chunk.start * 2
            return self.out.vector(
                pu,
                V_REDUCE,
                self.m,
                chunk.columns,
                [chunk.ready],
                a=chunk.address,
                a_ld=chunk.ld,
                planes=chunk.planes,
                plane_ld=chunk.plane_ld,
                c=at,
                c_ld=self.x_ld,
                out=at,
                out_ld=self.x_ld,
                flags=F_RESIDUAL,
            )

        return add

    def layer(self, layer: int, ready: Ready, rope: Ready) -> Ready:
        """Emit one layer; the residual stream stands at `x` before and after."""
        name, out = f"layer{layer}.", self.out
        normed = self.norm(self.index[self._norm_names(layer)[0]], f"layers.{layer}.norm1", ready)
        heads = self.qkv_and_rope(layer, normed, rope)
        numbers = {k: self.index[name + k] for k in ("kv_append", "score", "softmax", "value")}
        regions, done = self.attention.encode_layer(layer, numbers, heads)
        width = self.model.heads * self.model.head_dim
        gathered = Sliced(
            self.attention_out, width * 2, [(0, width if p == 0 else 0) for p in range(self.pus)], done, regions
        )
        index = self.index[name + "attn_out"]
        first, second = self._residual_names(layer)
        added = self.spread.run(
            index,
            self.schedule.gemm[index],
            f"layers.{layer}.attn_out",
            self.m,
            gathered,
            self.segments(OperatorKind.ATTN_OUT),
            self.residual(self.index[first]),
        )
        merged = [[a, *r] for a, r in zip(added, ready, strict=True)]
        normed = self.norm(self.index[self._norm_names(layer)[1]], f"layers.{layer}.norm2", merged)
        if self.experts is not None:
            return self.experts.encode_layer(layer, normed, self.index[second])
        index = self.index[name + "gate_up"]
        activated = self.spread.run(
            index,
            self.schedule.gemm[index],
            f"layers.{layer}.gate_up",
            self.m,
            normed,
            self.segments(OperatorKind.GATE_UP),
            self.swiglu(self.index[name + "activation"], self.m, [[]] * self.pus),
            paired=True,
        )
        index = self.index[name + "down"]
        out.operator = index
        h = self.sliced_ffn([[a] for a in activated])
        added = self.spread.run(
            index,
            self.schedule.gemm[index],
            f"layers.{layer}.down",
            self.m,
            h,
            self.segments(OperatorKind.DOWN),
            self.residual(self.index[second]),
        )
        return [[a, *r] for a, r in zip(added, merged, strict=True)]

    def _norm_names(self, layer: int) -> tuple[str, str]:
        return _two([o.name for o in self.graph.of_layer(layer) if o.kind is OperatorKind.NORM])

    def _residual_names(self, layer: int) -> tuple[str, str]:
        return _two([o.name for o in self.graph.of_layer(layer) if o.kind is OperatorKind.RESIDUAL])

    def head(self, ready: Ready) -> None:
        """Final norm, LM head, greedy sampling."""
        out, m = self.out, self.m
        outside = {o.kind: i for i, o in enumerate(self.graph.operators) if o.layer == OUTSIDE}
        normed = self.norm(outside[OperatorKind.NORM], "final_norm", ready)
        index = outside[OperatorKind.LM_HEAD]
        turn = self.shared_turn()
        own = [self.best + pu * m * 8 for pu in range(self.pus)]
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
                imm=self.vocab[pu][0] + chunk.start,
                out=own[pu],
                flags=F_FIRST if chunk.start == 0 else 0,
            )
            return event

        done = self.spread.run(
            index, self.schedule.gemm[index], "lm_head", m, normed, self.segments(OperatorKind.LM_HEAD), best
        )
        out.operator = sampling
        waits: list[Event | None] = [done[0]]
        parts = [pu for pu in range(self.pus) if done[pu] is not None]
        for pu in parts:
            if pu:
                _, there = out.send(pu, 0, [done[pu]], common=turn, size=m * 8, source=own[pu], target=own[pu])
                waits.append(there)
        out.vector(
            0,
            V_ARGMAX_MERGE,
            m,
            1,
            waits,
            a=self.best,
            planes=len(parts),
            plane_ld=m * 8,
            out=self.best + self.pus * m * 8,
        )

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
        every = [(0, self.model.head_dim)] * self.pus
        rope = self.constant("rope", self.rope_at, every, 4, empty)
        ready = self.embedding(outside[OperatorKind.EMBEDDING])
        for layer in range(self.graph.layers):
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
                o.kv_read_bytes,
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


def _two(names: list[str]) -> tuple[str, str]:
    first, second = names
    return first, second


def encode(schedule: Schedule, params: MachineParams, tokens: tuple[int, ...]) -> Program:
    """Encode a schedule into a program.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    tokens : tuple of int
        Token of every sequence.

    Returns
    -------
    Program

    Raises
    ------
    InfeasibleError
        If buffer or banks are too small; with every region or the missing rows.
    """
    return StepEncoder(schedule, params, tokens).encode()
