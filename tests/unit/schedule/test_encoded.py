"""Programs of the encoder keep every rule; and a wait that can be left out unnoticed is one that nothing needs."""

import time

import pytest

from nmpsim.api import prepare
from nmpsim.errors import IllegalScheduleError
from nmpsim.functional import random_tensors, run
from nmpsim.schedule.check import check_hazards, check_program
from tests.builders import KINDS, SNAKE, STRATUM, small_chip, small_job, small_model
from tests.unit.schedule.drafts import waits_of, without_wait


@pytest.mark.parametrize(("batch", "context"), [(1, 1), (1, 21), (3, 40)])
@pytest.mark.parametrize("pus", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_is_legal(kind, moe, pus, batch, context):
    job = small_job(kind, pus, moe=moe, batch=batch, context=context)
    check_hazards(job.program, job.params)


@pytest.mark.parametrize("pus", [3, 4])
@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_behind_one_another_are_legal(kind, moe, pus):
    job = small_job(kind, pus, moe=moe, batch=2, context=5, layers=3)
    check_hazards(job.program, job.params)


@pytest.mark.parametrize(
    "changes",
    [
        {"head_dim": 12},  # heads that do not fill their beats
        {"hidden": 40, "ffn": 56},  # fewer blocks of columns than balanced shares
        {"heads": 4, "kv_heads": 4},
        {"vocab": 97},
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_odd_dimensions_are_legal(kind, changes):
    job = prepare(small_model(**changes), small_chip(kind, 3), batch=3, context=9)
    check_hazards(job.program, job.params)


@pytest.mark.parametrize(
    ("model", "chip", "batch", "context"),
    [
        ("llama-3.1-8b", SNAKE, 2, 64),
        ("llama-3.1-8b", STRATUM, 1, 128),
        pytest.param("llama-3.1-70b", SNAKE, 3, 100, marks=pytest.mark.slow),
        pytest.param("mixtral-8x7b", SNAKE, 4, 64, marks=pytest.mark.slow),
        pytest.param("mixtral-8x7b", STRATUM, 5, 33, marks=pytest.mark.slow),
        pytest.param("llama-3.1-8b", SNAKE, 16, 4096, marks=pytest.mark.slow),
    ],
)
def test_shipped_models_on_shipped_chips_are_legal(model, chip, batch, context):
    job = prepare(model, chip, batch=batch, context=context, layers=1)
    check_hazards(job.program, job.params)


@pytest.mark.slow
def test_a_whole_model_is_checked_within_three_seconds():
    job = prepare("llama-3.1-8b", SNAKE, batch=16, context=4096)
    begin = time.process_time()
    check_program(job.program, job.params)
    assert time.process_time() - begin < 3


def is_legal(program, params):
    """Whether all rules hold."""
    try:
        check_hazards(program, params)
    except IllegalScheduleError:
        return False
    return True


def executed(program, job, seed=None):
    """Bytes of the results, computed by the interpreter in a random legal order."""
    tensors = random_tensors(job.model, 2, 21, 1, 1)
    results = run(program, job.params, tensors, seed, record=False).results
    return {name: values.tobytes() for name, values in results.items()}


@pytest.mark.slow
def test_a_dropped_wait_is_noticed_or_changes_no_result_in_any_order():
    """The interpreter shares nothing with the checker; its random orders let units lag far behind one another."""
    job = small_job(SNAKE)
    wanted, noticed = executed(job.program, job), 0
    for pu, index, which in waits_of(job.program):
        program = without_wait(job.program, pu, index, which)
        if is_legal(program, job.params):
            assert all(executed(program, job, seed) == wanted for seed in (1, 2)), (pu, index, which)
        else:
            noticed += 1
    assert noticed


@pytest.mark.parametrize(
    ("kind", "pus", "moe"),
    [
        (SNAKE, 2, False),
        pytest.param(STRATUM, 2, False, marks=pytest.mark.slow),
        pytest.param(SNAKE, 3, True, marks=pytest.mark.slow),
    ],
)
def test_without_all_waits_that_can_go_unnoticed_results_are_the_same_and_every_other_wait_is_noticed(kind, pus, moe):
    """Waits are dropped one after the other, for good where the checker accepts: what is left is all needed."""
    job = small_job(kind, pus, moe=moe)
    least = job.program
    for pu, index, which in waits_of(job.program):
        program = without_wait(least, pu, index, which)
        if is_legal(program, job.params):
            least = program
    assert len(waits_of(least)) < len(waits_of(job.program))
    assert not any(is_legal(without_wait(least, *wait), job.params) for wait in waits_of(least))
    wanted = executed(job.program, job)
    assert all(executed(least, job, seed) == wanted for seed in range(10))
