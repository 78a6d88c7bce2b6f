"""Reads the ``result.json`` of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nmpsim.errors import Fault, NmpsimError
from nmpsim.report.folder import RESULT
from nmpsim.report.result import FORMAT


def read_result(folder: Path) -> dict[str, Any]:
    """Return the result of a folder.

    Parameters
    ----------
    folder : Path
        What ``nmpsim simulate --out`` wrote.

    Raises
    ------
    NmpsimError
        If there is none.
    """
    path = folder / RESULT
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _no_result(path, getattr(error, "strerror", None) or str(error)) from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise _no_result(path, "no result of this version")
    return tree


def _no_result(path: Path, got: str) -> NmpsimError:
    todo = "give the folder of a run, or simulate again"
    return NmpsimError("cannot read the result", [Fault(str(path), got, "what `nmpsim simulate --out` wrote", todo)])
