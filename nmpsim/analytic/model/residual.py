"""What closed forms leave, by named variables of operator and chip: a factor that is fitted to cycle runs.

    factor = exp(constant + sum over variables of weight x variable)

Variables are logarithms of sizes, and shares of the units in the predicted time, so that a weight is a power of a size:
queueing grows with PUs and flits, port contention with rows and lanes, imbalance with uneven slices.  The factor stays
within what the runs of the fit had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nmpsim.analytic.model.timing.spent import UNITS, Time
from nmpsim.analytic.model.timing.units import Array, up
from nmpsim.program.schedule import AttentionPlan
from nmpsim.spec.params import ACT
from nmpsim.workload import Operator, OperatorGraph, OperatorKind

SHARES = tuple(f"share of {unit}" for unit in UNITS)

VARIABLES = (
    "rows", "columns", "hidden size", "cached tokens", "parts of a sequence", "turns of heads", "heads of a PU",
    "uneven slices", "PUs", "network cycle", "DRAM cycle", "row cycle", "flit bytes", "lanes", "MACs per cycle",
    "predicted cycles", *SHARES,
)  # fmt: skip
"""All but the shares as logarithms to base 2; ``uneven slices``: the widest slice of the hidden size over the mean."""

CACHED = frozenset({OperatorKind.KV_APPEND, OperatorKind.SCORE, OperatorKind.SOFTMAX, OperatorKind.VALUE})
"""Kinds for which it matters how the cache is dealt out."""


def about(p: Any, graph: OperatorGraph, o: Operator, plan: AttentionPlan, time: Time) -> tuple[Array, ...]:
    """Return the variables of an operator, in the order of `VARIABLES`.

    Parameters
    ----------
    p : MachineParams or many
    graph : OperatorGraph
    o : Operator
    plan : AttentionPlan or many
    time : Time
        Predicted.
    """
    model, core = graph.model, p.core
    cycles = np.maximum(1.0, time.cycles)
    attends = o.kind in CACHED
    slices = up(model.hidden, core.columns)
    sizes: tuple[Array, ...] = (
        o.m or graph.batch,
        o.n or model.hidden,
        model.hidden,
        graph.batch * graph.context if attends else 1,
        plan.parts if attends else 1,
        plan.turns if attends else 1,
        model.heads / p.cores,
        up(slices, p.cores) * p.cores / slices,
        p.cores,
        p.noc_period / p.core_period,
        p.dram_period / p.core_period,
        p.latency[0, ACT, ACT],
        p.noc.flit_bytes,
        core.lanes,
        core.macs_per_cycle,
        cycles,
    )
    return *(np.log2(np.asarray(s, dtype=np.float64)) for s in sizes), *(v / cycles for v in time.values)


@dataclass(frozen=True)
class Residual:
    """The factor of one kind of operator.

    Parameters
    ----------
    constant : float
    weights : dict of str to float
        By name of the variable; those that are not there are 0.
    low, high : float
        Between which the logarithm of the factor stays.
    """

    constant: float
    weights: dict[str, float]
    low: float
    high: float

    def factor(self, values: tuple[Array, ...]) -> Array:
        """Return by what to multiply predicted cycles.

        Parameters
        ----------
        values : tuple of array
            From `about`.
        """
        found: Array = self.constant
        for name, weight in self.weights.items():
            found = found + weight * values[PLACES[name]]
        return np.exp(np.clip(found, self.low, self.high))


PLACES = {name: i for i, name in enumerate(VARIABLES)}
"""Place of every variable."""
