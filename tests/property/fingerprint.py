"""Everything that a run leaves behind and that no way of visiting components may change."""

from __future__ import annotations

from typing import Any

from nmpsim.dram.state import command_log
from nmpsim.kernel import NEVER
from nmpsim.machine.simulate import Simulation

ARCHITECTURAL = {
    "actor": ("issued", "pops", "macs", "passes"),
    "vector": ("elements", "lane_cycles", "conflicts"),
    "mover": ("issued", "completed", "turn", "beats_in", "beats_out", "conflicts"),
    "sender": ("messages", "flits", "conflicts"),
    "received": ("messages", "flits", "conflicts"),
    "core": ("fetch", "finished_at", "retired"),
    "unit": ("head", "count"),
}
"""Registers of the cores that programs could see; the rest says how far a unit was stepped ahead."""


def fingerprint(simulation: Simulation) -> dict[str, Any]:
    """Results, accounts and final registers of a finished run, as plain values that compare with ==."""
    die = simulation.die
    seen: dict[str, Any] = {
        "end": simulation.end,
        "counts": simulation.counts(),
        "stalls": simulation.stalls(),
        "spans": simulation.spans().tolist(),
        "work": simulation.work().tolist(),
        "unit stalls": die.cores.stall.tolist(),
        "link stalls": die.network.stall.tolist(),
        "bank stalls": die.channels.stall.tolist(),
        "bank counters": die.channels.counter.tolist(),
        "routers": die.network.node[["injected", "ejected", "conflicts"]].tolist(),
        "links": die.network.link["flits"].tolist(),
        "semaphores": die.cores.signal.tolist(),
        "commands": command_log(die.channels, simulation.end + 1).tolist() if die.channels.log.shape[1] else [],
    }
    for part, fields in ARCHITECTURAL.items():
        seen[part] = getattr(die.cores, part)[list(fields)].tolist()
    assert simulation.end < NEVER
    return seen
