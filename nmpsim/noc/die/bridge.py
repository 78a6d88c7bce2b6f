"""The gateways between the network inside a PU and that between PUs: flits of one width become flits of the other.

    cores --> network inside --> up --------> [ split or gather ] --> injection queue --> network between PUs
    cores <-- network inside <-- queue 0 <--- [ split or gather ] <-- ejection queue <--

A PU has a gateway for each port, of two halves that have nothing in common.  In each cycle a half takes at most one
flit and sends at most one.  Messages come whole, one after another, and so they go.

Split: the flit at the head of the queue goes on in parts of the other network's width, one in each cycle; with flits of
one width it goes on as it is.  Gather: flits of a message whose addresses follow each other are put together as long as
they fit; the wider flit is sent when it is full, with the tail of its message, or when the next one does not fit.
"""

from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.link.network_port import blank_flit, copy_flit, flit_at, flit_space_at, head_flit, take_flit, write_flit
from nmpsim.noc.die.bridge_state import OUT
from nmpsim.noc.die.gate_node import gate_node
from nmpsim.noc.die.state import NO_CREDIT, NO_FLIT, TRANSFER


@inlined
def send_on(half, flit, address, size, last, target, slots, ready_at):
    """Write a flit of a message into the queue of the other network."""
    sent = blank_flit(target, slots)
    copy_flit(sent, flit)
    sent.address = address
    sent.bytes = size
    sent.last = last
    sent.sequence = half.sequence
    write_flit(target, slots, ready_at)
    half.sequence = 0 if last == 1 else half.sequence + 1
    half.sent += 1
    half.bytes_sent += size
    half.messages_sent += last


@inlined
def take_on(half, flit, queue, flits, free_at):
    """Take the flit at the head of a queue."""
    half.taken += 1
    half.bytes_taken += flit.bytes
    half.messages_taken += flit.last
    take_flit(queue, flits, free_at)


@inlined
def split(half, width, queue, flits, target, slots, now, period, free_at, ready_at):
    """Send the next part of the flit at the head; return (reason, tick to look again)."""
    ready = flit_at(queue, flits)
    if ready > now:
        return NO_FLIT, ready
    space = flit_space_at(target, slots)
    if space > now:
        return NO_CREDIT, space
    flit = head_flit(queue, flits)
    size = min(width, flit.bytes - half.offset)
    ends = half.offset + size == flit.bytes
    last = flit.last if ends else 0
    send_on(half, flit, flit.address + half.offset, size, last, target, slots, ready_at)
    half.offset += size
    if ends:
        half.offset = 0
        take_on(half, flit, queue, flits, free_at)
    return TRANSFER, now + period


@inlined
def send_register(half, register, target, slots, ready_at):
    """Send what was gathered."""
    send_on(half, register, register.address, register.bytes, register.last, target, slots, ready_at)
    half.parts = 0
    half.complete = 0


@inlined
def gather(half, register, width, queue, flits, target, slots, now, period, free_at, ready_at):
    """Send what cannot grow, and put the flit at the head behind the others; return (reason, tick to look again)."""
    ready, space = flit_at(queue, flits), flit_space_at(target, slots)
    joins = False
    if half.parts > 0 and half.complete == 0:
        if ready > now:
            return NO_FLIT, ready
        behind = head_flit(queue, flits)
        joins = behind.address == register.address + register.bytes and register.bytes + behind.bytes <= width
    sends = half.parts > 0 and not joins
    if sends:
        if space > now:
            return NO_CREDIT, space
        send_register(half, register, target, slots, ready_at)
    if ready > now:
        if sends:
            return TRANSFER, now + period
        return NO_FLIT, ready
    flit = head_flit(queue, flits)
    if half.parts == 0:
        copy_flit(register, flit)
    else:
        register.bytes += flit.bytes
        register.last = flit.last
    half.parts += 1
    half.complete = 1 if register.last == 1 or register.bytes == width else 0
    take_on(half, flit, queue, flits, free_at)
    if half.complete == 1 and not sends and space <= now:
        send_register(half, register, target, slots, ready_at)
    return TRANSFER, now + period


