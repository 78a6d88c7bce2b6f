"""Calibrations as files: stale ones and wrong ones are refused, and what lies outside is named."""

import json
import pickle
from itertools import islice

import numpy as np
import pytest

import nmpsim
from nmpsim.analytic.model.calibration import COEFFICIENTS, FORMAT, PRIOR, Calibration, load_calibration
from nmpsim.analytic.model.domain import variables_of
from nmpsim.analytic.model.residual import PLACES, VARIABLES, Residual, about
from nmpsim.analytic.model.sources import APART, engine_hash, engine_text_hash, source_files
from nmpsim.analytic.model.step import predict
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.calibration.run import domain_of
from nmpsim.calibration.sample import BATCH, CONTEXT, CORNERS, MODELS, SYSTOLIC, points
from nmpsim.errors import SpecError
from nmpsim.measure.estimate import Late
from nmpsim.prediction import estimate_plan
from nmpsim.schedule.step import plan_step
from tests.builders import small_chip, small_model

HASHES = {"engine": engine_hash(), "engine_text": engine_text_hash(), "held_out": {"step_mean": 0.0, "time_mean": 0.0}}


def calibration(**more):
    """Return a calibration that doubles the array and knows a small domain."""
    doubled = (1.0, 2.0, 1.0, 1.0, 1.0, 0.0, 3.0)
    fields = {
        "chip": "test",
        "coefficients": {"qkv over N": doubled},
        "residuals": {"rope": Residual(0.5, {"PUs": 0.25, "rows": -1.0}, -0.7, 0.7)},
        "intervals": {"operators": (0.9, 1.2), "step": (0.95, 1.1)},
        "domain": {"batch": [1, 4], "context": [16, 64], "topology": ["ring"]},
        "provenance": HASHES,
    }
    return Calibration(**{**fields, **more})


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(calibration().text())
    assert load_calibration(path) == calibration()


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"format": FORMAT}), json.dumps({"format": "other"})])
def test_what_is_no_calibration_is_refused_in_four_parts(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_calibration(path)
    (fault,) = caught.value.faults
    assert fault.where == str(path)
    assert fault.got
    assert fault.allowed
    assert "nmpsim calibrate" in fault.todo


def test_a_stale_calibration_is_refused(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(calibration(provenance={"engine": "0" * 64, "engine_text": "0" * 64}).text())
    with pytest.raises(SpecError, match="stale") as caught:
        nmpsim.estimate(small_model(), small_chip("snake", 2), context=32, calibration=path)
    assert "--calibration none" in caught.value.faults[0].todo


def test_documentation_does_not_make_it_stale(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(calibration(provenance={**HASHES, "engine_text": "0" * 64}).text())
    assert load_calibration(path).chip == "test"


def test_coefficients_are_applied_by_kind_and_unknown_kinds_stay():
    time = Time(stream=10.0, array=100.0, hidden=50.0)
    assert calibration().cycles("qkv over N", time, ()) == 10 + 200 + 3
    assert calibration().cycles("norm", time, ()) == time.cycles
    assert len(PRIOR) == len(COEFFICIENTS)


def test_a_factor_takes_variables_by_name_and_stays_in_its_range():
    variables = [0.0] * len(VARIABLES)
    variables[PLACES["PUs"]], variables[PLACES["rows"]] = 4.0, 1.0
    time = Time(vector=100.0)
    assert calibration().cycles("rope", time, tuple(variables)) == pytest.approx(100 * np.exp(0.5))
    variables[PLACES["rows"]] = -9.0
    assert calibration().cycles("rope", time, tuple(variables)) == pytest.approx(100 * np.exp(0.7))


def test_the_variables_of_an_operator_have_names_and_are_finite():
    plan = plan_step(small_model(), small_chip("snake", 2), batch=3, context=32)
    schedule = plan.schedule()
    for one in predict(schedule, plan.params):
        found = about(plan.params, schedule.graph, one.operator, schedule.attention, one.time)
        assert len(found) == len(VARIABLES)
        assert np.isfinite([float(v) for v in found]).all()
        assert found[PLACES["PUs"]] == 1
        assert found[PLACES["rows"]] == pytest.approx(np.log2(one.operator.m or 3))


def test_a_factor_of_unknown_variables_is_refused(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(calibration(residuals={"rope": Residual(0.0, {"weather": 1.0}, 0.0, 0.0)}).text())
    with pytest.raises(SpecError, match="weather"):
        load_calibration(path)


def test_an_estimate_outside_the_domain_says_by_which_variable():
    inside = calibration(domain={})
    plan = plan_step(small_model(), small_chip("snake", 2), batch=5, context=32)
    found = estimate_plan(plan, calibration=calibration())
    named = {o.variable: (o.value, o.allowed) for o in found.outside}
    assert named["batch"] == ("5", "1 to 4")
    assert "context" not in named
    assert "topology" not in named
    assert "vector lanes" in named  # the sample had no value of it
    assert len(estimate_plan(plan, calibration=inside).outside) == len(named) + 2
    assert estimate_plan(plan, calibration=None).outside == ()


def test_teams_and_experts_ahead_lie_outside_a_domain_of_plain_schedules():
    plan = plan_step("olmoe-1b-7b", "snake", batch=4, context=256, layers=1, policy="searched")
    plain = plan_step("olmoe-1b-7b", "snake", batch=4, context=256, layers=1)
    told = variables_of(plain.schedule(), plain.params)
    domain = {name: [value] if isinstance(value, str) else [value, value] for name, value in told.items()}
    found = estimate_plan(plan, calibration=calibration(domain=domain))
    assert {o.variable: o.allowed for o in found.outside} == {
        "GEMMs on teams": "0 to 0",
        "experts": "one after another",
    }
    assert estimate_plan(plain, calibration=calibration(domain=domain)).outside == ()


def test_intervals_hold_the_prediction_and_the_operators_add_up():
    plan = plan_step(small_model(), small_chip("snake", 2), batch=3, context=32)
    found = estimate_plan(plan, calibration=calibration())
    assert found.low == pytest.approx(found.cycles * 0.95)
    assert found.high == pytest.approx(found.cycles * 1.1)
    assert sum(o.cycles for o in found.operators) == pytest.approx(found.cycles)
    assert all(o.low <= o.cycles <= o.high for o in found.operators)


def test_the_domain_is_the_range_of_the_sample():
    found = domain_of([{"batch": 2, "topology": "ring"}, {"batch": 7, "topology": "mesh"}])
    assert found["topology"] == ["mesh", "ring"]
    assert found["batch"] == [2, 7]


def test_the_sample_is_repeatable_and_fills_its_ranges():
    some = list(islice(points("snake", "systolic", 8), 200))
    assert some == list(islice(points("snake", "systolic", 8), 200))
    assert some != list(islice(points("snake", "systolic", 9), 200))
    settings = [point.settings for point in some]
    assert {s["model"] for s in settings} == {name for name, _ in MODELS}
    assert {s["overrides"]["core.vector.lanes"] for s in settings} == set(SYSTOLIC["core.vector.lanes"])
    assert min(s["batch"] for s in settings) == 1
    assert {(s["batch"], s["context"]) for s in settings} >= set(CORNERS)
    assert (min(s["batch"] for s in settings), max(s["batch"] for s in settings)) == BATCH
    assert (min(s["context"] for s in settings), max(s["context"] for s in settings)) == CONTEXT


def test_sources_that_count_are_the_cycle_modes_and_the_closed_forms():
    names = [str(file) for file in source_files()]
    assert any(name.endswith("core/array.py") for name in names)
    assert any(name.endswith("analytic/model/timing/units.py") for name in names)
    assert not any(part in name for name in names for part in APART)


def test_what_is_worked_out_late_is_a_table_like_any_other():
    made = []
    late = Late(lambda: made.append(1) or {"DRAM": 2.0})
    assert not made
    assert late == {"DRAM": 2.0}
    assert (late["DRAM"], len(late), list(late), repr(late)) == (2.0, 1, ["DRAM"], "{'DRAM': 2.0}")
    assert pickle.loads(pickle.dumps(late)) == {"DRAM": 2.0}  # noqa: S301 - of our own making
    assert made == [1]
