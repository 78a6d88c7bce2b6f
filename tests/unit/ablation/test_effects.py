"""Contributions against figures by hand."""

import math

import pytest

from nmpsim.ablation.effects import contributions, rows
from nmpsim.ablation.trials import trials, workloads
from nmpsim.claims.workload import Step
from tests.unit.ablation.test_reading import STUDY, read

TEXT = STUDY.replace("batches = [1]", "batches = [1, 4]")

TIMES = {
    ("base", "base"): (8.0, 18.0),
    ("single", "buffer = 2 MiB"): (4.0, 18.0),
    ("single", "width = 64 B"): (16.0, None),
    ("single", "width = 256 B"): (None, None),
    ("ladder", "+ buffer = 2 MiB"): (4.0, 18.0),
    ("ladder", "+ width = 64 B"): (1.0, 9.0),
    ("grid", "width = 64 B"): (16.0, 36.0),
    ("grid", "width = 256 B"): (2.0, 4.5),
    ("grid", "buffer = 2 MiB"): (4.0, 9.0),
    ("grid", "buffer = 2 MiB, width = 64 B"): (4.0, 9.0),
    ("grid", "buffer = 2 MiB, width = 256 B"): (4.0, 9.0),
}


def step(seconds):
    """A step with as many joules as seconds squared."""
    if seconds is None:
        return "the step does not fit\n  - buffer: got 3; allowed: 2; less"
    bounds = {"compute": seconds / 4, "dram": seconds / 2}
    return Step(seconds, bounds, {"dram_act": seconds, "mac": seconds**2 - seconds}, {}, 30.0, 10.0, 1.0, seconds, 1.0)


@pytest.fixture(scope="module")
def ran():
    return [(trial, [step(one) for one in TIMES[trial.design, trial.label]]) for trial in trials(read(TEXT))]


@pytest.fixture(scope="module")
def found(ran):
    return {(one.design, one.factor, one.level): one for one in contributions(read(TEXT), ran)}


def test_a_change_alone_is_compared_with_the_base(found):
    one = found["single", "buffer", "2 MiB"]
    assert one.speed == pytest.approx(math.sqrt(2 * 1))
    assert one.energy == pytest.approx(2)
    assert one.logic == pytest.approx(1 / math.sqrt(2))
    assert (one.least, one.most, one.pairs, one.refused) == (1, 2, 2, 0)


def test_only_what_runs_on_both_sides_is_compared(found):
    one, none = found["single", "width", "64 B"], found["single", "width", "256 B"]
    assert (one.speed, one.pairs, one.refused) == (pytest.approx(0.5), 1, 1)
    assert (math.isnan(none.speed), none.pairs, none.refused) == (True, 0, 2)


def test_a_rung_is_compared_with_the_one_before_and_its_total_with_the_base(found):
    first, second = found["ladder", "buffer", "2 MiB"], found["ladder", "width", "64 B"]
    assert first.speed == first.total == pytest.approx(math.sqrt(2))
    assert second.speed == pytest.approx(math.sqrt(4 * 2))
    assert second.total_energy == pytest.approx(8 * 2)
    assert second.energy == pytest.approx(4 * 2)
    assert second.total == pytest.approx(math.sqrt(8 * 2)) == pytest.approx(first.speed * second.speed)


def test_in_a_grid_a_level_is_compared_with_all_else_equal(found):
    """Buffer: 2 at the base width, 4 at 64 B, 1/2 at 256 B, for each of both steps."""
    one = found["grid", "buffer", "2 MiB"]
    assert one.speed == pytest.approx((2 * 4 * 0.5) ** (1 / 3))
    assert (one.least, one.most, one.pairs) == (0.5, 4, 6)
    assert found["grid", "width", "64 B"].speed == pytest.approx(math.sqrt(0.5))


def test_a_row_says_what_a_step_takes_or_why_it_was_refused(ran):
    told = rows(ran, workloads(read(TEXT)))
    assert len(told) == 2 * len(TIMES)
    base, alone, refused = told[0], told[2], told[5]
    assert (base["ms"], base["mJ"], base["speed"], base["bound"], base["of_bound"]) == (8e3, 64e3, 1, "dram", 0.5)
    assert base["utilisation"] == pytest.approx(30 / 80)
    assert (alone["factor.buffer"], alone["speed"], alone["energy"], alone["logic"]) == ("2 MiB", 2, 4, 0.5)
    assert refused["refused"] == "the step does not fit buffer: got 3; allowed: 2; less"
    assert "ms" not in refused
