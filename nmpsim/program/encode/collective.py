"""Collectives of the plain schedule, as messages between neighbours on the ring, or as multicasts and sums of routers.

All-gather by messages: every PU passes on what it received, in both directions at once::

    step      1        2        3
    PU 2 cw   own      from 1   from 0      (to PU 3)
    PU 2 ccw  own      from 3   from 4      (to PU 1)

By multicast, where routers copy and every PU has something to send: each sends it once, half of it by each port, and
one of two shared semaphores counts what has come from anywhere.  Who sends again has got everything of the time before,
so what arrives for the next but one cannot be taken for this one.  A PU that sends nothing would break that.

Reduce-scatter by messages: a piece for owner q starts at q's far neighbour and collects a partial sum at every PU on
its way.  Where the routers add, every PU sends its part of each piece once, half of it by each port, and the sum comes
to the owner.  All send for the owners in one order, the ports half a die apart, so that they use different links.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.program.encode.emitter import Emitter, Event
from nmpsim.program.isa import F_OUT_FP32, V_ADD


@dataclass(frozen=True)
class Region:
    """Rows of a buffer: address, rows, bytes of a row, bytes from row to row."""

    address: int
    rows: int
    size: int
    ld: int


Waits = list[Event]


def all_gather(out: Emitter, regions: list[list[Region]], ready: list[list[Event | None]]) -> list[Waits]:
    """Bring every PU's regions to the same addresses of all other PUs.

    Parameters
    ----------
    out : Emitter
    regions : list of lists of Region, by PU
        What each PU contributes.
    ready : list of lists of Event, by PU
        When it stands in the PU's own buffer.

    Returns
    -------
    list of lists of Event, by PU
        When all the others' regions stand in the PU's buffer.
    """
    pus = out.pus
    if _copies(out) and all(regions):
        return _by_multicast(out, regions, ready, out.gather_turn())
    done: list[dict[int, int]] = [{} for _ in range(pus)]
    for direction, hops in ((0, pus // 2), (1, (pus - 1) // 2)):
        turn = -1 if direction else 1
        came: list[Event | None] = [None] * pus
        for step in range(hops):
            nxt: list[Event | None] = [None] * pus
            for pu in range(pus):
                owner = (pu - turn * step) % pus
                to = (pu + turn) % pus
                waits = ready[pu] if step == 0 else [came[pu]]
                for region in regions[owner]:
                    _, there = out.send(
                        pu,
                        to,
                        waits,
                        direction=direction,
                        rows=region.rows,
                        size=region.size,
                        source=region.address,
                        source_ld=region.ld,
                        target=region.address,
                        target_ld=region.ld,
                    )
                    nxt[to] = there
                if not regions[owner]:
                    nxt[to] = None
            for pu in range(pus):
                event = nxt[pu]
                if event is not None:
                    done[pu][event.semaphore] = event.value
                came[pu] = event
    return [[Event(s, c) for s, c in sorted(d.items())] for d in done]


def _copies(out: Emitter) -> bool:
    """Return whether the routers of the die copy."""
    return out.params.noc.multicast_lanes > 0 and out.pus > 1


def _halves(region: Region, flit_bytes: int, first: int) -> list[tuple[int, Region]]:
    """Cut a region into parts for the two network ports: rows if there are several, else whole flits."""
    if region.rows > 1:
        top = -(-region.rows // 2)
        rest = Region(region.address + top * region.ld, region.rows - top, region.size, region.ld)
        return [(first, Region(region.address, top, region.size, region.ld)), (1 - first, rest)]
    if region.size > flit_bytes:
        left = -(-region.size // (2 * flit_bytes)) * flit_bytes
        rest = Region(region.address + left, 1, region.size - left, region.ld)
        return [(first, Region(region.address, 1, left, region.ld)), (1 - first, rest)]
    return [(first, region)]


def _by_multicast(
    out: Emitter, regions: list[list[Region]], ready: list[list[Event | None]], common: int
) -> list[Waits]:
    """Bring every PU's regions to the same addresses of all others, by one multicast each and port."""
    before = [out.arrived(pu, common) for pu in range(out.pus)]
    for pu in range(out.pus):
        for n, region in enumerate(regions[pu]):
            for port, part in _halves(region, out.params.noc.flit_bytes, (pu + n) % 2):
                out.multicast(
                    pu,
                    ready[pu],
                    port=port,
                    common=common,
                    rows=part.rows,
                    size=part.size,
                    place=part.address,
                    ld=part.ld,
                )
    after = [out.arrived(pu, common) for pu in range(out.pus)]
    return [[now] if now != then else [] for then, now in zip(before, after, strict=True)]


def to_all(out: Emitter, region: list[Region], ready: list[list[Event | None]], common: int) -> list[Waits]:
    """Send one small region of every PU straight to all others; counted by a shared semaphore.

    Returns
    -------
    list of lists of Event, by PU
        When all the others' regions stand in the PU's buffer.
    """
    pus = out.pus
    if _copies(out):
        return _by_multicast(out, [[piece] for piece in region], ready, common)
    there: list[Waits] = [[] for _ in range(pus)]
    for distance in range(1, pus):
        for pu in range(pus):
            to = (pu + distance) % pus
            piece = region[pu]
            _, event = out.send(
                pu,
                to,
                ready[pu],
                common=common,
                rows=piece.rows,
                size=piece.size,
                source=piece.address,
                source_ld=piece.ld,
                target=piece.address,
                target_ld=piece.ld,
            )
            there[to] = [event]
    return there


