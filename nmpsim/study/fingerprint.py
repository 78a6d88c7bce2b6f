"""What a result hangs on beside its point: sources, versions of packages, files that the settings name.

All of the package counts but what only shows results or picks points (`OUTSIDE`), and the file of the task itself if
it stands elsewhere.  So an edit of a comment invalidates results as well: that is safe, and a study is repeatable.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from nmpsim.errors import NmpsimError
from nmpsim.spec import load_chip
from nmpsim.study.point import Point
from nmpsim.workload import load_model

ROOT = Path(__file__).parents[1]

PREDICTION = ("analytic/model", "measure/estimate.py", "prediction.py", "study/estimates.py")
"""Folders and files that change the figures of estimates only."""

ESTIMATES = "nmpsim.study.estimates"
"""Module of the tasks that make them."""

OUTSIDE = (
    *PREDICTION, "ablation", "calibration", "claims", "cli", "conformance", "explore/front.py",
    "explore/outcome.py", "explore/run.py", "report", "spec/chips",
    "study/__init__.py", "study/fingerprint.py", "study/folder.py", "study/runner.py", "study/table.py",
    "study/watch.py", "study/work.py", "validate/figure.py", "validate/outcome.py", "validate/page.py",
    "validate/reference.py", "validate/score.py", "validate/suite.py", "validate/suites",
)  # fmt: skip
"""Folders and files of the package that change no figure of a point; chips count where a point names them."""

SUFFIXES = (".py", ".toml", ".json")

PACKAGES = ("numpy", "numba", "llvmlite", "pydantic")
"""Packages whose version may change a figure."""


def matters(path: Path, root: Path = ROOT) -> bool:
    """Whether a file of the package can change the figures of a point.

    Parameters
    ----------
    path : Path
    root : Path
        Folder of the package.
    """
    relative = path.relative_to(root).as_posix()
    own = path.suffix in SUFFIXES and "__pycache__" not in path.parts
    return own and not any(relative == name or relative.startswith(name + "/") for name in OUTSIDE)


def _hash_of(files: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def source_hash(root: Path = ROOT) -> str:
    """Return the hash of all files of the package that matter.

    Parameters
    ----------
    root : Path
        Folder of the package.
    """
    return _hash_of((path for path in root.rglob("*") if path.is_file() and matters(path, root)), root)


@cache
def own_hash() -> str:
    """Return `source_hash` of this package, computed once: sources that change under a running study stay unseen."""
    return source_hash()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


@cache
def _task_hash(task: str) -> str:
    """Return the hash of what a task hangs on beside `own_hash`: its file if it stands outside, the analytical mode."""
    module = task.partition(":")[0]
    if module == ESTIMATES:
        found = [path for name in PREDICTION for path in [ROOT / name, *(ROOT / name).rglob("*")]]
        return _hash_of((path for path in found if path.is_file() and path.suffix in SUFFIXES), ROOT)
    if module.partition(".")[0] == "nmpsim":
        return ""
    try:
        file = import_module(module).__file__
    except ImportError:
        return "no such module"
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


@cache
def _input_hash(setting: str, name: str) -> str:
    """Return the hash of what a setting names; a fault is left to the task, which tells it."""
    try:
        if setting == "model":
            return load_model(name).sha256
        if setting == "chip":
            return load_chip(name).sha256
        path = Path(name)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except (NmpsimError, OSError, ValueError):
        return "unreadable"


INPUTS = ("model", "chip", "routing")
"""Settings that name a file, or something shipped."""


def key_of(point: Point) -> str:
    """Return the key under which a point is stored: a hash of all that its result hangs on.

    Parameters
    ----------
    point : Point
    """
    settings: dict[str, Any] = point.settings
    digest = hashlib.sha256(f"{point.task}\n{point.text}\n{own_hash()}\n{_task_hash(point.task)}\n".encode())
    digest.update(repr(sorted(versions().items())).encode())
    for name in INPUTS:
        if isinstance(settings.get(name), str):
            digest.update(f"\n{name} {_input_hash(name, settings[name])}".encode())
    return digest.hexdigest()[:32]
