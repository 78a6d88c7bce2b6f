"""Time of attention: scores, softmax and values of the tasks of the busiest PU, overlapped by dependence.

    array    [score 0][score 1]  [score 2] ... [value 0][value 1] ...
    vector            [softmax 0][softmax 1]            [add 0]   ...

A score waits for the softmax before the last (two regions), a value for its softmax and for the sum before the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from nmpsim.analytic.model.timing.gemms import Loop, copied, refresh_wait
from nmpsim.analytic.model.timing.spent import Time, chosen
from nmpsim.analytic.model.timing.timeline import Ends, Items, Pass, attended
from nmpsim.analytic.model.timing.timeline import Loop as Beside
from nmpsim.analytic.model.timing.units import (
    FP16,
    FP32,
    SIGNAL,
    Array,
    Passes,
    Streaming,
    held_up,
    passes,
    slots,
    up,
    waited,
)


@dataclass(frozen=True)
class Tasks:
    """Attention of one layer on the busiest PU.

    Parameters
    ----------
    own : array
        Tasks of the PU: one sequence, one KV head, one part each.
    together : array
        Of which scores come before the first value.
    turns : array
        In which the heads of a task go.
    rows : array
        Query heads of a turn.
    tokens : array
        Of a part.
    key, value : array
        Columns of a cached key and value.
    score, value_shape : (int, array, int, int)
        Flow, group, split, contiguous.
    packed : float
        Beats of the DRAM per beat of the array.
    written : int
        Bytes of an element of a result.
    direct : bool
        Results of one plane go as they are.
    stored : bool
        New keys and values are stored before.
    """

    own: Array
    together: Array
    turns: Array
    rows: Array
    tokens: Array
    key: Array
    value: Array
    score: tuple[int, Array, int, int]
    value_shape: tuple[int, Array, int, int]
    packed: float
    written: int = FP16
    direct: bool = False
    stored: bool = True


@dataclass(frozen=True)
class Returned:
    """How results come to where parts are added up.

    Parameters
    ----------
    each, last : array
        Cycles in which the network takes those of an item, and of an item of the last task.
    queued : array
        Share of them for which messages stand in the queue of a port.
    alone : array
        Cycles of the results of an item if no other PU sends.
    way : array
        From the last one sent to its arrival.
    combined : Time
        Of adding up at the end.
    """

    each: Array
    last: Array
    queued: Array
    alone: Array
    way: Array
    combined: Time


def _pass(p: Any, s: Streaming, unit: Passes, packed: float, number: Array, after: Array) -> Pass:
    """A product on array and banks, one of so many; `after` its drain it is brought to where it is read."""
    rows = up(unit.beats * packed, p.dram.columns)
    array = unit.cycles * (1 + refresh_wait(p, s, unit.cycles, unit.beats, unit.lead))
    taken = unit.pace * p.dram.columns / packed
    column = p.dram_period / p.core_period  # the last beat of a row follows its first one, a column a cycle
    again = np.maximum(0.0, taken + s.first + p.dram.columns * column - s.row)
    return Pass(array, s.of(rows * number) / number, unit.lead, unit.drain + after + SIGNAL, unit.rest + 0.0, again)


def _items(p: Any, s: Streaming, t: Tasks, returned: Returned) -> Items:
    """What a turn of a task takes of every unit."""
    core = p.core
    score = passes(p, t.score, t.rows, t.tokens, t.key)
    value = passes(p, t.value_shape, t.rows, t.value, t.tokens)
    number = np.minimum(t.own, t.together) * t.turns
    scores = _pass(p, s, score, t.packed, number, copied(p, t.rows * t.tokens * FP32))
    values = _pass(p, s, value, t.packed, number, copied(p, value.planes * t.rows * t.value * FP32))
    busy = (values.array - values.rest) / np.maximum(1.0, np.maximum(values.array, values.stream))
    soft = (Loop(1.0, FP32, 0), Loop(1.0, FP32, FP16, 0, core.exp_interval))
    softmax = tuple(
        Beside(
            loop.slots(p, t.rows, t.tokens, 1), waited(p, score, loop.read, loop.write),
            held_up(p, value, busy, FP32, loop.interval),
        )
        for loop in soft
    )  # fmt: skip
    divide = Loop(1.0, FP32, t.written)
    read = FP32 * value.planes
    added = np.where(np.asarray(t.direct) & (value.planes == 1), 0.0, 1.0)  # the only plane goes as it is
    total = (
        Beside(added * slots(p, t.rows, 0, 0, core.sqrt_interval), 1.0, 1.0),
        Beside(added * divide.slots(p, t.rows, t.value, value.planes), 1.0, held_up(p, value, busy, read)),
    )
    column = p.dram_period / p.core_period  # a row has arrived with its last beat, long before the next may be opened
    first = s.first - np.maximum(0.0, s.row - p.dram.columns * column) + (s.write - s.stored) * t.stored
    holds = np.where(np.asarray(core.kind) > 0, 0.0, 1.0)
    return Items(
        scores, values, softmax, total, core.vector_latency + SIGNAL, p.dram.fifo_columns / p.dram.columns * s.row,
        first, core.reconfigure, holds, returned.each, returned.last, returned.queued,
    )  # fmt: skip


def attention(p: Any, s: Streaming, t: Tasks, returned: Returned) -> tuple[Time, Time, Time]:
    """Return the times of scores, softmax and values: by how much each moves the end.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    t : Tasks
    returned : Returned
        How results come to where they belong.
    """
    items = _items(p, s, t, returned)
    ends = _ends(items, t)
    number, rounds = t.own * t.turns, up(t.own, t.together)
    mine = number / rounds  # of the last round
    lanes, total = (sum(loop.alone for loop in loops) for loops in (items.softmax, items.total))
    stands, over = ends.softmax - SIGNAL, np.maximum(ends.values, ends.sent + returned.way)
    # where results go to all, the last PU begins its last scores when the others have sent nearly all of theirs
    passing = mine * np.maximum(items.value.array, items.value.stream) + items.value.stands + total + returned.way
    late = np.maximum(0.0, over - stands - passing - mine * returned.alone) * (np.asarray(t.direct) & (rounds > 1))
    scored = np.where(late > 0, stands + late - lanes - p.core.vector_latency, ends.scores)
    stands = stands + late
    before = number - mine
    scores = _split(
        scored, before * returned.each + late,
        ("stream", number * items.score.stream + before * items.value.stream),
        ("array", number * items.score.array + before * items.value.array),
        ("vector", (np.minimum(t.own, t.together) * t.turns - 1) * lanes),
    )  # fmt: skip
    soft = np.maximum(0.0, stands - scored)
    values = _split(
        np.maximum(0.0, over - np.maximum(scored, stands)), returned.last + (mine - 1) * returned.each,
        ("stream", mine * items.value.stream), ("array", mine * items.value.array), ("vector", mine * total),
    )  # fmt: skip
    lag = np.minimum(soft, p.core.vector_latency)
    return scores, Time(vector=soft - lag, latency=lag), values + returned.combined


def _split(cycles: Array, network: Array, *pairs: tuple[str, Array]) -> Time:
    """Tell the units apart on which cycles are spent: the busiest one, the network, and what waits for neither."""
    found = chosen(*((unit, np.minimum(busy, cycles)) for unit, busy in pairs))
    sent = np.minimum(network, cycles - found.cycles)
    return found + Time(network=sent, latency=cycles - found.cycles - sent)


def _ends(items: Items, t: Tasks) -> Ends:
    """The ends of the busiest PU; chips with the same rounds at once."""
    numbers = t.own, t.together, t.turns
    shape = np.broadcast_shapes(*(np.shape(x) for x in (*numbers, *_leaves(items))))
    if not shape:
        own, together, turns = (int(x) for x in numbers)
        return attended(_each(items, float), rounds_of(own, together, turns), turns)
    spread = np.stack([np.broadcast_to(x, shape) for x in numbers], axis=-1).astype(np.int64)
    found = [np.zeros(shape) for _ in fields(Ends)]
    for own, together, turns in np.unique(spread.reshape(-1, 3), axis=0).tolist():
        here = (spread == (own, together, turns)).all(axis=-1)
        some = _each(items, _Some(shape, here))
        ends = attended(some, rounds_of(own, together, turns), turns)
        for whole, field in zip(found, fields(Ends), strict=True):
            whole[here] = getattr(ends, field.name)
    return Ends(*found)


@dataclass(frozen=True)
class _Some:
    """Takes of an array over chips what belongs to some of them."""

    shape: tuple[int, ...]
    here: Any

    def __call__(self, value: Array) -> Array:
        return np.broadcast_to(value, self.shape)[self.here]


def rounds_of(own: int, together: int, turns: int) -> tuple[int, ...]:
    """Return the items of every round.

    Parameters
    ----------
    own, together, turns : int
        Tasks, tasks of a round, items of a task.
    """
    return tuple(min(together, own - first) * turns for first in range(0, own, together))


def _each(items: Any, change: Callable[[Any], Any]) -> Any:
    """The same dataclass with every number in it changed."""
    if isinstance(items, tuple):
        return tuple(_each(x, change) for x in items)
    if is_dataclass(items) and not isinstance(items, type):
        return replace(items, **{f.name: _each(getattr(items, f.name), change) for f in fields(items)})
    return change(items)


def _leaves(items: Items) -> list[Array]:
    found: list[Array] = []
    _each(items, found.append)
    return found
