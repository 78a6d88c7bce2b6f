"""Stores of new keys and values: into which banks they go, and when the last of them is written.

A store takes two cycles of the data mover: one to start, one for its datum.  At most so many are under way, and they
end in the order in which they began, so that a bank with several of them holds up the stores of all others::

    bank 0   [write][precharge][write][precharge]
    bank 1   [write]       ended      ^ after that of bank 0 before it
    mover    0 1 0 ................. 1 ...   the store after the last slot waits for the oldest to end
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nmpsim.analytic.model.counting.shares import even, up
from nmpsim.analytic.model.timing.units import Streaming
from nmpsim.program.isa import K_CONTIGUOUS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.program.schedule import AttentionPlan, PassPlan
from nmpsim.spec.params import CoreParams, MachineParams
from nmpsim.workload import OperatorGraph

Banks = tuple[int, ...]
"""Bank of every store of a PU, in order."""

MOVES = 16
"""Stores under way at most: slots of the data mover (docs/timing-model.md); a number of its own, as all timing here is:
a change of the cycle mode must show as an error."""

STORE = 2
"""Cycles of the data mover for a store."""

PHASES = 8
"""Times at which refreshes may come, over which stores are averaged."""


def strips_of(core: CoreParams, shape: PassPlan, token: int, width: int) -> Banks:
    """Return the strips that hold a token's key or value, block by block.

    Parameters
    ----------
    core : CoreParams
    shape : PassPlan
        Of the product that reads it; a token is a column of the keys, or a row of the values.
    token : int
        Place among those of the task.
    width : int
        Columns of the key or value.
    """
    groups, blocks = core.strips // shape.group, up(width, core.columns)
    apart = shape.split == (SPLIT_N if shape.contiguous == K_CONTIGUOUS else SPLIT_K)
    local = token // groups if apart else token
    if shape.flow == WS:
        member = local % (shape.group * core.strip_rows) // core.strip_rows
    else:
        member = 0 if shape.flow == TREE else local % shape.group
    places = ((token if apart else block) % groups for block in range(blocks))
    return tuple(sorted(g * shape.group + member for g in places))


def stored_by(graph: OperatorGraph, plan: AttentionPlan, params: MachineParams) -> list[Banks]:
    """Return the banks into which PUs store, those that differ.

    Parameters
    ----------
    graph : OperatorGraph
    plan : AttentionPlan
    params : MachineParams
    """
    core, model = params.core, graph.model
    parts = [int(n) for n in even(graph.tokens, plan.parts) if n]
    last = len(parts) - 1
    tokens = parts[last]
    of_slot: dict[int, Banks] = {}
    found: dict[Banks, None] = {}
    start = 0
    for count in map(int, even(model.kv_heads * graph.batch * len(parts), params.cores)):
        banks: list[int] = []
        for slot in range(count):
            if (start + slot) % len(parts) != last:
                continue
            turn = slot % min(core.strips, tokens)
            if turn not in of_slot:
                at = tokens - 1 - turn
                of_slot[turn] = strips_of(core, plan.score, at, model.key_dim) + strips_of(
                    core, plan.value, at, model.value_dim
                )
            banks += of_slot[turn]
        start += count
        found[tuple(banks)] = None
    return list(found)


@dataclass(frozen=True)
class Refreshing:
    """Refreshes of the banks around the stores.

    Parameters
    ----------
    owed : float
        That a bank has let wait while it read weights; it does them from then on.
    since : float
        Cycles from the last weights to the first store.
    phase : float
        Share of the interval that is over at the first store, of bank 0; every bank is due a part of it later.
    """

    owed: float
    since: float
    phase: float


def written(p: MachineParams, s: Streaming, banks: Sequence[int], around: Refreshing | None = None) -> float:
    """Return the cycles from the start of the first store to the end of the last.

    A bank begins a refresh that is due or owed whenever no store waits for it, and a store waits for its end.

    Parameters
    ----------
    p : MachineParams
    s : Streaming
    banks : sequence of int
        Of every store.
    around : Refreshing, optional
        None: no refreshes.
    """
    ratio, write, stored = p.dram_period / p.core_period, float(s.write), float(s.stored)
    refreshed, interval = float(s.refreshed), float(s.interval)
    opened: dict[int, list[float]] = {}  # when the rows of a bank were opened
    free: dict[int, float] = {}
    due: dict[int, float] = {}
    owed: dict[int, int] = {}
    ended: list[float] = []
    now = 0.0
    for number, bank in enumerate(banks):
        rows = opened.setdefault(bank, [])
        if around is not None and bank not in due:
            free[bank], owed[bank] = -around.since, round(around.owed)
            due[bank] = ((bank / p.dram.banks - around.phase) % 1.0) * interval
            if due[bank] > interval - around.since:
                due[bank] -= interval
        if number >= MOVES:
            now = max(now, ended[number - MOVES])
        if len(rows) >= p.dram.run_queue:
            now = max(now, rows[-p.dram.run_queue] + ratio)
        at = now + ratio
        last = free.get(bank, at)
        while around is not None and (owed[bank] or due[bank] < at) and last < at:
            start = last
            if owed[bank]:
                owed[bank] -= 1
            else:
                start = max(last, due[bank])
                due[bank] += interval
            last = start + refreshed
        at = max(at, last)
        rows.append(at)
        free[bank] = at + write
        end = at + stored
        ended.append(max(ended[-1], end) if ended else end)
        now += STORE
    return ended[-1] if ended else 0.0


def stores(p: MachineParams, s: Streaming, of_pus: Sequence[Banks], owed: float, since: float) -> tuple[float, float]:
    """Return the cycles of all stores of the busiest PU, and those of its data mover; the mean over phases of refresh.

    Parameters
    ----------
    p : MachineParams
    s : Streaming
    of_pus : sequence of Banks
    owed, since : float
        As for `Refreshing`.
    """
    longest = max(of_pus, key=lambda banks: written(p, s, banks))
    moved = STORE * len(longest)
    if not p.dram.refresh:
        return written(p, s, longest), moved
    phases = (Refreshing(owed, since, (i + 0.5) / PHASES) for i in range(PHASES))
    return sum(written(p, s, longest, phase) for phase in phases) / PHASES, moved
