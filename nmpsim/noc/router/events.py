"""What is under way: a timing wheel of flits and credits, and what happens when they arrive.

A slot of the wheel holds what arrives in one cycle (taken in arrivals.py).  A link brings one flit a cycle at most,
and a port one credit, so a slot has room for all; no wire is longer than the wheel.  Two things that arrive together
never touch the same register, so their order has no influence.
"""

from nmpsim.kernel import inlined
from nmpsim.noc.router.state import (
    ACTIVE,
    BROKEN_PACKET,
    DESTINATION_BIT,
    DESTINATION_MASK,
    DRAINING,
    HEAD,
    HOP_BIT,
    HOP_MASK,
    IDLE,
    LOST_WAY,
    MEASURING,
    NO_FAULT,
    PACKET_BIT,
    TAIL,
    WANTS_VC,
    WARMING,
)


@inlined
def send_flit(to, flit, at, params, state):
    """Let a flit arrive at place `to` in cycle `at`."""
    slot = at & (params.wheel - 1)
    n = state.flit_count[slot]
    event = (slot * params.room + n) * 2
    state.flit_event[event] = to
    state.flit_event[event + 1] = flit
    state.flit_count[slot] = n + 1


@inlined
def send_credit(to, at, params, state):
    """Let a credit be usable at place `to` from cycle `at` on."""
    slot = at & (params.wheel - 1)
    n = state.credit_count[slot]
    state.credit_event[slot * params.room * 2 + n] = to
    state.credit_count[slot] = n + 1


@inlined
def note_fault(fault, now, state):
    """Keep the first fault."""
    totals = state.totals[0]
    if totals.fault == NO_FAULT:
        totals.fault = fault
        totals.fault_at = now


@inlined
def batch_start(last, earliest, cycles):
    """Return when a stage of `cycles` that is not pipelined begins with something that could begin at `earliest`.

    It joins a batch that begins then or later; else it waits until the `last` batch is done.
    """
    if last >= earliest:
        return last
    if last + cycles > earliest:
        return last + cycles
    return earliest


@inlined
def want_channel(r, p, v, ready, params, state):
    """Let an input virtual channel whose route is set ask for an output one from cycle `ready` on."""
    port = r * params.ports + p
    channel = state.input_vc[port * params.vcs + v]
    channel.phase = WANTS_VC
    channel.ready = ready
    state.input_port[port].wants_vc |= 1 << v
    state.router[r].vc_ports |= 1 << p
    if params.routing_delay > 0:
        state.work_soon[r >> 5] |= 1 << (r & 31)
    else:
        state.work[r >> 5] |= 1 << (r & 31)


@inlined
def start_branch(r, p, v, begin, params, state):
    """Route, from cycle `begin` on, the head at the front of a channel of pseudo port `p`: its tree says where to."""
    n = (r * params.ports + p) * params.vcs + v
    channel = state.input_vc[n]
    o = p - params.real_ports
    sums = v - (params.real_ports + 1) * params.multicast_vcs
    if sums < 0:
        tree = state.operation[state.buffer[n, channel.head] >> PACKET_BIT].tree
        channel.mask = state.tree_mask[(tree * params.routers + r) * params.real_ports + o]
    else:
        channel.mask = 1 << (params.unicast_vcs + params.multicast_vcs + sums)
    channel.out_port = o
    state.router[r].pipeline += params.routing_delay
    want_channel(r, p, v, begin + params.routing_delay, params, state)


@inlined
def start_packet(r, p, v, flit, begin, params, state):
    """Route, from cycle `begin` on, the head that has come to the front of input virtual channel (r, p, v)."""
    if p >= params.real_ports:
        start_branch(r, p, v, begin, params, state)
        return
    port = r * params.ports + p
    channel = state.input_vc[port * params.vcs + v]
    row = flit >> PACKET_BIT
    held_class = 0
    if params.classes > 1:
        held_class = state.packet[row].held_class
    group = 0
    if params.groups > 1:
        group = state.group[r, p]
    destination = (flit >> DESTINATION_BIT) & DESTINATION_MASK
    entry = state.route[((r * params.groups + group) * params.nodes + destination) * params.classes + held_class]
    if entry < 0 or flit & HEAD == 0:
        note_fault(LOST_WAY if entry < 0 else BROKEN_PACKET, begin, state)
        return
    ready = begin + params.routing_delay
    if params.batched_stages and params.routing_delay > 1:
        router = state.router[r]
        router.route_batch = batch_start(router.route_batch, begin, params.routing_delay)
        ready = router.route_batch + params.routing_delay
    state.router[r].pipeline += ready - begin
    n = entry >> 4
    options = entry & 15
    if options > 1:  # one of several ways, by the packet's own random number
        packet = state.packet[row]
        n += packet.coin % options
        packet.coin //= options
    if params.classes > 1:
        state.packet[row].held_class = state.option[n, 2]
    channel.out_port = state.option[n, 0]
    channel.mask = state.option[n, 1]
    want_channel(r, p, v, ready, params, state)


