"""Decode steps of whole models from runs of few layers.

Layers of a kind take equally long but for the tier of the DRAM that they lie in.  So a step is sampled: one layer and
two layers, with the LM head, placed at the middle of the space that the whole step takes; the second layer's share is
taken as often as there are further layers.  A model that does not fit into the stacks is cut to the layers that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nmpsim.spec import load_chip, resolve
from nmpsim.study import Outcome, Point
from nmpsim.study.tasks import STEP
from nmpsim.workload import footprint_bytes, load_model
from nmpsim.workload.shards import largest_shard

Figures = dict[str, Any]
Outcomes = Mapping[Point, Outcome]


@dataclass(frozen=True)
class Variant:
    """A chip as a claim uses it.

    Parameters
    ----------
    name : str
    chip : str
        Shipped chip that it starts from.
    overrides : tuple of (str, value)
        By dotted path.
    modes, attention_modes : tuple of str
        See `nmpsim.schedule.modes`; all by default.
    policy : str
        Of `nmpsim.schedule.policy`; the default if empty.
    """

    name: str
    chip: str
    overrides: tuple[tuple[str, Any], ...] = ()
    modes: tuple[str, ...] = ()
    attention_modes: tuple[str, ...] = ()
    policy: str = ""

    def settings(self) -> dict[str, Any]:
        """Return the settings of a point that name this chip."""
        found: dict[str, Any] = {"chip": self.chip}
        if self.overrides:
            found["overrides"] = dict(self.overrides)
        if self.modes:
            found["modes"] = list(self.modes)
        if self.attention_modes:
            found["attention_modes"] = list(self.attention_modes)
        if self.policy:
            found["policy"] = self.policy
        return found


@dataclass(frozen=True)
class Workload:
    """A decode step of a model, or of the layers of it that fit.

    Parameters
    ----------
    model : str
    batch, context : int
    first_layer : int
        First layer that is simulated.
    layers : int
        Layers that the step has; at most those that fit into the stacks.
    whole : bool
        These are all layers from `first_layer` on.
    first_tier : int
        Tier at which the sampled layers start.
    """

    model: str
    batch: int
    context: int
    first_layer: int
    layers: int
    whole: bool
    first_tier: int

    @property
    def label(self) -> str:
        """Model, batch and context in one word."""
        return f"{self.model} b{self.batch} c{self.context}"

    @property
    def sampled(self) -> tuple[int, ...]:
        """Numbers of layers that are simulated."""
        return (1, 2) if self.layers > 2 else (self.layers,)

    def whole_run(self, variant: Variant) -> Point:
        """Return the run of all layers of the step, placed from the first tier on.

        Parameters
        ----------
        variant : Variant
        """
        own = {"model": self.model, "batch": self.batch, "context": self.context, "first_layer": self.first_layer}
        return Point.of(STEP, {**own, **variant.settings(), "layers": self.layers})

    def points(self, variant: Variant) -> list[Point]:
        """Return the runs that the step on a chip is made of.

        Parameters
        ----------
        variant : Variant
        """
        own = {"model": self.model, "batch": self.batch, "context": self.context, "first_tier": self.first_tier}
        if self.first_layer:
            own["first_layer"] = self.first_layer
        return [Point.of(STEP, {**own, **variant.settings(), "layers": number}) for number in self.sampled]


def workload(model: str, batch: int, context: int, first_layer: int, chip: str, stacks: int = 1) -> Workload:
    """Return the step of a model on one or several stacks of a chip, cut to what fits.

    Parameters
    ----------
    model : str
    batch, context, first_layer : int
    chip : str
        Whose DRAM.
    stacks : int
        Stacks that share the model.
    """
    loaded, dram = load_model(model), resolve(load_chip(chip))
    row = dram.cores * dram.dram.banks * dram.dram.columns * dram.dram.column_bytes
    have = dram.dram.rows * row
    every = loaded.layers - first_layer

    def size(layers: int) -> int:
        if stacks > 1:
            return largest_shard(loaded, batch, context, first_layer, layers, stacks)
        return footprint_bytes(loaded, batch, context, layers, first_layer)

    layers = next((number for number in range(every, 0, -1) if size(number) <= have), 1)
    sample = size(min(layers, 2))
    start = max(0, size(layers) - sample) // 2
    tier = start // (dram.dram.rows_per_tier * row)
    return Workload(model, batch, context, first_layer, layers, layers == every, tier)


@dataclass(frozen=True)
class Step:
    """What a decode step takes on a chip.

    Parameters
    ----------
    seconds : float
    bounds : dict of str to float
        Seconds that no machine with these peaks can beat, by resource.
    energy : dict of str to float
        By component; J.
    array : dict of str to float
        Cycles of the compute units by state.
    macs : float
    peak_macs : float
        MACs per second of the chip.
    static_W : float
    logic_mm2, compute_mm2 : float
    """

    seconds: float
    bounds: dict[str, float]
    energy: dict[str, float]
    array: dict[str, float]
    macs: float
    peak_macs: float
    static_W: float
    logic_mm2: float
    compute_mm2: float

    @property
    def dram_J(self) -> float:
        """Energy of the DRAM."""
        return sum(joule for name, joule in self.energy.items() if name.startswith("dram_"))

    @property
    def total_J(self) -> float:
        """Energy of logic die and DRAM."""
        return sum(self.energy.values())

    @property
    def logic_J(self) -> float:
        """Energy of the logic die."""
        return self.total_J - self.dram_J

    @property
    def compute_J(self) -> float:
        """Energy of the compute units: MACs and what stands around them."""
        return sum(self.energy.get(name, 0.0) for name in COMPUTE)


COMPUTE = ("mac", "mac_clock", "edge_skew", "strip_links", "operand_registers", "psum", "compute_control")
"""Components of the energy that are the compute units'."""


