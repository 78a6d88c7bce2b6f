"""Refresh rules: no refresh too early, none too late, none missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nmpsim.dram.check.bank import open_banks
from nmpsim.dram.check.commands import Integers, Replay, Touched
from nmpsim.dram.check.violation import ACT_AT_LIMIT, REF_EARLY, REF_LATE, Violation
from nmpsim.spec.protocol import Protocol


@dataclass(frozen=True)
class RefreshRule:
    """When the refreshes of every node of a level fall due, and how far they may stray.

    Refresh n = 1, 2, ... of a node falls due at ``first + (n - 1) * interval``; its limit is `postpone` intervals
    later.

    Parameters
    ----------
    command : str
        The refresh command that counts.
    level : str
        Level of the nodes, that of the command.
    interval : int
        Ticks.
    first : tuple of int
        When refresh 1 of the nodes falls due, counted through the level and repeated; ticks.
    postpone, pull_in : int
        Refreshes that may be owed, and done ahead.
    delay : int or None
        Ticks that a refresh may come after its limit.  None: at the limit, or as soon as the other rules allow once its
        banks are closed, and no ACT at the limit or later (docs/dram/native.md).
    """

    command: str
    level: str
    interval: int
    first: tuple[int, ...]
    postpone: int = 0
    pull_in: int = 0
    delay: int | None = None


def all_bank_refresh(protocol: Protocol, delay: int) -> RefreshRule:
    """Return the rule of one REFab for each scope at every multiple of nREFI.

    Parameters
    ----------
    protocol : Protocol
        Has REFab and nREFI.
    delay : int
        Ticks that one may wait for the banks to close, and for other commands.
    """
    interval = protocol.timing["nREFI"]
    return RefreshRule("REFab", protocol.command("REFab").level, interval, (interval,), delay=delay)


def per_bank_refresh(protocol: Protocol, delay: int, *, scope: str = "PseudoChannel") -> RefreshRule:
    """Return the rule of one REFpb at every multiple of nREFIpb in each scope, bank by bank in tree order.

    Parameters
    ----------
    protocol : Protocol
        Has REFpb and nREFIpb.
    delay : int
        Ticks that one may wait.
    scope : str
        Scopes are refreshed side by side: every PseudoChannel in HBM3 and HBM4, the Channel in HBM2.
    """
    banks = int(np.prod(protocol.sizes[protocol.levels.index(scope) + 1 :], dtype=np.int64))
    interval = protocol.timing["nREFIpb"]
    first = tuple(interval * (bank + 1) for bank in range(banks))
    return RefreshRule("REFpb", "Bank", interval * banks, first, delay=delay)


def check_refresh(replay: Replay, rule: RefreshRule, until: int) -> Iterator[tuple[int, Violation]]:
    """Yield (command, violation) of a refresh rule, after the other rules have filled `replay.earliest`.

    Parameters
    ----------
    replay : Replay
        The trace; its virtual commands are one refresh of every node at the end, or none.
    rule : RefreshRule
        What is asked.
    until : int
        Refreshes missing before this tick are found; 0 = none.
    """
    depth = replay.depth(rule.level)
    refreshes = replay.touched(depth).where(replay.of(rule.command))
    due = _due(rule, refreshes.node, np.arange(len(refreshes.node)) - refreshes.start)
    limit = due + rule.postpone * rule.interval
    latest = np.maximum(limit, replay.earliest[refreshes.command]) if rule.delay is None else limit + rule.delay
    clock = replay.clock[refreshes.command]
    issued = replay.issued[refreshes.command]
    early = due - rule.pull_in * rule.interval
    for touch in np.flatnonzero(issued & (clock < early)).tolist():
        yield _found(replay, REF_EARLY, int(refreshes.command[touch]), int(early[touch]))
    for touch in np.flatnonzero(issued & (clock > latest)).tolist():
        yield _found(replay, REF_LATE, int(refreshes.command[touch]), int(latest[touch]))
    if rule.delay is None:
        yield from _acts_at_limit(replay, rule, refreshes.where(replay.issued))
    if until:
        waits = _closed_at_end(replay) if rule.delay is None else np.ones(len(replay.trace), bool)
        missing = ~issued & waits[refreshes.command] & (latest < until)
        for touch in np.flatnonzero(missing).tolist():
            index = int(refreshes.command[touch])
            yield (
                index,
                Violation(REF_LATE, "", rule.command, replay.address(index), until, int(latest[touch])),
            )


def _due(rule: RefreshRule, node: Integers, done: Integers) -> Integers:
    """Return when the refresh after `done` others of a node falls due; ticks."""
    return np.array(rule.first, np.int64)[node % len(rule.first)] + done * rule.interval


def _acts_at_limit(replay: Replay, rule: RefreshRule, refreshes: Touched) -> Iterator[tuple[int, Violation]]:
    opens = replay.per_command([command.effect == "open" for command in replay.protocol.commands]) == 1
    acts = np.flatnonzero(opens & replay.issued)
    node = replay.ancestor(replay.depth(rule.level))[acts]
    size = len(replay.trace) + 1
    keys = refreshes.node * size + refreshes.command
    done = np.searchsorted(keys, node * size + acts) - np.searchsorted(keys, node * size)
    limit = _due(rule, node, done) + rule.postpone * rule.interval
    for index in acts[replay.clock[acts] >= limit].tolist():
        yield _found(replay, ACT_AT_LIMIT, index, -1)


def _closed_at_end(replay: Replay) -> np.ndarray:
    """Return, for every virtual command, whether all its banks are closed; an open row is finished first."""
    _, maker, banks = open_banks(replay)
    opens = replay.per_command([command.effect == "open" for command in replay.protocol.commands]) == 1
    closed = np.ones(len(replay.trace), bool)
    closed[banks.command[(maker >= 0) & opens[maker]]] = False
    return closed


def _found(replay: Replay, rule: str, index: int, tick: int) -> tuple[int, Violation]:
    return index, Violation(rule, "", replay.name(index), replay.address(index), int(replay.clock[index]), tick)
