"""Sums along a tree: an adder in every router, and the table of what it adds.

A lane is one entry of the table and one virtual channel of every link.  An operation gets the same lane in all routers
of its tree before its first flit is sent, and gives it back when its result has arrived; no two operations are ever
in one buffer, so none waits for another.  The first flits of all expected inputs are added in the order of the ports,
and the sum goes on `add_delay` cycles later, by pseudo port P + output, as any flit.  A flit that comes alone passes
without delay, but where a sum turns round into a multicast.
"""

from nmpsim.kernel import NEVER, inlined, lowest_bit
from nmpsim.noc.router.bits import without_lowest
from nmpsim.noc.router.events import enter_channel, send_credit, send_flit
from nmpsim.noc.router.multicast import enter_copied
from nmpsim.noc.router.state import DESTINATION_BIT, DESTINATION_MASK, HEAD, PACKET_BIT, TAIL
from nmpsim.noc.router.tree_state import MULTICAST, REDUCE


@inlined
def log_event(operation, place, flit, now, state):
    """Keep what an adder added or a node took, in the order in which it happened."""
    totals = state.tree_totals[0]
    n = totals.events
    if n < len(state.tree_log):
        state.tree_log[n, 0] = operation
        state.tree_log[n, 1] = place
        state.tree_log[n, 2] = (flit >> DESTINATION_BIT) & DESTINATION_MASK
        state.tree_log[n, 3] = now
        totals.events = n + 1


@inlined
def enter_lane(r, p, e, flit, params, state):
    """Take a flit into the buffer of input `p` and lane `e`."""
    f = (r * params.real_ports + p) * params.lanes + e
    head, count = state.addend_head[f], state.addend_count[f]
    state.addend[f, (head + count) & (params.places - 1)] = flit
    state.addend_count[f] = count + 1
    state.lane[r * params.lanes + e].have |= 1 << p


@inlined
def turned_channel(flit, e, params, state):
    """Return the multicast channel of the packet that a sum of lane `e` becomes a flit of; packets take turns."""
    packet = ((flit >> DESTINATION_BIT) & DESTINATION_MASK) // state.operation[flit >> PACKET_BIT].packet_flits
    return (packet + e) % params.multicast_lanes


@inlined
def room_of_sum(r, e, expected, is_copied, params, state):
    """Return the free places behind the adder for lane `e`; for an all-reduce at its root in its multicast buffer."""
    if is_copied:
        f = (r * params.real_ports + lowest_bit(expected)) * params.lanes + e
        m = r * params.multicast_vcs + turned_channel(state.addend[f, state.addend_head[f]], e, params, state)
        if state.copied_by[m] >= 0 and state.copied_by[m] != e:  # another sum is in the middle of a packet
            return 0
        return state.copied_room[m]
    return state.lane[r * params.lanes + e].room


@inlined
def leave_adder(r, e, flit, at, now, is_copied, params, state):
    """Let a sum go on at cycle `at`."""
    operation = state.operation[flit >> PACKET_BIT]
    n = r * params.lanes + e
    if is_copied:  # the root turns it round: packets of a multicast
        number = (flit >> DESTINATION_BIT) & DESTINATION_MASK
        flit &= ~(HEAD | TAIL)
        if number % operation.packet_flits == 0:
            flit |= HEAD
        if (number + 1) % operation.packet_flits == 0 or number + 1 == operation.flits:
            flit |= TAIL
        m = turned_channel(flit, e, params, state)
        state.copied_room[r * params.multicast_vcs + m] -= 1
        state.copied_by[r * params.multicast_vcs + m] = -1 if flit & TAIL else e
        if at == now:
            enter_copied(r, params.real_ports, m, flit, now, params, state)
        else:
            send_flit(r << 16 | (2 * params.real_ports) << 8 | m, flit, at, params, state)
        return
    state.lane[n].room -= 1
    p = params.real_ports + state.tree_at[operation.tree * params.routers + r].up
    v = (params.real_ports + 1) * params.multicast_vcs + e
    if at == now:
        enter_channel(r, p, v, flit, now, now, params, state)
    else:
        send_flit(r << 16 | p << 8 | v, flit, at, params, state)


