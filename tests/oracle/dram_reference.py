"""Ramulator 2.1's HBM1/2 and HBM3/4 controllers once more, in plain Python, command for command.

    stream of requests --> offer --> reads, writes --+                          tick t, in this order:
                                                     +--> slot: column bus      1 offers of cycle t - 1
    Refresher ------------------> priority queue ----+--> slot: row bus         2 refresh, 3 row policy
    Cap (closed-page policy) ---> priority queue     |        |                 4 column slot, 5 row slot
                                  active list <-- ACT --------+--> Device: open rows, and what was issued when

`Device` (dram_device.py) looks back: a command may come at a tick if every row of the protocol's table allows it, by
the commands that were issued before at each node.  Nothing is shared with nmpsim/dram.

Ticks are visited by an agenda, not one by one.  A visit at which nothing happens changes nothing, so the agenda may be
generous: the tick after anything happened, every arrival, every refresh, and, when nothing happened, every tick from
which the table allows a command that somebody waits for.  With `every_tick` all ticks are visited, to compare.
`Oracle.met` counts named situations.

Source: Ramulator 2.1 (CMU-SAFARI/ramulator2, c5b1c3a): controllers HBM12 and HBM34, schedulers FRFCFS and
FRFCFS-RowHit, refresh managers AllBank, PerBank and HBM34PerBankRefresh, row policy ClosedCAP.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from sortedcontainers import SortedSet

from nmpsim.spec.protocol import Protocol
from tests.oracle.dram_device import Address, Device, Issued, Request


@dataclass(frozen=True)
class Setup:
    """What can be set; the names and defaults are those of the controller's settings."""

    model: str = "HBM12"
    read_queue: int = 32
    write_queue: int = 32
    priority_queue: int = 1568
    wr_low_watermark: float = 0.2
    wr_high_watermark: float = 0.8
    scheduler: str = "FRFCFS"
    refresh: str = "AllBank"
    row_policy: str = "Open"
    row_policy_cap: int = 4


class Refresher:
    """Appends refresh requests to the priority queue, by one of four plans."""

    def __init__(self, oracle: Oracle, plan: str) -> None:
        self.oracle, self.plan, self.turn = oracle, plan, 0
        levels, device = oracle.protocol.levels, oracle.device
        timing = oracle.protocol.timing
        self.interval = timing["nREFI"] if plan == "AllBank" else timing.get("nREFIpb", 0)
        self.due = self.interval
        if plan == "AllBank":
            depth = levels.index(device.commands["REFab"].level)
            self.scopes = [node + (-1,) * (len(levels) - depth - 1) for node in device.nodes((0,) + (-1,) * depth)]
        elif plan == "PerBank":
            self.scopes = device.nodes((0,) + (-1,) * (len(levels) - 1))
        elif plan == "HBM34PerBankRefresh":
            self.above = levels.index("PseudoChannel") + 1
            self.set_depth = levels.index("Sid") + 1 if "Sid" in levels else self.above
            self.pcs = device.nodes((0,) + (-1,) * (self.above - 1))
            self.below = [bank[self.above :] for bank in device.nodes(self.pcs[0] + (-1,) * (len(levels) - self.above))]
            self.set_size = len({below[self.set_depth - self.above :] for below in self.below})
            self.waiting: deque[Address] = deque()
            self.appended: Counter[Address] = Counter()  # banks of a (pc, sid) since its last full round
            self.allowed: dict[Address, int] = {}

    def step(self, clock: int) -> bool:
        """Do what is due at a tick; return whether anything happened, and put the next tick on the agenda."""
        if self.plan == "NoRefresh":
            return False
        if self.plan == "HBM34PerBankRefresh":
            happened = self._step_sets(clock)
        else:
            happened = clock == self.due
            if happened:
                self.due += self.interval
                for scope in self.scopes if self.plan == "AllBank" else [self.scopes[self.turn]]:
                    if not self.oracle.want(clock, "REFab" if self.plan == "AllBank" else "REFpb", scope):
                        raise Overflow
                self.turn = (self.turn + 1) % len(self.scopes)
        self.oracle.agenda.add(max(self.due, clock + 1))
        return happened

    def _step_sets(self, clock: int) -> bool:
        """HBM3/4: the same bank of all pseudo channels, one per tick; a full set rests for nRFCpb."""
        if not self.waiting:
            if clock < self.due:
                return False
            below = self.below[self.turn]
            sets = [(*pc, *below)[: self.set_depth] for pc in self.pcs]
            rested = max(self.allowed.get(one, 0) for one in sets)
            if clock < rested:
                self.due = rested  # asked at every tick until then, which comes to the same
                self.oracle.met["a refreshed set rests"] += 1
                return True
            self.waiting.extend((*pc, *below) for pc in self.pcs)
            self.turn = (self.turn + 1) % len(self.below)
            self.due += self.interval
        bank = self.waiting[0]
        if self.oracle.want(clock, "REFpb", bank):
            self.waiting.popleft()
            one = bank[: self.set_depth]
            self.appended[one] += 1
            if self.appended[one] == self.set_size:
                self.appended[one] = 0
                self.allowed[one] = clock + self.oracle.protocol.timing["nRFCpb"]
        else:
            self.oracle.met["a refresh waits for the priority queue"] += 1
        return True


