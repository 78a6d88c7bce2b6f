"""A program that cannot end is named as such, with who waits for what; it never runs on for ever."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from nmpsim.errors import DeadlockError, InternalError, LimitReached
from nmpsim.machine.simulate import Simulation
from nmpsim.program.isa import PASS, SEND, STREAM, UNIT_NAMES, V_COPY, VECTOR
from tests.builders import KINDS, small_job
from tests.property.outcome import LIMIT
from tests.property.strategies import Dice, random_program


def with_stream(program, pu, stream):
    """The program with other instructions for one PU."""
    streams = list(program.streams)
    streams[pu] = stream
    return replace(program, streams=tuple(streams))


def without(program, pu, index):
    """The program less one instruction."""
    return with_stream(program, pu, np.delete(program.streams[pu], index))


def report(params, program, **options) -> str:
    """What the deadlock error says."""
    with pytest.raises(DeadlockError) as caught:
        Simulation(params, program, **options).run(limit_cycles=LIMIT)
    return str(caught.value)


def both_reports(params, program) -> str:
    """What skip mode says; plain mode says the same of every unit."""
    skip, plain = (report(params, program, plain=plain) for plain in (False, True))
    assert skip.splitlines()[1:] == plain.splitlines()[1:]
    return skip


def lines_of(text, core):
    return [line for line in text.splitlines() if f"core {core} " in line]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_never_sent_is_missed_by_its_receiver(kind):
    job = small_job(kind, 2)
    for pu in range(2):
        sends = np.flatnonzero(job.program.streams[pu]["op"] == SEND)
        for index in sends[:: max(1, len(sends) // 3)]:
            there = int(job.program.streams[pu]["bank"][index])
            text = both_reports(job.params, without(job.program, pu, index))
            assert any("messages" in line for line in lines_of(text, there)), text


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_for_a_count_that_is_never_reached_names_the_unit_and_the_counts(kind):
    job = small_job(kind, 2)
    dice = random.Random(1)
    for pu in (0, 1):
        waiting = np.flatnonzero(job.program.streams[pu]["wait0"] >= 0)
        for index in dice.sample(list(waiting), 3):
            stream = job.program.streams[pu].copy()
            stream["count0"][index] = 100_000
            text = both_reports(job.params, with_stream(job.program, pu, stream))
            unit = UNIT_NAMES[stream["unit"][index]]
            named = [line for line in lines_of(text, pu) if f"core {pu} {unit}:" in line]
            assert named, text
            assert "of 100000" in named[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_never_started_leaves_the_compute_unit_without_operands(kind):
    job = small_job(kind, 2)
    for pu in (0, 1):
        first = np.flatnonzero(job.program.streams[pu]["op"] == STREAM)[0]
        text = both_reports(job.params, without(job.program, pu, first))
        assert any("operand_late" in line for line in lines_of(text, pu)), text


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_that_is_never_asked_for_is_missed(kind):
    job = small_job(kind, 2)
    last = np.flatnonzero(job.program.streams[0]["op"] == PASS)[-1]
    text = both_reports(job.params, without(job.program, 0, last))
    assert any("instructions completed by array" in line for line in lines_of(text, 0)), text


def test_a_beat_that_nobody_takes_is_no_quiet_end():
    job = small_job(KINDS[0], 1)
    stream = job.program.streams[0]
    extra = stream[np.flatnonzero(stream["op"] == STREAM)[:1]].copy()
    for i in range(4):
        extra[f"wait{i}"] = -1
    end = extra.copy()
    end["unit"], end["op"], end["elements0"] = VECTOR, V_COPY, 100_000
    program = with_stream(job.program, 0, np.concatenate([stream, extra, end]))
    with pytest.raises(InternalError, match="never taken"):
        Simulation(job.params, program).run(limit_cycles=LIMIT)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_program_with_a_wrong_wait_ends_with_a_report(seed):
    dice = Dice(seed)
    drawn = random_program(dice)
    params, program, _ = drawn
    pu = max(range(params.cores), key=lambda p: len(program.streams[p]))
    stream = program.streams[pu].copy()
    index = dice(range(len(stream)))
    stream["wait3"][index], stream["count3"][index] = stream["unit"][index], 10_000
    text = both_reports(params, with_stream(program, pu, stream))
    assert f"core {pu} {UNIT_NAMES[stream['unit'][index]]}:" in text
    assert f"instructions completed by {UNIT_NAMES[stream['unit'][index]]}" in text


@pytest.mark.parametrize("plain", [False, True])
def test_the_limit_is_reached_before_the_end_but_a_deadlock_is_no_limit(plain):
    job = small_job(KINDS[0], 1)
    with pytest.raises(LimitReached, match="limit of 50 core cycles"):
        Simulation(job.params, job.program, plain=plain).run(limit_cycles=50)
    Simulation(job.params, job.program, plain=plain).run(limit_cycles=LIMIT)
