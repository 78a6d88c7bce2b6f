"""Sums that the routers of a die make: FP32, in the order in which docs/noc/die-collectives.md says.

The way from the owner of a sum to every other node is that of a message by the same port; contributions come back on
these ways.  A router adds what comes in by its ports, from the first port on: from the neighbour up and down along each
dimension, from its own node last.  At a crossbar every node has a port of its own.
"""

from __future__ import annotations

from collections import deque
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, IllegalScheduleError
from nmpsim.functional.memory import FP32
from nmpsim.functional.records import Message
from nmpsim.spec.params import CROSSBAR, MESH, NocParams

Way = tuple[int, int]
"""Owner and port of a sum."""


@cache
def inputs_of(noc: NocParams, owner: int, port: int) -> tuple[tuple[int, ...], ...]:
    """Return the neighbours whose parts each node's router adds to its own, in their order.

    Parameters
    ----------
    noc : NocParams
        Not of a crossbar.
    owner, port : int
        Node that gets the sum, and port by which all contribute.
    """
    found: list[dict[int, int]] = [{} for _ in range(noc.nodes)]
    for node in range(noc.nodes):
        here = owner
        while here != node:
            out, there = _step(noc, here, node, port)
            found[here][out] = there
            here = there
    return tuple(tuple(inputs[out] for out in sorted(inputs)) for inputs in found)


def _step(noc: NocParams, here: int, node: int, port: int) -> Way:
    """Return output and next node of a message by a port: lowest dimension first, the shorter way."""
    k = noc.radix
    for d in range(noc.dims):
        ups = (node // k**d - here // k**d) % k
        if ups == 0:
            continue
        up = node // k**d % k > here // k**d % k if noc.kind == MESH else 2 * ups < k or (2 * ups == k and port != 1)
        digit = here // k**d % k
        return 2 * d + (not up), here + ((digit + (1 if up else -1)) % k - digit) * k**d
    raise AssertionError("the message is there")


def add_up(noc: NocParams, owner: int, port: int, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the sum of the parts of all nodes.

    Parameters
    ----------
    noc : NocParams
    owner, port : int
        Node that gets the sum, and port by which all contribute.
    parts : list of ndarray of float32, by node
    """
    if noc.kind == CROSSBAR:
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
    inputs = inputs_of(noc, owner, port)

    def at(node: int) -> NDArray[np.float32]:
        every = [*(at(neighbour) for neighbour in inputs[node]), parts[node]]
        total = every[0]
        for part in every[1:]:
            total = total + part
        return total

    return at(owner)


class Sums:
    """Contributions on their way.

    Parameters
    ----------
    noc : NocParams
        Of every die.
    pus : int
        PUs of all dies, one die after the other.
    """

    def __init__(self, noc: NocParams, pus: int) -> None:
        self.noc = noc
        self.waiting: dict[Way, list[deque[Message]]] = {
            (owner, port): [deque() for _ in range(noc.nodes)]
            for owner in range(pus if noc.sum_lanes else 0)
            for port in (0, 1)
        }

    def contribute(self, message: Message) -> None:
        """Take the contribution of a PU."""
        way = message.target, message.direction
        if way not in self.waiting or message.source // self.noc.nodes != message.target // self.noc.nodes:
            got = f"a contribution of PU {message.source} to a sum for PU {message.target}"
            fault = Fault("SEND", got, "a PU of the same die, where routers add", "correct the owner, or send messages")
            raise IllegalScheduleError("the program is not legal", [fault])
        self.waiting[way][message.source % self.noc.nodes].append(message)

    def whole(self) -> list[Way]:
        """Owners and ports of the sums that all PUs have contributed to."""
        return [way for way, parts in self.waiting.items() if all(parts)]

    def left_over(self) -> list[Fault]:
        """List the sums that some PUs have contributed to, and others have not."""
        return [
            Fault(
                f"sum for PU {owner} by port {port}",
                f"contributions of {sum(map(bool, parts))} PUs",
                f"those of all {self.noc.nodes}",
                "let every PU of the die contribute",
            )
            for (owner, port), parts in self.waiting.items()
            if any(parts)
        ]

    def take(self, way: Way) -> Message:
        """Return a sum as a message of its owner to itself."""
        owner, port = way
        messages = [part.popleft() for part in self.waiting[way]]
        own = messages[owner % self.noc.nodes]
        places = {(part.address, part.ld, part.signal, part.rows.shape) for part in messages}
        if len(places) > 1:
            got = f"contributions to a sum for PU {owner} that differ in place, shape or signal"
            fault = Fault(f"PU {owner}, port {port}", got, "the same of all PUs", "correct b, b_ld, m, bytes or signal")
            raise IllegalScheduleError("the program is not legal", [fault])
        parts = [np.ascontiguousarray(part.rows).view(FP32) for part in messages]
        with np.errstate(over="ignore", invalid="ignore"):
            total = add_up(self.noc, owner % self.noc.nodes, port, parts)
        own.rows = np.ascontiguousarray(total).view(np.uint8)
        return own
