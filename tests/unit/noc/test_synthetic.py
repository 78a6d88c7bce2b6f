"""Patterns, sources and sampling of synthetic traffic."""

from math import exp

import numpy as np
import pytest

from nmpsim.errors import WorkloadError
from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.check import check_empty
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.synthetic.patterns import ONE, make_pattern
from nmpsim.noc.synthetic.run import Sampling, finish, measure, run
from nmpsim.noc.synthetic.trace_file import read_messages
from nmpsim.noc.synthetic.traffic import Message, batch, bernoulli, gap_table, trace
from nmpsim.noc.topology import crossbar, mesh, torus

PLAIN = RouterSettings()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("transpose", [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]),
        ("bitcomp", list(range(15, -1, -1))),
        ("bitrev", [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]),
        ("shuffle", [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]),
        ("neighbor", [5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0]),
        ("neighbor({16},{1})", [*range(1, 16), 0]),
        ("tornado", [5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0]),
        ("tornado({16},{1})", [(n + 7) % 16 for n in range(16)]),
        ("permutation({15,14,13,12,11,10,9,8,7,6,5,4,3,2,1,0})", list(range(15, -1, -1))),
    ],
)
def test_permutations_of_sixteen_nodes(name, expected):
    assert make_pattern(name, 16, (4, 4)).destination.tolist() == expected


