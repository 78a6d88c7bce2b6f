"""Terminals: from injection queues into the routers, out of the routers into ejection queues.

    injection queue --> source --> router --> ... --> router --> ejection queue
                          ^          |                   ^             |
                          +- credit -+                   +--- credit --+

A source sends a flit a cycle, as soon as its stamp and a credit of its channel allow.  The output towards a terminal
has as many credits as the ejection queue has places; the credit of a place comes back at its ``free_at``.

A multicast is cut into packets that fit into a buffer.  Its flits share one row of the table with all their copies,
which is free again when the last copy has come out.  Of the contributions to a sum the owner's keeps its row: the sum
comes out by it.
"""

from nmpsim.kernel import NEVER, inlined
from nmpsim.link.network_port import (
    TO_ALL,
    TO_SUM,
    blank_flit,
    copy_flit,
    flit_at,
    head_flit,
    take_flit,
    write_flit,
)
from nmpsim.noc.die.gate_node import gate_node, leaves_group
from nmpsim.noc.die.state import BAD_DESTINATION, BROKEN_PACKET, LOST_WAY, NO_FAULT
from nmpsim.noc.die.topology import CORE_PORTS, GATEWAY
from nmpsim.noc.router.events import enter_router, send_flit, take_credit
from nmpsim.noc.router.members import enter_tree
from nmpsim.noc.router.state import DESTINATION_BIT, DESTINATION_MASK, HEAD, PACKET_BIT, TAIL
from nmpsim.noc.router.tree_state import MULTICAST, REDUCE


@inlined
def refuse(c, fault, now, ports):
    """Keep the first fault of a node."""
    node = ports.node[c]
    if node.fault == NO_FAULT:
        node.fault = fault
        node.fault_at = now


@inlined
def fault_of(c, d, flit, expected, noc, stacks):
    """Return why a flit of the injection queue of port `d` of node `c` is refused; NO_FAULT if it may be sent."""
    if flit.sequence != expected:
        return BROKEN_PACKET
    if flit.kind == TO_ALL:
        if d >= CORE_PORTS or flit.port != d or flit.stack != 0 or noc.multicast_lanes == 0 or noc.nodes == 1:
            return BAD_DESTINATION
        return NO_FAULT
    if flit.destination < 0 or flit.destination >= noc.nodes * noc.behind or flit.port < 0 or flit.port >= CORE_PORTS:
        return BAD_DESTINATION
    if flit.kind == TO_SUM:
        if d >= CORE_PORTS or flit.port != d or flit.stack != 0 or noc.sum_lanes == 0 or noc.nodes == 1:
            return BAD_DESTINATION
        return NO_FAULT
    own = flit.stack == 0 and flit.destination // noc.behind == c
    if d < CORE_PORTS and (flit.stack < 0 or flit.stack >= stacks or own):
        return BAD_DESTINATION
    return NO_FAULT


