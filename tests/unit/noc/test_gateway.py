"""Links between stacks: their rate, latency and width, ways round the ring of stacks, and what they count."""

import pytest

from nmpsim.noc.die.state import LINK_REASONS
from nmpsim.spec.params import LinkParams
from tests.conformance_kits.network import Driver
from tests.unit.noc.bench import SMALL, DieNetwork, router_cycles, run_messages

LINK = LinkParams(period=1, bytes=128, latency=10, buffer_flits=40)


def arrivals_of(link, messages, *, stacks=2, size=128):
    """Ticks at which flits of `size` bytes may be taken, in order, and the network."""

    class Sized(Driver):
        def flit(self, message, i):
            return super().flit(message, i) | {"bytes": size}

    network = DieNetwork(SMALL, link=link, stacks=stacks, buffer_flits=8, inject_flits=32, eject_flits=64)
    driver = Sized(network)
    for source, destination, flits, port, stack in messages:
        driver.send(source, destination, flits, port, stack=stack)
    while sum(map(len, driver.taken.values())) < len(driver.written) or any(driver.outbox.values()):
        driver.run(200)
        assert driver.now < 20_000
    driver.run(4 * link.latency * link.period)
    driver.assert_complete()
    network.settle(driver.now)
    return sorted(flit.ready_at for _, _, flit in driver.arrivals()), network


def lone_latency(link, hops, size=128):
    """Ticks from the injection queue of a node to the ejection queue of the same node, `hops` stacks further on."""
    cycles = max(1, -(-size // link.bytes))
    into = 1 + router_cycles(SMALL)  # source, router; the rest is stamped at crossings
    at = 2 + into  # written at 0, seen by the network nSYNC = 2 later
    at = (at // link.period + SMALL.nSYNC) * link.period
    at += hops * (cycles + link.latency) * link.period
    return at + SMALL.nSYNC + 1 + router_cycles(SMALL) + SMALL.nSYNC


@pytest.mark.parametrize("link", [LINK, LINK._replace(bytes=64), LINK._replace(period=3), LINK._replace(latency=1)])
@pytest.mark.parametrize(("stacks", "stack", "hops"), [(2, 1, 1), (3, 2, 1), (5, 2, 2), (7, 4, 3), (8, 4, 4)])
def test_a_lone_flit_takes_the_shorter_way_round(link, stacks, stack, hops):
    (at,), network = arrivals_of(link, [(1, 1, 1, 0, stack)], stacks=stacks)
    assert at in range(lone_latency(link, hops) - 1, lone_latency(link, hops) + 1)
    assert int(network.fabric.link.flits.sum()) == hops


@pytest.mark.parametrize(("width", "cycles"), [(8, 16), (50, 3), (64, 2), (128, 1), (200, 1)])
def test_a_link_takes_as_many_cycles_as_a_flit_is_wide(width, cycles):
    times, network = arrivals_of(LINK._replace(bytes=width), [(0, 3, 30, 0, 1)])
    assert times[-1] - times[0] == 29 * cycles
    assert network.fabric.link.cycles.tolist() == [30 * cycles, 0, 0, 0]
    assert network.fabric.link.bytes.tolist() == [30 * 128, 0, 0, 0]


@pytest.mark.parametrize("size", [1, 63, 64, 65, 127])
def test_a_part_of_a_cycle_counts_in_full(size):
    _, network = arrivals_of(LINK._replace(bytes=64), [(0, 3, 7, 1, 1)], size=size)
    assert int(network.fabric.link.cycles.sum()) == 7 * -(-size // 64)
    assert int(network.fabric.link.bytes.sum()) == 7 * size


def test_the_slices_of_the_nodes_are_independent():
    alone, _ = arrivals_of(LINK._replace(bytes=32), [(0, 0, 20, 0, 1)])
    together, _ = arrivals_of(LINK._replace(bytes=32), [(c, c, 20, 0, 1) for c in range(4)])
    assert together == sorted(alone * 4)


def test_full_rate_needs_buffers_for_the_loop():
    rates = {}
    for places in (1, 4, 64):
        times, _ = arrivals_of(LINK._replace(buffer_flits=places), [(0, 0, 60, 0, 1)], stacks=2)
        rates[places] = times[-1] - times[0]
    assert rates[1] > rates[4] > rates[64] == 59


def test_messages_of_all_distances_pass_one_another():
    network = DieNetwork(SMALL, link=LINK._replace(buffer_flits=1, bytes=40), stacks=8)
    messages = [(c, (c + d) % 4, 1 + d, d % 2, d) for c in range(4) for d in range(1, 8) for _ in range(3)]
    driver = run_messages(network, messages, credit=7)
    network.settle(driver.now + 1000 * network.link.period)
    named = dict(zip(LINK_REASONS, network.fabric.link_stall.sum(axis=0).tolist(), strict=True))
    assert all(named.values()), named
    hops = sum(flits * min(d, 8 - d) for _, _, flits, _, d in messages)
    assert int(network.fabric.link.flits.sum()) == hops
