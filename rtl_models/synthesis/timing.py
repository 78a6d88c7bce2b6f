"""Static timing of a mapped block: loads, slews, arrival times, critical path.

Method: the tables of the Liberty files, rise and fall apart, the worst of all inputs of a cell.  Every input of a block
is taken to come from a flip-flop at the same clock edge and every output to end at one, so the path is what the clock
period must hold: clock to output, gates, set-up.  Limits: no placement (each sink adds a stated length of wire, as
capacitance; wires have no resistance), one corner, an ideal clock without skew or jitter, no false paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rtl_models.synthesis.liberty import Arc, Cell, Library
from rtl_models.synthesis.libraries import UM_PER_SINK, Kit
from rtl_models.synthesis.mapping import Instance, Netlist

RISE, FALL = 0, 1
_NAMES = ("rise", "fall")


@dataclass(frozen=True)
class Path:
    """The critical path.

    Parameters
    ----------
    ps : float
        Shortest clock period; ps.
    cells : tuple of str
        Kinds of the cells passed, the launching flip-flop first.
    start, end : str
        A port or the name of a flip-flop.
    """

    ps: float
    cells: tuple[str, ...]
    start: str
    end: str


class Timing:
    """Loads, slews and arrivals of every net of a block.

    Parameters
    ----------
    netlist : Netlist
    library : Library
    kit : Kit
    wires : bool
        Count the capacitance of wires.

    Raises
    ------
    ValueError
        If the block has a loop without a flip-flop.
    """

    def __init__(self, netlist: Netlist, library: Library, kit: Kit, *, wires: bool = True) -> None:
        self.netlist, self.liberty, self.kit = netlist, library, kit
        self.cells = {kind: library.cell(kind) for kind in netlist.counts}
        area = sum(self.cells[i.kind].area for i in netlist.instances)
        side = (area / max(len(netlist.instances), 1)) ** 0.5
        self.wire_fF = kit.wire_fF_per_um * UM_PER_SINK * side if wires else 0.0
        self.load = self._loads()
        self.order = self._levels()
        self.arrival: dict[int, list[float]] = {}
        self.slew: dict[int, list[float]] = {}
        self.delay: dict[str, float] = {}  # mean of rise and fall through an instance; ps
        self._before: dict[tuple[int, int], tuple[int, int] | None] = {}
        self._driver: dict[int, Instance] = {}
        self.clock_slew = self._buffer_slew()
        self._propagate()

    def _loads(self) -> dict[int, float]:
        load: dict[int, float] = {}
        for instance in self.netlist.instances:
            for pin in self.cells[instance.kind].pins.values():
                net = instance.nets.get(pin.name)
                if isinstance(net, int) and not pin.is_output:
                    load[net] = load.get(net, 0.0) + pin.capacitance + self.wire_fF
        for bits in self.netlist.outputs.values():
            for net in bits:
                if isinstance(net, int):
                    load[net] = load.get(net, 0.0) + self.kit.output_fF
        return load

    def _levels(self) -> list[Instance]:
        """Return the gates so that each stands behind those that feed it."""
        feeds: dict[int, list[Instance]] = {}
        missing: dict[str, int] = {}
        ready = [net for bits in self.netlist.inputs.values() for net in bits if isinstance(net, int)]
        gates = 0
        for instance in self.netlist.instances:
            cell = self.cells[instance.kind]
            outputs = [instance.nets.get(p.name) for p in cell.pins.values() if p.is_output]
            if cell.is_flop:
                ready += [net for net in outputs if isinstance(net, int)]
                continue
            gates += 1
            nets = {instance.nets[p.name] for p in cell.pins.values() if not p.is_output and p.name in instance.nets}
            inputs = [net for net in nets if isinstance(net, int)]
            missing[instance.name] = len(inputs)
            for net in inputs:
                feeds.setdefault(net, []).append(instance)
            if not inputs:
                ready += [net for net in outputs if isinstance(net, int)]
        order = [i for i in self.netlist.instances if missing.get(i.name) == 0]
        while ready:
            for instance in feeds.pop(ready.pop(), ()):
                missing[instance.name] -= 1
                if missing[instance.name] == 0:
                    order.append(instance)
                    pins = self.cells[instance.kind].pins.values()
                    ready += [n for p in pins if p.is_output and isinstance(n := instance.nets.get(p.name), int)]
        if len(order) != gates:
            raise ValueError(f"{self.netlist.name}: {gates - len(order)} gates lie in loops without a flip-flop")
        return order

    def _buffer_slew(self) -> float:
        """Return the slew at clock pins: that of a driver of the kit with eight flip-flops at its output."""
        cell, flop = self.liberty.cell(self.kit.driver), self.liberty.cell(self.kit.flop)
        clock = next(pin for pin in flop.pins.values() if pin.is_clock)
        output = next(pin for pin in cell.pins.values() if pin.is_output)
        slew = 0.0
        for _ in range(4):  # a chain of such buffers: its slew settles
            place = {"slew": slew, "load": 8 * (clock.capacitance + self.wire_fF)}
            slew = max(output.arcs[0].tables[f"{edge}_transition"].at(place) for edge in _NAMES)
        return slew

    def _propagate(self) -> None:
        flop = self.liberty.cell(self.kit.flop)
        for bits in self.netlist.inputs.values():
            for net in bits:
                if isinstance(net, int):
                    self._launch(net, flop, None)
        for instance in self.netlist.instances:
            cell = self.cells[instance.kind]
            if cell.is_flop:
                for pin in cell.pins.values():
                    output = instance.nets.get(pin.name)
                    if pin.is_output and isinstance(output, int):
                        self._launch(output, cell, instance)
        for instance in self.order:
            self._pass(instance)

    def _launch(self, net: int, cell: Cell, instance: Instance | None) -> None:
        """Set the arrival at a net that a flip-flop drives."""
        pin = next(p for p in cell.pins.values() if p.is_output)
        arc = next(a for a in pin.arcs if a.kind.endswith("_edge"))
        place = {"slew": self.clock_slew, "load": self.load.get(net, 0.0)}
        self.arrival[net] = [arc.tables[f"cell_{edge}"].at(place) for edge in _NAMES]
        self.slew[net] = [max(arc.tables[f"{edge}_transition"].at(place), 0.0) for edge in _NAMES]
        self._before[net, RISE] = self._before[net, FALL] = None
        if instance is not None:
            self._driver[net] = instance
            self.delay[instance.name] = sum(self.arrival[net]) / 2

    def _pass(self, instance: Instance) -> None:
        """Set the arrival at the outputs of a gate."""
        for pin in self.cells[instance.kind].pins.values():
            net = instance.nets.get(pin.name)
            if not pin.is_output or not isinstance(net, int):
                continue
            self._driver[net] = instance
            arrival, slew = [0.0, 0.0], [0.0, 0.0]
            before: list[tuple[int, int] | None] = [None, None]
            delays: list[float] = []
            for arc in pin.arcs:
                source = instance.nets.get(arc.related)
                if arc.kind != "combinational" or not isinstance(source, int):
                    continue
                for out in (RISE, FALL):
                    for edge in _edges(arc, out):
                        place = {"slew": self.slew[source][edge], "load": self.load.get(net, 0.0)}
                        delay = arc.tables[f"cell_{_NAMES[out]}"].at(place)
                        delays.append(delay)
                        if before[out] is None or self.arrival[source][edge] + delay > arrival[out]:
                            arrival[out], before[out] = self.arrival[source][edge] + delay, (source, edge)
                        slew[out] = max(slew[out], arc.tables[f"{_NAMES[out]}_transition"].at(place))
            self.arrival[net], self.slew[net] = arrival, slew
            self._before[net, RISE], self._before[net, FALL] = before
            self.delay[instance.name] = sum(delays) / len(delays) if delays else 0.0

    def path(self) -> Path:
        """Return the critical path."""
        ends: list[tuple[float, int, int, str]] = []
        for port, bits in self.netlist.outputs.items():
            flop = self.liberty.cell(self.kit.flop)
            for net in bits:
                if isinstance(net, int) and net in self.arrival:
                    ends += self._ends(net, flop, port)
        for instance in self.netlist.instances:
            cell = self.cells[instance.kind]
            if cell.is_flop:
                for pin in cell.pins.values():
                    at = instance.nets.get(pin.name)
                    if not pin.is_output and not pin.is_clock and isinstance(at, int):
                        ends += self._ends(at, cell, instance.name)
        ps, net, edge, end = max(ends)
        return self._trace(ps, net, edge, end)

    def _ends(self, net: int, cell: Cell, end: str) -> list[tuple[float, int, int, str]]:
        """Return arrival plus set-up of both edges at the data pin of a flip-flop."""
        pin = next(p for p in cell.pins.values() if not p.is_output and not p.is_clock)
        arc = next(a for a in pin.arcs if a.kind.startswith("setup"))
        found = []
        for edge in (RISE, FALL):
            place = {"data_slew": self.slew[net][edge], "clock_slew": self.clock_slew}
            found.append((self.arrival[net][edge] + arc.tables[f"{_NAMES[edge]}_constraint"].at(place), net, edge, end))
        return found

    def _trace(self, ps: float, net: int, edge: int, end: str) -> Path:
        cells: list[str] = []
        step: tuple[int, int] | None = (net, edge)
        start = end
        while step is not None:
            net = step[0]
            driver = self._driver.get(net)
            start = driver.name if driver else next(p for p, bits in self.netlist.inputs.items() if net in bits)
            cells.append(driver.kind if driver else self.kit.flop)
            step = self._before[step]
        return Path(ps, tuple(reversed(cells)), start, end)

    def area(self) -> float:
        """Return the area of all cells; um2."""
        return sum(self.cells[i.kind].area for i in self.netlist.instances)

    def leakage(self) -> float:
        """Return the leakage of all cells; nW."""
        return sum(self.cells[i.kind].leakage for i in self.netlist.instances)

    def flops(self) -> int:
        """Return the number of flip-flops."""
        return sum(self.cells[i.kind].is_flop for i in self.netlist.instances)


def _edges(arc: Arc, out: int) -> tuple[int, ...]:
    """Return the input edges that cause an output edge."""
    same: Mapping[str, tuple[int, ...]] = {"positive_unate": (out,), "negative_unate": (1 - out,)}
    return same.get(arc.sense, (RISE, FALL))
