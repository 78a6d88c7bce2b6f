"""What fits: PEs against MAC trees, SNAKE's implied array against Stratum's limits; sentences made of the numbers."""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.cost.area import DieArea, die_area, placed_mm2
from nmpsim.cost.coefficients import value
from nmpsim.cost.tables import BlockCost, Tables
from nmpsim.cost.units import TAPS, engine_of, pe_of, sharing_engines
from nmpsim.spec import load_chip, resolve
from nmpsim.spec.params import MAC_TREE, SYSTOLIC, MachineParams


@dataclass(frozen=True)
class Verdict:
    """The comparison of arrays of PEs with MAC trees.

    Parameters
    ----------
    tree_macs : int
        MACs of the MAC-tree chip.
    tree_mm2 : float
        Area of its compute units, registers and partial-sum memories included.
    tree_logic_mm2 : float
        Area of their multipliers and adders alone.
    tree_die_mm2 : float
        Area of the whole logic of that chip.
    tree_GHz, tree_clock_GHz : float
        Clock that an engine of the trees holds, and clock of the chip.
    pe_um2, link_um2, skew_um2 : float
        Area of one PE with its share of all that is around it, placed; the share of links; the share of skew.
    pe_alone_um2 : float
        Area of one PE without them, placed.
    fitting : int
        PEs that fit into `tree_mm2`.
    pes : int
        PEs of SNAKE, implied by its area efficiency.
    pes_mm2, pes_alone_mm2 : float
        Area of so many, with and without what is around them.
    pes_watts, pes_watts_settled, pes_watts_published : float
        Their power at full rate: as simulated, without glitches, at the published energy of a MAC of Stratum.
    pe : BlockCost
        The PE of the array.
    best_pe : BlockCost
        The PE whose number of pipeline registers allows the fastest clock.
    clock_ps : float
        Clock period of the array.
    """

    tree_macs: int
    tree_mm2: float
    tree_logic_mm2: float
    tree_die_mm2: float
    tree_GHz: float
    tree_clock_GHz: float
    pe_um2: float
    link_um2: float
    skew_um2: float
    pe_alone_um2: float
    fitting: int
    pes: int
    pes_mm2: float
    pes_alone_mm2: float
    pes_watts: float
    pes_watts_settled: float
    pes_watts_published: float
    pe: BlockCost
    best_pe: BlockCost
    clock_ps: float

    @property
    def efficiency(self) -> float:
        """PEs per MAC in the same area."""
        return self.fitting / self.tree_macs

    @property
    def holds_clock(self) -> bool:
        """Whether the PE runs at the clock of the array."""
        return self.pe.path_ps <= self.clock_ps

    def sentences(self) -> list[str]:
        """Return the comparison in words."""
        return [*self._trees(), *self._clock(), *self._area(), self._end()]

    def _trees(self) -> list[str]:
        each = 1e6 * self.tree_mm2 / self.tree_macs
        published = value("stratum_active_mm2")
        return [
            (
                f"MAC trees: {self.tree_macs:,} MACs take {self.tree_mm2:.1f} mm2 ({each:.0f} um2 each), "
                f"of which {self.tree_logic_mm2:.1f} mm2 are multipliers and adders."
            ),
            (
                f"Their chip as a whole takes {self.tree_die_mm2:.1f} mm2 here, {published:g} mm2 in its paper: "
                f"{self.tree_die_mm2 / published:.2f} of it."
            ),
        ]

    def _clock(self) -> list[str]:
        best = self.best_pe
        fast_um2, fast_ps = best.fastest_um2_ps
        found = [
            (
                f"PE: {self.pe_um2:.0f} um2 placed, of which {self.link_um2:.0f} are links between strips and "
                f"{self.skew_um2:.0f} edge skew; its path of {self.pe.path_ps:.0f} ps "
                f"{'holds' if self.holds_clock else 'misses'} the clock period of {self.clock_ps:.0f} ps."
            )
        ]
        if not self.holds_clock:
            found.append(
                f"Clock: that PE would run at {self.pe.GHz:.2f} GHz instead of {1e3 / self.clock_ps:.2f}; with "
                f"{best.stages} registers between multiplier and adder at {best.GHz:.2f}, since its sum comes back "
                f"through one FP32 adder; the fastest mapping tried, at {fast_um2 / best.area_um2:.2f} of that area, "
                f"at {1e3 / fast_ps:.2f}. Engines of the MAC trees would run at {self.tree_GHz:.2f} GHz instead of "
                f"{self.tree_clock_GHz:.2f}."
            )
        return found

    def _area(self) -> list[str]:
        implied, at = value("snake_area_efficiency"), f"{value('snake_GHz'):g} GHz"
        times = "is met" if self.efficiency >= implied else "is not met"
        alone = self.tree_mm2 / self.tree_macs / (self.pe_alone_um2 * 1e-6)
        own = min(1.0, self.clock_ps / self.pe.path_ps)
        slower = f"; at {own * value('snake_GHz'):.2f} GHz, which it would hold, {own * self.pes_watts:.0f} W"
        return [
            (
                f"In the area of the MAC trees fit {self.fitting:,} PEs: {self.efficiency:.2f} per MAC "
                f"({alone:.2f} without links, skew and control). "
                f"The {implied:.2f} that SNAKE states (compute-area efficiency) {times}."
            ),
            (
                f"{self.pes:,} PEs ({implied:.2f} x {self.tree_macs:,}) take {self.pes_mm2:.1f} mm2 "
                f"({self.pes_alone_mm2:.1f} without what is around them) and, with a MAC each in every cycle of {at}, "
                f"{self.pes_watts:.0f} W as simulated, {self.pes_watts_settled:.0f} W without glitches, "
                f"{self.pes_watts_published:.0f} W at Stratum's {value('stratum_mac_pJ'):g} pJ per MAC"
                f"{'' if self.holds_clock else slower}."
            ),
        ]

    def _end(self) -> str:
        area, watts = value("logic_mm2"), value("logic_W")
        space = "fit" if self.pes_mm2 <= area else "do not fit"
        least = min(self.pes_watts_settled, self.pes_watts_published)
        if self.pes_watts <= watts:
            power = f"stay within {watts:g} W"
        elif least <= watts:
            power = f"stay within {watts:g} W only at the lowest of the three energies"
        else:
            power = f"exceed {watts:g} W at each of the three energies"
        clock = "hold" if self.holds_clock else "do not hold"
        rate = min(1.0, watts / self.pes_watts_settled)
        return (
            f"Verdict: they {space} into {area:g} mm2 of logic, {power}, and {clock} {1e3 / self.clock_ps:g} GHz; with "
            f"{watts:g} W for PEs alone, glitch-free, {100 * rate:.0f} % of the cycles could have a MAC in every PE."
        )


