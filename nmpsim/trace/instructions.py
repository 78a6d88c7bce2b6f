"""Instructions as intervals, from the events of the units, which load serves which use, and who waits for a message.

Units are in order: the k-th instruction that a unit took is the k-th of the program for it, and so is the k-th that it
completed.  A MAC tree has a row for every slice, since each takes and completes every PASS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.core.state import actors_of
from nmpsim.program.isa import ARRAY, F_SUM, FROM, LOAD, MOVE, SEND, STREAM, UNITS, WAITS
from nmpsim.program.program import Program, StreamImage
from nmpsim.program.sums import sums_of
from nmpsim.spec.params import MachineParams

_TYPES = {"pu": "u4", "unit": "u4", "index": "i4", "op": "i4", "operator": "i4", "start": "i8", "end": "i8"}


def _ticks(events: NDArray[np.int64], kind: int) -> NDArray[np.int64]:
    """Ticks of the events of one kind of one unit, one per instruction."""
    chosen = events[events[:, 2] == kind]
    chosen = chosen[np.argsort(chosen[:, 4], kind="stable")]
    return np.repeat(chosen[:, 4], chosen[:, 3])


def instruction_table(
    params: MachineParams,
    program: Program,
    numbers: NDArray[np.int64],
    units: Sequence[Any],
    events: NDArray[np.int64],
    kinds: tuple[int, int],
) -> dict[str, NDArray[Any]]:
    """Return one row per instruction and unit that executed it, sorted by PU, unit and order.

    Parameters
    ----------
    params : MachineParams
    program : Program
    numbers : ndarray of int64, shape (pu, row)
        Unit by PU and row of its log.
    units : sequence of Unit
        The table of units.
    events : ndarray of int64, shape (event, 5)
        PU, row, kind, instructions, tick.
    kinds : (int, int)
        Codes of taken and completed.

    Returns
    -------
    dict of str to ndarray
        ``pu``, ``unit``, ``index`` (in the program of the PU), ``op``, ``operator``, ``start`` (taken; tick) and
        ``end`` (completed; tick).  Instructions that never completed are not in it.
    """
    actors = actors_of(params)
    parts: list[dict[str, Any]] = []
    order = np.lexsort((events[:, 1], events[:, 0]))
    events = events[order]
    for pu, stream in enumerate(program.streams):
        here = events[events[:, 0] == pu]
        for u in range(UNITS):
            index = np.flatnonzero(stream["unit"] == u)
            for row in range(UNITS, UNITS + actors) if u == ARRAY else (u,):
                own = here[here[:, 1] == row]
                start, end = (_ticks(own, kind) for kind in kinds)
                count = min(len(start), len(end), len(index))
                if count == 0:
                    continue
                at = index[:count]
                parts.append(
                    {
                        "pu": np.full(count, pu),
                        "unit": np.full(count, units[int(numbers[pu, row])].number),
                        "index": at,
                        "op": stream["op"][at],
                        "operator": stream["operator"][at],
                        "start": start[:count],
                        "end": end[:count],
                    }
                )
    return {
        name: np.concatenate([part[name] for part in parts] or [np.zeros(0)]).astype(type_)
        for name, type_ in _TYPES.items()
    }


def _uses(program: Program, pu: int) -> NDArray[np.int64]:
    """Pairs (load, use) of indices into the program of a PU; shape (pairs, 2)."""
    stream = program.streams[pu]
    images = {i.row: len(i.tiles) for i in program.images if isinstance(i, StreamImage) and i.pu == pu}
    moves = np.flatnonzero(stream["unit"] == MOVE)
    passes = np.flatnonzero(stream["unit"] == ARRAY)
    streams = moves[stream["op"][moves] == STREAM]
    tiles = np.array([images.get(row, 0) for row in stream["row"][streams].tolist()], np.int64)
    loads = np.repeat(streams, tiles)[: len(passes)]
    pairs = [np.stack([loads, passes[: len(loads)]], axis=1)]
    for number in range(WAITS):
        uses = np.flatnonzero((stream[f"wait{number}"] == MOVE) & (stream[f"count{number}"] > 0))
        last = stream[f"count{number}"][uses] - 1
        uses, last = uses[last < len(moves)], last[last < len(moves)]
        brings = stream["op"][moves[last]] == LOAD
        pairs.append(np.stack([moves[last[brings]], uses[brings]], axis=1))
    return np.concatenate(pairs)


def _received(
    program: Program, ends: NDArray[np.int64], rows: Sequence[NDArray[np.int64]], nodes: int
) -> NDArray[np.int64]:
    """Pairs (SEND, whoever waits for its message) of rows of the table of instructions; shape (pairs, 2).

    The k-th message that a semaphore counts is for the first that waits for k of them or more.  Where messages of
    several PUs are counted by one semaphore, they are numbered in the order in which they were sent: a collective has
    received all of its messages before one that counts by the same semaphore begins to send.  A sum is a message of its
    owner, sent when the last contribution is; whoever waits for it waits for all of these.
    """
    whole = _contributions(program, rows, nodes)
    over = ends.copy()
    for owner, every in whole.items():
        over[owner] = ends[every].max()
    sent: list[NDArray[np.int64]] = []
    waits: list[NDArray[np.int64]] = []
    for pu, (row, stream) in enumerate(zip(rows, program.streams, strict=True)):
        summed = stream["modifiers"] & F_SUM != 0
        elsewhere = summed & (stream["bank"] != pu)
        own = np.flatnonzero((stream["op"] == SEND) & (stream["stack"] == 0) & (row >= 0) & ~elsewhere)
        places = np.maximum(stream["n"][own].astype(np.int64), 1)  # a multicast is for several, the sender among them
        copy = np.arange(int(places.sum())) - np.repeat(np.cumsum(places) - places, places)
        own = np.repeat(own, places)
        to = stream["bank"][own] + copy
        arrives = (to != pu) | summed[own]
        own, to = own[arrives], to[arrives]
        sent.append(np.stack([_semaphore(to, stream["signal"][own]), over[row[own]], row[own]]))
    for pu, (row, stream) in enumerate(zip(rows, program.streams, strict=True)):
        for number in range(WAITS):
            semaphore, count = stream[f"wait{number}"], stream[f"count{number}"]
            own = np.flatnonzero((semaphore >= FROM) & (count > 0) & (row >= 0))
            waits.append(np.stack([_semaphore(pu, semaphore[own]), count[own].astype(np.int64), row[own]]))
    key, end, source = np.concatenate(sent, axis=1)
    order = np.lexsort((end, key))
    key, source = key[order], source[order]
    first = np.concatenate([[True], key[1:] != key[:-1]])[: len(key)]
    nth = np.arange(len(key)) - np.maximum.accumulate(np.where(first, np.arange(len(key)), 0)) + 1
    waiting, count, target = np.concatenate(waits, axis=1)
    order = np.lexsort((target, count, waiting))
    waiting, count, target = waiting[order], count[order], target[order]
    place = np.searchsorted(waiting << 32 | count, key << 32 | nth)
    there = place < len(waiting)
    there[there] = waiting[place[there]] == key[there]
    pairs = np.stack([source[there], target[place[there]]], axis=1)
    others = [np.stack([whole[row], np.full(nodes, to)], axis=1) for row, to in pairs.tolist() if row in whole]
    return np.concatenate([pairs, *others])


def _contributions(program: Program, rows: Sequence[NDArray[np.int64]], nodes: int) -> dict[int, NDArray[np.int64]]:
    """Return, by the row of its owner's contribution, the rows of all contributions to each sum that is complete."""
    found = {}
    for sum_ in sums_of(program.streams, nodes):
        every = np.array([rows[pu][index] for pu, index in sum_.tolist()], np.int64)
        pu, index = sum_[0].tolist()
        if (every >= 0).all():
            found[int(every[int(program.streams[pu]["bank"][index]) % nodes])] = every
    return found


