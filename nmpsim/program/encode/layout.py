"""Where the step's activations stand: shares of the PUs and regions of the buffer."""

from __future__ import annotations

from nmpsim.program.encode.absorbed import AbsorbedAttention
from nmpsim.program.encode.attention import Attention
from nmpsim.program.encode.collective import adds, all_gather
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import (
    Chunk,
    Consume,
    PartialSpace,
    Segments,
    balanced,
    column_shares,
    width,
)
from nmpsim.program.encode.memory import Banks, Buffer
from nmpsim.program.encode.passes import PassEmitter
from nmpsim.program.encode.reduction import Reduction, chunk_step, reduction_bytes
from nmpsim.program.encode.spread import Sliced, Spread
from nmpsim.program.encode.stacks import StackCollectives
from nmpsim.program.encode.teams import WORD, TeamSpace, landing_bytes, teams
from nmpsim.program.isa import V_SWIGLU
from nmpsim.program.schedule import OVER_K, OVER_N, Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ABSORBED, ALL_HEADS, LAYER_NORM, PER_HEAD, Latent, OperatorKind

Ready = list[list[Event | None]]
ATTENDING = frozenset(
    {OperatorKind.QKV, OperatorKind.ATTN_OUT, OperatorKind.LATENT, OperatorKind.Q_UP, OperatorKind.KV_UP}
)
"""GEMMs that run while regions of attention live."""


