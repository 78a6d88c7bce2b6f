"""Every recorded DRAM case, command by command, in plain and in skip mode."""

from dataclasses import replace
from pathlib import Path

import pytest

from nmpsim.conformance.case import load_case
from nmpsim.conformance.dram import compare, find_cases
from nmpsim.dram.reference import run_trace

CASES = Path(__file__).parent / "dram"
FOLDERS = find_cases([CASES])


def test_all_cases_are_found():
    assert len(FOLDERS) == 7


@pytest.mark.parametrize("plain", [False, True], ids=["skip", "plain"])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_command_and_completion_is_the_recorded_one(folder, plain):
    outcome = compare(load_case(folder), plain=plain)
    assert outcome.line() == "{0}: commands {1}/{1}, completions {2}/{2}".format(
        folder.name, outcome.commands[1], outcome.completions[1]
    )
    assert outcome.commands[1] > 0
    assert outcome.completions[1] > 0


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_run_ends_with_the_recorded_tick_and_accounts_for_all(folder):
    case = load_case(folder)
    run = run_trace(case.protocol, case.settings, case.requests, max_inject=case.max_inject, drain=case.drain)
    assert run.ticks == case.total_ticks
    assert sum(run.reasons.values()) == run.ticks


def test_a_latency_that_is_one_tick_longer_is_noticed():
    case = load_case(FOLDERS[0])
    slower = tuple(
        replace(rule, latency=(rule.latency[0] + 1,)) if rule.level == "Bank" and "RD" in rule.following else rule
        for rule in case.protocol.constraints
    )
    outcome = compare(replace(case, protocol=replace(case.protocol, constraints=slower)))
    assert not outcome.passed
    assert outcome.difference.startswith("command ")
    assert outcome.commands[0] < outcome.commands[1]


def test_a_completion_that_is_one_tick_later_is_noticed():
    case = load_case(FOLDERS[0])
    done = case.done.copy()
    done[5] += 1
    outcome = compare(replace(case, done=done))
    assert not outcome.passed
    assert outcome.difference.startswith("completion 5: got 5 ")
    assert outcome.completions == (len(done) - 1, len(done))
