"""The strip port: a FIFO of beats between one DRAM bank and the unit that eats them.

    bank sequencer --(nCL + nPORT)--> [slot|slot|...|slot] --> strip edge / data mover
          ^                                                        |
          +------------------ credit (nCREDIT) --------------------+

One beat is one column access.  A beat is numbered when its row is reserved (before the ACT), so its slot is
``number % capacity``.  Nothing is ever lost or overtaken.  Both sides speak through time stamps only:

* the bank writes ``ready_at``: first tick at which the eater may take the beat;
* the eater writes ``free_at``: first tick at which the bank may reserve the slot again.

Both stamps lie strictly in the future when they are written, so the two sides may be stepped in any order, and one
of them may be stepped ahead of the other as far as stamps are known.

First beats of a row reserved at tick 0 (tRCD 3, nCL 4, nPORT 1, all domains 1 GHz, eater always ready)::

    cycle     0    3    4    5  ...   8    9   10
    command  ACT  RD0  RD1  RD2
    ready_at                          b0   b1   b2
"""

from __future__ import annotations

from nmpsim.kernel import NEVER, Record, inlined

FIFO = Record(
    "FIFO",
    ("reserved", "beat", "beats reserved by the bank since the start"),
    ("filled", "beat", "beats whose ready_at is known"),
    ("head", "beat", "beats taken by the eater"),
)

SLOT = Record(
    "SLOT",
    ("ready_at", "tick", "first tick at which the beat may be taken"),
    ("free_at", "tick", "first tick at which the slot may be reserved again"),
    ("target", "", "0: streams into the compute unit; else 1 + buffer address of the beat"),
    ("token", "", "data-mover slot that counts the beat, for beats that go to the buffer"),
)


@inlined
def credit_at(fifo, slots, beats):
    """Return the tick at which `beats` more beats can be reserved; NEVER while that is unknown.

    Parameters
    ----------
    fifo : FIFO record
    slots : array of SLOT, shape (capacity,)
    beats : int
        Beats of the next row; <= capacity.
    """
    capacity = len(slots)
    last = fifo.reserved + beats - 1
    if last < capacity:
        return 0
    if last - capacity >= fifo.head:
        return NEVER
    return slots[last % capacity].free_at


@inlined
def head_at(fifo, slots):
    """Return the tick at which the beat at the head may be taken; NEVER while that is unknown."""
    if fifo.head >= fifo.filled:
        return NEVER
    return slots[fifo.head % len(slots)].ready_at


@inlined
def push(fifo, slots, ready_at, target, token):
    """Stamp the next reserved beat (changes `fifo` and `slots`)."""
    slot = slots[fifo.filled % len(slots)]
    slot.ready_at = ready_at
    slot.target = target
    slot.token = token
    fifo.filled += 1


@inlined
def pop(fifo, slots, free_at):
    """Take the beat at the head; its slot is free again from `free_at` on (changes `fifo` and `slots`)."""
    slots[fifo.head % len(slots)].free_at = free_at
    fifo.head += 1
