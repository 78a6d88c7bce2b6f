"""Networks as data: mesh, torus, ring, crossbar, any graph; and the proof that they cannot deadlock."""

from nmpsim.noc.topology.anynet import graph, read_anynet
from nmpsim.noc.topology.crossbar import crossbar
from nmpsim.noc.topology.dependence import check_deadlock_free
from nmpsim.noc.topology.graph import Channel, Option, RouteTable, Terminal, Topology
from nmpsim.noc.topology.grid import mesh, torus
from nmpsim.noc.topology.spelling import named_topology

__all__ = [
    "Channel",
    "Option",
    "RouteTable",
    "Terminal",
    "Topology",
    "check_deadlock_free",
    "crossbar",
    "graph",
    "mesh",
    "named_topology",
    "read_anynet",
    "torus",
]
