"""The vector operations on numbers: which operands each one reads, what it computes, where the results go.

All arithmetic is FP32, as in the vector unit; docs/program.md defines each operation.  Planes are added one after
another; sums over a row are pairwise trees.  Exponentials are FP64 rounded to FP32, so at most one rounding from the
exact value.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.functional.formats import fp32_of, halved, quantised, real
from nmpsim.functional.memory import FP16, FP32, INT32, Buffer, Write, illegal
from nmpsim.functional.product import tree_sum
from nmpsim.program.isa import (
    F_A_FP32,
    F_ACCUMULATE,
    F_ALL,
    F_BIAS,
    F_FIRST,
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

Arrays = dict[str, NDArray[Any]]
Half = np.dtype[Any]
Floats = NDArray[np.float32]


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
    op, m, n, count, half = ins.op, ins.m, ins.n, max(1, ins.planes), buffer.half

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

    def scalar(place: int) -> NDArray[Any]:
        return integers(place + 1)[place:].astype(np.uint32).view(FP32)

    def bias() -> Arrays:
        return {"bias": vector(ins.b, n, half)} if ins.modifiers & F_BIAS else {}

    element = FP32 if ins.modifiers & F_A_FP32 else half
    if op == V_SUM_SQUARES:
        return {"x": matrix(ins.a, ins.a_ld, half)}
    if op == V_NORM:
        squares = np.stack([vector(ins.c + p * ins.plane_ld, m) for p in range(count)])
        gain, eps = vector(ins.b, n, half), integers(1).astype(np.uint32).view(FP32)
        return {"x": matrix(ins.a, ins.a_ld, half), "gain": gain, "squares": squares, "eps": eps}
    if op == V_REDUCE:
        residual = {"residual": matrix(ins.c, ins.c_ld, half)} if ins.modifiers & F_RESIDUAL else {}
        return {"planes": planes(ins.a, ins.a_ld), **residual, **bias()}
    if op == V_ADD:
        residual = {"residual": matrix(ins.c, ins.c_ld, half)} if ins.modifiers & F_RESIDUAL else {}
        return {"x": matrix(ins.a, ins.a_ld, FP32), "y": matrix(ins.b, ins.b_ld, FP32), **residual}
    if op == V_ROPE:
        turned = ins.imm // 2
        if turned < 1 or ins.imm % 2 or n % ins.imm:
            allowed = "heads of an even width that divides n"
            raise illegal(buffer.where, f"heads of {ins.imm} in {n} columns", allowed, "correct imm or n")
        return {
            "x": matrix(ins.a, ins.a_ld, half),
            "cos": vector(ins.b, turned),
            "sin": vector(ins.b + 4 * turned, turned),
        }
    if op == V_SOFTMAX:
        return {"x": matrix(ins.a, ins.a_ld, FP32), "scale": integers(1).astype(np.uint32).view(FP32)}
    if op == V_ATTENTION_OUT:
        sums = {} if ins.modifiers & F_OUT_FP32 else {"sums": vector(ins.c + 4 * m, m)}
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
        before = {"before": matrix(ins.out, ins.out_ld, FP32)} if ins.modifiers & F_ACCUMULATE else {}
        weight = buffer.read(ins.b, m, 1, ins.b_ld, FP32)[:, 0]
        return {"x": matrix(ins.a, ins.a_ld, element), "weight": weight, **before}
    if op == V_ROUTE:
        chosen = _chosen(integers(m * ins.imm).reshape(m, ins.imm), n, buffer)
        return {"planes": planes(ins.a, ins.a_ld), "chosen": chosen}
    if op == V_ARGMAX:
        found: Arrays = {"planes": planes(ins.a, ins.a_ld), "first": np.array([ins.imm])}
        if not ins.modifiers & F_FIRST:
            found["values"], found["indices"] = pairs(ins.out)
        return found
    if op == V_ARGMAX_MERGE:
        read = [pairs(ins.a + p * ins.plane_ld) for p in range(count)]
        return {"values": np.stack([r[0] for r in read]), "indices": np.stack([r[1] for r in read])}
    if op == V_MOMENTS:
        return {"x": matrix(ins.a, ins.a_ld, half)}
    if op == V_LAYER_NORM:
        moments = np.stack([vector(ins.c + p * ins.plane_ld, 2 * m).reshape(2, m) for p in range(count)])
        gain, shift, eps = vector(ins.b, n, half), vector(ins.b + ins.b_ld, n, half), scalar(0)
        return {"x": matrix(ins.a, ins.a_ld, half), "gain": gain, "shift": shift, "moments": moments, "eps": eps}
    if op == V_HEAD_NORM:
        if ins.imm < 1 or n % ins.imm:
            got = f"heads of {ins.imm} in {n} columns"
            raise illegal(buffer.where, got, "heads of a width that divides n", "correct imm or n")
        return {"x": matrix(ins.a, ins.a_ld, half), "gain": vector(ins.b, ins.imm, half), "eps": scalar(0)}
    if op == V_RELU:
        return {"planes": planes(ins.a, ins.a_ld), **bias()}
    if op == V_BIAS:
        return {"x": matrix(ins.a, ins.a_ld, half), "bias": vector(ins.b, n, half)}
    if op == V_SIGMOID:
        return {"planes": planes(ins.a, ins.a_ld)}
    if op == V_GROUP_LIMIT:
        kept = integers(1)
        if ins.imm < 1 or n % ins.imm or n // ins.imm < 2 or not 1 <= kept[0] <= ins.imm:
            got = f"{kept[0]} of {ins.imm} groups of {n} experts"
            raise illegal(buffer.where, got, "equal groups of 2 or more, and 1 or more of them", "correct imm or table")
        return {"x": matrix(ins.a, ins.a_ld, FP32), "correction": vector(ins.b, n), "kept": kept}
    if op == V_QUANTISE:
        return {"x": matrix(ins.a, ins.a_ld, half), "step": fp32_of(tables, ins.table)}
    if op == V_PICK:
        chosen = _chosen(integers(m * ins.imm).reshape(m, ins.imm), n, buffer)
        scores, ranked = matrix(ins.a, ins.a_ld, FP32), matrix(ins.c, ins.c_ld, FP32)
        return {"x": scores, "ranked": ranked, "chosen": chosen, "scale": scalar(m * ins.imm)}
    raise InternalError(f"operation code {op} is no vector operation")


def _chosen(chosen: NDArray[np.int64], experts: int, buffer: Buffer) -> NDArray[np.int64]:
    """Return a table of experts.

    Raises
    ------
    IllegalScheduleError
        If one is out of range.
    """
    if chosen.min() < 0 or chosen.max() >= experts:
        got = f"experts {chosen.min()}..{chosen.max()}"
        raise illegal(buffer.where, got, f"0..{experts - 1}", "correct the table")
    return chosen


def results(ins: SimpleNamespace, outputs: Arrays) -> list[Write]:
    """Where the outputs of `evaluate` go."""
    if "values" in outputs:
        bits = outputs["values"].astype(FP32).view(INT32)
        return [Write(ins.out, 8, np.stack([bits, outputs["indices"].astype(INT32)], axis=1))]
    if ins.op in (V_SUM_SQUARES, V_MOMENTS):
        return [Write(ins.out, 0, outputs["out"].reshape(1, -1))]
    writes = [Write(ins.out, ins.out_ld, outputs["out"])]
    if "maxima" in outputs:
        statistics = np.concatenate([outputs["maxima"], outputs["sums"]])
        writes.append(Write(ins.c, 0, statistics[None]))
    return writes


def evaluate(ins: SimpleNamespace, inputs: Arrays, half: Half = FP16) -> Arrays:
    """Compute a vector operation.

    Parameters
    ----------
    ins : SimpleNamespace
        Fields of the instruction; only the operation, its modifiers and `imm` matter.
    inputs : dict of ndarray
        From `operands`.
    half : dtype
        Type of results that are not FP32.

    Returns
    -------
    dict of ndarray
        ``out``; for softmax also ``maxima`` and ``sums``; for the searches ``values`` and ``indices``.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        return _OPERATIONS[ins.op](ins, inputs, half)


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


