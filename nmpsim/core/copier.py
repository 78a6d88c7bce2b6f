"""The copy engines of a core whose compute unit has buffers of its own: one in each direction.

    buffer of all others  --[ copy in  ]-->  operand buffer  -->  array
                          <--[ copy out ]--  output buffer   <--

An engine moves up to ``copy_bytes`` of one row a cycle.  Copying in takes read ports of the buffer and write ports of
the operand buffer, which nobody else writes; copying out takes write ports of the buffer and read ports of the output
buffer, from which the compute unit reads the sums that it adds to.  The vector unit and the compute unit come first; an
engine whose banks are taken waits (``port_conflict``).  A copy is complete ``copy_latency`` cycles after its last step
began; copies of an engine complete in order.

First cycles of a copy of 2 rows of 96 bytes, copy_bytes 64, latency 2::

    cycle      0    1    2    3    4    5
    bytes     64   32   64   32
    complete                        x (visible in the next cycle)
"""

from __future__ import annotations

from nmpsim.core.ports import bank_mask, result_mask
from nmpsim.core.queue import mark_end, mark_start, take_instruction
from nmpsim.core.state import BUSY, PORT_CONFLICT
from nmpsim.kernel import NEVER, inlined
from nmpsim.program.isa import COPY_IN


@inlined
def step_copier(now, period, p, d, copier, crossing, unit, entries, core, signal, semaphore, program, span):
    """Step a copy engine (`d` 0: in, 1: out) in cycle `now`; return (reason, wake).

    Reads its queue, the semaphores and the port masks of the cycle; changes itself, the masks and `signal`.

    Timing
    ------
    A signal set in this cycle is seen by other units in the next one.
    """
    while copier.flying > 0 and crossing[copier.tail] <= now:
        copier.tail = (copier.tail + 1) % len(crossing)
        copier.flying -= 1
        copier.copies += 1
        signal[COPY_IN + d] += 1
        core.retired += 1
    if copier.instruction < 0:
        number, reason = take_instruction(unit, entries, semaphore, program, now)
        if number < 0:
            return reason, crossing[copier.tail] if copier.flying > 0 else NEVER
        copier.instruction = number
        mark_start(span, program[number].operator, now)
        copier.row = 0
        copier.offset = 0
    ins = program[copier.instruction]
    plane = copier.row // ins.m
    row = copier.row - plane * ins.m
    source = ins.a + plane * ins.plane_ld + row * ins.a_ld + copier.offset
    target = ins.out + plane * ins.plane_ld + row * ins.out_ld + copier.offset
    length = min(p.copy_bytes, ins.bytes - copier.offset)
    reads = bank_mask(source, length, p.buffer_banks, p.bank_bytes) if d == 0 else 0
    writes = bank_mask(target, length, p.buffer_banks, p.bank_bytes) if d == 1 else 0
    results = result_mask(source, length, p) if d == 1 else 0
    if (reads & core.read_mask) | (writes & core.write_mask) | (results & core.sum_mask):
        copier.conflicts += 1
        return PORT_CONFLICT, now + period
    core.read_mask |= reads
    core.write_mask |= writes
    copier.bytes += length
    copier.offset += length
    if copier.offset == ins.bytes:
        copier.offset = 0
        copier.row += 1
        if copier.row == ins.m * max(ins.planes, 1):
            copier.instruction = -1
            done = now + p.copy_latency * period
            crossing[(copier.tail + copier.flying) % len(crossing)] = done
            copier.flying += 1
            mark_end(span, ins.operator, done)
    return BUSY, now + period
