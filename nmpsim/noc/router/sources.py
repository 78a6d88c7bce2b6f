"""Sources: one unlimited queue per node, one flit a cycle.

Random numbers are those of L'Ecuyer's combined Tausworthe generator taus88 ("Maximally Equidistributed Combined
Tausworthe Generators", Mathematics of Computation 65, 1996): 32 bits from three words, one generator per node, so no
number depends on the order in which nodes or routers are visited.

A Bernoulli source draws gaps, not one trial a cycle.  The bits of a geometric number are independent: with q the
probability of no packet, bit i is 1 with probability q^(2^i) / (1 + q^(2^i)).
"""

from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.noc.router.bits import first_from
from nmpsim.noc.router.events import is_measured, send_flit
from nmpsim.noc.router.state import DESTINATION_BIT, HEAD, PACKET_BIT, TAIL

BERNOULLI, BATCH, TRACE = range(3)
"""Kinds of traffic: a packet with the same probability in each cycle; all at once; what the user says."""

WORD = (1 << 32) - 1


@inlined
def random_word(source):
    """Return the next 32 random bits of a node."""
    s1, s2, s3 = source.s1, source.s2, source.s3
    s1 = (((s1 & 4294967294) << 12) & WORD) ^ ((((s1 << 13) & WORD) ^ s1) >> 19)
    s2 = (((s2 & 4294967288) << 4) & WORD) ^ ((((s2 << 2) & WORD) ^ s2) >> 25)
    s3 = (((s3 & 4294967280) << 17) & WORD) ^ ((((s3 << 3) & WORD) ^ s3) >> 11)
    source.s1 = s1
    source.s2 = s2
    source.s3 = s3
    return s1 ^ s2 ^ s3


@inlined
def draw_gap(source, traffic, tables):
    """Return the number of cycles without a packet before the next one."""
    gap = 0
    for bit in range(traffic.gap_bits):
        if random_word(source) < tables.gap[bit]:
            gap += 1 << bit
    return gap


@inlined
def draw_destination(node, source, traffic, tables):
    """Return where a packet goes."""
    if traffic.spots == 0:
        return tables.destination[node]
    drawn = random_word(source)
    n = (drawn * traffic.spots) >> 32  # right if all are as likely, else where to begin
    while drawn >= tables.spot[n, 1]:
        n += 1
    while n > 0 and drawn < tables.spot[n - 1, 1]:
        n -= 1
    return tables.spot[n, 0]


@inlined
def make_packet(node, now, params, traffic, tables, state):
    """Make the next packet of a node; return its destination."""
    source, totals = state.source[node], state.totals[0]
    totals.free_rows -= 1
    row = state.free_row[totals.free_rows]
    packet = state.packet[row]
    packet.serial = totals.made
    packet.source = node
    packet.flits = traffic.flits
    packet.made_at = source.next_at
    packet.received = 0
    packet.held_class = 0
    packet.coin = 0
    if traffic.kind == TRACE:
        traced = tables.trace[source.at]
        destination = traced.destination
        packet.flits = traced.flits
        packet.serial = traced.serial
        source.at += 1
    else:
        destination = draw_destination(node, source, traffic, tables)
    if params.classes > 1:
        packet.coin = random_word(source)
    packet.counted = is_measured(source.next_at, totals)
    totals.counted_in_flight += packet.counted
    totals.in_flight += 1
    totals.made += 1
    totals.last_made_at = now
    source.packet = row
    source.flits = packet.flits
    source.sent = 0
    source.vc = -1
    source.made += 1
    source.offered += packet.flits
    if traffic.kind == BERNOULLI:
        source.next_at += 1 + draw_gap(source, traffic, tables)
    else:
        source.left -= 1
        totals.remaining -= 1
        if source.left == 0:
            source.next_at = NEVER
        elif traffic.kind == TRACE:
            source.next_at = tables.trace[source.at].at
    return destination


@inlined
def choose_channel(node, source, params, state):
    """Return the first virtual channel behind the last one used that is free and has a credit, -1 if none."""
    free = ((1 << params.vcs) - 1) & ~source.taken
    for v in range(params.vcs):
        if state.source_vc[node * params.vcs + v].credits == 0:
            free &= ~(1 << v)
    if free == 0:
        return -1
    return first_from(free, source.last_vc + 1)


@inlined
def step_source(node, now, params, traffic, tables, state):
    """Send at most one flit of a node; return when it may act again, NEVER if that takes a credit."""
    source = state.source[node]
    if source.packet < 0:
        if source.next_at > now:
            return source.next_at
        destination = make_packet(node, now, params, traffic, tables, state)
        source.destination = destination
    packet = state.packet[source.packet]
    if source.vc < 0:
        v = choose_channel(node, source, params, state)
        if v < 0:
            return NEVER
        source.vc = v
        source.last_vc = v
        source.taken |= 1 << v
        packet.entered_at = now
    v = source.vc
    channel = state.source_vc[node * params.vcs + v]
    if channel.credits == 0:
        return NEVER
    channel.credits -= 1
    flit = source.packet << PACKET_BIT | source.destination << DESTINATION_BIT
    if source.sent == 0:
        flit |= HEAD
    source.sent += 1
    source.injected += 1
    if source.sent == source.flits:
        flit |= TAIL
        source.packet = -1
        if params.wait_for_tail_credit:
            channel.tail_sent = 1
        else:
            source.taken &= ~(1 << v)
    send_flit(source.to + v, flit, now + 1 + source.cycles, params, state)
    return now + 1


@inlined
def step_sources(now, params, traffic, tables, state):
    """Step all sources; return when the first of them may act again."""
    wake = NEVER
    for node in range(params.nodes):
        again = state.source_wake[node]
        if again <= now:
            again = step_source(node, now, params, traffic, tables, state)
            state.source_wake[node] = again
        if again < wake:
            wake = again
    return wake


@kernel
def start_sources(params, traffic, tables, state):
    """Draw when each node makes its first packet.

    Parameters
    ----------
    params : NetworkParams
    traffic : TrafficParams
        Bernoulli traffic.
    tables : TrafficTables
    state : NetworkState
        Changed.
    """
    for node in range(params.nodes):
        source = state.source[node]
        source.next_at = draw_gap(source, traffic, tables)
