"""Energy of a decode step by component: counts of the run and of its program, times energies of single actions.

=====================  ===================================================================================
component              count
=====================  ===================================================================================
dram_<command>         commands issued
mac                    MACs by dataflow (m n k of every PASS)
mac_clock              cycles in which a wavefront moves, times PEs, less MACs: clocked without work
edge_skew, strip_links cycles in which the wavefront of an array moves; while busy all strips are taken to carry
                       operands, in the others registers are clocked
operand_registers      busy cycles of a MAC-tree slice: what it multiplies is selected from its registers anew
decoder                elements of narrow weights and of a narrow KV cache on their way to the array
compute_control        cycles of the control of the compute units, with and without a pass
vector_<operation>     lane operations of its elements
buffer_read, _write    bytes at the ports of the buffers (see `nmpsim.cost.work`)
psum                   bytes to and from the partial-sum memories of MAC trees
fifo                   bytes of all columns read or written, into the FIFO at a bank's port and out of it
noc_link, noc_router   flit-hops; a flit, copy or sum passes one router more than links, in each die that it passes; a
                       flit that is added to another has come into a router, too
noc_adder              flits added to others in routers, number by number, and sums through the places behind adders
pu_noc_link, _router   the same inside PUs, if they have networks inside
pu_gateway             bytes that pass a gateway of a PU: into its queue and out of it
stack_link             bytes of the width of links between stacks in the cycles that flits took
port_arbiter           cycles of the die's cores, as if there were requests in each
bank_sequencer         DRAM cycles, with and without a transfer
sequencer              instructions, and core cycles in which its registers are clocked
static                 area of the die's logic and memories, of decoders if it uses them, times static power, times time
=====================  ===================================================================================

Where a wavefront does not move, its clock is taken to be gated.  Left out: DRAM background beside refresh (no source
tells them apart), clock trees, PHY and power delivery, the host.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmpsim.cost.area import die_area
from nmpsim.cost.coefficients import value
from nmpsim.cost.tables import Tables, tables
from nmpsim.cost.units import UnitEnergies, flit_energies, queue_pJ_per_byte, unit_energies
from nmpsim.cost.work import Work, count_work
from nmpsim.program.program import Program
from nmpsim.spec.params import COMMANDS, MAC_TREE, MachineParams

MOVING = ("busy", "accumulators_busy", "load_stationary", "pipeline_drain")
"""States of a compute unit in which its wavefront moves."""

PJ = 1e-12


def step_energy(
    params: MachineParams,
    program: Program,
    counts: Mapping[str, int],
    stalls: Mapping[str, Mapping[str, int]],
    seconds: float,
    table: Tables | None = None,
) -> dict[str, float]:
    """Return the energy of a decode step by component; J.

    Parameters
    ----------
    params : MachineParams
        The chip.
    program : Program
        What it executed.
    counts : mapping of str to int
        Actions of the run.
    stalls : mapping of str to mapping of str to int
        Unit kind -> state -> cycles of the run.
    seconds : float
        Time of the step.
    table : Tables, optional
        Of synthesis; the committed one of ASAP7 unless given.
    """
    table = table or tables()
    units, work = unit_energies(params, table), count_work(program, params)
    arrived = counts.get("arrived_flits", counts["flits"])  # more than sent where routers copy
    merged = counts.get("merged_flits", 0)
    left = arrived + counts.get("gateway_flits", 0) + merged if params.outer is None else counts["outer_flits"]
    routed = counts["flit_hops"] + left
    cycles = params.cores * seconds * 1e12 / float(params.tick_ps * params.core_period)
    active, clocked = units.sequencer
    picojoules: dict[str, float] = {
        **_dram(params, counts),
        **_compute(params, units, work, stalls),
        **_vector(units, work),
        **_memories(params, units, work, counts),
        "noc_link": counts["flit_hops"] * units.link_flit,
        "noc_router": routed * units.router_flit,
        "noc_adder": merged * units.merged_flit + counts.get("router_sums", 0) * units.sum_flit,
        **_inside(params, counts),
        "stack_link": 8 * counts.get("stack_link_used_bytes", 0) * params.link_pJ_per_bit,
        "port_arbiter": cycles * units.arbiter[0],
        "bank_sequencer": _banks(units, stalls),
        "sequencer": counts["instructions"] * (units.instruction + active - clocked) + cycles * clocked,
    }
    area = die_area(params, table)
    mm2 = area.mm2 + (area.decoder_mm2 if work.decoded else 0.0)
    static = value("static_W_per_mm2") * mm2 * seconds
    return {name: pJ * PJ for name, pJ in picojoules.items() if pJ} | {"static": static}


def _inside(params: MachineParams, counts: Mapping[str, int]) -> dict[str, float]:
    """Return the energy of the networks inside PUs and of their gateways; pJ."""
    if params.outer is None:
        return {}
    link, router = flit_energies(params.noc, params.hop_mm)
    return {
        "pu_noc_link": counts["pu_flit_hops"] * link,
        "pu_noc_router": (counts["pu_flit_hops"] + counts["pu_ejected_flits"]) * router,
        "pu_gateway": counts["gateway_bytes"] * queue_pJ_per_byte(),
    }


def _dram(params: MachineParams, counts: Mapping[str, int]) -> dict[str, float]:
    return {
        f"dram_{name}": counts[name] * pJ for name, pJ in zip(COMMANDS, params.command_pJ, strict=True) if name != "PRE"
    }


def _compute(
    params: MachineParams, units: UnitEnergies, work: Work, stalls: Mapping[str, Mapping[str, int]]
) -> dict[str, float]:
    core = params.core
    pes = core.macs_per_cycle // core.strips if core.kind == MAC_TREE else core.macs_per_cycle  # of an actor
    moved = sum(stalls["array"].get(state, 0) for state in MOVING)
    clocked = max(moved * pes - work.macs.total(), 0)
    mac = sum(count * units.mac[flow] for flow, count in work.macs.items())
    working, waiting = units.control
    idle = stalls["array"].get("queue_empty", 0)
    control = (sum(stalls["array"].values()) - idle) * working + idle * waiting
    busy = stalls["array"].get("busy", 0)
    around = {name: busy * full + (moved - busy) * empty for name, (full, empty) in units.around.items()}
    if work.decoded:
        around["decoder"] = sum(count * units.decoded[name] for name, count in work.decoded.items())
    return {"mac": mac, "mac_clock": clocked * units.clocked_pe, **around, "compute_control": control}


def _vector(units: UnitEnergies, work: Work) -> dict[str, float]:
    return {
        f"vector_{operation}": sum(count * units.lane[name] for name, count in lane.items())
        for operation, lane in work.lane.items()
    }


def _memories(params: MachineParams, units: UnitEnergies, work: Work, counts: Mapping[str, int]) -> dict[str, float]:
    buffers = ("buffer", "operand_buffer", "output_buffer")
    moved = (counts["RD"] + counts["WR"]) * params.dram.column_bytes
    return {
        "buffer_read": sum(work.read[name] * units.byte[name] for name in buffers),
        "buffer_write": sum(work.written[name] * units.byte[name] for name in buffers),
        "psum": (work.read["psum"] + work.written["psum"]) * units.byte["psum"],
        "fifo": 2 * moved * units.byte["fifo"],
    }


def _banks(units: UnitEnergies, stalls: Mapping[str, Mapping[str, int]]) -> float:
    busy = stalls["bank"].get("transfer", 0)
    return busy * units.bank_busy + (sum(stalls["bank"].values()) - busy) * units.bank_idle
