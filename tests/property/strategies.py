"""Random small chips, random decode steps and random programs.

Everything is drawn through one function ``choose(options)``: `Dice` rolls it from a seed, for sweeps that every run
repeats, and a Hypothesis test passes `drawn_by(draw)`, so that a failure shrinks.  The first option of every list is
the plainest one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from nmpsim.api import Job, prepare
from nmpsim.errors import InfeasibleError
from nmpsim.program.beats import Tile, legal, useful_bytes
from nmpsim.program.encode.emitter import Emitter, Event
from nmpsim.program.encode.memory import strip_counts
from nmpsim.program.isa import (
    ARRAY,
    B_FP8,
    B_FP16,
    B_INT4,
    B_INT8,
    CHAIN,
    COPY_IN,
    COPY_OUT,
    CROSS,
    F_OUT_FP32,
    FROM,
    IS,
    K_CONTIGUOUS,
    LOAD,
    MOVE,
    N_CONTIGUOUS,
    OS,
    PASS,
    SPLIT_K,
    SPLIT_N,
    STORE,
    STREAM,
    TREE,
    V_COPY,
    V_NORM,
    V_REDUCE,
    V_SOFTMAX,
    V_SUM_SQUARES,
    WS,
)
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.program.schedule import PassPlan
from nmpsim.program.spaces import Space, spaces_of
from nmpsim.spec import ChipSpec, load_chip, resolve
from nmpsim.spec.load import with_overrides
from nmpsim.spec.params import MAC_TREE, CoreParams, MachineParams
from tests.builders import SNAKE, STRATUM, small_model

Choose = Callable[[Sequence[Any]], Any]


class Drawn:
    """The functions of `random.Random` that benches of networks use, drawn by Hypothesis."""

    def __init__(self, draw):
        self._draw = draw

    def choice(self, options):
        return self._draw(st.sampled_from(options))

    def randint(self, low, high):
        return self._draw(st.integers(low, high))


KINDS = (SNAKE, STRATUM)

CLOCKS = ((0.8, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.75, 0.5), (0.5, 1.5, 1.0), (0.6, 0.5, 0.7))
"""Core, DRAM and network, in GHz."""


class Dice:
    """``choose`` from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, options: Sequence[Any]) -> Any:
        return options[self._random.randrange(len(options))]


def drawn_by(draw: st.DrawFn) -> Choose:
    """``choose`` of a Hypothesis strategy."""
    return lambda options: draw(st.sampled_from(options))


