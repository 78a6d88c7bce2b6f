"""A study as types.

::

    base                    a chip, and how a step runs on it
    factor A  --  level a1, level a2       each changes something of the base
    factor B  --  level b1

    single   base, a1, a2, b1              what a change alone is worth
    ladder   base, a1, a1 b1               what it adds to those before it
    grid     base, a1, a2, b1, a1 b1, a2 b1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SINGLE, LADDER, GRID = "single", "ladder", "grid"
DESIGNS = (SINGLE, LADDER, GRID)

STUDIES = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class Level:
    """One value of a factor.

    Parameters
    ----------
    name : str
    change : mapping
        Settings that it changes: ``chip``, ``overrides`` by dotted path, ``dataflows``,
        ``attention_dataflows``, and what else a step takes.
    """

    name: str
    change: Mapping[str, Any]


@dataclass(frozen=True)
class Factor:
    """A property that a study changes.

    Parameters
    ----------
    name : str
    base : str
        What the base has, in a word.
    levels : tuple of Level
        What it may have instead.
    rung : str
        Level that the ladder takes.
    """

    name: str
    base: str
    levels: tuple[Level, ...]
    rung: str

    @property
    def taken(self) -> Level:
        """The level that the ladder takes."""
        return next(level for level in self.levels if level.name == self.rung)


@dataclass(frozen=True)
class Work:
    """Decode steps that every chip of a study runs: every model with every batch and every context.

    Parameters
    ----------
    models : tuple of str
    batches, contexts : tuple of int
    layers : int
        0: the whole step, sampled from one and two layers (see docs/validation.md); else that many, and the LM head.
    """

    models: tuple[str, ...]
    batches: tuple[int, ...]
    contexts: tuple[int, ...]
    layers: int = 0


@dataclass(frozen=True)
class Study:
    """One ablation study.

    Parameters
    ----------
    name, title, question : str
    file : str
        Where it stands, as messages name it.
    sha256 : str
        Of the file.
    designs : tuple of str
        Of `DESIGNS`.
    base : mapping
        Settings of the base, as those of a level.
    factors : tuple of Factor
    works : tuple of Work
    notes : tuple of str
        What must be known to read the figures.
    """

    name: str
    title: str
    question: str
    file: str
    sha256: str
    designs: tuple[str, ...]
    base: Mapping[str, Any]
    factors: tuple[Factor, ...]
    works: tuple[Work, ...]
    notes: tuple[str, ...] = field(default=())


def study_names() -> tuple[str, ...]:
    """Return the names of the shipped studies, sorted."""
    return tuple(sorted(path.stem for path in STUDIES.glob("*.toml")))
