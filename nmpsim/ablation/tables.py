"""What a study found, as ``result.json``, ``result.md``, ``result.png`` and Parquet tables."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmpsim import __version__
from nmpsim.ablation.effects import Contribution, as_tables
from nmpsim.ablation.study import GRID, LADDER, SINGLE, Study
from nmpsim.claims.finding import rounded, shown
from nmpsim.report.folder import Kind
from nmpsim.study.fingerprint import own_hash, versions

FORMAT = "nmpsim-ablation-1"
RESULT, PAGE, PLOT, ROWS, EFFECTS = "result.json", "result.md", "result.png", "rows.parquet", "contributions.parquet"
KIND = Kind((RESULT, PAGE, PLOT, ROWS, EFFECTS), FORMAT)
"""Files of the folder of a study."""

HEADINGS = {
    SINGLE: "Each change alone, against the base",
    LADDER: "Ladder: each change on top of those before it",
    GRID: "Grid: each level against its factor's base, all else equal",
}

STEP_COLUMNS = {
    "design": "design", "change": "change", "workload": "workload", "ms": "ms", "speed": "speed", "mJ": "mJ",
    "energy": "energy eff.", "logic_mm2": "logic, mm2", "utilisation": "MACs / peak", "bound": "largest bound",
    "of_bound": "bound / time", "refused": "refused",
}  # fmt: skip
EFFECT_COLUMNS = {
    "factor": "factor", "level": "level", "speed": "speed", "least": "least", "most": "most",
    "energy": "energy eff.", "logic": "area of logic", "total": "speed against base",
    "total_energy": "energy eff. against base", "pairs": "compared", "refused": "refused",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a study found.

    Parameters
    ----------
    study : Study
    mode : str
    rows : list of dict
        Per chip and step; see `nmpsim.ablation.effects.rows`.
    contributions : list of Contribution
    chips : mapping of str to str
        Hashes of the chip files, by name.
    points : int
        Runs.
    """

    study: Study
    mode: str
    rows: list[dict[str, Any]]
    contributions: list[Contribution]
    chips: Mapping[str, str]
    points: int


