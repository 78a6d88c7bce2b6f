"""Area and power of a die as text."""

from __future__ import annotations

from nmpsim.cost.area import DieArea, die_area
from nmpsim.cost.coefficients import coefficients, value
from nmpsim.cost.tables import Tables, tables
from nmpsim.cost.verdict import array_chip, tree_chip, tree_latency, verdict
from nmpsim.spec.params import MachineParams


def sections(params: MachineParams, table: Tables) -> dict[str, str]:
    """Return the sections of what ``nmpsim cost`` prints, by name.

    Parameters
    ----------
    params : MachineParams
        The chip.
    table : Tables
        Of synthesis.
    """
    area = die_area(params, table)
    words = "\n".join(f"  {line}" for line in verdict(array_chip(params), table).sentences())
    return {
        "title": f"chip {params.name}: area and power of the logic die",
        "parts": _parts(area),
        "limits": _limits(area),
        "stages": f"{_stages(table)}\n  {tree_latency(tree_chip(params), table)}",
        "verdict": f"Arrays of PEs against MAC trees (same flow, same library)\n{words}",
        "origins": _origins(table),
    }


def cost_text(params: MachineParams, table: Tables | None = None) -> str:
    """Return what ``nmpsim cost`` prints.

    Parameters
    ----------
    params : MachineParams
        The chip.
    table : Tables, optional
        Of synthesis; the committed one of ASAP7 unless given.
    """
    return "\n\n".join(sections(params, table or tables()).values())


def _parts(area: DieArea) -> str:
    lines = [f"{'block':<30}{'number':>10}{'mm2':>12}{'W, full rate':>14}  basis"]
    for part in area.parts:
        mark = "" if part.counted else "  (not in the sum)"
        basis = part.basis + mark
        lines.append(f"{part.name:<30}{part.count:>10,}{part.mm2:>12.2f}{part.watts:>14.2f}  {basis}")
    static = f"{value('static_W_per_mm2'):g} W/mm2"
    lines.append(f"{'static':<30}{'':>10}{'':>12}{area.static_watts:>14.2f}  {static}")
    lines.append(f"{'sum':<30}{'':>10}{area.mm2:>12.2f}{area.watts:>14.2f}")
    return "\n".join(lines)


def _limits(area: DieArea) -> str:
    mm2, watts = value("logic_mm2"), value("logic_W")
    return "\n".join(
        (
            f"logic area {area.mm2:.1f} of {mm2:g} mm2 ({100 * area.mm2 / mm2:.0f} %): "
            + ("fits" if area.mm2 <= mm2 else "does not fit"),
            f"power at full rate {area.watts:.1f} of {watts:g} W ({100 * area.watts / watts:.0f} %): "
            + ("within the limit" if area.watts <= watts else "above the limit; a run's mean power is in its result"),
            f"placed logic is {100 * value('density'):.0f} % cells; limits of Stratum, arXiv 2510.05245; origins below",
        )
    )


def _stages(table: Tables) -> str:
    lines = ["Pipeline registers, path and clock"]
    for family in sorted({block.family for block in table.blocks.values()} - {""}):
        every = table.family(family)
        paths = ", ".join(f"{block.stages}: {block.path_ps:.0f} ps" for block in every)
        chosen = next((block for block in every if block.holds_clock), None)
        need = f"{1e3 / every[0].clock_GHz:.0f} ps"
        least = f"least for {need}: {chosen.stages}" if chosen else f"none holds {need}"
        lines.append(f"  {family:<20} {paths}; {least}")
    return "\n".join(lines)


def _origins(table: Tables) -> str:
    own = table.provenance
    lines = [
        "Origins",
        f"  synthesis: {own['library']}, {own['corner']}, {own['tool']}; {own['method']}",
        f"  limits: {own['limits']}",
    ]
    lines += [f"  {c.name} = {c.value:g}: {c.origin}" for c in coefficients().values()]
    return "\n".join(lines)
