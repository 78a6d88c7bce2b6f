"""What stands around the compute unit: the bank streams that feed it, the vector unit, and the ports they share.

    stream   beats of the fullest strip at the rate of its bank: a row per max(tRC, columns x nCCD), less refresh
    vector   issue slots of each element loop, times its interval, plus the latency of the pipeline
    ports    what a unit waits on average for banks that the edges of the array take

Left out: activation budgets and shared ports (`nmpsim.analytic.bounds` has them), row hits across runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from nmpsim.analytic.passes import Taken
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.isa import EXP_RATE, PLAIN_RATE
from nmpsim.program.vector import Loop
from nmpsim.spec.params import ACT, MAC_TREE, RD, REF, CoreParams, MachineParams


def beat_cycles(params: MachineParams, tier: int) -> float:
    """Core cycles per beat of one bank that streams whole rows of a tier.

    Parameters
    ----------
    params : MachineParams
    tier : int
        Latency class.
    """
    dram = params.dram
    row = max(int(params.latency[tier, ACT, ACT]), dram.columns * max(1, int(params.latency[tier, RD, RD])))
    return row / dram.columns * params.dram_period / params.core_period


def resolution(params: MachineParams, tier: int) -> float:
    """Core cycles that a prediction does not resolve: whether one row more, and one refresh, fall into the operator.

    Parameters
    ----------
    params : MachineParams
    tier : int
    """
    refreshed = int(params.latency[tier, REF, ACT]) if params.dram.refresh else 0
    return params.dram.columns * beat_cycles(params, tier) + refreshed * params.dram_period / params.core_period


def refresh_wait(params: MachineParams, tier: int, beats_per_cycle: float, registers: int) -> float:
    """Share of its own time that a compute unit waits for banks that are refreshed, where the banks are the faster.

    While a bank is refreshed its strip lives on the rows in its FIFO but one, and on what its registers hold ahead.
    Strips that run in lock step wait for the refresh of every bank, slices of a MAC tree for their own only.

    Parameters
    ----------
    params : MachineParams
    tier : int
    beats_per_cycle : float
        Beats that a strip takes per core cycle when it does not wait.
    registers : int
        Beats that a strip holds ahead of their use.
    """
    dram = params.dram
    if not dram.refresh or not beats_per_cycle:
        return 0.0
    ratio = params.dram_period / params.core_period
    ahead = max(0, dram.fifo_columns // dram.columns - 1) * dram.columns + registers
    wait = max(0.0, int(params.latency[tier, REF, ACT]) * ratio - ahead / beats_per_cycle)
    banks = 1 if params.core.kind == MAC_TREE else dram.banks
    return wait * banks / (dram.nREFI * ratio)


@lru_cache(maxsize=65536)
def most_beats(core: CoreParams, flow: int, group: int, split: int, contiguous: int, n: int, k: int) -> int:
    """Beats of the fullest strip of a tile: the first, since things are dealt out from the first strip on.

    Parameters
    ----------
    core : CoreParams
    flow, group, split, contiguous, n, k : int
        As in the instruction PASS.
    """
    return len(beats_of(Tile(flow, group, split, contiguous, n, k, 0, ()), core, 0))


def fed_cycles(params: MachineParams, tier: int, unit: Taken, beats: int) -> float:
    """Core cycles of a pass that takes `beats` from its fullest strip.

    Parameters
    ----------
    params : MachineParams
    tier : int
    unit : Taken
        The pass with all operands in time.
    beats : int
    """
    dram, cycles = params.dram, unit.cycles
    refreshed = int(params.latency[tier, REF, ACT]) / dram.nREFI if dram.refresh else 0.0
    streamed = beats * beat_cycles(params, tier) / (1 - refreshed)
    return max(streamed, cycles * (1 + refresh_wait(params, tier, beats / max(1, cycles), unit.registers)))


def slots(core: CoreParams, loops: Iterable[Loop]) -> list[tuple[int, int]]:
    """Return (issue slots, cycles per slot) of every element loop.

    Parameters
    ----------
    core : CoreParams
    loops : iterable of Loop
        From `nmpsim.program.vector.loops`.
    """
    found = []
    for elements, read, write, rate in loops:
        count = core.lanes
        if read:
            count = min(count, core.vector_read_bytes // read)
        if write:
            count = min(count, core.vector_write_bytes // write)
        interval = 1 if rate == PLAIN_RATE else core.exp_interval if rate == EXP_RATE else core.sqrt_interval
        if elements:
            found.append((-(-elements // max(1, count)), interval))
    return found


def vector_cycles(core: CoreParams, loops: tuple[Loop, ...], wait: float = 0.0, starved: float = 0.0) -> float:
    """Core cycles of one vector operation, from its start to the signal of its completion.

    Parameters
    ----------
    core : CoreParams
    loops : tuple of Loop
    wait, starved : float
        Mean wait of a slot, and of the whole operation, for the ports; from `port_waits`.
    """
    issued = sum(number * (interval + wait) for number, interval in slots(core, loops))
    return issued + core.vector_latency + starved


@lru_cache(maxsize=4096)
def _waits(banks: int, array: tuple[int, int], unit: tuple[int, int]) -> tuple[float, float]:
    """Mean wait of an access in cycles where there is a free cycle at all, and the share of places where there is none.

    The edges of the array go on by as many banks a cycle as they are wide; the access stays where it is.  All places
    of one against the other are taken to be equally likely.
    """

    def free(width: int, own: int, place: int) -> list[bool]:
        if not width or not own:
            return [True] * banks
        taken = ({(place + t * width + i) % banks for i in range(width)} for t in range(banks))
        return [not any(bank < own for bank in now) for now in taken]

    reads = {tuple(free(array[0], min(banks, unit[0]), place)) for place in range(banks)}
    writes = {tuple(free(array[1], min(banks, unit[1]), place)) for place in range(banks)}
    total = starved = 0.0
    for r in sorted(reads):
        for w in sorted(writes):
            good = sum(a and b for a, b in zip(r, w, strict=True)) / banks
            if good:
                total += 1 / good - 1
            else:
                starved += 1
    places = len(reads) * len(writes)
    return total / max(1.0, places - starved), starved / places


def port_waits(core: CoreParams, array: Taken, loops: tuple[Loop, ...]) -> tuple[float, float]:
    """Return the mean wait of an issue slot, and of the whole operation, for ports that the array takes.

    An access that finds no free cycle at all waits for the next gap: half a dwell on average.

    Parameters
    ----------
    core : CoreParams
    array : Taken
        The passes that run beside it.
    loops : tuple of Loop
    """
    if core.separate or not (array.read_banks or array.write_banks or array.burst):
        return 0.0, 0.0
    waits, starving = [], []
    for _, read, write, _ in loops:
        count = min(
            core.lanes,
            core.vector_read_bytes // read if read else core.lanes,
            core.vector_write_bytes // write if write else core.lanes,
        )
        unit = (-(-count * read // core.bank_bytes), -(-count * write // core.bank_bytes))
        wait, starved = _waits(core.buffer_banks, (array.read_banks, array.write_banks), unit)
        waits.append(wait)
        starving.append(starved)
    burst = array.burst * array.burst / (2 * max(1, array.dwell)) if array.burst else 0.0
    return max(waits), max(starving) * array.dwell / 2 + burst