@inlined
def ask_for_switch(r, p, v, now, params, state):
    """Let an input virtual channel with a flit ask for the switch from cycle `now` on, or sleep if it has no credit."""
    port = r * params.ports + p
    n = port * params.vcs + v
    channel = state.input_vc[n]
    if state.output_vc[channel.out_vc].credits == 0:
        state.watch[n].slept_at = now
        return
    o = channel.out_port
    router = state.router[r]
    state.asking[port, o] |= 1 << v
    state.input_port[port].outputs |= 1 << o
    router.switch_ports |= 1 << p
    router.asking += 1
    state.work[r >> 5] |= 1 << (r & 31)


@inlined
def enter_channel(r, p, v, flit, now, begin, params, state):
    """Take a flit into the buffer of input virtual channel (r, p, v); a head is routed from cycle `begin` on."""
    n = (r * params.ports + p) * params.vcs + v
    channel = state.input_vc[n]
    count = channel.count
    state.buffer[n, (channel.head + count) & (params.places - 1)] = flit
    channel.count = count + 1
    if count == 0:
        state.watch[n].filled_at = now
    if channel.phase == IDLE:
        state.router[r].pipeline += begin - now
        start_packet(r, p, v, flit, begin, params, state)
    elif channel.phase == ACTIVE and count == 0:
        ask_for_switch(r, p, v, now, params, state)


@inlined
def enter_router(to, flit, now, params, state):
    """Take a flit that a link or source brings to place `to`."""
    enter_channel(to >> 16, (to >> 8) & 255, to & 255, flit, now, now, params, state)


@inlined
def note_event(event, state):
    """Remember what came in this cycle: an operation of a tree, or a message as -1 less its serial."""
    totals = state.tree_totals[0]
    state.arrived[totals.arrived] = event
    totals.arrived += 1


@inlined
def arrive(node, flit, now, state):
    """Take a flit at its node; its credit goes back at once."""
    source = state.source[node]
    totals = state.totals[0]
    row = flit >> PACKET_BIT
    packet = state.packet[row]
    source.accepted += 1
    is_head = 1 if packet.received == 0 else 0
    packet.received += 1
    is_tail = 1 if packet.received == packet.flits else 0
    if (flit & HEAD != 0) != (is_head == 1) or (flit & TAIL != 0) != (is_tail == 1):
        note_fault(BROKEN_PACKET, now, state)
    if (flit >> DESTINATION_BIT) & DESTINATION_MASK != node:
        note_fault(LOST_WAY, now, state)
    if is_tail == 0:
        return
    hops = (flit >> HOP_BIT) & HOP_MASK
    totals.in_flight -= 1
    totals.last_arrival = now
    if packet.counted == 1 or totals.phase == WARMING:
        latency, crossing = now - packet.made_at, now - packet.entered_at
        totals.packets += 1
        totals.latency += latency
        totals.network_latency += crossing
        totals.hops += hops
        if latency < totals.latency_least:
            totals.latency_least = latency
        if latency > totals.latency_most:
            totals.latency_most = latency
        if crossing < totals.network_least:
            totals.network_least = crossing
        if crossing > totals.network_most:
            totals.network_most = crossing
    if packet.counted == 1:
        packet.counted = 0
        totals.counted_in_flight -= 1
    if packet.serial < len(state.logged):
        logged = state.logged[packet.serial]
        logged.source = packet.source
        logged.destination = node
        logged.made_at = packet.made_at
        logged.entered_at = packet.entered_at
        logged.arrived_at = now
        logged.hops = hops
    if packet.serial < len(state.traced_wait):
        note_event(-1 - packet.serial, state)
    state.free_row[totals.free_rows] = row
    totals.free_rows += 1


@inlined
def is_measured(made_at, totals):
    """Return 1 if a packet made at a cycle counts in the statistics, else 0."""
    if totals.phase == MEASURING or (totals.phase == DRAINING and made_at < totals.drain_at):
        return 1
    return 0


@inlined
def take_source_credit(place, now, params, state):
    """Take a credit at a source, and wake it."""
    node, v = place >> 8, place & 255
    if state.source[node].packet >= 0:
        state.source_wake[node] = now
    channel = state.source_vc[node * params.vcs + v]
    channel.credits += 1
    if channel.tail_sent == 1 and channel.credits == params.buffer_flits:
        channel.tail_sent = 0
        state.source[node].taken &= ~(1 << v)


@inlined
def take_credit(place, now, params, state):
    """Take a credit at an output virtual channel, and wake the input virtual channel that waits for it."""
    port = (place >> 16) * params.ports + ((place >> 8) & 255)
    channel = state.output_vc[port * params.vcs + (place & 255)]
    channel.credits += 1
    owner = channel.owner
    if owner >= 0:
        r, p, v = owner >> 16, (owner >> 8) & 255, owner & 255
        watch = state.watch[(r * params.ports + p) * params.vcs + v]
        if watch.slept_at >= 0:
            state.router[r].no_credit += now - watch.slept_at
            watch.slept_at = -1
            ask_for_switch(r, p, v, now, params, state)
    elif channel.tail_sent == 1 and channel.credits == params.buffer_flits:
        channel.tail_sent = 0
        state.output_port[port].free |= 1 << (place & 255)
