"""Request traces in, command traces and completions out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nmpsim.dram.reference.build import NAMES, ControllerSettings, Limits, build
from nmpsim.dram.reference.controller import run
from nmpsim.dram.reference.state import (
    COUNTER,
    DEADLOCK,
    FINISHED,
    LIMIT,
    LOG_FULL,
    REASONS,
    REQUEST,
    ReferenceState,
    make_state,
)
from nmpsim.errors import DeadlockError, Fault, LimitReached, WorkloadError
from nmpsim.kernel import NEVER, interrupts_held
from nmpsim.spec.protocol import IssuedCommand, Protocol

COMMAND = np.dtype([(name, "i8") for name in ("clock", "command", "row", "column", "type")])
"""One issued command; `command` counts in NAMES, `type` is 0 for a read, 1 for a write, -1 for maintenance."""


@dataclass(frozen=True)
class ReferenceRun:
    """What a run of the reference controller gave.

    Parameters
    ----------
    accept : ndarray of int64, shape (requests,)
        Cycle in which each request was accepted; ticks.
    done : ndarray of int64, shape (requests,)
        Completion; ticks.
    ticks : int
        Ticks done.
    commands : array of COMMAND, shape (commands,)
        In the order of issue; empty without log.
    address : ndarray of int64, shape (commands, levels)
        Index per level; -1 = all children.
    names : tuple of str
        Names of commands.
    counters : dict of str to int
        Row hits, misses and conflicts, forwarded and merged requests, occupancies, issued commands by name.
    reasons : dict of str to int
        Ticks by reason; they sum to `ticks`.
    """

    accept: NDArray[np.int64]
    done: NDArray[np.int64]
    ticks: int
    commands: NDArray[Any]
    address: NDArray[np.int64]
    names: tuple[str, ...]
    counters: dict[str, int]
    reasons: dict[str, int]

    def issued(self) -> list[IssuedCommand]:
        """Return the commands in order of issue."""
        rows = zip(self.commands.tolist(), self.address.tolist(), strict=True)
        return [
            IssuedCommand(clock, self.names[command], tuple(address), row, column)
            for (clock, command, row, column, _), address in rows
        ]


def make_requests(
    protocol: Protocol,
    at: ArrayLike,
    is_write: ArrayLike,
    address: ArrayLike,
    row: ArrayLike,
    column: ArrayLike,
    addr: ArrayLike | None = None,
) -> Any:
    """Return requests as the controller takes them.

    Parameters
    ----------
    protocol : Protocol
    at : array of int, shape (requests,)
        Cycle from which a request is offered; ticks.
    is_write : array of int, shape (requests,)
        0 or 1.
    address : array of int, shape (requests, levels)
        Index per level, the root's 0 first.
    row, column : array of int, shape (requests,)
    addr : array of int, shape (requests,), or None
        What forwarding and merging compare; None: a number of the location.

    Returns
    -------
    array of REQUEST, shape (requests,)

    Raises
    ------
    WorkloadError
        With the first request outside the protocol, for each field.
    """
    where = np.asarray(address, np.int64).reshape(-1, len(protocol.levels))
    requests = REQUEST.zeros(len(where))
    for name, given in (("at", at), ("is_write", is_write), ("row", row), ("column", column)):
        requests[name] = np.asarray(given, np.int64)
    fields = [(level, where[:, i], protocol.sizes[i]) for i, level in enumerate(protocol.levels)]
    fields += [("row", requests["row"], protocol.rows), ("column", requests["column"], protocol.columns)]
    faults = _range_faults([("at", requests["at"], int(NEVER)), ("is_write", requests["is_write"], 2), *fields])
    if faults:
        raise WorkloadError(f"requests that {protocol.name} does not have", faults)
    location = np.zeros(len(where), np.int64)
    for _, index, size in fields[: len(protocol.levels)]:
        location = location * size + index
    requests["bank"] = location
    if addr is None:
        unique = (location * protocol.rows + requests["row"]) * protocol.columns + requests["column"]
        requests["addr"] = unique * protocol.transaction_bytes
    else:
        requests["addr"] = np.asarray(addr, np.int64)
    return requests


def _range_faults(fields: list[tuple[str, NDArray[np.int64], int]]) -> list[Fault]:
    """Return a fault for the first request of every field that lies outside."""
    faults = []
    for name, values, size in fields:
        bad = np.flatnonzero((values < 0) | (values >= size))
        if len(bad):
            n = int(bad[0])
            faults.append(Fault(f"request {n}: {name}", str(values[n]), f"0 to {size - 1}", "correct the trace"))
    return faults


def run_trace(
    protocol: Protocol,
    settings: ControllerSettings,
    requests: Any,
    *,
    plain: bool = False,
    max_inject: int = 2,
    drain: int = 400,
    limit: int | None = None,
    log: bool = True,
    capacity: int = 65536,
) -> ReferenceRun:
    """Run a request trace through one channel.

    Parameters
    ----------
    protocol : Protocol
    settings : ControllerSettings
    requests : array of REQUEST
        From `make_requests`.
    plain : bool
        Visit every tick; the results are the same.
    max_inject : int
        Requests accepted per tick at most.
    drain : int
        Ticks after the last completion.
    limit : int or None
        Ticks after which to give up; None: never.
    log : bool
        Keep the commands.
    capacity : int
        Commands the kernel logs before the log is taken over; any number from 2 on gives the same result.

    Raises
    ------
    SpecError
        If the protocol or the settings are wrong.
    LimitReached
        If `limit` ticks did not suffice, or the priority queue is full when a refresh falls due.
    DeadlockError
        If requests are left and nothing can ever happen.
    """
    limits, table = build(protocol, settings)
    state = make_state(limits, table, len(requests), max(capacity, 2) if log else 0)
    most = int(NEVER) if limit is None else limit
    channel = state.channel[0]
    parts = []
    while True:
        with interrupts_held():
            status = run(requests, max_inject, drain, most, int(plain), limits, table, state)
        if log:
            parts.append(state.log[: int(channel.logged)].copy())
            channel.logged = 0
        if status != LOG_FULL:
            break
    if status != FINISHED:
        _give_up(status, protocol.name, limits, state)
    _count_waiting(limits, state)
    lines = np.concatenate(parts) if log else state.log
    commands, address = _expand(protocol, limits, lines, requests)
    counters = {name: int(state.counter[name][0]) for name, _, _ in COUNTER.fields}
    counters |= {name: int(count) for name, count in zip(NAMES, state.issued, strict=True)}
    reasons = {name: int(ticks) for name, ticks in zip(REASONS, state.reason, strict=True)}
    return ReferenceRun(state.accept, state.done, int(channel.clock), commands, address, NAMES, counters, reasons)


def _give_up(status: int, name: str, limits: Limits, state: ReferenceState) -> None:
    """Raise the reason why a run did not end."""
    channel = state.channel[0]
    reads, writes = ((int(queue.tail - queue.head)) for queue in state.queue)
    waiting = int(channel.priority_tail - channel.priority_head)
    standing = (
        f"{name}, tick {channel.clock}: {channel.left} requests are not completed; {reads} reads, {writes} writes, "
        f"{waiting} maintenance requests and {channel.active} activated requests wait"
    )
    if status == DEADLOCK:
        raise DeadlockError(f"{standing}; nothing can ever be issued: check queue sizes, watermarks and row policy")
    if status == LIMIT:
        raise LimitReached(f"{standing}; the limit on ticks was reached: raise it")
    message = f"the priority queue of {limits.priority_queue} is full when a refresh falls due: enlarge it"
    raise LimitReached(f"{standing}; {message}")


def _count_waiting(limits: Limits, state: ReferenceState) -> None:
    """Add to the occupancies what still waits at the end: refreshes of the last ticks (changes COUNTER)."""
    channel = state.channel[0]
    for n in range(int(channel.priority_head), int(channel.priority_tail)):
        state.counter[0].priority_occupancy += channel.clock - state.order[n % limits.priority_queue].made_at


def _expand(protocol: Protocol, limits: Limits, lines: Any, requests: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the commands of a log and their addresses."""
    commands = np.zeros(len(lines), COMMAND)
    commands["clock"], commands["command"] = lines["clock"], lines["command"]
    served = lines["request"] >= 0
    asked = lines["request"][served]
    for name, field in (("row", "row"), ("column", "column"), ("type", "is_write")):
        commands[name] = -1
        commands[name][served] = requests[field][asked]
    known = {command.name: command for command in protocol.commands}
    depth = np.full(len(NAMES), len(protocol.levels) - 1)
    for number, name in enumerate(NAMES):
        if name in known:
            depth[number] = protocol.levels.index(known[name].level)
    width = np.where(depth == len(protocol.levels) - 1, 1, limits.refab_banks)
    bank = lines["unit"] * width[lines["command"]]
    address = np.zeros((len(lines), len(protocol.levels)), np.int64)
    for level in reversed(range(len(protocol.levels))):
        bank, address[:, level] = np.divmod(bank, protocol.sizes[level])
        address[depth[lines["command"]] < level, level] = -1
    return commands, address


__all__ = ["COMMAND", "ControllerSettings", "ReferenceRun", "make_requests", "run_trace"]
