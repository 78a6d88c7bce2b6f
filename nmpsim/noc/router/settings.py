"""What a router network is: stage delays, virtual channels, allocators, switches."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from nmpsim.errors import Fault, SpecError

MOST_VCS = 62
"""Virtual channels of a port: one machine word holds a bit for each."""

MOST_PORTS = 62
"""Ports of a router, for the same reason."""

MOST_BUFFER_FLITS = 1 << 12
MOST_DELAY = 1 << 10
MOST_ITERATIONS = 16
ALLOCATORS = "islip, islip(N), separable_input_first, separable_output_first"


@dataclass(frozen=True)
class Allocator:
    """How requests are matched to resources.

    Parameters
    ----------
    input_first : bool
        Each input picks one of its requests before outputs choose; else each output grants first (iSLIP).
    iterations : int
        Rounds in one cycle; the turns move in the first only.
    by_priority : bool
        Whether a request that is no speculation beats one that is, before turns count.
    """

    input_first: bool = False
    iterations: int = 1
    by_priority: bool = False


def allocator_of(name: str) -> Allocator | None:
    """Return the allocator of a name, None if there is none.

    Parameters
    ----------
    name : str
        One of `ALLOCATORS`; N is the number of iterations.
    """
    if name == "separable_input_first":
        return Allocator(input_first=True, by_priority=True)
    if name == "separable_output_first":
        return Allocator(by_priority=True)
    match = re.fullmatch(r"islip(?:\((\d{1,3})\))?", name)
    if match is None:
        return None
    iterations = int(match.group(1) or 1)
    return Allocator(iterations=iterations) if 1 <= iterations <= MOST_ITERATIONS else None


@dataclass(frozen=True)
class RouterSettings:
    """Parameters of every router of a network; delays in cycles.

    Parameters
    ----------
    vcs : int
        Virtual channels of a port.
    buffer_flits : int
        Places of one virtual channel's buffer.
    routing_delay : int
        0 is lookahead: the route was found one hop before.
    vc_alloc_delay, sw_alloc_delay, switch_delay : int
        VC allocation, switch allocation, switch traversal.
    credit_delay : int
        From the arrival of a credit until it can be used; sources use credits at once.
    vc_allocator, sw_allocator : str
        One of `ALLOCATORS`.
    speculative : bool
        A head asks for the switch in the cycles in which it asks for a virtual channel.
    wait_for_tail_credit : bool
        An output channel is free again when all credits of its packet are back, not when the tail has won the switch.
    hold_switch_for_packet : bool
        An input keeps its way through the switch until tail, bubble or lack of credit.
    batched_stages : bool
        Routing and switch traversal of two or more cycles take nothing new until they are done with what they have,
        as in BookSim 2; else they are pipelined.
    """

    vcs: int = 4
    buffer_flits: int = 8
    routing_delay: int = 1
    vc_alloc_delay: int = 1
    sw_alloc_delay: int = 1
    switch_delay: int = 1
    credit_delay: int = 1
    vc_allocator: str = "islip"
    sw_allocator: str = "islip"
    speculative: bool = False
    wait_for_tail_credit: bool = False
    hold_switch_for_packet: bool = False
    batched_stages: bool = False

    def __post_init__(self) -> None:
        """Refuse what no router can be.

        Raises
        ------
        SpecError
            With every fault.
        """
        limits = {
            "vcs": (1, MOST_VCS),
            "buffer_flits": (1, MOST_BUFFER_FLITS),
            "routing_delay": (0, MOST_DELAY),
            "vc_alloc_delay": (1, MOST_DELAY),
            "sw_alloc_delay": (1, MOST_DELAY),
            "switch_delay": (1, MOST_DELAY),
            "credit_delay": (0, MOST_DELAY),
        }
        faults = []
        for field in fields(self):
            got = getattr(self, field.name)
            if field.name in limits:
                low, high = limits[field.name]
                if not isinstance(got, int) or isinstance(got, bool) or not low <= got <= high:
                    faults.append(Fault(field.name, repr(got), f"{low} to {high}", "give another number"))
            elif field.name.endswith("allocator") and allocator_of(str(got)) is None:
                allowed = f"{ALLOCATORS}, N from 1 to {MOST_ITERATIONS}"
                faults.append(Fault(field.name, repr(got), allowed, "choose one of these"))
        if not faults and self.speculative and self.vc_alloc_delay > self.sw_alloc_delay:
            got = f"vc_alloc_delay {self.vc_alloc_delay}, sw_alloc_delay {self.sw_alloc_delay}"
            allowed = (
                "vc_alloc_delay not above sw_alloc_delay: the grant of a channel must be known with that of the switch"
            )
            faults.append(Fault("speculative", got, allowed, "change the delays, or leave speculation out"))
        if faults:
            raise SpecError("the router cannot be built", faults)
