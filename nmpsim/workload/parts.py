"""Parts of a language model: families, kinds of norm, network and attention, gating, weight tensors."""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.workload.operators import ELEMENT_BYTES

LLAMA, MIXTRAL = "LlamaForCausalLM", "MixtralForCausalLM"
OPT, QWEN2, QWEN3_MOE = "OPTForCausalLM", "Qwen2ForCausalLM", "Qwen3MoeForCausalLM"
OLMOE, DEEPSEEK_V3 = "OlmoeForCausalLM", "DeepseekV3ForCausalLM"
"""Supported families, by the name of their architecture."""

RMS_NORM, LAYER_NORM = "rms", "layer"
"""Kinds of norm: root mean square with a gain; mean and variance with gain and bias."""

SWIGLU, RELU = "swiglu", "relu"
"""Kinds of feed-forward network: gate and up projections with SwiGLU between; one projection and ReLU."""

NO_QK_NORM, PER_HEAD, ALL_HEADS = "", "head", "all"
"""RMSNorm of queries and keys before the rotation: none; every head by itself; all heads together."""

SOFTMAX, SIGMOID = "softmax", "sigmoid"
"""Scores of a router."""

ABSORBED, EXPANDED = "absorbed", "expanded"
"""Forms of latent attention."""

OPT_POSITION_OFFSET = 2
"""Rows of the position table of OPT before that of the first token."""


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
        Experts or heads that have one each; 1 otherwise.
    element_bytes : int
        Bytes of an element.
    """

    name: str
    rows: int
    columns: int
    copies: int = 1
    element_bytes: int = ELEMENT_BYTES

    @property
    def parameters(self) -> int:
        """Elements of all copies."""
        return self.rows * self.columns * self.copies

    @property
    def bytes(self) -> int:
        """Bytes of all copies, in FP16 but for the correction bias of a router (FP32)."""
        return self.element_bytes * self.parameters


@dataclass(frozen=True, slots=True)
class Gating:
    """How a mixture of experts chooses and weights the experts of a token, and what else its layers hold.

    Parameters
    ----------
    scoring : str
        ``SOFTMAX`` over the experts, or ``SIGMOID`` of each.
    normalise : bool
        Whether the weights of the chosen experts are divided by their sum.
    scale : float
        Factor of the weights.
    groups, kept_groups : int
        Experts come in equal groups, and a token's experts from so many of them; 1 and 1: no limit.
    corrected : bool
        Whether a bias (FP32, one per expert) is added to the scores for the choice.
    shared_ffn : int
        Width of the expert that every token goes to; 0: none.
    dense_layers : int
        First layers with a dense network instead of experts.
    dense_ffn : int
        Width of that network; elements.
    """

    scoring: str = SOFTMAX
    normalise: bool = True
    scale: float = 1.0
    groups: int = 1
    kept_groups: int = 1
    corrected: bool = False
    shared_ffn: int = 0
    dense_layers: int = 0
    dense_ffn: int = 0


NO_GATING = Gating()
"""Gating of a model that says nothing about it: a softmax of the chosen logits."""


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).

    Parameters
    ----------
    q_rank, kv_rank : int
        Width of the latent of the queries, and of keys and values.
    nope, rope, value : int
        Columns of a head: of query and key without and with rotation, of a value.
    form : str
        ``ABSORBED``: queries go through the key projection, the cache holds one latent row (kv_rank + rope) for all
        heads and the values are its first kv_rank columns.  ``EXPANDED``: the cache holds the keys and values of
        every head.
    """

    q_rank: int
    kv_rank: int
    nope: int
    rope: int
    value: int
    form: str = ABSORBED

    @property
    def width(self) -> int:
        """Columns of the fused down projections of queries, keys and values."""
        return self.q_rank + self.kv_rank + self.rope
