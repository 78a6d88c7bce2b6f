"""Random messages on random rings: both modes, any visiting order, every lane, a naive ring, all the same run."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.kernel import LANE, LANES
from nmpsim.noc import REASONS
from nmpsim.noc.endpoint import Pace
from nmpsim.noc.traffic import hops_between, run_messages, zero_load_at
from nmpsim.spec.params import NocParams
from tests.unit.noc.bench import CLOCKS, Scenario, digest, random_scenario, result_of
from tests.unit.noc.oracle import NaiveRing

SWEEP = range(60)


@st.composite
def scenarios(draw):
    """Scenarios on rings of 2 to 8 nodes with shallow and deep buffers, short and long latencies, any clocks."""
    small, latency = st.integers(1, 8), st.integers(1, 3)
    nodes = draw(st.integers(2, 8))
    params = NocParams(
        nodes=nodes,
        flit_bytes=draw(st.sampled_from([16, 128])),
        vcs=draw(st.integers(2, 3)),
        buffer_flits=draw(small),
        nROUTER=draw(latency),
        nLINK=draw(latency),
        nCREDIT=draw(latency),
        nSYNC=draw(latency),
        inject_flits=draw(small),
        eject_flits=draw(small),
    )
    node = st.integers(0, nodes - 1)
    message = st.tuples(st.integers(0, 60), node, node, st.integers(1, 9)).filter(lambda m: m[1] != m[2])
    messages = draw(st.lists(message, min_size=1, max_size=40))
    return Scenario(params, draw(st.sampled_from(CLOCKS)), draw(st.builds(Pace, latency, latency)), messages)


def assert_sound(scenario, run):
    """Every flit once, in order, no earlier than alone; accounts add up.  (`run_messages` checks that all is empty.)"""
    params, periods, _, messages = scenario
    assert (run.passage["times"] == 1).all()
    hops = [hops_between(params.nodes, m.source, m.destination, m.direction) for m in run.message]
    ranks = {}
    for number, m in sorted(enumerate(run.message), key=lambda pair: messages[pair[0]][0]):
        passage = run.passage[m.first : m.first + m.flits]
        assert m.at <= passage.written_at[0]
        assert run.delivered[number] == passage.taken_at[-1]
        ranks.setdefault((m.source, m.destination, m.direction), []).extend(passage["rank"].tolist())
        for inject_at, eject_at, taken_at in zip(passage.inject_at, passage.eject_at, passage.taken_at, strict=True):
            assert zero_load_at(params, periods, int(inject_at), hops[number]) <= eject_at <= taken_at
    assert all(rank == sorted(rank) for rank in ranks.values())
    flits = [flits for *_, flits in messages]
    assert run.counters() == {"injected": sum(flits), "ejected": sum(flits), "flit_hops": int(np.dot(flits, hops))}
    assert (run.network.stall.sum(axis=2) == run.now + 1).all()
    transfers = run.network.stall[..., REASONS.index("transfer")]
    sent = run.network.link.flits * periods[1]
    assert ((sent - periods[1] < transfers) & (transfers <= sent)).all(), "one cycle per flit, the last one may be cut"


def assert_same(scenario, seed=0):
    """Plain mode, skip mode and shuffled visits are seen as one; return the run in skip mode."""
    order = list(range(2 * scenario.params.nodes))
    random.Random(seed).shuffle(order)
    run = scenario.run()
    seen = result_of(run)
    for ways in ({"plain": True}, {"order": order}, {"plain": True, "order": order}, {"order": order[::-1]}):
        assert result_of(scenario.run(**ways)) == seen, ways
    return run


@given(scenario=scenarios(), seed=st.integers(0, 9))
def test_random_traffic_is_delivered_soundly_whatever_the_mode_and_the_order_of_visits(scenario, seed):
    assert_sound(scenario, assert_same(scenario, seed))


@given(scenario=scenarios())
def test_the_ring_is_the_naive_ring_to_the_tick(scenario):
    run, naive = scenario.run(), NaiveRing(scenario).run()
    taken = {
        (number, i): int(run.passage[m.first + i].taken_at)
        for number, m in enumerate(run.message)
        for i in range(m.flits)
    }
    assert taken == naive.taken
    assert run.now == naive.now
    assert run.network.stall.tolist() == naive.stall_table()


def test_every_reason_and_every_conflict_is_met_over_the_sweep():
    reasons = np.zeros(len(REASONS), np.int64)
    conflicts = 0
    for seed in SWEEP:
        scenario = random_scenario(seed)
        run = assert_same(scenario, seed)
        assert_sound(scenario, run)
        reasons += run.network.stall.sum(axis=(0, 1))
        conflicts += run.network.node.conflicts.sum()
    never = [name for name, ticks in zip(REASONS, reasons, strict=True) if ticks == 0]
    assert not never
    assert conflicts


@pytest.mark.parametrize("vcs", [2, 3, 4])
@pytest.mark.parametrize("nodes", [2, 3, 5, 8])
def test_saturation_with_single_places_ends(nodes, vcs):
    params = random_scenario(0).params._replace(
        nodes=nodes, vcs=vcs, buffer_flits=1, inject_flits=1, eject_flits=1, nROUTER=1, nLINK=2, nCREDIT=1
    )
    pairs = [(s, d) for s in range(nodes) for d in range(nodes) if s != d]
    messages = [(0, s, d, 1 + (s + 3 * d + i) % 7) for i in range(12) for s, d in pairs]
    scenario = Scenario(params, (5, 4), Pace(1, 1), messages)
    assert_sound(scenario, assert_same(scenario))


@pytest.mark.parametrize("vcs", [2, 3, 4, 5])
def test_messages_of_a_pair_never_overtake_each_other(vcs):
    """Short messages behind long ones, all to two nodes, so that the channels of a class are all in use."""
    for seed in range(40):
        draw = random.Random(seed)
        scenario = random_scenario(seed, vcs=vcs, nodes=draw.randint(3, 6), buffer_flits=draw.randint(3, 8))
        nodes = scenario.params.nodes
        messages = []
        for _ in range(60):
            destination = draw.randrange(2)
            source = (destination - draw.randint(1, nodes - 1)) % nodes
            messages.append((0, source, destination, draw.choice([1, 1, 8])))
        crowd = scenario._replace(messages=messages)
        assert_sound(crowd, crowd.run())


def test_skipping_visits_less_often():
    sparse = [random_scenario(seed) for seed in SWEEP]
    visits = [sum(scenario.run(plain=plain).visits for scenario in sparse) for plain in (False, True)]
    assert visits[0] < visits[1] / 2


def test_a_run_does_not_depend_on_what_ran_before():
    scenario = random_scenario(3)
    first = result_of(scenario.run())
    run_messages(scenario.params, [(0, 0, 1, 5)])
    assert result_of(scenario.run()) == first


@pytest.mark.parametrize("lane", [lane for lane in LANES if lane != LANE])
def test_every_lane_gives_the_same_run(lane):
    seeds = ["0", "1", "2", "3"]
    environment = {**os.environ, "NMPSIM_LANE": lane}
    environment.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-m", "tests.unit.noc.bench", *seeds]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == digest(int(seed) for seed in seeds)