def test_hot_spots_have_weights():
    assert make_pattern("hotspot({3,5},{1,3})", 16, (16,)).spot.tolist() == [[3, ONE // 4], [5, ONE]]
    assert make_pattern("uniform", 4, (4,)).spot.tolist() == [[n, ONE * (n + 1) // 4] for n in range(4)]


@pytest.mark.parametrize(
    "name",
    [
        "nowhere",
        "hotspot",
        "hotspot({16})",
        "hotspot({1},{0})",
        "hotspot({1},{1,2})",
        "permutation({1,2})",
        "bitcomp(",
        "hotspot({a})",
        "neighbor({4},{1})",
    ],
)
def test_a_wrong_pattern_is_refused(name):
    with pytest.raises(WorkloadError, match="the traffic is wrong"):
        make_pattern(name, 16, (4, 4))


def test_patterns_of_bits_need_a_power_of_two():
    for name, nodes in (("bitcomp", 9), ("shuffle", 12), ("transpose", 8)):
        with pytest.raises(WorkloadError, match="use another pattern"):
            make_pattern(name, nodes, (nodes,))


@pytest.mark.parametrize("probability", [0.003, 0.2, 0.7, 1.0])
def test_the_bits_of_a_gap_make_a_geometric_number(probability):
    """Mean and chance of no gap, from the table alone: the bits are independent."""
    chances = [chance / ONE for chance in gap_table(probability)]
    mean = sum(chance * 2**bit for bit, chance in enumerate(chances))
    assert mean == pytest.approx((1 - probability) / probability, rel=1e-6, abs=1e-9)
    none = np.prod([1 - chance for chance in chances]) if chances else 1.0
    assert none == pytest.approx(probability, rel=1e-6)


def test_sources_offer_the_rate_and_reach_every_node():
    topology = crossbar(4)
    fabric = build_network(topology, PLAIN, log=20_000)
    run(fabric, bernoulli(fabric, make_pattern("uniform", 4, (4,)), 0.3, 2, 9), 40_000)
    made = int(fabric.state.totals[0].made)
    expected = 40_000 * 4 * 0.15
    assert abs(made - expected) < 4 * (expected * 0.85) ** 0.5
    logged = fabric.state.logged[fabric.state.logged.arrived_at >= 0]
    counts = np.bincount(logged.source * 4 + logged.destination, minlength=16)
    assert (abs(counts - counts.mean()) < 5 * counts.mean() ** 0.5).all()
    gaps = np.diff(np.sort(logged.made_at[logged.source == 2]))
    assert np.mean(gaps == 1) == pytest.approx(0.15, abs=0.02)
    assert np.mean(gaps > 10) == pytest.approx(exp(10 * np.log(0.85)), abs=0.02)


def test_a_seed_gives_one_run_and_another_seed_another():
    ends = []
    for seed in (1, 1, 2):
        fabric = build_network(torus(4), PLAIN)
        run(fabric, bernoulli(fabric, make_pattern("uniform", 16, (4, 4)), 0.3, 1, seed), 500)
        ends.append(b"".join(array.tobytes() for array in fabric.state))
    assert ends[0] == ends[1] != ends[2]


def test_a_coin_is_thrown_where_two_ways_are_equal():
    fabric = build_network(torus(4, 1), PLAIN)
    traffic = batch(fabric, make_pattern("permutation({2,3,0,1})", 4, (4,)), 200, 1)
    assert finish(fabric, traffic, 10_000)
    sent = fabric.state.output_port.flits.reshape(4, 3)[:, :2]
    assert sent.sum() == 4 * 200 * 2
    assert (sent > 130).all()


def test_a_batch_and_a_trace_of_the_same_packets_end_alike():
    pattern = make_pattern("bitcomp", 16, (4, 4))
    fabric = build_network(mesh(4), PLAIN)
    assert finish(fabric, batch(fabric, pattern, 5, 3), 10_000)
    other = build_network(mesh(4), PLAIN, log=80)
    messages = [Message(0, node, 15 - node, 3) for node in range(16) for _ in range(5)]
    assert finish(other, trace(other, messages), 10_000)
    assert fabric.state.totals[0].last_arrival == other.state.totals[0].last_arrival
    assert int(other.state.logged.arrived_at.max()) == int(other.state.totals[0].last_arrival)
    run(other, trace(build_network(mesh(4), PLAIN), []), int(other.state.totals[0].now) + 100)
    check_empty(other)


def test_messages_of_one_node_keep_their_order_and_their_times():
    fabric = build_network(crossbar(3), PLAIN, log=3)
    assert finish(fabric, trace(fabric, [Message(50, 0, 1, 2), Message(10, 0, 2, 1), Message(10, 0, 1, 4)]), 1000)
    assert fabric.state.logged.entered_at.tolist() == [50, 10, 11]
    assert fabric.state.logged.arrived_at.tolist() == [50 + 8, 10 + 7, 11 + 10]


def test_wrong_messages_are_refused_all_at_once():
    fabric = build_network(crossbar(3), PLAIN)
    with pytest.raises(WorkloadError) as caught:
        trace(fabric, [Message(0, 3, 0, 1), Message(0, 0, 1, 1), Message(-1, 0, 1, 1), Message(0, 0, 1, 0)])
    assert [fault.where for fault in caught.value.faults] == ["message 0", "message 2", "message 3"]


def test_a_trace_file_is_read_and_refused_line_by_line(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("at,source,destination,flits\n5,0,1,2\n0,1,0,1\n")
    assert read_messages(path) == [Message(5, 0, 1, 2), Message(0, 1, 0, 1)]
    path.write_text("at,source,destination,flits\n5,0,1\nx,1,0,1\n")
    with pytest.raises(WorkloadError) as caught:
        read_messages(path)
    assert [fault.where for fault in caught.value.faults] == [f"{path}:2", f"{path}:3"]


def test_a_rate_above_one_packet_a_cycle_is_refused():
    fabric = build_network(crossbar(3), PLAIN)
    with pytest.raises(WorkloadError, match="at most 2 flits per cycle"):
        bernoulli(fabric, make_pattern("uniform", 3, (3,)), 2.1, 2, 0)


def test_an_unstable_run_tells_the_accepted_rate_and_the_growth_of_the_queues():
    """All sixteen nodes send to one, which takes one flit a cycle: 1/16 each; the rest of the rate waits."""
    fabric = build_network(crossbar(16), PLAIN)
    traffic = bernoulli(fabric, make_pattern("hotspot({3})", 16, (16,)), 0.5, 1, 4)
    found = measure(fabric, traffic, 0.5, Sampling(period=2000))
    assert not found.stable
    assert found.accepted[0] == pytest.approx(1 / 16, rel=0.01)
    assert found.accepted[2] == pytest.approx(1.0, rel=0.01)
    held = 4 * 8 / 2000  # flits that fill the buffers of a port, per cycle of the only period
    assert found.backlog_growth == pytest.approx(0.5 - 1 / 16 - held, abs=0.01)
    assert found.backlog_growth == pytest.approx(0.5 - found.injected[0], abs=0.01)


def test_a_stable_run_measures_after_the_warm_up_and_drains():
    fabric = build_network(crossbar(8), PLAIN)
    traffic = bernoulli(fabric, make_pattern("uniform", 8, (8,)), 0.1, 1, 4)
    found = measure(fabric, traffic, 0.1, Sampling(period=1000))
    assert found.stable
    assert found.latency[1] == 7
    assert 7 < found.latency[0] < 7.3
    assert found.hops == 1
    assert found.accepted[0] == pytest.approx(0.1, rel=0.1)
    assert found.packets == pytest.approx(3000 * 8 * 0.1, rel=0.1)
    assert 6000 < found.cycles < 6100
    assert int(fabric.state.totals[0].counted_in_flight) == 0


def test_throughput_mode_neither_drains_nor_gives_up():
    fabric = build_network(crossbar(8), RouterSettings(vcs=1))
    traffic = bernoulli(fabric, make_pattern("uniform", 8, (8,)), 1.0, 1, 4)
    found = measure(fabric, traffic, 1.0, Sampling(period=1000, throughput_only=True))
    assert found.stable
    assert found.cycles == 6000
    assert 0.2 < found.accepted[0] < 0.3
