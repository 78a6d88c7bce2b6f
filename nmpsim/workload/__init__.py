"""What is computed: a model, its decode step as a graph of operators, and the routing of its experts."""

from nmpsim.workload.catalog import load_model, model_names
from nmpsim.workload.config import FAMILIES, parse_config
from nmpsim.workload.decode import decode_step
from nmpsim.workload.describe import describe
from nmpsim.workload.footprint import footprint_bytes, step_faults
from nmpsim.workload.graph import OperatorGraph
from nmpsim.workload.limits import MAX_BATCH
from nmpsim.workload.model import Model, with_form
from nmpsim.workload.operators import (
    ATTENTION_KINDS,
    ELEMENT_BYTES,
    GEMM_KINDS,
    HEAD_KINDS,
    MOVE_KINDS,
    OUTSIDE,
    VECTOR_KINDS,
    Operator,
    OperatorKind,
)
from nmpsim.workload.parts import (
    ABSORBED,
    ALL_HEADS,
    DEEPSEEK_V3,
    EXPANDED,
    LAYER_NORM,
    LLAMA,
    MIXTRAL,
    OLMOE,
    OPT,
    OPT_POSITION_OFFSET,
    PER_HEAD,
    QWEN2,
    QWEN3_MOE,
    RELU,
    SIGMOID,
    SOFTMAX,
    SWIGLU,
    Gating,
    Latent,
    WeightTensor,
)
from nmpsim.workload.placement import PLACEMENTS, StackLoad, describe_routing, place_experts, stack_loads
from nmpsim.workload.routing import DISTRIBUTIONS, Routing, load_routing, routing_lines, synthetic_routing

__all__ = [
    "ABSORBED",
    "ALL_HEADS",
    "ATTENTION_KINDS",
    "DEEPSEEK_V3",
    "DISTRIBUTIONS",
    "ELEMENT_BYTES",
    "EXPANDED",
    "FAMILIES",
    "GEMM_KINDS",
    "HEAD_KINDS",
    "LAYER_NORM",
    "LLAMA",
    "MAX_BATCH",
    "MIXTRAL",
    "MOVE_KINDS",
    "OLMOE",
    "OPT",
    "OPT_POSITION_OFFSET",
    "OUTSIDE",
    "PER_HEAD",
    "PLACEMENTS",
    "QWEN2",
    "QWEN3_MOE",
    "RELU",
    "SIGMOID",
    "SOFTMAX",
    "SWIGLU",
    "VECTOR_KINDS",
    "Gating",
    "Latent",
    "Model",
    "Operator",
    "OperatorGraph",
    "OperatorKind",
    "Routing",
    "StackLoad",
    "WeightTensor",
    "decode_step",
    "describe",
    "describe_routing",
    "footprint_bytes",
    "load_model",
    "load_routing",
    "model_names",
    "parse_config",
    "place_experts",
    "routing_lines",
    "stack_loads",
    "step_faults",
    "synthetic_routing",
    "with_form",
]
