"""Errors, weights, what is set aside, and the worst cases."""

import numpy as np
import pytest

from nmpsim.validate.predict import Prediction
from nmpsim.validate.score import (
    bottleneck,
    errors_of,
    ranks,
    reason,
    rows_of,
    score,
    spearman,
    weighted,
    weighted_quantile,
)
from tests.unit.validate.bench import gemm, operator, reference


def test_errors_are_weighed_by_count_and_by_time():
    found = errors_of(np.array([110.0, 500.0]), np.array([100.0, 1000.0]), np.array([0.1, 0.9]))
    assert (found.mean, found.bias) == (pytest.approx(0.3), pytest.approx(-0.2))
    assert (found.time_mean, found.time_bias) == (pytest.approx(0.46), pytest.approx(-0.44))
    assert (found.median, found.p95, found.largest) == (pytest.approx(0.1), 0.5, 0.5)
    assert found.time_median == 0.5
    assert found.rank is None


def test_a_quantile_is_a_value_that_reaches_the_weight():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0])
    assert [weighted_quantile(values, weights, part) for part in (0, 0.5, 0.51, 0.75, 0.76, 1)] == [1, 1, 2, 2, 3, 3]


def test_equal_values_share_their_mean_rank():
    assert ranks(np.array([5.0, 1.0, 5.0, 7.0])).tolist() == [2.5, 1, 2.5, 4]
    assert spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 4, 9, 16])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert spearman(np.array([1.0, 1, 1]), np.array([3.0, 2, 1])) is None


def test_the_shortest_operators_of_two_per_cent_are_set_aside():
    step = [(gemm(1, 1, n), cycles, 1.0) for n, cycles in ((1, 970), (2, 11), (3, 10), (4, 9), (5, 0))]
    table = weighted(reference(step))
    assert table.counted.tolist() == [True, True, False, False, False]  # 0 + 9 + 10 are 1.9 %, with 11 it would be 3 %


def test_an_operator_weighs_as_often_as_the_model_has_it():
    table = weighted(reference([(gemm(1, 1, 1), 100, 32.0), (gemm(1, 1, 2), 800, 1.0)], [(gemm(1, 1, 3), 7, 1.0)]))
    assert table.share.tolist() == [pytest.approx(0.4), pytest.approx(0.1), pytest.approx(0.5)]


def test_a_perfect_model_has_no_error():
    step = [(gemm(1, n, 1), 100 * n, 1.0) for n in range(1, 6)]
    found = score(Prediction("p", tuple(100.0 * n for n in range(1, 6)), ""), reference(step))
    assert found.overall.largest == found.steps.largest == 0
    assert found.overall.rank == pytest.approx(1)


def test_the_worst_case_is_the_one_that_moves_its_step_the_most():
    step = [(gemm(1, 1, 1, name="long"), 1000, 1.0), (operator("brief", "softmax"), 100, 1.0)]
    found = score(Prediction("p", (500.0, 900.0), ""), reference(step))
    assert [(one.row.operator.name, one.error) for one in found.worst] == [("brief", 8.0), ("long", -0.5)]
    assert found.worst[1].moved == pytest.approx(500 / 1100)
    assert set(found.groups["class"]) == {"gemm", "vector"}
    assert found.steps.mean == pytest.approx(1400 / 1100 - 1)


def test_a_reason_tells_bound_states_and_overlap():
    (row,) = reference([(gemm(1, 1, 1), 100, 1.0)]).rows
    assert "below the dram bound of 60 cycles" in reason(row, 50)
    assert "working 75%, waiting for operands from DRAM 25%" in reason(row, 50)
    late = type(row)(row.case, row.operator, 1.0, 100, 0, 300, row.bounds, {})
    assert "ran for 300 cycles, but 200 of them beside operators before it" in reason(late, 250)


def test_less_than_half_of_the_cycles_in_a_bound_is_latency():
    (row,) = reference([(gemm(1, 1, 1), 100, 1.0)]).rows
    assert bottleneck(row) == "dram"
    assert bottleneck(type(row)(row.case, row.operator, 1.0, 100, 0, 100, {"dram": 49.0, "noc": 2.0}, {})) == "latency"


def test_every_operator_has_its_line():
    told = reference([(gemm(1, 1, 1), 100, 1.0), (operator("hidden", "rope"), 0, 1.0)])
    lines = rows_of(Prediction("p", (50.0, 5.0), ""), told)
    assert [(line["error"], line["counted"]) for line in lines] == [(-0.5, True), (None, False)]
