"""State of the reference controller: one channel, its banks, queues and logs.

A *unit* is what a command addresses: a bank (in tree order) for ACT, PREpb, RD, WR, RDA, WRA and REFpb, a node of the
refresh scope (a pseudo channel) for PREab and REFab.  Everything is an integer; times are ticks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.dram.reference.build import Limits, Table
from nmpsim.kernel import NEVER, Record

(COLUMN, ROW, REFRESH, POLICY, COLUMN_TIMING, ROW_TIMING, OTHER_DIRECTION, NO_REQUEST) = range(8)
REASONS = (
    "column",
    "row",
    "refresh",
    "row_policy",
    "column_timing",
    "row_timing",
    "other_direction",
    "no_request",
)
"""What a tick of the channel was spent on, exactly one for each; the first that holds.

=================  ===================================================================================================
``column``         a column command was issued, with or without a row command
``row``            a row command alone was issued
``refresh``        a refresh at the head of the priority queue waits, and no new request may start
``row_policy``     a precharge of the row policy at the head of the priority queue waits
``column_timing``  an activated request, or one that hits an open row, waits for its column command
``row_timing``     requests wait for ACT or PREpb, and none could be a column command
``other_direction``  only requests of the direction that is not being served wait (reads in write mode)
``no_request``     nothing waits
=================  ===================================================================================================
"""

FINISHED, LOG_FULL, LIMIT, DEADLOCK, OVERFLOW = range(5)
"""Why the kernel returned."""

READS, WRITES = 0, 1
"""Index of a queue; a request's type."""

REQUEST = Record(
    "REQUEST",
    ("at", "tick", "cycle from which it is offered"),
    ("is_write", "", "READS or WRITES"),
    ("addr", "", "what forwarding and merging compare"),
    ("bank", "bank", "bank in tree order"),
    ("row", "row", "row"),
    ("column", "column", "column"),
)

CHANNEL = Record(
    "CHANNEL",
    ("clock", "tick", "ticks done: the clock of the latest tick"),
    ("offered", "", "requests accepted so far: index of the one at the head of the line"),
    ("left", "", "requests whose completion is not known yet"),
    ("last_done", "tick", "latest completion known"),
    ("last_read_done", "tick", "completion of the latest read: reads complete in the order in which they left"),
    ("write_mode", "", "1: the write queue is served"),
    ("active", "", "requests whose bank was activated for them, and whose column command is still to come"),
    ("quiet_active", "tick", "no active request can have its column command before"),
    ("held", "", "writes waiting for their ACT or, on a hit, for their WR"),
    ("priority_head", "", "maintenance requests taken from the priority queue so far"),
    ("priority_tail", "", "maintenance requests put into the priority queue so far"),
    ("quiet_priority", "tick", "the head of the priority queue cannot have its next command before"),
    ("capped", "bank", "banks that reached the cap of the row policy and were not asked to close yet"),
    ("paired_at", "tick", "half-clock tick on which the pairing rule holds"),
    ("paired_scope", "", "pseudo channel of the row command issued on the full clock before"),
    ("paired_bank", "bank", "its bank, -1 for a command to all banks"),
    ("logged", "command", "commands in the log"),
)

BANK = Record(
    "BANK",
    ("row", "row", "open row; -1 = closed"),
    ("row_command", "", "row command that another row needs: ACT or PREpb"),
    ("active", "", "active requests of the bank"),
    ("columns", "column", "RD and WR since the last close"),
    ("asked", "", "1: the row policy has put a PREpb for this bank into the priority queue"),
)

QUEUE = Record(
    "QUEUE",
    ("head", "", "place of the oldest entry"),
    ("tail", "", "place after the youngest entry"),
    ("hits", "", "entries whose row is open"),
    ("quiet_column", "tick", "no entry can have a column command before"),
    ("quiet_row", "tick", "no entry can have a row command before"),
)

ENTRY = Record(
    "ENTRY",
    ("bank", "bank", "bank of the request"),
    ("row", "row", "row of the request"),
    ("request", "", "index of the request"),
    ("mark", "", "in a queue: 1 once a command was issued for it; in the active list: READS or WRITES"),
)

ORDER = Record(
    "ORDER",
    ("command", "", "PREpb, REFpb or REFab"),
    ("unit", "", "what it addresses"),
    ("made_at", "tick", "tick at which it entered the priority queue"),
)

REFRESHER = Record(
    "REFRESHER",
    ("next_at", "tick", "next tick at which a refresh falls due; NEVER without refresh"),
    ("bank", "bank", "next bank to refresh, within its stack id for HBM3 and HBM4"),
    ("sid", "", "next stack id"),
    ("pending", "", "refreshes of the present round that are still to be put into the priority queue"),
    ("pending_bank", "bank", "their bank within the stack id"),
    ("pending_sid", "", "their stack id"),
)

