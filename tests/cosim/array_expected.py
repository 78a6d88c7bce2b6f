"""What must stand at every pin of the array, from the kernel's steps and the tables of docs/core/array.md, by NumPy.

Nothing here looks at the RTL.  From the cycles in which the kernel steps follows, by the contract, in which cycle
which element of A is taken, which PE multiplies, and which sum stands at which edge; the sums themselves are made by
NumPy in the order that the contract states.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.beats import beats_of
from nmpsim.program.isa import CHAIN, IS, OS, SPLIT_K, SPLIT_N, WS
from tests.cosim.array_cases import ArrayCase, Product
from tests.cosim.array_kernel import Step, Trace, folds_of
from tests.unit.core.bench import tile_of

QUIET_NAN = 0x7FC00000
SUM_BITS = 32


def float_of(bits: NDArray[np.generic]) -> NDArray[np.float32]:
    """FP16 bits as float32."""
    return bits.astype(np.uint16).view(np.float16).astype(np.float32)


def bits_of(sums: NDArray[np.generic]) -> NDArray[np.uint32]:
    """Sums as the bits that stand at the pins; every NaN is the same."""
    if sums.dtype == np.int32:
        return sums.view(np.uint32)
    return np.where(np.isnan(sums), np.uint32(QUIET_NAN), sums.astype(np.float32).view(np.uint32))


def packed(values, width: int) -> int:
    """Elements of a bus as one word, the first one in the lowest bits."""
    return sum((int(value) & (1 << width) - 1) << (i * width) for i, value in enumerate(values))


class Sums:
    """Ordered sums of one pass.

    Parameters
    ----------
    one : Product
    core : CoreParams
    """

    def __init__(self, one: Product, core) -> None:
        self.one, self.core = one, core
        self.groups = core.strips // one.group
        self.rows = one.group * core.strip_rows
        self.m, self.n, self.k = one.shape
        self.is_float = one.a.dtype == np.uint16
        kind = np.float32 if self.is_float else np.int32
        a, b = (float_of(x) if self.is_float else x.astype(np.int32) for x in (one.a, one.b))
        with np.errstate(all="ignore"):
            self.products = a[:, :, None] * b[None, :, :]  # exact: (m, k, n)
        self.kind = kind

    def total(self, ks, start=None) -> NDArray[np.generic]:
        """Products of all (m, n), added in the order of `ks` to `start` or +0."""
        sums = np.zeros((self.m, self.n), self.kind) if start is None else start
        with np.errstate(all="ignore"):
            for k in ks:
                sums = (sums + self.products[:, k, :]).astype(self.kind)
        return sums

    def own_k(self, group: int) -> range:
        """Inner indices of a group (OS, WS)."""
        return range(group, self.k, self.groups) if self.one.split == SPLIT_K else range(self.k)

    def own_n(self, group: int) -> range:
        """Output columns of a group (IS)."""
        return range(group, self.n, self.groups) if self.one.split == SPLIT_N else range(self.n)

    def n_block(self, outer: int, group: int) -> range:
        """Output columns of a group's fold (OS, WS)."""
        block = outer if self.one.split == SPLIT_K else outer * self.groups + group
        return range(block * self.core.columns, min((block + 1) * self.core.columns, self.n))

    def k_block(self, inner: int, group: int) -> range:
        """Inner indices of a group's fold (IS)."""
        block = inner if self.one.split == SPLIT_N else inner * self.groups + group
        return range(block * self.core.columns, min((block + 1) * self.core.columns, self.k))

    def k_rows(self, inner: int, group: int) -> range:
        """Inner indices of the rows of a group's weights (WS)."""
        return self.own_k(group)[inner * self.rows : (inner + 1) * self.rows]

    def of_fold(self, outer: int, inner: int, group: int) -> NDArray[np.generic]:
        """Sums (m, n) of what a group adds up in a fold, in a chain of IS of all groups up to it."""
        flow = self.one.flow
        if flow == OS:
            return self.total(self.own_k(group))
        if flow == WS:
            return self.total(self.k_rows(inner, group))
        if self.one.split != CHAIN:
            return self.total(self.k_block(inner, group))
        return self.total([k for h in range(group + 1) for k in self.k_block(inner, h)])


