"""What must hold of a network between any two cycles, and its counters settled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.noc.router.build import Fabric
from nmpsim.noc.router.state import CAUSES, FAULTS, NO_FAULT


def raise_fault(fabric: Fabric) -> None:
    """Raise the first fault that the network met.

    Parameters
    ----------
    fabric : Fabric

    Raises
    ------
    InternalError
        If there is one: topologies that are built here lead everywhere.
    """
    totals = fabric.state.totals[0]
    if totals.fault != NO_FAULT:
        raise InternalError(f"{fabric.topology.name}: cycle {int(totals.fault_at)}: {FAULTS[int(totals.fault)]}")


def causes(fabric: Fabric) -> NDArray[np.int64]:
    """Return what the input virtual channels of each router spent their cycles on while they held flits.

    Parameters
    ----------
    fabric : Fabric

    Returns
    -------
    ndarray of int64, shape (routers, causes)
        Cycles, up to now, in the order of `CAUSES`.
    """
    params, state = fabric.params, fabric.state
    now = int(state.totals[0].now)
    settled: NDArray[np.int64] = np.stack([state.router[name] for name in CAUSES], axis=1)
    shape = (params.routers, params.ports * params.vcs)
    asleep = state.watch.slept_at >= 0
    settled[:, CAUSES.index("no_credit")] += np.where(asleep, now - state.watch.slept_at, 0).reshape(shape).sum(axis=1)
    ahead = np.where(state.input_vc.count > 0, np.maximum(state.input_vc.ready - now, 0), 0)  # charged beforehand
    settled[:, CAUSES.index("pipeline")] -= ahead.reshape(shape).sum(axis=1)
    return settled


def occupied(fabric: Fabric) -> NDArray[np.int64]:
    """Return for how many cycles the input virtual channels of each router held flits.

    Parameters
    ----------
    fabric : Fabric

    Returns
    -------
    ndarray of int64, shape (routers,)
        Cycles, measured at the buffers, and so independent of `causes`.
    """
    params, state = fabric.params, fabric.state
    now = int(state.totals[0].now)
    held = np.where(state.input_vc.count > 0, now - state.watch.filled_at, 0)
    total: NDArray[np.int64] = state.router.occupied + held.reshape(params.routers, -1).sum(axis=1)
    return total


def under_way(fabric: Fabric) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the flits on their way to each input virtual channel, the credits to each output one, and the rest.

    Parameters
    ----------
    fabric : Fabric

    Returns
    -------
    tuple
        Flits by input virtual channel, credits by output virtual channel, flits on their way to nodes.
    """
    params, state = fabric.params, fabric.state
    flits = np.zeros(len(state.input_vc) + 1, np.int64)
    returning = np.zeros(len(state.output_vc), np.int64)
    to_nodes = 0

    def number(place: int) -> int:
        if (place >> 8 & 255) == 2 * params.real_ports:  # from an adder into its multicast buffer
            return -1
        return ((place >> 16) * params.ports + (place >> 8 & 255)) * params.vcs + (place & 255)

    events = state.flit_event.reshape(params.wheel, params.room, 2)
    returned = state.credit_event.reshape(params.wheel, params.room * 2)
    for slot in range(params.wheel):
        for to in events[slot, : state.flit_count[slot], 0].tolist():
            if to >= 0:
                flits[number(to)] += 1
            elif (-1 - to) & 255 < params.unicast_vcs:
                to_nodes += 1
        for to in returned[slot, : state.credit_count[slot]].tolist():
            if to >= 0:
                returning[number(to)] += 1
    return flits[:-1], returning, to_nodes


