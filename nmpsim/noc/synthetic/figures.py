"""Figures of a run in words, and as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from nmpsim.noc.router.build import Fabric
from nmpsim.noc.router.check import causes
from nmpsim.noc.router.state import CAUSES
from nmpsim.noc.synthetic.run import Measured

COLUMNS = (
    "rate", "status", "latency", "latency_least", "latency_most", "network_latency", "hops",
    "accepted", "accepted_least", "accepted_most", "injected", "backlog", "backlog_growth", "packets", "cycles",
)  # fmt: skip
"""Of a sweep; rates are flits per node and cycle, latencies cycles, the backlog flits per node."""


def row_of(rate: float, measured: Measured) -> dict[str, str]:
    """Return one row of a sweep.

    Parameters
    ----------
    rate : float
        Offered.
    measured : Measured
    """
    numbers: Sequence[float | int] = (
        *measured.latency, measured.network_latency[0], measured.hops, *measured.accepted, measured.injected[0],
        measured.backlog, measured.backlog_growth, measured.packets, measured.cycles,
    )  # fmt: skip
    words = (f"{rate:.6g}", "stable" if measured.stable else "unstable", *(f"{number:.6g}" for number in numbers))
    return dict(zip(COLUMNS, words, strict=True))


def causes_text(spent: dict[str, int]) -> str:
    """Return what virtual channels with flits spent their cycles on.

    Parameters
    ----------
    spent : dict of str to int
        Cycles by cause.
    """
    total = max(1, sum(spent.values()))
    return ", ".join(f"{name} {100 * cycles / total:.1f} %" for name, cycles in spent.items() if cycles)


def measured_text(rate: float, measured: Measured) -> str:
    """Return the figures of random traffic in words.

    Parameters
    ----------
    rate : float
        Offered.
    measured : Measured
    """
    lines = [
        f"offered     {rate:.4f} flits per node and cycle",
        "accepted    {:.4f}, by node {:.4f} to {:.4f}".format(*measured.accepted),
    ]
    if measured.stable:
        lines += [
            "latency     {:.2f} cycles, {:.0f} to {:.0f}, waiting at the source included".format(*measured.latency),
            "network     {:.2f} cycles, {:.0f} to {:.0f}".format(*measured.network_latency),
            f"hops        {measured.hops:.3f} routers, {measured.packets} packets",
        ]
    else:
        lines += [
            "unstable    the mean latency, with the age of what is still in flight, passed its limit",
            f"backlog     {measured.backlog:.1f} flits per node, growing by {measured.backlog_growth:.4f} per cycle",
        ]
    lines += [
        f"causes      {causes_text(measured.causes)}",
        f"simulated   {measured.cycles} cycles, {measured.skipped} of them skipped; {measured.flit_hops} flit-hops",
    ]
    return "\n".join(lines)


def finished_text(fabric: Fabric) -> str:
    """Return the figures of a batch or trace in words.

    Parameters
    ----------
    fabric : Fabric
        After its run.
    """
    totals = fabric.state.totals[0]
    packets = max(1, int(totals.packets))
    spent = dict(zip(CAUSES, causes(fabric).sum(axis=0).tolist(), strict=True))
    nodes = fabric.topology.nodes
    flits, last = int(fabric.state.source.accepted.sum()), int(totals.last_arrival) + 1
    return "\n".join(
        [
            f"packets     {int(totals.packets)} arrived, {flits} flits",
            f"injected    the last packet was made in cycle {int(totals.last_made_at)}",
            f"completed   after {last} cycles: {flits / max(1, last) / nodes:.4f} flits per node and cycle",
            f"network     {int(totals.network_latency) / packets:.2f} cycles, {int(totals.hops) / packets:.3f} routers",
            f"causes      {causes_text(spent)}",
        ]
    )
