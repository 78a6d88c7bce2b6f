"""Programs written by hand, instruction by instruction, and changes to whole programs."""

from dataclasses import replace

import numpy as np

from nmpsim.errors import IllegalScheduleError
from nmpsim.program.beats import Tile, beat_counts, useful_bytes
from nmpsim.program.isa import (
    ARRAY,
    CHAIN,
    CONSTANT,
    INSTRUCTION,
    KV,
    LOAD,
    MOVE,
    N_CONTIGUOUS,
    OS,
    PASS,
    SEND,
    SEND_0,
    SPLIT_N,
    STORE,
    STREAM,
    TREE,
    V_COPY,
    VECTOR,
    WEIGHT,
    arrival,
    shared,
)
from nmpsim.program.program import BeatImage, Program, ProgramOperator, StreamImage
from nmpsim.program.vector import loops
from nmpsim.schedule.check import check_program
from nmpsim.spec import resolve
from nmpsim.spec.params import MAC_TREE
from tests.builders import small_chip


class Draft:
    """A program under construction.  Methods return the event of completion, (semaphore, count), of the same core."""

    def __init__(self, pus=1, kind="snake", **overrides):
        self.params = resolve(small_chip(kind, pus, **overrides))
        self.rows = [[] for _ in range(pus)]
        self.counts = {}
        self.images, self.tables, self.results = [], [0], {}
        self.row = 0
        self.macs = self.weight_bytes = 0

    def emit(self, pu, unit, op, waits=(), **fields):
        row = np.zeros(1, INSTRUCTION)
        for i in range(4):
            row[f"wait{i}"] = -1
        row["table"] = -1
        for i, (semaphore, count) in enumerate(waits):
            row[f"wait{i}"], row[f"count{i}"] = semaphore, count
        for name, value in {"unit": unit, "op": op, **fields}.items():
            row[name] = value
        self.rows[pu].append(row)
        return self.count(pu, unit)

    def count(self, pu, semaphore):
        self.counts[pu, semaphore] = self.counts.get((pu, semaphore), 0) + 1
        return semaphore, self.counts[pu, semaphore]

    def load(self, pu, out, waits=(), *, bank=0, beats=1):
        """LOAD whole beats of a tensor of its own."""
        size = beats * self.params.dram.column_bytes
        self.images.append(BeatImage(f"t{self.row}", pu, bank, self.row, 0, beats, 0, 0, size // 2))
        self.row += 1
        return self.emit(
            pu, MOVE, LOAD, waits, bank=bank, row=self.row - 1, beats=beats, bytes=size, out=out, traffic=CONSTANT
        )

    def vector(self, pu, op, m, n, waits=(), **fields):
        parts = loops(op, m, n, fields.get("planes", 0), fields.get("modifiers", 0), fields.get("imm", 0))
        for i, loop in enumerate(parts):
            fields |= dict(zip((f"elements{i}", f"read{i}", f"write{i}", f"rate{i}"), loop, strict=True))
        return self.emit(pu, VECTOR, op, waits, m=m, n=n, **fields)

    def copy(self, pu, a, out, waits=(), n=8):
        """Copy one row of n FP16 elements."""
        return self.vector(pu, V_COPY, 1, n, waits, a=a, out=out)

    def send(self, pu, to, a, b, waits=(), *, size=16, common=None, direction=0):
        """Send one row; returns (completion at the sender, arrival at the destination)."""
        signal = arrival(pu, direction) if common is None else shared(self.params.cores, common)
        sent = self.emit(
            pu, SEND_0 + direction, SEND, waits, m=1, bytes=size, a=a, b=b, bank=to, imm=direction, signal=signal
        )
        return sent, self.count(to, signal)

    def stream(self, pu, tile, waits=(), *, tensor=None, traffic=WEIGHT):
        """STREAM of one tile."""
        core, dram = self.params.core, self.params.dram
        counts = beat_counts(tile, core)
        self.images.append(StreamImage(tensor or f"w{self.row}", pu, self.row, (tile,)))
        self.tables += [int(c) for c in counts]
        done = self.emit(
            pu,
            MOVE,
            STREAM,
            waits,
            row=self.row,
            table=len(self.tables) - core.strips,
            traffic=traffic,
            bytes=useful_bytes(tile),
        )
        self.row += -(-int(counts.max()) // dram.columns)
        if traffic == WEIGHT:
            self.weight_bytes += useful_bytes(tile)
        return done

    def tile(self, n=8, k=4):
        tree = self.params.core.kind == MAC_TREE
        return Tile(TREE if tree else OS, 1, SPLIT_N if tree else CHAIN, N_CONTIGUOUS, n, k, 0, ((0, n),))

    def work(self, pu, tile, a, out, waits=(), m=1):
        """PASS on one tile; A and C are dense."""
        self.macs += m * tile.n * tile.k
        return self.emit(
            pu,
            ARRAY,
            PASS,
            waits,
            flow=tile.flow,
            group=tile.group,
            split=tile.split,
            contiguous=tile.contiguous,
            m=m,
            n=tile.n,
            k=tile.k,
            a=a,
            a_ld=2 * tile.k,
            out=out,
            out_ld=4 * tile.n,
            planes=1,
        )

    def store(self, pu, a, tile_row, waits=(), *, tensor, bank=0):
        """STORE the first beat of a bank of the stream image at `tile_row`."""
        self.images.append(BeatImage(tensor, pu, bank, tile_row, 0, 1, 0, 0, 8, written=True))
        return self.emit(pu, MOVE, STORE, waits, bank=bank, row=tile_row, beats=1, bytes=16, a=a, traffic=KV)

    def program(self, kv_bytes=0):
        empty = np.zeros(0, INSTRUCTION)
        streams = tuple(np.concatenate(rows) if rows else empty for rows in self.rows)
        operator = ProgramOperator("all", "all", -1, self.macs, self.weight_bytes, kv_bytes, 0, "")
        return Program(
            self.params.name,
            streams,
            np.array(self.tables, np.int64),
            (operator,),
            tuple(self.images),
            results=self.results,
        )


def copied(program):
    """A program that may be changed without changing the first one."""
    return replace(program, streams=tuple(s.copy() for s in program.streams), tables=program.tables.copy())


def find(program, op, pu=None, nth=0):
    """(pu, index) of the nth instruction with an operation code."""
    found = [(p, int(i)) for p, s in enumerate(program.streams) for i in np.flatnonzero(s["op"] == op)]
    return [place for place in found if pu is None or place[0] == pu][nth]


def without(program, pu, index):
    """The program without one instruction."""
    streams = list(program.streams)
    streams[pu] = np.delete(streams[pu], index)
    return replace(program, streams=tuple(streams))


def swapped(program, pu, one, other):
    """The program with two instructions of a core exchanged."""
    streams = [s.copy() for s in program.streams]
    streams[pu][[one, other]] = streams[pu][[other, one]]
    return replace(program, streams=tuple(streams))


def with_field(program, pu, index, **fields):
    """The program with some fields of one instruction changed."""
    program = copied(program)
    for name, value in fields.items():
        program.streams[pu][name][index] = value
    return program


def with_image(program, which, **fields):
    """The program with some fields of one image changed."""
    images = list(program.images)
    images[which] = replace(images[which], **fields)
    return replace(program, images=tuple(images))


def waits_of(program):
    """All waits: (pu, index, which)."""
    return [
        (pu, i, w)
        for pu, s in enumerate(program.streams)
        for i in range(len(s))
        for w in range(4)
        if s[f"wait{w}"][i] >= 0
    ]


def without_wait(program, pu, index, which):
    """The program without one wait."""
    return with_field(program, pu, index, **{f"wait{which}": -1, f"count{which}": 0})


def faults_of(program, params):
    """The faults the checker finds; none if it accepts."""
    try:
        check_program(program, params)
    except IllegalScheduleError as error:
        return error.faults
    return ()


def place_of(program, op, nth=0):
    """Place of an instruction as faults name it."""
    pu, index = find(program, op, nth=nth)
    return pu, index, f"PU {pu}, instruction {index} ("
