"""Call the command line, in this process or in one of its own."""

import os
import signal
import subprocess
import sys

from typer.testing import CliRunner

from nmpsim.cli import app
from tests.architecture.sources import ROOT

COMMAND = (sys.executable, "-m", "nmpsim.cli")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def call(*words):
    """Run the command line in this process; what it printed and its exit code."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def start(*words, cwd=None):
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509 (one call before exec, no threads)
    )


def _hear_interrupts():
    """Undo what a shell does to background jobs: they ignore Ctrl-C, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(*words, cwd=None):
    """Run the command line in a process of its own: (exit code, stdout, stderr)."""
    with start(*words, cwd=cwd) as program:
        out, err = program.communicate(timeout=600)
    return program.returncode, out, err
