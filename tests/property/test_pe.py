"""Random passes on random arrays: PE level and wavefront mode agree in every cycle, and the results are NumPy's."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.core.pe.scale_sim import run_pe_level, run_wavefront
from nmpsim.core.state import REASONS
from nmpsim.kernel import LANE
from nmpsim.program.isa import SPLIT_NAMES
from tests.property.pe_lanes import digests
from tests.property.strategies import Dice, drawn_by
from tests.unit.core.pe_bench import FLOWS, fields_of_pe_level, fields_of_wavefront, random_case

SEEDS = range(80)


def assert_equal(case):
    run, fine = fields_of_pe_level(case)
    coarse = fields_of_wavefront(case, len(fine))
    for cycle, (pe, wave) in enumerate(zip(fine, coarse, strict=True)):
        assert pe == wave, f"cycle {cycle}: PE level {pe}, wavefront {wave}"
    for one, result in zip(case.jobs, run.results, strict=True):
        np.testing.assert_array_equal(result, one.a @ one.b)
    assert run.trace.active.sum() == sum(one.a.size * one.b.shape[1] for one in case.jobs)
    return fine


def test_they_agree_on_a_sweep_that_meets_everything():
    met, reasons = set(), set()
    for seed in SEEDS:
        case = random_case(Dice(seed), seed)
        met |= {(one.flow, one.split, case.core.strips // one.group) for one in case.jobs}
        reasons |= {fields[1] for fields in assert_equal(case)}
    assert {(flow, split) for flow, split, groups in met if groups > 1} == {
        (flow, split) for flow in FLOWS for split in range(len(SPLIT_NAMES))
    }
    assert reasons == set(REASONS[:9]) - {"wait_semaphore"}


@settings(max_examples=20)
@given(st.data())
def test_they_agree_on_any_passes(data):
    assert_equal(random_case(drawn_by(data.draw), 7))


@settings(max_examples=40)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    flow=st.sampled_from(FLOWS),
    m=st.integers(1, 20),
    n=st.integers(1, 20),
    k=st.integers(1, 20),
)
def test_the_compatibility_timing_agrees_too(rows, columns, flow, m, n, k):
    generator = np.random.default_rng(m)
    a, b = generator.integers(-128, 128, (m, k), np.int8), generator.integers(-128, 128, (k, n), np.int8)
    fine, coarse = run_pe_level(rows, columns, flow, a, b), run_wavefront(rows, columns, flow, m, n, k)
    assert (fine.total, fine.macs, fine.mapped, fine.folds) == (coarse.total, coarse.macs, coarse.mapped, coarse.folds)
    np.testing.assert_array_equal(fine.result, a.astype(np.int64) @ b.astype(np.int64))
    assert fine.macs == m * n * k


CHECKED = pytest.param("checked", marks=pytest.mark.slow)  # compiles all kernels a second time


@pytest.mark.parametrize("lane", ["interpreted", CHECKED])
def test_every_lane_gives_the_same_run(lane):
    environment = {**os.environ, "NMPSIM_LANE": lane}
    environment.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-m", "tests.property.pe_lanes"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert lane != LANE
    assert result.stdout.strip() == digests()
