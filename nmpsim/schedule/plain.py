"""The plain schedule: for every GEMM the legal plan with the fewest array cycles, by enumeration.

Candidates are all dataflows of the chip x all logical shapes (strips per group) x chained or fission over K or N x
spread over N or K of the PUs.  Ties go to fewer bytes on the network, then fewer partial-sum planes, then the first
in a fixed order; so the schedule is the same on every machine.  Heads are spread over the PUs, and a sequence is
split into parts when there are fewer tasks than PUs or when one does not fit into the buffer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nmpsim.analytic.array import pass_cycles
from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.isa import K_CONTIGUOUS, N_CONTIGUOUS, SPLIT_K
from nmpsim.program.packing import fifo_faults
from nmpsim.program.schedule import OVER_K, OVER_N, AttentionPlan, GemmPlan, PassPlan, Schedule
from nmpsim.schedule.modes import Modes, forms, shapes
from nmpsim.spec.params import CoreParams, MachineParams
from nmpsim.workload import (
    ABSORBED,
    GEMM_KINDS,
    HEAD_KINDS,
    PLAIN,
    Operator,
    OperatorGraph,
    OperatorKind,
    Precision,
)
from nmpsim.workload.precision import SCALED

PARTIAL_SHARE = 4
"""Planes of a pass may take one part in so many of the buffer (there are two sets)."""
LATENT_KINDS = frozenset({OperatorKind.LATENT, OperatorKind.Q_UP, OperatorKind.KV_UP})
"""Projections of latent attention, whose results stand by heads or by columns of the latent."""
CHUNKS = (4, 8, 16, 32)
"""Pieces of N of a GEMM over K, in order of preference: 4 hide the reduction under the passes, more take less room."""


@dataclass(frozen=True)
class Candidate:
    """A legal plan and what it is ranked by."""

    plan: GemmPlan
    planes: int
    order: int
    copy_cycles: int = 0

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Smaller is better; copies of results go on beside the passes."""
        return max(self.plan.array_cycles, self.copy_cycles), self.plan.network_bytes, self.planes, self.order


def crosses(core: CoreParams, operand_bytes: int, result_bytes: int) -> bool:
    """Return whether an operand and a result fit into the compute unit's own buffers, if it has any."""
    return not core.separate or (operand_bytes <= core.operand_bytes and result_bytes <= core.output_bytes)


