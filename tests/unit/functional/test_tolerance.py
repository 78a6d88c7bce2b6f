"""The check of single executions: right results pass, results off by little more than the bound do not."""

from types import SimpleNamespace

import numpy as np
import pytest

from nmpsim.functional import Execution
from nmpsim.functional.memory import BF16, FP16
from nmpsim.functional.operations import evaluate
from nmpsim.functional.product import multiply
from nmpsim.functional.tolerance import Stored, U, deviation, gamma
from nmpsim.program.beats import Tile
from nmpsim.program.isa import (
    CHAIN,
    F_ALL,
    F_NORMALISE,
    F_OUT_FP32,
    N_CONTIGUOUS,
    OS,
    PASS,
    SPLIT_K,
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
from tests.unit.functional.bench import chip, halves, singles

CORE = chip().core


def cases(seed):
    """One execution of each vector operation with random operands."""
    r = np.random.default_rng(seed)
    positive = abs(singles(r, 3, 2)) + 1
    yield V_SUM_SQUARES, 0, 0, {"x": halves(r, 2, 30)}
    eps = np.array([1e-5], np.float32)
    yield V_NORM, 30, 0, {"x": halves(r, 2, 30), "gain": halves(r, 30), "squares": positive, "eps": eps}
    yield V_REDUCE, 0, 0, {"planes": singles(r, 3, 2, 8), "residual": halves(r, 2, 8)}
    yield V_REDUCE, 0, F_OUT_FP32, {"planes": singles(r, 5, 2, 8)}
    yield V_ADD, 0, F_OUT_FP32, {"x": singles(r, 2, 8), "y": singles(r, 2, 8), "residual": halves(r, 2, 8)}
    angle = r.uniform(0, 6, 2)
    table = {"cos": np.cos(angle).astype(np.float32), "sin": np.sin(angle).astype(np.float32)}
    yield V_ROPE, 4, 0, {"x": halves(r, 2, 8), **table}
    yield V_SOFTMAX, 0, 0, {"x": 4 * singles(r, 2, 30), "scale": np.array([0.3], np.float32)}
    yield V_ATTENTION_OUT, 0, 0, {"planes": singles(r, 3, 2, 8), "sums": positive[0]}
    parts = {"parts": singles(r, 3, 2, 8), "maxima": singles(r, 3, 2), "sums": positive}
    yield V_COMBINE_PARTS, 0, 0, parts
    yield V_SWIGLU, 0, 0, {"gate": 3 * singles(r, 2, 2, 8), "up": singles(r, 2, 2, 8)}
    yield V_COPY, 0, 0, {"x": halves(r, 2, 8)}
    yield V_AXPY, 0, 0, {"x": halves(r, 2, 8), "weight": singles(r, 2), "before": singles(r, 2, 8)}
    chosen = np.array([[4, 1], [0, 2]])
    yield V_ROUTE, 2, 0, {"planes": singles(r, 3, 2, 5), "chosen": chosen}
    yield V_ROUTE, 2, F_ALL, {"planes": singles(r, 3, 2, 5), "chosen": chosen}
    yield V_REDUCE, 0, 0, {"planes": singles(r, 3, 2, 8), "bias": halves(r, 8)}
    yield V_MOMENTS, 0, 0, {"x": halves(r, 2, 30)}
    x = halves(r, 2, 30)
    moments = np.stack([[y.sum(1), (y**2).sum(1)] for y in (x[:, :10].astype(float), x[:, 10:].astype(float))])
    vectors = {"gain": halves(r, 30), "shift": halves(r, 30), "moments": moments.astype(np.float32), "eps": eps}
    yield V_LAYER_NORM, 30, 0, {"x": x, **vectors}
    yield V_HEAD_NORM, 10, 0, {"x": halves(r, 2, 30), "gain": halves(r, 10), "eps": eps}
    yield V_RELU, 0, 0, {"planes": 1 + abs(singles(r, 3, 2, 8)), "bias": halves(r, 8)}
    yield V_BIAS, 0, 0, {"x": halves(r, 2, 8), "bias": halves(r, 8)}
    yield V_SIGMOID, 0, 0, {"planes": singles(r, 3, 2, 8)}
    scores, scale = 1 / (1 + np.exp(-singles(r, 2, 8))), np.array([2.5], np.float32)
    yield (
        V_GROUP_LIMIT,
        4,
        0,
        {"x": scores, "correction": singles(r, 8), "kept": np.array([4])},
    )
    for flag in (0, F_NORMALISE):
        yield V_PICK, 2, flag, {"x": scores, "ranked": scores, "chosen": chosen, "scale": scale}


def execute(op, imm, modifiers, inputs):
    m, n = next(iter(inputs.values())).shape[-2:] if op != V_ROUTE else (2, 5)
    ins = SimpleNamespace(op=op, imm=imm, modifiers=modifiers, m=m, n=n)
    return Execution(0, 0, ins, inputs, evaluate(ins, inputs))


@pytest.mark.parametrize("seed", range(20))
def test_every_operation_stays_within_its_bound(seed):
    for case in cases(seed):
        ratio, where = deviation(execute(*case), CORE)
        assert ratio <= 1, (op_name(case[0]), where)


@pytest.mark.parametrize("index", range(len(list(cases(0)))))
def test_a_result_off_by_two_units_in_the_last_place_or_a_larger_bound_is_found(index):
    """FP16 results moved by two units, FP32 ones by 100 u of the sum of absolute terms."""
    op, imm, modifiers, inputs = list(cases(0))[index]
    execution = execute(op, imm, modifiers, inputs)
    out = execution.outputs["out"]
    if out.dtype == np.float16:
        for _ in range(2):
            out[...] = np.nextafter(out, np.float16(np.inf))
    else:
        out += np.float32(100 * U * (8 + float(abs(out).max())))
    assert deviation(execution, CORE)[0] > 1


@pytest.mark.parametrize("name", ["maxima", "sums"])
def test_statistics_of_a_softmax_are_checked(name):
    execution = execute(*next(c for c in cases(0) if c[0] == V_SOFTMAX))
    execution.outputs[name][1] *= np.float32(1 + 1e-5)
    assert deviation(execution, CORE) == (pytest.approx(deviation(execution, CORE)[0]), name)
    assert deviation(execution, CORE)[0] > 1


@pytest.mark.parametrize("split", [CHAIN, SPLIT_K])
def test_a_pass_is_checked_plane_by_plane(split):
    rng = np.random.default_rng(0)
    a, b = halves(rng, 3, 40), halves(rng, 40, 9)
    tile = Tile(OS, 2, split, N_CONTIGUOUS, 9, 40, 0, ((0, 9),))
    fields = {"flow": OS, "group": 2, "split": split, "contiguous": N_CONTIGUOUS, "m": 3, "n": 9, "k": 40}
    out = multiply(a, b, tile, CORE)
    execution = Execution(0, 0, SimpleNamespace(op=PASS, **fields), {"a": a, "b": b}, {"out": out})
    assert deviation(execution, CORE)[0] <= 1
    out[-1, 2, 8] += 40 * U * 40
    assert deviation(execution, CORE)[0] > 1
    if split == SPLIT_K:
        out[-1, 2, 8] -= 40 * U * 40
        out[0] += 1
        out[1] -= 1
        assert deviation(execution, CORE)[0] > 1


def search(op, outputs, **inputs):
    execution = Execution(0, 0, SimpleNamespace(op=op), inputs, outputs)
    return deviation(execution, CORE)[0]


def found(value, index):
    return {"values": np.array([value], np.float32), "indices": np.array([index], np.int32)}


def test_a_search_must_name_a_greatest_value_and_its_place():
    logits = {"planes": np.array([[[1, 5, 2, 5]]], np.float32), "first": np.array([10])}
    assert search(V_ARGMAX, found(5, 11), **logits) == 0
    assert search(V_ARGMAX, found(5, 13), **logits) == np.inf  # a tie goes to the lower index
    assert search(V_ARGMAX, found(5, 12), **logits) == np.inf
    assert search(V_ARGMAX, found(2, 12), **logits) == np.inf
    assert search(V_ARGMAX, found(5.5, 11), **logits) > 1
    assert search(V_ARGMAX, found(5, 11), **logits, **found(7, 3)) == np.inf
    assert search(V_ARGMAX, found(7, 3), **logits, **found(7, 3)) == 0


def test_a_search_over_planes_allows_for_their_sum():
    tiny = 2.0**-24
    planes = np.array([[[1, 1 + 2 * tiny]], [[2 * tiny, 0]]], np.float32)
    logits = {"planes": planes, "first": np.array([0])}
    assert search(V_ARGMAX, found(1 + 2 * tiny, 0), **logits) <= 1
    assert search(V_ARGMAX, found(1 + 2 * tiny, 1), **logits) <= 1


def test_a_merge_is_exact():
    pairs = {"values": np.array([[1], [3], [3]], np.float32), "indices": np.array([[0], [9], [4]], np.int32)}
    assert search(V_ARGMAX_MERGE, found(3, 4), **pairs) == 0
    assert search(V_ARGMAX_MERGE, found(3, 9), **pairs) == np.inf
    assert search(V_ARGMAX_MERGE, found(1, 0), **pairs) == np.inf


def test_the_bound_of_a_sum_grows_with_its_terms():
    assert gamma(0) == 0
    assert gamma(1) == pytest.approx(U)
    assert gamma(100) > 100 * U


def test_storing_adds_half_a_unit_in_the_last_place():
    value, bound = Stored(np.array([1.0, 1e-9]), np.zeros(2)).rounded(FP16)
    assert value.tolist() == [1.0, 1e-9]
    assert bound.tolist() == [2.0**-11, 2.0**-25]
    value, bound = Stored(np.array([1.0, 1e-40]), np.zeros(2)).rounded(BF16)
    assert bound.tolist() == [2.0**-8, 2.0**-134]
