"""The one runner of many-run work: points in, outcomes out.

::

    points --key_of--> stored already? --yes--> outcome
                            | no
                       executor: compute, write, rename --> outcome, progress

Each task's first point runs alone, so that kernels are compiled once and the other workers load them.  Points are
handed out one per worker; a study that is killed loses only those under way, and the next run starts with them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmpsim.study.fingerprint import key_of
from nmpsim.study.folder import Record, held, load
from nmpsim.study.point import Point
from nmpsim.study.watch import end_with_parent
from nmpsim.study.work import Done, compute

KILLED = "the process that computed it was killed: out of memory?"


@dataclass(frozen=True)
class Outcome:
    """What became of a point.

    Parameters
    ----------
    point : Point
    key : str
        Under which it is stored.
    record : Record or None
        As stored; None if it failed.
    error : str
        Why it failed; empty otherwise.
    found : bool
        It was stored already.
    """

    point: Point
    key: str
    record: Record | None
    error: str = ""
    found: bool = False

    @property
    def figures(self) -> dict[str, Any] | None:
        """What the task found; None if it was refused or failed."""
        return self.record.figures if self.record is not None else None

    @property
    def why(self) -> str:
        """Why there are no figures: the refusal or the failure."""
        return self.error or (self.record.refused if self.record is not None else "")


Progress = Callable[[int, int, Outcome], None]
"""Called with outcomes so far, points in all, and the outcome."""


def default_workers() -> int:
    """Return how many processes this one may use: one per core that it may run on."""
    return max(1, len(os.sched_getaffinity(0)))


def spawned_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Return the executor that `run_study` uses unless it is given one.

    Parameters
    ----------
    workers : int, optional
        Processes; one per core by default.
    """
    context = multiprocessing.get_context("spawn")  # no copy of threads and locks
    return ProcessPoolExecutor(workers or default_workers(), mp_context=context, initializer=end_with_parent)


def run_study(
    points: Sequence[Point],
    folder: Path,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Outcome, ...]:
    """Compute the points that are not stored yet, and return what became of all, in their order.

    Parameters
    ----------
    points : sequence of Point
        A point that stands there twice is computed once.
    folder : Path
        Where finished points are kept.
    executor : Executor, optional
        Runs the points; stays open.  By default processes of this machine, in which a point that kills its
        process fails alone.
    workers : int, optional
        How many points run at a time; one per core by default.
    progress : callable, optional
        Called for every different point.

    Raises
    ------
    NmpsimError
        If another study uses the folder, or it cannot be written.
    """
    known: dict[Point, Outcome] = {}
    different = list(dict.fromkeys(points))

    def note(outcome: Outcome) -> None:
        known[outcome.point] = outcome
        if progress is not None:
            progress(len(known), len(different), outcome)

    with held(folder):
        keys = {point: key_of(point) for point in different}
        missing = []
        for point, key in keys.items():
            record = load(folder, key)
            if record is None:
                missing.append(point)
            else:
                note(Outcome(point, key, record, found=True))
        lanes = min(workers or default_workers(), max(1, len(missing)))
        own = executor is None
        with contextlib.ExitStack() as stack:
            for point, done in _computed(missing, keys, folder, executor, lanes, stack, own=own):
                note(Outcome(point, keys[point], done.record, done.error))
    return tuple(known[point] for point in points)


def _computed(
    points: Sequence[Point],
    keys: dict[Point, str],
    folder: Path,
    executor: Executor | None,
    lanes: int,
    stack: contextlib.ExitStack,
    *,
    own: bool,
) -> Iterator[tuple[Point, Done]]:
    """Yield points as they are done: the first of each task alone, then at most `lanes` at a time."""
    pilots = list({point.task: point for point in reversed(points)}.values())
    alone, rest = pilots, [point for point in points if point not in set(pilots)]
    pool = executor
    while alone or rest:
        if pool is None:
            pool = stack.enter_context(spawned_pool(lanes))
        width = 1 if alone else lanes
        waiting = alone or rest
        broken: list[Point] = []
        running: dict[Future[Done], Point] = {}
        while (waiting and not broken) or running:
            while waiting and not broken and len(running) < width:
                point = waiting.pop(0)
                try:
                    running[pool.submit(compute, point, keys[point], str(folder))] = point
                except BrokenProcessPool:
                    broken.append(point)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                point = running.pop(future)
                try:
                    yield point, future.result()
                except BrokenProcessPool:
                    broken.append(point)
                except Exception as error:  # noqa: BLE001  (an executor's own failure is this point's)
                    yield point, Done(None, f"{type(error).__name__}: {error}")
        if broken and (width == 1 or not own):
            for point in broken:
                yield point, Done(None, KILLED)
        elif broken:  # which of them did it?  Each once more, alone
            alone = broken
        if broken and not own:
            for point in [*alone, *rest]:
                yield point, Done(None, "the executor given is broken")
            return
        if broken:
            pool = None