def _sum_squares(_: SimpleNamespace, inputs: Arrays, __: Half) -> Arrays:
    x = real(inputs["x"])
    return {"out": tree_sum(x * x, 1)}


def _norm(ins: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    mean = add_planes(inputs["squares"]) / np.float32(ins.imm)
    root = np.sqrt(mean + real(inputs["eps"]))
    scaled = real(inputs["x"]) * real(inputs["gain"])
    return {"out": halved(scaled / root[:, None], half)}


def _reduce(ins: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    return _with_residual(ins, inputs, half, _biased(inputs))


def _biased(inputs: Arrays) -> Floats:
    """Sum of the planes, and the bias if there is one."""
    total = add_planes(inputs["planes"])
    return total + real(inputs["bias"]) if "bias" in inputs else total


def _add(ins: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    return _with_residual(ins, inputs, half, real(inputs["x"]) + real(inputs["y"]))


def _with_residual(ins: SimpleNamespace, inputs: Arrays, half: Half, total: Floats) -> Arrays:
    if "residual" in inputs:
        total = total + real(inputs["residual"])
    return {"out": total if ins.modifiers & F_OUT_FP32 else halved(total, half)}


def _rope(ins: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    heads = real(inputs["x"]).reshape(ins.m, -1, 2, ins.imm // 2)
    cos, sin = real(inputs["cos"]), real(inputs["sin"])
    first, second = heads[:, :, 0], heads[:, :, 1]
    turned = np.stack([first * cos - second * sin, second * cos + first * sin], axis=2)
    return {"out": halved(turned.reshape(ins.m, ins.n), half)}


def _softmax(_: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    scaled = real(inputs["x"]) * real(inputs["scale"])
    maxima = scaled.max(axis=1)
    out = halved(exponential(scaled - maxima[:, None]), half)
    return {"out": out, "maxima": maxima, "sums": tree_sum(real(out), 1)}


def _attention_out(ins: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    total = add_planes(inputs["planes"])
    if ins.modifiers & F_OUT_FP32:
        return {"out": total}
    return {"out": halved(total / real(inputs["sums"])[:, None], half)}


def _combine_parts(_: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    maxima = real(inputs["maxima"])
    weights = exponential(maxima - maxima.max(axis=0))
    total = add_planes(weights[:, :, None] * real(inputs["parts"]))
    divisor = add_planes(weights * real(inputs["sums"]))
    return {"out": halved(total / divisor[:, None], half)}


def _swiglu(_: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    gate, up = add_planes(inputs["gate"]), add_planes(inputs["up"])
    return {"out": halved(gate * up / (np.float32(1) + exponential(-gate)), half)}


def _copy(_: SimpleNamespace, inputs: Arrays, __: Half) -> Arrays:
    return {"out": inputs["x"].copy()}


def _axpy(_: SimpleNamespace, inputs: Arrays, __: Half) -> Arrays:
    product = real(inputs["weight"])[:, None] * real(inputs["x"])
    return {"out": product + real(inputs["before"]) if "before" in inputs else product}


def _route(ins: SimpleNamespace, inputs: Arrays, _: Half) -> Arrays:
    chosen = inputs["chosen"].astype(np.int64)
    logits = add_planes(inputs["planes"])
    if not ins.modifiers & F_ALL:
        logits = np.take_along_axis(logits, chosen, axis=1)
    weights = exponential(logits - logits.max(axis=1)[:, None])
    weights = weights / tree_sum(weights, 1)[:, None]
    return {"out": np.take_along_axis(weights, chosen, axis=1) if ins.modifiers & F_ALL else weights}


def _moments(_: SimpleNamespace, inputs: Arrays, __: Half) -> Arrays:
    x = real(inputs["x"])
    return {"out": np.stack([tree_sum(x, 1), tree_sum(x * x, 1)])}


def _layer_norm(ins: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    mean, square = add_planes(inputs["moments"]) / np.float32(ins.imm)
    root = np.sqrt(np.maximum(square - mean * mean, np.float32(0)) + real(inputs["eps"]))
    scaled = (real(inputs["x"]) - mean[:, None]) * real(inputs["gain"])
    return {"out": halved(scaled / root[:, None] + real(inputs["shift"]), half)}


def _head_norm(ins: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    heads = real(inputs["x"]).reshape(ins.m, -1, ins.imm)
    mean = tree_sum(heads * heads, 2) / np.float32(ins.imm)
    root = np.sqrt(mean + real(inputs["eps"]))
    scaled = heads * real(inputs["gain"])
    return {"out": halved((scaled / root[:, :, None]).reshape(ins.m, ins.n), half)}


def _relu(_: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    return {"out": halved(np.maximum(_biased(inputs), np.float32(0)), half)}


def _bias(_: SimpleNamespace, inputs: Arrays, half: Half) -> Arrays:
    return {"out": halved(real(inputs["x"]) + real(inputs["bias"]), half)}


def _sigmoid(_: SimpleNamespace, inputs: Arrays, __: Half) -> Arrays:
    return {"out": np.float32(1) / (np.float32(1) + exponential(-add_planes(inputs["planes"])))}


def _group_limit(ins: SimpleNamespace, inputs: Arrays, _: Half) -> Arrays:
    corrected = real(inputs["x"]) + real(inputs["correction"])
    groups = corrected.reshape(ins.m, ins.imm, -1)
    best = np.sort(groups, axis=2)[:, :, -2:]
    order = np.argsort(-(best[:, :, 0] + best[:, :, 1]), axis=1, kind="stable")[:, : int(inputs["kept"][0])]
    kept = np.zeros((ins.m, ins.imm, 1), bool)
    np.put_along_axis(kept, order[:, :, None], True, axis=1)
    return {"out": np.where(kept, groups, np.float32(-np.inf)).reshape(ins.m, ins.n)}


def _pick(ins: SimpleNamespace, inputs: Arrays, _: Half) -> Arrays:
    weights = np.take_along_axis(real(inputs["x"]), inputs["chosen"].astype(np.int64), axis=1)
    if ins.modifiers & F_NORMALISE:
        weights = weights / tree_sum(weights, 1)[:, None]
    return {"out": weights * real(inputs["scale"])}


def _argmax(_: SimpleNamespace, inputs: Arrays, __: Half) -> Arrays:
    logits = add_planes(inputs["planes"])
    place = logits.argmax(axis=1)
    values = np.take_along_axis(logits, place[:, None], axis=1)[:, 0]
    indices = (place + inputs["first"].astype(np.int64)).astype(INT32)
    if "values" in inputs:
        return _best(np.stack([inputs["values"], values]), np.stack([inputs["indices"], indices]))
    return {"values": values, "indices": indices}


def _argmax_merge(_: SimpleNamespace, inputs: Arrays, __: Half) -> Arrays:
    return _best(inputs["values"], inputs["indices"])


def _best(values: NDArray[Any], indices: NDArray[Any]) -> Arrays:
    """Greatest value of each column, the lower index where values are equal; shapes (candidate, m)."""
    best_value, best_index = values[0].astype(FP32), indices[0].astype(INT32)
    for value, index in zip(values[1:].astype(FP32), indices[1:].astype(INT32), strict=True):
        better = (value > best_value) | ((value == best_value) & (index < best_index))
        best_value, best_index = np.where(better, value, best_value), np.where(better, index, best_index)
    return {"values": best_value, "indices": best_index}


_OPERATIONS: dict[int, Callable[[SimpleNamespace, Arrays, Half], Arrays]] = {
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
    V_MOMENTS: _moments,
    V_LAYER_NORM: _layer_norm,
    V_HEAD_NORM: _head_norm,
    V_RELU: _relu,
    V_BIAS: _bias,
    V_SIGMOID: _sigmoid,
    V_GROUP_LIMIT: _group_limit,
    V_PICK: _pick,
    V_QUANTISE: lambda ins, inputs, _: {"out": quantised(inputs["x"], inputs["step"], ins.imm)},
}

__all__ = ["add_planes", "evaluate", "exponential", "operands", "results"]
