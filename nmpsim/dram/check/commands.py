"""A command trace as columns, and the nodes of the hierarchy that each command touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nmpsim.spec.protocol import IssuedCommand, Protocol

Integers = NDArray[np.int64]

NOWHERE = -2
"""Index of an address that has not one index per level."""


@dataclass(frozen=True)
class CommandColumns:
    """A trace with one array per field, in order of issue within a tick.

    Parameters
    ----------
    clock : ndarray of int64, shape (commands,)
        Tick of issue.
    command : ndarray of int64, shape (commands,)
        Index into `names`.
    address : ndarray of int64, shape (commands, levels)
        One index per level of the protocol; -1 = all children.
    row, column, port : ndarray of int64, shape (commands,)
        -1 where the command has none.
    names : tuple of str
        Names that `command` counts through.
    """

    clock: Integers
    command: Integers
    address: Integers
    row: Integers
    column: Integers
    port: Integers
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clock)

    def take(self, index: Integers) -> CommandColumns:
        """Return the commands at `index` (or under a mask), in that order."""
        return CommandColumns(
            self.clock[index],
            self.command[index],
            self.address[index],
            self.row[index],
            self.column[index],
            self.port[index],
            self.names,
        )


def columns_of(trace: Sequence[IssuedCommand], levels: int) -> CommandColumns:
    """Return a trace as columns.

    Parameters
    ----------
    trace : sequence of IssuedCommand
        Any order between ticks; the order of issue within one.
    levels : int
        Levels of the protocol; an address of another length becomes one of NOWHERE.
    """
    codes: dict[str, int] = {}
    command = [codes.setdefault(issued.command, len(codes)) for issued in trace]
    nowhere = (NOWHERE,) * levels
    address = [issued.address if len(issued.address) == levels else nowhere for issued in trace]
    return CommandColumns(
        np.array([issued.clock for issued in trace], np.int64),
        np.array(command, np.int64),
        np.array(address, np.int64).reshape(-1, levels),
        np.array([issued.row for issued in trace], np.int64),
        np.array([issued.column for issued in trace], np.int64),
        np.array([issued.port for issued in trace], np.int64),
        tuple(codes),
    )


@dataclass(frozen=True)
class Touched:
    """Which command touches which node of one level, sorted by node, then by time.

    Parameters
    ----------
    node : ndarray of int64, shape (touches,)
        Node, counted through the level from the root.
    command : ndarray of int64, shape (touches,)
        Index of the command in the trace.
    """

    node: Integers
    command: Integers

    @cached_property
    def start(self) -> Integers:
        """Position of the first touch of the same node, for every touch."""
        return np.searchsorted(self.node, self.node).astype(np.int64)

    def where(self, mask: NDArray[np.bool_]) -> Touched:
        """Return the touches by commands under a mask of the trace."""
        chosen = mask[self.command]
        return Touched(self.node[chosen], self.command[chosen])


def touched(node: Integers, command: Integers) -> Touched:
    """Return touches in any order as `Touched`."""
    order = np.lexsort((command, node))
    return Touched(node[order], command[order])


class Replay:
    """A trace of valid addresses, sorted by time, with what all rules ask about it.

    Parameters
    ----------
    protocol : Protocol
        Names, levels, sizes.
    trace : CommandColumns
        Sorted by clock; every command known, every address in range.
    virtual : int
        So many commands at the end were not issued: they are asked for their earliest tick only.
    """

    def __init__(self, protocol: Protocol, trace: CommandColumns, virtual: int = 0) -> None:
        self.protocol = protocol
        self.trace = trace
        self.clock = trace.clock
        self.code = kinds_of(protocol, trace)
        self.issued = np.arange(len(trace)) < len(trace) - virtual
        self.earliest = np.zeros(len(trace), np.int64)
        """Earliest tick by table and bus, filled by the rules; ticks."""
        self._touched: dict[int, Touched] = {}

    def depth(self, level: str) -> int:
        """Return the place of a level, 0 = root."""
        return self.protocol.levels.index(level)

    def nodes(self, depth: int) -> int:
        """Return how many nodes a level has."""
        return int(np.prod(self.protocol.sizes[: depth + 1], dtype=np.int64))

    def of(self, *names: str) -> NDArray[np.bool_]:
        """Return the mask of the commands with these names."""
        chosen = np.array([command.name in names for command in self.protocol.commands])
        return chosen[self.code]

    def per_command(self, values: Sequence[int | bool]) -> NDArray[np.int64]:
        """Return, for each command of the trace, the value of its kind; `values` has one per Protocol.commands."""
        return np.array(values, np.int64)[self.code]

    @cached_property
    def depths(self) -> Integers:
        """Level that each command addresses."""
        return self.per_command([self.depth(command.level) for command in self.protocol.commands])

    def ancestor(self, depth: int) -> Integers:
        """Return the node of a level above which or at which every command addresses one; 0 below a wildcard."""
        node = np.zeros(len(self.trace), np.int64)
        for level in range(depth + 1):
            node = node * self.protocol.sizes[level] + np.maximum(self.trace.address[:, level], 0)
        return node

    def touched(self, depth: int) -> Touched:
        """Return the nodes of a level that the commands touch: one each, or all below the node that they address."""
        if depth not in self._touched:
            nodes, commands = [], []
            for own in range(len(self.protocol.levels)):
                chosen = np.flatnonzero(self.depths == own)
                below = int(np.prod(self.protocol.sizes[own + 1 : depth + 1], dtype=np.int64))
                first = self.ancestor(min(own, depth))[chosen] * below
                nodes.append((first[:, None] + np.arange(below)).ravel())
                commands.append(np.repeat(chosen, below))
            self._touched[depth] = touched(np.concatenate(nodes), np.concatenate(commands))
        return self._touched[depth]

    def name(self, index: int) -> str:
        """Return the name of a command of the trace."""
        return self.protocol.commands[int(self.code[index])].name

    def address(self, index: int) -> tuple[int, ...]:
        """Return the address of a command of the trace."""
        return tuple(int(place) for place in self.trace.address[index])


def kinds_of(protocol: Protocol, trace: CommandColumns) -> Integers:
    """Return the index in Protocol.commands of every command of a trace; -1 = the protocol has none of that name."""
    kinds = {command.name: kind for kind, command in enumerate(protocol.commands)}
    table = np.array([kinds.get(name, -1) for name in trace.names] + [-1], np.int64)
    known = (trace.command >= 0) & (trace.command < len(trace.names))
    return table[np.where(known, trace.command, len(trace.names))]
