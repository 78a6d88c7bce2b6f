"""What GEMMs whose results are reduced are made of: how they are divided, their chunks, and the space these take."""

from __future__ import annotations

from dataclasses import dataclass, field

from nmpsim.program.encode.collective import Piece, landing_bytes
from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.gemm import Segments, width
from nmpsim.program.schedule import GemmPlan


@dataclass
class Reduction:
    """Buffer space of the reduce-scatters, used in turn by consecutive chunks.

    A PU that has emptied its landing space says so to both neighbours by a message of 4 bytes (``flag``, which lands
    at ``credit_at``): only then may they fill it again.
    """

    partial: tuple[int, int]
    landing: tuple[int, int]
    flag: int
    credit_at: int
    turn: int = 0
    credit: list[list[list[Event | None]]] = field(default_factory=list)
    free: list[list[list[Event | None]]] = field(default_factory=list)
    complete: list[list[Event | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Division:
    """How a GEMM whose results are reduced is divided.

    Parameters
    ----------
    operator : int
    plan : GemmPlan
    teams : list of range
        PUs whose columns are computed together: all of them over K.
    depth : list of (int, int), by PU
        First row of the weights and number of rows; none where a PU does not work.
    addresses : list of (int, int), by PU
        Address and row distance of the columns of A for these rows.
    ready : list of lists of Event, by PU
        When they stand.
    """

    operator: int
    plan: GemmPlan
    teams: list[range]
    depth: list[tuple[int, int]]
    addresses: list[tuple[int, int]]
    ready: list[list[Event | None]]


@dataclass(frozen=True)
class PartialChunk:
    """Columns of a GEMM whose partial sums wait for their reduction.

    Parameters
    ----------
    division : Division
    turn : int
        Which of the two spaces holds them.
    start : int
        First column of every owner's share.
    ld : int
        Bytes between rows of the partial sums.
    pieces : list of Piece, by owner
    stands : list of Event, by PU
        When the PU's partial sums are complete.
    told : dict of (int, int) to Event
        Teams: when a worker may send to an owner.
    """

    division: Division
    turn: int
    start: int
    ld: int
    pieces: list[Piece]
    stands: list[Event | None]
    told: dict[tuple[int, int], Event]


def chunk_step(segments: list[Segments], chunks: int, grain: int) -> int:
    """Columns of every owner that one chunk of a GEMM over K reduces."""
    longest = max(width(s) for s in segments)
    return max(grain, -(-longest // (chunks * grain)) * grain)


def reduction_bytes(pus: int, m: int, segments: list[Segments], chunks: int, grain: int, unit: int) -> tuple[int, int]:
    """Bytes of the partial sums and of the landing space of one chunk."""
    step = chunk_step(segments, chunks, unit)
    columns = sum(min(step, width(s)) for s in segments)
    return columns * m * 4, landing_bytes(pus, m, min(step, max(width(s) for s in segments)), grain)
