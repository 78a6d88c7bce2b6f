"""Dispatch, queues and semaphores of the kernel, cycle by cycle: under random units, and in a busy core.

Random units take late, hold several instructions and complete late, several at once; messages arrive late.  Each of
these changes its pace every few dozen cycles, from hardly ever to always.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyrtl

from nmpsim.core import core as core_module
from nmpsim.core import queue as queue_module
from nmpsim.core.state import (
    BUSY,
    CORE,
    ENTRY,
    FINISHED,
    MOVE_SLOTS,
    QUEUE_EMPTY,
    UNIT,
    UNIT_QUEUE_FULL,
    WAIT_SEMAPHORE,
)
from nmpsim.kernel import NEVER
from nmpsim.program.isa import ARRAY, FROM, INSTRUCTION, MOVE, UNITS, semaphores
from nmpsim.spec.params import MachineParams
from rtl_models.core.sequencer import ARRIVALS, WAITS, SequencerParams, sequencer, sequencer_params
from tests.cosim.busy_core import BusyCore
from tests.cosim.interpreted import interpreted
from tests.cosim.replay import Replay

REASON = {BUSY: 0, UNIT_QUEUE_FULL: 1, FINISHED: 2}
STATE = {QUEUE_EMPTY: 0, WAIT_SEMAPHORE: 1}
READY = 2

see_signals, dispatch = interpreted(core_module.see_signals), interpreted(core_module.dispatch)
take_instruction = interpreted(queue_module.take_instruction)


def offered(program, fetch: int, end: int) -> dict[str, int]:
    """Pins of the instruction that the program memory shows."""
    pins = {"program_end": end, "instruction_unit": 0}
    if fetch < end:
        row = program[fetch]
        pins["instruction_unit"] = int(row["unit"])
        for i in range(WAITS):
            pins |= {
                f"wait{i}_valid": int(row[f"wait{i}"] >= 0),
                f"wait{i}_semaphore": max(int(row[f"wait{i}"]), 0),
                f"wait{i}_count": int(row[f"count{i}"]),
            }
    return pins


@dataclass
class Recording:
    """What stood at the pins of a sequencer; entry t of each list is cycle t."""

    params: SequencerParams
    inputs: list[dict[str, int]] = field(default_factory=list)
    outputs: list[dict[str, int]] = field(default_factory=list)

    def replay(self, name: str, **changes) -> Replay:
        """The recording, for RTL made with some parameters changed."""
        block = sequencer(self.params._replace(**changes))
        pins = [wire.name for wire in block.wirevector_subset(pyrtl.Input)]
        return Replay(name, block, [dict.fromkeys(pins, 0) | given for given in self.inputs], self.outputs)


def draw_params(seed: int) -> SequencerParams:
    """Draw the sizes of a sequencer."""
    rng = np.random.default_rng([seed, 1])
    units = (5, 2, 7, 4, 1, 6, 3)[seed % 7]
    return SequencerParams(
        units=units,
        depth=(2, 1, 4, 3, 8)[seed % 5],
        semaphores=units + int(rng.integers(1, 7)),
        completions=tuple(int(rng.choice([1, 1, 3])) for _ in range(units)),
        count_bits=(4, 16, 5)[seed % 3],
        program_bits=9,
    )


class RandomUnits:
    """The kernel's sequencer with units of random pace.

    Parameters
    ----------
    params : SequencerParams
    seed : int
    length : int
        Instructions of the program.
    """

    def __init__(self, params: SequencerParams, seed: int, length: int = 70) -> None:
        self.params, self.rng = params, np.random.default_rng([seed, 2])
        self.unit = UNIT.zeros(params.units)
        self.entry = ENTRY.zeros(params.units, params.depth)
        self.core = CORE.zeros(1)[0]
        self.core.end = length
        self.semaphore = np.zeros(params.semaphores, np.int64)
        self.signal = np.zeros(params.semaphores, np.int64)
        self.program = self.draw_program(length)
        self.held = [0] * params.units
        self.recording = Recording(params)
        self.pace: dict[str, float] = {}
        self.now = 0

    def draw_program(self, length: int):
        """Draw instructions, each with waits that will hold some day."""
        rng, params = self.rng, self.params
        program = np.zeros(length, INSTRUCTION)
        count = [0] * params.semaphores
        for row in program:
            for i in range(WAITS):
                row[f"wait{i}"] = -1
            for i in rng.permutation(WAITS)[: rng.choice([0, 1, 2, 4])]:
                semaphore = int(rng.integers(params.semaphores))
                if semaphore >= params.units:
                    count[semaphore] += int(rng.integers(2))
                if count[semaphore]:
                    row[f"wait{i}"] = semaphore
                    row[f"count{i}"] = max(count[semaphore] - int(rng.integers(3)), 1)
            row["unit"] = rng.integers(params.units)
            count[int(row["unit"])] += 1
        self.awaited = count
        records = program.astype(np.dtype((np.record, program.dtype)))
        return records.view(np.recarray)

    def may_count(self, semaphore: int, more: int) -> bool:
        """Whether no wait to come would lie half the range of a count behind."""
        reached = int(self.signal[semaphore]) + more
        first = min(int(self.unit_first()), len(self.program))
        rows = self.program[first:]
        half = 1 << self.params.count_bits - 1
        for i in range(WAITS):
            counts = rows[f"count{i}"][rows[f"wait{i}"] == semaphore]
            if len(counts) and reached - int(counts.min()) >= half:
                return False
        return True

    def unit_first(self) -> int:
        """The oldest instruction that is still in a queue, else the next one."""
        oldest = int(self.core.fetch)
        for u, unit in enumerate(self.unit):
            if unit.count:
                oldest = min(oldest, int(self.entry[u, unit.head % self.params.depth].instruction))
        return oldest

    def happens(self, what: str) -> bool:
        """Whether a handshake happens in this cycle."""
        if self.now % 40 == 0 or what not in self.pace:
            self.pace[what] = float(self.rng.choice([0.05, 0.3, 1.0]))
        return self.rng.random() < self.pace[what]

    def step(self) -> None:
        """Let one cycle pass."""
        core, params = self.core, self.params
        given = offered(self.program, int(core.fetch), int(core.end))
        shown = {"fetch": int(core.fetch)}
        shown |= {f"unit{u}_queued": int(unit.count) for u, unit in enumerate(self.unit)}
        see_signals(self.semaphore, self.signal)
        reason, _ = dispatch(self.now, 1, core, self.unit, self.entry, self.program)
        shown["reason"] = REASON[int(reason)]
        for u in range(params.units):
            done = self.completes(u)
            given[f"complete{u}"] = done
            takes = int(self.held[u] < 4 and self.happens(f"take{u}"))
            given[f"take{u}"] = takes
            shown |= self.take(u, takes)
            self.held[u] -= done
            self.signal[u] += done
            core.retired += done
        for d in range(ARRIVALS):
            number = int(self.rng.integers(params.units, params.semaphores))
            if self.happens(f"arrive{d}") and self.may_count(number, 1):
                given |= {f"arrive{d}_valid": 1, f"arrive{d}_semaphore": number}
                self.signal[number] += 1
        shown |= {"retired": int(core.retired), "finished": int(core.fetch == core.end == core.retired)}
        self.recording.inputs.append(given)
        self.recording.outputs.append(shown)
        self.now += 1

    def completes(self, u: int) -> int:
        """How many of the instructions that a unit has held since the cycle before it completes."""
        most = min(self.held[u], self.params.completions[u])
        count = int(self.rng.integers(1, most + 1)) if most and self.happens(f"complete{u}") else 0
        return count if self.may_count(u, count) else 0

    def take(self, u: int, takes: int) -> dict[str, int]:
        """What a unit finds at the head of its queue, and takes if it wants to."""
        unit = self.unit[u]
        before = int(unit.head), int(unit.count)
        number, why = take_instruction(unit, self.entry[u], self.semaphore, self.program, self.now)
        if number < 0:
            return {f"unit{u}_state": STATE[int(why)]}
        self.held[u] += takes
        if not takes:
            unit.head, unit.count = before
        return {f"unit{u}_state": READY, f"unit{u}_tag": int(number)}

    def record(self, cycles: int) -> Recording:
        """Record some cycles."""
        for _ in range(cycles):
            self.step()
        return self.recording


class BusySequencer:
    """The sequencer of a busy core of one array.

    Parameters
    ----------
    params : MachineParams
    seed : int
    count_bits : int
        Width of the semaphores of the RTL.
    """

    def __init__(self, params: MachineParams, seed: int, count_bits: int = 16) -> None:
        modules = ("vector", "copier", "mover", "network")
        self.core = BusyCore(params, seed, {(f"nmpsim.core.{m}", "take_instruction"): self.asks for m in modules})
        completions = tuple(MOVE_SLOTS if u == MOVE else 1 for u in range(UNITS))
        widths = {"count_bits": count_bits, "program_bits": 10}
        self.recording = Recording(sequencer_params(params.core, semaphores(1), completions, **widths))

    def asks(self, original):
        """Recorder of what a unit finds at the head of its queue when it could take it."""

        def record(unit, entries, *rest):
            number, why = original(unit, entries, *rest)
            queues = self.core.cores.entry[0]
            u = (entries.ctypes.data - queues.ctypes.data) // queues.strides[0]
            self.given[f"take{u}"] = 1
            self.shown[f"unit{u}_state"] = READY if number >= 0 else STATE[int(why)]
            if number >= 0:
                self.shown[f"unit{u}_tag"] = int(number)
            return number, why

        return record

    def step(self) -> None:
        """Record one cycle."""
        cores = self.core.cores
        core, actor = cores.core[0], cores.actor[0, 0]
        self.given = offered(self.core.records, int(core.fetch), int(core.end))
        self.shown = {"fetch": int(core.fetch)}
        self.shown |= {f"unit{u}_queued": int(cores.unit[0, u].count) for u in range(UNITS)}
        before, issued = cores.signal[0].copy(), int(actor.issued)
        queue = cores.unit[0, ARRAY]
        head = int(cores.entry[0, ARRAY, queue.head % cores.entry.shape[2]].instruction)
        self.core.step()
        if actor.issued > issued:
            self.given[f"take{ARRAY}"] = 1
            self.shown |= {f"unit{ARRAY}_state": READY, f"unit{ARRAY}_tag": head}
        elif int(actor.reason) in STATE:
            self.shown[f"unit{ARRAY}_state"] = STATE[int(actor.reason)]
        grown = (cores.signal[0] - before).tolist()
        self.given |= {f"complete{u}": grown[u] for u in range(UNITS)}
        arrived = [i for i in range(FROM, len(grown)) for _ in range(grown[i])]
        for d, number in enumerate(arrived):
            self.given |= {f"arrive{d}_valid": 1, f"arrive{d}_semaphore": number}
        self.shown["reason"] = REASON[int(cores.unit[0, UNITS].reason)]
        self.shown |= {"retired": int(core.retired), "finished": int(core.finished_at < NEVER)}
        self.recording.inputs.append(self.given)
        self.recording.outputs.append(self.shown)

    def record(self, cycles: int) -> Recording:
        """Record some cycles."""
        for _ in range(cycles):
            self.step()
        return self.recording
