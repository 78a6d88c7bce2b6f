"""In which rows of the banks things lie, and so in which latency class."""

from __future__ import annotations

import numpy as np

from nmpsim.analytic.model.counting.shares import up
from nmpsim.analytic.model.counting.work import Work
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ATTENTION_KINDS, OperatorGraph, OperatorKind

Shares = tuple[tuple[int, float], ...]
"""Latency classes, and share of the rows that lies in each."""

GRAIN = 64
"""Shares are counted in parts of so many, so that operators in like places are alike."""


def tiers_of(graph: OperatorGraph, params: MachineParams, work: list[Work], turns: int, first_row: int) -> list[Shares]:
    """Return the latency classes of every operator's weights or cache.

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
    banks = params.dram.banks * params.cores
    per_row = max(1, params.dram.columns * params.dram.column_bytes // max(1, up(graph.model.hidden, params.cores) * 2))
    table = up(graph.model.vocab, params.dram.banks * per_row)
    cached = np.array([o.kind in ATTENTION_KINDS for o in graph.operators])
    appended = np.array([o.kind is OperatorKind.KV_APPEND for o in graph.operators])
    rows = np.array([w.ACT / banks for w in work]) / np.where(cached, turns, 1)
    rows[appended] = 0
    rows[0] += table
    weights, cache = float(rows[~cached].sum()), float(rows[cached].sum())
    starts = (cache, 0.0) if params.fill == "kv_first" else (0.0, weights)
    ends = np.zeros(len(rows))
    for area, mask in enumerate((~cached, cached)):
        ends[mask] = first_row + starts[area] + np.cumsum(rows[mask])
    edges = np.arange(1, params.dram.tiers) * params.dram.rows_per_tier
    bounds = np.clip(edges[None, :], (ends - rows)[:, None], ends[:, None])
    whole = np.concatenate([(ends - rows)[:, None], bounds, ends[:, None]], axis=1)
    parts = np.rint(np.diff(whole, axis=1) / np.maximum(rows, 1e-9)[:, None] * GRAIN)
    classes = np.clip((ends - rows / 2) // params.dram.rows_per_tier, 0, params.dram.tiers - 1).astype(int)
    known: dict[bytes, Shares] = {}
    found: list[Shares] = []
    for share, tier in zip(parts, classes, strict=True):
        total = share.sum()
        key = share.tobytes()
        if not total:
            found.append(((int(tier), 1.0),))
            continue
        if key not in known:
            known[key] = tuple((int(t), float(share[t] / total)) for t in np.flatnonzero(share))
        found.append(known[key])
    return found
