"""Attention of a PU, item by item: when its array, banks, vector unit and network are through with each.

An item is one turn of one task.  Items of a round first all get their scores, then their values::

    array    [score 0][score 1]      [score 2]          [value 0][value 1]       [value 2]
    vector            [softmax 0][softmax 1]  [softmax 2]        [sum 0]    [sum 1]
    network                                                             [0 sent][1 sent]

    score i     waits for softmax i - 2, whose region it takes; the first for the last sum of the round before
    softmax i   waits for score i, and for all that the round before has sent
    value i     waits for softmax i and for sum i - 2, or until its results have been sent
    sum i       waits for value i; it is none where the only plane is sent as it is

A pass ends with its last beat at the earliest; banks read ahead what the FIFO holds.  Results under way in an array
stand still while the next pass waits for a beat.  An element loop is slowed while the array steps beside it.  The
sequencer hands over in order, and stands behind messages that fill the queue of a port: the scores of the next round
begin when it is past them.

All fields may be arrays over chips of which every one has the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nmpsim.analytic.model.timing.units import SIGNAL, Array

REGIONS = 2
"""Regions of scores, and of results of values (docs/program.md)."""


@dataclass(frozen=True)
class Loop:
    """An element loop of an item.

    Parameters
    ----------
    alone : array
        Its cycles while the array stands.
    beside_scores, beside_values : array
        By how much it is slowed while the array steps.
    """

    alone: Array
    beside_scores: Array
    beside_values: Array


@dataclass(frozen=True)
class Pass:
    """A product of an item.

    Parameters
    ----------
    array, stream : array
        Cycles of the array and of the banks alone.
    lead : array
        Of the array before its first step, if it stood.
    stands : array
        From the last step until the result may be read.
    rest : array
        Of the cycles of the array those after its last beat.
    again : array
        Cycles by which banks that stood with a full FIFO fall behind: a row has to be taken before they open the next.
    """

    array: Array
    stream: Array
    lead: Array
    stands: Array
    rest: Array
    again: Array


@dataclass(frozen=True)
class Items:
    """What every item takes.

    Parameters
    ----------
    score, value : Pass
    softmax, total : tuple of Loop
        Of the vector unit; total: the sum of the planes of a result.
    pipeline : array
        From the last slot of an operation until its result may be used.
    ahead : array
        Cycles of the banks that the FIFO holds.
    first : array
        From the begin until the banks deliver.
    reconfigure : array
        Between scores and values.
    holds : array
        1: all strips wait for the last beat, and with them what is under way in the array; 0: each by itself.
    sent, last : array
        Cycles in which the network takes a result, and those of the last task, which not all PUs have.
    queued : array
        Share of them for which messages stand in the queue of a port: the sequencer is past them.
    """

    score: Pass
    value: Pass
    softmax: tuple[Loop, ...]
    total: tuple[Loop, ...]
    pipeline: Array
    ahead: Array
    first: Array
    reconfigure: Array
    holds: Array
    sent: Array
    last: Array
    queued: Array


@dataclass(frozen=True)
class Ends:
    """When the last score, the last softmax and the last sum of a PU stand, and its last message has left.

    Parameters
    ----------
    scores, softmax, values, sent : array
    """

    scores: Array
    softmax: Array
    values: Array
    sent: Array


SEEN = 4
"""Passes that may step beside an element loop at most: what comes later waits for it."""


Times = tuple[Array, Array, Array, Array]
"""When the last score, softmax and sum of a round stand, and its last message has left."""


class Timeline:
    """Units of a PU, and when each is free.

    Parameters
    ----------
    items : Items
    """

    def __init__(self, items: Items) -> None:
        self.items = items
        single = np.ndim(items.score.array + items.score.stream + items.softmax[0].alone + items.sent) == 0
        self.most: Callable[[Any, Any], Any] = max if single else np.maximum
        self.least: Callable[[Any, Any], Any] = min if single else np.minimum
        self.array: Array = 0.0
        self.lanes: Array = 0.0
        self.network: Array = 0.0
        self.banks: Array = items.first
        self.handed: Array = 0.0
        self.steps: list[tuple[Array, Array, bool]] = []

    def passed(self, what: Pass, ready: Array, stood: list[Array], *, first: bool, values: bool) -> None:
        """Take a pass that may begin once `ready`, and note when its result may be read.

        Parameters
        ----------
        what : Pass
        ready : array
        stood : list of array
            Results of the passes of this kind before it: the last one is still under way in the array, and stands
            still with it while it waits for a beat.
        first : bool
            It has another shape than the one before.
        values : bool
        """
        most, least = self.most, self.least
        free = self.array + what.lead if first else self.array
        start = most(most(free, ready + what.lead), self.handed)
        begun = most(start, self.banks)
        most_ahead = least(self.items.ahead, what.stream)
        ahead = least(most_ahead, begun - self.banks)
        full = (ahead >= self.items.ahead) * 1.0
        read = begun + what.stream - ahead + full * least(what.again, what.stream - ahead)
        last = most(start + what.array - what.rest, read)
        end = last + what.rest
        bound = end - most_ahead * what.array / most(1.0, what.stream)
        waits = (read < start + what.array - what.rest) * 1.0  # the array is the slower one: banks stop at a full FIFO
        self.banks = waits * most(self.banks + what.stream, bound) + (1.0 - waits) * last
        self.array = end
        self.steps = [*self.steps[1 - SEEN :], (start, end, values)]
        if stood:
            waited = most(0.0, last - start - (what.array - what.rest)) * self.items.holds
            moving = most(1.0, last - start - waited)  # waits are spread evenly over the cycles in which it moves
            stood[-1] = stood[-1] + waited * least(1.0, most(0.0, stood[-1] - start) / moving)
        stood.append(end + what.stands)

    def looped(self, loops: Sequence[Loop], ready: Array) -> Array:
        """Take an operation of the vector unit that may begin once `ready`; return when its result may be used.

        Parameters
        ----------
        loops : sequence of Loop
        ready : array
        """
        most, least = self.most, self.least
        now = most(self.lanes, ready)
        for loop in loops:
            left = loop.alone
            for start, end, values in self.steps:
                free = least(left, most(0.0, start - now))
                now, left = now + free, left - free
                slowed = loop.beside_values if values else loop.beside_scores
                beside = least(left, most(0.0, end - now) / slowed * (now >= start))
                now, left = now + beside * slowed, left - beside
            now = now + left
        self.lanes = now
        return now + self.items.pipeline

    def send(self, ready: Array, *, last: bool) -> Array:
        """Send a result that stands; return when its last message has left.

        Parameters
        ----------
        ready : array
        last : bool
            Of the last task.
        """
        takes = self.items.last if last else self.items.sent
        self.network = self.most(self.network, ready) + takes
        self.handed = self.network - takes * self.items.queued
        return self.network

    def round(self, number: int, last: Array, over: Array, *, again: bool, final: int) -> Times:
        """Take a round of items; return when scores, softmax, values and messages are through.

        Parameters
        ----------
        number : int
            Items.
        last, over : array
            When the last sum of the round before stands, and its last message has left.
        again : bool
            There was a round before.
        final : int
            Items of the last task among them.
        """
        items, most = self.items, self.most
        before = most(last, over)
        scored: list[Array] = []
        soft: list[Array] = []
        valued: list[Array] = []
        free: list[Array] = []
        for _ in range(4 * number):
            if len(scored) < number and (len(scored) < REGIONS or len(soft) > len(scored) - REGIONS):
                i = len(scored)
                ready = soft[i - REGIONS] if i >= REGIONS else last
                self.passed(items.score, ready, scored, first=again and i == 0, values=False)
                if i == number - 1:
                    self.array = scored[-1] - SIGNAL + items.reconfigure
            elif len(scored) == number and self._may(len(valued), number, len(soft), len(free)):
                i = len(valued)
                ready = most(soft[i], free[i - REGIONS] if i >= REGIONS else before)
                self.passed(items.value, ready, valued, first=i == 0, values=True)
            elif len(soft) < number:
                soft.append(self.looped(items.softmax, most(scored[len(soft)], before)))
            else:
                last = valued[len(free)]
                last = self.looped(items.total, last) if items.total else last
                over = self.send(last, last=len(free) >= number - final)
                free.append(most(last, over))
        self.array = valued[-1] - SIGNAL + items.reconfigure
        return scored[-1], soft[-1], last, over

    @staticmethod
    def _may(valued: int, number: int, soft: int, free: int) -> bool:
        return valued < number and soft > valued and (valued < REGIONS or free > valued - REGIONS)


def attended(items: Items, rounds: Sequence[int], turns: int) -> Ends:
    """Return when a PU is through with its items.

    Parameters
    ----------
    items : Items
    rounds : sequence of int
        Items of every round.
    turns : int
        Items of a task.
    """
    line = Timeline(items)
    ends: Times = (0.0, 0.0, 0.0, 0.0)
    for number, count in enumerate(rounds):
        ends = line.round(count, ends[2], ends[3], again=number > 0, final=turns * (number == len(rounds) - 1))
    return Ends(*ends)
