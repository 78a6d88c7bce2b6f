"""Stores of new keys and values, and small messages to all: against the program, and against cases done by hand."""

import dataclasses

import numpy as np
import pytest

from nmpsim.analytic.model.ring.meeting import told
from nmpsim.analytic.model.step import predict
from nmpsim.analytic.model.timing.stores import MOVES, STORE, Refreshing, stored_by, stores, strips_of, written
from nmpsim.analytic.model.timing.units import streaming, way
from nmpsim.core.state import MOVE_SLOTS
from nmpsim.prediction import schedule_of
from nmpsim.program import isa
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.encode.step import encode
from nmpsim.program.schedule import PassPlan
from nmpsim.schedule.step import plan_step
from nmpsim.spec import load_chip, resolve
from nmpsim.workload import OperatorKind

SNAKE = resolve(load_chip("snake"))
BANKS = streaming(SNAKE, 0)


def test_as_many_stores_are_under_way_as_the_data_mover_has_slots():
    assert MOVES == MOVE_SLOTS


@pytest.mark.parametrize("chip", ["snake", "stratum"])
@pytest.mark.parametrize(("batch", "context"), [(3, 70), (17, 300)])
def test_stores_go_into_the_banks_of_the_program(chip, batch, context):
    plan = plan_step("llama-3.1-8b", chip, batch=batch, context=context, layers=1)
    schedule = schedule_of(plan)
    streams = encode(schedule, plan.params, plan.tokens).streams
    banks = {tuple(map(int, s["bank"][(s["unit"] == isa.MOVE) & (s["op"] == isa.STORE)])) for s in streams}
    assert set(stored_by(schedule.graph, schedule.attention, plan.params)) == banks


@pytest.mark.parametrize("group", [1, 2, 8, 16])
@pytest.mark.parametrize("split", [isa.SPLIT_N, isa.SPLIT_K])
@pytest.mark.parametrize(("flow", "contiguous"), [(isa.IS, isa.K_CONTIGUOUS), (isa.OS, isa.N_CONTIGUOUS), (isa.WS, 0)])
def test_a_token_lies_in_the_strips_that_deliver_it(flow, contiguous, group, split):
    shape = PassPlan(flow, group, split, isa.N_CONTIGUOUS if flow == isa.WS else contiguous)
    tokens, width = 150, 300
    keys = shape.contiguous == isa.K_CONTIGUOUS
    tile = Tile(flow, group, split, shape.contiguous, *((tokens, width) if keys else (width, tokens)), 0, ((0, 1),))
    for token in (0, 1, 17, 80, 149):
        found = []
        for strip in range(SNAKE.core.strips):
            found += [strip] * int((beats_of(tile, SNAKE.core, strip)[:, 0] == token).sum())
        assert strips_of(SNAKE.core, shape, token, width) == tuple(found)


def test_stores_into_different_banks_take_the_data_mover_and_one_write():
    one = written(SNAKE, BANKS, [0])
    assert written(SNAKE, BANKS, range(16)) == pytest.approx(15 * STORE + one)
    assert written(SNAKE, BANKS, []) == 0


def test_stores_into_one_bank_follow_each_other():
    one = written(SNAKE, BANKS, [3])
    assert written(SNAKE, BANKS, [3] * 5) == pytest.approx(one + 4 * float(BANKS.write))


def test_a_bank_that_is_late_holds_up_the_stores_of_all_others_behind_it():
    banks = [0] * 4 + [1 + i % 15 for i in range(30)]
    alone = written(SNAKE, BANKS, banks[4:])
    assert written(SNAKE, BANKS, banks) > written(SNAKE, BANKS, [0] * 4) + 14 * STORE
    assert written(SNAKE, BANKS, banks) > alone + 4 * STORE


def test_a_store_waits_for_the_refresh_that_its_bank_has_begun():
    one, refreshed = written(SNAKE, BANKS, [0]), float(BANKS.refreshed)
    quiet = Refreshing(0, 0, 0.5)
    assert written(SNAKE, BANKS, [0], quiet) == pytest.approx(one)
    begun = written(SNAKE, BANKS, [0], Refreshing(1, refreshed / 2, 0.5))
    assert one + refreshed / 2 - 3 <= begun <= one + refreshed / 2
    assert written(SNAKE, BANKS, [0], Refreshing(1, 2 * refreshed, 0.5)) == pytest.approx(one)  # over before


def test_without_refreshes_stores_are_as_they_are():
    calm = dataclasses.replace(SNAKE, dram=SNAKE.dram._replace(refresh=0))
    assert stores(calm, BANKS, [(0, 1), (2,)], 8.0, 0.0) == (written(calm, BANKS, (0, 1)), 2 * STORE)
    assert stores(SNAKE, BANKS, [(0, 0)], 8.0, 0.0)[0] > written(SNAKE, BANKS, (0, 0))


def test_flits_of_one_sender_meet_nobody():
    nodes = SNAKE.cores
    late = (True,) + (False,) * (nodes - 1)
    ratio = SNAKE.noc_period / SNAKE.core_period
    last = (nodes - 2) + float(way(SNAKE, (nodes - 1) // 2))  # the other way, with port 1, to the nearest
    assert told(SNAKE, 1, late) <= last + ratio
    assert told(SNAKE, 1, late) >= nodes // 2 - 1 + float(way(SNAKE, nodes // 2)) - ratio


def test_messages_of_all_take_longer_the_more_there_are():
    every = (True,) * SNAKE.cores
    some = tuple(i % 4 == 0 for i in range(SNAKE.cores))
    assert told(SNAKE, 1, some) <= told(SNAKE, 1, every) < told(SNAKE, 2, every) < told(SNAKE, 4, every)
    links = SNAKE.cores // 2 * (SNAKE.cores // 2 + 1) / 2 * SNAKE.noc_period / SNAKE.core_period
    assert told(SNAKE, 4, every) >= 4 * links  # what the links carry one way


def test_one_sequence_on_one_row_of_the_cache_is_stored_under_the_exchange():
    found = {}
    for batch in (1, 4):
        plan = plan_step("deepseek-v3", "snake", batch=batch, context=2048, layers=1, first_layer=3, stacks=1)
        with np.errstate(all="ignore"):
            steps = predict(schedule_of(plan), plan.params, plan.tokens)
        found[batch] = next(float(o.time.cycles) for o in steps if o.operator.kind is OperatorKind.KV_APPEND)
    assert found[1] == 1.0
    assert found[4] > 50


def test_who_is_known_to_be_late_shortens_a_norm():
    plan = plan_step("qwen2.5-32b", "snake", batch=2, context=512, layers=1)
    schedule = schedule_of(plan)
    with np.errstate(all="ignore"):
        norms = [o for o in predict(schedule, plan.params, plan.tokens) if o.operator.kind is OperatorKind.NORM]
    first, attention = norms[0].time, norms[1].time  # all begin alike, and only PUs with the widest slices
    assert dataclasses.replace(first, network=0.0) == dataclasses.replace(attention, network=0.0)
    assert attention.network < first.network
