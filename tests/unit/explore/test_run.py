"""An exploration of a few chips, from the file to the front and its files; the step is one layer of a small model."""

import json

import numpy as np
import pytest
from pyarrow import parquet

from nmpsim.errors import NmpsimError
from nmpsim.explore.bulk import chips
from nmpsim.explore.outcome import FRONT, PLOT, RESULT, TABLE, text_of, write_outcome
from nmpsim.explore.run import Confirmed, explore, gap
from nmpsim.explore.space import load_space
from nmpsim.spec import load_chip, with_overrides
from nmpsim.validate.models import roofline
from nmpsim.validate.operator import Chip, Operator
from nmpsim.workload import decode_step, load_model

STUDY = """
title = "a few chips"
model = "llama-3.1-8b"
chip = "snake"
context = 128
layers = 1
gap_chips = 1
front_chips = 2

[vary]
"clock.core_GHz" = [0.4, 0.8]
"core.array.rows" = [128, 130]
"core.vector.lanes" = [128, 256]
"""


@pytest.fixture
def study(tmp_path):
    def load(extra=""):
        path = tmp_path / "study.toml"
        path.write_text(STUDY + extra)
        return load_space(path)

    return load


def test_a_chip_is_predicted_operator_by_operator_and_refused_as_anywhere_else(study):
    space = study()
    found = chips({"space": space.tree, "by": "roofline", "first": 0, "number": 8})
    assert found["place"] == [0, 1, 4, 5]
    assert [sorted(places) for places in found["refused"].values()] == [[2, 3, 6, 7]]  # 130 rows are not 16 strips of 8
    chip = Chip.of(with_overrides(load_chip("snake"), {"clock.core_GHz": 0.4, "core.vector.lanes": 256}))
    graph = decode_step(load_model("llama-3.1-8b"), 1, 128, 1)
    cycles = sum(roofline.predict(Operator.of(one), chip) for one in graph)
    assert found["seconds"][1] == pytest.approx(cycles / 0.4e9)
    assert found["capacity_bytes"][0] == 16 * 16 * chip.params.dram.rows * 4096


def test_chips_may_be_asked_for_in_parts(study):
    settings = {"space": study().tree, "by": "roofline"}
    whole = chips({**settings, "first": 0, "number": 8})
    parts = [chips({**settings, "first": at, "number": 3}) for at in (0, 3, 6)]
    assert [seconds for part in parts for seconds in part["seconds"]] == whole["seconds"]


def test_a_step_that_does_not_fit_is_refused_with_what_is_missing(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'model = "llama-3.1-8b"\nchip = "snake"\nstacks = 1\n[vary]\n"dram.rows_per_bank" = [8192, 65536]\n'
    )
    space = load_space(path)
    found = chips({"space": space.tree, "by": "roofline", "first": 0, "number": 2})
    assert len(found["place"]) == 1
    assert list(found["refused"]) != []


def test_the_gap_is_that_of_the_chips_that_ran():
    runs = (Confirmed(0, 1.0, 0, ""), Confirmed(2, 2.0, 0, ""), Confirmed(1, float("nan"), 0, "no room"))
    found = gap(runs, np.array([1.1, 5.0, 1.6]))
    assert (found.number, found.refused) == (2, 1)
    assert (found.mean, found.bias) == (pytest.approx(0.15), pytest.approx(-0.05))
    assert found.largest == found.p95 == pytest.approx(0.2)
    assert gap(runs[2:], np.array([1.0, 1.0])) is None


def test_no_chip_within_the_limits_is_told_with_the_least_there_is(study, tmp_path):
    with pytest.raises(NmpsimError, match=r"none of 8 chips is left(?s:.*)area_mm2 beyond 1; the least is"):
        explore(study("[limits]\narea_mm2 = 1\n"), "roofline", tmp_path / "cache", workers=1)


@pytest.mark.slow
def test_a_front_is_confirmed_and_written(study, tmp_path):
    found = explore(study(), "roofline", tmp_path / "cache", workers=1)
    assert found.front_gap.number == len(found.confirmed)
    assert set(found.best.tolist()) <= set(found.predicted.tolist())
    write_outcome(found, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {RESULT, TABLE, FRONT, PLOT}
    result = json.loads((tmp_path / "out" / RESULT).read_text())
    assert result["chips"]["within_limits"] == 4
    table = parquet.read_table(tmp_path / "out" / TABLE)
    assert table.num_rows == 4
    assert "Random chips: 1 cycle runs" in text_of(found)
