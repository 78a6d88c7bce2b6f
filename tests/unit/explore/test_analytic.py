"""The analytical mode in bulk: chips of different clocks and units are put into groups and come back in their order."""

import numpy as np
import pytest

from nmpsim.explore.analytic import Analytic, sources_hash
from nmpsim.explore.models import model_hash, step_model
from nmpsim.schedule.step import plan_step
from nmpsim.spec import load_chip, with_overrides
from nmpsim.validate.operator import Chip

CHIPS = (
    ("snake", {}),
    ("stratum", {}),
    ("snake", {"clock.core_GHz": 0.4}),
    ("snake", {"core.array.rows": 64, "core.array.granularity": 4}),
    ("snake", {"noc.flit_bytes": 32}),
)


def test_many_chips_are_each_what_they_are_alone():
    chips = [Chip.of(with_overrides(load_chip(name), changes)) for name, changes in CHIPS]
    plan = plan_step("llama-3.1-8b", "snake", batch=16, context=512, layers=2)
    model = Analytic("none")
    together = model(plan, chips)
    alone = np.array([model(plan, [chip])[0] for chip in chips])
    assert together == pytest.approx(alone, rel=1e-12)
    assert len(set(together.tolist())) == len(CHIPS)


def test_a_prediction_hangs_on_closed_forms_and_calibrations():
    assert model_hash("analytic") == sources_hash() != model_hash("roofline")


def test_the_analytical_mode_is_known_by_name():
    assert isinstance(step_model("closed_forms"), Analytic)
