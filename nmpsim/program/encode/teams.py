"""Teams: neighbouring PUs that compute the columns of all of them together, and hand them to their owners.

16 PUs in teams of 4 of which 2 work, A whole on every PU::

    PU            0        1        2        3      |  4 ...
    weights       columns of 0..3            same   |
                  upper K           lower K         |
    hands over    to 1 2 3          to 0 1 3        |
    adds, consumes own columns on every PU          |

With all members at work this is a grid over N and K, with one it is an operator on a group of the PUs.

A worker sends each owner its part of the sums as one message, into a slot of the owner's landing space; it may do so
once the owner has said, by a word, that the slot is empty.  An owner that works adds the others' parts to its own, in
the order of their PUs; one that does not adds them to the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nmpsim.program.encode.emitter import Emitter, Event
from nmpsim.program.isa import F_OUT_FP32, V_ADD

WORD = 4
"""Bytes of a word that says something by its arrival."""


@dataclass
class TeamSpace:
    """Buffer space of what teams hand over, two landing spaces used in turn.

    Parameters
    ----------
    landing : (int, int)
        Slots for the parts of the workers.
    words : int
        A word per PU, written by that PU when a slot is empty.
    flag : int
        A word that has been written and is only read.
    mark : int
        A word that nobody reads.
    emptied : list of lists of Event, by turn and PU
        When the PU has read what has landed last; None: nothing has.
    """

    landing: tuple[int, int]
    words: int
    flag: int
    mark: int
    emptied: list[list[Event | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Sums:
    """Where an owner's sums stand: FP32 [m, own columns]."""

    address: int
    ld: int
    ready: Event


def workers(team: int, working: int) -> list[int]:
    """Members of a team that have weights, by their place in it: spread evenly."""
    return [i * team // working for i in range(working)]


def teams(pus: int, team: int) -> list[range]:
    """PUs of every team."""
    return [range(first, first + team) for first in range(0, pus, team)]


def landing_bytes(m: int, columns: int, team: int, working: int) -> int:
    """Bytes of a landing space for owners of at most so many columns."""
    return (working if team > working else working - 1) * m * columns * 4


def promise(
    out: Emitter, space: TeamSpace, turn: int, pairs: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], Event]:
    """Let every owner tell its workers that its landing space is empty.

    Parameters
    ----------
    out : Emitter
    space : TeamSpace
    turn : int
        Which landing space.
    pairs : sequence of (int, int)
        Workers and owners.

    Returns
    -------
    dict of (int, int) to Event
        When a worker may send to an owner; nothing where nothing has landed yet.
    """
    told = {}
    for worker, owner in pairs:
        emptied = space.emptied[turn][owner]
        if emptied is not None:
            target = space.words + owner * WORD
            _, told[worker, owner] = out.send(owner, worker, [emptied], size=WORD, source=space.flag, target=target)
    return told


def hand_over(
    out: Emitter,
    m: int,
    partial: int,
    ld: int,
    landing: int,
    members: range,
    working: list[int],
    pieces: dict[int, tuple[int, int]],
    stands: list[Event | None],
    told: dict[tuple[int, int], Event],
) -> dict[int, Sums]:
    """Bring the sums of a team to their owners.

    Parameters
    ----------
    out : Emitter
    m : int
        Rows.
    partial, ld : int
        FP32 partial sums [m, columns of the team] of every worker, and bytes per row.
    landing : int
        Landing space of every PU.
    members : range
        PUs of the team.
    working : list of int
        Those that have partial sums.
    pieces : dict of int to (int, int)
        First column and number of every owner, among those of the team.
    stands : list of Event, by PU
        When a worker's partial sums stand.
    told : dict of (int, int) to Event
        From `promise`.

    Returns
    -------
    dict of int to Sums
        By owner.
    """
    landed: dict[int, list[tuple[int, Event]]] = {owner: [] for owner in pieces}
    for distance in range(1, len(members)):
        for worker in working:
            owner = members[(worker - members[0] + distance) % len(members)]
            if owner not in pieces:
                continue
            start, columns = pieces[owner]
            others = [w for w in working if w != owner]
            slot = landing + others.index(worker) * m * columns * 4
            _, there = out.send(
                worker,
                owner,
                [stands[worker], told.get((worker, owner))],
                rows=m,
                size=columns * 4,
                source=partial + start * 4,
                source_ld=ld,
                target=slot,
                target_ld=columns * 4,
            )
            landed[owner].append((slot, there))
    sums = {}
    for owner, (start, columns) in pieces.items():
        parts = sorted(landed[owner])
        own = stands[owner]
        if owner in working:
            assert own is not None
            sums[owner] = Sums(partial + start * 4, ld, own)
        else:
            first, there = parts.pop(0)
            sums[owner] = Sums(first, columns * 4, there)
        for slot, there in parts:
            at = sums[owner]
            added = out.vector(
                owner,
                V_ADD,
                m,
                columns,
                [there, at.ready],
                a=slot,
                a_ld=columns * 4,
                b=at.address,
                b_ld=at.ld,
                out=at.address,
                out_ld=at.ld,
                modifiers=F_OUT_FP32,
            )
            sums[owner] = Sums(at.address, at.ld, added)
    return sums
