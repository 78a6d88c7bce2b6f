"""The whole die after reset: wiring of cores, channels and routers, and the registers of the clock loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.core.state import MOVE_SLOTS, CoreState
from nmpsim.core.state import make_state as make_cores
from nmpsim.dram.native.state import DramState
from nmpsim.dram.native.state import make_state as make_channels
from nmpsim.kernel import Record
from nmpsim.noc.die.state import NocState, make_ports
from nmpsim.program.program import Program
from nmpsim.spec.params import MachineParams

CLOCK = Record(
    "CLOCK",
    ("now", "tick", "tick about to be stepped"),
    ("status", "", "RUNNING, DONE or DEADLOCK"),
    ("visits", "", "visits of components"),
    ("full", "", "1 if the loop has returned for the interval logs to be drained"),
    ("ticks", "", "ticks at which something was stepped"),
)
RUNNING, DONE, DEADLOCK = range(3)


class Die(NamedTuple):
    """Everything that changes while a die runs."""

    clock: Any  # CLOCK, (1,)
    core_wake: NDArray[np.int64]  # (pu,): ticks
    channel_wake: NDArray[np.int64]  # (pu,): ticks
    cores: CoreState
    channels: DramState
    network: NocState


def build(
    params: MachineParams, program: Program, *, log_capacity: int = 0, intervals: int = 0, bank_intervals: int = 0
) -> tuple[Die, Any]:
    """Return a die after reset with a program loaded, and the instructions of all cores in one array.

    Parameters
    ----------
    params : MachineParams
    program : Program
        Encoded for this chip.
    log_capacity : int
        DRAM commands per channel to record; 0 = none.
    intervals : int
        Unit intervals per core to keep until they are drained; 0 = none are recorded.
    bank_intervals : int
        The same for the banks of a channel; with them, receivers and buffer ports are recorded too.
    """
    cores = make_cores(params, max(1, len(program.operators)), intervals=intervals, watch=bank_intervals > 0)
    channels = make_channels(
        params.dram, params.cores, tokens=MOVE_SLOTS, log_capacity=log_capacity, intervals=bank_intervals
    )
    network = make_ports(params.noc)
    at = 0
    for core, stream in zip(cores.core, program.streams, strict=True):
        core.begin = core.fetch = at
        at += len(stream)
        core.end = at
    instructions = np.concatenate(program.streams)
    records = instructions.astype(np.dtype((np.record, instructions.dtype))).view(np.recarray)
    wakes = np.zeros(params.cores, np.int64), np.zeros(params.cores, np.int64)
    return Die(CLOCK.zeros(1), *wakes, cores, channels, network), records
