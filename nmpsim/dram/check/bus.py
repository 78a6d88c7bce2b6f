"""Bus rules: one command per bus and tick, commands of several ticks, and the edges of half-clock protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nmpsim.dram.check.commands import Integers, Replay, touched
from nmpsim.dram.check.violation import BUS, COLUMN_EDGE, PAIRING, ROW_EDGE, Violation


@dataclass(frozen=True)
class BusRule:
    """Where the command buses are.

    Parameters
    ----------
    level : str
        Every node of this level has its own: ``Channel``, or ``Bank`` where each bank has a sequencer.
    split : bool
        True: a row bus and a column bus; False: one bus for both.
    """

    level: str = "Channel"
    split: bool = True


def check_buses(replay: Replay, rule: BusRule) -> Iterator[tuple[int, Violation]]:
    """Yield (command, violation) of the bus rules; fills `replay.earliest`.

    Parameters
    ----------
    replay : Replay
        The trace; its `earliest` is raised (changed).
    rule : BusRule
        Where the buses are.
    """
    commands = replay.protocol.commands
    touches = replay.touched(replay.depth(rule.level))
    is_column = replay.per_command([command.moves_data for command in commands])
    bus = touches.node * 2 + (is_column[touches.command] if rule.split else 0)
    buses = touched(bus, touches.command)
    free = replay.clock + replay.per_command([command.ticks for command in commands])
    free_at = np.where(replay.issued, free, 0)[buses.command]
    # the latest end so far, bus by bus: a bus starts above all ends of the one before it
    above = int(free.max(initial=0)) + 1
    latest = np.maximum.accumulate(free_at + buses.node * above)
    place = np.arange(len(latest))
    ended = np.where(latest == free_at + buses.node * above, place, -1)
    holder = np.maximum.accumulate(ended)
    before = np.concatenate((np.full(1, -1, np.int64), holder[:-1]))[: len(holder)]
    known = before >= buses.start
    bound = np.where(known, free_at[before], 0)
    np.maximum.at(replay.earliest, buses.command, bound)
    late = replay.issued[buses.command] & (replay.clock[buses.command] < bound)
    for touch in np.flatnonzero(late).tolist():
        index, earlier = int(buses.command[touch]), int(buses.command[before[touch]])
        yield index, _violation(replay, BUS, index, int(bound[touch]), earlier)
    if replay.protocol.half_clock_edges:
        yield from _check_edges(replay, rule, is_column)


def _check_edges(replay: Replay, rule: BusRule, is_column: Integers) -> Iterator[tuple[int, Violation]]:
    """Yield violations of the edges: columns rise, only precharges fall, and a precharge minds its pair.

    The pairing edge is the first tick after the last row command of a rising edge.  There a precharge is legal for
    another pseudo channel; for the same one only PREpb, to another bank, after a command for one bank
    (Ramulator 2.1, c5b1c3a, HBM3/4 controller).
    """
    commands = replay.protocol.commands
    falls = replay.issued & (replay.clock % 2 == 0)
    closes = replay.per_command([command.effect == "close" for command in commands]) == 1
    for broken, name in ((is_column == 1, COLUMN_EDGE), ((is_column == 0) & ~closes, ROW_EDGE)):
        for index in np.flatnonzero(falls & broken).tolist():
            yield index, _violation(replay, name, index, int(replay.clock[index]) + 1)
    channel = replay.ancestor(replay.depth(rule.level))
    depth = replay.depth("PseudoChannel")
    pseudo = np.where(replay.depths < depth, -1, replay.ancestor(depth))  # -1: all of its channel
    ticks = replay.per_command([command.ticks for command in commands])
    is_wide = replay.per_command([command.level != replay.protocol.levels[-1] for command in commands])
    rising: dict[int, int] = {}
    for index in np.flatnonzero((is_column == 0) & replay.issued).tolist():
        if not falls[index]:
            rising[int(channel[index])] = index
            continue
        last = rising.get(int(channel[index]), -1)
        if not closes[index] or last < 0 or replay.clock[index] != replay.clock[last] + ticks[last]:
            continue
        same_bank = replay.address(index) == replay.address(last)
        same_pseudo = pseudo[index] == pseudo[last] or min(pseudo[index], pseudo[last]) < 0
        if same_pseudo and (is_wide[index] or is_wide[last] or same_bank):
            yield index, _violation(replay, PAIRING, index, int(replay.clock[index]) + 1, last)


def _violation(replay: Replay, rule: str, index: int, earliest: int, earlier: int = -1) -> Violation:
    name = replay.name(index)
    pair = f"{replay.name(earlier)}-{name}" if earlier >= 0 else name
    since = int(replay.clock[earlier]) if earlier >= 0 else -1
    return Violation(rule, "", pair, replay.address(index), int(replay.clock[index]), earliest, since)
