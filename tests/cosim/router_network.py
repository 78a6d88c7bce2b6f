"""A network whose routers are RTL in PyRTL, or the plain model: batches of packets, until the last flit has arrived.

Links, sources and sinks are written here once more from BookSim 2: what is sent in cycle t over a link of latency L is
seen in t + 1 + L; a source sends one flit a cycle at most, a packet by the first channel behind the last one used that
is free and has a credit; a sink takes what comes and gives the credit back in that cycle.
"""

from __future__ import annotations

import copy
from collections import defaultdict

import pyrtl

from nmpsim.noc.topology import Topology
from rtl_models.noc.router import RouterParams, router
from tests.cosim.router_model import RouterModel, tail_of


class RtlRouter:
    """A router in PyRTL's simulator.

    Parameters
    ----------
    params : RouterParams
    simulation : pyrtl.FastSimulation
        A fresh one; it stays as it is.
    """

    def __init__(self, params: RouterParams, simulation: pyrtl.FastSimulation) -> None:
        self.params, self.simulation = params, copy.copy(simulation)
        self.idle = {wire.name: 0 for wire in simulation.block.wirevector_subset(pyrtl.Input)}

    def step(self, flits: dict, returned: dict, routes: list) -> tuple[dict, dict]:
        """Run one cycle; return flits by output, and credits by input."""
        inputs = dict(self.idle)
        for n, (port, mask) in enumerate(routes):
            inputs |= {f"route_port{n}": port, f"route_vcs{n}": mask}
        for p, (vc, flit) in flits.items():
            inputs |= {f"flit_valid{p}": 1, f"flit_vc{p}": vc, f"flit{p}": flit}
        for p, vc in returned.items():
            inputs |= {f"credit_valid{p}": 1, f"credit_vc{p}": vc}
        self.simulation.step(inputs)
        see, ports = self.simulation.inspect, range(self.params.ports)
        out = {p: (see(f"out_vc{p}"), see(f"out_flit{p}")) for p in ports if see(f"out_valid{p}")}
        return out, {p: see(f"back_vc{p}") for p in ports if see(f"back_valid{p}")}


class ModelRouter(RouterModel):
    """The plain model with the steps of `RtlRouter`."""

    def step(self, flits: dict, returned: dict, routes: list) -> tuple[dict, dict]:
        """Run one cycle; return flits by output, and credits by input."""
        done = super().step(flits, returned, routes)
        return done.out, done.back


class Source:
    """A node that sends packets back to back.

    Parameters
    ----------
    params : RouterParams
    flits : list of int
        Flits of all its packets.
    """

    def __init__(self, params: RouterParams, flits: list[int]) -> None:
        self.flits, self.vc, self.last = flits, -1, -1
        self.credits = [params.buffer_flits] * params.vcs

    def send(self) -> tuple[int, int] | None:
        """Channel and flit that are sent in this cycle."""
        if not self.flits:
            return None
        if self.vc < 0:
            order = [(self.last + 1 + n) % len(self.credits) for n in range(len(self.credits))]
            self.vc = next((vc for vc in order if self.credits[vc]), -1)
            if self.vc < 0:
                return None
            self.last = self.vc
        if not self.credits[self.vc]:
            return None
        self.credits[self.vc] -= 1
        vc, flit = self.vc, self.flits.pop(0)
        if tail_of(flit):
            self.vc = -1
        return vc, flit


class BatchNetwork:
    """Routers, links, sources and sinks.

    Parameters
    ----------
    topology : Topology
        With one way from everywhere to everywhere.
    vcs, buffer_flits : int
    rtl : bool
        Routers in PyRTL, else the plain model.
    """

    def __init__(self, topology: Topology, vcs: int, buffer_flits: int, *, rtl: bool) -> None:
        self.topology = topology
        self.params = RouterParams(topology.ports, vcs, buffer_flits, topology.nodes, payload_bits=4)
        if rtl:
            simulation = pyrtl.FastSimulation(block=router(self.params), tracer=None)
            self.routers = [RtlRouter(self.params, simulation) for _ in range(topology.routers)]
        else:
            self.routers = [ModelRouter(self.params) for _ in range(topology.routers)]
        choices = [[topology.choices[n] for n in topology.route[r, 0, :, 0]] for r in range(topology.routers)]
        self.routes = [[(option.out_port, (1 << vcs) - 1) for (option,) in of_router] for of_router in choices]
        self.sent = {(c.source, c.out_port): (c.cycles, c.sink, c.in_port) for c in topology.channels}
        self.fed = {(c.sink, c.in_port): (c.cycles, c.source, c.out_port) for c in topology.channels}
        self.sinks = {(t.router, t.out_port): t.cycles for t in topology.terminals}
        self.nodes = {(t.router, t.in_port): node for node, t in enumerate(topology.terminals)}
        self.flits: dict = defaultdict(lambda: defaultdict(dict))  # cycle -> router -> port -> (vc, flit)
        self.credits: dict = defaultdict(lambda: defaultdict(dict))  # cycle -> router -> port -> vc
        self.to_sources: dict = defaultdict(list)  # cycle -> (node, vc)
        self.to_sinks: dict = defaultdict(list)  # cycle -> (router, port, vc)

    def run(self, destination: list[int], packets: int, flits: int) -> int:
        """Let every node send packets of so many flits; return the cycles until the last one has arrived."""
        sources = []
        for node in destination:
            word = node << 1
            packet = [word] * (flits - 1) + [word | 1]
            sources.append(Source(self.params, packet * packets))
        left, now = len(destination) * packets * flits, 0
        while left:
            left -= len(self.to_sinks[now])
            self.step(now, sources)
            now += 1
            assert now < 50 * packets * flits * len(destination), "no end"
        for later in range(now, now + 20):  # the last credits come back
            self.step(later, sources)
        assert all(source.credits == [self.params.buffer_flits] * self.params.vcs for source in sources)
        return now

    def step(self, now: int, sources: list[Source]) -> None:
        """Run one cycle."""
        for node, vc in self.to_sources.pop(now, []):
            sources[node].credits[vc] += 1
        for node, source in enumerate(sources):
            terminal = self.topology.terminals[node]
            if sent := source.send():
                self.flits[now + 1 + terminal.cycles][terminal.router][terminal.in_port] = sent
        for r, port, vc in self.to_sinks.pop(now, []):
            self.credits[now + 1 + self.sinks[r, port]][r][port] = vc
        flits, returned = self.flits.pop(now, {}), self.credits.pop(now, {})
        for r, one in enumerate(self.routers):
            out, back = one.step(flits.get(r, {}), returned.get(r, {}), self.routes[r])
            for port, sent in out.items():
                self.send_flit(now, r, port, sent)
            for port, vc in back.items():
                self.send_credit(now, r, port, vc)

    def send_flit(self, now: int, r: int, port: int, sent: tuple[int, int]) -> None:
        """Put a flit on the link of an output."""
        if (r, port) in self.sinks:
            self.to_sinks[now + 1 + self.sinks[r, port]].append((r, port, sent[0]))
        else:
            cycles, sink, in_port = self.sent[r, port]
            self.flits[now + 1 + cycles][sink][in_port] = sent

    def send_credit(self, now: int, r: int, port: int, vc: int) -> None:
        """Put a credit on the link back of an input."""
        if (r, port) in self.nodes:
            node = self.nodes[r, port]
            self.to_sources[now + 1 + self.topology.terminals[node].cycles].append((node, vc))
        else:
            cycles, source, out_port = self.fed[r, port]
            self.credits[now + 1 + cycles][source][out_port] = vc
