"""Independent checker: replays a command log against the parameters and the timing table, in plain Python.

It shares no code with channel.py: it keeps what was issued when and looks back, where the sequencer keeps what is
allowed from when and looks ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.spec.params import ACT, COMMANDS, PRE, RD, REF, WR, DramParams

CLOCK = "off the clock edge"
ONE_PER_CYCLE = "two commands of a bank in one cycle"
ACT_OPEN = "ACT to an open bank"
COLUMN_CLOSED = "column command to a closed bank"
WRONG_ROW = "command to another row than the open one"
PRE_CLOSED = "PRE of a closed bank"
REF_OPEN = "REFpb of an open bank"
ADDRESS = "address outside the bank"
ACCESS_SHAPE = "row access other than ACT, its columns in order, all RD or all WR, PRE"
SEPARATION = "separation"
RRD, FAW = "nRRD", "nFAW"
REF_OFF, REF_EARLY, REF_LATE, ACT_AT_LIMIT = (
    "REFpb with refresh off",
    "REFpb before it was due",
    "REFpb later than the postponement limit allows",
    "ACT by a bank that owes more than the postponement limit",
)
STATE_RULES = (ACT_OPEN, COLUMN_CLOSED, WRONG_ROW, PRE_CLOSED, REF_OPEN, ADDRESS, ACCESS_SHAPE)
TIME_RULES = (CLOCK, ONE_PER_CYCLE, SEPARATION, RRD, FAW)
REFRESH_RULES = (REF_OFF, REF_EARLY, REF_LATE, ACT_AT_LIMIT)
RULES = (*STATE_RULES, *TIME_RULES, *REFRESH_RULES)
"""Every rule the checker knows."""


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    Parameters
    ----------
    rule : str
        One of RULES.
    pair : str
        Earlier and offending command, as ``"ACT-RD"``; the offending one alone where no pair is concerned.
    channel, bank : int
        Where.
    cycle : int
        When; DRAM cycles.
    earliest : int
        Earliest legal cycle, or the latest one for REF_LATE; -1 where time would not make it legal.
    """

    rule: str
    pair: str
    channel: int
    bank: int
    cycle: int
    earliest: int = -1

    def __str__(self) -> str:
        limit = f"; {'latest' if self.rule == REF_LATE else 'earliest'} legal cycle {self.earliest}"
        return (
            f"channel {self.channel} bank {self.bank} cycle {self.cycle}: {self.pair}: {self.rule}"
            f"{limit if self.earliest >= 0 else ''}"
        )


@dataclass
class _BankHistory:
    """What the checker remembers of one bank."""

    issued: dict[tuple[int, int], int] = field(default_factory=dict)  # (command, tier) -> cycle of the latest
    last: tuple[int, int] | None = None  # command and cycle
    tier: int = 0
    open_row: int | None = None
    columns: list[int] = field(default_factory=list)  # columns still to come in the open row access
    kind: int | None = None  # RD or WR, once the row access has begun to move columns
    refreshes: int = 0


