"""A Run with what a person wants to do with it: tables and plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nmpsim.measure.run import Run
from nmpsim.report.plots import Plots
from nmpsim.report.tables import Tables


@dataclass(frozen=True)
class ObservedRun(Run):
    """A Run, its trace, its tables and its plots.

    Parameters
    ----------
    trace : nmpsim.trace.Trace or None
        What was recorded, if anything.
    """

    trace: Any = None

    @property
    def tables(self) -> Tables:
        """Arrow tables, ready for pandas and Polars: ``run.tables.operators()``."""
        return Tables(self, self.trace)

    @property
    def plot(self) -> Plots:
        """Plots with matplotlib: ``run.plot.timeline()``."""
        return Plots(self, self.trace)
