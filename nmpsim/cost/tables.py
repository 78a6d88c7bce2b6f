"""The tables of synthesis, as `make synth` writes them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "tables"
DEFAULT = "asap7-rvt-tt"
"""The table that everything is computed with."""


@dataclass(frozen=True)
class BlockCost:
    """What one block takes.

    Parameters
    ----------
    name, what : str
        Of the block.
    family : str
        Blocks that differ in their pipeline stages; empty = none.
    stages : int
        Registers within.
    clock_GHz : float
        Clock that it should run at.
    area_um2 : float
        Area of its cells.
    path_ps : float
        Shortest clock period.
    holds_clock : bool
        Whether that is short enough.
    leakage_nW : float
        At the temperature of the library.
    energy_pJ : mapping of str to float
        Of an operation, glitches included; ``idle`` is a cycle of the clock alone.
    energy_settled_pJ : mapping of str to float
        The same without glitches.
    sha256 : str
        Of the Verilog that was synthesised.
    cells, flops : int
        How many cells; how many of them are flip-flops.
    tried_um2_ps : mapping of str to (float, float)
        Area and path of every mapping that was tried, by effort.
    """

    name: str
    what: str
    family: str
    stages: int
    clock_GHz: float
    area_um2: float
    path_ps: float
    holds_clock: bool
    leakage_nW: float
    energy_pJ: Mapping[str, float]
    energy_settled_pJ: Mapping[str, float]
    sha256: str
    cells: int
    flops: int
    tried_um2_ps: Mapping[str, Sequence[float]]

    @property
    def GHz(self) -> float:
        """Fastest clock that the block holds."""
        return 1e3 / self.path_ps

    @property
    def fastest_um2_ps(self) -> tuple[float, float]:
        """Area and path of the fastest mapping that was tried, whatever its area."""
        area, path = min(self.tried_um2_ps.values(), key=lambda tried: tried[1])
        return area, path


@dataclass(frozen=True)
class Tables:
    """A table of synthesis.

    Parameters
    ----------
    provenance : mapping
        Library, corner, tools, date, command, method, limits.
    blocks : mapping of str to BlockCost
    """

    provenance: Mapping[str, Any]
    blocks: Mapping[str, BlockCost]

    def family(self, name: str) -> list[BlockCost]:
        """Return the blocks of a family, by number of stages."""
        return sorted((b for b in self.blocks.values() if b.family == name), key=lambda b: b.stages)

    def staged(self, family: str, stages: int) -> BlockCost:
        """Return the block of a family with that many stages, or with the next smaller number that was synthesised."""
        fitting = [block for block in self.family(family) if block.stages <= stages]
        return fitting[-1] if fitting else self.family(family)[0]

    def fastest_enough(self, family: str) -> BlockCost:
        """Return the block with the fewest stages that holds its clock; the fastest one if none does."""
        every = self.family(family)
        return next((block for block in every if block.holds_clock), min(every, key=lambda block: block.path_ps))


@cache
def tables(name: str = DEFAULT) -> Tables:
    """Return a table by the name of its library.

    Parameters
    ----------
    name : str
        Name of a file in the folder of tables, without its ending.
    """
    tree = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    fields = BlockCost.__dataclass_fields__.keys() - {"name"}
    blocks = {own: BlockCost(own, **{f: entry[f] for f in fields}) for own, entry in tree["blocks"].items()}
    return Tables(tree["provenance"], blocks)