def _mixed(one: Mapping[str, float], two: Mapping[str, float], more: int) -> dict[str, float]:
    names = dict.fromkeys((*one, *two))
    return {name: one.get(name, 0) + more * (two.get(name, 0) - one.get(name, 0)) for name in names}


def step_of(work: Workload, variant: Variant, outcomes: Outcomes) -> Step | str:
    """Return the step of a workload on a chip, or why there is none.

    Parameters
    ----------
    work : Workload
    variant : Variant
    outcomes : mapping of Point to Outcome
    """
    found: list[Figures] = []
    for point in work.points(variant):
        outcome = outcomes[point]
        if outcome.figures is None:
            return outcome.why
        found.append(outcome.figures)
    one, two = found[0], found[-1]
    more = work.layers - 1 if len(found) > 1 else 0
    hertz = 1e9 * one["clock_GHz"]
    bounds = _mixed(one["bounds"], two["bounds"], more)
    return Step(
        seconds=one["seconds"] + more * (two["seconds"] - one["seconds"]),
        bounds={name: cycles / hertz for name, cycles in bounds.items()},
        energy=_mixed(one["energy_J"], two["energy_J"], more),
        array=_mixed(one["array_cycles"], two["array_cycles"], more),
        macs=one["counts"]["macs"] + more * (two["counts"]["macs"] - one["counts"]["macs"]),
        peak_macs=one["peaks"]["macs_per_cycle"] * hertz,
        static_W=one["static_W"],
        logic_mm2=one["area_mm2"]["logic"],
        compute_mm2=one["area_mm2"]["compute"],
    )


def listed(entries: list[dict[str, Any]], chip: str) -> list[Workload]:
    """Return the workloads of the tables ``[[workload]]`` of a claim: every batch with every context of each.

    Parameters
    ----------
    entries : list of dict
        With ``model``, ``batches``, ``contexts``, and perhaps ``first_layer``.
    chip : str
        Whose DRAM.
    """
    found = [
        workload(entry["model"], batch, context, entry.get("first_layer", 0), chip)
        for entry in entries
        for context in entry["contexts"]
        for batch in entry["batches"]
    ]
    return list(dict.fromkeys(found))
