"""The program comes to an end: queues, semaphores, messages and FIFOs, without times.

Whatever can happen happens at once; nothing that happens takes away the chance of anything else, so the order in
which cores are visited makes no difference to where the program ends.  What is finite:

    instruction queues   the sequencer stops at the first instruction whose queue is full
    run queues           a STREAM needs two places in every bank, a LOAD or STORE one
    landing FIFOs        a read run leaves its queue when its beats fit; a LOAD also waits for the beats before it
    write FIFOs          the data mover waits until the beats of a STORE fit
    moves on their way   complete in order

The network has no limit: receivers always take what arrives.  But a contribution to a sum is over when all PUs have
begun theirs, as nothing else is sure to make room for it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.core.state import MOVE_SLOTS
from nmpsim.program.isa import ARRAY, LOAD, MOVE, PASS, SEND, STORE, STREAM, UNIT_NAMES, UNITS, WAITS, semaphores
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.schedule.legality.placement import SHAPE, Images

RUNS_OF_A_STREAM = 2
"""Runs that a STREAM posts to a bank at most: whole rows, and the rest."""


class Order(NamedTuple):
    """One legal execution.

    Parameters
    ----------
    issued : list of int
        Instructions in the order in which they started.
    arrivals : dict of (pu, semaphore) to list of int
        SENDs in the order of their arrival.
    """

    issued: list[int]
    arrivals: dict[tuple[int, int], list[int]]


class _Channel:
    """Banks of one core, and the moves on their way: everything in beats."""

    def __init__(self, listing: Listing) -> None:
        dram = listing.params.dram
        self.room, self.columns, self.queue = dram.fifo_columns, dram.columns, dram.run_queue
        self.posted = np.zeros(dram.banks, np.int64)  # read beats posted
        self.eaten = np.zeros(dram.banks, np.int64)  # read beats taken from the FIFO
        self.runs: list[deque[int]] = [deque() for _ in range(dram.banks)]  # last read beat of each run not yet taken
        self.moves: deque[list[int]] = deque()  # [beats ahead, beats, bank, operation]; beats ahead -1: done
        self.unwritten: dict[int, int] = {}  # beats of STOREs that are not done, per bank

    def has_room(self, op: int, bank: int) -> bool:
        """Whether a move can start."""
        if len(self.moves) >= MOVE_SLOTS or any(beats > self.room for beats in self.unwritten.values()):
            return False
        if op == STREAM:
            return all(self._free(b) >= RUNS_OF_A_STREAM for b in range(len(self.runs)))
        return self._free(bank) >= 1

    def _free(self, bank: int) -> int:
        """Places free in the run queue of a bank (changes `runs`)."""
        runs = self.runs[bank]
        reach = self.eaten[bank] + self.room
        while runs and runs[0] <= reach:
            runs.popleft()
        return self.queue - len(runs)

    def stream(self, counts: Indices) -> None:
        """Post the runs of a STREAM."""
        for bank in np.flatnonzero(counts).tolist():
            beats = int(counts[bank])
            at, rest = int(self.posted[bank]), beats % self.columns
            if beats > rest:
                self.runs[bank].append(at + beats - rest)
            if rest:
                self.runs[bank].append(at + beats)
        self.posted += counts
        self.moves.append([-1, 0, 0, STREAM])

    def move(self, op: int, bank: int, beats: int) -> None:
        """Post a LOAD or STORE."""
        ahead = int(self.posted[bank])
        if op == LOAD:
            self.posted[bank] += beats
        else:
            self.unwritten[bank] = self.unwritten.get(bank, 0) + beats
        self.runs[bank].append(int(self.posted[bank]))
        self.moves.append([ahead, beats, bank, op])

    def finish(self) -> int:
        """Finish what can be; return how many moves have completed."""
        again = True
        while again:
            again = False
            for move in self.moves:
                ahead, beats, bank, op = move
                if ahead < 0:
                    continue
                if op == LOAD and self.eaten[bank] == ahead:
                    self.eaten[bank] += beats
                    move[0], again = -1, True
                elif op == STORE and ahead <= self.eaten[bank] + self.room:
                    self.unwritten[bank] -= beats
                    move[0] = -1
        done = 0
        while self.moves and self.moves[0][0] < 0:
            self.moves.popleft()
            done += 1
        return done


class Untimed:
    """Executes a program without times.

    Parameters
    ----------
    listing : Listing
        Well formed.
    images : Images
    source : ndarray of int64
        STREAM of every PASS, see `nmpsim.schedule.legality.delivery`.
    """

    def __init__(self, listing: Listing, images: Images, source: Indices) -> None:
        self.listing, params = listing, listing.params
        self.op, self.unit = listing.field("op").tolist(), listing.field("unit").tolist()
        self.bank, self.beats = listing.field("bank").tolist(), listing.field("beats").tolist()
        self.signal, self.table = listing.field("signal").tolist(), listing.field("table").tolist()
        always = semaphores(params.cores)
        waits = np.stack([listing.field(f"wait{i}") for i in range(WAITS)], axis=1)
        counts = np.stack([listing.field(f"count{i}") for i in range(WAITS)], axis=1)
        counts = np.where(waits < 0, 0, counts)
        self.waits = [w.tolist() for w in np.where(waits < 0, always, waits).T]
        self.counts = [c.tolist() for c in counts.T]
        self.source = dict(zip(listing.of_op(PASS).tolist(), source.tolist(), strict=True))
        self.takes = self._takes(images)
        self.first = listing.first.tolist()
        self.depth = params.core.queue_depth
        self.semaphores = [[0] * (always + 1) for _ in range(params.cores)]
        self.queues: list[list[deque[int]]] = [[deque() for _ in range(UNITS)] for _ in range(params.cores)]
        self.fetched = self.first[:-1].copy()
        self.active = [-1] * params.cores
        self.streamed = [-1] * params.cores
        self.channels = [_Channel(listing) for _ in range(params.cores)]
        self.issued: list[int] = []
        self.arrivals: dict[tuple[int, int], list[int]] = {}
        self.awake: deque[int] = deque(range(params.cores))
        self.sum_of = {i: sum_ for sum_ in listing.sums() for i in sum_}
        self.begun: set[int] = set()

    def _takes(self, images: Images) -> dict[int, NDArray[np.int64]]:
        """Beats per strip of every PASS."""
        passes = self.listing.of_op(PASS)
        rows = np.stack([self.listing.field(name)[passes] for name in SHAPE], axis=1).tolist()
        return {i: images.lists.counts(tuple(row)) for i, row in zip(passes.tolist(), rows, strict=True)}

    def run(self) -> Order:
        """Execute until nothing can happen."""
        asleep = [False] * len(self.queues)
        while self.awake:
            pu = self.awake.popleft()
            asleep[pu] = True
            while self._visit(pu, asleep):
                pass
        return Order(self.issued, self.arrivals)

    def _visit(self, pu: int, asleep: list[bool]) -> bool:
        """Dispatch, and start what can start; return whether anything started."""
        queues, unit, depth, end = self.queues[pu], self.unit, self.depth, self.first[pu + 1]
        fetched = self.fetched[pu]
        while fetched < end and len(queues[unit[fetched]]) < depth:
            queues[unit[fetched]].append(fetched)
            fetched += 1
        self.fetched[pu] = fetched
        have, started = self.semaphores[pu], False
        (w0, w1, w2, w3), (c0, c1, c2, c3) = self.waits, self.counts
        for u, queue in enumerate(queues):
            while queue:
                i = queue[0]
                if have[w0[i]] < c0[i] or have[w1[i]] < c1[i] or have[w2[i]] < c2[i] or have[w3[i]] < c3[i]:
                    break
                if u == ARRAY:
                    if not self._start_pass(pu, i):
                        break
                elif u == MOVE:
                    if not self._start_move(pu, i):
                        break
                elif i in self.sum_of:
                    if not self._contribute(i, asleep):
                        break
                    started = True
                    continue
                else:
                    have[u] += 1
                    if self.op[i] == SEND:
                        self._arrive(i, asleep)
                self.issued.append(i)
                queue.popleft()
                started = True
        return started

    def _arrive(self, i: int, asleep: list[bool]) -> None:
        """Let the message of a SEND arrive, and wake whom it is for (changes `asleep`)."""
        signal = self.signal[i]
        for to in self.listing.destinations(i):
            self.semaphores[to][signal] += 1
            self.arrivals.setdefault((to, signal), []).append(i)
            self._wake(to, asleep)

    def _wake(self, pu: int, asleep: list[bool]) -> None:
        if asleep[pu]:
            asleep[pu] = False
            self.awake.append(pu)

    def _contribute(self, i: int, asleep: list[bool]) -> bool:
        """Begin a contribution to a sum; return whether all have begun, so that all are over (changes `asleep`)."""
        if i in self.begun:
            return False
        self.begun.add(i)
        self.issued.append(i)
        every = self.sum_of[i]
        if not self.begun.issuperset(every):
            return False
        for j in every:
            pu = int(self.listing.pu[j])
            self.queues[pu][self.unit[j]].popleft()
            self.semaphores[pu][self.unit[j]] += 1
            self._wake(pu, asleep)
            self._arrive(j, asleep)
        return True

    def _start_pass(self, pu: int, i: int) -> bool:
        if self.active[pu] >= 0:
            return False
        self.active[pu] = i
        self._eat(pu)
        return True

    def _eat(self, pu: int) -> None:
        """Complete the active PASS if its beats are on their way, and the moves that this lets go on."""
        i, channel = self.active[pu], self.channels[pu]
        if i >= 0 and 0 <= self.source[i] <= self.streamed[pu]:
            channel.eaten += self.takes[i]
            self.active[pu] = -1
            self.semaphores[pu][ARRAY] += 1
        self.semaphores[pu][MOVE] += channel.finish()

    def _start_move(self, pu: int, i: int) -> bool:
        op, channel = self.op[i], self.channels[pu]
        if not channel.has_room(op, self.bank[i]):
            return False
        if op == STREAM:
            strips = self.listing.params.core.strips
            channel.stream(self.listing.program.tables[self.table[i] : self.table[i] + strips])
            self.streamed[pu] = i
        else:
            channel.move(op, self.bank[i], self.beats[i])
        self._eat(pu)
        return True

    # ------------------------------------------------------------------------------------------------------- the end

    def check_end(self) -> None:
        """Note who waits for whom, if the program has not come to its end (changes `listing`)."""
        for pu in range(len(self.queues)):
            for u, queue in enumerate(self.queues[pu]):
                if queue:
                    self._stuck(pu, u, queue[0])
            if self.active[pu] >= 0:
                source = self.source[self.active[pu]]
                self.listing.add(
                    self.listing.where(self.active[pu]),
                    "no beats",
                    "beats of " + ("a STREAM" if source < 0 else self.listing.where(source)),
                    "let the STREAM start",
                )
            for ahead, beats, bank, op in self.channels[pu].moves:
                if ahead >= 0:
                    name = "LOAD" if op == LOAD else "STORE"
                    left = ahead - int(self.channels[pu].eaten[bank])
                    self.listing.add(
                        f"PU {pu}, {name} of {beats} beats of bank {bank}",
                        f"{left} beats before it in the FIFO that no PASS has taken",
                        "none",
                        "let the passes before it go on without it",
                    )
            if self.fetched[pu] < self.first[pu + 1]:
                i = self.fetched[pu]
                self.listing.add(
                    f"{self.listing.where(i)} waits for its queue",
                    f"{self.depth} instructions of unit {UNIT_NAMES[self.unit[i]]}",
                    f"fewer than {self.depth}",
                    "reorder the stream",
                )

    def _stuck(self, pu: int, unit: int, i: int) -> None:
        where = f"{self.listing.where(i)} waits"
        waiting = False
        for wait, count in zip(self.waits, self.counts, strict=True):
            have = self.semaphores[pu][wait[i]]
            if have < count[i]:
                waiting = True
                name = self.listing.semaphore_name(wait[i])
                self.listing.add(
                    where,
                    f"{have} {name}{self._culprit(pu, wait[i])}",
                    f"{count[i]} or more",
                    "let them happen first, or correct the count",
                )
        if not waiting and i in self.begun:
            missing = [str(self.listing.pu[j]) for j in self.sum_of[i] if j not in self.begun]
            self.listing.add(
                where,
                f"a sum to which PUs {', '.join(missing)} have not begun to contribute",
                "contributions of all",
                "let them contribute first",
            )
        if not waiting and unit == MOVE:
            self.listing.add(
                where,
                "full run queues, FIFOs or move slots",
                "room for its runs",
                "let the passes take the beats before it",
            )

    def _culprit(self, pu: int, semaphore: int) -> str:
        """Name the instruction that would count next on a semaphore of a unit."""
        if semaphore >= UNITS:
            return ""
        queue = self.queues[pu][semaphore]
        if queue:
            return f", next {self.listing.where(queue[0])}"
        mine = range(self.fetched[pu], self.first[pu + 1])
        later = next((i for i in mine if self.unit[i] == semaphore), -1)
        return f", next {self.listing.where(later)}" if later >= 0 else ", and none to come"


def execute(listing: Listing, images: Images, source: Indices) -> Order:
    """Execute a program without times; note a deadlock with who waits for whom (changes `listing`).

    Parameters
    ----------
    listing : Listing
        Well formed.
    images : Images
    source : ndarray of int64
        STREAM of every PASS.

    Returns
    -------
    Order
        How far it came.
    """
    untimed = Untimed(listing, images, source)
    order = untimed.run()
    untimed.check_end()
    return order
