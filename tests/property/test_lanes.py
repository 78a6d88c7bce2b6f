"""Compiled, with bounds checks, or plain Python: the same run."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from nmpsim.kernel import LANE
from nmpsim.program.isa import CROSS, FLOW_NAMES, LOAD, PASS, SEND, STORE, STREAM, VECTOR, VECTOR_BASE
from tests.property.lanes import digests, programs

CHECKED = pytest.param("checked", marks=pytest.mark.slow)  # compiles all kernels a second time


@pytest.mark.parametrize("lane", ["interpreted", CHECKED])
def test_every_lane_gives_the_same_run(lane):
    environment = {**os.environ, "NMPSIM_LANE": lane}
    environment.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-m", "tests.property.lanes"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert lane != LANE
    assert result.stdout.strip() == digests()


def test_the_runs_of_the_lanes_use_every_unit_and_dataflow():
    every = np.concatenate([stream for _, _, program in programs() for stream in program.streams])
    kinds = {min(int(op), VECTOR_BASE) for op in every["op"]}
    assert kinds == {PASS, STREAM, LOAD, STORE, SEND, CROSS, VECTOR_BASE}
    assert VECTOR in every["unit"]
    assert set(every["flow"][every["op"] == PASS]) == set(range(len(FLOW_NAMES)))
