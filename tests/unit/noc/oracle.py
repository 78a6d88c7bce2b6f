"""A naive ring: deques of flits and lists of credits, every cycle stepped, written from docs/seams/network.md.

Decides for all routers from the state at the start of a tick, then moves all flits at once.
"""

from __future__ import annotations

from collections import Counter, deque

from nmpsim.noc.state import REASONS
from nmpsim.noc.traffic import shortest_direction
from tests.unit.noc.bench import Scenario


class Queue(deque):
    """Flits with their ready stamps, and the ticks at which places are free."""

    def __init__(self, places):
        super().__init__()
        self.free = [0] * places

    def has_space(self, now):
        return bool(self.free) and min(self.free) <= now

    def put(self, ready_at, flit):
        self.free.remove(min(self.free))
        self.append((ready_at, flit))

    def get(self, free_at):
        self.free.append(free_at)
        return self.popleft()[1]

    def ready(self, now):
        """The flit at the head, None if there is none yet."""
        return self[0][1] if self and self[0][0] <= now else None


class NaiveRing:
    """A scenario and its state; a flit is (message, sequence, last, destination)."""

    def __init__(self, scenario: Scenario):
        self.p, (self.core, self.noc), self.pace, self.messages = scenario
        p, ports = self.p, [(r, d) for r in range(self.p.nodes) for d in (0, 1)]
        self.inject = {port: Queue(p.inject_flits) for port in ports}
        self.eject = {port: Queue(p.eject_flits) for port in ports}
        self.buffer = {(*port, vc): Queue(p.buffer_flits) for port in ports for vc in range(p.vcs)}
        self.owner = {}  # (node, direction, channel): input that holds it
        self.link_turn, self.eject_turn = Counter(), Counter()
        self.outbox = {port: deque() for port in ports}
        for number in sorted(range(len(self.messages)), key=lambda i: self.messages[i][0]):
            at, source, destination, flits = self.messages[number]
            box = self.outbox[source, shortest_direction(p.nodes, source, destination)]
            box.extend((at, (number, i, i == flits - 1, destination)) for i in range(flits))
        self.left = sum(flits for *_, flits in self.messages)
        self.taken = {}  # (message, sequence): tick
        self.stall = Counter()  # (node, direction, reason): ticks

    def neighbour(self, r, d):
        return (r + (1 if d == 0 else -1)) % self.p.nodes

    def channel(self, r, d, source, destination):
        """Virtual channel on the link that leaves node r in direction d."""
        lower = self.p.vcs // 2
        wraps = r == (self.p.nodes - 1 if d == 0 else 0)
        crossed = source != "inject" and source >= lower
        return lower + destination % (self.p.vcs - lower) if wraps or crossed else destination % lower

    def choose_eject(self, r, d, now):
        for i in range(self.p.vcs):
            vc = (self.eject_turn[r, d] + i) % self.p.vcs
            flit = self.buffer[r, d, vc].ready(now)
            if flit and flit[3] == r and self.eject[r, d].has_space(now):
                return vc
        return None

    def choose_link(self, r, d, now, ejecting):
        """(reason, winning input, its channel)."""
        seen = set()
        inputs = [*range(self.p.vcs), "inject"]
        turn = self.link_turn[r, d]
        for source in inputs[turn:] + inputs[:turn]:
            queue = self.inject[r, d] if source == "inject" else self.buffer[r, d, source]
            flit = queue.ready(now)
            if source == ejecting:  # the flit behind the one that is ejected cannot leave in the same cycle
                flit = queue[1][1] if len(queue) > 1 and queue[1][0] <= now else None
            if not flit or flit[3] == r:
                continue
            vc = self.channel(r, d, source, flit[3])
            if self.owner.get((r, d, vc), source) != source:
                seen.add("vc_busy")
            elif not self.buffer[self.neighbour(r, d), d, vc].has_space(now):
                seen.add("no_credit")
            elif source == ejecting:
                seen.add("switch_conflict")
            else:
                return "transfer", source, vc
        return next((r for r in ("switch_conflict", "no_credit", "vc_busy") if r in seen), "no_flit"), None, None

    def step_routers(self, now):
        p, credit = self.p, now + self.p.nCREDIT * self.noc
        plans = []
        for r, d in self.inject:
            ejecting = self.choose_eject(r, d, now)
            plans.append((r, d, ejecting, *self.choose_link(r, d, now, ejecting)))
        for r, d, ejecting, _, source, vc in plans:
            if ejecting is not None:
                flit = self.buffer[r, d, ejecting].get(credit)
                self.eject[r, d].put((now // self.core + p.nSYNC) * self.core, flit)
                self.eject_turn[r, d] = (ejecting + 1) % p.vcs
            if source is not None:
                queue = self.inject[r, d] if source == "inject" else self.buffer[r, d, source]
                flit = queue.get(credit)
                self.owner[r, d, vc] = source
                if flit[2]:
                    del self.owner[r, d, vc]
                self.buffer[self.neighbour(r, d), d, vc].put(now + (p.nLINK + p.nROUTER) * self.noc, flit)
                self.link_turn[r, d] = (1 + (p.vcs if source == "inject" else source)) % (p.vcs + 1)
        return [(r, d, reason) for r, d, _, reason, _, _ in plans]

    def step_endpoints(self, now):
        for port, box in self.outbox.items():
            for _ in range(self.pace.port_flits):
                if box and box[0][0] <= now and self.inject[port].has_space(now):
                    self.inject[port].put((now // self.noc + self.p.nSYNC) * self.noc, box.popleft()[1])
        if now // self.core % self.pace.eject_interval == 0:
            for queue in self.eject.values():
                for _ in range(self.pace.port_flits):
                    if queue.ready(now):
                        message, sequence, *_ = queue.get((now // self.noc + self.p.nCREDIT + 1) * self.noc)
                        self.taken[message, sequence] = now
                        self.left -= 1

    def run(self):
        """Step every tick until all is taken; return self."""
        now, reasons = 0, []
        while True:
            if now % self.noc == 0:
                reasons = self.step_routers(now)
            if now % self.core == 0:
                self.step_endpoints(now)
            self.stall.update(reasons)
            if not self.left:
                self.now = now
                return self
            now += 1

    def stall_table(self):
        """Ticks by (node, direction, reason), as the kernel keeps them."""
        nodes = range(self.p.nodes)
        return [[[self.stall[r, d, reason] for reason in REASONS] for d in (0, 1)] for r in nodes]
