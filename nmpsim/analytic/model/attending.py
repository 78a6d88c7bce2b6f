"""Time of attention: scores, softmax and values of the tasks of the busiest PU, overlapped by dependence.

    array    [score 0][score 1]  [score 2] ... [value 0][value 1] ...
    vector            [softmax 0][softmax 1]            [add 0]   ...

A score waits for the softmax before the last (two regions), a value for its softmax and for the sum before the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nmpsim.analytic.model.gemms import REGIONS, Loop, copied, refresh_wait, vector_slots
from nmpsim.analytic.model.spent import Time, chosen
from nmpsim.analytic.model.units import (
    FP16,
    FP32,
    SIGNAL,
    Array,
    Passes,
    Streaming,
    flits,
    flow,
    held_up,
    passes,
    slots,
    up,
    way,
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


def _fed(p: Any, s: Streaming, unit: Passes, packed: float, number: Array) -> tuple[Array, Array]:
    """Cycles of a product on the array, and of its stream, one of so many."""
    rows = up(unit.beats * packed, p.dram.columns)
    return unit.cycles * (1 + refresh_wait(p, s, unit.cycles, unit.beats, unit.lead)), s.of(rows * number) / number


def attention(p: Any, s: Streaming, t: Tasks, returned: Time, combined: Time) -> tuple[Time, Time, Time]:
    """Return the times of scores, softmax and values.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    t : Tasks
    returned : Time
        Of bringing all results to where they belong: after every round of tasks its part of them.
    combined : Time
        Of adding parts up at the end.
    """
    core = p.core
    latency = core.vector_latency
    score = passes(p, t.score, t.rows, t.tokens, t.key)
    value = passes(p, t.value_shape, t.rows, t.value, t.tokens)
    rounds = up(t.own, t.together)
    number = np.minimum(t.own, t.together) * t.turns
    scored, keys = _fed(p, s, score, t.packed, number)
    valued, values = _fed(p, s, value, t.packed, number)
    soft = (Loop(1.0, FP32, 0), Loop(1.0, FP32, FP16, 0, core.exp_interval))
    soften = vector_slots(p, soft, t.rows, t.tokens, score, beside=False)
    beside = vector_slots(p, soft, t.rows, t.tokens, score)
    out = (Loop(1.0, FP32, t.written),)
    adding = slots(p, t.rows, 0, 0, core.sqrt_interval) + vector_slots(p, out, t.rows, t.value, value, beside=False)
    finish = np.where(np.asarray(t.direct) & (value.planes == 1), 0.0, adding)
    crossed = copied(p, t.rows * t.tokens * FP32)
    crossed_out = copied(p, value.planes * t.rows * t.value * FP32)
    again = np.maximum(0, number - 1)

    def phase(unit: Passes, array: Array, stream: Array, lanes: Array, after: Array) -> Time:
        turn = (array + unit.drain + after + lanes + latency + SIGNAL) / REGIONS
        turns = np.where(number > REGIONS, again * turn, 0.0)
        one = chosen(("stream", stream), ("array", array))
        rest = chosen(
            ("stream", again * stream), ("array", again * array), ("vector", again * lanes), ("latency", turns)
        )
        return one + rest + Time(latency=unit.lead + unit.drain + after + SIGNAL)

    scores = phase(score, scored, keys, beside, crossed) + Time(latency=s.first + s.write * t.stored)
    late = np.where(number > 1, np.maximum(0.0, beside - scored - score.drain), 0.0)  # of the softmax before the last
    late = np.minimum(late, scores.vector)
    scores = replace(scores, vector=scores.vector - late)
    longest = np.maximum(valued, values)
    busy = valued / np.maximum(1.0, longest)
    slowed = sum(
        vector_slots(p, (loop,), t.rows, t.tokens, score, beside=False) * held_up(p, value, busy, FP32, loop.interval)
        for loop in soft
    )
    slowed = np.minimum(slowed, soften + np.minimum(again, REGIONS) * longest)
    softmax = Time(vector=np.where(number > 1, slowed, soften) + late, latency=latency)
    kept = np.minimum(values, p.dram.fifo_columns / p.dram.columns * s.row)
    valuing = phase(value, valued, values, finish, crossed_out)
    hidden = np.where(number > 1, np.minimum(softmax.cycles, again * np.maximum(valued, values)), 0.0)
    ahead = kept + hidden
    part = np.maximum(0.0, 1 - ahead / np.maximum(1.0, valuing.cycles))
    ended = valuing.times(part) + Time(latency=core.reconfigure * (number > 1)) + Time(vector=finish, latency=latency)
    each = returned.times(1 / rounds)
    whole = scores + softmax + ended + each + Time(latency=core.reconfigure + 0.0)
    return whole.times(rounds - 1) + scores, softmax, ended + each + combined


def brought(p: Any, messages: Array, rows: Array, size: Array, hops: Array, crossing: Array = 0.0) -> Time:
    """Return the time until the results of tasks have arrived where they are added up.

    Parameters
    ----------
    p : MachineParams or many
    messages : array
        That a PU gets, by two ports.
    rows, size : array
        Rows of each, and bytes of a row.
    hops : array
        Links on the way.
    crossing : array
        Network cycles that a flit takes of the link to its receiver, if all send to one at a time; else 0.
    """
    count = flits(p, rows, size)
    some = np.minimum(1, messages)
    ports = np.maximum(messages * 0.5, some) * flow(p)
    links = messages * crossing * p.noc_period / p.core_period
    return Time(network=np.maximum(ports, links) * count, latency=some * way(p, hops))
