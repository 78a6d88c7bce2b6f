"""``nmpsim validate``: what it prints and writes, and what it refuses, all at once with exit code 2."""

import json

import pytest

from nmpsim.validate.predict import COLUMNS
from tests.architecture.sources import ROOT
from tests.unit.cli.bench import call

MODEL = "def predict(operator, chip):\n    return 1.0 + operator.macs / chip.macs_per_cycle\n"
EXAMPLE = f"{ROOT / 'docs' / 'examples' / 'my_model.py'}:predict"


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    return f"{path}:predict"


def test_models_are_judged_side_by_side(tmp_path):
    result = call("validate", EXAMPLE, "--model", "roofline", "--worst", "1", "--out", tmp_path / "new" / "out")
    assert result.exit_code == 0, result.stderr
    assert "Whole steps" in result.stdout
    assert "roofline, by bottleneck" in result.stdout
    assert result.stdout.count("of the step;") == 2
    told = json.loads((tmp_path / "new" / "out" / "result.json").read_text())
    assert {one["model"] for one in told["models"]} == {EXAMPLE, "roofline"}


def test_a_template_is_written_and_can_be_judged(tmp_path):
    path = tmp_path / "mine.csv"
    assert call("validate", "--template", path).exit_code == 0
    head, *lines = path.read_text().splitlines()
    assert head.startswith(",".join(COLUMNS))
    refused = call("validate", path)
    assert refused.exit_code == 2
    assert "no number of cycles" in refused.stderr
    assert "Traceback" not in refused.stderr
    path.write_text("\n".join([head, *(line.replace(",,", ",100,", 1) for line in lines)]))
    assert call("validate", path).exit_code == 0


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ((), ["MODEL: got none"]),
        (("roofine",), ["did you mean roofline"]),
        (("missing.py:predict", "--model", "missing.csv"), ["no such file", "No such file"]),
        (("roofline", "--suite", "standart"), ["--suite: got 'standart'"]),
        (("roofline", "--worst", "-1", "--workers", "none", "--out", ""), ["--worst", "--workers", "--out"]),
        (("roofline", "--template", "/no/such/folder/x.csv"), ["--template"]),
    ],
)
def test_wrong_words_are_refused_all_at_once(words, faults):
    result = call("validate", *words)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    for fault in faults:
        assert fault in result.stderr


def test_a_file_as_folder_is_refused(mine, tmp_path):
    (tmp_path / "out").write_text("")
    assert call("validate", EXAMPLE, "--out", tmp_path / "out").exit_code == 2


def test_a_suite_whose_steps_are_all_refused_says_why(mine, tmp_path):
    suite = tmp_path / "suite.toml"
    suite.write_text('[[grid]]\nmodel = "llama-3.1-8b"\nchip = "snake"\nbatch = 1000\ncontext = 100000\n')
    result = call("validate", EXAMPLE, "--suite", suite, "--cache", tmp_path / "cache", "--workers", "1")
    assert result.exit_code == 2
    assert "no step of suite" in result.stderr
