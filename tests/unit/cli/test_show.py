"""``nmpsim list``, ``nmpsim show``, ``nmpsim --help``."""

import subprocess
import sys

import pytest

from nmpsim import __version__, api
from nmpsim.spec import chip_names, parse_chip
from nmpsim.workload import load_model, model_names
from tests.architecture.sources import ROOT
from tests.unit.cli.bench import call
from tests.unit.report.small import chip_text, write_inputs


@pytest.fixture
def step(tmp_path):
    """Words of a step of the small model, and the job they stand for."""
    model, chip = write_inputs(tmp_path)
    job = api.prepare(load_model(model), parse_chip(chip_text(), "small.toml"), batch=2, context=16)
    return ["--model", model, "--chip", chip, "--batch", "2", "--context", "16"], job


def test_list_names_every_chip_and_model():
    out = call("list").stdout
    for name in (*chip_names(), *model_names()):
        assert f"\n  {name} " in out


def test_show_takes_several_names():
    out = call("show", "chip", "snake", "stratum").stdout
    assert "chip snake:" in out
    assert "chip stratum:" in out


def test_show_schedule_prints_the_plans(step):
    words, job = step
    assert call("show", "schedule", *words).stdout.splitlines() == job.schedule.lines()


def test_show_program_prints_the_instructions_of_a_core(step):
    words, job = step
    out = call("show", "program", *words, "--core", "3").stdout.splitlines()
    assert out[0] == f"core 3 of 4: {len(job.program.streams[3])} instructions, sha256 of all {job.program.sha256}"
    assert out[1:] == list(job.program.lines(3))


def test_show_program_says_what_the_limit_left_out(step):
    words, job = step
    out = call("show", "program", *words, "--limit", "5").stdout.splitlines()
    assert out[1:6] == list(job.program.lines(0))[:5]
    assert out[6:] == [f"... {len(job.program.streams[0]) - 5} more; raise --limit"]


def test_version_and_help_answer():
    assert call("--version").stdout == f"nmpsim {__version__}\n"
    assert "simulate" in call("--help").stdout
    for command in (["simulate"], ["list"], ["show"], ["show", "chip"], ["show", "program"]):
        assert "Usage: " in call(*command, "--help").stdout


def test_help_loads_no_heavy_library():
    code = (
        "import sys; from nmpsim.cli import main; sys.argv = ['nmpsim', 'simulate', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'numba', 'pyarrow', 'rich', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
