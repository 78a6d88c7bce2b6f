"""Streaming bandwidth, measured by commands: all banks of a chip stream whole rows into ideal eaters.

The eater of a bank takes every beat at its ``ready_at`` and returns the credit nCREDIT later; so this is what the
banks can deliver, and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nmpsim.dram.native.traffic import REQUEST, run_requests
from nmpsim.errors import InfeasibleError
from nmpsim.spec.params import DramParams, MachineParams


def stream_requests(dram: DramParams, tier: int, rows_per_bank: int) -> Any:
    """Return one request of adjacent whole rows of one tier for every bank of a channel.

    Raises
    ------
    InfeasibleError
        If the tier has fewer rows.
    """
    if not 1 <= rows_per_bank <= dram.rows_per_tier:
        message = f"rows_per_bank: got {rows_per_bank}; allowed: 1 to {dram.rows_per_tier}; stay inside one tier"
        raise InfeasibleError(message)
    requests = REQUEST.zeros(dram.banks)
    requests["bank"] = np.arange(dram.banks)
    requests["first_row"] = tier * dram.rows_per_tier
    requests["rows"] = rows_per_bank
    requests["columns"] = dram.columns
    return requests


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
    requests = stream_requests(dram, tier, rows_per_bank)
    run = run_requests(dram, params.latency, [requests] * params.cores, plain=plain, per_cycle=dram.banks, log=False)
    columns = params.cores * dram.banks * rows_per_bank * dram.columns
    picoseconds = float((run.cycles - 1) * params.dram_period * params.tick_ps)
    return columns * dram.column_bytes / picoseconds
