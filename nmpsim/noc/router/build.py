"""From a topology and settings to the registers of an empty network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nmpsim.errors import Fault, SpecError
from nmpsim.kernel import NEVER
from nmpsim.noc.router.settings import MOST_PORTS, RouterSettings, allocator_of
from nmpsim.noc.router.state import (
    ASK,
    DESTINATION_MASK,
    INPUT_PORT,
    INPUT_VC,
    LOGGED,
    OUTPUT_PORT,
    OUTPUT_VC,
    PACKET,
    ROUTER,
    SOURCE,
    SOURCE_VC,
    TOTALS,
    WATCH,
    NetworkParams,
    NetworkState,
)
from nmpsim.noc.router.trees import TreeSet, check_trees, tree_registers, tree_sizes
from nmpsim.noc.topology import Topology, check_deadlock_free
from nmpsim.noc.topology.graph import channel_mask

MOST_OPTIONS = 15
"""Options of one choice: four bits of a word."""


class Fabric(NamedTuple):
    """A network that can run.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    params : NetworkParams
    state : NetworkState
    """

    topology: Topology
    settings: RouterSettings
    params: NetworkParams
    state: NetworkState


def power_of_two(least: int) -> int:
    """Return the smallest power of two that is not below a number.

    Parameters
    ----------
    least : int
    """
    return 1 << max(0, least - 1).bit_length()


def build_network(
    topology: Topology, settings: RouterSettings, *, log: int = 0, trees: TreeSet | None = None
) -> Fabric:
    """Return an empty network at cycle 0.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    log : int
        Packets whose times are kept, the first ones made; for a trace its rows.
    trees : TreeSet or None
        Trees that packets may follow, and the adders.

    Raises
    ------
    SpecError
        If packets could deadlock, or a router has too many ports.
    """
    if topology.ports > MOST_PORTS:
        got = f"a router with {topology.ports} ports"
        fault = Fault(topology.name, got, f"{MOST_PORTS} ports at most", "use several routers")
        raise SpecError("the network cannot be built", [fault])
    if topology.nodes > DESTINATION_MASK or topology.routers > DESTINATION_MASK:
        fault = Fault(topology.name, f"{topology.nodes} nodes", f"{DESTINATION_MASK} at most", "use fewer")
        raise SpecError("the network cannot be built", [fault])
    check_deadlock_free(topology, settings.vcs)
    if trees is not None:
        check_trees(topology, settings, trees)
    params = _params(topology, settings, trees)
    state = _empty_state(topology, params, log, trees)
    _fill_routes(topology, params, state)
    _join(topology, settings, params, state)
    return Fabric(topology, settings, params, state)


def _params(topology: Topology, settings: RouterSettings, trees: TreeSet | None) -> NetworkParams:
    """Return sizes and settings."""
    wires = [c.cycles for c in topology.channels] + [t.cycles for t in topology.terminals]
    switch = settings.switch_delay * (3 if settings.batched_stages else 1)  # waits for a batch, then for its output
    longest = max(wires) + settings.sw_alloc_delay + max(switch, settings.credit_delay + 1)
    sizes = tree_sizes(topology, settings, trees)
    longest = max(longest, sizes.add_delay)
    vc_allocator, sw_allocator = allocator_of(settings.vc_allocator), allocator_of(settings.sw_allocator)
    assert vc_allocator is not None
    assert sw_allocator is not None
    return NetworkParams(
        routers=topology.routers,
        nodes=topology.nodes,
        ports=sizes.ports,
        vcs=sizes.vcs,
        buffer_flits=settings.buffer_flits,
        places=power_of_two(settings.buffer_flits),
        classes=topology.classes,
        groups=topology.route.shape[1],
        wheel=power_of_two(longest + 2),
        room=topology.routers * topology.ports * (1 + sizes.multicast_vcs + sizes.lanes) + topology.nodes,
        routing_delay=settings.routing_delay,
        vc_alloc_delay=settings.vc_alloc_delay,
        sw_alloc_delay=settings.sw_alloc_delay,
        switch_delay=settings.switch_delay,
        batched_stages=int(settings.batched_stages),
        speculative=int(settings.speculative),
        wait_for_tail_credit=int(settings.wait_for_tail_credit),
        hold_switch=int(settings.hold_switch_for_packet),
        vc_input_first=int(vc_allocator.input_first),
        vc_iterations=vc_allocator.iterations,
        sw_input_first=int(sw_allocator.input_first),
        sw_iterations=sw_allocator.iterations,
        sw_by_priority=int(sw_allocator.by_priority),
        real_ports=topology.ports,
        unicast_vcs=settings.vcs,
        multicast_vcs=sizes.multicast_vcs,
        multicast_lanes=sizes.multicast_lanes,
        lanes=sizes.lanes,
        add_delay=sizes.add_delay,
        add_interval=sizes.add_interval,
    )


def _empty_state(topology: Topology, params: NetworkParams, log: int, trees: TreeSet | None) -> NetworkState:
    """Return registers of the right size."""
    ports = params.routers * params.ports
    channels = ports * params.vcs
    # every flit in the network has a place reserved behind some output or source; and each source may hold a packet
    rows = (sum(topology.out_ports) + params.nodes) * params.vcs * params.buffer_flits + params.nodes
    group = np.zeros((params.routers, params.ports), np.int64)
    group[:, : topology.group.shape[1]] = topology.group
    state = NetworkState(
        input_vc=INPUT_VC.zeros(channels),
        watch=WATCH.zeros(channels),
        buffer=np.zeros((channels, params.places), np.int64),
        output_vc=OUTPUT_VC.zeros(channels),
        input_port=INPUT_PORT.zeros(ports),
        output_port=OUTPUT_PORT.zeros(ports),
        asking=np.zeros((ports, params.ports), np.int64),
        router=ROUTER.zeros(params.routers),
        work=np.zeros((params.routers + 31) // 32, np.int64),
        work_soon=np.zeros((params.routers + 31) // 32, np.int64),
        group=group,
        route=np.full(topology.route.size, -1, np.int64),
        option=np.zeros((sum(map(len, topology.choices)), 3), np.int64),
        flit_count=np.zeros(params.wheel, np.int64),
        flit_event=np.zeros(params.wheel * params.room * 2, np.int64),
        credit_count=np.zeros(params.wheel, np.int64),
        credit_event=np.zeros(params.wheel * params.room * 2, np.int64),
        source=SOURCE.zeros(params.nodes),
        source_wake=np.zeros(params.nodes, np.int64),
        source_vc=SOURCE_VC.zeros(params.nodes * params.vcs),
        packet=PACKET.zeros(rows),
        free_row=np.arange(rows, dtype=np.int64)[::-1].copy(),
        totals=TOTALS.zeros(1),
        logged=LOGGED.zeros(log),
        ask=ASK.zeros(params.ports * params.vcs),
        first_ask=np.zeros(params.ports, np.int64),
        asked_ports=np.zeros(params.vcs, np.int64),
        asked_vcs=np.zeros((params.vcs, params.ports), np.int64),
        granted=np.zeros((params.ports, params.vcs), np.int64),
        guess=np.zeros(params.ports * params.vcs, np.int64),
        won=np.zeros(params.ports, np.int64),
        chosen=np.zeros((params.ports, params.ports), np.int64),
        by_input=np.zeros((4, params.ports), np.int64),
        by_output=np.zeros((4, params.ports), np.int64),
        **tree_registers(topology, params, trees),
    )
    state.watch.slept_at = -1
    state.output_vc.owner = -1
    state.router.route_batch = -NEVER
    state.router.switch_batch = -NEVER
    state.totals.free_rows = rows
    state.totals.drain_at = NEVER
    state.totals.latency_least = NEVER
    state.totals.network_least = NEVER
    state.totals.last_made_at = -1
    state.totals.last_arrival = -1
    state.source.packet = -1
    state.source.last_vc = -1
    state.source.next_at = NEVER
    state.logged.arrived_at = -1
    return state


def _fill_routes(topology: Topology, params: NetworkParams, state: NetworkState) -> None:
    """Write the routing table."""
    entry = np.zeros(len(topology.choices) + 1, np.int64)
    entry[-1] = -1
    row = 0
    for n, options in enumerate(topology.choices):
        assert len(options) <= MOST_OPTIONS
        entry[n] = row << 4 | len(options)
        for option in options:
            state.option[row] = option.out_port, channel_mask(option, params.unicast_vcs), option.next_class
            row += 1
    state.route[:] = entry[topology.route].ravel()


def _join(topology: Topology, settings: RouterSettings, params: NetworkParams, state: NetworkState) -> None:
    """Connect ports and nodes."""
    returning = settings.sw_alloc_delay
    state.router.inputs = topology.in_ports if params.multicast_vcs == 0 else params.ports
    state.router.outputs = topology.out_ports
    state.source.taken = (1 << params.vcs) - (1 << params.unicast_vcs)
    state.output_port.free = (1 << params.vcs) - 1
    state.output_vc.credits = params.buffer_flits
    state.source_vc.credits = params.buffer_flits
    for channel in topology.channels:
        out = state.output_port[channel.source * params.ports + channel.out_port]
        out.to = channel.sink << 16 | channel.in_port << 8
        out.cycles = channel.cycles
        into = state.input_port[channel.sink * params.ports + channel.in_port]
        into.credit_to = channel.source << 16 | channel.out_port << 8
        into.credit_cycles = returning + channel.cycles + settings.credit_delay
    for node, terminal in enumerate(topology.terminals):
        out = state.output_port[terminal.router * params.ports + terminal.out_port]
        out.to = -1 - (node << 8)
        out.cycles = terminal.cycles
        into = state.input_port[terminal.router * params.ports + terminal.in_port]
        into.credit_to = -1 - (node << 8)
        into.credit_cycles = returning + terminal.cycles
        source = state.source[node]
        source.cycles = terminal.cycles
        source.to = terminal.router << 16 | terminal.in_port << 8
        source.eject_place = terminal.router << 16 | terminal.out_port << 8
        source.eject_credit = 1 + terminal.cycles + settings.credit_delay
