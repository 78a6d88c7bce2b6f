"""Attention item by item: worked by hand, never earlier than any unit can be, and many chips at once as each alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.analytic.model.timing.attending import rounds_of
from nmpsim.analytic.model.timing.heads import HeadTimes
from nmpsim.analytic.model.timing.timeline import Items, Loop, Pass, attended
from nmpsim.schedule.step import plan_step

SCORE = Pass(array=10.0, stream=0.0, lead=0.0, stands=5.0, rest=0.0, again=0.0)
VALUE = Pass(array=20.0, stream=0.0, lead=0.0, stands=5.0, rest=0.0, again=0.0)
ITEMS = Items(
    SCORE, VALUE, (Loop(30.0, 1.0, 1.0),), (Loop(6.0, 1.0, 1.0),), pipeline=4.0, ahead=8.0, first=0.0,
    reconfigure=2.0, holds=1.0, sent=0.0, last=0.0, queued=1.0,
)  # fmt: skip


def test_two_items_by_hand():
    """Score 0 steps until 10 and stands at 15; score 1 until 20, stands at 25.

    Softmax 0 takes 15 to 45, softmax 1 45 to 75, 4 more of its pipeline each.  The array is ready for values at 26
    (score 1 has drained at 24), value 0 begins at 49: until 69, stands at 74; value 1 waits for softmax 1, 79 to 99.
    Sum 0 waits for softmax 1 to leave the vector unit: 75 to 81; sum 1 from 104 to 110, and 4 of the pipeline.
    """
    ends = attended(ITEMS, (2,), 1)
    assert ends.scores == 25
    assert ends.softmax == 79
    assert ends.values == 114


def test_a_loop_is_slowed_only_while_the_array_steps():
    """Softmax 0 of the two: 5 of its 15 to 45 are beside score 1 (15 to 20), at half the speed: 2.5 more."""
    slowed = replace(ITEMS, softmax=(Loop(30.0, 2.0, 1.0),))
    assert attended(slowed, (1,), 1).softmax == attended(ITEMS, (1,), 1).softmax
    assert attended(slowed, (2,), 1).softmax == attended(ITEMS, (2,), 1).softmax + 2.5


def test_banks_read_ahead_what_the_fifo_holds():
    """16 cycles of the banks, 10 of the array: the first item takes 16; the second finds 8 done when it may begin."""
    late = replace(ITEMS, score=replace(SCORE, stream=16.0), softmax=(Loop(1.0, 1.0, 1.0),))
    assert attended(late, (1,), 1).scores == 16 + 5
    values = replace(ITEMS, value=replace(VALUE, stream=28.0))  # 28 of the banks, 8 ahead: as long as the array's 20
    assert attended(values, (1,), 1).values == attended(ITEMS, (1,), 1).values


def test_results_stand_still_while_the_next_pass_waits_for_beats():
    """20 cycles of the banks, 10 of the array: score 1 begins at 20 and waits 10 of 20, score 0 has 5 to go: 5 more."""
    late = replace(ITEMS, score=replace(SCORE, stream=20.0), ahead=0.0)
    assert attended(late, (1,), 1).softmax == 20 + 5 + 30 + 4
    assert attended(late, (2,), 1).softmax == 20 + 5 + 5 + 2 * 30 + 4
    assert attended(replace(late, holds=0.0), (2,), 1).softmax == 20 + 5 + 2 * 30 + 4


def test_messages_hold_up_what_comes_behind_them():
    """Results that take 100 to send: value 2 waits for those of value 0, the next round's softmax for all."""
    sent = replace(ITEMS, sent=100.0, last=100.0)
    assert attended(sent, (2,), 1).sent == attended(ITEMS, (2,), 1).values - 114 + 85 + 200
    assert attended(sent, (2, 2), 1).softmax >= 85 + 200 + 2 * 30
    # in the second round score 0 begins when the sequencer is past the results of the first: when they are sent, or
    # when the last ones begin to be; the sum before stands at 114
    first = replace(sent, softmax=(Loop(0.0, 1.0, 1.0),))
    gone = attended(first, (2,), 1).sent
    assert attended(replace(first, queued=0.0), (2, 1), 1).scores == gone + 10 + 5
    assert attended(replace(first, queued=0.5), (2, 1), 1).scores == gone - 50 + 10 + 5


