"""Command traces against the independent checker, every violation with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nmpsim.dram.check import CommandColumns, RefreshRule, Violation, all_bank_refresh, check_commands, per_bank_refresh
from nmpsim.dram.check.native import check_native
from nmpsim.dram.trace.commands import CommandTrace
from nmpsim.dram.trace.memory import Memory
from nmpsim.errors import Fault, SpecError, WorkloadError
from nmpsim.spec.protocol import Protocol

REFRESHES = ("NoRefresh", "AllBank", "PerBank", "HBM34PerBankRefresh")


def check_standard(
    trace: CommandTrace, protocol: Protocol, *, refresh: RefreshRule | None = None, until: int = 0
) -> list[tuple[int, Violation]]:
    """Return every violation of a protocol with its line, 0 for what is missing in the trace.

    Parameters
    ----------
    trace : CommandTrace
    protocol : Protocol
        A standard.
    refresh : RefreshRule or None
        When refreshes are due; None: they are free to come or not.
    until : int
        Tick at which the trace ends; 0 = not known.
    """
    columns = CommandColumns(
        trace.clock,
        trace.command,
        trace.address,
        trace.row,
        trace.column,
        np.asarray(trace.extra.get("port", np.full(len(trace), -1))),
        trace.names,
    )
    return _with_lines(trace, check_commands(columns, protocol, refresh=refresh, until=until))


def check_die(trace: CommandTrace, memory: Memory, path: Path, *, until: int = 0) -> list[tuple[int, Violation]]:
    """Return every violation of a native memory and its controller with its line, 0 for what is missing in the trace.

    Parameters
    ----------
    trace : CommandTrace
        With columns `count`, and `port` where banks share ports.
    memory : Memory
        Native.
    path : Path
        Of the trace, for messages.
    until : int
        Tick at which the trace ends; 0 = not known.

    Raises
    ------
    WorkloadError
        If the trace lacks a column, or a command has no single bank.
    """
    machine, protocol = memory.machine, memory.protocol
    assert machine is not None
    missing = [name for name in ("count", "port") if name not in trace.extra]
    if missing:
        faults = [Fault(f"{path}:1", f"no column {name}", "count and port", "record them") for name in missing]
        raise WorkloadError(f"command trace {path} is not one of the die's controllers", faults)
    place = protocol.levels.index("Channel")
    wild = np.flatnonzero((trace.address[:, place:] < 0).any(axis=1))
    if len(wild):
        got = f"address {','.join(map(str, trace.address[wild[0]].tolist()))}"
        fault = Fault(f"{path}:{trace.line[wild[0]]}", got, "one bank", "correct the command")
        raise WorkloadError(f"command trace {path} has {len(wild)} commands without a bank", [fault])
    bank = np.zeros(len(trace), np.int64)
    for level in range(place + 1, len(protocol.levels)):
        bank = bank * protocol.sizes[level] + trace.address[:, level]
    fields = (trace.clock, trace.address[:, place], bank, trace.command, trace.row, trace.column)
    entries = np.stack([*fields, trace.extra["count"], trace.extra["port"]], axis=1)
    channels = protocol.sizes[place] if until else 0
    found = check_native(entries.tolist(), machine.dram, machine.latency, 1, channels=channels, until=until)
    return _with_lines(trace, found)


def refresh_rule(protocol: Protocol, refresh: str, delay: int) -> RefreshRule | None:
    """Return when refreshes are due.

    Parameters
    ----------
    protocol : Protocol
        A standard.
    refresh : str
        One of REFRESHES.
    delay : int
        Ticks that one may come late.

    Raises
    ------
    SpecError
        If there is no such refresh.
    """
    if refresh not in REFRESHES:
        raise SpecError("no such refresh", [Fault("--refresh", repr(refresh), ", ".join(REFRESHES), "choose one")])
    if refresh == "NoRefresh":
        return None
    if refresh == "AllBank":
        return all_bank_refresh(protocol, delay)
    scope = "PseudoChannel" if refresh == "HBM34PerBankRefresh" else protocol.levels[0]
    return per_bank_refresh(protocol, delay, scope=scope)


def _with_lines(trace: CommandTrace, violations: list[Violation]) -> list[tuple[int, Violation]]:
    """Return violations with the line of their command."""
    if not violations:
        return []
    lines: dict[tuple[int, str, tuple[int, ...]], int] = {}
    clocks = {violation.cycle for violation in violations}
    for n in np.flatnonzero(np.isin(trace.clock, list(clocks))).tolist():
        name = trace.names[int(trace.command[n])]
        for word in (name, f"{name}pb"):  # the checker calls the PRE of the die PREpb
            lines.setdefault((int(trace.clock[n]), word, tuple(trace.address[n].tolist())), int(trace.line[n]))
    found = []
    for violation in violations:
        name = violation.pair.rpartition("-")[2]
        found.append((lines.get((violation.cycle, name, violation.address), 0), violation))
    return found