@inlined
def send_from(c, d, queue, flits, now, noc, stacks, period, ports, fabric):
    """Send at most one flit of an injection queue; return the tick to look again."""
    ready = flit_at(queue, flits)
    if ready > now:
        return ready
    routers, params = fabric.routers, fabric.params
    t = d * noc.nodes + c
    terminal = fabric.terminal[t]
    flit = head_flit(queue, flits)
    fault = fault_of(c, d, flit, terminal.expected, noc, stacks)
    if fault != NO_FAULT:
        refuse(c, fault, now, ports)
        return NEVER
    if terminal.expected == 0:
        terminal.goal = flit.port * noc.nodes + flit.destination // noc.behind
        if d < CORE_PORTS and flit.stack != 0:
            terminal.goal = GATEWAY * noc.nodes + c
        elif d < CORE_PORTS and noc.groups > 1 and leaves_group(c, flit.destination, noc):
            terminal.goal = GATEWAY * noc.nodes + gate_node(c // (noc.nodes // noc.groups), d, noc.nodes // noc.groups)
        terminal.channel = flit.destination % params.unicast_vcs
        if flit.kind == TO_ALL:
            terminal.goal = t
            terminal.channel = terminal.multicast_channel
        elif flit.kind == TO_SUM:
            lane = d * noc.sum_lanes + flit.destination * noc.sum_lanes // noc.nodes
            terminal.channel = params.unicast_vcs + params.multicast_vcs + lane
    v = terminal.channel
    credit = routers.source_vc[t * params.vcs + v]
    if credit.credits == 0:
        return NEVER
    credit.credits -= 1
    totals = routers.totals[0]
    totals.free_rows -= 1
    row = routers.free_row[totals.free_rows]
    copy_flit(fabric.carried[row], flit)
    routers.packet[row].held_class = 0
    word = row << PACKET_BIT | terminal.goal << DESTINATION_BIT
    begins, ends = terminal.expected == 0, flit.last == 1
    if flit.kind == TO_ALL:
        begins = terminal.expected % noc.multicast_flits == 0
        ends = ends or (terminal.expected + 1) % noc.multicast_flits == 0
        routers.operation[row].kind = MULTICAST
        routers.operation[row].tree = t
        routers.operation[row].left = noc.nodes - 1
        terminal.multicast += 1
    elif flit.kind == TO_SUM:
        routers.operation[row].kind = REDUCE
        routers.operation[row].tree = terminal.goal
        terminal.contributed += 1
    if begins:
        word |= HEAD
    if ends:
        word |= TAIL
    terminal.expected = 0 if flit.last == 1 else terminal.expected + 1
    terminal.injected += 1
    free_at = now + noc.nCREDIT * period
    take_flit(queue, flits, free_at)
    if d < CORE_PORTS:
        ports.node[c].credit_at = min(ports.node[c].credit_at, free_at)
    else:
        fabric.link_wake[c] = min(fabric.link_wake[c], free_at)
    source = routers.source[t]
    send_flit(source.to + v, word, now // period + 1 + source.cycles, params, routers)
    return now + period


@inlined
def return_credits(t, queue, flits, now, cycle, fabric):
    """Give back the credits of the places of an ejection queue that are free now; return the tick to look again."""
    terminal = fabric.terminal[t]
    while terminal.credited < queue.head:
        flit = flits[terminal.credited % len(flits)]
        if flit.free_at > now:
            return flit.free_at
        take_credit(fabric.routers.source[t].eject_place + flit.channel, cycle, fabric.params, fabric.routers)
        terminal.credited += 1
    return NEVER


@inlined
def step_terminal(c, d, now, noc, stacks, period, ports, fabric):
    """Let the source and the sink of a terminal act; return the tick to look again."""
    cycle = now // period
    t = d * noc.nodes + c
    if d < CORE_PORTS:
        look = return_credits(t, ports.eject[c, d], ports.eject_flit[c, d], now, cycle, fabric)
        queue, flits = ports.inject[c, d], ports.inject_flit[c, d]
    else:
        look = return_credits(t, fabric.up[c], fabric.up_flit[c], now, cycle, fabric)
        queue, flits = fabric.queue[c, 0], fabric.queue_flit[c, 0]
    return min(look, send_from(c, d, queue, flits, now, noc, stacks, period, ports, fabric))


@inlined
def eject(t, v, word, now, noc, link, stacks, core_period, ports, fabric):
    """Hand a flit that came by channel `v` to the ejection queue of its terminal."""
    routers = fabric.routers
    c, d = t % noc.nodes, t // noc.nodes
    row = word >> PACKET_BIT
    is_free = True
    if v >= fabric.params.unicast_vcs:
        operation = routers.operation[row]
        if operation.kind == REDUCE:
            if operation.tree != t:
                refuse(c, LOST_WAY, now, ports)
            fabric.terminal[t].sums += 1
        else:
            if operation.tree == t or operation.tree // noc.nodes != d:
                refuse(c, LOST_WAY, now, ports)
            operation.left -= 1
            is_free = operation.left == 0
            fabric.terminal[t].copies += 1
    elif (word >> DESTINATION_BIT) & DESTINATION_MASK != t:
        refuse(c, LOST_WAY, now, ports)
    if d < CORE_PORTS:
        queue, flits = ports.eject[c, d], ports.eject_flit[c, d]
        ready = (now // core_period + noc.nSYNC) * core_period
        ports.node[c].eject_at = min(ports.node[c].eject_at, ready)
    else:
        queue, flits = fabric.up[c], fabric.up_flit[c]
        sync = link.sync if link.sync > 0 else noc.nSYNC
        ready = (now // link.period + sync) * link.period
        fabric.link_wake[c] = min(fabric.link_wake[c], ready)
    flit = blank_flit(queue, flits)
    copy_flit(flit, fabric.carried[row])
    if d == GATEWAY:
        flit.stack = min(flit.stack, stacks - flit.stack)
    if flit.kind == TO_ALL:
        flit.destination = c
    flit.channel = v
    write_flit(queue, flits, ready)
    fabric.terminal[t].ejected += 1
    if is_free:
        totals = routers.totals[0]
        routers.free_row[totals.free_rows] = row
        totals.free_rows += 1


@inlined
def take_arrivals(now, noc, link, stacks, period, core_period, ports, fabric):
    """Take all flits and credits that arrive in this cycle."""
    params, routers = fabric.params, fabric.routers
    cycle = now // period
    slot = cycle & (params.wheel - 1)
    for n in range(routers.flit_count[slot]):
        event = (slot * params.room + n) * 2
        to, word = routers.flit_event[event], routers.flit_event[event + 1]
        if to >= 0 and to & 255 < params.unicast_vcs:
            enter_router(to, word, cycle, params, routers)
        elif to >= 0:
            enter_tree(to, word, cycle, params, routers)
        else:
            t, v = (-1 - to) >> 8, (-1 - to) & 255
            eject(t, v, word, now, noc, link, stacks, core_period, ports, fabric)
    routers.flit_count[slot] = 0
    for n in range(routers.credit_count[slot]):
        place = routers.credit_event[slot * params.room * 2 + n]
        if place >= 0:
            take_credit(place, cycle, params, routers)
        else:
            t, v = (-1 - place) >> 8, (-1 - place) & 255
            routers.source_vc[t * params.vcs + v].credits += 1
            fabric.terminal[t].again = now
    routers.credit_count[slot] = 0
