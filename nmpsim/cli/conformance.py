"""``nmpsim conformance``: comparison with recorded outputs of other simulators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmpsim.cli.exits import exit_codes

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
