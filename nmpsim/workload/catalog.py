"""Names of the shipped models, and loading a model by name or from a file."""

from __future__ import annotations

import hashlib
import os
import tomllib
from difflib import get_close_matches
from pathlib import Path

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.config import parse_config
from nmpsim.workload.limits import read_file
from nmpsim.workload.model import Model

CONFIG, PROVENANCE = "config.json", "provenance.toml"
_PACKAGE = Path(__file__).resolve().parents[1]


def catalog_folder() -> Path:
    """Folder of the shipped models: inside an installed package, else beside the package in the source tree.

    Raises
    ------
    WorkloadError
        If there is neither.
    """
    places = (_PACKAGE / "_workloads", _PACKAGE.parent / "workloads")
    for place in places:
        if place.is_dir():
            return place
    fault = Fault("model catalogue", "no folder", " or ".join(map(str, places)), "reinstall nmpsim, or name a file")
    raise WorkloadError("the shipped models are missing", [fault])


def model_names() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return tuple(sorted(path.parent.name for path in catalog_folder().glob(f"*/{CONFIG}")))


def load_model(name_or_path: str | os.PathLike[str]) -> Model:
    """Model of the catalogue, or of a ``config.json``.

    Parameters
    ----------
    name_or_path : str or path
        Name in the catalogue, a configuration file, or a folder that holds a ``config.json``.

    Returns
    -------
    Model
        The checked dimensions.

    Raises
    ------
    WorkloadError
        If there is no such name or file (with the nearest name), the file cannot be read or is not supported, or a
        shipped file is not the one its ``provenance.toml`` describes.
    """
    text = os.fspath(name_or_path)
    names = model_names()
    if isinstance(name_or_path, str) and text in names:
        return _shipped(text)
    path = Path(text)
    if os.path.isdir(path):  # noqa: PTH112 -- as below
        path /= CONFIG
    if not os.path.exists(path):  # noqa: PTH110 -- unlike Path.exists, takes a text of any length
        near = get_close_matches(text.lower(), names, n=1, cutoff=0.5)
        todo = f"did you mean {near[0]!r}?" if near else "name a shipped model or an existing config.json"
        allowed = f"{', '.join(names)}, or a path to a config.json"
        raise WorkloadError("no such model", [Fault("model", repr(text), allowed, todo)])
    name = path.resolve().parent.name if path.name == CONFIG else path.stem
    return parse_config(read_file(path), name, str(path), f"file {path}")


def _shipped(name: str) -> Model:
    """Model of the catalogue, after comparing the file with its provenance."""
    folder = catalog_folder() / name
    raw = read_file(folder / CONFIG)
    place = folder / PROVENANCE
    todo = "restore both files; keep a changed copy in a folder of its own and load it by path"
    try:
        provenance = tomllib.loads(read_file(place).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fault = Fault(str(place), f"corrupt TOML ({error})", "a TOML file", todo)
        raise WorkloadError(f"{name}: provenance cannot be read", [fault]) from error
    keys = ("model", "sha256", "copied_from", "date", "licence")
    faults = [Fault(f"{place}: {key}", "no such key", "a value", todo) for key in keys if key not in provenance]
    got = hashlib.sha256(raw).hexdigest()
    if "sha256" in provenance and provenance["sha256"] != got:
        faults.append(Fault(f"{folder / CONFIG}", f"sha256 {got}", f"sha256 {provenance['sha256']}", todo))
    if faults:
        raise WorkloadError(f"{name}: not the file its provenance describes", faults)
    source = (
        f"{provenance['model']} ({provenance['licence']}), copied {provenance['date']} from {provenance['copied_from']}"
    )
    return parse_config(raw, name, str(folder / CONFIG), source)
