"""The controller exact to Ramulator 2.1 against its oracle: random traffic, and the recorded cases for the oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import event, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from nmpsim.conformance.case import load_case
from nmpsim.dram.check import check_commands
from nmpsim.dram.reference import ReferenceRun
from nmpsim.errors import DeadlockError, LimitReached
from nmpsim.kernel import LANE
from tests.oracle.dram_device import Issued, Request
from tests.oracle.dram_reference import Oracle, Outcome, Setup
from tests.property.reference_traffic import (
    BURSTS,
    Stream,
    Traffic,
    digests,
    random_protocol,
    random_setup,
    random_traffic,
    seen,
)
from tests.property.strategies import drawn_by

CASES = sorted((Path(__file__).parents[1] / "golden" / "dram").glob("r21_*"))

DRAINED = range(100, 112)
"""Seeds of traffic that is all served."""

SITUATIONS = (
    "write mode on at the high mark",
    "write mode off with writes left",
    "forwarded",
    "forwarded read queues behind another",
    "merged",
    "read refused",
    "write refused",
    "row_hits",
    "row_misses",
    "row_conflicts",
    "served from the active list",
    "served from its queue",
    "two commands in a tick",
    "a window binds",
    "a sibling binds",
    "a row hit keeps its row",
    "refresh while a queue is full",
    "a refresh closes banks first",
    "a refreshed set rests",
    "a refresh waits for the priority queue",
    "priority head waits for an active bank",
    "REFab",
    "REFpb",
    "PREab",
    "RDA",
    "WRA",
    "auto-precharge is not ready",
    "precharge asked for",
    "a precharge of closed banks",
    "a precharge on a falling edge",
    "a precharge pairs with another bank",
    "a precharge pairs with another pseudo channel",
    "a precharge may not pair",
    "a bank is closed under an active request",
    "a read overtakes an active write",
    "end: drained",
    "end: limit",
    "end: deadlock",
    "end: overflow",
)
"""What the random traffic must have met; `Oracle.met` and `Oracle.counters` say when."""


def consult(traffic: Traffic, **options: bool) -> Outcome:
    """Ask the oracle."""
    given = {"max_inject": traffic.max_inject, "drain": traffic.drain, "limit": traffic.limit}
    return Oracle(traffic.protocol, traffic.setup, traffic.asked(), **given, **options).run()


def issued(run: ReferenceRun) -> list[Issued]:
    kinds = run.commands["type"].tolist()
    lines = zip(run.issued(), kinds, strict=True)
    return [Issued(one.clock, one.command, one.address, one.row, one.column, kind) for one, kind in lines]


def compare(traffic: Traffic) -> Outcome:
    """Kernel, in both modes, and oracle: the same, to the last command and the last count."""
    expected = consult(traffic)
    if expected.end != "drained":
        error = DeadlockError if expected.end == "deadlock" else LimitReached
        for plain in (False, True):
            with pytest.raises(error) as raised:
                traffic.run(plain=plain)
            assert raised.type is error
        return expected
    run, plain = traffic.run(), traffic.run(plain=True)
    assert seen(plain) == seen(run)
    commands = issued(run)
    for number, (got, want) in enumerate(zip(commands, expected.commands, strict=False)):
        assert got == want, f"command {number}"
    assert len(commands) == len(expected.commands)
    assert run.accept.tolist() == [request.accept for request in expected.requests]
    assert run.done.tolist() == [request.done for request in expected.requests]
    assert run.ticks == expected.ticks == sum(run.reasons.values())
    assert {name: expected.counters[name] for name in run.counters} == run.counters
    assert_sound(traffic, run, commands, expected)
    return expected


# ------------------------------------------------------------------- what must hold whatever the order of the commands


def assert_sound(traffic: Traffic, run: ReferenceRun, commands: list[Issued], outcome: Outcome) -> None:
    """Properties that follow from the rules, seen in the kernel's commands and completions."""
    assert check_commands(run.issued(), traffic.protocol, beyond_peer=False) == []
    assert_each_is_served_once(traffic, run, commands)
    if len(set(traffic.requests["addr"].tolist())) == len({place(request) for request in outcome.requests}):
        assert_reads_follow_waiting_writes(run, commands, outcome.requests)
    assert outcome.most["read"] <= traffic.setup.read_queue
    assert outcome.most["write"] <= traffic.setup.write_queue
    assert outcome.most["priority"] <= traffic.setup.priority_queue
    if not outcome.met["a bank is closed under an active request"]:
        assert_queues_fit(traffic.setup, run, commands, outcome.requests)
        assert_nobody_starves(traffic, run, commands, outcome.requests)


