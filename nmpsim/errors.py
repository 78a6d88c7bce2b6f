"""Every exception of the package.

    NmpsimError
     ├─ SpecError            a chip file: path, got, allowed, what to do
     ├─ WorkloadError        a model, a routing file, a batch or a context
     ├─ ScheduleError
     │   ├─ InfeasibleError       something does not fit, and by how much
     │   └─ IllegalScheduleError  a checker's rule is broken
     ├─ SimulationError
     │   ├─ DeadlockError    who waits for whom, since when
     │   ├─ ProtocolError    command, bank, earliest legal cycle
     │   └─ LimitReached     a cycle limit set by the user
     └─ InternalError        a broken invariant: our bug

A message has four parts: where, what was got, what is allowed, what to do next.  All faults of one input are
collected in one exception (``faults``); the command line prints them and exits with code 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input.

    Parameters
    ----------
    where : str
        File and dotted path, option name, or component and cycle.
    got : str
        What was found there.
    allowed : str
        What may stand there.
    todo : str
        What the user can do about it.
    """

    where: str
    got: str
    allowed: str
    todo: str

    def __str__(self) -> str:
        return f"{self.where}: got {self.got}; allowed: {self.allowed}; {self.todo}"


class NmpsimError(Exception):
    """Base of all errors that the package raises on purpose."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        lines = [message, *(f"  - {fault}" for fault in self.faults)]
        super().__init__("\n".join(lines))


class SpecError(NmpsimError):
    """A chip description is wrong."""


class WorkloadError(NmpsimError):
    """A model, a batch, a context or a routing file is wrong."""


class ScheduleError(NmpsimError):
    """No schedule, or no legal one."""


class InfeasibleError(ScheduleError):
    """Something does not fit."""


class IllegalScheduleError(ScheduleError):
    """A schedule or program breaks a rule of the checker."""


class SimulationError(NmpsimError):
    """The simulation could not go on."""


class DeadlockError(SimulationError):
    """Nothing can ever happen again, and work is left."""


class ProtocolError(SimulationError):
    """A DRAM command came before its earliest legal cycle."""


class LimitReached(SimulationError):
    """The limit on simulated cycles was reached."""


class InternalError(NmpsimError):
    """A broken invariant: a bug in nmpsim."""
