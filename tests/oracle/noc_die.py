"""A naive network of a die, written from docs/seams/network.md: the naive routers with queues of cores at their ends.

One die, messages from core to core; no multicasts, sums, networks inside PUs or links between stacks.  Routes are made
here from the document, and of `nmpsim.noc` nothing is used but the settings of a router.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from types import SimpleNamespace

from nmpsim.kernel import NEVER
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.spec.params import ALLOCATORS, CROSSBAR, MESH
from tests.conformance_kits.network import Arrival
from tests.oracle.noc_router import ROUTED, NaiveNetwork, OutputVc

PORTS = 2
UNKNOWN = 10**9
"""Flits of a message whose tail has not been seen."""


@dataclass(frozen=True)
class Way:
    """Where a head goes next, and which channels it may take there."""

    out_port: int
    channels: tuple[int, ...]
    next_class: int = 0


@dataclass
class Message:
    """A packet under way."""

    destination: int
    port: int
    flits: int = UNKNOWN
    held_class: int = 0
    carried: list[dict[str, int]] = field(default_factory=list)


def settings_of(noc):
    """Return the routers' settings."""
    return RouterSettings(
        vcs=noc.vcs,
        buffer_flits=noc.buffer_flits,
        routing_delay=noc.nROUTE,
        vc_alloc_delay=noc.nVA,
        sw_alloc_delay=noc.nSA,
        switch_delay=noc.nST,
        credit_delay=noc.nCREDIT,
        vc_allocator=ALLOCATORS[noc.vc_allocator],
        sw_allocator=ALLOCATORS[noc.switch_allocator],
        speculative=bool(noc.speculative),
    )


def wires(noc):
    """Return routers, links and terminals: ports 2d up and 2d + 1 down dimension d, then those of the node."""
    ends = [(port, node) for port in range(PORTS) for node in range(noc.nodes)]
    if noc.kind == CROSSBAR:
        count = len(ends)
        places = [SimpleNamespace(router=0, in_port=t, out_port=t, cycles=noc.nPORT) for t in range(count)]
        return SimpleNamespace(
            routers=1, in_ports=(count,), out_ports=(count,), channels=(), terminals=places, nodes=count
        )
    links = []
    for r in range(noc.nodes):
        for d in range(noc.dims):
            size = noc.radix**d
            here = r // size % noc.radix
            for out, there in ((2 * d, here + 1), (2 * d + 1, here - 1)):
                if noc.kind == MESH and not 0 <= there < noc.radix:
                    continue
                sink = r + (there % noc.radix - here) * size
                back = 2 * d + 1 if out == 2 * d else 2 * d
                links.append(SimpleNamespace(source=r, out_port=out, sink=sink, in_port=back, cycles=noc.nLINK))
    first = 2 * noc.dims
    places = [
        SimpleNamespace(router=node, in_port=first + port, out_port=first + port, cycles=noc.nPORT)
        for port, node in ends
    ]
    ports = (first + PORTS,) * noc.nodes
    return SimpleNamespace(
        routers=noc.nodes, in_ports=ports, out_ports=ports, channels=links, terminals=places, nodes=len(ends)
    )


