"""Run claims: all their points as one study, then verdicts, results, tables and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import ModuleType

from nmpsim.claims import comparison, ladder, roofline
from nmpsim.claims.claim import PLOT, RESULT, TABLE, Claim
from nmpsim.claims.finding import Finding, picture, result_json, result_page
from nmpsim.errors import Fault, NmpsimError
from nmpsim.study import Outcome, Point, run_study
from nmpsim.study.runner import Progress
from nmpsim.study.table import replace_file

KINDS: Mapping[str, ModuleType] = {"comparison": comparison, "roofline": roofline, "ladder": ladder}
"""Experiments by kind of claim: each has ``points``, ``evaluate`` and ``chips``."""


def _experiment(claim: Claim) -> ModuleType:
    if claim.kind not in KINDS:
        fault = Fault(f"{claim.name}: kind", repr(claim.kind), ", ".join(KINDS), "name an experiment that exists")
        raise NmpsimError("no such experiment", [fault])
    return KINDS[claim.kind]


def points_of(claim: Claim) -> list[Point]:
    """Return all runs that a claim needs.

    Parameters
    ----------
    claim : Claim

    Raises
    ------
    NmpsimError
        If its kind, a model or a chip does not exist.
    """
    found: list[Point] = _experiment(claim).points(claim)
    return found


def evaluated(claim: Claim, outcomes: Mapping[Point, Outcome]) -> Finding:
    """Return what the runs say about a claim.

    Parameters
    ----------
    claim : Claim
    outcomes : mapping of Point to Outcome
        Of at least `points_of` the claim.

    Raises
    ------
    NmpsimError
        If a run failed: a verdict on what is left could be wrong.
    """
    failed = [outcomes[point] for point in dict.fromkeys(points_of(claim)) if outcomes[point].error]
    if failed:
        faults = [
            Fault(one.point.text, one.error.splitlines()[0], "a run or a refusal", "run again; see docs/study.md")
            for one in failed[:5]
        ]
        raise NmpsimError(f"{claim.name}: {len(failed)} runs failed", faults)
    found: Finding = _experiment(claim).evaluate(claim, outcomes)
    return found


def run_claims(
    chosen: Sequence[Claim],
    folder: Path,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    told: Callable[[Claim, Finding], None] | None = None,
) -> dict[str, Finding]:
    """Run claims and write ``result.json``, ``result.md`` and ``result.png`` into the folder of each.

    Parameters
    ----------
    chosen : sequence of Claim
    folder : Path
        Of finished points.
    executor, workers, progress
        As for `nmpsim.study.run_study`.
    told : callable, optional
        Called with every claim and its finding.

    Returns
    -------
    dict of str to Finding

    Raises
    ------
    NmpsimError
        If a claim is wrong or a run failed.
    """
    needed = {claim.name: points_of(claim) for claim in chosen}
    every = [point for points in needed.values() for point in points]
    outcomes = run_study(every, folder, executor=executor, workers=workers, progress=progress)
    by_point = {outcome.point: outcome for outcome in outcomes}
    found: dict[str, Finding] = {}
    for claim in chosen:
        finding = evaluated(claim, by_point)
        own = [by_point[point] for point in dict.fromkeys(needed[claim.name])]
        text = result_json(claim, finding, own, _experiment(claim).chips(claim))
        replace_file(claim.folder / TABLE, result_page(claim, finding).encode())
        replace_file(claim.folder / PLOT, picture(claim, finding))
        replace_file(claim.folder / RESULT, text.encode())
        found[claim.name] = finding
        if told is not None:
            told(claim, finding)
    return found
