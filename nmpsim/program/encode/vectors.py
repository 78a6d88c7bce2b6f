"""Vectors of the model on their way to the buffer (gains, biases, tables), and the norms that read them."""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.program.encode.collective import Region, to_all
from nmpsim.program.encode.emitter import Event, fp32_bits
from nmpsim.program.encode.gemm import Segments, cut, width
from nmpsim.program.encode.layout import Ready, StepLayout
from nmpsim.program.encode.memory import WEIGHTS
from nmpsim.program.encode.spread import Sliced
from nmpsim.program.encode.stacks import StackCollectives
from nmpsim.program.isa import (
    CONSTANT,
    EMBEDDING,
    LOAD,
    MOVE,
    V_BIAS,
    V_HEAD_NORM,
    V_LAYER_NORM,
    V_MOMENTS,
    V_NORM,
    V_SUM_SQUARES,
    WAITS,
)
from nmpsim.program.program import BeatImage
from nmpsim.program.schedule import Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import LAYER_NORM, OPT_POSITION_OFFSET, OperatorKind


@dataclass(frozen=True)
class Normed:
    """Columns that are normed in place, sliced over the PUs.

    Parameters
    ----------
    tensor : str
        Gain.
    total : int
        Columns of all PUs, of all stacks.
    shares : list of (int, int), by PU
        First column and number of columns.
    address : list of int, by PU
        Where they stand.
    gain : int
        Buffer address of the own part of the gain.
    """

    tensor: str
    total: int
    shares: list[tuple[int, int]]
    address: list[int]
    gain: int


