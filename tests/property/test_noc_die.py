"""The network of a die against a naive one that was written from docs/seams/network.md: the same flits, to the tick."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.noc.router.check import causes
from nmpsim.noc.router.state import CAUSES
from nmpsim.spec.params import CROSSBAR, MESH, RING, TORUS
from tests.oracle.noc_die import NaiveDie
from tests.property.strategies import Drawn
from tests.unit.noc.bench import DieNetwork, random_messages, random_network, run_messages, shaped


def compare(noc, clocks, messages, credit):
    """Run both; every flit must be taken in the same tick at the same port, and every link must have taken as many."""
    core_period, period = clocks
    kernel = DieNetwork(noc, period=period, core_period=core_period)
    naive = NaiveDie(noc, period=period, core_period=core_period)
    ours, theirs = (run_messages(network, messages, credit=credit) for network in (kernel, naive))
    assert ours.taken == theirs.taken
    ports, counted = kernel.fabric.params.ports, kernel.fabric.routers.output_port.flits.tolist()
    sent = {(n // ports, n % ports): flits for n, flits in enumerate(counted) if flits}
    assert sent == naive.routers.link_flits
    return kernel


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_flit_is_taken_when_the_naive_die_says(data):
    draw = Drawn(data.draw)
    built = random_network(draw)
    noc = built["noc"]._replace(multicast_lanes=0, sum_lanes=0)
    messages = random_messages(draw, noc.nodes, 1)
    compare(noc, (built["core_period"], built["period"]), messages, draw.choice([1, 4, 30]))


CROWDED = [shaped(RING, 6, vcs=4), shaped(MESH, 3, 2, vcs=2), shaped(TORUS, 3, 2), shaped(CROSSBAR, 5, vcs=3)]


@pytest.mark.parametrize("noc", CROWDED, ids=["ring 6", "mesh 3x3", "torus 3x3", "crossbar 5"])
def test_a_crowd_is_served_in_the_order_of_the_naive_die_and_meets_every_cause(noc):
    met = Counter()
    for seed in range(3):
        draw = random.Random(seed)
        messages = [m for _ in range(6) for m in random_messages(draw, noc.nodes, 1)]
        tried = noc._replace(speculative=seed % 2, eject_flits=draw.randint(1, 8), buffer_flits=draw.randint(2, 8))
        kernel = compare(tried, draw.choice([(1, 1), (5, 4), (3, 7)]), messages, draw.choice([1, 30]))
        met.update(dict(zip(CAUSES, causes(kernel.routers).sum(axis=0).tolist(), strict=True)))
    assert min(met["vc_busy"], met["no_credit"], met["switch_conflict"]) > 0


def test_a_naive_die_of_other_latencies_is_seen():
    noc = shaped(RING, 5)
    messages = random_messages(random.Random(3), 5, 1, most=40)
    for field in ("nLINK", "nCREDIT", "nSYNC", "nST", "nPORT"):
        other = noc._replace(**{field: getattr(noc, field) + 1})
        ours = run_messages(DieNetwork(noc), messages)
        assert ours.taken != run_messages(NaiveDie(other), messages).taken, field