@inlined
def take_addend(r, p, e, now, params, state):
    """Take the first flit of input `p` and lane `e`; its credit goes back."""
    f = (r * params.real_ports + p) * params.lanes + e
    head = state.addend_head[f]
    flit = state.addend[f, head]
    state.addend_head[f] = (head + 1) & (params.places - 1)
    state.addend_count[f] -= 1
    if state.addend_count[f] == 0:
        state.lane[r * params.lanes + e].have &= ~(1 << p)
    into = state.input_port[r * params.ports + p]
    v = params.unicast_vcs + params.multicast_vcs + e
    send_credit(
        into.credit_to + v if into.credit_to >= 0 else into.credit_to - v, now + into.credit_cycles, params, state
    )
    return flit


@inlined
def add_front(r, e, expected, at, now, is_copied, params, state):
    """Take the first flit of every expected input, and send their sum."""
    flit = 0
    rest = expected
    while rest != 0:
        flit = take_addend(r, lowest_bit(rest), e, now, params, state)
        rest = without_lowest(rest)
    log_event(flit >> PACKET_BIT, r, flit, now, state)
    leave_adder(r, e, flit, at, now, is_copied, params, state)


@inlined
def step_adder(r, now, params, state):
    """Serve the lanes of router `r`; return when it may act again."""
    adder = state.adder[r]
    wake = NEVER
    first = adder.turn
    for k in range(params.lanes):
        e = (first + k) % params.lanes
        lane = state.lane[r * params.lanes + e]
        if lane.operation < 0 or lane.have == 0:
            continue
        operation = state.operation[lane.operation]
        at = state.tree_at[operation.tree * params.routers + r]
        if lane.have & at.expected != at.expected:
            adder.waiting += 1
            wake = now + 1
            continue
        wake = now + 1
        is_copied = at.is_root == 1 and operation.kind != REDUCE
        alone = without_lowest(at.expected) == 0
        if room_of_sum(r, e, at.expected, is_copied, params, state) == 0:
            adder.no_room += 1
        elif alone:
            adder.passed += 1
            later = params.add_delay if is_copied else 0  # behind the sums that go the same way
            add_front(r, e, at.expected, now + later, now, is_copied, params, state)
        elif adder.free_at > now:
            adder.busy += 1
        else:
            adder.added += 1
            adder.free_at = now + params.add_interval
            adder.turn = e + 1 if e + 1 < params.lanes else 0
            add_front(r, e, at.expected, now + params.add_delay, now, is_copied, params, state)
    return wake


@inlined
def lane_for(tree, params, state):
    """Return the first lane that is free in all routers of a tree, -1 if none is."""
    for e in range(params.lanes):
        free = True
        for r in range(params.routers):
            if state.tree_at[tree * params.routers + r].up >= 0 and state.lane[r * params.lanes + e].operation >= 0:
                free = False
                break
        if free:
            return e
    return -1


@inlined
def admit_sums(now, params, state):
    """Give lanes to the sums whose time has come, in their order; return when the next one may ask."""
    totals = state.tree_totals[0]
    wake = NEVER
    is_first = True
    for n in range(totals.first_waiting, len(state.operation)):
        operation = state.operation[n]
        if operation.kind == MULTICAST or operation.lane >= 0:
            if is_first:
                totals.first_waiting = n + 1
            continue
        is_first = False
        if operation.at > now:
            if operation.at < wake:
                wake = operation.at
            continue
        e = lane_for(operation.tree, params, state)
        if e < 0:
            continue
        operation.lane = e
        operation.admitted_at = now
        totals.table_full += now - operation.at
        for r in range(params.routers):
            if state.tree_at[operation.tree * params.routers + r].up >= 0:
                state.lane[r * params.lanes + e].operation = n
        for node in range(params.nodes):
            state.contributed[node * params.lanes + e] = 0
        if e + 1 > totals.lanes_most:
            totals.lanes_most = e + 1
    return wake


@inlined
def free_lane(operation, params, state):
    """Take its lane from a sum that has arrived."""
    for r in range(params.routers):
        if state.tree_at[operation.tree * params.routers + r].up >= 0:
            state.lane[r * params.lanes + operation.lane].operation = -1
