"""RTL of a MAC-tree slice: `engines` dot products of `taps` products a cycle, FP32 sums in double-buffered memory.

    beat --> [bank 0 | bank 1: register_beats x columns] --bank, place--+
                                                                        v
    A line of (a_row, a_block | a_chunk) ----------------------> [engines x taps multipliers]
                                                                        |
                                    engine 0: [+][+]       ... engine e     log2(taps) levels of adders
                                               [+]
                                                +------- [+] ------+        K-contiguous: engines of one beat
                                                                        |
                           +0 (first) | sum of (set, row, output) --> [+] --> the same sum        [memory of an engine]
                                                                                                     |
                           write: port_sums sums of the finished set a cycle <-----------------------+

How beats fall onto engines, and the order of the sums; all operands are taken in the cycle of the step:

K-contiguous (a line is a column n of B, its elements are k)
    The beats of a fold are cut into chunks of `taps` elements, and a step takes the next `engines` of them.  Chunks of
    one beat that fall into one step are added pairwise, neighbours first; so with columns <= engines taps the products
    of a beat are added by one pairwise tree.  The sums of the steps of an output are added in order, beginning with +0.

N-contiguous (a line is a row k of B, its elements are n)
    Engine e takes `taps` lines of column n = place engines + e: the products of `taps` successive k are added pairwise,
    and these sums one after another, k ascending, beginning with +0.

Products of padding, beyond `valid` elements or `beats` lines, are +0.  ``latency`` registers stand between operands
and accumulator: behind the multipliers and behind levels of adders, as evenly as they go, and before the accumulator
if there are more of them than levels.

First cycles: one row and two beats, 2 engines of 4 taps, columns 8, latency 2: a step takes the two chunks of a beat::

    cycle        0    1    2    3    4    5    6    7
    beat_taken   1    1
    step                   1    1
    multiply               b0   b1
    add                         b0   b1
    accumulate                       b0   b1
    write                                      1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyrtl

from nmpsim.spec import ChipSpec, resolve
from rtl_models.core.floats import FP16, Wire, delayed
from rtl_models.core.fp32 import fp32_add
from rtl_models.core.mac_tree_control import SliceControl
from rtl_models.core.mac_tree_ports import MOST_SETS, Geometry, Step, Write
from rtl_models.core.pe import arithmetic

SUM_BITS = 32
FORMATS = ("fp16", "bf16")
"""Operands that engines can have."""


class TreeParams(NamedTuple):
    """What a slice is built from."""

    engines: int  # dot products per cycle
    taps: int  # products of an engine
    columns: int  # elements of a beat
    register_beats: int  # beats of one bank of registers
    sets: int  # sets of partial sums
    rows: int  # rows of a set, a power of two
    latency: int  # operands to accumulator, `tree_latency` of the chip; cycles
    port_sums: int  # sums that a write moves per cycle
    precision: str = "fp16"  # of the operands, or bf16

    @property
    def levels(self) -> int:
        """Levels of arithmetic before the accumulator: multipliers, adders within and across engines."""
        return 1 + _log2(self.taps) + _log2(self.spread)

    @property
    def spread(self) -> int:
        """Engines that work on one K-contiguous beat in a step."""
        return min(self.columns // self.taps, self.engines)

    @property
    def words(self) -> int:
        """Words of `engines` sums of a row."""
        return max(self.register_beats, self.columns) // self.engines


def tree_params(chip: ChipSpec) -> TreeParams:
    """Return what the slices of a chip are built from.

    Parameters
    ----------
    chip : ChipSpec
        Its core is a MAC tree.

    Raises
    ------
    ValueError
        If it is another kind.
    """
    tree, core = chip.core.mac_tree, resolve(chip).core
    if tree is None:
        raise ValueError(f"MAC tree: got {chip.core.kind}; allowed: a chip whose core.kind is mac_tree; choose another")
    sums = core.psum_bytes // core.fold_sets // 4
    return TreeParams(
        engines=tree.engines.value,
        taps=tree.taps.value,
        columns=core.columns,
        register_beats=core.register_beats,
        sets=core.fold_sets,
        rows=1 << (sums // max(core.columns, core.register_beats)).bit_length() - 1,
        latency=core.pe_latency,
        port_sums=core.edge_bytes // core.strips // 4,
    )


def multiplier(params: TreeParams) -> Callable[..., Wire]:
    """Return the multiplier of a slice.

    Parameters
    ----------
    params : TreeParams

    Raises
    ------
    ValueError
        If its operands are no FP16 or BF16 numbers.
    """
    if params.precision not in FORMATS:
        raise ValueError(f"MAC tree: got operands {params.precision!r}; allowed: {', '.join(FORMATS)}; choose one")
    return arithmetic(params.precision)[0]


def check(params: TreeParams) -> None:
    """Raise if a slice cannot be built.

    Parameters
    ----------
    params : TreeParams

    Raises
    ------
    ValueError
        With what was got and what is allowed.
    """

    def want(name: str, got: int, allowed: str, *, holds: bool) -> None:
        if not holds:
            raise ValueError(f"MAC tree: got {name} {got}; allowed: {allowed}; change the slice")

    for name in ("engines", "taps", "columns", "register_beats", "rows"):
        value = getattr(params, name)
        want(name, value, "powers of two", holds=value > 0 and value & (value - 1) == 0)
    want("sets", params.sets, f"1 to {MOST_SETS}", holds=1 <= params.sets <= MOST_SETS)
    want("latency", params.latency, "0 or more", holds=params.latency >= 0)
    want("taps", params.taps, f"at most columns {params.columns}", holds=params.taps <= params.columns)
    least = min(params.columns, params.register_beats)
    want("engines", params.engines, f"at most {least}: columns and register_beats", holds=params.engines <= least)
    want(
        "taps",
        params.taps,
        f"at most register_beats {params.register_beats}",
        holds=params.taps <= params.register_beats,
    )
    whole = params.port_sums > 0 and params.port_sums % params.engines == 0
    want("port_sums", params.port_sums, f"multiples of engines {params.engines}", holds=whole)


def mac_tree_slice(params: TreeParams) -> pyrtl.Block:
    """Return one slice.

    Inputs: `pass_*` (the PASS at the head of the queue: seen, its waits hold, its counts), `beat_valid` and `beat`
    (head of the bank's FIFO), `a_line` (FP16 elements of row `a_row`: block `a_block` of A if K-contiguous, else lines
    of chunk `a_chunk`; in the same cycle).  Outputs: `pass_taken`, `beat_taken`, `pass_done`, `reason`, `step`,
    `a_row`, `a_block`, `a_chunk`, `write` and `sums`, row by row, in the order of the outputs of a fold.

    Parameters
    ----------
    params : TreeParams

    Raises
    ------
    ValueError
        If the numbers do not fit.
    """
    check(params)
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        geometry = Geometry(params.register_beats, params.columns, params.engines, params.taps)
        step, write = SliceControl(geometry, params.sets, params.latency).connect()
        _Datapath(params, step, write).connect()
    return block


class _Datapath:
    """Registers of B, multipliers, trees, sums."""

    def __init__(self, params: TreeParams, step: Step, write: Write) -> None:
        self.params, self.step, self.write = params, step, write
        self.beat = pyrtl.Input(params.columns * FP16.bits, "beat")
        self.a_line = pyrtl.Input(max(params.columns, params.register_beats) * FP16.bits, "a_line")
        self.set_bits = max(1, (params.sets - 1).bit_length())
        words = _log2(params.rows) + _log2(params.words)
        self.memories = [
            pyrtl.MemBlock(SUM_BITS, self.set_bits + words, f"sums_{e}", max_read_ports=None, asynchronous=True)
            for e in range(params.engines)
        ]

    def connect(self) -> None:
        """Connect everything."""
        b = self.registers()
        by_k, by_n = self.tree(self.products(b))
        self.accumulate(by_k, by_n)
        self.drain()

    def registers(self) -> list[list[Wire]]:
        """Return the elements of the bank that streams: [beat][element]."""
        step, columns = self.step, self.params.columns
        lines = []
        for place in range(self.params.register_beats):
            banks = []
            for bank in range(2):
                register = pyrtl.Register(len(self.beat), f"bank{bank}_beat{place}")
                here = step.load & (step.bank != bank) & (step.load_place == place)
                register.next <<= pyrtl.select(here, self.beat, register)
                banks.append(register)
            line = pyrtl.select(step.bank, banks[1], banks[0])
            lines.append([line[e * FP16.bits : (e + 1) * FP16.bits] for e in range(columns)])
        return lines

    def a(self, element: int) -> Wire:
        """Return an element of the line of A."""
        return self.a_line[element * FP16.bits : (element + 1) * FP16.bits]

    def products(self, b: list[list[Wire]]) -> list[list[Wire]]:
        """Return the products of each engine in the cycle of the step; those of padding are +0."""
        params, step = self.params, self.step
        chunks = params.columns // params.taps
        rows = []
        for engine in range(params.engines):
            row = []
            for tap in range(params.taps):
                by_k, by_n = [], []  # (A, B, valid) by place
                for place in range(max(1, params.register_beats * chunks // params.engines)):
                    beat, chunk = divmod(place * params.engines + engine, chunks)
                    k = chunk * params.taps + tap
                    by_k.append((self.a(k), b[beat][k], (step.valid > k) & (step.beats > beat)))
                groups = params.columns // params.engines
                for place in range(groups * params.register_beats // params.taps):
                    part, group = divmod(place, groups)
                    k = part * params.taps + tap
                    by_n.append((self.a(k), b[k][group * params.engines + engine], step.beats > k))
                x, y, valid = (
                    pyrtl.select(step.k_contiguous, _at(step.place, list(k)), _at(step.place, list(n)))
                    for k, n in zip(zip(*by_k, strict=True), zip(*by_n, strict=True), strict=True)
                )
                product = multiplier(params)(x, y)
                row.append(pyrtl.select(valid, product, pyrtl.Const(0, SUM_BITS)))
            rows.append(row)
        return rows

    def registers_behind(self, level: int) -> int:
        """Return how many of the `latency` registers stand behind a level, of 1 ... levels."""
        params = self.params
        if params.latency <= params.levels:
            return params.latency * level // params.levels - params.latency * (level - 1) // params.levels
        return 1 if level < params.levels else params.latency - params.levels + 1

    def tree(self, products: list[list[Wire]]) -> tuple[list[Wire], list[Wire]]:
        """Return the sums of a step at the accumulators: of beats (K-contiguous), and of engines (N-contiguous)."""
        level = 1
        rows = [[delayed(wire, self.registers_behind(1)) for wire in row] for row in products]
        while len(rows[0]) > 1:
            level += 1
            rows = [[delayed(wire, self.registers_behind(level)) for wire in _pairs(row)] for row in rows]
        engines = [row[0] for row in rows]
        beats = [engines[i : i + self.params.spread] for i in range(0, len(engines), self.params.spread)]
        while len(beats[0]) > 1:
            level += 1
            beats = [[delayed(wire, self.registers_behind(level)) for wire in _pairs(row)] for row in beats]
            engines = [delayed(wire, self.registers_behind(level)) for wire in engines]
        return [row[0] for row in beats], engines

    def accumulate(self, by_k: list[Wire], by_n: list[Wire]) -> None:
        """Add the sums of a step to those in memory."""
        params, step = self.params, self.step
        chunks = params.columns // params.taps
        results = len(by_k)  # outputs that a step of a K-contiguous fold has
        steps = max(1, chunks // params.engines)  # steps that such an output needs
        output = _divided(step.place, steps)  # in units of `results` outputs
        turns = params.engines // results  # of these make a word
        groups = params.columns // params.engines
        k_word, n_word = _divided(output, turns), _low(step.place, groups)
        part_first = pyrtl.select(step.k_contiguous, _low(step.place, steps) == 0, _divided(step.place, groups) == 0)
        first = step.inner_first & part_first
        word = pyrtl.select(step.k_contiguous, *_alike(k_word, n_word))
        address = self.address(step.set, step.row, word)
        turn = _low(output, turns)
        now, address, first, turn, is_k = (
            delayed(wire, params.latency) for wire in (step.step, address, first, turn, step.k_contiguous)
        )
        for engine, memory in enumerate(self.memories):
            mine = ~is_k | (turn == engine // results)
            value = pyrtl.select(is_k, by_k[engine % results], by_n[engine])
            base = pyrtl.select(first, pyrtl.Const(0, SUM_BITS), memory[address])
            memory[address] <<= pyrtl.MemBlock.EnabledWrite(fp32_add(base, value), now & mine)

    def address(self, number: Wire, row: Wire, word: Wire) -> Wire:
        """Return the place of a word of sums: set, row, word of the row."""
        params = self.params
        parts = [number, *_bits(row, _log2(params.rows)), *_bits(word, _log2(params.words))]
        return pyrtl.concat(*parts)

    def drain(self) -> None:
        """Connect the port of the results."""
        params, write = self.params, self.write
        per_row = {1: params.register_beats, 0: params.columns}
        sums: list[Wire] = []
        for first in range(0, params.port_sums, params.engines):
            # number of the first of `engines` sums, counted through the rows
            number = _times(write.cycle, params.port_sums) + first
            row = pyrtl.select(write.k_contiguous, *_alike(*(_divided(number, per_row[k]) for k in (1, 0))))
            column = pyrtl.select(write.k_contiguous, *_alike(*(_low(number, per_row[k]) for k in (1, 0))))
            address = self.address(write.set, row, _divided(column, params.engines))
            inside = write.now & (row < write.rows)
            for engine, memory in enumerate(self.memories):
                there = inside & (~write.k_contiguous | (column + engine < write.beats))
                sums.append(pyrtl.select(there, memory[address], pyrtl.Const(0, SUM_BITS)))
        for name, wire in {"write": write.now, "sums": pyrtl.concat_list(sums)}.items():
            port = pyrtl.Output(len(wire), name)
            port <<= wire


def _pairs(values: list[Wire]) -> list[Wire]:
    """Return the sums of neighbours."""
    return [fp32_add(values[i], values[i + 1]) for i in range(0, len(values), 2)]


def _at(place: Wire, values: list[Wire]) -> Wire:
    """Return the value of a place; values repeat beyond the last one of a power of two."""
    if all(value is values[0] for value in values):
        return values[0]
    bits = (len(values) - 1).bit_length()
    return pyrtl.mux(place[:bits], *values)


def _log2(power: int) -> int:
    """Return the exponent of a power of two."""
    return power.bit_length() - 1


def _divided(wire: Wire, by: int) -> Wire:
    """Return a number divided by a power of two, rounded down."""
    places = _log2(by)
    if places >= len(wire):
        return pyrtl.Const(0, 1)
    return wire[places:] if places else wire


def _low(wire: Wire, by: int) -> Wire:
    """Return a number modulo a power of two."""
    return wire[: _log2(by)] if by > 1 else pyrtl.Const(0, 1)


def _times(wire: Wire, by: int) -> Wire:
    """Return a number times a constant."""
    return wire * pyrtl.Const(by)


def _bits(wire: Wire, count: int) -> list[Wire]:
    """Return a number cut or filled up to a count of bits, nothing for none."""
    if count == 0:
        return []
    return [wire[:count] if len(wire) >= count else wire.zero_extended(count)]


def _alike(a: Wire, b: Wire) -> tuple[Wire, Wire]:
    """Return two numbers of the same width."""
    width = max(len(a), len(b))
    return a.zero_extended(width), b.zero_extended(width)
