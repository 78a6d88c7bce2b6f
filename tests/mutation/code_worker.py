"""Runs mutants of kernels, each in a forked interpreter: ``python -m tests.mutation.code_worker COUNT SEED ...``.

Everything is imported and every expected trace made once; a child changes one function, runs the comparisons until one
fails, and sends what it found through a pipe.  A child that needs far longer than the right code is killed by a limit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence

from nmpsim.kernel import LANE
from tests.mutation.drawing import draw
from tests.mutation.kernels import KERNELS, UNIT_TESTS, Kernels, Trial, unit_tests
from tests.mutation.source import Site, apply, sites_of

SLOWER, LEAST_SECONDS, TEST_SECONDS = 4, 1.0, 60.0
"""A child gets this many times the seconds of the right code, at least so many; so many for unit tests."""


class TooLongError(Exception):
    """The limit of a child has passed."""


def too_long(number, frame) -> None:
    """Stop what runs."""
    raise TooLongError


def shares(count: int) -> list[int]:
    """Return how many mutants each part gets."""
    first = count * KERNELS[0].share // 100
    return [first, count - first]


def prepared(part: Kernels) -> list[tuple[Trial, float]]:
    """Return the comparisons with what is expected and the seconds that they take.

    Raises
    ------
    AssertionError
        If the right code fails one.
    """
    found = []
    for trial in part.trials():
        began = time.process_time()
        got = trial.run()
        seconds = time.process_time() - began
        if trial.expected is None:
            trial.expected = got
        assert got == trial.expected, f"{part.name}: the right code differs in {trial.name}"
        found.append((trial, seconds))
    return found


def verdict_on(site: Site, trials: Sequence[tuple[Trial, float]], part: str, stages: int) -> tuple[str, str]:
    """Change the code and compare; return (what killed it, how), empty if nothing did."""
    apply(site)
    signal.signal(signal.SIGPROF, too_long)
    for trial, seconds in trials:
        signal.setitimer(signal.ITIMER_PROF, max(LEAST_SECONDS, SLOWER * seconds))
        try:
            if trial.run() != trial.expected:
                return "co-simulation traces", trial.name
        except TooLongError:
            return "limit", trial.name
        except Exception as error:  # noqa: BLE001  (whatever a wrong kernel does is a difference)
            return "co-simulation traces", f"{trial.name}: {type(error).__name__}"
    if stages > 1:
        signal.setitimer(signal.ITIMER_PROF, TEST_SECONDS)
        try:
            if text := unit_tests(UNIT_TESTS[part]):
                return "unit tests", text
        except TooLongError:
            return "limit", "unit tests"
    return "", ""


def in_child(site: Site, trials: Sequence[tuple[Trial, float]], part: str, stages: int) -> tuple[str, str, float]:
    """Judge a mutant in a child; return (what killed it, how, CPU seconds)."""
    read, write = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            killer, reason = verdict_on(site, trials, part, stages)
        except BaseException as error:  # noqa: BLE001  (a child never returns)
            killer, reason = "", f"error: {type(error).__name__} {error}"
        os.write(write, json.dumps([killer, reason, time.process_time()]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    killer, reason, seconds = json.loads(text) if text else ("limit", "the interpreter ended", 0.0)
    assert not reason.startswith("error: "), f"{site.identity}: {reason}"
    return killer, reason, seconds


def main(count: int, seed: int, stages: int, dry: str, only: Sequence[str]) -> None:
    """Draw mutants, judge them, print one line of JSON for each."""
    assert LANE == "interpreted", "set NMPSIM_LANE=interpreted"
    for part, own in zip(KERNELS, shares(count), strict=True):
        drawn = draw([site for module in part.modules for site in sites_of(module)], own, f"{seed} {part.name}")
        drawn = [site for site in drawn if not only or any(text in site.identity for text in only)]
        trials = [] if dry == "dry" or not drawn else prepared(part)
        for site in drawn:
            killer, reason, seconds = ("", "", 0.0) if dry == "dry" else in_child(site, trials, part.name, stages)
            found = {"killer": killer, "reason": reason, "seconds": seconds}
            print(
                json.dumps({"identity": site.identity, "change": f"line {site.line}: {site.text}"} | found), flush=True
            )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:])
