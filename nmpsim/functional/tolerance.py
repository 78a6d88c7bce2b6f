"""Is every executed instruction right?  Each result is recomputed in FP64 from the operands the machine itself read.

The bounds are derived, not fitted.  With u = 2^-24 (FP32, round to nearest):

* A sum of n terms in any order of FP32 additions differs from the exact sum by at most gamma_(n-1) times the sum of
  the absolute terms, gamma_n = n u / (1 - n u).  Products of two FP16 numbers are exact in FP32.
* One more FP32 operation multiplies by (1 + d), |d| <= u; exponentials are counted as two roundings.
* Storing x, known up to e, as FP16 adds at most half a unit in the last place: max(2^-11 (|x| + e), 2^-25); as BF16
  max(2^-8 (|x| + e), 2^-134), and a product of two BF16 numbers below 2^-126 is rounded like a sum.
* An exponent known up to e gives a relative error of at most exp(e) - 1; d/dx of x / (1 + exp(-x)) lies in (-0.1, 1.1).
* FP64 itself rounds 2^29 times finer; results below 2^-126 (FP32 subnormal) get that much slack.

Source
------
N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, sections 3.1 and 4.2 (gamma_n, sums in
any order); IEEE 754-2019 for the formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault
from nmpsim.functional.formats import LARGEST_FP8, LARGEST_INT8, numbers_of, real
from nmpsim.functional.interpreter import FunctionalResult
from nmpsim.functional.memory import BF16, FP16
from nmpsim.functional.operations import Arrays
from nmpsim.functional.product import own_k, plane_count
from nmpsim.functional.records import Execution
from nmpsim.program.beats import Tile
from nmpsim.program.isa import (
    B_FP8,
    F_ALL,
    F_NORMALISE,
    F_OUT_FP32,
    PASS,
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
    op_name,
)
from nmpsim.spec.params import CoreParams, MachineParams

U = 2.0**-24
"""Unit roundoff of FP32."""

ROUNDOFF: Mapping[np.dtype[Any], tuple[float, float]] = {FP16: (2.0**-11, 2.0**-25), BF16: (2.0**-8, 2.0**-134)}
"""FP16 and BF16: unit roundoff, and half the distance of subnormal numbers."""

SMALLEST = 2.0**-126
"""Smallest normal FP32 number."""

SWIGLU_SLOPE = 1.1
"""Bound of the derivative of x / (1 + exp(-x)); its maximum is 1.0998."""

Reals = NDArray[np.float64]
Bounded = tuple[Reals, Reals]
"""Exact value and bound of the machine's error."""


class Stored(NamedTuple):
    """Exact value and bound of the machine's error before the result is rounded to FP16 or BF16."""

    value: Reals
    error: Reals

    def rounded(self, half: np.dtype[Any]) -> Bounded:
        """Value and bound after the rounding."""
        relative, least = ROUNDOFF[half]
        return self.value, self.error + np.maximum(relative * (abs(self.value) + self.error), least)


@dataclass(frozen=True)
class OperatorCheck:
    """Outcome of `check_operators`.

    Parameters
    ----------
    counts : dict of int
        Executions checked, by name of the operation.
    worst : dict of float
        Largest error / bound, by name; at most 1 if all is well.
    faults : tuple of Fault
        Executions whose result is out of bounds.
    """

    counts: dict[str, int]
    worst: dict[str, float]
    faults: tuple[Fault, ...]


