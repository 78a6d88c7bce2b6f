"""``nmpsim simulate``: one decode step, cycle by cycle, and a folder with what was observed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.groups import option_groups
from nmpsim.cli.options import (
    Numbers,
    Step,
    StepOptions,
)
from nmpsim.errors import Fault

if TYPE_CHECKING:
    from nmpsim.measure.run import Run
    from nmpsim.trace.options import TraceOptions

MODES = ("skip", "plain")
TRACES = ("none", "coarse", "full")


@option_groups
def simulate(
    options: StepOptions,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the result; a former one is replaced.")],
    mode: Annotated[
        str, typer.Option(metavar="|".join(MODES), help="Skip cycles without change, or step all; same results.")
    ] = "skip",
    trace: Annotated[
        str, typer.Option(metavar="|".join(TRACES), help="Record nothing, the units of the cores, or every unit.")
    ] = "none",
    trace_units: Annotated[
        str | None,
        typer.Option("--trace-units", metavar="KIND[@PUS],...", help="Kinds to record, such as array,bank@0-3."),
    ] = None,
    trace_from: Annotated[
        str | None, typer.Option("--from", metavar="CYCLE", help="First core cycle to record.")
    ] = None,
    trace_to: Annotated[
        str | None, typer.Option("--to", metavar="CYCLE", help="Core cycle at which to stop recording.")
    ] = None,
    limit_cycles: Annotated[
        str | None, typer.Option("--limit-cycles", metavar="N", help="Core cycles after which to give up.")
    ] = None,
) -> None:
    """Simulate one decode step cycle by cycle.

    Writes DIR/result.json, report.txt, operators.parquet and, with --trace, trace.json and trace-*.parquet, all of
    them or none, and prints the report.
    """
    with exit_codes():
        numbers = Numbers()
        step = options.read(numbers)
        limit = None
        if limit_cycles is not None:
            limit = numbers.read("--limit-cycles", limit_cycles, 1, None, "give a number of core cycles")
        if mode not in MODES:
            numbers.faults.append(Fault("--mode", repr(mode), " or ".join(MODES), "choose one of them"))
        recording = _recording(numbers, trace, trace_units, trace_from, trace_to)
        if not out:
            numbers.faults.append(Fault("--out", "''", "a folder", "name the folder of the result"))
        numbers.refuse()
        typer.echo(_simulate(step, mode, recording, limit, Path(out)))


def _recording(
    numbers: Numbers, level: str, units: str | None, first: str | None, last: str | None
) -> TraceOptions | None:
    """Return what to record; faults go to `numbers`."""
    from nmpsim.errors import NmpsimError
    from nmpsim.trace.options import trace_options

    start = None if first is None else numbers.read("--from", first, 0, None, "give a core cycle")
    end = None if last is None else numbers.read("--to", last, 1, None, "give a core cycle")
    try:
        return trace_options(level, units.split(",") if units else (), start, end)
    except NmpsimError as error:
        numbers.faults += error.faults
        return None


def _simulate(step: Step, mode: str, trace: TraceOptions | None, limit: int | None, out: Path) -> str:
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
            run = run_job(job, mode=mode, trace=trace, trace_folder=folder, progress=bar.advance, limit_cycles=limit)
            bar.phase("writing")
            _write(run, folder)
    return f"{report_text(run, full=False)}\nwritten to {out}"


def _write(run: Run, folder: Path) -> None:
    """Write all files of a result into a folder."""
    from nmpsim.report.folder import OPERATORS, REPORT, RESULT
    from nmpsim.report.result import result_of, to_json
    from nmpsim.report.tables import operator_table, write_parquet
    from nmpsim.report.text import report_text

    (folder / RESULT).write_text(to_json(result_of(run)), encoding="utf-8")
    (folder / REPORT).write_text(report_text(run), encoding="utf-8")
    write_parquet(operator_table(run), folder / OPERATORS)
