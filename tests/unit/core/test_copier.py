"""The copy engines, cycle by cycle; an instruction is dispatched in cycle 0 and taken in cycle 1."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nmpsim.program.isa import ARRAY, COPY_IN, COPY_OUT, CROSS, IS, K_CONTIGUOUS, OS, WS
from tests.builders import SNAKE, STRATUM
from tests.conformance_kits.unit import UnitKit
from tests.property.strategies import Dice
from tests.unit.core.bench import CoreBench, core_params, elements, instruction, product
from tests.unit.core.test_closed_form import SEEDS, closed, drawn, stepped
from tests.unit.core.test_units import CoreUnit

SIZES = {
    "separate": 1,
    "buffer_bytes": 2**12,
    "operand_bytes": 2**12,
    "operand_banks": 4,
    "output_bytes": 2**12,
    "output_banks": 8,
    "array_bank_bytes": 16,
    "copy_bytes": 64,
    "copy_latency": 2,
}
OPERANDS, RESULTS = 2**12, 2**13
"""First addresses of the compute unit's own buffers."""


def chip(kind=SNAKE, **changes):
    return core_params(kind, **(SIZES | changes))


def copy(unit, rows, size, **fields):
    """A copy between the first bytes of two buffers."""
    places = {"a": 0, "out": OPERANDS} if unit == COPY_IN else {"a": RESULTS, "out": 0}
    return instruction(unit, CROSS, m=rows, bytes=size, planes=1, a_ld=size, out_ld=size, **(places | fields))


def copied(bench, cycles, direction=0):
    """Bytes copied in each of the next cycles."""
    counts = [0]
    for _ in range(cycles):
        bench.step()
        counts.append(int(bench.die.cores.copier[0, direction].bytes))
    return [later - earlier for earlier, later in pairwise(counts)]


@pytest.mark.parametrize("unit", [COPY_IN, COPY_OUT])
def test_the_drawing_of_the_module(unit):
    bench = CoreBench(chip(), [copy(unit, 2, 96)])
    assert copied(bench, 6, unit - COPY_IN) == [0, 64, 32, 64, 32, 0]
    assert not bench.die.cores.signal[0, unit]
    bench.step()
    assert bench.die.cores.signal[0, unit] == 1
    assert bench.die.cores.semaphore[0, unit] == 0
    bench.step()
    assert bench.die.cores.semaphore[0, unit] == 1
    assert bench.die.cores.copier[0, unit - COPY_IN].copies == 1


def test_all_planes_are_copied():
    rows = copy(COPY_OUT, 2, 64, plane_ld=256)
    rows["planes"] = 3
    assert copied(CoreBench(chip(), [rows]), 8, 1) == [0, *[64] * 6, 0]


@pytest.mark.parametrize("latency", [1, 2, 7])
def test_copies_follow_each_other_without_a_gap_and_complete_in_order(latency):
    bench = CoreBench(chip(copy_latency=latency), [copy(COPY_IN, 1, 64) for _ in range(5)])
    assert copied(bench, 7) == [0, 64, 64, 64, 64, 64, 0]
    assert bench.run() == 5 + latency


def test_both_engines_copy_in_the_same_cycle():
    bench = CoreBench(chip(), [copy(COPY_IN, 8, 64), copy(COPY_OUT, 8, 64)])
    for _ in range(5):
        bench.step()
    assert bench.die.cores.copier[0]["bytes"].tolist() == [4 * 64, 3 * 64]


@pytest.mark.parametrize(("first", "moved"), [(0, [0, 0, 64, 0, 64, 64, 64]), (64, [0, 0, 0, 64, 0, 64, 64, 64])])
@pytest.mark.parametrize("unit", [COPY_IN, COPY_OUT])
def test_the_vector_unit_comes_first_at_the_ports_of_the_buffer(unit, first, moved):
    # in cycles 1 to 4 the vector unit has banks 0 to 3 and 4 to 7 in turn; every row of the copy has banks 0 to 3
    params = chip(lanes=32, vector_read_bytes=64, vector_write_bytes=64, buffer_banks=8, bank_bytes=16)
    work = elements(128, a=first if unit == COPY_IN else 0, out=first if unit == COPY_OUT else 0)
    rows = copy(unit, 4, 64)
    rows["a_ld"] = rows["out_ld"] = 0
    bench = CoreBench(params, [work, rows])
    assert copied(bench, len(moved), unit - COPY_IN) == moved
    assert bench.die.cores.copier[0, unit - COPY_IN].conflicts == moved[2:].count(0)
    assert bench.die.cores.vector[0].conflicts == 0


