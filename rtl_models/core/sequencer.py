"""RTL of a core's sequencer: in-order dispatch into the queues of the units, and the semaphores they wait for.

    program memory --instruction at fetch--> [ dispatch ] --> queue 0 [ 2 | 1 | head ] --ready, tag--> unit 0
          ^                                       |      +--> queue 1 [ 2 | 1 | head ] --ready, tag--> unit 1
          +------------ fetch, fetch + 1 ---------+              ...        |   ^                       |
                                                                waits met? -+   +-------- take ---------+
      arrivals --> [ semaphores ] --count of every unit and message-------^                             |
                        ^---------------------------- completed ----------------------------------------+

One instruction a cycle leaves the program, in order, for the queue of its unit; a full queue stops all behind it.  A
queue sees an instruction from the next cycle on.  The head of a queue is *ready* when its up to four waits (semaphore,
count) hold; it leaves in the cycle in which its unit says ``take`` and it is ready.  What units complete and what
arrives in a cycle, the semaphores show in the next one.  A place that is free in this cycle can be filled in the next
one.  These are the rules of docs/seams/unit.md.

A queue keeps the waits and a tag, the number of the instruction; the operands stand in the unit's own memory.
Counts are as wide as `count_bits` says and wrap: a wait holds when its semaphore is less than half the range ahead of
its count, so a wait must not be older than that.

First cycles of a program of two instructions, one for unit 1, then one for unit 0 that waits for the first completion
of unit 1; both units take what they are offered and need one cycle::

    cycle        0          1          2          3          4
    reason       busy       busy       finished   finished   finished
    unit0        empty      empty      wait       ready      empty
    unit1        empty      ready      empty      empty      empty
    complete0                                                1
    complete1                          1
    retired      0          0          1          1          2
    finished                                                 1
"""

from __future__ import annotations

from functools import reduce
from operator import and_, or_
from typing import NamedTuple

import pyrtl

from nmpsim.spec.params import CoreParams
from rtl_models.core.pins import show
from rtl_models.core.wires import any_of, first_of, minus_one, plus_one

REASONS = ("busy", "unit_queue_full", "finished")
"""What the sequencer spends a cycle on; output ``reason`` is the index."""

STATES = ("queue_empty", "wait_semaphore", "ready")
"""What a unit finds at the head of its queue; output ``unit<n>_state`` is the index."""

WAITS = 4
"""Waits of an instruction."""

ARRIVALS = 2
"""Messages that may arrive in one cycle: one per direction."""

COUNT_BITS = 16
"""Width of semaphores (assumed: no instruction then waits for one that lies 32,768 completions behind)."""

PROGRAM_BITS = 20
"""Width of the number of an instruction (assumed: a program of a core has up to a million of them)."""


class SequencerParams(NamedTuple):
    """What the sequencer is made for."""

    units: int  # units with a queue; the first semaphores are theirs
    depth: int  # instructions a queue holds
    semaphores: int  # of units and of messages
    completions: tuple[int, ...]  # most instructions that a unit completes in one cycle, by unit
    count_bits: int = COUNT_BITS
    program_bits: int = PROGRAM_BITS

    @property
    def unit_bits(self) -> int:
        """Width of the number of a unit."""
        return max((self.units - 1).bit_length(), 1)

    @property
    def semaphore_bits(self) -> int:
        """Width of the number of a semaphore."""
        return max((self.semaphores - 1).bit_length(), 1)


def sequencer_params(core: CoreParams, semaphores: int, completions: tuple[int, ...], **widths: int) -> SequencerParams:
    """Return the sequencer of a core.

    Parameters
    ----------
    core : CoreParams
    semaphores : int
        Those of the units and of messages.
    completions : tuple of int
        For each unit, the most instructions that it completes in one cycle.
    **widths : int
        `count_bits` and `program_bits`.
    """
    return SequencerParams(len(completions), core.queue_depth, semaphores, completions, **widths)


class Wait(NamedTuple):
    """One condition of an instruction."""

    valid: pyrtl.WireVector  # 0: there is none
    semaphore: pyrtl.WireVector
    count: pyrtl.WireVector  # the semaphore must have reached it


class Instruction(NamedTuple):
    """What a queue keeps of an instruction."""

    tag: pyrtl.WireVector
    waits: tuple[Wait, ...]

    def wires(self) -> list[pyrtl.WireVector]:
        """Return all wires, always in the same order."""
        return [self.tag, *(wire for wait in self.waits for wire in wait)]


def sequencer(params: SequencerParams) -> pyrtl.Block:
    """Return the sequencer of one core.

    Parameters
    ----------
    params : SequencerParams

    Raises
    ------
    ValueError
        If there are fewer semaphores than units, or no completion count for each unit.
    """
    if params.semaphores < params.units:
        raise ValueError(
            f"sequencer: semaphores: got {params.semaphores}; allowed: at least {params.units}, one per unit; add some"
        )
    if len(params.completions) != params.units or min(params.completions) < 1 or params.depth < 1:
        raise ValueError(
            f"sequencer: got completions {params.completions}, depth {params.depth}; allowed: {params.units} counts "
            "from 1 on and a depth from 1 on; change them"
        )
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        _Sequencer(params).connect()
    return block


