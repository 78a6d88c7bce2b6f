"""Parts of the prediction against what they are defined by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.analytic.array import pass_cycles
from nmpsim.analytic.feeds import beat_cycles, most_beats, port_waits, slots, vector_cycles
from nmpsim.analytic.messages import (
    all_gather_cycles,
    flits,
    message_cycles,
    reduce_scatter_cycles,
    sum_scatter_cycles,
    to_all_cycles,
)
from nmpsim.analytic.network import router_cycles
from nmpsim.analytic.passes import Taken, taken
from nmpsim.program.beats import Tile, beat_counts
from nmpsim.program.isa import EXP_RATE, PLAIN_RATE, V_ADD
from nmpsim.program.vector import loops
from nmpsim.schedule.plain import shapes
from nmpsim.spec import resolve
from tests.builders import KINDS, SNAKE, small_chip

FLOWS = ("OS", "WS", "IS")
MACHINES = {kind: resolve(small_chip(kind, 4)) for kind in KINDS}
sizes = st.tuples(st.integers(1, 8), st.integers(1, 120), st.integers(1, 120))


@given(kind=st.sampled_from(KINDS), size=sizes)
def test_a_pass_takes_the_unit_no_longer_than_it_lasts_and_holds_what_the_closed_form_holds(kind, size):
    core, (m, n, k) = MACHINES[kind].core, size
    for shape in shapes(core, FLOWS):
        whole = pass_cycles(core, shape.flow, shape.group, shape.split, shape.contiguous, m, n, k)
        unit = taken(core, shape.flow, shape.group, shape.split, shape.contiguous, m, n, k)
        assert (unit is None) == (whole < 0)
        if unit is not None:
            beats = most_beats(core, shape.flow, shape.group, shape.split, shape.contiguous, n, k)
            assert unit.cycles >= beats  # a strip takes one a cycle
            assert unit.cycles * core.macs_per_cycle >= m * n * k
            assert unit.drain >= 0


@given(kind=st.sampled_from(KINDS), size=sizes)
def test_the_first_strip_has_the_most_beats(kind, size):
    core, (_, n, k) = MACHINES[kind].core, size
    for s in shapes(core, FLOWS):
        counts = beat_counts(Tile(s.flow, s.group, s.split, s.contiguous, n, k, 0, ()), core)
        assert most_beats(core, s.flow, s.group, s.split, s.contiguous, n, k) == counts.max()


def test_a_bank_streams_a_row_per_row_cycle():
    params = MACHINES[SNAKE]
    for tier in range(params.dram.tiers):
        row = beat_cycles(params, tier) * params.dram.columns * params.core_period / params.dram_period
        assert row >= int(params.latency[tier, 0, 0])
    assert beat_cycles(params, params.dram.tiers - 1) > beat_cycles(params, 0)


@given(m=st.integers(1, 9), n=st.integers(1, 500))
def test_issue_slots_carry_all_elements(m, n):
    core = MACHINES[SNAKE].core
    for (number, interval), (elements, read, write, rate) in zip(
        slots(core, loops(V_ADD, m, n, 0, 0, 0)), loops(V_ADD, m, n, 0, 0, 0), strict=True
    ):
        per_slot = min(core.lanes, core.vector_read_bytes // read, core.vector_write_bytes // write)
        assert (number - 1) * per_slot < elements <= number * per_slot
        assert interval == 1
        assert rate == PLAIN_RATE
    assert slots(core, ((0, 4, 4, PLAIN_RATE), (1, 0, 0, EXP_RATE))) == [(1, core.exp_interval)]


def test_ports_that_nobody_takes_cost_nothing_and_all_of_them_cost_half_a_dwell():
    core = MACHINES[SNAKE].core
    add = loops(V_ADD, 4, 64, 0, 0, 0)
    assert port_waits(core, Taken(100, 10, 0, 0, 100), add) == (0.0, 0.0)
    every = Taken(100, 10, core.buffer_banks, core.buffer_banks, 100)
    assert port_waits(core, every, add) == (0.0, 50.0)
    some = [port_waits(core, Taken(100, 10, width, width, 100), add) for width in range(core.buffer_banks + 1)]
    costs = [vector_cycles(core, add, *wait) for wait in some]
    assert costs[0] == min(costs)
    assert costs[-1] == max(costs)


@given(rows=st.integers(1, 20), size=st.integers(1, 300), hops=st.integers(1, 4))
def test_a_message_takes_its_flits_and_its_way(rows, size, hops):
    params = MACHINES[SNAKE]
    assert flits(params, rows, size) * params.noc.flit_bytes >= rows * size
    near, far = message_cycles(params, rows, size, hops), message_cycles(params, rows, size, hops + 1)
    step = (params.noc.nLINK + router_cycles(params.noc)) * params.noc_period / params.core_period
    assert far - near == pytest.approx(step)
    assert near > flits(params, rows, size)


@pytest.mark.parametrize("topology", ["ring", "crossbar", "mesh:2x2"])
def test_a_multicast_takes_the_receivers_their_flits_and_the_longest_way(topology):
    params = resolve(small_chip(SNAKE, 4, noc__collectives="multicast", noc__topology=topology))
    grain, hops = params.noc.flit_bytes, 0 if topology == "crossbar" else 2
    way = message_cycles(params, 1, grain, hops) - message_cycles(params, 1, 0, hops) + 0
    ratio = params.noc_period / params.core_period
    assert way == max(1.0, ratio)
    least = message_cycles(params, 1, 0, hops)
    for rows in (1, 2, 5, 8):
        at_port = -(-3 * rows // 2) * way  # three others, two ports
        links = {"ring": 8, "crossbar": 0, "mesh:2x2": 8}[topology]
        on_link = 4 * 3 * rows / links * ratio if links else 0
        assert all_gather_cycles(params, rows, grain) == pytest.approx(max(at_port, on_link) + least)
        assert to_all_cycles(params, rows, grain) == all_gather_cycles(params, rows, grain)


@pytest.mark.parametrize("topology", ["ring", "crossbar", "mesh:2x2"])
def test_sums_take_the_senders_their_parts_and_the_longest_way_with_its_additions(topology):
    params = resolve(small_chip(SNAKE, 4, noc__collectives="network", noc__topology=topology))
    grain, hops = params.noc.flit_bytes // 4, 0 if topology == "crossbar" else 2
    ratio = params.noc_period / params.core_period
    least = message_cycles(params, 1, 0, hops) + (hops + 1) * params.noc.nADD * ratio
    for number in (1, 2, 5, 8):
        at_port = -(-4 * number // 2) * max(1.0, ratio)  # a part of each of four sums, two ports
        links = {"ring": 8, "crossbar": 0, "mesh:2x2": 8}[topology]
        on_link = 4 * 3 * number / links * ratio if links else 0
        assert sum_scatter_cycles(params, 1, number * grain) == pytest.approx(max(at_port, on_link) + least)


def test_collectives_grow_with_what_they_carry_and_one_pu_has_none():
    params = MACHINES[SNAKE]
    one = resolve(small_chip(SNAKE, 1))
    assert reduce_scatter_cycles(one, 4, 64, 5.0) == to_all_cycles(one, 4, 64) == all_gather_cycles(one, 4, 64) == 0
    for cost in (lambda n: all_gather_cycles(params, n, 64), lambda n: reduce_scatter_cycles(params, n, 64, 5.0)):
        assert [cost(n) for n in range(1, 9)] == sorted(cost(n) for n in range(1, 9))
