"""The command line ``nmpsim``.

Exit codes: 0 done, 2 an input is wrong, 3 the simulation could not go on, 4 a bug of nmpsim, 130 interrupted.

The commands import what they need when they are called, so that ``nmpsim --help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from nmpsim import __version__
from nmpsim.cli.ablate import ablate
from nmpsim.cli.claims import claims
from nmpsim.cli.conformance import conformance
from nmpsim.cli.core import core
from nmpsim.cli.cost import cost
from nmpsim.cli.dram import dram
from nmpsim.cli.estimate import calibrate, estimate
from nmpsim.cli.list import list_shipped
from nmpsim.cli.noc import noc
from nmpsim.cli.report import diff, report
from nmpsim.cli.show import show
from nmpsim.cli.simulate import simulate
from nmpsim.cli.sweep import sweep
from nmpsim.cli.trace import trace
from nmpsim.cli.validate import validate

app = typer.Typer(
    name="nmpsim",
    help="Simulate, cycle by cycle, how a logic die under 3D-stacked DRAM decodes a large language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("simulate")(simulate)
app.command("estimate")(estimate)
app.command("calibrate")(calibrate)
app.command("list")(list_shipped)
app.command("cost")(cost)
app.add_typer(show, name="show")
app.add_typer(claims, name="claims")
app.add_typer(conformance, name="conformance")
app.add_typer(dram, name="dram")
app.add_typer(core, name="core")
app.add_typer(noc, name="noc")
app.add_typer(trace, name="trace")
app.command("report")(report)
app.command("diff")(diff)
app.command("validate")(validate)
app.command("sweep")(sweep)
app.command("ablate")(ablate)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"nmpsim {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Take the options that stand before a command."""
    _ = version


def main() -> None:
    """Run the command line; the console script."""
    app(prog_name="nmpsim")


__all__ = ["app", "main"]
