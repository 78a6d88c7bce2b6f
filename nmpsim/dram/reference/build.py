"""From a protocol and the settings of a controller to the integers the kernel works with.

The tree of levels is flattened.  A *unit* is what a command addresses, and ``ready[command, unit]`` is the first tick
that every rule allows; a rule says by how much the issue of one command raises it, and for which range of units::

    RD of bank 5  -->  RD of the banks of its pseudo channel    + nCCDS
                  -->  RD of the banks of its group             + nCCDL
                  -->  PREpb of bank 5                          + nRTP
                  -->  PREab of its pseudo channel              + nRTP

Ready ticks only grow, so raising ranges gives the same answer as asking every node from the root to the bank.  A rule
of a level that is finer than what the later command addresses raises the unit around it: a command to all banks needs
all of them ready.  Rules that another one always covers, and rules of commands that the settings never issue, are
left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, SpecError
from nmpsim.kernel import Record
from nmpsim.spec.protocol import Protocol

ACT, PREPB, RD, WR, RDA, WRA, PREAB, REFAB, REFPB = range(9)
NAMES = ("ACT", "PREpb", "RD", "WR", "RDA", "WRA", "PREab", "REFab", "REFpb")
"""Commands the controller issues; RD and WR, RDA and WRA differ by READS and WRITES, RD and RDA by 2."""

NO_REFRESH, ALL_BANK, PER_BANK, HBM34_PER_BANK = range(4)
REFRESHES = ("NoRefresh", "AllBank", "PerBank", "HBM34PerBankRefresh")
MODELS = ("HBM12", "HBM34")
SCHEDULERS = ("FRFCFS", "FRFCFS-RowHit")
ROW_POLICIES = ("Open", "ClosedCAP")

COLUMNS = ("RD", "WR", "RDA", "WRA")
BUSES = {name: "column" if name in COLUMNS else "row" for name in NAMES}
EFFECTS = dict.fromkeys(("PREpb", "RDA", "WRA", "PREab"), "close") | {"ACT": "open"}


@dataclass(frozen=True)
class ControllerSettings:
    """Everything of the controller that is not the protocol; the defaults are those of Ramulator 2.1 (c5b1c3a).

    Parameters
    ----------
    model : "HBM12" or "HBM34"
        Column and row slot in every tick; or half clocks with the pairing rule.
    read_queue, write_queue, priority_queue : int
        Entries.
    wr_low_watermark, wr_high_watermark : float
        Shares of the write queue at which write mode ends and begins; single precision.
    scheduler : "FRFCFS" or "FRFCFS-RowHit"
        The second one keeps a PREpb behind older hits of its bank.
    refresh : "NoRefresh", "AllBank", "PerBank" or "HBM34PerBankRefresh"
    row_policy : "Open" or "ClosedCAP"
    row_policy_cap : int
        Column commands after which ClosedCAP closes a bank.
    """

    model: Literal["HBM12", "HBM34"] = "HBM12"
    read_queue: int = 32
    write_queue: int = 32
    priority_queue: int = 1568
    wr_low_watermark: float = 0.2
    wr_high_watermark: float = 0.8
    scheduler: Literal["FRFCFS", "FRFCFS-RowHit"] = "FRFCFS"
    refresh: Literal["NoRefresh", "AllBank", "PerBank", "HBM34PerBankRefresh"] = "AllBank"
    row_policy: Literal["Open", "ClosedCAP"] = "Open"
    row_policy_cap: int = 4


RULE = Record(
    "RULE",
    ("following", "", "command that is held back"),
    ("latency", "tick", "by this much after the counted one"),
    ("window", "", "the window-th latest of the preceding commands counts; 1 = this one"),
    ("ring", "", "first ring of its clocks, for windows above 1"),
    ("whole", "", "1: the range is all units of the later command"),
)

RANGE = Record(
    "RANGE",
    ("first", "", "first unit of the later command that is held back"),
    ("last", "", "unit after the last one"),
    ("place", "", "ring of this unit, counted from RULE.ring"),
)


class Limits(NamedTuple):
    """Sizes and switches of one channel."""

    banks: int
    scopes: int  # pseudo channels: units of PREab and REFab, and what the pairing rule tells apart
    sids: int  # stack ids of a pseudo channel
    scope_banks: int  # banks of a pseudo channel
    refab_banks: int  # banks of a unit of PREab and REFab
    read_latency: int  # RD to completion; ticks
    half_clock: int  # 1: column commands on odd ticks only, row commands by the pairing rule on even ones
    guard: int  # 1: FRFCFS-RowHit
    refresh: int  # one of NO_REFRESH, ...
    interval: int  # between refreshes, 0 = none; ticks
    nRFCpb: int  # HBM34_PER_BANK: from the last bank of a set to the next round; ticks
    cap: int  # column commands until ClosedCAP closes a bank; -1 = open policy
    auto_precharge: int  # 1: there are RDA and WRA
    read_queue: int
    write_queue: int
    priority_queue: int
    write_high: int  # write mode begins with at least this many writes
    write_low: int  # write mode ends with fewer than this many writes


class Table(NamedTuple):
    """The rules, by the command that is issued."""

    start: NDArray[np.int64]  # [command + 1]: rules of a command begin here
    rule: Any  # RULE [rule]
    range: Any  # RANGE [rule, unit of the issued command]
    rings: int
    depth: int


def build(protocol: Protocol, settings: ControllerSettings) -> tuple[Limits, Table]:
    """Return the integers of a channel.

    Raises
    ------
    SpecError
        With every reason why the protocol or the settings cannot be had.
    """
    faults = setting_faults(settings) + protocol_faults(protocol, settings)
    if faults:
        raise SpecError(f"{protocol.name}: the reference controller cannot be built", faults)
    used = used_commands(protocol, settings)
    return limits_of(protocol, settings, used), table_of(protocol, used)


def setting_faults(settings: ControllerSettings) -> list[Fault]:
    """Return what is wrong with the settings alone."""
    faults = []
    for field, words in (
        ("model", MODELS),
        ("scheduler", SCHEDULERS),
        ("refresh", REFRESHES),
        ("row_policy", ROW_POLICIES),
    ):
        if getattr(settings, field) not in words:
            faults.append(Fault(f"settings: {field}", repr(getattr(settings, field)), ", ".join(words), "use one"))
    for field, low in (("read_queue", 1), ("write_queue", 1), ("priority_queue", 1), ("row_policy_cap", 0)):
        value = getattr(settings, field)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            faults.append(Fault(f"settings: {field}", repr(value), f"an integer of at least {low}", "change it"))
    for field in ("wr_low_watermark", "wr_high_watermark"):
        value = getattr(settings, field)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            faults.append(Fault(f"settings: {field}", repr(value), "a share, 0 to 1", "change it"))
    return faults


def needed_commands(settings: ControllerSettings) -> tuple[str, ...]:
    """Return the commands without which the settings make no sense."""
    by_refresh = {"AllBank": ("PREab", "REFab"), "PerBank": ("REFpb",), "HBM34PerBankRefresh": ("REFpb",)}
    return ("ACT", "PREpb", "RD", "WR", *by_refresh.get(settings.refresh, ()))


def protocol_faults(protocol: Protocol, settings: ControllerSettings) -> list[Fault]:
    """Return why the protocol does not fit the controller, or the settings the protocol."""
    where = f"protocol {protocol.name}"
    known = {command.name: command for command in protocol.commands}
    faults = [
        Fault(f"{where}: commands", f"no {name}", "every command the settings issue", "add it")
        for name in needed_commands(settings)
        if name not in known
    ]
    for command in known.values():
        if command.name not in BUSES:
            continue
        if command.bus != BUSES[command.name] or command.effect != EFFECTS.get(command.name, "none"):
            todo = f"make it bus {BUSES[command.name]}, effect {EFFECTS.get(command.name, 'none')}"
            faults.append(
                Fault(f"{where}: {command.name}", f"{command.bus}, {command.effect}", "its JEDEC meaning", todo)
            )
        if command.level not in protocol.levels or (
            command.level != protocol.levels[-1] and command.name not in ("PREab", "REFab")
        ):
            faults.append(Fault(f"{where}: {command.name}", f"level {command.level}", "its level", "correct it"))
    if {"PREab", "REFab"} <= set(known) and known["PREab"].level != known["REFab"].level:
        got = f"{known['PREab'].level} and {known['REFab'].level}"
        faults.append(Fault(f"{where}: PREab, REFab", got, "one level for both", "give them the same level"))
    intervals = {"AllBank": ("nREFI",), "PerBank": ("nREFIpb",), "HBM34PerBankRefresh": ("nREFIpb", "nRFCpb")}
    for name in intervals.get(settings.refresh, ()):
        if protocol.timing.get(name, 0) < 1:
            got = repr(protocol.timing.get(name))
            faults.append(Fault(f"{where}: timing {name}", got, "at least 1 tick", "add it, or set NoRefresh"))
    if (settings.model == "HBM34") != protocol.half_clock_edges:
        got = f"{settings.model} with half_clock_edges = {protocol.half_clock_edges}"
        faults.append(Fault(f"{where}: model", got, "HBM34 exactly for half clocks", "choose the other model"))
    for rule in protocol.constraints:
        if len(rule.latency) != 1 and not rule.beyond_peer:
            faults.append(
                Fault(f"{where}: {rule.rule}", f"{len(rule.latency)} tiers", "rows all alike", "use the native model")
            )
        if rule.level not in protocol.levels:
            faults.append(Fault(f"{where}: {rule.rule}", repr(rule.level), ", ".join(protocol.levels), "correct it"))
    return faults


def used_commands(protocol: Protocol, settings: ControllerSettings) -> set[str]:
    """Return the commands that the controller may issue."""
    used = set(needed_commands(settings))
    if settings.row_policy == "ClosedCAP" and {"RDA", "WRA"} <= {command.name for command in protocol.commands}:
        used |= {"RDA", "WRA"}
    return used


def first_above(share: float, entries: int) -> int:
    """Return the least count that lies above a share of a queue, in single precision as the original compares."""
    limit = np.float32(share) * np.float32(entries)
    return next((n for n in range(entries + 1) if np.float32(n) > limit), entries + 1)


def first_not_below(share: float, entries: int) -> int:
    """Return the least count that does not lie below a share of a queue, in single precision."""
    limit = np.float32(share) * np.float32(entries)
    return next((n for n in range(entries + 1) if not np.float32(n) < limit), entries + 1)


def nodes_at(protocol: Protocol, level: str) -> int:
    """Return how many nodes a level has; 1 for a level that the protocol lacks."""
    if level not in protocol.levels:
        return 1
    return int(np.prod(protocol.sizes[: protocol.levels.index(level) + 1]))


def limits_of(protocol: Protocol, settings: ControllerSettings, used: set[str]) -> Limits:
    """Return sizes and switches.

    Parameters
    ----------
    protocol : Protocol
    settings : ControllerSettings
    used : set of str
        Commands that may be issued.
    """
    banks = protocol.banks
    scopes = nodes_at(protocol, "PseudoChannel")
    sids = protocol.sizes[protocol.levels.index("Sid")] if "Sid" in protocol.levels else 1
    timing = protocol.timing
    refresh = REFRESHES.index(settings.refresh)
    interval = {NO_REFRESH: 0, ALL_BANK: timing.get("nREFI", 0)}.get(refresh, timing.get("nREFIpb", 0))
    refab = nodes_at(protocol, protocol.command("REFab").level) if "REFab" in used else 1
    return Limits(
        banks=banks,
        scopes=scopes,
        sids=sids,
        scope_banks=banks // scopes,
        refab_banks=banks // refab,
        read_latency=protocol.read_latency,
        half_clock=int(settings.model == "HBM34"),
        guard=int(settings.scheduler == "FRFCFS-RowHit"),
        refresh=refresh,
        interval=interval,
        nRFCpb=timing.get("nRFCpb", 0),
        cap=settings.row_policy_cap if settings.row_policy == "ClosedCAP" else -1,
        auto_precharge=int("RDA" in used),
        read_queue=settings.read_queue,
        write_queue=settings.write_queue,
        priority_queue=settings.priority_queue,
        write_high=first_above(settings.wr_high_watermark, settings.write_queue),
        write_low=first_not_below(settings.wr_low_watermark, settings.write_queue),
    )


class _Rule(NamedTuple):
    """A rule between two commands at one level."""

    preceding: str
    following: str
    level: int
    window: int
    sibling: bool


def _covered(rule: _Rule, latency: int, rules: dict[_Rule, int]) -> bool:
    """Return whether a rule of a coarser level always asks for at least as much."""
    return (
        rule.window == 1
        and not rule.sibling
        and any(rules.get(rule._replace(level=coarser), -1) >= latency for coarser in range(rule.level))
    )


def table_of(protocol: Protocol, used: set[str]) -> Table:
    """Return the rules between the commands that may be issued.

    Parameters
    ----------
    protocol : Protocol
        Its rules beyond the peer are left out.
    used : set of str
        Commands that may be issued.
    """
    merged: dict[_Rule, int] = {}
    for constraint in protocol.constraints:
        if constraint.beyond_peer:
            continue
        level = protocol.levels.index(constraint.level)
        for first in used.intersection(constraint.preceding):
            for second in used.intersection(constraint.following):
                key = _Rule(first, second, level, constraint.window, constraint.sibling)
                merged[key] = max(merged.get(key, 0), constraint.latency[0])
    kept = sorted(
        (NAMES.index(key.preceding), NAMES.index(key.following), key, latency)
        for key, latency in merged.items()
        if not _covered(key, latency, merged)
    )
    rows: list[tuple[int, dict[str, int], Any]] = []
    rings, depth = 0, 0
    for preceding, following, key, latency in kept:
        ranges, own_rings = _ranges(protocol, key)
        window = 1 if key.sibling else key.window
        for part in ranges:
            units = part["last"] - part["first"]
            whole = int((units == nodes_at(protocol, protocol.command(key.following).level)).all())
            fields = {"following": following, "latency": latency, "window": window, "ring": rings, "whole": whole}
            rows.append((preceding, fields, part))
        if window > 1:
            rings, depth = rings + own_rings, max(depth, window)
    rule = RULE.zeros(len(rows))
    spans = RANGE.zeros(len(rows), protocol.banks)
    start = np.zeros(len(NAMES) + 1, np.int64)
    for number, (preceding, values, part) in enumerate(rows):
        for name, value in values.items():
            rule[name][number] = value
        spans[number, : len(part)] = part
        start[preceding + 1 :] = number + 1
    return Table(start, rule, spans, rings, depth)


def _ranges(protocol: Protocol, rule: _Rule) -> tuple[list[Any], int]:
    """Return, per unit of the earlier command, the units held back (two parts around a sibling), and the rings."""
    banks = protocol.banks
    below = [banks // nodes_at(protocol, level) for level in protocol.levels]
    mine = protocol.levels.index(protocol.command(rule.preceding).level)
    width = below[protocol.levels.index(protocol.command(rule.following).level)]
    level = min(rule.level, mine)  # nodes below an address are all addressed
    unit = np.arange(banks // below[mine])
    node = unit * below[mine] // below[level]
    spans = [(node * below[level], (node + 1) * below[level])]
    if rule.sibling:
        around = below[rule.level - 1] if rule.level else below[0]
        parent = node * below[level] // around * around
        spans = [(parent, spans[0][0]), (spans[0][1], parent + around)]
        if rule.level > mine:
            spans = [(parent, parent)]
    parts = []
    for low, high in spans:
        part = RANGE.zeros(len(unit))
        part["first"] = low // width
        part["last"] = np.where(high > low, -(-high // width), low // width)
        part["place"] = node
        parts.append(part)
    return parts, banks // below[level]
