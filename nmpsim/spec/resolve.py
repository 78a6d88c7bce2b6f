"""From a chip file to the integers that the cycle models are built from.

Minimum separations and latencies are rounded up to cycles, the refresh interval (a longest time) down; every
rounding that changed a figure is kept as a sentence.  Constraint table of one bank, in DRAM cycles::

    next      ACT     PRE               RD                 WR     REFpb
    ACT       nRC     nRAS              nRCD               nRCD   nRC
    PRE       nRP     -                 -                  -      nRP
    RD        -       nRTP              nCCD               nRTW   -
    WR        -       nCWL+nCCD+nWR     nCWL+nCCD+nWTR     nCCD   -
    REFpb     nRFC    -                 -                  -      nRFC

nRCD, nRAS and nRC differ by tier.  nRC is the rounded tRC, not nRAS + nRP, so that a fine command clock gives the
published row cycle; with a coarse clock nRAS + nRP can be one cycle more, which is then what limits a bank.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from nmpsim.spec.clock import DOMAINS, clock_domains
from nmpsim.spec.geometry import ELEMENT_BYTES, hot_interval
from nmpsim.spec.levels import inner_network, joined_levels
from nmpsim.spec.network import router_params
from nmpsim.spec.params import (
    ACT,
    COMMANDS,
    HOLD_COLUMN,
    HOLD_ROW,
    MAC_TREE,
    PRE,
    RD,
    REF,
    SYSTOLIC,
    WR,
    CoreParams,
    DramParams,
    LinkParams,
    MachineParams,
    NocParams,
)
from nmpsim.spec.schema import ChipSpec
from nmpsim.units import Number, cycles_down, cycles_up, exact, rounding_sentence

RUN_AHEAD = 128
"""Cycles of port history kept: a constant of the simulator, not of the hardware."""

_SEPARATIONS = ("tRP", "tCCD", "tBL", "tRTP", "tCL", "tCWL", "tWR", "tWTR", "tRTW", "tRRD", "tFAW", "tRFC")
_BUDGET = ("die_tRRD", "die_tFAW")


class _Rounder:
    """Converts times of the DRAM domain to cycles and remembers what that changed."""

    def __init__(self, ghz: Number) -> None:
        self.ghz = ghz
        self.sentences: list[str] = []

    def up(self, name: str, ns: Number) -> int:
        return self._noted(name, ns, cycles_up(ns, self.ghz))

    def down(self, name: str, ns: Number) -> int:
        return self._noted(name, ns, cycles_down(ns, self.ghz))

    def _noted(self, name: str, ns: Number, cycles: int) -> int:
        if exact(ns) and (sentence := rounding_sentence(name, ns, cycles, self.ghz)):
            self.sentences.append(sentence)
        return cycles


def row_times_ns(spec: ChipSpec) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Return tRCD, tRAS and tRC of every tier; ns, exact."""
    timing = spec.dram.timing
    restore, precharge = exact(timing.tRAS_minus_tRCD_ns.value), exact(timing.tRP_ns.value)
    opened = [exact(ns) for ns in timing.tRCD_ns.value]
    return [(rcd, rcd + restore, rcd + restore + precharge) for rcd in opened]


def refresh_interval_ns(spec: ChipSpec) -> Fraction:
    """Return tREFI at the temperature of the DRAM; ns, exact."""
    heat = spec.dram.temperature
    return hot_interval(
        spec.dram.timing.tREFI_ns.value,
        heat.celsius.value,
        heat.hot_celsius.value,
        heat.hot_divisor.value,
        heat.step_celsius.value,
    )


