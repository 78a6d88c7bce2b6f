"""Outcomes of a study as a JSON file and as a Parquet table, a row per point."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nmpsim.study.fingerprint import own_hash, versions
from nmpsim.study.runner import Outcome

FORMAT = "nmpsim-study-1"


def flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a table without tables in it: keys joined by dots, lists as JSON.

    Parameters
    ----------
    table : mapping
    prefix : str
        Of every key.
    """
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flattened(value, f"{name}.")
        else:
            found[name] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return a flat row per point: ``task``, ``key``, ``refused``, ``error``, ``settings. ...``, ``figures. ...``.

    Parameters
    ----------
    outcomes : sequence of Outcome
    """
    found = []
    for one in outcomes:
        refused = one.record.refused if one.record is not None else ""
        row = {"task": one.point.task, "key": one.key, "refused": refused, "error": one.error}
        row |= flattened(one.point.settings, "settings.") | flattened(one.figures or {}, "figures.")
        found.append(row)
    return found


def study_json(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes with versions and the hash of the sources, as JSON.

    Parameters
    ----------
    outcomes : sequence of Outcome
    """
    points = [
        {
            "key": one.key,
            "task": one.point.task,
            "settings": one.point.settings,
            "figures": one.figures,
            "refused": one.record.refused if one.record is not None else "",
            "error": one.error,
        }
        for one in outcomes
    ]
    whole = {"format": FORMAT, "sources_sha256": own_hash(), "versions": versions(), "points": points}
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


def write_study(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write ``study.json`` and ``study.parquet``, each as a whole or not at all.

    Parameters
    ----------
    outcomes : sequence of Outcome
    folder : Path
        Made if missing.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    lines = rows(outcomes)
    names = list(dict.fromkeys(name for row in lines for name in row))
    columns = {name: _column([row.get(name) for row in lines]) for name in names}
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink, compression="zstd")
    replace_file(folder / "study.json", study_json(outcomes).encode())
    replace_file(folder / "study.parquet", sink.getvalue().to_pybytes())


def _column(values: list[Any]) -> list[Any]:
    """Return values of one type: numbers as numbers, a mixture as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) == 2:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return values


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it.

    Parameters
    ----------
    path : Path
    content : bytes

    Raises
    ------
    OSError
        If it cannot be written.
    """
    part = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
