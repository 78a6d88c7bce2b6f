"""The whole check: one pass per rule over the sorted trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmpsim.dram.check.address import check_addresses
from nmpsim.dram.check.bank import check_banks
from nmpsim.dram.check.bus import BusRule, check_buses
from nmpsim.dram.check.commands import CommandColumns, Integers, Replay, columns_of
from nmpsim.dram.check.refresh import RefreshRule, check_refresh
from nmpsim.dram.check.table import check_table
from nmpsim.dram.check.violation import Violation
from nmpsim.spec.protocol import IssuedCommand, Protocol


def check_commands(
    trace: Sequence[IssuedCommand] | CommandColumns,
    protocol: Protocol,
    *,
    bus: BusRule | None = None,
    refresh: RefreshRule | None = None,
    until: int = 0,
    strict: bool = False,
    beyond_peer: bool = True,
) -> list[Violation]:
    """Return every violation in a command trace, in order of time.

    Parameters
    ----------
    trace : sequence of IssuedCommand, or CommandColumns
        Any order between ticks; the order of issue within one.
    protocol : Protocol
        The table, levels and commands.
    bus : BusRule or None
        Where the command buses are; None: a row bus and a column bus at the root.
    refresh : RefreshRule or None
        When refreshes are due; None: refreshes are free to come or not.
    until : int
        With `refresh`, those missing before this tick are found too; 0 = not.
    strict : bool
        True: a precharge of banks that are all closed is a violation.
    beyond_peer : bool
        False: leave out the rows that Ramulator 2.1 does not have, to check a trace of that controller.
    """
    columns = trace if isinstance(trace, CommandColumns) else columns_of(trace, len(protocol.levels))
    columns = columns.take(np.argsort(columns.clock, kind="stable"))
    placed, at_fault = check_addresses(protocol, columns)
    found = [(index, 0, violation) for index, violation in at_fault]
    kept = np.flatnonzero(placed)
    ask = _last_refreshes(protocol, refresh, until, columns) if refresh is not None and until else None
    valid = columns.take(kept)
    replay = Replay(protocol, valid if ask is None else _joined(valid, ask), 0 if ask is None else len(ask))
    rules = [
        check_buses(replay, bus or BusRule(protocol.levels[0])),
        check_table(replay, beyond_peer=beyond_peer),
        check_banks(replay, strict=strict),
    ]
    if refresh is not None:
        rules.append(check_refresh(replay, refresh, until))
    for order, violations in enumerate(rules, 1):
        for index, violation in violations:
            place = int(kept[index]) if index < len(kept) else len(columns) + index
            found.append((place, order, violation))
    found.sort(key=lambda item: (item[2].cycle, *item[:2]))
    return [violation for _, _, violation in found]


def _last_refreshes(protocol: Protocol, refresh: RefreshRule, until: int, trace: CommandColumns) -> CommandColumns:
    """Return one refresh of every node after all others: what is asked about the end of the trace."""
    depth = protocol.levels.index(refresh.level)
    sizes = protocol.sizes[: depth + 1]
    nodes = int(np.prod(sizes, dtype=np.int64))
    address = np.full((nodes, len(protocol.levels)), -1, np.int64)
    address[:, : depth + 1] = np.stack(np.unravel_index(np.arange(nodes), sizes), axis=1)

    def all_at(value: int) -> Integers:
        return np.full(nodes, value, np.int64)

    last = max(until, int(trace.clock.max(initial=0)))
    return CommandColumns(all_at(last), all_at(0), address, all_at(-1), all_at(-1), all_at(-1), (refresh.command,))


def _joined(first: CommandColumns, second: CommandColumns) -> CommandColumns:
    """Return one trace after the other."""

    def both(field: str) -> Integers:
        return np.concatenate((getattr(first, field), getattr(second, field)))

    command = np.concatenate((first.command, second.command + len(first.names)))
    fields = (both("clock"), command, both("address"), both("row"), both("column"), both("port"))
    return CommandColumns(*fields, (*first.names, *second.names))
