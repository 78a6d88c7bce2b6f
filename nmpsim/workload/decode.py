"""The operators of one decode step: one new token for each sequence of the batch.

layer:   x --> attn_norm --> qkv --> rope --> kv_append        dense:  gate_up --> activation --> down
         |                            |           |
         |                          score <-------+            MoE:    router --> topk
         |                            |           |                      per expert with a token:
         |                         softmax        |                      gather --> gate_up --> activation
         |                            |           |                             --> down --> combine
         |                          value <-------+
         |                            |
         +--> attn_residual <-- attn_out;   attn_residual --> ffn_norm --> dense or MoE --> ffn_residual

step:    embedding --> layers --> final_norm --> lm_head --> sampling
"""

from __future__ import annotations

from typing import Any

from nmpsim.errors import WorkloadError
from nmpsim.workload.graph import OperatorGraph
from nmpsim.workload.model import Model, step_faults
from nmpsim.workload.operators import OUTSIDE, Operator, OperatorKind
from nmpsim.workload.routing import Routing, routing_faults, synthetic_routing


def decode_step(
    model: Model, batch: int, context: int, layers: int | None = None, routing: Routing | None = None
) -> OperatorGraph:
    """Operator graph of a decode step in FP16.

    Parameters
    ----------
    model : Model
        The model.
    batch : int
        Sequences, all of the same context, one new token each.
    context : int
        Tokens of each sequence, the new one counted: scores are over ``context`` keys.
    layers : int, optional
        The first layers only, between the embedding and the LM head; all by default.
    routing : Routing, optional
        Experts of each token of a mixture of experts; ``synthetic_routing(model, batch, layers)`` (uniform, seed 0)
        by default.  Experts without a token have no operator: their weights are not read.

    Returns
    -------
    OperatorGraph
        Operators in topological order.

    Raises
    ------
    WorkloadError
        If batch, context or layers is out of range, or the routing is not one of this step; all faults at once.
    """
    depth = model.layers if layers is None else layers
    faults = step_faults(model, batch, context, depth)
    if routing is not None and not faults:
        faults = routing_faults(routing, model, batch, depth)
    if faults:
        raise WorkloadError(f"{model.name}: no such decode step", faults)
    if model.is_moe and routing is None:
        routing = synthetic_routing(model, batch, depth)
    builder = _StepBuilder(model, batch, context, routing)
    stream = builder.add("embedding", OperatorKind.EMBEDDING, m=batch, n=model.hidden)
    for layer in range(depth):
        builder.layer = layer
        stream = builder.attention(stream)
        stream = builder.experts(stream) if model.is_moe else builder.feed_forward(stream)
    builder.layer = OUTSIDE
    normed = builder.add("final_norm", OperatorKind.NORM, stream, m=batch, n=model.hidden)
    logits = builder.add("lm_head", OperatorKind.LM_HEAD, normed, m=batch, n=model.vocab, k=model.hidden)
    builder.add("sampling", OperatorKind.SAMPLING, logits, m=batch, n=model.vocab)
    return OperatorGraph(model, batch, context, depth, tuple(builder.operators), routing)


class _StepBuilder:
    """Appends operators; methods return the index of the operator that ends their part."""

    def __init__(self, model: Model, batch: int, context: int, routing: Routing | None) -> None:
        self.model = model
        self.batch = batch
        self.context = context
        self.routing = routing
        self.layer = OUTSIDE
        self.operators: list[Operator] = []

    def add(self, part: str, kind: OperatorKind, *depends: int, **shape: Any) -> int:
        """Append one operator of the current layer; its index."""
        name = part if self.layer == OUTSIDE else f"layer{self.layer}.{part}"
        self.operators.append(Operator(name, kind, self.layer, depends, **shape))
        return len(self.operators) - 1

    def attention(self, stream: int) -> int:
        """Norm, grouped-query attention and residual of one layer."""
        model, batch = self.model, self.batch
        heads = {"batch": batch, "heads": model.heads}
        grouped = {**heads, "kv_heads": model.kv_heads, "head_dim": model.head_dim}
        cached = {"batch": batch, "kv_heads": model.kv_heads, "head_dim": model.head_dim}
        normed = self.add("attn_norm", OperatorKind.NORM, stream, m=batch, n=model.hidden)
        qkv = self.add("qkv", OperatorKind.QKV, normed, m=batch, n=model.qkv_width, k=model.hidden)
        rope = self.add("rope", OperatorKind.ROPE, qkv, **grouped)
        append = self.add("kv_append", OperatorKind.KV_APPEND, qkv, rope, **cached)
        score = self.add("score", OperatorKind.SCORE, rope, append, **grouped, context=self.context)
        softmax = self.add("softmax", OperatorKind.SOFTMAX, score, **heads, context=self.context)
        value = self.add("value", OperatorKind.VALUE, append, softmax, **grouped, context=self.context)
        attn_out = self.add(
            "attn_out", OperatorKind.ATTN_OUT, value, m=batch, n=model.hidden, k=model.heads * model.head_dim
        )
        return self.add("attn_residual", OperatorKind.RESIDUAL, stream, attn_out, m=batch, n=model.hidden)

    def network(self, rows: int, entry: int, expert: int = OUTSIDE) -> int:
        """Gated feed-forward network on some rows: of the dense layer, or of one expert."""
        model = self.model
        prefix = "" if expert == OUTSIDE else f"expert{expert}."
        gate_up = self.add(
            f"{prefix}gate_up", OperatorKind.GATE_UP, entry, m=rows, n=2 * model.ffn, k=model.hidden, expert=expert
        )
        activation = self.add(
            f"{prefix}activation", OperatorKind.ACTIVATION, gate_up, m=rows, n=model.ffn, expert=expert
        )
        return self.add(
            f"{prefix}down", OperatorKind.DOWN, activation, m=rows, n=model.hidden, k=model.ffn, expert=expert
        )

    def feed_forward(self, stream: int) -> int:
        """Norm, dense network and residual of one layer."""
        normed = self.add("ffn_norm", OperatorKind.NORM, stream, m=self.batch, n=self.model.hidden)
        down = self.network(self.batch, normed)
        return self.add("ffn_residual", OperatorKind.RESIDUAL, stream, down, m=self.batch, n=self.model.hidden)

    def experts(self, stream: int) -> int:
        """Norm, router, the experts that have a token, and residual of one layer.

        The combines of a layer add into the same rows; none depends on another, so the schedule fixes the order.
        """
        model, batch = self.model, self.batch
        assert self.routing is not None
        normed = self.add("ffn_norm", OperatorKind.NORM, stream, m=batch, n=model.hidden)
        logits = self.add("router", OperatorKind.ROUTER, normed, m=batch, n=model.experts, k=model.hidden)
        topk = self.add("topk", OperatorKind.TOPK, logits, m=batch, n=model.experts)
        combined = []
        for expert, tokens in self.routing.tokens[self.layer].items():
            rows = {"m": len(tokens), "n": model.hidden, "expert": expert, "tokens": tokens}
            gather = self.add(f"expert{expert}.gather", OperatorKind.GATHER, normed, topk, **rows)
            down = self.network(len(tokens), gather, expert)
            combined.append(self.add(f"expert{expert}.combine", OperatorKind.COMBINE, topk, down, **rows))
        return self.add("ffn_residual", OperatorKind.RESIDUAL, stream, *combined, m=batch, n=model.hidden)
