"""What the sources of a network offer: random packets, a batch, or a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log1p

import numpy as np

from nmpsim.errors import Fault, WorkloadError
from nmpsim.kernel import NEVER
from nmpsim.noc.router.build import Fabric
from nmpsim.noc.router.sources import BATCH, BERNOULLI, TRACE, start_sources
from nmpsim.noc.router.state import TRACED, TrafficParams, TrafficTables
from nmpsim.noc.synthetic.patterns import ONE, Pattern

SEED_LEAST = (2, 8, 16)
"""Least values of the three words of taus88."""

MOST_FLITS = 1 << 20


@dataclass(frozen=True)
class Traffic:
    """Parameters and tables of the sources.

    Parameters
    ----------
    params : TrafficParams
    tables : TrafficTables
    """

    params: TrafficParams
    tables: TrafficTables


@dataclass(frozen=True)
class Message:
    """One packet of a trace.

    Parameters
    ----------
    at : int
        When it is made; cycle.
    source, destination : int
        Nodes.
    flits : int
        Its length.
    """

    at: int
    source: int
    destination: int
    flits: int = 1


def gap_table(probability: float) -> list[int]:
    """Return, bit by bit, 2^32 times the probability that the bit of the gap between two packets is 1.

    Parameters
    ----------
    probability : float
        Of a packet in a cycle, above 0 and at most 1.
    """
    table: list[int] = []
    if probability < 1:
        rate = -log1p(-probability)
        while len(table) < 50:
            none = exp(-rate * 2.0 ** len(table))
            chance = round(ONE * none / (1 + none))
            if chance == 0:
                break
            table.append(chance)
    return table


def seed_sources(fabric: Fabric, seed: int) -> None:
    """Give every node its random numbers.

    Parameters
    ----------
    fabric : Fabric
        Changed.
    seed : int
        The same seed gives the same run.
    """
    nodes = fabric.topology.nodes
    words = np.random.SeedSequence(seed).generate_state(3 * nodes, np.uint32).astype(np.int64).reshape(nodes, 3)
    for field, least, column in zip(("s1", "s2", "s3"), SEED_LEAST, words.T, strict=True):
        fabric.state.source[field] = np.maximum(column, least)


def bernoulli(fabric: Fabric, pattern: Pattern, rate: float, flits: int, seed: int) -> Traffic:
    """Let every node make a packet in each cycle with the same probability.

    Parameters
    ----------
    fabric : Fabric
        Changed: its sources are set up.
    pattern : Pattern
    rate : float
        Flits per node and cycle.
    flits : int
        Of a packet.
    seed : int

    Raises
    ------
    WorkloadError
        If a source would have to make more than one packet a cycle, or none at all.
    """
    if not 0 < rate <= flits:
        fault = Fault("rate", repr(rate), f"above 0, at most {flits} flits per cycle", "give another rate")
        raise WorkloadError("the traffic is wrong", [fault])
    seed_sources(fabric, seed)
    table = gap_table(rate / flits)
    traffic = _traffic(BERNOULLI, flits, pattern, gap=table)
    start_sources(fabric.params, traffic.params, traffic.tables, fabric.state)
    return traffic


def batch(fabric: Fabric, pattern: Pattern, packets: int, flits: int, seed: int = 0) -> Traffic:
    """Let every node send some packets back to back from cycle 0 on.

    Parameters
    ----------
    fabric : Fabric
        Changed: its sources are set up.
    pattern : Pattern
    packets : int
        Of each node.
    flits : int
        Of each packet.
    seed : int
        For drawn destinations and for choices on the way.
    """
    seed_sources(fabric, seed)
    fabric.state.source.left = packets
    fabric.state.source.next_at = 0 if packets else NEVER
    fabric.state.totals.remaining = packets * fabric.topology.nodes
    return _traffic(BATCH, flits, pattern)


def trace(fabric: Fabric, messages: Sequence[Message], seed: int = 0) -> Traffic:
    """Let the nodes send given messages.

    Parameters
    ----------
    fabric : Fabric
        Changed: its sources are set up.
    messages : sequence of Message
        In any order; those of one node are sent in order of time, then as given.
    seed : int
        For choices on the way.

    Raises
    ------
    WorkloadError
        With every message that cannot be sent.
    """
    nodes = fabric.topology.nodes
    faults = []
    for n, message in enumerate(messages):
        sound = 0 <= message.source < nodes and 0 <= message.destination < nodes
        if not sound or not 0 <= message.at < NEVER or not 1 <= message.flits <= MOST_FLITS:
            allowed = f"nodes 0 to {nodes - 1}, a time not before 0, 1 to {MOST_FLITS} flits"
            faults.append(Fault(f"message {n}", str(message), allowed, "correct it"))
    if faults:
        raise WorkloadError("the trace is wrong", faults)
    seed_sources(fabric, seed)
    order = sorted(range(len(messages)), key=lambda n: (messages[n].source, messages[n].at, n))
    rows = TRACED.zeros(max(1, len(order)))
    for row, n in enumerate(order):
        message = messages[n]
        rows[row].at, rows[row].destination, rows[row].flits = message.at, message.destination, message.flits
        rows[row].serial = n
        source = fabric.state.source[message.source]
        if source.left == 0:
            source.at, source.next_at = row, message.at
        source.left += 1
    fabric.state.totals.remaining = len(order)
    return _traffic(TRACE, 1, None, rows=rows)


def _traffic(
    kind: int, flits: int, pattern: Pattern | None, *, gap: Sequence[int] = (), rows: object = None
) -> Traffic:
    """Return the parameters of the sources."""
    destination = pattern.destination if pattern else np.zeros(0, np.int64)
    spot = pattern.spot if pattern else np.zeros((0, 2), np.int64)
    return Traffic(
        TrafficParams(kind=kind, flits=flits, gap_bits=len(gap), spots=len(spot)),
        TrafficTables(
            gap=np.array(gap or [0], np.int64),
            destination=destination,
            spot=spot,
            trace=TRACED.zeros(1) if rows is None else rows,
        ),
    )
