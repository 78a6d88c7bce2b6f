"""Lab bench for networks inside PUs, gateways and the network between PUs: one `Network` for the conformance kit.

``python -m tests.unit.noc.level_bench SEED...`` prints a digest of random runs, to compare lanes.
"""

from __future__ import annotations

import hashlib
import random
import sys
from typing import Any

import numpy as np

from nmpsim.noc.die import build_fabric, make_ports, raise_faults, step_network
from nmpsim.noc.die.bridge import settle_bridge, step_bridge, wake_bridge
from nmpsim.noc.die.bridge_state import check_bridge, check_bridge_drained, make_bridge
from nmpsim.noc.die.check import check_conservation, check_drained, routers_of
from nmpsim.noc.die.gate_node import gate_node
from nmpsim.noc.die.network import settle_fabric
from nmpsim.spec.levels import OWN_CHANNELS, joined_levels
from nmpsim.spec.params import CROSSBAR, MESH, RING, TORUS
from tests.conformance_kits.network import Driver
from tests.unit.noc.bench import CLOCKS, DieNetwork, hops_between, python_of, random_messages, router_cycles, shaped

NARROW, WIDE = 64, 128


def inside(kind: int, radix: int, dims: int = 1, *, pus: int = 2, **changes: int) -> Any:
    """Networks inside so many PUs."""
    one = shaped(kind, radix, dims, **({"vcs": OWN_CHANNELS[kind]} | changes))
    return one._replace(nodes=one.nodes * pus, groups=pus)


