"""One router with all nodes at it."""

from __future__ import annotations

import numpy as np

from nmpsim.noc.topology.graph import Option, RouteTable, Terminal, Topology


def crossbar(nodes: int) -> Topology:
    """Return a single router; node i is at port i, links of one cycle.

    Parameters
    ----------
    nodes : int
    """
    table = RouteTable((1, 1, nodes, 1))
    for node in range(nodes):
        table.set((0, 0, node, 0), Option(node))
    return Topology(
        name=f"crossbar {nodes}",
        in_ports=(nodes,),
        out_ports=(nodes,),
        channels=(),
        terminals=tuple(Terminal(0, node, node, 1) for node in range(nodes)),
        group=np.zeros((1, nodes), np.int64),
        choices=table.choices,
        route=table.route,
        radix=(nodes,),
    )
