"""A space of chips as a TOML file: a step, a chip to start from, axes over any of its fields, limits, objectives.

::

    model = "llama-3.1-8b"
    chip = "snake"
    batch = 16                      # and the other settings of a step
    number = 100000                 # chips; drawn at random where the axes have more
    minimise = ["seconds", "area_mm2"]

    [vary]                          # a list is an axis; all axes are multiplied
    "clock.core_GHz" = [0.4, 0.8, 1.2]

    [[together]]                    # an axis whose values set several fields
    values = [{ "core.array.rows" = 64, "core.array.granularity" = 4 }, { ... }]

    [limits]                        # at most; capacity is always asked for
    area_mm2 = 121
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, NmpsimError, SpecError
from nmpsim.schedule.step import plan_step
from nmpsim.spec.faults import section_at, unknown_key_advice
from nmpsim.study.tasks import STEP_SETTINGS

OBJECTIVES = ("seconds", "area_mm2", "watts")
"""Time of the step; area of the logic die; its power with every unit at work in every cycle, static power included."""

SETTINGS = tuple(name for name in STEP_SETTINGS if name not in {"overrides", "modes", "attention_modes"})
"""Settings of the step that a file may give."""

MOST_CHIPS = 10_000_000
MOST_COMBINATIONS = 2**62
_OWN = ("title", "number", "draw_seed", "minimise", "vary", "together", "limits", "gap_chips", "front_chips")

Axis = tuple[Mapping[str, Any], ...]
"""Values of an axis, each as overrides of the chip."""


@dataclass(frozen=True)
class Space:
    """Chips to be explored for a step.

    Parameters
    ----------
    title : str
    step : dict
        Settings of the step, ``chip`` among them: the one to start from.
    axes : tuple of Axis
    number : int
        Chips at most.
    draw_seed : int
        Of the draw of chips.
    minimise : tuple of str
        Of `OBJECTIVES`, at least two.
    limits : dict of str to float
        Most of a figure.
    gap_chips : int
        Chips drawn at random that are run in the cycle mode to tell how good the prediction is.
    front_chips : int
        Chips of the front that are run at most.
    tree : dict
        The file.
    """

    title: str
    step: dict[str, Any]
    axes: tuple[Axis, ...]
    number: int
    draw_seed: int
    minimise: tuple[str, ...]
    limits: dict[str, float]
    gap_chips: int
    front_chips: int
    tree: dict[str, Any]

    @property
    def size(self) -> int:
        """Chips of all axes."""
        return math.prod(len(axis) for axis in self.axes)

    def places(self) -> NDArray[np.int64]:
        """Return the numbers of the chips that are explored: all, or `number` of them drawn without a double."""
        return _drawn(self.size, self.number, self.draw_seed)

    def overrides(self, place: int) -> dict[str, Any]:
        """Return the overrides of a chip; the last axis is the fastest.

        Parameters
        ----------
        place : int
            Below `size`.
        """
        chosen = []
        for axis in reversed(self.axes):
            place, digit = divmod(place, len(axis))
            chosen.append(axis[digit])
        return {path: value for part in reversed(chosen) for path, value in part.items()}


@lru_cache(maxsize=1)
def _drawn(size: int, number: int, seed: int) -> NDArray[np.int64]:
    """Return so many numbers below a size, ascending, or all if there are fewer."""
    if size <= number:
        return np.arange(size)
    generator = np.random.Generator(np.random.PCG64(seed))
    return np.sort(generator.choice(size, number, replace=False, shuffle=False))


def load_space(path: Path) -> Space:
    """Return the space of a file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    NmpsimError
        With every fault of the file.
    """
    try:
        content = path.read_bytes()
        tree = tomllib.loads(content.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        fault = Fault(str(path), str(error), "a study file, TOML 1.0", "see docs/sweep.md")
        raise NmpsimError("cannot read the study", [fault]) from error
    return space_of(tree, str(path))


def space_of(tree: dict[str, Any], file: str = "study") -> Space:
    """Return the space of the tree of a file.

    Parameters
    ----------
    tree : dict
    file : str
        Its name, for messages.

    Raises
    ------
    NmpsimError
        With every fault of it.
    """
    faults: list[Fault] = []
    foreign = [key for key in tree if key not in _OWN and key not in SETTINGS]
    faults += [
        Fault(f"{file}: {key}", "no key of a study", ", ".join((*_OWN, *SETTINGS)), "remove it") for key in foreign
    ]
    step = {key: value for key, value in tree.items() if key in SETTINGS}
    _check_step(step, file, faults)
    axes = _axes(tree, file, faults)
    numbers = {
        "number": _count(tree, "number", 1, MOST_CHIPS, 100_000, file, faults),
        "draw_seed": _count(tree, "draw_seed", 0, 2**63 - 1, 0, file, faults),
        "gap_chips": _count(tree, "gap_chips", 0, 10_000, 50, file, faults),
        "front_chips": _count(tree, "front_chips", 1, 10_000, 50, file, faults),
    }
    minimise = tree.get("minimise", ["seconds", "area_mm2"])
    if not isinstance(minimise, list) or len(minimise) < 2 or any(name not in OBJECTIVES for name in minimise):
        todo = "name at least two of them"
        faults.append(Fault(f"{file}: minimise", repr(minimise)[:60], ", ".join(OBJECTIVES), todo))
    limits = _limits(tree, file, faults)
    if faults:
        raise NmpsimError(f"study {file} has {len(faults)} fault{'s' * (len(faults) > 1)}", faults)
    title = str(tree.get("title", file))
    return Space(title, step, axes, minimise=tuple(minimise), limits=limits, tree=tree, **numbers)


def _check_step(step: dict[str, Any], file: str, faults: list[Fault]) -> None:
    """Add what is wrong with the step on the chip as it is."""
    missing = [key for key in ("model", "chip") if not isinstance(step.get(key), str)]
    faults += [Fault(f"{file}: {key}", repr(step.get(key)), "a name, or a path", "give it") for key in missing]
    text = {"attention", "chip", "kv", "model", "placement", "routing", "weights"}
    wrong = [
        key
        for key, value in step.items()
        if key not in missing and not (isinstance(value, str) if key in text else type(value) is int)
    ]
    faults += [
        Fault(f"{file}: {key}", repr(step[key])[:60], "text" if key in text else "an integer", "correct it")
        for key in wrong
    ]
    if missing or wrong:
        return
    try:
        plan_step(**step)
    except NmpsimError as error:
        own = (
            error.faults or SpecError("", [Fault("step", str(error), "a step that can be planned", "change it")]).faults
        )
        faults += [Fault(f"{file}: {one.where}", one.got, one.allowed, one.todo) for one in own]


def _axes(tree: Mapping[str, Any], file: str, faults: list[Fault]) -> tuple[Axis, ...]:
    """Return the axes of a file."""
    vary, together = tree.get("vary", {}), tree.get("together", [])
    axes: list[Axis] = []
    if not isinstance(vary, dict) or not isinstance(together, list):
        todo = "see docs/sweep.md"
        faults.append(Fault(f"{file}: vary, together", "something else", "[vary] and [[together]]", todo))
        return ()
    for path, values in vary.items():
        if not isinstance(values, list) or not values:
            faults.append(Fault(f"{file}: vary {path}", repr(values)[:60], "a list of values", "make it one"))
        else:
            axes.append(tuple({path: value} for value in values))
    for number, part in enumerate(together, 1):
        values = part.get("values") if isinstance(part, dict) and set(part) == {"values"} else None
        if not isinstance(values, list) or not values or not all(isinstance(value, dict) and value for value in values):
            got, allowed = repr(part)[:60], "values = [{ path = value, ... }, ...]"
            faults.append(Fault(f"{file}: together {number}", got, allowed, "see docs/sweep.md"))
        elif any(set(value) != set(values[0]) for value in values):
            todo = "give each the same paths"
            faults.append(Fault(f"{file}: together {number}", "values of different paths", "the same paths", todo))
        else:
            axes.append(tuple(values))
    paths = [path for axis in axes for path in axis[0]]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    faults += [Fault(f"{file}: {path}", "two axes", "one axis of a field", "remove one of them") for path in twice]
    for path in paths:
        *parents, key = path.split(".")
        section = section_at(parents)
        if section is None or key not in section.model_fields:
            todo = unknown_key_advice(path)
            faults.append(Fault(f"{file}: {path}", "a path that no chip has", "a dotted path of a key", todo))
    if (size := math.prod(len(axis) for axis in axes)) > MOST_COMBINATIONS:
        todo = "give fewer values"
        faults.append(Fault(f"{file}: vary", f"{size:.1e} chips", f"at most {MOST_COMBINATIONS:.1e}", todo))
    if not axes and not faults:
        faults.append(Fault(f"{file}: vary", "no axis", "[vary] or [[together]]", "give at least one axis"))
    return tuple(axes)


def _count(tree: Mapping[str, Any], key: str, low: int, high: int, default: int, file: str, faults: list[Fault]) -> int:
    value = tree.get(key, default)
    if type(value) is int and low <= value <= high:
        return value
    faults.append(Fault(f"{file}: {key}", repr(value)[:60], f"an integer in {low}..{high}", "correct it"))
    return default


def _limits(tree: Mapping[str, Any], file: str, faults: list[Fault]) -> dict[str, float]:
    limits = tree.get("limits", {})
    if not isinstance(limits, dict):
        faults.append(Fault(f"{file}: limits", repr(limits)[:60], "a table", "see docs/sweep.md"))
        return {}
    found = {}
    for name, value in limits.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
        if name not in OBJECTIVES or not number:
            allowed = f"a number above 0 for one of {', '.join(OBJECTIVES)}"
            faults.append(Fault(f"{file}: limits {name}", repr(value)[:60], allowed, "correct it"))
        else:
            found[name] = float(value)
    return found