def verdict(array: MachineParams, table: Tables) -> Verdict:
    """Return the comparison of the PEs of a chip with the MAC trees of the shipped chip ``stratum``.

    Parameters
    ----------
    array : MachineParams
        A chip with a systolic array.
    table : Tables
        Of synthesis.
    """
    trees = resolve(load_chip("stratum"))
    tree_parts = die_area(trees, table)
    parts = die_area(array, table)
    pe, pes = pe_of(array, table), int(value("snake_pes"))
    own = array.cores * array.core.macs_per_cycle
    pe_mm2 = parts.compute_mm2 / own
    watts = pes * value("snake_GHz") * 1e9 * 1e-12
    return Verdict(
        tree_macs=trees.cores * trees.core.macs_per_cycle,
        tree_mm2=tree_parts.compute_mm2,
        tree_logic_mm2=_mm2(tree_parts, "MAC-tree engines", "adders across engines"),
        tree_die_mm2=tree_parts.mm2,
        tree_GHz=engine_of(trees, table).GHz,
        tree_clock_GHz=1e3 / float(trees.tick_ps * trees.core_period),
        pe_um2=1e6 * pe_mm2,
        link_um2=1e6 * _mm2(parts, "strip links") / own,
        skew_um2=1e6 * _mm2(parts, "edge skew") / own,
        pe_alone_um2=1e6 * placed_mm2(pe.area_um2),
        fitting=int(tree_parts.compute_mm2 / pe_mm2),
        pes=pes,
        pes_mm2=pes * pe_mm2,
        pes_alone_mm2=pes * placed_mm2(pe.area_um2),
        pes_watts=watts * pe.energy_pJ["OS"],
        pes_watts_settled=watts * pe.energy_settled_pJ["OS"],
        pes_watts_published=watts * value("stratum_mac_pJ"),
        pe=pe,
        best_pe=min(table.family(f"pe_{array.operands}"), key=lambda block: block.path_ps),
        clock_ps=float(array.tick_ps * array.core_period),
    )


def tree_latency(trees: MachineParams, table: Tables) -> str:
    """Return in words how many register levels a MAC tree needs at its clock, beside those that the chip models.

    Parameters
    ----------
    trees : MachineParams
        A chip with MAC trees.
    table : Tables
        Of synthesis.
    """
    core = trees.core
    multiplier, adder = table.fastest_enough(f"{trees.operands}_multiplier"), table.fastest_enough("fp32_adder")
    engine = engine_of(trees, table)
    within, across = (count.bit_length() - 1 for count in (TAPS, sharing_engines(core)))
    needed = multiplier.stages + 1 + (within + across) * (adder.stages + 1)
    return (
        f"MAC-tree latency of {trees.name}: {core.pe_latency} register levels for a multiplier and {within} + {across} "
        f"levels of adders ({within} in an engine, {across} across engines that share a beat) make a path of "
        f"{engine.path_ps:.0f} ps, {engine.GHz:.2f} GHz. At {multiplier.clock_GHz:g} GHz a multiplier takes "
        f"{multiplier.stages + 1} levels and an adder {adder.stages + 1}: {needed} in all, and "
        f"{adder.stages + 1} cycles from a sum to the next one at the same accumulator."
    )


def _mm2(area: DieArea, *names: str) -> float:
    """Return the area of the parts of those names."""
    return sum(part.mm2 for part in area.parts if part.name in names)


def tree_chip(params: MachineParams) -> MachineParams:
    """Return the chip itself if it has MAC trees, otherwise the shipped chip ``stratum``."""
    return params if params.core.kind == MAC_TREE else resolve(load_chip("stratum"))


def array_chip(params: MachineParams) -> MachineParams:
    """Return the chip itself if it has a systolic array, otherwise the shipped chip ``snake``."""
    return params if params.core.kind == SYSTOLIC else resolve(load_chip("snake"))
