"""Closed forms of units and of many chips against what they are defined by."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.analytic import feeds
from nmpsim.analytic.model import units
from nmpsim.analytic.model.bulk import BulkStep, candidates
from nmpsim.analytic.model.chips import Chips
from nmpsim.analytic.model.spent import Time, chosen
from nmpsim.analytic.model.times import StepTimes
from nmpsim.schedule.step import plan_step
from nmpsim.spec import load_chip, resolve
from nmpsim.workload import OperatorKind
from tests.builders import KINDS, small_chip, small_model
from tests.families import FAMILIES

MACHINES = {kind: resolve(load_chip(kind)) for kind in KINDS}


@given(
    elements=st.integers(1, 100_000),
    read=st.sampled_from((0, 2, 4, 8, 64)),
    write=st.sampled_from((0, 2, 4)),
)
def test_issue_slots_are_those_of_one_loop_at_a_time(elements, read, write):
    params = MACHINES["snake"]
    ((number, interval),) = feeds.slots(params.core, [(elements, read, write, 0)])
    assert units.slots(params, elements, read, write) == number * interval


@pytest.mark.parametrize("kind", KINDS)
def test_a_flit_takes_the_way_of_the_timing_model(kind):
    params = MACHINES[kind]
    ratio = params.noc_period / params.core_period
    hops = 3
    network = 1 + 2 * (hops + 1) + hops * params.noc.nLINK  # docs/timing-model.md, "Network"
    crossings = params.noc.nSYNC * ratio + params.noc.nSYNC
    assert units.way(params, hops) == pytest.approx(network * ratio + crossings + units.SIGNAL)


@given(m=st.integers(1, 32), n=st.integers(1, 300), k=st.integers(1, 300))
@pytest.mark.parametrize("kind", KINDS)
def test_no_pass_is_faster_than_its_beats_or_its_products(kind, m, n, k):
    params = resolve(small_chip(kind, 4))
    for mapping in candidates(params.core.kind):
        plan = mapping.plan(params, m).shape
        found = units.passes(params, (plan.flow, plan.group, plan.split, plan.contiguous), m, n, k)
        assert found.cycles + found.lead >= found.beats
        assert found.cycles * params.core.macs_per_cycle >= m * n * k or found.lead * params.core.macs_per_cycle > 0


def test_the_slowest_unit_sets_the_time_and_the_second_is_kept():
    found = chosen(("stream", np.array([3.0, 9.0])), ("array", np.array([5.0, 2.0])), ("vector", np.array([4.0, 9.0])))
    assert list(found.stream) == [0.0, 9.0]
    assert list(found.array) == [5.0, 0.0]
    assert list(found.hidden) == [4.0, 9.0]
    assert list(found.cycles) == [5.0, 9.0]


def test_times_add_up_unit_by_unit():
    one = Time(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    both = one + one.times(2)
    assert both.values == (3.0, 6.0, 9.0, 12.0, 15.0, 18.0)
    assert both.cycles == 45.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", [small_model(), *FAMILIES.values()], ids=lambda m: m.name)
def test_many_chips_at_once_get_what_each_gets_alone(model, kind):
    changes = ({}, {"core__vector__lanes": 8}, {"noc__flit_bytes": 32}, {"dram__timing__tRP_ns": 12})
    plans = [plan_step(model, small_chip(kind, 4, **change), batch=3, context=40) for change in changes]
    step = BulkStep(plans[0].graphs[0])
    together = step.evaluate(Chips.of([plan.params for plan in plans]))
    alone = [step.evaluate(Chips.of([plan.params])) for plan in plans]
    assert np.isfinite(together.cycles).all()
    np.testing.assert_allclose(together.cycles, [a.cycles[0] for a in alone])
    np.testing.assert_array_equal(together.mapping, np.stack([a.mapping[:, 0] for a in alone], axis=1))
    np.testing.assert_allclose(together.cycles, (together.operators * np.array(step.repeats)[:, None]).sum(axis=0))


def test_the_mapping_chosen_for_a_chip_is_the_fastest_of_the_list():
    plan = plan_step(small_model(), small_chip("snake", 4), batch=3, context=40)
    graph, params = plan.graphs[0], plan.params
    step = BulkStep(graph)
    chips = Chips.of([params])
    found = step.evaluate(chips)
    index = next(i for i, o in enumerate(graph.operators) if o.kind is OperatorKind.LM_HEAD)
    place = next(i for i, group in enumerate(step.groups) if index in group)
    times = StepTimes(graph, params, lambda _: None, step.attention_plan(chips), deepest=1.0)
    several = [m for m in candidates(params.core.kind) if m.over == 0]
    totals = [sum(t.cycles for t in times.gemm(index, m.plan(params, graph.batch))) for m in several]
    body = times.gemm(index, several[int(np.argmin(totals))].plan(params, graph.batch))[0].cycles
    assert found.operators[place, 0] == pytest.approx(sum((float(body), float(min(totals) - body))), rel=1e-9)


def test_a_chip_that_differs_in_its_row_cycle_has_a_table_of_its_own():
    params = MACHINES["snake"]
    slow = replace(params, latency=params.latency * 2)
    both = units.streaming(Chips.of([params, slow]), np.array([0, 0]))
    assert both.row[0] == pytest.approx(units.streaming(params, 0).row)
    assert both.row[1] == pytest.approx(units.streaming(slow, 0).row)
