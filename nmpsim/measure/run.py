"""The Run: what a simulation observed, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def largest_bound(bounds: Mapping[str, float]) -> str:
    """Return the name of the largest bound; ``latency`` for an operator without work for any resource.

    Parameters
    ----------
    bounds : mapping of str to float
        Core cycles by resource.
    """
    name = max(bounds, key=lambda key: bounds[key])
    return name if bounds[name] > 0 else "latency"


@dataclass(frozen=True)
class OperatorRun:
    """One operator as it ran.

    Parameters
    ----------
    name, kind : str
        As in the operator graph.
    layer : int
        Layer, -1 outside the layers.
    plan : str
        Shape and dataflow, empty where there is no choice.
    cycles : int
        Core cycles by which this operator moved the end of the step forward: the cycles of all operators add up to
        the cycles of the run.
    start, end : int
        Core cycles of its first issue and its last completion on any core; spans of operators overlap.
    macs, read_bytes, write_bytes, flits, vector_elements : int
        Work of its instructions; bytes without padding.
    bounds : dict of str to float
        Core cycles that no machine with these peaks can beat, by ``compute``, ``vector``, ``dram``, ``noc`` and
        ``stack_link``.
    array_cycles : dict of str to int
        Core cycles of the compute units (all PUs, all actors) while they worked on it or waited for it, by reason.
    """

    name: str
    kind: str
    layer: int
    plan: str
    cycles: int
    start: int
    end: int
    macs: int
    read_bytes: int
    write_bytes: int
    flits: int
    vector_elements: int
    bounds: dict[str, float]
    array_cycles: dict[str, int]

    @property
    def bound_by(self) -> str:
        """Name of the largest bound; ``latency`` for an operator without work for any resource."""
        return largest_bound(self.bounds)


@dataclass(frozen=True)
class Run:
    """Everything observed in one simulation.

    Parameters
    ----------
    cycles : int
        Core cycles from reset to the completion of the last instruction.
    clock_GHz : float
        Core clock.
    seconds : float
        The same as time.
    bounds : dict of str to float
        Core cycles no machine with these peaks can beat, for the whole step.
    peaks : dict of str to float
        Peaks the bounds and utilisations refer to: MACs per core cycle, DRAM bytes per second (fastest tier), ...
    operators : tuple of OperatorRun
        In the order of the graph.
    stalls : dict of str to dict of str to int
        Unit kind -> reason -> cycles of that unit's own clock, all units of the kind together.
    counts : dict of str to int
        Actions: MACs, DRAM commands, bytes by kind of traffic, flits, ...
    speed : dict of str to float
        What the simulation itself took: CPU seconds, die cycles per second, unit steps per second.
    provenance : dict
        Versions, hashes of the inputs, options.
    notes : tuple of str
        What was rounded to cycles, and by how much.
    energy_J : dict of str to float
        Energy of the step by component.
    network : dict of str to list
        What every link, router and link between stacks did, see `Simulation.network`.
    """

    cycles: int
    clock_GHz: float
    seconds: float
    bounds: dict[str, float]
    peaks: dict[str, float]
    operators: tuple[OperatorRun, ...]
    stalls: dict[str, dict[str, int]]
    counts: dict[str, int]
    speed: dict[str, float]
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    energy_J: dict[str, float] = field(default_factory=dict)
    network: dict[str, list[dict[str, int]]] = field(default_factory=dict)
