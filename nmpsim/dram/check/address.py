"""Address rules: known commands, wildcards below the level of the command and nowhere else, indices in range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.check.commands import CommandColumns, kinds_of
from nmpsim.dram.check.violation import ADDRESS, BEFORE_START, UNKNOWN, WILDCARD, Violation
from nmpsim.spec.protocol import Protocol


def check_addresses(
    protocol: Protocol, trace: CommandColumns
) -> tuple[NDArray[np.bool_], Iterator[tuple[int, Violation]]]:
    """Return which commands can be replayed, and the violations of all.

    A command cannot be replayed if it is unknown, or its place or time does not exist.  A wrong row or column is
    reported and replayed.

    Parameters
    ----------
    protocol : Protocol
        Levels and sizes.
    trace : CommandColumns
        Any trace.
    """
    kind = kinds_of(protocol, trace)
    own = np.array([protocol.levels.index(command.level) for command in protocol.commands] + [0], np.int64)[kind]
    depth = np.arange(len(protocol.levels))
    below = depth[None, :] > own[:, None]
    known = kind >= 0
    wildcard = known & np.any(below != (trace.address == -1), axis=1)
    outside = known & np.any((trace.address < -1) | (trace.address >= np.array(protocol.sizes)), axis=1)
    opens = np.array([command.effect == "open" for command in protocol.commands] + [False])[kind]
    moves = np.array([command.moves_data for command in protocol.commands] + [False])[kind]
    bad_row = (trace.row < -1) | (trace.row >= protocol.rows) | ((opens | moves) & (trace.row < 0))
    bad_column = (trace.column < -1) | (trace.column >= protocol.columns) | (moves & (trace.column < 0))
    out_of_range = outside | (known & (bad_row | bad_column))

    too_soon = trace.clock < 0
    rules = ((UNKNOWN, ~known), (WILDCARD, wildcard & ~outside), (ADDRESS, out_of_range), (BEFORE_START, too_soon))

    def found() -> Iterator[tuple[int, Violation]]:
        for rule, mask in rules:
            for index in np.flatnonzero(mask).tolist():
                yield index, _violation(rule, trace, index)

    return known & ~wildcard & ~outside & ~too_soon, found()


def _violation(rule: str, trace: CommandColumns, index: int) -> Violation:
    code = int(trace.command[index])
    name = trace.names[code] if 0 <= code < len(trace.names) else f"command {code}"
    address = tuple(int(place) for place in trace.address[index])
    return Violation(rule, "", name, address, int(trace.clock[index]))
