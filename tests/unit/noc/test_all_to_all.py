"""All-to-all by a timetable: phases without a meeting, times to the cycle, values bit by bit, and the bound."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from nmpsim.analytic.collective import bound
from nmpsim.cli.noc_collective import links_of, run_collective
from nmpsim.errors import WorkloadError
from nmpsim.noc.collective.phases import MOST_NODES, legs_of, loads, phases_of
from nmpsim.noc.collective.plan import plan
from nmpsim.noc.collective.software import pair_places
from nmpsim.noc.collective.steps import launch
from nmpsim.noc.collective.timetable import direct_cycles, stages_of, timetable
from nmpsim.noc.collective.values import result
from nmpsim.noc.router.check import causes
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.state import CAUSES
from nmpsim.noc.router.trees import TreeSet
from nmpsim.noc.synthetic.run import finish
from nmpsim.noc.topology import Channel, Option, RouteTable, Terminal, Topology, crossbar, graph, mesh, torus

SETTINGS = RouterSettings()
FOUR = mesh(4)
RING = torus(16, 1)
LARGE = 2048
"""As in test_collective.py."""


def narrow():
    """Two by three routers, longer links along a row: a mesh that is no square."""
    links = {r: {} for r in range(6)}
    for r in range(6):
        for other, cycles in ((r ^ 1, 2), (r + 2, 1)):
            if other < 6:
                links[r][other] = links[other][r] = cycles
    return graph("2x3", {r: (r, 1) for r in range(6)}, links)


def double_link():
    """Two nodes, two links each way, and a coin that takes one: no node in between could choose."""
    table = RouteTable((2, 1, 2, 1))
    for router in range(2):
        table.set((router, 0, router, 0), Option(2))
        table.set((router, 0, 1 - router, 0), Option(0), Option(1))
    channels = tuple(Channel(r, port, 1 - r, port, 1) for r in range(2) for port in range(2))
    terminals = tuple(Terminal(r, 2, 2, 1) for r in range(2))
    group = np.zeros((2, 3), np.int64)
    return Topology("double", (3, 3), (3, 3), channels, terminals, group, table.choices, table.route, (2,))


NETWORKS = {
    "mesh 4x4": FOUR,
    "ring 16": RING,
    "mesh 3x3": mesh(3),
    "mesh 5x5": mesh(5),
    "mesh 2x2x2": mesh(2, 3),
    "line 5": mesh(5, 1),
    "ring 4": torus(4, 1),
    "ring 7": torus(7, 1),
    "torus 4x4": torus(4),
    "torus 3x3": torus(3),
    "crossbar 6": crossbar(6),
    "2x3": narrow(),
    "double link": double_link(),
}
everywhere = pytest.mark.parametrize("topology", NETWORKS.values(), ids=NETWORKS)


def done(topology, steps, settings=SETTINGS):
    """Run messages to their end."""
    launched = launch(topology, settings, TreeSet(()), steps)
    assert finish(launched.fabric, launched.traffic, 10**6)
    return launched


@everywhere
def test_legs_of_a_phase_share_no_link_and_no_port_and_each_has_one_phase(topology):
    legs = legs_of(topology, 4)
    phases = phases_of(legs)
    assert sorted(chain.from_iterable(phases)) == list(range(len(legs)))
    for phase in phases:
        used = [use.resource for n in phase for use in legs[n].uses]
        assert len(used) == len(set(used))
    number = {n: at for at, phase in enumerate(phases) for n in phase}
    assert all(number[leg.before] < number[n] for n, leg in enumerate(legs) if leg.before >= 0)
    assert len(phases) >= max(loads(legs).values())


@pytest.mark.parametrize(("name", "most"), [("ring 16", 33), ("mesh 4x4", 17), ("mesh 5x5", 32), ("crossbar 6", 5)])
def test_there_are_at_most_a_few_phases_more_than_the_busiest_link_has_messages(name, most):
    assert len(phases_of(legs_of(NETWORKS[name], 4))) <= most


@everywhere
def test_every_pair_has_its_legs_and_they_use_the_links_that_the_network_takes(topology):
    legs, flits = legs_of(topology, 4), 3
    pairs = {(s, d) for s in range(topology.nodes) for d in range(topology.nodes) if s != d}
    assert {leg.pair for leg in legs} == pairs
    ends = {pair: [(leg.source, leg.destination) for leg in legs if leg.pair == pair] for pair in pairs}
    assert all(ends[s, d][0][0] == s and ends[s, d][-1][1] == d for s, d in pairs)
    assert all(way[0][1] == way[-1][0] for way in ends.values() if len(way) == 2)
    steps, _ = timetable(topology, SETTINGS, pair_places(topology.nodes, flits), 1)
    fabric = done(topology, steps).fabric
    ports, sent = fabric.params.ports, fabric.state.output_port.flits
    counted = loads(legs)
    known = [len(topology.choices[n]) == 1 for n in np.unique(topology.route[topology.route >= 0])]
    for n, channel in enumerate(topology.channels):
        took = int(sent[channel.source * ports + channel.out_port])
        assert took <= flits * counted.get(n, 0)
        if all(known):
            assert took == flits * counted.get(n, 0)


SETTINGS_TRIED = [
    SETTINGS,
    RouterSettings(buffer_flits=4),
    RouterSettings(buffer_flits=16),
    RouterSettings(vc_alloc_delay=2, vc_allocator="separable_input_first", sw_allocator="separable_input_first"),
    RouterSettings(wait_for_tail_credit=True, hold_switch_for_packet=True),
    RouterSettings(routing_delay=0, credit_delay=0),
    RouterSettings(routing_delay=2, switch_delay=2, buffer_flits=12),
]


@everywhere
@pytest.mark.parametrize("flits", [2, 8, 50])
def test_the_timetable_is_what_happens_to_the_cycle_and_nobody_waits_for_another(topology, flits):
    steps, end = timetable(topology, SETTINGS, pair_places(topology.nodes, flits), 1)
    launched = done(topology, steps)
    assert [launched.times(n)[0] for n in range(len(steps))] == [step.at for step in steps]
    assert max(launched.times(n)[1] for n in range(len(steps))) == end
    spent = dict(zip(CAUSES, causes(launched.fabric).sum(axis=0).tolist(), strict=True))
    assert spent["vc_busy"] == spent["vc_conflict"] == spent["switch_conflict"] == 0


@pytest.mark.parametrize("settings", SETTINGS_TRIED, ids=range(len(SETTINGS_TRIED)))
@pytest.mark.parametrize("topology", [FOUR, RING, torus(7, 1)], ids=lambda t: t.name)
def test_the_timetable_knows_stages_buffers_and_credits(topology, settings):
    steps, end = timetable(topology, settings, pair_places(topology.nodes, 60), 1)
    launched = done(topology, steps, settings)
    assert max(launched.times(n)[1] for n in range(len(steps))) == end


@pytest.mark.parametrize("forward", [0, 1, 300])
def test_a_node_half_way_sends_on_what_has_come_after_the_time_that_it_needs(forward):
    steps, end = timetable(RING, SETTINGS, pair_places(16, 20), forward)
    launched = done(RING, steps)
    second = [(n, step) for n, step in enumerate(steps) if step.after]
    assert len(second) == 16
    waits = [launched.times(n)[0] - launched.times(step.after[0])[1] for n, step in second]
    assert min(waits) >= forward
    assert all(steps[step.after[0]].destination == step.source for _, step in second)
    assert max(launched.times(n)[1] for n in range(len(steps))) == end


@everywhere
@pytest.mark.parametrize("flits", [1, 9])
def test_every_value_arrives_and_the_bound_holds(topology, flits):
    made = plan("all-to-all", topology, flits, algorithm="phased")
    launched = done(topology, made.steps)
    n = topology.nodes
    given = np.random.default_rng(8).integers(1, 2**60, (n, n, n, flits))
    held = result(launched, given.reshape(n, -1)).reshape(given.shape)
    for i in range(n):
        for j in range(n):
            assert (held[j, i, j] == given[i, i, j]).all()
    assert made.end(launched) >= bound("all-to-all", links_of(topology, SETTINGS), flits).cycles


def test_uneven_and_empty_messages_find_their_place_in_the_timetable():
    drawn = np.random.default_rng(4)
    sizes = (drawn.integers(0, 30, (16, 16)) * drawn.integers(0, 2, (16, 16))).tolist()
    for topology in (RING, FOUR):
        made = plan("all-to-all", topology, 1, algorithm="phased", sizes=sizes)
        assert plan("all-to-all", topology, 1, sizes=sizes).algorithm == "direct"
        launched = done(topology, made.steps)
        given = np.arange(16 * made.flits).reshape(16, made.flits)
        held = result(launched, given)
        for i, row in enumerate(pair_places(16, 1, sizes)):
            for j, (first, size) in enumerate(row):
                if i != j:
                    assert (held[j, first : first + size] == given[i, first : first + size]).all()


@pytest.mark.parametrize("topology", [FOUR, RING], ids=lambda t: t.name)
def test_large_messages_are_within_ten_percent_of_the_bound_and_direct_ones_are_not(topology):
    ours = run_collective("all-to-all", topology, SETTINGS, LARGE)
    direct = run_collective("all-to-all", topology, SETTINGS, LARGE, software=True)
    assert ours.algorithm == "phased"
    assert 1 <= ours.ratio <= 1.1 < direct.ratio


@pytest.mark.parametrize("topology", [FOUR, RING], ids=lambda t: t.name)
def test_what_is_chosen_follows_the_expected_cycles(topology):
    chosen = set()
    for flits in (1, 4, 16, 64, 256):
        _, end = timetable(topology, SETTINGS, pair_places(16, flits), 1)
        way = plan("all-to-all", topology, flits).algorithm
        assert way == ("phased" if end <= direct_cycles(topology, SETTINGS, flits) else "direct")
        chosen.add(way)
    assert chosen == {"phased", "direct"}


def test_stages_are_those_of_a_head_that_meets_nobody():
    assert stages_of(SETTINGS) == 4
    assert stages_of(RouterSettings(speculative=True)) == 3
    assert stages_of(RouterSettings(routing_delay=0, vc_alloc_delay=2, sw_alloc_delay=3, switch_delay=4)) == 9


def test_large_networks_go_direct_and_phases_are_refused_there():
    large = mesh(9)
    assert large.nodes > MOST_NODES
    assert plan("all-to-all", large, 1000).algorithm == "direct"
    with pytest.raises(WorkloadError, match="phased on 81 nodes"):
        plan("all-to-all", large, 1000, algorithm="phased")
