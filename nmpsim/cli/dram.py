"""``nmpsim dram``: request traces through a DRAM controller, checks of command traces, and speed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nmpsim.cli.controller_options import (
    CapOption,
    ControllerChoice,
    ControllerOption,
    InjectOption,
    LimitOption,
    OrganisationOption,
    OverrideOption,
    PlainOption,
    PolicyOption,
    PresetOption,
    ReadQueueOption,
    RefreshOption,
    RunColumnsOption,
    SchedulerOption,
    TimingOption,
    WriteQueueOption,
)
from nmpsim.cli.dram_check import check_file
from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import LARGEST_SEED, Numbers
from nmpsim.errors import Fault, NmpsimError, WorkloadError

WARM_UP = 64
"""Requests run before the clock starts, so that no compilation is timed."""

MOST_REQUESTS = 10**8

dram = typer.Typer(
    help="Run request traces through a DRAM controller, check command traces, measure speed.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
dram.command("check")(check_file)


@dram.command("run")
def run_file(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="Request trace, plain or gzip.")],
    preset: PresetOption,
    output: Annotated[str, typer.Option("--output", metavar="DIR", help="Folder; a former run in it is replaced.")],
    controller: ControllerOption = None,
    organisation: OrganisationOption = None,
    timing: TimingOption = None,
    override: OverrideOption = None,
    scheduler: SchedulerOption = None,
    refresh: RefreshOption = None,
    row_policy: PolicyOption = None,
    cap: CapOption = None,
    read_queue: ReadQueueOption = None,
    write_queue: WriteQueueOption = None,
    mapper: Annotated[
        str | None,
        typer.Option(
            "--mapper",
            metavar="NAME|ORDER",
            help="RoBaRaCoCh, ChRaBaRoCo, MOP4CLXOR, PassThrough, or an order as RoBaCo or RoBaCo-xor; "
            "RoBaRaCoCh by default, RoBaChCo for native presets.",
        ),
    ] = None,
    max_inject: InjectOption = None,
    run_columns: RunColumnsOption = None,
    limit_ticks: LimitOption = None,
    plain: PlainOption = False,
) -> None:
    """Run a request trace through a DRAM controller.

    The trace is a CSV file (id,at,op,addr and, if wanted, a column for every level), or one of Ramulator 2: 'LD 0x40',
    'R 0,0,1,2,3,4'.

    Writes DIR/commands.csv.gz, completions.csv.gz, requests.csv.gz, config.json and summary.json, all of them or none,
    and prints the summary.
    """
    with exit_codes():
        from nmpsim.dram.address import PASS_THROUGH
        from nmpsim.dram.trace.config import write_run
        from nmpsim.dram.trace.memory import DEFAULT_MAPPER
        from nmpsim.dram.trace.requests import read_requests
        from nmpsim.dram.trace.summary import summary_of, summary_text
        from nmpsim.dram.trace.writing import check_run_folder, whole_folder

        choice = ControllerChoice(
            preset,
            reference={
                "--scheduler": scheduler,
                "--refresh": refresh,
                "--row-policy": row_policy,
                "--cap": cap,
                "--read-queue": read_queue,
                "--write-queue": write_queue,
                "--limit-ticks": limit_ticks,
            },
            max_inject=max_inject,
            run_columns=run_columns,
            override=override,
            organisation=organisation,
            timing=timing,
            controller=controller,
        )
        target = _folder(output)
        check_run_folder(target)
        memory = choice.memory
        used = mapper or DEFAULT_MAPPER[memory.controller]
        asked = read_requests(Path(trace), memory.protocol, used)
        if asked.has_fields:
            if mapper not in {None, PASS_THROUGH}:
                fault = Fault("--mapper", str(mapper), PASS_THROUGH, "leave out --mapper, or the fields of the trace")
                raise WorkloadError(f"request trace {trace} says itself where its requests go", [fault])
            used = PASS_THROUGH
        inject, columns = choice.max_inject(is_timed=asked.is_timed), choice.run_columns()
        with whole_folder(target) as folder:
            run = choice.run(asked, max_inject=inject, run_columns=columns, plain=plain)
            summary = summary_of(memory, asked, run)
            config = choice.config(asked, run, used, trace, max_inject=inject, run_columns=columns)
            write_run(folder, memory, config, summary, asked, run)
        typer.echo(f"{summary_text(summary)}\nwritten to {target}")


def _folder(output: str) -> Path:
    """Return the folder of a run."""
    if not output:
        raise NmpsimError("an option is wrong", [Fault("--output", "''", "a folder", "name the folder of the run")])
    return Path(output)


@dram.command("bench")
def bench(
    preset: PresetOption,
    traffic: Annotated[
        str, typer.Option("--traffic", metavar="stream|random|mix|pingpong", help="What is asked for.")
    ] = "stream",
    requests: Annotated[str, typer.Option("--requests", metavar="N", help="Requests of one transaction.")] = "100000",
    seed: Annotated[str, typer.Option("--seed", metavar="N", help="Seed of random traffic.")] = "0",
    organisation: OrganisationOption = None,
    timing: TimingOption = None,
    override: OverrideOption = None,
    scheduler: SchedulerOption = None,
    refresh: RefreshOption = None,
    row_policy: PolicyOption = None,
    cap: CapOption = None,
    read_queue: ReadQueueOption = None,
    write_queue: WriteQueueOption = None,
    max_inject: InjectOption = None,
    run_columns: RunColumnsOption = None,
    plain: PlainOption = False,
) -> None:
    """Generate traffic, run it, and print what memory and simulator achieved.

    Native presets join adjacent requests to accesses of whole rows, unless --run-columns says otherwise.  CPU time is
    that of this program for the run alone, without reading, writing or compiling.
    """
    with exit_codes():
        from nmpsim.dram.trace.summary import summary_of
        from nmpsim.dram.trace.traffic import make_traffic

        numbers = Numbers()
        count = numbers.read("--requests", requests, 1, MOST_REQUESTS, "give another number of requests")
        number = numbers.read("--seed", seed, 0, LARGEST_SEED, "give another seed")
        numbers.refuse()
        choice = ControllerChoice(
            preset,
            reference={
                "--scheduler": scheduler,
                "--refresh": refresh,
                "--row-policy": row_policy,
                "--cap": cap,
                "--read-queue": read_queue,
                "--write-queue": write_queue,
            },
            max_inject=max_inject,
            run_columns=run_columns,
            override=override,
            organisation=organisation,
            timing=timing,
        )
        memory = choice.memory
        asked = make_traffic(memory, traffic, count, number)
        inject, columns = choice.max_inject(is_timed=True), choice.run_columns(memory.protocol.columns)
        few = make_traffic(memory, traffic, min(count, WARM_UP), number)
        choice.run(few, max_inject=inject, run_columns=columns, plain=plain, log=False)
        start = time.process_time()
        run = choice.run(asked, max_inject=inject, run_columns=columns, plain=plain, log=False)
        seconds = max(time.process_time() - start, 1e-9)
        channels = memory.channels
        summary = summary_of(memory, asked, run)
        achieved, peak = summary["bandwidth"]["achieved_GBps"], summary["bandwidth"]["peak_GBps"]
        share = 100 * achieved / peak
        typer.echo(f"{preset}, {traffic}: {count} requests on {channels} channel{'s' * (channels > 1)}")
        typer.echo(f"simulated   {run.ticks} ticks of {memory.protocol.tick_ps} ps")
        typer.echo(f"bandwidth   {achieved:.2f} of {peak:.2f} GB/s ({share:.1f} %)")
        typer.echo(f"CPU time    {seconds:.3f} s")
        typer.echo(f"requests    {count / seconds:,.0f} per CPU second")
        typer.echo(f"ticks       {run.ticks * channels / seconds:,.0f} channel ticks per CPU second")