def test_the_array_meets_the_vector_unit_no_more():
    rows = [product(OS, 2, 8, 40, group=4, a=OPERANDS, out=RESULTS), *[elements(400) for _ in range(5)]]
    shared = [product(OS, 2, 8, 40, group=4), *[elements(400) for _ in range(5)]]
    separate, unified = CoreBench(chip(), rows), CoreBench(core_params(), shared)
    separate.run()
    unified.run()
    assert unified.die.cores.vector[0].conflicts > 0
    assert separate.die.cores.vector[0].conflicts == 0


@pytest.mark.parametrize(("k", "meets"), [(8, False), (80, True)])
def test_a_copy_waits_for_banks_from_which_the_array_reads_sums(k, meets):
    # a second and later fold adds to the sums of the one before
    rows = [
        product(IS, 2, 40, k, group=4, contiguous=K_CONTIGUOUS, a=OPERANDS, out=RESULTS),
        copy(COPY_OUT, 40, 128, a=RESULTS, out=0),
    ]
    bench = CoreBench(chip(), rows)
    bench.run()
    assert (bench.die.cores.copier[0, 1].conflicts > 0) == meets


@pytest.mark.parametrize("seed", range(12))
def test_plain_and_skip_mode_agree(seed):
    dice = Dice(seed)
    rows = []
    for _ in range(8):
        flow = dice((IS, OS, WS))
        layout = {"contiguous": K_CONTIGUOUS} if flow == IS else {}
        rows.append(product(flow, 2, dice((8, 40)), dice((8, 30)), group=4, **layout, a=OPERANDS, out=RESULTS))
        rows.append(copy(dice((COPY_IN, COPY_OUT)), dice((1, 9)), dice((64, 10, 200))))
        rows.append(elements(dice((40, 400))))
    ends = []
    for plain in (True, False):
        bench = CoreBench(chip(copy_latency=1 + seed % 3), [row.copy() for row in rows], plain=plain)
        end = bench.run()
        cores = bench.die.cores
        ends.append((end, cores.copier.tolist(), cores.vector.conflicts.tolist(), cores.signal.tolist()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("flow", [IS, WS])
def test_the_closed_form_holds_with_ports_of_its_own(flow, seed):
    dice = Dice(seed)
    params = chip(operand_banks=dice((4, 1)), output_banks=dice((8, 2, 1)), array_bank_bytes=dice((16, 32)))
    shape = drawn(dice, params, flow, (0, 2), m=None if flow == IS else dice(range(1, 9)))
    layout = K_CONTIGUOUS if flow == IS else 0
    got, pace = stepped(params, *shape, layout)
    want = closed(params, *shape, layout) + 1
    assert got == want - (pace - 1) if flow == IS else got <= want


def test_narrow_ports_of_its_own_slow_the_array_down():
    def cycles(**changes):
        rows = [product(OS, 8, 8, 40, group=4, a=OPERANDS, out=RESULTS)]
        return CoreBench(chip(**changes), rows).run()

    wide = cycles()
    assert cycles(operand_banks=1, array_bank_bytes=8) > wide
    assert cycles(output_banks=1) > wide
    assert cycles(buffer_banks=1, bank_bytes=8) == wide


class TestCopyIn(UnitKit):
    unit = COPY_IN

    def make_unit(self, waits):
        return CoreUnit(self.unit, [copy(self.unit, 2, 96) for _ in waits], waits, chip())


class TestCopyOut(TestCopyIn):
    unit = COPY_OUT


class TestArrayWithBuffersOfItsOwn(UnitKit):
    def make_unit(self, waits):
        rows = [product(OS, 2, 8, 3, group=4, a=OPERANDS, out=RESULTS) for _ in waits]
        return CoreUnit(ARRAY, rows, waits, chip())


def test_a_unified_core_has_no_copy_engine():
    for kind in (SNAKE, STRATUM):
        assert CoreBench(core_params(kind), [elements(4)]).die.cores.copier.shape == (1, 0)
