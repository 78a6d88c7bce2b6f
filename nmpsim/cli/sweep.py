"""``nmpsim sweep``: many chips for one decode step."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import Numbers
from nmpsim.errors import Fault, NmpsimError

if TYPE_CHECKING:
    from nmpsim.explore.space import Space
    from nmpsim.study.runner import Outcome, Progress


def sweep(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study file (.toml): step, axes, limits, objectives.")],
    by: Annotated[
        str,
        typer.Option("--by", metavar="MODEL", help="Model that predicts: shipped, or file.py:function; see validate."),
    ] = "analytic",
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="DIR", help="Write sweep.parquet, front.csv, sweep.png and result.json."),
    ] = None,
    cache: Annotated[
        str, typer.Option("--cache", metavar="DIR", help="Folder of finished points; they are not computed again.")
    ] = "out/study",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes; one per core by default.")] = None,
) -> None:
    """Predict a step on many chips, draw the Pareto front within limits, and confirm it by cycle runs.

    The prediction is as good as its model: the gap to the cycle mode on random chips and on the front is printed.
    """
    with exit_codes():
        from nmpsim.explore.models import step_model
        from nmpsim.explore.outcome import text_of, write_outcome
        from nmpsim.explore.run import explore
        from nmpsim.explore.space import load_space

        numbers = Numbers()
        count = None if workers is None else numbers.read("--workers", workers, 1, None, "give a number of processes")
        space: Space | None = None
        try:
            space = load_space(Path(study))
        except NmpsimError as error:
            numbers.faults += error.faults
        try:
            step_model(by)
        except NmpsimError as error:
            numbers.faults += [Fault(f"--by {one.where}", one.got, one.allowed, one.todo) for one in error.faults]
        if out is not None:
            place = next((one for one in (Path(out), *Path(out).parents) if one.exists()), Path(out))
            if not out or not place.is_dir():
                allowed, todo = "a folder, there or to be made", "name another folder"
                numbers.faults.append(Fault("--out", repr(out), allowed, todo))
        numbers.refuse()
        assert space is not None
        start = time.monotonic()
        with _bar() as advance:
            found = explore(
                space,
                by,
                Path(cache),
                workers=count,
                progress=advance,
                told=lambda words: typer.echo(f"nmpsim: {words}", err=True),
            )
        typer.echo(text_of(found), nl=False)
        typer.echo(f"{time.monotonic() - start:.0f} s")
        if out:
            write_outcome(found, Path(out))
            typer.echo(f"written to {out}")


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show a bar of the points on stderr."""
    import tqdm

    with tqdm.tqdm(unit="point", file=sys.stderr, mininterval=0.5 if sys.stderr.isatty() else 5.0) as bar:

        def advance(done: int, total: int, outcome: Outcome) -> None:
            if done < bar.n or bar.total != total:
                bar.reset(total)
            if outcome.error:
                bar.write(f"failed: {outcome.error.splitlines()[0]}", file=sys.stderr)
            bar.update(done - bar.n)

        yield advance
