"""What is computed: a model, its decode step as a graph of operators, and the routing of its experts."""

from nmpsim.workload.catalog import load_model, model_names
from nmpsim.workload.config import FAMILIES, parse_config
from nmpsim.workload.decode import decode_step
from nmpsim.workload.describe import describe
from nmpsim.workload.graph import OperatorGraph
from nmpsim.workload.limits import MAX_BATCH
from nmpsim.workload.model import LLAMA, MIXTRAL, Model, WeightTensor, footprint_bytes
from nmpsim.workload.operators import (
    ATTENTION_KINDS,
    ELEMENT_BYTES,
    GEMM_KINDS,
    MOVE_KINDS,
    OUTSIDE,
    VECTOR_KINDS,
    Operator,
    OperatorKind,
)
from nmpsim.workload.routing import DISTRIBUTIONS, Routing, load_routing, synthetic_routing

__all__ = [
    "ATTENTION_KINDS",
    "DISTRIBUTIONS",
    "ELEMENT_BYTES",
    "FAMILIES",
    "GEMM_KINDS",
    "LLAMA",
    "MAX_BATCH",
    "MIXTRAL",
    "MOVE_KINDS",
    "OUTSIDE",
    "VECTOR_KINDS",
    "Model",
    "Operator",
    "OperatorGraph",
    "OperatorKind",
    "Routing",
    "WeightTensor",
    "decode_step",
    "describe",
    "footprint_bytes",
    "load_model",
    "load_routing",
    "model_names",
    "parse_config",
    "synthetic_routing",
]
