"""The ring: latency, rates, channels, turns, reasons, refusals."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from nmpsim.errors import InternalError, SimulationError
from nmpsim.noc import REASONS, check_conservation, check_drained, make_state, raise_faults
from nmpsim.noc.endpoint import Pace
from nmpsim.noc.traffic import full_rate_buffer, full_rate_queues, run_messages, zero_load_at
from tests.conformance_kits.network import Driver
from tests.unit.noc.bench import CLOCKS, RING, RingNetwork

PAGE = Path(__file__).parents[3] / "docs" / "seams" / "network.md"

DEEP = RING._replace(nodes=8, buffer_flits=16, inject_flits=64, eject_flits=64)


# ---------------------------------------------------------------------------------------------------------- latency


@pytest.mark.parametrize("periods", CLOCKS)
@pytest.mark.parametrize(("nROUTER", "nLINK", "nSYNC"), [(1, 1, 1), (2, 1, 2), (3, 2, 1), (1, 3, 3)])
def test_a_lone_flit_takes_the_zero_load_latency(periods, nROUTER, nLINK, nSYNC):
    ring = RING._replace(nodes=7, nROUTER=nROUTER, nLINK=nLINK, nSYNC=nSYNC)
    core_period, noc_period = periods
    for destination, hops, direction in [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 3, 1), (5, 2, 1), (6, 1, 1)]:
        run = run_messages(ring, [(10 * core_period, 0, destination, 1)], periods=periods)
        flit = run.passage[0]
        assert run.message[0].direction == direction
        assert flit.written_at == 10 * core_period
        assert flit.inject_at == (flit.written_at // noc_period + nSYNC) * noc_period
        assert flit.eject_at == flit.taken_at == zero_load_at(ring, periods, int(flit.inject_at), hops)
        assert run.counters() == {"injected": 1, "ejected": 1, "flit_hops": hops}


def test_the_first_cycles_are_those_of_the_page():
    """Two messages over one link, drawn in docs/seams/network.md."""
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)
    drawn = {int(cycle): [cell.strip() for cell in cells] for cycle, *cells in rows}
    network = RingNetwork(nodes=4, nSYNC=1)
    driver = Driver(network)
    driver.send(0, 2, 2, 0)
    driver.send(1, 2, 4, 0)
    assert len(drawn) == 11
    seen = {}
    before = network.state.link.flits.copy()
    stalls = network.stalls(0).copy()
    for cycle in range(len(drawn)):
        driver.run(1)
        after, charged = network.state.link.flits.copy(), network.stalls(cycle + 1).copy()
        sent = [f"router {r}" for r in range(4) if after[r, 0] > before[r, 0]]
        (reason,) = [name for name, ticks in zip(REASONS, (charged - stalls)[1, 0], strict=True) if ticks]
        arrived = [f"{'AB'[flit.message]}{flit.sequence}" for at, flit in driver.taken[2, 0] if at == cycle]
        places = network.state.buffer[2, 0, 0]
        seen[cycle] = [", ".join(sent), reason, str(places.filled - places.head), ", ".join(arrived)]
        before, stalls = after, charged
    assert seen == drawn


# ------------------------------------------------------------------------------------------------------------ rates


def gaps(run, number=0):
    """Ticks between the ejections of a message's flits, counted from the first."""
    message = run.message[number]
    stamps = run.passage["eject_at"][message.first : message.first + message.flits]
    return (stamps - stamps[0]).tolist()


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize(("nROUTER", "nLINK", "nCREDIT"), [(1, 1, 1), (2, 1, 1), (3, 2, 3)])
def test_a_channel_streams_at_full_rate_from_the_depth_of_its_credit_loop_on(hops, nROUTER, nLINK, nCREDIT):
    ring = DEEP._replace(nROUTER=nROUTER, nLINK=nLINK, nCREDIT=nCREDIT)
    loop = full_rate_buffer(ring)
    for depth in range(1, loop + 2):
        run = run_messages(ring._replace(buffer_flits=depth), [(0, 0, hops, 40)])
        rate = min(depth, loop)
        assert gaps(run) == [i // rate * loop + i % rate if rate < loop else i for i in range(40)]


@pytest.mark.parametrize("periods", CLOCKS)
def test_queues_of_full_rate_never_slow_a_stream(periods):
    ring = DEEP._replace(buffer_flits=full_rate_buffer(DEEP))
    inject, eject = full_rate_queues(ring, periods)
    run = run_messages(ring._replace(inject_flits=inject, eject_flits=eject), [(0, 0, 2, 400)], periods=periods)
    deep = run_messages(ring._replace(inject_flits=4000, eject_flits=4000), [(0, 0, 2, 400)], periods=periods)
    assert run.delivered[0] == deep.delivered[0]
    assert run.delivered[0] >= 399 * max(periods)


@pytest.mark.parametrize("periods", [(1, 1), (4, 4), (4, 5), (1, 3)])
def test_an_all_gather_between_neighbours_fills_the_links(periods):
    """Each node sends 64-flit messages to its clockwise neighbour; the core is at least as fast as the network."""
    inject, eject = full_rate_queues(DEEP, periods)
    ring = DEEP._replace(buffer_flits=full_rate_buffer(DEEP), inject_flits=inject, eject_flits=eject)
    messages = [(0, node, (node + 1) % 8, 64) for _ in range(7) for node in range(8)]
    run = run_messages(ring, messages, periods=periods)
    flits = 7 * 64
    cycles = run.now / periods[1]
    assert (run.network.link.flits[:, 0] == flits).all()
    assert flits / cycles >= 0.95
    first, last = run.passage["eject_at"].min(), run.passage["eject_at"].max()
    assert last - first <= (flits - 1) * periods[1] + periods[0]
    one_less = run_messages(ring._replace(buffer_flits=ring.buffer_flits - 1), messages, periods=periods)
    assert flits / (one_less.now / periods[1]) < 0.95


def test_both_directions_run_at_full_rate_at_once():
    messages = [(0, 0, 1, 200), (0, 1, 0, 200), (0, 0, 7, 200), (0, 7, 0, 200)]
    run = run_messages(DEEP, messages)
    assert len(set(run.delivered.tolist())) == 1
    assert gaps(run) == list(range(200))


# --------------------------------------------------------------------------------------------- channels and turns


@pytest.mark.parametrize("vcs", [2, 3, 4, 5])
@pytest.mark.parametrize("direction", [0, 1])
def test_a_packet_changes_to_the_upper_channels_where_the_ring_closes(vcs, direction):
    network = RingNetwork(nodes=6, vcs=vcs)
    driver = Driver(network)
    source, destination = (4, 1) if direction == 0 else (1, 4)
    driver.send(source, destination, 3, direction)
    driver.run(20 * network.patience)
    driver.assert_complete()
    way = [5, 0, 1] if direction == 0 else [0, 5, 4]
    used = {(node, vc) for node in range(6) for vc in range(vcs) if network.state.buffer[node, direction, vc].filled}
    lower = destination % (vcs // 2)
    upper = vcs // 2 + destination % (vcs - vcs // 2)
    assert used == {(way[0], lower), (way[1], upper), (way[2], upper)}


def test_a_channel_carries_one_packet_at_a_time():
    network = RingNetwork(nodes=5, vcs=3)
    driver = Driver(network)
    for i in range(30):
        driver.send(i % 5, (i + 1 + i % 3) % 5, 1 + i % 4)
    streams = {}
    filled = network.state.buffer.filled.copy()
    for _ in range(60 * network.patience):
        driver.run(1)
        for r, d, vc in zip(*(network.state.buffer.filled != filled).nonzero(), strict=True):
            places = network.state.buffer_flit[r, d, vc]
            flit = places[filled[r, d, vc] % len(places)]
            streams.setdefault((r, d, vc), []).append((int(flit.message), int(flit.sequence), int(flit.last)))
        filled = network.state.buffer.filled.copy()
    driver.assert_complete()
    assert max(len({message for message, *_ in stream}) for stream in streams.values()) > 3
    for stream in streams.values():
        for (message, sequence, last), follower in zip(stream, [*stream[1:], (None, 0, 0)], strict=True):
            assert follower[:2] == (message, sequence + 1) if not last else follower[1] == 0


def test_through_traffic_and_injection_share_a_link_in_turns():
    """Packets on different channels take turns flit by flit, those on one channel packet by packet."""
    ring = DEEP._replace(vcs=4)
    run = run_messages(ring, [(0, 0, 2, 100), (0, 1, 3, 100)])  # channels 0 and 1
    through, local = gaps(run, 0), gaps(run, 1)
    start = next(i for i, gap in enumerate(local[1:], 1) if gap - local[i - 1] == 2)
    assert [b - a for a, b in pairwise(through[:41])] == [2] * 40
    assert [b - a for a, b in pairwise(local[start : start + 41])] == [2] * 40
    run = run_messages(DEEP, [(0, 0, 2, 10) for _ in range(8)] + [(0, 1, 2, 10) for _ in range(8)])
    order = sorted(range(16), key=lambda number: run.delivered[number])
    turns = [number >= 8 for number in order]
    waiting = turns[1:14]  # both have packets left
    assert all(here != following for here, following in pairwise(waiting))


# ---------------------------------------------------------------------------------------------------------- reasons


def spent(run, node, direction=0):
    """Ticks by reason of one link, without those it did not spend."""
    table = run.network.stall[node, direction]
    return {name: int(ticks) for name, ticks in zip(REASONS, table, strict=True) if ticks}


def test_an_idle_link_has_no_flit():
    run = run_messages(RING, [(0, 0, 1, 3)], periods=(5, 4))
    assert spent(run, 2) == spent(run, 0, 1) == {"no_flit": run.now + 1}
    assert spent(run, 0)["transfer"] == 3 * 4


def test_a_full_buffer_is_a_lack_of_credit():
    loop = full_rate_buffer(DEEP)
    run = run_messages(DEEP._replace(buffer_flits=1), [(0, 0, 1, 5)])
    assert spent(run, 0) == {
        "transfer": 5,
        "no_credit": 4 * (loop - 1),
        "no_flit": run.now + 1 - 5 - 4 * (loop - 1),
    }


def test_a_channel_held_by_another_packet_is_busy():
    """The packet from node 0 holds the channel behind router 1, and crawls: its flits come one per credit loop."""
    ring = DEEP._replace(buffer_flits=1, nodes=6)
    run = run_messages(ring, [(0, 0, 2, 4), (4, 1, 2, 1)])
    assert spent(run, 1)["vc_busy"] > 0
    assert run.delivered[1] > run.delivered[0]


def test_a_read_port_that_serves_the_ejection_is_a_conflict():
    """The flit for node 1 waits for a place, with the head for node 2 behind it: the head loses one cycle."""
    ring = RING._replace(eject_flits=1)
    run = run_messages(ring, [(0, 0, 1, 4), (0, 0, 2, 1)])
    assert spent(run, 1)["switch_conflict"] == 1


@pytest.mark.parametrize("plain", [False, True])
def test_accounts_may_be_settled_at_any_tick_and_sum_to_the_time(plain):
    tables = []
    for pieces in ([400], [7, 13, 30, 50, 300]):
        network = RingNetwork(buffer_flits=2, period=3, core_period=2)
        driver = Driver(network, plain=plain)
        for node in range(4):
            driver.send(node, (node + 2) % 4, 9)
        for ticks in pieces:
            driver.run(ticks)
            assert (network.stalls(driver.now).sum(axis=2) == driver.now).all()
        driver.assert_complete()
        tables.append(network.state.stall.tolist())
    assert tables[0] == tables[1]


# ------------------------------------------------------------------------------------------------------- small rings


def test_a_ring_of_one_node_stands_idle():
    run = run_messages(RING._replace(nodes=1), [])
    assert run.delivered.shape == (0,)
    assert run.counters() == {"injected": 0, "ejected": 0, "flit_hops": 0}


def test_in_a_ring_of_two_nodes_ties_go_clockwise():
    run = run_messages(RING._replace(nodes=2), [(0, 0, 1, 20), (0, 1, 0, 20)])
    assert run.network.link.flits.tolist() == [[20, 0], [20, 0]]
    assert run.delivered[0] == run.delivered[1]


# --------------------------------------------------------------------------------------------------------- refusals


def refused(**fields):
    """The message about a flit that node 1 of the ring may not be given."""
    network = RingNetwork()
    sound = {"source": 1, "destination": 2, "message": 0, "sequence": 0, "last": 1, "bytes": 128}
    network.write(1, 0, 5, **sound | fields)
    for now in range(5, 30):
        assert network.step(1, now) > now
    assert not network.state.link.flits.any()
    with pytest.raises(SimulationError) as caught:
        raise_faults(network.state)
    return str(caught.value)


@pytest.mark.parametrize("destination", [1, -1, 4, 100])
def test_a_flit_must_go_to_another_node_of_the_ring(destination):
    text = refused(destination=destination)
    assert "router 1, tick 5: got a destination that is this node or none" in text
    assert "correct the writer" in text


def test_a_packet_must_begin_with_its_head():
    assert "a packet without head, or a head before the last tail" in refused(sequence=1)


def test_a_sound_flit_raises_no_fault():
    network = RingNetwork()
    network.write(1, 0, 5, source=1, destination=2, last=1)
    network.step(1, 5)
    raise_faults(network.state)
    assert network.state.link.flits[1, 0] == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.eject[0, 0].__setattr__("filled", 3), "eject holds -1 flits in 8 places"),
        (lambda s: s.eject.__setitem__((0, 0), (3, 3)), "8 flits went in, 0 are inside, 7 came out"),
        (lambda s: s.inject[0, 0].__setattr__("filled", 99), "holds 9[0-9] flits in 8 places"),
        (lambda s: s.node[0].__setattr__("injected", 7), "counters"),
        (lambda s: s.link[2, 1].__setattr__("flits", 7), "sent over links"),
    ],
    ids=["doubled", "lost", "overfull", "miscounted", "teleported"],
)
def test_the_check_finds_what_is_lost(change, text):
    network = RingNetwork()
    driver = Driver(network)
    driver.send(1, 0, 4, 1)
    driver.send(3, 0, 4, 0)
    driver.run(40)
    check_conservation(network.state)
    check_drained(network.state)
    change(network.state)
    with pytest.raises(InternalError, match=text):
        check_conservation(network.state)


def test_the_check_finds_what_is_left():
    network = RingNetwork()
    driver = Driver(network)
    driver.send(0, 2, 6, 0)
    driver.run(9)
    with pytest.raises(InternalError, match="flits are left in"):
        check_drained(network.state)
    state = make_state(RING)
    state.output_vc[2, 1, 0].owner = 1
    with pytest.raises(InternalError, match="channel 0 of link 1 of router 2 is still held"):
        check_drained(state)


def test_a_pace_of_two_flits_needs_a_network_that_is_faster_than_the_core():
    slow_core = run_messages(DEEP, [(0, 0, 1, 100)], periods=(2, 1))
    wide_port = run_messages(DEEP, [(0, 0, 1, 100)], periods=(2, 1), pace=Pace(2, 1))
    assert slow_core.delivered[0] >= 2 * 99
    assert wide_port.delivered[0] < 120
