"""A language model as dimensions, and its weights.

Dimension letters: layers, model width D, query heads H, key/value heads G, head width E, feed-forward width F,
vocabulary V.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.limits import MAX_BATCH, count_faults
from nmpsim.workload.operators import ELEMENT_BYTES

LLAMA, MIXTRAL = "LlamaForCausalLM", "MixtralForCausalLM"
"""Supported families, by the name of their architecture."""


@dataclass(frozen=True, slots=True)
class WeightTensor:
    """One weight matrix or gain vector.

    Parameters
    ----------
    name : str
        Name of the operator that reads it, without its layer.
    rows, columns : int
        Inputs k and outputs n of a matrix; vocabulary and width of the embedding; 1 and n of a gain vector.
    copies : int
        Experts that have one each; 1 otherwise.
    """

    name: str
    rows: int
    columns: int
    copies: int = 1

    @property
    def parameters(self) -> int:
        """Elements of all copies."""
        return self.rows * self.columns * self.copies

    @property
    def bytes(self) -> int:
        """Bytes of all copies, in FP16."""
        return ELEMENT_BYTES * self.parameters


@dataclass(frozen=True, slots=True)
class Model:
    """Dimensions of a decoder-only language model.  Made by `load_model` or `parse_config`, which check them.

    Parameters
    ----------
    name : str
        Name in the catalogue, or of the file.
    family : str
        ``LLAMA`` or ``MIXTRAL``.
    layers : int
        Decoder layers.
    hidden : int
        Model width D; elements.
    heads : int
        Query heads H.
    kv_heads : int
        Key/value heads G; divides ``heads``.
    head_dim : int
        Head width E; elements, even.
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
        Constant under the root of RMSNorm.
    rope_theta : float
        Base of the rotary frequencies.
    sha256 : str
        Hash of the configuration file; 64 hex digits.
    source : str
        Where the configuration comes from.
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

    @property
    def is_moe(self) -> bool:
        """Whether the feed-forward network is a mixture of experts."""
        return self.experts > 0

    @property
    def qkv_width(self) -> int:
        """Outputs of the fused query, key and value projections, (H + 2G)E; elements."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def layer_tensors(self) -> tuple[WeightTensor, ...]:
        """Weights of one layer, in the order in which a step reads them."""
        router = (WeightTensor("router", self.hidden, self.experts),) if self.is_moe else ()
        copies = self.experts if self.is_moe else 1
        return (
            WeightTensor("attn_norm", 1, self.hidden),
            WeightTensor("qkv", self.hidden, self.qkv_width),
            WeightTensor("attn_out", self.heads * self.head_dim, self.hidden),
            WeightTensor("ffn_norm", 1, self.hidden),
            *router,
            WeightTensor("gate_up", self.hidden, 2 * self.ffn, copies),
            WeightTensor("down", self.ffn, self.hidden, copies),
        )

    @property
    def outer_tensors(self) -> tuple[WeightTensor, ...]:
        """Weights outside the layers; a tied LM head is not listed, since it is the embedding table."""
        head = () if self.tie_embeddings else (WeightTensor("lm_head", self.hidden, self.vocab),)
        return (
            WeightTensor("embedding", self.vocab, self.hidden),
            WeightTensor("final_norm", 1, self.hidden),
            *head,
        )

    @property
    def layer_weight_bytes(self) -> int:
        """Bytes of the weights of one layer, all experts counted."""
        return sum(tensor.bytes for tensor in self.layer_tensors)

    @property
    def outer_weight_bytes(self) -> int:
        """Bytes of the weights outside the layers."""
        return sum(tensor.bytes for tensor in self.outer_tensors)

    @property
    def parameters(self) -> int:
        """Parameters of the whole model."""
        return (self.layers * self.layer_weight_bytes + self.outer_weight_bytes) // ELEMENT_BYTES

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of the keys and values of one token in one layer."""
        return 2 * ELEMENT_BYTES * self.kv_heads * self.head_dim


def step_faults(model: Model, batch: object, context: object, layers: object) -> list[Fault]:
    """Faults of the size of a step: batch, context (tokens with the new one) and layers."""
    return [
        *count_faults("batch", batch, 1, MAX_BATCH, "give the number of sequences decoded together"),
        *count_faults(
            "context",
            context,
            1,
            model.max_positions,
            f"give the tokens of a sequence with the new one; {model.name} knows {model.max_positions} positions",
        ),
        *layer_faults(model, layers),
    ]


def layer_faults(model: Model, layers: object) -> list[Fault]:
    """Faults of a number of layers."""
    todo = f"give how many of the first layers to run, or leave it out for all {model.layers} of {model.name}"
    return count_faults("layers", layers, 1, model.layers, todo)


def footprint_bytes(model: Model, batch: int, context: int, layers: int | None = None) -> int:
    """Bytes of memory that a decode step keeps resident: all weights and the KV cache.

    Parameters
    ----------
    model : Model
        The model.
    batch : int
        Sequences.
    context : int
        Tokens of each sequence, the new one counted.
    layers : int, optional
        The first layers only; all by default.

    Returns
    -------
    int
        Weights of these layers with every expert, embedding table, final norm, LM head (unless tied), KV cache; bytes.

    Raises
    ------
    WorkloadError
        If batch, context or layers is out of range; all faults at once.
    """
    depth = model.layers if layers is None else layers
    faults = step_faults(model, batch, context, depth)
    if faults:
        raise WorkloadError(f"{model.name}: no such decode step", faults)
    cache = batch * context * depth * model.kv_bytes_per_token
    return depth * model.layer_weight_bytes + model.outer_weight_bytes + cache
