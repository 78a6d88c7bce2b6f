"""Every vector operation, by hand-made numbers and against FP64 within the derived bound."""

import numpy as np
import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.functional import check_operators, pairs
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
from tests.unit.functional.bench import Writer, chip, halves, singles

OUT = 12288


class Bench:
    """One vector operation on operands at fixed addresses."""

    def __init__(self):
        self.writer = Writer(chip())
        self.rng = np.random.default_rng(3)
        self.address = 0
        self.loaded = None

    def put(self, values, at=None):
        address = self.address if at is None else at
        self.loaded = self.writer.put(0, address, values)
        if at is None:
            self.address += -(-values.nbytes // 16) * 16
        return address

    def do(self, op, rows, columns, fp32, **fields):
        ld = columns * (4 if fp32 else 2)
        self.writer.vector(0, op, [self.loaded], **({"out": OUT, "out_ld": ld} | fields))
        self.writer.result("out", 0, fields.get("out", OUT), rows, columns, fp32)
        result = self.writer.run()
        check = check_operators(result, self.writer.params)
        assert not check.faults, check.faults
        assert check.counts == {op_name(op): 1}
        self.result = result
        return result.results["out"].astype(float)


@pytest.fixture
def bench():
    return Bench()


def test_sum_squares_adds_the_squares_of_a_row(bench):
    x = halves(bench.rng, 3, 37)
    out = bench.do(V_SUM_SQUARES, 1, 3, True, m=3, n=37, a=bench.put(x), a_ld=74)
    assert out == pytest.approx((x.astype(float) ** 2).sum(1)[None], rel=1e-6)


def test_norm_divides_by_the_root_of_the_mean_over_all_columns(bench):
    """Two PUs with 20 of 40 columns each: imm is 40, the sums of squares are two planes."""
    x, gain = halves(bench.rng, 2, 40), halves(bench.rng, 40)
    squares = np.stack([(x[:, s].astype(np.float32) ** 2).sum(1) for s in (slice(20), slice(20, 40))])
    fields = {"m": 2, "n": 20, "imm": 40, "planes": 2, "plane_ld": 8, "a_ld": 80}
    a, b, c = bench.put(x), bench.put(gain[:20]), bench.put(squares)
    out = bench.do(V_NORM, 2, 20, False, a=a, b=b, c=c, table=bench.writer.bits(1e-5), **fields)
    values = x.astype(float)
    expected = values * gain.astype(float) / np.sqrt((values**2).mean(1, keepdims=True) + 1e-5)
    assert out == pytest.approx(expected[:, :20], rel=6e-4)


def test_norm_adds_eps_under_the_root(bench):
    fields = {"m": 1, "n": 2, "imm": 1, "planes": 1, "a_ld": 4, "table": bench.writer.bits(9.0)}
    a, b = bench.put(np.array([3, 6], np.float16)), bench.put(np.ones(2, np.float16))
    out = bench.do(V_NORM, 1, 2, False, a=a, b=b, c=bench.put(np.zeros(1, np.float32)), **fields)
    assert out.tolist() == [[1, 2]]


@pytest.mark.parametrize("modifiers", [0, F_OUT_FP32, F_RESIDUAL, F_RESIDUAL | F_OUT_FP32])
def test_reduce_adds_planes_and_the_residual(bench, modifiers):
    planes, residual = singles(bench.rng, 3, 2, 10), halves(bench.rng, 2, 10)
    a, c = bench.put(planes), bench.put(residual)
    fields = {"m": 2, "n": 10, "planes": 3, "plane_ld": 80, "a_ld": 40, "c_ld": 20, "modifiers": modifiers}
    out = bench.do(V_REDUCE, 2, 10, bool(modifiers & F_OUT_FP32), a=a, c=c, **fields)
    expected = planes.astype(float).sum(0) + (residual.astype(float) if modifiers & F_RESIDUAL else 0)
    assert out == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_reduce_takes_rows_at_their_distance(bench):
    planes = singles(bench.rng, 4, 12)
    fields = {"m": 2, "n": 5, "planes": 2, "plane_ld": 96, "a_ld": 48, "modifiers": F_OUT_FP32, "out_ld": 20}
    out = bench.do(V_REDUCE, 2, 5, True, a=bench.put(planes), **fields)
    assert (out == (planes[:2, :5] + planes[2:, :5])).all()


@pytest.mark.parametrize("modifiers", [0, F_OUT_FP32, F_RESIDUAL | F_OUT_FP32, F_RESIDUAL])
def test_add_adds_two_matrices_and_the_residual(bench, modifiers):
    x, y, residual = singles(bench.rng, 2, 10), singles(bench.rng, 2, 12), halves(bench.rng, 2, 10)
    a, b, c = bench.put(x), bench.put(y), bench.put(residual)
    fields = {"m": 2, "n": 10, "a_ld": 40, "b_ld": 48, "c_ld": 20, "modifiers": modifiers}
    out = bench.do(V_ADD, 2, 10, bool(modifiers & F_OUT_FP32), a=a, b=b, c=c, **fields)
    expected = x.astype(float) + y[:, :10] + (residual.astype(float) if modifiers & F_RESIDUAL else 0)
    assert out == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_rope_turns_the_halves_of_each_head(bench):
    x = np.array([[1, 2, 3, 4, 5, 6, 7, 8]], np.float16)
    table = np.array([0, 1, 1, 0], np.float32)  # quarter turn of the first pair, none of the second
    a, b = bench.put(x), bench.put(table)
    out = bench.do(V_ROPE, 1, 8, False, a=a, a_ld=16, b=b, m=1, n=8, imm=4)
    assert out.tolist() == [[-3, 2, 1, 4, -7, 6, 5, 8]]


def test_rope_keeps_the_length_of_a_pair(bench):
    x, angle = halves(bench.rng, 3, 24), bench.rng.uniform(0, 6, 4)
    a, b = bench.put(x), bench.put(np.concatenate([np.cos(angle), np.sin(angle)]).astype(np.float32))
    out = bench.do(V_ROPE, 3, 24, False, a=a, a_ld=48, b=b, m=3, n=24, imm=8)
    length = (x.astype(float).reshape(3, 3, 2, 4) ** 2).sum(2)
    assert (out.reshape(3, 3, 2, 4) ** 2).sum(2) == pytest.approx(length, rel=2e-3)


def test_softmax_leaves_results_maximum_and_sum(bench):
    x = singles(bench.rng, 3, 19)
    a = bench.put(x)
    bench.writer.result("statistics", 0, 8192, 2, 3, True)
    fields = {"m": 3, "n": 19, "a_ld": 76, "c": 8192, "table": bench.writer.bits(0.25)}
    out = bench.do(V_SOFTMAX, 3, 19, False, a=a, **fields)
    maxima, sums = bench.result.results["statistics"]
    assert maxima == pytest.approx(0.25 * x.max(1), rel=1e-6)
    assert sums == pytest.approx(out.sum(1), rel=1e-6)
    exact = np.exp(0.25 * (x.astype(float) - x.max(1, keepdims=True)))
    assert out == pytest.approx(exact, rel=1e-3)
    assert (out.max(1) == 1).all()


@pytest.mark.parametrize("modifiers", [0, F_OUT_FP32])
def test_attention_out_divides_by_the_sum(bench, modifiers):
    planes, statistics = singles(bench.rng, 2, 2, 6), np.array([[9, 9], [2, 4]], np.float32)
    a, c = bench.put(planes), bench.put(statistics)
    fields = {"m": 2, "n": 6, "planes": 2, "plane_ld": 48, "a_ld": 24, "modifiers": modifiers}
    out = bench.do(V_ATTENTION_OUT, 2, 6, bool(modifiers), a=a, c=c, **fields)
    divisor = 1 if modifiers else np.array([[2], [4]])
    assert out == pytest.approx(planes.astype(float).sum(0) / divisor, rel=1e-3, abs=1e-3)


def test_parts_of_a_softmax_combine_to_the_whole(bench):
    scores, values = bench.rng.standard_normal((2, 30)) * 3, bench.rng.standard_normal((30, 6))
    whole = np.exp(scores - scores.max(1, keepdims=True))
    expected = whole @ values / whole.sum(1, keepdims=True)
    cuts = [slice(0, 11), slice(11, 12), slice(12, 30)]
    maxima = np.stack([scores[:, c].max(1) for c in cuts])
    weights = [np.exp(scores[:, c] - scores[:, c].max(1, keepdims=True)) for c in cuts]
    parts = np.stack([w @ values[c] for w, c in zip(weights, cuts, strict=True)])
    statistics = np.stack([maxima, np.stack([w.sum(1) for w in weights])], axis=1)
    a, c = bench.put(parts.astype(np.float32)), bench.put(statistics.astype(np.float32))
    fields = {"m": 2, "n": 6, "planes": 3, "plane_ld": 48, "a_ld": 24, "imm": 16}
    out = bench.do(V_COMBINE_PARTS, 2, 6, False, a=a, c=c, **fields)
    assert out == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_swiglu_gates(bench):
    gate, up = singles(bench.rng, 2, 2, 9), singles(bench.rng, 2, 2, 9)
    a, b = bench.put(gate), bench.put(up)
    fields = {"m": 2, "n": 9, "planes": 2, "plane_ld": 72, "a_ld": 36, "b_ld": 36}
    out = bench.do(V_SWIGLU, 2, 9, False, a=a, b=b, **fields)
    g, u = gate.astype(float).sum(0), up.astype(float).sum(0)
    assert out == pytest.approx(g * u / (1 + np.exp(-g)), rel=1e-3, abs=1e-3)


def test_swiglu_survives_a_large_negative_gate(bench):
    gate, up = np.array([[-1000, 1000, 0]], np.float32), np.array([[5, 3, 7]], np.float32)
    a, b = bench.put(gate), bench.put(up)
    out = bench.do(V_SWIGLU, 1, 3, False, a=a, b=b, m=1, n=3, planes=1, a_ld=12, b_ld=12)
    assert out.tolist() == [[0, 3000, 0]]


@pytest.mark.parametrize("modifiers", [0, F_A_FP32])
def test_copy_moves_the_bits(bench, modifiers):
    x = singles(bench.rng, 2, 6) if modifiers else halves(bench.rng, 2, 6)
    out = bench.do(V_COPY, 2, 6, bool(modifiers), a=bench.put(x), a_ld=6 * x.itemsize, m=2, n=6, modifiers=modifiers)
    assert (out == x).all()


@pytest.mark.parametrize("modifiers", [0, F_ACCUMULATE, F_A_FP32, F_A_FP32 | F_ACCUMULATE])
def test_axpy_weighs_rows_and_accumulates(bench, modifiers):
    x = singles(bench.rng, 2, 6) if modifiers & F_A_FP32 else halves(bench.rng, 2, 6)
    weight, before = singles(bench.rng, 2, 4), singles(bench.rng, 2, 6)
    a, b = bench.put(x), bench.put(weight)
    bench.put(before, at=OUT)
    fields = {"m": 2, "n": 6, "a_ld": 6 * x.itemsize, "b_ld": 16, "modifiers": modifiers}
    out = bench.do(V_AXPY, 2, 6, True, a=a, b=b, **fields)
    expected = weight[:, :1].astype(float) * x + (before if modifiers & F_ACCUMULATE else 0)
    assert out == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_route_is_a_softmax_over_the_chosen_experts(bench):
    logits = singles(bench.rng, 2, 2, 5)
    table = bench.writer.table(4, 0, 2, 3)
    fields = {"m": 2, "n": 5, "planes": 2, "plane_ld": 40, "a_ld": 20, "imm": 2, "table": table}
    out = bench.do(V_ROUTE, 2, 2, True, a=bench.put(logits), **fields)
    chosen = np.take_along_axis(logits.astype(float).sum(0), np.array([[4, 0], [2, 3]]), 1)
    assert out == pytest.approx(np.exp(chosen) / np.exp(chosen).sum(1, keepdims=True), rel=1e-5)


def test_argmax_finds_value_and_index(bench):
    logits = np.array([[1, 5, 2, 5], [-3, -4, -2, -9]], np.float32)
    fields = {"m": 2, "n": 4, "planes": 1, "a_ld": 16, "imm": 100, "modifiers": F_FIRST}
    bench.do(V_ARGMAX, 2, 2, True, a=bench.put(logits), **fields)
    values, indices = pairs(bench.result.results["out"])
    assert (values.tolist(), indices.tolist()) == ([5, -2], [101, 102])


@pytest.mark.parametrize(
    ("earlier", "winner"), [((6, 3), (6, 3)), ((5, 3), (5, 3)), ((5, 200), (5, 101)), ((4, 3), (5, 101))]
)
def test_an_earlier_pair_competes_and_the_lower_index_wins_ties(bench, earlier, winner):
    before = np.array([(*earlier,)], np.dtype([("value", "<f4"), ("index", "<i4")]))
    a = bench.put(np.array([[1, 5, 2, 5]], np.float32))
    bench.put(before, at=OUT)
    bench.do(V_ARGMAX, 1, 2, True, a=a, m=1, n=4, planes=1, a_ld=16, imm=100)
    values, indices = pairs(bench.result.results["out"])
    assert (values[0], indices[0]) == winner


def test_argmax_merge_takes_the_best_of_all(bench):
    pair = np.dtype([("value", "<f4"), ("index", "<i4")])
    found = np.array([[(1, 7), (2, 9)], [(3, 8), (2, 1)], [(3, 5), (0, 0)]], pair)
    bench.do(V_ARGMAX_MERGE, 2, 2, True, a=bench.put(found), m=2, planes=3, plane_ld=16)
    values, indices = pairs(bench.result.results["out"])
    assert (values.tolist(), indices.tolist()) == ([3, 2], [5, 1])


def test_reduce_adds_a_bias_to_every_row(bench):
    planes, bias = singles(bench.rng, 2, 3, 6), halves(bench.rng, 6)
    a, b = bench.put(planes), bench.put(bias)
    out = bench.do(V_REDUCE, 3, 6, False, a=a, a_ld=24, b=b, m=3, n=6, planes=2, plane_ld=72, modifiers=F_BIAS)
    assert out == pytest.approx(planes.sum(0) + bias.astype(float), rel=1e-3, abs=1e-3)


def test_moments_are_sums_and_sums_of_squares(bench):
    out = bench.do(V_MOMENTS, 1, 4, True, m=2, n=3, a=bench.put(np.array([[1, 2, 3], [4, 0, -6]], np.float16)), a_ld=6)
    assert out.tolist() == [[6, -2, 14, 52]]


def test_layer_norm_takes_mean_and_variance_over_all_columns(bench):
    """Two PUs with 20 of 40 columns each; the statistics of each are one plane of sums, then sums of squares."""
    x, gain, shift = halves(bench.rng, 2, 40), halves(bench.rng, 20), halves(bench.rng, 20)
    parts = [x[:, s].astype(np.float32) for s in (slice(20), slice(20, 40))]
    moments = np.stack([np.stack([part.sum(1), (part**2).sum(1)]) for part in parts])
    fields = {"m": 2, "n": 20, "imm": 40, "planes": 2, "plane_ld": 16, "a_ld": 80, "b_ld": 40}
    a, b, c = bench.put(x), bench.put(np.concatenate([gain, shift])), bench.put(moments)
    out = bench.do(V_LAYER_NORM, 2, 20, False, a=a, b=b, c=c, table=bench.writer.bits(1e-5), **fields)
    values = x.astype(float)
    apart = values - values.mean(1, keepdims=True)
    expected = (apart / np.sqrt((apart**2).mean(1, keepdims=True) + 1e-5))[:, :20] * gain.astype(float) + shift
    assert out == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_head_norm_takes_every_head_by_itself(bench):
    x = np.array([[3, 4, 0, 2], [1, 1, 6, 8]], np.float16)
    a, b = bench.put(x), bench.put(np.array([1, 2], np.float16))
    fields = {"m": 2, "n": 4, "imm": 2, "a_ld": 8, "table": bench.writer.bits(1e-9)}
    out = bench.do(V_HEAD_NORM, 2, 4, False, a=a, b=b, **fields)
    root = np.sqrt(2)
    expected = [[3 / 5 * root, 8 / 5 * root, 0, 2 * root], [1, 2, 6 / 10 * root, 16 / 10 * root]]
    assert out == pytest.approx(np.array(expected), rel=1e-3)


@pytest.mark.parametrize("modifiers", [0, F_BIAS])
def test_relu_keeps_what_is_positive_behind_the_bias(bench, modifiers):
    a, b = bench.put(np.array([[[1, -2, 0.5, 3]]], np.float32)), bench.put(np.array([-2, 3, 0, 1], np.float16))
    out = bench.do(V_RELU, 1, 4, False, a=a, a_ld=16, b=b, m=1, n=4, planes=1, modifiers=modifiers)
    assert out.tolist() == ([[0, 1, 0.5, 4]] if modifiers else [[1, 0, 0.5, 3]])


def test_bias_adds_one_row_to_all(bench):
    a, b = bench.put(np.array([[1, 2], [3, 4]], np.float16)), bench.put(np.array([10, 20], np.float16))
    assert bench.do(V_BIAS, 2, 2, False, a=a, a_ld=4, b=b, m=2, n=2).tolist() == [[11, 22], [13, 24]]


def test_sigmoid_of_the_sum_of_planes(bench):
    a = bench.put(np.array([[[0, 1, -3]], [[0, 1, -97]]], np.float32))
    out = bench.do(V_SIGMOID, 1, 3, True, a=a, a_ld=12, m=1, n=3, planes=2, plane_ld=12)
    assert out == pytest.approx(np.array([[0.5, 1 / (1 + np.exp(-2)), np.exp(-100)]]), rel=1e-6)


def test_group_limit_keeps_the_groups_with_the_best_two_scores(bench):
    """Groups of 3: sums of the best two 1.5, 1.4 and, with the correction of 1, 1.5; the lower one wins the tie."""
    scores = np.array([[0.75, 0.75, 0.0, 0.9, 0.5, 0.4, 0.5, 0.0, 0.0]], np.float32)
    correction = np.zeros(9, np.float32)
    correction[6] = 1
    fields = {"m": 1, "n": 9, "imm": 3, "a_ld": 36}
    a, b = bench.put(scores), bench.put(correction)
    out = bench.do(V_GROUP_LIMIT, 1, 9, True, a=a, b=b, table=bench.writer.table(1), **fields)
    assert out[0, :3] == pytest.approx(scores[0, :3])
    assert (out[0, 3:] == -np.inf).all()


def test_group_limit_adds_the_correction_to_what_it_keeps(bench):
    a, b = bench.put(np.array([[1, 2, 3, 4]], np.float32)), bench.put(np.array([10, 0, 0, 0.5], np.float32))
    fields = {"m": 1, "n": 4, "imm": 2, "a_ld": 16, "table": bench.writer.table(2)}
    assert bench.do(V_GROUP_LIMIT, 1, 4, True, a=a, b=b, **fields).tolist() == [[11, 2, 3, 4.5]]


@pytest.mark.parametrize(("modifiers", "expected"), [(0, [[2.0, 1.0]]), (F_NORMALISE, [[8 / 3, 4 / 3]])])
def test_pick_scales_the_scores_of_the_chosen(bench, modifiers, expected):
    scores = np.array([[0.1, 0.25, 0.9, 0.5]], np.float32)
    a, c = bench.put(scores), bench.put(scores)
    table = bench.writer.table(3, 1, int(np.float32(4).view(np.int32)))
    fields = {"m": 1, "n": 4, "imm": 2, "a_ld": 16, "c_ld": 16, "table": table, "modifiers": modifiers}
    assert bench.do(V_PICK, 1, 2, True, a=a, c=c, **fields) == pytest.approx(np.array(expected), rel=1e-6)


def test_route_over_all_experts_does_not_normalise_the_chosen(bench):
    a = bench.put(np.log(np.array([[1, 2, 5]])).astype(np.float32))
    fields = {"m": 1, "n": 3, "imm": 2, "a_ld": 12, "planes": 1, "table": bench.writer.table(2, 0), "modifiers": F_ALL}
    assert bench.do(V_ROUTE, 1, 2, True, a=a, **fields) == pytest.approx(np.array([[5 / 8, 1 / 8]]), rel=1e-6)


@pytest.mark.parametrize(
    ("op", "fields", "words"),
    [
        (V_ROPE, {"m": 1, "n": 6, "imm": 4}, "heads of 4 in 6 columns"),
        (V_ROUTE, {"m": 1, "n": 2, "imm": 2, "table": 7}, "table 7..9"),
        (V_HEAD_NORM, {"m": 1, "n": 6, "imm": 4}, "heads of 4 in 6 columns"),
        (V_GROUP_LIMIT, {"m": 1, "n": 6, "imm": 4, "table": 0}, "0 of 4 groups of 6 experts"),
        (V_GROUP_LIMIT, {"m": 1, "n": 2, "imm": 2, "table": 1}, "2 of 2 groups of 2 experts"),
        (V_PICK, {"m": 1, "n": 2, "imm": 1, "table": 1}, "experts 2..2"),
        (V_ROUTE, {"m": 1, "n": 2, "imm": 2, "table": 0}, "experts 0..2"),
        (V_SOFTMAX, {"m": 1, "n": 2}, "table -1..0"),
        (V_REDUCE, {"m": 1, "n": 2, "planes": 9, "plane_ld": 4096}, "buffer"),
        (
            V_REDUCE,
            {"m": 1, "n": 2, "planes": 1, "a": 1024},
            r"operand planes with unwritten bytes, first at \(0, 0, 0\)",
        ),
        (V_SUM_SQUARES, {"m": 1, "n": 65, "a": 0}, "operand x with unwritten bytes"),
    ],
)
def test_an_operation_that_cannot_be_done_is_refused(bench, op, fields, words):
    bench.put(np.ones(64, np.float16))
    bench.writer.table(0, 2)
    with pytest.raises(IllegalScheduleError, match=words) as error:
        bench.do(op, 1, 1, True, **fields)
    assert "PU 0, instruction" in str(error.value)


def test_a_result_that_is_no_number_is_refused(bench):
    a = bench.put(np.array([[np.inf, 1]], np.float32))
    with pytest.raises(IllegalScheduleError, match="result out is not a number"):
        bench.do(V_SOFTMAX, 1, 2, False, a=a, a_ld=8, m=1, n=2, c=8192, table=bench.writer.bits(1))
