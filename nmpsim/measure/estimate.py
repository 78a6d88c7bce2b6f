"""The Estimate: what the analytical mode predicts, as frozen values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nmpsim.measure.run import largest_bound


class Late(Mapping[str, Any]):
    """A table that is worked out when something of it is read for the first time.

    Parameters
    ----------
    make : callable
        Returns the table.
    """

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make

    @cached_property
    def _table(self) -> dict[str, Any]:
        return self._make()

    def __getitem__(self, name: str) -> Any:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return repr(self._table)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self._table,)  # another process has no use for what would make it


@dataclass(frozen=True)
class Outside:
    """A variable that lies outside the domain of a calibration.

    Parameters
    ----------
    variable : str
    value : str
        What the step has.
    allowed : str
        What the sample of the calibration had.
    """

    variable: str
    value: str
    allowed: str


@dataclass(frozen=True)
class OperatorEstimate:
    """One operator as it is predicted; operators that are alike share the tables `counts`, `bounds` and `spent`.

    Parameters
    ----------
    name, kind : str
        As in the operator graph.
    layer : int
        Layer, -1 outside the layers.
    plan : str
        Shape and dataflow, empty where there is no choice.
    cycles : float
        Core cycles by which it moves the end of the step forward: those of all operators add up to the step.
    low, high : float
        Core cycles between which 90 of 100 operators of its kind lie; without a calibration the same as `cycles`.
    counts : dict of str to int
        ``macs``, ``vector_elements``, ``passes``, ``RD``, ``WR``, ``ACT``, ``read_bytes``, ``write_bytes``, ``flits``.
    bounds : dict of str to float
        Core cycles that no machine with these peaks can beat, by resource.
    spent : dict of str to float
        Core cycles by the unit on the critical way.
    """

    name: str
    kind: str
    layer: int
    plan: str
    cycles: float
    low: float
    high: float
    counts: dict[str, int]
    bounds: dict[str, float]
    spent: dict[str, float]

    @property
    def bound_by(self) -> str:
        """Name of the largest bound; ``latency`` for an operator without work for any resource."""
        return largest_bound(self.bounds)


@dataclass(frozen=True)
class Estimate:
    """Everything predicted of a decode step.

    Parameters
    ----------
    cycles, low, high : float
        Core cycles, and between which 90 of 100 steps lie; without a calibration all three are the same.
    clock_GHz : float
        Core clock.
    seconds : float
        The same as time.
    operators : tuple of OperatorEstimate
        In the order of the graph.
    counts : dict of str to int
        Of the whole step, and PRE and REFpb.
    bounds, peaks : dict of str to float
        As of a Run.
    energy_J : mapping of str to float
        Of DRAM commands, and static; other components need the counts of a run.  Worked out when it is read.
    outside : tuple of Outside
        Variables outside the domain of the calibration; empty without one.
    calibrated : bool
        Whether coefficients were fitted to cycle runs.
    provenance : mapping
        Versions, hashes of the inputs, options, calibration.  Worked out when it is read.
    """

    cycles: float
    low: float
    high: float
    clock_GHz: float
    seconds: float
    operators: tuple[OperatorEstimate, ...]
    counts: dict[str, int]
    bounds: dict[str, float]
    peaks: dict[str, float]
    energy_J: Mapping[str, float]
    outside: tuple[Outside, ...]
    calibrated: bool
    provenance: Mapping[str, Any] = field(default_factory=dict)