def tree_channels(fabric: Fabric) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which input virtual channels are those of trees, and the flits in their buffers.

    Parameters
    ----------
    fabric : Fabric

    Returns
    -------
    tuple of ndarray, shape (routers * ports * vcs,)
        Those of pseudo ports are among them, with no flits: they hold copies, or sums that have passed an adder.
    """
    params, state = fabric.params, fabric.state
    shape = (params.routers, params.ports, params.vcs)
    is_tree, held = np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
    if params.multicast_vcs:
        real, first, sums = params.real_ports, params.unicast_vcs, params.unicast_vcs + params.multicast_vcs
        is_tree[:, real:] = is_tree[:, :, first:] = True
        copied = state.copied["count"].reshape(params.routers, real + 1, params.multicast_vcs)
        held[:, :real, first:sums] = copied[:, :real]
        held[:, :real, sums : sums + params.lanes] = state.addend_count.reshape(params.routers, real, params.lanes)
    return is_tree.reshape(-1), held.reshape(-1)


def check_links(fabric: Fabric) -> None:
    """Check that the places of every buffer behind a link are free, filled, or on the way as flit or credit.

    Parameters
    ----------
    fabric : Fabric

    Raises
    ------
    InternalError
        With the first link for which they are not.
    """
    params, state, name = fabric.params, fabric.state, fabric.topology.name
    flits, returning, _ = under_way(fabric)
    _, held_by_trees = tree_channels(fabric)
    for channel in fabric.topology.channels:
        out = (channel.source * params.ports + channel.out_port) * params.vcs
        into = (channel.sink * params.ports + channel.in_port) * params.vcs
        for v in range(params.vcs):
            parts = (
                int(state.output_vc[out + v].credits),
                int(state.input_vc[into + v]["count"]) + int(held_by_trees[into + v]),
                int(flits[into + v]),
                int(returning[out + v]),
            )
            if sum(parts) != params.buffer_flits:
                what = "places free, flits in the buffer, flits and credits under way"
                raise InternalError(f"{name}: {channel} vc {v}: {what}: {parts}, not {params.buffer_flits} in all")


def check_conservation(fabric: Fabric) -> None:
    """Check that no flit, credit or cycle was lost or made.

    Parameters
    ----------
    fabric : Fabric

    Raises
    ------
    InternalError
        With the first law that is broken.
    """
    raise_fault(fabric)
    state, name = fabric.state, fabric.topology.name
    flits, _, to_nodes = under_way(fabric)
    is_tree, _ = tree_channels(fabric)
    buffered = int(state.input_vc["count"][~is_tree].sum())
    injected, accepted = int(state.source.injected.sum()), int(state.source.accepted.sum())
    inside = buffered + int(flits[~is_tree].sum()) + to_nodes
    if injected != accepted + inside:
        raise InternalError(f"{name}: {injected} flits injected, {accepted} accepted, {inside} in the network")
    check_links(fabric)
    spent, held = causes(fabric), occupied(fabric)
    wrong = np.flatnonzero(spent.sum(axis=1) != held)
    if len(wrong):
        r = int(wrong[0])
        told = dict(zip(CAUSES, spent[r].tolist(), strict=True))
        raise InternalError(f"{name}: router {r}: buffers held flits for {int(held[r])} cycles, causes are {told}")


def check_empty(fabric: Fabric) -> None:
    """Check that a network has come to rest: nothing in flight, every channel free, every credit back.

    Parameters
    ----------
    fabric : Fabric

    Raises
    ------
    InternalError
        If something is left.
    """
    check_conservation(fabric)
    params, state, name = fabric.params, fabric.state, fabric.topology.name
    if state.totals[0].in_flight or state.input_vc["count"].any() or tree_channels(fabric)[1].any():
        raise InternalError(f"{name}: {int(state.totals[0].in_flight)} packets are left")
    not_for_packets = (1 << params.vcs) - (1 << params.unicast_vcs)
    if int(state.totals[0].free_rows) != len(state.packet):
        raise InternalError(f"{name}: {len(state.packet) - int(state.totals[0].free_rows)} rows of packets are lost")
    if (state.output_port.free != (1 << params.vcs) - 1).any() or (state.source.taken != not_for_packets).any():
        raise InternalError(f"{name}: a virtual channel was not given back")
    if (state.output_vc.credits != params.buffer_flits).any() or (state.source_vc.credits != params.buffer_flits).any():
        raise InternalError(f"{name}: a credit was lost")
    full = params.buffer_flits
    if (state.copied_room != full).any() or (state.lane.room != full).any() or (state.lane.operation >= 0).any():
        raise InternalError(f"{name}: a place behind an adder, or an entry of its table, was not given back")
