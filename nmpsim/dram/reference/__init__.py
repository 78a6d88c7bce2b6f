"""A DRAM controller exact, command by command, to the HBM controllers of Ramulator 2.1 (c5b1c3a).

Read in this order: build.py (from the protocol to integers), state.py, timing.py, queue.py, scheduler.py, refresh.py,
policy.py, controller.py (the tick), run.py (traces).  It is the yardstick: its decisions are the peer's, good or bad.
"""

from nmpsim.dram.reference.build import ControllerSettings
from nmpsim.dram.reference.run import COMMAND, ReferenceRun, make_requests, run_trace
from nmpsim.dram.reference.state import REASONS, REQUEST

__all__ = [
    "COMMAND",
    "REASONS",
    "REQUEST",
    "ControllerSettings",
    "ReferenceRun",
    "make_requests",
    "run_trace",
]
