"""Predicted time of attention: scores, softmax and values of the tasks of the busiest PU, overlapped by dependence.

    array    [score 0][score 1]  [score 2] ... [value 0][value 1] ...
    vector            [softmax 0][softmax 1]            [add 0]   ...

A score waits for the softmax before the last (two regions), a value for its softmax and for the sum before the last.
Left out: the exchange of heads and the append of the new token (the same in every plan), turns of the heads' queries.
"""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.analytic.feeds import beat_cycles, fed_cycles, most_beats, vector_cycles
from nmpsim.analytic.gemm import REGIONS, Cost
from nmpsim.analytic.messages import SIGNAL, all_to_one_cycles
from nmpsim.analytic.passes import taken
from nmpsim.program.isa import F_OUT_FP32, V_ATTENTION_OUT, V_COMBINE_PARTS, V_SOFTMAX
from nmpsim.program.schedule import AttentionPlan, PassPlan
from nmpsim.program.vector import loops
from nmpsim.spec.params import MachineParams
from nmpsim.workload import OperatorGraph


@dataclass(frozen=True)
class Product:
    """One of the two products of a task.

    Parameters
    ----------
    cycles : float
        Until the next one can begin; fed by the banks.
    drain : int
        From then until its result stands.
    planes : int
        Partial-sum planes of the result.
    stream : float
        Of its stream alone.
    array : int
        Alone, with all operands in time.
    """

    cycles: float
    drain: int
    planes: int
    stream: float
    array: int

    def dominates(self, other: Product) -> bool:
        """Whether no plan gets slower when this product takes the place of the other."""
        return self.cycles <= other.cycles and self.drain <= other.drain and self.planes <= other.planes


def product(params: MachineParams, tier: int, shape: PassPlan, m: int, n: int, k: int) -> Product | None:
    """Return how long a product of a task takes; None if the shape cannot hold it.

    Parameters
    ----------
    params : MachineParams
    tier : int
        Latency class of the cache.
    shape : PassPlan
    m, n, k : int
        Sizes; elements.
    """
    core = params.core
    unit = taken(core, shape.flow, shape.group, shape.split, shape.contiguous, m, n, k)
    if unit is None:
        return None
    beats = most_beats(core, shape.flow, shape.group, shape.split, shape.contiguous, n, k)
    stream = beats * beat_cycles(params, tier)
    alone = unit.cycles + unit.drain
    return Product(fed_cycles(params, tier, unit, beats), unit.drain, shape.planes(core), stream, alone)


def attention_cost(params: MachineParams, graph: OperatorGraph, plan: AttentionPlan, tier: int) -> Cost | None:
    """Predict scores, softmax and values of one layer.

    Parameters
    ----------
    params : MachineParams
    graph : OperatorGraph
    plan : AttentionPlan
    tier : int
        Latency class that the cache lies in.

    Returns
    -------
    Cost or None
        None if a shape cannot hold the heads.
    """
    model, core = graph.model, params.core
    parts = min(plan.parts, graph.context)
    tokens = -(-graph.context // parts)
    rows = model.heads // model.kv_heads // plan.turns
    tasks = graph.batch * model.kv_heads * parts
    own = -(-tasks // params.cores)

    score = product(params, tier, plan.score, rows, tokens, model.key_dim)
    value = product(params, tier, plan.value, rows, model.value_dim, tokens)
    if score is None or value is None:
        return None
    planes = value.planes
    softmax = vector_cycles(core, loops(V_SOFTMAX, rows, tokens, 0, 0, 0))
    modifiers = F_OUT_FP32 if parts > 1 else 0
    finish = vector_cycles(core, loops(V_ATTENTION_OUT, rows, model.value_dim, planes, modifiers, 0))
    copies = 0.0
    if core.separate:
        copies = max(rows * tokens * 4, planes * rows * model.value_dim * 4) / core.copy_bytes + core.copy_latency
    at = lanes = total = 0.0
    while own > 0:
        number = min(own, plan.together) * plan.turns
        own -= plan.together
        ready: list[float] = []
        for i in range(number):
            at = max(at, ready[i - REGIONS] if i >= REGIONS else total) + score.cycles
            lanes = max(lanes, at + score.drain + copies + SIGNAL) + softmax
            ready.append(lanes + SIGNAL)
        at += score.drain + core.reconfigure
        free = [total] * REGIONS
        for i in range(number):
            at = max(at, ready[i], free[i % REGIONS]) + value.cycles
            lanes = max(lanes, at + value.drain + copies + SIGNAL) + finish
            free[i % REGIONS] = lanes + SIGNAL
        at += value.drain + core.reconfigure
        total = lanes + SIGNAL
    count = -(-tasks // params.cores) * plan.turns
    network = 0.0
    if parts > 1:
        size = rows * model.value_dim * 4 + 8 * rows
        owners = -(-graph.batch * model.kv_heads // params.cores) * plan.turns
        combine = vector_cycles(core, loops(V_COMBINE_PARTS, rows, model.value_dim, parts, 0, 0))
        network = all_to_one_cycles(params, owners * (parts - 1), 1, size) if params.cores > 1 else 0.0
        total += network + owners * combine
    return Cost(
        count * float(score.array + value.array),
        count * (score.stream + value.stream),
        count * (softmax + finish),
        network,
        total,
    )