def result_json(found: Found) -> str:
    """Return the text of ``result.json``.

    Parameters
    ----------
    found : Found
    """
    study = found.study
    whole = {
        "format": FORMAT,
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "mode": found.mode,
        "designs": study.designs,
        "base": study.base,
        "contributions": as_tables(found.contributions),
        "rows": found.rows,
        "notes": study.notes,
        "provenance": {
            "nmpsim": __version__,
            "sources_sha256": own_hash(),
            "study": study.file,
            "study_sha256": study.sha256,
            "chips_sha256": found.chips,
            "versions": versions(),
            "points": found.points,
        },
    }
    return json.dumps(rounded(whole), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def markdown(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[str]:
    """Return rows as a Markdown table; a column that is empty in all of them is left out.

    Parameters
    ----------
    rows : sequence of mapping
    columns : mapping of str to str
        Headings by key.
    """
    used = {key: head for key, head in columns.items() if any(row.get(key) not in (None, "") for row in rows)}
    right = {key: any(isinstance(row.get(key), int | float) for row in rows) for key in used}
    cells = [list(used.values())] + [[shown(row.get(key)) for key in used] for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(used))]
    found = []
    for number, row in enumerate(cells):
        padded = [
            cell.rjust(width) if right[key] else cell.ljust(width)
            for cell, width, key in zip(row, widths, used, strict=True)
        ]
        found.append("| " + " | ".join(padded) + " |")
        if number == 0:
            marks = ["-" * (w - 1) + ":" if right[key] else "-" * w for w, key in zip(widths, used, strict=True)]
            found.append("| " + " | ".join(marks) + " |")
    return found


def contribution_lines(found: Found) -> list[str]:
    """Return the contributions as Markdown tables, one per design.

    Parameters
    ----------
    found : Found
    """
    lines = []
    for design in found.study.designs:
        own = [row for row in as_tables(found.contributions) if row["design"] == design]
        columns = {k: v for k, v in EFFECT_COLUMNS.items() if not k.startswith("total") or design == LADDER}
        lines += [f"{HEADINGS[design]}:", "", *markdown(own, columns), ""]
    return lines


def result_page(found: Found) -> str:
    """Return the text of ``result.md``.

    Parameters
    ----------
    found : Found
    """
    study = found.study
    lines = [f"# {study.title}", "", f"{study.question} (`nmpsim ablate`, {found.mode} mode)", ""]
    lines += [
        "![plot](result.png)",
        "",
        "Speed and energy efficiency are times those compared with: above 1 is better.",
        "",
    ]
    lines += [*contribution_lines(found), "Every step:", "", *markdown(found.rows, STEP_COLUMNS), ""]
    if study.notes:
        lines += ["Notes:", "", *(f"* {note}" for note in study.notes), ""]
    return "\n".join(lines)


def terminal_text(found: Found) -> str:
    """Return what the command prints.

    Parameters
    ----------
    found : Found
    """
    study = found.study
    refused = sum(bool(row["refused"]) for row in found.rows)
    lines = [study.title, study.question, "", *contribution_lines(found)]
    if refused:
        lines.append(f"{refused} of {len(found.rows)} steps were refused: see {PAGE}")
    lines += [f"* {note}" for note in study.notes]
    return "\n".join(lines).rstrip() + "\n"


def picture(found: Found) -> bytes:
    """Return the plot as PNG, without a date: a row of bars per design.

    Parameters
    ----------
    found : Found
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    designs = found.study.designs
    most = max(len([one for one in found.contributions if one.design == design]) for design in designs)
    figure = Figure(figsize=(max(6.4, 2 + 0.7 * most), 3.9 * len(designs) + 0.4), layout="constrained")
    for place, design in enumerate(designs, 1):
        axes = figure.add_subplot(len(designs), 1, place)
        own = [one for one in found.contributions if one.design == design]
        tops = [one.total if design == LADDER else one.speed for one in own]
        behind = " against base" if design == LADDER else ""
        at = range(len(own))
        axes.bar([x - 0.2 for x in at], tops, 0.4, label="speed" + behind)
        saved = [one.total_energy if design == LADDER else one.energy for one in own]
        axes.bar([x + 0.2 for x in at], saved, 0.4, label="energy efficiency" + behind)
        if design != LADDER:
            below = [one.speed - one.least for one in own]
            above = [one.most - one.speed for one in own]
            axes.errorbar([x - 0.2 for x in at], tops, [below, above], fmt="none", color="black", linewidth=0.8)
        axes.axhline(1.0, color="black", linewidth=0.6)
        axes.set_xticks(list(at), [f"{one.factor}\n{one.level}" for one in own], rotation=45, ha="right", fontsize=7)
        axes.set_title(HEADINGS[design], fontsize=9)
        axes.set_ylabel("times", fontsize=8)
        axes.tick_params(axis="y", labelsize=7)
        axes.grid(visible=True, axis="y", alpha=0.3)
        axes.legend(fontsize=7)
    figure.suptitle(found.study.title, fontsize=10)
    FigureCanvasAgg(figure)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    return target.getvalue()


def write(found: Found, folder: Path) -> None:
    """Write all files of a study.

    Parameters
    ----------
    found : Found
    folder : Path
        That is there.

    Raises
    ------
    OSError
        If one cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    (folder / RESULT).write_text(result_json(found), encoding="utf-8")
    (folder / PAGE).write_text(result_page(found), encoding="utf-8")
    (folder / PLOT).write_bytes(picture(found))
    for name, rows in ((ROWS, found.rows), (EFFECTS, as_tables(found.contributions))):
        keys = dict.fromkeys(key for row in rows for key in row)
        parquet.write_table(
            pa.table({key: [row.get(key) for row in rows] for key in keys}), folder / name, compression="zstd"
        )
