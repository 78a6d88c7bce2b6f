"""The DRAM channel keeps the contract of the memory port; ports that break it are found by the kit."""

import pytest

from nmpsim.dram.native import make_state, post, step_channel
from nmpsim.kernel import NEVER
from tests.conformance_kits.memory_port import Beat, MemoryPortKit, Port
from tests.unit.dram.bench import credit_at, head_at, pop, push, run_space_at, write_done_at
from tests.unit.dram.chips import SMALL, SMALL_TIERS, latency_table


class ChannelPort(Port):
    """One DRAM channel as a `Port`."""

    def __init__(self, *, plain=False, period=1, **changes):
        self.params = SMALL._replace(**changes)
        self.latency = latency_table(*SMALL_TIERS)
        self.plain, self.period = plain, period
        self.state = make_state(self.params, 1, tokens=8)
        self.banks, self.columns = self.params.banks, self.params.columns
        self.landing, self.run_queue = self.params.fifo_columns, self.params.run_queue
        self.patience = 60 * period

    def run_space_at(self, bank):
        return int(run_space_at(self.state.queue[0, bank], self.state.run[0, bank]))

    def post(self, bank, ready_at, **fields):
        post(self.state, 0, bank, ready_at, **fields)

    def expect(self, token, beats):
        self.state.token[0, token].left = beats

    def done_at(self, token):
        return int(write_done_at(self.state.token[0, token]))

    def datum_space_at(self, bank):
        return int(credit_at(self.state.write_fifo[0, bank], self.state.write_slot[0, bank], 1))

    def supply(self, bank, ready_at):
        self.state.write_fifo[0, bank].reserved += 1
        push(self.state.write_fifo[0, bank], self.state.write_slot[0, bank], ready_at, 0, 0)

    def head(self, bank):
        fifo, slots = self.state.fifo[0, bank], self.state.slot[0, bank]
        ready_at = int(head_at(fifo, slots))
        if ready_at >= NEVER:
            return None
        slot = slots[fifo.head % len(slots)]
        return Beat(ready_at, int(slot.target), int(slot.token))

    def pop(self, bank, free_at):
        pop(self.state.fifo[0, bank], self.state.slot[0, bank], free_at)

    def step(self, now):
        return int(step_channel(0, now, int(self.plain), self.params, self.period, self.latency, self.state))

    def snapshot(self):
        parts = [part.tobytes() for name, part in self.state._asdict().items() if name != "channel"]
        return b"".join(parts)  # channel.first_ready_at describes the visit itself


class TestPlain(MemoryPortKit):
    def make_port(self):
        return ChannelPort(plain=True)


class TestSkip(MemoryPortKit):
    def make_port(self):
        return ChannelPort()


class TestSlowClock(MemoryPortKit):
    def make_port(self):
        return ChannelPort(period=3)


class TestWithBudgetAndRefresh(MemoryPortKit):
    def make_port(self):
        return ChannelPort(nRRD=4, nFAW=50, refresh=1, nREFI=90, postpone=1)


class LateWake(ChannelPort):
    def step(self, now):
        wake = super().step(now)
        return wake if wake >= NEVER else wake + self.period


class NowWake(ChannelPort):
    def step(self, now):
        return min(super().step(now), now)


class ForgetsCredit(ChannelPort):
    """Its landing FIFO overflows: places count as free at once."""

    def step(self, now):
        wake = super().step(now)
        self.state.slot["free_at"] = 0
        return wake


class LosesTarget(ChannelPort):
    def post(self, bank, ready_at, **fields):
        super().post(bank, ready_at, **fields | {"target_stride": 0})


class IgnoresRunStamp(ChannelPort):
    def post(self, bank, ready_at, **fields):
        super().post(bank, 0, **fields)


class IgnoresDatumStamp(ChannelPort):
    def supply(self, bank, ready_at):
        super().supply(bank, 0)


class FreesRunsEarly(ChannelPort):
    def run_space_at(self, bank):
        return 0


class StallsNeighbours(ChannelPort):
    """A full landing FIFO of one bank stops all."""

    def step(self, now):
        full = any(fifo.reserved - fifo.head > self.landing - self.columns for fifo in self.state.fifo[0])
        return now + self.period if full and self.state.fifo[0].filled.sum() > self.columns else super().step(now)


CLAUSES = [name for name in vars(MemoryPortKit) if name.startswith("test_")]


@pytest.mark.parametrize(
    "broken",
    [
        LateWake,
        NowWake,
        ForgetsCredit,
        LosesTarget,
        IgnoresRunStamp,
        IgnoresDatumStamp,
        FreesRunsEarly,
        StallsNeighbours,
    ],
)
def test_the_kit_finds_a_port_that_breaks_the_contract(broken):
    class Kit(MemoryPortKit):
        def make_port(self):
            return broken(plain=True)

    failed = []
    for clause in CLAUSES:
        try:
            getattr(Kit(), clause)()
        except AssertionError:
            failed.append(clause)
    assert failed
