"""Hops and links of the network of a die, counted from its shape."""

from __future__ import annotations

from nmpsim.spec.params import CROSSBAR, MESH, NocParams


def network_hops(noc: NocParams, source: int, destination: int) -> int:
    """Return the links between routers on a shortest way.

    Parameters
    ----------
    noc : NocParams
    source, destination : int
        Nodes.
    """
    if noc.kind == CROSSBAR:
        return 0
    hops = 0
    for d in range(noc.dims):
        ups = (destination // noc.radix**d - source // noc.radix**d) % noc.radix
        if noc.kind == MESH:
            hops += abs(destination // noc.radix**d % noc.radix - source // noc.radix**d % noc.radix)
        else:
            hops += min(ups, noc.radix - ups)
    return hops


def router_cycles(noc: NocParams) -> int:
    """Return the cycles of a head flit in a router in which it meets nobody.

    Parameters
    ----------
    noc : NocParams
    """
    allocation = max(noc.nVA, noc.nSA) if noc.speculative else noc.nVA + noc.nSA
    return noc.nROUTE + allocation + noc.nST


def tree_links(noc: NocParams) -> int:
    """Return the links between routers of a tree from one node to all others: one into every other router.

    Parameters
    ----------
    noc : NocParams
    """
    return 0 if noc.kind == CROSSBAR else noc.nodes - 1


def network_links(noc: NocParams) -> int:
    """Return the links between routers, each way counted, of all groups.

    Parameters
    ----------
    noc : NocParams
    """
    if noc.kind == CROSSBAR or noc.radix == 1:
        return 0
    along = noc.radix - 1 if noc.kind == MESH else noc.radix
    rows: int = noc.radix ** (noc.dims - 1)
    return 2 * noc.dims * along * rows * noc.groups


def stack_hops(stacks: int, further: int) -> int:
    """Return the links between stacks on the shorter way round.

    Parameters
    ----------
    stacks : int
        Stacks in the ring.
    further : int
        How many stacks further on the destination is.
    """
    return min(further % stacks, -further % stacks)


def row_link_cycles(size: int, flit_bytes: int, width: int) -> int:
    """Return the cycles that a row of a message takes on a link between stacks, flit by flit.

    Parameters
    ----------
    size : int
        Bytes of the row.
    flit_bytes : int
        Bytes of a flit of the network.
    width : int
        Bytes per cycle of the link.
    """
    whole, rest = divmod(size, flit_bytes)
    return whole * -(-flit_bytes // width) + -(-rest // width)