def adds(out: Emitter) -> bool:
    """Return whether the routers of the die add."""
    return out.params.noc.sum_lanes > 0 and out.pus > 1


def owners_in_turn(out: Emitter, flits: int) -> list[int]:
    """Return all PUs in the order in which sums are made for them by port 0.

    A contribution that fits into the buffer of a lane of the routers lets the next one pass: then one of every lane,
    and the next of each.  A longer one does not: then neighbours, whose sums go almost the same ways.

    Parameters
    ----------
    out : Emitter
    flits : int
        Of the longest contribution.
    """
    noc = out.params.noc
    if flits > noc.buffer_flits:
        return list(range(out.pus))
    first: dict[int, int] = {}
    return sorted(range(out.pus), key=lambda pu: (pu - first.setdefault(pu * noc.sum_lanes // noc.nodes, pu), pu))


@dataclass(frozen=True)
class Piece:
    """Columns of a partial-sum buffer that belong to one owner: first column and number."""

    start: int
    columns: int


def reduce_scatter(
    out: Emitter,
    m: int,
    partial: int,
    partial_ld: int,
    landing: int,
    pieces: list[Piece],
    ready: list[list[Event | None]],
    credit: list[list[Event | None]],
    grain: int,
) -> list[list[Event | None]]:
    """Add the partial sums of all PUs; every owner ends with the whole sum of its piece, in place, in FP32.

    Parameters
    ----------
    out : Emitter
    m : int
        Rows.
    partial, partial_ld : int
        FP32 partial sums [m, all pieces] at the same address of every PU, and bytes per row.
    landing : int
        Landing space: ``2 * (pus - 1)`` slots of m rows of the widest half piece.
    pieces : list of Piece, by owner
    ready : list of lists of Event, by PU
        When the PU's partial sums stand.
    credit : list of lists of Event, by direction and PU
        When the neighbour in that direction has emptied its landing space.
    grain : int
        Columns that fill one flit; pieces are halved at multiples of it.

    Returns
    -------
    list of lists of Event, by PU
        When the owner's sum is complete.
    """
    pus = out.pus
    halves = [-(-p.columns // (2 * grain)) * grain if p.columns > grain else p.columns for p in pieces]
    widest = max(max(h, p.columns - h) for h, p in zip(halves, pieces, strict=True))
    before = [[list(r) for r in ready] for _ in range(2)]
    for step in range(1, pus):
        for direction in (0, 1):
            turn = -1 if direction else 1
            after: list[list[Event | None]] = [list(r) for r in ready]
            slot = landing + (direction * (pus - 1) + step - 1) * m * widest * 4
            for pu in range(pus):
                owner = (pu - turn * step) % pus
                to = (pu + turn) % pus
                piece = pieces[owner]
                start = piece.start + (halves[owner] if direction else 0)
                width = piece.columns - halves[owner] if direction else halves[owner]
                if width == 0:
                    continue
                own = partial + start * 4
                _, there = out.send(
                    pu,
                    to,
                    [*before[direction][pu], credit[direction][pu]],
                    direction=direction,
                    rows=m,
                    size=width * 4,
                    source=own,
                    source_ld=partial_ld,
                    target=slot,
                    target_ld=width * 4,
                )
                added = out.vector(
                    to,
                    V_ADD,
                    m,
                    width,
                    [there, *ready[to]],
                    a=slot,
                    a_ld=width * 4,
                    b=own,
                    b_ld=partial_ld,
                    out=own,
                    out_ld=partial_ld,
                    modifiers=F_OUT_FP32,
                )
                after[to] = [added]
            before[direction] = after
    return [[*a, *b] for a, b in zip(*before, strict=True)]


def sum_scatter(
    out: Emitter,
    m: int,
    partial: int,
    partial_ld: int,
    pieces: list[Piece],
    ready: list[list[Event | None]],
    grain: int,
    common: int,
) -> list[Event | None]:
    """Let the routers add the partial sums of all PUs; every owner ends with the whole sum of its piece, as above.

    Parameters
    ----------
    out : Emitter
    m : int
        Rows.
    partial, partial_ld : int
        FP32 partial sums [m, all pieces] at the same address of every PU, and bytes per row.
    pieces : list of Piece, by owner
    ready : list of lists of Event, by PU
        When the PU's partial sums stand.
    grain : int
        Columns that fill one flit; pieces are halved at multiples of it.
    common : int
        Index of the shared semaphore that counts the sums.

    Returns
    -------
    list of Event, by PU
        When the owner's sum is complete; None if it has no columns.
    """
    halves = [-(-p.columns // (2 * grain)) * grain if p.columns > grain else p.columns for p in pieces]
    longest = m * -(-max(halves) // grain)
    for first in owners_in_turn(out, longest):
        for port in (0, 1):
            owner = (first + port * (out.pus // 2)) % out.pus
            piece, half = pieces[owner], halves[owner]
            is_second = (owner + port) % 2
            width = piece.columns - half if is_second else half
            if width:
                out.add_up(
                    owner,
                    ready,
                    port=port,
                    common=common,
                    rows=m,
                    size=width * 4,
                    place=partial + (piece.start + (half if is_second else 0)) * 4,
                    ld=partial_ld,
                )
    return [out.arrived(pu, common) if piece.columns else None for pu, piece in enumerate(pieces)]


def landing_bytes(pus: int, m: int, widest_piece: int, grain: int) -> int:
    """Bytes of the landing space of one `reduce_scatter`."""
    half = max(-(-widest_piece // (2 * grain)) * grain, widest_piece // 2) if widest_piece > grain else widest_piece
    return 2 * max(pus - 1, 0) * m * half * 4
