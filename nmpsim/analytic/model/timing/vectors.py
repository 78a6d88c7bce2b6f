"""Time of everything between the matrix products: norms, rotation, exchange of heads, routing, sampling, loads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nmpsim.analytic.model.ring.meeting import FEW, told
from nmpsim.analytic.model.timing.spent import Time
from nmpsim.analytic.model.timing.units import FP16, FP32, SIGNAL, Array, Streaming, flits, flow, slots, up, way
from nmpsim.spec.params import CROSSBAR, MESH, RING

Late = tuple[bool, ...]

ASIDE = 2 / 3
"""Share of the time of one message after the other that it takes two ports with different targets; assumed: a PU waits
for links that hold messages to others, and for which follows from all that was sent before.  It lies between one (one
after the other) and a half (two at a time); read off runs of the fit split."""


def furthest(p: Any) -> Array:
    """Return the links between the two nodes that are furthest apart.

    Parameters
    ----------
    p : MachineParams or many
    """
    noc = p.noc
    kind = np.asarray(noc.kind)
    along = np.where(kind == MESH, noc.radix - 1, np.floor(noc.radix / 2))
    return np.where(kind == CROSSBAR, 0, along * noc.dims)


def _pipeline(p: Any, number: Array = 1) -> Array:
    """Latency of dependent vector operations: the signal before each, its pipeline, less the cycle of its last slot."""
    return number * p.core.vector_latency


def to_all(p: Any, size: Array) -> Time:
    """Return the time of a small region of every PU that goes straight to all others.

    Parameters
    ----------
    p : MachineParams or many
    size : array
        Bytes.
    """
    count = flits(p, 1, size)
    sent = np.floor(p.cores / 2) * count * flow(p)
    crossing = np.floor(p.cores / 2) * (np.floor(p.cores / 2) + 1) / 2 * count * p.noc_period / p.core_period
    some = np.where(np.asarray(p.cores) > 1, 1.0, 0.0)
    return Time(network=some * np.maximum(sent, crossing), latency=some * way(p, furthest(p)))


def norm(
    p: Any, m: Array, n: Array, *, layered: bool = False, parts: int = 1, even: Array = 1.0, late: Late | None = None
) -> Time:
    """Return the time of a norm of columns that are sliced over the PUs.

    Parameters
    ----------
    p : MachineParams or many
    m, n : array
        Rows, and columns of the widest slice.
    layered : bool
        LayerNorm: two sums, two vectors.
    parts : int
        Norms that share one exchange.
    even : array
        Mean slice over the widest: PUs with less have told theirs before.
    late : tuple of bool, optional
        Of every PU, whether it is among the last that tell; None where it is not known.
    """
    passes = 2 if layered else 1
    sums = passes * slots(p, m * n, FP16, 0)
    size = passes * parts * m * FP32
    all_told = to_all(p, size)
    if late is not None and p.noc.kind == RING and not p.noc.multicast_lanes and flits(p, 1, size) <= FEW:
        met = told(p, int(flits(p, 1, size)), late)
        all_told = replace(all_told, network=max(0.0, met - float(all_told.latency)))
    else:
        all_told = replace(all_told, network=all_told.network * even)
    return Time(vector=sums, latency=_pipeline(p)) + all_told + normed(p, m, n, layered=layered)


def normed(p: Any, m: Array, n: Array, *, layered: bool = False) -> Time:
    """Return the time of the second half of a norm: all sums are there.

    Parameters
    ----------
    p : MachineParams or many
    m, n : array
    layered : bool
    """
    more = 2 if layered else 1
    found = slots(p, more * m * p.cores, FP32, 0) + slots(p, m, 0, 0, p.core.sqrt_interval)
    return Time(vector=found + slots(p, m * n, (1 + more) * FP16, FP16), latency=_pipeline(p))


def head_norm(p: Any, m: Array, heads: Array, width: Array) -> Time:
    """Return the time of norms of single heads.

    Parameters
    ----------
    p : MachineParams or many
    m, heads, width : array
        Rows, heads of the busiest PU, columns of each.
    """
    one = slots(p, m * width, FP16, 0) + slots(p, m, 0, 0, p.core.sqrt_interval)
    return Time(vector=heads * (one + slots(p, m * width, 2 * FP16, FP16)), latency=_pipeline(p))


def rope(p: Any, m: Array, heads: Array, width: Array, *, chained: bool = False) -> Time:
    """Return the time of the rotation of heads.

    Parameters
    ----------
    p : MachineParams or many
    m, heads, width : array
        Rows, heads of the busiest PU, columns of each.
    chained : bool
        Each head waits for the one before it.
    """
    turns = slots(p, m * width, 2 * FP16 + 2 * FP32, FP16)
    return Time(vector=heads * turns, latency=_pipeline(p, heads if chained else 1))


def one_by_one(p: Any, targets: Array, senders: Array, count: Array, apart: Array = 0.0) -> Array:
    """Return the core cycles in which PUs get two messages of each of some others, one PU after the other.

    Half of them come from either side, by one port.  Messages that stand in the queues of the ports follow each other
    at the rate at which a core takes flits in.  For those behind them the sequencer waits until others have gone, the
    ports are at different targets, and what counts is which link is free (`ASIDE`).  PUs that begin apart are at
    different targets from the outset: two of them take in flits at a time.

    Parameters
    ----------
    p : MachineParams or many
    targets, senders : array
        PUs.
    count : array
        Flits of both messages.
    apart : array
        1: the senders do not begin together, since some have more to do; else 0.
    """
    some = np.where(np.asarray(p.cores) > 1, 1.0, 0.0)
    queued = in_queue(p, targets)
    together = queued * flow(p) + (1 - queued) * ASIDE * p.noc_period / p.core_period
    return some * targets * senders / 2 * count * np.where(np.asarray(apart) > 0, flow(p) / 2, together)


def in_queue(p: Any, targets: Array) -> Array:
    """Return the share of two messages to each of some PUs that stand in the queue of a port.

    Parameters
    ----------
    p : MachineParams or many
    targets : array
    """
    return np.minimum(1.0, (p.core.queue_depth + 1) / (2 * targets))


def exchange(p: Any, sent: Array, crossing: Array, copied: Array) -> Time:
    """Return the time until projected heads have left for their tasks.

    Parameters
    ----------
    p : MachineParams or many
    sent : array
        Flits that a port of the busiest PU sends.
    crossing : array
        Core cycles in which PUs take in what comes to one after the other; 0: all at once.
    copied : array
        Slots in which what stays on its PU is copied.
    """
    network = np.maximum(sent * flow(p), crossing)
    return Time(network=network, vector=np.maximum(0.0, copied - network), latency=_pipeline(p))


def copies(p: Any, heads: Array, runs: Array, rows: Array, width: Array) -> Array:
    """Return the slots in which heads are copied, one operation for each run of tasks that lie side by side.

    Parameters
    ----------
    p : MachineParams or many
    heads, runs, rows, width : array
        Heads, runs of each, rows of all runs together, columns of a head.
    """
    return heads * runs * slots(p, rows / np.maximum(1.0, runs) * width, FP16, FP16)


def append(s: Streaming, stores: Array, together: Array, deepest: Array) -> Time:
    """Return the time in which new keys and values are stored.

    Parameters
    ----------
    s : Streaming
    stores : array
        Beats of the busiest PU; the data mover takes a cycle to start each, and one for its datum.
    together, deepest : array
        Beats of one task that go to the same bank; beats of the busiest bank.
    """
    some = np.minimum(1, stores)
    moved = 2.0 * stores
    waits = np.maximum((together - 1) * s.write, (deepest - 1) * s.write - moved)
    return Time(stream=np.maximum(0, waits), vector=moved, latency=some * s.first)


def loads(p: Any, s: Streaming, beats: Array, deepest: Array) -> Time:
    """Return the time of loads into the buffer, and of the vector operation that waits for all of them.

    Parameters
    ----------
    p : MachineParams or many
    s : Streaming
    beats, deepest : array
        Beats of the busiest PU, and row accesses of its busiest bank.
    """
    stream = np.maximum(beats, np.maximum(0, deepest - 1) * s.row)
    return Time(stream=stream, vector=1.0, latency=s.first + SIGNAL + _pipeline(p))


def routed(p: Any, m: Array, n: Array, choices: Array, planes: Array, *, every: bool) -> Time:
    """Return the time in which the best experts and their weights are found, by a softmax.

    Parameters
    ----------
    p : MachineParams or many
    m, n, choices, planes : array
        Tokens, experts, experts of a token, vectors of partial logits.
    every : bool
        Weights are a softmax over all experts.
    """
    core = p.core
    found = slots(p, m * n, planes * FP32, 0)
    if not every:
        return Time(vector=found + slots(p, m * choices, 0, FP32, core.exp_interval), latency=_pipeline(p))
    found = found + slots(p, m * n, planes * FP32, 0, core.exp_interval)
    return Time(vector=found + slots(p, m * choices, 0, FP32, core.sqrt_interval), latency=_pipeline(p))


def picked(p: Any, m: Array, n: Array, choices: Array, planes: Array, groups: Array) -> Time:
    """Return the same by sigmoid scores of which groups are limited.

    Parameters
    ----------
    p : MachineParams or many
    m, n, choices, planes, groups : array
    """
    core = p.core
    scored = slots(p, m * n, planes * FP32, 0, core.exp_interval) + slots(p, m * n, 0, FP32, core.sqrt_interval)
    limited = slots(p, m * n, 2 * FP32, 0) + slots(p, m * groups, 0, 0) + slots(p, m * n, 2 * FP32, FP32)
    weighed = slots(p, m * n, FP32, 0) + slots(p, m * choices, FP32, FP32, core.sqrt_interval)
    return Time(vector=scored + limited + weighed, latency=_pipeline(p, 3))


def rowwise(p: Any, m: Array, n: Array, read: Array, write: Array) -> Time:
    """Return the time of an operation on each of m rows by itself.

    Parameters
    ----------
    p : MachineParams or many
    m, n : array
    read, write : array
        Bytes per element.
    """
    return Time(vector=m * slots(p, n, read, write), latency=_pipeline(p))


def to_one(p: Any, m: Array, hops: Array) -> Time:
    """Return the time in which the best tokens of all PUs are merged on one.

    Parameters
    ----------
    p : MachineParams or many
    m : array
    hops : array
        Links from it to the one that is last.
    """
    count = flits(p, 1, 8 * m)
    merge = slots(p, m * p.cores, 2 * FP32, 0) + slots(p, m, 0, 2 * FP32)
    some = np.where(np.asarray(p.cores) > 1, 1.0, 0.0)
    return Time(vector=merge, network=some * count * flow(p), latency=some * way(p, hops) + _pipeline(p))


def hop(p: Any, m: Array, size: Array) -> Time:
    """Return the time of a message to the same PU of another stack.

    Parameters
    ----------
    p : MachineParams or many
    m, size : array
        Rows, and bytes of each.
    """
    ratio = p.link.period / p.core_period
    per = np.maximum(flow(p), up(p.noc.flit_bytes, p.link.bytes) * ratio)
    return Time(network=flits(p, m, size) * per, latency=2 * way(p, 0) + p.link.latency * ratio + 0.0)


def joined(p: Any, m: Array, columns: Array, stacks: int) -> Time:
    """Return the time in which the sums of all stacks are added up and the result is everywhere.

    Parameters
    ----------
    p : MachineParams or many
    m, columns : array
        Rows, and columns of the widest PU.
    stacks : int
    """
    piece = up(columns, stacks)
    one = hop(p, m, piece * FP32) + Time(vector=slots(p, m * piece, 2 * FP32, FP32), latency=_pipeline(p))
    found = one.times(stacks - 1) + hop(p, m, piece * FP16).times(stacks - 1)
    return found + Time(vector=slots(p, m * piece, FP32 + FP16, FP16), latency=_pipeline(p))