class Cap:
    """Closed-page policy: after `cap` columns of an opened row, the next one closes it, or a precharge is asked for."""

    def __init__(self, oracle: Oracle, cap: int) -> None:
        self.oracle, self.cap = oracle, cap
        self.count = dict.fromkeys(oracle.device.nodes((0,) + (-1,) * (len(oracle.protocol.levels) - 1)), 0)
        self.asked: set[Address] = set()

    def upgraded(self, clock: int, name: str, bank: Address) -> str:
        if name not in {"RD", "WR"} or self.count[bank] < self.cap:
            return name
        if self.oracle.device.ready_at(name + "A", bank) > clock:
            self.oracle.met["auto-precharge is not ready"] += 1
            return name
        return name + "A"

    def after(self, name: str, address: Address) -> None:
        if self.oracle.device.commands[name].effect == "close":
            for bank in self.oracle.device.nodes(address):
                self.count[bank] = 0
                self.asked.discard(bank)
        elif name in {"RD", "WR"}:
            self.count[address] += 1

    def full(self) -> list[Address]:
        """Banks for which a precharge is to be asked, in tree order."""
        return [bank for bank, count in self.count.items() if count >= self.cap and bank not in self.asked]

    def step(self, clock: int) -> bool:
        happened = False
        for bank in self.full():
            if self.oracle.device.ready_at("PREpb", bank) <= clock and self.oracle.want(clock, "PREpb", bank):
                self.asked.add(bank)
                happened = True
        return happened


class Overflow(Exception):
    """A refresh found the priority queue full."""


@dataclass
class Outcome:
    """What a run leaves behind.  `end`: "drained", "deadlock" (nothing can ever happen), "limit" or "overflow"."""

    end: str
    ticks: int
    visits: int
    commands: list[Issued]
    requests: list[Request]
    counters: Counter[str]
    met: Counter[str]
    most: Counter[str] = field(default_factory=Counter)  # most entries of a queue


