"""Nodes that take part in operations: what they send, what they get, and what waits for it.

A node sends one flit a cycle in all.  It takes turns: a flit of each lane that it contributes to, one of its
multicasts, which it sends one after the other; and if other traffic is waiting too, every second cycle is left to it.
"""

from nmpsim.kernel import NEVER, inlined
from nmpsim.noc.router.events import enter_channel, note_event, send_credit, send_flit
from nmpsim.noc.router.multicast import branch_sent, enter_copied
from nmpsim.noc.router.reduction import admit_sums, enter_lane, free_lane, log_event, step_adder
from nmpsim.noc.router.state import DESTINATION_BIT, HEAD, PACKET_BIT, TAIL


@inlined
def enter_tree(to, flit, now, params, state):
    """Take a flit of a tree into a router: a real port of a tree's channel, or something that leaves an adder."""
    r, p, v = to >> 16, (to >> 8) & 255, to & 255
    if p == 2 * params.real_ports:
        enter_copied(r, params.real_ports, v, flit, now, params, state)
    elif p >= params.real_ports:
        enter_channel(r, p, v, flit, now, now, params, state)
    elif v < params.unicast_vcs + params.multicast_vcs:
        enter_copied(r, p, v - params.unicast_vcs, flit, now, params, state)
    else:
        enter_lane(r, p, v - params.unicast_vcs - params.multicast_vcs, flit, params, state)


@inlined
def arrive_in_tree(node, v, flit, now, params, state):
    """Take a flit of a tree at a node; its credit goes back at once."""
    number = flit >> PACKET_BIT
    operation = state.operation[number]
    state.member[node].accepted += 1
    operation.left -= 1
    log_event(number, -1 - node, flit, now, state)
    if operation.left == 0:
        operation.ended_at = now
        state.tree_totals[0].open -= 1
        if operation.lane >= 0:
            free_lane(operation, params, state)
        note_event(number, state)
    source = state.source[node]
    send_credit(source.eject_place + v, now + source.eject_credit, params, state)


@inlined
def release_followers(now, tables, state):
    """Let start what waited for the things that came in this cycle."""
    totals = state.tree_totals[0]
    for k in range(totals.arrived):
        event = state.arrived[k]
        if event >= 0:
            first, number = state.operation[event].following, state.operation[event].followers
        else:
            first, number = state.traced_wait[-1 - event].following, state.traced_wait[-1 - event].followers
        for n in range(first, first + number):
            target = state.follower[n].operation
            if target >= 0:
                operation = state.operation[target]
                operation.waits -= 1
                if operation.waits == 0:
                    operation.at = now + operation.delay
            else:
                release_message(state.follower[n].message, now, tables, state)
    totals.arrived = 0


@inlined
def release_message(serial, now, tables, state):
    """Take one event from those that a message waits for."""
    waiting = state.traced_wait[serial]
    waiting.waits -= 1
    if waiting.waits > 0:
        return
    at = now + waiting.delay
    waiting.at = at
    tables.trace[waiting.row].at = at
    source = state.source[waiting.node]
    if source.at == waiting.row and source.left > 0:
        source.next_at = at
        if source.packet < 0 and at < state.source_wake[waiting.node]:
            state.source_wake[waiting.node] = at


@inlined
def send_for(node, number, index, first, last, vc, now, params, state):
    """Send flit `index` of an operation from a node into virtual channel `vc` of its router."""
    source = state.source[node]
    state.source_vc[node * params.vcs + vc].credits -= 1
    flit = number << PACKET_BIT | index << DESTINATION_BIT
    if first:
        flit |= HEAD
    if last:
        flit |= TAIL
    if state.operation[number].entered_at < 0:
        state.operation[number].entered_at = now
    state.member[node].injected += 1
    send_flit(source.to + vc, flit, now + 1 + source.cycles, params, state)


