"""The network between PUs and its gateways in the clock loop, where PUs have networks inside.

tick                 0     4     8    12    16    20  ...      (inside 1 GHz, between 0.5 GHz: narrow flits inside)
network inside       x     x     x     x     x     x
network between PUs  x           x           x
gateways             x     x     x     x     x     x           the clock of the narrower flits
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import NEVER, inlined
from nmpsim.noc.die.bridge import step_bridge, wake_bridge
from nmpsim.noc.die.bridge_state import Bridge, make_bridge
from nmpsim.noc.die.gate_node import gate_node
from nmpsim.noc.die.network import step_network
from nmpsim.noc.die.record import link_log_nearly_full
from nmpsim.noc.die.state import Fabric, NocState, build_fabric, make_ports
from nmpsim.spec.params import NO_LINK, GateParams, MachineParams, NocParams


class Levels(NamedTuple):
    """What there is besides the network that the cores are at; unused if that joins all of them."""

    gate: GateParams
    noc: NocParams  # between PUs
    period: int  # its clock; ticks
    net: NocState
    fabric: Fabric
    bridge: Bridge


def build_levels(params: MachineParams, *, intervals: int = 0) -> Levels:
    """Return the network between PUs and the gateways after reset.

    Parameters
    ----------
    params : MachineParams
    intervals : int
        Intervals of its links to keep until they are drained; 0 = none are recorded.
    """
    if params.outer is None:  # of a single node, never visited: kernels are compiled for both cases at once
        none = params.noc._replace(nodes=1, radix=1, groups=1, multicast_lanes=0, sum_lanes=0)
        levels = Levels(params.gate, none, 1, make_ports(none), build_fabric(none, NO_LINK, 1), make_bridge(0))
        levels.net.wake[:] = NEVER
        return levels
    outer = params.outer
    fabric = build_fabric(outer, params.link, 1, intervals=intervals)
    return Levels(params.gate, outer, params.outer_period, make_ports(outer), fabric, make_bridge(outer.nodes))


def order_of_pus(order: NDArray[np.int64], cores: int) -> NDArray[np.int64]:
    """Return the order in which PUs are visited, given that of the cores.

    Parameters
    ----------
    order : ndarray of int64
        Of the cores.
    cores : int
        Of a PU.
    """
    pus: NDArray[np.int64] = order[order % cores == 0] // cores
    return pus


@inlined
def has_levels(levels):
    """Return whether PUs have networks inside."""
    return levels.gate.cores > 1


@inlined
def outer_wake(levels):
    """Return the first tick at which the network between PUs may act; NEVER without it."""
    wake = NEVER
    for n in range(len(levels.net.wake)):
        wake = min(wake, levels.net.wake[n])
    return wake


@inlined
def visit_outer(now, plain, pus, link, stacks, levels, fabric):
    """Step the network between PUs and lower the wakes of the gateways to what it stamped."""
    periods = (link.period, levels.period)
    step_network(now, plain, pus, levels.noc, link, stacks, periods, levels.net, levels.fabric)
    wake_bridge(levels.gate, levels.net, fabric)


@inlined
def visit_gateways(now, plain, order, noc, link, noc_period, levels, inner, fabric):
    """Step the gateways that may act; return how many did."""
    visits = 0
    cores = levels.gate.cores
    networks, periods = (noc, levels.noc), (noc_period, levels.period)
    for c in order:
        for d in range(2):
            p = c // cores
            if c == gate_node(p, d, cores) and (plain or fabric.link_wake[c] <= now):
                visits += 1
                fabric.link_wake[c] = step_bridge(
                    p,
                    d,
                    now,
                    levels.gate,
                    link.period,
                    networks,
                    periods,
                    inner,
                    fabric,
                    levels.net,
                    levels.bridge,
                )
    return visits


@inlined
def links_full(fabric, levels):
    """Return whether a log of links might not hold what one more tick records."""
    return link_log_nearly_full(fabric) or link_log_nearly_full(levels.fabric)
