"""A language model as dimensions, and its weights.

Dimension letters: layers, model width D, query heads H, key/value heads G, head width E, feed-forward width F,
vocabulary V.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.operators import ELEMENT_BYTES, SCORE_BYTES
from nmpsim.workload.parts import (
    ABSORBED,
    ALL_HEADS,
    EXPANDED,
    LAYER_NORM,
    NO_GATING,
    NO_QK_NORM,
    OPT_POSITION_OFFSET,
    RELU,
    RMS_NORM,
    SWIGLU,
    Gating,
    Latent,
    WeightTensor,
)


@dataclass(frozen=True, slots=True)
class Model:
    """Dimensions of a decoder-only language model.  Made by `load_model` or `parse_config`, which check them.

    Parameters
    ----------
    name : str
        Name in the catalogue, or of the file.
    family : str
        Name of the architecture.
    layers : int
        Decoder layers.
    hidden : int
        Model width D; elements.
    heads : int
        Query heads H.
    kv_heads : int
        Key/value heads G as they are cached; divides ``heads``.  1 for absorbed latent attention.
    head_dim : int
        Head width E; elements, even.  Latent attention: columns of a query head.
    ffn : int
        Feed-forward width F of the network or of one expert; elements.
    vocab : int
        Vocabulary V; tokens.
    experts : int
        Experts of a layer; 0 for a dense model.
    experts_per_token : int
        Experts a token goes to; 0 for a dense model.
    max_positions : int
        Longest context; tokens.
    tie_embeddings : bool
        Whether the LM head is the embedding table.
    rms_eps : float
        Constant under the root of a norm.
    rope_theta : float
        Base of the rotary frequencies; without effect with learned positions.
    sha256 : str
        Hash of the configuration file; 64 hex digits.
    source : str
        Where the configuration comes from.
    norm : str
        ``RMS_NORM`` or ``LAYER_NORM``.
    network : str
        ``SWIGLU`` or ``RELU``.
    learned_positions : bool
        Whether a row of a table is added to the embedding, instead of rotations.
    qkv_bias, linear_bias : bool
        Whether the query, key and value projections have a bias; and the other projections of a layer.
    qk_norm : str
        ``NO_QK_NORM``, ``PER_HEAD`` or ``ALL_HEADS``.
    gating : Gating
        Of a mixture of experts.
    latent : Latent or None
        Of latent attention; None: grouped-query attention.
    score_factor : float
        Scores are multiplied by it and divided by the root of the width of a query head.
    stored : str
        Format of the weights that the file states, as for `nmpsim.workload.precision.read_precision`; empty: none.
    """

    name: str
    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    experts: int
    experts_per_token: int
    max_positions: int
    tie_embeddings: bool
    rms_eps: float
    rope_theta: float
    sha256: str
    source: str
    norm: str = RMS_NORM
    network: str = SWIGLU
    learned_positions: bool = False
    qkv_bias: bool = False
    linear_bias: bool = False
    qk_norm: str = NO_QK_NORM
    gating: Gating = NO_GATING
    latent: Latent | None = None
    score_factor: float = 1.0
    stored: str = ""

    @property
    def is_moe(self) -> bool:
        """Whether the feed-forward network is a mixture of experts."""
        return self.experts > 0

    @property
    def key_dim(self) -> int:
        """Columns of a cached key; elements."""
        if self.latent is not None and self.latent.form == ABSORBED:
            return self.latent.kv_rank + self.latent.rope
        return self.head_dim

    @property
    def value_dim(self) -> int:
        """Columns of a cached value; elements."""
        if self.latent is None:
            return self.head_dim
        return self.latent.kv_rank if self.latent.form == ABSORBED else self.latent.value

    @property
    def output_dim(self) -> int:
        """Columns of a head that the output projection takes; elements."""
        return self.head_dim if self.latent is None else self.latent.value

    @property
    def rope_dim(self) -> int:
        """Columns of a head that are rotated; 0 with learned positions."""
        if self.learned_positions:
            return 0
        return self.head_dim if self.latent is None else self.latent.rope

    @property
    def score_scale(self) -> float:
        """Factor of the scores before the softmax."""
        return float(self.score_factor * self.head_dim**-0.5)

    @property
    def qkv_width(self) -> int:
        """Outputs of the fused query, key and value projections, (H + 2G)E; elements."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def norm_vectors(self) -> int:
        """Vectors of a norm: its gain, and a bias if it has one."""
        return 2 if self.norm == LAYER_NORM else 1

    def has_experts(self, layer: int) -> bool:
        """Whether a layer is a mixture of experts."""
        return self.is_moe and layer >= self.gating.dense_layers

    def ffn_of(self, layer: int) -> int:
        """Width of the feed-forward network of a layer, or of one of its experts; elements."""
        return self.ffn if self.has_experts(layer) or not self.is_moe else self.gating.dense_ffn

    def alike(self, first_layer: int, layers: int) -> dict[int, int]:
        """One layer of each kind among consecutive ones, and how many have the same operators and weights."""
        kinds: dict[bool, int] = {}
        found: dict[int, int] = {}
        for layer in range(first_layer, first_layer + layers):
            one = kinds.setdefault(self.has_experts(layer), layer)
            found[one] = found.get(one, 0) + 1
        return found

    def tensors_of(self, layer: int) -> tuple[WeightTensor, ...]:
        """Weights of one layer, in the order in which a step reads them."""
        vectors = self.norm_vectors
        return (
            WeightTensor("attn_norm", vectors, self.hidden),
            *(self._latent_tensors() if self.latent is not None else self._attention_tensors()),
            WeightTensor("ffn_norm", vectors, self.hidden),
            *self._network_tensors(layer),
        )

    def _attention_tensors(self) -> tuple[WeightTensor, ...]:
        """Weights of grouped-query attention."""
        inner = self.heads * self.head_dim
        tensors = [WeightTensor("qkv", self.hidden, self.qkv_width)]
        if self.qkv_bias:
            tensors.append(WeightTensor("qkv_bias", 1, self.qkv_width))
        if self.qk_norm:
            whole = self.qk_norm == ALL_HEADS
            tensors.append(WeightTensor("q_norm", 1, inner if whole else self.head_dim))
            tensors.append(WeightTensor("k_norm", 1, (self.kv_heads if whole else 1) * self.head_dim))
        tensors.append(WeightTensor("attn_out", inner, self.hidden))
        if self.linear_bias:
            tensors.append(WeightTensor("attn_out_bias", 1, self.hidden))
        return tuple(tensors)

    def _latent_tensors(self) -> tuple[WeightTensor, ...]:
        """Weights of latent attention."""
        latent = self.latent
        assert latent is not None
        up: tuple[WeightTensor, ...]
        if latent.form == ABSORBED:
            up = (
                WeightTensor("absorb", latent.nope, latent.kv_rank, self.heads),
                WeightTensor("value_up", latent.kv_rank, latent.value, self.heads),
            )
        else:
            up = (WeightTensor("kv_up", latent.kv_rank, self.heads * (latent.nope + latent.value)),)
        return (
            WeightTensor("latent", self.hidden, latent.width),
            WeightTensor("q_norm", 1, latent.q_rank),
            WeightTensor("kv_norm", 1, latent.kv_rank),
            WeightTensor("q_up", latent.q_rank, self.heads * self.head_dim),
            *up,
            WeightTensor("attn_out", self.heads * latent.value, self.hidden),
        )

    def _network_tensors(self, layer: int) -> tuple[WeightTensor, ...]:
        """Weights of the feed-forward network of a layer."""
        width, hidden, gating = self.ffn_of(layer), self.hidden, self.gating
        if self.network == RELU:
            pair = (WeightTensor("up", hidden, width), WeightTensor("down", width, hidden))
            if not self.linear_bias:
                return pair
            return (pair[0], WeightTensor("up_bias", 1, width), pair[1], WeightTensor("down_bias", 1, hidden))
        if not self.has_experts(layer):
            return WeightTensor("gate_up", hidden, 2 * width), WeightTensor("down", width, hidden)
        tensors = [WeightTensor("router", hidden, self.experts)]
        if gating.corrected:
            tensors.append(WeightTensor("router_bias", 1, self.experts, element_bytes=SCORE_BYTES))
        if gating.shared_ffn:
            tensors.append(WeightTensor("shared.gate_up", hidden, 2 * gating.shared_ffn))
            tensors.append(WeightTensor("shared.down", gating.shared_ffn, hidden))
        tensors.append(WeightTensor("gate_up", hidden, 2 * width, self.experts))
        tensors.append(WeightTensor("down", width, hidden, self.experts))
        return tuple(tensors)

    @property
    def layer_tensors(self) -> tuple[WeightTensor, ...]:
        """Weights of the last layer."""
        return self.tensors_of(self.layers - 1)

    @property
    def outer_tensors(self) -> tuple[WeightTensor, ...]:
        """Weights outside the layers; a tied LM head is not listed, since it is the embedding table."""
        head = () if self.tie_embeddings else (WeightTensor("lm_head", self.hidden, self.vocab),)
        rows = self.max_positions + OPT_POSITION_OFFSET
        return (
            WeightTensor("embedding", self.vocab, self.hidden),
            *((WeightTensor("positions", rows, self.hidden),) if self.learned_positions else ()),
            WeightTensor("final_norm", self.norm_vectors, self.hidden),
            *head,
        )

    @property
    def layer_weight_bytes(self) -> int:
        """Bytes of the weights of the last layer, all experts counted."""
        return self.weight_bytes_of(self.layers - 1)

    def weight_bytes_of(self, layer: int) -> int:
        """Bytes of the weights of a layer, all experts counted."""
        return sum(tensor.bytes for tensor in self.tensors_of(layer))

    @property
    def outer_weight_bytes(self) -> int:
        """Bytes of the weights outside the layers."""
        return sum(tensor.bytes for tensor in self.outer_tensors)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights of the whole model."""
        return sum(self.weight_bytes_of(layer) for layer in range(self.layers)) + self.outer_weight_bytes

    @property
    def parameters(self) -> int:
        """Parameters of the whole model."""
        layers = sum(tensor.parameters for layer in range(self.layers) for tensor in self.tensors_of(layer))
        return layers + sum(tensor.parameters for tensor in self.outer_tensors)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of the keys and values of one token in one layer."""
        return ELEMENT_BYTES * self.kv_heads * (self.key_dim + self.value_dim)


def with_form(model: Model, form: str) -> Model:
    """Return a model with latent attention in one of its forms.

    Parameters
    ----------
    model : Model
    form : str
        ``ABSORBED`` or ``EXPANDED``.

    Raises
    ------
    WorkloadError
        If the model has no latent attention, or there is no such form.
    """
    faults = []
    if form not in (ABSORBED, EXPANDED):
        faults.append(Fault("latent attention", repr(form), f"{ABSORBED} or {EXPANDED}", "choose one of them"))
    if model.latent is None:
        faults.append(Fault("latent attention", f"{model.name} has none", "a DeepSeek-V3", "leave the option out"))
    if faults or model.latent is None:
        raise WorkloadError("no such form of attention", faults)
    return replace(model, latent=replace(model.latent, form=form), kv_heads=1 if form == ABSORBED else model.heads)