def place(request: Request) -> tuple[object, ...]:
    return request.address, request.row, request.column


def assert_each_is_served_once(traffic: Traffic, run: ReferenceRun, commands: list[Issued]) -> None:
    """One column command each, at the tick that explains its completion, but for those forwarded or merged."""
    left: Counter[tuple[object, ...]] = Counter()
    for request, done in zip(traffic.asked(), run.done.tolist(), strict=True):
        left[request.kind, place(request), done] += 1
    served = [0, 0]
    for one in commands:
        if one.command in {"RD", "WR", "RDA", "WRA"}:
            done = one.clock + (0 if one.kind else traffic.protocol.read_latency)
            left[one.kind, (one.address, one.row, one.column), done] -= 1
            served[one.kind] += 1
    assert min(left.values(), default=0) >= 0
    writes = int(traffic.requests["is_write"].sum())
    assert served[1] == writes - run.counters["merged"]
    assert served[0] == len(traffic.requests) - writes - run.counters["forwarded"]
    assert (run.done > run.accept).all()


def assert_reads_follow_waiting_writes(run: ReferenceRun, commands: list[Issued], requests: list[Request]) -> None:
    """A read that is not forwarded finds no write to its address waiting: that was written, or its row was opened.

    The peer takes a write out of the addresses that it forwards from when the row is opened for it, not when it is
    written; a read that is accepted in between may overtake it.  So this is all that can be promised.
    """
    began: dict[tuple[object, ...], list[int]] = {}
    for one in commands:
        if one.kind == 1 and one.command in {"ACT", "WR", "WRA"}:
            began.setdefault((one.address, one.row, one.column), []).append(one.clock)
    written: dict[tuple[object, ...], int] = {}
    for request, accept in zip(requests, run.accept.tolist(), strict=True):
        if request.served != "column":
            continue
        if request.kind == 1:
            written[place(request)] = accept
        elif place(request) in written:
            assert any(written[place(request)] < clock <= accept for clock in began[place(request)])


def assert_queues_fit(setup: Setup, run: ReferenceRun, commands: list[Issued], requests: list[Request]) -> None:
    """Entries of the queues and of the active list, followed from accepted requests and issued commands alone."""
    changes: list[tuple[int, int, Issued | int]] = [
        (accept + 1, 0, request.kind)
        for request, accept in zip(requests, run.accept.tolist(), strict=True)
        if request.served == "column"
    ]
    changes += [(one.clock, 1, one) for one in commands if one.kind >= 0 and one.command != "PREpb"]
    waiting, limits = [0, 0], (setup.read_queue, setup.write_queue)
    active: dict[tuple[int, ...], tuple[object, ...]] = {}
    for _, _, change in sorted(changes, key=lambda change: change[:2]):
        if isinstance(change, int):
            waiting[change] += 1
        elif change.command == "ACT":
            assert change.address not in active
            active[change.address] = (change.kind, change.row, change.column)
            waiting[change.kind] -= 1
        elif active.get(change.address) == (change.kind, change.row, change.column):
            del active[change.address]
        else:
            waiting[change.kind] -= 1
        for entries, limit in zip(waiting, limits, strict=True):
            assert 0 <= entries <= limit
    assert waiting == [0, 0]
    assert not active


