"""The plain schedule: for every GEMM the legal plan with the fewest array cycles, by enumeration.

Candidates are all dataflows of the chip x all logical shapes (strips per group) x chained or fission over K or N x
spread over N or K of the PUs.  Ties go to fewer bytes on the network, then fewer partial-sum planes, then the first
in a fixed order; so the schedule is the same on every machine.  Heads are spread over the PUs, and a sequence is
split into parts when there are fewer tasks than PUs or when one does not fit into the buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nmpsim.analytic.array import pass_cycles
from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.beats import legal
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.program.schedule import OVER_K, OVER_N, AttentionPlan, GemmPlan, PassPlan, Schedule
from nmpsim.spec.params import MAC_TREE, CoreParams, MachineParams
from nmpsim.workload import GEMM_KINDS, Operator, OperatorGraph, OperatorKind

FLOWS = {"OS": OS, "WS": WS, "IS": IS}
PARTIAL_SHARE = 4
"""Planes of a pass may take one part in so many of the buffer (there are two sets)."""
CHUNKS = (4, 2, 8, 16, 1)
"""Pieces of N of a GEMM over K, in order of preference: 4 hide the reduction under the passes."""


def shapes(core: CoreParams, dataflows: tuple[str, ...]) -> Iterator[PassPlan]:
    """Yield every shape, dataflow and relation of the groups that the compute unit can be put into.

    Parameters
    ----------
    core : CoreParams
    dataflows : tuple of str
        Dataflows of the chip; ignored for a MAC tree.
    """
    if core.kind == MAC_TREE:
        for contiguous in (N_CONTIGUOUS, K_CONTIGUOUS):
            for split in (SPLIT_K, SPLIT_N):
                if legal(TREE, split, contiguous):
                    yield PassPlan(TREE, 1, split, contiguous)
        return
    for name in dataflows:
        for group in (g for g in range(1, core.strips + 1) if core.strips % g == 0):
            for split in (CHAIN, SPLIT_K, SPLIT_N):
                for contiguous in (N_CONTIGUOUS, K_CONTIGUOUS):
                    if legal(FLOWS[name], split, contiguous):
                        yield PassPlan(FLOWS[name], group, split, contiguous)


@dataclass(frozen=True)
class Candidate:
    """A legal plan and what it is ranked by."""

    plan: GemmPlan
    planes: int
    order: int

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Smaller is better."""
        return self.plan.array_cycles, self.plan.network_bytes, self.planes, self.order


