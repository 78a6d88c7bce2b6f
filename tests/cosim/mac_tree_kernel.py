"""A MAC-tree slice of the kernel under random passes and late beats: what it saw and did, cycle by cycle.

The kernel carries no numbers.  Operands are drawn here, beats follow the order of `nmpsim/program/beats.py`, and the
sums are those of the order that rtl_models/core/mac_tree.py states, by NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from nmpsim.core import queue as core_queue
from nmpsim.core.state import REASONS
from nmpsim.program.beats import beats_of
from nmpsim.program.isa import ARRAY, K_CONTIGUOUS, N_CONTIGUOUS, SPLIT_K, SPLIT_N, TREE, V_COPY, VECTOR
from rtl_models.core import mac_tree_ports as ports
from rtl_models.core.mac_tree import TreeParams, mac_tree_slice
from tests.builders import STRATUM
from tests.cosim.float_cases import EDGES16, bits_of, half
from tests.cosim.replay import Replay
from tests.unit.core.bench import CoreBench, core_params, instruction, product, tile_of

REASON_CODES = {
    "busy": ports.BUSY,
    "queue_empty": ports.QUEUE_EMPTY,
    "wait_semaphore": ports.WAIT_SEMAPHORE,
    "operand_late": ports.OPERAND_LATE,
    "accumulators_busy": ports.ACCUMULATORS_BUSY,
    "load_stationary": ports.LOAD_STATIONARY,
    "pipeline_drain": ports.PIPELINE_DRAIN,
}
waits_met = getattr(core_queue.waits_met, "py_func", core_queue.waits_met)


def tree_sum(values: np.ndarray) -> np.ndarray:
    """Sum over the last axis, a power of two, neighbours first; FP32."""
    while values.shape[-1] > 1:
        values = values[..., 0::2] + values[..., 1::2]
    return values[..., 0]


@dataclass
class SliceCase:
    """A slice, its passes and its traffic."""

    tree: TreeParams
    strips: int
    index: int  # which slice
    seed: int
    splits: tuple[int, ...]  # SPLIT_N, SPLIT_K
    edge_bytes: int = 64
    cycles: int = 400
    changes: dict[str, int] = field(default_factory=dict)

    def core(self):
        """The kernel's parameters."""
        tree = self.tree
        return core_params(
            STRATUM,
            macs_per_cycle=self.strips * tree.engines * tree.taps,
            taps=tree.taps,
            register_beats=tree.register_beats,
            pe_latency=tree.latency,
            fold_sets=tree.sets,
            edge_bytes=self.edge_bytes,
            **self.changes,
        )


