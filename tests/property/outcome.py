"""One program on one die, run to its end, and everything that it leaves behind."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np

from nmpsim.core.state import REASONS
from nmpsim.dram.native.state import command_log
from nmpsim.machine.simulate import Simulation
from nmpsim.program.isa import CROSS, F_SUM, LOAD, SEND, SEND_0, SEND_1, STORE, STREAM, UNITS
from nmpsim.program.program import Program
from nmpsim.spec.params import CROSSBAR, MachineParams
from tests.property.collected import Collected
from tests.unit.noc.bench import hops_between

LIMIT = 400_000
"""Core cycles that no run of these tests needs."""

LOG = 2**15
"""DRAM commands of a channel that are kept; memory that is not written costs nothing."""

ARCHITECTURAL = {
    "core": ("fetch", "finished_at", "retired"),
    "unit": ("head", "count"),
    "actor": ("issued", "pops", "macs", "passes", "sets"),
    "vector": ("elements", "lane_cycles", "conflicts", "flying"),
    "mover": ("issued", "completed", "turn", "beats_in", "beats_out", "conflicts", "loads"),
    "sender": ("messages", "flits", "conflicts"),
    "received": ("messages", "flits", "conflicts"),
    "copier": ("copies", "bytes", "conflicts", "flying"),
}
"""Registers of the cores that count or that hold; the others only say how far a unit was stepped ahead."""


def run(params: MachineParams, program: Program, **options: Any) -> Simulation:
    """A finished simulation, with a DRAM command log and intervals; `options` as for `Simulation`."""
    simulation = Simulation(params, program, **({"log_capacity": LOG, "recorder": Collected()} | options))
    simulation.run(limit_cycles=LIMIT)
    return simulation


def collected(simulation: Simulation) -> Collected:
    """What the recorder of `run` was handed."""
    recorder = simulation._recorder
    return recorder if isinstance(recorder, Collected) else Collected()


def observed(simulation: Simulation) -> dict[str, Any]:
    """Results, accounts, commands and final registers, as plain values to compare with ==."""
    cores, channels = simulation.die.cores, simulation.die.channels
    seen: dict[str, Any] = {
        "end": simulation.end,
        "counts": simulation.counts(),
        "stalls": simulation.stalls(),
        "spans": simulation.spans().tolist(),
        "work": cores.work.tolist(),
        "intervals": collected(simulation).intervals().tolist(),
        "events": collected(simulation).events().tolist(),
        "bank intervals": collected(simulation).banks().tolist(),
        "link intervals": collected(simulation).links().tolist(),
        "unit stalls": cores.stall.tolist(),
        "bank stalls": channels.stall.tolist(),
        "bank counters": channels.counter.tolist(),
        "network": simulation.network(),
        "semaphores": cores.semaphore.tolist(),
        "commands": command_log(channels, simulation.end + 1).tolist(),
    }
    for part, fields in ARCHITECTURAL.items():
        seen[part] = getattr(cores, part)[list(fields)].tolist()
    return seen


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of what differs between two observations."""
    return [name for name in one if one[name] != other[name]]


def digest(simulation: Simulation) -> str:
    """Hash of an observation; 16 hex digits."""
    return hashlib.sha256(repr(observed(simulation)).encode()).hexdigest()[:16]


