"""The ring keeps the contract of the network; networks that break it are found by the kit."""

import pytest

from nmpsim.kernel import NEVER
from tests.conformance_kits.network import NetworkKit
from tests.unit.noc.bench import RingNetwork


class TestRing(NetworkKit):
    def make_network(self):
        return RingNetwork()


class TestLeastBuffers(NetworkKit):
    def make_network(self):
        return RingNetwork(nodes=5, buffer_flits=1, inject_flits=1, eject_flits=1)


class TestThreeChannelsAndLongLatencies(NetworkKit):
    def make_network(self):
        return RingNetwork(nodes=5, vcs=3, buffer_flits=6, nROUTER=3, nLINK=2, nCREDIT=3)


class TestFourDeepChannels(NetworkKit):
    def make_network(self):
        return RingNetwork(nodes=5, vcs=4, buffer_flits=8, nROUTER=1)


class TestSlowNetwork(NetworkKit):
    def make_network(self):
        return RingNetwork(period=5, core_period=4)


class TestSlowCores(NetworkKit):
    def make_network(self):
        return RingNetwork(period=3, core_period=7, nSYNC=1)


class LateWake(RingNetwork):
    def step(self, node, now):
        wake = super().step(node, now)
        return wake if wake >= NEVER else wake + self.period


class NowWake(RingNetwork):
    def step(self, node, now):
        return min(super().step(node, now), now)


class LosesAddress(RingNetwork):
    def write(self, node, direction, ready_at, **fields):
        super().write(node, direction, ready_at, **fields | {"address": 0})


class IgnoresStamp(RingNetwork):
    def write(self, node, direction, ready_at, **fields):
        super().write(node, direction, 0, **fields)


class ForgetsEjectionCredit(RingNetwork):
    """Places of the ejection queue count as free at once."""

    def take(self, node, direction, free_at):
        super().take(node, direction, 0)


class HasNoLastPlace(RingNetwork):
    """Its injection queue is never full."""

    def space_at(self, node, direction):
        return min(super().space_at(node, direction), 2**30)


class Teleports(RingNetwork):
    """Ejected flits may be taken at once."""

    def step(self, node, now):
        wake = super().step(node, now)
        self.state.eject_flit[node]["ready_at"] = 0
        return wake


class DuplicatesFlits(RingNetwork):
    def take(self, node, direction, free_at):
        super().take(node, direction, free_at)
        if self.state.eject[node, direction].head == 3:
            self.state.eject[node, direction].head = 2


class StopsBothDirections(RingNetwork):
    """A full ejection queue of one direction stops its node."""

    def step(self, node, now):
        queues = self.state.eject[node]
        if (queues.filled - queues.head).max() == self.eject_flits:
            return now + self.period
        return super().step(node, now)


class AcceptsAnything(RingNetwork):
    def refuses(self):
        return False


CLAUSES = [name for name in vars(NetworkKit) if name.startswith("test_")]


@pytest.mark.parametrize(
    "broken",
    [
        LateWake,
        NowWake,
        LosesAddress,
        IgnoresStamp,
        ForgetsEjectionCredit,
        HasNoLastPlace,
        Teleports,
        DuplicatesFlits,
        StopsBothDirections,
        AcceptsAnything,
    ],
    ids=lambda broken: broken.__name__,
)
def test_the_kit_finds_a_network_that_breaks_the_contract(broken):
    class Broken(NetworkKit):
        def make_network(self):
            return broken()

    failed = []
    for clause in CLAUSES:
        try:
            getattr(Broken(), clause)()
        except AssertionError:
            failed.append(clause)
            break
    assert failed