def assert_nobody_starves(traffic: Traffic, run: ReferenceRun, commands: list[Issued], requests: list[Request]) -> None:
    """The wait of a request is bounded, by two lemmas; both hold where no bank is closed under an active request.

    *Progress.*  While a request waits, two commands are at most G = L + 4 ticks apart; L is the largest latency of the
    table.  L ticks after a command, the table allows every command.  Then an active request has its column (its row is
    open); else the head of the priority queue may go, as it closes no active bank; else the queue of the write mode
    holds something that may go: a precharge that the row-hit guard holds back leaves the hit itself.  The four ticks:
    a falling edge, a turn of the write mode, and the same again for the next slot.

    *Work.*  Let m requests be in the controller at some time while one waits, and R refreshes be issued in that time.
    A request takes at most one ACT, as no other row can replace the one that it opened; one column; and there are no
    more precharges than rows that were opened before (at most one per bank) or since, nor more precharges asked for by
    the row policy than columns.  A refresh takes at most two commands, and two refreshes may be cut by the ends.

    So it waits at most G * (4 m + 2 banks + 2 (R + 2)) ticks.
    """
    protocol = traffic.protocol
    G = max(latency for row in protocol.constraints for latency in row.latency) + 4
    clocks = np.array([one.clock for one in commands])
    refreshes = np.array([one.clock for one in commands if one.command.startswith("REF")])
    accept, done = run.accept, run.done
    for request, first, last in zip(requests, accept.tolist(), done.tolist(), strict=True):
        if request.served != "column":
            continue
        column = last - (0 if request.kind else protocol.read_latency)
        between = clocks[(clocks > first) & (clocks <= column)]
        assert np.diff(between, prepend=first, append=column).max() <= G
        m = int(((accept <= column) & (done >= first)).sum())
        R = int(((refreshes > first) & (refreshes <= column)).sum())
        work = 4 * m + 2 * protocol.banks + 2 * (R + 2)
        assert len(between) <= work
        assert column - first <= G * work


# ---------------------------------------------------------------------------------------------------------- the machine


