"""The network of a die: times of lone flits, full rate, ways round a ring, faults, and the drawing of its page."""

import re
from pathlib import Path

import pytest

from nmpsim.errors import InternalError, SimulationError, SpecError
from nmpsim.noc.die import raise_faults
from nmpsim.noc.die.levels import check_levels, level_waits
from nmpsim.noc.router.check import causes
from nmpsim.noc.router.state import CAUSES
from nmpsim.spec.params import CROSSBAR, MESH, RING, TORUS
from tests.conformance_kits.network import Driver
from tests.unit.noc.bench import CLOCKS, SMALL, DieNetwork, hops_between, router_cycles, run_messages, shaped

PAGE = Path(__file__).parents[3] / "docs/seams/network.md"
STAGES = [{}, {"nROUTE": 1, "speculative": 0}, {"nST": 2, "nLINK": 3, "nPORT": 1}, {"nVA": 2, "nSA": 2, "nSYNC": 3}]
SHAPES = [shaped(RING, 7), shaped(MESH, 3, 2), shaped(TORUS, 3, 2), shaped(CROSSBAR, 5), shaped(RING, 2)]
NAMES = ("ring", "mesh", "torus", "crossbar", "pair")


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
@pytest.mark.parametrize("stages", STAGES, ids=str)
def test_a_lone_flit_takes_the_zero_load_latency(shape, stages):
    noc = shape._replace(**stages)
    for core_period, period in CLOCKS[:2]:
        for destination in {1, noc.nodes // 2, noc.nodes - 1}:
            for port in (destination % 2,):
                network = DieNetwork(noc, period=period, core_period=core_period)
                driver = run_messages(network, [(0, destination, 1, port, 0)])
                ((_, _, flit),) = driver.arrivals()
                ((ready, _),) = driver.written.values()
                hops = hops_between(noc, 0, destination)
                cycles = 1 + (hops + 1) * router_cycles(noc) + hops * noc.nLINK + 2 * noc.nPORT
                at = ready + cycles * period
                assert flit.ready_at == (at // core_period + noc.nSYNC) * core_period
                assert int(network.fabric.routers.output_port.flits.sum()) == hops + 1


def stream_cycles(flits, **changes):
    """Core cycles between the first and the last flit of one message, taken from a network that is otherwise empty."""
    network = DieNetwork(shaped(RING, 6), **({"inject_flits": 64, "eject_flits": 128, "buffer_flits": 16} | changes))
    taken = [at for _, at, _ in run_messages(network, [(0, 2, flits, 0, 0)]).arrivals()]
    return taken[-1] - taken[0]


@pytest.mark.parametrize(("nSA", "nST", "nLINK", "nCREDIT"), [(1, 1, 1, 1), (1, 2, 2, 1), (2, 1, 1, 3)])
def test_a_channel_streams_at_full_rate_from_the_depth_of_its_credit_loop_on(nSA, nST, nLINK, nCREDIT):
    stages = {"nSA": nSA, "nST": nST, "nLINK": nLINK, "nCREDIT": nCREDIT}
    loop = nST + nLINK + 2 * nSA + nLINK + nCREDIT
    assert stream_cycles(60, buffer_flits=loop, **stages) == 59
    assert stream_cycles(60, buffer_flits=loop - 1, **stages) > 59


def test_two_neighbours_use_both_of_their_links():
    network = DieNetwork(shaped(RING, 2), buffer_flits=8, eject_flits=32, inject_flits=32)
    both = run_messages(network, [(0, 1, 40, 0, 0), (0, 1, 40, 1, 0)]).now
    sent = network.fabric.routers.output_port.flits.reshape(2, -1)[0, :2].tolist()
    assert sent == [40, 40]
    network = DieNetwork(shaped(RING, 2), buffer_flits=8, eject_flits=32, inject_flits=32)
    one = run_messages(network, [(0, 1, 80, 0, 0)]).now
    assert both <= one - 39


@pytest.mark.parametrize("nodes", [4, 6, 16])
def test_ties_go_up_by_port_0_and_down_by_port_1(nodes):
    for port in (0, 1):
        network = DieNetwork(shaped(RING, nodes))
        run_messages(network, [(1, 1 + nodes // 2, 3, port, 0)])
        flits = network.fabric.routers.output_port.flits.reshape(nodes, -1)
        assert flits[:, port].sum() == 3 * nodes // 2
        assert flits[:, 1 - port].sum() == 0


def test_a_ring_of_one_channel_is_refused_with_its_cycle():
    with pytest.raises(SpecError, match=r"vc 0 -> router|too few"):
        DieNetwork(shaped(RING, 4), vcs=1)
    DieNetwork(shaped(MESH, 2, 2), vcs=1)


def test_messages_that_cross_the_die_before_the_gateway_could_wait_for_ever():
    check_levels(level_waits(3))
    with pytest.raises(SpecError) as caught:
        check_levels(level_waits(2, across_the_die=True))
    text = str(caught.value)
    for word in ("network of the die -> gateway", "link channel 0 -> network of the die"):
        assert word in text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"destination": 9}, "a destination"),
        ({"destination": 0}, "a destination"),
        ({"stack": 2}, "a destination"),
        ({"stack": -1}, "a destination"),
        ({"port": 2}, "a destination"),
        ({"sequence": 1}, "a packet without head"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_refused_and_named(change, what):
    network = DieNetwork(stacks=2)
    driver = Driver(network)
    driver.send(0, 1, 2, 0)
    driver.outbox[0, 0][0] |= change
    driver.run(100)
    with pytest.raises(SimulationError, match=f"node 0, tick 1: got {what}"):
        raise_faults(network.ports)
    assert not driver.arrivals()


def test_a_flit_that_is_lost_or_doubled_is_found():
    for change in (1, -1):
        network = DieNetwork()
        run_messages(network, [(0, 2, 5, 0, 0)])
        network.fabric.terminal[2].ejected += change
        with pytest.raises(InternalError, match="flits went in"):
            network.check()


def test_a_credit_that_is_lost_is_found():
    network = DieNetwork()
    run_messages(network, [(0, 2, 5, 0, 0)])
    place = int(network.fabric.routers.source[2].eject_place)
    port = (place >> 16) * network.fabric.params.ports + (place >> 8 & 255)
    network.fabric.routers.output_vc[port * SMALL.vcs].credits -= 1
    with pytest.raises(InternalError, match="terminal 2"):
        network.check()


def first_cycles(cycles=19):
    """Rows of the drawing: A, two flits, from node 0 and B, four flits, from node 1, both for node 2 by port 0."""
    network = DieNetwork(SMALL, nSYNC=1)
    driver = Driver(network)
    driver.send(0, 2, 2, 0)
    driver.send(1, 2, 4, 0)
    found, before, spent = [], network.fabric.routers.output_port.flits.copy(), causes(network.routers)
    for cycle in range(cycles):
        taken = {port: len(flits) for port, flits in driver.taken.items()}
        driver.run(1)
        flits, now = network.fabric.routers.output_port.flits.copy(), causes(network.routers)
        sent = [f"router {r}" for r, up in enumerate((flits - before).reshape(4, -1)[:, 0].tolist()) if up]
        why = [name for name, n in zip(CAUSES, (now - spent)[1].tolist(), strict=True) for _ in range(max(n, 0))]
        arrived = [f"{'AB'[flit.message]}{flit.sequence}" for _, flit in driver.taken[2, 0][taken[2, 0] :]]
        found.append([str(cycle), ", ".join(sent), ", ".join(why), ", ".join(arrived)])
        before, spent = flits, now
    return found


def test_the_first_cycles_are_those_drawn():
    text = PAGE.read_text("utf-8").split("## First cycles")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    drawn = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert drawn == first_cycles(len(drawn))
    assert drawn
