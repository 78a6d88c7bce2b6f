"""What every unit does in every cycle, read off the registers of a die that is stepped edge by edge in plain mode.

This is the definition that a trace is compared with.  It uses no recording: reasons are registers of the accounts,
work is what the counters of the units grew by in the cycle, ports are the masks of the cycle, banks are what their
stall tables grew by.
"""

from __future__ import annotations

import numpy as np

from nmpsim.core.state import BUSY, actors_of, missing_units
from nmpsim.dram.native.account import settle
from nmpsim.machine.simulate import Simulation
from nmpsim.machine.state import RUNNING
from nmpsim.program.isa import ARRAY, COPY_IN, MOVE, SEND_0, UNITS, VECTOR
from nmpsim.program.program import Program
from nmpsim.spec.params import MachineParams


class Stepped:
    """Per-cycle traces of a program in plain mode.

    Attributes
    ----------
    cores : dict
        (pu, row) -> array of (reason, operator, work) per core cycle, rows as in the log of a core.
    banks : dict
        (channel, bank) -> array of reasons per DRAM cycle.
    ports : dict
        (pu, name) -> array of ports taken per core cycle.
    flits : dict
        (pu, receiver) -> array of flits taken per core cycle.
    links : dict
        link between routers -> array of flits that leave on it per network cycle.
    stack_links : dict
        PU -> array of reasons per cycle of the link.
    """

    def __init__(self, params: MachineParams, program: Program) -> None:
        self.params = params
        self.simulation = Simulation(params, program, plain=True)
        self.die = self.simulation.die
        self.cores: dict[tuple[int, int], np.ndarray] = {}
        self.banks: dict[tuple[int, int], np.ndarray] = {}
        self.ports: dict[tuple[int, str], np.ndarray] = {}
        self.flits: dict[tuple[int, int], np.ndarray] = {}
        self.links: dict[int, np.ndarray] = {}
        self.stack_links: dict[int, np.ndarray] = {}
        self._seen: dict[str, list[np.ndarray]] = {}
        clock, running = self.die.clock[0], True
        tick = 0
        while running:
            self.simulation._advance(tick + 1)
            if tick % params.core_period == 0:
                self._look_at_cores(tick)
            if tick % params.dram_period == 0:
                until = tick + params.dram_period
                settle(until, params.dram, params.dram_period, params.latency, self.die.channels)
                self._keep("stall", self.die.channels.stall)
            if tick % params.noc_period == 0:
                self._keep("link flits", self.simulation.fabric.routers.output_port["flits"])
            if tick % params.link.period == 0:
                self._keep("link reason", self.simulation.fabric.link["reason"])
            running = int(clock.status) == RUNNING
            tick = int(clock.now)
        self._tell()

    def _keep(self, name: str, values: np.ndarray) -> None:
        self._seen.setdefault(name, []).append(np.array(values))

    def _look_at_cores(self, tick: int) -> None:
        cores = self.die.cores
        fields = {
            "unit": ("reason", "operator"), "actor": ("reason", "operator", "macs"), "vector": ("elements",),
            "mover": ("beats_in", "beats_out"), "sender": ("flits",), "core": ("fetch", "read_mask", "write_mask"),
            "received": ("flits",), "copier": ("bytes",),
        }  # fmt: skip
        for part, names in fields.items():
            record = np.asarray(getattr(cores, part))
            for name in names:
                self._keep(f"{part}.{name}", record[name])
        entry = np.asarray(cores.port_use)[:, (tick // self.params.core_period) % cores.port_use.shape[1]]
        for name in ("read_mask", "write_mask", "sum_mask"):
            self._keep(f"own.{name}", np.where(entry["at"] == tick, entry[name], 0))

    def _tell(self) -> None:
        """Turn what was kept of every cycle into traces: counters into what they grew by."""
        p = self.params
        seen = {name: np.stack(values) for name, values in self._seen.items()}
        begin = self.die.cores.core["begin"]

        def grown(name: str) -> np.ndarray:
            first = np.zeros_like(seen[name][:1]) + (begin if name == "core.fetch" else 0)
            return np.diff(np.concatenate([first, seen[name]]), axis=0)

        work = {VECTOR: grown("vector.elements"), MOVE: grown("mover.beats_in") + grown("mover.beats_out")}
        work |= {SEND_0 + d: grown("sender.flits")[:, :, d] for d in range(2)} | {UNITS: grown("core.fetch")}
        if p.core.separate:
            work |= {COPY_IN + d: grown("copier.bytes")[:, :, d] for d in range(2)}
        on_port = grown("link flits")
        channels = self.simulation._routers.topology.channels
        for n, channel in enumerate(channels):
            sent = on_port[:, channel.source * self.simulation._routers.params.ports + channel.out_port]
            self.links[n] = np.concatenate([np.zeros(p.noc.nSA + p.noc.nST, np.int64), sent])[: len(sent)]
        for c in range(len(self.simulation.fabric.link)):
            self.stack_links[len(channels) + c] = seen["link reason"][:, c]
        macs, flits, banks = grown("actor.macs"), grown("received.flits"), grown("stall")
        assert (banks.sum(axis=3) == 1).all()
        masks = {"buffer_read": "core.read_mask", "buffer_write": "core.write_mask"}
        if p.core.separate:
            masks |= {"operand_read": "own.read_mask", "output_write": "own.write_mask", "output_read": "own.sum_mask"}
        for c in range(p.cores):
            for u in range(1, UNITS + 1):
                if u not in missing_units(p):
                    reason, value = seen["unit.reason"][:, c, u], work[u][:, c].copy()
                    if u == VECTOR:  # the lanes of a slow function stay taken between two issues
                        for i in np.flatnonzero((reason == BUSY) & (value == 0)):
                            value[i] = value[i - 1]
                    row = ARRAY if u == UNITS else u
                    self.cores[c, row] = np.stack([reason, seen["unit.operator"][:, c, u], value], axis=1)
            for i in range(actors_of(p)):
                parts = [seen["actor.reason"][:, c, i], seen["actor.operator"][:, c, i], macs[:, c, i]]
                self.cores[c, UNITS + i] = np.stack(parts, axis=1)
            for name, mask in masks.items():
                self.ports[c, name] = np.bitwise_count(seen[mask][:, c])
            for d in range(2):
                self.flits[c, d] = flits[:, c, d]
            for b in range(p.dram.banks):
                self.banks[c, b] = banks[:, c, b].argmax(axis=1)
