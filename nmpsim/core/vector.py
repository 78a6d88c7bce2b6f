"""The vector unit: lanes behind the ports of the shared buffer.

An operation is up to three element loops (its microcode, see ``program/vector.py``).  In each issue slot the unit
takes as many elements as lanes, read width and write width allow; transcendental loops issue every ``exp_interval``
or ``sqrt_interval`` cycles.  Results stand in the buffer ``vector_latency`` cycles after the last issue; operations
complete in order.  An issue whose banks are taken by the compute unit waits (``port_conflict``).

First cycles of an operation of 600 elements, 256 lanes, 2 bytes read per element, latency 4::

    cycle      0    1    2    3    4    5    6
    issue    256  256   88
    complete                            x (visible in the next cycle)
"""

from __future__ import annotations

from nmpsim.core.ports import bank_mask
from nmpsim.core.queue import mark_end, mark_start, take_instruction
from nmpsim.core.state import BUSY, PORT_CONFLICT
from nmpsim.kernel import NEVER, inlined
from nmpsim.program.isa import EXP_RATE, SQRT_RATE, VECTOR


@inlined
def loop_of(ins, phase):
    """Return (elements, bytes read, bytes written, rate) of one element loop."""
    if phase == 0:
        return ins.elements0, ins.read0, ins.write0, ins.rate0
    if phase == 1:
        return ins.elements1, ins.read1, ins.write1, ins.rate1
    return ins.elements2, ins.read2, ins.write2, ins.rate2


@inlined
def per_issue(read, write, p):
    """Return how many elements of a loop one issue slot takes; at least 1."""
    count = p.lanes
    if read > 0:
        count = min(count, p.vector_read_bytes // read)
    if write > 0:
        count = min(count, p.vector_write_bytes // write)
    return max(count, 1)


@inlined
def interval_of(rate, p):
    """Return the cycles between two issues of a loop."""
    if rate == EXP_RATE:
        return p.exp_interval
    if rate == SQRT_RATE:
        return p.sqrt_interval
    return 1


@inlined
def step_vector(now, period, p, vector, flying, unit, entries, core, signal, semaphore, program, span):
    """Step the vector unit in cycle `now`; return (reason, wake).

    Reads its queue, the semaphores and the port masks of the cycle; changes itself, the masks and `signal`.

    Timing
    ------
    A signal set in this cycle is seen by other units in the next one.
    """
    while vector.flying > 0 and flying[vector.tail] <= now:
        vector.tail = (vector.tail + 1) % len(flying)
        vector.flying -= 1
        signal[VECTOR] += 1
        core.retired += 1
    landing = flying[vector.tail] if vector.flying > 0 else NEVER
    if now < vector.next_at:
        vector.lane_cycles += 1
        return BUSY, now + period
    if vector.instruction < 0:
        number, reason = take_instruction(unit, entries, semaphore, program, now)
        if number < 0:
            return reason, landing
        vector.instruction = number
        mark_start(span, program[number].operator, now)
        vector.phase = 0
        vector.done = 0
    ins = program[vector.instruction]
    elements, read, write, rate = loop_of(ins, vector.phase)
    count = min(per_issue(read, write, p), elements - vector.done)
    reads = bank_mask(ins.a + vector.done * read, count * read, p.buffer_banks, p.bank_bytes)
    writes = bank_mask(ins.out + vector.done * write, count * write, p.buffer_banks, p.bank_bytes)
    if (reads & core.read_mask) | (writes & core.write_mask):
        vector.conflicts += 1
        return PORT_CONFLICT, now + period
    core.read_mask |= reads
    core.write_mask |= writes
    vector.done += count
    vector.elements += count
    vector.lane_cycles += 1
    vector.next_at = now + interval_of(rate, p) * period
    if vector.done >= elements:
        vector.done = 0
        vector.phase += 1
        more = (vector.phase == 1 and ins.elements1 > 0) or (vector.phase == 2 and ins.elements2 > 0)
        if not more:
            vector.instruction = -1
            flying[(vector.tail + vector.flying) % len(flying)] = vector.next_at + (p.vector_latency - 1) * period
            vector.flying += 1
            mark_end(span, ins.operator, vector.next_at + (p.vector_latency - 1) * period)
    return BUSY, now + period