REFRESH_SET = Record(
    "REFRESH_SET",
    ("refreshed", "bank", "banks of this stack id of this pseudo channel refreshed since the set began anew"),
    ("allowed_at", "tick", "first tick at which the set may be begun again"),
)

COUNTER = Record(
    "COUNTER",
    ("row_hits", "", "requests whose first command was a column command"),
    ("row_misses", "", "requests whose first command was ACT"),
    ("row_conflicts", "", "requests whose first command was PREpb"),
    ("forwarded", "", "reads served from a waiting write"),
    ("merged", "", "writes merged into a waiting write"),
    ("read_occupancy", "tick", "entries of the read queue at the start of a tick, summed over the ticks"),
    ("write_occupancy", "tick", "the same of the write queue"),
    ("priority_occupancy", "tick", "the same of the priority queue"),
)

LOG_ENTRY = Record(
    "LOG_ENTRY",
    ("clock", "tick", "tick of the command"),
    ("command", "", "ACT, PREpb, RD, WR, RDA, WRA, PREab, REFab or REFpb of build.py"),
    ("unit", "", "what it addresses"),
    ("request", "", "index of the request it serves; -1 = maintenance"),
)


class ReferenceState(NamedTuple):
    """One channel; the only mutable thing of this folder."""

    channel: Any  # CHANNEL [1]
    bank: Any  # BANK [bank]
    ready: NDArray[np.int64]  # [command, unit]: first tick at which every rule allows the command; ticks
    gate: NDArray[np.int64]  # [command]: not before this for any unit, by the rules of the whole channel; ticks
    ring: NDArray[np.int64]  # [ring, place]: latest clocks of the rules with a window; ticks
    ring_count: NDArray[np.int64]  # [ring]: clocks written so far
    queue: Any  # QUEUE [READS or WRITES]
    entry: Any  # ENTRY [READS or WRITES, place]: in order of arrival from head to tail
    waiting: NDArray[np.int64]  # [READS or WRITES, bank]: entries of the queue
    hit: NDArray[np.int64]  # [READS or WRITES, bank]: entries of the queue whose row is open
    active: Any  # ENTRY [bank]: active requests in order of arrival
    held: NDArray[np.int64]  # [write queue]: addresses of the waiting writes, in no order
    order: Any  # ORDER [priority queue]: ring over CHANNEL.priority_head and priority_tail
    refresher: Any  # REFRESHER [1]
    refresh_set: Any  # REFRESH_SET [pseudo channel, stack id]
    accept: NDArray[np.int64]  # [request]: tick of acceptance, -1 before
    done: NDArray[np.int64]  # [request]: tick of completion, -1 while unknown
    counter: Any  # COUNTER [1]
    issued: NDArray[np.int64]  # [command]: commands issued
    reason: NDArray[np.int64]  # [reason]: ticks
    log: Any  # LOG_ENTRY [capacity]


def make_state(limits: Limits, table: Table, requests: int, capacity: int) -> ReferenceState:
    """Return the state of an idle channel at tick 0, all banks closed.

    Parameters
    ----------
    limits : Limits
        Sizes.
    table : Table
        Rules.
    requests : int
        Requests of the trace.
    capacity : int
        Commands the log holds; 0 = no log.
    """
    banks = limits.banks
    places = 2 * max(limits.read_queue, limits.write_queue)
    rings = int(table.rings)
    scopes = max(limits.scopes, 1)
    state = ReferenceState(
        channel=CHANNEL.zeros(1),
        bank=BANK.zeros(banks),
        ready=np.zeros((len(table.start) - 1, banks), np.int64),
        gate=np.zeros(len(table.start) - 1, np.int64),
        ring=np.zeros((max(rings, 1), max(int(table.depth), 1)), np.int64),
        ring_count=np.zeros(max(rings, 1), np.int64),
        queue=QUEUE.zeros(2),
        entry=ENTRY.zeros(2, places),
        waiting=np.zeros((2, banks), np.int64),
        hit=np.zeros((2, banks), np.int64),
        active=ENTRY.zeros(banks),
        held=np.zeros(limits.write_queue, np.int64),
        order=ORDER.zeros(limits.priority_queue),
        refresher=REFRESHER.zeros(1),
        refresh_set=REFRESH_SET.zeros(scopes, max(limits.sids, 1)),
        accept=np.full(requests, -1, np.int64),
        done=np.full(requests, -1, np.int64),
        counter=COUNTER.zeros(1),
        issued=np.zeros(len(table.start) - 1, np.int64),
        reason=np.zeros(len(REASONS), np.int64),
        log=LOG_ENTRY.zeros(capacity),
    )
    state.bank["row"] = -1
    state.channel["left"] = requests
    state.channel["capped"] = banks if limits.cap == 0 else 0
    state.channel["paired_at"] = -1
    state.refresher["next_at"] = limits.interval or NEVER
    return state
