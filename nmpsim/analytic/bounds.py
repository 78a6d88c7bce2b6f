"""Lower bounds: cycles that no machine with the same peaks can beat.

    compute  MACs / (MACs per core cycle of the die)
    vector   elements / (lanes of the die)
    dram     sum over tiers of bytes / (bandwidth when every bank streams whole rows of that tier, one per tRC, or what
             columns, shared ports and activation budgets leave of it), for a whole step less one tRC: nobody waits
             for the last row to be closed
    noc      flit-hops / (links between routers, each way counted), in NoC cycles
    pu_noc   the same inside PUs, if they have networks inside
    stack_link  cycles of links between stacks / PUs; if there are other stacks

tRC is the published one, not rounded to the command clock.
"""

from __future__ import annotations

from nmpsim.analytic.network import network_links
from nmpsim.spec.params import RD, WR, MachineParams


def core_GHz(params: MachineParams) -> float:
    """Core clock."""
    return float(1000 / (params.tick_ps * params.core_period))


def tier_bandwidth(params: MachineParams) -> list[float]:
    """Peak bandwidth of the die per tier; bytes per second.

    The least of: a column of every bank per nCCD, a column of every shared port per nBL, and, where an ACT serves one
    row access only, a row of every bank per tRC and a row per ACT that the activation budgets allow.
    """
    dram = params.dram
    cycle_ns = float(params.tick_ps * params.dram_period) / 1000
    banks = dram.banks * params.cores
    row = dram.columns * dram.column_bytes
    beats_per_cycle = banks / max(int(params.latency[:, RD, RD].min()), int(params.latency[:, WR, WR].min()), 1)
    if dram.port_banks > 1:
        beats_per_cycle = min(beats_per_cycle, banks // dram.port_banks * dram.ports / dram.nBL)
    peak = beats_per_cycle * dram.column_bytes / cycle_ns
    if dram.row_hits != 1:
        return [peak * 1e9] * dram.tiers
    acts_per_cycle = min(
        (acts / cycles for acts, cycles in _activation_rules(params) if cycles > 0), default=float("inf")
    )
    peak = min(peak, acts_per_cycle * row / cycle_ns)
    return [min(peak, banks * row / ns) * 1e9 for ns in params.row_cycle_ns]


def _activation_rules(params: MachineParams) -> list[tuple[int, int]]:
    """Return (activations of the die, DRAM cycles) of every activation budget; 0 cycles = no such rule."""
    dram, pus = params.dram, params.cores
    return [(pus, dram.nRRD), (4 * pus, dram.nFAW), (1, dram.die_nRRD), (dram.die_acts, dram.die_nFAW)]


def bounds(
    params: MachineParams,
    macs: int,
    elements: int,
    tier_bytes: list[int],
    flit_hops: int,
    *,
    link_cycles: int = 0,
    pu_hops: int = 0,
    whole: bool = True,
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
        Flits times the links between routers that they cross; where PUs have networks inside, between PUs.
    link_cycles : int
        Cycles that flits take on links between stacks, summed over the links of a die.
    pu_hops : int
        Flits times the links that they cross inside PUs.
    whole : bool
        The work is a whole step; of an operator among others the last row counts in full.
    """
    clock = core_GHz(params)
    seconds = sum(b / peak for b, peak in zip(tier_bytes, tier_bandwidth(params), strict=True))
    last = max((ns for used, ns in zip(tier_bytes, params.row_cycle_ns, strict=True) if used), default=0.0)
    tail = last if whole else 0.0
    between, period = params.between
    links = max(1, network_links(between))
    inside = pu_hops / max(1, network_links(params.noc)) * params.noc_period / params.core_period
    across = link_cycles / params.cores * params.link.period / params.core_period
    return {
        "compute": macs / (params.core.macs_per_cycle * params.cores),
        "vector": elements / (params.core.lanes * params.cores),
        "dram": max(0.0, seconds * 1e9 - tail) * clock,
        "noc": flit_hops / links * period / params.core_period,
        **({"pu_noc": inside} if params.outer is not None else {}),
    } | ({"stack_link": across} if params.stacks > 1 else {})
