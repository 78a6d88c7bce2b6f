"""Where finished points are kept: a file each, there as a whole or not at all.

::

    out/study/lock                       held by the study that writes here
    out/study/3f/3f9c...e1.json          a finished point: its settings, and its figures or why it was refused
    out/study/3f/.3f9c...e1.5f0c.part    being written; removed by the next study if its writer was killed
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nmpsim.errors import Fault, NmpsimError

FORMAT = "nmpsim-point-1"


@dataclass(frozen=True)
class Record:
    """A finished point as it is stored.

    Parameters
    ----------
    key : str
        See `nmpsim.study.fingerprint.key_of`.
    task : str
    settings : dict
    figures : dict or None
        What the task found; None if it was refused.
    refused : str
        Why the package refused it: the message of its error; empty if it did not.
    cpu_seconds : float
        CPU time of the task.
    """

    key: str
    task: str
    settings: dict[str, Any]
    figures: dict[str, Any] | None
    refused: str
    cpu_seconds: float


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.json"


def load(folder: Path, key: str) -> Record | None:
    """Return the stored point of a key; None if there is none, or the file is not one.

    Parameters
    ----------
    folder : Path
    key : str
    """
    try:
        found = json.loads(_path(folder, key).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT or found.get("key") != key:
        return None
    try:
        return Record(**found)
    except TypeError:
        return None


def store(folder: Path, record: Record) -> None:
    """Store a finished point.

    Parameters
    ----------
    folder : Path
    record : Record

    Raises
    ------
    OSError
        If it cannot be written.
    """
    target = _path(folder, record.key)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / f".{record.key}.{secrets.token_hex(4)}.part"
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, **asdict(record)}, file, sort_keys=True, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for one study; what a killed one left half written is removed.

    Parameters
    ----------
    folder : Path
        Made if missing.

    Raises
    ------
    NmpsimError
        If another study holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        fault = Fault(str(folder), error.strerror or str(error), "a folder to write to", "choose another folder")
        raise NmpsimError("results of points cannot be kept there", [fault]) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            fault = Fault(
                str(folder), "a folder that another study is using", "one of its own", "wait, or name another"
            )
            raise NmpsimError("two studies cannot write into one folder", [fault]) from error
        for part in folder.glob("*/.*.part"):
            part.unlink(missing_ok=True)
        yield
    finally:
        os.close(lock)
