import math

import pytest

from nmpsim.claims.claim import BOUNDED, NOT_REPRODUCED, REPRODUCED, UNTESTABLE
from nmpsim.claims.judge import geometric, judge, of_variants, worst
from nmpsim.claims.power import capped
from nmpsim.claims.workload import Step


@pytest.mark.parametrize(
    ("measured", "ceiling", "verdict"),
    [
        (2.91, 1.0, REPRODUCED),
        (2.62, 1.0, REPRODUCED),
        (3.2, 9.0, REPRODUCED),
        (2.61, 1.0, NOT_REPRODUCED),
        (2.61, 2.90, NOT_REPRODUCED),
        (2.61, 2.91, BOUNDED),
        (3.3, 1.0, BOUNDED),  # more than claimed: nothing excludes the claim
        (math.nan, math.nan, UNTESTABLE),
    ],
)
def test_a_ratio_is_judged_by_tolerance_and_ceiling(measured, ceiling, verdict):
    assert judge(2.91, measured, ceiling, 0.1) == verdict


def test_a_claim_is_as_good_as_its_weakest_figure_and_its_best_fitting_variant():
    assert worst([REPRODUCED, BOUNDED]) == BOUNDED
    assert worst([BOUNDED, UNTESTABLE, NOT_REPRODUCED]) == UNTESTABLE
    assert of_variants([NOT_REPRODUCED, REPRODUCED], []) == REPRODUCED
    assert of_variants([NOT_REPRODUCED], [REPRODUCED]) == BOUNDED  # a die that is too large proves nothing
    assert of_variants([NOT_REPRODUCED], [NOT_REPRODUCED]) == NOT_REPRODUCED
    assert of_variants([], []) == UNTESTABLE


def test_the_geometric_mean():
    assert geometric([2.0, 8.0]) == pytest.approx(4.0)
    assert math.isnan(geometric([]))


def step(seconds, logic, static_W):
    energy = {"dram_RD": 3.0, "dram_REF": 1.0, "mac": logic - static_W * seconds, "static": static_W * seconds}
    return Step(seconds, {}, energy, {}, 1.0, 1.0, static_W, 1.0, 1.0)


def test_a_step_above_the_limit_is_stretched_until_its_logic_draws_just_that():
    """80 J of logic in 1 s, 10 W of them static: 70 J of work take 2 s at 45 W, since 35 W are left for it."""
    slow = capped(step(1.0, 80.0, 10.0), 45.0)
    assert slow.seconds == pytest.approx(2.0)
    assert slow.logic_J / slow.seconds == pytest.approx(45.0)
    assert slow.energy["mac"] == 70.0
    assert slow.energy["dram_RD"] == 3.0
    assert slow.energy["dram_REF"] == pytest.approx(2.0)  # refresh goes on


def test_a_step_below_the_limit_stays_and_one_of_static_power_alone_never_ends():
    cool = step(1.0, 40.0, 10.0)
    assert capped(cool, 45.0) == cool
    assert capped(step(1.0, 80.0, 45.0), 45.0).seconds == math.inf