class StepVectors(StepLayout):
    """Loads rows and vectors, and emits norms.

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
        super().__init__(schedule, params, lasting)
        self.tokens = tokens

    def join(self, pu: int, waits: list[Event | None], target: int) -> Event:
        """Emit the cheapest vector operation, one element, to wait for more events than an instruction can name.

        Each names as many as it can; they complete in order, so the last one follows all events.
        """
        own = min(1, self.hidden[pu][1])
        strongest: dict[int, Event] = {}
        for wait in waits:
            if wait is not None and wait.value > strongest.get(wait.semaphore, (0, 0))[1]:
                strongest[wait.semaphore] = wait
        events = list(strongest.values())
        for start in range(0, max(1, len(events)), WAITS):
            some = events[start : start + WAITS]
            done = self.out.vector(pu, V_SUM_SQUARES, 1, own, some, a=self.x, a_ld=self.x_ld, out=target)
        return done

    def over(self, results: list[Event | None]) -> Ready:
        """When every PU has its part of a GEMM's result; one without a part: when it has passed on all inputs."""
        return [
            [self.join(pu, self.spread.sent[pu], self.joined) if result is None else result]
            for pu, result in enumerate(results)
        ]

    def load(
        self,
        tensor: str,
        target: int,
        segments: list[Segments],
        size: int,
        waits: Ready,
        *,
        index: int = 0,
        traffic: int = CONSTANT,
    ) -> Ready:
        """Load own elements of one row of a tensor, one after another, to `target`.

        Parameters
        ----------
        tensor : str
        target : int
            Buffer address, the same on every PU.
        segments : list of Segments, by PU
            Elements: first and number of each range.
        size : int
            Bytes of an element, 2 or 4.
        waits : list of lists of Event, by PU
            When the target may be written.
        index : int
            Row of the tensor.
        traffic : int
            Kind of traffic.

        Returns
        -------
        list of lists of Event, by PU
            When they stand.
        """
        dram = self.params.dram
        per_row = dram.columns * dram.column_bytes // size
        ready: Ready = []
        for pu, ranges in enumerate(segments):
            done: Event | None = None
            for start in range(0, width(ranges), per_row):
                part = cut(ranges, start, per_row)
                number = width(part)
                beats = -(-number * size // dram.column_bytes)
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
                    out=target + start * size,
                    traffic=traffic,
                    bytes=number * size,
                )
                image = BeatImage(tensor, pu, bank, row, 0, beats, index, *part[0], fp32=size != 2, more=part[1:])
                self.banks.images[WEIGHTS].append(image)
            ready.append([done])
        return ready

    def constant(
        self, tensor: str, target: int, shares: list[tuple[int, int]], size: int, waits: Ready, *, index: int = 0
    ) -> Ready:
        """Load the own columns of a vector (`size` bytes an element) to `target`."""
        return self.load(tensor, target, [(s,) if s[1] else () for s in shares], size, waits, index=index)

    def bias(self, layer: int, kind: OperatorKind) -> tuple[int, Ready]:
        """Load the bias of a GEMM of a layer; return where, and when it stands.  0 and nothing if it has none."""
        if kind not in self.bias_at:
            return 0, [[] for _ in range(self.pus)]
        target = self.bias_at[kind]
        self.out.operator = self.index[f"layer{layer}.{kind}"]
        came = self.load(
            f"layers.{layer}.{kind}_bias", target, self.segments(kind), 2, self.bias_readers.get(kind, self.nothing())
        )
        self.bias_readers[kind] = self.nothing()
        return target, came

    def reads_bias(self, kind: OperatorKind, pu: int, event: Event) -> None:
        """Note an event after which the bias of a GEMM has been read."""
        if kind in self.bias_at:
            self.bias_readers[kind][pu] = [event]

    def nothing(self) -> Ready:
        """No events."""
        return [[] for _ in range(self.pus)]

    def position(self, operator: int, ready: Ready) -> Ready:
        """Add the row of the position table of the new tokens, which all sequences share."""
        out = self.out
        out.operator = operator
        row = self.graph.context - 1 + OPT_POSITION_OFFSET
        own: list[Segments] = [(s,) if s[1] else () for s in self.hidden]
        came = self.load("positions", self.gain[1], own, 2, self.nothing(), index=row, traffic=EMBEDDING)
        added: Ready = []
        for pu, (_, number) in enumerate(self.hidden):
            x = {"a": self.x, "a_ld": self.x_ld, "out": self.x, "out_ld": self.x_ld}
            waits = [*ready[pu], *came[pu]]
            added.append([out.vector(pu, V_BIAS, self.m, number, waits, b=self.gain[1], **x)])
        self.gain_readers[1] = added
        return added

    def norm(self, operator: int, tensor: str, ready: Ready) -> Sliced:
        """Norm of the residual stream into the sliced activations `y`."""
        out, m, model = self.out, self.m, self.model
        layered = model.norm == LAYER_NORM
        out.operator = operator
        turn = self.shared_turn()
        space = self.norms % 2
        self.norms += 1
        gain = self.constant(tensor, self.gain[space], self.hidden, 2, self.gain_readers[space])
        if layered:
            more = self.constant(
                tensor, self.gain[space] + self.x_ld, self.hidden, 2, self.gain_readers[space], index=1
            )
            gain = [[*one, *other] for one, other in zip(gain, more, strict=True)]
        size = m * (8 if layered else 4)
        own = [self.stats[turn] + pu * size for pu in range(self.pus)]
        sums: Ready = []
        for pu, (_, number) in enumerate(self.hidden):
            op = V_MOMENTS if layered else V_SUM_SQUARES
            sums.append([out.vector(pu, op, m, number, ready[pu], a=self.x, a_ld=self.x_ld, out=own[pu])])
        came = to_all(out, [Region(a, 1, size, size) for a in own], sums, turn)
        normed: Ready = []
        eps = out.table([fp32_bits(model.rms_eps)])
        for pu, (first, number) in enumerate(self.hidden):
            waits = [*sums[pu], *came[pu], *gain[pu]]
            normed.append(
                [
                    out.vector(
                        pu,
                        V_LAYER_NORM if layered else V_NORM,
                        m,
                        number,
                        waits,
                        a=self.x,
                        a_ld=self.x_ld,
                        b=self.gain[space],
                        b_ld=self.x_ld if layered else 0,
                        c=self.stats[turn],
                        planes=self.pus,
                        plane_ld=size,
                        imm=model.hidden,
                        table=eps,
                        out=self.y + first * 2,
                        out_ld=self.y_ld,
                    )
                ]
            )
        self.gain_readers[space] = normed
        return Sliced(self.y, self.y_ld, self.hidden, normed)

    def norms_in_place(
        self,
        operators: list[int],
        parts: list[Normed],
        ld: int,
        ready: Ready,
        stacks: StackCollectives | None = None,
    ) -> Ready:
        """RMSNorms of several sliced matrices with one exchange of the sums of squares.

        Parameters
        ----------
        operators : list of int
            Operator of each.
        parts : list of Normed
        ld : int
            Bytes between rows of all of them.
        ready : list of lists of Event, by PU
            When they stand.
        stacks : StackCollectives, optional
            The columns are also sliced over the stacks.

        Returns
        -------
        list of lists of Event, by PU
            When the normed columns stand.
        """
        out, m = self.out, self.m
        out.operator = operators[0]
        turn = self.shared_turn()
        size = len(parts) * m * 4
        gains = [
            self.constant(part.tensor, part.gain, part.shares, 2, self.inner_readers.get(part.gain, self.nothing()))
            for part in parts
        ]
        sums: Ready = []
        for pu in range(self.pus):
            events: list[Event | None] = []
            for i, part in enumerate(parts):
                out.operator = operators[i]
                place = (self.stats[turn] + pu * size if stacks is None else stacks.own_squares) + i * m * 4
                number = part.shares[pu][1]
                columns = {"a": part.address[pu], "a_ld": ld}
                events.append(out.vector(pu, V_SUM_SQUARES, m, number, ready[pu], out=place, **columns))
            out.operator = operators[0]
            if stacks is not None:
                events = [stacks.add_squares(pu, events, self.stats[turn] + pu * size)]
            sums.append(events)
        own = [Region(self.stats[turn] + pu * size, 1, size, size) for pu in range(self.pus)]
        came = to_all(out, own, sums, turn)
        eps = out.table([fp32_bits(self.model.rms_eps)])
        done: Ready = []
        for pu in range(self.pus):
            event: Event | None = None
            for i, part in enumerate(parts):
                out.operator = operators[i]
                place = part.address[pu]
                event = out.vector(
                    pu,
                    V_NORM,
                    m,
                    part.shares[pu][1],
                    [*sums[pu], *came[pu], *gains[i][pu]],
                    a=place,
                    a_ld=ld,
                    b=part.gain,
                    c=self.stats[turn] + i * m * 4,
                    planes=self.pus,
                    plane_ld=size,
                    imm=part.total,
                    table=eps,
                    out=place,
                    out_ld=ld,
                )
            done.append([event])
        for part in parts:
            self.inner_readers[part.gain] = done
        return done

    def norm_heads(self, operator: int, layer: int, owned: list[list[tuple[str, int]]], ready: Ready) -> Ready:
        """RMSNorm of every new query and key head by itself, in place."""
        out, m, head = self.out, self.m, self.model.head_dim
        out.operator = operator
        every = [(0, head)] * self.pus
        waits = self.inner_readers.get(self.qk_gain[0], self.nothing())
        gains = [
            self.constant(f"layers.{layer}.{name}_norm", gain, every, 2, waits)
            for name, gain in zip("qk", self.qk_gain, strict=True)
        ]
        eps = out.table([fp32_bits(self.model.rms_eps)])
        done: Ready = []
        for pu, heads in enumerate(owned):
            event: Event | None = None
            for i, (kind, _) in enumerate(heads):
                if kind == "v":
                    continue
                at = self.qkv + i * head * 2
                which = "qk".index(kind)
                event = out.vector(
                    pu,
                    V_HEAD_NORM,
                    m,
                    head,
                    [*ready[pu], *gains[which][pu]],
                    a=at,
                    a_ld=self.qkv_ld,
                    b=self.qk_gain[which],
                    imm=head,
                    table=eps,
                    out=at,
                    out_ld=self.qkv_ld,
                )
            done.append([*ready[pu], event])
        self.inner_readers[self.qk_gain[0]] = done
        return done
