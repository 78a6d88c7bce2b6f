"""``nmpsim validate``: anybody's model of operator time against cycle runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import Numbers
from nmpsim.cli.study_bar import study_bar
from nmpsim.errors import Fault, NmpsimError

if TYPE_CHECKING:
    from nmpsim.validate.predict import Prediction
    from nmpsim.validate.reference import Reference
    from nmpsim.validate.suite import Suite


def validate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL..]", help="file.py:function, module:function, or a CSV file of predictions."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A model that ships with nmpsim, or as above; may be repeated."),
    ] = None,
    suite: Annotated[
        str, typer.Option("--suite", metavar="NAME|PATH", help="Shipped suite, or a suite file (.toml).")
    ] = "standard",
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="DIR", help="Write result.json, operators.csv, report.html and errors.png."),
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run the cycle mode, also where a table of the suite ships.")
    ] = False,
    cache: Annotated[
        str, typer.Option("--cache", metavar="DIR", help="Folder of finished runs; they are not run again.")
    ] = "out/study",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes; one per core by default.")] = None,
    worst: Annotated[str, typer.Option("--worst", metavar="N", help="Worst cases to print of each model.")] = "5",
    template: Annotated[
        str | None, typer.Option("--template", metavar="FILE", help="Write a CSV file of the suite to be filled in.")
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="FILE", help="Write the cycle runs of the suite as a table.")
    ] = None,
) -> None:
    """Judge models of operator time by cycle runs: errors by class and bottleneck, and the worst cases with reasons.

    A model is a function of an operator and a chip that returns core cycles.  The cycle runs of the standard suite ship
    with nmpsim; those of another suite are run first, and a run that is stopped goes on where it was.
    """
    with exit_codes():
        from nmpsim.validate.outcome import text_of, write_outcome
        from nmpsim.validate.predict import shipped_models
        from nmpsim.validate.score import score, sequence
        from nmpsim.validate.suite import load_suite

        numbers = Numbers()
        count = None if workers is None else numbers.read("--workers", workers, 1, None, "give a number of processes")
        shown = numbers.read("--worst", worst, 0, None, "give a number of cases")
        asked = list(dict.fromkeys([*(models or []), *(model or [])]))
        if not (asked or template or table):
            shipped = ", ".join(shipped_models())
            numbers.faults.append(
                Fault("MODEL", "none", f"my_model.py:predict, or --model with one of {shipped}", "name a model")
            )
        chosen: Suite | None = None
        try:
            chosen = load_suite(suite)
        except NmpsimError as error:
            numbers.faults += error.faults
        numbers.faults += [_no_folder(out)] if out is not None and not _may_be_folder(out) else []
        numbers.refuse()
        assert chosen is not None
        reference, warning = _reference(chosen, Path(cache), count, rerun=rerun, table=table)
        if template:
            _write_template(Path(template), reference)
        found = _predictions(asked, reference)
        if not found:
            return
        scores = sequence([score(one, reference) for one in found])
        typer.echo(text_of(scores, reference, warning, shown), nl=False)
        if out:
            write_outcome(scores, reference, warning, Path(out))
            typer.echo(f"written to {out}")


def _may_be_folder(out: str) -> bool:
    path = Path(out)
    place = next((one for one in (path, *path.parents) if one.exists()), path)
    return bool(out) and place.is_dir()


def _no_folder(out: str) -> Fault:
    return Fault("--out", repr(out), "a folder, there or to be made", "name another folder")


def _predictions(asked: list[str], reference: Reference) -> list[Prediction]:
    """Return what all models predict; faults of all of them at once."""
    from nmpsim.validate.predict import predictions

    found: list[Prediction] = []
    faults: list[Fault] = []
    messages: list[str] = []
    for name in asked:
        try:
            found.append(predictions(name, reference))
        except NmpsimError as error:
            messages.append(str(error).splitlines()[0])
            faults += error.faults
    if faults:
        raise NmpsimError("; ".join(dict.fromkeys(messages)), faults)
    return found


def _reference(
    suite: Suite, cache: Path, workers: int | None, *, rerun: bool, table: str | None
) -> tuple[Reference, str]:
    """Return the cycle runs of a suite, and what is stale about them."""
    from nmpsim.validate.reference import read_reference, run_suite, stale, table_file, write_reference

    shipped = table_file(suite.name)
    if shipped.is_file() and not rerun and not table:
        reference, seconds = read_reference(shipped)
        warning = stale(reference, suite)
        if warning:
            again = f"nmpsim validate --rerun makes the runs anew ({seconds / 60:.0f} CPU minutes)"
            typer.echo(
                f"nmpsim: the table of suite {suite.name} is stale: changed since are {warning}; {again}", err=True
            )
        return reference, warning
    with study_bar() as advance:
        reference, seconds = run_suite(suite, cache, workers=workers, progress=advance)
    if table:
        write_reference(reference, Path(table), seconds)
        typer.echo(f"{len(reference.rows):,} operators written to {table}")
    return reference, ""


def _write_template(path: Path, reference: Reference) -> None:
    from nmpsim.study.table import replace_file
    from nmpsim.validate.predict import template

    try:
        replace_file(path, template(reference))
    except OSError as error:
        fault = Fault(f"--template {path}", error.strerror or str(error), "a file to write", "choose another file")
        raise NmpsimError("cannot write the template", [fault]) from error
    typer.echo(f"{len(reference.rows):,} lines written to {path}: fill in the column cycles")