class _Checker:
    def __init__(self, params: DramParams, latency: NDArray[np.int64], period: int) -> None:
        self.params = params
        self.latency = latency.tolist()
        self.period = period
        self.banks: dict[tuple[int, int], _BankHistory] = {}
        self.activations: dict[int, list[int]] = {}
        self.found: list[Violation] = []

    def bank(self, channel: int, bank: int) -> _BankHistory:
        return self.banks.setdefault((channel, bank), _BankHistory())

    def earliest(self, bank: _BankHistory, command: int) -> tuple[int, int]:
        """Return the earliest legal cycle of a command by the separations, and the command that binds."""
        best, binding = 0, command
        for (previous, tier), cycle in bank.issued.items():
            separation = self.latency[tier][previous][command]
            if separation >= 0 and cycle + separation > best:
                best, binding = cycle + separation, previous
        return best, binding

    def due(self, bank: int, number: int) -> int:
        """Return the cycle at which refresh `number` (1, 2, ...) of a bank falls due."""
        return self.params.nREFI * number + self.params.nREFI * bank // self.params.banks

    def check(self, entry: Sequence[int]) -> None:
        tick, c, b, command, row, column, count = (int(value) for value in entry)
        cycle = tick // self.period
        bank = self.bank(c, b)
        name = COMMANDS[command]

        def broken(rule: str, earliest: int = -1, previous: int | None = None) -> None:
            pair = name if previous is None else f"{COMMANDS[previous]}-{name}"
            self.found.append(Violation(rule, pair, c, b, cycle, earliest))

        if tick % self.period:
            broken(CLOCK)
        if bank.last is not None and cycle <= bank.last[1]:
            broken(ONE_PER_CYCLE, bank.last[1] + 1, bank.last[0])
        earliest, binding = self.earliest(bank, command)
        if cycle < earliest:
            broken(SEPARATION, earliest, binding)
        if command == ACT:
            self.activate(bank, b, cycle, row, column, count, broken)
            self.check_budget(c, cycle, broken)
        elif command in {RD, WR}:
            self.move(bank, command, row, column, broken)
        elif command == PRE:
            if bank.open_row is None:
                broken(PRE_CLOSED)
            elif row != bank.open_row:
                broken(WRONG_ROW)
            elif bank.columns:
                broken(ACCESS_SHAPE)
            bank.open_row, bank.columns, bank.kind = None, [], None
        elif command == REF:
            self.refresh(bank, b, cycle, earliest, broken)
        bank.issued[command, bank.tier] = cycle
        bank.last = (command, cycle)

    def activate(self, bank: _BankHistory, b: int, cycle: int, row: int, column: int, count: int, broken: Any) -> None:
        if bank.open_row is not None:
            broken(ACT_OPEN)
        if not 0 <= row < self.params.rows or column < 0 or count < 1 or column + count > self.params.columns:
            broken(ADDRESS)
        if self.params.refresh and cycle >= self.due(b, bank.refreshes + 1 + self.params.postpone):
            broken(ACT_AT_LIMIT)
        bank.open_row = row
        bank.tier = min(max(row // self.params.rows_per_tier, 0), self.params.tiers - 1)
        bank.columns = list(range(column, column + count))
        bank.kind = None

    def check_budget(self, c: int, cycle: int, broken: Any) -> None:
        earlier = self.activations.setdefault(c, [])
        if self.params.nRRD and earlier and cycle < earlier[-1] + self.params.nRRD:
            broken(RRD, earlier[-1] + self.params.nRRD, ACT)
        if self.params.nFAW and len(earlier) >= 4 and cycle < earlier[-4] + self.params.nFAW:
            broken(FAW, earlier[-4] + self.params.nFAW, ACT)
        earlier.append(cycle)

    def move(self, bank: _BankHistory, command: int, row: int, column: int, broken: Any) -> None:
        if bank.open_row is None:
            broken(COLUMN_CLOSED)
        elif row != bank.open_row:
            broken(WRONG_ROW)
        elif not bank.columns or bank.columns[0] != column or bank.kind not in {None, command}:
            broken(ACCESS_SHAPE)
        bank.columns = bank.columns[1:]
        bank.kind = command

    def refresh(self, bank: _BankHistory, b: int, cycle: int, earliest: int, broken: Any) -> None:
        if bank.open_row is not None:
            broken(REF_OPEN)
        bank.refreshes += 1
        if not self.params.refresh:
            broken(REF_OFF)
            return
        if cycle < self.due(b, bank.refreshes):
            broken(REF_EARLY, self.due(b, bank.refreshes))
        latest = self.latest_refresh(bank, b, bank.refreshes, earliest)
        if cycle > latest:
            broken(REF_LATE, latest)

    def latest_refresh(self, bank: _BankHistory, b: int, number: int, earliest: int) -> int:
        """Return the last legal cycle of refresh `number` of a closed bank: the limit, or when timing allows it."""
        after_last = bank.last[1] + 1 if bank.last is not None else 0
        return max(self.due(b, number + self.params.postpone), earliest, after_last)

    def check_end(self, channels: int, until: int) -> None:
        """Find refreshes that should have been issued before cycle `until` and were not."""
        if not self.params.refresh:
            return
        for c in range(channels):
            for b in range(self.params.banks):
                bank = self.bank(c, b)
                if bank.open_row is not None:
                    continue  # an open row is finished first
                latest = self.latest_refresh(bank, b, bank.refreshes + 1, self.earliest(bank, REF)[0])
                if latest < until:
                    self.found.append(Violation(REF_LATE, COMMANDS[REF], c, b, until, latest))


def check_commands(
    log: Iterable[Sequence[int]],
    params: DramParams,
    latency: NDArray[np.int64],
    period: int,
    *,
    channels: int = 0,
    until: int = 0,
) -> list[Violation]:
    """Return every violation in a command log, in order of time.

    Parameters
    ----------
    log : iterable of LOG_ENTRY or of tuples
        ``(tick, channel, bank, command, row, column, count)`` in any order.
    params : DramParams
        One channel.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations, -1 = none; DRAM cycles.
    period : int
        DRAM clock period; ticks.
    channels, until : int
        With both given, refreshes missing before cycle `until` in `channels` channels are found too.
    """
    checker = _Checker(params, latency, period)
    entries = sorted((tuple(entry) for entry in log), key=lambda entry: entry[:3])
    for entry in entries:
        checker.check(entry)
    checker.check_end(channels, until)
    return checker.found
