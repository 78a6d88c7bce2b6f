"""Messages one way round a ring, part by part: who waits for whom at which link.

A message is cut into a few parts, and each part takes a link for as many cycles as it has flits::

    queue      of the core: messages in order, a flit per core cycle
    link       one part at a time, in turn, of those that pass and those that enter
    channel    belongs to one message from its first part to its last; messages that cross the dateline have others
    buffer     holds a few flits: a message that may not go on keeps the channels of all links that it lies on
    core       takes a flit per core cycle, and lets some wait

Written from docs/seams/network.md, sharing no code with the routers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

PARTS = 8
"""Parts of a message at most: as many as it passes routers on a ring of 16, so that it can lie on all of them.  What
fits into the buffer of a router is one part."""

NEVER = float("inf")

Flits = tuple[int, ...]
"""Of the message of every PU, 0: it sends none; or of every part of one."""


class Ring(NamedTuple):
    """What of a chip decides about messages on its ring; network cycles and flits.

    Parameters
    ----------
    vcs : int
        Virtual channels of a link.
    buffer, inject, eject : int
        Places behind a link, and of the queues from and to a core.
    pace : float
        Network cycles of a core cycle.
    enter : int
        From the injection queue into the router.
    hop : int
        From router to router.
    out : float
        From the last router into the core.
    near, far : int
        Until the place of a flit that has gone on is known to be free: at its own PU, and behind a link.
    sync : int
        From the core into the injection queue.
    """

    vcs: int
    buffer: int
    inject: int
    eject: int
    pace: float
    enter: int
    hop: int
    out: float
    near: int
    far: int
    sync: int


@dataclass(slots=True)
class Part:
    """A part of a message on its way.

    Parameters
    ----------
    at : float
        Cycle from which it may go on, where it is now.
    target : int
        Node.
    channel : int
        On every link of its way.
    first, last : bool
        Of its message.
    flits : int
    step : int
        Of the gather; -1: a word.
    """

    at: float
    target: int
    channel: int
    first: bool
    last: bool
    flits: int
    step: int


class Way:
    """One way round the ring: PUs are numbered along it.

    Parameters
    ----------
    ring : Ring
    words, rows : tuple of int
        Flits, by PU.
    distances : tuple of int
        Of those that a word goes to, in order.
    starts : sequence of float
        Network cycle of the first flit of every PU.
    """

    def __init__(
        self, ring: Ring, words: Flits, rows: Flits, distances: tuple[int, ...], starts: Sequence[float]
    ) -> None:
        self.ring, self.nodes = ring, len(words)
        nodes, lanes = self.nodes, 2 * ring.vcs  # of a router: of the link behind it, then of its own core
        self.steps = len(distances) if any(rows) else 0
        self.tasks = [self._tasks(i, words, rows, distances) for i in range(nodes)]
        self.task, self.part, self.free = [0] * nodes, [0] * nodes, list(starts)
        self.queue: list[deque[Part]] = [deque() for _ in range(nodes)]
        self.queued = [0] * nodes
        self.lanes: list[list[deque[Part]]] = [[deque() for _ in range(lanes)] for _ in range(nodes)]
        self.held = [[0] * lanes for _ in range(nodes)]  # flits in the buffer of a lane, or on their way to it
        self.opened = [[0.0] * lanes for _ in range(nodes)]  # cycle from which a full lane has room again
        self.short = [False] * nodes  # whether somebody waits for a place behind the link to a router
        self.owner = [[-1] * ring.vcs for _ in range(nodes)]
        self.turn = [[0] * ring.vcs for _ in range(nodes)]
        self.next = [0] * nodes
        self.link, self.inputs = [0.0] * nodes, [[0.0, 0.0] for _ in range(nodes)]
        self.taken = [0.0] * nodes  # until which cycle the core takes flits
        self.full = [[0.0] * lanes for _ in range(nodes)]  # until which cycle it takes those that came by a lane
        self.came: list[list[float]] = [[-1.0] * self.steps for _ in range(nodes)]
        self.sent, self.told, self.brought = [0.0] * nodes, [0.0] * nodes, [0.0] * nodes
        self.wake = [-1.0] * nodes
        self.heap: list[tuple[float, int]] = []

    def _tasks(self, i: int, words: Flits, rows: Flits, distances: tuple[int, ...]) -> list[tuple[int, Flits, int]]:
        """Messages of a PU in order: target, flits of its parts, step of the gather or -1."""

        def cut(flits: int) -> Flits:
            number = max(1, min(PARTS, math.ceil(flits / self.ring.buffer)))
            return tuple((flits * (n + 1)) // number - flits * n // number for n in range(number))

        told = [((i + d) % self.nodes, cut(words[i]), -1) for d in distances]
        passed_on = (cut(rows[(i - step) % self.nodes]) for step in range(self.steps))
        return told + [((i + 1) % self.nodes, parts, step) for step, parts in enumerate(passed_on)]

    def run(self) -> None:
        """Let every PU send all that it has."""
        heap, wake = self.heap, self.wake
        for i in range(self.nodes):
            self._send(i, self.free[i])
        while heap:
            now, i = heappop(heap)
            if wake[i] == now:
                wake[i] = -1.0
                self._forward(i, now)

    def _look(self, i: int, at: float) -> None:
        """Look at a router at a cycle, or before."""
        if self.wake[i] < 0 or at < self.wake[i]:
            self.wake[i] = at
            heappush(self.heap, (at, i))

    def _send(self, i: int, now: float) -> None:
        """Write parts into the injection queue while there is room, and pass them on to the router."""
        ring, queue, held, opened = self.ring, self.queue[i], self.held[i], self.opened[i]
        self._write(i, now)
        while queue:
            part = queue[0]
            lane = ring.vcs + part.target % ring.vcs
            if held[lane] > 0 and held[lane] + part.flits / 2 > ring.buffer:
                break
            held[lane] += part.flits
            queue.popleft()
            self.queued[i] -= part.flits
            part.at = max(part.at, opened[lane], now) + ring.enter
            waiting = self.lanes[i][lane]
            if not waiting:
                self._look(i, max(part.at, self.link[i]))
            waiting.append(part)
            self._write(i, now)

    def _write(self, i: int, now: float) -> None:
        """Write what there is room for; a part stands in the queue when the rest of it follows at once."""
        ring, tasks = self.ring, self.tasks[i]
        while self.task[i] < len(tasks):
            target, parts, step = tasks[self.task[i]]
            number = self.part[i]
            flits = parts[number]
            start = max(self.free[i], now)
            if step > 0 and number == 0:
                came = self.came[i][step - 1]
                if came < 0:
                    return
                start = max(start, came)
            if flits == 0:  # a PU without columns brings nothing: its neighbour has this step with the one before
                self.task[i] += 1
                self.came[target][step] = start
                self._send(target, start)
                continue
            if self.queued[i] > 0 and self.queued[i] + flits / 2 > ring.inject:
                return
            self.free[i] = start + flits * ring.pace
            ready = start + ring.sync + max(0.0, flits * (ring.pace - 1))
            channel = self._channel(i, target)
            self.queue[i].append(Part(ready, target, channel, number == 0, number == len(parts) - 1, flits, step))
            self.queued[i] += flits
            self.part[i] += 1
            if self.part[i] == len(parts):
                self.part[i] = 0
                self.task[i] += 1
                if step < 0:
                    self.sent[i] = self.free[i]

    def _channel(self, i: int, target: int) -> int:
        """Virtual channel of all links of a way: those that cross the dateline have the upper half."""
        low = self.ring.vcs // 2
        return low + target % max(1, self.ring.vcs - low) if target < i else target % max(1, low)

    def _forward(self, r: int, now: float) -> None:
        """Hand parts to the core, and give one the link; then tell when to look again."""
        vcs, inputs = self.ring.vcs, self.inputs[r]
        share, later = self.ring.eject / vcs, NEVER
        fronts: list[tuple[int, Part]] = []
        for lane, waiting in enumerate(self.lanes[r]):
            side = lane >= vcs
            while waiting:
                part = waiting[0]
                at = max(inputs[side], part.at)
                if at <= now and part.target == r:
                    at = self.full[r][lane] - max(0.0, share - part.flits / 2) * self.ring.pace
                    if at <= now:
                        self._eject(r, lane, now)
                        continue
                if at <= now:
                    fronts.append((lane, part))
                elif at < later:
                    later = at
                break
        if fronts:
            at = self.link[r] if self.link[r] > now else self._link(r, fronts, now)
            later = min(later, at)
        if later < NEVER:
            self._look(r, later)

    def _eject(self, r: int, lane: int, now: float) -> None:
        """Take a part to the core, a flit per core cycle."""
        part = self._leave(r, lane, now)
        ring = self.ring
        there = max(self.taken[r], now + ring.out) + part.flits * ring.pace
        self.taken[r] = self.full[r][lane] = there
        if not part.last:
            return
        if part.step < 0:
            self.told[r] = max(self.told[r], there)
        else:
            self.brought[r] = max(self.brought[r], there)
            self.came[r][part.step] = there
            self._send(r, now)

    def _leave(self, r: int, lane: int, now: float) -> Part:
        """Take a part out of a lane, and give its place back."""
        ring, held = self.ring, self.held[r]
        part = self.lanes[r][lane].popleft()
        self.inputs[r][lane // ring.vcs] = now + part.flits
        held[lane] -= part.flits
        if lane < ring.vcs:
            self.opened[r][lane] = now + ring.far
            if self.short[r]:
                self.short[r] = False
                self._look((r - 1) % self.nodes, now + ring.far)
        else:
            self.opened[r][lane] = now + ring.near
            self._send(r, now)
        return part

    def _allocate(self, r: int, channel: int, fronts: list[tuple[int, Part]]) -> None:
        """Give a free channel of the link to the next of the messages that begin."""
        turn, lanes = self.turn[r][channel], 2 * self.ring.vcs
        lane = min(
            (n for n, part in fronts if part.first and part.channel == channel), key=lambda n: (n - turn) % lanes
        )
        self.owner[r][channel], self.turn[r][channel] = lane, (lane + 1) % lanes

    def _link(self, r: int, fronts: list[tuple[int, Part]], now: float) -> float:
        """Send the next part of those that have, or get, a channel and a place; return when to look again."""
        lanes, buffer = 2 * self.ring.vcs, self.ring.buffer
        after = r + 1 if r + 1 < self.nodes else 0
        held, opened, owner, turn = self.held[after], self.opened[after], self.owner[r], self.next[r]
        best, least, later = None, lanes, NEVER
        for lane, part in fronts:
            channel = part.channel
            if part.first and owner[channel] < 0:
                self._allocate(r, channel, fronts)
            if owner[channel] != lane:
                continue
            flits, there = part.flits, held[channel]
            if there > 0 and there + flits / 2 > buffer:
                self.short[after] = True
                continue
            if opened[channel] > now:  # those that go on leave their places one by one
                room = opened[channel] - max(0.0, buffer - there - flits)
                if room > now:
                    later = min(later, room)
                    continue
            behind = (lane - turn) % lanes
            if behind < least:
                best, least = lane, behind
        if best is None:
            return later
        part = self._leave(r, best, now)
        self.next[r] = (best + 1) % lanes
        self.link[r] = now + part.flits
        held[part.channel] += part.flits
        if part.last:
            owner[part.channel] = -1
        part.at = now + self.ring.hop
        waiting = self.lanes[after][part.channel]
        if not waiting:
            self._look(after, part.at if part.target == after else max(part.at, self.link[after]))
        waiting.append(part)
        return self.link[r] if len(fronts) > 1 or self.lanes[r][best] else NEVER
