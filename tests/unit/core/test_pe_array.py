"""PE level: what enters, what leaves, and in which order; one behaviour per test."""

from __future__ import annotations

import numpy as np
import pytest

from nmpsim.core.pe import ArrayPass, run_passes
from nmpsim.core.state import REASONS
from nmpsim.errors import LimitReached
from nmpsim.program.isa import CHAIN, IS, OS, SPLIT_K, SPLIT_N, WS
from tests.unit.core.bench import core_params
from tests.unit.core.pe_bench import FLOWS, job

SPLITS = (CHAIN, SPLIT_K, SPLIT_N)


def reasons_of(run):
    return [REASONS[reason] for reason in run.trace.reason]


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("split", SPLITS, ids=["chain", "fission-K", "fission-N"])
@pytest.mark.parametrize("flow", FLOWS, ids=["OS", "WS", "IS"])
def test_results_are_the_matrix_product_and_every_product_is_made_once(flow, split, group):
    core = core_params(buffer_banks=2).core
    for m, n, k in [(2, 37, 29), (1, 1, 1), (1, 3, 2), (2 * group, 64, 64)]:
        one = job(m + n, flow, group, split, m, n, k)
        run = run_passes(core, [one, one])
        for result in run.results:
            np.testing.assert_array_equal(result, one.a @ one.b)
        assert run.trace.active.sum() == 2 * m * n * k


@pytest.mark.parametrize("flow", FLOWS, ids=["OS", "WS", "IS"])
def test_sums_wrap_round_as_int32(flow):
    large = 2**15 - 1
    core = core_params().core
    a, b = np.full((2, 8), large), np.full((8, 9), large)
    (result,) = run_passes(core, [ArrayPass(flow, 4, CHAIN, a, b)]).results
    assert 8 * large**2 > 2**31
    np.testing.assert_array_equal(result, np.full((2, 9), (8 * large**2 + 2**31) % 2**32 - 2**31))


def test_a_write_goes_on_during_a_hold():
    core = core_params(strips=1, strip_rows=2, columns=2, buffer_banks=1, bank_bytes=8).core
    jobs = [job(1, OS, 1, CHAIN, 2, 2, 3), job(3, OS, 1, CHAIN, 2, 2, 4)]
    on_time = run_passes(core, jobs)
    late = run_passes(core, jobs, [[0] * 5 + [30, 30]])
    first = [int(np.flatnonzero(run.trace.done == 1)[0]) for run in (on_time, late)]
    holds = [reason == "operand_late" for reason in reasons_of(late)]
    writes = late.trace.writing == 1
    assert sum(holds) > 20
    assert (writes & holds).sum() == 0  # the first fold has arrived only after the hold
    assert first[1] - first[0] == sum(holds)
    later = run_passes(core, jobs, [[0] * 6 + [30]])
    holds = np.array([reason == "operand_late" for reason in reasons_of(later)])
    assert ((later.trace.writing == 1) & holds).sum() == 2
    assert later.trace.move[holds].sum() == 0


def test_weights_load_while_the_array_holds_for_its_edges():
    core = core_params(strips=1, strip_rows=4, columns=4, buffer_banks=1, bank_bytes=4).core
    run = run_passes(core, [job(1, WS, 1, CHAIN, 3, 12, 4)])
    taken = np.diff(run.taken[:, 0], prepend=0)
    held = np.array([reason == "edge_bandwidth" for reason in reasons_of(run)])
    assert run.trace.move[held].sum() == 0
    assert taken[held].sum() > 0


def test_several_operands_are_under_way_at_once():
    """With m = 1 a fold of one row takes a cycle, and the array is far deeper than that."""
    core = core_params(strips=2, strip_rows=1, columns=8, buffer_banks=40).core
    one = job(1, WS, 1, CHAIN, 1, 160, 1)
    run = run_passes(core, [one])
    np.testing.assert_array_equal(run.results[0], one.a @ one.b)
    assert run.cycles < 10 + 1 + 8 + 8 + 4


def test_later_rows_of_a_do_not_disturb_the_fold_that_streams():
    core = core_params(strips=1, strip_rows=4, columns=4).core
    one = job(1, IS, 1, CHAIN, 4, 4, 20)
    run = run_passes(core, [one])
    np.testing.assert_array_equal(run.results[0], one.a @ one.b)
    assert reasons_of(run).count("load_stationary") == 4


def test_beats_that_never_come_are_reported():
    core = core_params().core
    with pytest.raises(LimitReached, match="1 passes are not complete after"):
        run_passes(core, [job(1, OS, 1, CHAIN, 1, 8, 8)], [[10**9] * 8] * 4, limit=100)
