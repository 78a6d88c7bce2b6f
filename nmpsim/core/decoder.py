"""The decoder at the edge of a strip: one beat of the DRAM becomes one, two or four beats of the array.

    strip FIFO --> [ beat | in parts ] --> code to FP16 --> x scale --> array beat, one a cycle
                   [ beat of scales  ] ------------------------^

The beat at the head of the FIFO stays there until its last part is taken; so the strip takes it over `expansion` cycles
and its slot is free again after the last.  A run (`nmpsim.program.packing`) begins with a beat of scales, which leaves
the FIFO together with the first part of the run: the decoder has fetched it in a cycle in which the FIFO gave nothing,
of which there is one in every two.  A PASS begins with a new beat: what is left of the last one is dropped.

First cycles of 8-bit codes without scales, five array beats::

    cycle        0    1    2    3    4
    array beat  b0   b1   b2   b3   b4
    FIFO gives        d0        d1   d2

FP16 passes by: every beat is one array beat.
"""

from __future__ import annotations

from nmpsim.kernel import NEVER, inlined
from nmpsim.link.fifo import pop
from nmpsim.program.isa import EXPANSION


@inlined
def beat_at(strip, fifo, slots, ins):
    """Return the tick from which the strip has its next array beat; NEVER while that is unknown."""
    last = fifo.head + (1 if ins.beats > 0 and strip.part == 0 else 0)
    if last >= fifo.filled:
        return NEVER
    for number in range(fifo.head, last + 1):
        if slots[number % len(slots)].target != 0:
            return NEVER
    return slots[last % len(slots)].ready_at


@inlined
def take_beat(actor, strip, fifo, slots, ins, free_at):
    """Take one array beat of a strip (changes its first four arguments)."""
    expansion = EXPANSION[ins.imm]
    if ins.beats > 0 and strip.part == 0:
        pop(fifo, slots, free_at)
        actor.pops += 1
    strip.part += 1
    over = strip.part == ins.beats
    if over or strip.part % expansion == 0:
        pop(fifo, slots, free_at)
        actor.pops += 1
    if over or (ins.beats == 0 and strip.part == expansion):
        strip.part = 0


@inlined
def drop_rest(actor, strip, fifo, slots, ins, free_at):
    """Drop what a strip has not taken of its last beat: its part of the PASS is over (changes its first four)."""
    if strip.part % EXPANSION[ins.imm] != 0:
        pop(fifo, slots, free_at)
        actor.pops += 1
    strip.part = 0