@dataclass
class Part:
    """Sums of a fold that leave through one group's edge, and how often each was seen to leave."""

    sums: NDArray[np.generic]
    seen: NDArray[np.int64] = field(init=False)

    def __post_init__(self):
        self.seen = np.zeros(self.sums.shape, np.int64)


class Expected:
    """Inputs and outputs of every cycle of a case.

    Parameters
    ----------
    trace : Trace
    """

    def __init__(self, trace: Trace) -> None:
        self.trace, self.case, self.core = trace, trace.case, trace.case.build.core
        self.cycles = len(trace.pins)
        self.width = 16 if self.case.build.precision == "fp16" else 8
        self.sums = [Sums(one, self.core) for one in self.case.passes]
        self.rng = np.random.default_rng([self.case.seed, 5])
        strips = range(self.core.strips)
        self.active = [[0] * self.cycles for _ in strips]
        self.take_left = [[0] * self.cycles for _ in strips]
        self.take_row = [[0] * self.cycles for _ in strips]
        self.a_left = [[self.noise(self.core.strip_rows) for _ in range(self.cycles)] for _ in strips]
        self.a_row = [[self.noise(self.core.columns) for _ in range(self.cycles)] for _ in strips]
        self.bottom: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)  # count: (strip, column): bits
        self.right: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)  # count: (strip, row): bits
        self.parts: dict[tuple[int, int, int, int], Part] = {}
        moves = [t for t, outputs in enumerate(trace.outputs) if outputs["move"]]
        self.cycle_of = {trace.advances[t]: t for t in moves}
        for step in trace.steps:
            for h in range(self.sums[step.number].groups) if step.group < 0 else [step.group]:
                self.place(step._replace(group=h))
        for cycle, number, row in trace.loads:
            self.place_first_rows(cycle, number, row)
        self.beats = [self.beats_of_strip(s) for s in strips]
        self.row_writes = self.place_writes()

    def noise(self, count: int) -> list[int]:
        """What stands at pins whose value must not matter."""
        return self.rng.integers(0, 1 << self.width, count).tolist()

    def skew(self, one: Product, group: int) -> int:
        """Advances by which a group follows the first one."""
        return group * self.core.columns if one.split == CHAIN else 0

    def part(self, number: int, outer: int, inner: int, group: int) -> Part:
        """Sums of a fold, made once."""
        key = number, outer, inner, group
        if key not in self.parts:
            self.parts[key] = Part(self.sums[number].of_fold(outer, inner, group))
        return self.parts[key]

    def mark(self, one: Product, group: int, advance: int, rows: range, columns: range) -> None:
        """PEs of a group that multiply operands which stood at its corner in `advance`."""
        for i in rows:
            strip, q = group * one.group + i // self.core.strip_rows, i % self.core.strip_rows
            for j in columns:
                self.active[strip][self.cycle_of[advance + i + j]] |= 1 << (q * self.core.columns + j)

    def place(self, step: Step) -> None:
        """Lay one step of one group into the cycles that it reaches."""
        one = self.case.passes[step.number]
        {OS: self.place_os, WS: self.place_ws, IS: self.place_is}[one.flow](one, self.sums[step.number], step)

    def take(self, one: Product, group: int, cycle: int, column: dict[int, int]) -> None:
        """A column of A is taken at the left edge of a group; `column` is its elements by row of the group."""
        for i in range(one.group * self.core.strip_rows):
            strip, q = group * one.group + i // self.core.strip_rows, i % self.core.strip_rows
            self.take_left[strip][cycle] = 1
            if i in column:
                self.a_left[strip][cycle][q] = column[i]

    def place_os(self, one: Product, sums: Sums, step: Step) -> None:
        """A step of OS: one k."""
        own = sums.own_k(step.group)
        inside = step.step < len(own)
        if step.group == 0 or one.split != CHAIN:
            column = {i: int(one.a[i, own[step.step]]) for i in range(sums.m)} if inside else {}
            self.take(one, step.group, step.cycle, column)
        if inside:
            width = len(sums.n_block(step.outer, step.group))
            advance = self.trace.advances[step.cycle] + 1
            self.mark(one, step.group, advance, range(sums.m), range(width))

    def place_ws(self, one: Product, sums: Sums, step: Step) -> None:
        """A step of WS: one row of A; its sums reach the bottom edge."""
        ks = sums.k_rows(step.inner, step.group)
        if step.group == 0 or one.split != CHAIN:
            self.take(one, step.group, step.cycle, {i: int(one.a[step.step, k]) for i, k in enumerate(ks)})
        block = sums.n_block(step.outer, step.group)
        if len(block) == 0:
            return
        advance = self.trace.advances[step.cycle] + self.skew(one, step.group) + 1
        self.mark(one, step.group, advance, range(len(ks)), range(len(block)))
        part = self.part(step.number, step.outer, step.inner, step.group)
        shown = bits_of(part.sums)
        last = (step.group + 1) * one.group - 1
        for j in range(self.core.columns):
            count = advance + sums.rows + j + self.core.pe_latency
            inside = j < len(block)
            self.bottom[count][last, j] = int(shown[step.step, block[j]]) if inside else 0
            if inside:
                part.seen[step.step, block[j]] += 1

    def place_is(self, one: Product, sums: Sums, step: Step) -> None:
        """A step of IS: one n; its sums reach the right edge; a row of the next A may be taken."""
        _, inners, _ = folds_of(one, self.core)
        advance = self.trace.advances[step.cycle] + 1
        if step.inner + 1 < inners and step.step < sums.m:
            self.take_a_row(one, sums, step.group, step.cycle, (step.step, step.inner + 1))
        own = sums.own_n(step.group)
        if step.step >= len(own):
            return
        block = sums.k_block(step.inner, step.group)
        self.mark(one, step.group, advance, range(sums.m), range(len(block)))
        if one.split == CHAIN and step.group < sums.groups - 1:
            return
        part = self.part(step.number, step.outer, step.inner, step.group)
        shown, n = bits_of(part.sums), own[step.step]
        for i in range(sums.m):
            strip, q = step.group * one.group + i // self.core.strip_rows, i % self.core.strip_rows
            count = advance + i + self.core.columns + self.core.pe_latency
            self.right[count][strip, q] = int(shown[i, n])
            part.seen[i, n] += 1

    def take_a_row(self, one: Product, sums: Sums, group: int, cycle: int, place: tuple[int, int]) -> None:
        """A row of A is taken at the top edge of a group for an inner fold."""
        row, inner = place
        strip = group * one.group
        self.take_row[strip][cycle] = 1
        for j, k in enumerate(sums.k_block(inner, group)):
            self.a_row[strip][cycle][j] = int(one.a[row, k])

    def place_first_rows(self, cycle: int, number: int, row: int) -> None:
        """A row of the first A of an IS pass: each group takes its own as late as its skew."""
        one, sums = self.case.passes[number], self.sums[number]
        for h in range(sums.groups):
            late = self.cycle_of[self.trace.advances[cycle] + self.skew(one, h)]
            self.take_a_row(one, sums, h, late, (row, 0))

    def beats_of_strip(self, strip: int) -> list[list[int]]:
        """Elements of every beat of a strip, in order; padding is noise."""
        beats = []
        c = self.core.columns
        for one in self.case.passes:
            b = one.b.T if one.flow == IS else one.b
            for index, block in beats_of(tile_of(one.instructions()[-1]), self.core, strip).tolist():
                elements = b[index, block * c : (block + 1) * c].tolist()
                beats.append(elements + self.noise(c - len(elements)))
        return beats

    def place_writes(self) -> dict[int, tuple[int, int, int]]:
        """Cycle: (pass, output fold, row) of the writes of OS."""
        trace, found = self.trace, {}
        folds = [
            (number, outer)
            for number, one in enumerate(self.case.passes)
            for outer in range(folds_of(one, self.core)[0] if one.flow == OS else 1)
        ]
        assert len(folds) == len(trace.writes)
        of_os = [fold for fold in folds if self.case.passes[fold[0]].flow == OS]
        self.os_folds, self.number_of_fold = len(of_os), {fold: count for count, fold in enumerate(of_os)}
        for (number, outer), cycles in zip(folds, trace.writes, strict=True):
            if self.case.passes[number].flow == OS:
                found |= {cycle: (number, outer, trace.write_row[cycle]) for cycle in cycles}
        for number, outer, row in set(found.values()):
            for h in range(self.sums[number].groups):
                part = self.part(number, outer, 0, h)
                for n in self.sums[number].n_block(outer, h):
                    part.seen[row, n] += 1
        return found

    def inputs(self, cycle: int) -> dict[str, int]:
        """What stands at the inputs."""
        pins = dict(self.trace.pins[cycle])
        for s in range(self.core.strips):
            taken = self.trace.popped[cycle][s]
            stands = pins[f"beat_valid{s}"]
            beat = self.beats[s][taken] if stands else self.noise(self.core.columns)
            pins[f"beat{s}"] = packed(beat, self.width)
            pins[f"a_left{s}"] = packed(self.a_left[s][cycle], self.width)
            pins[f"a_row{s}"] = packed(self.a_row[s][cycle], self.width)
        return pins

    def outputs(self, cycle: int, folds: int = 0) -> dict[str, int]:
        """What must stand at the outputs, if the array has opened `folds` folds of OS before this case."""
        trace, core = self.trace, self.core
        pins = dict(trace.outputs[cycle])
        if trace.write_row[cycle] >= 0:
            pins["write_row"] = trace.write_row[cycle]
        count = trace.advances[cycle]
        bottom, right = self.bottom.get(count, {}), self.right.get(count, {})
        write = self.row_writes.get(cycle)
        if write is not None:
            pins["write_set"] = (folds + self.number_of_fold[write[:2]]) % core.fold_sets
        for s in range(core.strips):
            pins[f"active{s}"] = self.active[s][cycle]
            pins[f"take_left{s}"], pins[f"take_row{s}"] = self.take_left[s][cycle], self.take_row[s][cycle]
            sums = [bottom.get((s, j)) for j in range(core.columns)] if write is None else self.written(s, *write)
            pins |= self.edge(f"bottom{s}", f"bottom_valid{s}", sums)
            pins |= self.edge(f"right{s}", f"right_valid{s}", [right.get((s, q)) for q in range(core.strip_rows)])
        return pins

    def written(self, strip: int, number: int, outer: int, row: int) -> list[int | None]:
        """Sums of an OS fold at the bottom of a strip: a row of its group, if it is the last strip of it."""
        one = self.case.passes[number]
        if strip % one.group != one.group - 1:
            return [None] * self.core.columns
        h = strip // one.group
        block, shown = self.sums[number].n_block(outer, h), bits_of(self.part(number, outer, 0, h).sums)
        return [int(shown[row, n]) for n in block] + [0] * (self.core.columns - len(block))

    @staticmethod
    def edge(name: str, valid: str, sums: list[int | None]) -> dict[str, int]:
        """Sums and valid bits of an edge."""
        bits = [value is not None for value in sums]
        return {name: packed([value or 0 for value in sums], SUM_BITS), valid: packed(bits, 1)}

    def results(self, number: int) -> NDArray[np.generic]:
        """C of a pass, assembled from what leaves: folds added in order, then planes.

        Raises
        ------
        AssertionError
            If a sum leaves twice or never.
        """
        sums, one = self.sums[number], self.case.passes[number]
        parts = {key[1:]: part for key, part in self.parts.items() if key[0] == number}
        planes: dict[int, NDArray[np.generic]] = {}
        with np.errstate(all="ignore"):
            for (_, inner, group), part in sorted(parts.items()):
                plane = group if one.split == SPLIT_K else 0
                assert part.seen.max() <= 1
                left = part.seen > 0
                old = planes.setdefault(plane, np.zeros((sums.m, sums.n), sums.kind))
                planes[plane] = np.where(left, part.sums if inner == 0 else (old + part.sums).astype(sums.kind), old)
            done = sum(part.seen for part in parts.values())
            expected = len({key[1] for key in parts}) * len(planes)
            assert (done == expected).all(), (self.case, number, done.min(), done.max(), expected)
            total = planes.pop(0)
            for plane in sorted(planes):
                total = (total + planes[plane]).astype(sums.kind)
        return total


def expect(case: ArrayCase, trace: Trace) -> tuple[list[dict[str, int]], list[dict[str, int]], Expected]:
    """Inputs and outputs of every cycle of a case, and what they were made from."""
    expected = Expected(trace)
    assert expected.case is case
    cycles = range(expected.cycles)
    return [expected.inputs(t) for t in cycles], [expected.outputs(t) for t in cycles], expected