def random_chip(choose: Choose, kind: str | None = None, row_beats: Sequence[int] = (4, 1, 2, 16)) -> ChipSpec:
    """A shipped chip with one to four PUs, one to four strips and everything else small."""
    kind = kind or choose(KINDS)
    strips, columns, row_beats = choose((2, 1, 4)), choose((8, 4, 16)), choose(row_beats)
    beat = 2 * columns
    banks, bank_bytes = choose((8, 2, 16, 40)), choose((16, 32, 8))
    ports = banks * bank_bytes
    core_GHz, dram_GHz, noc_GHz = choose(CLOCKS)
    pus = choose((2, 1, 3, 4))
    settings = {
        "chip.pus": pus,
        "clock.core_GHz": core_GHz,
        "clock.dram_GHz": dram_GHz,
        "clock.noc_GHz": noc_GHz,
        "dram.banks_per_channel": strips,
        "dram.rows_per_bank": 2**15,
        "dram.row_bytes": row_beats * beat,
        "dram.column_bytes": beat,
        "dram.timing.tRRD_ns": choose((0.0, 5.0)),
        "dram.timing.tFAW_ns": choose((0.0, 40.0)),
        "dram.timing.tCCD_ns": choose((1.0, 3.0)),
        "dram.timing.tREFI_ns": choose((4025.0, 400.0)),
        "dram.refresh.mode": choose(("per_bank", "off")),
        "dram.refresh.postpone": choose((8, 0, 1)),
        "dram.refresh.pull_in": choose((0, 2)),
        "dram.row_hits": choose((1, 1, 0, 2)),
        "dram.budget.die_tRRD_ns": choose((0.0, 0.0, 3.0)),
        "dram.budget.die_tFAW_ns": choose((0.0, 0.0, 60.0)),
        "dram.budget.die_acts": choose((3, 1)),
        "port.banks": (shared := choose((1, 1, strips))),
        "port.ports": choose((1, shared)),
        "port.hold": choose(("row", "column")),
        "port.fifo_bytes": row_beats * beat * choose((2, 1, 3)),
        "port.latency_cycles": choose((1, 2)),
        "port.credit_cycles": choose((1, 3)),
        "port.run_queue": choose((4, 2)),
        "core.vector.lanes": choose((16, 1, 4)),
        "core.vector.read_bytes": min(ports, choose((64, 16, 320))),
        "core.vector.write_bytes": min(ports, choose((64, 8, 320))),
        "core.vector.latency_cycles": choose((4, 1, 9)),
        "core.vector.exp_interval": choose((4, 1)),
        "core.vector.sqrt_interval": choose((4, 1)),
        "core.buffer.banks": banks,
        "core.buffer.bank_bytes": bank_bytes,
        "core.buffer.bytes": ports * (2**18 // ports),
        "core.sequencer.queue_depth": choose((8, 1, 2)),
        "noc.flit_bytes": choose((16, 8, 64)),
        "noc.vcs": choose((2, 4)),
        "noc.buffer_flits": choose((8, 1, 2)),
        "noc.topology": choose(("ring", "crossbar", f"mesh:{pus}")),
        "noc.routing_cycles": choose((0, 1)),
        "noc.switch_cycles": choose((1, 2)),
        "noc.speculation": choose(("on", "off")),
        "noc.port_cycles": choose((0, 1)),
        "noc.link_cycles": choose((1, 2)),
        "noc.credit_cycles": choose((1, 2)),
        "noc.sync_cycles": choose((2, 1, 3)),
        "noc.inject_flits": choose((32, 1, 2)),
        "noc.eject_flits": choose((32, 1, 2)),
        "placement.fill": choose(("kv_first", "weights_first")),
    }
    sets = choose((2, 1))
    if kind == SNAKE:
        strip_rows = choose((2, 1, 4))
        settings |= {
            "core.array.rows": strips * strip_rows,
            "core.array.cols": columns,
            "core.array.granularity": strip_rows,
            "core.array.reconfigure_cycles": choose((16, 0, 3)),
            "core.array.pe_latency": choose((0, 1, 3)),
            "core.array.fold_sets": sets,
        }
    else:
        settings |= {
            "core.mac_tree.slices": strips,
            "core.mac_tree.engines": choose((2, 1, 4)),
            "core.mac_tree.taps": choose((4, 2)),
            "core.mac_tree.register_beats": choose((4, 1, 3)),
            "core.mac_tree.edge_bytes": max(4 * strips, min(ports // (4 * strips), choose((4, 1))) * 4 * strips),
            "core.mac_tree.psum_bytes": 4 * columns * sets * choose((16, 8)),
            "core.mac_tree.fold_sets": sets,
            "core.mac_tree.tree_latency": choose((5, 0)),
        }
    return with_overrides(load_chip(kind), settings)


def separated(choose: Choose, chip: ChipSpec) -> ChipSpec:
    """The chip with a compute unit that has buffers of its own, of any sizes that are allowed."""
    bank_bytes = choose((16, 8, 32))
    buffer, tree = chip.core.buffer, chip.core.mac_tree
    least = -(-tree.edge_bytes.value // bank_bytes) if tree is not None else 1
    operand, output = choose((4, 1, 16)), max(least, choose((8, 1, 5)))
    narrowest = min(buffer.banks.value * buffer.bank_bytes.value, bank_bytes * min(operand, output))
    return with_overrides(
        chip,
        {
            "core.arrangement": "separate",
            "core.array_buffer.operand_bytes": operand * bank_bytes * choose((64, 400)),
            "core.array_buffer.operand_banks": operand,
            "core.array_buffer.output_bytes": output * bank_bytes * choose((64, 400)),
            "core.array_buffer.output_banks": output,
            "core.array_buffer.bank_bytes": bank_bytes,
            "core.array_buffer.copy_bytes": min(narrowest, choose((64, 8, 3))),
            "core.array_buffer.copy_cycles": choose((2, 1, 5)),
        },
    )


def random_job(choose: Choose, kind: str | None = None, *, separate: bool = False) -> Job | None:
    """A decode step of a random small model on a random small chip; None if the draw does not fit together."""
    kind = kind or choose(KINDS)
    try:
        chip = random_chip(choose, kind, row_beats=(16, 8, 32))
        if kind == SNAKE and choose((False, True)):
            rows = chip.dram.banks_per_channel.value * choose((4, 8))
            granularity = rows // chip.dram.banks_per_channel.value
            chip = with_overrides(chip, {"core.array.rows": rows, "core.array.granularity": granularity})
        chip = separated(choose, chip) if separate else chip
        pus, columns, row_bytes = chip.chip.pus.value, chip.dram.column_bytes.value // 2, chip.dram.row_bytes.value
        moe = choose((False, True))
        hidden = pus * columns * choose((1, 2)) if moe else choose((32, 16, 48))
        head_dim = choose((8, 16))
        if 4 * head_dim > row_bytes:
            return None
        kv_heads = choose((2, 1))
        model = small_model(
            moe=moe,
            layers=2,
            kv_heads=kv_heads,
            heads=kv_heads * choose((2, 1, 4)),
            hidden=hidden,
            head_dim=head_dim,
            ffn=choose((48, 24)),
            vocab=choose((40, 96)),
            experts=choose((4, 2)),
            tied=choose((False, True)),
        )
        routing = choose(("uniform", "zipf")) if moe else "uniform"
        return prepare(
            model,
            chip,
            batch=choose((2, 1, 3, 6)),
            context=choose((9, 1, 2, 40)),
            layers=choose((1, 2)),
            seed=choose(range(9)),
            routing=routing,
            first_tier=choose((0, 3)),
        )
    except InfeasibleError:
        return None


def random_shape(choose: Choose, core: CoreParams) -> PassPlan:
    """Any dataflow, logical shape, relation of groups and beat layout that the compute unit has."""
    groups = [g for g in range(1, core.strips + 1) if core.strips % g == 0]
    flows = (TREE,) if core.kind == MAC_TREE else (OS, WS, IS)
    shapes = [
        PassPlan(flow, group, split, contiguous)
        for flow in flows
        for group in ((1,) if flow == TREE else groups)
        for split in (CHAIN, SPLIT_K, SPLIT_N)
        for contiguous in (N_CONTIGUOUS, K_CONTIGUOUS)
        if legal(flow, split, contiguous) and (flow, split) != (IS, SPLIT_K)
    ]
    return choose(shapes)


def most_rows(core: CoreParams, shape: PassPlan) -> int:
    """Most rows of A that a pass of that shape can hold."""
    if shape.flow == TREE:
        return core.psum_bytes // core.fold_sets // (core.columns * 4)
    return 12 if shape.flow == WS else shape.group * core.strip_rows


class ProgramWriter:
    """Writes random instructions in an order in which they could run one by one, so that no program can get stuck.

    Parameters
    ----------
    choose : callable
    params : MachineParams
    """

    def __init__(self, choose: Choose, params: MachineParams) -> None:
        self.choose, self.params = choose, params
        self.emit = Emitter(params)
        self.events: list[list[Event]] = [[] for _ in range(params.cores)]
        self.operators: list[ProgramOperator] = []
        self.macs = self.stream_beats = self.load_beats = self.store_beats = self.elements = 0
        self.row = self.tier = self.copied_bytes = 0
        self.spaces = spaces_of(params.core)

    def operator(self, kind: str, macs: int = 0) -> None:
        self.emit.operator = len(self.operators)
        self.operators.append(ProgramOperator(f"{kind}{len(self.operators)}", kind, 0, macs, 0, 0, 0, ""))

    def waits(self, pu: int) -> list[Event]:
        past = self.events[pu]
        return [self.choose(past[-6:]) for _ in range(self.choose((1, 0, 2, 3)))] if past else []

    def address(self, space: Space | None = None) -> int:
        """An address of the buffer, or of another one."""
        offset = 4 * self.choose(range(0, 4096, 2))
        return offset if space is None else space.start + offset % space.size

    def rows(self) -> int:
        """Rows that no other task uses, or now and then those of the task before: row hits."""
        if self.choose((True, True, False)):
            self.row = (self.row + 7) % (self.params.dram.rows_per_tier - 256)
            self.tier = self.choose((0, 7, 2))
        return self.tier * self.params.dram.rows_per_tier + self.row

    def product(self, pu: int) -> None:
        """One stream and the passes that eat it, of one shape or of several."""
        core, tiles, plans = self.params.core, [], []
        shape = random_shape(self.choose, core)
        for _ in range(self.choose((1, 2, 4))):
            shape = random_shape(self.choose, core) if self.choose((False, False, True)) else shape
            m = self.choose(range(1, most_rows(core, shape) + 1))
            n, k = self.choose((5, 1, 16, 33, 70)), self.choose((6, 1, 17, 40))
            tile = Tile(shape.flow, shape.group, shape.split, shape.contiguous, n, k, 0, ((0, n),))
            code = self.choose((B_FP16, B_FP16, B_FP8, B_INT8, B_INT4))
            runs = (0, 2, 4) if code and self.params.dram.fifo_columns > self.params.dram.columns else (0,)
            tiles.append(tile.coded(code, self.choose(runs)))
            plans.append(m)
        macs = sum(m * t.n * t.k for m, t in zip(plans, tiles, strict=True))
        self.operator("product", macs)
        counts = strip_counts(tuple(tiles), core)
        self.macs += macs
        self.stream_beats += sum(counts)
        self.emit.emit(
            pu,
            MOVE,
            STREAM,
            self.waits(pu),
            row=self.rows(),
            table=self.emit.table(counts),
            bytes=sum(useful_bytes(t) for t in tiles),
        )
        for m, tile in zip(plans, tiles, strict=True):
            event = self.emit.emit(
                pu,
                ARRAY,
                PASS,
                self.waits(pu),
                flow=tile.flow,
                group=tile.group,
                split=tile.split,
                contiguous=tile.contiguous,
                m=m,
                n=tile.n,
                k=tile.k,
                a=self.address(self.spaces.operand),
                a_ld=2 * tile.k,
                out=self.address(self.spaces.output),
                out_ld=4 * tile.n,
                planes=1,
                imm=tile.code,
                beats=tile.run,
            )
            self.events[pu].append(event)

    def move(self, pu: int) -> None:
        """A LOAD or a STORE of a piece of a row."""
        dram = self.params.dram
        column = self.choose(range(dram.columns))
        beats = self.choose(range(1, dram.columns - column + 1))
        self.piece(pu, self.choose((LOAD, STORE)), self.choose(range(dram.banks)), column, beats)

    def flood(self, pu: int) -> None:
        """A row from every bank at once, which takes the data mover a while, with a product behind it."""
        dram = self.params.dram
        for bank in range(dram.banks):
            self.piece(pu, LOAD, bank, 0, dram.columns)
        self.product(pu)

    def piece(self, pu: int, op: int, bank: int, column: int, beats: int) -> None:
        self.operator("move")
        if op == LOAD:
            self.load_beats += beats
        else:
            self.store_beats += beats
        fields = {"bank": bank, "column": column, "beats": beats, "row": self.rows(), "bytes": 2}
        event = self.emit.emit(pu, MOVE, op, self.waits(pu), **fields, a=self.address(), out=self.address())
        self.events[pu].append(event)

    def vector(self, pu: int) -> None:
        op = self.choose((V_COPY, V_SUM_SQUARES, V_NORM, V_REDUCE, V_SOFTMAX))
        self.operator("vector")
        m, n = self.choose((1, 3)), self.choose((7, 1, 64, 150))
        event = self.emit.vector(
            pu,
            op,
            m,
            n,
            self.waits(pu),
            planes=self.choose((1, 2)),
            a=self.address(),
            out=self.address(),
            modifiers=self.choose((0, F_OUT_FP32)),
        )
        self.elements += self.elements_of(pu)
        self.events[pu].append(event)

    def elements_of(self, pu: int) -> int:
        last = self.emit.streams([(0, 0)] * self.params.cores)[pu][-1]
        return int(last["elements0"] + last["elements1"] + last["elements2"])

    def copy(self, pu: int) -> None:
        """A copy into or out of the buffers of the compute unit."""
        self.operator("copy")
        inward = self.choose((True, False))
        rows, size, planes = self.choose((1, 3)), self.choose((16, 1, 70, 200)), self.choose((1, 2))
        self.copied_bytes += rows * size * planes
        event = self.emit.emit(
            pu,
            COPY_IN if inward else COPY_OUT,
            CROSS,
            self.waits(pu),
            m=rows,
            bytes=size,
            planes=planes,
            a=self.address(self.spaces.shared if inward else self.spaces.output),
            a_ld=256,
            out=self.address(self.spaces.operand if inward else self.spaces.shared),
            out_ld=256,
            plane_ld=1024,
        )
        self.events[pu].append(event)

    def message(self, pu: int) -> None:
        if self.params.cores == 1:
            return
        self.operator("message")
        there = (pu + self.choose(range(1, self.params.cores))) % self.params.cores
        sent, arrived = self.emit.send(
            pu,
            there,
            self.waits(pu),
            direction=self.choose((None, 0, 1)),
            rows=self.choose((1, 3)),
            size=self.choose((16, 2, 70, 200)),
            source=self.address(),
            source_ld=256,
            target=self.address(),
            target_ld=256,
        )
        self.events[pu].append(sent)
        self.events[there].append(arrived)

    def multicast(self, pu: int) -> None:
        self.operator("multicast")
        common = self.choose((0, 2))
        sent = self.emit.multicast(
            pu,
            self.waits(pu),
            port=self.choose((0, 1)),
            common=common,
            rows=self.choose((1, 3)),
            size=self.choose((16, 2, 70, 200)),
            place=self.address(),
            ld=256,
        )
        self.events[pu].append(sent)
        for there in range(self.params.cores):
            if there != pu:
                self.events[there].append(self.emit.arrived(there, common))

    def sum_up(self, _: int) -> None:
        """A sum of the parts of all PUs."""
        self.operator("sum")
        owner, port, common = self.choose(range(self.params.cores)), self.choose((0, 1)), self.choose((1, 3))
        arrived = self.emit.add_up(
            owner,
            [self.waits(pu) for pu in range(self.params.cores)],
            port=port,
            common=common,
            rows=self.choose((1, 3)),
            size=self.choose((16, 4, 72, 200)),
            place=self.address(),
            ld=256,
        )
        self.events[owner].append(arrived)

    def finish(self) -> Program:
        """Let every core wait for every message, then return the program."""
        self.operator("end")
        pus = self.params.cores
        for pu in range(pus):
            arrivals = sorted({e.semaphore: e for e in self.events[pu] if e.semaphore >= FROM}.values())
            for first in range(0, max(1, len(arrivals)), 4):
                self.emit.vector(pu, V_COPY, 1, 1, arrivals[first : first + 4], a=0, out=0)
                self.elements += 1
        streams = self.emit.streams([(0, 0)] * pus)
        return Program(self.params.name, streams, self.emit.tables(), tuple(self.operators))


def steps_of(writer: ProgramWriter) -> tuple[Callable[[int], None], ...]:
    """What a program is made of, the frequent ones more than once."""
    copies = (writer.copy, writer.copy) if writer.params.core.separate else ()
    spread = (writer.multicast,) * 3 if writer.params.noc.multicast_lanes and writer.params.cores > 1 else ()
    summed = (writer.sum_up,) * 3 if writer.params.noc.sum_lanes and writer.params.cores > 1 else ()
    return (
        writer.product,
        writer.product,
        writer.move,
        writer.vector,
        writer.message,
        writer.message,
        writer.flood,
        *copies,
        *spread,
        *summed,
    )


def random_program(
    choose: Choose,
    kind: str | None = None,
    steps: Sequence[int] = (8, 3, 20, 40),
    *,
    separate: bool = False,
    copies: bool = False,
    adds: bool = False,
) -> tuple[MachineParams, Program, ProgramWriter]:
    """Random instructions for all units of a random small chip; its routers copy and add, if asked for."""
    chip = random_chip(choose, kind)
    if copies or adds:
        few = {"multicast_vcs": choose((1, 2)), "multicast_flits": min(choose((1, 2)), chip.noc.buffer_flits.value)}
        few |= {"collectives": "multicast", "eject_flits": max(2, chip.noc.eject_flits.value)}
        if adds:
            lanes = choose((1, 2))
            few |= {"collectives": "network", "sum_vcs": lanes, "add_cycles": choose((1, 2, 3))}
            few["eject_flits"] = max(3 * lanes, few["eject_flits"])
        chip = with_overrides(chip, {f"noc.{name}": value for name, value in few.items()})
    params = resolve(separated(choose, chip) if separate else chip)
    writer = ProgramWriter(choose, params)
    for _ in range(choose(steps)):
        step = choose(steps_of(writer))
        step(choose(range(params.cores)))
    return params, writer.finish(), writer
