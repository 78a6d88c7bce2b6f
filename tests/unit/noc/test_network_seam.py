"""The network of a die keeps the contract; networks that break it are found by the kit."""

import pytest

from nmpsim.kernel import NEVER
from nmpsim.spec.params import CROSSBAR, MESH, TORUS
from tests.conformance_kits.network import MulticastKit, NetworkKit, SumKit
from tests.unit.noc.bench import DieNetwork, shaped


class TestRing(NetworkKit):
    def make_network(self):
        return DieNetwork()


class TestLeastBuffers(NetworkKit):
    def make_network(self):
        return DieNetwork(shaped(0, 5), buffer_flits=1, inject_flits=1, eject_flits=1)


class TestFourChannelsAndLongLatencies(NetworkKit):
    def make_network(self):
        return DieNetwork(shaped(0, 5), vcs=4, buffer_flits=6, nVA=2, nSA=2, speculative=0, nROUTE=1, nLINK=2)


class TestMesh(NetworkKit):
    def make_network(self):
        return DieNetwork(shaped(MESH, 2, 2), vcs=3, eject_flits=9)


class TestTorus(NetworkKit):
    def make_network(self):
        return DieNetwork(shaped(TORUS, 2, 3), switch_allocator=0)


class TestCrossbar(NetworkKit):
    def make_network(self):
        return DieNetwork(shaped(CROSSBAR, 6), vcs=1)


class TestOneOfSeveralStacks(NetworkKit):
    def make_network(self):
        return DieNetwork(stacks=2)


class TestSlowNetwork(NetworkKit):
    def make_network(self):
        return DieNetwork(period=5, core_period=4)


class TestSlowCores(NetworkKit):
    def make_network(self):
        return DieNetwork(period=3, core_period=7, nSYNC=1)


class TestRingThatCopies(MulticastKit):
    def make_network(self):
        return DieNetwork(multicast_lanes=2, multicast_flits=4)


class TestLeastPlacesThatCopy(MulticastKit):
    def make_network(self):
        return DieNetwork(shaped(0, 5), buffer_flits=1, inject_flits=1, eject_flits=2, multicast_lanes=1)


@pytest.mark.slow
class TestMeshThatCopies(MulticastKit):
    def make_network(self):
        return DieNetwork(
            shaped(MESH, 2, 2),
            vcs=3,
            nROUTE=1,
            nSA=2,
            speculative=0,
            eject_flits=12,
            multicast_lanes=1,
            multicast_flits=3,
        )


@pytest.mark.slow
class TestTorusThatCopies(MulticastKit):
    def make_network(self):
        return DieNetwork(shaped(TORUS, 2, 3), multicast_lanes=2, period=5, core_period=4, stacks=2)


class TestCrossbarThatCopies(MulticastKit):
    def make_network(self):
        return DieNetwork(shaped(CROSSBAR, 6), vcs=1, multicast_lanes=2)


class TestRingThatAdds(SumKit):
    def make_network(self):
        return DieNetwork(multicast_lanes=2, multicast_flits=4, sum_lanes=2, nADD=3, eject_flits=12)


class TestLeastPlacesThatAdd(SumKit):
    def make_network(self):
        least = {"buffer_flits": 1, "inject_flits": 1, "eject_flits": 3, "multicast_lanes": 1, "sum_lanes": 1}
        return DieNetwork(shaped(0, 5), **least)


@pytest.mark.slow
class TestMeshThatAdds(SumKit):
    def make_network(self):
        stages = {"nROUTE": 1, "nSA": 2, "speculative": 0, "nPORT": 1, "nLINK": 2}
        lanes = {"multicast_lanes": 1, "multicast_flits": 3, "sum_lanes": 1, "nADD": 2}
        return DieNetwork(shaped(MESH, 2, 2), vcs=3, eject_flits=9, **stages, **lanes)


@pytest.mark.slow
class TestTorusThatAdds(SumKit):
    def make_network(self):
        few = {"multicast_lanes": 1, "sum_lanes": 1, "nADD": 2, "eject_flits": 12}
        return DieNetwork(shaped(TORUS, 2, 3), period=5, core_period=4, stacks=2, **few)


class TestCrossbarThatAdds(SumKit):
    def make_network(self):
        return DieNetwork(shaped(CROSSBAR, 6), vcs=1, multicast_lanes=2, sum_lanes=2)


class LateWake(DieNetwork):
    def step(self, now, **ways):
        super().step(now, **ways)
        self.wake[self.wake < NEVER] += self.period


class NowWake(DieNetwork):
    def step(self, now, **ways):
        super().step(now, **ways)
        self.wake[0] = now


class LosesAddress(DieNetwork):
    def write(self, node, port, ready_at, /, **fields):
        super().write(node, port, ready_at, **fields | {"address": 0})


class IgnoresStamp(DieNetwork):
    def write(self, node, port, ready_at, /, **fields):
        super().write(node, port, 0, **fields)


class ForgetsEjectionCredit(DieNetwork):
    """Places of the ejection queue count as free at once."""

    def take(self, node, port, free_at):
        super().take(node, port, 0)


class HasNoLastPlace(DieNetwork):
    """Its injection queue is never full."""

    def space_at(self, node, port):
        return min(super().space_at(node, port), 2**30)


class Teleports(DieNetwork):
    """Ejected flits may be taken at once."""

    def step(self, now, **ways):
        super().step(now, **ways)
        self.ports.eject_flit["ready_at"] = 0


class DuplicatesFlits(DieNetwork):
    def take(self, node, port, free_at):
        super().take(node, port, free_at)
        if self.ports.eject[node, port].head == 3:
            self.ports.eject[node, port].head = 2


class StopsAtAFullQueue(DieNetwork):
    """A full ejection queue stops everything."""

    def step(self, now, **ways):
        queues = self.ports.eject
        if (queues.filled - queues.head).max() == self.eject_flits:
            self.wake[:] = now + self.period
        else:
            super().step(now, **ways)


class AcceptsAnything(DieNetwork):
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
        StopsAtAFullQueue,
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
