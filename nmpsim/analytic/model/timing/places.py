"""Places in the buffer that decide who meets whom at a bank: of the words that tell neighbours of free space.

Behind the last sum of an expert every PU tells both neighbours that its space is free, by two words that stand in one
bank.  The loop that adds the expert's result to the sums of its tokens begins in the same cycle and comes first::

    slot of the loop   | 0      | 1       | 2      | 3       | ...
    banks that it has  | 0 - 15 | 16 - 31 | 0 - 15 | 16 - 31 |
    words in bank 3    |        | first   |        | second  |
    words in bank 20   | first  |         | second |         |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nmpsim.analytic.model.timing.units import FP32
from nmpsim.program.encode.experts import Experts
from nmpsim.program.encode.vectors import StepVectors
from nmpsim.program.schedule import OVER_K, Schedule
from nmpsim.spec.params import MachineParams
from nmpsim.workload import OperatorKind

WORDS = 2
"""Words, each a cycle, of which one is told to either neighbour."""


def words_from_results(schedule: Schedule, params: MachineParams, tokens: tuple[int, ...]) -> int | None:
    """Return how many banks lie from an expert's result to the words; None if no expert is reduced.

    Parameters
    ----------
    schedule : Schedule
    params : MachineParams
        The chip the schedule was made for.
    tokens : tuple of int
        Token of every sequence.
    """
    operators = schedule.graph.operators
    reduced = any(
        plan.over == OVER_K and operators[i].kind is OperatorKind.DOWN and operators[i].expert >= 0
        for i, plan in schedule.gemm.items()
    )
    if not reduced:
        return None
    step = StepVectors(schedule, params, tokens)
    return (step.flag - Experts(step).result) // params.core.bank_bytes


def _windows(p: MachineParams, columns: int, begun: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First bank, from that of the result on, and number of banks of every slot of the loop."""
    core = p.core
    for row, fresh in enumerate(begun):
        read = FP32 if fresh else 2 * FP32
        count = min(core.lanes, core.vector_read_bytes // read, core.vector_write_bytes // FP32)
        for first in range(0, columns, count):
            size = min(count, columns - first) * read
            yield (row * columns * FP32 + first * read) // core.bank_bytes, -(-size // core.bank_bytes)


def told_beside(p: MachineParams, columns: int, begun: Sequence[bool], place: int) -> int:
    """Return the cycles from an expert's last sum until both words are sent.

    Parameters
    ----------
    p : MachineParams
    columns : int
        Of the widest PU.
    begun : sequence of bool
        Of the tokens of the expert, whether their sums begin with it.
    place : int
        From `words_from_results`.
    """
    sent = cycle = 0
    for first, width in _windows(p, columns, begun):
        sent += (place - first) % p.core.buffer_banks >= width
        cycle += 1
        if sent == WORDS:
            return cycle
    return cycle + WORDS - sent
