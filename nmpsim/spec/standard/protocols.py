"""From a protocol table to a `Protocol`: a device, a speed bin, overrides, and the numbers in ticks.

Order of the steps, as in Ramulator 2.1, so that one set of overrides means the same in both:

1. the organisation, then its overrides;
2. the speed bin, then the rules for what it does not give (they see the overridden organisation);
3. overrides of timings; nothing is computed from an overridden timing again;
4. command clocks become ticks: every ``nXXX`` times `ticks_per_ck`, the length of a tick divided without remainder;
5. latencies between first ticks: ``nominal + (t(after) - 1) - (t(before) - 1)`` for commands of t ticks;
6. a command of t > 1 ticks keeps every command of its bus away from the whole channel for t ticks.

Source: Ramulator 2.1 (CMU-SAFARI/ramulator2, c5b1c3a).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

from nmpsim.errors import Fault, SpecError
from nmpsim.spec.faults import nearest
from nmpsim.spec.protocol import Command, Constraint, Protocol
from nmpsim.spec.standard.checks import BIN_KEYS, shape_keys, timing_names
from nmpsim.spec.standard.expression import parse
from nmpsim.spec.standard.read import read_table
from nmpsim.spec.standard.table import MOST_CK, Numbers, Rule, Table
from nmpsim.units import exact

NEVER_ZERO = ("nBL", "nREFI", "nREFIpb", "nCL")
"""Timings that a controller divides by or waits for at least one clock."""


def load_standard(
    name: str | Path,
    organisation: str | None = None,
    timing: str | None = None,
    overrides: Mapping[str, int] | None = None,
    *,
    peer_exact: bool = False,
) -> Protocol:
    """Return the protocol of one channel of a standard.

    Parameters
    ----------
    name : str or Path
        A name of `standard_names` (whatever the case), or the path of a table (``.toml``).
    organisation, timing : str, optional
        Names of a device and of a speed bin in the table; its own defaults if None.
    overrides : mapping of str to int, optional
        New values by key: of the organisation (``bank``, ``row``, ``channel_width``, ...) or of a timing in command
        clocks (``nRCDRD``, ...), or ``tCK_ps``.
    peer_exact : bool
        Leave out the rules that Ramulator 2.1 does not have.

    Raises
    ------
    SpecError
        With every fault of the table, or of what was asked for.
    """
    return protocol_of(read_table(name), organisation, timing, overrides, peer_exact=peer_exact)


def protocol_of(
    table: Table,
    organisation: str | None = None,
    timing: str | None = None,
    overrides: Mapping[str, int] | None = None,
    *,
    peer_exact: bool = False,
) -> Protocol:
    """Return the protocol of one channel of a table that was read already; see `load_standard`.

    Parameters
    ----------
    table : Table
        From `read_table`.
    organisation, timing : str, optional
        Names of a device and of a speed bin in the table; its own defaults if None.
    overrides : mapping of str to int, optional
        New values by key.
    peer_exact : bool
        Leave out the rules that Ramulator 2.1 does not have.

    Raises
    ------
    SpecError
        With every fault of what was asked for.
    """
    wanted = {
        "organisation": organisation if organisation is not None else table.standard.organisation,
        "timing": timing if timing is not None else table.standard.timing,
    }
    faults = [
        *_unknown(table, "organisation", wanted["organisation"], table.organisation),
        *_unknown(table, "timing", wanted["timing"], table.timing),
        *_override_faults(table, overrides or {}),
    ]
    if faults:
        raise SpecError(f"cannot make a protocol of {table.standard.name}", faults)
    shape, clocks = _resolved(table, wanted["organisation"], wanted["timing"], overrides or {})
    return _protocol(table, shape, clocks, peer_exact=peer_exact)


def _unknown(table: Table, kind: str, name: str, known: Mapping[str, Numbers]) -> Iterator[Fault]:
    """Yield a fault if a preset is not in the table."""
    if name not in known:
        close = nearest(name, known)
        advice = f"did you mean {close}?" if close else "use one of these"
        yield Fault(f"{kind} of {table.standard.name}", repr(name), ", ".join(known), advice)


def _override_faults(table: Table, overrides: Mapping[str, int]) -> Iterator[Fault]:
    """Yield what is wrong with overrides."""
    shape, timings = shape_keys(table), sorted(timing_names(table))
    known = [*shape, "tCK_ps", *timings]
    for key, value in overrides.items():
        if key not in known:
            close = nearest(key, known)
            advice = f"did you mean {close}?" if close else "use one of these"
            yield Fault(f"override {key}", repr(value), ", ".join(known), advice)
            continue
        least = 1 if key in {*shape, *NEVER_ZERO} else table.standard.ticks_per_ck if key == "tCK_ps" else 0
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_CK:
            yield Fault(f"override {key}", repr(value), f"an integer from {least} to {MOST_CK}", "change the value")


def _resolved(
    table: Table, organisation: str, timing: str, overrides: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the organisation, and all timings in command clocks (with ``tCK_ps``, without ``rate``).

    Raises
    ------
    SpecError
        If the sizes do not fit one another, or a rule has no value for them.
    """
    shape = table.organisation[organisation].values
    shape |= {key: value for key, value in overrides.items() if key in shape_keys(table)}
    where = f"organisation {organisation} of {table.standard.name}"
    faults = list(_shape_faults(table, shape, where))
    clocks = table.timing[timing].values
    for name, rule in table.rule.items():
        if name not in clocks and not rule.same_as:
            value = _by_rule(rule, shape, clocks["tCK_ps"])
            if value is None:
                asked = f"{rule.by} / {rule.per} = {float(_size(rule, shape)):g}"
                faults.append(Fault(where, asked, f"at most {rule.steps[-1].upto}, for {name}", f"override {name}"))
                value = overrides.get(name, 0)
            clocks[name] = value
    for name, rule in table.rule.items():
        if name not in clocks:
            clocks[name] = clocks[rule.same_as]
    faults = [fault for fault in faults if not _overridden(fault, overrides)]
    if faults:
        raise SpecError(f"cannot make a protocol of {table.standard.name}", faults)
    clocks |= {key: value for key, value in overrides.items() if key not in shape}
    return shape, {key: value for key, value in clocks.items() if key != "rate"}


