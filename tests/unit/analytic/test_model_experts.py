"""Closed forms of experts and of GEMMs over K: against their definitions, and against runs where they are exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nmpsim
from nmpsim.analytic.model.counting.shares import begun
from nmpsim.analytic.model.step import predict
from nmpsim.analytic.model.timing import chunks as over_k
from nmpsim.analytic.model.timing import gemms, units
from nmpsim.analytic.model.timing.places import told_beside, words_from_results
from nmpsim.program.encode.gemm import column_shares, width
from nmpsim.program.encode.reduction import chunk_step
from nmpsim.program.schedule import OVER_K, OVER_N
from nmpsim.schedule.step import plan_step
from nmpsim.spec import load_chip, resolve
from nmpsim.workload import OperatorKind

SNAKE = resolve(load_chip("snake"))


@pytest.mark.parametrize("model", ["olmoe-1b-7b", "deepseek-v3"])
def test_the_sum_of_every_token_begins_once_with_its_first_expert_unless_a_shared_one_began_it(model):
    graph = plan_step(model, "snake", batch=9, context=64, layers=1, **_layer(model)).graphs[0]
    first: dict[int, int] = {}
    for operator in graph.operators:
        if operator.kind is OperatorKind.COMBINE:
            for token in operator.tokens:
                first.setdefault(token, operator.expert)
    for operator, fresh in zip(graph.operators, begun(graph), strict=True):
        if operator.kind is OperatorKind.COMBINE:
            expected = [first[t] == operator.expert and model != "deepseek-v3" for t in operator.tokens]
            assert list(fresh) == expected


def _layer(model):
    return {"first_layer": 3, "stacks": 1} if model == "deepseek-v3" else {}


@pytest.mark.parametrize(("place", "cycles"), [(3, 4), (20, 3)])
def test_words_meet_the_loop_as_the_drawing_says(place, cycles):
    assert told_beside(SNAKE, 512, (False,), place) == cycles


def test_words_beside_no_loop_take_a_cycle_each():
    assert told_beside(SNAKE, 512, (), 3) == 2


@pytest.mark.parametrize(("model", "over"), [("olmoe-1b-7b", OVER_N), ("deepseek-v3", OVER_K)])
def test_combines_take_the_cycles_of_the_run(model, over):
    options = {"batch": 3 if over == OVER_N else 1, "context": 512, "layers": 1, **_layer(model)}
    run = nmpsim.simulate(model, "snake", **options)
    plan = plan_step(model, "snake", **options)
    schedule = plan.schedule()
    downs = [i for i, o in enumerate(schedule.graph.operators) if o.kind is OperatorKind.DOWN and o.expert >= 0]
    assert {schedule.gemm[i].over for i in downs} == {over}
    assert (words_from_results(schedule, plan.params, plan.tokens) is None) == (over == OVER_N)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = predict(schedule, plan.params, plan.tokens)
    pairs = [
        (float(f.time.cycles), o.cycles)
        for f, o in zip(found, run.operators, strict=True)
        if f.operator.kind is OperatorKind.COMBINE
    ]
    assert len(pairs) == len(downs)
    assert [predicted for predicted, _ in pairs] == [cycles for _, cycles in pairs]


@given(blocks=st.integers(1, 70), chunks=st.integers(1, 8))
def test_chunks_hold_all_columns_and_are_as_many_as_the_encoder_cuts(blocks, chunks):
    columns, pus = SNAKE.core.columns, SNAKE.cores
    total = blocks * columns
    shares = column_shares(total, columns, pus)
    segments = [((first, number),) if number else () for first, number in shares]
    step = chunk_step(segments, chunks, max(1, SNAKE.noc.flit_bytes // 4))
    widest = max(width(s) for s in segments)
    cut = over_k.scatter_of(SNAKE, total, columns, widest, chunks, 0)
    assert cut.number == -(-widest // step)
    assert cut.piece == min(step, widest)
    own = [sum(max(0, min(number, (i + 1) * step) - i * step) for _, number in shares) for i in range(int(cut.number))]
    assert cut.whole * cut.columns + cut.thin * cut.rest == pytest.approx(total, abs=2 * float(cut.number))
    if cut.thin:
        assert cut.rest == pytest.approx(np.mean(own[int(cut.whole) :]), abs=1)


def test_an_operation_rounds_up_for_itself():
    loop = gemms.Loop(0.5, 4, 0, 0, 4, 128)
    whole = gemms.Loop(0.5, 4, 0, 0, 4)
    assert loop.slots(SNAKE, 1, 1792, 1) == 7 * units.slots(SNAKE, 128, 4, 0, 4)
    assert whole.slots(SNAKE, 1, 1792, 1) == units.slots(SNAKE, 896, 4, 0, 4) < loop.slots(SNAKE, 1, 1792, 1)


@given(turn=st.integers(1, 500), stream=st.integers(200, 400), number=st.integers(1, 6))
def test_chunks_end_no_sooner_than_their_passes_and_reductions_one_after_the_other(turn, stream, number):
    s = units.streaming(SNAKE, np.asarray(0))
    cut = over_k.Scatter(number, 2048, 0, 1, 128)
    part = over_k.Part(float(stream), 100.0, 133.0)
    found = over_k.chained(SNAKE, s, cut, (part, part), over_k.Turns(turn, turn, 1.0, 0.0))
    ahead = SNAKE.dram.fifo_columns / SNAKE.dram.columns * s.row
    assert found >= number * stream - ahead + part.drain + turn
    assert found >= stream - ahead + part.drain + number * turn
    if number == 1:
        assert found == pytest.approx(stream - ahead + part.drain + 1 + turn)
