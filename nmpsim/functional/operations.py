"""The vector operations on numbers: which operands each one reads, what it computes, where the results go.

All arithmetic is FP32, as in the vector unit; docs/program.md defines each operation.  Planes are added one after
another; sums over a row are pairwise trees.  Exponentials are FP64 rounded to FP32, so at most one rounding from the
exact value.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.functional.memory import FP16, FP32, INT32, Buffer, illegal
from nmpsim.functional.product import tree_sum
from nmpsim.program.isa import (
    F_A_FP32,
    F_ACCUMULATE,
    F_FIRST,
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

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]


class Write(NamedTuple):
    """A result on its way to the buffer.

    Parameters
    ----------
    address, ld : int
        First byte, and bytes from one row to the next.
    values : ndarray, shape (row, column)
        What to store.
    """

    address: int
    ld: int
    values: NDArray[Any]


def operands(ins: SimpleNamespace, buffer: Buffer, tables: NDArray[np.int64]) -> Arrays:
    """Read the operands of a vector operation.

    Parameters
    ----------
    ins : SimpleNamespace
        Fields of the instruction.
    buffer : Buffer
        Buffer of its core.
    tables : ndarray of int64
        Integers of the program.

    Returns
    -------
    dict of ndarray
        By name; planes and parts have shape (plane, m, n), vectors (m,).

    Raises
    ------
    IllegalScheduleError
        If an operand lies outside the buffer or the table, or a shape is not one of the operation.
    """
    op, m, n, count = ins.op, ins.m, ins.n, max(1, ins.planes)

    def matrix(address: int, ld: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        return buffer.read(address, m, n, ld, dtype)

    def planes(address: int, ld: int) -> NDArray[Any]:
        return np.stack([matrix(address + p * ins.plane_ld, ld, FP32) for p in range(count)])

    def vector(address: int, length: int, dtype: np.dtype[Any] = FP32) -> NDArray[Any]:
        row: NDArray[Any] = buffer.read(address, 1, length, 0, dtype)[0]
        return row

    def pairs(address: int) -> tuple[NDArray[Any], NDArray[Any]]:
        words = buffer.read(address, m, 2, 8, INT32)
        return words[:, 0].copy().view(FP32), words[:, 1].copy()

    def integers(length: int) -> NDArray[np.int64]:
        if ins.table < 0 or ins.table + length > len(tables):
            got = f"table {ins.table}..{ins.table + length}"
            raise illegal(buffer.where, got, f"0..{len(tables)}", "correct the table offset")
        return tables[ins.table : ins.table + length]

    element = FP32 if ins.flags & F_A_FP32 else FP16
    if op == V_SUM_SQUARES:
        return {"x": matrix(ins.a, ins.a_ld, FP16)}
    if op == V_NORM:
        squares = np.stack([vector(ins.c + p * ins.plane_ld, m) for p in range(count)])
        gain, eps = vector(ins.b, n, FP16), integers(1).astype(np.uint32).view(FP32)
        return {"x": matrix(ins.a, ins.a_ld, FP16), "gain": gain, "squares": squares, "eps": eps}
    if op == V_REDUCE:
        residual = {"residual": matrix(ins.c, ins.c_ld, FP16)} if ins.flags & F_RESIDUAL else {}
        return {"planes": planes(ins.a, ins.a_ld), **residual}
    if op == V_ADD:
        residual = {"residual": matrix(ins.c, ins.c_ld, FP16)} if ins.flags & F_RESIDUAL else {}
        return {"x": matrix(ins.a, ins.a_ld, FP32), "y": matrix(ins.b, ins.b_ld, FP32), **residual}
    if op == V_ROPE:
        half = ins.imm // 2
        if half < 1 or ins.imm % 2 or n % ins.imm:
            allowed = "heads of an even width that divides n"
            raise illegal(buffer.where, f"heads of {ins.imm} in {n} columns", allowed, "correct imm or n")
        return {"x": matrix(ins.a, ins.a_ld, FP16), "cos": vector(ins.b, half), "sin": vector(ins.b + 4 * half, half)}
    if op == V_SOFTMAX:
        return {"x": matrix(ins.a, ins.a_ld, FP32), "scale": integers(1).astype(np.uint32).view(FP32)}
    if op == V_ATTENTION_OUT:
        sums = {} if ins.flags & F_OUT_FP32 else {"sums": vector(ins.c + 4 * m, m)}
        return {"planes": planes(ins.a, ins.a_ld), **sums}
    if op == V_COMBINE_PARTS:
        statistics = [ins.c + p * ins.imm for p in range(count)]
        maxima = np.stack([vector(address, m) for address in statistics])
        sums_of = np.stack([vector(address + 4 * m, m) for address in statistics])
        return {"parts": planes(ins.a, ins.a_ld), "maxima": maxima, "sums": sums_of}
    if op == V_SWIGLU:
        return {"gate": planes(ins.a, ins.a_ld), "up": planes(ins.b, ins.b_ld)}
    if op == V_COPY:
        return {"x": matrix(ins.a, ins.a_ld, element)}
    if op == V_AXPY:
        before = {"before": matrix(ins.out, ins.out_ld, FP32)} if ins.flags & F_ACCUMULATE else {}
        weight = buffer.read(ins.b, m, 1, ins.b_ld, FP32)[:, 0]
        return {"x": matrix(ins.a, ins.a_ld, element), "weight": weight, **before}
    if op == V_ROUTE:
        chosen = integers(m * ins.imm).reshape(m, ins.imm)
        if chosen.min() < 0 or chosen.max() >= n:
            got = f"experts {chosen.min()}..{chosen.max()}"
            raise illegal(buffer.where, got, f"0..{n - 1}", "correct the table")
        return {"planes": planes(ins.a, ins.a_ld), "chosen": chosen}
    if op == V_ARGMAX:
        found: Arrays = {"planes": planes(ins.a, ins.a_ld), "first": np.array([ins.imm])}
        if not ins.flags & F_FIRST:
            found["values"], found["indices"] = pairs(ins.out)
        return found
    if op == V_ARGMAX_MERGE:
        read = [pairs(ins.a + p * ins.plane_ld) for p in range(count)]
        return {"values": np.stack([r[0] for r in read]), "indices": np.stack([r[1] for r in read])}
    raise InternalError(f"operation code {op} is no vector operation")


def results(ins: SimpleNamespace, outputs: Arrays) -> list[Write]:
    """Where the outputs of `evaluate` go."""
    if "values" in outputs:
        bits = outputs["values"].astype(FP32).view(INT32)
        return [Write(ins.out, 8, np.stack([bits, outputs["indices"].astype(INT32)], axis=1))]
    if ins.op == V_SUM_SQUARES:
        return [Write(ins.out, 0, outputs["out"][None])]
    writes = [Write(ins.out, ins.out_ld, outputs["out"])]
    if "maxima" in outputs:
        statistics = np.concatenate([outputs["maxima"], outputs["sums"]])
        writes.append(Write(ins.c, 0, statistics[None]))
    return writes


def evaluate(ins: SimpleNamespace, inputs: Arrays) -> Arrays:
    """Compute a vector operation.

    Parameters
    ----------
    ins : SimpleNamespace
        Fields of the instruction; only the operation, its flags and `imm` matter.
    inputs : dict of ndarray
        From `operands`.

    Returns
    -------
    dict of ndarray
        ``out``; for softmax also ``maxima`` and ``sums``; for the searches ``values`` and ``indices``.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        return _OPERATIONS[ins.op](ins, inputs)


