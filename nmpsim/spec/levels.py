"""Rules of section [noc.pu] of a chip file: the network inside a PU, and what becomes of it in integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nmpsim.errors import Fault
from nmpsim.spec.network import PORTS_MOST, TERMINALS, network_shape, router_params
from nmpsim.spec.params import CROSSBAR, MESH, NO_GATE, RING, TORUS, GateParams, LinkParams, NocParams
from nmpsim.spec.schema import ChipSpec

OWN_CHANNELS = {CROSSBAR: 1, MESH: 2, RING: 4, TORUS: 4}
"""Least virtual channels inside a PU: messages out of it and others have their own on a link, two with a dateline."""


def has_levels(read: Callable[..., Any]) -> bool:
    """Return whether PUs have several cores.

    Parameters
    ----------
    read : callable
        Reads sound values by dotted path, see `geometry.reader`.
    """
    cores = read("chip.cores_per_pu")
    return bool(cores and cores[0] > 1)


def level_faults(read: Callable[..., Any]) -> Iterator[Fault]:
    """Yield the faults of the network inside a PU, if PUs have several cores.

    Parameters
    ----------
    read : callable
        Reads sound values by dotted path, see `geometry.reader`.
    """
    if not has_levels(read):
        return
    (cores,) = read("chip.cores_per_pu")
    if read("noc.pu") is None:
        if read("noc"):
            todo = "add [noc.pu] or set chip.cores_per_pu = 1"
            yield Fault("noc.pu", "no such section", f"one, as chip.cores_per_pu = {cores}", todo)
        return
    collectives = read("noc.collectives")
    if collectives and collectives != ("messages",):
        todo = "use messages, or one core for each PU"
        yield Fault("noc.collectives", repr(collectives[0]), f"'messages', as chip.cores_per_pu = {cores}", todo)
    widths = read("noc.flit_bytes", "noc.pu.flit_bytes")
    if widths and max(widths) % min(widths):
        allowed = f"a divisor or a multiple of noc.flit_bytes = {widths[0]}"
        yield Fault(
            "noc.pu.flit_bytes", str(widths[1]), allowed, "a gateway splits and gathers whole flits: change one"
        )
    yield from _shape_faults(read, cores)
    stages = read("noc.pu.speculation", "noc.pu.vc_alloc_cycles", "noc.pu.switch_alloc_cycles")
    if stages and stages[0] == "on" and stages[1] > stages[2]:
        allowed = f"at most noc.pu.switch_alloc_cycles = {stages[2]}, as noc.pu.speculation = 'on'"
        todo = "a channel must be known with the switch: change the cycles, or turn speculation off"
        yield Fault("noc.pu.vc_alloc_cycles", str(stages[1]), allowed, todo)


def _shape_faults(read: Callable[..., Any], cores: int) -> Iterator[Fault]:
    """Yield the faults of topology, ports and channels."""
    named, channels = read("noc.pu.topology"), read("noc.pu.vcs")
    if not named:
        return
    shape = network_shape(named[0], cores)
    if shape is None:
        allowed = f"ring, crossbar, mesh:KxK or torus:KxK (or more dimensions), of chip.cores_per_pu = {cores} nodes"
        yield Fault("noc.pu.topology", repr(named[0]), allowed, "choose one of these, or change chip.cores_per_pu")
        return
    ports = TERMINALS * cores if shape[0] == CROSSBAR else TERMINALS + 2 * shape[2]
    if ports > PORTS_MOST:
        got = f"{named[0]!r}: {ports} ports"
        yield Fault("noc.pu.topology", got, f"{PORTS_MOST} ports of a router at most", "use a mesh or a torus")
    least = OWN_CHANNELS[shape[0]]
    if channels and channels[0] < least:
        todo = "messages out of the PU must not stop those that come in: give more, or use a crossbar"
        yield Fault("noc.pu.vcs", str(channels[0]), f"at least {least} for noc.pu.topology = {named[0]!r}", todo)


def inner_network(spec: ChipSpec) -> NocParams:
    """Return the networks inside all PUs of a chip as one of separate parts.

    Parameters
    ----------
    spec : ChipSpec
        With several cores for each PU.
    """
    noc, cores, pus = spec.noc.pu, spec.chip.cores_per_pu.value, spec.chip.pus.value
    assert noc is not None  # the rule of noc.pu
    return router_params(noc, cores)._replace(nodes=cores * pus, groups=pus)


def joined_levels(
    inner: NocParams, outer: NocParams, periods: tuple[int, int], gateway_flits: int
) -> tuple[NocParams, GateParams, LinkParams]:
    """Return the network between PUs, and the gateways between it and those inside.

    A gateway has the clock of the network with the narrower flits, of that between PUs if they are as wide: so it moves
    a narrow flit in each cycle, as fast as that network does.  To or from the network of its own clock a flit takes a
    cycle; what crosses to or from the other one waits nSYNC cycles of the clock that it comes to.

    Parameters
    ----------
    inner, outer : NocParams
        The networks inside PUs, and that between them as a chip file gives it: nSYNC for its users.
    periods : (int, int)
        Of the two; ticks.
    gateway_flits : int
        Each queue between a gateway and the network inside.
    """
    if inner.groups == 1:  # a single PU: nothing to join
        return outer, NO_GATE, LinkParams()
    is_inside = inner.flit_bytes < outer.flit_bytes
    gate = GateParams(
        cores=inner.nodes // inner.groups,
        inner_bytes=inner.flit_bytes,
        outer_bytes=outer.flit_bytes,
        inner_sync=1 if is_inside else inner.nSYNC,
        outer_sync=outer.nSYNC if is_inside else 1,
    )
    link = LinkParams(
        period=periods[0] if is_inside else periods[1],
        buffer_flits=gateway_flits,
        sync=1 if is_inside else outer.nSYNC,
    )
    return outer._replace(nSYNC=inner.nSYNC if is_inside else 1, behind=gate.cores), gate, link