def check_operators(result: FunctionalResult, params: MachineParams) -> OperatorCheck:
    """Compare every recorded execution with an FP64 evaluation of the same operands.

    Parameters
    ----------
    result : FunctionalResult
        Of a run with ``record``.
    params : MachineParams
        The chip.

    Returns
    -------
    OperatorCheck
    """
    counts: dict[str, int] = {}
    worst: dict[str, float] = {}
    faults = []
    for execution in result.executions:
        name = op_name(execution.ins.op)
        ratio, where = deviation(execution, params.core)
        counts[name] = counts.get(name, 0) + 1
        worst[name] = max(worst.get(name, 0.0), ratio)
        if not ratio <= 1:
            place = f"PU {execution.pu}, instruction {execution.index} ({name}), {where}"
            faults.append(Fault(place, f"an error of {ratio:.3g} bounds", "at most 1", "correct the interpreter"))
    return OperatorCheck(counts, worst, tuple(faults))


def deviation(execution: Execution, core: CoreParams) -> tuple[float, str]:
    """Worst error of one execution, in bounds, and which result has it."""
    ins, inputs, outputs = execution.ins, execution.inputs, execution.outputs
    with np.errstate(over="ignore", under="ignore"):
        if ins.op == PASS:
            expected = {"out": _pass(ins, inputs, core)}
        elif ins.op in (V_ARGMAX, V_ARGMAX_MERGE):
            return _search(inputs, outputs), "values and indices"
        else:
            if ins.op == V_QUANTISE:
                outputs = {"out": _reals(numbers_of(outputs["out"], ins.imm)) * float(inputs["step"][0])}
            expected = _VECTOR[ins.op](ins, {name: _reals(values) for name, values in inputs.items()}, outputs)
    bounds = {n: b.rounded(outputs[n].dtype) if isinstance(b, Stored) else b for n, b in expected.items()}
    ratios = {name: _ratio(outputs[name], *bounded) for name, bounded in bounds.items()}
    name = max(ratios, key=lambda key: np.inf if np.isnan(ratios[key]) else ratios[key])
    return ratios[name], name


def gamma(n: int) -> float:
    """Bound of the relative error of n FP32 roundings in a row."""
    return n * U / (1 - n * U)


def summed(planes: Reals) -> Bounded:
    """Sum over the first axis in FP32."""
    return planes.sum(axis=0), gamma(len(planes) - 1) * abs(planes).sum(axis=0)


def _reals(values: NDArray[Any]) -> Reals:
    return (real(values) if values.dtype == BF16 else values).astype(np.float64)


def _ratio(found: NDArray[Any], value: Reals, bound: Reals) -> float:
    real = _reals(found)
    with np.errstate(invalid="ignore"):
        error = np.where(real == value, 0.0, abs(real - value))  # equal infinities too
    return float(np.max(error / (bound + SMALLEST), initial=0.0))


def _pass(ins: SimpleNamespace, inputs: Arrays, core: CoreParams) -> Bounded:
    a, b = _reals(inputs["a"]), _reals(inputs["b"])
    tile = Tile(ins.flow, ins.group, ins.split, ins.contiguous, ins.n, ins.k, 0, ((0, ins.n),))
    count = plane_count(tile, core)
    every = [own_k(tile, core, g) if count > 1 else np.arange(ins.k) for g in range(count)]
    value = np.stack([a[:, own] @ b[own] for own in every])
    bound = np.stack([gamma(max(len(own) - 1, 0)) * (abs(a[:, own]) @ abs(b[own])) for own in every])
    return value, bound + 2.0**-50 * ins.k * (abs(a) @ abs(b))  # the FP64 product rounds too