def _overridden(fault: Fault, overrides: Mapping[str, int]) -> bool:
    """Return whether an override gives the value that a rule could not."""
    return fault.todo.startswith("override ") and fault.todo.removeprefix("override ") in overrides


def _shape_faults(table: Table, shape: Mapping[str, int], where: str) -> Iterator[Fault]:
    """Yield what does not fit in an organisation."""
    prefetch = table.standard.prefetch
    if shape["column"] % prefetch:
        allowed = f"a multiple of {prefetch}"
        yield Fault(where, f"column = {shape['column']}", allowed, "RD and WR move whole prefetches: change column")
    if shape["channel_width"] * prefetch % 8:
        yield Fault(where, f"channel_width = {shape['channel_width']}", "whole bytes", "change channel_width")


def _size(rule: Rule, shape: Mapping[str, int]) -> Fraction:
    return Fraction(parse(rule.by).value(shape), max(1, parse(rule.per).value(shape)))


def _by_rule(rule: Rule, shape: Mapping[str, int], tck_ps: int) -> int | None:
    """Return a timing in command clocks; None if the rule has no step for the size."""
    ns = rule.ns
    if rule.steps:
        size = _size(rule, shape)
        ns = next((step.ns for step in rule.steps if step.upto is None or size <= step.upto), None)
        if ns is None:
            return None
    assert ns is not None  # exactly one of ns, steps, same_as
    shared = max(1, parse(rule.shared_by).value(shape))
    return max(rule.least_ck, math.ceil(exact(ns) * 1000 / shared / tck_ps))


def _protocol(table: Table, shape: dict[str, int], clocks: dict[str, int], *, peer_exact: bool) -> Protocol:
    """Return the protocol of resolved sizes and timings."""
    standard = table.standard
    factor = standard.ticks_per_ck
    ticks = {key: value * factor for key, value in clocks.items() if key not in BIN_KEYS}
    commands = tuple(Command(row.name, row.bus, row.ticks, row.level, row.effect) for row in table.command)
    return Protocol(
        name=standard.name,
        levels=standard.levels,
        sizes=(1, *(shape[level.lower()] for level in standard.levels[1:])),
        rows=shape["row"],
        columns=shape["column"] // standard.prefetch,
        transaction_bytes=standard.prefetch * shape["channel_width"] // 8,
        rows_per_tier=shape["row"],
        tick_ps=clocks["tCK_ps"] // factor,
        ticks_per_ck=factor,
        commands=commands,
        constraints=(
            *_bus_rows(commands, standard.levels[0]),
            *_timing_rows(table, commands, ticks, peer_exact=peer_exact),
        ),
        timing=ticks,
        read_latency=parse(standard.read_latency).value(ticks),
        command_pJ=_energies(table, commands, shape),
        half_clock_edges=standard.half_clock_edges,
    )


def _energies(table: Table, commands: tuple[Command, ...], shape: Mapping[str, int]) -> dict[str, float]:
    """Return the energy of every command; one that refreshes many banks takes that of one times their number."""
    energy = table.energy
    single = {"ACT": energy.ACT_pJ, "RD": energy.RD_pJ, "RDA": energy.RD_pJ, "WR": energy.WR_pJ, "WRA": energy.WR_pJ}
    levels = table.standard.levels
    found = {}
    for command in commands:
        below = levels[levels.index(command.level) + 1 :]
        banks = math.prod(shape[level.lower()] for level in below)
        if command.name in single:
            found[command.name] = single[command.name].value
        else:
            found[command.name] = 0.0 if command.effect == "close" else energy.REF_pJ.value * banks
    return found


def _bus_rows(commands: tuple[Command, ...], root: str) -> Iterator[Constraint]:
    """Yield the occupation of each command bus by commands longer than one tick."""
    for bus in dict.fromkeys(command.bus for command in commands):
        carried = [command for command in commands if command.bus == bus]
        for length in dict.fromkeys(command.ticks for command in carried):
            if length > 1:
                long = tuple(command.name for command in carried if command.ticks == length)
                everyone = tuple(command.name for command in carried)
                yield Constraint(root, long, everyone, (length,), f"{length} ticks of the {bus} bus")


def _timing_rows(
    table: Table, commands: tuple[Command, ...], ticks: Mapping[str, int], *, peer_exact: bool
) -> Iterator[Constraint]:
    """Yield the rows of the table in ticks, one per pair of command lengths."""
    length = {command.name: command.ticks for command in commands}
    for row in table.constraint:
        if row.beyond_peer and peer_exact:
            continue
        nominal = parse(row.latency).value(ticks)
        for first in dict.fromkeys(length[name] for name in row.after):
            for second in dict.fromkeys(length[name] for name in row.before):
                yield Constraint(
                    level=row.level,
                    preceding=tuple(name for name in row.after if length[name] == first),
                    following=tuple(name for name in row.before if length[name] == second),
                    latency=(nominal + first - second,),
                    rule=row.latency,
                    window=row.window,
                    sibling=row.sibling,
                    beyond_peer=row.beyond_peer,
                )
