from dataclasses import FrozenInstanceError

import pytest

from nmpsim.errors import InternalError
from nmpsim.workload import (
    ATTENTION_KINDS,
    GEMM_KINDS,
    HEAD_KINDS,
    MOVE_KINDS,
    VECTOR_KINDS,
    Operator,
    OperatorGraph,
    OperatorKind,
)
from nmpsim.workload.operators import SHAPES
from tests.unit.workload.configs import LLAMA_CONFIG, model_of

SIZES = {
    "m": 3,
    "n": 5,
    "k": 7,
    "batch": 2,
    "heads": 8,
    "kv_heads": 4,
    "head_dim": 6,
    "value_dim": 10,
    "context": 11,
}


def operator_of(kind, **changes):
    shape = {field: SIZES[field] for field in SHAPES[kind]}
    tokens = (0, 1, 2) if kind in {OperatorKind.GATHER, OperatorKind.COMBINE} else ()
    return Operator("one", kind, **{**shape, "tokens": tokens, **changes})


def test_every_kind_is_of_one_sort():
    sorts = [GEMM_KINDS, ATTENTION_KINDS, VECTOR_KINDS, MOVE_KINDS]
    assert sum(map(len, sorts)) == len(frozenset.union(*sorts)) == len(OperatorKind) == len(SHAPES)


# 9 elements of gains and biases with each;
# macs, weight, gain, embedding, kv read, kv write (bytes), vector elements, from SIZES and 2 bytes an element
WORK = {
    **dict.fromkeys(GEMM_KINDS, (3 * 5 * 7, 2 * 5 * 7, 2 * 9, 0, 0, 0, 0)),
    **dict.fromkeys(HEAD_KINDS, (8 * 3 * 5 * 7, 8 * 2 * 5 * 7, 2 * 9, 0, 0, 0, 0)),
    **dict.fromkeys(ATTENTION_KINDS, (2 * 8 * 6 * 11, 0, 2 * 9, 0, 2 * 2 * 4 * 6 * 11, 0, 0)),
    **dict.fromkeys(
        ["residual", "activation", "topk", "combine", "sampling"],
        (0, 0, 2 * 9, 0, 0, 0, 3 * 5),
    ),
    "norm": (0, 0, 2 * 9, 0, 0, 0, 3 * 5),
    "position": (0, 0, 2 * 9, 2 * 5, 0, 0, 3 * 5),
    "qk_norm": (0, 0, 2 * 9, 0, 0, 0, 2 * (8 + 4) * 6),
    "embedding": (0, 0, 2 * 9, 2 * 3 * 5, 0, 0, 0),
    "rope": (0, 0, 2 * 9, 0, 0, 0, 2 * (8 + 4) * 6),
    "softmax": (0, 0, 2 * 9, 0, 0, 0, 2 * 8 * 11),
    "kv_append": (0, 0, 2 * 9, 0, 0, 2 * 2 * 4 * (6 + 10), 0),
    "gather": (0, 0, 2 * 9, 0, 0, 0, 0),
}


@pytest.mark.parametrize("kind", OperatorKind)
def test_work_follows_from_the_shape(kind):
    op = operator_of(kind, vectors=9)
    work = (op.macs, op.weight_bytes, op.gain_bytes, op.embedding_bytes, op.kv_read_bytes, op.kv_write_bytes)
    assert (*work, op.vector_elements) == WORK[kind]


@pytest.mark.parametrize("kind", OperatorKind)
def test_a_shape_of_another_kind_is_a_bug(kind):
    for field in SIZES:
        size = 0 if field in SHAPES[kind] else 1
        with pytest.raises(InternalError, match=f"operator one of kind {kind}: {field} is {size}, must be "):
            operator_of(kind, **{field: size})


def test_tokens_are_as_many_as_rows():
    with pytest.raises(InternalError, match="operator one of kind gather: 2 tokens for m = 3"):
        operator_of(OperatorKind.GATHER, tokens=(0, 1))
    with pytest.raises(InternalError, match="operator one of kind norm: 1 tokens for m = 3"):
        operator_of(OperatorKind.NORM, tokens=(0,))


def test_an_operator_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        operator_of(OperatorKind.NORM).m = 4


def test_a_graph_refuses_two_operators_of_one_name():
    norm = operator_of(OperatorKind.NORM)
    with pytest.raises(InternalError, match="two operators are called one"):
        OperatorGraph(model_of(LLAMA_CONFIG), 1, 1, 1, (norm, norm))


@pytest.mark.parametrize("depends", [(0,), (1,), (-1,)])
def test_a_graph_refuses_dependences_that_do_not_point_backwards(depends):
    norm = operator_of(OperatorKind.NORM, depends=depends)
    with pytest.raises(InternalError, match="one at index 0 depends on"):
        OperatorGraph(model_of(LLAMA_CONFIG), 1, 1, 1, (norm,))
