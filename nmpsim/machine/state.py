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
from nmpsim.noc.state import NocState
from nmpsim.noc.state import make_state as make_network
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


def build(params: MachineParams, program: Program, *, log_capacity: int = 0, intervals: int = 0) -> tuple[Die, Any]:
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
    """
    cores = make_cores(params, max(1, len(program.operators)), intervals=intervals)
    channels = make_channels(params.dram, params.pus, tokens=MOVE_SLOTS, log_capacity=log_capacity)
    network = make_network(params.noc)
    at = 0
    for core, stream in zip(cores.core, program.streams, strict=True):
        core.begin = core.fetch = at
        at += len(stream)
        core.end = at
    instructions = np.concatenate(program.streams)
    records = instructions.astype(np.dtype((np.record, instructions.dtype))).view(np.recarray)
    die = Die(CLOCK.zeros(1), np.zeros(params.pus, np.int64), np.zeros(params.pus, np.int64), cores, channels, network)
    return die, records