@inlined
def step_half(half, register, into, width, queue, flits, target, slots, now, period, free_at, ready_at):
    """Step a half that takes flits of `into` bytes and sends flits of `width`; return (reason, tick to look again)."""
    if width > into:
        return gather(half, register, width, queue, flits, target, slots, now, period, free_at, ready_at)
    return split(half, width, queue, flits, target, slots, now, period, free_at, ready_at)


@inlined
def account(half, stall, reason, now):
    """Close the interval of another reason."""
    if reason != half.reason:
        stall[half.reason] += now - half.since
        half.since = now
        half.reason = reason


@kernel
def step_bridge(p, d, now, gate, period, networks, periods, inner, fabric, outer, bridge):
    """Advance the gateway of PU `p` for messages of port `d` at its clock edge `now`; return its wake.

    Parameters
    ----------
    p, d : int
    now : int
        A multiple of its period; ticks.
    gate : GateParams
    period : int
        Of the gateways; ticks.
    networks : (NocParams, NocParams)
        Inside PUs, and between them.
    periods : (int, int)
        Of the two; ticks.
    inner : NocState
        Ports of the network inside PUs; the wake of the gateway's node is lowered.
    fabric : Fabric
        Of the same; has the queues between it and the gateways.
    outer : NocState
        Ports of the network between PUs; the wake of node `p` is lowered.
    bridge : Bridge
        Changed.

    Returns
    -------
    int
        First tick > `now` at which the gateway may act; NEVER if only one of the networks can wake it.

    Timing
    ------
    Takes flits whose ``ready_at`` and writes places whose ``free_at`` are <= now; stamps lie in the future.
    """
    inside, between = networks
    c = gate_node(p, d, gate.cores)
    inner_free = (now // periods[0] + inside.nCREDIT + 1) * periods[0]
    inner_ready = (now // periods[0] + gate.inner_sync) * periods[0]
    outer_free = (now // periods[1] + between.nCREDIT + 1) * periods[1]
    outer_ready = (now // periods[1] + gate.outer_sync) * periods[1]
    wake = NEVER
    for h in range(2):
        half, register = bridge.half[p, d, h], bridge.register[p, d, h]
        taken, sent = half.taken, half.sent
        if h == OUT:
            reason, look = step_half(
                half,
                register,
                gate.inner_bytes,
                gate.outer_bytes,
                fabric.up[c],
                fabric.up_flit[c],
                outer.inject[p, d],
                outer.inject_flit[p, d],
                now,
                period,
                inner_free,
                outer_ready,
            )
            if half.taken != taken:
                inner.wake[c] = min(inner.wake[c], inner_free)
            if half.sent != sent:
                outer.wake[p] = min(outer.wake[p], outer_ready)
        else:
            reason, look = step_half(
                half,
                register,
                gate.outer_bytes,
                gate.inner_bytes,
                outer.eject[p, d],
                outer.eject_flit[p, d],
                fabric.queue[c, 0],
                fabric.queue_flit[c, 0],
                now,
                period,
                outer_free,
                inner_ready,
            )
            if half.taken != taken:
                outer.wake[p] = min(outer.wake[p], outer_free)
            if half.sent != sent:
                inner.wake[c] = min(inner.wake[c], inner_ready)
        account(half, bridge.stall[p, d, h], reason, now)
        wake = min(wake, look)
    return wake


@inlined
def wake_bridge(gate, outer, fabric):
    """Lower the wakes of all gateways to what the network between PUs stamped in its last visit."""
    for p in range(len(outer.node)):
        at = min(outer.node[p].eject_at, outer.node[p].credit_at)
        for d in range(2):
            c = gate_node(p, d, gate.cores)
            fabric.link_wake[c] = min(fabric.link_wake[c], at)


@kernel
def settle_bridge(now, bridge):
    """Close the accounts of the gateways at a tick.

    Parameters
    ----------
    now : int
        Ticks.
    bridge : Bridge
        Changed.
    """
    pus, ports, halves = bridge.half.shape
    for p in range(pus):
        for d in range(ports):
            for h in range(halves):
                half = bridge.half[p, d, h]
                bridge.stall[p, d, h, half.reason] += now - half.since
                half.since = now
