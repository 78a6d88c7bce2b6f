"""Microcode of the vector operations: the element loops each one runs.

A loop is ``(elements, bytes read per element, bytes written per element, rate)``.  What is read more than once (a
second pass over the same operand) appears as a second loop.  Scalars per row (statistics, weights) stay in
registers.  The numbers follow from the definition of each operation in docs/program.md.
"""

from __future__ import annotations

from nmpsim.program.isa import (
    EXP_RATE,
    F_A_FP32,
    F_ACCUMULATE,
    F_ALL,
    F_BIAS,
    F_OUT_FP32,
    F_RESIDUAL,
    PLAIN_RATE,
    SQRT_RATE,
    V_ADD,
    V_ARGMAX,
    V_ARGMAX_MERGE,
    V_ATTENTION_OUT,
    V_AXPY,
    V_BIAS,
    V_COMBINE_PARTS,
    V_COPY,
    V_GROUP_LIMIT,
    V_HEAD_NORM,
    V_LAYER_NORM,
    V_MOMENTS,
    V_NORM,
    V_PICK,
    V_QUANTISE,
    V_REDUCE,
    V_RELU,
    V_ROPE,
    V_ROUTE,
    V_SIGMOID,
    V_SOFTMAX,
    V_SUM_SQUARES,
    V_SWIGLU,
)

Loop = tuple[int, int, int, int]

FP8, FP16, FP32 = 1, 2, 4


def loops(op: int, m: int, n: int, planes: int, modifiers: int, imm: int) -> tuple[Loop, ...]:
    """Return the element loops of a vector operation.

    Parameters
    ----------
    op : int
        A vector operation of `nmpsim.program.isa`.
    m, n : int
        Rows and columns; elements.
    planes : int
        Partial-sum planes, parts or statistics vectors that are read.
    modifiers, imm : int
        As in the instruction.

    Returns
    -------
    tuple of (elements, read bytes, write bytes, rate)

    Raises
    ------
    KeyError
        If `op` is no vector operation.
    """
    out = FP32 if modifiers & F_OUT_FP32 else FP16
    size = FP32 if modifiers & F_A_FP32 else FP16
    residual = FP16 if modifiers & F_RESIDUAL else 0
    back = FP32 if modifiers & F_ACCUMULATE else 0
    bias = FP16 if modifiers & F_BIAS else 0
    table: dict[int, tuple[Loop, ...]] = {
        V_SUM_SQUARES: ((m * n, FP16, 0, PLAIN_RATE),),
        V_NORM: ((m * planes, FP32, 0, PLAIN_RATE), (m, 0, 0, SQRT_RATE), (m * n, 2 * FP16, FP16, PLAIN_RATE)),
        V_REDUCE: ((m * n, planes * FP32 + residual + bias, out, PLAIN_RATE),),
        V_ADD: ((m * n, 2 * FP32 + residual, out, PLAIN_RATE),),
        V_ROPE: ((m * n, 2 * FP16 + 2 * FP32, FP16, PLAIN_RATE),),
        V_SOFTMAX: ((m * n, FP32, 0, PLAIN_RATE), (m * n, FP32, FP16, EXP_RATE)),
        V_ATTENTION_OUT: ((m, 0, 0, SQRT_RATE), (m * n, planes * FP32, out, PLAIN_RATE)),
        V_COMBINE_PARTS: ((m * planes, 2 * FP32, 0, EXP_RATE), (m * n, planes * FP32, FP16, PLAIN_RATE)),
        V_SWIGLU: ((m * n, planes * FP32, 0, EXP_RATE), (m * n, planes * FP32, FP16, SQRT_RATE)),
        V_COPY: ((m * n, size, size, PLAIN_RATE),),
        V_AXPY: ((m * n, size + back, FP32, PLAIN_RATE),),
        V_ROUTE: _route(m, n, planes, imm, everywhere=bool(modifiers & F_ALL)),
        V_ARGMAX: ((m * n, planes * FP32, 0, PLAIN_RATE), (m, 2 * FP32, 2 * FP32, PLAIN_RATE)),
        V_ARGMAX_MERGE: ((m * planes, 2 * FP32, 0, PLAIN_RATE), (m, 0, 2 * FP32, PLAIN_RATE)),
        V_MOMENTS: ((m * n, FP16, 0, PLAIN_RATE), (m * n, FP16, 0, PLAIN_RATE)),
        V_LAYER_NORM: (
            (2 * m * planes, FP32, 0, PLAIN_RATE),
            (m, 0, 0, SQRT_RATE),
            (m * n, 3 * FP16, FP16, PLAIN_RATE),
        ),
        V_HEAD_NORM: (
            (m * n, FP16, 0, PLAIN_RATE),
            (m * n // max(1, imm), 0, 0, SQRT_RATE),
            (m * n, 2 * FP16, FP16, PLAIN_RATE),
        ),
        V_RELU: ((m * n, planes * FP32 + bias, FP16, PLAIN_RATE),),
        V_BIAS: ((m * n, 2 * FP16, FP16, PLAIN_RATE),),
        V_SIGMOID: ((m * n, planes * FP32, 0, EXP_RATE), (m * n, 0, FP32, SQRT_RATE)),
        V_GROUP_LIMIT: (
            (m * n, 2 * FP32, 0, PLAIN_RATE),
            (m * imm, 0, 0, PLAIN_RATE),
            (m * n, 2 * FP32, FP32, PLAIN_RATE),
        ),
        V_QUANTISE: ((m * n, FP16, FP8, PLAIN_RATE),),
        V_PICK: ((m * n, FP32, 0, PLAIN_RATE), (m * imm, FP32, FP32, SQRT_RATE)),
    }
    return table[op]


def _route(m: int, n: int, planes: int, imm: int, *, everywhere: bool) -> tuple[Loop, ...]:
    """Loops of V_ROUTE: the search for the best experts, then exponentials of these or of all."""
    search = (m * n, planes * FP32, 0, PLAIN_RATE)
    if not everywhere:
        return search, (m * imm, 0, FP32, EXP_RATE)
    return search, (m * n, planes * FP32, 0, EXP_RATE), (m * imm, 0, FP32, SQRT_RATE)
