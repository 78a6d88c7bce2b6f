"""What comes in from the user: counts within limits, files that can be read, faulty values cut for a message."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from nmpsim.errors import Fault, WorkloadError

MAX_BATCH = 65_536
"""Most sequences in one decode step; far above what any server batches, so that a slip of the keyboard is refused."""

SHOWN = 60
"""Longest piece of an input that a message repeats; characters."""


def shown(value: object) -> str:
    """Text of a faulty value for a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def count_faults(where: str, value: object, low: int, high: int, todo: str) -> list[Fault]:
    """Faults of a count given by the user: not an integer, or outside ``low..high``.

    Parameters
    ----------
    where : str
        Name of the argument.
    value : object
        What was given.
    low, high : int
        Smallest and largest allowed value.
    todo : str
        What the user can do about it.

    Returns
    -------
    list of Fault
        Empty, or one fault.
    """
    if is_integer(value) and low <= value <= high:
        return []
    return [Fault(where, shown(value), f"an integer in {low}..{high}", todo)]


def read_file(path: Path) -> bytes:
    """Content of a file.

    Raises
    ------
    WorkloadError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that no system takes
        got = getattr(error, "strerror", None) or str(error)
        fault = Fault(str(path), got, "a readable file", "check the path and its permissions")
        raise WorkloadError("cannot read the file", [fault]) from error
