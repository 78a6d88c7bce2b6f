"""The products of a decode step, as one PU sees them.

GEMMs are spread over the PUs by columns, in whole beats of elements: the widest share of a PU is its product.
Attention is a product per sequence and key/value head, which a PU does by itself:

    scores    M = query heads of a group, N = context, K = head width
    values    M = query heads of a group, N = head width, K = context

Experts take the tokens that are routed to them; products of one size and kind are listed once.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.spec.params import MachineParams
from nmpsim.workload import GEMM_KINDS, Model, Operator, OperatorKind, decode_step


@dataclass(frozen=True)
class Product:
    """C[m, n] = A[m, k] B[k, n].

    Parameters
    ----------
    name : str
    m, n, k : int
    """

    name: str
    m: int
    n: int
    k: int


def share_of(params: MachineParams, columns: int) -> int:
    """Return the columns of the PU with most of them, if whole beats of elements are dealt out.

    Parameters
    ----------
    params : MachineParams
    columns : int
        Of the whole operator.
    """
    quantum = params.dram.column_bytes // 2
    blocks = -(-columns // quantum)
    return min(columns, -(-blocks // params.cores) * quantum)


def _product(operator: Operator, model: Model, params: MachineParams) -> Product | None:
    group = model.heads // model.kv_heads
    if operator.kind in GEMM_KINDS:
        return Product(f"{model.name} {operator.kind}", operator.m, share_of(params, operator.n), operator.k)
    if operator.kind is OperatorKind.SCORE:
        return Product(f"{model.name} score", group, operator.context, operator.head_dim)
    if operator.kind is OperatorKind.VALUE:
        return Product(f"{model.name} value", group, operator.head_dim, operator.context)
    return None


def decode_products(model: Model, params: MachineParams, batch: int, context: int) -> list[Product]:
    """Return the different products of one layer and the LM head.

    Parameters
    ----------
    model : Model
    params : MachineParams
        The chip.
    batch : int
        Sequences.
    context : int
        Tokens of each sequence.

    Raises
    ------
    WorkloadError
        If batch or context is out of range.
    """
    graph = decode_step(model, batch, context, layers=1)
    found = (_product(operator, model, params) for operator in graph)
    return list(dict.fromkeys(product for product in found if product is not None))
