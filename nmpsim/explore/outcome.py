"""What came of an exploration: ``sweep.parquet``, ``front.csv``, ``result.json``, ``sweep.png``, and the text shown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import ASCII_DOUBLE_HEAD
from rich.console import Console
from rich.table import Table

from nmpsim import __version__
from nmpsim.errors import Fault, NmpsimError
from nmpsim.explore.run import Exploration, Gap
from nmpsim.spec import load_chip
from nmpsim.study.fingerprint import own_hash, versions
from nmpsim.study.table import replace_file
from nmpsim.validate.figure import image_bytes
from nmpsim.workload import load_model

FORMAT = "nmpsim-exploration-1"
RESULT, TABLE, FRONT, PLOT = "result.json", "sweep.parquet", "front.csv", "sweep.png"

UNITS = {"seconds": "us", "area_mm2": "mm2", "watts": "W"}
SCALES = {"seconds": 1e6, "area_mm2": 1.0, "watts": 1.0}
WORDS = {
    "seconds": "time of the step, us",
    "area_mm2": "logic die, mm2",
    "watts": "logic die at full work, W",
}

MOST_DRAWN = 20_000
"""Points of a plot."""


def front_rows(found: Exploration) -> list[dict[str, Any]]:
    """Return the chips of the predicted front that were run: fields, figures, cycle runs, and whether they stay on it.

    Parameters
    ----------
    found : Exploration
    """
    kept = set(found.best.tolist())
    rows = []
    for one in found.confirmed:
        figures = {name: float(found.columns[name][one.row]) for name in UNITS}
        rows.append(
            {
                **found.space.overrides(int(found.columns["place"][one.row])),
                **figures,
                "cycle_seconds": None if one.refused else one.seconds,
                "error": None if one.refused else figures["seconds"] / one.seconds - 1,
                "joules": None if one.refused else one.joules,
                "on_front": one.row in kept,
                "refused": one.refused,
            }
        )
    return rows


def result_of(found: Exploration) -> dict[str, Any]:
    """Return the tree of ``result.json``.

    Parameters
    ----------
    found : Exploration
    """
    space = found.space
    return {
        "format": FORMAT,
        "title": space.title,
        "study": space.tree,
        "by": found.by,
        "chips": {
            "of_the_axes": space.size,
            "explored": len(found.columns["place"]) + sum(found.refused.values()),
            "refused": found.refused,
            "within_limits": int(found.within.sum()),
            "predicted_front": len(found.predicted),
        },
        "front": front_rows(found),
        "gap": {
            "front": None if found.front_gap is None else asdict(found.front_gap),
            "random": None if found.random_gap is None else asdict(found.random_gap),
        },
        "provenance": {
            "nmpsim": __version__,
            "sources_sha256": own_hash(),
            "model_sha256": load_model(space.step["model"]).sha256,
            "chip_sha256": load_chip(space.step["chip"]).sha256,
            "versions": versions(),
        },
    }


def table_of(found: Exploration) -> Any:
    """Return a row per chip that was not refused: fields, figures, within limits, on the predicted front, cycle runs.

    Parameters
    ----------
    found : Exploration

    Returns
    -------
    pyarrow.Table
    """
    import pyarrow as pa

    columns = found.columns
    number = len(columns["place"])
    paths = [path for axis in found.space.axes for path in axis[0]]
    fields: dict[str, list[Any]] = {path: [] for path in paths}
    for place in columns["place"].tolist():
        for path, value in found.space.overrides(place).items():
            fields[path].append(value if isinstance(value, int | float | str) else json.dumps(value))
    runs: dict[str, list[float | None]] = {"cycle_seconds": [None] * number, "joules": [None] * number}
    for one in (*found.random, *found.confirmed):
        if not one.refused:
            runs["cycle_seconds"][one.row], runs["joules"][one.row] = one.seconds, one.joules
    on_front = np.zeros(number, dtype=bool)
    on_front[found.predicted] = True
    table: dict[str, Any] = {path: _one_type(values) for path, values in fields.items()}
    table |= {name: columns[name] for name in (*UNITS, "capacity_bytes")}
    return pa.table(table | {"within_limits": found.within, "predicted_front": on_front} | runs)


def _one_type(values: list[Any]) -> list[Any]:
    """Return values of one type: numbers as numbers, a mixture as text."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return [float(value) for value in values]
    return values if len(kinds) < 2 else [str(value) for value in values]


