"""Registers of multicast buffers, adders and members: what a network has besides when trees are registered.

A multicast buffer belongs to one real input port and multicast virtual channel of a router, and one more per channel to
the router's adder.  Its branches are virtual channels of pseudo input ports: pseudo port P + o holds all branches and
all sums that leave by output o.  A flit of a tree carries its operation where others have their packet, and its number
within the operation where others have their destination.
"""

from __future__ import annotations

from nmpsim.kernel import Record

MULTICAST, REDUCE, ALL_REDUCE = range(3)
"""Kinds of operations: copies of the root's flits to all; sums of all to the root; sums of all to all."""

TREE_AT = Record(
    "TREE_AT",
    ("up", "", "output towards the root; at the root's router the one to the root; -1 if the tree is not here"),
    ("down", "", "outputs by which copies leave, one bit each"),
    ("expected", "", "inputs that bring what is summed, one bit each"),
    ("is_root", "", "1 at the root's router"),
)

OPERATION = Record(
    "OPERATION",
    ("kind", "", "MULTICAST, REDUCE or ALL_REDUCE"),
    ("tree", "", "its tree"),
    ("flits", "flit", "of each contribution and of the result"),
    ("packet_flits", "flit", "of a multicast packet at most; the sum of a reduce is one packet"),
    ("every", "cycle", "a multicast's packets start so many cycles per flit behind each other, or later"),
    ("left", "flit", "flits of the result that have not arrived yet, over all nodes"),
    ("waits", "", "events that must come before it starts"),
    ("delay", "cycle", "from the last of them until it may start"),
    ("at", "cycle", "when it may start, NEVER if that is not known yet"),
    ("lane", "", "lane of a sum, -1 while it has none"),
    ("admitted_at", "cycle", "when it got its lane, -1 if it has none"),
    ("entered_at", "cycle", "when its first flit was sent, -1 if none was"),
    ("ended_at", "cycle", "when its last flit arrived, -1 if it has not"),
    ("following", "", "first of the steps that wait for it, row of FOLLOWER"),
    ("followers", "", "number of these"),
)

FOLLOWER = Record(
    "FOLLOWER",
    ("operation", "", "operation that waits, -1 for a message"),
    ("message", "", "row of the trace that waits"),
)

TRACED_WAIT = Record(
    "TRACED_WAIT",
    ("row", "", "row of the trace"),
    ("node", "", "whose it is"),
    ("waits", "", "events that must come before it starts"),
    ("delay", "cycle", "from the last of them until it may start"),
    ("at", "cycle", "earliest start so far"),
    ("following", "", "first of the steps that wait for its arrival, row of FOLLOWER"),
    ("followers", "", "number of these"),
)

MEMBER = Record(
    "MEMBER",
    ("next", "", "next row of the queue of multicasts"),
    ("end", "", "row behind its last"),
    ("sent", "flit", "flits sent of the multicast at the front"),
    ("vc", "", "multicast virtual channel of the packet being sent"),
    ("turn", "", "what is asked first for the next flit: a lane, or behind them the multicasts"),
    ("sent_at", "cycle", "when the last flit of a tree was sent"),
    ("injected", "flit", "flits of trees sent"),
    ("accepted", "flit", "flits of trees that arrived"),
)

COPIED = Record(
    "COPIED",
    ("head", "", "place of the first flit that some branch has still to send"),
    ("count", "flit", "flits from there on"),
    ("shown", "flit", "flits from there on that the branches can see: those of one packet"),
    ("branches", "", "outputs that its packet leaves by, one bit each, 0 if there is none"),
    ("left", "", "of them, those that have not sent the tail"),
    ("is_open", "", "1 while the tail of the packet has not been shown"),
)

LANE = Record(
    "LANE",
    ("operation", "", "operation that has the entry, -1 if none"),
    ("have", "", "inputs that hold a flit, one bit each"),
    ("room", "flit", "free places for sums behind the adder"),
)

ADDER = Record(
    "ADDER",
    ("free_at", "cycle", "when it can begin with the next flits"),
    ("turn", "", "lane that is served first"),
    ("added", "flit", "sums made of two or more flits"),
    ("passed", "flit", "flits that came alone"),
    ("waiting", "cycle", "lanes that held flits but not all that they expect"),
    ("no_room", "cycle", "lanes that had all, and no place for the sum"),
    ("busy", "cycle", "lanes that had all while the adder served others or had not begun anew"),
    ("copied", "flit", "flits sent by branches"),
    ("released", "flit", "flits that all branches have sent"),
    ("split", "flit", "of them, flits whose branches sent in different cycles"),
    ("split_wait", "cycle", "from the first of these to the last, summed"),
)

TREE_TOTALS = Record(
    "TREE_TOTALS",
    ("open", "", "operations that have not ended"),
    ("first_waiting", "", "sums before this one have a lane"),
    ("table_full", "cycle", "cycles that sums waited for a lane"),
    ("lanes_most", "", "most lanes of a router taken together"),
    ("events", "", "rows of the log in use"),
    ("sent", "", "branches that sent in this cycle"),
    ("arrived", "", "messages and operations that ended in this cycle"),
)