@pytest.mark.parametrize(("own", "together", "turns"), [(1, 1, 1), (5, 2, 1), (4, 4, 2), (3, 1, 4)])
def test_rounds_hold_every_item_once(own, together, turns):
    assert sum(rounds_of(own, together, turns)) == own * turns
    assert max(rounds_of(own, together, turns)) == together * turns


sizes = st.floats(0.0, 200.0)


@st.composite
def drawn(draw):
    def unit():
        array = draw(sizes)
        return Pass(array, draw(sizes), draw(sizes), 1 + draw(sizes), array * draw(st.sampled_from([0.0, 0.5])), 0.0)

    def loop():
        return Loop(draw(sizes), 1 + draw(sizes) / 50, 1 + draw(sizes) / 50)

    return Items(
        unit(), unit(), (loop(), loop()), (loop(),), 1 + draw(sizes) / 20, draw(sizes), draw(sizes), draw(sizes),
        draw(st.sampled_from([0.0, 1.0])), draw(sizes), draw(sizes), draw(st.floats(0.0, 1.0)),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(items=drawn(), own=st.integers(1, 6), together=st.integers(1, 4), turns=st.integers(1, 2), data=st.data())
def test_no_unit_is_faster_than_its_work(items, own, together, turns, data):
    together = min(together, own)
    rounds = rounds_of(own, together, turns)
    number = sum(rounds)
    ends = attended(items, rounds, turns)
    close = 1e-6
    assert ends.values >= number * (items.score.array + items.value.array) - close
    stream = items.first + number * (items.score.stream + items.value.stream)
    assert ends.values >= stream - close
    lanes = number * sum(loop.alone for loop in (*items.softmax, *items.total))
    assert ends.values >= lanes - close
    assert ends.sent >= (number - turns) * items.sent + turns * items.last - close
    assert ends.scores < ends.softmax < ends.values <= ends.sent + close
    # where units do not slow each other, more work ends no earlier; else it may: a loop then meets the array less
    softmax, total = ([Loop(loop.alone, 1.0, 1.0) for loop in loops] for loops in (items.softmax, items.total))
    items = replace(items, holds=0.0, softmax=tuple(softmax), total=tuple(total))
    slower = data.draw(st.sampled_from(["array", "stream"]))
    worse = replace(items, score=replace(items.score, **{slower: getattr(items.score, slower) + 10}))
    worse = replace(worse, value=replace(worse.value, rest=0.0), score=replace(worse.score, rest=0.0))
    better = replace(items, value=replace(items.value, rest=0.0), score=replace(items.score, rest=0.0))
    assert attended(worse, rounds, turns).values >= attended(better, rounds, turns).values - close


@settings(max_examples=40, deadline=None)
@given(several=st.lists(drawn(), min_size=2, max_size=4), own=st.integers(1, 5), turns=st.integers(1, 2))
def test_many_chips_at_once_are_as_each_alone(several, own, turns):
    def stacked(values):
        first = values[0]
        if isinstance(first, float):
            return np.array(values)
        if isinstance(first, tuple):
            return tuple(stacked([v[i] for v in values]) for i in range(len(first)))
        return type(first)(*(stacked([getattr(v, name) for v in values]) for name in first.__dataclass_fields__))

    rounds = rounds_of(own, min(2, own), turns)
    at_once = attended(stacked(several), rounds, turns)
    for i, items in enumerate(several):
        alone = attended(items, rounds, turns)
        for name in ("scores", "softmax", "values", "sent"):
            assert getattr(at_once, name)[i] == pytest.approx(getattr(alone, name))


def test_results_of_many_turns_are_no_more_than_those_of_few():
    """128 heads on 16 PUs: in 64 turns a turn has 2 heads, all of one PU, and not the 8 that a PU has."""
    plan = plan_step("deepseek-v3", "snake", batch=1, context=4096, layers=1, stacks=1)
    schedule, params = plan.schedule(), plan.params
    sent = {}
    for turns in (16, 64):
        times = HeadTimes(schedule.graph, params, replace(schedule.attention, turns=turns), stores=None)
        sent[turns] = float(times.attention()[2].network)
    statistics = (64 - 16) * 2 * params.cores / 2  # two flits more in every turn, of half of the PUs by a port
    assert 0 < sent[64] <= sent[16] + statistics
