"""The closed form of a pass against the compute unit stepped cycle by cycle, all operands in time.

Counted from the cycle in which the pass is taken to the one in which its completion is signalled:

=====  ===================================================================================================
flow   stepped cycles
=====  ===================================================================================================
OS     the closed form, as long as a fold streams for longer than it is written, and the accumulator sets
       suffice: no more folds than sets, or (sets - 1) * K >= skew + depth + write; more cycles otherwise
IS     the closed form + 1 for the write of the last result, less what the edge bandwidth would add to the
       last step (pace - 1)
WS     the closed form + 1, if every fold fills its strips and streams for longer than the next one loads;
       never more than that
TREE   the closed form, if every fold fills its registers and there are no more output folds than sets
=====  ===================================================================================================
"""

from __future__ import annotations

import pytest

from nmpsim.analytic.array import pass_cycles
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from tests.builders import SNAKE, STRATUM
from tests.property.strategies import Dice
from tests.unit.core.bench import CoreBench, core_params, product

SEEDS = range(60)


def stepped(params, flow, m, n, k, group, split, contiguous):
    """(cycles, pace) of one pass on the bench; it is taken in cycle 1."""
    bench = CoreBench(params, [product(flow, m, n, k, group=group, split=split, contiguous=contiguous)], plain=False)
    return bench.run() - 1, int(bench.actor[0].pace)


def closed(params, flow, m, n, k, group, split, contiguous):
    return pass_cycles(params.core, flow, group, split, contiguous, m, n, k)


def array(dice, **changes):
    return core_params(
        SNAKE, pe_latency=dice((0, 1, 3)), fold_sets=dice((2, 1)), buffer_banks=dice((40, 8, 2)), **changes
    )


def drawn(dice, params, flow, splits, m=None):
    group = dice((1, 2, 4))
    rows = group * params.core.strip_rows
    m = m or dice(range(1, 1 + rows))
    return flow, m, dice(range(1, 60)), dice(range(1, 80)), group, dice(splits)


def test_os():
    limited, exact = 0, 0
    for seed in range(150):
        dice = Dice(seed)
        params = array(dice)
        core = params.core
        flow, m, n, k, group, split = drawn(dice, params, OS, (CHAIN, SPLIT_K, SPLIT_N))
        groups, blocks, port = core.strips // group, -(-n // 8), core.buffer_banks * core.bank_bytes
        folds = blocks if split == SPLIT_K else -(-blocks // groups)
        steps = -(-k // groups) if split == SPLIT_K else k
        write = m * -(-(groups if split == SPLIT_K else min(groups, blocks)) * 8 * 4 // port)
        skew = 8 * (groups - 1) if split == CHAIN else 0
        tail = skew + group * core.strip_rows + 8 - 1 + core.pe_latency + write
        got, pace = stepped(params, flow, m, n, k, group, split, N_CONTIGUOUS)
        want = closed(params, flow, m, n, k, group, split, N_CONTIGUOUS)
        if pace > 1 or write > steps:
            continue
        if folds <= core.fold_sets or (core.fold_sets - 1) * steps >= tail:
            assert got == want, seed
            exact += 1
        else:
            assert got > want, seed
            limited += 1
    assert min(limited, exact) > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_is(seed):
    dice = Dice(seed)
    params = array(dice)
    shape = (*drawn(dice, params, IS, (CHAIN, SPLIT_N)), K_CONTIGUOUS)
    got, pace = stepped(params, *shape)
    assert got == closed(params, *shape) + 1 - (pace - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_ws(seed):
    dice = Dice(seed)
    params = array(dice)
    flow, m, n, k, group, split = drawn(dice, params, WS, (CHAIN, SPLIT_K, SPLIT_N), m=dice(range(1, 9)))
    shape = (flow, m, n, k, group, split, N_CONTIGUOUS)
    got, pace = stepped(params, *shape)
    assert got <= closed(params, *shape) + 1
    own = k // (4 // group) if split == SPLIT_K else k
    if m * pace >= params.core.strip_rows and own >= params.core.strip_rows and k % 4 == 0:
        assert got == closed(params, *shape) + 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("contiguous", "split"), [(N_CONTIGUOUS, SPLIT_K), (N_CONTIGUOUS, SPLIT_N), (K_CONTIGUOUS, SPLIT_N)]
)
def test_tree(seed, contiguous, split):
    dice = Dice(seed)
    params = core_params(STRATUM, pe_latency=dice((5, 0)), register_beats=dice((4, 2)))
    core = params.core
    m, folds, outputs = dice(range(1, 9)), dice((1, 2, 5)), dice((1, 2))
    beats, slices, cols = core.register_beats, core.strips, core.columns
    if contiguous == K_CONTIGUOUS:
        n, k = outputs * slices * beats, folds * cols
    elif split == SPLIT_K:
        n, k = outputs * cols, folds * slices * beats
    else:
        n, k = outputs * slices * cols, folds * beats
    shape = (TREE, m, n, k, 1, split, contiguous)
    assert stepped(params, *shape)[0] == closed(params, *shape)
