"""The same passes at PE level and in wavefront mode, cycle by cycle, with an oracle for the active PEs."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np

from nmpsim.core.pe import ArrayPass, run_passes
from nmpsim.core.pe.run import beats_for
from nmpsim.core.state import REASONS
from nmpsim.program.beats import beats_of
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, WS
from nmpsim.spec.params import CoreParams, MachineParams
from tests.unit.core.bench import CoreBench, core_params, product

FLOWS, SPLITS = (OS, WS, IS), (CHAIN, SPLIT_K, SPLIT_N)
LIMIT = 2**17


@dataclass
class PassCase:
    """Passes on an array, and the cycle from which each beat of each strip may be taken."""

    params: MachineParams
    jobs: list[ArrayPass]
    ready: list[list[int]]

    @property
    def core(self) -> CoreParams:
        return self.params.core


def integers(seed, *shape):
    """Random values of INT8."""
    return np.random.default_rng(seed).integers(-128, 128, shape)


def job(seed, flow, group, split, m, n, k):
    return ArrayPass(flow, group, split, integers(seed, m, k), integers(seed + 1, k, n))


def random_case(choose, seed=0) -> PassCase:
    """Draw an array, up to four passes and the times of their beats; `choose` picks from a list."""
    strips = choose((4, 2, 1, 8))
    params = core_params(
        strips=strips,
        strip_rows=choose((2, 1, 3)),
        columns=choose((8, 4, 1, 5)),
        pe_latency=choose((0, 1, 3)),
        fold_sets=choose((2, 1)),
        buffer_banks=choose((40, 8, 2)),
        reconfigure=choose((0, 5, 16)),
    )
    params = replace(params, dram=params.dram._replace(banks=strips))  # a FIFO per strip
    groups = [g for g in (1, 2, 4, 8) if g <= strips]
    jobs: list[ArrayPass] = []
    flow, group, split = choose(FLOWS), choose(groups), choose(SPLITS)
    for number in range(choose((1, 2, 3, 4))):
        if choose((False, True)):
            flow, group, split = choose(FLOWS), choose(groups), choose(SPLITS)
        rows = group * params.core.strip_rows
        m = choose(range(1, 20)) if flow == WS else choose(range(1, rows + 1))
        jobs.append(job(seed + 2 * number, flow, group, split, m, choose(range(1, 60)), choose(range(1, 60))))
    late = choose((0, 3, 12))
    dice = random.Random(choose(range(1000)))  # one draw for all beats: a failing case shrinks in time
    ready = []
    for strip in range(strips):
        cycles, at = [], 0
        for _ in range(sum(len(beats_for(one, params.core, strip)) for one in jobs)):
            at += dice.choice((0, 0, 1, late)) if late else 0
            cycles.append(at)
        ready.append(cycles)
    return PassCase(params, jobs, ready)


def fields_of_pe_level(case: PassCase):
    """(run, what is compared of every cycle) at PE level."""
    run = run_passes(case.core, case.jobs, case.ready, first=1, limit=LIMIT)
    seen = [
        (
            int(entry.move), REASONS[entry.reason], int(entry.active), int(entry.writing), int(entry.sets),
            int(entry.done), tuple(taken.tolist()),
        )
        for entry, taken in zip(run.trace, run.taken, strict=True)
    ]  # fmt: skip
    return run, seen


def fields_of_wavefront(case: PassCase, cycles: int):
    """What is compared of every cycle, in wavefront mode."""
    one_by_one = [
        product(
            one.flow, one.a.shape[0], one.b.shape[1], one.a.shape[1], group=one.group, split=one.split,
            contiguous=K_CONTIGUOUS if one.flow == IS else N_CONTIGUOUS,
        )
        for one in case.jobs
    ]  # fmt: skip
    bench = CoreBench(case.params, one_by_one, case.ready)
    expected = ActivePes(case)
    seen, before, heads = [], 0, [0] * case.core.strips
    for _ in range(cycles):
        bench.step()
        actor = bench.actor[0]
        reason, moved = REASONS[actor.reason], int(actor.advances) - before
        now = [int(head) for head in bench.die.channels.fifo[0].head]
        popped = [strip for strip in range(case.core.strips) if now[strip] > heads[strip]]
        assert all(now[strip] - heads[strip] == 1 for strip in popped)
        active = expected.after(before, moved, reason, int(actor.flow), popped, heads)
        seen.append((moved, reason, active, int(actor.writing), int(actor.sets), int(actor.passes), tuple(now)))
        before, heads = int(actor.advances), now
    return seen


class ActivePes:
    """Active PEs of each advance, from steps and pops alone: diagonals of each step (docs/core/array.md).

    In OS and IS every beat that is popped in advance x keeps the PEs of its rows and columns busy once, PE(i, j) in
    advance x + 1 + i + j.  In WS every step does so with the rows and columns that hold weights.
    """

    def __init__(self, case: PassCase) -> None:
        self.case = case
        self.active: dict[int, int] = {}
        self.queues = [
            [(number, beat) for number, one in enumerate(case.jobs) for beat in beats_of(one.tile, case.core, strip)]
            for strip in range(case.core.strips)
        ]
        self.steps = self._ws_steps()

    def _ws_steps(self):
        """Lists of (rows, columns, delay) for each WS step, in order."""
        core = self.case.core
        for one in self.case.jobs:
            if one.flow != WS:
                continue
            (m, k), n, groups = one.a.shape, one.b.shape[1], core.strips // one.group
            blocks, rows = -(-n // core.columns), one.group * core.strip_rows
            per_k = one.split == SPLIT_K
            for outer in range(blocks if per_k else -(-blocks // groups)):
                for inner in range(-(-(-(-k // groups) if per_k else k) // rows)):
                    shares = []
                    for g in range(groups):
                        block = outer if per_k else outer * groups + g
                        own = len(range(g, k, groups)) if per_k else k
                        high = min(rows, own - inner * rows)
                        wide = min(core.columns, n - block * core.columns)
                        delay = g * core.columns if one.split == CHAIN else 0
                        if high > 0 and wide > 0:
                            shares.append((high, wide, delay))
                    for _ in range(m):
                        yield shares

    def _wave(self, advance, rows, columns):
        for i in range(rows):
            for j in range(columns):
                at = advance + 1 + i + j
                self.active[at] = self.active.get(at, 0) + 1

    def after(self, advance, moved, reason, flow, popped, heads):
        """Active PEs of the advance that has just passed (0 if none has)."""
        for strip in popped:
            number, (_, block) = self.queues[strip][heads[strip]]
            one = self.case.jobs[number]
            extent = one.a.shape[1] if one.flow == IS else one.b.shape[1]
            if one.flow != WS:
                columns = self.case.core.columns
                self._wave(advance, one.a.shape[0], min(columns, extent - int(block) * columns))
        if reason == "busy" and flow == WS:
            for rows, columns, delay in next(self.steps):
                self._wave(advance + delay, rows, columns)
        return self.active.pop(advance, 0) if moved else 0
