"""Cases that mutants of the core showed to be missing: each of them kills one that all others let live."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from nmpsim.core.pe import run_passes
from nmpsim.core.state import REASONS, SPAN
from nmpsim.kernel import NEVER
from nmpsim.program.beats import beats_of
from nmpsim.program.isa import ARRAY, CHAIN, FLOW_NAMES, IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, VECTOR, WS
from tests.builders import SNAKE, STRATUM
from tests.cosim.array_cases import BUILDS, ArrayCase, Build, Product, operands
from tests.cosim.array_kernel import KernelArray, Trace
from tests.cosim.array_replay import join
from tests.cosim.float_cases import sum32
from tests.cosim.test_pe_arithmetic import mismatches, sliced
from tests.unit.core.bench import CoreBench, core_params, elements, product, push, tile_of
from tests.unit.core.pe_bench import job

SMALL = BUILDS[0]


def short_passes(build: Build) -> list[ArrayCase]:
    """Passes so short that folds of many of them are on their way at once."""
    rng = np.random.default_rng(9)

    def many(shapes: list[tuple[int, int, int]], flow: int, group: int, split: int) -> list[Product]:
        return [
            Product(
                flow,
                group,
                split,
                operands(rng, build.precision, (m, k), special=False),
                operands(rng, build.precision, (k, n), special=False),
            )
            for m, n, k in shapes
        ]

    most = build.core.strips
    kinds = ((WS, 1, CHAIN, 14), (IS, most, SPLIT_N, 10), (OS, 1, SPLIT_K, 6), (WS, most, CHAIN, 10))
    regular = [
        ArrayCase(build, seed, many([(1 + i % 2, 1 + 3 * i % 5, 1 + i % 3) for i in range(count)], *kind), 0.0, 1)
        for seed, (*kind, count) in enumerate(kinds)
    ]
    drawn = [[tuple(int(extent) for extent in rng.integers(1, 4, 3)) for _ in range(20)] for _ in range(3)]
    return regular + [ArrayCase(build, 4 + n, many(shapes, WS, 1, CHAIN), 0.0, 1) for n, shapes in enumerate(drawn)]


def cancelling(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of FP32 numbers whose sums lose any number of places: the second number differs from some place on.

    A quarter of the first ones are powers of two, whose lower neighbours have the next smaller exponent.
    """
    rng = np.random.default_rng(seed)
    exponents = rng.integers(1, 255, count).astype(np.uint64) << np.uint64(23)
    fractions = rng.integers(0, 1 << 23, count).astype(np.uint64)
    fractions[::4] = 0
    x = exponents | fractions
    places = rng.integers(0, 24, count).astype(np.uint64)
    change = rng.integers(0, 1 << 23, count).astype(np.uint64) >> places
    below = rng.integers(0, 2, count) == 1
    return x, (np.where(below, x - change, x ^ change)) | np.uint64(0x80000000)


def test_sums_that_cancel_any_number_of_places():
    x, y = cancelling(200_000, 1)
    sums = sum32(x, y)
    lost = (x >> np.uint64(23)).astype(np.int64) - (sums >> np.uint64(23) & np.uint64(255)).astype(np.int64)
    found = np.bincount(lost[(sums & np.uint64(0x7FFFFFFF)) >= np.uint64(1 << 23)], minlength=25)
    assert (found[1:25] > 100).all()
    assert not mismatches("fp32_add", sliced("fp32_add"), x, y)


PORTS = Build(8, 2, "int8", (("buffer_banks", 11), ("bank_bytes", 16)))
"""So many banks that not all are taken at once."""


@dataclass
class Placed(Product):
    """A PASS whose operands and results lie somewhere."""

    a_at: int = 0
    out_at: int = 0

    def instructions(self) -> list:
        """The PASS alone."""
        (row,) = super().instructions()
        row["a"], row["out"] = self.a_at, self.out_at
        return [row]


def placed_passes() -> list[ArrayCase]:
    """Passes of every dataflow and relation of the groups, with operands and results anywhere, some beats late."""
    rng = np.random.default_rng(4)
    cases = []
    for seed, (flow, split) in enumerate((flow, split) for flow in (OS, WS, IS) for split in (CHAIN, SPLIT_K, SPLIT_N)):
        a, b = (operands(rng, "int8", shape, special=False) for shape in ((3, 21), (21, 18)))
        at = [int(place) for place in rng.integers(0, 300, 2)]
        cases.append(ArrayCase(PORTS, seed, [Placed(flow, 2, split, a, b, a_at=at[0], out_at=at[1])], 0.3, 4))
    return cases


def ports_taken(case: ArrayCase) -> tuple[Trace, list[tuple[int, int]]]:
    """What the kernel's array did, and the banks that it read and wrote in each cycle."""
    one = KernelArray(case, (-1, 1, 0))
    history, taken = one.bench.die.cores.port_use[0], []
    step = one.step

    def noted() -> None:
        now = one.bench.now
        step()
        entry = history[now % len(history)]
        taken.append((int(entry.read_mask), int(entry.write_mask)) if entry.at == now else (0, 0))

    one.step = noted
    return one.record(), taken