def widest(columns: int, quantum: int, pus: int) -> int:
    """Return the columns of the PU with the most, when they are dealt out in whole quanta."""
    blocks = -(-columns // quantum)
    return min(columns, -(-blocks // pus) * quantum)


def candidates(
    operator: Operator,
    params: MachineParams,
    dataflows: tuple[str, ...],
    over: tuple[int, ...],
    precision: Precision = PLAIN,
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
    precision : Precision
        Of the step.
    """
    every = forms(operator, params.core, dataflows, precision)
    if operator.kind in HEAD_KINDS:
        return _head_candidates(operator, params, every)
    core, pus = params.core, params.cores
    m, paired = operator.m, operator.kind is OperatorKind.GATE_UP
    found = []
    for order, (spread, shape) in enumerate((o, s) for o in over for s in every):
        if spread == OVER_N:
            n = widest(operator.n // 2, core.columns, pus) * 2 if paired else widest(operator.n, core.columns, pus)
            k, network = operator.k, m * operator.k * 2
        else:
            n, k = operator.n, widest(operator.k, core.columns, pus)
            network = m * operator.n * 4
        cycles = pass_cycles(core, shape.flow, shape.group, shape.split, shape.contiguous, m, n, k)
        planes = shape.planes(core)
        reduces = spread == OVER_K and operator.kind is not OperatorKind.ROUTER
        if reduces and -(-operator.k // core.columns) < pus:
            continue  # a PU without rows would have no partial sums to give
        if reduces and _least_reduction(operator, params) > core.buffer_bytes // PARTIAL_SHARE:
            continue
        result = shape.partial_bytes(core, m, paired=paired)
        if cycles >= 0 and result <= core.buffer_bytes // PARTIAL_SHARE and crosses(core, m * k * 2, result):
            copied = -(-planes * m * n * 4 // core.copy_bytes) if core.separate else 0
            found.append(Candidate(GemmPlan(spread, shape, cycles, network), planes, order, copied))
    return sorted(found, key=lambda c: c.rank)


def _head_candidates(operator: Operator, params: MachineParams, every: list[PassPlan]) -> list[Candidate]:
    """Plans of a GEMM with a matrix for every head: heads over the PUs, every head on one."""
    core, m, n, k = params.core, operator.m, operator.n, operator.k
    heads = -(-operator.heads // params.cores)
    found = []
    for order, shape in enumerate(every):
        cycles = pass_cycles(core, shape.flow, shape.group, shape.split, shape.contiguous, m, n, k)
        planes = shape.planes(core)
        result = shape.partial_bytes(core, m)
        if cycles >= 0 and result <= core.buffer_bytes // PARTIAL_SHARE and crosses(core, m * k * 2, result):
            copied = -(-heads * planes * m * n * 4 // core.copy_bytes) if core.separate else 0
            found.append(Candidate(GemmPlan(OVER_N, shape, heads * cycles, 0), planes, order, copied))
    return sorted(found, key=lambda c: c.rank)


def spreads(kind: OperatorKind) -> tuple[int, ...]:
    """Return the dimensions that a kind of GEMM may be spread over.

    Attention leaves its output by heads and the LM head wants one token, so both go over N; the router is reduced by
    all PUs at once, over K.
    """
    if kind is OperatorKind.ROUTER:
        return (OVER_K,)
    if kind in {OperatorKind.ATTN_OUT, OperatorKind.LM_HEAD, *LATENT_KINDS}:
        return (OVER_N,)
    return (OVER_N, OVER_K)


def _least_reduction(operator: Operator, params: MachineParams) -> int:
    """Bytes of both spaces of the reduce-scatters of a GEMM over K when N is cut into the smallest pieces."""
    grain = max(1, params.noc.flit_bytes // 4)
    unit = 2 * params.core.columns if operator.kind is OperatorKind.GATE_UP else grain
    pieces = max(min(operator.n, params.cores * unit), -(-operator.n // max(CHUNKS)))
    return 4 * pieces * operator.m * 4


def lasting_bytes(graph: OperatorGraph, params: MachineParams, gemm: dict[int, GemmPlan]) -> int:
    """Bytes of the buffer that are taken through the whole step: activations, statistics, partial sums.

    Parameters
    ----------
    graph : OperatorGraph
    params : MachineParams
    gemm : dict of int to GemmPlan
    """
    core, m, hidden = params.core, graph.batch, graph.model.hidden
    partial = 0
    for index, plan in gemm.items():
        operator = graph.operators[index]
        paired = operator.kind is OperatorKind.GATE_UP
        partial = max(partial, plan.shape.partial_bytes(core, operator.m, paired=paired))
    share = widest(hidden, core.columns, params.cores) * 2 * graph.model.norm_vectors
    small = 2 * params.cores * m * 4 + m * 8 * (params.cores + 1) + 4 * params.dram.column_bytes + 2 * share
    if graph.stacks > 1:  # sums of the stacks, their landing, sums of squares
        small += m * (4 * share + params.dram.column_bytes + (16 if graph.model.qk_norm else 8) * graph.stacks)
    return m * hidden * 2 + m * (share + params.dram.column_bytes) + 2 * partial + small + 16 * core.bank_bytes


def with_chunks(graph: OperatorGraph, params: MachineParams, gemm: dict[int, GemmPlan]) -> dict[int, GemmPlan]:
    """Choose into how many pieces GEMMs over K cut N, so that their two reduction spaces fit into the buffer."""
    model, lasting = graph.model, lasting_bytes(graph, params, gemm)
    active = [o for o in graph.operators if o.kind is OperatorKind.ACTIVATION]
    largest = max((o.m * widest(o.n, params.core.columns, params.cores) for o in active), default=0)
    slices = largest * 2 * (2 if model.experts else 1)
    if model.experts:
        rows = max((o.m for o in active), default=1)
        slices += (
            rows * model.hidden * 2 + 2 * graph.batch * widest(model.hidden, params.core.columns, params.cores) * 4
        )
    room = params.core.buffer_bytes - lasting - slices
    chosen = {}
    for index, plan in gemm.items():
        operator = graph.operators[index]
        chunks = 1
        if plan.over == OVER_K and operator.kind is not OperatorKind.ROUTER and params.cores > 1:
            fits = [c for c in CHUNKS if 4 * (-(-operator.n // c)) * operator.m * 4 <= room]
            chunks = fits[0] if fits else max(CHUNKS)
        chosen[index] = replace(plan, chunks=chunks) if chunks != plan.chunks else plan
    return chosen


def _fits(
    core: CoreParams, graph: OperatorGraph, tokens: int, together: int, turns: int, most_planes: int, room: int
) -> bool:
    """Return whether the regions that only attention writes fit into the idle activations and `room` bytes."""
    model = graph.model
    m, align = graph.group // turns, core.bank_bytes
    planes = most_planes * m * -(-model.value_dim // core.columns) * core.columns * 4
    together *= turns
    if not crosses(core, 2 * m * max(tokens, together * model.key_dim), max(4 * m * tokens, planes)):
        return False
    one = model.latent is not None and model.latent.form == ABSORBED and most_planes == 1
    result = (0 if one else m * model.value_dim * 4) + 8 * m
    lent = graph.batch * model.hidden * 2
    for size, number in ((m * tokens * 4, 2), (m * tokens * 2, together), (result, together), (planes, 2)):
        whole = -(-size // align) * align
        inside = min(number, lent // whole) if whole else number
        lent -= inside * whole
        room -= (number - inside) * whole
    return room >= 0


def attention_plan(
    graph: OperatorGraph, params: MachineParams, dataflows: tuple[str, ...], lasting: int
) -> AttentionPlan:
    """Choose shape, dataflow and sequence parts of attention.

    Parameters
    ----------
    graph : OperatorGraph
    params : MachineParams
    dataflows : tuple of str
    lasting : int
        Bytes of the buffer that are taken through the whole step.

    Raises
    ------
    InfeasibleError
        If no part of a sequence fits into the buffer, or no shape can hold the heads.
    """
    if graph.model.latent is None:
        return _attention_plan(graph, params, dataflows, lasting, 1, params.core.strips)
    failed: InfeasibleError | None = None
    for turns, planes, parts in _latent_choices(graph, params):
        try:
            return _attention_plan(graph, params, dataflows, lasting, turns, planes, parts)
        except InfeasibleError as error:
            failed = failed or error
    assert failed is not None
    raise failed


def _latent_choices(graph: OperatorGraph, params: MachineParams) -> Iterator[tuple[int, int, int]]:
    """Yield turns of the heads, most planes and sequence parts for latent attention, best first.

    All heads of a sequence share one row of the cache: turns read it again, so they come last; few parts leave PUs
    idle, many fill the buffer of the PU that adds them up.
    """
    group, tasks = graph.group, graph.batch * graph.model.kv_heads
    parts = 1
    while tasks * parts < params.cores and parts * params.core.strips < graph.most_tokens:
        parts *= 2
    fewer = [parts >> i for i in range(parts.bit_length())]
    more = [parts << i for i in range(1, graph.most_tokens.bit_length()) if (parts << i) <= graph.most_tokens]
    turns = 1
    while group % turns == 0:
        planes = params.core.strips
        while planes:
            yield from ((turns, planes, number) for number in (*fewer, *more))
            planes //= 2
        turns *= 2


def _attention_plan(
    graph: OperatorGraph,
    params: MachineParams,
    dataflows: tuple[str, ...],
    lasting: int,
    turns: int,
    most_planes: int,
    only_parts: int = 0,
) -> AttentionPlan:
    """Plan of attention with the heads of a task in so many turns and at most so many planes of a value product.

    `only_parts`: the only number of sequence parts to try; 0: from as many as there are PUs for upwards.
    """
    model, core = graph.model, params.core
    group = graph.group
    share = graph.shard.share if graph.shard is not None else 1
    m = group // turns
    tasks = graph.batch * model.kv_heads
    beat = -(-model.key_dim // core.columns) * params.dram.column_bytes
    narrow = int(graph.precision.kv in SCALED)  # keys and values of half the bytes beside the new ones
    heads = -(-model.heads // params.cores)
    fixed = lasting + graph.batch * model.output_dim * 2 * model.heads + 16 * core.bank_bytes
    absorbed = model.latent is not None and model.latent.form == ABSORBED
    if model.latent is None:
        fixed += graph.batch * model.head_dim * 2 * (heads + -(-2 * model.kv_heads // params.cores))
    else:
        inner = 2 * model.value_dim if absorbed else model.latent.nope + model.latent.value
        fixed += graph.batch * 2 * (heads * (model.head_dim + inner) + model.latent.width)
    parts = only_parts or 1
    while not only_parts and tasks * parts < params.cores and parts * core.strips < graph.most_tokens:
        parts *= 2
    while True:
        tokens = -(-graph.most_tokens // parts)
        per_pu = -(-tasks * parts // params.cores)
        result = group * model.value_dim * 4 + 8 * group
        own = per_pu * (group + 2 + narrow) * beat + (per_pu * result if parts * share > 1 and not absorbed else 0)
        if absorbed:  # parts of the own heads of all sequences
            own += tasks * parts * share * heads * (model.value_dim * 4 + 8)
        room = core.buffer_bytes - fixed - own
        together, beyond = 0, per_pu + 1  # fewer take less room: the most are found by bisection
        while beyond - together > 1:
            middle = (together + beyond) // 2
            if _fits(core, graph, tokens, middle, turns, most_planes, room):
                together = middle
            else:
                beyond = middle
        if together:
            break
        if only_parts or tokens <= core.strips or fixed + own > core.buffer_bytes:
            fault = Fault(
                "core.buffer.bytes",
                str(core.buffer_bytes),
                f"at least {fixed + own} bytes, and room for the scores of {tokens} tokens, here and in a separate "
                "compute unit's own buffers",
                "a smaller batch, or a larger core.buffer.bytes or core.array_buffer",
            )
            raise InfeasibleError("attention does not fit into the buffer", [fault])
        parts *= 2
    plans = []
    for contiguous, n, k in ((K_CONTIGUOUS, tokens, model.key_dim), (N_CONTIGUOUS, model.value_dim, tokens)):
        best: tuple[int, int, PassPlan] | None = None
        for order, shape in enumerate(shapes(core, dataflows)):
            if shape.contiguous != contiguous or (shape.split == SPLIT_K and contiguous == K_CONTIGUOUS):
                continue
            if shape.planes(core) > most_planes:
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
    rounds = -(-per_pu // together)
    return AttentionPlan(parts, plans[0], plans[1], -(-per_pu // rounds), turns, graph.precision.kv)


def plain_schedule(
    graph: OperatorGraph,
    params: MachineParams,
    dataflows: tuple[str, ...],
    *,
    first_row: int = 0,
    modes: Modes | None = None,
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
    modes : Modes, optional
        Modes that it may use; all of the dataflows by default.

    Raises
    ------
    InfeasibleError
        If an operator has no legal plan; with the operator and what is too small.
    """
    modes = modes or Modes()
    dataflows = modes.gemm or dataflows
    attending = modes.attention or dataflows
    memory: dict[tuple[int, int, int, OperatorKind], GemmPlan | None] = {}
    precision = graph.precision
    gemm: dict[int, GemmPlan] = {}
    faults = fifo_faults(params.dram, precision)
    down = _down_spread(graph, params, dataflows)
    for index, operator in enumerate(graph.operators):
        if operator.kind not in GEMM_KINDS:
            continue
        key = (operator.m, operator.n, operator.k, operator.kind)
        if key not in memory:
            over = (down,) if operator.kind is OperatorKind.DOWN else spreads(operator.kind)
            found = candidates(operator, params, dataflows, over, precision)
            memory[key] = found[0].plan if found else None
            if not found:
                faults.append(
                    Fault(
                        operator.name,
                        f"M {operator.m} N {operator.n} K {operator.k}",
                        "a tile whose partial sums fit into buffer and accumulators, and groups of weights onto beats",
                        "a smaller batch, a larger core.buffer.bytes or partial-sum memory, or another group",
                    )
                )
        plan = memory[key]
        if plan is not None:
            gemm[index] = plan
    if faults:
        raise InfeasibleError(f"no legal plan on chip {params.name}", faults)
    attention = attention_plan(graph, params, attending, lasting_bytes(graph, params, gemm))
    gemm = with_chunks(graph, params, gemm)
    return Schedule(graph, params.name, gemm, attention, params.fill, first_row)


def _down_spread(graph: OperatorGraph, params: MachineParams, dataflows: tuple[str, ...]) -> int:
    """Choose N or K for all down projections together: their input has one layout.  Fewest array cycles in all."""
    sizes = Counter((o.m, o.n, o.k) for o in graph.of_kind(OperatorKind.DOWN))
    alike = {(o.m, o.n, o.k): o for o in graph.of_kind(OperatorKind.DOWN)}
    best: tuple[int, int, int] | None = None
    for over in (OVER_N, OVER_K):
        cycles = network = 0
        for size, operator in alike.items():
            found = candidates(operator, params, dataflows, (over,), graph.precision)
            if not found:
                break
            cycles += sizes[size] * found[0].rank[0]
            network += sizes[size] * found[0].rank[1]
        else:
            best = (cycles, network, over) if best is None else min(best, (cycles, network, over))
    return OVER_N if best is None else best[2]
