"""Closed forms of units and of many chips against what they are defined by."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.analytic import feeds
from nmpsim.analytic.model.bulk import BulkStep, candidates
from nmpsim.analytic.model.chips import Chips
from nmpsim.analytic.model.step import predict
from nmpsim.analytic.model.timing import units
from nmpsim.analytic.model.timing.spent import Time, chosen
from nmpsim.analytic.model.timing.times import StepTimes
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


def test_a_stream_refreshes_only_what_can_wait_no_longer():
    """Regression: every stream was lengthened by its share of refreshes, also those that end before one is forced."""
    stream = units.streaming(MACHINES["snake"], 0)
    short = stream.postponed * stream.interval / stream.row / 2
    assert stream.of(short) == pytest.approx(short * stream.row)
    long = 100 * stream.postponed * stream.interval / stream.row
    due = long * stream.row / (stream.interval - stream.refreshed)
    assert stream.of(long) - long * stream.row == pytest.approx((due - stream.postponed) * stream.refreshed)


def test_rows_in_several_tiers_take_their_mean():
    params = MACHINES["snake"]
    first, last = units.streaming(params, 0), units.streaming(params, params.dram.tiers - 1)
    assert units.Streaming.mean([first, last], [0.75, 0.25]).row == pytest.approx(0.75 * first.row + 0.25 * last.row)
    plan = plan_step("llama-3.1-8b", "snake", batch=4, context=1024, layers=1, first_tier=3)
    found = predict(plan.schedule(), plan.params)
    assert all(sum(share for _, share in one.tiers) == pytest.approx(1) for one in found)
    assert all(tier >= 3 for one in found for tier, _ in one.tiers)


@pytest.mark.parametrize(("taken", "pace", "busy"), [(0.5, 1, 1.0), (17.0, 2, 1.0), (17.0, 1, 0.5)])
def test_a_loop_beside_the_array_waits_for_its_steps_only(taken, pace, busy):
    """Half a bank a cycle leaves free cycles; so does a step of two cycles, or an array that waits half of its time."""
    params = MACHINES["snake"]
    unit = replace(units.passes(params, (0, 1, 1, 0), 8, 128, 128), reads=taken, pace=pace)
    found = units.held_up(params, unit, busy, 4)
    assert found == pytest.approx(1.0 if taken < 1 else 2.0)


def test_a_loop_that_never_finds_free_ports_waits_for_the_end_of_the_pass():
    params = MACHINES["snake"]
    unit = replace(units.passes(params, (0, 1, 1, 0), 8, 128, 128), reads=17.0, pace=1)
    assert units.held_up(params, unit, 1.0, 4) == units.NEVER
    narrow = replace(unit, reads=1.0)
    assert units.held_up(params, narrow, 1.0, 4) == pytest.approx(1 + 16 / 2)  # sixteen banks at one a cycle
    assert units.held_up(params, narrow, 1.0, 4, interval=4) == pytest.approx(1 + 16 / 8)
