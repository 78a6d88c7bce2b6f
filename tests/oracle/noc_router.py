"""A naive network of virtual-channel routers, written from docs/noc/router.md: lists and dictionaries, every cycle.

Nothing is taken from `nmpsim.noc.router` but the settings; routes are read from the topology as the document says.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

IDLE, ROUTED, ACTIVE = "idle", "routed", "active"


@dataclass
class Packet:
    """One packet of a trace."""

    number: int
    at: int
    source: int
    destination: int
    flits: int
    entered: int = -1
    arrived: int = -1
    held_class: int = 0


@dataclass
class InputVc:
    """A buffer and what its first packet has got."""

    flits: deque = field(default_factory=deque)
    phase: str = IDLE
    ready: int = 0
    option: object = None
    out_vc: int = -1
    turn: tuple[int, int] = (0, 0)


@dataclass
class OutputVc:
    """The other side of the buffer behind a link."""

    credits: int
    owner: object = None
    tail_sent: bool = False
    turn: tuple[int, int] = (0, 0)

    def is_free(self):
        """Return whether no packet holds it."""
        return self.owner is None and not self.tail_sent


def cyclic_first(things, turn):
    """Return the first of some sorted things that is not below `turn`, else the first of all."""
    ordered = sorted(things)
    return next((thing for thing in ordered if thing >= turn), ordered[0])


class NaiveNetwork:
    """Steps a trace through a topology with settings."""

    def __init__(self, topology, settings, messages):
        self.topology, self.settings, self.now = topology, settings, 0
        self.packets = [Packet(n, *message) for n, message in enumerate(messages)]
        self.queue = defaultdict(deque)
        for packet in sorted(self.packets, key=lambda p: (p.at, p.number)):
            self.queue[packet.source].append(packet)
        vcs, places = range(settings.vcs), settings.buffer_flits
        self.inputs = {
            (r, p, v): InputVc() for r in range(topology.routers) for p in range(topology.in_ports[r]) for v in vcs
        }
        self.outputs = {
            (r, o, v): OutputVc(places)
            for r in range(topology.routers)
            for o in range(topology.out_ports[r])
            for v in vcs
        }
        self.sources = {(n, v): OutputVc(places) for n in range(topology.nodes) for v in vcs}
        self.last_vc = dict.fromkeys(range(topology.nodes), -1)
        self.sending = {}
        self.in_turn = defaultdict(int)  # switch: input accepts first
        self.out_turn = defaultdict(int)  # switch: output grants first
        self.offset = defaultdict(int)
        self.hold = {}  # (router, input): (vc, output)
        self.flit_events, self.credit_events = defaultdict(list), defaultdict(list)
        self.channel_from = {(c.source, c.out_port): c for c in topology.channels}
        self.channel_into = {(c.sink, c.in_port): c for c in topology.channels}
        self.node_at_input = {(t.router, t.in_port): n for n, t in enumerate(topology.terminals)}
        self.node_at_output = {(t.router, t.out_port): n for n, t in enumerate(topology.terminals)}

    # ------------------------------------------------------------------------------------------------ a cycle

    def step(self):
        """Do one cycle."""
        self.take_arrivals()
        for node in range(self.topology.nodes):
            self.step_source(node)
        for r in range(self.topology.routers):
            self.step_router(r)
        self.now += 1

    def run(self, limit):
        """Run until all packets have arrived."""
        while any(packet.arrived < 0 for packet in self.packets):
            assert self.now < limit, "not finished"
            self.step()
        return [(packet.entered, packet.arrived) for packet in self.packets]

    def take_arrivals(self):
        for place, flit in self.flit_events.pop(self.now, []):
            packet, index = flit
            if place[0] == "node":
                _, node, r, o, v = place
                assert packet.destination == node
                if index == packet.flits - 1:
                    packet.arrived = self.now
                back = self.topology.terminals[node].cycles
                self.credit_events[self.now + 1 + back + self.settings.credit_delay].append((self.outputs, (r, o, v)))
                continue
            channel = self.inputs[place]
            channel.flits.append(flit)
            if len(channel.flits) == 1 and channel.phase == IDLE:
                self.begin_packet(place, self.now)
        for table, place in self.credit_events.pop(self.now, []):
            channel = table[place]
            channel.credits += 1
            if channel.tail_sent and channel.credits == self.settings.buffer_flits:
                channel.tail_sent = False

    def begin_packet(self, place, begin):
        r, p, _ = place
        channel = self.inputs[place]
        packet, index = channel.flits[0]
        assert index == 0
        group = self.topology.group[r, p]
        (option,) = self.topology.choices[self.topology.route[r, group, packet.destination, packet.held_class]]
        packet.held_class = option.next_class
        channel.option, channel.phase = option, ROUTED
        channel.ready = begin + self.settings.routing_delay

    def step_source(self, node):
        if node not in self.sending:
            if not self.queue[node] or self.queue[node][0].at > self.now:
                return
            self.sending[node] = [self.queue[node].popleft(), 0, None]
        packet, sent, v = self.sending[node]
        vcs = self.settings.vcs
        if v is None:
            order = [(self.last_vc[node] + 1 + i) % vcs for i in range(vcs)]
            able = [w for w in order if self.sources[node, w].is_free() and self.sources[node, w].credits > 0]
            if not able:
                return
            v = self.last_vc[node] = able[0]
            self.sources[node, v].owner = packet
            packet.entered = self.now
            self.sending[node][2] = v
        channel = self.sources[node, v]
        if channel.credits == 0:
            return
        channel.credits -= 1
        terminal = self.topology.terminals[node]
        arrives = self.now + 1 + terminal.cycles
        self.flit_events[arrives].append(((terminal.router, terminal.in_port, v), (packet, sent)))
        self.sending[node][1] += 1
        if sent + 1 == packet.flits:
            channel.owner = None
            channel.tail_sent = self.settings.wait_for_tail_credit
            del self.sending[node]

    # ------------------------------------------------------------------------------------------------ a router

    def mine(self, r):
        """Return the input channels of a router, in the order of ports and channels."""
        return [place for place in self.inputs if place[0] == r]

    def step_router(self, r):
        guesses = self.guesses_of(r) if self.settings.speculative else []
        active = [p for p in self.mine(r) if self.inputs[p].phase == ACTIVE and self.inputs[p].flits]
        active = [p for p in active if self.inputs[p].ready <= self.now]
        active = [
            p for p in active if self.outputs[r, self.inputs[p].option.out_port, self.inputs[p].out_vc].credits > 0
        ]
        starved = [
            p for p in self.mine(r) if self.inputs[p].phase == ACTIVE and self.inputs[p].flits and p not in active
        ]
        self.allocate_vcs(r)
        self.allocate_switch(r, active, guesses, starved)

    def free_channels(self, place):
        """Return the free output channels that the route of a head allows."""
        channel = self.inputs[place]
        option, vcs = channel.option, self.settings.vcs
        first, end = vcs * option.part // option.parts, vcs * (option.part + 1) // option.parts
        return [w for w in range(first, end) if self.outputs[place[0], option.out_port, w].is_free()]

    def askers(self, r):
        """Return the heads that ask for a channel in this cycle."""
        heads = [p for p in self.mine(r) if self.inputs[p].phase == ROUTED and self.inputs[p].ready <= self.now]
        return [p for p in heads if self.free_channels(p)]

    def guesses_of(self, r):
        return [
            p
            for p in self.askers(r)
            if any(self.outputs[r, self.inputs[p].option.out_port, w].credits for w in self.free_channels(p))
        ]

    def allocate_vcs(self, r):
        wanted = {p: {(self.inputs[p].option.out_port, w) for w in self.free_channels(p)} for p in self.askers(r)}
        name = self.settings.vc_allocator
        rounds = int(name[6:-1]) if name.startswith("islip(") else 1
        for n in range(rounds):
            if name == "separable_input_first":
                picks = {p: {cyclic_first(columns, self.inputs[p].turn)} for p, columns in wanted.items()}
            else:
                picks = wanted
            grants = defaultdict(set)
            for column in {column for columns in picks.values() for column in columns}:
                rows = [(p[1], p[2]) for p, columns in picks.items() if column in columns]
                grants[cyclic_first(rows, self.outputs[(r, *column)].turn)].add(column)
            for row, columns in grants.items():
                place = (r, *row)
                column = cyclic_first(columns, self.inputs[place].turn)
                self.give_channel(place, column, moves=n == 0)
                del wanted[place]
                wanted = {p: columns - {column} for p, columns in wanted.items()}
            wanted = {p: columns for p, columns in wanted.items() if columns}

    def give_channel(self, place, column, *, moves):
        channel, out = self.inputs[place], self.outputs[place[0], *column]
        channel.phase, channel.out_vc = ACTIVE, column[1]
        channel.ready = self.now + self.settings.vc_alloc_delay
        out.owner = place
        if moves:
            channel.turn = (column[0], column[1] + 1)
            out.turn = (place[1], place[2] + 1)

    def allocate_switch(self, r, active, guesses, starved):
        held = {p: hold for (router, p), hold in self.hold.items() if router == r}
        held_outs = {out for _, out in held.values()}
        asks = {}  # (input, output): (is a guess, vc)
        for is_guess, places in ((False, active), (True, guesses)):
            for _, p, v in places:
                o = self.inputs[r, p, v].option.out_port
                if p in held or o in held_outs:
                    continue
                old = asks.get((p, o))
                distance = (v - self.offset[r, p]) % self.settings.vcs
                if old is None or (old[0] == is_guess and distance < (old[1] - self.offset[r, p]) % self.settings.vcs):
                    asks[p, o] = (is_guess, v)
        for p, (v, _) in held.items():
            if (r, p, v) in starved or (r, p, v) not in active:
                del self.hold[r, p]
                self.inputs[r, p, v].ready = self.now + 1
            else:
                self.send(r, p, v)
        for p, o in self.match(r, asks):
            is_guess, v = asks[p, o]
            self.offset[r, p] = (v + 1) % self.settings.vcs
            channel = self.inputs[r, p, v]
            if is_guess and (channel.phase != ACTIVE or self.outputs[r, o, channel.out_vc].credits == 0):
                continue
            self.send(r, p, v)

    def match(self, r, asks):
        """Return the pairs of inputs and outputs that are connected."""
        name = self.settings.sw_allocator
        by_priority = name.startswith("separable")
        pairs, left = [], dict(asks)

        def best(options, turn):  # options: position -> is a guess
            sure = [place for place, is_guess in options.items() if not is_guess]
            return cyclic_first(sure if by_priority and sure else list(options), turn)

        for n in range(int(name[6:-1]) if name.startswith("islip(") else 1):
            picks = {}
            if name == "separable_input_first":
                for p in {p for p, _ in left}:
                    o = best({o: ask[0] for (q, o), ask in left.items() if q == p}, self.in_turn[r, p])
                    picks[p, o] = left[p, o][0]
                chosen = [
                    (best({p: guess for (p, q), guess in picks.items() if q == o}, self.out_turn[r, o]), o)
                    for o in {o for _, o in picks}
                ]
            else:
                for o in {o for _, o in left}:
                    p = best({p: ask[0] for (p, q), ask in left.items() if q == o}, self.out_turn[r, o])
                    picks[p, o] = left[p, o][0]
                chosen = [
                    (p, best({o: guess for (q, o), guess in picks.items() if q == p}, self.in_turn[r, p]))
                    for p in {p for p, _ in picks}
                ]
            for p, o in chosen:
                if n == 0:
                    self.in_turn[r, p], self.out_turn[r, o] = o + 1, p + 1
                pairs.append((p, o))
            used_in, used_out = {p for p, _ in pairs}, {o for _, o in pairs}
            left = {(p, o): ask for (p, o), ask in left.items() if p not in used_in and o not in used_out}
        return pairs

    def send(self, r, p, v):
        settings, channel = self.settings, self.inputs[r, p, v]
        o, w = channel.option.out_port, channel.out_vc
        out = self.outputs[r, o, w]
        packet, index = channel.flits.popleft()
        out.credits -= 1
        leaves = self.now + settings.sw_alloc_delay + settings.switch_delay
        if (r, o) in self.channel_from:
            link = self.channel_from[r, o]
            self.flit_events[leaves + link.cycles].append(((link.sink, link.in_port, w), (packet, index)))
        else:
            node = self.node_at_output[r, o]
            wire = self.topology.terminals[node].cycles
            self.flit_events[leaves + wire].append((("node", node, r, o, w), (packet, index)))
        if (r, p) in self.channel_into:
            link = self.channel_into[r, p]
            usable = self.now + settings.sw_alloc_delay + link.cycles + settings.credit_delay
            self.credit_events[usable].append((self.outputs, (link.source, link.out_port, v)))
        else:
            node = self.node_at_input[r, p]
            usable = self.now + settings.sw_alloc_delay + self.topology.terminals[node].cycles
            self.credit_events[usable].append((self.sources, (node, v)))
        if index == packet.flits - 1:
            out.owner, out.tail_sent = None, settings.wait_for_tail_credit
            self.hold.pop((r, p), None)
            channel.phase = IDLE
            if channel.flits:
                self.begin_packet((r, p, v), self.now + settings.sw_alloc_delay)
        else:
            channel.ready = self.now + 1
            if not channel.flits:
                self.hold.pop((r, p), None)
            elif settings.hold_switch_for_packet:
                self.hold[r, p] = (v, o)
