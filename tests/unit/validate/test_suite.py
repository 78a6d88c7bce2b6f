"""Suites: grids of steps in TOML, and what can be wrong with them."""

import pytest

from nmpsim.errors import NmpsimError
from nmpsim.validate.suite import label, load_suite


@pytest.fixture
def suite(tmp_path):
    def load(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load_suite(str(path))

    return load


def test_lists_are_axes_and_are_multiplied(suite):
    found = suite(
        '[[grid]]\nmodel = "llama-3.1-8b"\nchip = ["snake", "stratum"]\nbatch = [1, 2]\nlayers = 1\n'
        'overrides = { "clock.core_GHz" = [0.4, 0.8], "noc.flit_bytes" = 64 }\n'
    )
    assert len(found.points) == 8
    assert found.points[1].settings["overrides"] == {"clock.core_GHz": 0.8, "noc.flit_bytes": 64}


def test_a_step_of_two_grids_stands_once(suite):
    grid = '[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\n'
    assert len(suite(grid + grid).points) == 1


def test_the_name_of_a_step_says_what_is_set():
    settings = {"model": "m", "chip": "c", "batch": 2, "context": 3, "layers": 1, "overrides": {"noc.vcs": 4}}
    assert label(settings) == "m c noc.vcs=4 batch=2 context=3 layers=1"


def test_the_standard_suite_has_every_shipped_model_and_chip():
    from nmpsim.spec.load import chip_names
    from nmpsim.workload.catalog import model_names

    points = [point.settings for point in load_suite("standard").points]
    assert {one["model"] for one in points} == set(model_names())
    assert {one["chip"] for one in points} == set(chip_names())
    assert len({label(one) for one in points}) == len(points)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one"),
        ("grid = 3", "at least one"),
        ('titel = "x"\n[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"', "a key of no suite"),
        ('[[grid]]\nmodel = "llama-3.1-8b"', "grid 1: chip: got nothing"),
        ('[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\nbatches = 1', "grid 1: batches"),
        ('[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\nbatch = "two"', "an integer"),
        ('[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\nbatch = [1, true]', "got True"),
        ('[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\nbatch = []', "an empty list"),
        ('[[grid]]\nmodel = 3\nchip = "snake"', "text, or a list of texts"),
        ('[[grid]]\nmodel = "llama"\nchip = "snek"', "(?s)llama.*snek"),
        ('[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\noverrides = 3', "a table by dotted path"),
        ('[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\noverrides = { "core.cols" = 1 }', "that no chip has"),
        ("[[grid]", "cannot read the suite"),
    ],
)
def test_a_wrong_suite_is_refused(suite, text, message):
    with pytest.raises(NmpsimError, match=message):
        suite(text)


@pytest.mark.parametrize("name", ["standart", "missing.toml", "", "../suites/standard"])
def test_a_suite_that_is_not_there_is_refused(name):
    with pytest.raises(NmpsimError, match="suite"):
        load_suite(name)


def test_too_many_steps_are_refused(suite):
    numbers = ", ".join(map(str, range(400)))
    grid = f'[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\nbatch = [{numbers}]\ncontext = [{numbers}]\n'
    with pytest.raises(NmpsimError, match="at most 100000"):
        suite(grid)