class Oracle:
    """One channel with its controller.

    Parameters
    ----------
    protocol : Protocol
    setup : Setup
    requests : sequence of Request
        In the order in which they are offered; changed: `accept`, `done`, `served`.
    max_inject : int
        Most requests accepted in a cycle.
    drain : int
        Ticks after the last completion.
    limit : int
        Most ticks.
    every_tick : bool
        Visit every tick instead of those of the agenda.
    """

    def __init__(
        self,
        protocol: Protocol,
        setup: Setup,
        requests: Sequence[Request],
        *,
        max_inject: int = 2,
        drain: int = 400,
        limit: int = 10**9,
        every_tick: bool = False,
    ) -> None:
        self.protocol, self.setup, self.requests = protocol, setup, list(requests)
        self.max_inject, self.drain, self.limit, self.every_tick = max_inject, drain, limit, every_tick
        self.device = Device(protocol)
        self.agenda: SortedSet = SortedSet([1])
        self.counters: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.commands: list[Issued] = []
        self.offered = 0
        self.unserved = len(self.requests)
        self.last_done = 0
        self.last_left = 0  # when the youngest read of the FIFO of finished reads leaves
        self.reads: list[Request] = []
        self.writes: list[Request] = []
        self.priority: list[Request] = []
        self.active: list[Request] = []
        self.waiting_writes: set[int] = set()  # addresses that reads are forwarded from and writes merge into
        self.writing = False
        self.pair_at, self.pair_command, self.pair_address = -1, "", ()
        self.pc_depth = protocol.levels.index("PseudoChannel") + 1
        self.refresher = Refresher(self, setup.refresh)
        self.cap = Cap(self, setup.row_policy_cap) if setup.row_policy == "ClosedCAP" else None
        self.high = np.float32(setup.wr_high_watermark) * np.float32(setup.write_queue)
        self.low = np.float32(setup.wr_low_watermark) * np.float32(setup.write_queue)

    # ------------------------------------------------------------------------------------------------------------ time

    def run(self) -> Outcome:
        clock, visits, end = 0, 0, "drained"
        while self.unserved or clock < self.last_done + self.drain:
            # the refresher keeps the agenda going for ever; without refresh an empty one means that all wait for all
            following = clock + 1 if self.every_tick else self.agenda[0] if self.agenda else None
            last = self.limit if self.unserved else self.last_done + self.drain
            if following is None and self.unserved:
                end = "deadlock"
                break
            if following is None or following > last:
                self._pass(last - clock)
                clock = last
                end = "limit" if self.unserved else end
                break
            self._pass(following - clock - 1)
            clock = following
            visits += 1
            try:
                self.tick(clock)
            except Overflow:
                end = "overflow"
                break
            while self.agenda and self.agenda[0] <= clock:
                self.agenda.pop(0)
        return Outcome(end, clock, visits, self.commands, self.requests, self.counters, self.met, self.most)

    def _pass(self, ticks: int) -> None:
        """Count queue entries over ticks that start with the queues as they are."""
        for name in ("read", "write", "priority"):
            entries = len(getattr(self, {"read": "reads", "write": "writes", "priority": "priority"}[name]))
            self.counters[f"{name}_occupancy"] += ticks * entries
            self.most[name] = max(self.most[name], entries)

    def tick(self, clock: int) -> None:
        happened = self.offer(clock - 1)
        self._pass(1)
        happened |= self.refresher.step(clock)
        if self.cap is not None:
            happened |= self.cap.step(clock)
        issued = len(self.commands)
        if not self.falling(clock):
            happened |= self.slot(clock, "column")
        happened |= self.slot(clock, "row")
        self.met["two commands in a tick"] += len(self.commands) - issued == 2
        if happened or self.falling(clock):  # what may not go on a falling edge may go on the next
            self.agenda.add(clock + 1)
        else:
            self.look_ahead(clock)

    def look_ahead(self, clock: int) -> None:
        """Nothing happened: put on the agenda from when the table allows what is waited for."""
        waiting = self.active + self.reads + self.writes + self.priority[:1]
        wanted = {(self.device.next_command(request), request.address) for request in waiting}
        wanted |= {("PREpb", bank) for bank in (self.cap.full() if self.cap is not None else ())}
        ready = {self.device.ready_at(*command) for command in wanted}
        self.agenda.update(tick for tick in ready if tick > clock)

    def falling(self, clock: int) -> bool:
        return self.protocol.half_clock_edges and clock % 2 == 0

    # -------------------------------------------------------------------------------------------------------- arrivals

    def offer(self, cycle: int) -> bool:
        """Offer requests in order until one is refused; they are stamped with the cycle before the tick."""
        accepted = 0
        while self.offered < len(self.requests) and accepted < self.max_inject:
            request = self.requests[self.offered]
            if request.at > cycle:
                self.agenda.add(request.at + 1)
                break
            if not self.accept(request, cycle):
                break
            request.accept = cycle
            self.offered += 1
            accepted += 1
        return accepted > 0

    def accept(self, request: Request, cycle: int) -> bool:
        if request.addr in self.waiting_writes:
            if request.kind:
                self.finish(request, cycle + 1, "merged")
            else:
                self.met["forwarded read queues behind another"] += self.last_left > cycle + 1
                self.leave(request, cycle + 1, "forwarded")
            return True
        queue, size = (self.writes, self.setup.write_queue) if request.kind else (self.reads, self.setup.read_queue)
        if len(queue) >= size:
            self.met["write refused" if request.kind else "read refused"] += 1
            return False
        queue.append(request)
        if request.kind:
            self.waiting_writes.add(request.addr)
        return True

    def leave(self, request: Request, leaves_at: int, how: str) -> None:
        """Finished reads leave through one FIFO."""
        self.last_left = max(self.last_left, leaves_at)
        self.finish(request, self.last_left, how)

    def finish(self, request: Request, done: int, how: str) -> None:
        request.done, request.served = done, how
        self.last_done = max(self.last_done, done)
        self.unserved -= 1
        if how != "column":
            self.counters[how] += 1

    def want(self, clock: int, final: str, address: Address) -> bool:
        """Append a command of the controller's own to the priority queue; False if that is full."""
        if len(self.priority) >= self.setup.priority_queue:
            return False
        self.priority.append(Request(clock, -1, -1, address, final=final))
        full = len(self.reads) >= self.setup.read_queue or len(self.writes) >= self.setup.write_queue
        self.met["refresh while a queue is full"] += full and final.startswith("REF")
        self.met["precharge asked for"] += final == "PREpb"
        return True

    # ------------------------------------------------------------------------------------------------------ scheduling

    def slot(self, clock: int, bus: str) -> bool:
        """Try one command bus; return whether a command was issued or the write mode turned."""
        picked, source = None, self.active
        if bus == "column":
            picked = self.pick(clock, source, lambda r, name: self.on_bus(clock, bus, r, name))
        if picked is None:
            picked, source = self.head(clock, bus), self.priority
        turned = False
        if picked is None and not self.priority:
            turned = self.turn()
            source = self.writes if self.writing else self.reads
            picked = self.pick(
                clock, source, lambda r, name: self.on_bus(clock, bus, r, name) and not self.closes_active(r, name)
            )
        if picked is not None:
            self.issue(clock, *picked, source)
        return picked is not None or turned

    def turn(self) -> bool:
        """Turn the write mode if the queues ask for it."""
        before, count = self.writing, np.float32(len(self.writes))
        if not self.writing and (count > self.high or not self.reads):
            self.writing = True
            self.met["write mode on at the high mark"] += bool(count > self.high and self.reads)
        elif self.writing and count < self.low and self.reads:
            self.writing = False
            self.met["write mode off with writes left"] += len(self.writes) > 0
            self.met["write mode off"] += 1
        return self.writing != before

    def on_bus(self, clock: int, bus: str, request: Request, name: str) -> bool:
        if not self.falling(clock):
            return self.device.commands[name].bus == bus
        return bus == "row" and name in {"PREpb", "PREab"} and self.pairs(clock, request, name)

    def pairs(self, clock: int, request: Request, name: str) -> bool:
        """Whether a precharge on a falling edge may pair with the row command of the rising edge before it."""
        if clock != self.pair_at:
            return True
        if request.address[: self.pc_depth] != self.pair_address[: self.pc_depth]:
            return True
        may = name == "PREpb" and self.pair_command not in {"PREab", "REFab", "RFMab"}
        may = may and request.address != self.pair_address
        self.met["a precharge may not pair"] += not may and self.device.ready_at(name, request.address) <= clock
        return may

    def closes_active(self, request: Request, name: str) -> bool:
        """Whether a command would close a bank that a request of the active list waits for."""
        if self.device.commands[name].effect != "close":
            return False
        return any(other.address in self.device.nodes(request.address) for other in self.active)

    def head(self, clock: int, bus: str) -> tuple[Request, str] | None:
        """The head of the priority queue and its next command, if that may be issued."""
        if not self.priority:
            return None
        request = self.priority[0]
        name = self.device.next_command(request)
        if self.device.ready_at(name, request.address) > clock:
            return None
        if self.closes_active(request, name):
            self.met["priority head waits for an active bank"] += 1
            return None
        return (request, name) if self.on_bus(clock, bus, request, name) else None

    def pick(self, clock: int, queue: list[Request], may: Callable[[Request, str], bool]) -> tuple[Request, str] | None:
        """The oldest request, and its next command, of those that may go and that the table allows."""
        hits: dict[Address, int] = {}
        if self.setup.scheduler == "FRFCFS-RowHit":
            for request in queue:
                if self.device.open_row.get(request.address) == request.row:
                    hits[request.address] = min(hits.get(request.address, request.accept), request.accept)
        for request in sorted(queue, key=lambda request: request.accept):  # stable: then by place in the queue
            name = self.device.next_command(request)
            if not may(request, name):
                continue
            if name == "PREpb" and hits.get(request.address, request.accept + 1) <= request.accept:
                self.met["a row hit keeps its row"] += self.device.ready_at(name, request.address) <= clock
                continue
            if self.device.ready_at(name, request.address) <= clock:
                return request, name
        return None

    # --------------------------------------------------------------------------------------------------------- issuing

    def issue(self, clock: int, request: Request, name: str, source: list[Request]) -> None:
        if self.cap is not None:
            name = self.cap.upgraded(clock, name, request.address)
            if name in {"RDA", "WRA"}:
                request.final = name
                self.met["a bank is closed under an active request"] += any(
                    other is not request and other.address == request.address for other in self.active
                )
        self.witness(clock, request, name, source)
        self.commands.append(Issued(clock, name, request.address, request.row, request.column, request.kind))
        self.counters[name] += 1
        self.counters["issued"] += 1
        self.device.issue(clock, name, request)
        if self.protocol.half_clock_edges and clock % 2 == 1 and self.device.commands[name].bus == "row":
            self.pair_at = clock + (3 if name == "ACT" else 1)
            self.pair_command, self.pair_address = name, request.address
        if self.cap is not None:
            self.cap.after(name, request.address)
        if name == request.final:
            source.remove(request)
            self.retire(clock, request, source)
        elif name == "ACT" and len(self.active) < self.protocol.banks:
            source.remove(request)
            self.active.append(request)
            if source is self.writes:
                self.waiting_writes.discard(request.addr)

    def retire(self, clock: int, request: Request, source: list[Request]) -> None:
        if source is self.writes:
            self.waiting_writes.discard(request.addr)
        if request.kind == 0:
            self.leave(request, clock + self.protocol.read_latency, "column")
        elif request.kind == 1:
            self.finish(request, clock, "column")

    def witness(self, clock: int, request: Request, name: str, source: list[Request]) -> None:
        """Count row hits, and the named situations that are seen when a command is issued."""
        if not request.begun and request.kind >= 0:
            request.begun = True
            row = self.device.open_row.get(request.address)
            kind = "row_misses" if row is None else "row_hits" if row == request.row else "row_conflicts"
            self.counters[kind] += 1
        met = self.met
        met["served from the active list"] += source is self.active
        met["served from its queue"] += name in {"RD", "WR", "RDA", "WRA"} and source is not self.active
        met["a precharge on a falling edge"] += self.falling(clock)
        if self.falling(clock) and clock == self.pair_at:
            same = request.address[: self.pc_depth] == self.pair_address[: self.pc_depth]
            met["a precharge pairs with another bank" if same else "a precharge pairs with another pseudo channel"] += 1
        met["a precharge of closed banks"] += name == "PREpb" and request.address not in self.device.open_row
        met["a refresh closes banks first"] += request.final.startswith("REF") and name.startswith("PRE")
        met["a read overtakes an active write"] += request.kind == 0 and any(
            other.kind == 1 and other.addr == request.addr and other.accept <= request.accept and name == request.final
            for other in self.active
        )
        if self.device.ready_at(name, request.address) == clock:
            for rule in self.device.binding(name, request.address):
                met["a window binds"] += rule.window > 1
                met["a sibling binds"] += rule.sibling
