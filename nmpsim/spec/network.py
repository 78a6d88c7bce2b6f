"""Rules of section [noc] of a chip file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from nmpsim.errors import Fault
from nmpsim.spec.params import ALLOCATORS, CROSSBAR, MESH, RING, TORUS, NocParams
from nmpsim.spec.routers import Routers

PORTS_MOST = 62
"""Ports of a router: one machine word holds a bit for each."""

CORE_PORTS = 2
"""Network ports of a core."""

TERMINALS = 3
"""Ports of a router to its node: two of the core, one of the gateway."""


def network_shape(topology: str, nodes: int) -> tuple[int, int, int] | None:
    """Return kind, nodes along a dimension and dimensions of a network; None if there is no such one of so many nodes.

    Parameters
    ----------
    topology : str
        ``ring``, ``crossbar``, each with or without its number of nodes, ``mesh:KxK`` or ``torus:KxK``.
    nodes : int
        Nodes that it must have.

    Examples
    --------
    >>> network_shape("torus:4x4", 16) == (TORUS, 4, 2)
    True
    """
    match = re.fullmatch(r"(ring|crossbar|mesh|torus)(?::(\d{1,6}(?:x\d{1,6})*))?", topology)
    if match is None:
        return None
    kind, sizes = match.group(1), [int(word) for word in (match.group(2) or str(nodes)).split("x")]
    flat = kind in {"ring", "crossbar"}
    if len(set(sizes)) > 1 or sizes[0] ** len(sizes) != nodes or (flat and len(sizes) > 1):
        return None
    if not flat and match.group(2) is None:
        return None
    return {"ring": RING, "crossbar": CROSSBAR, "mesh": MESH, "torus": TORUS}[kind], sizes[0], len(sizes)


def router_params(noc: Routers, nodes: int) -> NocParams:
    """Return a network in integers, without what its routers may do for collectives.

    Parameters
    ----------
    noc : Routers
        A section whose topology has passed its rules.
    nodes : int
    """
    shape = network_shape(noc.topology, nodes)
    assert shape is not None  # the rule of noc.topology and noc.pu.topology
    kind, radix, dims = shape
    return NocParams(
        nodes=nodes,
        kind=kind,
        radix=radix,
        dims=dims,
        flit_bytes=noc.flit_bytes.value,
        vcs=noc.vcs.value,
        buffer_flits=noc.buffer_flits.value,
        nROUTE=noc.routing_cycles.value,
        nVA=noc.vc_alloc_cycles.value,
        nSA=noc.switch_alloc_cycles.value,
        nST=noc.switch_cycles.value,
        speculative=int(noc.speculation == "on"),
        vc_allocator=ALLOCATORS.index(noc.vc_allocator),
        switch_allocator=ALLOCATORS.index(noc.switch_allocator),
        nLINK=noc.link_cycles.value,
        nPORT=noc.port_cycles.value,
        nCREDIT=noc.credit_cycles.value,
        nSYNC=noc.sync_cycles.value,
        inject_flits=noc.inject_flits.value,
        eject_flits=noc.eject_flits.value,
    )


def network_faults(read: Callable[..., Any]) -> Iterator[Fault]:
    """Yield the faults of the network between the PUs.

    Parameters
    ----------
    read : callable
        Reads sound values by dotted path, see `geometry.reader`.
    """
    named = read("noc.topology", "chip.pus")
    shape = network_shape(*named) if named else None
    if named and shape is None:
        allowed = f"ring, crossbar, mesh:KxK or torus:KxK (or more dimensions), of chip.pus = {named[1]} nodes"
        yield Fault("noc.topology", repr(named[0]), allowed, "choose one of these, or change chip.pus")
    channels = read("noc.vcs")
    if shape and channels and shape[0] in (RING, TORUS) and channels[0] < 2:
        todo = "without a dateline packets could wait for each other for ever: give two"
        yield Fault("noc.vcs", str(channels[0]), f"at least 2 for noc.topology = {named[0]!r}", todo)
    if shape:
        ports = TERMINALS * named[1] if shape[0] == CROSSBAR else TERMINALS + 2 * shape[2]
        if ports > PORTS_MOST:
            todo = "use a mesh or a torus"
            yield Fault("noc.topology", f"{named[0]!r}: {ports} ports", f"{PORTS_MOST} ports of a router at most", todo)
        else:
            yield from _multicast_faults(read, shape[0], ports)
    stages = read("noc.speculation", "noc.vc_alloc_cycles", "noc.switch_alloc_cycles")
    if stages and stages[0] == "on" and stages[1] > stages[2]:
        allowed = f"at most noc.switch_alloc_cycles = {stages[2]}, as noc.speculation = 'on'"
        todo = "a channel must be known with the switch: change the cycles, or turn speculation off"
        yield Fault("noc.vc_alloc_cycles", str(stages[1]), allowed, todo)


def _multicast_faults(read: Callable[..., Any], kind: int, ports: int) -> Iterator[Fault]:
    """Yield the faults of routers that copy: branches take as many ports again, and a channel for every input."""
    names = ("collectives", "vcs", "multicast_vcs", "eject_flits", "multicast_flits", "buffer_flits", "sum_vcs")
    given = read(*(f"noc.{name}" for name in names))
    if not given or given[0] == "messages":
        return
    way, vcs, lanes, places, packet, buffer, summed = given
    lanes *= 2 if kind in (RING, TORUS) else 1
    summed = summed if way == "network" else 0
    channels = max(vcs + lanes, (ports + 1) * lanes) + CORE_PORTS * summed
    if 2 * ports > PORTS_MOST or channels > PORTS_MOST:
        got = f"{way!r}: {2 * ports} ports of {channels} channels, those of branches included"
        todo = "use a mesh or a torus, fewer noc.multicast_vcs or noc.sum_vcs, or messages"
        yield Fault("noc.collectives", got, f"{PORTS_MOST} of each at most", todo)
    if packet > buffer:
        allowed = f"at most noc.buffer_flits = {buffer}"
        yield Fault("noc.multicast_flits", str(packet), allowed, "a packet that is copied must fit into a buffer")
    least = 3 * summed or 2
    if places < least:
        todo = f"messages and multicasts need one each{f', sums {summed} of a third' if summed else ''}: give {least}"
        yield Fault("noc.eject_flits", str(places), f"at least {least} for noc.collectives = {way!r}", todo)