class Operands:
    """The numbers of one PASS, and what the slice makes of them.

    Parameters
    ----------
    row : INSTRUCTION record
    case : SliceCase
    core : CoreParams
    rng : numpy Generator
    """

    def __init__(self, row, case: SliceCase, core, rng: np.random.Generator) -> None:
        self.row, self.tree, self.core = row, case.tree, core
        self.m, self.n, self.k = (int(row[name]) for name in "mnk")
        self.by_k = int(row["contiguous"]) == K_CONTIGUOUS
        self.a, self.b = self.draw((self.m, self.k), rng), self.draw((self.k, self.n), rng)
        self.beats = beats_of(tile_of(row), core, case.index)
        columns, beats, strips = core.columns, core.register_beats, case.strips
        n_blocks, k_blocks = -(-self.n // columns), -(-self.k // columns)
        if self.by_k:
            own = np.arange(case.index, self.n, strips)
            self.lines, self.blocks, extent = own, list(range(k_blocks)), self.k
        elif int(row["split"]) == SPLIT_K:
            self.lines, self.blocks, extent = np.arange(case.index, self.k, strips), list(range(n_blocks)), self.n
        else:
            self.lines, self.blocks, extent = np.arange(self.k), list(range(case.index, n_blocks, strips)), self.n
        self.works = len(self.lines) > 0 and len(self.blocks) > 0
        self.valid = [min(columns, extent - block * columns) for block in self.blocks]
        self.chunks = [self.lines[first : first + beats] for first in range(0, len(self.lines), beats)]
        edge = max(1, core.edge_bytes // core.strips)
        width = beats if self.by_k else columns
        share_bytes = edge * core.strips if int(row["split"]) == SPLIT_K else edge
        self.write_cycles = -(-self.m * width * 4 // share_bytes)

    @staticmethod
    def draw(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """FP16 numbers; one in forty is an edge case."""
        usual = rng.normal(size=shape).astype(np.float16)
        edges = half(rng.choice(EDGES16, shape))
        return np.where(rng.random(shape) < 1 / 40, edges, usual)

    def pins(self) -> dict[str, int]:
        """What the slice is told of the PASS."""
        return {
            "pass_rows": self.m,
            "pass_lines": len(self.lines),
            "pass_blocks": len(self.blocks),
            "pass_tail": self.valid[-1] if self.valid else 1,
            "pass_k_contiguous": int(self.by_k),
            "pass_write_cycles": self.write_cycles,
            "pass_configuration": int(self.row["split"]),
        }

    def padded(self, numbers: np.ndarray, length: int) -> np.ndarray:
        """Numbers with zeros behind."""
        return np.concatenate([numbers, np.zeros(length - len(numbers), numbers.dtype)])

    def beat(self, number: int) -> int:
        """A beat as a word."""
        line, block = (int(v) for v in self.beats[number])
        columns = self.core.columns
        span = slice(block * columns, (block + 1) * columns)
        return word_of(self.padded(self.b[span, line] if self.by_k else self.b[line, span], columns))

    def steps(self) -> Iterator[dict[str, int]]:
        """Each step: where A is asked for, and the line of A; what is not asked for is anything."""
        folds = [(b, c) for c in range(len(self.chunks)) for b in range(len(self.blocks))]
        if not self.by_k:
            folds = [(b, c) for b in range(len(self.blocks)) for c in range(len(self.chunks))]
        for block, chunk in folds:
            for row in range(self.m):
                for _ in range(places(self.tree, len(self.chunks[chunk]), by_k=self.by_k)):
                    first = self.blocks[block] * self.core.columns
                    index = np.arange(first, first + self.valid[block]) if self.by_k else self.chunks[chunk]
                    line = np.full(max(self.core.columns, self.core.register_beats), np.nan, np.float16)
                    line[: len(index)] = self.a[row, index]
                    yield {"a_row": row, "a_block": block, "a_chunk": chunk, "a_line": word_of(line)}

    def writes(self) -> Iterator[dict[str, int]]:
        """Sums that leave in each write cycle, fold by fold."""
        port = self.tree.port_sums
        for fold in self.folds():
            sums = np.concatenate([bits_of(fold.ravel()), np.zeros(port, np.uint64)])
            for cycle in range(self.write_cycles):
                part = sums[cycle * port :][:port]
                yield {"sums": sum(int(value) << 32 * i for i, value in enumerate(part))}

    def folds(self) -> Iterator[np.ndarray]:
        """Output folds, shape (row, output), in the order in which they are written; +0 where nothing is stored."""
        a, b = self.a.astype(np.float32), self.b.astype(np.float32)
        tree, columns = self.tree, self.core.columns
        with np.errstate(all="ignore"):
            if self.by_k:
                together = min(columns, tree.engines * tree.taps)  # products of an output that meet in one step
                for chunk in self.chunks:
                    total = np.zeros((self.m, len(chunk)), np.float32)
                    for block in self.blocks:
                        index = np.arange(block * columns, min(self.k, (block + 1) * columns))
                        products = np.zeros((self.m, len(chunk), columns), np.float32)
                        products[..., : len(index)] = a[:, None, index] * b[index][:, chunk].T[None]
                        for first in range(0, columns, together):
                            total = total + tree_sum(products[..., first : first + together])
                    whole = np.zeros((self.m, tree.register_beats), np.float32)
                    whole[:, : len(chunk)] = total
                    yield whole
            else:
                for block in self.blocks:
                    b_block = np.zeros((self.k, columns), np.float32)
                    span = b[:, block * columns : (block + 1) * columns]
                    b_block[:, : span.shape[1]] = span
                    total = np.zeros((self.m, columns), np.float32)
                    for first in range(0, len(self.lines), tree.taps):
                        own = self.lines[first : first + tree.taps]
                        products = np.zeros((self.m, columns, tree.taps), np.float32)
                        products[..., : len(own)] = np.moveaxis(a[:, own, None] * b_block[own][None], 1, 2)
                        total = total + tree_sum(products)
                    yield total


def word_of(numbers: np.ndarray) -> int:
    """FP16 numbers side by side, the first one lowest."""
    return int.from_bytes(np.ascontiguousarray(numbers, np.float16).tobytes(), "little")


def places(tree: TreeParams, beats: int, *, by_k: bool) -> int:
    """Steps of a row, from the definition of the datapath."""
    if by_k:
        return -(-beats * tree.columns // (tree.engines * tree.taps))
    return -(-beats // tree.taps) * (tree.columns // tree.engines)


def draw_pass(case: SliceCase, rng: np.random.Generator, number: int) -> np.void:
    """A PASS, with a wait now and then."""
    split = int(rng.choice(case.splits))
    layout = K_CONTIGUOUS if split == SPLIT_N and rng.random() < 0.6 else N_CONTIGUOUS
    m, n, k = int(rng.integers(1, 4)), int(rng.integers(1, 28)), int(rng.integers(1, 20))
    wait = {}
    if number and rng.random() < 0.3:
        wait = {"wait": (ARRAY, int(rng.integers(max(0, number - 2), number)) + 1)}
    elif rng.random() < 0.2:
        wait = {"wait": (VECTOR, 1)}
    return product(TREE, m, n, k, split=split, contiguous=layout, **wait)


class Recording:
    """What one slice of the kernel did.

    Parameters
    ----------
    case : SliceCase
    """

    def __init__(self, case: SliceCase) -> None:
        self.case = case
        params = case.core()
        rng = np.random.default_rng([case.seed, 1])
        vector = instruction(VECTOR, V_COPY, elements0=int(rng.integers(1, 400)), read0=8, write0=4)
        passes = [draw_pass(case, rng, number) for number in range(40)]
        self.passes = [Operands(row, case, params.core, rng) for row in passes]
        self.params = params
        counts = [sum(len(beats_of(tile_of(row), params.core, s)) for row in passes) for s in range(params.core.strips)]
        stamps = [self.draw_stamps(rng, count) for count in counts]
        self.stamps = stamps[case.index]
        self.bench = CoreBench(params, [passes[0], vector, *passes[1:]], stamps)
        self.inputs: list[dict[str, int]] = []
        self.outputs: list[dict[str, int]] = []
        self.reasons: set[str] = set()
        self.record(rng)

    @staticmethod
    def draw_stamps(rng: np.random.Generator, count: int) -> list[int]:
        """When beats come: in bursts, at different paces."""
        pace = np.repeat(rng.choice([0, 0, 0, 1, 5], count // 10 + 1), 10)[:count]
        return np.cumsum(rng.poisson(pace)).tolist()

    def record(self, rng: np.random.Generator) -> None:
        """Step the kernel and note what the slice sees and does."""
        bench, case = self.bench, self.case
        cores, fifo = bench.die.cores, bench.die.channels.fifo[0, case.index]
        beats = [(one, number) for one in self.passes for number in range(len(one.beats))]
        steps = (step for one in self.passes for step in (one.steps() if one.works else ()))
        sums = iter(self.all_writes())
        line_bits = 16 * max(self.params.core.columns, case.tree.register_beats)
        for now in range(case.cycles):
            actor, unit = cores.actor[0, case.index], cores.unit[0, ARRAY]
            issued, taken, done = int(actor.issued), int(fifo.head), int(actor.passes)
            seen = issued < unit.head + unit.count
            ready = False
            if seen:
                entry = cores.entry[0, ARRAY][issued % cores.entry.shape[2]]
                seen = bool(entry.at <= now)
                ready = bool(waits_met(bench.records[int(entry.instruction)], cores.signal[0]))
            bench.step()
            actor = cores.actor[0, case.index]
            reason = REASONS[int(actor.reason)]
            self.reasons.add(reason)
            one = self.passes[issued] if issued < len(self.passes) else None
            took = int(actor.issued) > issued
            streamed = reason == "busy" and not (took and one is not None and not one.works)
            step = next(steps) if streamed else {}
            there = taken < len(beats) and self.stamps[taken] <= now
            given = {"pass_seen": int(seen), "pass_ready": int(ready), "beat_valid": int(there)}
            given |= one.pins() if one is not None and seen else dict.fromkeys(self.passes[0].pins(), 1)
            given["beat"] = beats[taken][0].beat(beats[taken][1]) if there else int(rng.integers(1 << 60))
            given["a_line"] = step.pop("a_line", 0) if step else int.from_bytes(rng.bytes(line_bits // 8), "little")
            shown = {
                "pass_taken": int(took),
                "beat_taken": int(fifo.head) - taken,
                "pass_done": int(actor.passes) - done,
                "reason": REASON_CODES[reason],
                "step": int(streamed),
                "write": int(actor.writing),
            } | step
            self.inputs.append(given)
            self.outputs.append(shown | (next(sums) if actor.writing else {}))

    def all_writes(self) -> Iterator[dict[str, int]]:
        """What each write cycle shows, in order; nothing if the port of the block is not the one of the pass."""
        for one in self.passes:
            if not one.works:
                yield {}
                continue
            width = one.tree.register_beats if one.by_k else one.core.columns
            fits = one.write_cycles == -(-one.m * width // one.tree.port_sums)
            for sums in one.writes():
                yield sums if fits else {}

    def replay(self, name: str, **changes: int) -> Replay:
        """The slice for this case, with parameters changed if asked."""
        block = mac_tree_slice(self.case.tree._replace(**changes))
        return Replay(name, block, self.inputs, self.outputs)
