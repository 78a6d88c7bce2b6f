"""Every shape, dataflow and relation of the groups that a compute unit can be put into."""

from __future__ import annotations

from nmpsim.program.beats import legal
from nmpsim.program.isa import (
    CHAIN,
    IS,
    K_CONTIGUOUS,
    N_CONTIGUOUS,
    OS,
    SPLIT_K,
    SPLIT_N,
    TREE,
    WS,
)
from nmpsim.program.schedule import PassPlan
from nmpsim.spec.params import MAC_TREE, CoreParams

FLOWS = {"OS": OS, "WS": WS, "IS": IS}


def mappings(core: CoreParams, dataflows: tuple[str, ...]) -> list[PassPlan]:
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
            for group in core.group_sizes()
            for split in ((CHAIN, SPLIT_K, SPLIT_N) if group < core.strips else (CHAIN,))
            for layout in layouts
        ]
    return [PassPlan(*fields) for fields in found if legal(fields[0], fields[2], fields[3])]


def most_rows(core: CoreParams, mapping: PassPlan) -> int | None:
    """Return the most rows of A that one PASS takes; None if it takes any number.

    Parameters
    ----------
    core : CoreParams
    mapping : PassPlan
    """
    if mapping.flow == WS:
        return None
    if mapping.flow == TREE:
        return max(1, core.psum_bytes // core.fold_sets // (4 * core.columns))
    return mapping.group * core.strip_rows
