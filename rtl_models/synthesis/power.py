"""Energy of a mapped block per cycle: Liberty tables times counted changes of its nets.

Of each change of a net: half C V^2 of the pins and wires at it, and the mean of rise and fall of the internal energy of
the cell that drives it, at its load and slew, over all its inputs.  Of a flip-flop in addition: both clock edges, and
the changes of its data input.  Tables of several supplies are added, as the format defines it.

Limits: passive energy of gates whose output does not change is left out (in ASAP7 it adds up to about nothing over a
rise and a fall); wires as in `rtl_models.synthesis.timing`; of the clock tree only the pins are counted, no buffers;
leakage is the state-independent value of each cell at the temperature of the library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rtl_models.synthesis.activity import Activity
from rtl_models.synthesis.liberty import Cell, Power
from rtl_models.synthesis.mapping import Instance
from rtl_models.synthesis.timing import Timing

_EDGES = ("rise_power", "fall_power")


@dataclass(frozen=True)
class Energy:
    """Mean energy of a cycle or of an operation; fJ."""

    switching: float  # loads: pins and wires
    internal: float  # inside gates, and inside flip-flops when their output changes
    clock: float  # clock pins of flip-flops, inside and at their pins

    @property
    def total(self) -> float:
        """Sum of all."""
        return self.switching + self.internal + self.clock

    def over(self, operations: float) -> Energy:
        """Return the energy of one of so many operations a cycle."""
        return Energy(self.switching / operations, self.internal / operations, self.clock / operations)


def energy_of(timing: Timing, activity: Activity) -> Energy:
    """Return the mean energy of a cycle of a simulated block.

    Parameters
    ----------
    timing : Timing
        The block.
    activity : Activity
        Changes of its nets.
    """
    half_volts = 0.5 * timing.liberty.volts**2
    clocks = set(timing.netlist.inputs["clk"])
    switching = internal = clock = 0.0
    for net, changes in activity.toggles.items():
        if net not in clocks:
            switching += changes * half_volts * timing.load.get(net, 0.0)
    for instance in timing.netlist.instances:
        cell = timing.cells[instance.kind]
        changed = 0
        for pin in cell.pins.values():
            at = instance.nets.get(pin.name)
            if not isinstance(at, int):
                continue
            changes = activity.toggles.get(at, 0)
            if pin.is_output:
                changed = max(changed, changes)
                internal += changes * _output(timing, instance, at, pin.powers)
            elif cell.is_flop and not pin.is_clock:
                internal += changes * _mean(pin.powers, _EDGES, {"slew": max(timing.slew[at])})
        if cell.is_flop:
            clock += _clock(timing, cell, activity.cycles, changed)
    return Energy(*(part / activity.cycles for part in (switching, internal, clock)))


def _output(timing: Timing, instance: Instance, net: int, powers: Iterable[Power]) -> float:
    """Return the mean internal energy of a change of an output."""
    by_input: dict[str, list[Power]] = {}
    for power in powers:
        by_input.setdefault(power.related, []).append(power)
    found = []
    for pin, tables in by_input.items():
        source = instance.nets.get(pin)
        is_clock = timing.cells[instance.kind].is_flop
        slew = timing.clock_slew if is_clock else max(timing.slew[source]) if isinstance(source, int) else 0.0
        found.append(_mean(tables, _EDGES, {"slew": slew, "load": timing.load.get(net, 0.0)}))
    return sum(found) / len(found) if found else 0.0


def _clock(timing: Timing, cell: Cell, cycles: int, changed: int) -> float:
    """Return the energy of the clock pin of a flip-flop in all cycles; the rise of a change is that of the output."""
    pin = next(p for p in cell.pins.values() if p.is_clock)
    place = {"slew": timing.clock_slew}
    rise, fall = (_mean(pin.powers, (edge,), place) for edge in _EDGES)
    load = timing.liberty.volts**2 * (pin.capacitance + timing.wire_fF)  # a rise and a fall
    return (cycles - min(changed, cycles)) * rise + cycles * (fall + load)


def _mean(powers: Iterable[Power], edges: Iterable[str], place: dict[str, float]) -> float:
    """Return the mean over edges of the mean over states of a pin's internal energy, all supplies added.

    A table without an axis is the library's way to say that this cannot happen in that state.
    """
    found = []
    for edge in edges:
        by_state: dict[str, float] = {}
        for power in powers:
            table = power.tables.get(edge)
            if table is not None and table.axes:
                by_state[power.when] = by_state.get(power.when, 0.0) + table.at(place)
        found.append(sum(by_state.values()) / len(by_state) if by_state else 0.0)
    return sum(found) / len(found) if found else 0.0
