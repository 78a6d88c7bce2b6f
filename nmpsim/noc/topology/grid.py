"""Mesh, torus and ring: k nodes along each of n dimensions, routed dimension by dimension.

Ports of a router: 2d is the way up dimension d, 2d + 1 the way down, 2n the node.  Node i has the digits
i, i // k, i // k^2 ... modulo k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmpsim.noc.topology.graph import Channel, Option, RouteTable, Terminal, Topology

TORUS_CYCLES = 2
"""Links of a folded torus are twice as long as those of a mesh (BookSim 2, kncube)."""


def mesh(k: int, n: int = 2) -> Topology:
    """Return a mesh: lowest dimension first, all virtual channels, links of one cycle.

    Parameters
    ----------
    k : int
        Nodes along a dimension.
    n : int
        Dimensions.
    """
    nodes = k**n
    table = RouteTable((nodes, 1, nodes, 1))
    for r in range(nodes):
        for destination in range(nodes):
            table.set((r, 0, destination, 0), Option(_mesh_port(r, destination, k, n)))
    group = np.zeros((nodes, 2 * n + 1), np.int64)
    name = "x".join([str(k)] * n)
    return _grid(f"mesh {name}", k, n, 1, table, group, wraps=False)


def torus(k: int, n: int = 2) -> Topology:
    """Return a torus: the shorter way, a coin where both are equal, links of two cycles.

    On entering a dimension a packet gets the class it keeps there: 1, the upper half of the virtual channels, if it
    goes up and will wrap or goes down and will not; else 0, the lower half.  At its last router it may take any.

    Parameters
    ----------
    k : int
        Nodes along a dimension; 3 at least, with 2 both ways are the same.
    n : int
        Dimensions; 1 makes a ring.

    Notes
    -----
    A fixed dateline between the nodes k - 1 and 0, BookSim 2 ``dim_order_torus``.
    """
    nodes, ports = k**n, 2 * n + 1
    table = RouteTable((nodes, ports, nodes, 2))
    for r in range(nodes):
        for destination in range(nodes):
            for in_port in range(ports):
                for held in range(2):
                    table.set((r, in_port, destination, held), *_torus_options(r, destination, in_port, held, k, n))
    group = np.tile(np.arange(ports), (nodes, 1))
    name = f"ring {k}" if n == 1 else "torus " + "x".join([str(k)] * n)
    return _grid(name, k, n, TORUS_CYCLES, table, group, wraps=True)


def _mesh_port(r: int, destination: int, k: int, n: int) -> int:
    """Return the port to the next router, or to the node."""
    for d in range(n):
        here, there = r // k**d % k, destination // k**d % k
        if here != there:
            return 2 * d if here < there else 2 * d + 1
    return 2 * n


def _torus_options(r: int, destination: int, in_port: int, held: int, k: int, n: int) -> tuple[Option, ...]:
    """Return the ways on for a packet that came in by `in_port` in class `held`."""
    for d in range(n):
        here, there = r // k**d % k, destination // k**d % k
        if here == there:
            continue
        if in_port // 2 == d:  # straight on, which is the port opposite to that of its arrival
            return (Option(in_port ^ 1, held, 2, held),)
        entered, ups = int(here > there), (there - here) % k
        up, down = Option(2 * d, entered, 2, entered), Option(2 * d + 1, entered, 2, entered)
        return (up, down) if 2 * ups == k else (up,) if 2 * ups < k else (down,)
    return (Option(2 * n),)


def _grid(
    name: str, k: int, n: int, cycles: int, table: RouteTable, group: NDArray[np.int64], *, wraps: bool
) -> Topology:
    """Return the topology of a routing table, with its channels."""
    nodes, ports = k**n, 2 * n + 1
    channels = []
    for r in range(nodes):
        for d in range(n):
            digit = r // k**d % k
            for out_port, step in ((2 * d, 1), (2 * d + 1, -1)):
                if wraps or 0 <= digit + step < k:
                    sink = r + ((digit + step) % k - digit) * k**d
                    channels.append(Channel(r, out_port, sink, out_port ^ 1, cycles))
    return Topology(
        name=name,
        in_ports=(ports,) * nodes,
        out_ports=(ports,) * nodes,
        channels=tuple(channels),
        terminals=tuple(Terminal(r, 2 * n, 2 * n, 1) for r in range(nodes)),
        group=group,
        choices=table.choices,
        route=table.route,
        radix=(k,) * n,
    )
