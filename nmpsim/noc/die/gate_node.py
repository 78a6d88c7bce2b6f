"""Which node of a PU has a gateway, and which messages need one."""

from nmpsim.kernel import inlined


@inlined
def gate_node(p, d, cores):
    """Return the node beside which the gateway of PU `p` for messages of port `d` stands: opposite ones of a ring."""
    return p * cores + d * (cores // 2)


@inlined
def leaves_group(c, destination, noc):
    """Return whether a message of node `c` is for another PU."""
    cores = noc.nodes // noc.groups
    return c // cores != destination // cores
