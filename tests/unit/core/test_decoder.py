"""The decoder of a strip, cycle by cycle: beats of the DRAM taken, lock step, and what stays as with FP16."""

import numpy as np
import pytest

from nmpsim.program.beats import beats_of
from nmpsim.program.isa import B_FP8, B_FP16, B_INT4, B_INT8, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_N, TREE, WS
from nmpsim.program.packing import stored_beats
from tests.builders import SNAKE, STRATUM
from tests.unit.core.bench import CoreBench, core_params, product, tile_of

FLOWS = [
    (SNAKE, OS, N_CONTIGUOUS, 0),
    (SNAKE, WS, N_CONTIGUOUS, 0),
    (SNAKE, IS, K_CONTIGUOUS, 0),
    (STRATUM, TREE, N_CONTIGUOUS, SPLIT_N),
    (STRATUM, TREE, K_CONTIGUOUS, SPLIT_N),
]


def held(bench):
    """DRAM beats taken from each strip's FIFO."""
    return bench.die.channels.fifo["head"][0].tolist()


def stored(row, params):
    return [
        stored_beats(len(beats_of(tile_of(row), params.core, s)), int(row["imm"]), int(row["beats"]))
        for s in range(params.core.strips)
    ]


def bench_of(rows, params, *, plain=True, late=0):
    counts = np.sum([stored(row, params) for row in rows], axis=0)
    beats = [[late * i for i in range(int(count))] for count in counts]
    return CoreBench(params, rows, beats, plain=plain), counts.tolist()


def test_a_beat_of_8_bits_is_taken_over_two_cycles_and_the_rest_of_the_last_one_dropped():
    params = core_params()
    bench, _ = bench_of([product(OS, 1, 8, 5, group=4, imm=B_FP8)], params)
    # four strips take turns: k 0 and 4 are the two halves of the first strip's only beat
    seen = []
    for _ in range(8):
        bench.step()
        seen.append(held(bench))
    assert seen[1:6] == [[0, 0, 0, 0]] * 3 + [[0, 0, 0, 0]] + [[1, 1, 1, 1]]


def test_a_run_begins_with_a_beat_of_scales_that_leaves_with_its_first_part():
    params = core_params()
    bench, counts = bench_of([product(OS, 1, 8, 6, group=1, imm=B_INT8, beats=4)], params)
    assert counts == [3 + 2, 0, 0, 0]  # scales, two beats of codes; scales, one
    seen = []
    for _ in range(7):
        bench.step()
        seen.append(held(bench)[0])
    assert seen == [0, 1, 2, 2, 3, 4, 5]


def test_the_array_holds_as_a_whole_while_scales_or_codes_are_late():
    params = core_params()
    row = product(OS, 1, 8, 4, group=1, split=SPLIT_N, imm=B_FP8, beats=2)
    bench = CoreBench(params, [row], [[1, 4, 5, 9], [], [], []])
    assert bench.trace(12)[1:] == ["operand_late"] * 3 + ["busy", "busy"] + ["operand_late"] * 3 + ["busy", "busy"] + [
        "pipeline_drain"
    ]


@pytest.mark.parametrize("run", [0, 2, 4])
@pytest.mark.parametrize("code", [B_FP8, B_INT8, B_INT4])
@pytest.mark.parametrize(("kind", "flow", "contiguous", "split"), FLOWS)
@pytest.mark.parametrize("plain", [True, False])
def test_with_operands_in_time_the_cycles_are_those_of_fp16_and_every_beat_is_taken(
    kind, flow, contiguous, split, code, run, plain
):
    params = core_params(kind)
    shape = {"group": 2 if kind == SNAKE else 1, "split": split, "contiguous": contiguous}
    cycles, macs = [], []
    for b in (B_FP16, code):
        rows = [product(flow, 2, n, k, imm=b, beats=run if b else 0, **shape) for n, k in ((19, 21), (8, 5))]
        bench, counts = bench_of(rows, params, plain=plain)
        cycles.append(bench.run())
        assert held(bench) == counts
        macs.append(int(bench.actor["macs"].sum()))
    assert cycles[0] == cycles[1]
    assert macs[0] == macs[1] == 2 * (19 * 21 + 8 * 5)


@pytest.mark.parametrize("code", [B_FP8, B_INT4])
@pytest.mark.parametrize(("kind", "flow", "contiguous", "split"), FLOWS)
def test_a_slow_memory_is_waited_for_less_with_narrow_operands(kind, flow, contiguous, split, code):
    params = core_params(kind)
    shape = {"group": 1, "split": split, "contiguous": contiguous}
    cycles = [bench_of([product(flow, 1, 64, 64, imm=b, **shape)], params, late=20)[0].run() for b in (B_FP16, code)]
    assert cycles[1] < cycles[0]
