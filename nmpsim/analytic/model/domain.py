"""The variables of a step and a chip by which the domain of a calibration is told."""

from __future__ import annotations

from nmpsim.program.schedule import Schedule
from nmpsim.spec.params import ACT, MAC_TREE, TOPOLOGIES, MachineParams

Variables = dict[str, float | str]


def variables_of(schedule: Schedule, params: MachineParams) -> Variables:
    """Return the variables of a step on a chip.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
    """
    graph, core, dram, noc = schedule.graph, params.core, params.dram, params.noc
    model = graph.model
    row = float(params.latency[0, ACT, ACT])
    period = float(params.tick_ps) / 1000
    found: Variables = {
        "batch": graph.batch,
        "context": graph.context,
        "cached tokens": graph.batch * graph.context,
        "cached tokens of latent attention": 0 if model.latent is None else graph.batch * graph.context,
        "experts of a layer": max(graph.distinct_experts.values(), default=0),
        "hidden size": model.hidden,
        "vocabulary": model.vocab,
        "layers of latent attention": 0 if model.latent is None else 1,
        "stacks": params.stacks,
        "GEMMs on teams": sum(plan.team > 1 for plan in schedule.gemm.values()),
        "experts": "ahead of one another" if schedule.ahead else "one after another",
        "format of weights": str(graph.precision.weights),
        "format of the KV cache": str(graph.precision.kv),
        "PUs": params.cores,
        "compute unit": "mac_tree" if core.kind == MAC_TREE else "systolic",
        "arrangement": "separate" if core.separate else "unified",
        "rows of a strip": core.strip_rows,
        "columns": core.columns,
        "strips": core.strips,
        "MACs per cycle of a PU": core.macs_per_cycle,
        "vector lanes": core.lanes,
        "buffer bytes": core.buffer_bytes,
        "core clock, GHz": 1 / (period * params.core_period),
        "row cycle, ns": row * period * params.dram_period,
        "bytes of a row": dram.columns * dram.column_bytes,
        "FIFO of a strip, beats": dram.fifo_columns,
        "banks per PU": dram.banks,
        "row hits": dram.row_hits,
        "banks per port": dram.port_banks,
        "activation budgets": max(dram.nRRD, dram.nFAW, dram.die_nRRD, dram.die_nFAW),
        "topology": TOPOLOGIES[noc.kind],
        "flit bytes": noc.flit_bytes,
        "network clock, GHz": 1 / (period * params.noc_period),
    }
    return found
