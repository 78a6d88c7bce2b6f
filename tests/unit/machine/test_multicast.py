"""Decode steps on dies whose routers copy: the same work, fewer flits sent, as many arrived."""

import pytest

from nmpsim.errors import SpecError
from nmpsim.spec import load_chip
from nmpsim.spec.load import with_overrides
from tests.builders import KINDS, SNAKE
from tests.unit.machine.modes import run_both


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize(("pus", "topology"), [(2, "ring"), (4, "ring"), (4, "crossbar"), (4, "mesh:2x2")])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_work_with_fewer_flits_sent(kind, pus, topology, moe):
    seen, counts = {}, {}
    for way in ("messages", "multicast"):
        seen[way], counts[way], *_ = run_both(way, kind, pus, moe=moe, noc__topology=topology)
    assert counts["messages"]["flits"] == counts["messages"]["arrived_flits"] == counts["multicast"]["arrived_flits"]
    assert counts["multicast"]["flits"] < counts["messages"]["flits"] or pus == 2
    assert counts["multicast"]["flit_hops"] <= counts["messages"]["flit_hops"]
    for name in ("macs", "RD", "WR", "vector_elements"):
        assert counts["messages"][name] == counts["multicast"][name]
    for run in seen.values():
        for name, least in run.bounds.items():
            assert run.cycles >= least, name


def test_links_and_routers_that_copies_pass_use_energy():
    """A copy counts at every router and link that it passes, as a flit; what is not sent again is not read again."""
    seen, counts = {}, {}
    for way in ("messages", "multicast"):
        seen[way], counts[way], *_ = run_both(way, SNAKE, 4)
    hops = {way: counts[way]["flit_hops"] for way in counts}
    links = {way: seen[way].energy_J["noc_link"] for way in seen}
    assert links["multicast"] / links["messages"] == pytest.approx(hops["multicast"] / hops["messages"])
    passed = {way: hops[way] + counts[way]["arrived_flits"] for way in counts}
    routers = {way: seen[way].energy_J["noc_router"] for way in seen}
    assert routers["multicast"] / routers["messages"] == pytest.approx(passed["multicast"] / passed["messages"])


def test_copies_stay_in_their_stack():
    _, counts, *_ = run_both("multicast", SNAKE, 4, stacks=2)
    _, others, *_ = run_both("messages", SNAKE, 4, stacks=2)
    assert counts["stack_link_flits"] == others["stack_link_flits"] > 0
    assert counts["arrived_flits"] == others["arrived_flits"]


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"noc.topology": "crossbar"}, "noc.collectives"),
        ({"noc.multicast_vcs": 40}, "noc.collectives"),
        ({"noc.multicast_flits": 9}, "noc.multicast_flits"),
        ({"noc.eject_flits": 1}, "noc.eject_flits"),
    ],
)
def test_what_such_routers_cannot_be_is_refused(settings, where):
    with pytest.raises(SpecError) as caught:
        with_overrides(load_chip(SNAKE), {"noc.collectives": "multicast", **settings})
    assert [fault.where.split(": ")[-1] for fault in caught.value.faults] == [where]
    with_overrides(load_chip(SNAKE), {name: value for name, value in settings.items() if name != "noc.topology"})