class _Sequencer:
    """Program counter, semaphores and queues."""

    def __init__(self, params: SequencerParams) -> None:
        self.params = params
        self.fetch = pyrtl.Register(params.program_bits, "fetched")
        self.retired = pyrtl.Register(params.program_bits, "retired_count")
        self.end = pyrtl.Input(params.program_bits, "program_end")
        self.unit = pyrtl.Input(params.unit_bits, "instruction_unit")
        self.offered = Instruction(
            self.fetch,
            tuple(
                Wait(
                    pyrtl.Input(1, f"wait{i}_valid"),
                    pyrtl.Input(params.semaphore_bits, f"wait{i}_semaphore"),
                    pyrtl.Input(params.count_bits, f"wait{i}_count"),
                )
                for i in range(WAITS)
            ),
        )
        self.semaphores = [pyrtl.Register(params.count_bits, f"semaphore{i}") for i in range(params.semaphores)]
        self.completed = [pyrtl.Input(most.bit_length(), f"complete{u}") for u, most in enumerate(params.completions)]

    def connect(self) -> None:
        """Connect everything."""
        queues = [_Queue(u, self.params, self.semaphores) for u in range(self.params.units)]
        done = self.fetch == self.end
        goes_to = [self.unit == u for u in range(self.params.units)]
        full = any_of([here & queue.is_full for here, queue in zip(goes_to, queues, strict=True)])
        busy = ~done & ~full
        for here, queue in zip(goes_to, queues, strict=True):
            queue.drive(busy & here, self.offered)
        fetched = (self.fetch + busy).truncate(len(self.fetch))
        self.fetch.next <<= fetched
        self.count_signals()
        retired = reduce(lambda total, count: (total + count).truncate(len(self.retired)), self.completed, self.retired)
        self.retired.next <<= retired
        show("fetch", self.fetch)
        show("retired", retired)
        show("finished", done & (retired == self.end))
        show("reason", first_of((done, pyrtl.Const(2, 2)), (full, pyrtl.Const(1, 2)), otherwise=pyrtl.Const(0, 2)))

    def count_signals(self) -> None:
        """Let the semaphores count what is completed and what arrives."""
        bits = self.params.count_bits
        valid = [pyrtl.Input(1, f"arrive{d}_valid") for d in range(ARRIVALS)]
        number = [pyrtl.Input(self.params.semaphore_bits, f"arrive{d}_semaphore") for d in range(ARRIVALS)]
        for i, semaphore in enumerate(self.semaphores):
            seen = semaphore
            if i < self.params.units:
                seen = (seen + self.completed[i]).truncate(bits)
            else:
                for v, n in zip(valid, number, strict=True):
                    seen = (seen + (v & (n == i))).truncate(bits)
            semaphore.next <<= seen


class _Queue:
    """The queue of one unit; entries move towards the head when it leaves."""

    def __init__(self, number: int, params: SequencerParams, semaphores: list[pyrtl.Register]) -> None:
        self.number, self.params = number, params
        self.entries = [self.place(i) for i in range(params.depth)]
        self.count = pyrtl.Register(params.depth.bit_length(), f"queued{number}")
        self.is_full = self.count == params.depth
        head = self.entries[0]
        met = reduce(and_, [~wait.valid | self.reached(wait, semaphores) for wait in head.waits])
        empty = self.count == 0
        self.take = pyrtl.Input(1, f"take{number}") & ~empty & met
        state = first_of((empty, pyrtl.Const(0, 2)), (~met, pyrtl.Const(1, 2)), otherwise=pyrtl.Const(2, 2))
        show(f"unit{number}_state", state)
        show(f"unit{number}_tag", head.tag)  # no meaning unless ready
        show(f"unit{number}_queued", self.count)

    def place(self, index: int) -> Instruction:
        """Return the registers of one place."""
        name, params = f"unit{self.number}_place{index}", self.params
        return Instruction(
            pyrtl.Register(params.program_bits, f"{name}_tag"),
            tuple(
                Wait(
                    pyrtl.Register(1, f"{name}_wait{i}_valid"),
                    pyrtl.Register(params.semaphore_bits, f"{name}_wait{i}_semaphore"),
                    pyrtl.Register(params.count_bits, f"{name}_wait{i}_count"),
                )
                for i in range(WAITS)
            ),
        )

    def reached(self, wait: Wait, semaphores: list[pyrtl.Register]) -> pyrtl.WireVector:
        """Return whether the semaphore of a wait is less than half the range ahead of its count."""
        bits = self.params.count_bits
        named = reduce(
            or_, [semaphore & (wait.semaphore == i).sign_extended(bits) for i, semaphore in enumerate(semaphores)]
        )
        return ~(named - wait.count).truncate(bits)[bits - 1]

    def drive(self, push: pyrtl.WireVector, offered: Instruction) -> None:
        """Connect the registers.

        Parameters
        ----------
        push : WireVector
            1 in a cycle in which an instruction is dispatched to this unit; never when the queue is full.
        offered : Instruction
            That instruction.
        """
        kept = pyrtl.select(self.take, minus_one(self.count), self.count)
        for i, entry in enumerate(self.entries):
            here = push & (kept == i)
            following = self.entries[min(i + 1, len(self.entries) - 1)]
            for own, behind, new in zip(entry.wires(), following.wires(), offered.wires(), strict=True):
                assert isinstance(own, pyrtl.Register)
                own.next <<= pyrtl.select(here, new, pyrtl.select(self.take, behind, own))
        self.count.next <<= pyrtl.select(push, plus_one(kept), kept)
