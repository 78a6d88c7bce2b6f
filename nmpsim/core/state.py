"""Registers of a core: compute unit, vector unit, sequencer, port history, semaphores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import Record
from nmpsim.program.isa import COPY_IN, COPY_OUT, UNITS, semaphores
from nmpsim.spec.params import MAC_TREE, MachineParams

# Reasons of a unit-cycle.  Every unit uses the first three; the rest belong to the units named.
(
    BUSY,
    QUEUE_EMPTY,
    WAIT_SEMAPHORE,
    OPERAND_LATE,
    ACCUMULATORS_BUSY,
    LOAD_STATIONARY,
    PIPELINE_DRAIN,
    RECONFIGURE,
    EDGE_BANDWIDTH,
    PORT_CONFLICT,
    BANK_QUEUE_FULL,
    NO_CREDIT,
    UNIT_QUEUE_FULL,
    FINISHED,
) = range(14)
REASONS = (
    "busy",
    "queue_empty",
    "wait_semaphore",
    "operand_late",
    "accumulators_busy",
    "load_stationary",
    "pipeline_drain",
    "reconfigure",
    "edge_bandwidth",
    "port_conflict",
    "bank_queue_full",
    "no_credit",
    "unit_queue_full",
    "finished",
)

ACTOR = Record(
    "ACTOR",
    ("at", "tick", "first tick not yet stepped"),
    ("wake", "tick", "first tick at which it may act"),
    ("instruction", "", "PASS in progress, -1 = none"),
    ("issued", "PASS", "passes issued by this actor since the start"),
    ("advances", "cycle", "cycles in which the pipeline moved (it holds as a whole)"),
    ("flow", "", "configured dataflow, -1 = none yet"),
    ("group", "strip", "configured strips per group"),
    ("split", "", "configured relation of the groups"),
    ("ready_at", "tick", "end of a reconfiguration"),
    ("streaming", "", "1 while a fold streams"),
    ("outer", "fold", "output fold that streams next or now"),
    ("inner", "fold", "accumulated fold within it"),
    ("step", "cycle", "step within the fold (stationary flows), stationary loads done (IS)"),
    ("begun", "", "1 once the streaming pass has taken its first beat"),
    ("stream_instruction", "", "pass that streams, -1 = none (stationary flows load the next one meanwhile)"),
    ("stream_outers", "fold", "its output folds"),
    ("stream_inners", "fold", "its accumulated folds per output fold"),
    ("stream_drain", "cycle", "its cycles to write one output fold"),
    ("stream_pace", "cycle", "its cycles per step"),
    ("paced_until", "tick", "end of the last step, which the edge bandwidth may make longer than a cycle"),
    ("opened", "fold", "output fold that the first group opened last (OS)"),
    ("opened_at", "advance", "value of `advances` in that step"),
    ("outers", "fold", "output folds of the pass"),
    ("inners", "fold", "accumulated folds per output fold"),
    ("steps", "cycle", "steps of a fold"),
    ("pace", "cycle", "cycles per step that the edges need"),
    ("depth", "cycle", "last input of a fold to its first result"),
    ("drain", "cycle", "cycles to write one output fold"),
    ("load_outer", "fold", "output fold whose stationary operand is loaded next"),
    ("load_inner", "fold", "accumulated fold of it"),
    ("loading", "beat", "beats of it already loaded per strip"),
    ("shadow", "", "1 when the shadow registers hold a whole stationary operand"),
    ("shadow_instruction", "", "pass it belongs to"),
    ("shadow_steps", "cycle", "steps that the shadow operand will stream for"),
    ("shadow_valid", "element", "its elements loaded so far that are not padding"),
    ("valid", "element", "those of the stationary operand that streams"),
    ("sets", "", "accumulator sets in use"),
    ("pending_head", "", "first fold that waits to be written"),
    ("pending", "", "folds that wait to be written"),
    ("writing", "", "1 while a fold is written"),
    ("write_end", "tick", "end of that write"),
    ("reason", "", "reason of the cycles since `since`"),
    ("since", "tick", "start of the interval not yet accounted"),
    ("pops", "beat", "beats of the DRAM taken"),
    ("macs", "MAC", "multiply-accumulates executed"),
    ("passes", "PASS", "passes completed"),
    ("operator", "", "operator of the pass in progress or of the last one"),
    ("counted", "MAC", "recording: value of `macs` at the end of the last cycle"),
    ("value", "MAC", "recording: multiply-accumulates in each cycle since `since`"),
    ("noted_issued", "PASS", "recording: value of `issued` that the log knows"),
    ("noted_passes", "PASS", "recording: value of `passes` that the log knows"),
)

NOT_OPEN = -1
"""Skew of a strip whose fold the first group of a chain has not opened yet."""

STRIP = Record(
    "STRIP",
    ("wait", "cycle", "skew left before this strip starts (chained shapes), NOT_OPEN: not known yet"),
    ("outer", "fold", "output fold this strip works on"),
    ("inner", "fold", "accumulated fold"),
    ("step", "cycle", "step within the fold"),
    ("limit", "cycle", "steps of this fold that have a beat; or beats of the stationary operand"),
    ("valid", "element", "elements of a beat that are not padding"),
    ("phase", "", "position of the strip in its group"),
    ("left", "", "1 while the pass needs this strip"),
    ("part", "beat", "array beats taken since the last beat of scales, or since a beat of the DRAM was used up"),
)

PENDING = Record(
    "PENDING",
    ("ready_at", "advance", "value of `advances` at which the fold's results stand at the edge"),
    ("last", "", "1 for the last fold of a pass"),
    ("cycles", "cycle", "cycles of the write"),
    ("operator", "", "operator of the pass"),
    ("frees", "", "1 if an accumulator set is free after the write"),
    ("address", "byte", "buffer address of the write"),
    ("bytes", "byte", "bytes written per cycle"),
)
PENDING_DEPTH = 8

VECTOR_UNIT = Record(
    "VECTOR_UNIT",
    ("instruction", "", "operation in progress, -1 = none"),
    ("phase", "", "element loop"),
    ("done", "element", "elements of the loop issued"),
    ("next_at", "tick", "first tick at which the next group of elements may issue"),
    ("tail", "", "completions in flight: first"),
    ("flying", "", "completions in flight: number"),
    ("elements", "element", "elements issued since the start"),
    ("lane_cycles", "cycle", "cycles in which lanes were busy"),
    ("conflicts", "cycle", "cycles lost to port conflicts"),
)

MOVER = Record(
    "MOVER",
    ("issued", "", "MOVE instructions issued"),
    ("completed", "", "MOVE instructions completed, in order"),
    ("instruction", "", "STORE whose beats are being read, -1 = none"),
    ("beat", "beat", "beats of it already read"),
    ("turn", "", "strip looked at first for a beat that goes to the buffer"),
    ("loads", "", "LOADs that still have beats under way"),
    ("beats_in", "beat", "beats written into the buffer"),
    ("beats_out", "beat", "beats read from the buffer for DRAM"),
    ("conflicts", "cycle", "cycles lost to port conflicts"),
)

MOVE_SLOT = Record(
    "MOVE_SLOT",
    ("kind", "", "LOAD or STORE; 0 for a STREAM, which completes when accepted"),
    ("left", "beat", "beats still to arrive (LOAD)"),
    ("operator", "", "operator of the instruction"),
)
MOVE_SLOTS = 16

SENDER = Record(
    "SENDER",
    ("instruction", "", "SEND in progress, -1 = none"),
    ("row", "", "row of the message"),
    ("offset", "byte", "bytes of the row already sent"),
    ("sequence", "flit", "flits of the message already sent"),
    ("messages", "message", "messages sent since the start"),
    ("flits", "flit", "flits sent since the start"),
    ("conflicts", "cycle", "cycles lost to port conflicts"),
)

RECEIVER = Record(
    "RECEIVER",
    ("flits", "flit", "flits written into the buffer"),
    ("messages", "message", "messages completed"),
    ("conflicts", "cycle", "cycles lost to port conflicts"),
)

COPIER = Record(
    "COPIER",
    ("instruction", "", "CROSS in progress, -1 = none"),
    ("row", "", "row of it, counted through all planes"),
    ("offset", "byte", "bytes of the row already copied"),
    ("tail", "", "completions in flight: first"),
    ("flying", "", "completions in flight: number"),
    ("copies", "CROSS", "copies completed"),
    ("bytes", "byte", "bytes copied since the start"),
    ("conflicts", "cycle", "cycles lost to port conflicts"),
)
COPIERS = 2

UNIT = Record(
    "UNIT",
    ("head", "", "first instruction of the queue"),
    ("count", "", "instructions in the queue"),
    ("reason", "", "reason of the cycles since `since`"),
    ("since", "tick", "start of the interval not yet accounted"),
    ("wake", "tick", "first tick at which the unit may do something"),
    ("operator", "", "operator of the instruction in progress or at the head"),
    ("held", "", "operator of the cycles since `since`"),
    ("counted", "", "recording: work done up to the end of the last visit, in the unit's own measure"),
    ("value", "", "recording: work in each cycle since `since`"),
    ("noted_head", "", "recording: value of `head` that the log knows"),
    ("noted_done", "", "recording: completed instructions that the log knows"),
)

ENTRY = Record(
    "ENTRY",
    ("instruction", "", "index into the program"),
    ("at", "tick", "first tick at which the unit sees it"),
)

CORE = Record(
    "CORE",
    ("begin", "", "first instruction of the program"),
    ("fetch", "", "next instruction of the program"),
    ("end", "", "one past the last instruction"),
    ("finished_at", "tick", "tick at which the last instruction completed, NEVER before"),
    ("read_mask", "", "banks whose read port is taken in this cycle"),
    ("write_mask", "", "banks whose write port is taken in this cycle"),
    ("mask_at", "tick", "cycle those masks belong to"),
    ("sum_mask", "", "separate: banks of the output buffer that the compute unit reads in this cycle"),
    ("retired", "", "instructions completed"),
    ("intervals", "", "intervals recorded since the last drain"),
    ("steps", "", "visits by the clock loop"),
    ("observed_at", "tick", "recording: first cycle whose use of the ports is not yet recorded"),
)

PORT_USE = Record(
    "PORT_USE",
    ("at", "tick", "cycle of the entry"),
    ("read_mask", "", "banks read by the compute unit in that cycle"),
    ("write_mask", "", "banks written by it"),
    ("sum_mask", "", "separate: banks of the output buffer read by it; then the other two are of its own buffers too"),
)

SPAN = Record(
    "SPAN",
    ("start", "tick", "first instruction issued, NEVER = none yet"),
    ("end", "tick", "last instruction completed"),
)


INTERVAL = Record(
    "INTERVAL",
    ("unit", "", "row: 0 sequencer, then units, from UNITS on compute units, then what WATCHED names"),
    ("reason", "", "what the unit did or why it did not; TAKEN or COMPLETED for an event"),
    ("operator", "", "operator it worked on or waited for, -1 = none"),
    ("value", "", "work in each cycle, in the unit's own measure; instructions of an event"),
    ("start", "tick", "first tick; tick of an event"),
    ("end", "tick", "first tick after it; that of the event again"),
)
TAKEN, COMPLETED = -1, -2
"""Events in the log: instructions that a unit took, and that it completed."""

WATCH = Record(
    "WATCH",
    ("reason", "", "ACTIVE, IDLE or CONFLICT in each cycle since `since`"),
    ("value", "", "ports taken or flits in each of them"),
    ("since", "tick", "start of the interval not yet recorded"),
    ("counted", "", "flits up to the end of the last visit"),
    ("conflicts", "", "port conflicts up to the end of the last visit"),
)
ACTIVE, IDLE, CONFLICT = range(3)
WATCH_REASONS = ("active", "idle", "port_conflict")
RECEIVE, BUFFER_READ, BUFFER_WRITE, OPERAND_READ, OUTPUT_WRITE, OUTPUT_READ = 0, 2, 3, 4, 5, 6
WATCHED = ("receive_0", "receive_1", "buffer_read", "buffer_write", "operand_read", "output_write", "output_read")
"""What has no account of its own and is only recorded; the last three in the separate arrangement only."""


class CoreState(NamedTuple):
    """Registers of all cores of the die; first axis is the core."""

    core: Any  # CORE, (core,)
    unit: Any  # UNIT, (core, unit); unit UNITS is the sequencer
    entry: Any  # ENTRY, (core, unit, depth)
    semaphore: NDArray[np.int64]  # (core, semaphore): what units see in this cycle
    signal: NDArray[np.int64]  # (core, semaphore): what they will see in the next one
    stall: NDArray[np.int64]  # (core, unit or actor, reason): ticks
    actor: Any  # ACTOR, (core, actor)
    strip: Any  # STRIP, (core, strip)
    pending: Any  # PENDING, (core, actor, PENDING_DEPTH)
    port_use: Any  # PORT_USE, (core, run_ahead)
    vector: Any  # VECTOR_UNIT, (core,)
    flying: NDArray[np.int64]  # (core, operations in flight): ticks at which vector operations complete
    mover: Any  # MOVER, (core,)
    move_slot: Any  # MOVE_SLOT, (core, MOVE_SLOTS)
    sender: Any  # SENDER, (core, 2)
    received: Any  # RECEIVER, (core, 2)
    copier: Any  # COPIER, (core, 2): in, out; (core, 0) in the unified arrangement
    crossing: NDArray[np.int64]  # (core, copier, copies in flight): ticks at which they complete
    span: Any  # SPAN, (core, operator)
    work: NDArray[np.int64]  # (core, operator, reason): actor ticks by operator
    interval: Any  # INTERVAL, (core, capacity): recorded since the last drain; capacity 0 = not recorded
    watch: Any  # WATCH, (core, watched); watched 0 = not recorded


def actors_of(params: MachineParams) -> int:
    """Compute units that stall alone: one array, or one per MAC-tree slice."""
    return params.core.strips if params.core.kind == MAC_TREE else 1


def missing_units(params: MachineParams) -> tuple[int, ...]:
    """Units of `nmpsim.program.isa` that a core of this chip does not have: their queues stay empty."""
    return () if params.core.separate else (COPY_IN, COPY_OUT)


def watched(params: MachineParams) -> int:
    """How many of WATCHED a core of this chip has."""
    return len(WATCHED) if params.core.separate else OPERAND_READ


def make_state(params: MachineParams, operators: int, *, intervals: int = 0, watch: bool = False) -> CoreState:
    """Return the cores of `params` after reset, with room for `operators` operators.

    Parameters
    ----------
    params : MachineParams
        The chip.
    operators : int
        Operators of the program, for attribution.
    intervals : int
        Intervals per core that are kept until they are drained; 0 = none are recorded.
    watch : bool
        Record receivers and buffer ports too.
    """
    cores, actors = params.cores, actors_of(params)
    core = params.core
    state = CoreState(
        core=CORE.zeros(cores),
        unit=UNIT.zeros(cores, UNITS + 1),
        entry=ENTRY.zeros(cores, UNITS, core.queue_depth),
        semaphore=np.zeros((cores, semaphores(params.cores)), np.int64),
        signal=np.zeros((cores, semaphores(params.cores)), np.int64),
        stall=np.zeros((cores, UNITS + actors, len(REASONS)), np.int64),
        actor=ACTOR.zeros(cores, actors),
        strip=STRIP.zeros(cores, core.strips),
        pending=PENDING.zeros(cores, actors, PENDING_DEPTH),
        port_use=PORT_USE.zeros(cores, core.run_ahead),
        vector=VECTOR_UNIT.zeros(cores),
        flying=np.zeros((cores, core.vector_latency + max(core.exp_interval, core.sqrt_interval)), np.int64),
        mover=MOVER.zeros(cores),
        move_slot=MOVE_SLOT.zeros(cores, MOVE_SLOTS),
        sender=SENDER.zeros(cores, 2),
        received=RECEIVER.zeros(cores, 2),
        copier=COPIER.zeros(cores, COPIERS * core.separate),
        crossing=np.zeros((cores, COPIERS * core.separate, core.copy_latency + 1), np.int64),
        span=SPAN.zeros(cores, operators),
        work=np.zeros((cores, operators, len(REASONS)), np.int64),
        interval=INTERVAL.zeros(cores, intervals),
        watch=WATCH.zeros(cores, watched(params) * watch),
    )
    state.actor.instruction = -1
    state.actor.stream_instruction = -1
    state.actor.shadow_instruction = -1
    state.actor.flow = -1
    state.actor.operator = -1
    state.actor.reason = QUEUE_EMPTY
    state.unit.reason = QUEUE_EMPTY
    state.watch.reason = IDLE
    state.unit.operator = -1
    state.unit.held = -1
    state.vector.instruction = -1
    state.mover.instruction = -1
    state.sender.instruction = -1
    state.copier.instruction = -1
    state.core.finished_at = 2**62
    state.core.mask_at = -1
    state.port_use.at = -1
    state.span.start = 2**62
    return state
