"""Predictions rank random legal plans of every class of operators; cycles are those of the record of the benchmark."""

import random

import pytest

from benchmarks.plan_rank import (
    CLASSES,
    FAR,
    Ranked,
    bench_of,
    pooled,
    ranks_of,
    read,
    read_record,
    spearman,
    written,
)

GOAL = 0.9
PLANS, DIFFERENT = 200, 30
"""Of every class: measured, and more than 20 % over the best of their step (issue of the schedules)."""


@pytest.fixture(scope="module")
def record():
    return read_record()


def test_every_class_is_on_record(record):
    assert list(record) == list(CLASSES)
    for kind, steps in record.items():
        plans = [(step, tuple(written(plan))) for step, found in steps.items() for plan, _ in found]
        assert len(set(plans)) == len(plans) >= PLANS, kind


@pytest.mark.parametrize("kind", CLASSES)
def test_predictions_rank_plans(record, kind):
    steps = ranks_of(kind, record[kind])
    assert sum(len(step.own) for step in steps.values()) >= PLANS
    assert sum(cycles > FAR * min(step.own) for step in steps.values() for cycles in step.own) >= DIFFERENT
    assert pooled(list(steps.values())) >= GOAL


@pytest.mark.parametrize("kind", CLASSES)
def test_cycles_are_those_on_record(record, kind):
    """A plan of a class, drawn; what it takes is measured anew."""
    dice = random.Random(kind)
    step = dice.choice(list(record[kind]))
    plan, cycles = dice.choice(record[kind][step])
    bench = bench_of(step)
    assert bench.cycles(bench.schedule(kind, plan)) == cycles


@pytest.mark.parametrize("kind", CLASSES)
def test_plans_on_record_are_plans_of_the_space(record, kind):
    for step, found in record[kind].items():
        space = {tuple(written(plan)) for plan in bench_of(step).plans(kind)}
        assert all(tuple(written(plan)) in space for plan, _ in found)
        assert all(written(read(written(plan))) == written(plan) for plan, _ in found)


def test_plans_of_different_steps_are_not_compared_as_they_stand():
    """Steps whose own ranks are random have no correlation, however different their sizes."""
    dice = random.Random(1)
    sizes = [10.0**i for i in range(4) for _ in range(50)]
    x, y = ([size * dice.uniform(1, 2) for size in sizes] for _ in range(2))
    assert spearman(x, y) > GOAL
    steps = [Ranked(x[i : i + 50], y[i : i + 50], 0.0) for i in range(0, len(x), 50)]
    assert abs(pooled(steps)) < 0.5
