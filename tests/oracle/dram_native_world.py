"""Who posts runs, supplies write data and takes beats in the oracle of the native DRAM controller.

From docs/seams/memory-port.md alone; see tests/oracle/dram_native.py.  All times are ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sortedcontainers import SortedList

if TYPE_CHECKING:
    from tests.oracle.dram_native import Bank

FOREVER = 10**15


@dataclass
class Run:
    """What a poster wants to post: from tick `post_at` on, to be seen `delay` ticks after it was posted."""

    post_at: int = 0
    delay: int = 1
    first_row: int = 0
    rows: int = 1
    row_stride: int = 1
    first_column: int = 0
    columns: int = 1
    is_write: int = 0
    ready_at: int = FOREVER  # stamped by `World`


@dataclass
class World:
    """Poster, eater and writer of one bank; each does at most one thing at a tick of its clock.  Lists may grow."""

    runs: list[Run] = field(default_factory=list)
    eat_delay: dict[int, int] = field(default_factory=dict)  # beat: ticks from when it could be taken
    datum_delay: dict[int, int] = field(default_factory=dict)  # datum: ticks it is late
    posted: int = 0
    eaten: int = 0
    last_eaten_at: int = 0

    def step(self, now: int, bank: Bank) -> None:
        self.post(now, bank)
        self.supply(now, bank)
        self.eat(now, bank)

    def post(self, now: int, bank: Bank) -> None:
        if self.posted < len(self.runs) and self.runs[self.posted].post_at <= now and bank.queue.free(now):
            run = self.runs[self.posted]
            run.ready_at = now + run.delay
            bank.queue.used += 1
            bank.runs.append(run)
            self.posted += 1
            bank.oracle.agenda.update((run.ready_at, now + 1))

    def supply(self, now: int, bank: Bank) -> None:
        wanted = sum(run.rows * run.columns for run in bank.runs if run.is_write)
        if bank.write_places.used < wanted and bank.write_places.free(now):
            bank.datum_at.append(now + 1 + self.datum_delay.get(bank.write_places.used, 0))
            bank.write_places.used += 1
            bank.oracle.agenda.update((bank.datum_at[-1], now + 1))

    def eat(self, now: int, bank: Bank) -> None:
        if self.eaten < len(bank.beat_at):
            eat_at = max(bank.beat_at[self.eaten], self.last_eaten_at) + self.eat_delay.get(self.eaten, 0)
            bank.oracle.agenda.add(eat_at)
            if eat_at <= now:
                self.take(now, bank)

    def take(self, now: int, bank: Bank) -> None:
        free_at = now + bank.params.nCREDIT * bank.oracle.period
        bank.landing.release(free_at)
        self.eaten += 1
        self.last_eaten_at = now
        bank.oracle.agenda.update((now + 1, free_at))


class Places:
    """Places of a queue: some are in use, some of those already have a stamp from which they are free."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.used, self.stamps = capacity, 0, SortedList()

    def free(self, now: int) -> int:
        return self.capacity - self.used + self.stamps.bisect_right(now)

    def release(self, free_at: int) -> None:
        self.stamps.add(free_at)
