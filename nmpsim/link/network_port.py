"""The network port of a core: two injection queues into its router, two ejection queues out of it.

    send unit --FLIT--> [ injection queue ] --> router --> ... --> router --> [ ejection queue ] --> receiver

A message enters and leaves by the port of the same number.  As in fifo.py both sides speak through stamps only: the
writer stamps ``ready_at`` on an edge of the reader's clock, the reader stamps ``free_at``, both in the future.  The
contract is in docs/seams/network.md.
"""

from __future__ import annotations

from nmpsim.kernel import NEVER, Record, inlined

TO_ONE, TO_ALL, TO_SUM = range(3)
"""Kinds of messages: for one node; for every other node of the die; a contribution to a sum for one node."""

FLIT = Record(
    "FLIT",
    ("ready_at", "tick", "first tick at which the reader may take the flit"),
    ("free_at", "tick", "first tick at which the slot may be written again"),
    ("source", "node", "node it was injected at"),
    ("destination", "node", "node it leaves at"),
    ("stack", "stack", "how many stacks further on the destination is; under way: links between stacks still to cross"),
    ("port", "", "port of the node, at both ends"),
    ("kind", "", "TO_ONE, TO_ALL or TO_SUM: whom the message is for, and whether the routers add it to others"),
    ("message", "", "number of the message at its source and port"),
    ("sequence", "flit", "number of the flit in its message"),
    ("last", "", "1 for the tail of a message"),
    ("signal", "", "semaphore of the destination that counts the message"),
    ("address", "byte", "buffer address of the flit's bytes at the destination"),
    ("bytes", "byte", "bytes it carries"),
    ("channel", "", "virtual channel it was ejected by; the network's own"),
)

PORT = Record(
    "PORT",
    ("filled", "flit", "flits written since the start"),
    ("head", "flit", "flits taken since the start"),
)


@inlined
def copy_flit(target, flit):
    """Copy what a flit carries, all but stamps and channel (changes `target`)."""
    target.source = flit.source
    target.destination = flit.destination
    target.stack = flit.stack
    target.port = flit.port
    target.kind = flit.kind
    target.message = flit.message
    target.sequence = flit.sequence
    target.last = flit.last
    target.signal = flit.signal
    target.address = flit.address
    target.bytes = flit.bytes


@inlined
def flit_space_at(queue, flits):
    """Return the tick at which one more flit can be written; NEVER while that is unknown."""
    capacity = len(flits)
    if queue.filled < capacity:
        return 0
    if queue.filled - capacity >= queue.head:
        return NEVER
    return flits[queue.filled % capacity].free_at


@inlined
def flit_at(queue, flits):
    """Return the tick at which the flit at the head may be taken; NEVER while there is none."""
    if queue.head >= queue.filled:
        return NEVER
    return flits[queue.head % len(flits)].ready_at


@inlined
def blank_flit(queue, flits):
    """Return the record of the next flit to be written; the writer fills all but the stamps."""
    return flits[queue.filled % len(flits)]


@inlined
def write_flit(queue, flits, ready_at):
    """Hand over the filled record; the reader may take it from `ready_at` on (changes `queue` and `flits`)."""
    flits[queue.filled % len(flits)].ready_at = ready_at
    queue.filled += 1


@inlined
def head_flit(queue, flits):
    """Return the record of the flit at the head."""
    return flits[queue.head % len(flits)]


@inlined
def take_flit(queue, flits, free_at):
    """Take the flit at the head; its slot may be written again from `free_at` on (changes `queue` and `flits`)."""
    flits[queue.head % len(flits)].free_at = free_at
    queue.head += 1
