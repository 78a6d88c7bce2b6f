"""The designed sample: steps and chips that fill their space evenly, as points of a study.

An additive recurrence gives every point a place in a cube of one dimension per variable, with low discrepancy from the
first few points on; places become models, batch and context on a logarithmic scale, and settings of the chip from lists
round those of the shipped chips.  Every sixth point stands on a corner of batch and context, so that the fit reaches
the edges of both.

Source: M. Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences" (2018), the sequence R_d.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nmpsim.study.point import Point
from nmpsim.study.tasks import STEP
from nmpsim.workload import load_model

MODELS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("llama-3.1-8b", {}),
    ("olmoe-1b-7b", {}),
    ("llama-3.1-70b", {}),
    ("qwen3-30b-a3b", {}),
    ("deepseek-v3", {"first_layer": 0, "stacks": 1}),
    ("mixtral-8x7b", {}),
    ("qwen2.5-32b", {}),
    ("deepseek-v3", {"first_layer": 3, "stacks": 1}),
    ("opt-66b", {}),
    ("deepseek-v3", {"first_layer": 0, "stacks": 1, "attention": "expanded"}),
    ("llama-3.1-405b", {"stacks": 1}),
)
"""Shipped models, and settings that choose a layer of them."""

MOST_EXPERTS = 128
"""Experts that a layer of a sampled step may use on average: more make runs of minutes."""

BATCH, CONTEXT, MOST_TOKENS, MOST_LATENT = (1, 64), (512, 32768), 2097152, 65536
"""Ranges of batch and context, and of their product; less with latent attention, whose runs take longest."""

CORNERS = tuple((batch, context) for batch in BATCH for context in CONTEXT)
EVERY = 6
"""Of so many points one stands on a corner, on each in turn."""

SYSTOLIC = {
    "strip_rows": (8, 4, 16, 2, 8),
    "chip.pus": (16, 8, 16),
    "clock.core_GHz": (0.8, 1.0, 0.5, 1.25, 0.8),
    "core.vector.lanes": (256, 128, 512, 256),
    "core.buffer.bytes": (1048576, 2097152, 4194304),
    "noc.flit_bytes": (128, 64, 256, 128),
    "dram.timing.tRP_ns": (5, 8, 12, 5),
}
"""Settings of chips with an array; assumed: half to twice those of the shipped ones, which come most often.  Rings of
32 PUs saturate where all tell all, which no closed form here describes: they are left out."""

MAC_TREE = {
    "core.mac_tree.engines": (16, 8, 32, 16),
    **{k: v for k, v in SYSTOLIC.items() if k != "strip_rows"},
    "core.buffer.bytes": (1310720, 2621440, 5242880),
    "clock.core_GHz": (1.0, 0.8, 0.5, 1.25, 1.0),
}
"""Settings of chips of MAC trees."""

DIMENSIONS = 12


def _golden(dimensions: int) -> float:
    """Return the root of x^(d + 1) = x + 1: the golden ratio of d dimensions."""
    found = 1.5
    for _ in range(64):
        found = (1 + found) ** (1 / (dimensions + 1))
    return found


STEPS = tuple(_golden(DIMENSIONS) ** -(i + 1) for i in range(DIMENSIONS))
"""By which each coordinate of the sequence grows, modulo 1."""


def _log(place: float, low: float, high: float) -> int:
    return int(low * (high / low) ** place + 0.5)


def points(chip: str, kind: str, seed: int) -> Iterator[Point]:
    """Yield the points of the sample of a chip, without end.

    Parameters
    ----------
    chip : str
        Name or path.
    kind : str
        ``systolic`` or ``mac_tree``.
    seed : int
        Shifts the sequence as a whole (modulo 1), so that other seeds give other points.
    """
    shift = np.random.default_rng(seed).random(DIMENSIONS)
    settings = MAC_TREE if kind == "mac_tree" else SYSTOLIC
    index = 0
    while True:
        index += 1
        places = [(index * step + s) % 1.0 for step, s in zip(STEPS, shift, strict=True)]
        model, fixed = MODELS[int(places[0] * len(MODELS))]
        batch, context = _log(places[1], *BATCH), _log(places[2], *CONTEXT)
        if index % EVERY == 0:
            batch, context = CORNERS[index // EVERY % len(CORNERS)]
        if model in _CHOICES and _CHOICES[model][0] * (1 - (1 - _CHOICES[model][1]) ** batch) > MOST_EXPERTS:
            batch = max(1, batch // 8)
        most = MOST_LATENT if model == "deepseek-v3" else MOST_TOKENS
        context = max(CONTEXT[0], min(context, most // batch, load_model(model).max_positions))
        overrides: dict[str, Any] = {}
        for (name, values), place in zip(settings.items(), places[3:], strict=False):
            chosen = values[int(place * len(values))]
            if name == "strip_rows":
                overrides |= {"core.array.rows": 16 * chosen, "core.array.granularity": chosen}
            else:
                overrides[name] = chosen
        tier = {"first_tier": (0, 3, 6)[int(places[10] * 3)]}
        table = {"model": model, "chip": chip, "batch": batch, "context": context, "layers": 1}
        yield Point.of(STEP, {**table, **fixed, **tier, "overrides": overrides})


_CHOICES = {"qwen3-30b-a3b": (128, 8 / 128), "olmoe-1b-7b": (64, 8 / 64), "deepseek-v3": (256, 8 / 256)}
"""Experts of a layer, and the share of them that a token goes to."""
