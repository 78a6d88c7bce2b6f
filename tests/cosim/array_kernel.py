"""The array of the kernel under random stalls: what it saw and what it did, cycle by cycle, and which step when.

Beats come late to each strip by itself, passes come late to the queue, and wait for semaphores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nmpsim.core.state import BUSY, LOAD_STATIONARY, REASONS
from nmpsim.kernel import NEVER
from nmpsim.program.beats import beats_of
from nmpsim.program.isa import ARRAY, IS, WAITS, WS
from tests.cosim.array_cases import ArrayCase, Product
from tests.unit.core.bench import CoreBench, tile_of

LIMIT = 20_000
"""Most cycles of a case."""


class Step(NamedTuple):
    """A group does one step."""

    cycle: int
    number: int  # of the pass
    group: int  # -1: all at once (WS)
    outer: int
    inner: int
    step: int


@dataclass
class Trace:
    """What the kernel's array did; entry t of each list is cycle t."""

    case: ArrayCase
    pins: list[dict[str, int]] = field(default_factory=list)  # what stood at the inputs of the control
    outputs: list[dict[str, int]] = field(default_factory=list)  # what the control decided
    advances: list[int] = field(default_factory=list)  # count at the start of the cycle
    write_row: list[int] = field(default_factory=list)  # -1: nothing is written
    flows: list[int] = field(default_factory=list)  # configured dataflow, -1 = none yet
    popped: list[list[int]] = field(default_factory=list)  # beats taken before the cycle, by strip
    steps: list[Step] = field(default_factory=list)
    loads: list[tuple[int, int, int]] = field(default_factory=list)  # cycle, pass, row: first A of an IS pass
    writes: list[list[int]] = field(default_factory=list)  # cycles of each write
    configuration: tuple[int, int, int] = (-1, 1, 0)  # flow, group, split at the end