def _widest(columns: int, quantum: int, pus: int) -> int:
    blocks = -(-columns // quantum)
    return min(columns, -(-blocks // pus) * quantum)


def candidates(
    operator: Operator, params: MachineParams, dataflows: tuple[str, ...], over: tuple[int, ...]
) -> list[Candidate]:
    """Return all legal plans of a GEMM, best first.

    Parameters
    ----------
    operator : Operator
        A GEMM.
    params : MachineParams
    dataflows : tuple of str
    over : tuple of int
        Dimensions that may be spread over the PUs.
    """
    core, pus = params.core, params.pus
    m, paired = operator.m, operator.kind is OperatorKind.GATE_UP
    found = []
    for order, (spread, shape) in enumerate((o, s) for o in over for s in shapes(core, dataflows)):
        if spread == OVER_N:
            n = _widest(operator.n // 2, core.columns, pus) * 2 if paired else _widest(operator.n, core.columns, pus)
            k, network = operator.k, m * operator.k * 2
        else:
            n, k = operator.n, _widest(operator.k, core.columns, pus)
            network = m * operator.n * 4
        cycles = pass_cycles(core, shape.flow, shape.group, shape.split, shape.contiguous, m, n, k)
        groups = core.strips // shape.group
        planes = groups if shape.split == SPLIT_K and shape.flow != TREE else 1
        width = core.columns * max(1 if shape.split == SPLIT_K else groups, 2 if paired else 1)
        if cycles >= 0 and planes * m * width * 4 * 2 <= core.buffer_bytes // PARTIAL_SHARE * 2:
            found.append(Candidate(GemmPlan(spread, shape, cycles, network), planes, order))
    return sorted(found, key=lambda c: c.rank)


def _spreads(kind: OperatorKind) -> tuple[int, ...]:
    if kind is OperatorKind.ROUTER:
        return (OVER_K,)
    if kind is OperatorKind.ATTN_OUT:
        return (OVER_N,)
    return (OVER_N, OVER_K)


def _chunks(operator: Operator, params: MachineParams) -> int:
    """Pieces of N that let the two reduction buffers fit into half of the buffer; 0 if none do."""
    pus, room = params.pus, params.core.buffer_bytes // 2
    for chunks in CHUNKS:
        columns = -(-operator.n // chunks)
        if 2 * (columns * operator.m * 4) * 2 <= room:
            return chunks if pus > 1 else 1
    return 0


def attention_plan(graph: OperatorGraph, params: MachineParams, dataflows: tuple[str, ...]) -> AttentionPlan:
    """Choose shape, dataflow and sequence parts of attention.

    Parameters
    ----------
    graph : OperatorGraph
    params : MachineParams
    dataflows : tuple of str

    Raises
    ------
    InfeasibleError
        If no part of a sequence fits into the buffer, or no shape can hold the heads.
    """
    model, core = graph.model, params.core
    m = model.heads // model.kv_heads
    budget = core.buffer_bytes * 3 // 8
    tasks = graph.batch * model.kv_heads
    parts = 1
    while tasks * parts < params.pus and parts * core.strips < graph.context:
        parts *= 2
    while True:
        tokens = -(-graph.context // parts)
        together = (budget - 2 * m * tokens * 4) // max(1, m * tokens * 2 + m * model.head_dim * 4) - 1
        if together >= 1:
            break
        if tokens == 1:
            fault = Fault(
                "core.buffer.bytes",
                str(core.buffer_bytes),
                "room for one token's scores of one head group",
                "enlarge the buffer",
            )
            raise InfeasibleError("attention does not fit into the buffer", [fault])
        parts *= 2
    per_pu = -(-tasks * parts // params.pus)
    plans = []
    for contiguous, n, k in ((K_CONTIGUOUS, tokens, model.head_dim), (N_CONTIGUOUS, model.head_dim, tokens)):
        best: tuple[int, int, PassPlan] | None = None
        for order, shape in enumerate(shapes(core, dataflows)):
            if shape.contiguous != contiguous or (shape.split == SPLIT_K and contiguous == K_CONTIGUOUS):
                continue
            cycles = pass_cycles(core, shape.flow, shape.group, shape.split, contiguous, m, n, k)
            if cycles >= 0 and (best is None or (cycles, order) < best[:2]):
                best = cycles, order, shape
        if best is None:
            fault = Fault(
                "core.array.dataflows",
                ", ".join(dataflows) or "none",
                "a dataflow that takes token-major keys (IS) and values (OS or WS)",
                f"allow IS and OS, or more rows than {m} query heads per KV head",
            )
            raise InfeasibleError("attention has no legal dataflow", [fault])
        plans.append(best[2])
    rounds = -(-per_pu // min(together, per_pu))
    return AttentionPlan(parts, plans[0], plans[1], -(-per_pu // rounds))


def plain_schedule(
    graph: OperatorGraph, params: MachineParams, dataflows: tuple[str, ...], *, first_row: int = 0
) -> Schedule:
    """Return the plain schedule of a decode step.

    Parameters
    ----------
    graph : OperatorGraph
    params : MachineParams
    dataflows : tuple of str
        Dataflows of the chip, e.g. ``("OS", "WS", "IS")``; ignored for a MAC tree.
    first_row : int
        Row of every bank at which placement starts.

    Raises
    ------
    InfeasibleError
        If an operator has no legal plan; with the operator and what is too small.
    """
    memory: dict[tuple[int, int, int, OperatorKind], GemmPlan | None] = {}
    gemm: dict[int, GemmPlan] = {}
    faults = []
    for index, operator in enumerate(graph.operators):
        if operator.kind not in GEMM_KINDS:
            continue
        key = (operator.m, operator.n, operator.k, operator.kind)
        if key not in memory:
            memory[key] = _choose(operator, params, dataflows)
            if memory[key] is None:
                faults.append(
                    Fault(
                        operator.name,
                        f"M {operator.m} N {operator.n} K {operator.k}",
                        "a tile whose partial sums fit into buffer and accumulators",
                        "a smaller batch, or a larger core.buffer.bytes or partial-sum memory",
                    )
                )
        plan = memory[key]
        if plan is not None:
            gemm[index] = plan
    if faults:
        raise InfeasibleError(f"no legal plan on chip {params.name}", faults)
    attention = attention_plan(graph, params, dataflows)
    return Schedule(graph, params.name, gemm, attention, params.fill, first_row)


def _choose(operator: Operator, params: MachineParams, dataflows: tuple[str, ...]) -> GemmPlan | None:
    for candidate in candidates(operator, params, dataflows, _spreads(operator.kind)):
        plan = candidate.plan
        if plan.over == OVER_N or operator.kind is OperatorKind.ROUTER:
            return plan
        chunks = _chunks(operator, params)
        if chunks:
            return GemmPlan(OVER_K, plan.shape, plan.array_cycles, plan.network_bytes, chunks)
    return None
