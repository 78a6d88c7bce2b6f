"""The units of a trace: one table for the whole die, and the reasons of each family of units.

A unit is one row: ``pu 3 bank 5``.  Its number is its place in the table.  The reasons of cores, of what is only
watched (receivers, ports) and of banks have names of their own, so a reason is a number too: families lie one behind
the other.  Units of PU after PU come first, then the links: between routers, then between stacks, each with the PU
that sends on it.  Where PUs have several cores, PU stands for core here; links inside PUs come before those between
them, which belong to the first core of the PU that sends.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.core.state import REASONS as CORE_REASONS
from nmpsim.core.state import WATCH_REASONS, WATCHED, actors_of, missing_units, watched
from nmpsim.dram.native.state import REASONS as BANK_REASONS
from nmpsim.noc.die.state import LINK_REASONS
from nmpsim.noc.die.topology import die_links
from nmpsim.program.isa import ARRAY, UNIT_NAMES, UNITS
from nmpsim.spec.params import MachineParams

PORT_REASONS = ("column", "no_column")
"""What a data port of a channel does in a DRAM cycle; derived from the commands."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "core": CORE_REASONS,
    "watch": WATCH_REASONS,
    "bank": BANK_REASONS,
    "port": PORT_REASONS,
    "link": LINK_REASONS,
}

LETTERS: dict[str, str] = {
    "core": "# wlaLdrepbcQ.",
    "watch": "# p",
    "bank": "#APldBR tp",
    "port": "# ",
    "link": "# cv",
}
"""One letter per reason of a family, for the text of one line per cycle: `#` works, blank has nothing to do."""

KINDS = (
    "sequencer", "array", "vector", "move", "send", "copy", "receive", "buffer", "bank", "port", "link",
    "pu_link", "stack_link", "command", "instruction",
)  # fmt: skip
"""Kinds of units and events that a recording can be restricted to."""

CORE_KINDS = {"sequencer", "array", "vector", "move", "send", "copy", "instruction"}
"""Kinds that a coarse trace has."""


@dataclass(frozen=True)
class Unit:
    """One unit of the die.

    Parameters
    ----------
    number : int
        Place in the table.
    pu : int
        Its processing unit.
    row : int
        Row in the log of its core, or number of its bank, port or link.
    kind : str
        One of `KINDS`.
    name : str
        Name within the PU.
    family : str
        Whose reasons it has.
    period : int
        Its clock period; ticks.
    measure : str
        What the value of an interval counts, per cycle; empty if it has none.
    peak : int
        Largest value.
    """

    number: int
    pu: int
    row: int
    kind: str
    name: str
    family: str
    period: int
    measure: str
    peak: int


def first_reason(family: str) -> int:
    """Number of the first reason of a family."""
    first = 0
    for name, reasons in FAMILIES.items():
        if name == family:
            return first
        first += len(reasons)
    raise KeyError(family)


def reason_names() -> tuple[str, ...]:
    """Names of all reasons, by number."""
    return tuple(name for reasons in FAMILIES.values() for name in reasons)


def reason_letters() -> str:
    """Letters of all reasons, by number."""
    return "".join(LETTERS[family] for family in FAMILIES)


def ports_of(params: MachineParams) -> int:
    """Data ports of a channel: one per bank, or the shared ones."""
    dram = params.dram
    return -(-dram.banks // dram.port_banks) * dram.ports if dram.port_banks > 1 else dram.banks


def _rows(params: MachineParams) -> list[tuple[int, str, str, str, int, str, int]]:
    """(row, kind, name, family, period, measure, peak) of the units of one PU, in the order of the table."""
    core, dram = params.core, params.dram
    actors, cycle = actors_of(params), params.core_period
    per_actor = core.macs_per_cycle // actors
    slices = [(UNITS + i, "array", f"slice {i}", "core", cycle, "MAC", per_actor) for i in range(actors)]
    array = slices if actors > 1 else [(UNITS, "array", "array", "core", cycle, "MAC", per_actor)]
    measures = {
        "vector": ("lanes", core.lanes),
        "move": ("beats", 2),
        "send": ("flits", 1),
        "copy": ("bytes", core.copy_bytes),
    }
    others = []
    for u in range(UNITS):
        if u == ARRAY or u in missing_units(params):
            continue
        kind = UNIT_NAMES[u].split("_")[0]
        others.append((u, kind, UNIT_NAMES[u], "core", cycle, *measures[kind]))
    sizes = (1, 1, core.buffer_banks, core.buffer_banks, core.operand_banks, core.output_banks, core.output_banks)
    seen = []
    for w in range(watched(params)):
        kind = "receive" if WATCHED[w].startswith("receive") else "buffer"
        measure = "flits" if kind == "receive" else "ports"
        seen.append((UNITS + actors + w, kind, WATCHED[w], "watch", cycle, measure, sizes[w]))
    sequencer = (ARRAY, "sequencer", "sequencer", "core", cycle, "instructions", 1)
    banks = [(b, "bank", f"bank {b}", "bank", params.dram_period, "", 1) for b in range(dram.banks)]
    ports = [(p, "port", f"port {p}", "port", params.dram_period, "columns", 1) for p in range(ports_of(params))]
    return [*array, *others, sequencer, *seen, *banks, *ports]


def _links(params: MachineParams) -> list[tuple[int, int, str, str, str, int, str, int]]:
    """(pu, row, kind, name, family, period, measure, peak) of the links, in the order of their numbers."""
    gateways = params.stacks > 1
    channels = die_links(params.noc)
    period, across = params.noc_period, params.link.period
    kind = "link" if params.outer is None else "pu_link"
    found = [(c.source, i, kind, f"link to {c.sink}", "link", period, "", 1) for i, c in enumerate(channels)]
    if params.outer is not None:
        first, cores, period = len(channels), params.cores_per_pu, params.outer_period
        return found + [
            (c.source * cores, first + i, "link", f"link to PU {c.sink}", "link", period, "", 1)
            for i, c in enumerate(die_links(params.outer))
        ]
    pus = range(params.cores if gateways else 0)
    return found + [(pu, len(channels) + pu, "stack_link", "link to other stacks", "link", across, "", 1) for pu in pus]


def unit_table(params: MachineParams) -> tuple[Unit, ...]:
    """Return all units of a die.

    Parameters
    ----------
    params : MachineParams
    """
    rows = _rows(params)
    every = [(pu, *row) for pu in range(params.cores) for row in rows] + _links(params)
    return tuple(Unit(number, *row) for number, row in enumerate(every))
