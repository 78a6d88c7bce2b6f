"""The vector unit, cycle by cycle; an instruction is dispatched in cycle 0 and taken in cycle 1."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nmpsim.program.isa import EXP_RATE, OS, SQRT_RATE, VECTOR
from tests.unit.core.bench import CoreBench, core_params, elements, product


def issued(bench, cycles):
    """Elements issued in each of the next cycles."""
    counts = [0]
    for _ in range(cycles):
        bench.step()
        counts.append(int(bench.die.cores.vector[0].elements))
    return [later - earlier for earlier, later in pairwise(counts)]


def unit(**changes):
    return core_params(lanes=256, vector_read_bytes=1024, vector_write_bytes=1024, vector_latency=4, **changes)


def test_the_drawing_of_the_module():
    bench = CoreBench(unit(), [elements(600)])
    assert issued(bench, 7) == [0, 256, 256, 88, 0, 0, 0]
    assert not bench.die.cores.signal[0, VECTOR]
    bench.step()
    assert bench.die.cores.signal[0, VECTOR] == 1
    assert bench.die.cores.semaphore[0, VECTOR] == 0
    bench.step()
    assert bench.die.cores.semaphore[0, VECTOR] == 1


@pytest.mark.parametrize(
    ("read", "write", "per_cycle"), [(2, 2, 256), (8, 2, 128), (1000, 4, 1), (2, 8, 128), (0, 0, 256), (4000, 1, 1)]
)
def test_lanes_and_widths_limit_an_issue(read, write, per_cycle):
    assert issued(CoreBench(unit(), [elements(3 * per_cycle, read, write)]), 5) == [0, *[per_cycle] * 3, 0]


@pytest.mark.parametrize(("rate", "interval"), [(EXP_RATE, 4), (SQRT_RATE, 3)])
def test_transcendentals_issue_at_their_interval(rate, interval):
    bench = CoreBench(unit(exp_interval=4, sqrt_interval=3), [elements(512, rate=rate)])
    assert issued(bench, 1 + 2 * interval) == [0, 256, *[0] * (interval - 1), 256, *[0] * (interval - 1)]
    assert bench.run() == 1 + 2 * interval + 3


def test_three_loops_follow_each_other():
    ins = elements(300)
    ins["elements1"], ins["elements2"], ins["rate1"] = 1, 256, EXP_RATE
    assert issued(CoreBench(unit(exp_interval=2), [ins]), 6) == [0, 256, 44, 1, 0, 256]


def test_a_second_operation_starts_before_the_first_is_complete():
    bench = CoreBench(unit(), [elements(256), elements(256)])
    assert issued(bench, 4) == [0, 256, 256, 0]
    assert bench.run() == 2 + 4


def test_a_dependent_operation_waits_for_the_completion():
    bench = CoreBench(unit(), [elements(256), elements(256, wait=(VECTOR, 1))])
    assert bench.reasons(VECTOR, 8) == ["queue_empty", "busy", *["wait_semaphore"] * 4, "busy", "queue_empty"]


def test_more_operations_in_flight_than_any_fixed_list():
    bench = CoreBench(core_params(vector_latency=200), [elements(1)] * 150)
    assert bench.run() == 150 + 200


def test_an_issue_waits_for_the_banks_that_the_compute_unit_takes():
    params = core_params(buffer_banks=2, bank_bytes=16)
    alone = CoreBench(params, [elements(64)])
    assert set(alone.reasons(VECTOR, 8)) == {"queue_empty", "busy"}
    shared = CoreBench(params, [product(OS, 8, 8, 40, group=4), elements(64)])
    assert "port_conflict" in shared.reasons(VECTOR, 60)
    assert shared.die.cores.vector[0].conflicts > 0
