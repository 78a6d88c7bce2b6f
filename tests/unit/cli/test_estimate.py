"""``nmpsim estimate`` and ``nmpsim calibrate``."""

import json

import pytest

from tests.unit.cli.bench import call


def test_an_estimate_is_printed_and_written(tmp_path):
    out = tmp_path / "e.json"
    words = "--model llama-3.1-8b --chip snake --batch 2 --layers 2 --calibration none --out"
    result = call("estimate", *words.split(), out)
    assert result.exit_code == 0, result.output
    assert "without calibration" in result.stdout
    tree = json.loads(out.read_text())
    assert tree["cycles"] == pytest.approx(sum(o["cycles"] for o in tree["operators"]))
    assert tree["counts"]["RD"] == sum(o["RD"] for o in tree["operators"])
    assert tree["cycles_low"] == tree["cycles"] == tree["cycles_high"]
    assert tree["outside"] == []
    assert not tree["calibrated"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("estimate --model llama-3.1-8b --chip snake --batch 0", "--batch"),
        ("estimate --model llama-3.1-8b --chip snake --calibration /no/such/file", "/no/such/file"),
        ("estimate --model llama-3.1-8b --chip snake --calibration none --out /no/such/folder/e.json", "e.json"),
        ("calibrate --chip snake --budget soon", "--budget"),
        ("calibrate --chip snake --budget 1min --workers 0", "--workers"),
    ],
)
def test_wrong_inputs_are_refused_with_what_is_allowed(words, part):
    result = call(*words.split())
    assert result.exit_code == 2
    assert part in result.stderr
    assert "allowed" in result.stderr
