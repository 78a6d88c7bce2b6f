"""Counts of GEMMs on teams of PUs: who multiplies what, what is handed over, and words that landing spaces are empty.

Two landing spaces take turns through the whole step.  An owner tells its workers that one is empty before they send
into it again: nothing is told of a space into which nothing has been sent yet, so the first GEMMs on teams of a step
send fewer words than later ones of the same size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nmpsim.analytic.model.counting.shares import column_counts
from nmpsim.analytic.model.counting.work import Chunks, Streams, Work, flits_of
from nmpsim.program.encode.teams import teams, workers
from nmpsim.program.schedule import GemmPlan
from nmpsim.workload import OperatorGraph, OperatorKind

TURNS = 2
"""Spaces that reductions and hand-overs use in turn."""


def worker_streams(plan: GemmPlan, chunks: Chunks, rows: int, quantum: int) -> list[Streams]:
    """Return what every PU streams: of all columns of its team chunk by chunk, some rows of the weights.

    Parameters
    ----------
    plan : GemmPlan
        On teams.
    chunks : Chunks
        Columns of every owner.
    rows, quantum : int
        Rows of the weights, and those that stay together.
    """
    pus = len(chunks.pieces[0])
    depth = column_counts(rows, quantum, plan.working)
    found = [Streams((), 0)] * pus
    for members in teams(pus, plan.team):
        columns = tuple(sum(owners[pu] for pu in members) for owners in chunks.pieces)
        first = 0
        for place, own in zip(workers(plan.team, plan.working), map(int, depth), strict=True):
            found[members[place]] = Streams(columns, own, first if plan.shape.precision.group else 0)
            first += own
    return found


def _pairs(plan: GemmPlan, pus: int) -> Iterator[tuple[int, int]]:
    """Owners, and how many workers send them their part of the sums."""
    places = set(workers(plan.team, plan.working))
    for owner in range(pus):
        yield owner, plan.working - (owner % plan.team in places)


def handed(plan: GemmPlan, chunks: Chunks, rows: int, flit_bytes: int) -> Work:
    """Return the work of all that teams hand over, each part of the sums told for by a word.

    Parameters
    ----------
    plan : GemmPlan
    chunks : Chunks
    rows, flit_bytes : int
    """
    found = messages = 0
    for owners in chunks.pieces:
        for owner, others in _pairs(plan, len(owners)):
            if owners[owner]:
                found += others * (flits_of(rows, owners[owner] * 4, flit_bytes) + 1)
                messages += 2 * others
    return Work(flits=found, messages=messages)


def in_order(graph: OperatorGraph, gemm: Mapping[int, GemmPlan], *, ahead: bool) -> list[int]:
    """Return the GEMMs in the order in which they are emitted.

    Parameters
    ----------
    graph : OperatorGraph
    gemm : mapping of int to GemmPlan
    ahead : bool
        The first GEMM of an expert comes before the second of the one before it.
    """
    order = sorted(gemm)
    if not ahead:
        return order
    for at, index in enumerate(order[1:], 1):
        first, second = graph.operators[index], graph.operators[order[at - 1]]
        both = first.expert >= 0 and second.expert >= 0 and first.layer == second.layer
        if both and second.kind is OperatorKind.DOWN and first.kind is not OperatorKind.DOWN:
            order[at - 1], order[at] = index, order[at - 1]
    return order


def untold(
    graph: OperatorGraph, gemm: Mapping[int, GemmPlan], owned: Mapping[int, Sequence[Sequence[int]]], *, ahead: bool
) -> dict[int, int]:
    """Return how many words GEMMs on teams need not send, since nothing has landed in a space before.

    Parameters
    ----------
    graph : OperatorGraph
    gemm : mapping of int to GemmPlan
    owned : mapping of int to sequence
        Of every GEMM that is reduced: columns of every owner, chunk by chunk.
    ahead : bool
        As for `in_order`.
    """
    used: tuple[set[int], ...] = tuple(set() for _ in range(TURNS))
    found: dict[int, int] = {}
    turn = 0
    for index in in_order(graph, gemm, ahead=ahead):
        plan = gemm[index]
        for owners in owned.get(index, ()):
            if plan.team > 1:
                fresh = {
                    owner: n for owner, n in _pairs(plan, len(owners)) if owners[owner] and owner not in used[turn]
                }
                found[index] = found.get(index, 0) + sum(fresh.values())
                used[turn].update(fresh)
            turn = (turn + 1) % TURNS
    return found