class LevelNetwork(DieNetwork):
    """Networks inside PUs and one between them as a `Network`; nodes, ports and clock are those of the inner ones."""

    def __init__(self, inner, outer, *, periods=(1, 1), core_period=1, gateway_flits=8):
        self.between, self.gate, gateways = joined_levels(inner, outer, periods, gateway_flits)
        self.as_given = outer
        self.outer_period = periods[1]
        super().__init__(inner, period=periods[0], core_period=core_period, link=gateways)
        self.outer, self.outer_fabric = make_ports(self.between), build_fabric(self.between, gateways, 1)
        self.outer_routers = routers_of(self.between, self.outer_fabric)
        self.bridge = make_bridge(self.between.nodes)
        slowest = max(*periods, core_period, gateways.period)
        self.patience += slowest * (2 * (inner.nSYNC + outer.nSYNC) + 8 + self.between.nodes)
        self.patience += slowest * (router_cycles(outer) + outer.nLINK + 2 * outer.nPORT + 2 * outer.nCREDIT)

    def due(self, now):
        return (
            (now % self.period == 0 and min(self.wake) <= now)
            or (now % self.outer_period == 0 and min(self.outer.wake) <= now)
            or (now % self.link.period == 0 and min(self.fabric.link_wake[c] for *_, c in self._gates()) <= now)
        )

    def _gates(self):
        gates = [(p, d) for p in range(self.between.nodes) for d in (0, 1)]
        return [(p, d, python_of(gate_node)(p, d, self.gate.cores)) for p, d in gates]

    def step(self, now, *, plain, backwards):
        order = np.arange(self.nodes, dtype=np.int64)[:: -1 if backwards else 1].copy()
        turns = [self._step_routers, self._step_outer, self._step_gates]
        for turn in turns[:: -1 if backwards else 1]:
            turn(now, plain, order)

    def _step_outer(self, now, plain, order):
        if now % self.outer_period == 0 and (plain or min(self.outer.wake) <= now):
            pus = order[order < self.between.nodes].copy()
            periods = (self.link.period, self.outer_period)
            step_network(now, int(plain), pus, self.between, self.link, 1, periods, self.outer, self.outer_fabric)
            python_of(wake_bridge)(self.gate, self.outer, self.fabric)
            assert min(self.outer.wake) > now, "a wake lies strictly in the future"

    def _step_gates(self, now, plain, order):
        if now % self.link.period:
            return
        for p, d, c in self._gates()[:: 1 if order[0] == 0 else -1]:
            if plain or self.fabric.link_wake[c] <= now:
                networks, periods = (self.params, self.between), (self.period, self.outer_period)
                wake = step_bridge(
                    p,
                    d,
                    now,
                    self.gate,
                    self.link.period,
                    networks,
                    periods,
                    self.ports,
                    self.fabric,
                    self.outer,
                    self.bridge,
                )
                self.fabric.link_wake[c] = wake
                assert wake > now, "a wake lies strictly in the future"

    def least_latency(self, source, destination, port):
        """The formula of docs/seams/network.md, each crossing taken as if clocks met at the best."""
        cores, inner, outer = self.gate.cores, self.params, self.as_given
        one = inner._replace(nodes=cores)
        here, there = source // cores, destination // cores
        if here == there:
            return super().least_latency(source, destination, port)
        way = python_of(gate_node)(0, port, cores)

        def cycles(noc, hops):
            return 1 + (hops + 1) * router_cycles(noc) + hops * noc.nLINK + 2 * noc.nPORT

        out = cycles(one, hops_between(one, source % cores, way)) + cycles(
            one, hops_between(one, way, destination % cores)
        )
        across = cycles(outer, hops_between(outer, here, there))
        return out * self.period + across * self.outer_period + 5

    def refuses(self):
        if super().refuses():
            return True
        raise_faults(self.outer)
        return False

    def snapshot(self):
        own = super().snapshot()
        ports, fabric, routers = self.ports, self.fabric, self.routers
        self.ports, self.fabric, self.routers = self.outer, self.outer_fabric, self.outer_routers
        other = super().snapshot()
        self.ports, self.fabric, self.routers = ports, fabric, routers
        half = self.bridge.half.copy()
        half.since = half.reason = 0
        register = self.bridge.register.copy()
        register[half.parts == 0] = np.zeros(1, register.dtype)[0]
        return own + other + half.tobytes() + register.tobytes()

    def check(self):
        super().check()
        check_conservation(self.outer_routers, self.outer, self.outer_fabric)
        check_bridge(self.bridge)

    def settle(self, now):
        gates = (now // self.link.period + 1) * self.link.period
        settle_fabric(now // self.period + 1, gates, self.fabric)
        settle_fabric(now // self.outer_period + 1, gates, self.outer_fabric)
        settle_bridge(gates, self.bridge)
        self.check()
        check_drained(self.ports, self.fabric)
        check_drained(self.outer, self.outer_fabric)
        check_bridge_drained(self.bridge)
        assert (self.bridge.stall.sum(axis=3) == gates).all()


class Rows(Driver):
    """Messages of flits of which many follow each other, as gateways put together; compared byte by byte."""

    def flit(self, message, i):
        width = self.network.params.flit_bytes
        sizes = [width if (n + message) % 3 else 1 + (7 * n + message) % width for n in range(i + 1)]
        gaps = [0 if (n + message) % 4 else 500 for n in range(i)]
        return super().flit(message, i) | {"address": 10**6 * message + sum(sizes[:-1]) + sum(gaps), "bytes": sizes[-1]}

    def assert_complete(self):
        """Every byte sent was taken once, at its address, by its port, and messages came whole and in order."""
        arrived = {}
        for (node, d), _, flit in self.arrivals():
            source, port, destination, _ = self.sent[flit.message]
            assert (node, d, flit.source, flit.destination) == (destination, port, source, destination)
            assert flit.signal == 1000 + flit.message
            arrived.setdefault(flit.message, []).append(flit)
        assert sorted(arrived) == list(range(len(self.sent)))
        for message, flits in arrived.items():
            number = len(flits)
            assert [flit.sequence for flit in flits] == list(range(number))
            assert [flit.last for flit in flits] == [0] * (number - 1) + [1]
            assert max(flit.bytes for flit in flits) <= self.network.params.flit_bytes
            sent = [self.flit(message, i) for i in range(self.sent[message][3])]
            assert bytes_of((f.address, f.bytes) for f in flits) == bytes_of((f["address"], f["bytes"]) for f in sent)
        for taken in self.taken.values():
            for source in range(self.network.nodes):
                numbers = [(flit.message, flit.sequence) for _, flit in taken if flit.source == source]
                assert numbers == sorted(numbers), "flits of one source and port come in order"
        assert not self.network.refuses()


def bytes_of(parts):
    """Addresses and lengths with those joined that follow each other."""
    found = []
    for address, size in parts:
        if found and sum(found[-1]) == address:
            found[-1] = found[-1][0], found[-1][1] + size
        else:
            found.append((address, size))
    return found


def run_rows(network, messages, *, credit=1, limit=40_000, check=False, **ways):
    """Send messages and run until the tail of each was taken; return the driver."""
    driver = Rows(network, credit=credit, **ways)
    for source, destination, flits, port, _ in messages:
        driver.send(source, destination, flits, port)
    while sum(flit.last for _, _, flit in driver.arrivals()) < len(messages):
        driver.run(1 if check else 40)
        assert driver.now < limit, "messages are left that do not arrive"
        if check:
            network.check()
    driver.assert_complete()
    return driver


def random_levels(draw):
    """Random networks of two levels; `draw` has the functions of `random.Random`."""
    pus = draw.choice([2, 2, 3, 4])
    nSA = draw.randint(1, 2)

    def network(kind, radix, dims, least, **fixed):
        return shaped(
            kind,
            radix,
            dims,
            vcs=least + draw.randint(0, 2),
            buffer_flits=draw.randint(1, 8),
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
            eject_flits=draw.randint(1, 8),
            **fixed,
        )

    kind = draw.choice([RING, MESH, TORUS, CROSSBAR])
    dims = draw.choice([1, 2]) if kind in (MESH, TORUS) else 1
    inner = network(kind, 2 if dims == 2 else draw.randint(2, 4), dims, OWN_CHANNELS[kind])
    kind = draw.choice([RING, MESH, CROSSBAR])
    outer = network(kind, pus, 1, 2 if kind == RING else 1)
    widths = draw.choice([(32, 128), (64, 64), (128, 32), (96, 32)])
    inner = inner._replace(nodes=inner.nodes * pus, groups=pus, flit_bytes=widths[0])
    core_period, period = draw.choice(CLOCKS)
    return {
        "inner": inner,
        "outer": outer._replace(flit_bytes=widths[1]),
        "periods": (period, draw.choice([1, 2, 3, 5])),
        "core_period": core_period,
        "gateway_flits": draw.randint(1, 8),
    }


def digest(seeds):
    """Hash of random runs in both modes; hex digits."""
    found = hashlib.sha256()
    for seed in seeds:
        for plain in (False, True):
            draw = random.Random(int(seed))
            network = LevelNetwork(**random_levels(draw))
            driver = run_rows(network, random_messages(draw, network.nodes, 1, most=12), plain=plain)
            found.update(repr(driver.arrivals()).encode() + network.snapshot())
    return found.hexdigest()


if __name__ == "__main__":
    print(digest(sys.argv[1:]))
