"""Cycle by cycle: one stack simulated, its messages to others over modelled links."""

import dataclasses

import pytest

from nmpsim.api import prepare, run_job
from nmpsim.schedule.stacks import die_to_die_bytes
from nmpsim.spec.params import MachineParams
from tests.builders import KINDS, SNAKE, small_chip, small_model
from tests.families import ABSORBED_LATENT, NORMED_TOGETHER

LINKS = "link" in {field.name for field in dataclasses.fields(MachineParams)}
pytestmark = pytest.mark.skipif(not LINKS, reason="the machine has no links between stacks")

MODELS = {
    "dense": (small_model(kv_heads=4), 4),
    "a KV head for 2 of 4": (small_model(), 4),
    "experts": (small_model(moe=True, experts=5), 2),
    "absorbed latent": (ABSORBED_LATENT, 2),
    "heads normed together": (NORMED_TOGETHER, 2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_one_stack_of_several_runs_to_its_end_alike_in_both_modes(name, kind):
    model, stacks = MODELS[name]
    job = prepare(model, small_chip(kind, 2), batch=2, context=21, stacks=stacks)
    run, plain = run_job(job), run_job(job, mode="plain")
    assert run.cycles == plain.cycles
    assert run.stalls == plain.stalls
    assert run.counts["macs"] == job.graph.macs
    assert run.counts["die_to_die_bytes"] == die_to_die_bytes(job.program) > 0


@pytest.mark.slow
def test_all_layers_of_llama_70b_on_one_of_8_stacks(capsys):
    """Figures by hand: test_shards.py beside this file; 7 / 8 x 16 x 8192 x (2 + 80 x 2 x 6) + 7 x 16 x 8."""
    run = run_job(prepare("llama-3.1-70b", SNAKE, batch=16, context=4096))
    counts = run.counts["weight_read_bytes"], run.counts["kv_read_bytes"], run.counts["macs"]
    assert counts == (17_375_428_608, 2_684_354_560, 149_740_847_104)
    assert run.counts["die_to_die_bytes"] == 7 * 16 * 8192 * (2 + 80 * 2 * 6) // 8 + 7 * 16 * 8
    assert run.provenance["stacks"]["representative"]
    with capsys.disabled():
        print(f"\n{run.cycles:,} cycles, {run.speed}")
