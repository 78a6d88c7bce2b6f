"""``nmpsim simulate``: one decode step, cycle by cycle, and a folder with what was observed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import (
    AttentionOption,
    BatchOption,
    ChipOption,
    ContextOption,
    FirstLayerOption,
    FirstTierOption,
    LayersOption,
    ModelOption,
    Numbers,
    RoutingOption,
    SeedOption,
    Step,
    read_step,
)
from nmpsim.errors import Fault

if TYPE_CHECKING:
    from nmpsim.measure.run import Run

MODES = ("skip", "plain")
TRACES = ("none", "operators", "units")


def simulate(
    model: ModelOption,
    chip: ChipOption,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the result; a former one is replaced.")],
    batch: BatchOption = "1",
    context: ContextOption = "1024",
    layers: LayersOption = None,
    seed: SeedOption = "0",
    routing: RoutingOption = None,
    first_tier: FirstTierOption = "0",
    first_layer: FirstLayerOption = "0",
    attention: AttentionOption = None,
    mode: Annotated[
        str, typer.Option(metavar="|".join(MODES), help="Skip cycles without change, or step all; same results.")
    ] = "skip",
    trace: Annotated[
        str, typer.Option(metavar="|".join(TRACES), help="Intervals to write: none, of operators, of all units too.")
    ] = "operators",
    limit_cycles: Annotated[
        str | None, typer.Option("--limit-cycles", metavar="N", help="Core cycles after which to give up.")
    ] = None,
) -> None:
    """Simulate one decode step cycle by cycle.

    Writes DIR/result.json, report.txt, operators.parquet and intervals.parquet, all of them or none, and prints the
    report.
    """
    with exit_codes():
        numbers = Numbers()
        step = read_step(
            numbers,
            model=model,
            chip=chip,
            batch=batch,
            context=context,
            layers=layers,
            seed=seed,
            routing=routing,
            first_tier=first_tier,
            first_layer=first_layer,
            attention=attention,
        )
        limit = None
        if limit_cycles is not None:
            limit = numbers.read("--limit-cycles", limit_cycles, 1, None, "give a number of core cycles")
        for option, word, words in (("--mode", mode, MODES), ("--trace", trace, TRACES)):
            if word not in words:
                numbers.faults.append(Fault(option, repr(word), " or ".join(words), "choose one of them"))
        if not out:
            numbers.faults.append(Fault("--out", "''", "a folder", "name the folder of the result"))
        numbers.refuse()
        typer.echo(_simulate(step, mode, trace, limit, Path(out)))


def _simulate(step: Step, mode: str, trace: str, limit: int | None, out: Path) -> str:
    """Simulate, write the result, return what to print."""
    from nmpsim.api import run_job
    from nmpsim.cli.progress import Bar
    from nmpsim.report.folder import check_target, result_folder
    from nmpsim.report.text import report_text

    check_target(out)
    with Bar() as bar:
        bar.phase("scheduling and encoding")
        job = step.prepare()
        with result_folder(out) as folder:
            bar.phase("compiling (the first time, about a minute)")
            level = "units" if trace == "units" else "operators"
            run = run_job(job, mode=mode, trace=level, progress=bar.advance, limit_cycles=limit)
            bar.phase("writing")
            _write(run, folder, intervals=trace != "none")
    return f"{report_text(run, full=False)}\nwritten to {out}"


def _write(run: Run, folder: Path, *, intervals: bool) -> None:
    """Write all files of a result into a folder."""
    from nmpsim.report.folder import INTERVALS, OPERATORS, REPORT, RESULT
    from nmpsim.report.intervals import interval_table, operator_table, write_parquet
    from nmpsim.report.result import result_of, to_json
    from nmpsim.report.text import report_text

    (folder / RESULT).write_text(to_json(result_of(run)), encoding="utf-8")
    (folder / REPORT).write_text(report_text(run), encoding="utf-8")
    write_parquet(operator_table(run), folder / OPERATORS)
    if intervals:
        write_parquet(interval_table(run), folder / INTERVALS)
