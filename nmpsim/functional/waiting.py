"""Who waits for what, when a program cannot go on, and what it leaves behind."""

from __future__ import annotations

from nmpsim.errors import Fault
from nmpsim.functional.core import Core
from nmpsim.functional.records import PORT_NAMES
from nmpsim.program.isa import FROM, MOVE, UNIT_NAMES, UNITS, shared


def semaphore_name(semaphore: int, pus: int) -> str:
    """Name what a semaphore counts."""
    if semaphore < UNITS:
        return f"instructions completed by {UNIT_NAMES[semaphore]}"
    if semaphore >= shared(pus, 0):
        return f"messages counted by shared semaphore {semaphore - shared(pus, 0)}"
    source, direction = divmod(semaphore - FROM, 2)
    return f"messages from PU {source} {PORT_NAMES[direction]}"


def blocked(core: Core) -> list[Fault]:
    """List what each unit of a core waits for."""
    faults = []
    todo = "let what it waits for happen first, or correct the count"
    for queue in core.queues:
        for semaphore, count in core.waits[queue[0]] if queue else ():
            have = core.semaphores[semaphore]
            if have < count:
                got = f"{semaphore_name(semaphore, core.params.cores)}: {have}"
                faults.append(Fault(f"{core.where(queue[0])} waits", got, f"{count} or more", todo))
    if core.active is not None:
        short = {strip: left for strip, left in enumerate(core.active.left) if left}
        got = ", ".join(f"strip {strip} lacks {left}" for strip, left in short.items())
        todo = "stream the beats, or correct the table"
        faults.append(Fault(f"{core.where(core.active.index)} waits for beats", got, "none lacking", todo))
    if core.dispatched < len(core.stream):
        unit = core.stream[core.dispatched].unit
        got = f"the queue of {UNIT_NAMES[unit]} full ({len(core.queues[unit])})"
        faults.append(Fault(f"{core.where(core.dispatched)} waits for room", got, "room", "reorder the stream"))
    if core.moves:
        got = f"{core.moves[0].left} beats of a LOAD behind others in the FIFO"
        todo = "let a PASS take the beats before them"
        faults.append(Fault(f"PU {core.pu}, move {core.semaphores[MOVE]} of the core", got, "none", todo))
    return faults


def left_over(core: Core) -> list[Fault]:
    """List the beats that no PASS of a core has taken."""
    return [
        Fault(
            f"PU {core.pu}, FIFO of strip {strip}",
            f"{sum(len(chunk.beats) for chunk in fifo)} beats left at the end",
            "none",
            "let a PASS take them, or correct the table of the STREAM",
        )
        for strip, fifo in enumerate(core.fifos)
        if fifo
    ]