class DieRouters(NaiveNetwork):
    """The naive routers, whose messages come out of queues and go into queues."""

    def __init__(self, noc, die):
        super().__init__(wires(noc), settings_of(noc), [])
        self.noc, self.die = noc, die
        self.few = noc.eject_flits < noc.vcs
        for t, end in enumerate(self.topology.terminals):
            for v in range(noc.vcs):
                share = noc.eject_flits // noc.vcs + (v < noc.eject_flits % noc.vcs)
                alone = noc.eject_flits if v == 0 else 0
                self.outputs[end.router, end.out_port, v] = OutputVc(alone if self.few else share)
            self.sending[t] = None
        self.owed = defaultdict(deque)  # terminal: channels of the flits in its ejection queue that hold a credit
        self.link_flits = defaultdict(int)

    def way(self, r, in_port, message):
        """Return the one way on."""
        noc, vcs = self.noc, self.noc.vcs
        if noc.kind != CROSSBAR:
            for d in range(noc.dims):
                here, there = (node // noc.radix**d % noc.radix for node in (r, message.destination))
                if here == there:
                    continue
                if noc.kind == MESH:
                    return Way(2 * d if there > here else 2 * d + 1, (message.destination % vcs,))
                if in_port in {2 * d, 2 * d + 1}:  # in this dimension already: straight on
                    up, held = in_port == 2 * d + 1, message.held_class
                else:
                    ups = (there - here) % noc.radix
                    up = ups < noc.radix - ups or (ups == noc.radix - ups and message.port == 0)
                    held = int(here > there if up else here < there)
                lower = vcs // 2
                channels = range(lower, vcs) if held else range(lower)
                own = channels[message.destination % len(channels)]
                return Way(2 * d if up else 2 * d + 1, (own,), held)
        end = self.topology.terminals[message.port * noc.nodes + message.destination]
        return Way(end.out_port, (0,) if self.few else tuple(range(vcs)))

    def begin_packet(self, place, begin):
        r, p, _ = place
        channel = self.inputs[place]
        message, index = channel.flits[0]
        assert index == 0
        channel.option, channel.phase = self.way(r, p, message), ROUTED
        message.held_class = channel.option.next_class
        channel.ready = begin + self.settings.routing_delay

    def free_channels(self, place):
        option = self.inputs[place].option
        return [w for w in option.channels if self.outputs[place[0], option.out_port, w].is_free()]

    def take_arrivals(self):
        for place, flit in self.flit_events.pop(self.now, []):
            if place[0] == "node":
                _, t, _, _, v = place
                self.die.eject(t, flit)
                self.owed[t].append(v)
                continue
            channel = self.inputs[place]
            channel.flits.append(flit)
            if len(channel.flits) == 1 and channel.phase not in {"active", ROUTED}:
                self.begin_packet(place, self.now)
        for table, place in self.credit_events.pop(self.now, []):
            table[place].credits += 1
        for t, end in enumerate(self.topology.terminals):
            for _ in range(self.die.places_freed(t)):
                self.outputs[end.router, end.out_port, self.owed[t].popleft()].credits += 1

    def step_source(self, node):
        t = node
        fields = self.die.waiting_flit(t)
        if fields is None:
            return
        message = self.sending[t]
        if message is None:
            message = self.sending[t] = Message(fields["destination"], fields["port"])
        v = message.destination % self.noc.vcs
        if self.sources[t, v].credits == 0:
            return
        self.sources[t, v].credits -= 1
        index = len(message.carried)
        assert fields["sequence"] == index
        message.carried.append(fields)
        if fields["last"]:
            message.flits = index + 1
            self.sending[t] = None
        end = self.topology.terminals[t]
        self.flit_events[self.now + 1 + end.cycles].append(((end.router, end.in_port, v), (message, index)))
        self.die.taken_by_source(t)

    def send(self, r, p, v):
        self.link_flits[r, self.inputs[r, p, v].option.out_port] += 1
        super().send(r, p, v)


class Queue:
    """Places with stamps, one side writes and the other takes."""

    def __init__(self, places):
        self.places = places
        self.flits = deque()  # (ready_at, fields)
        self.free = [0] * places  # from when each place may be written again, the next one to be written first
        self.counted = 0

    def space_at(self):
        return self.free[0] if self.free else NEVER

    def write(self, ready_at, fields):
        self.free.pop(0)
        self.flits.append((ready_at, fields))

    def take(self, free_at):
        self.flits.popleft()
        self.free.append(free_at)


class NaiveDie:
    """The naive network as the conformance kit's driver uses it: visited on every edge of its clock."""

    def __init__(self, noc, *, period=1, core_period=1):
        self.params, self.period, self.core_period = noc, period, core_period
        self.nodes, self.inject_flits, self.eject_flits = noc.nodes, noc.inject_flits, noc.eject_flits
        self.wake = [NEVER] * (noc.nodes + 1)
        terminals = range(PORTS * noc.nodes)
        self.inject = {t: Queue(noc.inject_flits) for t in terminals}
        self.ejected = {t: Queue(noc.eject_flits) for t in terminals}
        self.given = dict.fromkeys(terminals, 0)
        self.back = {t: deque() for t in terminals}  # when places of the ejection queue are free again
        self.routers = DieRouters(noc, self)
        self.tick = 0

    # -------------------------------------------------------------------------------------- for the routers

    def waiting_flit(self, t):
        flits = self.inject[t].flits
        return flits[0][1] if flits and flits[0][0] <= self.tick else None

    def taken_by_source(self, t):
        self.inject[t].take(self.tick + self.params.nCREDIT * self.period)

    def eject(self, t, flit):
        message, index = flit
        port, node = divmod(t, self.nodes)
        assert (message.destination, message.port) == (node, port)
        ready = (self.tick // self.core_period + self.params.nSYNC) * self.core_period
        assert self.ejected[t].free, "more credits than places"
        self.ejected[t].write(ready, message.carried[index])
        self.given[t] += 1

    def places_freed(self, t):
        count = 0
        while self.back[t] and self.back[t][0] <= self.tick:
            self.back[t].popleft()
            count += 1
        return count

    # -------------------------------------------------------------------------------------- for the cores

    def space_at(self, node, port):
        return self.inject[port * self.nodes + node].space_at()

    def write(self, node, port, ready_at, /, **fields):
        self.inject[port * self.nodes + node].write(ready_at, fields)

    def head(self, node, port):
        flits = self.ejected[port * self.nodes + node].flits
        if not flits:
            return None
        ready, fields = flits[0]
        return Arrival(ready, *(fields[name] for name in Arrival._fields[1:]))

    def take(self, node, port, free_at):
        t = port * self.nodes + node
        self.ejected[t].take(free_at)
        self.back[t].append(free_at)

    def arrived(self, node, port):
        return self.given[port * self.nodes + node]

    def due(self, now):
        return now % self.period == 0

    def step(self, now, *, plain, backwards):
        del plain, backwards
        self.tick = now
        assert self.routers.now == now // self.period
        self.routers.step()
        self.wake = [NEVER] * (self.nodes + 1)

    def port(self, source, destination):
        return (source + destination) % 2

    def refuses(self):
        """Messages that the seam forbids are never given to it."""
        return False
