"""The operators of one decode step: one new token for each sequence of the batch.

layer:   x --> attn_norm --> qkv --> rope --> kv_append        dense:  gate_up --> activation --> down
         |                            |           |
         |                          score <-------+            MoE:    router --> topk
         |                            |           |                      per expert with a token:
         |                         softmax        |                      gather --> gate_up --> activation
         |                            |           |                             --> down --> combine
         |                          value <-------+                    shared: gate_up --> activation --> down
         |                            |
         +--> attn_residual <-- attn_out;   attn_residual --> ffn_norm --> dense or MoE --> ffn_residual

latent:  attn_norm --> latent --> q_norm --> q_up --> rope --> absorb --> score;  softmax --> value --> value_up
                          +-----> kv_norm --> kv_append            (expanded: kv_up instead of absorb and value_up)

step:    embedding --> position --> layers --> final_norm --> lm_head --> sampling

``qk_norm`` stands between qkv and rope where the model has one; with learned positions there is a position and no rope.
"""

from __future__ import annotations

from typing import Any

from nmpsim.errors import WorkloadError
from nmpsim.workload.footprint import step_faults
from nmpsim.workload.graph import OperatorGraph
from nmpsim.workload.model import Model
from nmpsim.workload.operators import ELEMENT_BYTES, OUTSIDE, SCORE_BYTES, Operator, OperatorKind
from nmpsim.workload.parts import ABSORBED, ALL_HEADS, RELU
from nmpsim.workload.precision import PLAIN, Precision, narrowed
from nmpsim.workload.routing import Routing, routing_faults, synthetic_routing
from nmpsim.workload.shards import Shard


def decode_step(
    model: Model,
    batch: int,
    context: int,
    layers: int | None = None,
    routing: Routing | None = None,
    first_layer: int = 0,
    precision: Precision = PLAIN,
    shard: Shard | None = None,
) -> OperatorGraph:
    """Operator graph of a decode step.

    Parameters
    ----------
    model : Model
        The model.
    batch : int
        Sequences, all of the same context, one new token each.
    context : int
        Tokens of each sequence, the new one counted: scores are over ``context`` keys.
    layers : int, optional
        Number of layers between the embedding and the LM head; all from ``first_layer`` on by default.
    routing : Routing, optional
        Experts of each token of a mixture of experts, from layer 0 on; ``synthetic_routing`` (uniform, seed 0) by
        default.  Experts without a token have no operator: their weights are not read.
    first_layer : int
        First of the layers.
    precision : Precision
        Formats of weights and KV cache; FP16 by default.
    shard : Shard, optional
        Part of the step that one of several stacks does; ``model`` and ``context`` are those of the whole.

    Returns
    -------
    OperatorGraph
        Operators in topological order.

    Raises
    ------
    WorkloadError
        If batch, context or layers is out of range, or the routing is not one of this step; all faults at once.
    """
    depth = model.layers - first_layer if layers is None else layers
    faults = step_faults(model, batch, context, depth, first_layer)
    if routing is not None and not faults:
        faults = routing_faults(routing, model, batch, first_layer + depth, first_layer)
    if faults:
        raise WorkloadError(f"{model.name}: no such decode step", faults)
    if model.is_moe and routing is None:
        routing = synthetic_routing(model, batch, first_layer + depth)
    if shard is not None:
        model = shard.model
    builder = _StepBuilder(model, batch, context, routing, shard)
    own = model.hidden if shard is None else shard.width  # the table lies on the stacks by columns
    stream = builder.add("embedding", OperatorKind.EMBEDDING, m=batch, n=own)
    if model.learned_positions:
        stream = builder.add("position", OperatorKind.POSITION, stream, m=batch, n=model.hidden)
    for layer in range(first_layer, first_layer + depth):
        builder.layer = layer
        stream = builder.attention(stream)
        stream = builder.experts(stream) if model.has_experts(layer) else builder.feed_forward(stream)
    builder.layer = OUTSIDE
    normed = builder.norm("final_norm", stream)
    columns = model.vocab if shard is None else shard.columns
    logits = builder.add("lm_head", OperatorKind.LM_HEAD, normed, m=batch, n=columns, k=model.hidden)
    builder.add("sampling", OperatorKind.SAMPLING, logits, m=batch, n=columns)
    operators = tuple(narrowed(operator, precision) for operator in builder.operators)
    return OperatorGraph(model, batch, context, depth, operators, routing, first_layer, precision, shard)