def _semaphore(pu: Any, number: NDArray[Any]) -> NDArray[np.int64]:
    """Return one number for a semaphore of a PU."""
    found: NDArray[np.int64] = np.int64(2**16) * pu + number.astype(np.int64)
    return found


def flow_table(program: Program, instructions: dict[str, NDArray[Any]], nodes: int) -> dict[str, NDArray[np.int64]]:
    """Return which instruction serves which.

    A STREAM the passes that eat its beats, a LOAD whoever waits for it, a SEND whoever waits for its message or for the
    sum that it contributes to.

    Parameters
    ----------
    program : Program
        Passes are matched to streams by the tiles of its images.
    instructions : dict of str to ndarray
        As `instruction_table` returns it.
    nodes : int
        PUs of a die.

    Returns
    -------
    dict of str to ndarray of int64
        ``source`` and ``target``: rows of the table of instructions; the first one of an instruction that several
        units executed.
    """
    pairs = [np.zeros((0, 2), np.int64)]
    rows = []
    for pu, stream in enumerate(program.streams):
        here = np.flatnonzero(instructions["pu"] == pu)
        row = np.full(len(stream), -1, np.int64)
        row[instructions["index"][here[::-1]]] = here[::-1]
        rows.append(row)
        made = row[_uses(program, pu)]
        pairs.append(made[(made >= 0).all(axis=1)])
    pairs.append(_received(program, instructions["end"], rows, nodes))
    flows = np.unique(np.concatenate(pairs), axis=0)
    return {"source": flows[:, 0], "target": flows[:, 1]}
