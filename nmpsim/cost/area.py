"""Area of a die by block, and its power if every unit works in every cycle.

Logic is the cell area of synthesis over the density of a placed block; one PE, one lane, one sequencer was synthesised
and is multiplied.  Memories are those of `nmpsim.cost.sram`.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.cost.array_glue import array_glue
from nmpsim.cost.coefficients import value
from nmpsim.cost.sram import KB, sram_mm2
from nmpsim.cost.tables import Tables
from nmpsim.cost.units import (
    BITS,
    FP32_BYTES,
    TAPS,
    UnitEnergies,
    decoder_of,
    engine_of,
    flit_energies,
    pe_of,
    queue_pJ_per_byte,
    shared_adders,
    unit_energies,
)
from nmpsim.spec.network import CORE_PORTS
from nmpsim.spec.params import CROSSBAR, MAC_TREE, RING, TORUS, MachineParams

DECODERS = "decoders"
"""Name of the part of narrow weights and of a narrow KV cache."""


@dataclass(frozen=True)
class Part:
    """One kind of block of a die.

    Parameters
    ----------
    name : str
    count : int
        How many there are on the die.
    mm2 : float
        Area of all of them.
    watts : float
        Power of all of them with work in every cycle; without static power.
    basis : str
        What the area was computed from.
    compute : bool
        Belongs to the compute units.
    counted : bool
        Counts in the sums; otherwise it is shown beside them.
    """

    name: str
    count: int
    mm2: float
    watts: float
    basis: str
    compute: bool = False
    counted: bool = True


@dataclass(frozen=True)
class DieArea:
    """The parts of a die.

    Parameters
    ----------
    parts : tuple of Part
    """

    parts: tuple[Part, ...]

    @property
    def mm2(self) -> float:
        """Area of all that counts."""
        return sum(part.mm2 for part in self.parts if part.counted)

    @property
    def decoder_mm2(self) -> float:
        """Area of the decoders, which count only where a step uses them."""
        return sum(part.mm2 for part in self.parts if part.name == DECODERS)

    @property
    def compute_mm2(self) -> float:
        """Area of the compute units."""
        return sum(part.mm2 for part in self.parts if part.counted and part.compute)

    @property
    def watts(self) -> float:
        """Power of all that counts at full work, static power included."""
        return sum(part.watts for part in self.parts if part.counted) + self.static_watts

    @property
    def static_watts(self) -> float:
        """Static power."""
        return self.mm2 * value("static_W_per_mm2")


def placed_mm2(cell_um2: float) -> float:
    """Return the area of placed logic of a cell area; mm2.

    Parameters
    ----------
    cell_um2 : float
        Sum of the areas of cells; um2.
    """
    return cell_um2 * 1e-6 / value("density")


def die_area(params: MachineParams, table: Tables) -> DieArea:
    """Return the parts of a die.

    Parameters
    ----------
    params : MachineParams
        The chip.
    table : Tables
        Of synthesis.
    """
    core, dram = params.core, params.dram
    units = unit_energies(params, table)
    row_bytes = dram.columns * dram.column_bytes
    core_hz, dram_hz = (1e12 / float(params.tick_ps * period) for period in (params.core_period, params.dram_period))
    banks = params.cores * dram.banks
    lane_group, sequencer = table.blocks["lane_group"], table.blocks["bank_sequencer"]
    lanes = params.cores * core.lanes
    arbiter, sequencing = table.blocks["port_arbiter"], table.blocks["sequencer"]
    per_group = 4  # lanes of the group that was synthesised
    buffers = params.cores * core.buffer_banks * core.bank_bytes * core_hz * 1e-12
    fifo_bytes = dram.fifo_columns * dram.column_bytes
    between, period = params.between
    noc_hz = 1e12 / float(params.tick_ps * period)
    port_bytes = between.vcs * between.buffer_flits * between.flit_bytes
    router_ports = 3 * between.nodes
    flit_rate = 2 * between.nodes * noc_hz
    parts = [
        *_compute(params, table, units, core_hz),
        Part(
            "vector lanes",
            lanes,
            placed_mm2(lane_group.area_um2 / per_group) * lanes,
            lanes * core_hz * (units.lane["add"] + units.lane["multiply"]) * 1e-12,
            f"{lane_group.name}, {per_group} lanes with their special-function units; a sum and a product each cycle",
        ),
        Part(
            "buffer",
            params.cores,
            params.cores * sram_mm2(core.buffer_bytes, two_ports=True),
            2 * buffers * units.byte["buffer"],
            f"{core.buffer_bytes // KB} KB, {core.buffer_banks} banks; every port in every cycle",
        ),
        Part(
            "port arbiters",
            params.cores,
            params.cores * placed_mm2(arbiter.area_um2),
            params.cores * core_hz * units.arbiter[0] * 1e-12,
            arbiter.name,
        ),
        Part(
            "sequencers",
            params.cores,
            params.cores * placed_mm2(sequencing.area_um2),
            params.cores * core_hz * units.sequencer[0] * 1e-12,
            f"{sequencing.name}: queues and semaphores, no program memory; an instruction each cycle",
        ),
        Part(
            "bank FIFOs",
            banks,
            banks * sram_mm2(fifo_bytes, two_ports=True),
            2 * banks * row_bytes / (params.row_cycle_ns[0] * 1e-9) * units.byte["fifo"] * 1e-12,
            f"{fifo_bytes / KB:g} KB each; whole rows of the fastest tier, in and out",
        ),
        Part(
            "bank sequencers",
            banks,
            placed_mm2(sequencer.area_um2) * banks,
            banks * dram_hz * units.bank_busy * 1e-12,
            sequencer.name,
        ),
        Part(
            "routers",
            between.nodes,
            router_ports * sram_mm2(port_bytes, two_ports=True),
            flit_rate * (units.link_flit + units.router_flit) * 1e-12,
            f"buffers of {router_ports} input ports of {port_bytes / KB:g} KB (logic not synthesised); every link full",
        ),
    ]
    parts += _trees(params, table, units, noc_hz)
    if params.outer is not None:
        parts += _inside(params)
    if core.separate:
        for name, size in (("operand buffers", core.operand_bytes), ("output buffers", core.output_bytes)):
            memory = name.replace(" ", "_").removesuffix("s")
            watts = params.cores * core.edge_bytes * core_hz * units.byte[memory] * 2e-12
            area = params.cores * sram_mm2(size, two_ports=True)
            parts.append(Part(name, params.cores, area, watts, f"{size // KB} KB each", compute=True))
    return DieArea(tuple(parts))


def _trees(params: MachineParams, table: Tables, units: UnitEnergies, hz: float) -> list[Part]:
    """Return what routers have besides if they copy and add: buffers of trees, and adders."""
    noc = params.noc
    crossbar = noc.kind == CROSSBAR
    inputs = params.cores * (CORE_PORTS + (0 if crossbar else 2 * noc.dims))
    channel, routers = noc.buffer_flits * noc.flit_bytes, 1 if crossbar else params.cores
    classes = 2 if noc.kind in {RING, TORUS} else 1
    parts = []
    if noc.multicast_lanes:
        size = classes * noc.multicast_lanes * channel
        words = f"{inputs} input ports of {size / KB:g} KB; a read port for every output left out"
        watts = inputs * hz * units.sum_flit * 1e-12
        parts.append(Part("multicast buffers", routers, inputs * sram_mm2(size, two_ports=True), watts, words))
    if noc.sum_lanes:
        size, behind = CORE_PORTS * noc.sum_lanes * channel, noc.sum_lanes * channel
        mm2 = inputs * sram_mm2(size, two_ports=True) + CORE_PORTS * routers * sram_mm2(behind, two_ports=True)
        words = f"{inputs} input ports of {size / KB:g} KB, and {behind / KB:g} KB behind every adder"
        parts.append(Part("sum buffers", routers, mm2, inputs * hz * units.sum_flit * 1e-12, words))
        block, chain = table.fastest_enough("fp32_adder"), params.cores - 1 if crossbar else 2 * noc.dims
        flits = CORE_PORTS * routers * chain
        count = flits * noc.flit_bytes // FP32_BYTES
        words = f"{block.name}: for each port of a core {chain} in a row for every number of a flit"
        watts = flits * hz * units.merged_flit * 1e-12
        parts.append(Part("router adders", count, count * placed_mm2(block.area_um2), watts, words))
    return parts


def _inside(params: MachineParams) -> list[Part]:
    """Return the routers inside PUs, and the queues of their gateways."""
    noc, outer = params.noc, params.outer
    assert outer is not None
    link, router = flit_energies(noc, params.hop_mm)
    hz = 1e12 / float(params.tick_ps * params.noc_period)
    port_bytes = noc.vcs * noc.buffer_flits * noc.flit_bytes
    ports = 3 * params.cores
    inside = 2 * params.link.buffer_flits * noc.flit_bytes
    queues = inside + (outer.inject_flits + outer.eject_flits) * outer.flit_bytes
    rate = 2 * min(noc.flit_bytes * hz, outer.flit_bytes * 1e12 / float(params.tick_ps * params.outer_period))
    gateways = 2 * outer.nodes
    return [
        Part(
            "routers inside PUs",
            params.cores,
            ports * sram_mm2(port_bytes, two_ports=True),
            2 * params.cores * hz * (link + router) * 1e-12,
            f"buffers of {ports} input ports of {port_bytes / KB:g} KB (logic not synthesised); every link full",
        ),
        Part(
            "gateways of PUs",
            gateways,
            gateways * sram_mm2(queues, two_ports=True),
            gateways * rate * queue_pJ_per_byte() * 1e-12,
            f"queues of {queues / KB:g} KB each (logic not synthesised); both ways full",
        ),
    ]


def _compute(params: MachineParams, table: Tables, units: UnitEnergies, hz: float) -> list[Part]:
    """Return the parts of the compute units, their control last."""
    core = params.core
    is_tree = core.kind == MAC_TREE
    parts = _tree(params, table, units, hz) if is_tree else _array(params, table, units, hz)
    control = table.blocks["slice_control" if is_tree else "array_control"]
    count = params.cores * (core.strips if is_tree else 1)
    area, watts = placed_mm2(control.area_um2) * count, count * hz * units.control[0] * 1e-12
    return [
        *parts,
        Part("control of the compute units", count, area, watts, control.name, compute=True),
        _decoders(params, table, units, hz),
    ]


def _decoders(params: MachineParams, table: Tables, units: UnitEnergies, hz: float) -> Part:
    """Return the decoders of all strips or slices, for chips that take narrow weights or a narrow KV cache."""
    block = decoder_of(params, table)
    columns = params.core.strips * params.core.columns * params.cores
    return Part(
        DECODERS,
        columns,
        placed_mm2(block.area_um2) * columns,
        columns * hz * max(units.decoded.values()) * 1e-12,
        f"{block.name}: one for every column of a strip; for narrow weights and KV cache only",
        compute=True,
        counted=False,
    )


def _array(params: MachineParams, table: Tables, units: UnitEnergies, hz: float) -> list[Part]:
    """Return PEs and what stands around them."""
    core, pe = params.core, pe_of(params, table)
    pes, strips = params.cores * core.macs_per_cycle, params.cores * core.strips
    glue = array_glue(core)
    register, link = table.blocks["skew_register"], table.blocks["links"]

    def lines(name: str, bits: int, words: str) -> Part:
        area = placed_mm2(bits / BITS * register.area_um2) * params.cores
        watts = params.cores * bits / BITS * register.energy_pJ["random"] * hz * 1e-12
        return Part(name, strips, area, watts, f"{bits:,} register bits an array {words}", compute=True, counted=False)

    return [
        Part("PEs", pes, placed_mm2(pe.area_um2) * pes, pes * hz * units.mac["OS"] * 1e-12, pe.name, compute=True),
        Part(
            "strip links",
            strips,
            placed_mm2(glue.links / BITS * link.area_um2) * params.cores,
            params.cores * hz * units.around["strip_links"][0] * 1e-12,
            f"{glue.links:,} two-to-one multiplexers an array",
            compute=True,
        ),
        Part(
            "edge skew",
            strips,
            placed_mm2((glue.edges + glue.loads) / BITS * register.area_um2) * params.cores,
            params.cores * hz * units.around["edge_skew"][0] * 1e-12,
            f"{glue.edges + glue.loads:,} register bits an array, {glue.loads:,} of them for IS, clocked only",
            compute=True,
        ),
        lines("weight lines (WS)", glue.lines, "if all strips load together, as docs/core/array.md has it"),
        lines("weight lines, staggered", glue.stairs, "if each strip loads when its first weight is due"),
    ]


def _tree(params: MachineParams, table: Tables, units: UnitEnergies, hz: float) -> list[Part]:
    """Return engines and memories of MAC-tree slices."""
    core = params.core
    engine, adder = engine_of(params, table), table.blocks["fp32_adder_0"]
    macs, slices = params.cores * core.macs_per_cycle, params.cores * core.strips
    engines, shared = macs // TAPS, round(macs * shared_adders(core))
    bits = 2 * core.register_beats * core.columns * 16
    selected = core.macs_per_cycle // core.strips * 16
    registers = (
        bits * table.blocks["skew_register"].area_um2 + selected * table.blocks["operand_select"].area_um2
    ) / BITS
    return [
        Part(
            "MAC-tree engines",
            engines,
            placed_mm2(engine.area_um2) * engines,
            macs * hz * engine.energy_pJ["random"] * 1e-12,
            f"{engine.name}: {TAPS} multipliers, their adders, an accumulating adder each",
            compute=True,
        ),
        Part(
            "adders across engines",
            shared,
            placed_mm2(adder.area_um2) * shared,
            shared * hz * adder.energy_pJ["random"] * 1e-12,
            f"{adder.name}: engines that share a beat",
            compute=True,
        ),
        Part(
            "operand registers",
            slices,
            placed_mm2(registers) * slices,
            slices * hz * units.around["operand_registers"][0] * 1e-12,
            f"{bits / 8 / KB:g} KB a slice, two banks, as flip-flops with multiplexers; their clock gated",
            compute=True,
        ),
        Part(
            "partial-sum memories",
            slices,
            slices * sram_mm2(core.psum_bytes, two_ports=True),
            2 * hz * engines * 4 * units.byte["psum"] * 1e-12,
            f"{core.psum_bytes / KB:g} KB a slice; each engine reads and writes a sum a cycle",
            compute=True,
        ),
    ]
