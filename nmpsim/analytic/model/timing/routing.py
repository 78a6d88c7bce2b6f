"""Time of the choice of experts: the router's words, the choice on every PU, and the first gather of rows.

    network   words of all PUs to all others | rows of the gather, step by step: they meet (`crossing.py`)
    vector    the last logits of the router | choice, when the last word is there | copies of the rows

The router is over when its last word has left, the choice when it is made everywhere; the gather has what then is
left of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from nmpsim.analytic.model.counting.shares import column_counts
from nmpsim.analytic.model.ring.crossing import Crossed, crossed
from nmpsim.analytic.model.timing import vectors as v
from nmpsim.analytic.model.timing.gemms import gather
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.units import FP16, FP32, Array, flits, up
from nmpsim.spec.params import RING
from nmpsim.workload import SIGMOID, Model

SMALL = 1.0
"""Least cycles of an operator whose work is hidden under others."""


def under(time: Time, other: Time) -> Time:
    """Return what a time that begins together with another adds behind it.

    Parameters
    ----------
    time, other : Time
    """
    rest = np.maximum(SMALL, time.cycles - other.cycles)
    return time.times(rest / np.maximum(SMALL, time.cycles))


class Routing:
    """Router's words, choice and first gather on one chip, or on many at once.

    Parameters
    ----------
    p : MachineParams or many
    m : int
        Tokens.
    model : Model
    hidden : array
        Columns of the widest slice of the activations.
    reached : callable
        Cycles from a norm's last sum until the own logits stand, of a PU with so many columns.
    known : bool
        The slices of all PUs are known: it is one chip.
    """

    def __init__(
        self, p: Any, m: int, model: Model, hidden: Array, reached: Callable[[int], float], *, known: bool
    ) -> None:
        self.p, self.m, self.model, self.hidden, self.reached = p, m, model, hidden, reached
        self.follows = known and p.cores > 1 and p.noc.kind == RING and not p.noc.multicast_lanes

    @cached_property
    def _starts(self) -> tuple[float, ...]:
        """When every PU has its logits: those with narrow slices before the others."""
        own = [int(n) for n in column_counts(self.model.hidden, self.p.core.columns, self.p.cores)]
        reached = {n: self.reached(n) for n in set(own)}
        return tuple(round(reached[n] - min(reached.values())) for n in own)

    def crossed(self, *, gathers: bool) -> Crossed:
        """Return when words and gather are through, counted from the first word of the PUs with the widest slices.

        Parameters
        ----------
        gathers : bool
            The gather of the rows comes right behind the words.
        """
        p, m = self.p, self.m
        own = column_counts(self.model.hidden, p.core.columns, p.cores)
        size = m * self.model.experts * FP32
        words = tuple(int(flits(p, 1, size)) if n else 1 for n in own)
        shared = tuple(bool(rank * size % p.core.bank_bytes) for rank in range(p.cores))  # they lie side by side
        rows = tuple(int(flits(p, m, int(n) * FP16)) if gathers else 0 for n in own)
        return crossed(p, words, rows, self._starts, shared)

    def told(self, *, gathers: bool) -> Time:
        """Return the time in which the words leave.

        Parameters
        ----------
        gathers : bool
        """
        if self.follows:
            return Time(network=self.crossed(gathers=gathers).sent)
        return Time(network=v.to_all(self.p, self.m * self.model.experts * FP32).network)

    def _chosen(self) -> Time:
        """Choice and weights when all logits stand on a PU."""
        p, m, model = self.p, self.m, self.model
        planes = np.minimum(p.cores, up(model.hidden, p.core.columns))
        gating = model.gating
        if gating.scoring == SIGMOID:
            return v.picked(p, m, model.experts, model.experts_per_token, planes, gating.groups)
        return v.routed(p, m, model.experts, model.experts_per_token, planes, every=not gating.normalise)

    def topk(self, *, gathers: bool) -> Time:
        """Return the time of the choice behind the last word that has left.

        Parameters
        ----------
        gathers : bool
        """
        latency = v.to_all(self.p, FP32).latency
        if not self.follows:
            return Time(latency=latency) + self._chosen()
        found = self.crossed(gathers=gathers)
        late = found.told - found.sent
        latency = min(float(latency), late)
        return Time(network=late - latency, latency=latency) + self._chosen()

    def routed(self, *, gathers: bool) -> Time:
        """Return the time from the first word until the choice is made everywhere.

        Parameters
        ----------
        gathers : bool
        """
        return self.told(gathers=gathers) + self.topk(gathers=gathers)

    def shared(self) -> Time:
        """Return the time until a shared expert has its rows, as far as `routed` goes on meanwhile."""
        if self.follows:
            return Time(network=self.crossed(gathers=True).brought)
        return gather(self.p, self.m, self.hidden * FP16)

    def gathered(self) -> Time:
        """Return the time of the first gather of an expert behind the choice."""
        if self.follows:
            return under(self.shared(), self.routed(gathers=True))
        return under(self.shared(), self.topk(gathers=True))
