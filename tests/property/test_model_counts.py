"""Counts by combinatorics on drawn steps and chips."""

import os

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nmpsim.api import prepare
from nmpsim.errors import NmpsimError
from tests.builders import KINDS, SEPARATE, small_chip, small_model
from tests.families import FAMILIES
from tests.unit.analytic.test_model_counts import difference

MODELS = {"llama": small_model(), "mixtral": small_model(moe=True), **FAMILIES}
DENSE = ("llama", "biased", "learned")

STEPS = {
    "name": st.sampled_from(sorted(MODELS)),
    "kind": st.sampled_from(KINDS),
    "pus": st.sampled_from((1, 2, 3, 4, 6, 8)),
    "batch": st.integers(1, 12),
    "context": st.integers(2, 64),
    "flit": st.sampled_from((8, 16, 32, 64)),
    "separate": st.booleans(),
    "stacks": st.sampled_from((1, 1, 2)),
    "kv": st.sampled_from(("", "", "fp8", "int8")),
    "seed": st.integers(0, 99),
    "policy": st.sampled_from(("plain", "random-legal")),
}
"""Drawn schedules have GEMMs over N, over K and on teams, and experts that begin ahead of one another."""


def check(name, kind, pus, batch, context, flit, separate, stacks, kv, seed, policy):
    """Prepare a step and compare the counts of all its operators with its program."""
    more = dict(SEPARATE) if separate and kind == KINDS[0] else {}
    if policy != "plain":
        more["core__buffer__bytes"] = 2**20  # most draws take more room
    chip = small_chip(kind, pus, noc__flit_bytes=flit, **more)
    try:
        options = {"batch": batch, "context": context, "stacks": stacks, "kv": kv, "seed": seed, "policy": policy}
        job = prepare(MODELS[name], chip, **options)
    except NmpsimError as error:
        event(str(error).splitlines()[0][:60])
        return
    teams, ahead = any(plan.team > 1 for plan in job.schedule.gemm.values()), job.schedule.ahead
    event(f"{'teams' if teams else 'no teams'}, experts {'ahead' if ahead else 'one after another'}")
    assert difference(job) == []


@given(**STEPS)
@settings(max_examples=40)
def test_every_operator_is_counted_as_it_is_encoded(**step):
    check(**step)


@pytest.mark.slow
@given(**STEPS)
@settings(max_examples=int(os.environ.get("NMPSIM_STEPS", "1000")))
def test_every_operator_of_a_thousand_steps_is_counted_as_it_is_encoded(**step):
    check(**step)
