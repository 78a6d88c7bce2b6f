"""Networks as data: who is linked to whom, where packets go, and which networks are refused."""

from dataclasses import replace

import pytest

from nmpsim.errors import SpecError
from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.topology import (
    Option,
    check_deadlock_free,
    crossbar,
    graph,
    mesh,
    named_topology,
    read_anynet,
    torus,
)


def path_of(topology, source, destination, pick=0):
    """Routers visited on the way, taking the `pick`-th option where there are several."""
    link_at = {(c.source, c.out_port): c for c in topology.channels}
    terminal = topology.terminals[source]
    router, port, held_class, visited = terminal.router, terminal.in_port, 0, []
    while True:
        visited.append(router)
        options = topology.choices[topology.route[router, topology.group[router, port], destination, held_class]]
        option = options[min(pick, len(options) - 1)]
        link = link_at.get((router, option.out_port))
        if link is None:
            assert topology.terminals[destination].router == router
            assert topology.terminals[destination].out_port == option.out_port
            return visited
        router, port, held_class = link.sink, link.in_port, option.next_class


def test_a_mesh_goes_along_the_lowest_dimension_first():
    assert path_of(mesh(3), 0, 8) == [0, 1, 2, 5, 8]
    assert path_of(mesh(3), 8, 0) == [8, 7, 6, 3, 0]
    assert path_of(mesh(2, 3), 1, 6) == [1, 0, 2, 6]
    assert len(mesh(4).channels) == 2 * 2 * 4 * 3


def test_a_torus_goes_the_shorter_way_and_has_a_choice_if_both_are_equal():
    assert path_of(torus(5, 1), 0, 4) == [0, 4]
    assert path_of(torus(5, 1), 1, 3) == [1, 2, 3]
    assert path_of(torus(4, 1), 0, 2) == [0, 1, 2]
    assert path_of(torus(4, 1), 0, 2, pick=1) == [0, 3, 2]
    assert path_of(torus(3), 0, 8) == [0, 2, 8]
    assert {c.cycles for c in torus(3).channels} == {2}


def test_the_class_on_a_torus_is_set_on_entering_a_dimension():
    """Upper half: upwards and wrapping, or downwards and not."""
    ring = torus(8, 1)

    def entered(source, destination):
        return [(o.out_port, o.part) for o in ring.choices[ring.route[source, 2, destination, 0]]]

    assert entered(6, 1) == [(0, 1)]
    assert entered(1, 3) == [(0, 0)]
    assert entered(3, 1) == [(1, 1)]
    assert entered(1, 6) == [(1, 0)]
    assert entered(0, 4) == [(0, 0), (1, 0)]
    assert entered(4, 0) == [(0, 1), (1, 1)]
    assert ring.choices[ring.route[5, 1, 1, 1]] == (Option(0, 1, 2, 1),)  # straight on, in its class
    assert ring.choices[ring.route[5, 1, 5, 1]] == (Option(2),)  # to the node, any channel


@pytest.mark.parametrize("topology", [mesh(4), mesh(3, 3), torus(4), torus(5, 1), crossbar(6)], ids=lambda t: t.name)
def test_every_node_is_reached_from_every_other(topology):
    for source in range(topology.nodes):
        for destination in range(topology.nodes):
            for pick in (0, 1):
                path = path_of(topology, source, destination, pick)
                assert len(path) <= topology.routers
    check_deadlock_free(topology, 2)


def test_a_network_list_gives_ports_latencies_and_shortest_paths(tmp_path):
    path = tmp_path / "four.anynet"
    path.write_text("router 0 node 0 node 1 router 1 2 router 2 5\nrouter 1 node 2 3 router 3 2\nrouter 2 router 3\n"
                    "router 3 node 3\n")  # fmt: skip
    network = read_anynet(path)
    assert network.in_ports == network.out_ports == (4, 3, 2, 3)
    cycles = {(c.source, c.sink): c.cycles for c in network.channels}
    assert cycles == {(0, 1): 2, (1, 0): 2, (0, 2): 5, (2, 0): 5, (1, 3): 2, (3, 1): 2, (2, 3): 1, (3, 2): 1}
    assert path_of(network, 0, 3) == [0, 1, 3]
    assert [t.cycles for t in network.terminals] == [1, 1, 3, 1]
    ports = {(c.source, c.sink): (c.out_port, c.in_port) for c in network.channels}
    assert ports[0, 1] == (2, 1)
    assert ports[2, 3] == (1, 2)


def test_equal_paths_go_over_the_router_settled_first():
    square = graph(
        "square", {n: (n, 1) for n in range(4)}, {0: {1: 1, 2: 1}, 1: {0: 1, 3: 1}, 2: {0: 1, 3: 1}, 3: {1: 1, 2: 1}}
    )
    assert path_of(square, 0, 3) == [0, 1, 3]
    assert path_of(square, 3, 0) == [3, 1, 0]
    assert path_of(square, 1, 2) == [1, 0, 2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("router 0 node 0 router 1\nswitch 3\n", ":2: got switch 3; allowed: router or node"),
        ("router 0 node 0 x\n", ":1: got x; allowed: a latency of 1 to 4096"),
        ("router 0 node 0\nrouter 1 node 0\n", ":2: got node 0 at routers 0 and 1"),
        ("router 0 node 0 router 0\n", "got router 0 at itself"),
        ("router 0 node 0 router 2\n", "got no router 1"),
        ("router 0 node 0\nrouter 1 node 1\n", "no way from router 0 to node 1"),
        ("node 0 node 1\n", "got node 0 at node 1"),
    ],
)
def test_a_wrong_network_list_is_refused_with_its_line(tmp_path, text, told):
    path = tmp_path / "wrong.anynet"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_anynet(path)
    assert told in str(caught.value)


def test_a_network_that_could_deadlock_is_refused_with_the_circle():
    five = graph("five", {n: (n, 1) for n in range(5)}, {n: {(n + 1) % 5: 1, (n - 1) % 5: 1} for n in range(5)})
    with pytest.raises(SpecError) as caught:
        build_network(five, RouterSettings(vcs=2))
    circle = caught.value.faults[0].got
    assert circle.startswith("router 0 to 1 vc 0 -> router 1 to 2 vc 0 -> ")
    assert circle.endswith("router 4 to 0 vc 0 -> router 0 to 1 vc 0")


def test_a_torus_without_its_classes_would_deadlock():
    ring = torus(5, 1)
    one_class = replace(
        ring, choices=tuple(tuple(replace(option, part=0, parts=1) for option in options) for options in ring.choices)
    )
    with pytest.raises(SpecError, match="packets could wait for each other for ever"):
        check_deadlock_free(one_class, 4)
    check_deadlock_free(ring, 4)


def test_a_torus_needs_two_channels():
    with pytest.raises(SpecError, match="2 or more: one for each class"):
        build_network(torus(4), RouterSettings(vcs=1))


def test_networks_have_names(tmp_path):
    path = tmp_path / "pair.anynet"
    path.write_text("router 0 node 0 router 1\nrouter 1 node 1\n")
    names = ["mesh:4x4", "mesh:2x2x2", "torus:3x3", "ring:6", "crossbar:5", str(path)]
    assert [named_topology(name).nodes for name in names] == [16, 8, 9, 6, 5, 2]
    for wrong in ("mesh:4x5", "torus:2x2", "ring:3x3", "crossbar:0", "mesh:64x64", "hypercube:4", "none.anynet"):
        with pytest.raises(SpecError):
            named_topology(wrong)
