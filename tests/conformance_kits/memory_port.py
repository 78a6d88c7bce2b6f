"""Conformance kit of the MemoryPort seam: what every implementation of docs/seams/memory-port.md must satisfy.

Derive a test class from `MemoryPortKit`, give it a `make_port` that returns a `Port`, and pytest does the rest::

    class TestMyPort(MemoryPortKit):
        def make_port(self):
            return MyPort(...)

The kit knows nothing about commands or timing tables: it speaks of runs, beats, credits and stamps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

NEVER = 2**62


class Beat(NamedTuple):
    """The beat at the head of a landing FIFO."""

    ready_at: int
    target: int
    token: int


class Port(ABC):
    """One channel of memory ports under test; all times in ticks, clock edges are the multiples of `period`."""

    banks: int  # ports
    columns: int  # columns of a row
    landing: int  # beats a landing FIFO holds
    run_queue: int  # runs a port queues
    period: int  # ticks
    patience: int  # ticks after which a port that could go on must have done so

    @abstractmethod
    def run_space_at(self, bank: int) -> int:
        """Tick at which one more run can be posted."""

    @abstractmethod
    def post(self, bank: int, ready_at: int, **fields: int) -> None:
        """Post a run; `fields` are those of RUN, absent ones 0, row_stride 1."""

    @abstractmethod
    def expect(self, token: int, beats: int) -> None:
        """Tell the port how many write beats a token waits for."""

    @abstractmethod
    def done_at(self, token: int) -> int:
        """Tick at which all write beats of a token are done; NEVER while unknown."""

    @abstractmethod
    def datum_space_at(self, bank: int) -> int:
        """Tick at which one more write datum can be supplied."""

    @abstractmethod
    def supply(self, bank: int, ready_at: int) -> None:
        """Supply the next write datum of a bank, at its port from `ready_at` on."""

    @abstractmethod
    def head(self, bank: int) -> Beat | None:
        """The beat at the head; None while it is unknown."""

    @abstractmethod
    def pop(self, bank: int, free_at: int) -> None:
        """Take the beat at the head; its place is free from `free_at` on."""

    @abstractmethod
    def step(self, now: int) -> int:
        """Visit the port at the clock edge `now`; return its wake."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """All state that a visit may change."""


@dataclass
class Driver:
    """Visits a port when its wake has come and keeps the wake by the rules of the seam."""

    port: Port
    now: int = 0
    wake: int = 0
    quiescent: bool = False  # also visit between the wakes, and require that nothing changes

    def __post_init__(self) -> None:
        self.taken: dict[int, list[tuple[int, Beat]]] = {bank: [] for bank in range(self.port.banks)}

    def post(self, bank: int, delay: int = 1, **fields: int) -> None:
        self.port.post(bank, self.now + delay, **fields)
        self.wake = min(self.wake, self.now + delay)

    def supply(self, bank: int, delay: int = 1) -> None:
        self.port.supply(bank, self.now + delay)
        self.wake = min(self.wake, self.now + delay)

    def pop(self, bank: int, delay: int = 1) -> None:
        beat = self.port.head(bank)
        assert beat is not None
        assert beat.ready_at <= self.now
        self.port.pop(bank, self.now + delay)
        self.taken[bank].append((self.now, beat))
        self.wake = min(self.wake, self.now + delay)

    def run(self, ticks: int, *, eaters: tuple[int, ...] = (), gap: int = 0, credit: int = 1) -> None:
        """Let time pass; `eaters` are the banks whose beats are taken, `gap` ticks or more apart.

        The place of a beat is free again `credit` ticks after it was taken.
        """
        end = self.now + ticks
        while self.now < end:
            if self.now % self.port.period == 0:
                if self.wake <= self.now:
                    unknown = [bank for bank in range(self.port.banks) if self.port.head(bank) is None]
                    self.wake = self.port.step(self.now)
                    assert self.wake > self.now, "a wake lies strictly in the future"
                    for bank in unknown:
                        beat = self.port.head(bank)
                        assert beat is None or beat.ready_at > self.now, "a new stamp lies strictly in the future"
                elif self.quiescent:
                    before = self.port.snapshot()
                    self.port.step(self.now)
                    assert self.port.snapshot() == before, f"acted at tick {self.now} before its wake {self.wake}"
            for bank in eaters:
                beat = self.port.head(bank)
                last = self.taken[bank][-1][0] if self.taken[bank] else -gap
                if beat is not None and beat.ready_at <= self.now and last + gap <= self.now:
                    self.pop(bank, credit)
            self.now += 1

    def targets(self, bank: int) -> list[int]:
        return [beat.target for _, beat in self.taken[bank]]


class MemoryPortKit(ABC):
    """The contract, one clause per test."""

    @abstractmethod
    def make_port(self) -> Port:
        """Return a fresh port: at least 2 banks, 4 columns, landing space for 2 rows or less than 8 rows, 2 runs."""

    def drive(self) -> tuple[Port, Driver]:
        port = self.make_port()
        return port, Driver(port)

    def test_every_beat_comes_once_and_in_order(self):
        port, driver = self.drive()
        driver.post(
            0, first_row=5, rows=3, row_stride=-2, first_column=1, columns=2, target=11, target_stride=8, token=3
        )
        driver.post(0, first_row=1, rows=1, columns=3, target=0, target_stride=8, token=4)
        driver.run(10 * port.patience, eaters=(0,))
        assert driver.targets(0) == [11, 19, 27, 35, 43, 51, 0, 0, 0]
        assert [beat.token for _, beat in driver.taken[0]] == [3] * 6 + [4] * 3
        assert port.head(0) is None

    def test_one_beat_per_cycle_at_most(self):
        port, driver = self.drive()
        driver.post(0, rows=4, columns=port.columns)
        driver.run(10 * port.patience, eaters=(0,))
        stamps = [beat.ready_at for _, beat in driver.taken[0]]
        assert len(stamps) == 4 * port.columns
        assert all(later - earlier >= port.period for earlier, later in pairwise(stamps))

    def test_a_run_is_invisible_before_its_stamp(self):
        port, driver = self.drive()
        driver.post(0, delay=20 * port.period, rows=1, columns=1)
        driver.wake = 0  # an early visit is allowed and changes nothing
        driver.run(20 * port.period)
        assert port.head(0) is None
        driver.run(port.patience)
        assert port.head(0) is not None
        assert port.head(0).ready_at > 20 * port.period

    def test_an_eater_that_stands_still_stops_its_bank_after_the_landing_space_and_no_other_bank(self):
        port, driver = self.drive()
        rows = port.landing // port.columns + 2
        for bank in (0, 1):
            driver.post(bank, rows=rows, columns=port.columns)
        driver.run(10 * port.patience, eaters=(1,))
        assert len(driver.taken[1]) == rows * port.columns
        stood_until = driver.now
        whole_rows = port.landing // port.columns * port.columns
        driver.run(10 * port.patience, eaters=(0,))
        assert len(driver.taken[0]) == rows * port.columns
        stamps = [beat.ready_at for _, beat in driver.taken[0]]
        assert all(stamp <= stood_until for stamp in stamps[:whole_rows])
        assert all(stamp > stood_until for stamp in stamps[whole_rows:])

    def test_no_beat_is_ready_before_the_place_it_lands_in_is_free(self):
        port, driver = self.drive()
        driver.post(0, rows=6, columns=port.columns)
        credit = 2 * port.patience
        driver.run(40 * port.patience, eaters=(0,), gap=port.period, credit=credit)
        taken = driver.taken[0]
        assert len(taken) == 6 * port.columns
        for number in range(port.landing, len(taken)):
            popped_at, _ = taken[number - port.landing]
            assert taken[number][1].ready_at > popped_at + credit

    def test_the_queue_of_runs_is_finite_and_frees_its_slots(self):
        port, driver = self.drive()
        for _ in range(port.run_queue):
            assert port.run_space_at(0) <= driver.now
            driver.post(0, delay=30 * port.period, rows=1, columns=1)
        assert port.run_space_at(0) >= NEVER
        driver.run(30 * port.period)
        assert port.run_space_at(0) >= NEVER
        driver.run(port.patience, eaters=(0,))
        assert 30 * port.period < port.run_space_at(0) <= driver.now

    def test_writes_wait_for_their_data_and_finish_their_token(self):
        port, driver = self.drive()
        port.expect(5, 4)
        driver.post(1, rows=2, columns=2, is_write=1, token=5)
        for _ in range(3):
            driver.supply(1)
        driver.run(5 * port.patience)
        assert port.done_at(5) >= NEVER
        driver.supply(1, delay=7)
        last = driver.now + 7
        driver.run(port.patience)
        assert last < port.done_at(5) <= driver.now
        assert port.head(1) is None

    def test_write_places_come_back(self):
        port, driver = self.drive()
        port.expect(0, 3 * port.columns)
        driver.post(0, rows=3, columns=port.columns, is_write=1)
        supplied = 0
        for _ in range(20 * port.patience):
            if supplied < 3 * port.columns and port.datum_space_at(0) <= driver.now:
                driver.supply(0)
                supplied += 1
            driver.run(1)
        assert supplied == 3 * port.columns
        assert port.done_at(0) <= driver.now

    def test_data_beyond_the_write_places_find_no_space(self):
        port, driver = self.drive()
        supplied = 0
        while port.datum_space_at(0) <= driver.now:
            driver.supply(0)
            supplied += 1
            assert supplied <= 4096
        assert port.datum_space_at(0) >= NEVER

    def test_runs_of_a_bank_are_executed_in_order_of_posting(self):
        port, driver = self.drive()
        port.expect(2, 1)
        driver.post(0, rows=1, columns=1, is_write=1, token=2)
        driver.post(0, rows=1, columns=1, target=9)
        driver.run(5 * port.patience)
        assert port.head(0) is None  # the read stands behind a write without its datum
        driver.supply(0)
        driver.run(2 * port.patience)
        assert port.head(0).target == 9
        assert port.done_at(2) < port.head(0).ready_at

    def test_nothing_happens_between_the_wakes(self):
        port, driver = self.drive()
        driver.quiescent = True
        driver.post(0, rows=5, columns=port.columns)
        driver.post(1, delay=13, rows=1, columns=2)
        driver.run(20 * port.patience, eaters=(0, 1), gap=3)
        assert len(driver.taken[0]) == 5 * port.columns
        assert len(driver.taken[1]) == 2

    def test_a_visit_on_every_edge_gives_the_same_beats_and_writes(self):
        seen = []
        for every_edge in (False, True):
            port, driver = self.drive()
            port.expect(1, 2)
            for bank in (0, 1):
                driver.post(bank, delay=1 + 4 * bank, rows=4, columns=port.columns, target=1, target_stride=4)
            driver.post(1, rows=1, columns=2, is_write=1, token=1)
            for tick in range(20 * port.patience):
                if every_edge:
                    driver.wake = driver.now
                if tick in {3, 4 * port.patience}:
                    driver.supply(1, delay=9)
                driver.run(1, eaters=(0, 1), gap=2)
            seen.append((driver.taken, port.done_at(1)))
        assert seen[0] == seen[1]
        assert seen[0][1] < NEVER