class Work:
    """What the instructions of a program ask for, counted without any model of time.

    Parameters
    ----------
    params : MachineParams
    program : Program
    """

    def __init__(self, params: MachineParams, program: Program) -> None:
        self.params, self.program = params, program
        self.all = np.concatenate(program.streams)

    def _of(self, op: int) -> np.ndarray:
        return self.all[self.all["op"] == op]

    @cached_property
    def stream_beats(self) -> np.ndarray:
        """Beats per STREAM and strip."""
        strips, tables = self.params.core.strips, self.program.tables
        beats = [tables[t : t + strips] for t in self._of(STREAM)["table"]]
        return np.array(beats, np.int64).reshape(-1, strips)

    @property
    def read_beats(self) -> int:
        return int(self.stream_beats.sum() + self._of(LOAD)["beats"].sum())

    @property
    def written_beats(self) -> int:
        return int(self._of(STORE)["beats"].sum())

    @property
    def rows(self) -> int:
        """Row accesses: whole rows of streams, one for every LOAD and STORE."""
        columns = self.params.dram.columns
        return int((-(-self.stream_beats // columns)).sum()) + len(self._of(LOAD)) + len(self._of(STORE))

    @property
    def tier_bytes(self) -> list[int]:
        """Bytes read and written per tier."""
        dram = self.params.dram
        rows = np.zeros(dram.tiers, np.int64)
        for ins, strips in zip(self._of(STREAM), self.stream_beats, strict=True):
            for beats in strips:
                for first in range(0, int(beats), dram.columns):
                    row = int(ins["row"]) + first // dram.columns
                    rows[row // dram.rows_per_tier] += min(dram.columns, int(beats) - first)
        for op in (LOAD, STORE):
            for ins in self._of(op):
                rows[int(ins["row"]) // dram.rows_per_tier] += int(ins["beats"])
        return [int(r) * dram.column_bytes for r in rows]

    @property
    def messages(self) -> int:
        return len(self._of(SEND))

    @property
    def flits(self) -> int:
        sends = self._of(SEND)
        return int((sends["m"] * -(-sends["bytes"] // self.params.noc.flit_bytes)).sum())

    @property
    def arrived_flits(self) -> int:
        """Flits that arrive: those of a multicast at every other PU, those of a sum once."""
        sends = self._of(SEND)
        flits = sends["m"] * -(-sends["bytes"] // self.params.noc.flit_bytes)
        return int((flits * self.places).sum())

    @property
    def places(self):
        """How many PUs each SEND arrives at; a contribution to a sum at its owner, if that sent it."""
        found = []
        for pu, stream in enumerate(self.program.streams):
            sends = stream[stream["op"] == SEND]
            is_sum = sends["modifiers"] & F_SUM != 0
            found.append(np.where(is_sum, sends["bank"] == pu, np.maximum(sends["n"] - 1, 1)))
        return np.concatenate(found)

    @property
    def arrivals(self) -> int:
        """Messages that arrive."""
        return int(self.places.sum())

    @property
    def flit_hops(self) -> int:
        total = 0
        for pu, stream in enumerate(self.program.streams):
            for ins in stream[stream["op"] == SEND]:
                hops = hops_between(self.params.noc, pu, int(ins["bank"]))
                if ins["modifiers"] & F_SUM and ins["bank"] != pu:  # those of a sum are counted with its owner
                    continue
                if ins["n"] or ins["modifiers"] & F_SUM:  # a tree: as many links as other nodes, and none in a crossbar
                    hops = 0 if self.params.noc.kind == CROSSBAR else self.params.cores - 1
                total += hops * int(ins["m"]) * -(-int(ins["bytes"]) // self.params.noc.flit_bytes)
        return total

    @property
    def copied_bytes(self) -> int:
        copies = self._of(CROSS)
        return int((copies["m"] * copies["bytes"] * copies["planes"]).sum())

    @property
    def elements(self) -> int:
        return int(sum(self.all[f"elements{i}"].sum() for i in range(3)))


def unit_reasons(simulation: Simulation) -> dict[str, dict[str, int]]:
    """Unit kind -> reason -> ticks of all units of the kind; every reason of the machine, reached or not."""
    stall = simulation.die.cores.stall
    rows = {
        "sequencer": stall[:, :1],
        "vector": stall[:, 1:2],
        "move": stall[:, 2:3],
        "send": stall[:, SEND_0 : SEND_1 + 1],
        "array": stall[:, UNITS:],
    }
    return {
        kind: {name: int(ticks) for name, ticks in zip(REASONS, part.sum(axis=(0, 1)), strict=True)}
        for kind, part in rows.items()
    }
