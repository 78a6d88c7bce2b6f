"""Any network of a die with any messages: nothing lost, order kept, both modes and every order of visits alike."""

import os
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.kernel import LANE
from nmpsim.noc.die.links import adders_of
from nmpsim.noc.die.state import LINK_REASONS
from nmpsim.noc.die.sum_state import SUM_REASONS
from nmpsim.noc.router.check import causes
from nmpsim.noc.router.state import CAUSES
from tests.property.strategies import Drawn
from tests.unit.noc.bench import DieNetwork, digest, random_messages, random_network, run_messages
from tests.unit.noc.level_bench import LevelNetwork, random_levels, run_rows
from tests.unit.noc.level_bench import digest as digest_of_levels


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_nothing_is_lost_and_the_mode_and_order_of_visits_are_seen_by_nobody(data):
    draw = Drawn(data.draw)
    built = random_network(draw)
    nodes, stacks = built["noc"].nodes, built["stacks"]
    ways = {"to_all": built["noc"].multicast_lanes > 0, "sums": built["noc"].sum_lanes > 0}
    messages, credit = random_messages(draw, nodes, stacks, **ways), draw.choice([1, 4, 30])
    seen = []
    for plain, backwards in ((False, False), (True, False), (False, True)):
        network = DieNetwork(**built)
        driver = run_messages(network, messages, credit=credit, check=True, plain=plain, backwards=backwards)
        driver.run(60 * max(network.period, network.link.period) * (1 + network.link.latency))
        network.settle(driver.now)
        accounts = causes(network.routers).tolist(), network.fabric.link_stall.tolist(), adders_of(network.fabric)
        seen.append((driver.now, driver.taken, accounts, network.snapshot()))
    assert seen[1] == seen[0]
    assert seen[2] == seen[0]
    across = sum(flits * min(d, stacks - d) for *_, flits, _, d in messages)
    assert int(network.fabric.link.flits.sum()) == across


def test_the_sweep_meets_every_cause_and_every_kind_of_network():
    met, links, kinds = Counter(), np.zeros(len(LINK_REASONS), np.int64), Counter()
    adders = np.zeros(len(SUM_REASONS), np.int64)
    for seed in range(60):
        draw = random.Random(seed)
        built = random_network(draw)
        network = DieNetwork(**built)
        ways = {"to_all": built["noc"].multicast_lanes > 0, "sums": built["noc"].sum_lanes > 0}
        messages = random_messages(draw, network.nodes, network.stacks, most=40, **ways)
        driver = run_messages(network, messages, credit=draw.choice([1, 30]))
        driver.run(40 * network.link.period * (1 + network.link.latency))
        network.settle(driver.now)
        met.update(dict(zip(CAUSES, causes(network.routers).sum(axis=0).tolist(), strict=True)))
        links += network.fabric.link_stall.sum(axis=0)
        adders += network.fabric.summing.stall.sum(axis=0)
        kinds[built["noc"].kind, built["stacks"] > 1] += 1
    assert {name for name, count in met.items() if count} == set(CAUSES) - {"switch_held"}
    assert links.all()
    assert adders.all()
    assert len(kinds) == 8


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_two_levels_lose_nothing_and_the_mode_and_order_of_visits_are_seen_by_nobody(data):
    draw = Drawn(data.draw)
    built = random_levels(draw)
    messages, credit = random_messages(draw, built["inner"].nodes, 1), draw.choice([1, 4, 30])
    seen = []
    for plain, backwards in ((False, False), (True, False), (False, True)):
        network = LevelNetwork(**built)
        driver = run_rows(network, messages, credit=credit, check=True, plain=plain, backwards=backwards)
        driver.run(60 * max(network.period, network.link.period, network.outer_period))
        network.settle(driver.now)
        accounts = (
            causes(network.routers).tolist(),
            causes(network.outer_routers).tolist(),
            network.bridge.stall.tolist(),
        )
        seen.append((driver.now, driver.taken, accounts, network.snapshot()))
    assert seen[1] == seen[0]
    assert seen[2] == seen[0]


def test_the_sweep_of_levels_meets_every_kind_inside_and_every_way_to_cut_flits():
    stalls, kinds = np.zeros(len(LINK_REASONS), np.int64), Counter()
    for seed in range(30):
        draw = random.Random(seed)
        built = random_levels(draw)
        network = LevelNetwork(**built)
        messages = random_messages(draw, network.nodes, 1, most=20)
        driver = run_rows(network, messages, credit=draw.choice([1, 30]))
        driver.run(60 * max(network.period, network.link.period, network.outer_period))
        network.settle(driver.now)
        stalls += network.bridge.stall.sum(axis=(0, 1, 2))
        kinds[built["inner"].kind] += 1
        kinds["wider" if network.gate.outer_bytes > network.gate.inner_bytes else "not wider"] += 1
        kinds["narrower" if network.gate.outer_bytes < network.gate.inner_bytes else "not narrower"] += 1
    assert stalls[: LINK_REASONS.index("vc_busy")].all()
    assert len(kinds) == 8


@pytest.mark.slow
def test_compiled_and_interpreted_lanes_agree_on_levels():
    seeds = [str(seed) for seed in range(4)]
    command = [sys.executable, "-m", "tests.unit.noc.level_bench", *seeds]
    other = "interpreted" if LANE != "interpreted" else "compiled"
    told = subprocess.run(command, env=os.environ | {"NMPSIM_LANE": other}, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == digest_of_levels(seeds)


@pytest.mark.slow
def test_compiled_and_interpreted_lanes_agree():
    seeds = [str(seed) for seed in range(6)]
    command = [sys.executable, "-m", "tests.unit.noc.bench", *seeds]
    other = "interpreted" if LANE != "interpreted" else "compiled"
    told = subprocess.run(command, env=os.environ | {"NMPSIM_LANE": other}, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == digest(seeds)
