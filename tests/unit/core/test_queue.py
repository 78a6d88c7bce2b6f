"""Sequencer, queues and semaphores."""

from __future__ import annotations

import numpy as np
import pytest

from nmpsim.core import queue
from nmpsim.core.state import ENTRY, QUEUE_EMPTY, REASONS, UNIT, WAIT_SEMAPHORE
from nmpsim.program.isa import ARRAY, OS, UNITS, VECTOR
from tests.unit.core.bench import CoreBench, core_params, elements, instruction, product

waits_met, take_instruction = (
    getattr(function, "py_func", function) for function in (queue.waits_met, queue.take_instruction)
)


def records(*rows):
    array = np.array(rows)
    return array.astype(np.dtype((np.record, array.dtype))).view(np.recarray)


def waiting(*waits):
    row = instruction(VECTOR, 16)
    for i, (semaphore, count) in enumerate(waits):
        row[f"wait{i}"], row[f"count{i}"] = semaphore, count
    return row


@pytest.mark.parametrize("place", range(4))
def test_an_instruction_waits_for_each_of_its_four_counts(place):
    waits = [(s, 2 + s) for s in range(4)]
    ins = records(waiting(*waits))[0]
    semaphore = np.array([2, 3, 4, 5], np.int64)
    assert waits_met(ins, semaphore)
    semaphore[place] -= 1
    assert not waits_met(ins, semaphore)
    semaphore[place] += 10  # counts only grow
    assert waits_met(ins, semaphore)


def test_no_wait_holds_at_once():
    assert waits_met(records(waiting())[0], np.zeros(1, np.int64))


def test_a_queue_gives_its_head_in_order_when_it_may_start():
    unit, entries = UNIT.zeros(1)[0], ENTRY.zeros(2)
    program = records(waiting(), waiting((0, 1)))
    semaphore = np.zeros(1, np.int64)
    assert take_instruction(unit, entries, semaphore, program, 9) == (-1, QUEUE_EMPTY)
    entries[0].instruction, entries[0].at = 1, 10
    entries[1].instruction, entries[1].at = 0, 11
    unit.count = 2
    assert take_instruction(unit, entries, semaphore, program, 9) == (-1, QUEUE_EMPTY)  # not seen yet
    assert take_instruction(unit, entries, semaphore, program, 20) == (-1, WAIT_SEMAPHORE)  # none overtakes
    semaphore[0] = 1
    assert take_instruction(unit, entries, semaphore, program, 20)[0] == 1
    assert take_instruction(unit, entries, semaphore, program, 20)[0] == 0
    assert take_instruction(unit, entries, semaphore, program, 20) == (-1, QUEUE_EMPTY)


def sequencer_reasons(depth, count, cycles):
    bench = CoreBench(core_params(queue_depth=depth, vector_latency=3), [elements(160)] * count)  # 10 cycles each
    return bench.reasons(UNITS, cycles)


def test_the_sequencer_hands_out_one_instruction_a_cycle_and_stops_at_a_full_queue():
    assert sequencer_reasons(8, 3, 5) == ["busy", "busy", "busy", "finished", "finished"]
    # depth 1: the queue is free again in the cycle after the unit took the instruction
    assert sequencer_reasons(1, 3, 6) == ["busy", "unit_queue_full", "busy", *["unit_queue_full"] * 3]


def test_a_full_queue_stops_the_instructions_behind_it_for_other_units_too():
    params = core_params(queue_depth=1)
    blocked = [elements(160), elements(160), elements(160), product(OS, 1, 8, 4, group=4)]
    bench = CoreBench(params, blocked)
    for _ in range(11):
        bench.step()
    assert bench.die.cores.unit[0, ARRAY].count == 0
    assert bench.actor[0].issued == 0
    bench.run()
    assert bench.actor[0].passes == 1


def test_completion_of_one_unit_starts_another_a_cycle_later():
    params = core_params(vector_latency=1)
    bench = CoreBench(params, [elements(16), product(OS, 1, 8, 4, group=4, wait=(VECTOR, 1))])
    names = ("sequencer", "vector", "signal", "semaphore", "array")
    cores, seen = bench.die.cores, []
    for _ in range(4):
        bench.step()
        seen.append((REASONS[cores.unit[0, UNITS].reason], REASONS[cores.unit[0, VECTOR].reason],
                     int(cores.signal[0, VECTOR]), int(cores.semaphore[0, VECTOR]),
                     REASONS[bench.actor[0].reason]))  # fmt: skip
    assert [dict(zip(names, row, strict=True)) for row in seen] == [  # the table of docs/seams/unit.md
        dict(zip(names, row, strict=True))
        for row in (
            ("busy", "queue_empty", 0, 0, "queue_empty"),
            ("busy", "busy", 0, 0, "queue_empty"),
            ("finished", "queue_empty", 1, 0, "wait_semaphore"),
            ("finished", "queue_empty", 1, 1, "busy"),
        )
    ]
    bench.run()
