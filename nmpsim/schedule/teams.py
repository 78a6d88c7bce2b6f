"""Plans of GEMMs on teams of PUs: grids over N and K, and groups of PUs.

The PUs are divided into teams of neighbours.  A team computes the columns that its members own; a part of its members
has the weights, each some rows of them.  Of 16 PUs::

    team 2, both work     8 x 2: N over 8, K over 2
    team 4, 2 work        4 x 2: N over 4, K over 2, on 8 of the PUs
    team 4, 1 works       N over 4 of the PUs
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from nmpsim.analytic.array import pass_cycles
from nmpsim.analytic.gemm import Shares
from nmpsim.program.schedule import OVER_K, OVER_N, GemmPlan, PassPlan
from nmpsim.schedule.plain import LATENT_KINDS, PARTIAL_SHARE, crosses, widest
from nmpsim.spec.params import CoreParams, MachineParams
from nmpsim.workload import Operator, OperatorKind

CHUNKS = (1, 2, 4, 8)
"""Pieces of N whose hand-over goes on under the passes of the next, in order of preference."""
KINDS = frozenset(
    {
        OperatorKind.QKV,
        OperatorKind.ATTN_OUT,
        OperatorKind.GATE_UP,
        OperatorKind.UP,
        OperatorKind.DOWN,
        OperatorKind.LM_HEAD,
        *LATENT_KINDS,
    }
)
"""Kinds of GEMMs that teams may compute; the router is reduced by all PUs at once, heads have a matrix each."""


def sizes(pus: int, k_blocks: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Yield teams and how many of their members work; every worker has at least a block of K.

    Parameters
    ----------
    pus, k_blocks : int
        PUs, and blocks of rows of the weights.
    whole : bool
        Whether K may be spread over all PUs as one team.
    """
    for team in range(2, pus + 1):
        for working in range(1, team + 1):
            divides = pus % team == 0 and team % working == 0
            if divides and working <= k_blocks and (whole or working < pus):
                yield team, working


def team_plans(
    operator: Operator, params: MachineParams, shapes: tuple[PassPlan, ...], shares: Shares, over: tuple[int, ...]
) -> tuple[GemmPlan, ...]:
    """Return every plan of a GEMM on teams, fewest array cycles first, as the plain schedule ranks its own.

    Parameters
    ----------
    operator : Operator
    params : MachineParams
    shapes : tuple of PassPlan
        That the operator may have on a core.
    shares : Shares
        What its PUs own.
    over : tuple of int
        Dimensions that it may be spread over.
    """
    if operator.kind not in KINDS or OVER_N not in over:
        return ()
    sized = operator.kind is OperatorKind.GATE_UP, operator.m, operator.n, operator.k
    return _plans(*sized, params.cores, params.core, params.noc.flit_bytes, shapes, shares, OVER_K not in over)


@lru_cache(maxsize=1024)
def _plans(
    paired: bool,
    m: int,
    n: int,
    k: int,
    pus: int,
    core: CoreParams,
    flit_bytes: int,
    shapes: tuple[PassPlan, ...],
    shares: Shares,
    whole: bool,
) -> tuple[GemmPlan, ...]:
    """Plans of a GEMM of that size; stacks and layers have many alike."""
    found: list[GemmPlan] = []
    numbers = chunkings(core, flit_bytes, shares.columns, CHUNKS, paired=paired)
    for team, working in sizes(pus, -(-k // core.columns), whole=whole):
        columns, depth = shares.of_team(team), widest(k, core.columns, working)
        network = m * k * 2 + m * n * 4 * (working - 1 if working == team else working)
        for shape in shapes:
            cycles = pass_cycles(core, shape.flow, shape.group, shape.split, shape.contiguous, m, columns, depth)
            if cycles >= 0 and _holds(core, shape, m, depth, paired=paired):
                found += [GemmPlan(OVER_N, shape, cycles, network, number, team, working) for number in numbers]
    return tuple(sorted(found, key=lambda p: (p.array_cycles, p.network_bytes, p.shape.planes(core))))


def _holds(core: CoreParams, shape: PassPlan, m: int, depth: int, *, paired: bool) -> bool:
    """Whether results of a pass, and its operand, find room."""
    result = shape.partial_bytes(core, m, paired=paired)
    return result <= core.buffer_bytes // PARTIAL_SHARE and crosses(core, m * depth * 2, result)


def chunkings(core: CoreParams, flit_bytes: int, columns: int, numbers: tuple[int, ...], *, paired: bool) -> list[int]:
    """Return numbers of chunks that differ, in the order given; no chunk is smaller than what one flit carries.

    Parameters
    ----------
    core : CoreParams
    flit_bytes : int
        Bytes of a flit of the network.
    columns : int
        Of the owner with the most.
    numbers : tuple of int
    paired : bool
        Columns come in pairs of blocks.
    """
    unit = 2 * core.columns if paired else max(1, flit_bytes // 4)
    steps: dict[int, int] = {}
    for chunks in numbers:
        step = max(unit, -(-columns // (chunks * unit)) * unit)
        steps.setdefault(step, chunks)
    return list(steps.values())
