"""Plots of a run with matplotlib: ``run.plot.timeline().savefig("timeline.png")``."""

from __future__ import annotations

from typing import Any

from nmpsim.measure.run import Run
from nmpsim.report.figures import rows_by_kind
from nmpsim.report.tables import need_trace

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a90a", "#7b68c8", "#8c6d4f", "#4d9a9a")
REST = {"queue_empty", "finished", "idle", "no_request"}
WORKING = "#1a9850"


class Plots:
    """Plots of a run; every method returns a matplotlib Figure.

    Parameters
    ----------
    run : Run
    trace : nmpsim.trace.Trace or None
    """

    def __init__(self, run: Run, trace: Any) -> None:
        self._run, self._trace = run, trace

    def timeline(self) -> Any:
        """Return the spans of the operators, one row per kind, over core cycles."""
        kinds = list(dict.fromkeys(o.kind for o in self._run.operators))
        figure, axes = _figure(10, 1 + 0.3 * len(kinds))
        for i, kind in enumerate(kinds):
            spans = [(o.start, o.end - o.start) for o in self._run.operators if o.kind == kind and o.start >= 0]
            axes.broken_barh(spans, (i - 0.4, 0.8), color=COLOURS[i % len(COLOURS)])
        axes.set_yticks(range(len(kinds)), kinds)
        axes.invert_yaxis()
        axes.set_xlabel("core cycle")
        return figure

    def units(self, pu: int = 0, start: int | None = None, end: int | None = None) -> Any:
        """Return what the units of one core did, a row each, coloured by reason.

        Parameters
        ----------
        pu : int
        start, end : int, optional
            Window; core cycles.

        Raises
        ------
        NmpsimError
            If nothing was recorded.
        """
        trace = need_trace(self._trace)
        units = [u for u in trace.recorded if u.pu == pu and u.family == "core"]
        rows = trace.intervals(units, start, end)
        names = [name for name in dict.fromkeys(trace.reasons[r] for r in rows["reason"].tolist()) if name not in REST]
        figure, axes = _figure(10, 1.2 + 0.3 * len(units))
        for i, unit in enumerate(units):
            own = rows[rows["unit"] == unit.number]
            for j, name in enumerate(names):
                chosen = own[[trace.reasons[r] == name for r in own["reason"].tolist()]]
                bars = [
                    (s / trace.core_period, (e - s) / trace.core_period) for s, e in chosen[["start", "end"]].tolist()
                ]
                if bars:
                    axes.broken_barh(
                        bars, (i - 0.4, 0.8), color=WORKING if name == "busy" else COLOURS[j % len(COLOURS)]
                    )
        for j, name in enumerate(names):
            axes.plot([], [], color=WORKING if name == "busy" else COLOURS[j % len(COLOURS)], linewidth=6, label=name)
        axes.set_yticks(range(len(units)), [unit.name for unit in units])
        axes.invert_yaxis()
        axes.set_xlabel("core cycle")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
        return figure

    def stalls(self) -> Any:
        """Return where the cycles of each kind of unit went, as shares."""
        units = list(self._run.stalls)
        reasons = list(dict.fromkeys(r for table in self._run.stalls.values() for r in table))
        figure, axes = _figure(10, 1 + 0.35 * len(units))
        left = [0.0] * len(units)
        for j, reason in enumerate(reasons):
            shares = [self._run.stalls[u].get(reason, 0) / sum(self._run.stalls[u].values()) for u in units]
            axes.barh(units, shares, left=left, label=reason, color=COLOURS[j % len(COLOURS)], hatch="//" * (j // 10))
            left = [a + b for a, b in zip(left, shares, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel("share of cycles")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
        return figure

    def roofline(self) -> Any:
        """Return the operators under the roofs of compute and of the fastest and slowest tier."""
        run = self._run
        per_cycle = run.clock_GHz * 1e9
        peak = run.peaks["macs_per_cycle"]
        figure, axes = _figure(8, 5)
        kinds = list(dict.fromkeys(o.kind for o in run.operators))
        most = [1.0]
        for i, kind in enumerate(kinds):
            points = [
                (o.macs / (o.read_bytes + o.write_bytes), o.macs / (o.end - o.start))
                for o in run.operators
                if o.kind == kind and o.macs and o.read_bytes + o.write_bytes and o.end > o.start
            ]
            if points:
                axes.loglog(*zip(*points, strict=True), "o", label=kind, color=COLOURS[i % len(COLOURS)])
                most += [x for x, _ in points]
        for name, style in (("dram_bytes_per_second", "-"), ("dram_bytes_per_second_slowest", "--")):
            rate = run.peaks[name] / per_cycle
            edge = 4 * max(*most, peak / rate)
            axes.loglog([min(most) / 4, peak / rate, edge], [min(most) / 4 * rate, peak, peak], style, color="black")
        axes.set_xlabel("MACs per DRAM byte")
        axes.set_ylabel("MACs per core cycle")
        axes.legend(fontsize="small")
        return figure

    def bounds(self) -> Any:
        """Return lower bounds and cycles by kind of operator."""
        rows = rows_by_kind(self._run)
        figure, axes = _figure(9, 4)
        names = list(rows[0].bounds)
        width = 0.8 / (len(names) + 1)
        for j, name in enumerate(names):
            places = [i + j * width for i in range(len(rows))]
            axes.bar(places, [row.bounds[name] for row in rows], width, label=f"{name} bound", color=COLOURS[j])
        places = [i + len(names) * width for i in range(len(rows))]
        axes.bar(places, [row.cycles for row in rows], width, label="cycles", color="black")
        axes.set_xticks(range(len(rows)), [row.name for row in rows], rotation=45, ha="right")
        axes.set_ylabel("core cycles")
        axes.legend(fontsize="small")
        return figure


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()
