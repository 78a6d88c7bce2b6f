"""What an experiment found for a claim, and how it becomes ``result.json``, a table and a plot."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nmpsim import __version__
from nmpsim.claims.claim import Claim
from nmpsim.spec import load_chip
from nmpsim.study.fingerprint import own_hash, versions
from nmpsim.study.runner import Outcome

FORMAT = "nmpsim-claim-1"
DIGITS = 6
"""Significant digits of figures in results."""


@dataclass(frozen=True)
class Finding:
    """Verdict and figures.

    Parameters
    ----------
    verdict : str
        One of `nmpsim.claims.claim.VERDICTS`.
    reason : str
        Why, in words with figures.
    figures : dict
        The main ones.
    rows : list of dict
        One per workload, or step, or operator.
    columns : dict of str to str
        Keys of rows that the table shows, and their headings.
    notes : list of str
        What must be known to read them.
    panels : list of Panel
        What the plot shows.
    """

    verdict: str
    reason: str
    figures: dict[str, Any]
    rows: list[dict[str, Any]]
    columns: dict[str, str]
    notes: list[str] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)


@dataclass(frozen=True)
class Panel:
    """One diagram of a plot.

    Parameters
    ----------
    title, x, y : str
        Title and labels of the axes.
    series : dict of str to list of (x, y)
        Points by name; x is a number, or text for bars.
    lines : dict of str to list of (x, y)
        Curves drawn as lines, by name.
    logarithmic : bool
        Both axes.
    """

    title: str
    x: str
    y: str
    series: dict[str, list[tuple[Any, float]]]
    lines: dict[str, list[tuple[Any, float]]] = field(default_factory=dict)
    logarithmic: bool = False


def rounded(value: Any) -> Any:
    """Return a value with its numbers rounded to `DIGITS`; NaN and infinity as None.

    Parameters
    ----------
    value : object
        As JSON knows it.
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return value


def result_json(claim: Claim, finding: Finding, outcomes: Sequence[Outcome], chips: Sequence[str]) -> str:
    """Return the text of ``result.json``.

    Parameters
    ----------
    claim : Claim
    finding : Finding
    outcomes : sequence of Outcome
        Of all its points.
    chips : sequence of str
        Shipped chips that were used.
    """
    refused: dict[str, int] = {}
    for one in outcomes:
        if one.figures is None:
            line = one.why.splitlines()
            why = " ".join(part.strip(" -") for part in line[:2])
            refused[why] = refused.get(why, 0) + 1
    whole = {
        "format": FORMAT,
        "claim": claim.name,
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "rule": claim.rule,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "figures": rounded(finding.figures),
        "rows": rounded(finding.rows),
        "notes": finding.notes,
        "provenance": {
            "nmpsim": __version__,
            "sources_sha256": own_hash(),
            "claim_sha256": claim.sha256,
            "chips_sha256": {name: load_chip(name).sha256 for name in chips},
            "versions": versions(),
            "command": f"nmpsim claims run {claim.name}",
            "points": len(outcomes),
            "without_figures": refused,
        },
    }
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def shown(value: Any) -> str:
    """Return a cell of a table.

    Parameters
    ----------
    value : object
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table_lines(finding: Finding) -> list[str]:
    """Return the rows as a Markdown table.

    Parameters
    ----------
    finding : Finding
    """
    kinds = {key: any(isinstance(row.get(key), int | float) for row in finding.rows) for key in finding.columns}
    lines = ["| " + " | ".join(finding.columns.values()) + " |"]
    lines.append("| " + " | ".join("---:" if kinds[key] else "---" for key in finding.columns) + " |")
    lines += ["| " + " | ".join(shown(row.get(key)) for key in finding.columns) + " |" for row in finding.rows]
    return lines


def result_page(claim: Claim, finding: Finding) -> str:
    """Return the text of ``result.md``.

    Parameters
    ----------
    claim : Claim
    finding : Finding
    """
    made = f"Made by `nmpsim claims run {claim.name}`; do not edit."
    lines = [f"# {claim.title}", "", made, "", f"**Claim.** {claim.statement} ({claim.source})", ""]
    lines += [f"**Rule.** {claim.rule}", "", f"**Verdict: {finding.verdict}.** {finding.reason}", ""]
    lines += ["![plot](result.png)", "", *table_lines(finding), ""]
    if finding.notes:
        lines += ["Notes:", "", *(f"* {note}" for note in finding.notes), ""]
    return "\n".join(lines)


def picture(claim: Claim, finding: Finding) -> bytes:
    """Return the plot as PNG, without a date.

    Parameters
    ----------
    claim : Claim
    finding : Finding
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = max(1, len(finding.panels))
    across = min(2, count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(6.4 * across, 3.9 * down + 0.3), layout="constrained")
    for place, panel in enumerate(finding.panels, 1):
        axes = figure.add_subplot(down, across, place)
        for index, (name, points) in enumerate(panel.lines.items()):
            axes.plot([x for x, _ in points], [y for _, y in points], "-", color=f"C{index}", label=name, linewidth=1.2)
        words = any(isinstance(x, str) for points in panel.series.values() for x, _ in points)
        if words:
            _bars(axes, panel)
            axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend
        else:
            for index, (name, points) in enumerate(panel.series.items()):
                mark = "os^Dv<>px*"[index % 10]
                axes.plot([x for x, _ in points], [y for _, y in points], mark, label=name, markersize=4)
        if panel.logarithmic:
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
        axes.set_title(panel.title, fontsize=9)
        axes.set_xlabel(panel.x, fontsize=8)
        axes.set_ylabel(panel.y, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(visible=True, which="major", axis="y", alpha=0.3)
        axes.legend(fontsize=6)
    figure.suptitle(claim.title, fontsize=10)
    FigureCanvasAgg(figure)
    return _png(figure)


def _bars(axes: Any, panel: Panel) -> None:
    labels = list(dict.fromkeys(x for points in panel.series.values() for x, _ in points))
    width = 0.8 / max(1, len(panel.series))
    for index, (name, points) in enumerate(panel.series.items()):
        found = dict(points)
        at = [place + width * (index + 0.5) - 0.4 for place, label in enumerate(labels) if label in found]
        axes.bar(at, [found[label] for label in labels if label in found], width, label=name)
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=6)


def _png(figure: Any) -> bytes:

    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    return target.getvalue()
