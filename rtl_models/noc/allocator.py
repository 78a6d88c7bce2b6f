"""Round-robin arbiter and iSLIP allocator, one iteration (McKeown, IEEE/ACM Transactions on Networking 7(2), 1999).

    requests [row, column] --> [grant: per column the first row from its turn on]
                           --> [accept: per row the first granting column from its turn on] --> matches [row, column]
                                     ^                                                              |
                                     +--------- turns of both move behind a pair that matched ------+

Turns are one-hot registers that begin at place 0, and stay where no pair matched: a grant that is not accepted moves
nothing.  Matches belong to the cycle of the requests, new turns to the next one.

Rows 0 and 1 both ask for columns 0 and 1 in every cycle::

    cycle   0    1    2    3
    row 0   0    1    0    1
    row 1        0    1    0
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import TypeAlias

import pyrtl

Wire: TypeAlias = pyrtl.WireVector


def first_from(asked: Wire, turn: Wire) -> Wire:
    """Return the first bit of `asked` that is set, from the one of `turn` on and around, as one bit of a word.

    Parameters
    ----------
    asked : WireVector
    turn : WireVector
        One bit is set, of as many.
    """
    twice = pyrtl.concat(asked, asked)
    first = twice & ~(twice - turn).truncate(len(twice))  # the borrow runs up to the first bit that is set
    return first[: len(asked)] | first[len(asked) :]


def behind(place: Wire) -> Wire:
    """Return the place after one, around the end; both one-hot."""
    return pyrtl.concat(place[:-1], place[-1]) if len(place) > 1 else place


def next_turn(turn: Wire, winner: Wire) -> Wire:
    """Return the turn after a cycle: behind the winner, or where it is if there is none."""
    return pyrtl.select(pyrtl.or_all_bits(winner), behind(winner), turn)


def any_of(words: Sequence[Wire]) -> Wire:
    """Return the bits that are set in one word at least, all of one width."""
    return reduce(or_, words)


def transposed(rows: Sequence[Wire]) -> list[Wire]:
    """Return the columns of a matrix of bits given by rows, bit 0 first."""
    return [pyrtl.concat_list([row[column] for row in rows]) for column in range(len(rows[0]))]


def turn_register(places: int, name: str) -> pyrtl.Register:
    """Return a one-hot register that begins at place 0."""
    return pyrtl.Register(places, name, reset_value=1)


def islip(requests: Sequence[Wire], name: str) -> list[Wire]:
    """Return the matches of each row, at most one bit set in each row and column; make and connect the turns.

    Parameters
    ----------
    requests : sequence of WireVector
        Per row the columns that it asks for.
    name : str
        Registers are `name` + ``_grant_turn`` + column, and ``_accept_turn`` + row.
    """
    columns = transposed(requests)
    grant_turns = [turn_register(len(requests), f"{name}_grant_turn{n}") for n in range(len(columns))]
    accept_turns = [turn_register(len(columns), f"{name}_accept_turn{n}") for n in range(len(requests))]
    grants = [first_from(asked, turn) for asked, turn in zip(columns, grant_turns, strict=True)]
    matches = [first_from(granted, turn) for granted, turn in zip(transposed(grants), accept_turns, strict=True)]
    for turn, match in zip(accept_turns, matches, strict=True):
        turn.next <<= next_turn(turn, match)
    for turn, winner in zip(grant_turns, transposed(matches), strict=True):
        turn.next <<= next_turn(turn, winner)
    return matches
