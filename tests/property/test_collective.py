"""Random trees, sizes and starts on random networks, with other traffic beside: values, laws, both modes, any order."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nmpsim.noc.collective.plan import plan
from nmpsim.noc.collective.steps import MessageStep, TreeStep, launch
from nmpsim.noc.collective.values import result
from nmpsim.noc.router.check import check_conservation, check_empty
from nmpsim.noc.router.network import step_in_order
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.tree_state import ALL_REDUCE, MULTICAST, REDUCE
from nmpsim.noc.router.trees import TreeSet, tree_of
from nmpsim.noc.synthetic.run import finish, run
from nmpsim.noc.topology import crossbar, mesh, torus
from tests.property.test_noc_router import router_settings
from tests.property.test_noc_router import trees as networks


@st.composite
def systems(draw):
    """A network with trees, and steps of all kinds."""
    named = [mesh(2), mesh(3), mesh(2, 3), torus(3), torus(4), torus(5, 1), torus(6, 1), crossbar(5)]
    topology = draw(st.one_of(st.sampled_from(named), networks().filter(lambda t: t.nodes > 1)))
    node = st.integers(0, topology.nodes - 1)
    roots = draw(st.lists(node, min_size=1, max_size=3))
    members = [draw(st.one_of(st.none(), st.frozensets(node, min_size=1))) for _ in roots]
    trees = TreeSet(
        tuple(
            tree_of(topology, root, None if of is None else tuple({*of, root, (root + 1) % topology.nodes}))
            for root, of in zip(roots, members, strict=True)
        ),
        multicast_lanes=draw(st.integers(1, 2)),
        entries=draw(st.integers(1, 3)),
        add_delay=draw(st.integers(0, 4)),
        add_interval=draw(st.integers(1, 3)),
    )
    steps = []
    first = 0
    for n in range(draw(st.integers(1, 9))):
        flits, at = draw(st.integers(1, 20)), draw(st.integers(0, 40))
        after = draw(st.one_of(st.just(()), st.tuples(st.integers(0, n - 1)) if n else st.just(())))
        times = {"at": at, "after": after, "delay": draw(st.integers(0, 9))}
        if draw(st.integers(0, 2)):
            kind = draw(st.sampled_from([MULTICAST, REDUCE, ALL_REDUCE]))
            steps.append(TreeStep(kind, draw(st.integers(0, len(roots) - 1)), flits, first, **times))
        else:
            times["after"] = ()  # messages of a node leave in order: none may wait for a later one
            steps.append(MessageStep(draw(node), draw(node), flits, first, **times))
        first += flits
    return topology, trees, steps, first


def expected(topology, trees, steps, start):
    """What every node holds: whole numbers, so that no order shows."""
    held = start.copy()
    for step in steps:
        here = slice(step.first, step.first + step.flits)
        if isinstance(step, MessageStep):
            held[step.destination, here] = start[step.source, here]
            continue
        tree = trees.trees[step.tree]
        total = start[list(tree.members), here].sum(axis=0)
        if step.kind == MULTICAST:
            held[list(tree.members), here] = start[tree.root, here]
        else:
            held[[tree.root] if step.kind == REDUCE else list(tree.members), here] = total
    return held


def outcome(launched):
    """Times and counters of a run."""
    state = launched.fabric.state
    times = [launched.times(n) for n in range(len(launched.steps))]
    log = sorted(map(tuple, state.tree_log.tolist()))
    return times, log, state.output_port.flits.tolist(), state.adder.tolist(), state.tree_totals.tolist()


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_all_values_arrive_and_nothing_is_lost(data):
    topology, trees, steps, flits = data.draw(systems())
    chosen = data.draw(router_settings())
    launched = launch(topology, chosen, trees, steps)
    for cut in sorted(data.draw(st.lists(st.integers(1, 300), max_size=4))):
        run(launched.fabric, launched.traffic, cut)
        check_conservation(launched.fabric)
    assert finish(launched.fabric, launched.traffic, 200_000), "a circle of waits"
    start = np.random.default_rng(1).integers(-99, 99, (topology.nodes, flits))
    assert (result(launched, start) == expected(topology, trees, steps, start)).all()
    run(launched.fabric, launched.traffic, int(launched.fabric.state.totals[0].now) + 8 * launched.fabric.params.wheel)
    check_empty(launched.fabric)
    state = launched.fabric.state
    for name, seen in (
        ("full table", state.tree_totals[0].table_full > 0),
        ("branches of a flit sent in different cycles", state.adder.split.any()),
        ("no room behind an adder", state.adder.no_room.any()),
        ("adder busy", state.adder.busy.any()),
    ):
        if seen:
            event(name)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_plain_skip_and_any_order_of_visits_end_alike(data):
    topology, trees, steps, _ = data.draw(systems())
    chosen = data.draw(router_settings())
    ended = []
    for plain in (False, True):
        launched = launch(topology, chosen, trees, steps)
        assert finish(launched.fabric, launched.traffic, 200_000, plain=plain)
        ended.append(outcome(launched))
    assert ended[0] == ended[1]
    launched = launch(topology, chosen, trees, steps)
    shuffler = random.Random(data.draw(st.integers(0, 999)))
    order, fabric = list(range(topology.routers)), launched.fabric
    for _ in range(200_000):
        shuffler.shuffle(order)
        step_in_order(np.array(order), fabric.params, *vars(launched.traffic).values(), fabric.state)
        totals = fabric.state.totals[0]
        if not totals.in_flight and not totals.remaining and not fabric.state.tree_totals[0].open:
            break
    assert outcome(launched) == ended[0]


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_an_all_to_all_in_phases_brings_every_value_on_any_network_with_any_router(data):
    named = [mesh(3), torus(4, 1), torus(5, 1), torus(6, 1), crossbar(4)]
    topology = data.draw(st.one_of(st.sampled_from(named), networks().filter(lambda t: t.nodes > 1)))
    chosen, n = data.draw(router_settings()), topology.nodes
    row = st.lists(st.integers(0, 20), min_size=n, max_size=n)
    sizes = data.draw(st.lists(row, min_size=n, max_size=n))
    made = plan("all-to-all", topology, 1, algorithm="phased", sizes=sizes, settings=chosen)
    launched = launch(topology, chosen, made.trees, made.steps)
    assert finish(launched.fabric, launched.traffic, 200_000)
    check_conservation(launched.fabric)
    given_values = np.arange(n * made.flits).reshape(n, made.flits)
    held = result(launched, given_values)
    first = 0
    for i in range(n):
        for j in range(n):
            if i != j:
                place = slice(first, first + sizes[i][j])
                assert (held[j, place] == given_values[i, place]).all()
            first += sizes[i][j]


def test_the_states_that_trees_are_about_are_reached():
    seen = Counter()
    drawn = random.Random(11)
    for _ in range(25):
        topology = drawn.choice([mesh(3), torus(5, 1), torus(3)])
        trees = TreeSet(tuple(tree_of(topology, drawn.randrange(topology.nodes)) for _ in range(3)), entries=1)
        steps = [TreeStep(drawn.choice([MULTICAST, REDUCE, ALL_REDUCE]), n % 3, 12, 12 * n) for n in range(6)]
        steps += [
            MessageStep(drawn.randrange(topology.nodes), drawn.randrange(topology.nodes), 9, 72 + 9 * n)
            for n in range(20)
        ]
        launched = launch(
            topology, drawn.choice((RouterSettings(), RouterSettings(buffer_flits=3, speculative=True))), trees, steps
        )
        assert finish(launched.fabric, launched.traffic, 100_000)
        state = launched.fabric.state
        seen["full table"] += int(state.tree_totals[0].table_full)
        seen["asynchronous replication"] += int(state.adder.split.sum())
        seen["blocked branch"] += int(state.adder.split_wait.sum() > state.adder.split.sum())
        seen["no room behind an adder"] += int(state.adder.no_room.sum())
        seen["waiting for an input"] += int(state.adder.waiting.sum())
    assert all(
        seen[name] for name in ("full table", "asynchronous replication", "blocked branch", "no room behind an adder")
    )
    assert seen["waiting for an input"]
