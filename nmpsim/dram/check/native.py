"""What the die's controller promises beyond its protocol (docs/dram/native.md), and the check of its log.

The protocol of a channel has the separations, the activation budgets and the ports.  Here stand the row accesses, who
may use which port, and refresh by bank.  A log does not tell where a row hit begins, so that of an open row only the
first access is checked to the column; the number of the others is bounded from below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.check.bus import BusRule
from nmpsim.dram.check.commands import CommandColumns, Integers
from nmpsim.dram.check.refresh import RefreshRule
from nmpsim.dram.check.replay import check_commands
from nmpsim.dram.check.violation import Violation
from nmpsim.spec.params import ACT, COMMANDS, HOLD_ROW, PRE, RD, REF, WR, DramParams
from nmpsim.spec.protocol import Protocol
from nmpsim.spec.standard.native import native_protocol

CLOCK = "off the clock edge"
PRE_ROW = "precharge of another row than the open one"
ACCESS_SHAPE = "row access other than ACT, its columns in order, all RD or all WR, PRE"
ROW_HITS = "more row accesses than one ACT may serve"
PORT_GROUP = "port of another group"
PORT_HELD = "port held by a row access of another bank, or changed during one"
REF_OFF = "refresh with refresh off"
NATIVE_RULES = (CLOCK, PRE_ROW, ACCESS_SHAPE, ROW_HITS, PORT_GROUP, PORT_HELD, REF_OFF)
"""Rules of the controller that no protocol has."""

FIELDS = ("tick", "channel", "bank", "command", "row", "column", "count", "port")
"""What an entry of the log has, in order."""

FAR = 2**60
"""Due tick of a bank that does not exist, where the last group of banks is smaller."""


def check_native(
    log: Iterable[Sequence[int]],
    params: DramParams,
    latency: NDArray[np.int64],
    period: int,
    *,
    channels: int = 0,
    until: int = 0,
) -> list[Violation]:
    """Return every violation in a command log of the native controller, in order of time.

    Parameters
    ----------
    log : iterable of LOG_ENTRY or of tuples
        FIELDS, the entries in any order; without `port` where banks have private ports.
    params : DramParams
        One channel.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations, -1 = none; DRAM cycles.
    period : int
        DRAM clock period; ticks.
    channels, until : int
        With both given, refreshes missing before cycle `until` in `channels` channels are found too.
    """
    entries = _table(log)
    entries = entries[np.argsort(entries[:, 0], kind="stable")]
    count = max(channels, int(entries[:, 1].max(initial=0)) + 1)
    protocol = native_protocol(params, latency, count)
    columns = CommandColumns(
        clock=entries[:, 0] // period,
        command=entries[:, 3],
        address=_addresses(entries, protocol.sizes),
        row=entries[:, 4],
        column=entries[:, 5],
        port=entries[:, 7],
        names=COMMANDS,
    )
    found = check_commands(
        columns,
        protocol,
        bus=BusRule("Bank", split=False),
        refresh=_refresh_rule(params, protocol) if params.refresh else None,
        until=until if channels else 0,
        strict=True,
    )
    found += _Accesses(params, columns.address).check(entries, period)
    return sorted(found, key=lambda violation: violation.cycle)


def _table(log: Iterable[Sequence[int]]) -> Integers:
    """Return a log as one array; a missing port is -1."""
    if isinstance(log, np.ndarray) and log.dtype.names is not None:
        return np.stack([log[name] for name in FIELDS], axis=1).astype(np.int64)
    rows = [tuple(int(value) for value in entry) for entry in log]
    return np.array([(*row, -1)[:8] for row in rows], np.int64).reshape(-1, 8)


def _addresses(entries: Integers, sizes: tuple[int, ...]) -> Integers:
    """Return (die, channel, group, bank) of every entry; a bank outside the channel stays outside."""
    group, bank = np.divmod(entries[:, 2], sizes[-1])
    return np.stack((np.zeros_like(bank), entries[:, 1], group, bank), axis=1)


def _refresh_rule(params: DramParams, protocol: Protocol) -> RefreshRule:
    """Return the rule of per-bank refresh; where the last group is smaller, more banks are counted than exist."""
    first = [params.nREFI + params.nREFI * bank // params.banks for bank in range(params.banks)]
    first += [FAR] * (protocol.sizes[-2] * protocol.sizes[-1] - params.banks)
    return RefreshRule("REFpb", "Bank", params.nREFI, tuple(first), params.postpone, params.pull_in)


@dataclass
class _OpenRow:
    """What was seen of one bank since its ACT."""

    row: int = -1  # -1 = closed
    left: int = 0  # columns of the first access still to come
    next_column: int = -1
    kind: int = -1  # RD or WR of the access under way, once it moved a column
    accesses: int = 0  # at least so many
    port: int = -1  # port held by the first access


class _Accesses:
    """The rules of row accesses and ports, in one walk over the log."""

    def __init__(self, params: DramParams, address: Integers) -> None:
        self.params = params
        self.address = address
        self.banks: dict[tuple[int, int], _OpenRow] = {}
        self.holders: dict[tuple[int, int], int] = {}  # (channel, port) -> bank in the first access of its row

    def check(self, entries: Integers, period: int) -> list[Violation]:
        found: list[Violation] = []
        for index, entry in enumerate(entries.tolist()):
            tick, channel, bank, command, row, column, count, port = entry
            rules: list[str] = [CLOCK] if tick % period else []
            state = self.banks.setdefault((channel, bank), _OpenRow())
            if command == ACT:
                self.release(channel, state)
                self.banks[channel, bank] = _OpenRow(row, count, column, accesses=1)
                if count < 1 or column < 0 or column + count > self.params.columns:
                    rules.append(ACCESS_SHAPE)
            elif command in {RD, WR}:
                rules += self.move(channel, bank, state, command, column, port)
            elif command == PRE:
                if state.row >= 0:
                    rules += [ACCESS_SHAPE] * (state.left > 0) + [PRE_ROW] * (row != state.row)
                self.release(channel, state)
                self.banks[channel, bank] = _OpenRow()
            elif command == REF and not self.params.refresh:
                rules.append(REF_OFF)
            name = COMMANDS[command] if 0 <= command < len(COMMANDS) else f"command {command}"
            where = tuple(self.address[index].tolist())
            found += [Violation(rule, "", name, where, tick // period) for rule in rules]
        return found

    def release(self, channel: int, state: _OpenRow) -> None:
        """Give back the port of an access."""
        if state.port >= 0:
            self.holders.pop((channel, state.port), None)
        state.port = -1

    def move(self, channel: int, bank: int, state: _OpenRow, command: int, column: int, port: int) -> Iterator[str]:
        """Yield the rules that one column breaks."""
        cap = self.params.row_hits
        if self.params.port_banks > 1:
            yield from self.take_port(channel, bank, state, port)
        if state.row < 0:
            return  # the state rules name it
        if state.left > 0:
            if column != state.next_column or state.kind not in {-1, command}:
                yield ACCESS_SHAPE
            state.left -= 1
            if state.left == 0:
                self.release(channel, state)
        elif cap == 1:
            yield ACCESS_SHAPE
        else:
            first_hit = state.accesses == 1
            if first_hit or column != state.next_column or state.kind != command:
                state.accesses += 1
                if cap and state.accesses > cap:
                    yield ROW_HITS
        state.kind, state.next_column = command, column + 1

    def take_port(self, channel: int, bank: int, state: _OpenRow, port: int) -> Iterator[str]:
        """Yield the rules of ports that one column breaks; keeps who holds which port for its first access."""
        if port // self.params.ports != bank // self.params.port_banks:
            yield PORT_GROUP
        if self.params.port_hold != HOLD_ROW:
            return
        holder = self.holders.get((channel, port), bank)
        if holder != bank or state.port not in {-1, port}:
            yield PORT_HELD
        elif state.left > 1 and state.port < 0:
            state.port = port
            self.holders[channel, port] = bank
