"""What a vector lane does for one element of each element loop of a vector operation.

Operations of a lane are those of its RTL (rtl_models/core/lane.py): ``add``, ``multiply``, ``max``, ``convert``
(FP32 to FP16), ``exp``, ``reciprocal``, ``rsqrt``; the numbers follow from the definitions in docs/program.md.  Factors
that are the same for a whole row are applied once per element, as written there.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmpsim.program.isa import (
    F_ACCUMULATE,
    F_OUT_FP32,
    F_RESIDUAL,
    V_ADD,
    V_ARGMAX,
    V_ARGMAX_MERGE,
    V_ATTENTION_OUT,
    V_AXPY,
    V_COMBINE_PARTS,
    V_COPY,
    V_NORM,
    V_REDUCE,
    V_ROPE,
    V_ROUTE,
    V_SOFTMAX,
    V_SUM_SQUARES,
    V_SWIGLU,
)

Work = Mapping[str, int]
"""Lane operations per element, by name."""


def lane_work(op: int, planes: int, flags: int) -> tuple[Work, ...]:
    """Return the lane operations per element of each loop of a vector operation.

    Parameters
    ----------
    op : int
        A vector operation of `nmpsim.program.isa`.
    planes, flags : int
        As in the instruction.

    Raises
    ------
    KeyError
        If `op` is no vector operation.
    """
    more = max(planes - 1, 0)  # additions of planes
    residual = int(bool(flags & F_RESIDUAL))
    rounds = int(not flags & F_OUT_FP32)
    table: dict[int, tuple[Work, ...]] = {
        V_SUM_SQUARES: ({"multiply": 1, "add": 1},),
        V_NORM: ({"add": 1}, {"multiply": 1, "add": 1, "rsqrt": 1}, {"multiply": 2, "convert": 1}),
        V_REDUCE: ({"add": more + residual, "convert": rounds},),
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
        V_AXPY: ({"multiply": 1, "add": int(bool(flags & F_ACCUMULATE))},),
        V_ROUTE: ({"add": more, "max": 1}, {"add": 2, "exp": 1, "multiply": 1}),
        V_ARGMAX: ({"add": more, "max": 1}, {"max": 1}),
        V_ARGMAX_MERGE: ({"max": 1}, {}),
    }
    return table[op]