def resolve(spec: ChipSpec) -> MachineParams:
    """Return a whole chip as integers.

    Parameters
    ----------
    spec : ChipSpec
        A checked chip, from `load_chip` or `with_overrides`.

    Raises
    ------
    SpecError
        If the clocks have no usable common tick (a checked chip always has one).
    """
    clock, timing = spec.clock, spec.dram.timing
    inside = spec.noc.pu if spec.chip.cores_per_pu.value > 1 else None
    own_clock = (inside.clock_GHz.value,) if inside is not None else ()
    domains = clock_domains(*(getattr(clock, name).value for name in DOMAINS), *own_clock)
    rounder = _Rounder(clock.dram_GHz.value)
    n = {name: rounder.up(name, getattr(timing, f"{name}_ns").value) for name in _SEPARATIONS}
    n |= {name: rounder.up(name, getattr(spec.dram.budget, f"{name}_ns").value) for name in _BUDGET}
    n["tREFI"] = rounder.down("tREFI", refresh_interval_ns(spec))
    rows, energy = row_times_ns(spec), spec.dram.energy
    latency = np.full((len(rows), len(COMMANDS), len(COMMANDS)), -1, dtype=np.int64)
    for tier, (rcd, ras, rc) in enumerate(rows):
        row = tuple(
            rounder.up(f"{name} tier {tier}", ns)
            for name, ns in zip(("tRCD", "tRAS", "tRC"), (rcd, ras, rc), strict=True)
        )
        _fill_latency(latency[tier], row, n)
        opened = row[1] + n["tRP"]
        if opened > row[2]:
            rounder.sentences.append(
                rounding_sentence(f"row cycle tier {tier} (nRAS + nRP)", rc, opened, clock.dram_GHz.value)
            )
    machine = MachineParams(
        name=spec.chip.name,
        cores=spec.chip.pus.value * spec.chip.cores_per_pu.value,
        tick_ps=domains.tick_ps,
        core_period=domains.core_period,
        dram_period=domains.dram_period,
        noc_period=domains.noc_period,
        core=_core(spec),
        dram=_dram(spec, n),
        noc=_noc(spec),
        latency=latency,
        command_pJ=(energy.ACT_pJ.value, 0.0, energy.RD_pJ.value, energy.WR_pJ.value, energy.REF_pJ.value),
        row_cycle_ns=tuple(float(rc) for _, _, rc in rows),
        fill=spec.placement.fill,
        rounding=tuple(rounder.sentences),
        link=_link(spec, domains.link_period),
        hop_mm=spec.noc.hop_mm.value,
        link_pJ_per_bit=spec.noc.die_to_die.pJ_per_bit.value,
        operands=spec.core.operands,
        cores_per_pu=spec.chip.cores_per_pu.value,
    )
    if inside is None:
        return machine
    inner = inner_network(spec)
    outer, gate, gateways = joined_levels(
        inner, machine.noc, (domains.pu_period, domains.noc_period), inside.gateway_flits.value
    )
    return replace(
        machine,
        noc_period=domains.pu_period,
        noc=inner,
        hop_mm=inside.hop_mm.value,
        link=gateways,
        outer=outer if gate.cores > 1 else None,
        outer_period=domains.noc_period,
        outer_hop_mm=spec.noc.hop_mm.value,
        gate=gate,
    )


def _fill_latency(latency: Any, row: tuple[int, ...], n: dict[str, int]) -> None:
    """Fill the constraint table of one tier (changes `latency`, shape (5, 5)); `row` is nRCD, nRAS, nRC."""
    rcd, ras, rc = row
    write = n["tCWL"] + n["tCCD"]
    latency[ACT, ACT] = latency[ACT, REF] = rc
    latency[ACT, PRE] = ras
    latency[ACT, RD] = latency[ACT, WR] = rcd
    latency[PRE, ACT] = latency[PRE, REF] = n["tRP"]
    latency[RD, RD] = latency[WR, WR] = n["tCCD"]
    latency[RD, PRE] = n["tRTP"]
    latency[RD, WR] = n["tRTW"]
    latency[WR, PRE] = write + n["tWR"]
    latency[WR, RD] = write + n["tWTR"]
    latency[REF, ACT] = latency[REF, REF] = n["tRFC"]


def _dram(spec: ChipSpec, n: dict[str, int]) -> DramParams:
    dram, port = spec.dram, spec.port
    return DramParams(
        banks=dram.banks_per_channel.value,
        rows=dram.rows_per_bank.value,
        columns=dram.row_bytes.value // dram.column_bytes.value,
        column_bytes=dram.column_bytes.value,
        tiers=dram.tiers.value,
        rows_per_tier=dram.rows_per_bank.value // dram.tiers.value,
        fifo_columns=port.fifo_bytes.value // dram.column_bytes.value,
        run_queue=port.run_queue.value,
        nCL=n["tCL"],
        nCWL=n["tCWL"],
        nPORT=port.latency_cycles.value,
        nCREDIT=port.credit_cycles.value,
        nRRD=n["tRRD"],
        nFAW=n["tFAW"],
        nREFI=n["tREFI"],
        refresh=int(dram.refresh.mode == "per_bank"),
        postpone=dram.refresh.postpone.value,
        pull_in=dram.refresh.pull_in.value,
        row_hits=dram.row_hits.value,
        port_banks=port.banks.value,
        ports=port.ports.value,
        port_hold={"row": HOLD_ROW, "column": HOLD_COLUMN}[port.hold],
        nBL=n["tBL"],
        die_nRRD=n["die_tRRD"],
        die_nFAW=n["die_tFAW"],
        die_acts=dram.budget.die_acts.value,
    )


