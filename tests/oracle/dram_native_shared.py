"""What banks share in the oracle of the native DRAM controller: activation budgets and ports.

From docs/dram/native.md alone; see tests/oracle/dram_native.py.  Times are cycles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmpsim.spec.params import HOLD_ROW
from tests.oracle.dram_native_world import FOREVER

if TYPE_CHECKING:
    from tests.oracle.dram_native import Bank, Oracle


class Budget:
    """At least `distance` cycles from ACT to ACT, and `count` of them in a window of `window` cycles; 0 = no rule."""

    def __init__(self, distance: int, window: int, count: int) -> None:
        self.distance, self.window, self.count = distance, window, count
        self.acts: list[int] = []

    def allows(self, t: int) -> bool:
        near = bool(self.acts) and t - self.acts[-1] < self.distance
        crowded = len(self.acts) >= self.count and t - self.acts[-self.count] < self.window
        return not near and not crowded


class Port:
    def __init__(self, number: int) -> None:
        self.number, self.holder = number, None
        self.last, self.was_write, self.last_bank = -FOREVER, 0, None


class Group:
    """Banks that share ports; `ports` are numbered through the channel."""

    def __init__(self, banks: list[Bank], first_port: int, oracle: Oracle) -> None:
        params, self.banks, self.oracle = oracle.params, banks, oracle
        self.private = params.port_banks == 1
        self.ports = [Port(first_port + i) for i in range(params.ports)]

    def free_from(self, port: Port, is_write: int) -> int:
        if port.last == -FOREVER or port.was_write == is_write:
            return port.last + self.oracle.params.nBL
        return port.last + (self.oracle.nRTW if is_write else self.oracle.nWTR)

    def serve(self, t: int) -> None:
        """Issue the columns of cycle t."""
        legal = [bank for bank in self.banks if bank.column_is_legal(t)]
        kept: list[Port] = []  # of banks that wait for it, older ones first
        for bank in sorted(legal, key=lambda bank: (bank.port is None, bank.began, bank.number)):
            if self.private:
                bank.issue_column(t, self.ports[0].number)
                continue
            port = bank.port or self.choose(t, bank, kept)
            if port is not None:
                self.use(t, bank, port)
        for bank in self.banks:
            if bank.port and bank.left and bank.datum_is_late(t):
                bank.met("late datum while a port is held")

    def choose(self, t: int, bank: Bank, kept: list[Port]) -> Port | None:
        unheld = [port for port in self.ports if port.holder is None]
        open_to_it = [port for port in unheld if port not in kept]
        for port in open_to_it:
            if self.free_from(port, bank.access.is_write) <= t:
                return port
        bank.met("port busy")
        if open_to_it:
            kept.append(open_to_it[0])
            if self.free_from(open_to_it[0], not bank.access.is_write) <= t:
                bank.met("turnaround to WR" if bank.access.is_write else "turnaround to RD")
        if any(self.free_from(port, bank.access.is_write) <= t for port in unheld):
            bank.met("port kept for an older bank")
        if len(unheld) < len(self.ports):
            bank.met("port held by another bank")
        return None

    def use(self, t: int, bank: Bank, port: Port) -> None:
        params = self.oracle.params
        if port.last_bank not in {None, bank}:
            bank.met("port handed over")
            if port.last_bank.left:
                bank.met("port handed over within an access")
            if port.was_write != bank.access.is_write:
                bank.met("port handed over and turned around")
        if port is not self.ports[0]:
            bank.met("port of a higher number")
        port.last, port.was_write, port.last_bank = t, bank.access.is_write, bank
        bank.issue_column(t, port.number)
        holds = params.port_hold == HOLD_ROW and bank.left > 0
        port.holder, bank.port = (bank, port) if holds else (None, None)
        self.oracle.look_again(t + params.nBL, t + self.oracle.nRTW, t + self.oracle.nWTR)
