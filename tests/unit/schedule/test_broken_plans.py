"""The checker does not trust the search: programs of searched and drawn schedules, broken in one place, are refused."""

from functools import lru_cache

import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.program.encode import encode
from nmpsim.program.isa import FROM, MOVE, PASS, SEND, STREAM, V_REDUCE, V_SOFTMAX, WS
from nmpsim.schedule.check import check_hazards
from nmpsim.schedule.policy import make_schedule
from nmpsim.schedule.space import Space
from nmpsim.spec import resolve
from nmpsim.workload import decode_step
from tests.builders import KINDS, SNAKE, small_chip, small_model
from tests.unit.schedule.drafts import find, swapped, with_field, without

POLICIES = ("searched", "random-legal", "stratum")


@lru_cache
def made(kind, policy):
    params = resolve(small_chip(kind, 4))
    graph = decode_step(small_model(), 2, 21)
    return encode(make_schedule(policy, Space(graph, params, ("OS", "WS", "IS")), 5), params, (11, 95)), params


def faults_of(program, params):
    with pytest.raises(IllegalScheduleError) as raised:
        check_hazards(program, params)
    return " ".join(str(fault) for fault in raised.value.faults)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_whole_program_is_accepted(kind, policy):
    check_hazards(*made(kind, policy))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("op", [PASS, STREAM, SEND, V_SOFTMAX, V_REDUCE])
def test_an_output_that_nobody_makes_is_missed(kind, policy, op):
    program, params = made(kind, policy)
    assert faults_of(without(program, *find(program, op)), params)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_result_beyond_the_buffer_is_refused(kind, policy):
    program, params = made(kind, policy)
    pu, index = find(program, V_REDUCE)
    broken = with_field(program, pu, index, out=params.core.buffer_bytes - 2)
    assert "buffer" in faults_of(broken, params)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_semaphores_that_wait_for_one_another_are_found(kind, policy):
    """The first send of a PU waits for an arrival that comes only after it."""
    program, params = made(kind, policy)
    broken = program
    for pu in range(params.cores):
        place = find(program, SEND, pu=pu)
        broken = with_field(broken, *place, wait3=FROM + 2 * ((pu + 1) % params.cores), count3=10**6)
    assert "wait" in faults_of(broken, params)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_pass_that_takes_another_order_than_is_delivered_is_refused(policy):
    program, params = made(SNAKE, policy)
    pu, index = find(program, PASS)
    group = int(program.streams[pu]["group"][index])
    flow = int(program.streams[pu]["flow"][index])
    changed = {"group": 1 if group > 1 else 2} if flow == WS else {"group": 4 if group != 4 else 2}
    assert faults_of(with_field(program, pu, index, **changed), params)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_streams_in_another_order_than_the_passes_are_refused(kind, policy):
    program, params = made(kind, policy)
    stream = program.streams[1]
    streams = [i for i in range(len(stream)) if stream["unit"][i] == MOVE and stream["op"][i] == STREAM]
    first, other = next((a, b) for a in streams for b in streams if a < b and stream["table"][a] != stream["table"][b])
    assert faults_of(swapped(program, 1, first, other), params)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_weights_of_another_row_are_refused(kind, policy):
    program, params = made(kind, policy)
    pu, index = find(program, STREAM)
    row = int(program.streams[pu]["row"][index])
    assert faults_of(with_field(program, pu, index, row=row + 1), params)
