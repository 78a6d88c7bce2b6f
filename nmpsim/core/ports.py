"""Ports of the banked buffer: which banks an access takes in a cycle.

Every bank has one read and one write port of ``bank_bytes``.  An access is a set of banks (a bit mask).  The compute
unit has priority, then the vector unit, the data mover, the senders and the receivers; who loses waits a cycle and
counts a conflict.  The compute unit may have been stepped ahead of the others, so it leaves its masks in a short
history (PORT_USE) in which the others look up the cycle they are in.
"""

from __future__ import annotations

from nmpsim.kernel import inlined


@inlined
def bank_mask(address, length, banks, bank_bytes):
    """Return the set of banks that hold `length` bytes from `address` on, as bits."""
    if length <= 0:
        return 0
    count = (address % bank_bytes + length + bank_bytes - 1) // bank_bytes
    if count >= banks:
        return (1 << banks) - 1
    first = (address // bank_bytes) % banks
    wrapped = first + count - banks
    if wrapped <= 0:
        return ((1 << count) - 1) << first
    return (((1 << (banks - first)) - 1) << first) | ((1 << wrapped) - 1)


@inlined
def line_mask(address, per_step, step, banks, bank_bytes):
    """Return the banks that a sequential stream of `per_step` bytes a step opens in step `step`.

    A line register in front of each stream keeps the rest of a bank's word, so a new bank is read only when a word
    begins.
    """
    begin = address + step * per_step
    first = (begin + bank_bytes - 1) // bank_bytes
    last = (begin + per_step + bank_bytes - 1) // bank_bytes
    return bank_mask(first * bank_bytes, (last - first) * bank_bytes, banks, bank_bytes)


@inlined
def open_cycle(core, history, now, period):
    """Start the port masks of cycle `now` with what the compute unit takes in it (changes `core`)."""
    if core.mask_at == now:
        return
    core.mask_at = now
    core.read_mask = 0
    core.write_mask = 0
    entry = history[(now // period) % len(history)]
    if entry.at == now:
        core.read_mask = entry.read_mask
        core.write_mask = entry.write_mask


@inlined
def use_ports(history, at, period, read_mask, write_mask):
    """Note that the compute unit takes these banks in cycle `at` (changes `history`)."""
    entry = history[(at // period) % len(history)]
    if entry.at != at:
        entry.at = at
        entry.read_mask = 0
        entry.write_mask = 0
    entry.read_mask |= read_mask
    entry.write_mask |= write_mask