def draw(found: Exploration) -> Any:
    """Return a figure: chips within the limits, the predicted front, the front of the cycle mode.

    Parameters
    ----------
    found : Exploration

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    across, up = found.space.minimise[:2]
    x, y = (found.columns[name] * SCALES[name] for name in (across, up))
    rows = np.flatnonzero(found.within)
    shown = rows[:: max(1, len(rows) // MOST_DRAWN)]
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(x[shown], y[shown], s=2, color="#9aa7b4", linewidths=0, label=f"{len(rows):,} chips, predicted")
    line = "o-" if len(found.space.minimise) == 2 else "o"
    axes.plot(x[found.predicted], y[found.predicted], line, color="#e69f00", markersize=3, label="predicted front")
    ran = {one.row: one for one in found.confirmed if not one.refused}
    points = {"seconds": [1e6 * ran[row].seconds for row in found.best.tolist()]}
    best = [points.get(name, found.columns[name][found.best] * SCALES[name]) for name in (across, up)]
    axes.plot(*best, "s", color="#0072b2", markersize=5, fillstyle="none", label="front of the cycle mode")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(WORDS[across])
    axes.set_ylabel(WORDS[up])
    axes.set_title(found.space.title, fontsize=10)
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    return figure


def write_outcome(found: Exploration, folder: Path) -> None:
    """Write the files of an exploration, each as a whole or not at all, ``result.json`` last.

    Parameters
    ----------
    found : Exploration
    folder : Path
        Made if missing.

    Raises
    ------
    NmpsimError
        If they cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = front_rows(found)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    sink = pa.BufferOutputStream()
    parquet.write_table(table_of(found), sink, compression="zstd")
    contents = {
        TABLE: sink.getvalue().to_pybytes(),
        FRONT: text.getvalue().encode(),
        PLOT: image_bytes(draw(found)),
        RESULT: (json.dumps(result_of(found), indent=1) + "\n").encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            replace_file(folder / name, content)
    except OSError as error:
        todo = "check its permissions and the space left, or choose another folder"
        fault = Fault(f"--out {folder}", error.strerror or str(error), "a folder to write to", todo)
        raise NmpsimError("cannot write the sweep", [fault]) from error


def gap_words(name: str, gap: Gap | None) -> str:
    """Return what a gap is, in a line.

    Parameters
    ----------
    name : str
        Of the chips.
    gap : Gap or None
    """
    if gap is None:
        return f"{name}: no chip was run"
    rank = "-" if gap.rank is None else f"{gap.rank:.3f}"
    refused = f", {gap.refused} refused by the cycle mode" if gap.refused else ""
    mean, p95, largest = (f"{100 * value:.1f} %" for value in (gap.mean, gap.p95, gap.largest))
    off = f"mean {mean}, p95 {p95}, largest {largest}, bias {100 * gap.bias:+.1f} %"
    return f"{name}: {gap.number} cycle runs{refused}; prediction off by: {off}; rank correlation {rank}"


def text_of(found: Exploration, most: int = 20) -> str:
    """Return what the terminal shows.

    Parameters
    ----------
    found : Exploration
    most : int
        Lines of the front.
    """
    console = Console(width=400, file=io.StringIO(), highlight=False, soft_wrap=True)
    explored = len(found.columns["place"]) + sum(found.refused.values())
    console.print(
        f"{found.space.title}\n{explored:,} of {found.space.size:,} chips, predicted by {found.by};"
        f" {sum(found.refused.values()):,} are refused, {int(found.within.sum()):,} are within the limits,"
        f" {len(found.predicted)} are on the predicted front, {len(found.best)} on that of the cycle mode.",
        markup=False,
    )
    for why, number in list(found.refused.items())[:5]:
        console.print(f"  refused: {number:,} chips, {why}", markup=False)
    rows = front_rows(found)
    paths = [path for axis in found.space.axes for path in axis[0]]
    table = Table(title="Front", title_justify="left", box=ASCII_DOUBLE_HEAD)
    for head in (*_heads(paths), *(f"{name.partition('_')[0]}, {unit}" for name, unit in UNITS.items())):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("cycle mode, us", "error", "stays"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows[:most]:
        cells = [str(row[path]) for path in paths] + [f"{row[name] * SCALES[name]:.4g}" for name in UNITS]
        if row["refused"]:
            cells += ["refused", "-", "no"]
        else:
            stays = "yes" if row["on_front"] else "no"
            cells += [f"{1e6 * row['cycle_seconds']:.4g}", f"{100 * row['error']:+.1f} %", stays]
        table.add_row(*cells)
    console.print(table)
    if len(rows) > most:
        console.print(f"  and {len(rows) - most} more in {FRONT}", markup=False)
    console.print(gap_words("Front", found.front_gap), markup=False)
    console.print(gap_words("Random chips", found.random_gap), markup=False)
    console.print(_verdict(found), markup=False)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _heads(paths: list[str]) -> list[str]:
    """Return the last words of paths, or as many as tell them apart."""
    words = {path: path.split(".") for path in paths}

    def tail(path: str, number: int) -> str:
        return ".".join(words[path][-number:])

    return [
        next(
            tail(path, number)
            for number in range(1, len(words[path]) + 1)
            if number == len(words[path]) or sum(tail(other, number) == tail(path, number) for other in paths) == 1
        )
        for path in paths
    ]


def _verdict(found: Exploration) -> str:
    """Return whether the front is predicted as well as random chips are."""
    if found.front_gap is None or found.random_gap is None:
        return "Front and random chips cannot be compared."
    inside = sum(
        abs(found.columns["seconds"][one.row] / one.seconds - 1) <= found.random_gap.p95
        for one in found.confirmed
        if not one.refused
    )
    told = f"{100 * found.random_gap.p95:.1f} %, the 95th percentile of the random chips"
    return f"{inside} of {found.front_gap.number} chips of the front are predicted within {told}."
