"""Collectives on networks: values bit by bit, times, bounds, and what the registers of trees must refuse."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from nmpsim.analytic.collective import KINDS, bound
from nmpsim.cli.noc_collective import links_of, run_collective
from nmpsim.errors import SpecError, WorkloadError
from nmpsim.noc.collective.plan import NETWORK_ALGORITHMS, Hardware, plan
from nmpsim.noc.collective.software import ALGORITHMS, choose_all_reduce
from nmpsim.noc.collective.steps import MessageStep, TreeStep, launch
from nmpsim.noc.collective.values import result
from nmpsim.noc.router.check import check_empty
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.tree_state import ALL_REDUCE, MULTICAST, REDUCE
from nmpsim.noc.router.trees import Edge, Tree, TreeSet, tree_of
from nmpsim.noc.synthetic.run import finish, run
from nmpsim.noc.topology import mesh, torus

SETTINGS = RouterSettings()
FOUR = mesh(4)
RING = torus(16, 1)
LARGE = 2048
"""Flits of a large message; chosen before any was run: the far corner is some 50 cycles away, 2.5 %."""


def done(topology, trees, steps, settings=SETTINGS, **options):
    """Run steps to their end, and let the last credits come back."""
    launched = launch(topology, settings, trees, steps, **options)
    assert finish(launched.fabric, launched.traffic, 10**6)
    run(launched.fabric, launched.traffic, int(launched.fabric.state.totals[0].now) + 4 * launched.fabric.params.wheel)
    check_empty(launched.fabric)
    return launched


def vectors(nodes, flits, seed=3):
    """FP32 values of very different size, so that the order of a sum shows in its bits."""
    drawn = np.random.default_rng(seed)
    return (drawn.standard_normal((nodes, flits)) * 10.0 ** drawn.integers(-6, 7, (nodes, flits))).astype(np.float32)


def summed(topology, tree, given):
    """The sum that a tree implies, from its edges alone: inputs in the order of ports, FP32 at every router."""
    inputs = {}
    for edge in tree.edges:
        channel = topology.channels[edge.channel]
        up = next(c for c in topology.channels if (c.source, c.sink) == (channel.sink, channel.source))
        inputs.setdefault(channel.source, []).append((up.in_port, "router", channel.sink))
    for member in tree.members:
        terminal = topology.terminals[member]
        inputs.setdefault(terminal.router, []).append((terminal.in_port, "node", member))

    def at(router):
        total = None
        for _, kind, number in sorted(inputs[router]):
            value = given[number] if kind == "node" else at(number)
            total = value if total is None else total + value
        return total

    return at(topology.terminals[tree.root].router)


@pytest.mark.parametrize("topology", [FOUR, RING, torus(3)], ids=lambda t: t.name)
@pytest.mark.parametrize("root", [0, 5])
def test_sums_are_those_of_fp32_in_the_order_of_the_tree(topology, root):
    trees = TreeSet((tree_of(topology, root),))
    given = vectors(topology.nodes, 20)
    expected = summed(topology, trees.trees[0], given)
    assert not np.array_equal(expected, given.sum(axis=0, dtype=np.float32))  # the order matters here
    held = result(done(topology, trees, [TreeStep(REDUCE, 0, 20)]), given)
    assert held[root].tobytes() == expected.tobytes()
    held = result(done(topology, trees, [TreeStep(ALL_REDUCE, 0, 20)]), given)
    assert all(row.tobytes() == expected.tobytes() for row in held)


def expected_result(kind, given, flits, root):
    """What NumPy says each node holds in the end, and where it matters; whole numbers, so that no order shows."""
    nodes = len(given)
    total, shares = given.sum(axis=0), [slice(n * flits, (n + 1) * flits) for n in range(nodes)]
    if kind == "broadcast":
        return [(node, slice(None), given[root]) for node in range(nodes)]
    if kind == "reduce":
        return [(root, slice(None), total)]
    if kind == "all-reduce":
        return [(node, slice(None), total) for node in range(nodes)]
    if kind == "all-gather":
        return [(node, shares[n], given[n, shares[n]]) for node in range(nodes) for n in range(nodes)]
    if kind == "reduce-scatter":
        return [(n, shares[n], total[shares[n]]) for n in range(nodes)]
    pairs = [
        (i, j, slice((nodes * i + j) * flits, (nodes * i + j + 1) * flits)) for i in range(nodes) for j in range(nodes)
    ]
    return [(j, place, given[i, place]) for i, j, place in pairs]


CASES = [(kind, False, way) for kind in KINDS for way in NETWORK_ALGORITHMS[kind]]
CASES += [(kind, True, way) for kind in KINDS for way in ALGORITHMS[kind]]


@pytest.mark.parametrize("topology", [mesh(3), torus(5, 1)], ids=lambda t: t.name)
@pytest.mark.parametrize(("kind", "software", "way"), CASES)
def test_every_collective_ends_with_the_values_of_numpy_and_never_below_its_bound(topology, kind, software, way):
    for flits in (1, 11):
        made = plan(kind, topology, flits, software=software, algorithm=way)
        launched = done(topology, made.trees, made.steps)
        given = np.random.default_rng(5).integers(-1000, 1000, (topology.nodes, made.flits))
        held = result(launched, given)
        for node, place, values in expected_result(kind, given, flits, made.root):
            assert (held[node, place] == values).all(), (kind, node)
        least = bound(
            kind, links_of(topology, SETTINGS), flits, root=made.root, add_cycles=made.costs.add if software else 2,
            in_network=not software and way == "tree",
        )  # fmt: skip
        assert made.end(launched) >= least.cycles


@pytest.mark.parametrize("topology", [FOUR, RING], ids=lambda t: t.name)
@pytest.mark.parametrize("kind", ["broadcast", "reduce", "all-reduce"])
def test_large_vectors_are_within_ten_percent_of_the_bound(topology, kind):
    outcome = run_collective(kind, topology, SETTINGS, LARGE)
    assert 1 <= outcome.ratio <= 1.1


@pytest.mark.parametrize("topology", [FOUR, RING], ids=lambda t: t.name)
@pytest.mark.parametrize("kind", ["all-gather", "reduce-scatter"])
def test_large_shares_are_within_ten_percent_of_the_bound(topology, kind):
    outcome = run_collective(kind, topology, SETTINGS, LARGE // 4)
    assert 1 <= outcome.ratio <= 1.1


@pytest.mark.parametrize("topology", [FOUR, RING], ids=lambda t: t.name)
def test_small_sums_meet_the_latency_bound_to_the_cycle(topology):
    for kind in ("broadcast", "reduce", "all-reduce"):
        assert run_collective(kind, topology, SETTINGS, 1).ratio == 1


@pytest.mark.parametrize("topology", [FOUR, RING, torus(3), mesh(2, 3)], ids=lambda t: t.name)
@pytest.mark.parametrize("root", [0, 3])
def test_a_sum_without_delay_takes_as_long_as_a_broadcast_on_the_reversed_links(topology, root):
    trees = TreeSet((tree_of(topology, root),), add_delay=0)
    for flits in range(1, SETTINGS.buffer_flits + 1):  # one packet: a sum is one, a broadcast is cut into packets
        copied, added = (done(topology, trees, [TreeStep(kind, 0, flits)]).times(0) for kind in (MULTICAST, REDUCE))
        assert copied == added


@pytest.mark.parametrize("topology", [FOUR, RING, torus(3)], ids=lambda t: t.name)
def test_a_multicast_sends_each_flit_once_over_each_link_of_its_tree(topology):
    members = (0, 2, 7)
    trees = TreeSet((tree_of(topology, 0, members),))
    launched = done(topology, trees, [TreeStep(MULTICAST, 0, 30)])
    ports = launched.fabric.params.ports
    flits = launched.fabric.state.output_port.flits
    sent = {(c.source, c.out_port): int(flits[c.source * ports + c.out_port]) for c in topology.channels}
    links = {(topology.channels[e.channel].source, topology.channels[e.channel].out_port) for e in trees.trees[0].edges}
    assert sent == {link: 30 if link in links else 0 for link in sent}
    assert launched.fabric.state.member.accepted.tolist() == [30 * (n in members[1:]) for n in range(topology.nodes)]


def test_a_blocked_branch_does_not_hold_its_sisters_back_within_a_packet():
    line = mesh(3, 1)
    trees = TreeSet((tree_of(line, 1),))
    crowd = [MessageStep(0, 0, 40)]  # holds the switch of router 0 towards its node
    alone = done(line, trees, [TreeStep(MULTICAST, 0, 8)])
    both = done(line, trees, [*crowd, TreeStep(MULTICAST, 0, 8, at=20)])
    assert int(alone.fabric.state.adder.split.sum()) == 0
    late = {int(-1 - place): int(at) for _, place, index, at in both.fabric.state.tree_log if index == 7}
    early = {int(-1 - place): int(at) + 20 for _, place, index, at in alone.fabric.state.tree_log if index == 7}
    assert late[2] == early[2]
    assert late[0] > early[0]


def test_a_full_table_makes_sums_wait_and_is_counted():
    trees = TreeSet(tuple(tree_of(FOUR, n) for n in (0, 5, 15)), entries=1)
    steps = [TreeStep(REDUCE, n, 10, 10 * n) for n in range(3)]
    launched = done(FOUR, trees, steps)
    operation = launched.fabric.state.operation
    assert [int(o.admitted_at) for o in operation[1:]] == [int(o.ended_at) for o in operation[:-1]]
    assert int(launched.fabric.state.tree_totals[0].table_full) == sum(int(o.admitted_at) for o in operation)
    free = done(FOUR, TreeSet(trees.trees, entries=3), steps)
    assert int(free.fabric.state.tree_totals[0].table_full) == 0


@pytest.mark.parametrize("interval", [1, 3])
def test_an_adder_begins_once_in_its_interval(interval):
    trees = TreeSet((tree_of(FOUR, 0),), add_interval=interval)
    launched = done(FOUR, trees, [TreeStep(REDUCE, 0, 12)])
    log = launched.fabric.state.tree_log
    times = [int(at) for _, place, _, at in log if place == 0]
    assert len(times) == 12
    assert {b - a for a, b in pairwise(times)} == {interval}


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_each_level_of_a_sum_costs_the_delay_of_its_adder(delay):
    line = mesh(4, 1)
    quick, slow = (done(line, TreeSet((tree_of(line, 0),), add_delay=d), [TreeStep(REDUCE, 0, 3)]) for d in (0, delay))
    assert slow.times(0)[1] - quick.times(0)[1] == 3 * delay


def test_a_step_starts_its_delay_after_the_last_of_those_that_it_waits_for():
    steps = [MessageStep(0, 3, 4), MessageStep(1, 3, 9), MessageStep(3, 2, 1, after=(0, 1), delay=7)]
    trees = TreeSet((tree_of(FOUR, 2),))
    launched = done(FOUR, trees, [*steps, TreeStep(MULTICAST, 0, 2, after=(2,), delay=5)])
    assert launched.times(2)[0] == max(launched.times(0)[1], launched.times(1)[1]) + 7
    assert launched.times(3)[0] == launched.times(2)[1] + 5


def test_uneven_messages_of_an_all_to_all_all_arrive():
    ring = torus(4, 1)
    sizes = [[0, 3, 0, 9], [1, 0, 40, 0], [2, 2, 0, 2], [0, 0, 0, 0]]
    made = plan("all-to-all", ring, 1, sizes=sizes)
    given = np.arange(4 * made.flits).reshape(4, made.flits)
    held = result(done(ring, made.trees, made.steps), given)
    place = 0
    for i, row in enumerate(sizes):
        for j, size in enumerate(row):
            if i != j:
                assert (held[j, place : place + size] == given[i, place : place + size]).all()
            place += size


def test_an_all_reduce_by_messages_is_chosen_by_its_size():
    costs = Hardware().costs
    assert choose_all_reduce(16, 1, 12, costs) == "doubling"
    assert choose_all_reduce(16, 4096, 12, costs) == "ring"
    assert plan("all-reduce", FOUR, 1, software=True, hop_cycles=12).algorithm == "doubling"
    assert plan("all-reduce", FOUR, 1, software=True, hop_cycles=12, algorithm="ring").algorithm == "ring"


def test_plain_networks_are_not_touched_by_trees_that_nobody_uses():
    crowd = [MessageStep(i, (7 * i + 3) % 16, 5) for i in range(16)] * 3
    trees = TreeSet((tree_of(FOUR, 0),))
    beside = done(FOUR, trees, [*crowd, TreeStep(MULTICAST, 0, 1, at=5000)])
    alone = done(FOUR, TreeSet(()), crowd)
    assert [beside.times(n) for n in range(48)] == [alone.times(n) for n in range(48)]


def test_trees_that_form_a_circle_are_refused_with_it():
    ring = torus(3, 1)
    ups = [n for n, c in enumerate(ring.channels) if c.out_port == 0]
    chain = tuple(Tree(start, (0, 1, 2), tuple(Edge(ups[(start + k) % 3], 0) for k in range(2))) for start in range(3))
    with pytest.raises(SpecError, match="trees cannot be built") as caught:
        launch(ring, SETTINGS, TreeSet(chain), [TreeStep(MULTICAST, 0, 1)])
    assert "->" in caught.value.faults[0].got


def test_what_cannot_be_built_or_run_is_refused_all_at_once():
    trees = TreeSet((tree_of(FOUR, 0, (0,)),))
    with pytest.raises(WorkloadError) as caught:
        launch(FOUR, SETTINGS, trees, [TreeStep(MULTICAST, 0, 1), MessageStep(0, 99, 1), TreeStep(REDUCE, 4, 1)])
    assert len(caught.value.faults) == 3
    with pytest.raises(WorkloadError, match="packet_flits"):
        launch(FOUR, SETTINGS, trees, [], packet_flits=9)
    with pytest.raises(SpecError) as refused:
        launch(FOUR, RouterSettings(batched_stages=True), TreeSet((), entries=-1, add_delay=-1), [])
    assert {fault.where for fault in refused.value.faults} == {"entries", "add_delay", "batched_stages"}
    with pytest.raises(WorkloadError, match="kind"):
        plan("gossip", FOUR, 1)
