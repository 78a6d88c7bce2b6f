"""All units of a core satisfy the seam Unit."""

from __future__ import annotations

import pytest

from nmpsim.core.core import settle_core
from nmpsim.core.state import REASONS
from nmpsim.program.isa import ARRAY, FROM, MOVE, OS, SEND, SEND_0, SEND_1, SPLIT_K, STREAM, TREE, UNITS, VECTOR, WS
from tests.builders import STRATUM
from tests.conformance_kits.unit import Unit, UnitKit
from tests.unit.core.bench import CoreBench, core_params, elements, instruction, product

OUTSIDE = FROM
"""Semaphore of messages from PU 0 by port 0."""


class CoreUnit(Unit):
    """A unit of a core on the bench."""

    patience = 60

    def __init__(self, unit, rows, waits, params):
        for row, count in zip(rows, waits, strict=True):
            if count:
                row["wait0"], row["count0"] = OUTSIDE, count
        self.bench = CoreBench(params, rows)
        self.unit, self.period = unit, params.core_period
        self.cores = self.bench.die.cores

    def step(self, now):
        return self.bench.visit(now, plain=False)

    def count_outside(self):
        self.cores.signal[0, OUTSIDE] += 1

    @property
    def taken(self):
        return int(self.cores.unit[0, self.unit].head)

    @property
    def signalled(self):
        return int(self.cores.signal[0, self.unit])

    @property
    def visible(self):
        return int(self.cores.semaphore[0, self.unit])

    @property
    def reason(self):
        account = self.cores.actor[0, 0] if self.unit == ARRAY else self.cores.unit[0, self.unit]
        return REASONS[account.reason]

    def snapshot(self):
        cores = self.cores
        counters = cores.actor[["issued", "pops", "macs", "passes", "reason"]]
        parts = (cores.unit[["head", "count", "reason"]], cores.semaphore, cores.signal, counters, cores.vector,
                 cores.mover, cores.sender, self.bench.die.channels.fifo, self.bench.die.network.inject)  # fmt: skip
        return b"".join(part.tobytes() for part in parts)

    def accounted(self, now):
        settle_core(0, now, self.bench.params.core_period, self.cores)
        row = UNITS if self.unit == ARRAY else self.unit
        return int(self.cores.stall[0, row].sum())


class TestOutputStationary(UnitKit):
    def make_unit(self, waits):
        return CoreUnit(ARRAY, [product(OS, 2, 8, 3, group=4) for _ in waits], waits, core_params())


class TestWeightStationary(UnitKit):
    def make_unit(self, waits):
        return CoreUnit(ARRAY, [product(WS, 2, 8, 9, group=4) for _ in waits], waits, core_params())


class TestMacTree(UnitKit):
    def make_unit(self, waits):
        return CoreUnit(ARRAY, [product(TREE, 1, 8, 9, split=SPLIT_K) for _ in waits], waits, core_params(STRATUM))


class TestVectorUnit(UnitKit):
    def make_unit(self, waits):
        return CoreUnit(VECTOR, [elements(40) for _ in waits], waits, core_params())


class TestDataMover(UnitKit):
    def make_unit(self, waits):
        rows = [instruction(MOVE, STREAM, table=0) for _ in waits]  # of no rows: the banks are not on the bench
        return CoreUnit(MOVE, rows, waits, core_params())


class TestSendUnitClockwise(UnitKit):
    unit, direction = SEND_0, 0

    def make_unit(self, waits):
        fields = {"m": 2, "bytes": 40, "a_ld": 64, "imm": self.direction, "signal": FROM + 1}
        rows = [instruction(self.unit, SEND, **fields) for _ in waits]
        return CoreUnit(self.unit, rows, waits, core_params())


class TestSendUnitCounterClockwise(TestSendUnitClockwise):
    unit, direction = SEND_1, 1


class Sleeper(CoreUnit):
    """A unit whose wakes are late."""

    def step(self, now):
        return max(super().step(now), now + 3)


class SleeperKit(UnitKit):
    def make_unit(self, waits):
        return Sleeper(VECTOR, [elements(40) for _ in waits], waits, core_params())


@pytest.mark.parametrize(
    "clause", ["a_visit_on_every_edge_gives_the_same_completions_and_accounts", "nothing_happens_between_the_wakes"]
)
def test_the_kit_finds_a_unit_that_sleeps_too_long(clause):
    with pytest.raises(AssertionError):
        getattr(SleeperKit(), f"test_{clause}")()
