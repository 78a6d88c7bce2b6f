"""What a vector lane does for one element of each element loop of a vector operation.

Operations of a lane are those of its RTL (rtl_models/core/lane.py): ``add``, ``multiply``, ``max``, ``convert``
(FP32 to FP16), ``exp``, ``reciprocal``, ``rsqrt``; the numbers follow from the definitions in docs/program.md.  Factors
that are the same for a whole row are applied once per element, as written there.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmpsim.program.isa import (
    F_ACCUMULATE,
    F_ALL,
    F_BIAS,
    F_NORMALISE,
    F_OUT_FP32,
    F_RESIDUAL,
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

Work = Mapping[str, int]
"""Lane operations per element, by name."""


def lane_work(op: int, planes: int, modifiers: int) -> tuple[Work, ...]:
    """Return the lane operations per element of each loop of a vector operation.

    Parameters
    ----------
    op : int
        A vector operation of `nmpsim.program.isa`.
    planes, modifiers : int
        As in the instruction.

    Raises
    ------
    KeyError
        If `op` is no vector operation.
    """
    more = max(planes - 1, 0)  # additions of planes
    residual = int(bool(modifiers & F_RESIDUAL))
    rounds = int(not modifiers & F_OUT_FP32)
    bias, shares = int(bool(modifiers & F_BIAS)), int(bool(modifiers & F_NORMALISE))
    best: Work = {"add": more, "max": 1}
    table: dict[int, tuple[Work, ...]] = {
        V_SUM_SQUARES: ({"multiply": 1, "add": 1},),
        V_NORM: ({"add": 1}, {"multiply": 1, "add": 1, "rsqrt": 1}, {"multiply": 2, "convert": 1}),
        V_REDUCE: ({"add": more + residual + bias, "convert": rounds},),
        V_ADD: ({"add": 1 + residual, "convert": rounds},),
        V_ROPE: ({"multiply": 2, "add": 1, "convert": 1},),
        V_SOFTMAX: ({"multiply": 1, "max": 1}, {"multiply": 1, "add": 2, "exp": 1, "convert": 1}),
        V_ATTENTION_OUT: ({"reciprocal": rounds}, {"add": more, "multiply": rounds, "convert": rounds}),
        V_COMBINE_PARTS: (
            {"max": 1, "add": 2, "exp": 1, "multiply": 1},
            {"multiply": planes + 1, "add": more, "convert": 1},
        ),
        V_SWIGLU: ({"add": more, "exp": 1}, {"add": more + 1, "reciprocal": 1, "multiply": 2, "convert": 1}),
        V_COPY: ({},),
        V_AXPY: ({"multiply": 1, "add": int(bool(modifiers & F_ACCUMULATE))},),
        V_ROUTE: (best, {"add": 2, "exp": 1, "multiply": 1}),
        V_ARGMAX: ({"add": more, "max": 1}, {"max": 1}),
        V_ARGMAX_MERGE: ({"max": 1}, {}),
        V_MOMENTS: ({"add": 1}, {"multiply": 1, "add": 1}),
        V_LAYER_NORM: (
            {"add": 1},
            {"multiply": 3, "add": 2, "max": 1, "rsqrt": 1},
            {"add": 2, "multiply": 2, "convert": 1},
        ),
        V_HEAD_NORM: (
            {"multiply": 1, "add": 1},
            {"multiply": 1, "add": 1, "rsqrt": 1},
            {"multiply": 2, "convert": 1},
        ),
        V_RELU: ({"add": more + bias, "max": 1, "convert": 1},),
        V_BIAS: ({"add": 1, "convert": 1},),
        V_SIGMOID: ({"add": more, "exp": 1}, {"add": 1, "reciprocal": 1}),
        V_GROUP_LIMIT: ({"add": 1, "max": 2}, {"add": 1, "max": 1}, {"add": 1}),
        V_QUANTISE: ({"multiply": 1, "max": 1, "convert": 1},),
        V_PICK: ({"max": 1}, {"add": shares, "reciprocal": shares, "multiply": 1 + shares}),
    }
    if op == V_ROUTE and modifiers & F_ALL:
        return best, {"add": more + 2, "exp": 1}, {"reciprocal": 1, "multiply": 1}
    return table[op]
