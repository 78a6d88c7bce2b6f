"""Runs mutants of kernels in an interpreter of its own, in which kernels are plain functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.mutation.verdict import Mutant

STAGES = 2
"""Traces; unit tests."""


def run(
    count: int, seed: int, stages: int = STAGES, only: Sequence[str] = (), *, dry: bool = False
) -> Iterator[Mutant]:
    """Yield mutants with what became of them.

    Parameters
    ----------
    count : int
        How many are drawn.
    seed : int
    stages : int
        1: compare traces; 2: put survivors to the unit tests.
    only : sequence of str
        Mutants whose identity has one of these texts; empty: all of those drawn.
    dry : bool
        Draw them, do not run them.

    Raises
    ------
    subprocess.CalledProcessError
        If the interpreter fails.
    """
    words = [str(count), str(seed), str(stages), "dry" if dry else "run", *only]
    command = [sys.executable, "-m", "tests.mutation.code_worker", *words]
    environment = os.environ | {"NMPSIM_LANE": "interpreted"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            found = json.loads(line)
            yield Mutant("code", **found)
    if worker.returncode:
        raise subprocess.CalledProcessError(worker.returncode, command)
