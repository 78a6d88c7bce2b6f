"""Sums in the routers of a die: contributions of all nodes flow along a tree to one node, and are added on the way.

    node ------> [ b a ]--+
    right -----> [   a ]--+--> a + a + a, in the order of the ports --> pseudo port of the output towards the owner
    left ------> [ c b a]-+    nADD cycles for each addition

Every port of the cores has lanes of its own: a virtual channel of each link, and a buffer at each input.  A sum's lane
follows from its owner; all nodes contribute to the sums of one port in the same order.  So every buffer of a lane holds
flits of sums in that order, and the node's own contribution tells a router which sum is next and which inputs bring
parts of it: no table is set up ahead.  What leaves an adder keeps its order, too: a flit that has nothing to wait for
does not overtake one that is being added.

Why nothing waits in a circle: of the sums of a port that are not over, the first one has its flits before those of the
others in every injection queue and every buffer, so nothing but places behind it and the contributions of others, which
are still to be sent, can hold it up; and a lane has places of its own in the ejection queue.

The owner's flit carries the sum into its ejection queue; of the others the node's own goes on until then.
"""

from nmpsim.kernel import inlined, lowest_bit
from nmpsim.noc.die.state import NO_FAULT, UNLIKE_SUMS
from nmpsim.noc.die.sum_state import ADDER_BUSY, IDLE, MOVED, NO_ROOM, WAITING
from nmpsim.noc.router.bits import without_lowest
from nmpsim.noc.router.reduction import leave_adder, take_addend
from nmpsim.noc.router.state import HEAD, PACKET_BIT, TAIL


@inlined
def first_addend(r, p, e, params, state):
    """Return the first flit in the buffer of input `p` and lane `e`."""
    f = (r * params.real_ports + p) * params.lanes + e
    return state.addend[f, state.addend_head[f]]


@inlined
def merge(r, e, at, word, adder, cycle, now, noc, ports, fabric):
    """Take the first flit of every expected input and send their sum, or the only one, on (changes `adder`)."""
    params, state = fabric.params, fabric.routers
    tree = state.operation[word >> PACKET_BIT].tree
    own = at.up if at.is_root else adder.input  # terminals come in by the port by which they go out
    kept, merged = word, 0
    rest = at.expected
    while rest != 0:
        p = lowest_bit(rest)
        rest = without_lowest(rest)
        flit = take_addend(r, p, e, cycle, params, state)
        row = flit >> PACKET_BIT
        if state.operation[row].tree != tree or flit & (HEAD | TAIL) != word & (HEAD | TAIL):
            node = ports.node[tree % noc.nodes]
            if node.fault == NO_FAULT:
                node.fault = UNLIKE_SUMS
                node.fault_at = now
        if p == own:
            kept = flit
        else:
            merged += 1
            totals = state.totals[0]
            state.free_row[totals.free_rows] = row
            totals.free_rows += 1
    adder.merged += merged
    account = fabric.summing.account[r * params.lanes + e]
    account.left_at = max(cycle + merged * noc.nADD, account.left_at + 1)
    leave_adder(r, e, kept, account.left_at, cycle, False, params, state)


@inlined
def step_lane(r, e, used, adder, cycle, now, noc, ports, fabric):
    """Let lane `e` of router `r` act, whose adder may be `used` in this cycle; return what it does."""
    params, state = fabric.params, fabric.routers
    lane = state.lane[r * params.lanes + e]
    if lane.have == 0:
        return IDLE
    if (lane.have >> adder.input) & 1 == 0:
        return WAITING
    word = first_addend(r, adder.input, e, params, state)
    at = state.tree_at[state.operation[word >> PACKET_BIT].tree * params.routers + r]
    if lane.have & at.expected != at.expected:
        return WAITING
    if lane.room == 0:
        return NO_ROOM
    if without_lowest(at.expected) == 0:
        adder.alone += 1
    elif used:
        return ADDER_BUSY
    else:
        adder.added += 1
    merge(r, e, at, word, adder, cycle, now, noc, ports, fabric)
    return MOVED


@inlined
def step_adders(cycle, now, order, noc, ports, fabric):
    """Step the adders of all routers; return whether one will have something to do in the next cycle.

    An adder begins one sum a cycle; its lanes take turns.  What a lane does lasts until something comes in or leaves,
    but for moving and for an adder in use.
    """
    params, summing = fabric.params, fabric.summing
    lanes = noc.sum_lanes
    busy = False
    for r in order:
        if r >= params.routers:
            continue
        for n in range(len(summing.adder) // params.routers):
            adder = summing.adder[n * params.routers + r]
            first, used = adder.turn, False
            for k in range(lanes):
                e = n * lanes + (first + k) % lanes
                added = adder.added
                reason = step_lane(r, e, used, adder, cycle, now, noc, ports, fabric)
                if adder.added != added:
                    used = True
                    adder.turn = (e + 1) % lanes
                if reason == MOVED or reason == ADDER_BUSY:
                    busy = True
                account = summing.account[r * params.lanes + e]
                if account.reason != reason:
                    summing.stall[r, account.reason] += cycle - account.since
                    account.since = cycle
                    account.reason = reason
    return busy


@inlined
def settle_adders(cycle, fabric):
    """Close the accounts of all lanes at the start of a network cycle."""
    params, summing = fabric.params, fabric.summing
    for n in range(len(summing.account)):
        account = summing.account[n]
        summing.stall[n // params.lanes, account.reason] += cycle - account.since
        account.since = cycle
