"""The rules of the native controller as a `Protocol`, from the integers that the cycle models are built from.

Levels: Die, Channel, Group (`port_banks` adjacent banks over their ports), Bank.  Ports are no level, since which one a
column takes is not in its address: rows of level ``"Port"`` hold between columns of one port of one group.

    level     after           before         at least
    Bank      (any)           (any)          latency[tier], one figure per tier
    Port      RD / WR         RD / WR        nBL
    Port      RD              WR             nRTW of tier 0
    Port      WR              RD             nCWL + nCCD + nWTR of tier 0
    Channel   ACT             ACT            nRRD; nFAW, the 4th back
    Die       ACT             ACT            die_nRRD; die_nFAW, the `die_acts`-th back

Source: docs/dram/native.md and the table of `nmpsim.spec.resolve`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from nmpsim.spec.params import ACT, COMMANDS, PRE, RD, REF, WR, DramParams, MachineParams
from nmpsim.spec.protocol import Bus, Command, Constraint, Effect, Protocol

PORT = "Port"
"""Level of rows that hold per port of a group."""

LEVELS = ("Die", "Channel", "Group", "Bank")

_RULES = {
    (ACT, ACT): "nRC",
    (ACT, PRE): "nRAS",
    (ACT, RD): "nRCD",
    (ACT, WR): "nRCD",
    (ACT, REF): "nRC",
    (PRE, ACT): "nRP",
    (PRE, REF): "nRP",
    (RD, PRE): "nRTP",
    (RD, RD): "nCCD",
    (RD, WR): "nRTW",
    (WR, PRE): "nCWL + nCCD + nWR",
    (WR, RD): "nCWL + nCCD + nWTR",
    (WR, WR): "nCCD",
    (REF, ACT): "nRFC",
    (REF, REF): "nRFC",
}
_EFFECTS: dict[int, Effect] = {ACT: "open", PRE: "close"}


def native_protocol(
    params: DramParams,
    latency: NDArray[np.int64],
    channels: int = 1,
    period_ps: Fraction | int = 1000,
    name: str = "native",
    command_pJ: tuple[float, ...] = (),
) -> Protocol:
    """Return the protocol of all channels of a die.

    Parameters
    ----------
    params : DramParams
        One channel.
    latency : ndarray of int64, shape (tier, 5, 5)
        ``latency[tier, previous, next]`` of one bank; DRAM cycles, -1 = no rule.
    channels : int
        Channels of the die.
    period_ps : Fraction or int
        DRAM cycle; ps.  `Protocol.tick_ps` is the nearest integer.
    name : str
        Name of the preset or chip.
    command_pJ : tuple of float
        Energy of each of `COMMANDS`; pJ.
    """
    return Protocol(
        name=name,
        levels=LEVELS,
        sizes=(1, channels, -(-params.banks // params.port_banks), params.port_banks),
        rows=params.rows,
        columns=params.columns,
        transaction_bytes=params.column_bytes,
        rows_per_tier=params.rows_per_tier,
        tick_ps=round(period_ps),
        ticks_per_ck=1,
        commands=tuple(
            Command(word, _bus(number), 1, "Bank", _EFFECTS.get(number, "none")) for number, word in enumerate(COMMANDS)
        ),
        constraints=(*_bank_rows(latency), *_port_rows(params, latency), *_budget_rows(params)),
        timing=_timing(params, latency),
        read_latency=params.nCL + params.nPORT,
        command_pJ=dict(zip(COMMANDS, command_pJ, strict=True)) if command_pJ else {},
    )


def machine_protocol(machine: MachineParams) -> Protocol:
    """Return the protocol of the DRAM of a resolved chip.

    Parameters
    ----------
    machine : MachineParams
        From `nmpsim.spec.resolve`.
    """
    return native_protocol(
        machine.dram,
        machine.latency,
        machine.cores,
        machine.dram_period * machine.tick_ps,
        machine.name,
        machine.command_pJ,
    )


def _bus(command: int) -> Bus:
    return "column" if command in {RD, WR} else "row"


def _bank_rows(latency: NDArray[np.int64]) -> Iterator[Constraint]:
    """Yield the rows between commands of one bank, one figure per tier; at most one command per cycle."""
    yield Constraint("Bank", COMMANDS, COMMANDS, (1,), "one command of a bank per cycle")
    for previous, after in enumerate(COMMANDS):
        for following, before in enumerate(COMMANDS):
            cycles = tuple(int(n) for n in latency[:, previous, following])
            if max(cycles) >= 0:
                rule = _RULES.get((previous, following), f"{after} to {before}")
                yield Constraint("Bank", (after,), (before,), cycles, rule)


def _port_rows(params: DramParams, latency: NDArray[np.int64]) -> Iterator[Constraint]:
    """Yield the rows between columns of one shared port; a private port has only those of its bank."""
    if params.port_banks <= 1:
        return
    for previous, following in ((RD, RD), (WR, WR), (RD, WR), (WR, RD)):
        same = previous == following
        cycles = params.nBL if same else max(1, int(latency[0, previous, following]))
        rule = "nBL" if same else _RULES[previous, following]
        yield Constraint(PORT, (COMMANDS[previous],), (COMMANDS[following],), (cycles,), rule)


def _budget_rows(params: DramParams) -> Iterator[Constraint]:
    """Yield the activation budgets; 0 = no rule."""
    act = (COMMANDS[ACT],)
    for level, cycles, rule, window in (
        ("Channel", params.nRRD, "nRRD", 1),
        ("Channel", params.nFAW, "nFAW", 4),
        ("Die", params.die_nRRD, "die_nRRD", 1),
        ("Die", params.die_nFAW, "die_nFAW", params.die_acts),
    ):
        if cycles > 0:
            yield Constraint(level, act, act, (cycles,), rule, window)


def _timing(params: DramParams, latency: NDArray[np.int64]) -> dict[str, int]:
    """Return every timing; those that differ by tier have the tier behind them, as ``nRCD[0]``."""
    timing = {
        key: getattr(params, key)
        for key in ("nCL", "nCWL", "nPORT", "nCREDIT", "nBL", "nRRD", "nFAW", "die_nRRD", "die_nFAW", "nREFI")
    }
    for (previous, following), rule in _RULES.items():
        cycles = latency[:, previous, following]
        if rule.isidentifier() and rule not in timing:
            if len(set(cycles.tolist())) == 1:
                timing[rule] = int(cycles[0])
            else:
                timing |= {f"{rule}[{tier}]": int(n) for tier, n in enumerate(cycles)}
    column = params.nCWL + int(latency[0, RD, RD])
    timing["nWR"] = int(latency[0, WR, PRE]) - column
    timing["nWTR"] = int(latency[0, WR, RD]) - column
    return timing