@inlined
def contribute(node, e, now, params, state):
    """Send the node's next flit of the sum in lane `e`; return 1 if there was one and a credit."""
    r = state.source[node].to >> 16
    number = state.lane[r * params.lanes + e].operation
    if number < 0:
        return 0
    operation = state.operation[number]
    sent = state.contributed[node * params.lanes + e]
    vc = params.unicast_vcs + params.multicast_vcs + e
    if state.tree_member[operation.tree * params.nodes + node] == 0 or sent == operation.flits:
        return 0
    if state.source_vc[node * params.vcs + vc].credits == 0:
        return 0
    state.contributed[node * params.lanes + e] = sent + 1
    send_for(node, number, sent, sent == 0, sent + 1 == operation.flits, vc, now, params, state)
    return 1


@inlined
def multicast_due(member, operation):
    """Return when the next flit of a multicast may be sent, as far as its pace goes."""
    if member.sent % operation.packet_flits == 0:
        return operation.at + member.sent * operation.every
    return operation.at


@inlined
def send_multicast(node, now, params, state):
    """Send the next flit of the node's multicasts; return 1 if there was one and a credit."""
    member = state.member[node]
    if member.next == member.end:
        return 0
    number = state.multicast_queue[member.next]
    operation = state.operation[number]
    if multicast_due(member, operation) > now:
        return 0
    sent = member.sent
    first = sent % operation.packet_flits == 0
    m = member.vc
    if first:
        m = m + 1 if m + 1 < params.multicast_lanes else 0
    if state.source_vc[node * params.vcs + params.unicast_vcs + m].credits == 0:
        return 0
    member.vc = m
    member.sent = sent + 1
    last = (sent + 1) % operation.packet_flits == 0 or sent + 1 == operation.flits
    send_for(node, number, sent, first, last, params.unicast_vcs + m, now, params, state)
    if member.sent == operation.flits:
        member.next += 1
        member.sent = 0
    return 1


@inlined
def step_member(node, now, params, state):
    """Send at most one flit of a tree from a node; return when it may act again, NEVER if that takes an event."""
    member = state.member[node]
    if member.sent_at == now - 1 and state.source_wake[node] <= now:
        return now + 1
    for k in range(params.lanes + 1):
        turn = (member.turn + k) % (params.lanes + 1)
        if turn < params.lanes:
            went = contribute(node, turn, now, params, state)
        else:
            went = send_multicast(node, now, params, state)
        if went:
            member.turn = (turn + 1) % (params.lanes + 1)
            member.sent_at = now
            if state.source_wake[node] <= now:
                state.source_wake[node] = now + 1
            return now + 1
    if member.next < member.end:
        at = multicast_due(member, state.operation[state.multicast_queue[member.next]])
        if at > now:
            return at
    return NEVER


@inlined
def step_trees(now, params, tables, state):
    """Do all that trees need before the sources and routers of a cycle; return when they may act again."""
    release_followers(now, tables, state)
    wake = admit_sums(now, params, state)
    for node in range(params.nodes):
        again = step_member(node, now, params, state)
        if again < wake:
            wake = again
    for r in range(params.routers):
        again = step_adder(r, now, params, state)
        if again < wake:
            wake = again
    return wake


@inlined
def finish_branches(now, params, state):
    """Give back what the branches that sent in this cycle have left; return how many these were."""
    totals = state.tree_totals[0]
    number = totals.sent
    for k in range(number):
        place, flit = state.sent_branch[k, 0], state.sent_branch[k, 1]
        r, p, v = place >> 16, (place >> 8) & 255, place & 255
        source = branch_sent(r, p, v, flit, now, params, state)
        m = v % params.multicast_vcs
        if source == params.real_ports:
            state.copied_room[r * params.multicast_vcs + m] += 1
        elif source >= 0:
            into = state.input_port[r * params.ports + source]
            vc = params.unicast_vcs + m
            to = into.credit_to + vc if into.credit_to >= 0 else into.credit_to - vc
            send_credit(to, now + into.credit_cycles, params, state)
    totals.sent = 0
    return number
