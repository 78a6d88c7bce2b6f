"""Lab benches for the network of a die: `DieNetwork` for the conformance kit, random networks, digests of runs.

``python -m tests.unit.noc.bench SEED...`` prints a digest of random runs, to compare lanes in separate interpreters.
"""

from __future__ import annotations

import hashlib
import random
import sys

import numpy as np

from nmpsim.errors import SimulationError
from nmpsim.kernel import NEVER
from nmpsim.link import network_port
from nmpsim.noc.die import build_fabric, check_conservation, make_ports, raise_faults, step_link, step_network
from nmpsim.noc.die.check import check_drained, routers_of
from nmpsim.noc.die.network import settle_fabric
from nmpsim.spec.params import CROSSBAR, MESH, RING, TORUS, LinkParams, NocParams
from tests.conformance_kits.network import EVERYONE, Arrival, Driver, Network

SMALL = NocParams(
    nodes=4,
    kind=RING,
    radix=4,
    dims=1,
    flit_bytes=128,
    vcs=2,
    buffer_flits=4,
    nROUTE=0,
    nVA=1,
    nSA=1,
    nST=1,
    speculative=1,
    vc_allocator=0,
    switch_allocator=1,
    nLINK=1,
    nPORT=0,
    nCREDIT=1,
    nSYNC=2,
    inject_flits=8,
    eject_flits=8,
)
"""A small ring with the latencies of the shipped chips."""

PER_VISIT = ("eject_at", "credit_at")
"""Fields of NODE that describe the last visit."""


def shaped(kind: int, radix: int, dims: int = 1, **changes: int) -> NocParams:
    """`SMALL` in another shape."""
    nodes = radix if kind == CROSSBAR else radix**dims
    return SMALL._replace(nodes=nodes, kind=kind, radix=radix, dims=dims, **changes)


def python_of(function):
    """The plain Python of a compiled function: calling it record by record needs no machine code."""
    return getattr(function, "py_func", function)


blank_flit, flit_at, flit_space_at, head_flit, take_flit, write_flit = (
    python_of(getattr(network_port, name))
    for name in ("blank_flit", "flit_at", "flit_space_at", "head_flit", "take_flit", "write_flit")
)


def hops_between(noc: NocParams, source: int, destination: int) -> int:
    """Links between routers on the shortest way, counted from the shape alone."""
    if noc.kind == CROSSBAR:
        return 0
    total = 0
    for d in range(noc.dims):
        there, here = destination // noc.radix**d % noc.radix, source // noc.radix**d % noc.radix
        away = abs(there - here)
        total += away if noc.kind == MESH else min(away, noc.radix - away)
    return total


def router_cycles(noc: NocParams) -> int:
    """Cycles of a router for a head that meets nobody."""
    return noc.nROUTE + (noc.nSA if noc.speculative else noc.nVA + noc.nSA) + noc.nST


