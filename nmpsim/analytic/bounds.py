"""Lower bounds: cycles that no machine with the same peaks can beat.

    compute  MACs / (MACs per core cycle of the die)
    vector   elements / (lanes of the die)
    dram     sum over tiers of bytes / (bandwidth when every bank streams whole rows of that tier, one per tRC),
             for a whole step less one tRC: nobody waits for the last row to be closed
    noc      flit-hops / (directed links of the ring), in NoC cycles

tRC is the published one, not rounded to the command clock.
"""

from __future__ import annotations

from nmpsim.spec.params import MachineParams


def core_GHz(params: MachineParams) -> float:
    """Core clock."""
    return float(1000 / (params.tick_ps * params.core_period))


def tier_bandwidth(params: MachineParams) -> list[float]:
    """Peak bandwidth of the die per tier; bytes per second."""
    dram = params.dram
    row = dram.columns * dram.column_bytes * dram.banks * params.pus
    return [row / ns * 1e9 for ns in params.row_cycle_ns]


def bounds(
    params: MachineParams, macs: int, elements: int, tier_bytes: list[int], flit_hops: int, *, whole: bool = True
) -> dict[str, float]:
    """Return the bounds of an amount of work, in core cycles.

    Parameters
    ----------
    params : MachineParams
    macs : int
        Multiply-accumulates.
    elements : int
        Elements of vector operations, each counted once.
    tier_bytes : list of int
        DRAM bytes read and written per tier.
    flit_hops : int
        Flits times the links they cross.
    whole : bool
        The work is a whole step; of an operator among others the last row counts in full.
    """
    clock = core_GHz(params)
    seconds = sum(b / peak for b, peak in zip(tier_bytes, tier_bandwidth(params), strict=True))
    last = max((ns for used, ns in zip(tier_bytes, params.row_cycle_ns, strict=True) if used), default=0.0)
    tail = last if whole else 0.0
    links = 2 * params.pus if params.pus > 1 else 1
    return {
        "compute": macs / (params.core.macs_per_cycle * params.pus),
        "vector": elements / (params.core.lanes * params.pus),
        "dram": max(0.0, seconds * 1e9 - tail) * clock,
        "noc": flit_hops / links * params.noc_period / params.core_period,
    }