def _noc(spec: ChipSpec) -> NocParams:
    noc = spec.noc
    return router_params(noc, spec.chip.pus.value)._replace(
        multicast_lanes=noc.multicast_vcs.value if noc.collectives != "messages" else 0,
        multicast_flits=noc.multicast_flits.value,
        sum_lanes=noc.sum_vcs.value if noc.collectives == "network" else 0,
        nADD=noc.add_cycles.value,
    )


def _link(spec: ChipSpec, period: int) -> LinkParams:
    link = spec.noc.die_to_die
    return LinkParams(
        period=period,
        bytes=link.bytes_per_cycle.value,
        latency=link.latency_cycles.value,
        buffer_flits=link.buffer_flits.value,
    )


def _compute_unit(spec: ChipSpec) -> dict[str, int]:
    """Return the fields of CoreParams that depend on the kind of compute unit."""
    array, tree, buffer = spec.core.array, spec.core.mac_tree, spec.core.buffer
    if array is not None:
        return {
            "kind": SYSTOLIC,
            "strips": array.rows.value // array.granularity.value,
            "strip_rows": array.granularity.value,
            "macs_per_cycle": array.rows.value * array.cols.value,
            "reconfigure": array.reconfigure_cycles.value,
            "pe_latency": array.pe_latency.value,
            "groups": sum(1 << size for size in set(array.groups or ())),
            "register_beats": 0,
            "edge_bytes": buffer.banks.value * buffer.bank_bytes.value,  # its edges are the buffer's own ports
            "fold_sets": array.fold_sets.value,
            "psum_bytes": 0,
        }
    assert tree is not None  # the rule of core.kind
    return {
        "kind": MAC_TREE,
        "strips": tree.slices.value,
        "strip_rows": 1,
        "macs_per_cycle": tree.slices.value * tree.engines.value * tree.taps.value,
        "reconfigure": 0,
        "pe_latency": tree.tree_latency.value,
        "register_beats": tree.register_beats.value,
        "edge_bytes": tree.edge_bytes.value,
        "fold_sets": tree.fold_sets.value,
        "psum_bytes": tree.psum_bytes.value,
        "taps": tree.taps.value,
    }


def _array_buffer(spec: ChipSpec) -> dict[str, int]:
    """Return the fields of CoreParams that only a core with separate buffers has; none of them if unified."""
    own = spec.core.array_buffer
    if spec.core.arrangement == "unified" or own is None:
        return {}
    return {
        "separate": 1,
        "operand_bytes": own.operand_bytes.value,
        "operand_banks": own.operand_banks.value,
        "output_bytes": own.output_bytes.value,
        "output_banks": own.output_banks.value,
        "array_bank_bytes": own.bank_bytes.value,
        "copy_bytes": own.copy_bytes.value,
        "copy_latency": own.copy_cycles.value,
    }


def _core(spec: ChipSpec) -> CoreParams:
    core = spec.core
    return CoreParams(
        **_compute_unit(spec),
        **_array_buffer(spec),
        columns=spec.dram.column_bytes.value // ELEMENT_BYTES,
        lanes=core.vector.lanes.value,
        vector_read_bytes=core.vector.read_bytes.value,
        vector_write_bytes=core.vector.write_bytes.value,
        vector_latency=core.vector.latency_cycles.value,
        exp_interval=core.vector.exp_interval.value,
        sqrt_interval=core.vector.sqrt_interval.value,
        buffer_bytes=core.buffer.bytes.value,
        buffer_banks=core.buffer.banks.value,
        bank_bytes=core.buffer.bank_bytes.value,
        queue_depth=core.sequencer.queue_depth.value,
        run_ahead=RUN_AHEAD,
    )
