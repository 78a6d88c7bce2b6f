"""What an operator makes the machine do, counted from graph, schedule and chip, without reading a program.

MACs, vector elements   of the operator
passes                  tiles of N: every PU has its columns (over N), or all of them chunk by chunk (over K)
beats                   every beat of B lies in one strip; rows are activated strip by strip, stream by stream
flits                   rows x flits of a row, times the PUs that a piece passes
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import add, attrgetter

from nmpsim.analytic.model.counting.shares import Ints, dram_beats, form, up
from nmpsim.program.beats import Tile
from nmpsim.program.isa import expansion
from nmpsim.program.packing import narrow, scale_bytes
from nmpsim.program.schedule import PassPlan
from nmpsim.spec.params import CoreParams, DramParams


@dataclass(frozen=True)
class Work:
    """Work of an operator on all PUs together.

    Parameters
    ----------
    macs, vector_elements : int
        As the graph asks for.
    passes : int
        PASS instructions.
    RD, WR : int
        Column accesses of the DRAM.
    ACT : int
        Row accesses, each an activation with a closed page.
    read_bytes, write_bytes : int
        Without padding.
    flits, messages : int
        That leave cores.
    """

    macs: int = 0
    vector_elements: int = 0
    passes: int = 0
    RD: int = 0
    WR: int = 0
    ACT: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    flits: int = 0
    messages: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*map(add, _values(self), _values(other)))

    def times(self, number: int) -> Work:
        """Return so often the same work.

        Parameters
        ----------
        number : int
        """
        return Work(*(value * number for value in _values(self)))

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return dict(zip(_NAMES, _values(self), strict=True))


_NAMES = tuple(field.name for field in fields(Work))
_values = attrgetter(*_NAMES)

NOTHING = Work()


def flits_of(rows: int, size: int, flit_bytes: int) -> int:
    """Return the flits of a message; none holds bytes of two rows.

    Parameters
    ----------
    rows, size, flit_bytes : int
        Rows, bytes of each, bytes of a flit.
    """
    return rows * up(size, flit_bytes)


def gathered(rows: int, counts: Ints, flit_bytes: int) -> Work:
    """Return the work of an all-gather of FP16 columns.

    Parameters
    ----------
    rows : int
    counts : ndarray of int64
        Columns by PU.
    flit_bytes : int
    """
    others = len(counts) - 1
    own = sum(flits_of(rows, int(n) * 2, flit_bytes) for n in counts)
    return Work(flits=own * others, messages=int((counts > 0).sum()) * others)


def told_to_all(size: int, owners: int, pus: int, flit_bytes: int) -> Work:
    """Return the work of a small region of every owner that goes straight to all other PUs.

    Parameters
    ----------
    size, owners, pus, flit_bytes : int
    """
    return Work(flits=up(size, flit_bytes) * owners * (pus - 1), messages=owners * (pus - 1))


def loaded(counts: Ints, size: int, dram: DramParams, times: int = 1) -> Work:
    """Return the work of loading own elements of a vector on every PU.

    Parameters
    ----------
    counts : ndarray of int64
        Elements by PU.
    size : int
        Bytes of each.
    dram : DramParams
    times : int
        Vectors.
    """
    per_row = dram.columns * dram.column_bytes // size
    found = NOTHING
    for number, alike in Counter(map(int, counts)).items():
        whole, rest = divmod(number, per_row)
        beats = whole * up(per_row * size, dram.column_bytes) + up(rest * size, dram.column_bytes)
        one = Work(RD=beats, ACT=whole + (rest > 0), read_bytes=number * size)
        found += one.times(alike)
    return found.times(times)


@dataclass(frozen=True)
class Streams:
    """The weight streams of a GEMM on one PU.

    Parameters
    ----------
    columns : tuple of int
        Result columns of every stream.
    k : int
        Rows of the weights.
    k_start : int
        First of them.
    """

    columns: tuple[int, ...]
    k: int
    k_start: int = 0


@lru_cache(maxsize=65536)
def _tiles(core: CoreParams, dram: DramParams, shape: PassPlan, columns: int, k: int, k_start: int, width: int) -> Work:
    """Work of one stream of so many columns, cut into passes."""
    whole, rest = divmod(columns, width)
    beats: Ints | int = 0
    useful = passes = 0
    for number, n in ((whole, width), (1, rest)):
        if number and n:
            code = run = scales = 0
            if shape.precision.group:
                tile = narrow(Tile(*form(shape), n, k, k_start, ((0, n),)), core, shape.precision)
                code, run, scales = tile.code, tile.run, scale_bytes(tile)
            beats = beats + number * dram_beats(core, form(shape), n, k, code, run)
            useful += number * (n * k * (16 // expansion(code)) // 8 + scales)
            passes += number
    if not passes:
        return NOTHING
    assert not isinstance(beats, int)
    return Work(passes=passes, RD=int(beats.sum()), ACT=int((-(-beats // dram.columns)).sum()), read_bytes=useful)


def streamed(core: CoreParams, dram: DramParams, shape: PassPlan, streams: list[Streams], *, paired: bool) -> Work:
    """Return the work of the weight streams and passes of a GEMM.

    Parameters
    ----------
    core : CoreParams
    dram : DramParams
    shape : PassPlan
    streams : list of Streams, by PU
    paired : bool
        Results are consumed in pairs of column blocks.
    """
    width = shape.pass_columns(core, paired=paired)
    found = NOTHING
    for stream, alike in Counter(streams).items():
        for columns, number in Counter(stream.columns).items():
            if columns and stream.k:
                found += _tiles(core, dram, shape, columns, stream.k, stream.k_start, width).times(number * alike)
    return found


@dataclass(frozen=True)
class Chunks:
    """How a GEMM over K cuts its columns.

    Parameters
    ----------
    pieces : tuple of tuple of int
        Columns of every owner, chunk by chunk.
    grain : int
        Columns that fill a flit.
    """

    pieces: tuple[tuple[int, ...], ...]
    grain: int

    def flits(self, rows: int, flit_bytes: int) -> Work:
        """Return the work of all reduce-scatters.

        Parameters
        ----------
        rows, flit_bytes : int
        """
        total = messages = 0
        for owners in self.pieces:
            for piece in owners:
                half = up(piece, 2 * self.grain) * self.grain if piece > self.grain else piece
                for part in (half, piece - half):
                    total += flits_of(rows, part * 4, flit_bytes) * (len(owners) - 1)
                    messages += (len(owners) - 1) * (part > 0)
        return Work(flits=total, messages=messages)

    def credits(self) -> Work:
        """Return the work of the words that landing spaces are empty."""
        pus = len(self.pieces[0])
        number = 2 * pus * len(self.pieces) if pus > 1 else 0
        return Work(flits=number, messages=number)


def chunked(columns: Ints, chunks: int, unit: int, flit_bytes: int) -> Chunks:
    """Return the chunks of a GEMM over K.

    Parameters
    ----------
    columns : ndarray of int64
        Of every owner.
    chunks : int
        Wanted.
    unit : int
        Columns that stay together; 0: those that fill a flit.
    flit_bytes : int
    """
    grain = max(1, flit_bytes // 4)
    unit = unit or grain
    longest = int(columns.max())
    step = max(unit, up(longest, chunks * unit) * unit)
    pieces = tuple(
        tuple(max(0, min(int(n), start + step) - start) for n in columns) for start in range(0, longest, step)
    )
    return Chunks(pieces, grain)