class _StepBuilder:
    """Appends operators; methods return the index of the operator that ends their part."""

    def __init__(
        self, model: Model, batch: int, context: int, routing: Routing | None, shard: Shard | None = None
    ) -> None:
        self.model = model
        self.batch = batch
        self.context = context if shard is None else shard.tokens
        self.appends = shard is None or shard.appends
        self.group = model.heads // model.kv_heads if shard is None else shard.group
        self.experts_here = range(model.experts) if shard is None else shard.experts
        self.routing = routing
        self.layer = OUTSIDE
        self.operators: list[Operator] = []

    def add(self, part: str, kind: OperatorKind, *depends: int, **shape: Any) -> int:
        """Append one operator of the current layer; its index."""
        name = part if self.layer == OUTSIDE else f"layer{self.layer}.{part}"
        self.operators.append(Operator(name, kind, self.layer, depends, **shape))
        return len(self.operators) - 1

    def norm(self, part: str, entry: int, columns: int | None = None) -> int:
        """Norm of the residual stream, or of a latent (always RMSNorm)."""
        if columns is not None:
            return self.add(part, OperatorKind.NORM, entry, m=self.batch, n=columns, vectors=columns)
        columns = self.model.hidden
        vectors = self.model.norm_vectors * columns
        return self.add(part, OperatorKind.NORM, entry, m=self.batch, n=columns, vectors=vectors)

    def attention(self, stream: int) -> int:
        """Norm, attention and residual of one layer."""
        model, batch = self.model, self.batch
        normed = self.norm("attn_norm", stream)
        value = self.latent(normed) if model.latent is not None else self.grouped(normed)
        bias = model.hidden if model.linear_bias else 0
        inner = model.heads * model.output_dim
        attn_out = self.add("attn_out", OperatorKind.ATTN_OUT, value, m=batch, n=model.hidden, k=inner, vectors=bias)
        return self.add("attn_residual", OperatorKind.RESIDUAL, stream, attn_out, m=batch, n=model.hidden)

    def grouped(self, normed: int) -> int:
        """Projections of queries, keys and values, and grouped-query attention."""
        model, batch = self.model, self.batch
        shape = {"batch": batch, "heads": model.heads, "kv_heads": model.kv_heads, "head_dim": model.head_dim}
        width = model.qkv_width
        bias = width if model.qkv_bias else 0
        qkv = self.add("qkv", OperatorKind.QKV, normed, m=batch, n=width, k=model.hidden, vectors=bias)
        turned = qkv
        if model.qk_norm:
            gains = (model.heads + model.kv_heads if model.qk_norm == ALL_HEADS else 2) * model.head_dim
            turned = self.add("qk_norm", OperatorKind.QK_NORM, turned, **shape, vectors=gains)
        if model.rope_dim:
            turned = self.add("rope", OperatorKind.ROPE, turned, **shape)
        return self.cached(turned, *((qkv, turned) if turned != qkv else (qkv,)))

    def cached(self, query: int, *new: int) -> int:
        """Append to the cache, scores, softmax and values."""
        model, batch = self.model, self.batch
        cache = {"batch": batch, "kv_heads": model.kv_heads}
        heads = self.group * model.kv_heads
        over = {**cache, "heads": heads, "context": self.context}
        stored: tuple[int, ...] = ()
        if self.appends:
            widths = {"head_dim": model.key_dim, "value_dim": model.value_dim}
            stored = (self.add("kv_append", OperatorKind.KV_APPEND, *new, **cache, **widths),)
        score = self.add("score", OperatorKind.SCORE, query, *stored, **over, head_dim=model.key_dim)
        shape = {"batch": batch, "heads": heads, "context": self.context}
        softmax = self.add("softmax", OperatorKind.SOFTMAX, score, **shape)
        return self.add("value", OperatorKind.VALUE, *stored, softmax, **over, head_dim=model.value_dim)

    def latent(self, normed: int) -> int:
        """Latent attention, absorbed or expanded."""
        model, batch, latent = self.model, self.batch, self.model.latent
        assert latent is not None
        down = self.add("latent", OperatorKind.LATENT, normed, m=batch, n=latent.width, k=model.hidden)
        q_norm = self.norm("q_norm", down, latent.q_rank)
        kv_norm = self.norm("kv_norm", down, latent.kv_rank)
        width = model.heads * model.head_dim
        q_up = self.add("q_up", OperatorKind.Q_UP, q_norm, m=batch, n=width, k=latent.q_rank)
        shape = {"batch": batch, "heads": model.heads, "kv_heads": 1, "head_dim": latent.rope}
        rope = self.add("rope", OperatorKind.ROPE, down, q_up, **shape)
        if latent.form != ABSORBED:
            width = model.heads * (latent.nope + latent.value)
            kv_up = self.add("kv_up", OperatorKind.KV_UP, kv_norm, m=batch, n=width, k=latent.kv_rank)
            return self.cached(rope, rope, kv_up)
        per_head = {"m": batch, "heads": model.heads}
        absorb = self.add("absorb", OperatorKind.ABSORB, q_up, **per_head, n=latent.kv_rank, k=latent.nope)
        value = self.cached(absorb, kv_norm, rope)
        return self.add("value_up", OperatorKind.VALUE_UP, value, **per_head, n=latent.value, k=latent.kv_rank)

    def network(self, rows: int, entry: int, prefix: str = "", width: int = 0, expert: int = OUTSIDE) -> int:
        """Feed-forward network on some rows: of the dense layer, of the shared expert, or of one expert."""
        model = self.model
        width = width or model.ffn_of(self.layer)
        own = {"m": rows, "expert": expert}
        if model.network == RELU:
            bias = (width, model.hidden) if model.linear_bias else (0, 0)
            up = self.add("up", OperatorKind.UP, entry, **own, n=width, k=model.hidden, vectors=bias[0])
        else:
            bias = (0, 0)
            up = self.add(f"{prefix}gate_up", OperatorKind.GATE_UP, entry, **own, n=2 * width, k=model.hidden)
        active = self.add(f"{prefix}activation", OperatorKind.ACTIVATION, up, **own, n=width)
        return self.add(f"{prefix}down", OperatorKind.DOWN, active, **own, n=model.hidden, k=width, vectors=bias[1])

    def feed_forward(self, stream: int) -> int:
        """Norm, dense network and residual of one layer."""
        normed = self.norm("ffn_norm", stream)
        down = self.network(self.batch, normed)
        return self.add("ffn_residual", OperatorKind.RESIDUAL, stream, down, m=self.batch, n=self.model.hidden)

    def experts(self, stream: int) -> int:
        """Norm, router, the experts that have a token, and residual of one layer.

        The combines of a layer add into the same rows; none depends on another, so the schedule fixes the order.
        """
        model, batch, gating = self.model, self.batch, self.model.gating
        assert self.routing is not None
        normed = self.norm("ffn_norm", stream)
        logits = self.add("router", OperatorKind.ROUTER, normed, m=batch, n=model.experts, k=model.hidden)
        bias = model.experts * SCORE_BYTES // ELEMENT_BYTES if gating.corrected else 0
        topk = self.add("topk", OperatorKind.TOPK, logits, m=batch, n=model.experts, vectors=bias)
        combined = []
        if gating.shared_ffn:
            combined.append(self.network(batch, normed, "shared.", gating.shared_ffn))
        for expert, tokens in self.routing.tokens[self.layer].items():
            if expert not in self.experts_here:
                continue
            rows = {"m": len(tokens), "n": model.hidden, "expert": expert, "tokens": tokens}
            gather = self.add(f"expert{expert}.gather", OperatorKind.GATHER, normed, topk, **rows)
            down = self.network(len(tokens), gather, f"expert{expert}.", expert=expert)
            combined.append(self.add(f"expert{expert}.combine", OperatorKind.COMBINE, topk, down, **rows))
        return self.add("ffn_residual", OperatorKind.RESIDUAL, stream, *combined, m=batch, n=model.hidden)
