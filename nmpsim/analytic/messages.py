"""Messages and collectives between the PUs, as the encoder sends them: latency and bandwidth.

A message takes a core cycle (or a network cycle, if that is longer) per flit, the crossings into and out of the
network, and router and link of every hop.  Collectives between neighbours go in both directions at once, a step
after the other; each step is one message that has arrived as a whole.

Where PUs have networks inside, a message is taken to cross to the neighbour PU.

Left out: flits that meet others on a link, and ports of the buffer.
"""

from __future__ import annotations

import math

from nmpsim.analytic.levels import crossing_cycles
from nmpsim.analytic.network import network_hops, network_links, router_cycles, tree_links
from nmpsim.spec.params import MachineParams

PORTS = 2
"""Network ports of a core."""

SIGNAL = 1
"""Cycles until another unit sees a completion (docs/timing-model.md, "Sequencer, queues, semaphores")."""


def flits(params: MachineParams, rows: int, size: int) -> int:
    """Flits of a message; none holds bytes of two rows.

    Parameters
    ----------
    params : MachineParams
    rows, size : int
        Rows, and bytes of each.
    """
    return rows * -(-size // params.noc.flit_bytes)


def message_cycles(params: MachineParams, rows: int, size: int, hops: int = 1) -> float:
    """Core cycles from the start of a SEND to the semaphore of its arrival.

    Parameters
    ----------
    params : MachineParams
    rows, size : int
    hops : int
        Links that it crosses.
    """
    flow = max(1.0, params.noc_period / params.core_period)
    return flits(params, rows, size) * flow + way_cycles(params, hops) + SIGNAL


def way_cycles(params: MachineParams, hops: int) -> float:
    """Core cycles of a flit from the injection to the ejection queue, crossings included.

    Parameters
    ----------
    params : MachineParams
    hops : int
        Links that it crosses.
    """
    noc, ratio = params.noc, params.noc_period / params.core_period
    if params.outer is not None:  # the slowest neighbours are in two PUs, and the collectives wait for them
        router = router_cycles(params.noc)
        return (noc.nSYNC + 4 * noc.nPORT + 2 * router) * ratio + crossing_cycles(params, 1) + noc.nSYNC
    wires = 2 * noc.nPORT + hops * noc.nLINK
    return (noc.nSYNC + wires + (hops + 1) * router_cycles(params.noc)) * ratio + noc.nSYNC


def all_gather_cycles(params: MachineParams, rows: int, size: int, regions: int = 1) -> float:
    """Core cycles of an all-gather: between neighbours, or by multicast where the routers copy.

    Parameters
    ----------
    params : MachineParams
    rows, size : int
        What each PU contributes: rows, and bytes of each.
    regions : int
        Messages that it takes.
    """
    if params.noc.multicast_lanes:
        return _multicast_cycles(params, regions * flits(params, rows, size))
    steps = params.cores // 2
    flow = max(1.0, params.noc_period / params.core_period)
    more = (regions - 1) * flits(params, rows, size) * flow
    return steps * (message_cycles(params, rows, size) + more + SIGNAL)


def _multicast_cycles(params: MachineParams, size: int) -> float:
    """Core cycles of a multicast of so many flits from every PU, half by each port.

    As long as the busier of a PU's two ports, or of the links if all are as busy, and the longest way.
    """
    noc, ratio = params.noc, params.noc_period / params.core_period
    others = params.cores - 1
    if others == 0:
        return 0.0
    at_port = math.ceil(others * size / PORTS) * max(1.0, ratio)
    links = network_links(noc)
    on_link = params.cores * tree_links(noc) * size / links * ratio if links else 0.0
    hops = max(network_hops(noc, 0, pu) for pu in range(params.cores))
    return max(at_port, on_link) + way_cycles(params, hops) + SIGNAL


def reduce_scatter_cycles(params: MachineParams, rows: int, columns: int, add: float) -> float:
    """Core cycles of a reduce-scatter of FP32 sums between neighbours.

    Parameters
    ----------
    params : MachineParams
    rows, columns : int
        The piece of one owner.
    add : float
        Core cycles of one addition of half a piece.
    """
    if params.cores == 1:
        return 0.0
    grain = max(1, params.noc.flit_bytes // 4)
    half = -(-columns // (2 * grain)) * grain if columns > grain else columns
    return (params.cores - 1) * (message_cycles(params, rows, half * 4) + add + 2 * SIGNAL)


def sum_scatter_cycles(params: MachineParams, rows: int, columns: int) -> float:
    """Core cycles of a reduce-scatter of FP32 sums by the routers, half of each sum by each port.

    As long as the busier of a PU's two ports, the adder of a port, or the links if all are as busy, and the longest way
    with an addition at each router.

    Parameters
    ----------
    params : MachineParams
    rows, columns : int
        The piece of one owner.
    """
    pus, noc, ratio = params.cores, params.noc, params.noc_period / params.core_period
    if pus == 1:
        return 0.0
    sent = pus * flits(params, rows, columns * 4)
    links = network_links(noc)
    on_link = tree_links(noc) * sent / links * ratio if links else 0.0
    hops = max(network_hops(noc, 0, pu) for pu in range(pus))
    adding = (hops + 1) * noc.nADD * ratio
    return max(math.ceil(sent / PORTS) * max(1.0, ratio), on_link) + way_cycles(params, hops) + adding + SIGNAL


def to_all_cycles(params: MachineParams, rows: int, size: int) -> float:
    """Core cycles of a small region of every PU sent straight to all others, or by multicast where the routers copy.

    Parameters
    ----------
    params : MachineParams
    rows, size : int
    """
    pus = params.cores
    if pus == 1:
        return 0.0
    count = flits(params, rows, size)
    if params.noc.multicast_lanes:
        return _multicast_cycles(params, count)
    flow = max(1.0, params.noc_period / params.core_period)
    way = message_cycles(params, rows, size, pus // 2) - count * flow
    crossing = sum(min(d, pus - d) for d in range(1, pus)) / 2 * count * params.noc_period / params.core_period
    return max((pus - 1) / 2 * count * flow, crossing) + way


def all_to_one_cycles(params: MachineParams, messages: int, rows: int, size: int) -> float:
    """Core cycles until so many messages to one PU have arrived, two ports taking turns.

    Parameters
    ----------
    params : MachineParams
    messages, rows, size : int
    """
    flow = max(1.0, params.noc_period / params.core_period)
    count = flits(params, rows, size)
    return messages / 2 * count * flow + message_cycles(params, rows, size, max(1, params.cores // 4))
