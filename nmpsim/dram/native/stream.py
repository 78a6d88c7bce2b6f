"""Streaming bandwidth, measured by commands: all banks of a chip stream whole rows into ideal eaters.

The eater of a bank takes every beat at its ``ready_at`` and returns the credit nCREDIT later; so this is what the
banks can deliver, and nothing else.
"""

from __future__ import annotations

from nmpsim.dram.channel import step_channel
from nmpsim.dram.state import DramState, make_state, post, raise_faults
from nmpsim.errors import InfeasibleError
from nmpsim.kernel import NEVER, inlined, kernel
from nmpsim.link.fifo import head_at, pop
from nmpsim.spec.params import MachineParams


@inlined
def eat_all(fifo, slots, now, plain, credit, last_at):
    """Take the beats that are ready, or (``plain == 0``) all stamped beats ahead; return the last one's tick."""
    while True:
        at = head_at(fifo, slots)
        if at >= NEVER or (plain and at > now):
            return last_at
        pop(fifo, slots, at + credit)
        last_at = at


@kernel
def stream_until_idle(plain, params, period, latency, state):
    """Run all channels with ideal eaters until all runs are delivered; return the tick of the last beat.

    Parameters
    ----------
    plain : int
        1: visit every channel on every clock edge; 0: when its wake has come.
    params : DramParams
    period : int
        DRAM clock period; ticks.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations of two commands of one bank, -1 = none; DRAM cycles.
    state : DramState
        Changed.

    Timing
    ------
    Plain: visits every channel on every clock edge.  Skip: visits a channel when its wake has come, and lets the
    eaters take stamped beats ahead of time.  Refresh goes on while rows are left, and ends with the last beat.
    """
    credit = params.nCREDIT * period
    channels = state.bank.shape[0]
    last_at = 0
    for c in range(channels):
        now = 0
        while now < NEVER:
            wake = step_channel(c, now, plain, params, period, latency, state)
            busy = False
            for b in range(params.banks):
                fifo = state.fifo[c, b]
                slots = state.slot[c, b]
                first_at = head_at(fifo, slots)
                last_at = eat_all(fifo, slots, now, plain, credit, last_at)
                if first_at < NEVER:  # the slots freed from here on may let a row start: lower the wake
                    wake = min(wake, max(first_at + credit, now + period))
                if fifo.head < fifo.reserved or state.queue[c, b].taken < state.queue[c, b].posted:
                    busy = True
            if not busy:
                break
            now = now + period if plain else wake
    return last_at


def post_stream(state: DramState, params: MachineParams, tier: int, rows_per_bank: int) -> None:
    """Post one run of whole rows of one tier to every bank (changes `state`).

    Raises
    ------
    InfeasibleError
        If the tier has fewer rows.
    """
    dram = params.dram
    if not 1 <= rows_per_bank <= dram.rows_per_tier:
        message = f"rows_per_bank: got {rows_per_bank}; allowed: 1 to {dram.rows_per_tier}; stay inside one tier"
        raise InfeasibleError(message)
    for c in range(params.pus):
        for b in range(dram.banks):
            post(
                state,
                c,
                b,
                params.dram_period,
                first_row=tier * dram.rows_per_tier,
                rows=rows_per_bank,
                columns=dram.columns,
            )


def stream_banks(
    params: MachineParams, tier: int, rows_per_bank: int, *, refresh: bool = False, plain: bool = False
) -> float:
    """Return the bandwidth of all banks that stream whole rows of one tier; TB/s (1e12 byte per second).

    Parameters
    ----------
    params : MachineParams
        The chip.
    tier : int
        Latency class of the rows.
    rows_per_bank : int
        Adjacent rows every bank reads; the first row's latency is part of the time, so take many.
    refresh : bool
        Per-bank refresh on or off, whatever the chip says.
    plain : bool
        Step every cycle.

    Raises
    ------
    InfeasibleError
        If the tier has fewer rows.
    ProtocolError
        If a bank refuses the run, as when a row does not fit into the landing FIFO.
    """
    dram = params.dram._replace(refresh=int(refresh))
    state = make_state(dram, params.pus)
    post_stream(state, params, tier, rows_per_bank)
    ticks = stream_until_idle(int(plain), dram, params.dram_period, params.latency, state)
    raise_faults(state)
    columns = params.pus * dram.banks * rows_per_bank * dram.columns
    picoseconds = float(ticks * params.tick_ps)
    return columns * dram.column_bytes / picoseconds
