"""Conformance kit of the Network seam: what every implementation of docs/seams/network.md must satisfy.

Derive a test class from `NetworkKit`, give it a `make_network` that returns a `Network`, and pytest does the rest::

    class TestMyNetwork(NetworkKit):
        def make_network(self):
            return MyNetwork(...)

The kit knows nothing about routers, virtual channels or topology: it speaks of messages, flits and stamps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

NEVER = 2**62

EVERYONE = -1
"""Destination of a message that goes to all other nodes."""

TO_ONE, TO_ALL, TO_SUM = range(3)
"""Field ``kind`` of a flit: for one node, for all others, a contribution to a sum for one node."""


class Arrival(NamedTuple):
    """The flit at the head of an ejection queue."""

    ready_at: int
    source: int
    destination: int
    port: int
    message: int
    sequence: int
    last: int
    signal: int
    address: int
    bytes: int


class Network(ABC):
    """A network under test; all times in ticks, its clock edges are the multiples of `period`."""

    nodes: int  # >= 3
    period: int  # of the network; ticks
    core_period: int  # of those who use it; ticks
    inject_flits: int  # places of an injection queue
    eject_flits: int  # places of an ejection queue
    patience: int  # ticks after which a network that could move a flit must have done so
    wake: object  # wake[node]: ticks; lowered by who uses a port of the node

    @abstractmethod
    def space_at(self, node: int, port: int) -> int:
        """Tick at which one more flit can be written; NEVER while unknown."""

    @abstractmethod
    def write(self, node: int, port: int, ready_at: int, /, **fields: int) -> None:
        """Write a flit; `fields` are those of FLIT without the stamps.  Does not lower the wake."""

    @abstractmethod
    def head(self, node: int, port: int) -> Arrival | None:
        """The flit at the head of an ejection queue; None if there is none."""

    @abstractmethod
    def take(self, node: int, port: int, free_at: int) -> None:
        """Take the flit at the head; its place is free from `free_at` on.  Does not lower the wake."""

    @abstractmethod
    def arrived(self, node: int, port: int) -> int:
        """Flits written into an ejection queue since the start."""

    @abstractmethod
    def due(self, now: int) -> bool:
        """Whether `now` is an edge of a clock of the network at which it might act."""

    @abstractmethod
    def step(self, now: int, *, plain: bool, backwards: bool) -> None:
        """Visit what is due at tick `now`, with `plain` all that has an edge there, in either order; set the wakes."""

    @abstractmethod
    def port(self, source: int, destination: int) -> int:
        """A port for messages between two nodes."""

    @abstractmethod
    def least_latency(self, source: int, destination: int, port: int) -> int:
        """Least ticks from ``ready_at`` in the injection queue to ``ready_at`` in the ejection queue."""

    @abstractmethod
    def refuses(self) -> bool:
        """Whether the network has noted a flit that it cannot send."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """All state that a visit may change, without wakes and what describes the visit itself."""


@dataclass
class Driver:
    """Writers and takers at all nodes, and visits by the rules of the seam."""

    network: Network
    plain: bool = False
    backwards: bool = False
    quiescent: bool = False  # also visit between the wakes, and require that nothing changes
    credit: int = 1  # ticks from the taking of a flit to the reuse of its place
    now: int = 0
    written: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)  # (message, flit): (stamp, port)
    taken: dict[tuple[int, int], list[tuple[int, Arrival]]] = field(default_factory=dict)
    sent: list[tuple[int, int, int, int]] = field(default_factory=list)  # source, port, destination, flits
    stacks: list[int] = field(default_factory=list)  # of each message: how many stacks further on it is for
    sums: list[list[int]] = field(default_factory=list)  # messages that are the contributions to each sum, by node
    kinds: list[int] = field(default_factory=list)  # of each message

    def __post_init__(self) -> None:
        self.outbox = {(node, d): deque() for node in range(self.network.nodes) for d in (0, 1)}
        self.taken = {port: [] for port in self.outbox}

    def send(
        self,
        source: int,
        destination: int,
        flits: int,
        port: int | None = None,
        *,
        stack: int = 0,
        kind: int | None = None,
    ) -> int:
        """Queue a message behind its writer; return its number.  By default a multicast leaves by port 0."""
        known = 0 if destination == EVERYONE else self.network.port(source, destination)
        d = known if port is None else port
        number = len(self.sent)
        self.sent.append((source, d, destination, flits))
        self.stacks.append(stack)
        self.kinds.append((TO_ALL if destination == EVERYONE else TO_ONE) if kind is None else kind)
        self.outbox[source, d].extend({**self.flit(number, i), "stack": stack} for i in range(flits))
        return number

    def add_up(self, owner: int, flits: int, port: int) -> int:
        """Queue a contribution of every node to a sum; return the number of the owner's, as which the sum comes."""
        own = [self.send(node, owner, flits, port, kind=TO_SUM) for node in range(self.network.nodes)]
        self.sums.append(own)
        return own[owner]

    def flit(self, message: int, i: int) -> dict[str, int]:
        """Fields of flit `i` of a message: all different, so that mixed-up flits are seen."""
        source, port, destination, flits = self.sent[message]
        return {
            "source": source,
            "destination": destination,
            "kind": self.kinds[message],
            "port": port,
            "message": message,
            "sequence": i,
            "last": int(i == flits - 1),
            "signal": 1000 + message,
            "address": 100_000 * message + 131 * i,  # never one behind the other: gateways must not put them together
            "bytes": 1 + (3 * i + message) % 128,
        }

    def write(self, node: int, d: int, ready_at: int) -> None:
        """Write the next flit of an outbox."""
        fields = self.outbox[node, d].popleft()
        self.network.write(node, d, ready_at, **fields)
        self.written[fields["message"], fields["sequence"]] = ready_at, d
        self.network.wake[node] = min(self.network.wake[node], ready_at)

    def take(self, node: int, d: int) -> None:
        """Take the flit at the head of an ejection queue."""
        head = self.network.head(node, d)
        assert head is not None
        assert head.ready_at <= self.now
        self.network.take(node, d, self.now + self.credit)
        self.taken[node, d].append((self.now, head))
        self.network.wake[node] = min(self.network.wake[node], self.now + self.credit)

    def visit(self) -> None:
        """Visit the network if it is due; check what every visit must keep."""
        network = self.network
        if self.plain or network.due(self.now):
            before = {port: network.arrived(*port) for port in self.outbox}
            empty = {port for port in self.outbox if network.head(*port) is None}
            network.step(self.now, plain=self.plain, backwards=self.backwards)
            if self.now % network.period == 0:
                assert min(network.wake) > self.now, "a wake lies strictly in the future"
            for port in self.outbox:
                assert network.arrived(*port) <= before[port] + 1, "one flit per cycle and ejection queue"
                head = network.head(*port)
                assert port not in empty or head is None or head.ready_at > self.now, "a new stamp lies in the future"
        elif self.quiescent:
            before = network.snapshot()
            network.step(self.now, plain=True, backwards=False)
            assert network.snapshot() == before, f"the network acted at {self.now} before its wake"

    def run(self, ticks: int, *, closed: tuple[tuple[int, int], ...] = (), write: bool = True) -> Driver:
        """Let time pass; from the ejection queues in `closed` nothing is taken, with `write` off nothing is written."""
        network = self.network
        ports = [port for port in self.outbox if port not in closed]
        end = self.now + ticks
        while self.now < end:
            if not self.backwards and self.now % network.core_period == 0:
                self.use_ports(ports, write=write)
            self.visit()
            if self.backwards and self.now % network.core_period == 0:
                self.use_ports(ports, write=write)
            self.now += 1
        return self

    def use_ports(self, open_ports: list[tuple[int, int]], *, write: bool) -> None:
        """One edge of the users' clock: a flit each way, node and port."""
        network = self.network
        for port in self.outbox:
            if write and self.outbox[port] and network.space_at(*port) <= self.now:
                self.write(*port, (self.now // network.period + 1) * network.period)
        for port in open_ports:
            head = network.head(*port)
            if head is not None and head.ready_at <= self.now:
                self.take(*port)

    def arrivals(self) -> list[tuple[tuple[int, int], int, Arrival]]:
        """Everything taken: (node and port, tick, flit)."""
        return [(port, at, flit) for port, taken in self.taken.items() for at, flit in taken]

    def assert_complete(self) -> None:
        """Every flit sent was taken once at each destination, unchanged, by its port, in order."""
        expected = [
            (m, i, node) for m, (*_, flits) in enumerate(self.sent) for i in range(flits) for node in self.takers(m)
        ]
        assert sorted((flit.message, flit.sequence, node) for (node, _), _, flit in self.arrivals()) == expected
        for (node, d), _, flit in self.arrivals():
            written = self.flit(flit.message, flit.sequence) | {"ready_at": flit.ready_at, "destination": node}
            assert flit._asdict() == {name: written[name] for name in flit._fields}
            assert d == self.sent[flit.message][1]
        for taken in self.taken.values():
            flows: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
            for _, flit in taken:
                way = flit.source, self.stacks[flit.message], self.kinds[flit.message]
                flows.setdefault(way, []).append((flit.message, flit.sequence))
            for numbers in flows.values():
                assert numbers == sorted(numbers), "flits of one source, stack, port and kind come in order"
        assert not self.network.refuses()

    def takers(self, message: int) -> list[int]:
        """Nodes that a message comes to; of the contributions to a sum only the owner's comes."""
        source, _, destination, _ = self.sent[message]
        if self.kinds[message] == TO_SUM:
            return [destination] if source == destination else []
        nodes = range(self.network.nodes)
        return [node for node in nodes if node != source] if destination == EVERYONE else [destination]


class NetworkKit(ABC):
    """The contract, one clause per test."""

    @abstractmethod
    def make_network(self) -> Network:
        """Return a fresh network of 3 to 8 nodes with at most 8 places in a queue."""

    def drive(self, **ways) -> tuple[Network, Driver]:
        network = self.make_network()
        return network, Driver(network, **ways)

    @staticmethod
    def crowd(driver: Driver) -> int:
        """Queue messages of mixed lengths between all nodes; return their flits."""
        nodes = driver.network.nodes
        for round_ in range(3):
            for source in range(nodes):
                for step in range(1, nodes):
                    driver.send(source, (source + step) % nodes, 1 + (source + 2 * step + 3 * round_) % 5)
        return sum(flits for *_, flits in driver.sent)

    def test_every_flit_arrives_once_unchanged_and_in_order(self):
        network, driver = self.drive()
        flits = self.crowd(driver)
        driver.run(flits * network.patience // 4)
        driver.assert_complete()

    def test_messages_between_two_nodes_do_not_overtake_each_other(self):
        """Long and short messages by turns, from all nodes to one, so that they queue up on the way."""
        for destination in range(2):
            for credit in (1, 9):
                network, driver = self.drive(credit=credit)
                for i in range(8):
                    for step in range(1, network.nodes):
                        source = (destination - step) % network.nodes
                        driver.send(source, destination, 1 + 5 * ((i + step) % 2), 0)
                        driver.send(source, (destination - step + 1) % network.nodes, 1 + (i + step) % 3, 0)
                flits = sum(flits for *_, flits in driver.sent)
                driver.run(flits * (network.patience + credit) // 2)
                driver.assert_complete()

    def test_all_to_all_ends_by_both_ports(self):
        network, driver = self.drive()
        for source in range(network.nodes):
            for step in range(1, network.nodes):
                for d in (0, 1):
                    driver.send(source, (source + step) % network.nodes, 9, d)
        driver.run(sum(flits for *_, flits in driver.sent) * network.patience // 4)
        driver.assert_complete()

    def test_a_flit_is_invisible_before_its_stamp(self):
        network, driver = self.drive()
        driver.send(0, 1, 1)
        later = 20 * network.period
        driver.write(0, network.port(0, 1), later)
        network.wake[0] = 0  # an early visit is allowed and changes nothing
        driver.run(later + 2 * network.patience)
        ((_, _, flit),) = driver.arrivals()
        assert flit.ready_at >= later + network.least_latency(0, 1, network.port(0, 1))

    def test_nothing_is_faster_than_a_lone_flit(self):
        network, driver = self.drive()
        flits = self.crowd(driver)
        driver.run(flits * network.patience // 4)
        for (node, d), _, flit in driver.arrivals():
            ready_at, _ = driver.written[flit.message, flit.sequence]
            assert flit.ready_at >= ready_at + network.least_latency(flit.source, node, d)

    def test_a_closed_queue_stops_its_port_and_loses_nothing(self):
        network, driver = self.drive()
        flits = 60
        blocked = driver.send(0, 1, flits, 0)
        free = driver.send(2, 1, flits, 1)
        driver.run(4 * flits * network.patience // 4, closed=((1, 0),))
        assert network.arrived(1, 0) == network.eject_flits
        assert driver.outbox[0, 0], "the writer is stopped by the lack of places"
        assert [flit.message for _, _, flit in driver.arrivals()] == [free] * flits
        driver.run(4 * flits * network.patience // 4)
        assert [flit.message for _, flit in driver.taken[1, 0]] == [blocked] * flits
        driver.assert_complete()

    def test_the_injection_queue_is_finite_and_frees_its_places(self):
        network, driver = self.drive()
        driver.send(0, 1, network.inject_flits + 1, 0)
        later = 20 * network.period
        for _ in range(network.inject_flits):
            assert network.space_at(0, 0) <= driver.now
            driver.write(0, 0, later)
        assert network.space_at(0, 0) >= NEVER
        driver.run(later, write=False)
        assert network.space_at(0, 0) >= NEVER
        driver.run(network.patience, write=False)
        assert later < network.space_at(0, 0) <= driver.now

    def test_no_flit_is_ejected_before_its_place_is_free(self):
        network, driver = self.drive(credit=40)
        driver.send(0, 1, 3 * network.eject_flits + 1, 0)
        driver.run(4 * network.eject_flits * (network.patience + 40))
        taken = driver.taken[1, 0]
        assert len(taken) == 3 * network.eject_flits + 1
        for number in range(network.eject_flits, len(taken)):
            taken_at, _ = taken[number - network.eject_flits]
            assert taken[number][1].ready_at > taken_at + driver.credit
        assert all(earlier.ready_at <= later.ready_at for (_, earlier), (_, later) in pairwise(taken))

    def test_skipping_and_the_order_of_visits_are_seen_by_nobody(self):
        seen = []
        for ways in ({"plain": True}, {}, {"backwards": True}, {"plain": True, "backwards": True}):
            network, driver = self.drive(**ways)
            flits = self.crowd(driver)
            driver.run(flits * network.patience // 4)
            seen.append((driver.arrivals(), driver.written, network.snapshot()))
        for way in seen[1:]:
            assert way == seen[0]

    def test_nothing_happens_before_a_wake(self):
        network, driver = self.drive(quiescent=True)
        for source in range(network.nodes):
            driver.send(source, (source + 1) % network.nodes, 6, 0)
            driver.send(source, (source + 2) % network.nodes, 2, 0)
        driver.run(10 * network.patience, closed=((1, 0),))
        driver.run(20 * network.patience)
        driver.assert_complete()

    def test_a_message_to_its_own_node_is_refused(self):
        network, driver = self.drive()
        driver.send(1, 1, 1, 0)
        driver.run(4 * network.patience)
        assert network.refuses()
        assert not driver.arrivals()

    def test_a_message_to_no_node_is_refused(self):
        network, driver = self.drive()
        driver.send(1, network.nodes, 1, 0)
        driver.run(4 * network.patience)
        assert network.refuses()
        assert not driver.arrivals()

    def test_messages_may_not_be_interleaved_in_an_injection_queue(self):
        network, driver = self.drive()
        for _ in range(2):
            driver.send(0, 1, 2, 0)
        queue = driver.outbox[0, 0]
        queue[1], queue[2] = queue[2], queue[1]  # head, head, tail, tail
        driver.run(4 * network.patience)
        assert network.refuses()
        assert len(driver.arrivals()) == 1


class MulticastKit(NetworkKit):
    """More clauses, for networks with messages to all."""

    @staticmethod
    def crowd(driver: Driver) -> int:
        """Queue messages to one and to all, by turns; return the flits that arrive."""
        NetworkKit.crowd(driver)
        nodes = driver.network.nodes
        for round_ in range(3):
            for source in range(nodes):
                driver.send(source, EVERYONE, 1 + (5 * source + 7 * round_) % 11, (source + round_) % 2)
                driver.send(source, (source + 1) % nodes, 1 + round_, (source + round_) % 2)
        return sum(flits * len(driver.takers(m)) for m, (*_, flits) in enumerate(driver.sent))

    def test_a_message_to_all_comes_to_every_other_node_by_its_port(self):
        for port in (0, 1):
            network, driver = self.drive()
            driver.send(1, EVERYONE, 3 * network.inject_flits + 1, port)
            driver.run(10 * network.inject_flits * network.patience)
            driver.assert_complete()
            assert {d for (_, d), *_ in driver.arrivals()} == {port}
            assert {node for (node, _), *_ in driver.arrivals()} == set(range(network.nodes)) - {1}

    def test_messages_to_all_do_not_overtake_each_other(self):
        network, driver = self.drive(credit=9)
        for i in range(6):
            for source in range(network.nodes):
                driver.send(source, EVERYONE, 1 + 7 * ((i + source) % 2), 0)
                driver.send(source, (source + 1 + i % 2) % network.nodes, 1 + i % 3, 0)
        driver.run(sum(flits * len(driver.takers(m)) for m, (*_, flits) in enumerate(driver.sent)) * network.patience)
        driver.assert_complete()

    def test_a_node_that_takes_nothing_stops_messages_to_all_and_loses_nothing(self):
        network, driver = self.drive()
        driver.send(0, EVERYONE, 60, 0)
        driver.run(60 * network.patience, closed=((1, 0),))
        assert driver.outbox[0, 0], "the writer is stopped by the slowest node"
        assert 0 < network.arrived(1, 0) < 60, "its own queue takes what it has places for"
        driver.run(120 * network.patience)
        driver.assert_complete()


class SumKit(MulticastKit):
    """Still more clauses, for networks that add."""

    @staticmethod
    def crowd(driver: Driver) -> int:
        """Queue messages to one, to all, and sums, by turns; return the flits that arrive."""
        MulticastKit.crowd(driver)
        nodes = driver.network.nodes
        for round_ in range(2 * nodes):
            driver.add_up(2 * round_ % nodes, 1 + 5 * round_ % 9, round_ % 2)
            driver.send(round_ % nodes, (round_ + 1) % nodes, 1 + round_ % 3, round_ % 2)
            driver.send(round_ % nodes, EVERYONE, 2, (round_ + 1) % 2)
        return sum(flits * max(1, len(driver.takers(m))) for m, (*_, flits) in enumerate(driver.sent))

    def test_a_sum_comes_once_to_its_owner_by_its_port(self):
        for port in (0, 1):
            network, driver = self.drive()
            for owner in (1, 0, 1):
                driver.add_up(owner, 3 * network.inject_flits + 1, port)
            driver.run(40 * network.inject_flits * network.patience)
            driver.assert_complete()
            assert {place for place, *_ in driver.arrivals()} == {(1, port), (0, port)}

    def test_no_flit_of_a_sum_comes_before_all_have_contributed_to_it(self):
        network, driver = self.drive()
        for round_ in range(3 * network.nodes):
            driver.add_up(round_ % network.nodes, 1 + round_ % 4, round_ % 2)
        driver.run(60 * network.patience)
        driver.assert_complete()
        for (node, d), _, flit in driver.arrivals():
            for part in next(own for own in driver.sums if flit.message in own):
                stamp, _ = driver.written[part, flit.sequence]
                assert flit.ready_at >= stamp + network.least_latency(driver.sent[part][0], node, d)

    def test_a_sum_waits_for_the_last_and_lets_others_pass(self):
        """Node 1 writes nothing to port 0 for a while: what others send to each other by it arrives, sums do not."""
        network, driver = self.drive()
        before = [driver.send(node, (node + 1) % network.nodes, 5, 0) for node in range(network.nodes) if node != 1]
        driver.add_up(0, 2 * network.inject_flits, 0)
        other = [driver.send(2, 0, 9, 1), driver.add_up(2, 3, 1)]
        held, driver.outbox[1, 0] = driver.outbox[1, 0], deque()
        driver.run(40 * network.patience)
        assert {flit.message for _, _, flit in driver.arrivals()} == {*before, *other}
        driver.outbox[1, 0] = held
        driver.run(20 * network.inject_flits * network.patience)
        driver.assert_complete()

    def test_contributions_to_different_sums_are_refused(self):
        network, driver = self.drive()
        for node in range(network.nodes):
            driver.send(node, int(node == 1), 1, 0, kind=TO_SUM)
        driver.run(20 * network.patience)
        assert network.refuses() or not driver.arrivals()

    def test_contributions_of_different_lengths_are_refused(self):
        network, driver = self.drive()
        for node in range(network.nodes):
            driver.send(node, 0, 1 + (node == 1), 0, kind=TO_SUM)
        driver.run(20 * network.patience)
        assert network.refuses()

    def test_a_sum_for_no_node_is_refused(self):
        network, driver = self.drive()
        driver.send(1, network.nodes, 1, 0, kind=TO_SUM)
        driver.run(4 * network.patience)
        assert network.refuses()
        assert not driver.arrivals()
