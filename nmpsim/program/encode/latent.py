"""Multi-head latent attention: projections through latents, and the way of the heads to their tasks and back.

absorbed   q_up -> absorb per head -> q of the tasks;  cache: one row of latent and rotated key for all heads
           results of the tasks -> PUs of the heads -> value_up per head -> output projection
expanded   kv_up of the new token -> k and v of every head;  cache: as for a model with as many KV heads as query heads
"""

from __future__ import annotations

from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import Chunk, Consume, Gemm, Segments, balanced, reduce_chunk
from nmpsim.program.encode.layout import Ready
from nmpsim.program.encode.spread import Sliced
from nmpsim.program.encode.tasks import Carried, Side
from nmpsim.program.encode.vectors import Normed, StepVectors
from nmpsim.program.isa import V_ROPE
from nmpsim.workload import ABSORBED, OperatorKind


class LatentAttention:
    """Encoder of latent attention.

    Parameters
    ----------
    step : StepVectors
        The step it belongs to.
    """

    def __init__(self, step: StepVectors) -> None:
        assert step.model.latent is not None
        self.step, self.latent = step, step.model.latent
        self.queries, self.keys, _ = step.latent_shares()
        self.owned = balanced(step.model.heads, step.pus)
        self.turned_at = step.latents + (self.latent.q_rank + self.latent.kv_rank) * 2

    def encode_layer(self, layer: int, normed: Sliced, rope: Ready) -> Sliced:
        """Emit attention of a layer behind its norm.

        Parameters
        ----------
        layer : int
        normed : Sliced
        rope : list of lists of Event, by PU
            When the table of the rotation stands.

        Returns
        -------
        Sliced
            What the output projection takes.
        """
        step, model = self.step, self.step.model
        ready = self._latents(layer, normed)
        queries = Sliced(step.latents, step.latents_ld, self.queries, ready)
        at, ld = step.qkv, step.qkv_ld
        done = self._project(layer, OperatorKind.Q_UP, queries, at, ld)
        joined = [step.join(pu, step.spread.sent[pu], step.joined) for pu in range(step.pus)]
        turned = self._rotate(layer, rope, [[*r, d] for r, d in zip(ready, done, strict=True)])
        numbers = step.cache_operators(layer)
        width = model.heads * model.output_dim
        if self.latent.form != ABSORBED:
            heads = self._expanded(layer, ready, turned)
            waits = [[*events, join] for events, join in zip(heads, joined, strict=True)]
            regions, out = step.attention.encode_layer(layer, numbers, waits)
            return Sliced(step.attention_out, width * 2, step.attention_shares(width), out, regions)
        heads = self._absorbed(layer, ready, turned)
        waits = [[*events, join] for events, join in zip(heads, joined, strict=True)]
        _, out = step.attention.encode_layer(layer, numbers, waits)
        result = self._values(layer, out)
        value = self.latent.value
        return Sliced(step.attention_out, width * 2, [(h * value, n * value) for h, n in self.owned], result)

    def _keep(self, targets: list[int], ld: int) -> Consume:
        """Return a consumer that leaves a chunk in FP16; targets by PU."""

        def keep(pu: int, chunk: Chunk) -> Event:
            return reduce_chunk(self.step.out, pu, self.step.m, chunk, targets[pu] + chunk.start * 2, ld)

        return keep

    def _project(self, layer: int, kind: OperatorKind, a: Sliced, target: int, ld: int) -> list[Event | None]:
        step = self.step
        index = step.index[f"layer{layer}.{kind}"]
        segments = step.segments(kind)
        plan = step.schedule.gemm[index]
        return step.spread.run(
            index, plan, f"layers.{layer}.{kind}", step.m, a, segments, self._keep([target] * step.pus, ld)
        )

    def _latents(self, layer: int, normed: Sliced) -> Ready:
        """Project the latents and norm both; the rotated part of the key stays as it is."""
        step, latent = self.step, self.latent
        index = step.index[f"layer{layer}.latent"]
        keep = self._keep([step.latents + first * 2 for first, _ in step.latent_shares()[2]], step.latents_ld)
        segments = step.segments(OperatorKind.LATENT)
        plan = step.schedule.gemm[index]
        done = step.spread.run(index, plan, f"layers.{layer}.latent", step.m, normed, segments, keep)
        parts = []
        for which, (kind, base, total, shares) in enumerate(
            (("q", 0, latent.q_rank, self.queries), ("kv", latent.q_rank, latent.kv_rank, self.keys))
        ):
            places = [step.latents + (base + first) * 2 for first, _ in shares]
            parts.append(Normed(f"layers.{layer}.{kind}_norm", total, shares, places, step.qk_gain[which]))
        numbers = [step.index[f"layer{layer}.{kind}_norm"] for kind in ("q", "kv")]
        gathered = [[d, *step.spread.sent[pu]] for pu, d in enumerate(done)]
        joined: Ready = [[step.join(pu, waits, step.joined)] for pu, waits in enumerate(gathered)]
        return step.norms_in_place(numbers, parts, step.latents_ld, joined)

    def _rotate(self, layer: int, rope: Ready, ready: Ready) -> Ready:
        """Rotate the rotated columns of the own query heads, and on the last PU those of the key."""
        step, latent = self.step, self.latent
        out = step.out
        out.operator = step.index[f"layer{layer}.rope"]
        places = [
            [(step.qkv + (i * step.model.head_dim + latent.nope) * 2, step.qkv_ld) for i in range(number)]
            for _, number in self.owned
        ]
        places[-1].append((self.turned_at, step.latents_ld))
        turned: Ready = []
        for pu, own in enumerate(places):
            events = ready[pu]
            for at, ld in own:
                events = [
                    out.vector(
                        pu,
                        V_ROPE,
                        step.m,
                        latent.rope,
                        [*ready[pu], *rope[pu]],
                        a=at,
                        a_ld=ld,
                        b=step.rope_at,
                        imm=latent.rope,
                        out=at,
                        out_ld=ld,
                    )
                ]
            turned.append(events)
        return turned

    def _expanded(self, layer: int, ready: Ready, turned: Ready) -> Ready:
        """Project keys and values of every head, and bring all heads to their tasks."""
        step, latent = self.step, self.latent
        entry = Sliced(step.latents + latent.q_rank * 2, step.latents_ld, self.keys, ready)
        done = self._project(layer, OperatorKind.KV_UP, entry, step.inner, step.inner_ld)
        heads = []
        width, both = step.model.head_dim, latent.nope + latent.value
        for pu, (first, number) in enumerate(self.owned):
            for i in range(number):
                at = step.inner + i * both * 2
                heads.append(Carried("q", first + i, pu, step.qkv + i * width * 2, step.qkv_ld, width))
                heads.append(Carried("k", first + i, pu, at, step.inner_ld, latent.nope))
                value = at + latent.nope * 2
                heads.append(Carried("v", first + i, pu, value, step.inner_ld, latent.value))
                shared = Carried(
                    "k", first + i, step.pus - 1, self.turned_at, step.latents_ld, latent.rope, first=latent.nope
                )
                heads.append(shared)
        waits = [[*t, d, *step.spread.sent[pu]] for pu, (t, d) in enumerate(zip(turned, done, strict=True))]
        stands: Ready = [[step.join(pu, events, step.joined)] for pu, events in enumerate(waits)]
        return step.attention.exchange(heads, stands)

    def _per_head(
        self,
        layer: int,
        kind: OperatorKind,
        entry: tuple[int, int],
        rows: int,
        targets: list[int],
        target_ld: int,
        ready: Ready,
    ) -> Ready:
        """Multiply every own head by its matrix.

        `entry` is (address, ld) of the first own head and `rows` the bytes from one head of the entry to the next;
        `targets` are the addresses of the result of the first own head by PU, whose heads stand side by side.
        """
        step = self.step
        index = step.index[f"layer{layer}.{kind}"]
        operator = step.graph.operators[index]
        plan = step.schedule.gemm[index]
        done: Ready = [list(r) for r in ready]
        for i in range(max(number for _, number in self.owned)):
            step.out.operator = index
            mine = [i < number for _, number in self.owned]
            segments: list[Segments] = [((0, operator.n),) if own else () for own in mine]
            ranges = [
                ((first + i) * operator.k, operator.k) if own else (0, 0)
                for own, (first, _) in zip(mine, self.owned, strict=True)
            ]
            gemm = Gemm(step.out, step.banks, plan.shape, f"layers.{layer}.{kind}", segments, ranges)
            gemm.stream()
            operands = gemm.bring(step.m, [(entry[0] + i * rows, entry[1])] * step.pus, ready)
            keep = self._keep([target + i * operator.n * 2 for target in targets], target_ld)
            for pu, event in enumerate(gemm.passes(step.m, operands, step.partial, keep)):
                if event is not None:
                    done[pu] = [event]
        return done

    def _absorbed(self, layer: int, ready: Ready, turned: Ready) -> Ready:
        """Bring the queries into the space of the latent, and queries and the new row to the tasks."""
        step, latent, model = self.step, self.latent, self.step.model
        rank, head = latent.kv_rank, model.head_dim
        absorbed = self._per_head(
            layer,
            OperatorKind.ABSORB,
            (step.qkv, step.qkv_ld),
            head * 2,
            [step.inner] * step.pus,
            step.inner_ld,
            turned,
        )
        sides = []
        for pu, (first, number) in enumerate(self.owned):
            if number:
                sides.append(Side(first, number, pu, step.inner, step.inner_ld, rank * 2, rank, 0))
                rotated = step.qkv + latent.nope * 2
                sides.append(Side(first, number, pu, rotated, step.qkv_ld, head * 2, latent.rope, rank))
        stands = [[*a, *t] for a, t in zip(absorbed, turned, strict=True)]
        there = step.attention.exchange_sides(sides, stands)
        row = []
        for pu, (first, number) in enumerate(self.keys):
            if number:
                at = step.latents + (latent.q_rank + first) * 2
                row.append(Carried("k", 0, pu, at, step.latents_ld, number, first=first))
        row.append(Carried("k", 0, step.pus - 1, self.turned_at, step.latents_ld, latent.rope, first=rank))
        stands = [[*r, *t] for r, t in zip(ready, turned, strict=True)]
        more = step.attention.exchange(row, stands)
        return [[*a, *b] for a, b in zip(there, more, strict=True)]

    def _values(self, layer: int, ready: Ready) -> Ready:
        """Bring the results from the space of the latent into that of the values."""
        step, value = self.step, self.latent.value
        ld = step.model.heads * value * 2
        targets = [step.attention_out + first * value * 2 for first, _ in self.owned]
        entry = step.returned, step.inner_ld
        return self._per_head(layer, OperatorKind.VALUE_UP, entry, self.latent.kv_rank * 2, targets, ld, ready)
