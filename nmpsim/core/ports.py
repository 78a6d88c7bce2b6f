"""Ports of the banked buffer: which banks an access takes in a cycle.

Every bank has one read and one write port of ``bank_bytes``.  An access is a set of banks (a bit mask).  The compute
unit has priority, then the vector unit, the data mover, the senders and the receivers; who loses waits a cycle and
counts a conflict.  The compute unit may have been stepped ahead of the others, so it leaves its masks in a short
history (PORT_USE) in which the others look up the cycle they are in.

In the separate arrangement the compute unit has an operand and an output buffer of its own, with banks and ports of
their own; the three buffers lie one behind the other in one space of addresses::

    0 .. buffer_bytes .. + operand_bytes .. + output_bytes
    buffer of all others   A of a PASS       its results

It then meets nobody but the copy engines, and only where it reads the sums that it adds to.
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
        entry.sum_mask = 0
    entry.read_mask |= read_mask
    entry.write_mask |= write_mask


@inlined
def open_separate(core, history, now, period):
    """As `open_cycle` for a compute unit with buffers of its own: it takes no port of the buffer (changes `core`)."""
    if core.mask_at == now:
        return
    core.mask_at = now
    core.read_mask = 0
    core.write_mask = 0
    core.sum_mask = 0
    entry = history[(now // period) % len(history)]
    if entry.at == now:
        core.sum_mask = entry.sum_mask


@inlined
def operand_width(p):
    """Return the bytes per cycle of all ports through which the compute unit reads operands."""
    return p.operand_banks * p.array_bank_bytes if p.separate else p.buffer_banks * p.bank_bytes


@inlined
def result_width(p):
    """Return the bytes per cycle of all ports through which it writes results, and of those that read sums."""
    return p.output_banks * p.array_bank_bytes if p.separate else p.buffer_banks * p.bank_bytes


@inlined
def operand_mask(address, length, p):
    """Return the banks of the compute unit's operands that hold `length` bytes from `address` on."""
    if p.separate:
        return bank_mask(address - p.buffer_bytes, length, p.operand_banks, p.array_bank_bytes)
    return bank_mask(address, length, p.buffer_banks, p.bank_bytes)


@inlined
def operand_line(address, per_step, step, p):
    """Return the banks of its operands that a sequential stream opens in step `step`, as `line_mask`."""
    if p.separate:
        return line_mask(address - p.buffer_bytes, per_step, step, p.operand_banks, p.array_bank_bytes)
    return line_mask(address, per_step, step, p.buffer_banks, p.bank_bytes)


@inlined
def result_mask(address, length, p):
    """Return the banks of the compute unit's results that hold `length` bytes from `address` on."""
    if p.separate:
        first = p.buffer_bytes + p.operand_bytes
        return bank_mask(address - first, length, p.output_banks, p.array_bank_bytes)
    return bank_mask(address, length, p.buffer_banks, p.bank_bytes)


@inlined
def result_line(address, per_step, step, p):
    """Return the banks of its results that a sequential stream opens in step `step`, as `line_mask`."""
    if p.separate:
        first = p.buffer_bytes + p.operand_bytes
        return line_mask(address - first, per_step, step, p.output_banks, p.array_bank_bytes)
    return line_mask(address, per_step, step, p.buffer_banks, p.bank_bytes)


@inlined
def use_edges(history, at, period, operands, sums, results, p):
    """Note the banks from which the compute unit reads operands and sums and to which it writes (changes `history`)."""
    if p.separate:
        use_ports(history, at, period, operands, results)
        history[(at // period) % len(history)].sum_mask |= sums
    else:
        use_ports(history, at, period, operands | sums, results)
