"""What came of a validation: ``result.json``, ``operators.csv``, ``report.html``, ``errors.png``, and what is shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import ASCII_DOUBLE_HEAD
from rich.console import Console
from rich.table import Table

from nmpsim import __version__
from nmpsim.errors import Fault, NmpsimError
from nmpsim.study.table import replace_file
from nmpsim.validate.figure import draw, image_bytes
from nmpsim.validate.page import page_of
from nmpsim.validate.reference import Reference
from nmpsim.validate.score import Errors, Score, Worst, rows_of

FORMAT = "nmpsim-validation-1"
RESULT, ROWS, PAGE, PLOT = "result.json", "operators.csv", "report.html", "errors.png"
DIGITS = 6

HEADS = {
    "time_mean": "mean (time)", "time_p95": "p95 (time)", "mean": "mean", "median": "median", "p95": "p95",
    "largest": "largest", "time_bias": "bias (time)", "bias": "bias",
}  # fmt: skip
"""Errors that tables show, and their headings."""


def result_of(scores: Sequence[Score], reference: Reference, warning: str) -> dict[str, Any]:
    """Return the tree of ``result.json``.

    Parameters
    ----------
    scores : sequence of Score
    reference : Reference
    warning : str
        What is stale; empty if nothing.
    """
    refused = [case for case in reference.cases if case.refused]
    return {
        "format": FORMAT,
        "suite": {
            "name": reference.suite,
            "title": reference.title,
            "steps": len(reference.cases) - len(refused),
            "operators": len(reference.rows),
            "refused": {case.name: case.refused for case in refused},
        },
        "models": [_score(one) for one in scores],
        "provenance": {"nmpsim": __version__, "stale": warning, **reference.origin},
    }


def _score(one: Score) -> dict[str, Any]:
    return {
        "model": one.prediction.name,
        "sha256": one.prediction.sha256,
        "operators": _rounded(asdict(one.overall)),
        "steps": _rounded(asdict(one.steps)),
        "small": _rounded(one.small),
        **{
            f"by_{name}": {member: _rounded(asdict(errors)) for member, errors in group.items()}
            for name, group in one.groups.items()
        },
        "worst": [_rounded(worst_of(worst)) for worst in one.worst],
    }


def worst_of(worst: Worst) -> dict[str, Any]:
    """Return a worst case as a table.

    Parameters
    ----------
    worst : Worst
    """
    row = worst.row
    return {
        "case": row.case.name,
        "operator": row.operator.name,
        "kind": row.operator.kind,
        "cycles": row.cycles,
        "predicted": worst.predicted,
        "error": worst.error,
        "share_of_step": worst.moved,
        "bounds": row.bounds,
        "array_cycles": row.array_cycles,
        "reason": worst.reason,
    }


def _rounded(tree: Any) -> Any:
    """Return a tree with its floats rounded to `DIGITS` significant digits."""
    if isinstance(tree, float):
        return float(f"{tree:.{DIGITS}g}")
    if isinstance(tree, Mapping):
        return {key: _rounded(value) for key, value in tree.items()}
    return tree


def csv_bytes(scores: Sequence[Score], reference: Reference) -> bytes:
    """Return a CSV file with a line per model and operator.

    Parameters
    ----------
    scores : sequence of Score
    reference : Reference
    """
    lines = [row for one in scores for row in rows_of(one.prediction, reference)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(_rounded(line))
    return text.getvalue().encode()


def write_outcome(scores: Sequence[Score], reference: Reference, warning: str, folder: Path) -> None:
    """Write the files of a validation, each as a whole or not at all, ``result.json`` last.

    Parameters
    ----------
    scores : sequence of Score
    reference : Reference
    warning : str
        What is stale; empty if nothing.
    folder : Path
        Made if missing.

    Raises
    ------
    NmpsimError
        If they cannot be written.
    """
    result = result_of(scores, reference, warning)
    image = image_bytes(draw(scores, reference))
    contents = {
        ROWS: csv_bytes(scores, reference),
        PLOT: image,
        PAGE: page_of(result, image).encode(),
        RESULT: (json.dumps(result, indent=1, allow_nan=False) + "\n").encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            replace_file(folder / name, content)
    except OSError as error:
        todo = "check its permissions and the space left, or choose another folder"
        fault = Fault(f"--out {folder}", error.strerror or str(error), "a folder to write to", todo)
        raise NmpsimError("cannot write the validation", [fault]) from error


def percent(value: float, *, signed: bool = False) -> str:
    """Return a share as per cent.

    Parameters
    ----------
    value : float
    signed : bool
        Also with a plus.
    """
    return f"{100 * value:{'+' if signed else ''}.1f} %"


def cells(errors: Errors) -> list[str]:
    """Return the cells of a line under `HEADS`, and the rank correlation.

    Parameters
    ----------
    errors : Errors
    """
    found = [percent(getattr(errors, name), signed=name.endswith("bias")) for name in HEADS]
    return [*found, "-" if errors.rank is None else f"{errors.rank:.3f}"]


def text_of(scores: Sequence[Score], reference: Reference, warning: str, worst: int = 5) -> str:
    """Return what the terminal shows.

    Parameters
    ----------
    scores : sequence of Score
    reference : Reference
    warning : str
        What is stale; empty if nothing.
    worst : int
        Worst cases of each model.
    """
    console = Console(width=160, file=io.StringIO(), highlight=False, soft_wrap=True)
    refused = sum(bool(case.refused) for case in reference.cases)
    steps = len(reference.cases) - refused
    told = f"{steps} steps, {len(reference.rows):,} operators; {refused} steps are refused by their chip."
    console.print(f"{reference.title}\n{told} Errors are |predicted / simulated - 1| of core cycles.", markup=False)
    if warning:
        console.print(f"\nThe table of this suite is stale: changed since are {warning}.\n", markup=False)
    console.print(_table("Operators", [(one.prediction.name, one.overall) for one in scores]))
    console.print(_table("Whole steps", [(one.prediction.name, one.steps) for one in scores]))
    for one in scores:
        for name in ("class", "bottleneck"):
            console.print(_table(f"{one.prediction.name}, by {name}", list(one.groups[name].items())))
        small = one.small
        aside = f"{small['number']:,} small operators, {small['hidden']:,} of them hidden behind others"
        took = f"{percent(small['share'])} of the time, predicted {percent(small['predicted'])}"
        console.print(f"Set aside: {aside}; they take {took}.", markup=False)
        console.print(f"\nWorst of {one.prediction.name}, by the share of the step missed:", markup=False)
        for case in one.worst[:worst]:
            console.print(
                f"  {case.row.operator.name} of {case.row.case.name}: {case.row.cycles:,} cycles, predicted"
                f" {case.predicted:,.0f} ({percent(case.error, signed=True)}), {percent(case.moved)} of the step;"
                f" {case.reason}",
                markup=False,
            )
        console.print()
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _table(title: str, lines: Sequence[tuple[str, Errors]]) -> Table:
    table = Table(title=title, title_justify="left", box=ASCII_DOUBLE_HEAD, title_style="bold")
    table.add_column("")
    for head in ("number", "time", *HEADS.values(), "rank corr."):
        table.add_column(head, justify="right", no_wrap=True)
    for name, errors in lines:
        table.add_row(name, f"{errors.number:,}", percent(errors.share), *cells(errors))
    return table


def markdown_table(scores: Sequence[Score]) -> str:
    """Return the errors of models as a table in Markdown: operators, then whole steps.

    Parameters
    ----------
    scores : sequence of Score
    """
    heads = ["model", "mean", "p95", "mean by time", "bias by time", "rank corr.", "steps: mean", "steps: p95"]
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for one in scores:
        own, steps = one.overall, one.steps
        values = [percent(value) for value in (own.mean, own.p95, own.time_mean)]
        values += [percent(own.time_bias, signed=True), "-" if own.rank is None else f"{own.rank:.3f}"]
        values += [percent(steps.mean), percent(steps.p95)]
        lines.append(f"| {one.prediction.name} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"
