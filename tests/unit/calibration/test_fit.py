"""Fits on made-up operators of which the truth is known."""

import numpy as np
import pytest

from nmpsim.analytic.model.calibration import COEFFICIENTS, PRIOR
from nmpsim.analytic.model.residual import VARIABLES
from nmpsim.calibration.fit import Seen, cross_validated, errors_of, fit, interval, intervals_of, predicted, terms_of

TRUTH = (1.1, 1.0, 0.5, 2.0, 0.8, 0.1, 0.0)
NOTHING = np.zeros(len(VARIABLES))


def coefficients_of(seen):
    """Return the coefficients of every kind."""
    return terms_of(seen, 0).coefficients


def operators(number, noise=0.0, seed=0, runs=40, truth=TRUTH):
    """Return operators whose cycles follow coefficients, with relative noise."""
    draw = np.random.default_rng(seed)
    found = []
    for i in range(number):
        features = np.append(draw.exponential(1000, len(COEFFICIENTS) - 1), 1.0)
        cycles = float(np.dot(truth, features)) * float(np.exp(noise * draw.normal()))
        found.append(Seen(i % runs, "gemm" if i % 3 else "norm", features, NOTHING, cycles))
    return found


def test_coefficients_that_made_the_cycles_are_found():
    seen = operators(600)
    for theta in coefficients_of(seen).values():
        assert theta[:6] == pytest.approx(TRUTH[:6], abs=0.02)
    assert errors_of(seen, predicted(seen, terms_of(seen, 0)))["p95"] < 0.02


def test_a_unit_that_is_never_used_keeps_the_coefficient_of_the_closed_form():
    seen = [Seen(i, "x", np.array([100.0 * (i + 1), 0, 0, 0, 0, 0, 1.0]), NOTHING, 120.0 * (i + 1)) for i in range(50)]
    theta = coefficients_of(seen)["x"]
    assert theta[1:6] == pytest.approx(PRIOR[1:6])
    assert theta[0] == pytest.approx(1.2, abs=0.02)


def test_no_coefficient_is_negative():
    seen = [Seen(i, "x", np.array([0, 0, 0, 0, 50.0, 10.0 * i, 1.0]), NOTHING, max(1.0, 40.0 - i)) for i in range(40)]
    assert min(coefficients_of(seen)["x"]) >= 0


def test_one_operator_hardly_moves_the_closed_form_and_many_do():
    one = Seen(0, "x", np.array([1000.0, 0, 0, 0, 0, 0, 1.0]), NOTHING, 2000.0)
    few, many = coefficients_of([one])["x"][0], coefficients_of([one] * 200)["x"][0]
    assert few < many
    assert many == pytest.approx(2.0, abs=0.05)


def test_cross_validation_predicts_no_run_from_itself():
    seen = operators(300, noise=0.05)
    strange = [s if s.run else Seen(0, s.kind, s.features, s.variables, s.cycles * 50) for s in seen]
    apart = cross_validated(strange, 1)
    for one, found in zip(strange, apart, strict=True):
        if one.run == 0:
            assert found < one.cycles / 5  # fitted without its run, which is fifty times too long


def test_intervals_cover_what_they_say():
    fitted = fit(operators(1500, noise=0.1), seed=2)
    fresh = operators(1500, noise=0.1, seed=9)
    found = predicted(fresh, fitted.terms)
    inside = [
        fitted.intervals[s.kind][0] * p <= s.cycles <= fitted.intervals[s.kind][1] * p
        for s, p in zip(fresh, found, strict=True)
    ]
    assert 0.85 <= np.mean(inside) <= 0.95


def test_others_may_have_narrower_intervals_where_some_kinds_are_exact():
    noisy = operators(1500, noise=0.1)
    exact = [Seen(s.run, "exact", s.features, s.variables, s.cycles) for s in noisy]
    alone = np.exp(np.random.default_rng(3).normal(0, 0.1, len(noisy)))
    both = np.concatenate([alone, np.ones(len(exact))])
    wide, narrow = intervals_of(noisy, alone), intervals_of([*noisy, *exact], both)
    kind = noisy[0].kind
    assert narrow["exact"] == (1.0, 1.0)
    assert wide[kind][0] < narrow[kind][0] < 1 < narrow[kind][1] < wide[kind][1]
    held = [narrow[s.kind][0] <= q <= narrow[s.kind][1] for s, q in zip([*noisy, *exact], both, strict=True)]
    assert np.mean(held) >= 0.9


def test_an_interval_widens_for_few_values():
    assert interval(np.arange(10.0)) == (0.0, 9.0)


def test_errors_of_perfect_predictions_are_none():
    seen = operators(30)
    assert set(errors_of(seen, np.array([s.cycles for s in seen])).values()) == {0.0}


def test_a_factor_of_named_variables_is_found_and_helps_on_fresh_operators():
    def made(seed):
        draw = np.random.default_rng(seed)
        found = []
        for i in range(400):
            cycles = float(draw.exponential(1000)) + 100
            variables = draw.normal(size=len(VARIABLES))
            features = np.array([cycles, 0, 0, 0, 0, 0, 1.0])
            found.append(Seen(i % 40, "x", features, variables, cycles * float(np.exp(0.3 * variables[0]))))
        return found

    terms = terms_of(made(0), 0)
    assert terms.residuals["x"].weights[VARIABLES[0]] == pytest.approx(0.3, abs=0.02)
    fresh = made(1)
    without = errors_of(fresh, predicted(fresh, type(terms)(terms.coefficients, {})))
    assert errors_of(fresh, predicted(fresh, terms))["mean"] < 0.2 * without["mean"]


def test_noise_gets_no_factor_and_a_factor_stays_within_what_was_seen():
    draw = np.random.default_rng(3)
    noisy = [
        Seen(
            i % 40,
            "x",
            np.array([100.0, 0, 0, 0, 0, 0, 1.0]),
            draw.normal(size=len(VARIABLES)),
            100 + 20 * draw.random(),
        )
        for i in range(200)
    ]
    assert terms_of(noisy, 0).residuals == {}
    steep = [
        Seen(
            i % 40,
            "x",
            np.array([100.0, 0, 0, 0, 0, 0, 1.0]),
            np.full(len(VARIABLES), i / 100),
            100.0 * np.exp(i / 200),
        )
        for i in range(200)
    ]
    found = terms_of(steep, 0).residuals["x"]
    far = found.factor(tuple(np.full(len(VARIABLES), 50.0)))
    assert far == pytest.approx(np.exp(found.high))


def test_operators_that_take_no_cycle_are_told_apart():
    seen = operators(300)
    hidden = Seen(0, "x", np.array([50.0, 0, 0, 0, 0, 0, 1.0]), NOTHING, 0.0)
    cycles = np.array([s.cycles for s in seen])
    found = errors_of([*seen, hidden], np.append(cycles, 50.0))
    assert found["mean"] == 0
    assert found["hidden"] == pytest.approx(1 / 301)
    assert found["hidden_time"] == pytest.approx(50 / cycles.sum())
    assert found["step_mean"] > 0
    assert "x" not in terms_of([*seen, hidden], 0).coefficients