class Channel(RuleBasedStateMachine):
    """Settings are drawn first, then bursts and pauses; in the end all of it is run."""

    met: ClassVar[Counter[str]] = Counter()
    most = 24

    @initialize(data=st.data())
    def build(self, data):
        choose = drawn_by(data.draw)
        protocol = random_protocol(choose)
        self.stream = Stream(protocol)
        self.setup = random_setup(choose, protocol)
        self.options = {
            "max_inject": choose((2, 1, 4)),
            "drain": choose((60, 0, 400)),
            "shared": choose((False, False, False, True)),
        }

    @rule(
        kind=st.sampled_from(BURSTS),
        size=st.integers(1, 8),
        pace=st.sampled_from((0, 0, 3, 20)),
        writes=st.sampled_from((0.3, 0.0, 0.7, 1.0)),
        seed=st.integers(0, 2**16),
    )
    def burst(self, kind, size, pace, writes, seed):
        self.stream.burst(kind, size * self.most // 8, pace, writes, seed)

    @rule(ticks=st.sampled_from((150, 10, 1000)))
    def wait(self, ticks):
        self.stream.wait(ticks)

    def teardown(self):
        if not hasattr(self, "options"):
            return
        outcome = compare(self.stream.traffic(self.setup, **self.options))
        met = situations(outcome)
        for name in sorted(met):
            event(name)
        if outcome.end == "drained":
            target(float(len(met)), label="situations met")
        self.met.update(met)


def situations(outcome: Outcome) -> set[str]:
    met = {name for name, count in (outcome.met + outcome.counters).items() if count}
    return (met | {f"end: {outcome.end}"}).intersection(SITUATIONS)


def run_all(examples: int, steps: int, most: int, seeds: range) -> Counter[str]:
    """Run the machine and a sweep of seeds; return how often each situation was met."""
    met: Counter[str] = Counter()
    chosen = type("Channel", (Channel,), {"met": met, "most": most})
    run_state_machine_as_test(chosen, settings=settings(max_examples=examples, stateful_step_count=steps))
    for seed in seeds:
        met.update(situations(compare(random_traffic(seed, bursts=steps, most=most))))
    return met


def test_commands_and_completions_are_those_of_the_oracle_and_every_situation_is_met():
    met = run_all(examples=150, steps=8, most=32, seeds=range(250))
    assert [name for name in SITUATIONS if not met[name]] == []


@pytest.mark.slow
def test_more_and_longer_streams_agree_with_the_oracle():
    met = run_all(examples=600, steps=20, most=48, seeds=range(1000, 1600))
    assert [name for name in SITUATIONS if not met[name]] == []


@pytest.fixture(scope="module")
def served():
    """Traffic that is all served, its run, the commands of the run, and the oracle's outcome."""
    traffic = random_traffic(DRAINED[0])
    run, outcome = traffic.run(), consult(traffic)
    assert outcome.end == "drained"
    assert run.counters["forwarded"]
    assert run.counters["merged"]
    return traffic, run, issued(run), outcome


def test_a_lost_a_repeated_and_a_mistimed_column_are_noticed(served):
    traffic, run, commands, _ = served
    number = next(i for i, one in enumerate(commands) if one.command == "RD")
    read = commands[number]
    assert_each_is_served_once(traffic, run, commands)
    for wrong in ([], [read, read], [read._replace(clock=read.clock + 1)], [read._replace(row=read.row + 1)]):
        with pytest.raises(AssertionError):
            assert_each_is_served_once(traffic, run, commands[:number] + wrong + commands[number + 1 :])


def test_a_read_that_passes_a_waiting_write_is_noticed(served):
    _, run, commands, outcome = served
    forwarded = next(i for i, request in enumerate(outcome.requests) if request.served == "forwarded")
    assert_reads_follow_waiting_writes(run, commands, outcome.requests)
    requests = list(outcome.requests)
    requests[forwarded] = replace(requests[forwarded], served="column")
    with pytest.raises(AssertionError):
        assert_reads_follow_waiting_writes(run, commands, requests)


def test_a_queue_that_is_too_full_and_a_second_row_for_an_active_bank_are_noticed(served):
    traffic, run, commands, outcome = served
    assert_queues_fit(traffic.setup, run, commands, outcome.requests)
    number = next(i for i, one in enumerate(commands) if one.command == "ACT" and one.kind == 0)
    twice = [*commands[: number + 1], commands[number], *commands[number + 1 :]]
    smaller = replace(traffic.setup, read_queue=outcome.most["read"] - 1)
    for setup, order in ((traffic.setup, twice), (smaller, commands)):
        with pytest.raises(AssertionError):
            assert_queues_fit(setup, run, order, outcome.requests)


def test_a_pause_that_no_rule_explains_is_noticed(served):
    traffic, run, commands, outcome = served
    assert_nobody_starves(traffic, run, commands, outcome.requests)
    late = int(run.done.max())
    with pytest.raises(AssertionError):
        assert_nobody_starves(traffic, replace(run, done=run.done + 5 * late), commands, outcome.requests)


@pytest.mark.parametrize("seed", DRAINED)
def test_the_agenda_of_the_oracle_skips_nothing(seed):
    traffic = random_traffic(seed)
    skipping, stepping = consult(traffic), consult(traffic, every_tick=True)
    assert skipping.visits < stepping.visits == stepping.ticks
    assert skipping.end == stepping.end
    assert skipping.ticks == stepping.ticks
    assert skipping.commands == stepping.commands
    assert skipping.counters == stepping.counters
    for one, other in zip(skipping.requests, stepping.requests, strict=True):
        assert (one.accept, one.done, one.served) == (other.accept, other.done, other.served)


@pytest.mark.parametrize("every_tick", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_the_oracle_gives_the_recorded_commands_and_completions(folder, every_tick):
    case = load_case(folder)
    setup = Setup(**{name: getattr(case.settings, name) for name in Setup.__dataclass_fields__})
    traffic = Traffic(case.protocol, case.settings, setup, case.requests, case.max_inject, case.drain)
    outcome = consult(traffic, every_tick=every_tick)
    got = [(one.clock, one.command, *one.address, one.row, one.column, one.kind) for one in outcome.commands]
    assert got == list(case.commands)
    assert [request.accept for request in outcome.requests] == case.accept.tolist()
    assert [request.done for request in outcome.requests] == case.done.tolist()
    assert outcome.ticks == case.total_ticks


def test_all_recorded_cases_are_there():
    assert len(CASES) == 7


@pytest.mark.parametrize("lane", ["interpreted", pytest.param("checked", marks=pytest.mark.slow)])
def test_every_lane_gives_the_same_run(lane):
    environment = {**os.environ, "NMPSIM_LANE": lane}
    environment.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-m", "tests.property.reference_traffic"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert lane != LANE
    assert result.stdout.split("\n")[:-1] == list(digests())
