"""Networks inside PUs as one network of separate parts, all alike: one clock, one step, one compiled kernel.

Terminal ``port * nodes + node`` as in topology.py, with the nodes of part p from ``p * nodes / parts`` on, and its
routers likewise.  Ports 0 and 1 are those of the cores.  Port 2 of two nodes of each part leads to the gateways of the
PU, one for messages of each port: see bridge.py.

A message out of the PU uses the lower half of the virtual channels of a link, all others the upper half (with a
dateline, of each class): so those that come in never wait for those that want out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmpsim.noc.topology import Channel, Topology
from nmpsim.noc.topology.graph import channel_mask
from nmpsim.spec.params import NocParams


def own_share(noc: NocParams, destination: int, low: int, share: int, *, up: bool) -> int:
    """Return the virtual channel of a link that a message takes, of those that its class allows.

    Parameters
    ----------
    noc : NocParams
    destination : int
        Node that it leaves at.
    low, share : int
        First channel of its class, and how many there are.
    up : bool
        Whether it is on its way out of the PU; used if there are several groups.
    """
    if noc.groups == 1:
        return low + destination % share
    out = share // 2
    return low + destination % max(out, 1) if up else low + out + destination % (share - out)


def copies(part: Topology, number: int) -> Topology:
    """Return a network of separate parts, all alike.

    Parameters
    ----------
    part : Topology
        With terminals ``port * nodes + node``.
    number : int
    """
    nodes = part.radix[0] ** len(part.radix)
    ports, routers = part.nodes // nodes, part.routers
    terminals = np.arange(part.nodes * number).reshape(ports, number, nodes)
    route = np.full((routers * number, part.route.shape[1], part.nodes * number, part.classes), -1, np.int64)
    for p in range(number):
        route[p * routers : (p + 1) * routers, :, terminals[:, p].ravel()] = part.route
    return Topology(
        name=f"{number} networks: {part.name}",
        in_ports=part.in_ports * number,
        out_ports=part.out_ports * number,
        channels=tuple(
            Channel(c.source + p * routers, c.out_port, c.sink + p * routers, c.in_port, c.cycles)
            for p in range(number)
            for c in part.channels
        ),
        terminals=tuple(
            replace(part.terminals[port * nodes + c], router=part.terminals[port * nodes + c].router + p * routers)
            for port in range(ports)
            for p in range(number)
            for c in range(nodes)
        ),
        group=np.tile(part.group, (number, 1)),
        choices=part.choices,
        route=route,
        radix=part.radix,
    )


def shares_channels(topology: Topology, vcs: int, gateways: int) -> bool:
    """Return whether messages for gateways and others can take the same virtual channel of a link between routers.

    Parameters
    ----------
    topology : Topology
    vcs : int
        Virtual channels of a link.
    gateways : int
        First terminal of a gateway.
    """
    links = {(c.source, c.out_port) for c in topology.channels}
    taken: list[dict[tuple[int, int], int]] = [{}, {}]
    for r in range(topology.routers):
        for t in range(topology.nodes):
            held = taken[int(t >= gateways)]
            for choice in set(topology.route[r, :, t].ravel().tolist()) - {-1}:
                for option in topology.choices[choice]:
                    link = r, option.out_port
                    if link in links:
                        held[link] = held.get(link, 0) | channel_mask(option, vcs)
    return any(taken[0].get(link, 0) & mask for link, mask in taken[1].items())
