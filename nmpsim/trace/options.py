"""What to record: level, units, window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nmpsim.errors import Fault, NmpsimError
from nmpsim.trace.units import CORE_KINDS, KINDS, Unit

LEVELS = ("none", "coarse", "full")
"""Nothing; the units of the cores and their instructions; every unit, bank and port, and the DRAM commands."""


@dataclass(frozen=True)
class TraceOptions:
    """What to record.

    Parameters
    ----------
    level : str
        One of `LEVELS`.
    units : tuple of str
        Kinds of units, each perhaps with PUs (``bank@0-3``); empty = all of the level.
    start, end : int or None
        Window in core cycles, the end not included; None = open.
    """

    level: str = "none"
    units: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None

    def wants(self, kind: str, pu: int) -> bool:
        """Whether a kind of units of a PU is recorded."""
        if self.level == "none" or (self.level == "coarse" and kind not in CORE_KINDS):
            return False
        if not self.units:
            return True
        return any(name == kind and (pus is None or pu in pus) for name, pus in map(_parse, self.units))

    @property
    def full(self) -> bool:
        """Whether anything beyond the units of the cores is recorded."""
        kinds = set(KINDS) - CORE_KINDS
        return self.level == "full" and (not self.units or any(_parse(text)[0] in kinds for text in self.units))

    def chosen(self, units: Sequence[Unit]) -> list[bool]:
        """Whether each unit of a table is recorded.

        Parameters
        ----------
        units : sequence of Unit
        """
        return [self.wants(unit.kind, unit.pu) for unit in units]


def _parse(text: str) -> tuple[str, set[int] | None]:
    kind, at, pus = text.partition("@")
    if not at:
        return kind, None
    chosen: set[int] = set()
    for part in pus.split("+"):
        low, dash, high = part.partition("-")
        chosen.update(range(int(low), int(high if dash else low) + 1))
    return kind, chosen


def _unit_fault(text: str) -> Fault | None:
    try:
        kind, pus = _parse(text)
    except ValueError:
        return Fault("--trace-units", repr(text), "KIND or KIND@PUS, such as bank@0-3+7", "correct the PUs")
    if kind not in KINDS:
        return Fault("--trace-units", repr(text), ", ".join(KINDS), "name kinds of units")
    if pus is not None and not pus:
        return Fault("--trace-units", repr(text), "PUs in rising order, such as bank@0-3+7", "correct the PUs")
    return None


def trace_options(
    level: str, units: Sequence[str] = (), start: int | None = None, end: int | None = None
) -> TraceOptions:
    """Return checked options.

    Parameters
    ----------
    level : str
        One of `LEVELS`.
    units : sequence of str
        As in `TraceOptions`.
    start, end : int, optional
        Window in core cycles.

    Raises
    ------
    NmpsimError
        With every fault found.
    """
    faults = [fault for fault in map(_unit_fault, units) if fault is not None]
    if level not in LEVELS:
        faults.append(Fault("--trace", repr(level), " or ".join(LEVELS), "choose one of them"))
    elif level == "none" and (units or start is not None or end is not None):
        faults.append(Fault("--trace", "'none' with a filter", "coarse or full", "add --trace full"))
    if level == "coarse" and not faults:
        beyond = [text for text in units if _parse(text)[0] not in CORE_KINDS]
        faults += [Fault("--trace-units", repr(text), "for --trace full only", "add --trace full") for text in beyond]
    if start is not None and start < 0:
        faults.append(Fault("--from", str(start), "a core cycle, 0 or later", "correct it"))
    if end is not None and end <= (start or 0):
        faults.append(Fault("--to", str(end), f"a core cycle after {start or 0}", "correct the window"))
    if faults:
        raise NmpsimError("cannot record that", faults)
    return TraceOptions(level, tuple(units), start, end)
