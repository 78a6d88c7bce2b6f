"""The array that fits where MAC trees stand: ``snake-fit``, derived from the tables of synthesis.

A strip per bank and a column per element of a beat are given by the DRAM, so an array shrinks only by the rows of its
strips.  Its compute units (PEs, strip links, edge skew, control) may take the area of those of ``stratum``.

Edge skew hangs on columns, not on rows: as flip-flops it alone is larger than all MAC trees, and no array fits.  As
small memories with two ports (`nmpsim.cost.sram`), as a product would build delays of up to 128 cycles, it is not; so
that is how `fit` counts it.  Energies of runs stay those of flip-flops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nmpsim.cost.area import DieArea, die_area
from nmpsim.cost.array_glue import array_glue
from nmpsim.cost.sram import sram_mm2
from nmpsim.cost.tables import Tables
from nmpsim.errors import InternalError
from nmpsim.spec import ChipSpec, load_chip, resolve, with_overrides
from nmpsim.spec.params import MachineParams


@dataclass(frozen=True)
class Size:
    """An array of strips of so many rows.

    Parameters
    ----------
    strip_rows : int
    pes : int
        Of the die.
    compute_mm2 : float
        Compute units with the edge skew in small memories.
    compute_registers_mm2 : float
        With it in flip-flops, as in the RTL.
    """

    strip_rows: int
    pes: int
    compute_mm2: float
    compute_registers_mm2: float


def with_rows(strip_rows: int, strips: int) -> dict[str, Any]:
    """Return the overrides of an array chip for strips of so many rows.

    Parameters
    ----------
    strip_rows, strips : int
    """
    why = "the most rows whose compute units fit into the area of the MAC trees: nmpsim.claims.fit, docs/validation.md"
    origin = {"assumed": True, "why": why}
    return {
        "core.array.rows": {"value": strips * strip_rows, **origin},
        "core.array.granularity": {"value": strip_rows, **origin},
    }


def sizes(chip: ChipSpec, table: Tables) -> list[Size]:
    """Return arrays with strips of 1 row up to those of the chip.

    Parameters
    ----------
    chip : ChipSpec
        With a systolic array.
    table : Tables
        Of synthesis.
    """
    own = resolve(chip)
    found = []
    for rows in range(1, own.core.strip_rows + 1):
        params = resolve(with_overrides(chip, with_rows(rows, own.core.strips)))
        registers = die_area(params, table)
        area = registers.compute_mm2 - saved_mm2(params, registers)
        found.append(Size(rows, params.cores * params.core.macs_per_cycle, area, registers.compute_mm2))
    return found


def saved_mm2(params: MachineParams, area: DieArea) -> float:
    """Return the area that a die saves if the edge skew of its arrays is kept in small memories; mm2.

    Parameters
    ----------
    params : MachineParams
        A chip with systolic arrays.
    area : DieArea
        Of it.
    """
    glue = array_glue(params.core)
    registers = sum(part.mm2 for part in area.parts if part.name == "edge skew")
    return registers - params.cores * sram_mm2((glue.edges + glue.loads) / 8, two_ports=True)


def fit(table: Tables, chip: str = "snake", trees: str = "stratum") -> tuple[ChipSpec, Size, float]:
    """Return the largest array of a chip that fits where MAC trees stand, its size, and the area of the trees; mm2.

    Parameters
    ----------
    table : Tables
        Of synthesis.
    chip, trees : str
        Names of chips.

    Raises
    ------
    InternalError
        If not even strips of one row fit.
    """
    array = load_chip(chip)
    room = die_area(resolve(load_chip(trees)), table).compute_mm2
    fitting = [size for size in sizes(array, table) if size.compute_mm2 <= room]
    if not fitting:
        raise InternalError(f"no array of {chip} fits into {room:.1f} mm2")
    return with_overrides(array, with_rows(fitting[-1].strip_rows, resolve(array).core.strips)), fitting[-1], room
