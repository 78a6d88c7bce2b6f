"""Random traffic on random networks of routers: laws, both modes, any visiting order, every lane, a naive network."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nmpsim.kernel import LANE, LANES
from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.check import causes, check_conservation, check_empty
from nmpsim.noc.router.network import RUN, UNTIL_EMPTY, run_cycles, step_in_order
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.synthetic.patterns import make_pattern
from nmpsim.noc.synthetic.run import finish, run
from nmpsim.noc.synthetic.traffic import Message, bernoulli, trace
from nmpsim.noc.topology import crossbar, graph, mesh, torus
from tests.oracle.noc_router import NaiveNetwork

ALLOCATORS = ("islip", "islip(2)", "separable_input_first", "separable_output_first")


@st.composite
def router_settings(draw, *, batched=False):
    """Settings of any router."""
    vc_delay = draw(st.integers(1, 3))
    speculative = draw(st.booleans())
    return RouterSettings(
        vcs=draw(st.integers(2, 5)),
        buffer_flits=draw(st.integers(1, 6)),
        routing_delay=draw(st.integers(0, 3)),
        vc_alloc_delay=vc_delay,
        sw_alloc_delay=draw(st.integers(vc_delay if speculative else 1, 3)),
        switch_delay=draw(st.integers(1, 3)),
        credit_delay=draw(st.integers(0, 3)),
        vc_allocator=draw(st.sampled_from(ALLOCATORS)),
        sw_allocator=draw(st.sampled_from(ALLOCATORS)),
        speculative=speculative,
        wait_for_tail_credit=draw(st.booleans()),
        hold_switch_for_packet=draw(st.booleans()),
        batched_stages=draw(st.booleans()) if batched else False,
    )


@st.composite
def trees(draw):
    """Routers in a random tree, links of random latency, a node or two at each: shortest paths have no cycle."""
    routers = draw(st.integers(1, 6))
    links = {r: {} for r in range(routers)}
    for r in range(1, routers):
        to = draw(st.integers(0, r - 1))
        links[r][to] = draw(st.integers(1, 4))
        links[to][r] = draw(st.integers(1, 4))
    nodes = {}
    for r in range(routers):
        for _ in range(draw(st.integers(1, 2))):
            nodes[len(nodes)] = (r, draw(st.integers(1, 3)))
    return graph("tree", nodes, links)


def topologies():
    """Networks without a coin, so that a naive one makes the same choices: tori of odd size."""
    named = [mesh(2), mesh(3), mesh(2, 3), torus(3), torus(5, 1), crossbar(1), crossbar(5)]
    return st.one_of(st.sampled_from(named), trees())


@st.composite
def messages(draw, nodes):
    """Up to 40 messages within a short time."""
    node = st.integers(0, nodes - 1)
    one = st.tuples(st.integers(0, 30), node, node, st.integers(1, 5))
    return [Message(*fields) for fields in draw(st.lists(one, min_size=1, max_size=40))]


def times_of(fabric):
    """When the head of each message was sent and its tail arrived."""
    logged = fabric.state.logged
    return list(zip(logged.entered_at.tolist(), logged.arrived_at.tolist(), strict=True))


def settle(fabric, traffic):
    """Let the last credits arrive."""
    run(fabric, traffic, int(fabric.state.totals[0].now) + 4 * fabric.params.wheel)


@given(st.data())
def test_every_packet_enters_and_arrives_when_the_naive_network_says(data):
    topology, chosen = data.draw(topologies()), data.draw(router_settings())
    sent = data.draw(messages(topology.nodes))
    fabric = build_network(topology, chosen, log=len(sent))
    traffic = trace(fabric, sent)
    assert finish(fabric, traffic, 100_000)
    naive = NaiveNetwork(topology, chosen, [(m.at, m.source, m.destination, m.flits) for m in sent])
    assert times_of(fabric) == naive.run(100_000)
    settle(fabric, traffic)
    check_empty(fabric)


@pytest.mark.parametrize("topology", [crossbar(5), mesh(3), torus(5, 1)], ids=lambda topology: topology.name)
@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("speculative", [False, True], ids=["asks", "guesses"])
def test_a_crowd_is_served_in_the_order_of_the_naive_network(topology, allocator, speculative):
    drawn = random.Random(7)
    nodes = range(topology.nodes)
    sent = [
        Message(drawn.randrange(20), drawn.choice(nodes), drawn.choice(nodes), drawn.randint(1, 4)) for _ in range(250)
    ]
    chosen = RouterSettings(buffer_flits=4, vc_allocator=allocator, sw_allocator=allocator, speculative=speculative)
    fabric = build_network(topology, chosen, log=len(sent))
    assert finish(fabric, trace(fabric, sent), 100_000)
    naive = NaiveNetwork(topology, chosen, [(m.at, m.source, m.destination, m.flits) for m in sent])
    assert times_of(fabric) == naive.run(100_000)


@given(st.data())
def test_plain_and_skip_mode_end_in_the_same_bytes(data):
    topology, chosen = data.draw(topologies()), data.draw(router_settings(batched=True))
    rate, flits = data.draw(st.sampled_from([0.002, 0.05, 0.9])), data.draw(st.integers(1, 4))
    cuts = sorted(data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=4)))
    left = []
    for plain in (False, True):
        fabric = build_network(topology, chosen, log=50)
        traffic = bernoulli(fabric, make_pattern("uniform", topology.nodes, topology.radix), rate, flits, 3)
        for cut in cuts:
            run(fabric, traffic, cut, plain=plain)
            check_conservation(fabric)
        fabric.state.totals[0].skipped = 0
        left.append(b"".join(array.tobytes() for array in fabric.state))
    assert left[0] == left[1]


@given(st.data())
def test_the_order_in_which_routers_are_visited_has_no_influence(data):
    topology, chosen = data.draw(topologies()), data.draw(router_settings(batched=True))
    sent = data.draw(messages(topology.nodes))
    shuffler = random.Random(data.draw(st.integers(0, 999)))
    ended = []
    for mix in (False, True):
        fabric = build_network(topology, chosen, log=len(sent))
        traffic = trace(fabric, sent, seed=5)
        order = list(range(topology.routers))
        for _ in range(100_000):
            if mix:
                shuffler.shuffle(order)
            step_in_order(np.array(order), fabric.params, *vars(traffic).values(), fabric.state)
            if not fabric.state.totals[0].in_flight and not fabric.state.totals[0].remaining:
                break
        ended.append((times_of(fabric), causes(fabric).tolist(), fabric.state.output_port.flits.tolist()))
    assert ended[0] == ended[1]


class Laws(RuleBasedStateMachine):
    """A network under random traffic, looked at between any two bursts of cycles."""

    @initialize(data=st.data())
    def build(self, data):
        topology, chosen = data.draw(topologies()), data.draw(router_settings(batched=True))
        self.fabric = build_network(topology, chosen)
        self.flits = data.draw(st.integers(1, 4))
        rate = data.draw(st.floats(0.01, 1.0))
        pattern = make_pattern("uniform", topology.nodes, topology.radix)
        self.traffic = bernoulli(self.fabric, pattern, rate, self.flits, data.draw(st.integers(0, 99)))

    @rule(cycles=st.integers(1, 60), plain=st.booleans())
    def advance(self, cycles, plain):
        run(self.fabric, self.traffic, int(self.fabric.state.totals[0].now) + cycles, plain=plain)

    @invariant()
    def nothing_is_lost_or_made(self):
        if hasattr(self, "fabric"):
            check_conservation(self.fabric)
            source = self.fabric.state.source
            assert (source.offered == source.made * self.flits).all()
            assert (source.injected <= source.offered).all()

    def teardown(self):
        if hasattr(self, "fabric"):
            self.fabric.state.source.next_at = 2**62
            totals = self.fabric.state.totals[0]
            run_cycles(
                int(totals.now) + 100_000,
                UNTIL_EMPTY,
                0,
                self.fabric.params,
                self.traffic.params,
                self.traffic.tables,
                self.fabric.state,
            )
            run(self.fabric, self.traffic, int(totals.now) + 4 * self.fabric.params.wheel, RUN)
            check_empty(self.fabric)


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)


def digest():
    """A hash of the state after a few short runs."""
    found = hashlib.sha256()
    for topology in (mesh(2), torus(4, 1), crossbar(3)):
        for chosen in (
            RouterSettings(),
            RouterSettings(vcs=2, speculative=True, routing_delay=0, sw_allocator="separable_input_first"),
            RouterSettings(vcs=2, wait_for_tail_credit=True, hold_switch_for_packet=True),
        ):
            fabric = build_network(topology, chosen, log=20)
            traffic = bernoulli(fabric, make_pattern("uniform", topology.nodes, topology.radix), 0.7, 2, 1)
            run(fabric, traffic, 120)
            for array in fabric.state:
                found.update(array.tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("lane", [lane for lane in LANES if lane != LANE])
def test_every_lane_ends_in_the_same_bytes(lane):
    code = "from tests.property.test_noc_router import digest; print(digest())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NMPSIM_LANE": lane},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest()
