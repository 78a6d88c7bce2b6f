"""Links of a die for a recording: which there are, and what they do at its end."""

from __future__ import annotations

from typing import Any

import numpy as np

from nmpsim.noc.die.state import LINK_INTERVAL, NO_FLIT, TRANSFER, Fabric


def open_intervals(fabric: Fabric, end: int, link_end: int) -> Any:
    """Return the intervals that the log does not hold yet, up to the end.

    Parameters
    ----------
    fabric : Fabric
        With a log of links, before its accounts are closed.
    end, link_end : int
        End of the links between routers, and of those between stacks; ticks.

    Returns
    -------
    array of LINK_INTERVAL
        In the order of time for every link.
    """
    rows = []
    for n, note in enumerate(fabric.link_note):
        rows += [(n, TRANSFER, int(note.since), int(note.until)), (n, NO_FLIT, int(note.until), end)]
    first = len(fabric.link_note)
    rows += [(first + c, int(link.reason), int(link.since), link_end) for c, link in enumerate(fabric.link)]
    return np.array([row for row in rows if row[3] > row[2]], LINK_INTERVAL.dtype)
