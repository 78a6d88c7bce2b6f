"""One request trace through one memory, by either controller, to one kind of result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.native.state import COUNTER
from nmpsim.dram.native.state import REASONS as NATIVE_REASONS
from nmpsim.dram.native.traffic import REQUEST as NATIVE_REQUEST
from nmpsim.dram.native.traffic import run_requests
from nmpsim.dram.reference import ControllerSettings, make_requests, run_trace
from nmpsim.dram.trace.lines import Integers
from nmpsim.dram.trace.memory import Memory
from nmpsim.dram.trace.requests import RequestTrace
from nmpsim.errors import Fault, WorkloadError

DRAIN = 400
"""Ticks after the last completion, so that trailing refreshes are seen; assumed, as in the recorded cases."""


@dataclass(frozen=True)
class TraceRun:
    """What a run gave.

    Parameters
    ----------
    accept, done : ndarray of int64, shape (requests,)
        Ticks, in the order of the requests.
    ticks : int
        Ticks simulated.
    clock : ndarray of int64, shape (commands,)
        Ticks of the commands, in the order of issue; empty without a log.
    names : ndarray of str, shape (commands,)
        Names of the commands.
    address : ndarray of int64, shape (commands, levels)
        -1 = all children.
    row, column : ndarray of int64, shape (commands,)
        -1 where the command has none.
    extra : dict of str to ndarray of int64
        Further columns of the command trace.
    counts : dict of str to int
        Row hits and misses, forwarded and merged requests, ..., as far as the controller tells them.
    issued : dict of str to int
        Commands by name, counted by the controller.
    reasons : dict of str to int
        What ticks of the channel (native: of all banks) were spent on.
    """

    accept: Integers
    done: Integers
    ticks: int
    clock: Integers
    names: NDArray[np.str_]
    address: Integers
    row: Integers
    column: Integers
    extra: dict[str, Integers] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    issued: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


def run_reference(
    memory: Memory,
    settings: ControllerSettings,
    trace: RequestTrace,
    *,
    plain: bool = False,
    max_inject: int = 2,
    drain: int = DRAIN,
    limit: int | None = None,
    log: bool = True,
) -> TraceRun:
    """Run a trace through the reference controller.

    Parameters
    ----------
    memory : Memory
        A standard.
    settings : ControllerSettings
    trace : RequestTrace
    plain : bool
        Visit every tick; the results are the same.
    max_inject : int
        Requests accepted per tick at most.
    drain : int
        Ticks after the last completion.
    limit : int or None
        Ticks after which to give up.
    log : bool
        Keep the commands.

    Raises
    ------
    NmpsimError
        As `nmpsim.dram.reference.run_trace`.
    """
    where = trace.fields
    requests = make_requests(
        memory.protocol, trace.at, trace.is_write, where[:, :-2], where[:, -2], where[:, -1], trace.addr
    )
    run = run_trace(
        memory.protocol, settings, requests, plain=plain, max_inject=max_inject, drain=drain, limit=limit, log=log
    )
    return TraceRun(
        accept=run.accept,
        done=run.done,
        ticks=run.ticks,
        clock=run.commands["clock"],
        names=np.array(run.names)[run.commands["command"]],
        address=run.address,
        row=run.commands["row"],
        column=run.commands["column"],
        extra={"type": run.commands["type"]},
        counts={name: count for name, count in run.counters.items() if name not in run.names},
        issued={name: run.counters[name] for name in run.names if run.counters[name]},
        reasons=run.reasons,
    )


def run_native(
    memory: Memory,
    trace: RequestTrace,
    *,
    plain: bool = False,
    max_inject: int = 2,
    run_columns: int = 1,
    log: bool = True,
) -> TraceRun:
    """Run a trace through the die's own controllers, all channels side by side.

    Parameters
    ----------
    memory : Memory
        A native preset.
    trace : RequestTrace
        Times are DRAM cycles.
    plain : bool
        Visit every channel in every cycle; the results are the same.
    max_inject : int
        Row accesses that a channel accepts per cycle at most.
    run_columns : int
        Adjacent requests of a channel for the next columns of one row, of one direction and time, become one row access
        of at most so many columns.  They are then accepted and done together.
    log : bool
        Keep the commands.

    Raises
    ------
    WorkloadError
        If there is a request to a bank that the last group of a channel does not have.
    NmpsimError
        As `nmpsim.dram.native.traffic.run_requests`.
    """
    machine, protocol = memory.machine, memory.protocol
    assert machine is not None
    place = protocol.levels.index("Channel")
    channel, bank = _flat(trace.fields, place, protocol.sizes)
    missing = np.flatnonzero(bank >= machine.dram.banks)
    if len(missing):
        first = f"request {int(trace.identity[missing[0]])}"
        fault = Fault(first, f"bank {bank[missing[0]]}", f"0 to {machine.dram.banks - 1}", "correct its group and bank")
        raise WorkloadError(f"{len(missing)} requests to banks that a channel does not have", [fault])
    channels = protocol.sizes[place]
    most = max(1, min(run_columns, machine.dram.columns, machine.dram.fifo_columns))
    parts = [np.flatnonzero(channel == c) for c in range(channels)]
    starts = [_starts(trace, bank, part, most) for part in parts]
    lists = [_requests(trace, bank, part, start) for part, start in zip(parts, starts, strict=True)]
    run = run_requests(machine.dram, machine.latency, lists, plain=plain, per_cycle=max_inject, log=log)
    accept, done = np.zeros(len(trace), np.int64), np.zeros(len(trace), np.int64)
    for part, start, served in zip(parts, starts, run.requests, strict=True):
        group = np.cumsum(start) - 1
        accept[part], done[part] = served["accepted_at"][group], served["done_at"][group]
    counter = run.state.counter
    commands = run.commands
    accesses = sum(map(len, lists))
    names = np.array([command.name for command in protocol.commands])
    totals = {name: int(counter[name].sum()) for name, _, _ in COUNTER.fields}
    issued = {name: totals[key] for name, key in zip(names.tolist(), ("ACT", "PRE", "RD", "WR", "REF"), strict=True)}
    return TraceRun(
        accept=accept,
        done=done,
        ticks=run.cycles,
        clock=np.asarray(commands["tick"]),
        names=names[commands["command"]],
        address=_addresses(commands, place, protocol.sizes),
        row=np.asarray(commands["row"]),
        column=np.asarray(commands["column"]),
        extra={"count": np.asarray(commands["count"]), "port": np.asarray(commands["port"])},
        counts={"row_hits": totals["hits"], "row_misses": accesses - totals["hits"], "row_accesses": accesses},
        issued={name: count for name, count in issued.items() if count},
        reasons=dict(zip(NATIVE_REASONS, run.state.stall.sum(axis=(0, 1)).tolist(), strict=True)),
    )


def _flat(fields: Integers, place: int, sizes: tuple[int, ...]) -> tuple[Integers, Integers]:
    """Return channel and bank in the channel of every request."""
    bank = np.zeros(len(fields), np.int64)
    for level in range(place + 1, len(sizes)):
        bank = bank * sizes[level] + fields[:, level]
    return fields[:, place], bank


def _addresses(commands: Any, place: int, sizes: tuple[int, ...]) -> Integers:
    """Return one index per level of every command of a log."""
    address = np.zeros((len(commands), len(sizes)), np.int64)
    address[:, place] = commands["channel"]
    rest = np.asarray(commands["bank"])
    for level in range(len(sizes) - 1, place, -1):
        rest, address[:, level] = np.divmod(rest, sizes[level])
    return address


def _starts(trace: RequestTrace, bank: Integers, part: Integers, most: int) -> NDArray[np.bool_]:
    """Return which requests of a channel begin a row access; the others go on with the one before."""
    row, column = trace.fields[part, -2], trace.fields[part, -1]
    same = np.zeros(len(part), bool)
    if most > 1:
        columns = (bank[part], row, trace.is_write[part], trace.at[part])
        same[1:] = np.logical_and.reduce([np.diff(values) == 0 for values in columns]) & (np.diff(column) == 1)
    number = np.arange(len(part))
    first = np.maximum.accumulate(np.where(same, 0, number))
    begins: NDArray[np.bool_] = (number - first) % most == 0
    return begins


def _requests(trace: RequestTrace, bank: Integers, part: Integers, start: NDArray[np.bool_]) -> Any:
    """Return the row accesses of one channel."""
    heads = part[start]
    requests = NATIVE_REQUEST.zeros(len(heads))
    requests["at"], requests["bank"], requests["is_write"] = trace.at[heads], bank[heads], trace.is_write[heads]
    requests["first_row"], requests["rows"] = trace.fields[heads, -2], 1
    requests["first_column"] = trace.fields[heads, -1]
    requests["columns"] = np.diff(np.flatnonzero(start), append=len(part))
    return requests
