"""State rules: which row each bank has open, and what that forbids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nmpsim.dram.check.commands import Integers, Replay, Touched
from nmpsim.dram.check.violation import ACT_OPEN, COLUMN_CLOSED, PRE_CLOSED, REF_OPEN, WRONG_ROW, Violation

OPENS, CLOSES = 1, 2


def _bank_touches(replay: Replay) -> Touched:
    return replay.touched(len(replay.protocol.levels) - 1)


def _effects(replay: Replay) -> Integers:
    """Return what each command of the trace does to its banks: OPENS, CLOSES or 0."""
    codes = {"open": OPENS, "close": CLOSES, "none": 0}
    return replay.per_command([codes[command.effect] for command in replay.protocol.commands])


def tier_of_touch(replay: Replay) -> tuple[Integers, Touched]:
    """Return, for every touch of a bank, the tier of the row opened last, an ACT's own included; 0 before any ACT.

    Parameters
    ----------
    replay : Replay
        The trace.
    """
    banks = _bank_touches(replay)
    opens = _effects(replay)[banks.command] == OPENS
    last = np.maximum.accumulate(np.where(opens, np.arange(len(opens)), -1))
    row = np.where(last >= banks.start, replay.trace.row[banks.command[last]], 0)
    return np.maximum(row, 0) // replay.protocol.rows_per_tier, banks


def open_banks(replay: Replay) -> tuple[Integers, Integers, Touched]:
    """Return, for every touch of a bank, the row open before it (-1 = closed), and the command that made it so (or -1).

    Parameters
    ----------
    replay : Replay
        The trace.
    """
    banks = _bank_touches(replay)
    effect = _effects(replay)[banks.command]
    place = np.arange(len(effect))
    upto = np.maximum.accumulate(np.where((effect != 0) & replay.issued[banks.command], place, -1))
    last = np.concatenate((np.full(1, -1, np.int64), upto[:-1]))[: len(upto)]
    known = last >= banks.start
    maker = np.where(known, banks.command[last], -1)
    row = np.where(known & (effect[last] == OPENS), replay.trace.row[maker], -1)
    return row, maker, banks


def check_banks(replay: Replay, *, strict: bool) -> Iterator[tuple[int, Violation]]:
    """Yield (command, violation) of the state rules; a command for many banks is named once per rule.

    Parameters
    ----------
    replay : Replay
        The trace.
    strict : bool
        True: a precharge must find at least one of its banks open.
    """
    row, maker, banks = open_banks(replay)
    command = banks.command
    is_open = np.zeros(len(row), bool)
    made = maker >= 0
    is_open[made] = _effects(replay)[maker[made]] == OPENS  # also a row out of range, which is reported elsewhere
    opens = _effects(replay)[command] == OPENS
    moves = replay.per_command([kind.moves_data for kind in replay.protocol.commands])[command] == 1
    refreshes = ~moves & (_effects(replay)[command] == 0)
    closes = (_effects(replay)[command] == CLOSES) & ~moves
    some_open = np.zeros(len(replay.trace), bool)
    some_open[command[is_open]] = True
    rules = [
        (ACT_OPEN, opens & is_open),
        (COLUMN_CLOSED, moves & ~is_open),
        (WRONG_ROW, moves & is_open & (replay.trace.row[command] != row)),
        (REF_OPEN, refreshes & is_open),
    ]
    if strict:
        rules.append((PRE_CLOSED, closes & ~some_open[command]))
    for rule, broken in rules:
        reported = set()
        for touch in np.flatnonzero(broken & replay.issued[command]).tolist():
            index = int(command[touch])
            if index not in reported:
                reported.add(index)
                yield index, _violation(replay, rule, index, int(maker[touch]))


def _violation(replay: Replay, rule: str, index: int, earlier: int) -> Violation:
    name = replay.name(index)
    pair = f"{replay.name(earlier)}-{name}" if earlier >= 0 else name
    since = int(replay.clock[earlier]) if earlier >= 0 else -1
    return Violation(rule, "", pair, replay.address(index), int(replay.clock[index]), -1, since)