class StepLayout:
    """Shares, regions and the emitters that use them, of one decode step.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    lasting : int
        Least address at which regions of single phases may begin; all stacks must have the same.
    """

    def __init__(self, schedule: Schedule, params: MachineParams, lasting: int = 0) -> None:
        graph = schedule.graph
        self.schedule, self.params = schedule, params
        self.graph, self.model, self.m = graph, graph.model, graph.batch
        self.out = PassEmitter(params)
        self.banks = Banks(params)
        self.buffer = Buffer(params)
        self.pus = params.cores
        self.index = {operator.name: i for i, operator in enumerate(graph.operators)}
        columns = params.core.columns
        self.hidden = column_shares(self.model.hidden, columns, self.pus)
        self.vocab = column_shares(graph.columns[1], columns, self.pus)
        self.collectives = 0
        self.bias_readers: dict[OperatorKind, Ready] = {}
        self.inner_readers: dict[int, Ready] = {}
        self._lasting_regions()
        self.lasting = self.buffer.close_lasting(lasting)
        self._attention_regions()
        self._ffn_regions()

    def _lasting_regions(self) -> None:
        """Regions that live through the whole step."""
        model, m, params, take = self.model, self.m, self.params, self.buffer.take
        beat = params.dram.column_bytes
        widest = max(n for _, n in self.hidden)
        self.beats = -(-widest * 2 // beat)
        self.x_ld = self.beats * beat
        self.x = take("residual slice", m * self.x_ld)
        shard = self.graph.shard  # what other stacks write to stands first, at the same address in all of them
        several = shard is not None and shard.stacks > 1
        self.stacks = StackCollectives(self.out, self.buffer, shard, m, self.hidden) if several and shard else None
        self.y_ld = model.hidden * 2
        self.y = take("normed activations", m * self.y_ld)
        self.stats = [take(f"sums of squares {i}", self.pus * m * 4 * self._statistics()) for i in range(2)]
        self.gain = [take(f"gain {i}", self.x_ld * model.norm_vectors) for i in range(2)]
        self.rope_at = take("rope table", -(-model.rope_dim * 4 // beat) * beat)
        self._inner_vectors()
        self.flag = take("flag", 4)
        self.credit = take("landing credits", 8)
        self.joined = take("join", 4)
        self.words = take("words of teams", WORD * (self.pus + 1)) if self._has_teams() else 0
        self.gain_readers: list[Ready] = [[[] for _ in range(self.pus)] for _ in range(2)]
        self.norms = 0
        self.best = take("best tokens", m * 8 * (self.pus + 1))
        sizes = {1}
        for i, plan in self.schedule.gemm.items():
            operator = self.graph.operators[i]
            paired = operator.kind is OperatorKind.GATE_UP
            sizes.add(plan.shape.partial_bytes(params.core, operator.m, paired=paired))
        self.partial = PartialSpace((take("partial sums 0", max(sizes)), take("partial sums 1", max(sizes))), self.pus)
        if self._reduces_in_attention():
            self._reduction_regions("")

    def _statistics(self) -> int:
        """Numbers that a PU tells all others of a token in one norm."""
        several = self.model.latent is not None or self.model.qk_norm == ALL_HEADS
        return 2 if several or self.model.norm == LAYER_NORM else 1

    def _inner_vectors(self) -> None:
        """Regions of gains of queries, keys and latents, and of biases."""
        model, take, beat = self.model, self.buffer.take, self.params.dram.column_bytes

        def whole(elements: int) -> int:
            return -(-max(1, elements) * 2 // beat) * beat

        self.qk_gain = (0, 0)
        if model.latent is not None or model.qk_norm:
            sizes = [0, 0]
            if model.latent is not None:
                sizes = [max(n for _, n in shares) for shares in self.latent_shares()[:2]]
            elif model.qk_norm == PER_HEAD:
                sizes = [model.head_dim] * 2
            else:
                owned = [[kind for kind, _ in heads] for heads in self.heads()]
                sizes = [max(kinds.count(kind) for kinds in owned) * model.head_dim for kind in "qk"]
            first, second = (take(f"inner gain {i}", whole(size)) for i, size in enumerate(sizes))
            self.qk_gain = first, second
        kinds = (OperatorKind.QKV,) if model.qkv_bias else ()
        if model.linear_bias:
            kinds = (*kinds, OperatorKind.ATTN_OUT, OperatorKind.UP, OperatorKind.DOWN)
        self.bias_at = {
            kind: take(f"bias of {kind}", whole(max(width(s) for s in self.segments(kind)))) for kind in kinds
        }

    def latent_shares(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]]]:
        """Columns of the latents that every PU projects: of all, of the queries' one and of the keys' one.

        Returns
        -------
        tuple of three lists of (int, int), by PU
            The queries' latent (from its first column on), that of keys and values (the same), and all columns of the
            fused projection.  The rotated part of the key is on the last PU.
        """
        latent = self.model.latent
        assert latent is not None
        plain = column_shares(latent.q_rank + latent.kv_rank, self.params.core.columns, self.pus)
        queries, keys = [], []
        for first, number in plain:
            end = first + number
            own = max(0, min(end, latent.q_rank) - first)
            queries.append((min(first, latent.q_rank), own))
            keys.append((max(first, latent.q_rank) - latent.q_rank, number - own))
        fused = [*plain[:-1], (plain[-1][0], plain[-1][1] + latent.rope)]
        return queries, keys, fused

    def _attention_regions(self) -> None:
        """Regions of attention."""
        model, m, take = self.model, self.m, self.buffer.take
        self.qkv_ld = max(len(h) for h in self.heads()) * model.head_dim * 2
        self.qkv = take("q, k, v slice", m * self.qkv_ld, "attention")
        self.attention_out = take("attention output", m * model.heads * model.output_dim * 2, "attention")
        if model.latent is not None:
            self._latent_regions(model.latent)
        self.buffer.lend("normed activations")  # read by the QKV passes, idle until the next norm
        absorbed = model.latent is not None and model.latent.form == ABSORBED
        encoder, output = (AbsorbedAttention, self.returned) if absorbed else (Attention, self.attention_out)
        self.attention = encoder(self.out, self.banks, self.buffer, self.graph, self.schedule.attention, output)

    def _latent_regions(self, latent: Latent) -> None:
        """Regions of latent attention."""
        m, take = self.m, self.buffer.take
        heads = max(len(h) for h in self.heads())
        self.latents_ld = latent.width * 2
        self.latents = take("latents", m * self.latents_ld, "attention")
        inner = latent.kv_rank if latent.form == ABSORBED else latent.nope + latent.value
        self.inner_ld = heads * inner * 2
        self.inner = take("heads in the space of the latent", m * self.inner_ld, "attention")
        if latent.form == ABSORBED:
            self.returned = take("results of the heads", m * self.inner_ld, "attention")

    def _ffn_regions(self) -> None:
        """Regions of the feed-forward network and of the LM head."""
        if not self._reduces_in_attention():
            self._reduction_regions("ffn")
        active = [o for o in self.graph.operators if o.kind is OperatorKind.ACTIVATION]
        size = max((o.m * self.h_ld(o.n) for o in active), default=0)
        spaces = 2 if self.model.experts else 1
        alone = self.schedule.ahead or any(
            p.over == OVER_N
            for i, p in self.schedule.gemm.items()
            if self.graph.operators[i].kind is OperatorKind.GATE_UP
        )
        silent = spaces > 1 and alone and self.gathers_ffn() and any(not self.all_own(o.n) for o in active)
        words = WORD * self.pus if silent else 0  # behind the activations
        self.h_bytes = size
        self.h_spaces = [self.buffer.take(f"ffn slice {i}", size + words, "ffn") for i in range(spaces)]
        self.h = self.h_spaces[0]

    def _reduction_regions(self, phase: str) -> None:
        """Spaces of the reduce-scatters, and the emitter of GEMMs that uses them."""
        params = self.params
        grain = max(1, params.noc.flit_bytes // 4)
        sizes, landed = [(1, 1)], 0
        for i, plan in self.schedule.gemm.items():
            operator = self.graph.operators[i]
            if plan.reduces and operator.kind is not OperatorKind.ROUTER:
                unit = 2 * params.core.columns if operator.kind is OperatorKind.GATE_UP else grain
                shares = self.segments(operator.kind, operator.n)
                if plan.over == OVER_N:
                    step = chunk_step(shares, plan.chunks, unit)
                    widths = [min(step, width(s)) for s in shares]
                    columns = max(sum(widths[pu] for pu in members) for members in teams(self.pus, plan.team))
                    sizes.append((columns * operator.m * 4, 1))
                    landed = max(landed, landing_bytes(operator.m, max(widths), plan.team, plan.working))
                    continue
                landing = 1 if adds(self.out) else self.pus  # sums of the routers come in place
                sizes.append(reduction_bytes(landing, operator.m, shares, plan.chunks, grain, unit))
        partial, landing = (max(s[i] for s in sizes) for i in range(2))
        spaces = [
            (self.buffer.take(f"reduction {i}", partial, phase), self.buffer.take(f"landing {i}", landing, phase))
            for i in range(2)
        ]
        reduction = Reduction((spaces[0][0], spaces[1][0]), (spaces[0][1], spaces[1][1]), self.flag, self.credit)
        handed = None
        if self._has_teams():
            slots = [self.buffer.take(f"slots of teams {i}", landed, phase) for i in range(2)]
            handed = TeamSpace((slots[0], slots[1]), self.words, self.flag, self.words + WORD * self.pus)
        self.spread = Spread(self.out, self.banks, self.partial, reduction, handed)

    def cache_operators(self, layer: int) -> dict[str, int]:
        """Indices of the operators of a layer on the cache; only who holds the end of the context appends."""
        names = ("kv_append", "score", "softmax", "value")
        return {k: self.index[f"layer{layer}.{k}"] for k in names if f"layer{layer}.{k}" in self.index}

    def _reduces(self, kind: OperatorKind) -> bool:
        """Whether GEMMs of a kind are spread over K."""
        plans = self.schedule.gemm.items()
        return any(p.over == OVER_K and self.graph.operators[i].kind is kind for i, p in plans)

    def _has_teams(self) -> bool:
        """Whether a GEMM is computed by teams of PUs."""
        return any(plan.team > 1 for plan in self.schedule.gemm.values())

    def _reduces_in_attention(self) -> bool:
        """Whether reductions go on while regions of attention live."""
        plans = self.schedule.gemm.items()
        return any(plan.reduces and self.graph.operators[i].kind in ATTENDING for i, plan in plans)

    def attention_shares(self, width: int) -> list[tuple[int, int]]:
        """Columns of the attention output, `width` in all, that every PU holds.

        All stand on the first where PUs hold heads of some sequences only: such an output can but be gathered.
        """
        own = width // self.pus
        if self.model.kv_heads % self.pus:
            return [(0, width if pu == 0 else 0) for pu in range(self.pus)]
        return [(pu * own, own) for pu in range(self.pus)]

    def gathers_ffn(self) -> bool:
        """Whether the down projection is spread over N, so that every PU needs all of its input."""
        return not self._reduces(OperatorKind.DOWN)

    def heads(self) -> list[list[tuple[str, int]]]:
        """Heads of Q, K and V that each PU projects: ("q", "k" or "v", head) in local order."""
        model = self.model
        pairs = [("kv"[i % 2], i // 2) for i in range(2 * model.kv_heads)] if model.latent is None else []
        owned: list[list[tuple[str, int]]] = []
        queries, others = balanced(model.heads, self.pus), balanced(len(pairs), self.pus)
        for (q, nq), (o, no) in zip(queries, others, strict=True):
            others_here = pairs[o : o + no]
            if model.qk_norm == ALL_HEADS:  # keys side by side, for one norm
                others_here = sorted(others_here)
            owned.append([("q", h) for h in range(q, q + nq)] + others_here)
        return owned

    def ffn(self, columns: int) -> list[tuple[int, int]]:
        """Columns of a feed-forward network of that width that every PU owns: first and number."""
        return column_shares(columns, self.params.core.columns, self.pus)

    def h_ld(self, columns: int) -> int:
        """Bytes between rows of the activations of a feed-forward network of that width."""
        return columns * 2 if self.gathers_ffn() else max(n for _, n in self.ffn(columns)) * 2

    def segments(self, kind: OperatorKind, n: int = 0) -> list[Segments]:
        """Columns of the weight tensor that every PU owns, in local order.

        Parameters
        ----------
        kind : OperatorKind
            Of the GEMM.
        n : int
            Its columns; 0: those of the model's network.
        """
        model, columns = self.model, self.params.core.columns
        if kind is OperatorKind.QKV:
            base = {"q": 0, "k": model.heads, "v": model.heads + model.kv_heads}
            head = model.head_dim
            return [tuple(((base[name] + h) * head, head) for name, h in heads) for heads in self.heads()]
        if kind in {OperatorKind.Q_UP, OperatorKind.KV_UP}:
            assert model.latent is not None
            head = model.head_dim if kind is OperatorKind.Q_UP else model.latent.nope + model.latent.value
            return [tuple((h * head, head) for _, h in heads) for heads in self.heads()]
        if kind is OperatorKind.LATENT:
            return [((first, number),) if number else () for first, number in self.latent_shares()[2]]
        if kind is OperatorKind.UP:
            return [((first, number),) if number else () for first, number in self.ffn(n or model.ffn)]
        if kind is OperatorKind.GATE_UP:
            half = n // 2 or model.ffn
            result = []
            for first, number in self.ffn(half):
                parts: list[tuple[int, int]] = []
                for start in range(first, first + number, columns):
                    size = min(columns, first + number - start)
                    parts += [(start, size), (half + start, size)]
                result.append(tuple(parts))
            return result
        shares = self.vocab if kind is OperatorKind.LM_HEAD else self.hidden
        return [((first, number),) if number else () for first, number in shares]

    def shared_turn(self) -> int:
        """Return the shared semaphore for the next collective that sends from all to all (or to one)."""
        self.collectives += 1
        return self.collectives % 2

    def gather(self, a: Sliced, operator: int) -> Ready:
        """Bring a sliced activation to all PUs; return when it stands there."""
        self.out.operator = operator
        came = all_gather(self.out, a.own_regions(self.m), a.ready)
        return [[*own, *others] for own, others in zip(a.ready, came, strict=True)]

    def all_own(self, columns: int) -> bool:
        """Whether every PU owns columns of a feed-forward network of that width."""
        return all(number for _, number in self.ffn(columns))

    def sliced_ffn(self, ready: Ready, columns: int) -> Sliced:
        """Return the activations of a network of that width, which stand at `ready`."""
        return Sliced(self.h, self.h_ld(columns), self.ffn(columns), ready, packed=not self.gathers_ffn())

    def swiglu(self, operator: int, m: int, waits: Ready) -> Consume:
        """Return a consumer that turns pairs of column blocks (gate, up) into columns of `h`."""
        columns, whole = self.params.core.columns, self.graph.operators[operator].n
        offset = [first * 2 if self.gathers_ffn() else 0 for first, _ in self.ffn(whole)]
        ld = self.h_ld(whole)

        def activate(pu: int, chunk: Chunk) -> Event:
            self.out.operator = operator
            event = chunk.ready
            done = 0
            while done < chunk.columns:
                size = min(columns, (chunk.columns - done) // 2)
                local = (chunk.start + done) // 2
                event = self.out.vector(
                    pu,
                    V_SWIGLU,
                    m,
                    size,
                    [chunk.ready, *waits[pu]],
                    a=chunk.address + done * 4,
                    a_ld=chunk.ld,
                    b=chunk.address + (done + size) * 4,
                    b_ld=chunk.ld,
                    planes=chunk.planes,
                    plane_ld=chunk.plane_ld,
                    out=self.h + offset[pu] + local * 2,
                    out_ld=ld,
                )
                done += 2 * size
            return event

        return activate
