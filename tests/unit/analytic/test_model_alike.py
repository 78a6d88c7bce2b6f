"""Operators that are taken to be alike: nothing that sets their work or time may differ."""

from dataclasses import replace

import pytest

from nmpsim.analytic.model.counting.alike import alike
from nmpsim.analytic.model.counting.counts import StepCounts
from nmpsim.analytic.model.step import predict
from nmpsim.prediction import estimate, schedule_of
from nmpsim.schedule.step import plan_step
from tests.builders import KINDS, small_chip, small_model
from tests.encoded_counts import encoded_counts
from tests.families import FAMILIES

MODELS = [replace(model, layers=max(3, model.layers)) for model in (small_model(), *FAMILIES.values())]
STEPS = [(model, stacks) for model in MODELS for stacks in (1, 2)]


def planned(model, kind, stacks=1, batch=3):
    """A step of all layers of a model on a small chip of four PUs."""
    return plan_step(model, small_chip(kind, 4), batch=batch, context=40, stacks=stacks)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("model", "stacks"), STEPS, ids=lambda v: getattr(v, "name", v))
def test_operators_that_are_alike_do_the_work_and_take_the_time_of_each_of_them(model, stacks, kind, monkeypatch):
    plan = planned(model, kind, stacks)
    schedule = schedule_of(plan)
    number = len(schedule.graph)
    classes, first = alike(schedule.graph, schedule.gemm)
    assert len(set(classes)) < number
    one = StepCounts(schedule, plan.params).all(range(number), first)  # a class for every operator
    assert StepCounts(schedule, plan.params).all() == one
    together = predict(schedule, plan.params, plan.tokens)
    monkeypatch.setattr("nmpsim.analytic.model.step.alike", lambda *_: (list(range(number)), first))
    apart = predict(schedule, plan.params, plan.tokens)
    assert [(p.kind, p.work, p.time.values) for p in together] == [(p.kind, p.work, p.time.values) for p in apart]


def test_a_stack_loads_zeros_in_the_layers_that_leave_a_token_without_an_expert():
    """Two stacks, two experts of four for a token: in some layers all tokens have one here, in others not."""
    plan = planned(small_model(moe=True, layers=6), KINDS[0], stacks=2, batch=2)
    programs = plan.stack_programs()
    loads = set()
    for stack in range(2):
        counted = StepCounts(programs.schedule(stack), plan.params).all()
        encoded = encoded_counts(programs.program(stack), plan.params)
        for operator, work, entry in zip(programs.schedule(stack).graph, counted, encoded, strict=True):
            if operator.name.endswith("ffn_residual"):
                assert entry["RD"] == work.RD, operator.name
                loads.add(work.RD)
    assert len(loads) == 2


def test_tables_of_an_estimate_are_there_when_they_are_read():
    found = estimate(small_model(), small_chip(KINDS[0], 2), batch=2, context=40, calibration="none")
    assert set(found.energy_J) == {"dram_ACT", "dram_RD", "dram_WR", "dram_REFpb", "static"}
    assert len(found.provenance["graph_sha256"]) == 64
    assert found.provenance["options"]["batch"] == 2
