"""Energy of single actions of a chip, from the tables of synthesis and the coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nmpsim.cost.array_glue import array_glue
from nmpsim.cost.coefficients import value
from nmpsim.cost.sram import KB, sram_pJ_per_byte
from nmpsim.cost.tables import BlockCost, Tables
from nmpsim.program.isa import B_NAMES
from nmpsim.spec.params import MAC_TREE, CoreParams, MachineParams, NocParams

BITS = 64
"""Bits of the blocks ``links``, ``skew_register`` and ``operand_select``."""

FP32_BYTES = 4
"""Bytes of a number that a router adds."""

LANE_WORK = ("add", "multiply", "max", "convert", "exp", "reciprocal", "rsqrt")
"""Operations of a lane that have an energy."""


@dataclass(frozen=True)
class UnitEnergies:
    """Energy of one action each; pJ.

    Parameters
    ----------
    mac : dict of str to float
        A multiply-accumulate, by dataflow.
    clocked_pe : float
        A PE, or a MAC of an engine, whose registers are clocked while it multiplies nothing, per cycle.
    around : dict of str to tuple of (float, float)
        A cycle in which the wavefront of a compute unit moves with operands, and without, by what stands around its
        multipliers.
    control : tuple of (float, float)
        A cycle of the control of a compute unit, while it works and while it waits.
    arbiter : tuple of (float, float)
        A cycle of the arbiter of the buffer's ports, with requests and without.
    sequencer : tuple of (float, float)
        A cycle of the sequencer of a core, with an instruction and without.
    lane : dict of str to float
        A lane operation, by name.
    byte : dict of str to float
        A byte read or written, by memory: ``buffer``, ``operand_buffer``, ``output_buffer``, ``psum``, ``fifo``.
    link_flit, router_flit : float
        A flit over a link, and through a router, of the network between PUs.
    merged_flit, sum_flit : float
        Additions of a flit to another in a router; a sum through the places behind its adder.
    bank_idle, bank_busy : float
        A cycle of a bank's command sequencer, while it waits and while it streams.
    instruction : float
        An instruction, from program memory to its unit.
    decoded : dict of str to float
        An element that passes the decoder of a strip, by format.
    """

    mac: dict[str, float]
    clocked_pe: float
    around: dict[str, tuple[float, float]]
    control: tuple[float, float]
    arbiter: tuple[float, float]
    sequencer: tuple[float, float]
    lane: dict[str, float]
    byte: dict[str, float]
    link_flit: float
    router_flit: float
    merged_flit: float
    sum_flit: float
    bank_idle: float
    bank_busy: float
    instruction: float
    decoded: dict[str, float]


def family_of(stem: str, operands: str) -> str:
    """Return the family of blocks for the format of the PEs of a chip; that for FP16 has no name behind the stem."""
    return stem if operands == "fp16" else f"{stem}_{operands}"


def pe_of(params: MachineParams, table: Tables) -> BlockCost:
    """Return the PE of a systolic array with as many pipeline stages as the chip models."""
    return table.staged(f"pe_{params.operands}", params.core.pe_latency)


def decoder_of(params: MachineParams, table: Tables) -> BlockCost:
    """Return the column of a decoder for the format of the PEs."""
    return table.fastest_enough(family_of("decoder", params.operands))


TAPS = 16
"""Multipliers of the MAC-tree engine that was synthesised."""


def engine_of(params: MachineParams, table: Tables) -> BlockCost:
    """Return the MAC-tree engine with as many register levels as the chip models.

    That of FP16 was synthesised whole; for another format its multipliers are exchanged for those of that format, which
    were synthesised alone, and its path grows by as much as theirs is longer.
    """
    engine = table.staged("tree_engine", params.core.pe_latency)
    if params.operands == "fp16":
        return engine
    before, after = (table.staged(f"{name}_multiplier", 0) for name in ("fp16", params.operands))
    path = engine.path_ps + after.path_ps - before.path_ps
    return replace(
        engine,
        name=f"{engine.name} with {after.name}",
        area_um2=engine.area_um2 + TAPS * (after.area_um2 - before.area_um2),
        path_ps=path,
        holds_clock=path <= 1e3 / engine.clock_GHz,
        leakage_nW=engine.leakage_nW + TAPS * (after.leakage_nW - before.leakage_nW),
        energy_pJ=_exchanged(engine.energy_pJ, before.energy_pJ, after.energy_pJ),
        energy_settled_pJ=_exchanged(engine.energy_settled_pJ, before.energy_settled_pJ, after.energy_settled_pJ),
    )


def _exchanged(
    engine: Mapping[str, float], before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, float]:
    """Energy of a MAC of an engine with another multiplier."""
    return {name: pJ + after[name] - before[name] for name, pJ in engine.items()}


def sharing_engines(core: CoreParams) -> int:
    """Return how many engines of a MAC-tree slice work on one beat (K-contiguous)."""
    return max(min(core.columns // TAPS, core.macs_per_cycle // core.strips // TAPS), 1)


def shared_adders(core: CoreParams) -> float:
    """Return the adders per MAC that join the engines which work on one beat (K-contiguous)."""
    spread = sharing_engines(core)
    return (spread - 1) / spread / TAPS


def queue_pJ_per_byte() -> float:
    """Return the energy of a byte that is written into a buffer of a router or gateway and read again; pJ."""
    return 2 * sram_pJ_per_byte(value("router_port_buffer_KB") * KB, two_ports=True)


def flit_energies(noc: NocParams, hop_mm: float) -> tuple[float, float]:
    """Return the energy of a flit over a link, and through a router; pJ.

    Parameters
    ----------
    noc : NocParams
    hop_mm : float
        Wire between two routers; mm.
    """
    bits, wire = 8 * noc.flit_bytes, value("wire_pJ_per_bit_mm")
    return bits * hop_mm * wire, queue_pJ_per_byte() * noc.flit_bytes + bits * value("router_mm") * wire


def unit_energies(params: MachineParams, table: Tables) -> UnitEnergies:
    """Return what single actions of a chip take.

    Parameters
    ----------
    params : MachineParams
    table : Tables
        Of synthesis.
    """
    core, dram = params.core, params.dram
    lanes, bank = table.blocks["lane_group"].energy_pJ, table.blocks["bank_sequencer"].energy_pJ
    arbiter, sequencing = table.blocks["port_arbiter"].energy_pJ, table.blocks["sequencer"].energy_pJ
    fifo = dram.fifo_columns * dram.column_bytes
    byte = {
        "buffer": sram_pJ_per_byte(core.buffer_bytes, two_ports=True),
        "operand_buffer": sram_pJ_per_byte(core.operand_bytes, two_ports=True),
        "output_buffer": sram_pJ_per_byte(core.output_bytes, two_ports=True),
        "psum": sram_pJ_per_byte(core.psum_bytes, two_ports=True),
        "fifo": sram_pJ_per_byte(fifo, two_ports=True),
    }
    hop_mm = params.hop_mm if params.outer is None else params.outer_hop_mm
    link_flit, router_flit = flit_energies(params.between[0], hop_mm)
    if core.kind == MAC_TREE:
        engine, adder = engine_of(params, table).energy_pJ, table.blocks["fp32_adder_0"].energy_pJ
        mac = {"TREE": engine["random"] + shared_adders(core) * adder["random"]}
        clocked = engine["idle"] + shared_adders(core) * adder["idle"]
        select = table.blocks["operand_select"].energy_pJ["random"] / BITS
        around = {"operand_registers": (core.macs_per_cycle // core.strips * 16 * select, 0.0)}
        control = table.blocks["slice_control"].energy_pJ
    else:
        pe = pe_of(params, table)
        mac = {"OS": pe.energy_pJ["OS"], "WS": pe.energy_pJ["WS"], "IS": pe.energy_pJ["WS"]}
        clocked = pe.energy_pJ["idle"]
        glue, register = array_glue(core), table.blocks["skew_register"].energy_pJ
        around = {
            "edge_skew": (
                (glue.edges * register["random"] + glue.loads * register["idle"]) / BITS,
                (glue.edges + glue.loads) * register["idle"] / BITS,
            ),
            "strip_links": (glue.links * table.blocks["links"].energy_pJ["random"] / BITS, 0.0),
        }
        control = table.blocks["array_control"].energy_pJ
    return UnitEnergies(
        mac=mac,
        clocked_pe=clocked,
        around=around,
        control=(control["pass"], control["idle"]),
        arbiter=(arbiter["work"], arbiter["idle"]),
        sequencer=(sequencing["work"], sequencing["idle"]),
        lane={name: lanes[name] for name in LANE_WORK},
        byte=byte,
        link_flit=link_flit,
        router_flit=router_flit,
        merged_flit=params.noc.flit_bytes / FP32_BYTES * table.fastest_enough("fp32_adder").energy_pJ["random"],
        sum_flit=queue_pJ_per_byte() * params.noc.flit_bytes,
        bank_idle=bank["idle"],
        bank_busy=bank["stream"],
        instruction=value("instruction_pJ"),
        decoded={name: decoder_of(params, table).energy_pJ[name] for name in B_NAMES[1:]},
    )
