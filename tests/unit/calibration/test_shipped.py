"""What the calibrations in the package hold; whether they are stale is told where they are used."""

import json

import pytest

from nmpsim.analytic.model.calibration import COEFFICIENTS, FORMAT, SHIPPED, shipped_for
from tests.builders import KINDS


@pytest.mark.parametrize("chip", KINDS)
def test_a_shipped_calibration_tells_its_errors_domain_and_origin(chip):
    tree = json.loads((SHIPPED / f"{chip}.json").read_text())
    assert tree["format"] == FORMAT
    assert tree["chip"] == chip
    assert all(len(theta) == len(COEFFICIENTS) and min(theta) >= 0 for theta in tree["coefficients"].values())
    assert all(low <= high for low, high in tree["intervals"].values())
    assert {"operators", "step"} <= set(tree["intervals"])
    held = tree["provenance"]["held_out"]
    assert held["step_mean"] <= 0.03  # the goal for whole steps
    assert 0.85 <= tree["provenance"]["held_out_covered"] <= 0.95
    assert {"engine", "engine_text", "seed", "chip_sha256", "held_out_uncalibrated"} <= set(tree["provenance"])


def test_a_chip_without_one_of_its_own_gets_that_of_its_kind():
    assert shipped_for("snake-fit", "systolic") == SHIPPED / "snake.json"
    assert shipped_for("other", "mac_tree") == SHIPPED / "stratum.json"