def ports_expected(trace: Trace) -> list[tuple[int, int]]:
    """The same from the steps alone: words that streams begin, and all words of what is moved at once."""
    (one,) = trace.case.passes
    core, (m, _, _) = PORTS.core, one.shape
    groups, width = core.strips // one.group, core.bank_bytes
    every = groups if one.split == SPLIT_K else 1
    reads = {OS: 2 * m * every, WS: 2 * one.group * core.strip_rows * every, IS: 0}[one.flow]
    writes = {OS: 0, WS: groups * core.columns * 4, IS: 4 * m * (1 if one.split == CHAIN else groups)}[one.flow]
    used: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in trace.pins]

    def begun(address: int, count: int, step: int) -> set[int]:
        return {x // width for x in range(address + step * count, address + (step + 1) * count) if x % width == 0}

    for step in (step for step in trace.steps if step.group <= 0):
        first = one.a_at + (step.inner * reads if one.flow == WS else 0)
        sums = begun(one.out_at, writes, step.step)
        used[step.cycle][0].update(begun(first, reads, step.step), sums if step.inner else ())
        used[step.cycle][1].update(sums)
    for cycle, _, row in trace.loads:
        first = one.a_at + row * 2 * one.shape[2]
        used[cycle][0].update(x // width for x in range(first, first + 2 * core.columns))
    for fold, cycles in enumerate(trace.writes):
        ports = core.buffer_banks * width
        first = one.out_at + (fold * core.columns * 4 if one.flow == OS else 0)
        count = min(ports, groups * core.columns * 4) if one.flow == OS else width
        for cycle in cycles:
            used[cycle][1].update(x // width for x in range(first, first + count))
    return [tuple(sum(1 << bank for bank in {w % core.buffer_banks for w in words}) for words in u) for u in used]


@pytest.mark.parametrize("case", placed_passes(), ids=lambda case: f"flow {case.seed // 3} split {case.seed % 3}")
def test_the_array_takes_the_ports_of_the_bytes_that_it_moves(case):
    trace, taken = ports_taken(case)
    assert taken == ports_expected(trace)
    assert len({read for read, _ in taken} | {write for _, write in taken}) > 4


def test_the_queue_of_folds_fills_up():
    joined = join(SMALL, short_passes(SMALL))
    waiting = []
    for case in joined.cases:
        array = KernelArray(case, (-1, 1, 0))
        while array.bench.die.cores.core[0].finished_at == NEVER:
            array.bench.step()
            waiting.append(int(array.bench.actor[0].pending))
    assert max(waiting) == 7  # one more than may wait when a pass is taken: WS loads it while another one streams
    assert not joined.difference()


def charges() -> list[list[int]]:
    """Cycles by operator and reason, of two passes of different operators that follow each other."""
    passes = [product(OS, 1, 8, steps, group=4, operator=number) for number, steps in enumerate((4, 6))]
    bench = CoreBench(core_params(), passes)
    cores = bench.die.cores._replace(work=np.zeros((1, 2, len(REASONS)), np.int64), span=SPAN.zeros(1, 2))
    bench.die = bench.die._replace(cores=cores)
    bench.run()
    return cores.work[0].tolist()


def test_cycles_are_charged_to_the_operator_that_they_are_for():
    first, second = charges()
    busy = REASONS.index("busy")
    assert (first[busy], second[busy]) == (4, 6)
    assert sum(first) == 4  # what comes after it is the other one's


class StampedBench(CoreBench):
    """A bench in which nobody knows when a beat comes until `ahead` cycles before it does.

    Parameters
    ----------
    params, instructions, beats, plain
        As of CoreBench.
    ahead : int
        Cycles between the cycle in which a beat gets its stamp and the stamp.
    """

    def __init__(self, params, instructions, beats, *, plain: bool, ahead: int) -> None:
        super().__init__(params, instructions, [[] for _ in beats], plain=plain)
        self.known_at = sorted((max(0, cycle - ahead), s, cycle) for s, stamps in enumerate(beats) for cycle in stamps)
        for s, stamps in enumerate(beats):
            self.die.channels.fifo[0, s].reserved += len(stamps)

    def step(self) -> None:
        """Let one cycle pass, and then give the stamps that become known in it."""
        now, period = self.now, self.params.core_period
        super().step()
        while self.known_at and self.known_at[0][0] * period <= now:
            _, s, cycle = self.known_at.pop(0)
            stamp = max(cycle * period, now + period)
            push(self.die.channels.fifo[0, s], self.die.channels.slot[0, s], stamp, 0, 0)
            actor = self.actor[s if len(self.actor) > 1 else 0]  # a slice has a strip of its own
            actor.wake = min(actor.wake, stamp)
            self.wake = min(self.wake, stamp)


def stamped_run(kind: int, *, plain: bool):
    """Last cycle of a program with late beats and a vector operation between passes, and where all cycles went."""
    flow = (OS, WS, IS, TREE)[kind]
    params = core_params(STRATUM if flow == TREE else SNAKE, buffer_banks=4, bank_bytes=16)
    layout = {"contiguous": K_CONTIGUOUS} if flow == IS else {}
    program = [
        product(flow, 2, 20, 12, group=1, **layout),
        elements(40, wait=(ARRAY, 1)),
        product(flow, 3, 30, 20, group=1, **layout),
        product(flow, 2, 9, 9, group=1, wait=(VECTOR, 1), **layout),
    ]
    passes = [row for row in program if row["unit"] == ARRAY]
    counts = [sum(len(beats_of(tile_of(row), params.core, s)) for row in passes) for s in range(params.core.strips)]
    rng = np.random.default_rng(kind)
    beats = [np.cumsum(rng.choice([0, 1, 9], count, p=[0.5, 0.35, 0.15])).tolist() for count in counts]
    bench = StampedBench(params, program, beats, plain=plain, ahead=1)
    end = bench.run()
    actors = [(int(actor.macs), int(actor.pops), int(actor.passes)) for actor in bench.actor]
    return (end, bench.die.cores.stall.tolist(), bench.die.cores.work.tolist(), actors), bench.visits


@pytest.mark.parametrize("kind", range(4), ids=["OS", "WS", "IS", "TREE"])
def test_skip_mode_ends_as_plain_mode_does_if_stamps_come_late(kind):
    plain, cycles = stamped_run(kind, plain=True)
    skipped, visits = stamped_run(kind, plain=False)
    assert skipped == plain
    assert visits < cycles


def clocked(period: int, *, plain: bool):
    """Last cycle of passes that reconfigure, pace and wait, and the cycles of each reason, at a clock of some ticks."""
    params = core_params(reconfigure=5, buffer_banks=2, bank_bytes=16)
    params = replace(params, core_period=period, dram_period=period, noc_period=period)
    program = [
        product(OS, 4, 20, 9, group=2, split=SPLIT_N),
        product(WS, 3, 20, 18, group=4),
        product(IS, 3, 9, 20, group=1, split=SPLIT_K, contiguous=K_CONTIGUOUS, wait=(ARRAY, 1)),
    ]
    counts = [sum(len(beats_of(tile_of(row), params.core, s)) for row in program) for s in range(params.core.strips)]
    beats = [(np.arange(count) * 2).tolist() for count in counts]
    bench = CoreBench(params, program, beats, plain=plain)
    end = bench.run()
    return end, (bench.die.cores.stall // period).tolist(), (bench.die.cores.work // period).tolist()


@pytest.mark.parametrize("plain", [True, False])
def test_the_ticks_of_a_cycle_do_not_matter(plain):
    assert clocked(7, plain=plain) == clocked(1, plain=True)


def beats_taken_before(foreign: int, kind: int) -> list[int]:
    """Beats that each strip gives to the array if the one of that number is for the data mover, which does not come."""
    flow = (OS, WS, IS, TREE)[kind]
    params = core_params(STRATUM if flow == TREE else SNAKE)
    layout = {"contiguous": K_CONTIGUOUS} if flow == IS else {}
    split = SPLIT_N if flow == TREE else CHAIN
    shape = {"OS": (1, 32, 9), "WS": (1, 32, 9), "IS": (1, 9, 32), "TREE": (1, 32, 9)}[FLOW_NAMES[flow]]
    bench = CoreBench(params, [product(flow, *shape, group=1, split=split, **layout)])
    bench.die.channels.slot[0, :, foreign].target = 1
    for _ in range(60):
        bench.step()
    return bench.die.channels.fifo[0]["head"].tolist()


@pytest.mark.parametrize("kind", range(4), ids=["OS", "WS", "IS", "TREE"])
@pytest.mark.parametrize("foreign", [1, 4])
def test_a_beat_for_the_data_mover_stays(kind, foreign):
    taken = beats_taken_before(foreign, kind)
    assert max(taken) == foreign  # strips in lock step stop together, those of a chain behind the first one
    assert kind in {0, 2} or min(taken) == foreign


def sums_at_edges(flow: int) -> int:
    """Valid sums that the PE level counts at its edges in a pass that never holds."""
    core = core_params(buffer_banks=64).core
    run = run_passes(core, [job(1, flow, 2, SPLIT_N, 3, 17, 20)])
    assert not set(run.trace.reason.tolist()) & {REASONS.index("edge_bandwidth"), REASONS.index("operand_late")}
    return int(run.trace.edge.sum())


@pytest.mark.parametrize(("flow", "sums"), [(OS, 0), (WS, 3 * 24 * 5), (IS, 3 * 17 * 3)], ids=["OS", "WS", "IS"])
def test_every_sum_leaves_once_in_each_fold(flow, sums):
    assert sums_at_edges(flow) == sums  # WS: blocks of 8 columns, whole ones; 5 folds of 4 rows; IS: 3 of 8 columns
