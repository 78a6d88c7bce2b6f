"""``nmpsim report`` and ``nmpsim diff``: what a person looks at after a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmpsim.cli.exits import exit_codes


def report(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a run.")],
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="The page; DIR/report.html else.")] = None,
) -> None:
    """Write one HTML file that needs no network, and print a summary.

    Units over time need a run with --trace coarse, single banks one with --trace full.
    """
    with exit_codes():
        from nmpsim.dram.trace.writing import whole_file
        from nmpsim.report.compare import brief
        from nmpsim.report.folder import PAGE, TRACE
        from nmpsim.report.page import page_of
        from nmpsim.report.stored import read_result
        from nmpsim.trace.reader import Trace
        from nmpsim.trace.summary import summarise

        result = read_result(Path(folder))
        trace = summarise(Trace.open(folder)) if (Path(folder) / TRACE[0]).exists() else None
        path = Path(out) if out else Path(folder) / PAGE
        with whole_file(path) as file:
            file.write(page_of(result, trace).encode())
        typer.echo(f"{brief(result)}written to {path}")


def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="Folder of a run.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Folder of another run.")],
) -> None:
    """Compare two runs operator by operator: what changed, and why."""
    with exit_codes():
        from nmpsim.report.compare import compare
        from nmpsim.report.stored import read_result

        typer.echo(compare(read_result(Path(one)), read_result(Path(other)), (one, other)), nl=False)
