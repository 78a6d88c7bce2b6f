"""Legal traces around one row of a protocol's table, made from the definition alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from nmpsim.spec.protocol import IssuedCommand
from tests.unit.dram import definition

GAP = 100_000
"""Ticks after which nothing of the preparation binds any more."""


def names_of(row):
    """Every pair of commands that a row names."""
    return list(product(row.preceding, row.following))


class Scene:
    """A trace that grows command by command, each at the first tick that the definition allows."""

    def __init__(self, protocol, *, level=None, split=True):
        self.protocol, self.bus = protocol, {"level": level, "split": split}
        self.trace: list[IssuedCommand] = []
        self.now = 1
        self.precharge = next(c.name for c in protocol.commands if c.effect == "close" and c.level == "Bank")

    def is_legal(self, issued):
        trace = [*self.trace, issued]
        last = len(trace) - 1
        rows = (definition.bound(self.protocol, trace, row, last) for row in self.protocol.constraints)
        if any(tick is not None and issued.clock < tick for tick in rows):
            return False
        return not [
            *definition.broken_state_rules(self.protocol, trace, last),
            *definition.broken_bus_rules(self.protocol, trace, last, **self.bus),
        ]

    def earliest(self, issued):
        """First legal tick of a command, the trace being what it is."""
        last = max(self.now, self.trace[-1].clock if self.trace else 0)
        trace = [*self.trace, replace(issued, clock=last)]
        bounds = [definition.bound(self.protocol, trace, row, len(trace) - 1) for row in self.protocol.constraints]
        tick = max([last, *(tick for tick in bounds if tick is not None)])
        for clock in range(tick, tick + 8):
            if self.is_legal(replace(issued, clock=clock)):
                return clock
        raise AssertionError(f"no legal tick for {issued} after {self.trace}")

    def command(self, name, bank, *, row=0, clock=0, port=0):
        """A command to a bank, or to the scope that holds it."""
        kind = self.protocol.command(name)
        depth = definition.depth_of(self.protocol, kind.level)
        address = tuple(place if level <= depth else -1 for level, place in enumerate(bank))
        needs_row = kind.effect == "open" or kind.moves_data
        column, port = (0, port) if kind.moves_data else (-1, -1)
        return IssuedCommand(clock, name, address, row if needs_row else -1, column, port)

    def issue(self, issued):
        self.trace.append(replace(issued, clock=self.earliest(issued)))
        return self.trace[-1]

    def prepare(self, issued):
        """Bring the banks of a command into the state that it needs."""
        kind = self.protocol.command(issued.command)
        banks = sorted(definition.touched(self.protocol, issued, len(self.protocol.levels) - 1))
        rows = definition.open_rows(self.protocol, self.trace, len(self.trace))
        if kind.moves_data:
            if banks[0] in rows and rows[banks[0]] != issued.row:
                self.issue(self.command(self.precharge, banks[0]))
                rows.pop(banks[0])
            if banks[0] not in rows:
                self.issue(self.command("ACT", banks[0], row=issued.row))
        elif kind.effect != "close":
            for bank in banks:
                if bank in rows:
                    self.issue(self.command(self.precharge, bank))

    def rest(self):
        """Let so much time pass that no row binds."""
        last = self.trace[-1].clock if self.trace else 0
        self.now = last // 2 * 2 + GAP + 1


@cache
def all_banks(sizes):
    return tuple(product(*map(range, sizes)))


def banks_for(protocol, row):
    """Banks of the `window` preceding commands and of the following one, as far apart below the level as can be."""
    first = tuple(0 for _ in protocol.sizes)
    depth = len(protocol.levels) - 2 if row.level == "Port" else definition.depth_of(protocol, row.level)
    inside = [bank for bank in all_banks(protocol.sizes) if bank[: depth + 1] == first[: depth + 1]]
    if row.sibling:
        other = [bank for bank in all_banks(protocol.sizes) if bank[:depth] == first[:depth] and bank[depth] == 1]
        return [first] * row.window, other[0]
    # breadth first: neighbours differ in the level just below before they differ farther down
    inside.sort(key=lambda bank: tuple(reversed(bank[depth + 1 :])))
    chosen = [inside[i % len(inside)] for i in range(row.window + 1)]
    return chosen[: row.window], chosen[row.window]


@dataclass(frozen=True)
class Around:
    """A legal trace whose last command a row holds back, and the same one tick before the row allows it."""

    legal: list[IssuedCommand]
    early: list[IssuedCommand]
    earliest: int

    @property
    def in_order(self):
        """Whether one tick too early is still after all other commands."""
        return len(self.early) < 2 or self.early[-1].clock >= self.early[-2].clock


def around(protocol, row, first, second, *, tier=0, **bus):
    """The scene around one row: `window` times `first`, what `second` needs, then `second`."""
    scene = Scene(protocol, **bus)
    before, after = banks_for(protocol, row)
    tier_row = tier * protocol.rows_per_tier
    preceding = [scene.command(first, bank, row=tier_row) for bank in before]
    following = scene.command(second, after, row=tier_row)
    kind = protocol.command(first)
    for bank in dict.fromkeys(before):
        if kind.effect != "open":
            scene.issue(scene.command("ACT", bank, row=tier_row))
    for issued in preceding:
        scene.prepare(issued)
    depth = definition.depth_of(protocol, kind.level)
    if all(bank[: depth + 1] != after[: depth + 1] for bank in before):
        scene.prepare(following)
    scene.rest()
    for issued in preceding:
        scene.prepare(issued)
        scene.issue(issued)
    scene.prepare(following)
    scene.issue(following)
    last = len(scene.trace) - 1
    earliest = definition.bound(protocol, scene.trace, row, last)
    early = [*scene.trace[:-1], replace(scene.trace[-1], clock=earliest - 1)]
    return Around(scene.trace, early, earliest)
