"""Constraint rows: for every command that a row names as following, look back for the preceding ones.

The commands of a tick count in the order in which the trace has them.  With `window` w the row holds for every
preceding command that has at least w - 1 later ones before the following command; where all latencies are alike, that
is the w-th latest alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nmpsim.dram.check.bank import tier_of_touch
from nmpsim.dram.check.commands import Integers, Replay, Touched, touched
from nmpsim.dram.check.violation import NO_PORT, SEPARATION, Violation
from nmpsim.spec.protocol import Constraint

PORT = "Port"
"""Level of rows that hold per data port: the key is everything above Bank, and the port of the command."""


def row_text(row: Constraint) -> str:
    """Return a row as one short line.

    >>> row_text(Constraint("Bank", ("ACT",), ("RD", "RDA"), (14,), "nRCD"))
    'Bank: ACT to RD, RDA at least 14, nRCD'
    """
    what = f"{', '.join(row.preceding)} to {', '.join(row.following)}"
    window = f", {row.window} back" if row.window > 1 else ""
    sibling = ", siblings" if row.sibling else ""
    latency = "/".join(str(ticks) for ticks in row.latency)
    return f"{row.level}: {what}{window}{sibling} at least {latency}, {row.rule}"


def check_table(replay: Replay, *, beyond_peer: bool) -> Iterator[tuple[int, Violation]]:
    """Yield (command, violation) of every row; fills `replay.earliest`.

    Parameters
    ----------
    replay : Replay
        The trace; its `earliest` is raised (changed).
    beyond_peer : bool
        False: leave out the rows that Ramulator 2.1 does not have.
    """
    yield from _commands_without_port(replay)
    for row in replay.protocol.constraints:
        if beyond_peer or not row.beyond_peer:
            yield from _check_row(replay, row)


def _commands_without_port(replay: Replay) -> Iterator[tuple[int, Violation]]:
    names = {name for row in replay.protocol.constraints if row.level == PORT for name in row.preceding + row.following}
    for index in np.flatnonzero(replay.of(*names) & (replay.trace.port < 0)).tolist():
        yield index, Violation(NO_PORT, "", replay.name(index), replay.address(index), int(replay.clock[index]))


def _touches(replay: Replay, row: Constraint) -> Touched:
    """Return the touches at the level of a row."""
    if row.level != PORT:
        return replay.touched(replay.depth(row.level))
    chosen = np.flatnonzero(replay.trace.port >= 0)
    group = replay.ancestor(len(replay.protocol.levels) - 2)[chosen]
    _, node = np.unique(np.stack((group, replay.trace.port[chosen])), axis=1, return_inverse=True)
    return touched(node.astype(np.int64).ravel(), chosen)


def _to_siblings(replay: Replay, depth: int, touches: Touched, latency: Integers) -> tuple[Touched, Integers]:
    """Return what the siblings of every touched node feel, all other children of its parent, and the latencies.

    A command for a whole parent touches every child, so that no child is only a sibling.
    """
    size = replay.protocol.sizes[depth]
    alone = replay.depths[touches.command] >= depth
    node, command = touches.node[alone], touches.command[alone]
    of_command = np.zeros(len(replay.trace), np.int64)
    of_command[command] = latency[alone]
    siblings = (node // size * size)[:, None] + np.arange(size)
    other = siblings != node[:, None]
    felt = touched(siblings[other], np.broadcast_to(command[:, None], siblings.shape)[other])
    return felt, of_command[felt.command]


def _latencies(replay: Replay, row: Constraint) -> Integers:
    """Return the latency of a row for every touch at its level: by tier, the longest of several banks."""
    if len(set(row.latency)) == 1:
        return np.full(len(_touches(replay, row).node), row.latency[0], np.int64)
    tier, bank = tier_of_touch(replay)
    ticks = np.array(row.latency, np.int64)[np.minimum(tier, len(row.latency) - 1)]
    if row.level == PORT:
        of_command = np.zeros(len(replay.trace), np.int64)
        of_command[bank.command] = ticks
        return of_command[_touches(replay, row).command]
    depth = replay.depth(row.level)
    node = bank.node // int(np.prod(replay.protocol.sizes[depth + 1 :], dtype=np.int64))
    order = np.lexsort((bank.command, node))
    node, command = node[order], bank.command[order]
    first = np.flatnonzero(np.diff(node, prepend=-1) | np.diff(command, prepend=-1))
    return np.maximum.reduceat(ticks[order], first) if len(first) else ticks


def _check_row(replay: Replay, row: Constraint) -> Iterator[tuple[int, Violation]]:
    precedes = replay.of(*row.preceding) & replay.issued
    follows = replay.of(*row.following)
    if not precedes.any() or not follows.any():
        return
    touches = _touches(replay, row)
    following = touches.where(follows)
    preceding = touches.where(precedes)
    latency = _latencies(replay, row)[precedes[touches.command]]
    if row.sibling:
        preceding, latency = _to_siblings(replay, replay.depth(row.level), preceding, latency)
    if len(preceding.node) == 0:
        return
    bound, binding = _bounds(replay, row.window, preceding, latency, following)
    np.maximum.at(replay.earliest, following.command, bound)
    early = np.flatnonzero(replay.issued[following.command] & (replay.clock[following.command] < bound))
    worst: dict[int, int] = {}  # a command that touches several nodes is named once, with its latest bound
    for touch in early[np.argsort(bound[early], kind="stable")].tolist():
        worst[int(following.command[touch])] = touch
    for index, touch in worst.items():
        earlier = int(binding[touch])
        yield (
            index,
            Violation(
                SEPARATION,
                row_text(row),
                f"{replay.name(earlier)}-{replay.name(index)}",
                replay.address(index),
                int(replay.clock[index]),
                int(bound[touch]),
                int(replay.clock[earlier]),
            ),
        )


def _bounds(
    replay: Replay, window: int, preceding: Touched, latency: Integers, following: Touched
) -> tuple[Integers, Integers]:
    """Return the earliest tick of every following touch and the command that binds it; 0 and -1 without one."""
    size = len(replay.trace) + 1
    keys = preceding.node * size + preceding.command
    before = np.searchsorted(keys, following.node * size + following.command)
    first = np.searchsorted(keys, following.node * size)
    place = before - window
    bound = np.zeros(len(following.node), np.int64)
    binding = np.full(len(following.node), -1, np.int64)
    for ticks in np.unique(latency):
        last = np.maximum.accumulate(np.where(latency == ticks, np.arange(len(latency)), -1))
        found = np.where(place >= first, last[np.maximum(place, 0)], -1)
        holds = found >= first
        tick = np.where(holds, replay.clock[preceding.command[found]] + ticks, 0)
        later = tick > bound
        bound = np.where(later, tick, bound)
        binding = np.where(later, preceding.command[found], binding)
    return bound, binding
