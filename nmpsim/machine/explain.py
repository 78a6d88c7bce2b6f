"""Say in words why a die has stopped: who waits for whom."""

from __future__ import annotations

from nmpsim.core.state import REASONS
from nmpsim.kernel import NEVER
from nmpsim.machine.state import Die
from nmpsim.program.isa import FROM, SHARED, UNIT_NAMES, UNITS, op_name
from nmpsim.program.program import Program
from nmpsim.spec.params import MachineParams


def semaphore_name(semaphore: int, pus: int) -> str:
    """Name of a semaphore of a core."""
    if semaphore < UNITS:
        return f"instructions completed by {UNIT_NAMES[semaphore]}"
    if semaphore < FROM + 2 * pus:
        source, port = divmod(semaphore - FROM, 2)
        return f"messages from PU {source} by port {port}"
    return f"messages counted by shared semaphore {semaphore - FROM - 2 * pus} of {SHARED}"


def explain_deadlock(params: MachineParams, program: Program, die: Die) -> str:
    """Return a report that names every waiting unit, its instruction and what it waits for.

    Parameters
    ----------
    params : MachineParams
    program : Program
    die : Die
        Stopped.
    """
    cores = die.cores
    lines = []
    for c in range(params.cores):
        if cores.core[c].finished_at < NEVER:
            continue
        for u in range(UNITS):
            unit = cores.unit[c, u]
            if unit.count == 0:
                continue
            entry = cores.entry[c, u, int(unit.head) % cores.entry.shape[2]]
            ins = program.streams[c][int(entry.instruction) - int(cores.core[c].begin)]
            missing = [
                f"{semaphore_name(int(ins[f'wait{i}']), params.cores)}: {cores.semaphore[c, ins[f'wait{i}']]} of "
                f"{ins[f'count{i}']}"
                for i in range(4)
                if ins[f"wait{i}"] >= 0 and cores.semaphore[c, ins[f"wait{i}"]] < ins[f"count{i}"]
            ]
            reason = REASONS[cores.actor[c, 0].reason if u == 0 else unit.reason]
            since = int(cores.actor[c, 0].since if u == 0 else unit.since) // params.core_period
            name = program.operators[int(ins["operator"])].name if program.operators else "?"
            waits = "; ".join(missing) or reason
            lines.append(
                f"core {c} {UNIT_NAMES[u]}: {op_name(int(ins['op']))} of {name} waits since cycle {since} for {waits}"
            )
        for i in range(cores.actor.shape[1]):
            actor = cores.actor[c, i]
            if actor.instruction >= 0 or actor.stream_instruction >= 0:
                lines.append(
                    f"core {c} array {i}: a pass in progress waits since cycle "
                    f"{int(actor.since) // params.core_period} for {REASONS[actor.reason]}"
                )
    cycle = int(die.clock[0].now) // params.core_period
    return "\n".join([f"deadlock at core cycle {cycle}: no unit can ever act again", *(f"  - {x}" for x in lines)])
