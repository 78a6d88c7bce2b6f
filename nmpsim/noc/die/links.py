"""Links of a die for a recording, and its adders for a report: which there are, and what they have done at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from nmpsim.noc.die.state import LINK_INTERVAL, NO_FLIT, TRANSFER, Fabric
from nmpsim.noc.die.sum_state import SUM_REASONS


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


def adders_of(fabric: Fabric) -> list[dict[str, int]]:
    """Return what the adders of every router did.

    Parameters
    ----------
    fabric : Fabric
        With accounts that are closed.

    Returns
    -------
    list of dict
        By router: ``added`` sums of two flits or more, ``alone`` flits that went on as they came, ``merged`` flits that
        ended in the sum of others, and cycles of its lanes by reason.
    """
    summing, routers = fabric.summing, fabric.params.routers
    names = ("added", "alone", "merged")
    done = {name: summing.adder[name].reshape(-1, routers).sum(axis=0).tolist() for name in names}
    return [
        {
            "router": r,
            **{name: done[name][r] for name in names},
            **dict(zip(SUM_REASONS, summing.stall[r].tolist(), strict=True)),
        }
        for r in range(routers)
    ]
