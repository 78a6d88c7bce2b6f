"""Closed forms of what meets in the network or in the vector unit: against what links carry, and against runs."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nmpsim
from nmpsim.analytic.model.ring.crossing import crossed
from nmpsim.analytic.model.ring.parts import PARTS, Ring, Way
from nmpsim.analytic.model.step import predict
from nmpsim.analytic.model.timing.routing import Routing
from nmpsim.analytic.model.timing.units import way
from nmpsim.program.isa import SPLIT_K
from nmpsim.program.schedule import OVER_K
from nmpsim.schedule.step import plan_step
from nmpsim.spec import load_chip, resolve
from nmpsim.workload import OperatorKind, load_model

SNAKE = resolve(load_chip("snake"))


@given(
    words=st.lists(st.integers(1, 200), min_size=2, max_size=9),
    rows=st.lists(st.integers(0, 200), min_size=9, max_size=9),
    pace=st.sampled_from((0.8, 1.0, 1.25, 2.0)),
    vcs=st.sampled_from((2, 3, 4)),
    places=st.sampled_from(((8, 32, 32), (4, 4, 4), (2, 1, 32), (1, 32, 1))),
)
def test_every_part_comes_to_its_core_and_no_link_carries_two_at_once(words, rows, pace, vcs, places):
    nodes = len(words)
    distances = tuple(range(1, nodes // 2 + 1))
    ring = Ring(vcs, *places, pace, 1, 3, 2 + 2 * pace, 2, 3, 2)
    found = Way(ring, tuple(words), tuple(rows[:nodes]), distances, [0.0] * nodes)
    found.run()
    assert not any(found.queue)
    assert not any(any(lanes) for lanes in found.lanes)
    assert all(task == len(tasks) for task, tasks in zip(found.task, found.tasks, strict=True))
    for link in range(nodes):
        carried = sum(words[(link - back) % nodes] for d in distances for back in range(d))
        assert max(found.told) >= carried
    for node in range(nodes):
        assert found.sent[node] == pytest.approx(len(distances) * words[node] * pace) or (
            found.sent[node] > len(distances) * words[node] * pace
        )
        assert found.told[node] >= sum(words[(node - d) % nodes] for d in distances) * max(1.0, pace)


def test_a_word_that_meets_nobody_takes_the_way_of_the_timing_model():
    alone = crossed(SNAKE, (1, 1), (0, 0), (0.0, 0.0))
    assert alone.told == pytest.approx(1 + float(way(SNAKE, 1)), abs=1)  # the edges of two clocks
    assert alone.sent == 1
    assert alone.brought == 0


def test_words_wait_for_a_gather_and_a_gather_for_words():
    nodes = SNAKE.cores
    words, rows, starts = (7,) * nodes, (112,) * nodes, (0.0,) * nodes
    alone = crossed(SNAKE, words, (0,) * nodes, starts)
    both = crossed(SNAKE, words, rows, starts)
    gather = nodes // 2 * (112 + float(way(SNAKE, 1)))
    assert both.told > 2 * alone.told
    assert both.brought > gather + alone.told
    assert both.sent >= alone.sent


def test_one_that_begins_before_the_others_is_counted_from_the_last_start():
    nodes = 4
    even = crossed(SNAKE, (4,) * nodes, (8,) * nodes, (0.0,) * nodes)
    early = crossed(SNAKE, (4,) * nodes, (8,) * nodes, (0.0, 40.0, 40.0, 40.0))
    assert even.told - 40 < early.told <= even.told + 4 * nodes  # at most all words of one PU come in between


@functools.cache
def _run(model, batch):
    options = {"batch": batch, "context": 256, "layers": 1}
    run = nmpsim.simulate(model, "snake", **options)
    plan = plan_step(model, "snake", **options)
    schedule = plan.schedule()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = predict(schedule, plan.params, plan.tokens)
    pairs = [(f, o.cycles, float(f.time.cycles)) for f, o in zip(found, run.operators, strict=True)]
    return schedule, pairs


# a message is followed in `PARTS` parts: where it is, is known to so much of it
@pytest.mark.parametrize(("model", "batch"), [("olmoe-1b-7b", 12), ("mixtral-8x7b", 6), ("qwen3-30b-a3b", 4)])
def test_router_choice_and_first_gather_take_the_cycles_of_the_run(model, batch):
    _, pairs = _run(model, batch)
    first = next(i for i, (f, _, _) in enumerate(pairs) if f.operator.kind is OperatorKind.ROUTER)
    kinds = [f.operator.kind for f, _, _ in pairs[first : first + 3]]
    assert kinds == [OperatorKind.ROUTER, OperatorKind.TOPK, OperatorKind.GATHER]
    seen = sum(cycles for _, cycles, _ in pairs[first : first + 3])
    assert sum(cycles for _, _, cycles in pairs[first : first + 3]) == pytest.approx(seen, rel=1 / PARTS)


# the goal for the 95th percentile of single operators (docs/analytic.md)
def test_planes_are_added_in_turn_with_reductions():
    schedule, pairs = _run("olmoe-1b-7b", 12)
    index = next(i for i, (f, _, _) in enumerate(pairs) if f.operator.kind is OperatorKind.QKV)
    plan = schedule.gemm[index]
    assert plan.over == OVER_K
    assert plan.shape.split == SPLIT_K
    _, seen, predicted = pairs[index]
    assert predicted == pytest.approx(seen, rel=0.08)


def test_where_slices_are_not_known_words_take_what_links_carry():
    model = load_model("olmoe-1b-7b")
    known, unknown = (Routing(SNAKE, 12, model, 128, lambda _: 100.0, known=known) for known in (True, False))
    assert known.follows
    assert not unknown.follows
    assert unknown.told(gathers=True).cycles <= known.told(gathers=True).cycles
    assert unknown.gathered().cycles > 0
