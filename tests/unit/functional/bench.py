"""A small chip and programs written by hand."""

from fractions import Fraction

import numpy as np

from nmpsim.functional import FunctionalResult, run
from nmpsim.program.beats import Tile, beat_counts
from nmpsim.program.isa import (
    ARRAY,
    INSTRUCTION,
    LOAD,
    MOVE,
    PASS,
    SEND,
    SEND_0,
    STORE,
    STREAM,
    UNITS,
    VECTOR,
    arrival,
)
from nmpsim.program.program import BeatImage, Program, ProgramOperator, StreamImage
from nmpsim.spec.params import MAC_TREE, RING, SYSTOLIC, CoreParams, DramParams, MachineParams, NocParams


def chip(
    pus=1, kind=SYSTOLIC, strips=4, strip_rows=2, columns=8, buffer_bytes=16384, queue_depth=4, lanes=0, sum_lanes=0
):
    """Chip with small numbers; only sizes matter to the interpreter."""
    tree = kind == MAC_TREE
    core = CoreParams(
        **dict.fromkeys(CoreParams._fields, 1)
        | {
            "kind": kind,
            "strips": strips,
            "strip_rows": 1 if tree else strip_rows,
            "columns": columns,
            "register_beats": 4 if tree else 0,
            "macs_per_cycle": strips * (8 if tree else strip_rows * columns),  # of a tree: 2 engines a slice
            "taps": 4 if tree else 0,
            "buffer_bytes": buffer_bytes,
            "queue_depth": queue_depth,
            "separate": 0,
            "groups": 0,
        }
    )
    dram = DramParams(
        **dict.fromkeys(DramParams._fields, 1)
        | {"banks": strips, "rows": 64, "columns": 4, "column_bytes": 2 * columns}
    )
    noc = NocParams(
        **dict.fromkeys(NocParams._fields, 1)
        | {"nodes": pus, "radix": pus, "kind": RING, "vcs": 2, "multicast_lanes": lanes, "sum_lanes": sum_lanes}
    )
    return MachineParams(
        name="tiny",
        cores=pus,
        tick_ps=Fraction(1000),
        core_period=1,
        dram_period=1,
        noc_period=1,
        core=core,
        dram=dram,
        noc=noc,
        latency=np.zeros((1, 5, 5), np.int64),
        command_pJ=(1.0, 0.0, 1.0, 1.0, 1.0),
        row_cycle_ns=(30.0,),
        fill="weights_first",
        rounding=(),
    )


