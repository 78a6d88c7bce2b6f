"""Registers of a network of virtual-channel routers, its sources and its sinks.

Things are numbered flat: port p of router r is r * ports + p, virtual channel v of it (r * ports + p) * vcs + v.  A
place, as it travels in events, is packed: ``router << 16 | port << 8 | vc``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import Record

IDLE, WANTS_VC, ACTIVE = range(3)
"""Phases of an input virtual channel: no packet; route known or on its way; holds an output virtual channel."""

CAUSES = ("pipeline", "vc_busy", "vc_conflict", "no_credit", "switch_conflict", "switch_held", "transfer")
"""What an input virtual channel that holds a flit spends a cycle on, exactly one for each; fields of ROUTER."""

WARMING, MEASURING, DRAINING = range(3)
"""Phases of a run: whether packets made now count."""

NO_FAULT, BROKEN_PACKET, LOST_WAY = range(3)
FAULTS = ("no fault", "a flit out of its packet's order", "a packet where no route leads on")

TAIL, HEAD = 1, 2
DESTINATION_BIT, HOP_BIT, PACKET_BIT = 2, 22, 34
DESTINATION_MASK, HOP_MASK = (1 << 20) - 1, (1 << 12) - 1
"""A flit is one word: tail, head, destination, routers visited, row of its packet."""

INPUT_VC = Record(
    "INPUT_VC",
    ("phase", "", "IDLE, WANTS_VC or ACTIVE"),
    ("ready", "cycle", "first cycle in which it may ask for what it needs next"),
    ("count", "flit", "flits in the buffer"),
    ("head", "", "place of the first of them"),
    ("out_port", "", "where its packet goes"),
    ("mask", "", "output virtual channels that the route allows, one bit each"),
    ("out_vc", "", "output virtual channel it holds, flat number"),
    ("turn", "", "output virtual channel whose grant it accepts first: port << 8 | vc"),
)

WATCH = Record(
    "WATCH",
    ("slept_at", "cycle", "since when an input virtual channel waits for a credit, -1 if it does not"),
    ("filled_at", "cycle", "since when its buffer holds a flit"),
)

OUTPUT_VC = Record(
    "OUTPUT_VC",
    ("credits", "flit", "free places of the buffer behind it"),
    ("owner", "", "place of the input virtual channel whose packet holds it, -1 if none"),
    ("turn", "", "input virtual channel that is granted first: port << 8 | vc"),
    ("tail_sent", "", "1 if it is free again as soon as all credits are back"),
)

INPUT_PORT = Record(
    "INPUT_PORT",
    ("wants_vc", "", "virtual channels whose head asks for an output virtual channel, one bit each"),
    ("outputs", "", "outputs that its virtual channels ask for, one bit each"),
    ("soon", "", "virtual channels that have won an output one and will ask for the switch, one bit each"),
    ("offset", "", "virtual channel that asks first among those for one output"),
    ("turn", "", "output whose grant it accepts first"),
    ("credit_to", "", "place of the output that feeds it, vc 0; of a node: -1 - (node << 8)"),
    ("credit_cycles", "cycle", "from winning the switch until the credit can be used there"),
    ("held_vc", "", "virtual channel that holds the switch"),
    ("held_out", "", "output that it holds"),
)

OUTPUT_PORT = Record(
    "OUTPUT_PORT",
    ("free", "", "virtual channels that no packet holds, one bit each"),
    ("turn", "", "input that is granted first"),
    ("to", "", "place of the input that it feeds, vc 0; of a node: -1 - (node << 8)"),
    ("cycles", "cycle", "latency of the link"),
    ("flits", "flit", "flits sent over the link"),
    ("last_left", "cycle", "when the last flit left, if stages work in batches"),
)

ROUTER = Record(
    "ROUTER",
    ("vc_ports", "", "input ports with virtual channels in wants_vc, one bit each"),
    ("switch_ports", "", "input ports with virtual channels that ask for the switch, one bit each"),
    ("soon_ports", "", "input ports with virtual channels in soon, one bit each"),
    ("asking", "", "virtual channels that ask for the switch"),
    ("held_in", "", "input ports that hold the switch, one bit each"),
    ("held_out", "", "output ports that are held, one bit each"),
    ("inputs", "", "number of input ports"),
    ("outputs", "", "number of output ports"),
    ("route_batch", "cycle", "when the last batch of the routing stage began, if stages work in batches"),
    ("switch_batch", "cycle", "when the last batch of the switch began, if stages work in batches"),
    ("pipeline", "cycle", "cycles of input virtual channels: routing, and delays of stages that they have won"),
    ("vc_busy", "cycle", "every output one that the route allows is held"),
    ("vc_conflict", "cycle", "others won the free ones"),
    ("no_credit", "cycle", "the buffer behind the output one is full"),
    ("switch_conflict", "cycle", "another flit won the input or the output"),
    ("switch_held", "cycle", "a packet holds the switch at the input or the output"),
    ("transfer", "cycle", "a flit was sent"),
    ("occupied", "cycle", "cycles that its virtual channels held flits, up to the last time each was empty"),
)

ASK = Record(
    "ASK",
    ("place", "", "input virtual channel that asks: port << 8 | vc"),
    ("mask", "", "free output virtual channels that it asks for, one bit each"),
    ("following", "", "next one that asks for the same output port, -1 if none"),
)

SOURCE = Record(
    "SOURCE",
    ("packet", "", "row of the packet being sent, -1 if none"),
    ("sent", "flit", "flits of it that were sent"),
    ("flits", "flit", "flits of it"),
    ("destination", "", "node it is for"),
    ("vc", "", "virtual channel it goes into, -1 if not yet chosen"),
    ("last_vc", "", "virtual channel chosen last, -1 if none yet"),
    ("taken", "", "virtual channels that are not free, one bit each"),
    ("next_at", "cycle", "when the next packet is made"),
    ("left", "packet", "packets that it will still make"),
    ("at", "", "next row of the trace"),
    ("made", "packet", "packets made"),
    ("offered", "flit", "flits of them"),
    ("injected", "flit", "flits sent"),
    ("accepted", "flit", "flits that arrived at the node"),
    ("s1", "", "random numbers"),
    ("s2", "", "random numbers"),
    ("s3", "", "random numbers"),
    ("cycles", "cycle", "latency of the link into the router"),
    ("to", "", "place of the input that it feeds, vc 0"),
    ("eject_place", "", "place of the output that feeds the node, vc 0"),
    ("eject_credit", "cycle", "from the arrival of a flit until its credit can be used by the router"),
)

SOURCE_VC = Record(
    "SOURCE_VC",
    ("credits", "flit", "free places of the buffer behind it"),
    ("tail_sent", "", "1 if it is free again as soon as all credits are back"),
)

PACKET = Record(
    "PACKET",
    ("serial", "", "number of the packet"),
    ("source", "", "node that made it"),
    ("flits", "flit", "length"),
    ("made_at", "cycle", "when it was made"),
    ("entered_at", "cycle", "when its head was sent"),
    ("received", "flit", "flits that have arrived"),
    ("counted", "", "1 while it is a packet in flight that is measured"),
    ("held_class", "", "class of its routing"),
    ("coin", "", "random number for choices on its way"),
)

TOTALS = Record(
    "TOTALS",
    ("now", "cycle", "cycles done"),
    ("skipped", "cycle", "of them, cycles in which nobody was visited"),
    ("phase", "", "WARMING, MEASURING or DRAINING"),
    ("drain_at", "cycle", "packets made from here on are not measured"),
    ("made", "packet", "packets made"),
    ("in_flight", "packet", "made and not yet arrived as a whole"),
    ("counted_in_flight", "packet", "of them, measured ones"),
    ("remaining", "packet", "packets of batch or trace not yet made"),
    ("free_rows", "", "rows of the packet table in the list of free ones"),
    ("packets", "packet", "arrived packets in the statistics"),
    ("latency", "cycle", "their cycles from being made to the arrival of the tail, summed"),
    ("latency_least", "cycle", "least of these"),
    ("latency_most", "cycle", "most of these"),
    ("network_latency", "cycle", "their cycles from the head being sent to the arrival of the tail, summed"),
    ("network_least", "cycle", "least of these"),
    ("network_most", "cycle", "most of these"),
    ("hops", "router", "routers visited by their heads, summed"),
    ("last_made_at", "cycle", "when the last packet was made"),
    ("last_arrival", "cycle", "when the last tail arrived"),
    ("fault", "", "first fault found"),
    ("fault_at", "cycle", "when it was found"),
)

LOGGED = Record(
    "LOGGED",
    ("source", "", "node that made the packet"),
    ("destination", "", "node that it is for"),
    ("made_at", "cycle", "when it was made"),
    ("entered_at", "cycle", "when its head was sent"),
    ("arrived_at", "cycle", "when its tail arrived, -1 if it has not"),
    ("hops", "router", "routers visited"),
)

TRACED = Record(
    "TRACED",
    ("at", "cycle", "when the packet is made"),
    ("destination", "", "node that it is for"),
    ("flits", "flit", "its length"),
    ("serial", "", "row of the user's trace"),
)


class NetworkParams(NamedTuple):
    """Sizes and settings as integers; delays in cycles."""

    routers: int
    nodes: int
    ports: int
    vcs: int
    buffer_flits: int
    places: int  # of a buffer in memory: a power of two
    classes: int
    groups: int
    wheel: int  # slots of the timing wheel: a power of two
    room: int  # flits that can arrive in one cycle; half the credits
    routing_delay: int
    vc_alloc_delay: int
    sw_alloc_delay: int
    switch_delay: int
    batched_stages: int
    speculative: int
    wait_for_tail_credit: int
    hold_switch: int
    vc_input_first: int
    vc_iterations: int
    sw_input_first: int
    sw_iterations: int
    sw_by_priority: int
    real_ports: int  # the ports behind them are those of branches and sums
    unicast_vcs: int  # the virtual channels behind them are those of trees
    multicast_vcs: int  # of a real port, all classes; 0 without trees
    multicast_lanes: int  # of one class
    lanes: int  # entries of an adder's table, and virtual channels of sums; 0 without adders
    add_delay: int
    add_interval: int


class NetworkState(NamedTuple):
    """All routers, links, sources and sinks."""

    input_vc: Any  # INPUT_VC [router, port, vc], flat
    watch: Any  # WATCH, likewise
    buffer: NDArray[np.int64]  # [input vc, place]: flits
    output_vc: Any  # OUTPUT_VC [router, port, vc], flat
    input_port: Any  # INPUT_PORT [router, port], flat
    output_port: Any  # OUTPUT_PORT [router, port], flat
    asking: NDArray[np.int64]  # [router, port; output]: virtual channels with flit and credit that ask for it
    router: Any  # ROUTER [router]
    work: NDArray[np.int64]  # [router // 32]: routers to be visited, one bit each
    work_soon: NDArray[np.int64]  # likewise: to be visited from the next cycle on
    group: NDArray[np.int64]  # [router, port]
    route: NDArray[np.int64]  # [router, group, destination, class], flat: first option << 4 | options
    option: NDArray[np.int64]  # [option, 3]: port, mask, next class
    flit_count: NDArray[np.int64]  # [slot of the wheel]
    flit_event: NDArray[np.int64]  # [slot, event, 2], flat: where to, flit
    credit_count: NDArray[np.int64]  # [slot]
    credit_event: NDArray[np.int64]  # [slot, event], flat: place of an output virtual channel
    source: Any  # SOURCE [node]
    source_wake: NDArray[np.int64]  # [node]: cycle in which it might act, NEVER if it waits for a credit
    source_vc: Any  # SOURCE_VC [node, vc], flat
    packet: Any  # PACKET [row]
    free_row: NDArray[np.int64]  # stack of free rows
    totals: Any  # TOTALS [1]
    logged: Any  # LOGGED [packets logged]
    ask: Any  # ASK: scratch, heads that ask for an output virtual channel
    first_ask: NDArray[np.int64]  # scratch [port]
    asked_ports: NDArray[np.int64]  # scratch [vc]: input ports that ask for it
    asked_vcs: NDArray[np.int64]  # scratch [vc, port]: virtual channels that ask for it
    granted: NDArray[np.int64]  # scratch [port, vc]: output virtual channels granted to it
    guess: NDArray[np.int64]  # scratch [heads]: speculative requests, out port << 16 | port << 8 | vc
    won: NDArray[np.int64]  # scratch [input port]: those that have won the switch, port << 8 | vc
    chosen: NDArray[np.int64]  # scratch [input, output]: virtual channel that asks
    by_input: NDArray[np.int64]  # scratch [4, port]: outputs asked; of them guesses; granted; of them guesses
    by_output: NDArray[np.int64]  # scratch [4, port]: inputs that ask; of them guesses; picked; of them guesses

    tree_at: Any  # TREE_AT [tree, router], flat
    tree_mask: NDArray[np.int64]  # [tree, router, real port], flat: virtual channels of a copy's next link
    tree_member: NDArray[np.int64]  # [tree, node], flat: 1 if the node takes part
    operation: Any  # OPERATION
    follower: Any  # FOLLOWER
    traced_wait: Any  # TRACED_WAIT [row of the user's trace]
    multicast_queue: NDArray[np.int64]  # operations, by root
    member: Any  # MEMBER [node]
    contributed: NDArray[np.int64]  # [node, lane], flat: flits sent
    copied: Any  # COPIED [router, real port and adder, multicast vc], flat
    copied_flit: NDArray[np.int64]  # [likewise, place]
    first_sent: NDArray[np.int64]  # [likewise, place]: when the first branch sent it, -1 if none has
    branch_ahead: NDArray[np.int64]  # [likewise, real port]: flits that the branch has sent and another has not
    copied_room: NDArray[np.int64]  # [router, multicast vc], flat: places of the adder's multicast buffers
    copied_by: NDArray[np.int64]  # likewise: lane that is in the middle of a packet, -1 if none
    addend: NDArray[np.int64]  # [router, real port, lane; place]: flits
    addend_head: NDArray[np.int64]  # [router, real port, lane], flat: place of the first of them
    addend_count: NDArray[np.int64]  # likewise
    lane: Any  # LANE [router, lane], flat
    adder: Any  # ADDER [router]
    sent_branch: NDArray[np.int64]  # scratch [branches that sent, 2]: place, flit
    arrived: NDArray[np.int64]  # scratch [events of a cycle]
    tree_log: NDArray[np.int64]  # [event, 4]: operation; router that added, or -1 less node; number of the flit; cycle
    tree_totals: Any  # TREE_TOTALS [1]


class TrafficParams(NamedTuple):
    """What the sources offer."""

    kind: int  # BERNOULLI, BATCH or TRACE
    flits: int  # of a packet; TRACE has its own
    gap_bits: int  # bits of a gap between packets
    spots: int  # places of `spot`, 0 if destinations are fixed


class TrafficTables(NamedTuple):
    """Its tables."""

    gap: NDArray[np.int64]  # [bit]: 2^32 times the probability that the bit of a gap is 1
    destination: NDArray[np.int64]  # [node]: fixed destination
    spot: NDArray[np.int64]  # [spot, 2]: node, 2^32 times the probability that it or one before it is drawn
    trace: Any  # TRACED [row], by source, then by time
