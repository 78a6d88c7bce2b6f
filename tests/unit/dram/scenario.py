"""A bench for traces derived by hand: the same runs for the kernel in both modes and for the oracle."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from nmpsim.dram.native import command_log, grant_activations, post, raise_faults, step_channel
from nmpsim.spec.params import COMMANDS
from tests.oracle.dram_native import Oracle
from tests.oracle.dram_native_world import Run, World
from tests.unit.dram.bench import DramUnderTest, head_at
from tests.unit.dram.chips import SMALL, latency_table

TIER = {"nRCD": 3, "nRAS": 6, "nRC": 8, "nRP": 2, "nCCD": 1, "nRTP": 2, "nRTW": 4, "nWTR": 5, "nWTP": 6, "nRFC": 10}
BASE = SMALL._replace(
    banks=1, tiers=1, rows_per_tier=16, fifo_columns=64, run_queue=8, nCL=2, nCWL=1, nPORT=1, nCREDIT=1, nREFI=40
)


class ScriptedWorld(World):
    """Takes beat n at a given cycle; those without one as soon as they are there."""

    def __init__(self, eat_at):
        super().__init__()
        self.eat_at = eat_at

    def eat(self, now, bank):
        if self.eaten < len(bank.beat_at):
            eat_at = self.eat_at[self.eaten] if self.eaten < len(self.eat_at) else bank.beat_at[self.eaten]
            bank.oracle.agenda.add(eat_at)
            if eat_at <= now:
                self.take(now, bank)


class SleepingDut(DramUnderTest):
    """Visits a channel only from the tick on that it named, or that somebody's stamp did."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.wake = np.zeros(len(self.state.channel), np.int64)

    def eat(self, bank=0, beats=1, *, free_at=None):
        super().eat(bank, beats, free_at=free_at)
        self.wake[0] = min(self.wake[0], self.now + self.params.nCREDIT if free_at is None else free_at)

    def visit(self, now):
        for c in np.flatnonzero(self.wake <= now).tolist():
            self.wake[c] = step_channel(c, now, 0, self.params, self.period, self.latency, self.state)
        grant_activations(now, self.params, self.period, self.latency, self.state, self.wake)

    def run_until(self, cycle):
        while self.now < cycle:
            self.visit(self.now)
            for bank in range(self.params.banks):
                while self.eats and head_at(self.state.fifo[0, bank], self.state.slot[0, bank]) <= self.now:
                    self.eat(bank)
            self.now += 1
        raise_faults(self.state)
        return self


class Scenario:
    """The same runs for the kernel in plain mode, in skip mode, in skip mode visited at its wakes only, and the oracle.

    Parameters
    ----------
    channels : int
    timing : dict or None
        Separations that differ from those of the file.
    eat_at : tuple of int
        Cycles at which the first beats of bank 0 of channel 0 are taken; the others at once.
    **changes : int
        Parameters that differ from `BASE`.
    """

    def __init__(self, *, channels=1, timing=None, eat_at=(), **changes):
        self.params, self.channels, self.eat_at = BASE._replace(**changes), channels, eat_at
        self.latency = latency_table(TIER | (timing or {}))
        self.runs, self.data = [], []

    def read(self, bank=0, *, channel=0, ready_at=0, columns=2, **fields):
        self.runs.append((channel, bank, ready_at, {"rows": 1, "columns": columns} | fields))
        return self

    def write(self, bank=0, *, data, **fields):
        """A write run whose data are at the port at the given cycles."""
        self.data += [(bank, cycle) for cycle in data]
        return self.read(bank, is_write=1, **fields)

    def kernel(self, end, kind=DramUnderTest, **mode):
        dut = kind(self.params, self.latency, eats=not self.eat_at, channels=self.channels, **mode)
        for channel, bank, ready_at, fields in self.runs:
            post(dut.state, channel, bank, ready_at, **fields)
        for bank, cycle in self.data:
            dut.supply(bank, cycle)
        for cycle in self.eat_at:
            dut.run_until(cycle)
            dut.eat()
        dut.run_until(end)
        return [(e.tick, e.channel, e.bank, e.command, e.port) for e in command_log(dut.state, end)]

    def oracle(self, end):
        keys = [(c, b) for c in range(self.channels) for b in range(self.params.banks)]
        worlds = {key: ScriptedWorld(self.eat_at if key == (0, 0) else ()) for key in keys}
        oracle = Oracle(self.params, self.latency, worlds)
        for channel, bank, ready_at, fields in self.runs:
            oracle.channels[channel].banks[bank].runs.append(Run(ready_at=ready_at, **fields))
            oracle.look_again(ready_at)
        for number, cycle in self.data:
            bank = oracle.channels[0].banks[number]
            bank.datum_at.append(cycle)
            bank.write_places.used += 1
            oracle.look_again(cycle)
        oracle.run_until(end)
        return [(c.tick, c.channel, c.bank, c.command, c.port) for c in oracle.sorted_commands()]

    def gives(self, expected, until):
        """Fail unless all four issue just these commands before cycle `until`.

        `expected` is the trace of bank 0, or a dict from bank, or (channel, bank), to trace; ports count where given.
        """
        traces = expected if isinstance(expected, dict) else {0: expected}
        traces = {key if isinstance(key, tuple) else (0, key): parsed(trace) for key, trace in traces.items()}
        got = {
            "plain": self.kernel(until, plain=True),
            "skip": self.kernel(until, plain=False),
            "asleep": self.kernel(until, SleepingDut),
            "oracle": self.oracle(until),
        }
        for name, log in got.items():
            banks = defaultdict(list)
            for tick, channel, bank, command, port in log:
                banks[int(channel), int(bank)].append((int(tick), COMMANDS[command], int(port)))
            assert set(banks) <= set(traces), name
            for key, trace in traces.items():
                shown = [
                    (tick, command, port if wanted[2] is not None else None)
                    for (tick, command, port), wanted in zip(banks[key], trace, strict=False)
                ]
                assert shown == trace, (name, key, banks[key])
                assert len(banks[key]) == len(trace), (name, key, banks[key])


def parsed(trace):
    """``"ACT 0  RD 3@1 4"`` as [(0, "ACT", None), (3, "RD", 1), (4, "RD", None)]."""
    commands, name = [], ""
    for word in trace.split():
        if word.isalpha():
            name = {"REF": "REFpb"}.get(word, word)
        else:
            cycle, _, port = word.partition("@")
            commands.append((int(cycle), name, int(port) if port else None))
    return commands
