"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

from nmpsim.errors import Fault, NmpsimError

SUMMARY = "summary.json"
FORMAT = "nmpsim-dram-run-1"
"""Name and version of a run's folder; stands in its summary, so that a former run is known as one."""

_LINES = 65536  # joined at a time


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to; it gets its name if the block ends without an exception, else nothing is left.

    Parameters
    ----------
    path : Path
        Packed with gzip if it ends in ``.gz``; the same content gives the same bytes.

    Yields
    ------
    binary file

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with staging.open("xb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed, io.BufferedWriter(packed) as target:
                    yield target
            else:
                yield raw
        staging.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        staging.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> NmpsimError:
    """Return the error of a file or folder that cannot be written."""
    todo = "check its permissions and the space left, or choose another place"
    fault = Fault(str(path), error.strerror or str(error), "a place to write to", todo)
    return NmpsimError(f"cannot write {path}", [fault])


def write_table(path: Path, header: list[str], columns: Sequence[ArrayLike]) -> None:
    """Write a CSV table, as a whole or not at all.

    Parameters
    ----------
    path : Path
        Packed with gzip if it ends in ``.gz``.
    header : list of str
        Names of the columns.
    columns : sequence of array
        Integers, or texts; all of one length.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    table = [np.asarray(column) for column in columns]
    with whole_file(path) as target:
        target.write((",".join(header) + "\n").encode())
        for start in range(0, len(table[0]), _LINES):
            parts = [column[start : start + _LINES].tolist() for column in table]
            text = "\n".join(",".join(map(str, row)) for row in zip(*parts, strict=True))
            target.write(text.encode() + b"\n")


def write_json(path: Path, tree: Any) -> None:
    """Write a tree as JSON, as a whole or not at all.

    Parameters
    ----------
    path : Path
    tree : dict
        What to write.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    with whole_file(path) as target:
        target.write((json.dumps(tree, indent=2) + "\n").encode())


def check_run_folder(target: Path) -> None:
    """Make sure that a folder may be written as a run; changes nothing.

    Parameters
    ----------
    target : Path
        Not there, an empty folder, or the folder of a former run.

    Raises
    ------
    NmpsimError
        If something else is there.
    """
    try:
        if not target.exists() and not target.is_symlink():
            return
        if not target.is_dir():
            raise _refused(target, "a file")
        if any(target.iterdir()) and not _is_run(target / SUMMARY):
            raise _refused(target, f"a folder without a {SUMMARY} of a former run")
    except OSError as error:
        raise unwritable(target, error) from error


def _refused(target: Path, got: str) -> NmpsimError:
    allowed = "a new folder, an empty one, or that of a former run"
    return NmpsimError("cannot write the run there", [Fault(str(target), got, allowed, "choose another folder")])


def _is_run(path: Path) -> bool:
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and tree.get("format") == FORMAT


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder to write a run into; it becomes `target` if the block ends without an exception.

    Parameters
    ----------
    target : Path
        Folder of the run; a former run in it is replaced.

    Yields
    ------
    Path
        The temporary folder, empty.

    Raises
    ------
    NmpsimError
        If the target is refused by `check_run_folder`, or cannot be written.
    """
    check_run_folder(target)
    final = target.resolve()
    mark = secrets.token_hex(4)
    staging, former = (final.with_name(f".{final.name}.nmpsim-{word}-{mark}") for word in ("run", "former"))
    try:
        staging.mkdir(parents=True)
        yield staging
        check_run_folder(target)
        if final.exists():
            final.rename(former)
        staging.rename(final)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        if former.exists() and not final.exists():
            former.rename(final)
        for folder in (staging, former):
            shutil.rmtree(folder, ignore_errors=True)
