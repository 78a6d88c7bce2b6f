import shutil

import pytest

from nmpsim.errors import SpecError
from nmpsim.study import Point, grid
from nmpsim.study.fingerprint import ROOT, key_of, matters, source_hash
from nmpsim.study.tasks import PRODUCT, STEP, product, step

TASK = "tests.unit.study.trial:square"


def test_points_of_equal_settings_are_equal_whatever_their_order():
    assert Point.of(TASK, {"a": 1, "b": [2]}) == Point.of(TASK, {"b": [2], "a": 1})
    assert Point.of(TASK, {"a": 1}) != Point.of(TASK, {"a": 2})
    assert Point.of(TASK, {"a": {"b": None}}).settings == {"a": {"b": None}}


def test_a_grid_has_every_combination_once():
    found = grid(TASK, {"a": 0}, {"b": (1, 2), "c": ("x", "y", "x")})
    assert [(p.settings["b"], p.settings["c"]) for p in found] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


@pytest.mark.parametrize("task", ["", "module", "module:", "a b:c", "module:function()"])
def test_a_task_is_a_module_and_a_function(task):
    with pytest.raises(SpecError, match="module:function"):
        Point.of(task, {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_settings_are_what_json_knows(value):
    with pytest.raises(SpecError, match="written down"):
        Point.of(TASK, {"a": value})


def test_a_task_that_is_not_there_is_named():
    with pytest.raises(SpecError, match="no_such"):
        _ = Point.of("nmpsim.study.tasks:no_such", {}).function


def test_the_key_follows_task_settings_and_input_files(tmp_path):
    chip = tmp_path / "chip.toml"
    shutil.copy(ROOT / "spec" / "chips" / "snake.toml", chip)
    keys = {
        key_of(Point.of(TASK, {"number": 1})),
        key_of(Point.of(TASK, {"number": 2})),
        key_of(Point.of("tests.unit.study.trial:other", {"number": 1})),
        key_of(Point.of(STEP, {"model": "llama-3.1-8b", "chip": "snake"})),
        key_of(Point.of(STEP, {"model": "llama-3.1-8b", "chip": str(chip)})),
        key_of(Point.of(STEP, {"model": "llama-3.1-8b", "chip": "no such chip"})),
    }
    assert len(keys) == 6
    assert key_of(Point.of(TASK, {"number": 1})) in keys


def test_the_sources_that_matter_are_those_that_can_change_a_figure(tmp_path):
    assert matters(ROOT / "core" / "array.py")
    assert matters(ROOT / "cost" / "coefficients.toml")
    assert matters(ROOT / "study" / "tasks.py")
    for name in ("cli/show.py", "claims/verdict.py", "study/runner.py", "report/text.py"):
        assert not matters(ROOT / name)
    copy = tmp_path / "package"
    for name in ("core/a.py", "cli/b.py"):
        (copy / name).parent.mkdir(parents=True)
        (copy / name).write_text("x = 1\n")
    first = source_hash(copy)
    (copy / "cli" / "b.py").write_text("x = 2\n")
    assert source_hash(copy) == first
    (copy / "core" / "a.py").write_text("x = 2\n")
    assert source_hash(copy) != first


def test_wrong_settings_are_all_told_at_once():
    with pytest.raises(SpecError) as caught:
        step({"chip": "snake", "bacth": 1})
    assert "bacth" in str(caught.value)
    assert "setting model" in str(caught.value)
    with pytest.raises(SpecError, match="setting k"):
        product({"chip": "snake", "m": 1, "n": 1, "flow": 0, "group": 1, "split": 0, "contiguous": 0})


def test_a_step_gives_what_simulate_gives():
    import nmpsim

    found = Point.of(STEP, {"model": "llama-3.1-8b", "chip": "stratum", "batch": 1, "context": 64, "layers": 1})
    run = nmpsim.simulate("llama-3.1-8b", "stratum", batch=1, context=64, layers=1)
    figures = found.function(found.settings)
    assert figures["cycles"] == run.cycles
    assert figures["energy_J"] == run.energy_J
    assert sum(operator["cycles"] for operator in figures["operators"]) == run.cycles


def test_modes_take_shapes_and_dataflows_away():
    settings = {"model": "llama-3.1-8b", "chip": "snake", "batch": 1, "context": 64, "layers": 1}
    free, fixed = (
        step({**settings, **more}) for more in ({}, {"modes": ["OS/16"], "attention_modes": ["IS/16", "OS/16"]})
    )
    plans = {operator["plan"] for operator in fixed["operators"] if operator["kind"] == "gate_up"}
    assert len(plans) == 1
    assert "OS" in plans.pop()
    assert fixed["cycles"] > free["cycles"]
    with pytest.raises(SpecError, match="no such mode"):
        step({**settings, "modes": ["OS/3"]})
    with pytest.raises(SpecError, match="MAC trees"):
        step({**settings, "chip": "stratum", "modes": ["OS"]})


def test_a_product_gives_what_measure_gives():
    from nmpsim.program.schedule import PassPlan
    from nmpsim.spec import load_chip, resolve
    from nmpsim.sweep import Product, measure
    from nmpsim.sweep.mapping import IS, K_CONTIGUOUS, SPLIT_N

    one = measure(resolve(load_chip("snake")), PassPlan(IS, 1, SPLIT_N, K_CONTIGUOUS), Product("x", 2, 256, 256))
    found = Point.of(PRODUCT, {"chip": "snake", "m": 2, "n": 256, "k": 256, "flow": IS, "group": 1, "split": SPLIT_N,
                               "contiguous": K_CONTIGUOUS})  # fmt: skip
    assert found.function(found.settings)["cycles"] == one.cycles
