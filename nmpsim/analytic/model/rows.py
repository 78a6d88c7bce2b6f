"""In which rows of the banks things lie, and so in which latency class."""

from __future__ import annotations

import numpy as np

from nmpsim.analytic.model.shares import up
from nmpsim.analytic.model.work import Work
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ATTENTION_KINDS, OperatorGraph, OperatorKind


def tiers_of(graph: OperatorGraph, params: MachineParams, work: list[Work], turns: int, first_row: int) -> list[int]:
    """Return the latency class of every operator's weights or cache, that of the middle of its rows.

    Rows are given out in the order of the graph: of all that is the model's in one area, of the cache in another.

    Parameters
    ----------
    graph : OperatorGraph
    params : MachineParams
    work : list of Work
        Of every operator.
    turns : int
        How often an operator of attention reads its rows.
    first_row : int
        Row at which placement starts.
    """
    banks = params.dram.banks * params.pus
    per_row = max(1, params.dram.columns * params.dram.column_bytes // max(1, up(graph.model.hidden, params.pus) * 2))
    table = up(graph.model.vocab, params.dram.banks * per_row)
    cached = np.array([o.kind in ATTENTION_KINDS for o in graph.operators])
    appended = np.array([o.kind is OperatorKind.KV_APPEND for o in graph.operators])
    rows = np.array([w.ACT / banks for w in work]) / np.where(cached, turns, 1)
    rows[appended] = 0
    rows[0] += table
    weights, cache = float(rows[~cached].sum()), float(rows[cached].sum())
    starts = (cache, 0.0) if params.fill == "kv_first" else (0.0, weights)
    middle = np.zeros(len(rows))
    for area, mask in enumerate((~cached, cached)):
        middle[mask] = first_row + starts[area] + np.cumsum(rows[mask]) - rows[mask] / 2
    dram = params.dram
    return [int(t) for t in np.clip(middle // dram.rows_per_tier, 0, dram.tiers - 1)]
