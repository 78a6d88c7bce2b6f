"""What the oracle of the reference controller schedules, and on what: requests, issued commands, and the device.

`Device` keeps what was issued when at every node and looks back; it knows no rule that is not in the protocol's table.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from nmpsim.spec.protocol import Constraint, Protocol

LONG_AGO = -(10**15)

Address = tuple[int, ...]
"""One index per level down to the bank; -1 = all children."""


@dataclass(eq=False)
class Request:
    """A read, a write, or (kind -1) a command that the controller itself wants."""

    at: int
    kind: int  # 0 read, 1 write, -1 maintenance
    addr: int
    address: Address
    row: int = -1
    column: int = -1
    final: str = ""
    accept: int = -1
    done: int = -1
    begun: bool = False  # its first command was issued
    served: str = ""  # "column", "forwarded" or "merged"

    def __post_init__(self) -> None:
        self.final = self.final or ("RD", "WR")[self.kind]


class Issued(NamedTuple):
    clock: int
    command: str
    address: Address
    row: int
    column: int
    kind: int


class Device:
    """What was issued when at every node of the tree, and the open row of every bank."""

    def __init__(self, protocol: Protocol) -> None:
        self.levels, self.sizes = protocol.levels, protocol.sizes
        self.commands = {command.name: command for command in protocol.commands}
        self.rules: dict[str, list[tuple[int, Constraint]]] = {name: [] for name in self.commands}
        for rule in protocol.constraints:
            if rule.beyond_peer:
                continue
            for name in rule.following:
                self.rules[name].append((protocol.levels.index(rule.level), rule))
        deepest = max((rule.window for rule in protocol.constraints), default=1)
        self._ready: dict[tuple[str, Address], int] = {}
        self._nodes: dict[Address, list[Address]] = {}
        self.at_node: dict[tuple[Address, str], deque[int]] = {}
        self.beside: dict[tuple[Address, str], int] = {}  # latest issue to a sibling of the node
        for node in (node for depth in range(len(self.sizes)) for node in self.nodes((0,) + (-1,) * depth)):
            for name in self.commands:
                self.at_node[node, name] = deque(maxlen=deepest)
        self.open_row: dict[Address, int] = {}

    def nodes(self, address: Address) -> list[Address]:
        """The nodes that an address with wildcards stands for, in tree order: banks, if it goes down to the bank."""
        if address not in self._nodes:
            choices = [range(size) if index < 0 else (index,) for index, size in zip(address, self.sizes, strict=False)]
            self._nodes[address] = list(product(*choices))
        return self._nodes[address]

    def next_command(self, request: Request) -> str:
        """What must be issued next to come to the request's final command."""
        rows = [self.open_row[bank] for bank in self.nodes(request.address) if bank in self.open_row]
        if request.final.startswith("PRE"):
            return request.final
        if self.commands[request.final].moves_data:
            return "ACT" if not rows else request.final if rows == [request.row] else "PREpb"
        several = self.commands[request.final].level != "Bank"
        return request.final if not rows else "PREab" if several else "PREpb"

    def _earliest(self, depth: int, rule: Constraint, address: Address) -> int:
        """From which tick one row of the table allows its following command."""
        latest = LONG_AGO
        for node in self.nodes(address[: depth + 1]):
            for name in rule.preceding:
                if rule.sibling:
                    latest = max(latest, self.beside.get((node, name), LONG_AGO))
                elif len(self.at_node[node, name]) >= rule.window:
                    latest = max(latest, self.at_node[node, name][-rule.window])
        return latest + rule.latency[0]

    def ready_at(self, name: str, address: Address) -> int:
        """First tick at which the whole table allows a command."""
        if (name, address) not in self._ready:
            times = [self._earliest(depth, rule, address) for depth, rule in self.rules[name]]
            self._ready[name, address] = max(times, default=LONG_AGO)
        return self._ready[name, address]

    def binding(self, name: str, address: Address) -> list[Constraint]:
        """The rows of the table that allow a command last."""
        last = self.ready_at(name, address)
        return [rule for depth, rule in self.rules[name] if self._earliest(depth, rule, address) == last]

    def issue(self, clock: int, name: str, request: Request) -> None:
        address = request.address
        for depth, index in enumerate(address):
            for node in self.nodes(address[: depth + 1]):
                self.at_node[node, name].append(clock)
            if index >= 0:
                for parent in self.nodes(address[:depth]):
                    for sibling in range(self.sizes[depth]):
                        if sibling != index:
                            self.beside[(*parent, sibling), name] = clock
        effect = self.commands[name].effect
        for bank in self.nodes(address) if effect != "none" else ():
            self.open_row.pop(bank, None)
            if effect == "open":
                self.open_row[bank] = request.row
        self._ready.clear()
