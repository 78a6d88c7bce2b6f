"""``nmpsim claims``: published claims as experiments with a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import Numbers
from nmpsim.cli.study_bar import study_bar

claims = typer.Typer(
    help="Published claims as experiments with a verdict.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

NamesArgument = Annotated[list[str] | None, typer.Argument(metavar="[NAME..]", help="Claims; all by default.")]
FolderOption = Annotated[
    str | None, typer.Option("--validation", metavar="DIR", help="Folder of the claims; default: the checkout's.")
]


@claims.callback()
def group() -> None:
    """Published claims as experiments with a verdict."""


@claims.command("list")
def list_claims(validation: FolderOption = None) -> None:
    """List the claims with their last verdicts."""
    with exit_codes():
        from nmpsim.claims.claim import VALIDATION
        from nmpsim.claims.claim import claims as found

        every = found(Path(validation) if validation else VALIDATION)
        width = max(len(claim.name) for claim in every)
        for claim in every:
            typer.echo(f"{claim.name:{width}}  {_verdict(claim.folder):16}  {claim.title}")


def _verdict(folder: Path) -> str:
    from nmpsim.claims.claim import RESULT

    try:
        return str(json.loads((folder / RESULT).read_text(encoding="utf-8"))["verdict"])
    except (OSError, ValueError, KeyError, TypeError):
        return "not run yet"


@claims.command("show")
def show_claim(name: Annotated[str, typer.Argument(metavar="NAME")], validation: FolderOption = None) -> None:
    """Print a claim, its verdict and its table, as they were last written."""
    with exit_codes():
        from nmpsim.claims.claim import TABLE, VALIDATION
        from nmpsim.claims.claim import claims as found
        from nmpsim.errors import Fault, NmpsimError

        (claim,) = found(Path(validation) if validation else VALIDATION, (name,))
        try:
            typer.echo((claim.folder / TABLE).read_text(encoding="utf-8"), nl=False)
        except OSError as error:
            fault = Fault(str(claim.folder / TABLE), "no result", "a result", f"run nmpsim claims run {name}")
            raise NmpsimError("the claim has not been run yet", [fault]) from error


@claims.command("run")
def run(
    names: NamesArgument = None,
    validation: FolderOption = None,
    cache: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of finished runs; they are not run again.")
    ] = "out/study",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes; one per core by default.")] = None,
) -> None:
    """Run claims, write result.json, result.md and result.png beside each, and print the verdicts.

    A run that is stopped goes on where it was.
    """
    with exit_codes():
        from nmpsim.claims.claim import VALIDATION
        from nmpsim.claims.claim import claims as found
        from nmpsim.claims.run import run_claims

        numbers = Numbers()
        count = None if workers is None else numbers.read("--workers", workers, 1, None, "give a number of processes")
        numbers.refuse()
        chosen = found(Path(validation) if validation else VALIDATION, tuple(names or ()))
        with study_bar() as advance:
            results = run_claims(chosen, Path(cache), workers=count, progress=advance)
        for claim in chosen:
            finding = results[claim.name]
            typer.echo(f"{claim.name}: {finding.verdict}\n  {finding.reason}\n  {claim.folder}")
