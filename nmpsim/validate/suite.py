"""Suites: which decode steps a model is tested on, as a TOML file of grids."""

from __future__ import annotations

import hashlib
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmpsim.errors import Fault, NmpsimError, SpecError
from nmpsim.study import Point
from nmpsim.study.operators import OPERATORS
from nmpsim.study.tasks import STEP_SETTINGS, chip_of
from nmpsim.workload import load_model

SUITES = Path(__file__).parent / "suites"
STANDARD = "standard"

AXES = tuple(name for name in STEP_SETTINGS if name not in {"modes", "attention_modes"})
"""Settings of a grid; `overrides` is a table of settings of the chip by dotted path."""

MOST_STEPS = 100_000


@dataclass(frozen=True)
class Suite:
    """Decode steps, and where they stand.

    Parameters
    ----------
    name : str
        Of a shipped suite, or of the file.
    title : str
    points : tuple of Point
        One per step.
    sha256 : str
        Of the file.
    """

    name: str
    title: str
    points: tuple[Point, ...]
    sha256: str


def label(settings: Mapping[str, Any]) -> str:
    """Return the name of a step: model, chip, and what else is set.

    Parameters
    ----------
    settings : mapping
        Of a point.
    """
    words = [str(settings["model"]), str(settings["chip"])]
    words += [f"{path}={value}" for path, value in sorted((settings.get("overrides") or {}).items())]
    rest = [name for name in sorted(settings) if name not in {"model", "chip", "overrides", "batch", "context"}]
    words += [f"{name}={settings[name]}" for name in ("batch", "context") if name in settings]
    return " ".join([*words, *(f"{name}={settings[name]}" for name in rest)])


def load_suite(name: str) -> Suite:
    """Return a shipped suite, or that of a file.

    Parameters
    ----------
    name : str
        ``standard``, or a path that ends in ``.toml``.

    Raises
    ------
    NmpsimError
        With every fault of the file.
    """
    path = SUITES / f"{name}.toml"
    if not name.endswith(".toml"):
        if not path.is_file() or path.parent != SUITES:
            shipped = ", ".join(sorted(one.stem for one in SUITES.glob("*.toml")))
            fault = Fault("--suite", repr(name), f"{shipped}, or a path that ends in .toml", "name one of these")
            raise NmpsimError("no such suite", [fault])
    else:
        path = Path(name)
    try:
        content = path.read_bytes()
        tree = tomllib.loads(content.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        fault = Fault(f"--suite {path}", str(error), "a suite file, TOML 1.0", "see docs/validate.md")
        raise NmpsimError("cannot read the suite", [fault]) from error
    faults: list[Fault] = []
    points = _points(tree, str(path), faults)
    if faults:
        raise NmpsimError(f"suite {path} has {len(faults)} faults", faults)
    return Suite(name, str(tree.get("title", name)), points, hashlib.sha256(content).hexdigest())


def _points(tree: Mapping[str, Any], file: str, faults: list[Fault]) -> tuple[Point, ...]:
    """Return the steps of all grids; what is wrong is added to `faults`."""
    grids = tree.get("grid")
    foreign = sorted(tree.keys() - {"title", "grid"})
    faults += [Fault(f"{file}: {key}", "a key of no suite", "title, [[grid]]", "remove it") for key in foreign]
    if not isinstance(grids, list) or not grids or not all(isinstance(grid, dict) for grid in grids):
        faults.append(Fault(f"{file}: grid", repr(grids)[:60], "at least one [[grid]]", "see docs/validate.md"))
        return ()
    found: dict[Point, None] = {}
    for number, grid in enumerate(grids, 1):
        place = f"{file}: grid {number}"
        before = len(faults)
        rows = _grid(grid, place, faults)
        if len(faults) == before:
            _inputs(rows, place, faults)
            found.update(dict.fromkeys(Point.of(OPERATORS, row) for row in rows))
    return tuple(found)


def _grid(grid: Mapping[str, Any], place: str, faults: list[Fault]) -> list[dict[str, Any]]:
    """Return the settings of the steps of one grid."""
    axes: dict[tuple[str, str], list[Any]] = {}
    for key, value in grid.items():
        if key not in AXES:
            faults.append(Fault(f"{place}: {key}", repr(value)[:60], ", ".join(AXES), "correct or remove it"))
        elif key == "overrides":
            if not isinstance(value, dict):
                faults.append(Fault(f"{place}: overrides", repr(value)[:60], "a table by dotted path", "make it one"))
                continue
            axes |= {(key, path): part if isinstance(part, list) else [part] for path, part in value.items()}
        else:
            axes[key, ""] = value if isinstance(value, list) else [value]
    missing = [key for key in ("model", "chip") if (key, "") not in axes]
    faults += [Fault(f"{place}: {key}", "nothing", "a name, or a list of names", "add it") for key in missing]
    steps = 1
    for (key, path), values in axes.items():
        where = f"{place}: {key} {path}".rstrip()
        steps *= len(values)
        kind = str if key in _TEXT else int
        wrong = [one for one in values if not path and (not isinstance(one, kind) or isinstance(one, bool))]
        if wrong or not values:
            got = repr(wrong[0])[:60] if wrong else "an empty list"
            allowed = "text, or a list of texts" if kind is str else "an integer, or a list of integers"
            faults.append(Fault(where, got, allowed, "correct it"))
    if steps > MOST_STEPS:
        faults.append(Fault(place, f"{steps} steps", f"at most {MOST_STEPS}", "give fewer values"))
    if faults:
        return []
    rows = []
    for chosen in itertools.product(*axes.values()):
        row: dict[str, Any] = {}
        for (key, path), value in zip(axes, chosen, strict=True):
            if path:
                row.setdefault("overrides", {})[path] = value
            else:
                row[key] = value
        rows.append(row)
    return rows


_TEXT = {"attention", "chip", "kv", "model", "placement", "routing", "weights"}
"""Settings that are text; the others are integers."""


def _inputs(rows: list[dict[str, Any]], place: str, faults: list[Fault]) -> None:
    """Add a fault for every model and chip of a grid that cannot be loaded."""
    seen: set[str] = set()
    for row in rows:
        chip = f"{row['chip']} {row.get('overrides')}"
        for key, load in ((row["model"], lambda r=row: load_model(r["model"])), (chip, lambda r=row: chip_of(r))):
            if key in seen:
                continue
            seen.add(key)
            try:
                load()
            except NmpsimError as error:
                own = error.faults or SpecError("", [Fault("input", key, "one that loads", str(error))]).faults
                faults += [Fault(f"{place}: {one.where}", one.got, one.allowed, one.todo) for one in own]
