"""What the networks of a die did: their accounts settled, checked and named, one network or two levels of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.machine.levels import Levels
from nmpsim.noc.die.bridge import settle_bridge
from nmpsim.noc.die.bridge_state import HALVES, check_bridge_drained
from nmpsim.noc.die.check import check_conservation, check_drained, routers_of
from nmpsim.noc.die.links import open_intervals
from nmpsim.noc.die.network import settle_fabric
from nmpsim.noc.die.state import LINK_REASONS, Fabric
from nmpsim.noc.router.build import Fabric as RouterFabric
from nmpsim.noc.router.check import causes
from nmpsim.noc.router.state import CAUSES
from nmpsim.spec.params import MachineParams


def named(row: NDArray[np.int64], names: tuple[str, ...], unit: int) -> dict[str, int]:
    """Return what of an account is not zero, by name.

    Parameters
    ----------
    row : ndarray of int64
    names : tuple of str
    unit : int
        What one of it is divided by.
    """
    return {name: int(value) // unit for name, value in zip(names, row, strict=True) if value}


def flit_hops(routers: RouterFabric) -> int:
    """Return flits times the links between routers that they crossed.

    Parameters
    ----------
    routers : RouterFabric
    """
    p, flits = routers.params, routers.state.output_port.flits
    return int(sum(flits[c.source * p.ports + c.out_port] for c in routers.topology.channels))


def network_stalls(routers: RouterFabric) -> dict[str, dict[str, int]]:
    """Return the cycles of the links and of the routers of a network, each sort together.

    Parameters
    ----------
    routers : RouterFabric
    """
    links, sent = len(routers.topology.channels), flit_hops(routers)
    cycles = int(routers.state.totals[0].now)
    told = zip(CAUSES, causes(routers).sum(axis=0).tolist(), strict=True)
    return {
        "link": {"transfer": sent, "no_flit": cycles * links - sent} if links else {},
        "router": {name: count for name, count in told if count},
    }


def network_of(routers: RouterFabric) -> dict[str, list[dict[str, Any]]]:
    """Return what every link and every router of a network did.

    Parameters
    ----------
    routers : RouterFabric
    """
    p, state = routers.params, routers.state
    links = [
        {"from": c.source, "to": c.sink, "flits": int(state.output_port[c.source * p.ports + c.out_port].flits)}
        for c in routers.topology.channels
    ]
    told = [{"router": r, **dict(zip(CAUSES, row, strict=True))} for r, row in enumerate(causes(routers).tolist())]
    return {"links": links, "routers": told}


def settle_levels(params: MachineParams, levels: Levels, end: int, gates: int) -> None:
    """Close the accounts of the network between PUs and of the gateways, and check that they add up.

    Parameters
    ----------
    params : MachineParams
    levels : Levels
        Nothing is done without networks inside PUs.
    end : int
        Last tick of the program.
    gates : int
        First edge of the gateways after it; ticks.

    Raises
    ------
    InternalError
        If a law is broken.
    """
    if params.outer is None:
        return
    settle_fabric(end // levels.period + 1, gates, levels.fabric)
    settle_bridge(gates, levels.bridge)
    for place in np.argwhere(levels.bridge.stall.sum(axis=3) != gates):
        raise InternalError(f"gateway {place.tolist()}: its accounts do not sum to {gates} ticks")
    check_bridge_drained(levels.bridge)
    check_conservation(routers_of(levels.noc, levels.fabric), levels.net, levels.fabric)
    check_drained(levels.net, levels.fabric)


def level_stalls(params: MachineParams, levels: Levels, inner: RouterFabric) -> dict[str, dict[str, int]]:
    """Return the cycles of links and routers of both levels, and of the gateways.

    Parameters
    ----------
    params : MachineParams
    levels : Levels
    inner : RouterFabric
        Routers inside PUs.
    """
    inside = {f"pu_{name}": spent for name, spent in network_stalls(inner).items()}
    gateways = named(levels.bridge.stall.sum(axis=(0, 1, 2)), LINK_REASONS, params.link.period)
    return {**network_stalls(routers_of(levels.noc, levels.fabric)), **inside, "pu_gateway": gateways}


def level_network(levels: Levels, inner: RouterFabric) -> dict[str, list[dict[str, Any]]]:
    """Return what every link, router and gateway of both levels did.

    Parameters
    ----------
    levels : Levels
    inner : RouterFabric
        Routers inside PUs.
    """
    inside = {f"pu_{name}": rows for name, rows in network_of(inner).items()}
    counted = ("taken", "sent", "bytes_taken", "bytes_sent", "messages_sent")
    gateways = [
        {"pu": p, "port": d, "way": HALVES[h], **{name: int(levels.bridge.half[p, d, h][name]) for name in counted}}
        for p, d, h in np.ndindex(levels.bridge.half.shape)
    ]
    return {**network_of(routers_of(levels.noc, levels.fabric)), **inside, "pu_gateways": gateways}


def level_counts(levels: Levels, inner: RouterFabric) -> dict[str, int]:
    """Return the actions of both levels.

    Parameters
    ----------
    levels : Levels
    inner : RouterFabric
        Routers inside PUs.
    """
    half, outer = levels.bridge.half, levels.fabric.terminal
    return {
        "flit_hops": flit_hops(routers_of(levels.noc, levels.fabric)),
        "pu_flit_hops": flit_hops(inner),
        "pu_ejected_flits": int(inner_terminals(inner)),
        "outer_flits": int(outer["ejected"].sum()),
        "gateway_bytes": int(half["bytes_sent"].sum()),
    }


def inner_terminals(inner: RouterFabric) -> int:
    """Return the flits that left the networks inside PUs, for cores and gateways.

    Parameters
    ----------
    inner : RouterFabric
        Routers inside PUs.
    """
    p, flits = inner.params, inner.state.output_port.flits
    return int(sum(flits[t.router * p.ports + t.out_port] for t in inner.topology.terminals))


def check_messages(sent: int, arrived: int) -> None:
    """Raise unless as many messages arrived as were sent; of flits there may be more or fewer, cut anew on their way.

    Parameters
    ----------
    sent, arrived : int

    Raises
    ------
    InternalError
        If not.
    """
    if sent != arrived:
        raise InternalError(f"{sent} messages were sent, {arrived} arrived")


def shifted(outer: Fabric, inner: Fabric) -> Any:
    """Return the intervals of the links between PUs with their numbers behind those inside PUs.

    Parameters
    ----------
    outer, inner : Fabric
    """
    rows = outer.link_log[: outer.link_logged[0]].copy()
    rows["link"] += len(inner.link_note)
    return rows


def open_outer(params: MachineParams, levels: Levels, inner: Fabric, end: int) -> Any:
    """Return the intervals of the links between PUs that their log does not hold yet, up to the end.

    Parameters
    ----------
    params : MachineParams
    levels : Levels
    inner : Fabric
    end : int
        Last tick of the program.
    """
    if params.outer is None:
        return inner.link_log[:0]
    rows = open_intervals(levels.fabric, (end // levels.period + 1) * levels.period, 0)
    rows["link"] += len(inner.link_note)
    return rows
