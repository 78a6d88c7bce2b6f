"""One core alone runs a product on a mapping; what it took.

Cycles count from the one in which the core sees its first PASS to the one in which the last instruction is complete:
fill, drain, writes and the additions of partial sums included, as on an idle core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from nmpsim.core.alone import SOURCE, STOPPED, TAKEN, run_alone
from nmpsim.core.core import settle_core
from nmpsim.core.state import BUSY, EDGE_BANDWIDTH, make_state
from nmpsim.dram.native.state import make_state as make_channels
from nmpsim.errors import Fault, InternalError, SpecError
from nmpsim.kernel import interrupts_held
from nmpsim.noc.die.state import make_ports
from nmpsim.program.isa import ARRAY, PASS, UNITS
from nmpsim.program.schedule import PassPlan
from nmpsim.spec.params import MachineParams
from nmpsim.sweep.decode import Product
from nmpsim.sweep.edges import pass_edges
from nmpsim.sweep.program import MULTIPLY, instructions

LIMIT = 2**40
"""Cycles after which a run would be given up."""

TOKENS = 16
"""Data-mover slots of the channel, which has nothing to move."""


@dataclass(frozen=True)
class Measured:
    """What a product on a mapping took.

    Parameters
    ----------
    product : Product
    mapping : PassPlan
    passes : int
        PASS instructions.
    cycles : int
        Core cycles.
    macs : int
        Multiply-accumulates that the core counted.
    utilisation : float
        Of all multipliers in all cycles; 0 to 1.
    beats : int
        Beats taken from the FIFOs.
    fifo_peak, fifo_mean : float
        Bytes per cycle that all strips take: in the busiest cycle, and in the mean over all cycles.
    read_peak, read_mean, write_peak, write_mean : float
        Bytes per cycle between buffer and edges: in the busiest step, and in the mean over all cycles.
    busy, paced : int
        Cycles of the compute units (of all slices) with a step, and held by the bandwidth of the edges.
    adding : int
        Cycles in which the vector unit adds partial sums.
    exposed : int
        Cycles at the end in which it alone does.
    """

    product: Product
    mapping: PassPlan
    passes: int
    cycles: int
    macs: int
    utilisation: float
    beats: int
    fifo_peak: float
    fifo_mean: float
    read_peak: float
    read_mean: float
    write_peak: float
    write_mean: float
    busy: int
    paced: int
    adding: int
    exposed: int


def check_chip(params: MachineParams) -> None:
    """Refuse a core whose compute unit has buffers of its own: copies between them are no part of a sweep.

    Parameters
    ----------
    params : MachineParams

    Raises
    ------
    SpecError
    """
    if params.core.separate:
        fault = Fault("core.arrangement", "separate", "unified", "copies are no part of a sweep: use the unified core")
        raise SpecError(f"{params.name} cannot be swept", [fault])


def measure(
    params: MachineParams,
    mapping: PassPlan,
    product: Product,
    *,
    rate: Fraction | None = None,
    plain: bool = False,
) -> Measured:
    """Run a product on a mapping, cycle by cycle.

    Parameters
    ----------
    params : MachineParams
        The chip; one of its cores is used.
    mapping : PassPlan
    product : Product
    rate : Fraction, optional
        Bytes per core cycle that each bank delivers into its FIFO; without it every FIFO is always full.
    plain : bool
        Step every cycle; same results.

    Raises
    ------
    SpecError
        If the chip is refused by `check_chip`.
    InternalError
        If the core did not do the work, or not in time.
    """
    check_chip(params)
    core = params.core
    depth = core.run_ahead if rate is None else params.dram.fifo_columns
    alone = replace(
        params,
        cores=1,
        dram=params.dram._replace(banks=core.strips, fifo_columns=depth, port_banks=1, ports=1),
        noc=params.noc._replace(nodes=1),
    )
    made = instructions(core, mapping, product.m, product.n, product.k)
    program = made.astype(np.dtype((np.record, made.dtype))).view(np.recarray)
    state = make_state(alone, 2)
    state.core.end = len(program)
    channel, network = make_channels(alone.dram, 1, tokens=TOKENS), make_ports(alone.noc)
    taken = TAKEN.zeros(4 * core.run_ahead)
    taken.at = -1
    beat_bytes = 2 * core.columns
    interval = Fraction(0) if rate is None else beat_bytes / rate
    with interrupts_held():
        end, most = run_alone(
            LIMIT,
            int(plain),
            interval.numerator,
            interval.denominator,
            core,
            alone.dram,
            alone.noc,
            state,
            channel,
            network,
            program,
            np.zeros(core.strips, np.int64),
            SOURCE.zeros(core.strips),
            taken,
        )
    work = product.m * product.n * product.k
    macs, beats = int(state.actor.macs.sum()), int(state.actor.pops.sum())
    if end == STOPPED or macs != work:
        raise InternalError(f"{product} on {mapping.text(core)}: end {end}, {macs} of {work} MACs")
    settle_core(0, end, 1, state)
    cycles = end - 1  # the sequencer hands over the first PASS in cycle 0
    edges = [
        pass_edges(core, mapping, int(row["m"]), int(row["n"]), int(row["k"]))
        for row in made[(made["unit"] == ARRAY) & (made["op"] == PASS)]
    ]
    stall = state.stall[0, UNITS:].sum(axis=0)
    return Measured(
        product=product,
        mapping=mapping,
        passes=len(edges),
        cycles=cycles,
        macs=macs,
        utilisation=macs / (cycles * core.macs_per_cycle),
        beats=beats,
        fifo_peak=float(most * beat_bytes),
        fifo_mean=beats * beat_bytes / cycles,
        read_peak=float(max(edge.read_step for edge in edges)),
        read_mean=sum(edge.read for edge in edges) / cycles,
        write_peak=float(max(edge.write_step for edge in edges)),
        write_mean=sum(edge.written for edge in edges) / cycles,
        busy=int(stall[BUSY]),
        paced=int(stall[EDGE_BANDWIDTH]),
        adding=int(state.vector.lane_cycles[0]),
        exposed=int(end - state.span.end[0, MULTIPLY]),
    )


def sweep(
    params: MachineParams,
    chosen: Iterable[PassPlan],
    products: Iterable[Product],
    *,
    rate: Fraction | None = None,
) -> Iterator[Measured]:
    """Measure every product on every mapping; products of equal size are run once.

    Parameters
    ----------
    params : MachineParams
    chosen : iterable of PassPlan
    products : iterable of Product
    rate : Fraction, optional
        As for `measure`.

    Yields
    ------
    Measured
    """
    known: dict[tuple[int, int, int, PassPlan], Measured] = {}
    every = list(chosen)
    for product in products:
        for mapping in every:
            key = (product.m, product.n, product.k, mapping)
            if key not in known:
                known[key] = measure(params, mapping, product, rate=rate)
            yield replace(known[key], product=product)


def best(found: Iterable[Measured]) -> Measured:
    """Return the measurement with the fewest cycles; of equal ones the first.

    Parameters
    ----------
    found : iterable of Measured
        At least one.
    """
    return min(found, key=lambda one: one.cycles)
