"""What a run amounts to: requests, commands, row hits, bandwidth, latency, refresh."""

from __future__ import annotations

from typing import Any

import numpy as np

from nmpsim.dram.energy import command_energy
from nmpsim.dram.trace.lines import Integers
from nmpsim.dram.trace.memory import Memory
from nmpsim.dram.trace.requests import RequestTrace
from nmpsim.dram.trace.run import TraceRun
from nmpsim.dram.trace.writing import FORMAT

PERCENTILES = (50, 90, 99, 100)

REFRESHES = ("REFab", "REFpb")


def summary_of(memory: Memory, trace: RequestTrace, run: TraceRun) -> dict[str, Any]:
    """Return a run as the tree of a ``summary.json``.

    Parameters
    ----------
    memory : Memory
    trace : RequestTrace
    run : TraceRun

    Notes
    -----
    Bandwidth counts the columns that moved, from tick 0 to the last completion: a read served from a buffered write
    moves none.  The share of refresh is bank time: banks of a refresh command times its REF to ACT time, over all bank
    time.
    """
    protocol = memory.protocol
    last = int(run.done.max(initial=0))
    columns = sum(count for name, count in run.issued.items() if name[:2] in {"RD", "WR"})
    moved = columns * protocol.transaction_bytes
    peak = float(memory.peak_bytes_per_tick) * 1000 / protocol.tick_ps
    busy = sum(run.issued.get(name, 0) * memory.refresh_ticks(name) for name in REFRESHES if name in run.issued)
    writes = int(trace.is_write.sum())
    tree: dict[str, Any] = {
        "format": FORMAT,
        "requests": {"total": len(trace), "reads": len(trace) - writes, "writes": writes},
        "ticks": run.ticks,
        "last_completion_tick": last,
        "tick_ps": protocol.tick_ps,
        "commands": dict(run.issued),
        "rows": {name.removeprefix("row_"): count for name, count in run.counts.items() if name.startswith("row_")},
        "queues": {name: count for name, count in run.counts.items() if not name.startswith("row_")},
        "bandwidth": {
            "bytes": moved,
            "achieved_GBps": moved / last * 1000 / protocol.tick_ps if last else 0.0,
            "peak_GBps": peak,
        },
        "latency_ticks": {
            "read_from_acceptance": _percentiles((run.done - run.accept)[trace.is_write == 0]),
            "write_from_acceptance": _percentiles((run.done - run.accept)[trace.is_write == 1]),
        },
        "refresh_share": busy / (protocol.banks * run.ticks) if run.ticks else 0.0,
        "reasons": dict(run.reasons),
    }
    if all(name in protocol.command_pJ for name in run.issued):
        tree["energy_pJ"] = command_energy(protocol, run.issued)
    if trace.is_timed:
        tree["latency_ticks"]["read_from_offer"] = _percentiles((run.done - trace.at)[trace.is_write == 0])
        tree["latency_ticks"]["write_from_offer"] = _percentiles((run.done - trace.at)[trace.is_write == 1])
    return tree


def _percentiles(latency: Integers) -> dict[str, float]:
    """Return mean and percentiles of latencies that occurred; empty if there are none."""
    if not len(latency):
        return {}
    values = np.percentile(latency, PERCENTILES, method="inverted_cdf").tolist()
    return {"mean": float(latency.mean()), **{f"p{p}": value for p, value in zip(PERCENTILES, values, strict=True)}}


def summary_text(tree: dict[str, Any]) -> str:
    """Return a summary for a person.

    Parameters
    ----------
    tree : dict
        From `summary_of`.
    """
    requests, bandwidth = tree["requests"], tree["bandwidth"]
    achieved, peak = bandwidth["achieved_GBps"], bandwidth["peak_GBps"]
    share = f" ({100 * achieved / peak:.1f} %)" if peak else ""
    lines = [
        f"requests    {requests['total']}: {requests['reads']} reads, {requests['writes']} writes",
        f"ticks       {tree['ticks']} of {tree['tick_ps']} ps; last completion at {tree['last_completion_tick']}",
        "commands    " + ", ".join(f"{name} {count}" for name, count in tree["commands"].items()),
        "rows        " + ", ".join(f"{name} {count}" for name, count in tree["rows"].items()),
        f"bandwidth   {achieved:.2f} of {peak:.2f} GB/s{share}",
    ]
    for name, values in tree["latency_ticks"].items():
        if values:
            shown = ", ".join(f"{key} {value:.0f}" for key, value in values.items())
            lines.append(f"latency     {name.replace('_', ' ')}: {shown} ticks")
    lines.append(f"refresh     {100 * tree['refresh_share']:.2f} % of bank time")
    if energy := tree.get("energy_pJ"):
        total = sum(energy.values())
        each = f", {total / bandwidth['bytes'] / 8:.3f} pJ/bit" if bandwidth["bytes"] else ""
        lines.append(f"energy      {total / 1e6:.4g} uJ{each}")
    total = sum(tree["reasons"].values())
    if total:
        spent = sorted(tree["reasons"].items(), key=lambda item: -item[1])
        lines.append("time        " + ", ".join(f"{name} {100 * n / total:.1f} %" for name, n in spent if n))
    return "\n".join(lines)
