"""Messages in a CSV file: ``at,source,destination,flits``."""

from __future__ import annotations

import csv
from pathlib import Path

from nmpsim.errors import Fault, WorkloadError
from nmpsim.noc.synthetic.traffic import Message

HEADER = ("at", "source", "destination", "flits")
MOST_FAULTS = 20


def read_messages(path: Path) -> list[Message]:
    """Return the messages of a file, in its order.

    Parameters
    ----------
    path : Path

    Raises
    ------
    WorkloadError
        With every line that is wrong.
    """
    try:
        rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fault = Fault(str(path), str(error), "a CSV file", "check the path")
        raise WorkloadError("the trace cannot be read", [fault]) from None
    header = tuple(rows[0]) if rows else ()
    faults = []
    if header != HEADER:
        faults.append(Fault(f"{path}:1", repr(",".join(header))[:80], ",".join(HEADER), "write this header"))
        rows = []
    messages = []
    for line, row in enumerate(rows[1:], 2):
        if len(row) == len(HEADER) and all(word.strip().isdecimal() and len(word) < 19 for word in row):
            messages.append(Message(*(int(word) for word in row)))
        else:
            faults.append(Fault(f"{path}:{line}", repr(",".join(row))[:80], "four whole numbers", "correct the line"))
    if faults:
        raise WorkloadError("the trace cannot be read", faults[:MOST_FAULTS])
    return messages
