"""Run a study: all its points through the study runner, then rows, contributions and files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from nmpsim.ablation.effects import contributions, rows
from nmpsim.ablation.modes import as_steps, points, remarks, task_of
from nmpsim.ablation.reading import refuse
from nmpsim.ablation.study import Study, Work
from nmpsim.ablation.tables import KIND, Found, write
from nmpsim.ablation.trials import chips, trials, workloads
from nmpsim.claims.workload import step_of
from nmpsim.errors import Fault, NmpsimError
from nmpsim.report.folder import check_target, result_folder
from nmpsim.study import run_study
from nmpsim.study.runner import Progress
from nmpsim.workload import load_model, step_faults


def asked(
    study: Study,
    *,
    chip: str = "",
    models: Sequence[str] = (),
    batches: Sequence[int] = (),
    contexts: Sequence[int] = (),
    layers: int | None = None,
) -> Study:
    """Return a study with other steps, or on another base chip.

    Parameters
    ----------
    study : Study
    chip : str
        Empty: as the study says.
    models : sequence of str
    batches, contexts : sequence of int
    layers : int, optional
        0: the whole step, sampled.

    Raises
    ------
    NmpsimError
        If a model, a batch or a context does not fit.
    """
    works = tuple(
        dict.fromkeys(
            Work(
                tuple(models) or work.models,
                tuple(batches) or work.batches,
                tuple(contexts) or work.contexts,
                work.layers if layers is None else layers,
            )
            for work in study.works
        )
    )
    faults: list[Fault] = []
    for work in works:
        for name in work.models:
            try:
                model = load_model(name)
            except NmpsimError as error:
                faults += error.faults
                continue
            steps = [(batch, context) for batch in work.batches for context in work.contexts]
            for batch, context in steps:
                faults += step_faults(model, batch, context, work.layers or 1, 0)
    refuse(study, faults)
    return replace(study, works=works, base={**study.base, "chip": chip} if chip else study.base)


def run_ablation(
    study: Study,
    mode: str,
    cache: Path,
    out: Path,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Found:
    """Run what is missing of a study and write its result.

    Parameters
    ----------
    study : Study
    mode : str
        ``cycle`` or ``analytical``.
    cache : Path
        Folder of finished points.
    out : Path
        Folder of the result; a former one is replaced.
    executor, workers, progress
        As for `nmpsim.study.run_study`.

    Raises
    ------
    NmpsimError
        If the study is wrong, a run failed, or the result cannot be written.
    """
    task_of(mode)
    check_target(out, KIND)
    found = trials(study)
    works = workloads(study)
    needed = [point for trial in found for work in works for point in points(work, trial.setup, mode)]
    outcomes = run_study(needed, cache, executor=executor, workers=workers, progress=progress)
    failed = list(dict.fromkeys(one for one in outcomes if one.error))
    if failed:
        faults = [
            Fault(one.point.text, one.error.splitlines()[0], "a run or a refusal", "run again; see docs/study.md")
            for one in failed[:5]
        ]
        raise NmpsimError(f"{study.name}: {len(failed)} runs failed", faults)
    by_point = {one.point: one for one in outcomes}
    steps = as_steps(by_point, mode)
    ran = [(trial, [step_of(work, trial.setup, steps) for work in works]) for trial in found]
    result = Found(
        replace(study, notes=(*study.notes, *remarks(by_point, mode))),
        mode,
        rows(ran, works),
        contributions(study, ran),
        chips(found),
        len(by_point),
    )
    with result_folder(out, KIND) as folder:
        write(result, folder)
    return result