class DieNetwork(Network):
    """The network of a die as a `Network`."""

    def __init__(self, noc=SMALL, *, period=1, core_period=1, link=None, stacks=1, **changes):
        self.params = noc._replace(**changes)
        self.period, self.core_period, self.stacks = period, core_period, stacks
        self.link = link or LinkParams()
        self.ports, self.fabric = make_ports(self.params), build_fabric(self.params, self.link, stacks)
        self.nodes, self.wake = self.params.nodes, self.ports.wake
        self.routers = routers_of(self.params, self.fabric)
        p = self.params
        self.inject_flits = p.inject_flits
        summed = p.eject_flits // 3 if p.sum_lanes else 0
        copied = (p.eject_flits - summed) // 2 if p.multicast_lanes else 0
        plain = p.eject_flits - summed - copied
        self.eject_flits = plain if plain < p.vcs or copied < p.multicast_lanes else plain // p.vcs
        cycles = router_cycles(p) + p.nLINK + 2 * p.nPORT + 2 * p.nCREDIT + p.nSYNC + p.nodes
        cycles += p.nADD * (p.nodes - 1 if p.kind == CROSSBAR else 2 * p.dims) if p.sum_lanes else 0
        self.patience = 2 * cycles * max(period, core_period)

    def space_at(self, node, port):
        return int(flit_space_at(self.ports.inject[node, port], self.ports.inject_flit[node, port]))

    def write(self, node, port, ready_at, /, **fields):
        queue, flits = self.ports.inject[node, port], self.ports.inject_flit[node, port]
        flit = blank_flit(queue, flits)
        for name, value in fields.items():
            setattr(flit, name, value)
        write_flit(queue, flits, ready_at)

    def head(self, node, port):
        queue, flits = self.ports.eject[node, port], self.ports.eject_flit[node, port]
        if flit_at(queue, flits) >= NEVER:
            return None
        flit = head_flit(queue, flits)
        return Arrival(*(int(flit[name]) for name in Arrival._fields))

    def take(self, node, port, free_at):
        take_flit(self.ports.eject[node, port], self.ports.eject_flit[node, port], free_at)

    def arrived(self, node, port):
        return int(self.ports.eject[node, port].filled)

    def due(self, now):
        return (now % self.period == 0 and min(self.wake) <= now) or (
            self.stacks > 1 and now % self.link.period == 0 and min(self.fabric.link_wake) <= now
        )

    def step(self, now, *, plain, backwards):
        order = np.arange(self.nodes, dtype=np.int64)[:: -1 if backwards else 1].copy()
        before = self.fabric.routers.output_port.flits.copy()
        turns = [self._step_routers, self._step_links]
        for turn in turns[:: -1 if backwards else 1]:
            turn(now, plain, order)
        assert (self.fabric.routers.output_port.flits - before).max() <= 1, "a link carries one flit a cycle"

    def _step_routers(self, now, plain, order):
        if now % self.period == 0 and (plain or min(self.wake) <= now):
            periods = (self.core_period, self.period)
            step_network(now, int(plain), order, self.params, self.link, self.stacks, periods, self.ports, self.fabric)

    def _step_links(self, now, plain, order):
        if self.stacks > 1 and now % self.link.period == 0:
            for c in order:
                if plain or self.fabric.link_wake[c] <= now:
                    wake = step_link(int(c), now, self.params, self.link, self.period, self.ports, self.fabric)
                    self.fabric.link_wake[c] = wake
                    assert wake > now, "a wake lies strictly in the future"

    def port(self, source, destination):
        return (source + destination) % 2

    def least_latency(self, source, destination, port):
        p = self.params
        hops = hops_between(p, source, destination)
        cycles = 1 + (hops + 1) * router_cycles(p) + hops * p.nLINK + 2 * p.nPORT
        return cycles * self.period + 1

    def refuses(self):
        try:
            raise_faults(self.ports)
        except SimulationError:
            return True
        return False

    def snapshot(self):
        """All that a later visit depends on or a counter shows; accounts are settled, times of visits are not."""
        ports = type(self.ports)(*(part.copy() for part in self.ports))
        ports.node[list(PER_VISIT)] = 0
        held = {name: part for name, part in self.fabric.routers._asdict().items() if name not in SCRATCH}
        totals = self.fabric.routers.totals.copy()
        totals.now = 0
        terminal = self.fabric.terminal.copy()
        terminal.again = 0
        parts = [ports.node, ports.inject, ports.inject_flit, ports.eject, ports.eject_flit, totals, terminal]
        parts += [*held.values(), self.fabric.up, self.fabric.up_flit, self.fabric.queue, self.fabric.queue_flit]
        parts += [self.fabric.holder, self.fabric.link[["free_at", "turn", "flits", "cycles", "bytes"]]]
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

    def check(self):
        """What must hold between two cycles."""
        check_conservation(self.routers, self.ports, self.fabric)

    def settle(self, now):
        """Close the accounts at the first edges after tick `now`, and check that everything has come to rest."""
        link = (now // self.link.period + 1) * self.link.period
        settle_fabric(now // self.period + 1, link, self.fabric)
        self.check()
        check_drained(self.ports, self.fabric)
        if self.stacks > 1:
            assert (self.fabric.link_stall.sum(axis=1) == link).all()


SCRATCH = (
    *("totals", "flit_event", "credit_event", "ask", "first_ask", "asked_ports", "asked_vcs", "granted", "guess"),
    *("won", "chosen", "by_input", "by_output", "source_wake", "free_row", "packet", "buffer"),
    *("operation", "copied_flit", "sent_branch", "tree_totals", "addend"),
)
"""Parts of the routers' state that no later cycle reads, that are compared otherwise, or that name rows of the flit
table: which row a flit gets depends on the order of visits, and nothing else on that."""

CLOCKS = [(1, 1), (5, 4), (4, 5), (3, 7), (7, 3), (2, 4)]
"""Core and network periods."""


def random_network(draw):
    """A random small network; `draw` has the functions of `random.Random`."""
    kind = draw.choice([RING, RING, MESH, TORUS, CROSSBAR])
    dims = draw.choice([1, 2]) if kind in (MESH, TORUS) else 1
    radix = draw.randint(2, 3) if dims == 2 else draw.randint(2, 7)
    vcs = draw.choice([2, 3, 4] if kind in (RING, TORUS) else [1, 2, 3])
    nSA = draw.randint(1, 2)
    lanes, buffer_flits = draw.choice([0, 1, 2]), draw.randint(1, 8)
    sum_lanes = draw.choice([0, 1, 2]) if lanes else 0
    noc = shaped(
        kind,
        radix,
        dims,
        vcs=vcs,
        buffer_flits=buffer_flits,
        nROUTE=draw.randint(0, 2),
        nVA=draw.randint(1, nSA),
        nSA=nSA,
        nST=draw.randint(1, 2),
        speculative=draw.randint(0, 1),
        vc_allocator=draw.randint(0, 2),
        switch_allocator=draw.randint(0, 2),
        nLINK=draw.randint(1, 3),
        nPORT=draw.randint(0, 2),
        nCREDIT=draw.randint(1, 3),
        nSYNC=draw.randint(1, 3),
        inject_flits=draw.randint(1, 8),
        eject_flits=draw.randint(3 * sum_lanes or (2 if lanes else 1), 8),
        multicast_lanes=lanes,
        multicast_flits=draw.randint(1, buffer_flits),
        sum_lanes=sum_lanes,
        nADD=draw.randint(1, 3),
    )
    core_period, period = draw.choice(CLOCKS)
    stacks = draw.choice([1, 1, 2, 3, 4, 5])
    link = LinkParams(
        period=draw.choice([1, 2, 3, 5]),
        bytes=draw.choice([8, 50, 64, 128, 200]),
        latency=draw.randint(1, 9),
        buffer_flits=draw.randint(1, 6),
    )
    return {"noc": noc, "period": period, "core_period": core_period, "link": link, "stacks": stacks}


ALL_OF_THEM = -1
"""Source of a sum: every node contributes."""


def random_messages(draw, nodes, stacks, most=25, *, to_all=False, sums=False):
    """Random messages: source, destination, flits, port, stack; some to all other nodes, and sums, if asked for."""
    found = []
    for _ in range(draw.randint(1, most)):
        source, stack = draw.randint(0, nodes - 1), draw.randint(0, stacks - 1)
        if to_all and draw.randint(0, 2) == 0:
            found.append((source, EVERYONE, draw.choice([1, 2, 5, 9, 20]), draw.randint(0, 1), 0))
            continue
        if sums and draw.randint(0, 2) == 0:
            found.append((ALL_OF_THEM, source, draw.choice([1, 2, 5, 9, 20]), draw.randint(0, 1), 0))
            continue
        away = draw.randint(0 if stack else 1, nodes - 1)
        found.append((source, (source + away) % nodes, draw.choice([1, 1, 2, 5, 9]), draw.randint(0, 1), stack))
    return found


def run_messages(network, messages, *, credit=1, limit=20_000, check=False, **ways):
    """Send messages and run until all flits were taken; return the driver."""
    driver = Driver(network, credit=credit, **ways)
    for source, destination, flits, port, stack in messages:
        if source == ALL_OF_THEM:
            driver.add_up(destination, flits, port)
        else:
            driver.send(source, destination, flits, port, stack=stack)
    flits = sum(flits * len(driver.takers(m)) for m, (*_, flits) in enumerate(driver.sent))
    while sum(map(len, driver.taken.values())) < flits:
        driver.run(network.period if check else 40)
        assert driver.now < limit, "flits are left that do not arrive"
        if check:
            network.check()
    driver.assert_complete()
    return driver


def digest(seeds):
    """Hash of random runs in both modes; hex digits."""
    found = hashlib.sha256()
    for seed in seeds:
        for plain in (False, True):
            draw = random.Random(int(seed))
            network = DieNetwork(**random_network(draw))
            p = network.params
            ways = {"to_all": p.multicast_lanes > 0, "sums": p.sum_lanes > 0}
            messages = random_messages(draw, network.nodes, network.stacks, **ways)
            driver = run_messages(network, messages, plain=plain)
            found.update(repr(driver.arrivals()).encode() + network.snapshot())
    return found.hexdigest()


if __name__ == "__main__":
    print(digest(int(seed) for seed in sys.argv[1:]))
