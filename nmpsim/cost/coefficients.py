"""The coefficients of area and energy that no synthesis gives: value, and a source or a reason."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nmpsim.errors import InternalError

FILE = Path(__file__).with_name("coefficients.toml")


@dataclass(frozen=True)
class Coefficient:
    """A number and where it comes from.

    Parameters
    ----------
    name : str
        With its unit at the end.
    value : float
    origin : str
        Its source, or "assumed: " and the reason.
    """

    name: str
    value: float
    origin: str


@cache
def coefficients() -> dict[str, Coefficient]:
    """Return every coefficient by name.

    Raises
    ------
    InternalError
        If one has neither a source nor a reason, or both.
    """
    found = {}
    for name, entry in tomllib.loads(FILE.read_text(encoding="utf-8")).items():
        sourced = set(entry) == {"value", "source"}
        assumed = set(entry) == {"value", "assumed", "why"} and entry["assumed"] is True
        if not sourced and not assumed:
            raise InternalError(f"{FILE.name}: {name} has neither a source, nor assumed and why")
        origin = entry["source"] if sourced else f"assumed: {entry['why']}"
        found[name] = Coefficient(name, float(entry["value"]), origin)
    return found


def value(name: str) -> float:
    """Return the value of a coefficient.

    Parameters
    ----------
    name : str
        As in ``coefficients.toml``.
    """
    return coefficients()[name].value
