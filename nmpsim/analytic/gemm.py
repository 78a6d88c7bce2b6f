"""Predicted time of a GEMM of the decode step: array, DRAM stream, vector unit and network, overlapped by dependence.

    over N   passes | consume                                     (the gather before is a layout change, counted apart)
             a pass waits for the array, for its beats, and for the consumer of the pass before the last
    over K   passes of a chunk | reduce-scatter | consume
             a chunk waits for the reduction of the chunk before the last; where passes write several planes, the
             vector unit adds those of the next chunk before it reduces this one

Everything is counted from the definitions of machine and program; nothing is fitted.  Left out: what instruction queues
hold back, `reconfigure` between operators, differences between PUs other than the widest share, bank alignment of the
operands (all places are taken to be equally likely).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from nmpsim.analytic.feeds import beat_cycles, fed_cycles, most_beats, port_waits, slots, vector_cycles
from nmpsim.analytic.handing import Flow, flow, handing_cycles
from nmpsim.analytic.messages import (
    SIGNAL,
    all_gather_cycles,
    all_to_one_cycles,
    message_cycles,
    reduce_scatter_cycles,
    sum_scatter_cycles,
    to_all_cycles,
)
from nmpsim.analytic.passes import Taken, taken
from nmpsim.program.isa import (
    F_OUT_FP32,
    F_RESIDUAL,
    V_ADD,
    V_ARGMAX,
    V_REDUCE,
    V_RELU,
    V_SWIGLU,
)
from nmpsim.program.schedule import OVER_K, GemmPlan, PassPlan
from nmpsim.program.vector import Loop, loops
from nmpsim.spec.params import CoreParams, MachineParams
from nmpsim.workload import HEAD_KINDS, Operator, OperatorKind

REGIONS = 2
"""Regions for results of passes, and for chunks under reduction (docs/program.md)."""


@dataclass(frozen=True)
class Cost:
    """Predicted core cycles of an operator under a plan.

    Parameters
    ----------
    array, stream, vector, network : float
        What each takes by itself on the busiest PU.
    total : float
        From its input in the right layout to its last result.
    """

    array: float
    stream: float
    vector: float
    network: float
    total: float


@dataclass(frozen=True)
class Shares:
    """What the busiest PU has of an operator.

    Parameters
    ----------
    columns : int
        Result columns that it owns.
    depth : int
        Rows of the weights that it holds where K is spread.
    owners : int
        PUs that own columns.
    widths : tuple of int, by PU
        Result columns that every PU owns.
    """

    columns: int
    depth: int
    owners: int
    widths: tuple[int, ...] = ()

    def of_team(self, team: int, start: int = 0, step: int = 0) -> int:
        """Return the columns of the team with the most.

        Parameters
        ----------
        team : int
            Members.
        start, step : int
            Only these of every owner; step 0: all.
        """
        return _most(self.widths, team, start, step)


@lru_cache(maxsize=65536)
def _most(widths: tuple[int, ...], team: int, start: int, step: int) -> int:
    own = [min(step, max(0, w - start)) if step else w for w in widths]
    return max(sum(own[first : first + team]) for first in range(0, len(own), team))


@lru_cache(maxsize=65536)
def _taken(core: CoreParams, shape: PassPlan, m: int, n: int, k: int) -> Taken | None:
    return taken(core, shape.flow, shape.group, shape.split, shape.contiguous, m, n, k)


@lru_cache(maxsize=65536)
def _loops(op: int, m: int, n: int, planes: int, modifiers: int, imm: int) -> tuple[Loop, ...]:
    return loops(op, m, n, planes, modifiers, imm)


def gather_cost(params: MachineParams, m: int, columns: int, regions: int = 1) -> float:
    """Core cycles that bring a sliced activation to all PUs: the layout change before a GEMM over N.

    Parameters
    ----------
    params : MachineParams
    m, columns : int
        Rows, and columns of the widest slice.
    regions : int
        Messages that the slice takes.
    """
    return all_gather_cycles(params, m, columns * 2, regions) if params.cores > 1 else 0.0


def gemm_cost(params: MachineParams, operator: Operator, plan: GemmPlan, shares: Shares, tier: int) -> Cost | None:
    """Predict a GEMM.

    Parameters
    ----------
    params : MachineParams
    operator : Operator
    plan : GemmPlan
    shares : Shares
    tier : int
        Latency class that its weights lie in.

    Returns
    -------
    Cost or None
        None if the shape cannot hold the operands.
    """
    paired = operator.kind is OperatorKind.GATE_UP
    core, shape = params.core, plan.shape
    width = shape.pass_columns(core, paired=paired)
    if operator.kind in HEAD_KINDS:
        tiles = _cut(operator.n, width) * -(-operator.heads // params.cores)
        return _Passes(params, operator, plan, tier).over_n(tiles, operator.k)
    if operator.kind is OperatorKind.ROUTER:
        found = _Passes(params, operator, plan, tier).over_n(_cut(operator.n, width), shares.depth)
        if found is None:
            return None
        told = to_all_cycles(params, 1, operator.m * operator.n * 4)
        return Cost(found.array, found.stream, found.vector, told, found.total + told)
    if plan.over != OVER_K:
        passes = _Passes(params, operator, plan, tier)
        if plan.team > 1:
            found = passes.in_teams(shares, width, _depth(core, operator, plan))
        else:
            found = passes.over_n(_cut(shares.columns, width), operator.k)
        if found is None or operator.kind is not OperatorKind.LM_HEAD:
            return found
        told = all_to_one_cycles(params, params.cores - 1, 1, operator.m * 8) if params.cores > 1 else 0.0
        return Cost(found.array, found.stream, found.vector, found.network + told, found.total + told)
    return _Passes(params, operator, plan, tier).over_k(shares, width)


def least_cycles(
    params: MachineParams, operator: Operator, plan: GemmPlan, shares: Shares, tier: int, enough: float
) -> float | None:
    """Return core cycles that `gemm_cost` of a plan on teams cannot fall below; None if the plan is not possible.

    Parameters
    ----------
    params : MachineParams
    operator : Operator
    plan : GemmPlan
        On teams.
    shares : Shares
    tier : int
        Latency class that its weights lie in.
    enough : float
        More need not be known exactly.
    """
    core, depth = params.core, _depth(params.core, operator, plan)
    beats = shares.of_team(plan.team) * depth / (core.columns * core.strips) - params.dram.fifo_columns
    streamed = beats * beat_cycles(params, tier)
    if streamed > enough:
        return streamed
    width = plan.shape.pass_columns(core, paired=operator.kind is OperatorKind.GATE_UP)
    return _Passes(params, operator, plan, tier).least_in_teams(shares, width, depth)


def _depth(core: CoreParams, operator: Operator, plan: GemmPlan) -> int:
    """Rows of the weights of the worker with the most."""
    blocks = -(-operator.k // core.columns)
    return min(operator.k, -(-blocks // plan.working) * core.columns)


def _cut(columns: int, width: int) -> list[int]:
    whole, rest = divmod(columns, width)
    return [width] * whole + ([rest] if rest else [])


def _alike(tiles: list[int], *, first: bool) -> list[tuple[int, int, bool]]:
    """Return runs of equal tiles: (how many, columns, whether it is the first of the operator, which stands alone)."""
    runs = [(1, tiles[0], True)] if first and tiles else []
    for n in tiles[len(runs) :]:
        if runs and runs[-1][1:] == (n, False):
            runs[-1] = runs[-1][0] + 1, n, False
        else:
            runs.append((1, n, False))
    return runs


class _Passes:
    """The passes of one GEMM on the busiest PU."""

    def __init__(self, params: MachineParams, operator: Operator, plan: GemmPlan, tier: int) -> None:
        self.params, self.core, self.tier = params, params.core, tier
        self.kind, self.m, self.shape = operator.kind, operator.m, plan.shape
        self.chunks, self.team, self.working = plan.chunks, plan.team, plan.working
        self.planes = plan.shape.planes(params.core)
        self._ones: dict[tuple[int, int, bool], tuple[Taken, float, float] | None] = {}
        self._vectors: dict[tuple[tuple[tuple[Loop, ...], ...], Taken | None], float] = {}

    def consumer(self, columns: int, planes: int) -> list[tuple[Loop, ...]]:
        """Vector operations that follow so many result columns."""
        m = self.m
        if self.kind is OperatorKind.GATE_UP:
            return [_loops(V_SWIGLU, m, n, planes, 0, 0) for n in _cut(columns // 2, self.core.columns)]
        if self.kind is OperatorKind.UP:
            return [_loops(V_RELU, m, columns, planes, 0, 0)]
        if self.kind is OperatorKind.LM_HEAD:
            return [_loops(V_ARGMAX, m, columns, planes, 0, 0)]
        modifiers = F_RESIDUAL if self.kind in {OperatorKind.ATTN_OUT, OperatorKind.DOWN} else 0
        return [_loops(V_REDUCE, m, columns, planes, modifiers, 0)]

    def _vector(self, operations: list[tuple[Loop, ...]], beside: Taken | None) -> float:
        """Cycles of operations one after the other, behind the pipeline of the first."""
        key = tuple(operations), beside
        if key not in self._vectors:
            self._vectors[key] = self._added(operations, beside)
        return self._vectors[key]

    def _added(self, operations: list[tuple[Loop, ...]], beside: Taken | None) -> float:
        total = 0.0
        for i, operation in enumerate(operations):
            wait, starved = port_waits(self.core, beside, operation) if beside is not None else (0.0, 0.0)
            cycles = vector_cycles(self.core, operation, wait, starved)
            total += cycles if i == 0 else cycles - self.core.vector_latency
        return total

    def _lane_cycles(self, operations: list[tuple[Loop, ...]]) -> float:
        return float(sum(n * i for operation in operations for n, i in slots(self.core, operation)))

    def _copied(self, planes: int, columns: int) -> float:
        """Cycles of the copy of a result out of the compute unit's own buffer."""
        core = self.core
        return planes * self.m * columns * 4 / core.copy_bytes + core.copy_latency + SIGNAL if core.separate else 0.0

    def one(self, n: int, k: int, *, first: bool) -> tuple[Taken, float, float] | None:
        """Return a pass, its cycles when fed by the banks, and the cycles of its stream alone."""
        key = n, k, first
        if key not in self._ones:
            self._ones[key] = self._fed(n, k, first=first)
        return self._ones[key]

    def _fed(self, n: int, k: int, *, first: bool) -> tuple[Taken, float, float] | None:
        shape = self.shape
        unit = _taken(self.core, shape, self.m, n, k)
        if unit is None:
            return None
        beats = most_beats(self.core, shape.flow, shape.group, shape.split, shape.contiguous, n, k)
        ahead = min(beats, self.params.dram.fifo_columns) if first else 0
        return (
            unit,
            fed_cycles(self.params, self.tier, unit, beats - ahead),
            beats * beat_cycles(self.params, self.tier),
        )

    def over_n(self, tiles: list[int], k: int) -> Cost | None:
        """Passes one after the other, each with its consumer; K whole."""
        array = stream = vector = at = lanes_free = out_free = 0.0
        if self.core.separate:
            at = self.m * k * 2 / self.core.copy_bytes + self.core.copy_latency + SIGNAL
        region = [0.0] * REGIONS
        for i, n in enumerate(tiles):
            found = self.one(n, k, first=i == 0)
            if found is None:
                return None
            unit, cycles, beats = found
            array, stream = array + unit.cycles, stream + beats
            at = max(at, region[i % REGIONS]) + cycles
            stands = at + unit.drain + SIGNAL
            if self.core.separate:
                out_free = stands = max(stands, out_free) + self._copied(self.planes, n)
            operations = self.consumer(n, self.planes)
            vector += self._lane_cycles(operations)
            beside = unit if i + 1 < len(tiles) else None
            lanes_free = max(stands, lanes_free) + self._vector(operations, beside)
            region[i % REGIONS] = lanes_free + SIGNAL
        return Cost(array, stream, vector, 0.0, lanes_free)

    def over_k(self, shares: Shares, width: int) -> Cost | None:
        """Chunks of N, each reduced under the passes of the next; K spread over the PUs."""
        pieces = _cut(shares.columns, self._step(shares))
        return self._reduced([(piece, piece * shares.owners) for piece in pieces], shares.depth, width, None)

    def in_teams(self, shares: Shares, width: int, depth: int) -> Cost | None:
        """Chunks of N, each handed over under the passes of the next; N spread over teams, K over their workers."""
        return self._reduced(self._dealt(shares), depth, width, self._handed(shares))

    def least_in_teams(self, shares: Shares, width: int, depth: int) -> float | None:
        """Core cycles that `in_teams` cannot fall below: all passes, then the hand-over of the last chunk."""
        at, chunks = 0.0, self._dealt(shares)
        for i, (_, multiplied) in enumerate(chunks):
            for count, n, first in _alike(_cut(multiplied, width), first=i == 0):
                found = self.one(n, depth, first=first)
                if found is None:
                    return None
                at += count * found[1]
        return at + self._reduction(chunks[-1][0], None, self._handed(shares))

    def _dealt(self, shares: Shares) -> list[tuple[int, int]]:
        """Columns of the widest owner, and of the widest team, in every chunk."""
        step = self._step(shares)
        starts = range(0, shares.columns, step)
        return [(min(step, shares.columns - start), shares.of_team(self.team, start, step)) for start in starts]

    def _handed(self, shares: Shares) -> Flow:
        owns = tuple(w > 0 for w in shares.widths)
        return flow(self.params.noc, self.params.cores, owns, self.team, self.working)

    def _step(self, shares: Shares) -> int:
        """Columns of the owner with the most that one chunk reduces."""
        unit = 2 * self.core.columns if self.kind is OperatorKind.GATE_UP else self._grain
        return max(unit, -(-shares.columns // (self.chunks * unit)) * unit)

    @property
    def _grain(self) -> int:
        """Columns that fill a flit."""
        return max(1, self.params.noc.flit_bytes // 4)

    def _reduced(self, chunks: list[tuple[int, int]], depth: int, width: int, handed: Flow | None) -> Cost | None:
        """Chunks of (columns of an owner, columns that a PU multiplies): handed over, or reduced over all PUs."""
        core, m, pieces = self.core, self.m, [piece for piece, _ in chunks]
        array = stream = vector = network = at = reduced = lanes = 0.0
        if core.separate:
            at = m * depth * 2 / core.copy_bytes + core.copy_latency + SIGNAL
        free = [0.0] * REGIONS
        waiting: tuple[int, float] | None = None
        beside: Taken | None = None
        for i, (piece, multiplied) in enumerate(chunks):
            at = max(at, free[i % REGIONS])
            stands = at
            for count, n, first in _alike(_cut(multiplied, width), first=i == 0):
                found = self.one(n, depth, first=first)
                if found is None:
                    return None
                beside, cycles, beats = found
                begin = at + cycles
                array, stream, at = array + count * beside.cycles, stream + count * beats, at + count * cycles
                after = beside.drain + SIGNAL + self._copied(self.planes, n)
                stands = at + after
                if self.planes > 1:  # the sums of the first or of the last of these passes come last
                    kept = [_loops(V_REDUCE, m, n, self.planes, F_OUT_FP32, 0)]
                    vector += count * self._lane_cycles(kept)
                    add = self._vector(kept, beside)
                    lanes = stands = max(max(lanes, begin + after) + count * add, stands + add)
            if waiting is not None:
                begin = max(reduced, waiting[1], lanes)
                under = begin + self._reduction(waiting[0], beside, handed)
                # what waits for ports waits no longer than these passes: the next ones need the space that this empties
                reduced = min(under, max(begin, at) + self._reduction(waiting[0], None, handed))
                free[(i - 1) % REGIONS] = reduced
            waiting = piece, stands
            if i + 1 < len(pieces):
                free[i % REGIONS] = max(free[i % REGIONS], stands)
        if waiting is not None:
            reduced = max(reduced, waiting[1], lanes) + self._reduction(waiting[0], None, handed)
        additions = self.params.cores - 1 if handed is None else handed.adds
        for piece in set(pieces):
            summed = handed is None and self.params.noc.sum_lanes > 0  # by the routers
            adds = 0.0 if summed else additions * self._lane_cycles([self._add(piece)])
            network += pieces.count(piece) * self._reduction(piece, None, handed)
            vector += pieces.count(piece) * (self._lane_cycles(self.consumer(piece, 1)) + adds)
        return Cost(array, stream, vector, network, reduced)

    def _add(self, piece: int) -> tuple[Loop, ...]:
        return _loops(V_ADD, self.m, piece, 0, F_OUT_FP32, 0)

    def _reduction(self, piece: int, beside: Taken | None, handed: Flow | None) -> float:
        """Cycles of the reduction of a chunk, its consumer, and the word that the landing space is empty."""
        params, grain = self.params, self._grain
        if handed is not None:
            add = self._vector([self._add(piece)], beside)
            return handing_cycles(params, handed, self.m, piece, add) + self._vector(self.consumer(piece, 1), beside)
        if params.noc.sum_lanes:
            return sum_scatter_cycles(params, self.m, piece) + self._vector(self.consumer(piece, 1), beside)
        half = -(-piece // (2 * grain)) * grain if piece > grain else piece
        add = self._vector([self._add(half)], beside)
        around = message_cycles(params, 1, 4) if params.cores > 1 else 0.0
        scattered = reduce_scatter_cycles(params, self.m, piece, add)
        return scattered + self._vector(self.consumer(piece, 1), beside) + around
