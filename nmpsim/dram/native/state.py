"""State of the DRAM channels: one channel per PU, every bank with its own sequencer and data port.

Arrays are indexed ``[channel, bank, ...]``.  Everything is an integer; times are ticks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError, LimitReached, ProtocolError
from nmpsim.kernel import NEVER, Record
from nmpsim.link.fifo import FIFO, SLOT
from nmpsim.link.memory_port import RUN, RUN_QUEUE, TOKEN
from nmpsim.spec.params import COMMANDS, DramParams

(
    TRANSFER,
    ACTIVATE,
    PRECHARGE,
    NO_LANDING_SPACE,
    WRITE_DATA_LATE,
    ACTIVATION_BUDGET,
    REFRESH,
    NO_REQUEST,
    TURNAROUND,
    PORT_BUSY,
) = range(10)
REASONS = (
    "transfer",
    "activate",
    "precharge",
    "no_landing_space",
    "write_data_late",
    "activation_budget",
    "refresh",
    "no_request",
    "turnaround",
    "port_busy",
)
"""What a bank spends a DRAM cycle on, exactly one for each; defined in nmpsim/dram/native/account.py."""

NO_FAULT, FAULT_ROW, FAULT_COLUMN, FAULT_LANDING = range(4)
FAULTS = (
    "",
    "a row outside the bank, or a run without rows",
    "columns outside the row, or a row access without columns",
    "more columns per row access than the landing FIFO has beats",
)

IDLE, ACCESS, REFRESHING = range(3)
"""What a bank began last: nothing yet, a row access, a refresh."""

CHANNEL = Record(
    "CHANNEL",
    ("next_bank", "bank", "bank with the highest priority for the activation budget: the one after the last ACT"),
    ("activations", "command", "ACT of all banks"),
    ("wants_act", "", "1: a bank wants an ACT now and only the activation budget of the die is left to ask"),
    ("first_ready_at", "tick", "smallest ready_at stamped on a beat in the last visit, NEVER if none"),
    ("logged", "command", "commands offered to the log"),
    ("intervals", "", "intervals recorded since the last drain"),
    ("accesses", "", "row accesses recorded since the last drain"),
    ("fault", "", "NO_FAULT, or why a run could not be executed"),
    ("fault_bank", "bank", "bank of the fault"),
    ("fault_at", "tick", "tick of the fault"),
)

BANK = Record(
    "BANK",
    ("phase", "", "IDLE, ACCESS or REFRESHING: what began last"),
    ("began_at", "tick", "tick of the last ACT or REFpb, or at which the last row hit began"),
    ("is_open", "", "1 from the ACT to the PRE"),
    ("is_hit", "", "1: the last row access found its row open and needed no ACT"),
    ("hits", "row access", "row accesses begun since the ACT"),
    ("closing", "", "1: the open row will be closed; never taken back"),
    ("closing_at", "tick", "tick of that decision; 0 where the row_hits cap made it"),
    ("port", "", "0, or 1 + the shared port that the bank holds"),
    ("row", "row", "row of the last row access"),
    ("tier", "", "latency class of that row"),
    ("first_column", "column", "first column of the row access"),
    ("columns", "column", "columns of the row access"),
    ("issued", "column", "columns whose RD or WR was issued"),
    ("is_write", "", "1: the row access writes"),
    ("was_write", "", "1: the row access before it wrote"),
    ("target", "", "0, or 1 + buffer address of the next beat"),
    ("target_stride", "byte", "buffer bytes from beat to beat; 0 for beats that stream into the compute unit"),
    ("token", "", "data-mover slot of the row access"),
    ("closed_at", "tick", "tick of the PRE of the row access, NEVER while open"),
    ("rows_begun", "row", "row accesses begun of the run at the head of the queue"),
    ("refreshes", "command", "REFpb issued since the start"),
    ("quiet_until", "tick", "no command of the bank is legal before this tick, whatever others stamp"),
    ("accounted", "tick", "every cycle before this tick is in the counters and in the stall table"),
    ("held_reason", "", "recording: reason of the interval not yet in the log"),
    ("held_from", "tick", "recording: its start"),
    ("held_to", "tick", "recording: the first tick after it"),
)

COLUMN = Record(
    "COLUMN",
    ("legal_at", "tick", "first tick at which the timing rules of the bank allowed the RD or WR"),
    ("data_at", "tick", "first tick at which the datum of the WR was there too"),
    ("issued_at", "tick", "tick of the RD or WR"),
)

PORT = Record(
    "PORT",
    ("is_held", "", "1: a bank holds the port and has columns left"),
    ("last_at", "tick", "tick of the last column"),
    ("is_write", "", "1: that column was a WR"),
    ("columns", "beat", "columns so far"),
)

DIE = Record(
    "DIE",
    ("activations", "command", "ACT of all channels"),
    ("next_channel", "", "channel with the highest priority for the activation budget: the one after the last ACT"),
)

COUNTER = Record(
    "COUNTER",
    ("ACT", "command", "activations"),
    ("PRE", "command", "precharges"),
    ("RD", "command", "column reads"),
    ("WR", "command", "column writes"),
    ("REF", "command", "per-bank refreshes"),
    ("hits", "row access", "row accesses that found their row open"),
    ("beats", "beat", "columns moved over the bank's port, either way"),
)

LOG_ENTRY = Record(
    "LOG_ENTRY",
    ("tick", "tick", "tick of the command"),
    ("channel", "", "channel"),
    ("bank", "", "bank"),
    ("command", "", "ACT, PRE, RD, WR or REF of nmpsim.spec.params"),
    ("row", "row", "row; -1 for REFpb"),
    ("column", "column", "column of RD and WR, first column of ACT; -1 for PRE and REFpb"),
    ("count", "beat", "columns to come for ACT, 1 for RD and WR, else 0"),
    ("port", "", "port of RD and WR, counted through the channel; else -1"),
)

BANK_BITS, REASON_BITS = 16, 8
"""An interval of a bank is one word, ``ticks << 24 | bank << 8 | reason``: a full recording writes millions of them."""

ROW_ACCESS = Record(
    "ROW_ACCESS",
    ("at", "tick", "its first command; `act`, `first` and `pre` are ticks after it"),
    ("bank", "bank", "which"),
    ("command", "", "RD, WR or REF"),
    ("row", "row", "row; -1 for REFpb"),
    ("act", "tick", "ACT, or REFpb; -1 where the row was open"),
    ("columns", "column", "columns that the ACT announced"),
    ("column", "column", "first column moved"),
    ("count", "column", "adjacent columns moved, one every `step` ticks"),
    ("first", "tick", "RD or WR of the first one, -1 without"),
    ("step", "tick", "from one to the next, 0 for a single one"),
    ("port", "", "port of the columns, counted through the channel; -1 without"),
    ("pre", "tick", "PRE, -1 while the row stays open"),
)


class DramState(NamedTuple):
    """All channels of a chip; the only mutable thing of this folder."""

    channel: Any  # CHANNEL [channel]
    bank: Any  # BANK [channel, bank]
    ready: NDArray[np.int64]  # [channel, bank, command]: first tick the timing table allows; ticks
    activation: NDArray[np.int64]  # [channel, 4]: the last four ACT, ring over CHANNEL.activations; ticks
    column: Any  # COLUMN [channel, bank, column]: columns of the last row access
    queue: Any  # RUN_QUEUE [channel, bank]
    run: Any  # RUN [channel, bank, run_queue]
    fifo: Any  # FIFO [channel, bank]: landing FIFO, the bank fills it
    slot: Any  # SLOT [channel, bank, fifo_columns]
    write_fifo: Any  # FIFO [channel, bank]: write FIFO, the data mover fills it
    write_slot: Any  # SLOT [channel, bank, fifo_columns]
    token: Any  # TOKEN [channel, token]
    port: Any  # PORT [channel, port]: shared ports, group by group; unused where every bank has its own
    die: Any  # DIE [1]
    die_activation: NDArray[np.int64]  # [die_acts]: the last ACT of the die, ring over DIE.activations; ticks
    counter: Any  # COUNTER [channel, bank]
    stall: NDArray[np.int64]  # [channel, bank, reason]; DRAM cycles
    log: Any  # LOG_ENTRY [channel, log_capacity]
    interval: NDArray[np.int64]  # [channel, capacity]: words of BANK_BITS since the last drain; 0 = not recorded
    access: Any  # ROW_ACCESS [channel, capacity]: the same
    burst: Any  # ROW_ACCESS [channel, bank]: being recorded


def make_state(
    params: DramParams, channels: int, *, tokens: int = 64, log_capacity: int = 0, intervals: int = 0
) -> DramState:
    """Return the state of `channels` idle channels at tick 0, all banks closed.

    Parameters
    ----------
    params : DramParams
        One channel.
    channels : int
        Channels; one per PU.
    tokens : int
        Data-mover slots per channel.
    log_capacity : int
        Commands the log of one channel holds; 0 = no log.
    intervals : int
        Intervals and row accesses per channel that are kept until they are drained; 0 = none are recorded.
    """
    banks = (channels, params.banks)
    state = DramState(
        channel=CHANNEL.zeros(channels),
        bank=BANK.zeros(*banks),
        ready=np.zeros((*banks, len(COMMANDS)), np.int64),
        activation=np.zeros((channels, 4), np.int64),
        column=COLUMN.zeros(*banks, params.columns),
        queue=RUN_QUEUE.zeros(*banks),
        run=RUN.zeros(*banks, params.run_queue),
        fifo=FIFO.zeros(*banks),
        slot=SLOT.zeros(*banks, params.fifo_columns),
        write_fifo=FIFO.zeros(*banks),
        write_slot=SLOT.zeros(*banks, params.fifo_columns),
        token=TOKEN.zeros(channels, tokens),
        port=PORT.zeros(channels, -(-params.banks // params.port_banks) * params.ports),
        die=DIE.zeros(1),
        die_activation=np.zeros(max(params.die_acts, 1), np.int64),
        counter=COUNTER.zeros(*banks),
        stall=np.zeros((*banks, len(REASONS)), np.int64),
        log=LOG_ENTRY.zeros(channels, log_capacity),
        interval=np.zeros((channels, intervals), np.int64),
        access=ROW_ACCESS.zeros(channels, intervals),
        burst=ROW_ACCESS.zeros(channels, params.banks * min(intervals, 1)),
    )
    state.channel["first_ready_at"] = NEVER
    state.bank["closed_at"] = NEVER
    state.burst["command"] = -1
    if intervals:
        state.burst["bank"] = np.arange(params.banks)
    return state


def post(state: DramState, channel: int, bank: int, ready_at: int, **fields: int) -> None:
    """Post one run from Python (changes `state`); kernels use nmpsim/link/memory_port.py.

    Parameters
    ----------
    state : DramState
        The run queue of the bank must have a free slot.
    channel, bank : int
        Which bank.
    ready_at : int
        First tick at which the bank sees the run.
    **fields : int
        Fields of RUN; absent ones are 0, but ``row_stride`` is 1.

    Raises
    ------
    InternalError
        If the queue is full.
    """
    queue, runs = state.queue[channel, bank], state.run[channel, bank]
    if queue.posted - queue.taken >= len(runs):
        raise InternalError(f"channel {channel} bank {bank}: run queue is full with {len(runs)} runs")
    run = runs[queue.posted % len(runs)]
    for name in RUN.dtype.names or ():
        if name not in {"ready_at", "free_at"}:
            run[name] = fields.pop(name, 1 if name == "row_stride" else 0)
    if fields:
        raise InternalError(f"not a field of RUN: {', '.join(fields)}")
    run.ready_at = ready_at
    queue.posted += 1


def command_log(state: DramState, until: int) -> Any:
    """Return the commands with tick < `until`, sorted by (tick, channel, bank).

    The cut makes the logs of plain and skip mode equal: skip mode may have issued the columns and the PRE of an
    open row ahead of time.

    Returns
    -------
    array of LOG_ENTRY, shape (commands,)

    Raises
    ------
    LimitReached
        If the log was too small.
    """
    capacity = state.log.shape[1]
    most = int(state.channel["logged"].max(initial=0))
    if most > capacity:
        message = f"DRAM command log: got {most} commands in one channel; allowed: {capacity}; raise log_capacity"
        raise LimitReached(message)
    parts = [state.log[c, : int(logged)] for c, logged in enumerate(state.channel["logged"])]
    log = np.concatenate(parts)
    log = log[log["tick"] < until]
    return log[np.lexsort((log["bank"], log["channel"], log["tick"]))].view(np.recarray)


def raise_faults(state: DramState) -> None:
    """Raise if a bank was handed a run that it cannot execute.

    Raises
    ------
    ProtocolError
        With channel, bank, tick and reason of the first fault of every channel.
    """
    faults = [
        f"channel {c} bank {channel.fault_bank} at tick {channel.fault_at}: got {FAULTS[channel.fault]}"
        for c, channel in enumerate(state.channel)
        if channel.fault != NO_FAULT
    ]
    if faults:
        lines = "; ".join(faults)
        raise ProtocolError(f"{lines}; allowed: runs inside the bank; check the program that posted the run")


def check_balance(state: DramState, cycles: int) -> None:
    """Raise unless the stall table of every bank sums to the elapsed cycles.

    Parameters
    ----------
    state : DramState
        Settled at `cycles`.
    cycles : int
        Elapsed DRAM cycles.

    Raises
    ------
    InternalError
        With the first bank whose cycles do not add up.
    """
    sums = state.stall.sum(axis=2)
    for c, b in np.argwhere(sums != cycles):
        raise InternalError(f"channel {c} bank {b}: stall reasons sum to {sums[c, b]} of {cycles} DRAM cycles")
