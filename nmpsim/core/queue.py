"""In-order instruction queues of the units, semaphores, and the accounts of unit-cycles."""

from __future__ import annotations

from nmpsim.core.state import BUSY, QUEUE_EMPTY, WAIT_SEMAPHORE
from nmpsim.kernel import NEVER, inlined
from nmpsim.program.isa import VECTOR


@inlined
def waits_met(ins, semaphore):
    """Return whether all waits of an instruction hold."""
    return (
        (ins.wait0 < 0 or semaphore[ins.wait0] >= ins.count0)
        and (ins.wait1 < 0 or semaphore[ins.wait1] >= ins.count1)
        and (ins.wait2 < 0 or semaphore[ins.wait2] >= ins.count2)
        and (ins.wait3 < 0 or semaphore[ins.wait3] >= ins.count3)
    )


@inlined
def take_instruction(unit, entries, semaphore, program, now):
    """Pop the head of a queue if it may start; return (instruction or -1, reason why not) (changes `unit`)."""
    if unit.count == 0:
        return -1, QUEUE_EMPTY
    entry = entries[unit.head % len(entries)]
    if entry.at > now:
        return -1, QUEUE_EMPTY
    ins = program[entry.instruction]
    unit.operator = ins.operator
    if not waits_met(ins, semaphore):
        return -1, WAIT_SEMAPHORE
    unit.head += 1
    unit.count -= 1
    return entry.instruction, QUEUE_EMPTY


@inlined
def entry_at(unit, entries, now):
    """Return the tick at which the unit will see the head of its queue, NEVER if it sees it already or has none."""
    if unit.count == 0:
        return NEVER
    at = entries[unit.head % len(entries)].at
    return at if at > now else NEVER


@inlined
def newest_at(unit, entries, now):
    """Return the tick at which the unit will see the tail of its queue, NEVER if it sees it already or has none."""
    if unit.count == 0:
        return NEVER
    at = entries[(unit.head + unit.count - 1) % len(entries)].at
    return at if at > now else NEVER


@inlined
def mark_start(span, operator, at):
    """Note that an instruction of an operator was taken at `at` (changes `span`)."""
    if at < span[operator].start:
        span[operator].start = at


@inlined
def mark_end(span, operator, at):
    """Note that an instruction of an operator was complete at `at` (changes `span`)."""
    if at > span[operator].end:
        span[operator].end = at


@inlined
def record_interval(core, log, unit, reason, operator, value, start, end):
    """Append an interval to the core's log if it has one (changes `core` and `log`)."""
    if len(log) > 0 and end > start:
        entry = log[core.intervals]
        entry.unit = unit
        entry.reason = reason
        entry.operator = operator
        entry.value = value
        entry.start = start
        entry.end = end
        core.intervals += 1


@inlined
def charge_unit(unit, row, stall, now, reason, work, core, log):
    """Account the cycles up to `now` to the reason and operator that held, and note the new ones.

    Changes `unit`, `stall`, `core` and `log`.  `work` is the work done since the start, `now` included; only a
    recording looks at it.  The lanes of the vector unit stay taken between two issues of a slow function.
    """
    value = 0
    if len(log) > 0:
        value = work - unit.counted
        unit.counted = work
        if value == 0 and row == VECTOR and reason == BUSY:
            value = unit.value
    if reason != unit.reason or unit.operator != unit.held or value != unit.value:
        stall[unit.reason] += now - unit.since
        record_interval(core, log, row, unit.reason, unit.held, unit.value, unit.since, now)
        unit.since = now
        unit.reason = reason
        unit.held = unit.operator
        unit.value = value
