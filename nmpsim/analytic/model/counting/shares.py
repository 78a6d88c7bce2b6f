"""How things are dealt out: over the PUs, and over the strips of a PU.  By combinatorics, from docs/program.md.

over PUs     PU p of P has the things floor(p N / P) ... floor((p + 1) N / P) - 1
over strips  strip s of a group, group g of G: the beats of one operand, each in exactly one strip
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE
from nmpsim.program.packing import stored_beats
from nmpsim.program.schedule import OVER_N, GemmPlan, PassPlan
from nmpsim.spec.params import CoreParams
from nmpsim.workload import OperatorGraph, OperatorKind

Ints = NDArray[np.int64]


def up(a: int, b: int) -> int:
    """Return a / b, rounded up.

    Parameters
    ----------
    a, b : int
    """
    return -(-a // b)


def even(count: int, parts: int) -> Ints:
    """Return how many of `count` things each of `parts` has, in order.

    Parameters
    ----------
    count, parts : int
    """
    ends = count * np.arange(parts + 1, dtype=np.int64) // parts
    return np.asarray(np.diff(ends), dtype=np.int64)


def column_counts(columns: int, quantum: int, pus: int) -> Ints:
    """Return the columns of every PU, dealt out in whole quanta; the last one may be short.

    Parameters
    ----------
    columns, quantum, pus : int
    """
    ends = np.minimum(up(columns, quantum) * np.arange(pus + 1, dtype=np.int64) // pus * quantum, columns)
    return np.asarray(np.diff(ends), dtype=np.int64)


@lru_cache(maxsize=65536)
def strip_beats(core: CoreParams, flow: int, group: int, split: int, contiguous: int, n: int, k: int) -> Ints:
    """Return the array beats of B that every strip delivers for one pass; shape (strip,).

    Parameters
    ----------
    core : CoreParams
    flow, group, split, contiguous, n, k : int
        As in the instruction PASS.
    """
    strips = np.arange(core.strips, dtype=np.int64)
    groups = core.strips // group
    g, member = strips // group, strips % group
    n_blocks, k_blocks = up(n, core.columns), up(k, core.columns)

    def dealt(count: Ints | int, place: Ints, ways: int) -> Ints:
        return np.asarray(np.maximum(0, -((place - count) // ways)), dtype=np.int64)

    if flow == OS:
        if split == SPLIT_K:
            return dealt(dealt(k, g, groups), member, group) * n_blocks
        return np.asarray(dealt(k, member, group) * dealt(n_blocks, g, groups))
    if flow == IS:
        if split == SPLIT_N:
            return dealt(dealt(n, g, groups), member, group) * k_blocks
        return dealt(n, member, group) * dealt(k_blocks, g, groups)
    if flow == TREE:
        if contiguous == K_CONTIGUOUS:
            return dealt(n, g, groups) * k_blocks
        if split == SPLIT_K:
            return dealt(k, g, groups) * n_blocks
        return k * dealt(n_blocks, g, groups)
    own = dealt(k, g, groups) if split == SPLIT_K else np.full_like(strips, k)
    rows = group * core.strip_rows
    whole, rest = own // rows, own % rows
    held = whole * core.strip_rows + np.clip(rest - member * core.strip_rows, 0, core.strip_rows)
    return np.asarray(held * (n_blocks if split == SPLIT_K else dealt(n_blocks, g, groups)))


@lru_cache(maxsize=65536)
def dram_beats(core: CoreParams, shape: tuple[int, int, int, int], n: int, k: int, code: int = 0, run: int = 0) -> Ints:
    """Return the DRAM beats of one pass by strip; narrow elements, and their scales, are packed.

    Parameters
    ----------
    core : CoreParams
    shape : (int, int, int, int)
        Flow, group, split, contiguous.
    n, k : int
    code, run : int
        Format of the elements, and array beats under one beat of scales.
    """
    beats = strip_beats(core, *shape, n, k)
    if not code:
        return beats
    return np.array([stored_beats(int(b), code, run) for b in beats], dtype=np.int64)


def form(shape: PassPlan) -> tuple[int, int, int, int]:
    """Return flow, group, split and contiguous of a plan.

    Parameters
    ----------
    shape : PassPlan
    """
    return shape.flow, shape.group, shape.split, shape.contiguous


def firsts(graph: OperatorGraph, gemm: Mapping[int, GemmPlan] | None = None) -> list[bool]:
    """Return of every operator whether it is the gather that brings the activations of its layer to all PUs.

    That is the first gather of a layer, unless a shared expert over N had them brought before.

    Parameters
    ----------
    graph : OperatorGraph
    gemm : mapping of int to GemmPlan, optional
        Plans of the operators; without, shared experts are taken to be over N.
    """
    found, seen = [], set[int]()
    for index, operator in enumerate(graph.operators):
        kind = operator.kind
        if kind is OperatorKind.GATE_UP and "shared" in operator.name and (gemm is None or gemm[index].over == OVER_N):
            seen.add(operator.layer)
        found.append(kind is OperatorKind.GATHER and operator.layer not in seen)
        if kind is OperatorKind.GATHER:
            seen.add(operator.layer)
    return found


def begun(graph: OperatorGraph) -> list[tuple[bool, ...]]:
    """Return of the tokens of an expert whether their sums begin with it, since none has had them before.

    Told of its last projection and of what adds its result to the sums; empty for all other operators.

    Parameters
    ----------
    graph : OperatorGraph
    """
    seen: dict[int, set[int]] = {}
    found: list[tuple[bool, ...]] = []
    now: tuple[bool, ...] = ()
    for operator in graph.operators:
        if operator.kind is OperatorKind.GATHER:
            had = seen.setdefault(operator.layer, set(range(graph.batch)) if graph.model.gating.shared_ffn else set())
            now = tuple(token not in had for token in operator.tokens)
            had.update(operator.tokens)
        ending = operator.kind in {OperatorKind.DOWN, OperatorKind.COMBINE}
        found.append(now if ending and operator.expert >= 0 else ())
    return found
