"""When flits leave and arrive: the drawing of docs/noc/router.md, zero load by formula, each delay two-sided."""

from dataclasses import replace

import pytest

from nmpsim.errors import SpecError
from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.synthetic.run import finish, run
from nmpsim.noc.synthetic.traffic import Message, trace
from nmpsim.noc.topology import crossbar, mesh, torus
from tests.architecture.sources import ROOT
from tests.unit.noc.router_bench import LINE, first_cycles, lone_latency

PAGE = ROOT / "docs" / "noc" / "router.md"
PLAIN = RouterSettings()


def drawn_rows():
    """The rows of the table First cycles."""
    section = PAGE.read_text(encoding="utf-8").split("## First cycles")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and line[2].isdigit()]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_the_first_cycles_are_those_of_the_drawing():
    rows = first_cycles(PLAIN)
    drawn = drawn_rows()
    assert len(drawn) == 18
    assert rows[4:22] == drawn
    assert not any(any(row[1:]) for row in rows[:4] + rows[22:])


@pytest.mark.parametrize(
    ("changes", "per_hop"),
    [
        ({}, 4),
        ({"routing_delay": 0}, 3),
        ({"routing_delay": 3}, 6),
        ({"vc_alloc_delay": 3}, 6),
        ({"sw_alloc_delay": 3}, 6),
        ({"switch_delay": 3}, 6),
        ({"credit_delay": 5}, 4),
        ({"speculative": True}, 3),
        ({"speculative": True, "routing_delay": 0}, 2),
        ({"speculative": True, "vc_alloc_delay": 2, "sw_alloc_delay": 3}, 5),
    ],
)
@pytest.mark.parametrize("flits", [1, 5])
def test_zero_load_is_the_sum_of_the_stages(changes, per_hop, flits):
    for hops in (1, 2, 3):
        links = 2 + (hops - 1)
        expected = 1 + links + hops * per_hop + flits - 1
        assert lone_latency(replace(PLAIN, **changes), hops, flits) == expected


def test_links_of_a_torus_are_two_cycles_long():
    assert lone_latency(PLAIN, 2, 1, torus(3, 1)) == 1 + (1 + 2 + 1) + 2 * 4


@pytest.mark.parametrize("places", [1, 2, 4, 8])
def test_buffers_below_the_credit_loop_stretch_a_packet(places):
    """Five flits over two links, loop 6: flit j follows the head j // B * 6 + j % B later."""
    last = 4 // places * 6 + 4 % places
    assert lone_latency(replace(PLAIN, buffer_flits=places), 3, 5) == 1 + 4 + 3 * 4 + last


@pytest.mark.parametrize("stage", ["routing_delay", "switch_delay"])
def test_batched_stages_are_slower_under_load_and_the_same_for_one_flit(stage):
    slow = replace(PLAIN, **{stage: 3}, batched_stages=True)
    piped = replace(slow, batched_stages=False)
    assert lone_latency(slow, 3) == lone_latency(piped, 3)
    ends = []
    for chosen in (slow, piped):
        fabric = build_network(LINE, chosen)
        traffic = trace(fabric, [Message(at, at % 3, 2, 1) for at in range(60)])
        assert finish(fabric, traffic, 10_000)
        ends.append(int(fabric.state.totals[0].last_arrival))
    assert ends[0] > ends[1]


def test_one_vc_carries_one_packet_per_route_allocate_and_send():
    """BookSim's bound: P / (R + VA + SA + P - 1) flits a cycle."""
    fabric = build_network(crossbar(2), replace(PLAIN, vcs=1))
    traffic = trace(fabric, [Message(0, 0, 1, 1) for _ in range(100)])
    run(fabric, traffic, 6 + 3 * 50)
    assert int(fabric.state.source[1].accepted) == 50


def test_a_vc_is_won_in_the_cycle_after_its_tail_and_with_tail_credit_after_the_loop():
    """One VC, two packets of one flit from two nodes to one: SA at 4 for the first."""
    ends = []
    for waits in (False, True):
        fabric = build_network(crossbar(3), replace(PLAIN, vcs=1, wait_for_tail_credit=waits), log=2)
        assert finish(fabric, trace(fabric, [Message(0, 0, 2, 1), Message(0, 1, 2, 1)]), 1000)
        ends.append(sorted(fabric.state.logged.arrived_at.tolist()))
    assert ends[0] == [7, 9]  # VA of the second at 5, SA at 6
    assert ends[1] == [7, 14]  # its credit leaves node 2 at 7, and is there at 7 + 1 + 1 + 1 = 10: VA 10, SA 11


def test_a_held_switch_keeps_a_packet_together():
    """Two packets of four flits for one output: by turns without hold, one after the other with it."""
    gaps = []
    for holds in (False, True):
        fabric = build_network(crossbar(3), replace(PLAIN, hold_switch_for_packet=holds), log=2)
        assert finish(fabric, trace(fabric, [Message(0, 0, 2, 4), Message(0, 1, 2, 4)]), 1000)
        first, second = sorted(fabric.state.logged.arrived_at.tolist())
        gaps.append(second - first)
    assert gaps == [1, 4]


def test_more_than_64_pairs_of_port_and_vc_work_up_to_a_word_each():
    fabric = build_network(crossbar(62), replace(PLAIN, vcs=62), log=62 * 4)
    sent = [Message(n % 4, n % 62, (n * 7 + 61) % 62, 2) for n in range(62 * 4)]
    assert finish(fabric, trace(fabric, sent), 10_000)
    assert (fabric.state.logged.arrived_at > 0).all()
    with pytest.raises(SpecError, match="62 ports at most"):
        build_network(crossbar(63), PLAIN)


def test_every_fault_of_the_settings_is_told():
    with pytest.raises(SpecError) as caught:
        RouterSettings(vcs=0, buffer_flits=-1, vc_allocator="islip(0)", sw_allocator="wavefront", switch_delay=0)
    assert len(caught.value.faults) == 5
    with pytest.raises(SpecError, match="vc_alloc_delay not above sw_alloc_delay"):
        RouterSettings(speculative=True, vc_alloc_delay=2)


def test_the_farthest_nodes_of_a_cube_are_ten_routers_apart():
    fabric = build_network(mesh(4, 3), PLAIN, log=1)
    assert finish(fabric, trace(fabric, [Message(0, 0, 63, 1)]), 1000)
    assert int(fabric.state.logged[0].hops) == 10
    assert int(fabric.state.logged[0].arrived_at) == 1 + (2 + 9) + 10 * 4
