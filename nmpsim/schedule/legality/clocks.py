"""What is certain to have happened when an instruction starts, whatever the times: vector clocks over the units.

Certain are, and nothing else:

* an instruction starts after the one before it in its queue has started; a SEND after the one before has completed;
* instructions of a unit complete in their order;
* a wait on a unit's semaphore: so many of its instructions have completed;
* a wait on an arrival semaphore: so many messages have arrived; those of one source, direction and destination arrive
  in their order, multicasts and others each for themselves;
* a message arrives after its SEND has completed, a multicast at each destination on its own, a sum after all of its
  contributions have;
* a PASS completes after the STREAM that brings its beats has started.

A shared semaphore counts messages from anywhere.  A wait for `count` of them assures one of them only if `count` can
not be reached without it, that is if fewer than `count` others can have arrived by then.  Which ones can depends on
the other waits: they are first all taken to mean the messages that one execution had seen, then each is examined, what
is not assured is dropped, and so on until all that is left is assured.  This is sound: if some wait were met too soon
in some execution, look at the first such wait; all waits before it meant what is assumed, and the reasons for which
the other messages come later have already held.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import FROM, PASS, SEND, SEND_0, UNITS, WAITS, shared
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.schedule.legality.order import Order

Clock = NDArray[np.int32]
"""Per chain of events, how many of them have happened."""


class Clocks:
    """Clocks of all instructions of a program that comes to its end.

    A clock has an entry for the starts of every unit, one for its completions, and one for the arrivals of every
    (source, direction, destination), multicasts apart.  A message is a SEND and one of its destinations; that of a sum
    is the contribution of its owner.

    Parameters
    ----------
    listing : Listing
    order : Order
        A complete execution.
    source : ndarray of int64
        STREAM of every PASS.

    Attributes
    ----------
    start : ndarray of int32, shape (instruction, chain)
        What is certain when the instruction starts.
    ordinal : ndarray of int64
        Number of the instruction in its unit, from 1.
    completion : ndarray of int64
        Chain of the completions of its unit.
    message : dict of (int, int) to int
        Number of a message, by SEND and destination.
    send : ndarray of int64
        SEND of every message.
    arrival : ndarray of int64
        Chain of the arrivals of a message.
    arrival_ordinal : ndarray of int64
        Number of the message in that chain, from 1.
    """

    def __init__(self, listing: Listing, order: Order, source: Indices) -> None:
        self.listing, self.order = listing, order
        self.source = dict(zip(listing.of_op(PASS).tolist(), source.tolist(), strict=True))
        pus = listing.params.cores
        unit = listing.pu * UNITS + listing.field("unit")
        self.starts = unit
        self.completion = unit + pus * UNITS
        self.ordinal = _ordinals(unit)
        ends = [(i, to) for i in listing.of_op(SEND).tolist() for to in listing.destinations(i)]
        self.message = {end: number for number, end in enumerate(ends)}
        self.of_send: dict[int, list[int]] = {}
        for number, (i, _) in enumerate(ends):
            self.of_send.setdefault(i, []).append(number)
        self.sum_of = {i: sum_ for sum_ in listing.sums() for i in sum_}
        self.send, to = np.array(ends, np.int64).reshape(-1, 2).T
        way = listing.field("unit")[self.send] - SEND_0
        route = (listing.pu[self.send] * 2 + way) * pus + to
        route = route * listing.params.stacks + listing.field("stack")[self.send]
        route = route * 2 + (listing.field("n")[self.send] > 0)
        routes, chain = np.unique(route, return_inverse=True)
        self.arrival = 2 * pus * UNITS + chain.reshape(-1)
        self.arrival_ordinal = _ordinals(chain.reshape(-1))
        self.chains = 2 * pus * UNITS + len(routes)
        self.waits = self._waits()
        self.assured = self._first_seen()
        while True:
            self.start, self.arrived = self._run()
            if not self._drop():
                break

    def _waits(self) -> list[list[tuple[int, int]]]:
        """Waits of every instruction: (semaphore, count)."""
        fields = [self.listing.field(f"{name}{i}").tolist() for i in range(WAITS) for name in ("wait", "count")]
        return [
            [(row[2 * i], row[2 * i + 1]) for i in range(WAITS) if row[2 * i] >= 0] for row in zip(*fields, strict=True)
        ]

    def _first_seen(self) -> dict[tuple[int, int, int], list[int]]:
        """Return the messages taken as assured by every wait on arrivals, by (instruction, semaphore, count)."""
        assured = {}
        for i, waits in enumerate(self.waits):
            for semaphore, count in waits:
                if semaphore >= FROM:
                    assured[i, semaphore, count] = self._arrivals(int(self.listing.pu[i]), semaphore)[:count]
        return assured

    def _arrivals(self, pu: int, semaphore: int) -> list[int]:
        """Messages that a semaphore has counted in the execution, in their order."""
        return [self.message[i, pu] for i in self.order.arrivals[pu, semaphore]]

    def _run(self) -> tuple[Clock, Clock]:
        """Return the clocks of starts and arrivals, from what the waits are taken to assure."""
        units = self.listing.params.cores * UNITS
        size = len(self.ordinal), self.chains
        start, done = np.zeros(size, np.int32), np.zeros(size, np.int32)
        arrived = np.zeros((len(self.send), self.chains), np.int32)
        last_start, last_done = np.full(units, -1), np.full(units, -1)
        last_arrival = np.full(self.chains, -1)
        of_unit: list[list[int]] = [[] for _ in range(units)]
        begun: set[int] = set()
        for i in self.order.issued:
            pu, unit, clock = int(self.listing.pu[i]), int(self.starts[i]), start[i]
            if last_start[unit] >= 0:
                np.maximum(clock, start[last_start[unit]], out=clock)
            messages = self.of_send.get(i, [])
            if (messages or i in self.sum_of) and last_done[unit] >= 0:
                np.maximum(clock, done[last_done[unit]], out=clock)
            for semaphore, count in self.waits[i]:
                if semaphore < UNITS:
                    np.maximum(clock, done[of_unit[pu * UNITS + semaphore][count - 1]], out=clock)
                else:
                    for message in self.assured[i, semaphore, count]:
                        np.maximum(clock, arrived[message], out=clock)
            done[i] = clock
            if last_done[unit] >= 0:
                np.maximum(done[i], done[last_done[unit]], out=done[i])
            if i in self.source:
                stream = self.source[i]
                np.maximum(done[i], start[stream], out=done[i])
                done[i, self.starts[stream]] = max(done[i, self.starts[stream]], self.ordinal[stream])
            done[i, unit] = done[i, self.completion[i]] = self.ordinal[i]
            last_start[unit] = last_done[unit] = i
            of_unit[unit].append(i)
            every = self.sum_of.get(i, [i])
            if i in self.sum_of:  # who contributes last lets the sum arrive
                begun.add(i)
                messages = [m for j in every for m in self.of_send.get(j, [])] if begun.issuperset(every) else []
            for message in messages:
                chain = int(self.arrival[message])
                for j in every:
                    np.maximum(arrived[message], done[j], out=arrived[message])
                if last_arrival[chain] >= 0:
                    np.maximum(arrived[message], arrived[last_arrival[chain]], out=arrived[message])
                arrived[message, chain] = self.arrival_ordinal[message]
                last_arrival[chain] = message
        return start, arrived

    def _drop(self) -> bool:
        """Drop messages that a wait does not assure after all; return whether there were any (changes `assured`)."""
        dropped = False
        common = shared(self.listing.params.cores, 0)
        for (i, semaphore, count), messages in self.assured.items():
            if semaphore < common or not messages:
                continue  # the messages of one source and direction come in order
            every = np.array(self._arrivals(int(self.listing.pu[i]), semaphore), np.int64)
            after = self.start[self.send[every], self.starts[i]] >= self.ordinal[i]
            early = every[~after]
            if len(early) <= count:
                continue
            kept = [x for x in messages if self._others(early, x) < count]
            dropped |= len(kept) < len(messages)
            self.assured[i, semaphore, count] = kept
        return dropped

    def _others(self, early: Indices, message: int) -> int:
        """Messages of `early` that can arrive without `message`."""
        behind = self.arrived[early, self.arrival[message]] >= self.arrival_ordinal[message]
        return int((~behind).sum())

    def is_over(self, earlier: int, later: int, *, landing: int | None = None) -> bool:
        """Whether an instruction (or the arrival of its message) is over when another starts.

        Parameters
        ----------
        earlier, later : int
            Instructions.
        landing : int, optional
            Message of the earlier one, a SEND: take its arrival.
        """
        if landing is not None:
            return bool(self.start[later, self.arrival[landing]] >= self.arrival_ordinal[landing])
        return bool(self.start[later, self.completion[earlier]] >= self.ordinal[earlier])

    def is_passed(self, earlier: int, later: int) -> bool:
        """Whether the next instruction of the unit of `earlier` has started when `later` starts."""
        return bool(self.start[later, self.starts[earlier]] > self.ordinal[earlier])


def _ordinals(group: Indices) -> Indices:
    """Number of every element within its group, in order, from 1."""
    order = np.argsort(group, kind="stable")
    sorted_groups = group[order]
    first = np.concatenate([[True], sorted_groups[1:] != sorted_groups[:-1]]) if len(group) else np.zeros(0, bool)
    starts = np.flatnonzero(first)
    counts = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    result = np.empty(len(group), np.int64)
    result[order] = counts + 1
    return result
