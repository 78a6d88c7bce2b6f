"""Lab benches for the ring: `RingNetwork` for the conformance kit, random traffic, and digests of runs.

``python -m tests.unit.noc.bench SEED...`` prints a digest of random runs, to compare lanes in separate interpreters.
"""

from __future__ import annotations

import hashlib
import random
import sys
from typing import NamedTuple

from nmpsim.errors import SimulationError
from nmpsim.kernel import NEVER
from nmpsim.link import network_port
from nmpsim.noc import check_conservation, make_state, raise_faults, step_router
from nmpsim.noc.endpoint import Pace
from nmpsim.noc.ring import settle_links
from nmpsim.noc.traffic import hops_between, run_messages, shortest_direction
from nmpsim.spec.params import NocParams
from tests.conformance_kits.network import Arrival, Network

RING = NocParams(
    nodes=4,
    flit_bytes=128,
    vcs=2,
    buffer_flits=4,
    nROUTER=2,
    nLINK=1,
    nCREDIT=1,
    nSYNC=2,
    inject_flits=8,
    eject_flits=8,
)
"""A small ring with the latencies of the shipped chips."""

PER_VISIT = ("eject_at", "credit_at")
"""Fields of NODE that describe the last visit."""


def python_of(function):
    """The plain Python of a compiled function: calling it record by record needs no machine code."""
    return getattr(function, "py_func", function)


blank_flit, flit_at, flit_space_at, head_flit, take_flit, write_flit = (
    python_of(getattr(network_port, name))
    for name in ("blank_flit", "flit_at", "flit_space_at", "head_flit", "take_flit", "write_flit")
)


def fingerprint(state):
    """All of a ring's state that a later visit depends on or a counter shows; bytes."""
    state.node[list(PER_VISIT)] = 0
    return b"".join(part.tobytes() for name, part in state._asdict().items() if name != "wake")


class RingNetwork(Network):
    """A ring as a `Network`."""

    def __init__(self, *, period=1, core_period=1, **changes):
        self.params = RING._replace(**changes)
        self.period, self.core_period = period, core_period
        self.state = make_state(self.params)
        self.nodes = self.params.nodes
        self.inject_flits, self.eject_flits = self.params.inject_flits, self.params.eject_flits
        self.wake = self.state.wake
        p = self.params
        self.patience = 2 * (p.nROUTER + p.nLINK + p.nCREDIT + p.nSYNC + p.nodes) * max(period, core_period)

    def space_at(self, node, direction):
        return int(flit_space_at(self.state.inject[node, direction], self.state.inject_flit[node, direction]))

    def write(self, node, direction, ready_at, **fields):
        queue, flits = self.state.inject[node, direction], self.state.inject_flit[node, direction]
        flit = blank_flit(queue, flits)
        for name, value in fields.items():
            setattr(flit, name, value)
        write_flit(queue, flits, ready_at)

    def head(self, node, direction):
        queue, flits = self.state.eject[node, direction], self.state.eject_flit[node, direction]
        if flit_at(queue, flits) >= NEVER:
            return None
        flit = head_flit(queue, flits)
        return Arrival(*(int(flit[name]) for name in Arrival._fields))

    def take(self, node, direction, free_at):
        take_flit(self.state.eject[node, direction], self.state.eject_flit[node, direction], free_at)

    def arrived(self, node, direction):
        return int(self.state.eject[node, direction].filled)

    def step(self, node, now):
        links = self.state.link.flits.copy()
        wake = int(step_router(node, now, 0, self.params, self.period, self.core_period, self.state))
        sent = self.state.link.flits - links
        assert sent.min() >= 0, "a counter never falls"
        assert sent.max() <= 1, "a link carries at most one flit per cycle"
        assert sent.sum() == sent[node].sum(), "a router uses its own links only"
        check_conservation(self.state)
        return wake

    def direction(self, source, destination):
        return shortest_direction(self.nodes, source, destination)

    def least_latency(self, source, destination, direction):
        hops = hops_between(self.nodes, source, destination, direction)
        return hops * (self.params.nROUTER + self.params.nLINK) * self.period + 1

    def refuses(self):
        try:
            raise_faults(self.state)
        except SimulationError:
            return True
        return False

    def snapshot(self):
        copied = type(self.state)(*(part.copy() for part in self.state))
        return fingerprint(copied)

    def stalls(self, until):
        """Stall table of all links, settled at tick `until`."""
        settle_links(until, self.state)
        return self.state.stall


class Scenario(NamedTuple):
    """A ring, its clocks and its messages."""

    params: NocParams
    periods: tuple[int, int]
    pace: Pace
    messages: list[tuple[int, int, int, int]]

    def run(self, **ways):
        """Run it; `ways` are ``plain`` and ``order``."""
        return run_messages(self.params, self.messages, periods=self.periods, pace=self.pace, **ways)


CLOCKS = [(1, 1), (5, 4), (4, 5), (3, 7), (7, 3), (10, 1), (1, 10), (2, 4)]
"""Core and network periods."""


def random_scenario(seed, **changes):
    """A reproducible scenario; `changes` replace parameters of the ring."""
    draw = random.Random(seed)
    params = NocParams(
        nodes=draw.randint(2, 8),
        flit_bytes=128,
        vcs=draw.choice([2, 3]),
        buffer_flits=draw.randint(1, 8),
        nROUTER=draw.randint(1, 3),
        nLINK=draw.randint(1, 3),
        nCREDIT=draw.randint(1, 3),
        nSYNC=draw.randint(1, 3),
        inject_flits=draw.randint(1, 8),
        eject_flits=draw.randint(1, 8),
    )._replace(**changes)
    messages = []
    window = draw.choice([1, 20, 400])
    for _ in range(draw.randint(1, 40)):
        source = draw.randrange(params.nodes)
        destination = (source + draw.randint(1, params.nodes - 1)) % params.nodes
        messages.append((draw.randrange(window), source, destination, draw.choice([1, 1, 2, 3, 5, 9])))
    pace = Pace(draw.choice([1, 1, 2]), draw.choice([1, 1, 3]))
    return Scenario(params, draw.choice(CLOCKS), pace, messages)


def result_of(run):
    """Everything a run shows; bytes."""
    return run.delivered.tobytes() + run.passage.tobytes() + run.message.tobytes() + fingerprint(run.network)


def digest(seeds):
    """Hash of random runs in both modes; hex digits."""
    digest = hashlib.sha256()
    for seed in seeds:
        for plain in (False, True):
            digest.update(result_of(random_scenario(seed).run(plain=plain)))
    return digest.hexdigest()


if __name__ == "__main__":
    print(digest(int(seed) for seed in sys.argv[1:]))
