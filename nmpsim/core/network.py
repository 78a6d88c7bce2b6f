"""Send units and receivers: one flit a cycle and port, between the ports of the buffer and of the network."""

from __future__ import annotations

from nmpsim.core.ports import bank_mask
from nmpsim.core.queue import mark_end, mark_start, take_instruction
from nmpsim.core.state import BUSY, NO_CREDIT, PORT_CONFLICT
from nmpsim.kernel import NEVER, inlined
from nmpsim.link.network_port import (
    TO_ALL,
    TO_ONE,
    TO_SUM,
    blank_flit,
    flit_at,
    flit_space_at,
    head_flit,
    take_flit,
    write_flit,
)
from nmpsim.program.isa import F_SUM, SEND_0


@inlined
def step_sender(
    now, period, noc_period, p, noc, c, d, sender, unit, entries, core, net, signal, semaphore, program, span
):
    """Step one send unit in cycle `now`; return (reason, wake).

    Reads its queue and the buffer ports; changes itself, the injection queue, the router's wake and `signal`.
    """
    if sender.instruction < 0:
        number, reason = take_instruction(unit, entries, semaphore, program, now)
        if number < 0:
            return reason, NEVER
        sender.instruction = number
        mark_start(span, program[number].operator, now)
        sender.row = 0
        sender.offset = 0
        sender.sequence = 0
    ins = program[sender.instruction]
    queue, flits = net.inject[c, d], net.inject_flit[c, d]
    space = flit_space_at(queue, flits)
    if space > now:
        return NO_CREDIT, space
    length = min(noc.flit_bytes, ins.bytes - sender.offset)
    mask = bank_mask(ins.a + sender.row * ins.a_ld + sender.offset, length, p.buffer_banks, p.bank_bytes)
    if mask & core.read_mask:
        sender.conflicts += 1
        return PORT_CONFLICT, now + period
    core.read_mask |= mask
    flit = blank_flit(queue, flits)
    flit.source = c
    flit.destination = ins.bank
    # not `ins.modifiers`: interpreted, a record of NumPy has an attribute of that name
    flit.kind = TO_ALL if ins.n > 0 else (TO_SUM if ins.modifiers & F_SUM else TO_ONE)
    flit.stack = ins.stack
    flit.port = d
    flit.message = sender.messages
    flit.sequence = sender.sequence
    flit.signal = ins.signal
    flit.address = ins.b + sender.row * ins.b_ld + sender.offset
    flit.bytes = length
    sender.offset += length
    sender.sequence += 1
    sender.flits += 1
    if sender.offset == ins.bytes:
        sender.offset = 0
        sender.row += 1
    flit.last = 1 if sender.row == ins.m else 0
    ready = (now // noc_period + noc.nSYNC) * noc_period  # nSYNC >= 1 edges after the one at or before `now`
    write_flit(queue, flits, ready)
    if ready < net.wake[c]:
        net.wake[c] = ready
    if flit.last == 1:
        sender.messages += 1
        sender.instruction = -1
        mark_end(span, ins.operator, now)
        signal[SEND_0 + d] += 1
        core.retired += 1
    return BUSY, now + period


@inlined
def step_receiver(now, period, noc_period, p, noc, c, d, core, net, signal, receiver):
    """Take one arrived flit into the buffer; return the wake (changes itself, the ejection queue and `signal`)."""
    queue, flits = net.eject[c, d], net.eject_flit[c, d]
    ready = flit_at(queue, flits)
    if ready > now:
        return ready
    flit = head_flit(queue, flits)
    mask = bank_mask(flit.address, flit.bytes, p.buffer_banks, p.bank_bytes)
    if mask & core.write_mask:
        receiver.conflicts += 1
        return now + period
    core.write_mask |= mask
    receiver.flits += 1
    if flit.last == 1:
        signal[flit.signal] += 1
        receiver.messages += 1
    free = (now // noc_period + noc.nCREDIT + 1) * noc_period
    take_flit(queue, flits, free)
    if free < net.wake[c]:
        net.wake[c] = free
    return now + period
