"""Messages in, times out: directions, refusals, limits."""

import numpy as np
import pytest

from nmpsim.errors import DeadlockError, LimitReached, WorkloadError
from nmpsim.noc import traffic
from nmpsim.noc.endpoint import DEADLOCK
from nmpsim.noc.traffic import hops_between, run_messages, shortest_direction
from tests.unit.noc.bench import RING


@pytest.mark.parametrize(
    ("nodes", "source", "destination", "direction", "hops"),
    [
        (8, 0, 1, 0, 1),
        (8, 0, 7, 1, 1),
        (8, 0, 4, 0, 4),
        (8, 6, 2, 0, 4),
        (8, 1, 4, 0, 3),
        (5, 0, 3, 1, 2),
        (2, 1, 0, 0, 1),
    ],
)
def test_the_shortest_way_is_taken_and_ties_go_clockwise(nodes, source, destination, direction, hops):
    assert shortest_direction(nodes, source, destination) == direction
    assert hops_between(nodes, source, destination, direction) == hops
    assert hops_between(nodes, source, destination, 1 - direction) == nodes - hops


def test_messages_of_one_writer_go_in_the_order_of_their_ticks():
    run = run_messages(RING, [(90, 0, 1, 2), (0, 0, 1, 2), (50, 0, 1, 2)])
    assert np.argsort(run.delivered).tolist() == [1, 2, 0]
    assert [run.passage[message.first].written_at for message in run.message] == [90, 0, 50]


def test_a_start_between_two_edges_waits_for_the_next_edge():
    run = run_messages(RING, [(7, 0, 1, 1)], periods=(5, 4))
    assert run.passage[0].written_at == 10
    assert run.passage[0].inject_at == 16


def test_all_faults_of_the_messages_are_told_at_once():
    with pytest.raises(WorkloadError) as caught:
        run_messages(RING, [(0, 1, 1, 1), (-1, 0, 1, 1), (0, 0, 4, 1), (0, 0, 1, 0), (0, 0, 1, 1)])
    assert [(fault.where, fault.got) for fault in caught.value.faults] == [
        ("message 0", "node 1 to itself"),
        ("message 1", "tick -1"),
        ("message 2", "destination 4"),
        ("message 3", "0 flits"),
    ]


@pytest.mark.parametrize("plain", [False, True])
def test_a_limit_stops_the_run(plain):
    with pytest.raises(LimitReached, match="3 flits not delivered within 12 ticks"):
        run_messages(RING, [(0, 0, 2, 5)], limit=12, plain=plain)


def test_a_deadlock_is_told(monkeypatch):
    monkeypatch.setattr(traffic, "run_traffic", lambda *_: DEADLOCK)
    with pytest.raises(DeadlockError, match="5 flits can never be delivered"):
        run_messages(RING, [(0, 0, 2, 5)])


@pytest.mark.parametrize("plain", [False, True])
def test_endpoints_that_wait_for_ever_are_a_deadlock(plain):
    """A message to its own node, slipped past the check, stays at the head of its injection queue."""
    network = traffic.make_state(RING)
    slipped = traffic._post(RING, [(0, 0, 1, 1), (0, 3, 3, 1)])
    order = np.arange(2 * RING.nodes)
    status = traffic.run_traffic(10**6, int(plain), RING, (1, 1), traffic.ONE_FLIT, order, network, slipped)
    assert status == DEADLOCK
    assert slipped.total[0].left == 1
    assert slipped.total[0].now < 100


def test_results_are_tables():
    run = run_messages(RING, [(0, 0, 1, 5)])
    assert sum(run.stalls().values()) == 2 * RING.nodes * (run.now + 1)
    assert run.counters() == {"injected": 5, "ejected": 5, "flit_hops": 5}
    assert run.visits > 0