def add_planes(planes: NDArray[Any]) -> Floats:
    """Sum over the first axis, one plane after another, in FP32."""
    total: Floats = planes[0].astype(np.float32)
    for plane in planes[1:]:
        total = total + plane.astype(FP32)
    return total


def exponential(x: NDArray[Any]) -> Floats:
    """Exponential of FP32 numbers, rounded once from FP64."""
    exact: NDArray[np.float64] = np.exp(x.astype(np.float64))
    return exact.astype(np.float32)


def _sum_squares(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    x = inputs["x"].astype(FP32)
    return {"out": tree_sum(x * x, 1)}


def _norm(ins: SimpleNamespace, inputs: Arrays) -> Arrays:
    mean = add_planes(inputs["squares"]) / np.float32(ins.imm)
    root = np.sqrt(mean + inputs["eps"].astype(FP32))
    scaled = inputs["x"].astype(FP32) * inputs["gain"].astype(FP32)
    return {"out": (scaled / root[:, None]).astype(FP16)}


def _reduce(ins: SimpleNamespace, inputs: Arrays) -> Arrays:
    return _with_residual(ins, inputs, add_planes(inputs["planes"]))


def _add(ins: SimpleNamespace, inputs: Arrays) -> Arrays:
    return _with_residual(ins, inputs, inputs["x"].astype(FP32) + inputs["y"].astype(FP32))


def _with_residual(ins: SimpleNamespace, inputs: Arrays, total: Floats) -> Arrays:
    if "residual" in inputs:
        total = total + inputs["residual"].astype(FP32)
    return {"out": total.astype(FP32 if ins.flags & F_OUT_FP32 else FP16)}


def _rope(ins: SimpleNamespace, inputs: Arrays) -> Arrays:
    heads = inputs["x"].astype(FP32).reshape(ins.m, -1, 2, ins.imm // 2)
    cos, sin = inputs["cos"].astype(FP32), inputs["sin"].astype(FP32)
    first, second = heads[:, :, 0], heads[:, :, 1]
    turned = np.stack([first * cos - second * sin, second * cos + first * sin], axis=2)
    return {"out": turned.reshape(ins.m, ins.n).astype(FP16)}


def _softmax(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    scaled = inputs["x"].astype(FP32) * inputs["scale"].astype(FP32)
    maxima = scaled.max(axis=1)
    out = exponential(scaled - maxima[:, None]).astype(FP16)
    return {"out": out, "maxima": maxima, "sums": tree_sum(out.astype(FP32), 1)}


def _attention_out(ins: SimpleNamespace, inputs: Arrays) -> Arrays:
    total = add_planes(inputs["planes"])
    if ins.flags & F_OUT_FP32:
        return {"out": total}
    return {"out": (total / inputs["sums"].astype(FP32)[:, None]).astype(FP16)}


def _combine_parts(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    maxima = inputs["maxima"].astype(FP32)
    weights = exponential(maxima - maxima.max(axis=0))
    total = add_planes(weights[:, :, None] * inputs["parts"].astype(FP32))
    divisor = add_planes(weights * inputs["sums"].astype(FP32))
    return {"out": (total / divisor[:, None]).astype(FP16)}


def _swiglu(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    gate, up = add_planes(inputs["gate"]), add_planes(inputs["up"])
    return {"out": (gate * up / (np.float32(1) + exponential(-gate))).astype(FP16)}


def _copy(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    return {"out": inputs["x"].copy()}


def _axpy(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    product = inputs["weight"].astype(FP32)[:, None] * inputs["x"].astype(FP32)
    return {"out": product + inputs["before"].astype(FP32) if "before" in inputs else product}


def _route(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    logits = np.take_along_axis(add_planes(inputs["planes"]), inputs["chosen"].astype(np.int64), axis=1)
    weights = exponential(logits - logits.max(axis=1)[:, None])
    return {"out": weights / tree_sum(weights, 1)[:, None]}


def _argmax(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    logits = add_planes(inputs["planes"])
    place = logits.argmax(axis=1)
    values = np.take_along_axis(logits, place[:, None], axis=1)[:, 0]
    indices = (place + inputs["first"].astype(np.int64)).astype(INT32)
    if "values" in inputs:
        return _best(np.stack([inputs["values"], values]), np.stack([inputs["indices"], indices]))
    return {"values": values, "indices": indices}


def _argmax_merge(_: SimpleNamespace, inputs: Arrays) -> Arrays:
    return _best(inputs["values"], inputs["indices"])


def _best(values: NDArray[Any], indices: NDArray[Any]) -> Arrays:
    """Greatest value of each column, the lower index where values are equal; shapes (candidate, m)."""
    best_value, best_index = values[0].astype(FP32), indices[0].astype(INT32)
    for value, index in zip(values[1:].astype(FP32), indices[1:].astype(INT32), strict=True):
        better = (value > best_value) | ((value == best_value) & (index < best_index))
        best_value, best_index = np.where(better, value, best_value), np.where(better, index, best_index)
    return {"values": best_value, "indices": best_index}


_OPERATIONS: dict[int, Callable[[SimpleNamespace, Arrays], Arrays]] = {
    V_SUM_SQUARES: _sum_squares,
    V_NORM: _norm,
    V_REDUCE: _reduce,
    V_ADD: _add,
    V_ROPE: _rope,
    V_SOFTMAX: _softmax,
    V_ATTENTION_OUT: _attention_out,
    V_COMBINE_PARTS: _combine_parts,
    V_SWIGLU: _swiglu,
    V_COPY: _copy,
    V_AXPY: _axpy,
    V_ROUTE: _route,
    V_ARGMAX: _argmax,
    V_ARGMAX_MERGE: _argmax_merge,
}

__all__ = ["Write", "add_planes", "evaluate", "exponential", "operands", "results"]
