"""The folder of a result: there as a whole or not at all, whatever ends the program.

Everything is written into a temporary folder beside the target, which takes the target's place in one step::

    out/.run.nmpsim-run-5f0c   written, locked by its writer
    out/run                    the former result

    renameat2(RENAME_EXCHANGE), then the former result, now under the temporary name, is removed.

A program that is killed leaves at worst the temporary folder.  Its lock died with it: that is how the next run knows
that nobody writes there any more, and removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nmpsim.errors import Fault, NmpsimError
from nmpsim.report.result import FORMAT

RESULT, REPORT, OPERATORS, PAGE = "result.json", "report.txt", "operators.parquet", "report.html"
TRACE = (
    "trace.json",
    "trace-intervals.parquet",
    "trace-banks.parquet",
    "trace-accesses.parquet",
    "trace-instructions.parquet",
    "trace-flows.parquet",
)
FILES = (RESULT, REPORT, OPERATORS, PAGE, *TRACE)
"""Files of a result; the page and the trace only if asked for."""


class Kind(NamedTuple):
    """What a folder of results holds.

    Parameters
    ----------
    files : tuple of str
        All that may be in it; ``result.json`` among them.
    format : str
        What its ``result.json`` says of itself.
    """

    files: tuple[str, ...]
    format: str


RUN = Kind(FILES, FORMAT)
"""The folder of a run."""

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def check_target(target: Path, kind: Kind = RUN) -> None:
    """Make sure that a folder may be written as a result; changes nothing.

    Parameters
    ----------
    target : Path
        Not there, an empty folder, or the folder of a former result.
    kind : Kind
        What is to be written.

    Raises
    ------
    NmpsimError
        If something else is there, or it cannot be looked at.
    """
    allowed = "a new folder, an empty one, or the result of a former run"
    todo = "choose another folder for --out"
    try:
        if not os.path.lexists(target):
            return
        if not target.is_dir():
            raise _refused(target, "a file", allowed, todo)
        if target.is_mount():
            raise _refused(target, "a mount point", allowed, f"name a folder in it, such as {target / 'run'}")
        found = sorted(path.name for path in target.iterdir())
    except (OSError, ValueError) as error:
        raise _refused(target, _why(error), allowed, todo) from error
    foreign = [name for name in found if name not in kind.files]
    if foreign:
        listed = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise _refused(target, f"a folder that holds files of others: {listed}", allowed, todo)
    if found and not _is_result(target / RESULT, kind):
        raise _refused(target, f"a folder without a {RESULT} of nmpsim", allowed, todo)


def _is_result(path: Path, kind: Kind) -> bool:
    try:
        result = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(result, dict) and result.get("format") == kind.format


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _refused(target: Path, got: str, allowed: str, todo: str) -> NmpsimError:
    return NmpsimError("cannot write the result there", [Fault(f"--out {target}", got, allowed, todo)])


@contextlib.contextmanager
def result_folder(target: Path, kind: Kind = RUN) -> Iterator[Path]:
    """Give a temporary folder to write a result into; it becomes `target` if the block ends without an exception.

    Parameters
    ----------
    target : Path
        Folder of the result; a former result in it is replaced.
    kind : Kind
        What is written.

    Yields
    ------
    Path
        The temporary folder, empty.

    Raises
    ------
    NmpsimError
        If the target is refused by `check_target`, or cannot be written.
    """
    try:
        final = Path(os.path.realpath(target))
        check_target(final, kind)
        final.parent.mkdir(parents=True, exist_ok=True)
        with _locked(final.parent):
            _recover(final)
            _remove_stale(final)
            staging = final.parent / f"{_prefix(final)}run-{secrets.token_hex(4)}"
            staging.mkdir()
            lock = _lock(staging)
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from error
    try:
        yield staging
        with _locked(final.parent):
            check_target(final, kind)
            _publish(staging, final)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _unwritable(target: Path, error: OSError | ValueError) -> NmpsimError:
    todo = "check its permissions and the space left, or choose another folder for --out"
    return NmpsimError("cannot write the result", [Fault(f"--out {target}", _why(error), "a folder to write to", todo)])


def _prefix(final: Path) -> str:
    return f".{final.name}.nmpsim-"


def _former(final: Path) -> Path:
    """Where the former result stands for a moment on systems that cannot exchange two folders in one step."""
    return final.parent / f"{_prefix(final)}former"


def _publish(staging: Path, final: Path) -> None:
    """Put the new folder into the place of the old one."""
    if not final.exists():
        staging.rename(final)
    elif not _exchange(staging, final):
        former = _former(final)
        shutil.rmtree(former, ignore_errors=True)
        final.rename(former)
        staging.rename(final)
        shutil.rmtree(former, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system does not offer that."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_OFFERED:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _recover(final: Path) -> None:
    """Put a former result back that a killed run had moved away and not replaced."""
    former = _former(final)
    if former.is_dir():
        if final.exists():
            shutil.rmtree(former, ignore_errors=True)
        else:
            former.rename(final)


def _remove_stale(final: Path) -> None:
    """Remove temporary folders whose writer is gone: those that nobody has locked."""
    for path in final.parent.iterdir():
        if not path.name.startswith(f"{_prefix(final)}run-") or path.is_symlink() or not path.is_dir():
            continue
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the file descriptor is closed or the program ends; None if another has it locked."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """Keep other runs from looking for stale folders meanwhile; without effect where folders cannot be locked."""
    descriptor = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
