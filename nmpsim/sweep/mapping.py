"""Every shape, dataflow and relation of the groups that a compute unit can be put into."""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.program.beats import legal
from nmpsim.program.isa import (
    CHAIN,
    CONTIGUOUS_NAMES,
    FLOW_NAMES,
    IS,
    K_CONTIGUOUS,
    N_CONTIGUOUS,
    OS,
    SPLIT_K,
    SPLIT_N,
    SPLIT_NAMES,
    TREE,
    WS,
)
from nmpsim.spec.params import MAC_TREE, CoreParams

FLOWS = {"OS": OS, "WS": WS, "IS": IS}


@dataclass(frozen=True)
class Mapping:
    """How a product is put onto a compute unit.

    Parameters
    ----------
    flow, group, split, contiguous : int
        As in the instruction PASS.
    """

    flow: int
    group: int
    split: int
    contiguous: int

    @property
    def flow_name(self) -> str:
        """Name of the dataflow."""
        return FLOW_NAMES[self.flow]

    @property
    def split_name(self) -> str:
        """Name of the relation of the groups."""
        return SPLIT_NAMES[self.split]

    @property
    def layout(self) -> str:
        """Dimension that runs within a beat of B."""
        return CONTIGUOUS_NAMES[self.contiguous]

    def shape(self, core: CoreParams) -> str:
        """Return rows and columns of the logical array; of all groups with their number if they are split."""
        groups = core.strips // self.group
        if self.flow == TREE:
            return f"{core.strips} slices"
        rows = self.group * core.strip_rows
        return f"{rows}x{core.columns * groups}" if self.split == CHAIN else f"{groups}*{rows}x{core.columns}"

    def text(self, core: CoreParams) -> str:
        """Return the mapping in a few words."""
        if self.flow == TREE:
            return f"{self.flow_name} {self.layout} {self.split_name}"
        return f"{self.flow_name} {self.shape(core)} {self.split_name}"


def mappings(core: CoreParams, dataflows: tuple[str, ...]) -> list[Mapping]:
    """Return every mapping of a compute unit; one group alone is a chain.

    Parameters
    ----------
    core : CoreParams
    dataflows : tuple of str
        Dataflows of the chip; ignored for a MAC tree.
    """
    layouts = (N_CONTIGUOUS, K_CONTIGUOUS)
    if core.kind == MAC_TREE:
        found = [(TREE, 1, split, layout) for layout in layouts for split in (SPLIT_K, SPLIT_N)]
    else:
        found = [
            (FLOWS[name], group, split, layout)
            for name in dataflows
            for group in range(1, core.strips + 1)
            if core.strips % group == 0
            for split in ((CHAIN, SPLIT_K, SPLIT_N) if group < core.strips else (CHAIN,))
            for layout in layouts
        ]
    return [Mapping(*fields) for fields in found if legal(fields[0], fields[2], fields[3])]


def most_rows(core: CoreParams, mapping: Mapping) -> int | None:
    """Return the most rows of A that one PASS takes; None if it takes any number.

    Parameters
    ----------
    core : CoreParams
    mapping : Mapping
    """
    if mapping.flow == WS:
        return None
    if mapping.flow == TREE:
        return max(1, core.psum_bytes // core.fold_sets // (4 * core.columns))
    return mapping.group * core.strip_rows


def planes_of(core: CoreParams, mapping: Mapping) -> int:
    """Return the planes of partial sums that a PASS leaves; the reducer of a MAC tree adds its own.

    Parameters
    ----------
    core : CoreParams
    mapping : Mapping
    """
    return core.strips // mapping.group if mapping.split == SPLIT_K and mapping.flow != TREE else 1