def _sum_squares(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    value = (i["x"] ** 2).sum(axis=1)
    return {"out": (value, gamma(i["x"].shape[1]) * value)}


def _norm(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    # planes - 1 additions, division by imm, eps, root, product, division
    mean = i["squares"].sum(axis=0) / ins.imm
    value = i["x"] * i["gain"] / np.sqrt(mean + i["eps"])[:, None]
    return {"out": Stored(value, gamma(len(i["squares"]) + 4) * abs(value))}


def _reduce(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    terms = i["planes"] if "planes" in i else np.stack([i["x"], i["y"]])
    for more in ("residual", "bias"):
        terms = np.concatenate([terms, np.broadcast_to(i[more], terms[:1].shape)]) if more in i else terms
    bounded = summed(terms)
    return {"out": bounded if ins.modifiers & F_OUT_FP32 else Stored(*bounded)}


def _rope(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    heads = i["x"].reshape(ins.m, ins.n // ins.imm, 2, ins.imm // 2)
    swapped = heads[:, :, ::-1] * np.array([-1.0, 1.0])[:, None]
    value = heads * i["cos"] + swapped * i["sin"]
    error = gamma(2) * (abs(heads * i["cos"]) + abs(swapped * i["sin"]))
    return {"out": Stored(value.reshape(ins.m, ins.n), error.reshape(ins.m, ins.n))}


def _softmax(_: SimpleNamespace, i: Arrays, outputs: Arrays) -> dict[str, Bounded | Stored]:
    scaled = i["x"] * i["scale"]
    top = scaled.max(axis=1, keepdims=True)
    value = np.exp(scaled - top)
    exponent = gamma(2) * (abs(scaled) + abs(top) + abs(scaled - top))
    error = value * (np.expm1(exponent) + gamma(2) * np.exp(exponent))
    rounded = _reals(outputs["out"])  # the sum is over the results as they are stored
    sums = rounded.sum(axis=1)
    return {
        "out": Stored(value, error),
        "maxima": (top[:, 0], gamma(1) * abs(top[:, 0])),
        "sums": (sums, gamma(rounded.shape[1]) * sums),
    }


def _attention_out(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    value, error = summed(i["planes"])
    if ins.modifiers & F_OUT_FP32:
        return {"out": (value, error)}
    divisor = i["sums"][:, None]  # a division, or a reciprocal and a product
    return {"out": Stored(value / divisor, (error + gamma(2) * (abs(value) + error)) / divisor)}


def _combine_parts(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    count = len(i["parts"])
    distance = i["maxima"] - i["maxima"].max(axis=0)
    weights = np.exp(distance)
    # a weight is off by the rounded distance and two roundings; then a product and count - 1 additions
    relative = np.expm1(gamma(1) * abs(distance)) + gamma(count + 2) * np.exp(gamma(1) * abs(distance))
    terms = weights[:, :, None] * i["parts"]
    value, error = terms.sum(axis=0), (relative[:, :, None] * abs(terms)).sum(axis=0)
    sums = (weights * i["sums"]).sum(axis=0)[:, None]
    off = (relative * weights * i["sums"]).sum(axis=0)[:, None]
    bound = (error + abs(value) * off / sums) / (sums - off)
    return {"out": Stored(value / sums, bound + gamma(1) * (abs(value / sums) + bound))}


def _swiglu(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    gate, gate_error = summed(i["gate"])
    up, up_error = summed(i["up"])
    silu = gate / (1 + np.exp(-gate))
    silu_error = SWIGLU_SLOPE * gate_error
    error = silu_error * (abs(up) + up_error) + abs(silu) * up_error
    # exponential 2, addition, product, division: with the sum of positive terms none grows
    rounding = gamma(6) * (abs(silu) + silu_error) * (abs(up) + up_error)
    return {"out": Stored(silu * up, error + rounding)}


def _copy(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    return {"out": (i["x"], np.zeros_like(i["x"]))}


def _axpy(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    product = i["weight"][:, None] * i["x"]
    before = i.get("before", np.zeros_like(product))
    return {"out": (product + before, gamma(2) * (abs(product) + abs(before)))}


def _route(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    value, error = summed(i["planes"])
    chosen = i["chosen"].astype(np.int64)
    if ins.modifiers & F_ALL:
        gates, bound = _softmax_of(value, error)
        return {"out": (np.take_along_axis(gates, chosen, 1), np.take_along_axis(bound, chosen, 1))}
    return {"out": _softmax_of(np.take_along_axis(value, chosen, 1), np.take_along_axis(error, chosen, 1))}


def _softmax_of(logits: Reals, off: Reals) -> Bounded:
    distance = logits - logits.max(axis=1, keepdims=True)
    exponent = 2 * off.max(axis=1, keepdims=True) + gamma(1) * (abs(distance) + 2 * off.max(axis=1, keepdims=True))
    weights = np.exp(distance)
    gates = weights / weights.sum(axis=1, keepdims=True)
    # the quotient of two quantities off by at most `relative` each, and one rounding
    relative = (np.expm1(exponent) + gamma(logits.shape[1] + 1) * np.exp(exponent)).max(axis=1, keepdims=True)
    return gates, gates * ((1 + relative) / (1 - relative) * (1 + U) - 1)


def _moments(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    x, n = i["x"], i["x"].shape[1]
    value = np.stack([x.sum(axis=1), (x**2).sum(axis=1)])
    return {"out": (value, gamma(n) * np.stack([abs(x).sum(axis=1), value[1]]))}


def _layer_norm(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    count = len(i["moments"])
    mean, square = i["moments"].sum(axis=0) / ins.imm
    size = abs(i["moments"]).sum(axis=0) / ins.imm
    mean_off, square_off = gamma(count) * size  # count - 1 additions and a division
    mean_squared_off = (2 * abs(mean) + mean_off) * mean_off + gamma(1) * (abs(mean) + mean_off) ** 2
    variance = np.maximum(square - mean**2, 0)
    off = square_off + mean_squared_off
    off = off + gamma(1) * (variance + off)
    under = variance + i["eps"]
    least = np.maximum((under - off) * (1 - U), i["eps"] * (1 - U))
    root = np.sqrt(under)
    # both roots are at least that of `least`; one rounding of the sum, one of the root
    root_off = (off + gamma(1) * (under + off)) / np.sqrt(least) + gamma(1) * np.sqrt(under + off) * 2
    apart = i["x"] - mean[:, None]
    apart_off = mean_off[:, None] + gamma(1) * (abs(apart) + mean_off[:, None])
    scaled = apart * i["gain"]
    scaled_off = apart_off * abs(i["gain"]) * (1 + U) + gamma(1) * abs(scaled)
    quotient = scaled / root[:, None]
    low = np.maximum(root - root_off, np.sqrt(least))[:, None]
    quotient_off = (scaled_off + abs(quotient) * root_off[:, None]) / low
    quotient_off = quotient_off + gamma(1) * (abs(quotient) + quotient_off)
    value = quotient + i["shift"]
    return {"out": Stored(value, quotient_off + gamma(1) * (abs(value) + quotient_off))}


def _head_norm(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    heads = i["x"].reshape(ins.m, -1, ins.imm)
    root = np.sqrt((heads**2).mean(axis=2, keepdims=True) + i["eps"])
    value = (heads * i["gain"] / root).reshape(ins.m, ins.n)
    return {"out": Stored(value, gamma(ins.imm + 5) * abs(value))}  # a sum of squares, then as norm


def _relu(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    terms = i["planes"]
    terms = np.concatenate([terms, np.broadcast_to(i["bias"], terms[:1].shape)]) if "bias" in i else terms
    value, error = summed(terms)
    return {"out": Stored(np.maximum(value, 0), error)}


def _bias(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    value: Reals = i["x"] + i["bias"]
    return {"out": Stored(value, gamma(1) * abs(value))}


def _sigmoid(_: SimpleNamespace, i: Arrays, __: Arrays) -> dict[str, Bounded | Stored]:
    value, error = summed(i["planes"])
    result = 1 / (1 + np.exp(-value))
    # the slope is at most 1/4, and at most the result; exponential 2, addition, division
    return {"out": (result, np.minimum(error / 4, result * np.expm1(error)) + gamma(4) * result)}


def _group_limit(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    # sums and order are those of FP32, which the definition names: nothing is left to the order of operations
    corrected = (i["x"].astype(np.float32) + i["correction"].astype(np.float32)).reshape(ins.m, ins.imm, -1)
    value = np.full(corrected.shape, -np.inf)
    for row in range(ins.m):
        ranks = [np.float32(sum(np.sort(group)[-2:], np.float32(0))) for group in corrected[row]]
        kept = sorted(range(ins.imm), key=lambda g: (-ranks[g], g))[: int(i["kept"][0])]
        value[row, kept] = corrected[row, kept]
    return {"out": (value.reshape(ins.m, ins.n), np.zeros((ins.m, ins.n)))}


def _pick(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    chosen = i["chosen"].astype(np.int64)
    weights = np.take_along_axis(i["x"], chosen, 1)
    roundings = 1
    if ins.modifiers & F_NORMALISE:
        weights, roundings = weights / weights.sum(axis=1, keepdims=True), chosen.shape[1] + 1
    value: Reals = weights * i["scale"]
    return {"out": (value, gamma(roundings + 1) * abs(value))}


def _quantise(ins: SimpleNamespace, i: Arrays, _: Arrays) -> dict[str, Bounded | Stored]:
    step = i["step"][0]
    largest = LARGEST_FP8 if ins.imm == B_FP8 else LARGEST_INT8 * step
    value = np.clip(i["x"], -largest, largest)
    # half the distance of neighbours: 2^-3 of the power of two below for FP8, subnormals 2^-9 apart
    half = np.maximum(2.0**-4 * abs(value), 2.0**-10) if ins.imm == B_FP8 else np.full(value.shape, step / 2)
    return {"out": (value, half)}


def _search(inputs: Arrays, outputs: Arrays) -> float:
    """Error of a search, in bounds; infinite if an index is not the place of a greatest value within the bounds."""
    found, where = _reals(outputs["values"]), outputs["indices"].astype(np.int64)
    value = np.zeros((0, len(found)))
    bound = value
    index = np.zeros((0, len(found)), np.int64)
    if "planes" in inputs:
        logits, error = summed(_reals(inputs["planes"]))
        value, bound = logits.T, error.T
        index = np.broadcast_to(np.arange(len(value))[:, None] + inputs["first"], value.shape)
    if "values" in inputs:
        earlier = np.atleast_2d(_reals(inputs["values"]))
        value, bound = np.concatenate([value, earlier]), np.concatenate([bound, np.zeros_like(earlier)])
        index = np.concatenate([index, np.atleast_2d(inputs["indices"]).astype(np.int64)])
    beaten = ((value - bound) > (found + SMALLEST)).any(axis=0)
    own = index == where
    ratio = np.where(own, abs(value - found) / (bound + SMALLEST), np.inf).min(axis=0)
    tied = ((value == found) & (bound == 0) & (index < where)).any(axis=0)
    return float(np.max(np.where(beaten | tied, np.inf, ratio), initial=0.0))


_VECTOR: dict[int, Callable[[SimpleNamespace, Arrays, Arrays], dict[str, Bounded | Stored]]] = {
    V_SUM_SQUARES: _sum_squares,
    V_NORM: _norm,
    V_REDUCE: _reduce,
    V_ADD: _reduce,
    V_ROPE: _rope,
    V_SOFTMAX: _softmax,
    V_ATTENTION_OUT: _attention_out,
    V_COMBINE_PARTS: _combine_parts,
    V_SWIGLU: _swiglu,
    V_COPY: _copy,
    V_AXPY: _axpy,
    V_ROUTE: _route,
    V_MOMENTS: _moments,
    V_LAYER_NORM: _layer_norm,
    V_HEAD_NORM: _head_norm,
    V_RELU: _relu,
    V_BIAS: _bias,
    V_SIGMOID: _sigmoid,
    V_GROUP_LIMIT: _group_limit,
    V_PICK: _pick,
    V_QUANTISE: _quantise,
}
