"""A claim: a folder of ``validation/`` with a ``claim.toml`` that says what is tested, and the result beside it."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmpsim.errors import Fault, NmpsimError

VALIDATION = Path(__file__).parents[2] / "validation"
"""The claims of a checkout; an installed package has none."""

CLAIM, RESULT, TABLE, PLOT = "claim.toml", "result.json", "result.md", "result.png"

REPRODUCED, BOUNDED, NOT_REPRODUCED, UNTESTABLE = "reproduced", "bounded", "not reproduced", "cannot be tested"
VERDICTS = (REPRODUCED, BOUNDED, NOT_REPRODUCED, UNTESTABLE)

NEEDED = ("kind", "title", "statement", "source", "rule")
"""Keys of every claim file; the others belong to its kind."""


@dataclass(frozen=True)
class Claim:
    """One claim.

    Parameters
    ----------
    name : str
        Of its folder.
    folder : Path
    kind : str
        Which experiment tests it; see `nmpsim.claims.run`.
    title, statement, source : str
        What is claimed, and where.
    rule : str
        When it counts as reproduced, fixed before the first run.
    settings : dict
        The whole file.
    sha256 : str
        Of the file.
    """

    name: str
    folder: Path
    kind: str
    title: str
    statement: str
    source: str
    rule: str
    settings: dict[str, Any]
    sha256: str


def load_claim(folder: Path) -> Claim:
    """Return the claim of a folder.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    NmpsimError
        If its file cannot be read or lacks a key.
    """
    path = folder / CLAIM
    try:
        content = path.read_bytes()
        settings = tomllib.loads(content.decode())
    except (OSError, ValueError) as error:
        fault = Fault(str(path), str(error), "a claim file, TOML 1.0", "see docs/validation.md")
        raise NmpsimError("no such claim", [fault]) from error
    faults = [
        Fault(f"{path}: {key}", repr(settings.get(key)), "text", "see docs/validation.md")
        for key in NEEDED
        if not isinstance(settings.get(key), str)
    ]
    if faults:
        raise NmpsimError("a claim file is incomplete", faults)
    words = {key: settings[key] for key in NEEDED}
    return Claim(folder.name, folder, **words, settings=settings, sha256=hashlib.sha256(content).hexdigest())


def claims(root: Path, names: tuple[str, ...] = ()) -> list[Claim]:
    """Return the claims of a folder, sorted by name.

    Parameters
    ----------
    root : Path
        Usually `VALIDATION`.
    names : tuple of str
        Which; all by default.

    Raises
    ------
    NmpsimError
        If there are none, or a name is not among them; with every fault.
    """
    there = sorted(path.parent for path in root.glob(f"*/{CLAIM}"))
    if not there:
        fault = Fault(str(root), "no claims", f"a folder with */{CLAIM}", "work in a checkout, or name its validation/")
        raise NmpsimError("no claims found", [fault])
    known = [path.name for path in there]
    wrong = [Fault("claim", repr(name), ", ".join(known), "name one of them") for name in names if name not in known]
    if wrong:
        raise NmpsimError("no such claim", wrong)
    return [load_claim(path) for path in there if not names or path.name in names]