def folds_of(one: Product, core) -> tuple[int, int, int]:
    """Output folds, inner folds and steps of a pass, from the table of docs/timing-model.md."""
    m, n, k = one.shape
    groups, c, rows = core.strips // one.group, core.columns, one.group * core.strip_rows
    blocks_n, blocks_k = -(-n // c), -(-k // c)
    fission_k, fission_n = one.split == 1, one.split == 2
    if one.flow == IS:
        inner = blocks_k if fission_n else -(-blocks_k // groups)
        steps = -(-n // groups) if fission_n else n
        return 1, inner, max(steps, m) if inner > 1 else steps
    outer = blocks_n if fission_k else -(-blocks_n // groups)
    own_k = -(-k // groups) if fission_k else k
    return (outer, -(-own_k // rows), m) if one.flow == WS else (outer, 1, own_k)


def sequence(one: Product, core):
    """(outer, inner, step) of every step of a group, in order."""
    outers, inners, steps = folds_of(one, core)
    return [(o, i, s) for o in range(outers) for i in range(inners) for s in range(steps)]


class KernelArray:
    """One case in the lab bench of a core.

    Parameters
    ----------
    case : ArrayCase
    configuration : (int, int, int)
        Flow, group and split that the array has at the start; flow -1 = none.
    """

    def __init__(self, case: ArrayCase, configuration: tuple[int, int, int]) -> None:
        self.case, self.core = case, case.build.core
        instructions = [row for one in case.passes for row in one.instructions()]
        rng = np.random.default_rng([case.seed, 3])
        beats = [self.stamps(rng, s, instructions) for s in range(self.core.strips)]
        self.bench = CoreBench(case.build.machine, instructions, beats)
        actor = self.bench.actor[0]
        actor.flow, actor.group, actor.split = configuration
        self.trace = Trace(case)
        self.sequences = [sequence(one, self.core) for one in case.passes]
        self.next_step: dict[tuple[int, int], int] = {}
        self.weights_pass = 0

    def stamps(self, rng, strip: int, instructions) -> list[int]:
        """Cycle from which each beat of a strip may be taken."""
        passes = [row for row in instructions if row["unit"] == ARRAY]
        count = sum(len(beats_of(tile_of(row), self.core, strip)) for row in passes)
        gaps = np.where(rng.random(count) < self.case.lateness, rng.integers(0, self.case.slowest + 1, count), 0)
        return (np.cumsum(gaps) + int(rng.integers(0, 10) * (self.case.lateness > 0))).tolist()

    def asked(self) -> dict[str, int]:
        """The pass at the head of the queue, as it stands at the pins."""
        cores, actor, now = self.bench.die.cores, self.bench.actor[0], self.bench.now
        queue, entries = cores.unit[0, ARRAY], cores.entry[0, ARRAY]
        pins = {"pass_valid": 0, "pass_waits": 1, "pass_flow": 3, "pass_group": 0, "pass_split": 3}
        pins |= {"pass_m": 0, "pass_n": 0, "pass_k": 0}
        entry = entries[actor.issued % len(entries)]
        if actor.issued >= queue.head + queue.count or entry.at > now:
            return pins
        row = self.bench.records[entry.instruction]
        seen = cores.signal[0]  # becomes the semaphores of this cycle
        waits = any(row[f"wait{i}"] >= 0 and seen[row[f"wait{i}"]] < row[f"count{i}"] for i in range(WAITS))
        pins |= {f"pass_{name}": int(row[name]) for name in ("flow", "group", "split", "m", "n", "k")}
        return pins | {"pass_valid": 1, "pass_waits": int(waits)}

    def standing(self) -> list[int]:
        """By strip, whether a beat may be taken."""
        channels, now = self.bench.die.channels, self.bench.now
        fifos, slots = channels.fifo[0], channels.slot[0]
        depth = slots.shape[1]
        return [int(f.head < f.filled and slots[s, f.head % depth].ready_at <= now) for s, f in enumerate(fifos)]

    def places(self) -> list[tuple[int, ...]]:
        """Where each strip stands."""
        return [(int(s.outer), int(s.inner), int(s.step), int(s.left)) for s in self.bench.die.cores.strip[0]]

    def step(self) -> None:
        """Let one cycle pass and note it."""
        bench, trace, actor = self.bench, self.trace, self.bench.actor[0]
        cycle = bench.now
        pins = self.asked() | {f"beat_valid{s}": valid for s, valid in enumerate(self.standing())}
        heads = bench.die.channels.fifo[0]["head"].tolist()
        before = {name: int(actor[name]) for name in ("advances", "passes", "issued", "step", "writing", "write_end")}
        places = self.places()
        bench.step()
        taken = int(actor.issued) - before["issued"]
        trace.pins.append(pins)
        trace.popped.append(heads)
        trace.flows.append(int(actor.flow))
        trace.advances.append(before["advances"])
        outputs = {
            "reason": int(actor.reason),
            "move": int(actor.advances) - before["advances"],
            "pass_take": taken,
            "pass_done": int(actor.passes) - before["passes"],
            "writing": int(actor.writing),
        }
        after = bench.die.channels.fifo[0]["head"].tolist()
        trace.outputs.append(outputs | {f"pop{s}": b - a for s, (a, b) in enumerate(zip(heads, after, strict=True))})
        self.note_write(cycle, before)
        self.note_steps(cycle, taken, before, places)

    def note_write(self, cycle: int, before: dict[str, int]) -> None:
        """Note the row of a write."""
        actor, trace = self.bench.actor[0], self.trace
        if not actor.writing:
            trace.write_row.append(-1)
            return
        if before["writing"] == 0 or before["write_end"] <= cycle:
            trace.writes.append([])
        trace.writes[-1].append(cycle)
        fold = self.bench.die.cores.pending[0, 0][int(actor.pending_head)]
        number = int(actor.passes)
        rows = self.case.passes[number].shape[0] if self.case.passes[number].flow == 0 else 1
        trace.write_row.append((len(trace.writes[-1]) - 1) // (int(fold.cycles) // rows))

    def note_steps(self, cycle: int, taken: int, before: dict[str, int], places) -> None:
        """Note the steps of a cycle, and the rows of A that it loads."""
        actor, trace = self.bench.actor[0], self.trace
        if actor.flow == WS:
            if actor.reason == BUSY and actor.advances != before["advances"]:
                if self.next_step.get((self.weights_pass, -1), 0) == len(self.sequences[self.weights_pass]):
                    self.weights_pass += 1
                self.note_step(cycle, self.weights_pass, -1)
            return
        number = int(actor.issued) - 1
        if number < 0:
            return
        self.weights_pass = number + 1
        one = self.case.passes[number]
        if actor.reason == LOAD_STATIONARY and actor.flow == IS:
            trace.loads.append((cycle, number, 0 if taken else before["step"]))
        if taken:
            places = [(0, 0, 0, 1)] * self.core.strips
        for h, s in enumerate(range(0, self.core.strips, one.group)):
            if self.places()[s] != places[s]:
                self.note_step(cycle, number, h)

    def note_step(self, cycle: int, number: int, group: int) -> None:
        """Note that a group does its next step."""
        done = self.next_step.get((number, group), 0)
        self.next_step[number, group] = done + 1
        self.trace.steps.append(Step(cycle, number, group, *self.sequences[number][done]))

    def record(self) -> Trace:
        """Run the case to its end, and on until nothing of it holds.

        Raises
        ------
        AssertionError
            If it does not end, or did not do all its steps.
        """
        bench = self.bench
        finished = bench.die.cores.core[0]
        while finished.finished_at == NEVER or bench.actor[0].paced_until > bench.now:
            assert bench.now < LIMIT, f"{self.case}: not finished, {REASONS[bench.actor[0].reason]}"
            self.step()
        self.step()
        for number, one in enumerate(self.case.passes):
            groups = [-1] if one.flow == WS else range(self.core.strips // one.group)
            for h in groups:
                assert self.next_step.get((number, h), 0) == len(self.sequences[number]), (self.case, number, h)
        actor = bench.actor[0]
        self.trace.configuration = int(actor.flow), int(actor.group), int(actor.split)
        return self.trace
