"""The plot of a validation: predicted against simulated cycles, a panel per model."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nmpsim.validate.operator import CLASSES
from nmpsim.validate.reference import Reference
from nmpsim.validate.score import Score, weighted

COLOURS = dict(zip(CLASSES, ("#0072b2", "#e69f00", "#009e73", "#cc79a7"), strict=True))
MOST_PANELS = 8


def draw(scores: Sequence[Score], reference: Reference) -> Any:
    """Return a figure of at most `MOST_PANELS` models; operators that are set aside are not shown.

    Parameters
    ----------
    scores : sequence of Score
    reference : Reference

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    table = weighted(reference)
    kinds = np.array([row.operator.operator_class for row in reference.rows])
    shown = scores[:MOST_PANELS]
    across = min(4, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(3.1 * across + 0.6, 3.1 * down + 0.5), layout="constrained")
    every = np.array([one.prediction.cycles for one in shown])
    low = table.cycles[table.counted].min() / 2
    high = max(table.cycles[table.counted].max(), every[:, table.counted].max()) * 2
    for place, (one, predicted) in enumerate(zip(shown, every, strict=True), 1):
        axes = figure.add_subplot(down, across, place)
        for name, colour in COLOURS.items():
            own = table.counted & (kinds == name)
            if own.any():
                floored = np.maximum(predicted[own], low)  # a prediction of 0 has no place on this axis
                axes.scatter(table.cycles[own], floored, s=4, alpha=0.4, color=colour, linewidths=0, label=name)
        axes.plot([low, high], [low, high], color="black", linewidth=0.8)
        for factor in (0.9, 1.1):
            axes.plot([low, high], [factor * low, factor * high], color="black", linewidth=0.5, linestyle=":")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(low * 0.8, high)
        title = f"{one.prediction.name}: {100 * one.overall.time_mean:.1f} % by time"
        axes.set_title(title if len(title) < 40 else "..." + title[-37:], fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("simulated, core cycles", fontsize=8)
        axes.set_ylabel("predicted", fontsize=8)
        axes.grid(visible=True, alpha=0.25)
        if place == 1:
            axes.legend(fontsize=7, markerscale=3, loc="upper left")
    return figure


def image_bytes(figure: Any) -> bytes:
    """Return a figure as a PNG file without a date.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    """
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()
