"""Style and types: the tools' own verdict, with the settings of pyproject.toml."""

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT


@pytest.mark.parametrize(
    "command",
    ["mypy", "ruff check --no-cache --output-format=concise .", "ruff format --no-cache --check ."],
    ids=["mypy", "ruff-check", "ruff-format"],
)
def test_the_tool_has_nothing_to_say(command):
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_ignored_lint_rule_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.pydocstyle]")]
    rules = [line.strip() for line in section.splitlines() if line.startswith('    "')]
    assert len(rules) > 20
    bare = [line for line in rules if len(line.partition("#")[2].strip()) < 8]
    assert not bare
