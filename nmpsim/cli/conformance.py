"""``nmpsim conformance``: comparison with recorded outputs of other simulators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import Numbers

MOST_SEEDS = 1000

DIFFERENT = 1
"""Exit code if anything differs, or a case could not be run."""

conformance = typer.Typer(
    help="Compare with recorded outputs of other simulators; exit code 1 if anything differs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@conformance.callback()
def group() -> None:
    """Compare with recorded outputs of other simulators; exit code 1 if anything differs."""


@conformance.command("dram")
def compare_dram(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Folders with recorded cases, at any depth.")],
    plain: Annotated[bool, typer.Option("--plain", help="Visit every tick instead of skipping; same results.")] = False,
) -> None:
    """Run recorded DRAM cases through the reference controller, and compare every command and completion.

    Cases of DRAMsim3 (folders d3_...) are a second opinion and are not compared.
    """
    with exit_codes():
        from nmpsim.conformance.dram import run_folders

        failed = compared = total = 0
        for outcome in run_folders([Path(path) for path in paths], plain=plain):
            typer.echo(outcome.line())
            total += 1
            compared += outcome.compared
            failed += not outcome.passed
        typer.echo(f"{total} cases: {compared} compared, {failed} failed")
    if failed:
        raise typer.Exit(DIFFERENT)


@conformance.command("noc")
def compare_noc(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Recorded CSV files, or folders with some at any depth."),
    ],
    seeds: Annotated[str, typer.Option("--seeds", metavar="N", help="Most runs of each point of a curve; 24.")] = "24",
    plain: Annotated[bool, typer.Option("--plain", help="Visit every cycle instead of skipping.")] = False,
) -> None:
    """Run recorded networks of BookSim 2 and compare: zero load, delays and batches exactly, curves within bounds.

    Networks and settings that nmpsim does not have are listed as not compared, with the reason.
    """
    with exit_codes():
        from nmpsim.conformance.noc import run_paths

        numbers = Numbers()
        runs = numbers.read("--seeds", seeds, 1, MOST_SEEDS, "give another number of runs")
        numbers.refuse()
        failed = compared = total = 0
        for outcome in run_paths([Path(path) for path in paths], seeds=runs, plain=plain):
            typer.echo(outcome.line())
            total += 1
            compared += not outcome.skipped
            failed += bool(outcome.differences)
        typer.echo(f"{total} cases: {compared} compared, {failed} failed")
    if failed:
        raise typer.Exit(DIFFERENT)


@conformance.command("core")
def compare_core(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="FILE.csv...", help="Tables of recorded compute cycles.")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Name the differences of the native timing, and how they add up for each row."),
    ] = False,
) -> None:
    """Run recorded products on fixed systolic arrays in the timing scale_sim, and compare cycles and utilisation.

    Each row is stepped at PE level, with values, and in wavefront mode.  Without a file --explain only names the
    differences.
    """
    with exit_codes():
        from nmpsim.conformance.compute_rows import read_rows
        from nmpsim.conformance.core import compare_row
        from nmpsim.conformance.explain import explanation, native_terms, terms_line

        if explain:
            typer.echo("\n".join(explanation()))
        rows = read_rows([Path(path) for path in paths or ()]) if paths or not explain else []
        failed = stepped = 0
        for row in rows:
            outcome = compare_row(row)
            typer.echo(outcome.line())
            if explain:
                typer.echo(terms_line(native_terms(row)))
            failed += bool(outcome.differences)
            stepped += outcome.pe_cycles
        if rows:
            typer.echo(f"{len(rows)} rows: {failed} failed; {stepped:.3g} PE-cycles stepped")
    if failed:
        raise typer.Exit(DIFFERENT)
