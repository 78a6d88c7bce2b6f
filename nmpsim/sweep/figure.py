"""Utilisation over M, a curve per dataflow: the best mapping of each product."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping as Curves
from collections.abc import Sequence
from typing import Any

from nmpsim.sweep.run import Measured
from nmpsim.sweep.tables import best_rows

MOST_PANELS = 24
"""Panels of a figure; further products are only in the tables."""


def curves_of(found: Sequence[Measured]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Return the points (M, utilisation) of the best mappings, by product without its M and by dataflow.

    Parameters
    ----------
    found : sequence of Measured
    """
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for one in best_rows(found):
        label = f"{one.product.name}\nN {one.product.n} K {one.product.k}"
        points = curves.setdefault(label, {}).setdefault(one.mapping.flow_name, [])
        points.append((one.product.m, one.utilisation))
    return {label: {name: sorted(points) for name, points in group.items()} for label, group in curves.items()}


def draw_panels(curves: Curves[str, Curves[str, Sequence[tuple[int, float]]]], title: str, over: str = "M") -> Any:
    """Draw a panel for each group of curves: utilisation in per cent.

    Parameters
    ----------
    curves : mapping of str to mapping of str to points
        By panel and by name of the curve.
    title : str
    over : str
        What the points run over.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    shown = list(curves.items())[:MOST_PANELS]
    across = min(4, max(1, len(shown)))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(3.4 * across, 2.5 * down + 0.6), layout="constrained")
    names: dict[str, Any] = {}
    for place, (label, group) in enumerate(shown, 1):
        axes = figure.add_subplot(down, across, place)
        for index, (name, points) in enumerate(group.items()):
            (line,) = axes.plot(
                [m for m, _ in points], [100 * y for _, y in points], marker="os^Dvx"[index % 6], markersize=3
            )
            names.setdefault(name, line)
        axes.set_title(label, fontsize=8)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.tick_params(labelsize=7)
        axes.set_xlabel(over, fontsize=7)
        axes.set_ylabel("utilisation, %", fontsize=7)
    figure.suptitle(title, fontsize=10)
    figure.legend(names.values(), names.keys(), loc="outside lower center", ncols=max(1, len(names)), fontsize=8)
    return figure


def image_bytes(figure: Any, kind: str = "png") -> bytes:
    """Return a figure as the bytes of an image file, without a date.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    kind : str
        ``png`` or ``svg``.
    """
    target = io.BytesIO()
    figure.savefig(target, format=kind, dpi=110, metadata={"Software": None} if kind == "png" else {"Date": None})
    return target.getvalue()
