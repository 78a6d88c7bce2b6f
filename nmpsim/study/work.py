"""What a worker does with one point: compute, store, tell."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from nmpsim.errors import InternalError, NmpsimError
from nmpsim.study.folder import Record, store
from nmpsim.study.point import Point


@dataclass(frozen=True)
class Done:
    """What became of a point that a worker took.

    Parameters
    ----------
    record : Record or None
        As it was stored; None if it failed.
    error : str
        Why it failed: message and trace; empty otherwise.
    """

    record: Record | None
    error: str = ""


def compute(point: Point, key: str, folder: str) -> Done:
    """Compute a point and store it.

    What the package refuses (`NmpsimError`) is a result like any other and is stored; a bug or a full disk is not, so
    that the next run of the study tries again.

    Parameters
    ----------
    point : Point
    key : str
        See `nmpsim.study.fingerprint.key_of`.
    folder : str
        Of the stored points.
    """
    start = time.process_time()
    figures, refused = None, ""
    try:
        try:
            figures = point.function(point.settings)
        except InternalError:
            raise
        except NmpsimError as error:
            refused = str(error)
        record = Record(key, point.task, point.settings, figures, refused, time.process_time() - start)
        store(Path(folder), record)
    except Exception as error:  # noqa: BLE001  (whatever a task does, the other points go on)
        trace = "".join(traceback.format_exception(error, limit=-4))
        return Done(None, f"{type(error).__name__}: {error}\n{trace}")
    return Done(record)
