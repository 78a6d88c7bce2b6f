"""The example scripts run, on a small model and chip, and leave their pictures."""

import importlib.util

import pytest

from tests.architecture.sources import ROOT
from tests.unit.report.small import write_inputs

PICTURES = {
    "timeline": {"timeline.png", "units.png"},
    "stalls": {"stalls.png"},
    "roofline": {"roofline-1.png", "roofline-4.png", "bounds-1.png", "bounds-4.png"},
}


def test_every_example_is_executed_here():
    found = {path.stem for path in (ROOT / "docs" / "examples").glob("*.py")}
    assert found - {"my_model"} == set(PICTURES)  # judged by tests/unit/cli/test_validate.py


@pytest.mark.parametrize("name", PICTURES)
def test_an_example_runs(name, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, chip = write_inputs(tmp_path)
    module.main(tmp_path / "out", model, chip, context=16)
    assert {path.name for path in (tmp_path / "out").iterdir()} == PICTURES[name]
    assert capsys.readouterr().out.strip()