class Writer:
    """Writes a program for a chip, instruction by instruction, and puts numbers into buffers by LOADs."""

    def __init__(self, params: MachineParams):
        self.params = params
        self.streams = [[] for _ in range(params.cores)]
        self.tables = []
        self.images = []
        self.tensors = {}
        self.results = {}
        self.next_row = [0] * params.cores
        self.done = np.zeros((params.cores, UNITS), int)

    def add(self, pu, unit, op, waits=(), **fields):
        """Append an instruction; return the wait for its completion."""
        ins = np.zeros((), INSTRUCTION)
        for i in range(4):
            ins[f"wait{i}"] = -1
        ins["unit"], ins["op"], ins["table"] = unit, op, -1
        for i, (semaphore, count) in enumerate(waits):
            ins[f"wait{i}"], ins[f"count{i}"] = semaphore, count
        for name, value in fields.items():
            ins[name] = value
        self.streams[pu].append(ins)
        self.done[pu, unit] += 1
        return unit, int(self.done[pu, unit])

    def table(self, *values):
        """Append integers; return their offset."""
        offset = len(self.tables)
        self.tables += [int(v) for v in values]
        return offset

    def bits(self, value):
        """Append an FP32 constant; return its offset."""
        return self.table(np.float32(value).view(np.uint32))

    def put(self, pu, address, values, bank=0, waits=()):
        """Load an array (any type, whole beats of bytes, zero-padded) from DRAM to the buffer, row by row of DRAM."""
        raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        size = self.params.dram.column_bytes
        name = f"const.{len(self.images)}"
        padded = np.zeros(-(-len(raw) // size) * size, np.uint8)
        padded[: len(raw)] = raw
        self.tensors[name] = padded.view(np.float16)
        total, per_row = len(padded) // size, self.params.dram.columns
        wait = None
        for first in range(0, total, per_row):
            count = min(per_row, total - first)
            row = self.take_rows(pu, 1)
            start = first * size // 2
            self.images.append(BeatImage(name, pu, bank, row, 0, count, 0, start, count * size // 2))
            where = {"bank": bank, "row": row, "beats": count, "out": address + first * size}
            wait = self.add(pu, MOVE, LOAD, waits, **where)
        return wait

    def take_rows(self, pu, count):
        """Reserve DRAM rows."""
        row = self.next_row[pu]
        self.next_row[pu] += count
        return row

    def place(self, pu, name, tiles):
        """Place a stream; return (row, beats per strip)."""
        counts = sum(beat_counts(t, self.params.core) for t in tiles)
        row = self.take_rows(pu, int(-(-counts.max() // self.params.dram.columns)))
        self.images.append(StreamImage(name, pu, row, tuple(tiles)))
        return row, counts

    def stream(self, pu, name, tiles, waits=()):
        """Place and stream tiles of a tensor."""
        row, counts = self.place(pu, name, tiles)
        return self.add(pu, MOVE, STREAM, waits, row=row, table=self.table(*counts))

    def product(self, pu, tile: Tile, m, a, out, waits=(), **fields):
        """Append the PASS of a tile; dense operands."""
        planes = self.params.core.strips // tile.group if tile.split == 1 and tile.flow != 3 else 1
        shape = {"flow": tile.flow, "group": tile.group, "split": tile.split, "contiguous": tile.contiguous}
        shape |= {"m": m, "n": tile.n, "k": tile.k, "a": a, "a_ld": 2 * tile.k, "out": out, "out_ld": 4 * tile.n}
        shape |= {"planes": planes, "plane_ld": 4 * tile.n * m}
        return self.add(pu, ARRAY, PASS, waits, **(shape | fields))

    def vector(self, pu, op, waits=(), **fields):
        """Append a vector operation."""
        return self.add(pu, VECTOR, op, waits, **fields)

    def send(self, pu, target, a, b, length, waits=(), direction=0, **fields):
        """Append a SEND of one row; return the receiver's wait for as many messages as this direction has sent."""
        where = {"m": 1, "a": a, "b": b, "bytes": length, "bank": target, "imm": direction}
        where |= {"signal": arrival(pu, direction)} | fields
        self.add(pu, SEND_0 + direction, SEND, waits, **where)
        return where["signal"], int(self.done[pu, SEND_0 + direction])

    def store(self, pu, bank, row, column, beats, a, waits=()):
        """Append a STORE."""
        return self.add(pu, MOVE, STORE, waits, bank=bank, row=row, column=column, beats=beats, a=a)

    def result(self, name, pu, address, rows, columns, fp32):
        """Name a dense result."""
        self.results[name] = (pu, address, rows, columns, columns * (4 if fp32 else 2), fp32)

    def program(self):
        """Return the program as written so far."""
        streams = tuple(np.array(s, INSTRUCTION) if s else np.zeros(0, INSTRUCTION) for s in self.streams)
        operators = (ProgramOperator("op0", "test", 0, 0, 0, 0, 0, "by hand"),)
        tables = np.array(self.tables, np.int64)
        return Program("tiny", streams, tables, operators, tuple(self.images), {}, self.results)

    def run(self, seed=None, **options) -> FunctionalResult:
        """Execute the program."""
        return run(self.program(), self.params, self.tensors, seed, **options)


def halves(rng, *shape):
    """Random FP16 numbers of order one."""
    return rng.standard_normal(shape).astype(np.float16)


def singles(rng, *shape):
    """Random FP32 numbers of order one."""
    return rng.standard_normal(shape).astype(np.float32)
