"""Operators of a decode step: kinds, shapes, and the work and bytes that follow from the shapes.

An operator says *what* is computed, never where or when.  All tensors are FP16, 2 bytes an element, but for narrow
weights and a narrow KV cache (`nmpsim.workload.precision`).

===================  ========================================================  =======================
kind                 computes (rows ``m`` = tokens)                            shape fields
===================  ========================================================  =======================
embedding            row of the embedding table per token                      m, n = D
norm                 RMSNorm with a gain vector                                m, n = D
qkv                  GEMM, query, key and value projections fused              m, n = (H + 2G)E, k = D
position             row of the position table added to every token            m, n = D
qk_norm              RMSNorm of the new query and key heads                    batch, heads, kv_heads, head_dim
latent               GEMM, down projections of latent attention fused          m, n, k = D
q_up                 GEMM, queries from their latent                           m, n = HE, k
kv_up                GEMM, keys and values from their latent                   m, n, k
absorb               GEMM per head, query into the space of the latent         m, n, k, heads
value_up             GEMM per head, value from the latent                      m, n, k, heads
rope                 rotation of the new query and key heads                   batch, heads, kv_heads, head_dim
kv_append            new key and value rows to the KV cache                    batch, kv_heads, head_dim, value_dim
score                query times cached keys                                   batch, heads, kv_heads, head_dim, context
softmax              over the context, per sequence and head                   batch, heads, context
value                probabilities times cached values                         batch, heads, kv_heads, head_dim, context
attn_out             GEMM, output projection of the attention                  m, n = D, k = HE
residual             sum of two streams (MoE: of the experts' sum and one)     m, n = D
gate_up              GEMM, gate and up projections fused                       m, n = 2F, k = D
up                   GEMM, up projection of a network without gate             m, n = F, k = D
activation           SwiGLU: silu(gate) * up; ReLU: max(up, 0)                 m, n = F
down                 GEMM, down projection                                     m, n = D, k = F
router               GEMM, one logit per expert                                m, n = experts, k = D
topk                 best experts of a token and their weights                 m, n = experts
gather               rows of the tokens of one expert                          m, n = D, expert, tokens
combine              weighted scatter-add of one expert's rows                 m, n = D, expert, tokens
lm_head              GEMM, logits of the vocabulary                            m, n = V, k = D
sampling             token with the greatest logit (greedy)                    m, n = V
===================  ========================================================  =======================

A norm, and a GEMM with a bias, also read ``vectors`` elements of gains and biases.  ``head_dim`` is the width of what
is rotated, scored, or summed up by the operator.

The rotation of ``rope`` reads cosines and sines from a table, so that frequency scaling costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from nmpsim.errors import InternalError

ELEMENT_BYTES = 2
"""FP16: bytes of one element of every weight, activation and cached key or value that is not narrow."""

SCORE_BYTES = 4
"""FP32: bytes of one element of the correction bias of a router."""

OUTSIDE = -1
"""``layer`` of an operator outside the layers, ``expert`` of an operator of no expert."""


class OperatorKind(StrEnum):
    """Kind of an operator; the text is the name used in reports."""

    EMBEDDING = "embedding"
    NORM = "norm"
    QKV = "qkv"
    POSITION = "position"
    QK_NORM = "qk_norm"
    LATENT = "latent"
    Q_UP = "q_up"
    KV_UP = "kv_up"
    ABSORB = "absorb"
    VALUE_UP = "value_up"
    ROPE = "rope"
    KV_APPEND = "kv_append"
    SCORE = "score"
    SOFTMAX = "softmax"
    VALUE = "value"
    ATTN_OUT = "attn_out"
    RESIDUAL = "residual"
    GATE_UP = "gate_up"
    UP = "up"
    ACTIVATION = "activation"
    DOWN = "down"
    ROUTER = "router"
    TOPK = "topk"
    GATHER = "gather"
    COMBINE = "combine"
    LM_HEAD = "lm_head"
    SAMPLING = "sampling"


GEMM_KINDS = frozenset(
    {
        OperatorKind.QKV,
        OperatorKind.LATENT,
        OperatorKind.Q_UP,
        OperatorKind.KV_UP,
        OperatorKind.ABSORB,
        OperatorKind.VALUE_UP,
        OperatorKind.ATTN_OUT,
        OperatorKind.GATE_UP,
        OperatorKind.UP,
        OperatorKind.DOWN,
        OperatorKind.ROUTER,
        OperatorKind.LM_HEAD,
    }
)
"""Kinds that multiply activations (m, k) by a weight matrix (k, n)."""

HEAD_KINDS = frozenset({OperatorKind.ABSORB, OperatorKind.VALUE_UP})
"""GEMM kinds with a weight matrix of its own for every head."""

ATTENTION_KINDS = frozenset({OperatorKind.SCORE, OperatorKind.VALUE})
"""Kinds that multiply activations by the KV cache."""

VECTOR_KINDS = frozenset(
    {
        OperatorKind.POSITION,
        OperatorKind.NORM,
        OperatorKind.QK_NORM,
        OperatorKind.ROPE,
        OperatorKind.SOFTMAX,
        OperatorKind.RESIDUAL,
        OperatorKind.ACTIVATION,
        OperatorKind.TOPK,
        OperatorKind.COMBINE,
        OperatorKind.SAMPLING,
    }
)
"""Kinds with arithmetic for the vector unit."""

MOVE_KINDS = frozenset({OperatorKind.EMBEDDING, OperatorKind.KV_APPEND, OperatorKind.GATHER})
"""Kinds that move elements and compute nothing."""

EXPERT_KINDS = frozenset({OperatorKind.GATHER, OperatorKind.COMBINE})
"""Kinds that carry the tokens of their expert."""

SHAPES: dict[OperatorKind, tuple[str, ...]] = {
    **dict.fromkeys(GEMM_KINDS, ("m", "n", "k")),
    **dict.fromkeys(ATTENTION_KINDS, ("batch", "heads", "kv_heads", "head_dim", "context")),
    **dict.fromkeys(VECTOR_KINDS | MOVE_KINDS, ("m", "n")),
    **dict.fromkeys(HEAD_KINDS, ("m", "n", "k", "heads")),
    **dict.fromkeys((OperatorKind.ROPE, OperatorKind.QK_NORM), ("batch", "heads", "kv_heads", "head_dim")),
    OperatorKind.KV_APPEND: ("batch", "kv_heads", "head_dim", "value_dim"),
    OperatorKind.SOFTMAX: ("batch", "heads", "context"),
}
"""Shape fields of each kind: these are at least 1, all others are 0."""

_ALL_SHAPE_FIELDS = ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "value_dim", "context")
_shape_of = attrgetter(*_ALL_SHAPE_FIELDS)
_WANTED = {kind: tuple(field in wanted for field in _ALL_SHAPE_FIELDS) for kind, wanted in SHAPES.items()}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the decode step.

    Parameters
    ----------
    name : str
        Unique in its graph, e.g. ``layer3.qkv`` or ``layer0.expert5.down``.
    kind : OperatorKind
        What is computed.
    layer : int
        Layer, or ``OUTSIDE``.
    depends : tuple of int
        Indices, in the graph, of the operators whose results this one reads; each smaller than its own index.
    m, n, k : int
        GEMM: activations (m, k) times weights (k, n).  Others: m rows of n elements.
    batch, heads, kv_heads, head_dim, value_dim, context : int
        Attention: sequences, query heads, key/value heads, elements of a head, of a value if it differs, tokens with
        the new one.
    vectors : int
        Elements of gains and biases that are read, in units of 2 bytes.
    expert : int
        Expert, or ``OUTSIDE``.
    tokens : tuple of int
        Tokens of the expert, ascending; only of a gather or combine, where ``len(tokens) == m``.
    weight_bits, kv_bits : int
        Bits of an element of the weights and of the KV cache.
    scales : int
        Scales of the weights.

    Raises
    ------
    InternalError
        If the shape fields are not those of the kind (``SHAPES``).
    """

    name: str
    kind: OperatorKind
    layer: int = OUTSIDE
    depends: tuple[int, ...] = ()
    m: int = 0
    n: int = 0
    k: int = 0
    batch: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    value_dim: int = 0
    context: int = 0
    vectors: int = 0
    expert: int = OUTSIDE
    tokens: tuple[int, ...] = ()
    weight_bits: int = 16
    kv_bits: int = 16
    scales: int = 0

    def __post_init__(self) -> None:
        for field, size, wanted in zip(_ALL_SHAPE_FIELDS, _shape_of(self), _WANTED[self.kind], strict=True):
            if (size < 1) if wanted else (size != 0):
                allowed = "at least 1" if wanted else "0"
                raise InternalError(f"operator {self.name} of kind {self.kind}: {field} is {size}, must be {allowed}")
        if len(self.tokens) != (self.m if self.kind in EXPERT_KINDS else 0):
            raise InternalError(f"operator {self.name} of kind {self.kind}: {len(self.tokens)} tokens for m = {self.m}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a GEMM or of the attention; 0 for the other kinds."""
        if self.kind in GEMM_KINDS:
            return max(1, self.heads) * self.m * self.n * self.k
        if self.kind in ATTENTION_KINDS:
            return self.batch * self.heads * self.head_dim * self.context
        return 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of the elements of the weight matrices, each read at least once; 0 unless a GEMM."""
        return self.weight_bits * max(1, self.heads) * self.n * self.k // 8 if self.kind in GEMM_KINDS else 0

    @property
    def scale_bytes(self) -> int:
        """Bytes of the scales of the weight matrices."""
        return ELEMENT_BYTES * self.scales

    @property
    def gain_bytes(self) -> int:
        """Bytes of gains and biases."""
        return ELEMENT_BYTES * self.vectors

    @property
    def embedding_bytes(self) -> int:
        """Bytes of the rows read from the embedding or position table; 0 for the other kinds."""
        if self.kind is OperatorKind.POSITION:
            return ELEMENT_BYTES * self.n
        return ELEMENT_BYTES * self.m * self.n if self.kind is OperatorKind.EMBEDDING else 0

    @property
    def kv_read_bytes(self) -> int:
        """Bytes read from the KV cache: keys for a score, values for a value, each once for all heads of a group."""
        if self.kind not in ATTENTION_KINDS:
            return 0
        return self.kv_bits * self.batch * self.kv_heads * self.head_dim * self.context // 8

    @property
    def kv_write_bytes(self) -> int:
        """Bytes of new keys and values written to the KV cache; 0 unless a kv_append."""
        if self.kind is not OperatorKind.KV_APPEND:
            return 0
        return self.kv_bits * self.batch * self.kv_heads * (self.head_dim + self.value_dim) // 8

    @property
    def vector_elements(self) -> int:
        """Elements the vector unit works on, each counted once however many passes the operation makes.

        Results of a norm, rope, softmax, residual, activation or combine; inputs of a topk or sampling; 0 for the
        other kinds.  An activation has two inputs and a residual of a MoE layer may have more, per element counted.
        """
        if self.kind in {OperatorKind.ROPE, OperatorKind.QK_NORM}:
            return self.batch * (self.heads + self.kv_heads) * self.head_dim
        if self.kind is OperatorKind.SOFTMAX:
            return self.batch * self.heads * self.context
        return self.m * self.n if self.kind in VECTOR_KINDS else 0
