"""Every command of the README does what it shows, and everything that ships can be loaded and shown."""

import re
import shlex

import pytest
import typer

from nmpsim.cli import app
from nmpsim.report.folder import FILES
from nmpsim.spec import chip_names, load_chip, resolve
from nmpsim.workload import load_model, model_names
from tests.architecture.sources import ROOT
from tests.unit.cli.bench import call

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(language):
    """Fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(program):
    """Words of every command of a program in the shell blocks, without its name and comment."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.split()[0] == program]


def test_every_block_is_of_a_kind_that_is_tested():
    fences = re.findall(r"^```(.*)$", README, re.MULTILINE)
    assert set(fences) == {"", "sh", "python"}
    programs = {line.split()[0] for block in blocks("sh") for line in block.splitlines() if line.strip()}
    assert programs == {"make", "nmpsim"}


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert {"run", "test"} <= {word for words in commands("make") for word in words} <= targets


@pytest.mark.parametrize("words", commands("nmpsim"), ids=" ".join)
def test_a_command_runs(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if words[0] == "report":  # of a run that another command makes
        made = next(other for other in commands("nmpsim") if other[-2:] == ["--out", words[1]])
        assert call(*made).exit_code == 0
    done = call(*words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout
    if "--out" in words:
        out = tmp_path / words[words.index("--out") + 1]
        written = {path.name for path in out.iterdir()}
        assert {"report.txt", "result.json", "operators.parquet"} <= written <= set(FILES)
        assert ("trace.json" in written) == ("--trace" in words)


def test_there_are_commands_of_every_kind():
    shown = {tuple(words[:2]) for words in commands("nmpsim")}
    assert {("show", kind) for kind in ("chip", "model", "schedule", "program")} <= shown
    assert {"list", "simulate"} <= {words[0] for words in commands("nmpsim")}


def test_the_python_example_runs(capsys):
    (block,) = blocks("python")
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102 -- that is the point
    assert "'busy'" in capsys.readouterr().out


def test_make_run_simulates_what_the_readme_says():
    """The simulation itself is tests/regression/test_llama_8b.py."""
    (line,) = re.findall(r"^\t\.venv/bin/nmpsim simulate (.*)$", MAKEFILE, re.MULTILINE)
    command = typer.main.get_command(app).commands["simulate"]
    options = command.make_context("simulate", shlex.split(line)).params
    assert options["model"] in model_names()
    assert options["chip"] in chip_names()
    assert f"{options['batch']} sequences of {options['context']} tokens" in README.replace("\n", " ")
    assert options["layers"] is None
    assert options["out"] in README


@pytest.mark.parametrize("name", chip_names())
def test_a_shipped_chip_loads_and_shows(name):
    assert resolve(load_chip(name)).name == name
    out = call("show", "chip", name).stdout
    assert out.startswith(f"chip {name}: ")
    assert "values and their origin" in out


@pytest.mark.parametrize("name", model_names())
def test_a_shipped_model_loads_and_shows(name):
    assert load_model(name).name == name
    out = call("show", "model", name).stdout
    assert out.startswith(f"{name}\n")
    assert "Source: " in out


@pytest.mark.parametrize("chip", chip_names())
@pytest.mark.parametrize("model", model_names())
def test_every_model_has_a_schedule_and_a_program_on_every_chip(model, chip):
    step = ["--model", model, "--chip", chip, "--layers", "1", "--context", "64"]
    assert "layer0.attn_out" in call("show", "schedule", *step).stdout
    assert " stream " in call("show", "program", *step, "--limit", "40").stdout


def test_the_lists_are_not_empty():
    assert {"snake", "stratum"} <= set(chip_names())
    assert {"llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b"} <= set(model_names())
