"""Conformance kit of the Unit seam: what every unit of a core must satisfy, see docs/seams/unit.md.

Derive a test class from `UnitKit`, give it a `make_unit` that returns a `Unit`, and pytest does the rest::

    class TestMyUnit(UnitKit):
        def make_unit(self, waits):
            return MyUnit(waits, ...)

The kit knows nothing about what the instructions of a unit do: it speaks of queues, counts, cycles and wakes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

NEVER = 2**62

Waits = Sequence[int]
"""For every instruction in program order: the count that the outside semaphore must have reached, 0 = none."""


class Unit(ABC):
    """One unit under test, alone in a core; its instructions are dispatched one a cycle from cycle 0 on.

    All instructions are small and of the same kind; operands that come from outside are there from the start.
    """

    patience: int  # cycles after which an instruction that could start must be complete
    period: int  # ticks of a cycle

    @abstractmethod
    def step(self, now: int) -> int:
        """Visit the core at the clock edge `now`; return its wake."""

    @abstractmethod
    def count_outside(self) -> None:
        """Let the outside semaphore grow by one: the unit sees it in the next visit."""

    @property
    @abstractmethod
    def taken(self) -> int:
        """Instructions taken from the queue since the start."""

    @property
    @abstractmethod
    def signalled(self) -> int:
        """Instructions that the unit has signalled as complete, in the cycle of the completion."""

    @property
    @abstractmethod
    def visible(self) -> int:
        """Completed instructions that other units see."""

    @property
    @abstractmethod
    def reason(self) -> str:
        """What the unit spends the last stepped cycle on."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """All registers that a visit may change, but for those that count visits."""

    @abstractmethod
    def accounted(self, now: int) -> int:
        """Close the accounts at tick `now` and return the sum of the unit's reasons; ticks."""


class Driver:
    """Visits a unit when its wake has come."""

    def __init__(self, unit: Unit, *, every_edge: bool = False, quiescent: bool = False) -> None:
        self.unit, self.every_edge, self.quiescent = unit, every_edge, quiescent
        self.now = self.wake = self.visits = 0
        self.history: list[tuple[int, int]] = []  # (signalled, visible) after every cycle

    def count_outside(self) -> None:
        self.unit.count_outside()
        self.wake = min(self.wake, self.now)

    def run(self, cycles: int) -> None:
        """Let cycles pass."""
        for _ in range(cycles):
            if self.every_edge or self.wake <= self.now:
                self.visits += 1
                self.wake = self.unit.step(self.now)
                assert self.wake > self.now, "a wake lies strictly in the future"
            elif self.quiescent:
                before = self.unit.snapshot()
                assert self.unit.step(self.now) >= self.wake
                assert self.unit.snapshot() == before, f"acted at {self.now} before its wake {self.wake}"
            self.history.append((self.unit.signalled, self.unit.visible))
            self.now += self.unit.period


class UnitKit(ABC):
    """The contract, one clause per test."""

    @abstractmethod
    def make_unit(self, waits: Waits) -> Unit:
        """Return a fresh unit with one instruction per element of `waits`."""

    def test_every_instruction_is_taken_and_completed_once(self):
        unit = self.make_unit([0, 0, 0])
        Driver(unit).run(4 * unit.patience)
        assert (unit.taken, unit.signalled, unit.visible) == (3, 3, 3)
        assert unit.reason == "queue_empty"

    def test_an_instruction_is_not_taken_in_the_cycle_of_its_dispatch(self):
        unit = self.make_unit([0])
        driver = Driver(unit)
        driver.run(1)
        assert unit.taken == 0
        assert unit.reason == "queue_empty"
        driver.run(1)
        assert unit.taken == 1

    def test_an_instruction_waits_for_its_count_and_starts_in_the_cycle_that_sees_it(self):
        unit = self.make_unit([2])
        driver = Driver(unit)
        driver.run(unit.patience)
        assert (unit.taken, unit.reason) == (0, "wait_semaphore")
        driver.count_outside()
        driver.run(unit.patience)
        assert (unit.taken, unit.reason) == (0, "wait_semaphore")
        driver.count_outside()
        driver.run(1)
        assert unit.taken == 1
        driver.run(unit.patience)
        assert unit.signalled == 1

    def test_no_instruction_overtakes_one_that_waits(self):
        unit = self.make_unit([0, 1, 0])
        driver = Driver(unit)
        driver.run(3 * unit.patience)
        assert (unit.taken, unit.signalled) == (1, 1)
        driver.count_outside()
        driver.run(3 * unit.patience)
        assert (unit.taken, unit.signalled) == (3, 3)

    def test_a_count_that_was_reached_stays_reached(self):
        unit = self.make_unit([1, 1, 1])
        driver = Driver(unit)
        driver.count_outside()
        driver.run(4 * unit.patience)
        assert unit.signalled == 3

    def test_completions_come_one_by_one_and_are_seen_a_cycle_later(self):
        unit = self.make_unit([0, 0, 0, 0])
        driver = Driver(unit, every_edge=True)
        driver.run(5 * unit.patience)
        signalled, visible = ([0, *counts] for counts in zip(*driver.history, strict=True))
        assert all(0 <= later - earlier <= 1 for earlier, later in pairwise(signalled))
        assert visible[1:] == signalled[:-1]
        assert visible[-1] == 4

    def test_a_unit_that_waits_for_others_sleeps(self):
        unit = self.make_unit([1])
        driver = Driver(unit)
        driver.run(unit.patience)
        assert driver.wake >= NEVER
        done = self.make_unit([0])
        driver = Driver(done)
        driver.run(2 * done.patience)
        assert driver.wake >= NEVER

    def test_nothing_happens_between_the_wakes(self):
        unit = self.make_unit([0, 1, 0])
        driver = Driver(unit, quiescent=True)
        driver.run(2 * unit.patience)
        driver.count_outside()
        driver.run(3 * unit.patience)
        assert unit.signalled == 3

    def test_a_visit_on_every_edge_gives_the_same_completions_and_accounts(self):
        seen = []
        for every_edge in (False, True):
            unit = self.make_unit([0, 1, 0])
            driver = Driver(unit, every_edge=every_edge)
            driver.run(2 * unit.patience)
            driver.count_outside()
            driver.run(3 * unit.patience)
            assert unit.accounted(driver.now) == driver.now
            seen.append((driver.history, unit.reason, driver.visits))
        assert seen[0][:2] == seen[1][:2]
        assert seen[0][2] < seen[1][2]
