"""The chips and steps that a study compares: the base, every change alone, the ladder, the grid."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nmpsim.ablation.reading import refuse
from nmpsim.ablation.study import GRID, LADDER, SINGLE, Factor, Level, Study
from nmpsim.api import plan_step
from nmpsim.claims.workload import Variant, Workload, workload
from nmpsim.errors import Fault, NmpsimError
from nmpsim.schedule.modes import Modes
from nmpsim.spec import load_chip
from nmpsim.study.tasks import chip_of

BASE = "base"

_OF_VARIANT = ("chip", "overrides", "dataflows", "attention_dataflows", "policy")


@dataclass(frozen=True)
class Setup(Variant):
    """A chip, and how a step runs on it.

    Parameters
    ----------
    more : tuple of (str, value)
        Further settings of a point.
    """

    more: tuple[tuple[str, Any], ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return the settings of a point that name this chip and its step."""
        return {**super().settings(), **dict(self.more)}


@dataclass(frozen=True)
class Exact(Workload):
    """A decode step of which every layer is simulated."""

    @property
    def sampled(self) -> tuple[int, ...]:
        """Numbers of layers that are simulated: all of them, once."""
        return (self.layers,)


@dataclass(frozen=True)
class Trial:
    """One chip of a study.

    Parameters
    ----------
    design : str
        ``base``, or one of `nmpsim.ablation.study.DESIGNS`.
    chosen : tuple of (str, str)
        Level by factor, of the factors that are not at the base.
    setup : Setup
    """

    design: str
    chosen: tuple[tuple[str, str], ...]
    setup: Setup

    @property
    def label(self) -> str:
        """What is changed, in a few words."""
        if not self.chosen:
            return BASE
        if self.design == LADDER:
            return "+ " + " = ".join(self.chosen[-1])
        return ", ".join(" = ".join(one) for one in self.chosen)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings changed by others: overrides path by path; another chip starts without those before it.

    Parameters
    ----------
    one, other : mapping
    """
    kept = dict(one)
    if other.get("chip", kept.get("chip")) != kept.get("chip"):
        kept.pop("overrides", None)
    overrides = {**kept.get("overrides", {}), **other.get("overrides", {})}
    return {**kept, **other, **({"overrides": overrides} if overrides else {})}


def setup_of(name: str, settings: Mapping[str, Any]) -> Setup:
    """Return the chip and the step that settings of a study ask for.

    Parameters
    ----------
    name : str
    settings : mapping

    Raises
    ------
    SpecError
        If the chip has faults.
    """
    flows = settings.get("dataflows", ())
    attending = settings.get("attention_dataflows", ()) if flows else ()
    return Setup(
        name,
        settings["chip"],
        tuple(sorted(settings.get("overrides", {}).items())),
        tuple(flows),
        tuple(attending),
        settings.get("policy", ""),
        tuple((key, value) for key, value in settings.items() if key not in _OF_VARIANT),
    )


def _combined(study: Study) -> list[tuple[str, tuple[tuple[Factor, Level], ...]]]:
    """Return design and changed levels of every trial but the base."""
    found: list[tuple[str, tuple[tuple[Factor, Level], ...]]] = []
    if SINGLE in study.designs:
        found += [(SINGLE, ((factor, level),)) for factor in study.factors for level in factor.levels]
    if LADDER in study.designs:
        rungs = [(factor, factor.taken) for factor in study.factors]
        found += [(LADDER, tuple(rungs[: number + 1])) for number in range(len(rungs))]
    if GRID in study.designs:
        rows = itertools.product(*([None, *factor.levels] for factor in study.factors))
        pairs = [[(f, one) for f, one in zip(study.factors, row, strict=True) if one is not None] for row in rows]
        found += [(GRID, tuple(changed)) for changed in pairs if changed]
    return found


def trials(study: Study) -> list[Trial]:
    """Return all trials of a study, the base first; its chips and steps are checked.

    Parameters
    ----------
    study : Study

    Raises
    ------
    SpecError
        With every fault of every chip and step.
    """
    faults: list[Fault] = []
    found: list[Trial] = []
    refused: set[Fault] = set()
    for design, changed in [(BASE, ()), *_combined(study)]:
        settings: Mapping[str, Any] = study.base
        for _, level in changed:
            settings = merged(settings, level.change)
        trial_faults: list[Fault] = []
        try:
            setup = setup_of(design, settings)
            trial = Trial(design, tuple((factor.name, level.name) for factor, level in changed), setup)
            trial_faults = _step_faults(study, setup)
            found.append(trial)
        except NmpsimError as error:
            trial_faults = list(error.faults)
        where = ", ".join(f"factor {factor.name}: level {level.name}" for factor, level in changed) or "base"
        for one in trial_faults:
            if one not in refused:  # what the base or a change alone has wrong is told once
                refused.add(one)
                faults.append(Fault(f"{study.file}: {where}: {one.where}", one.got, one.allowed, one.todo))
    refuse(study, faults)
    return found


def _step_faults(study: Study, setup: Setup) -> list[Fault]:
    """Return what is wrong with one layer of every model on a chip, at its first batch and context."""
    chip = chip_of(setup.settings())
    modes = Modes(setup.modes, setup.attention_modes) if setup.modes else None
    faults: list[Fault] = []
    for work in study.works:
        for model in work.models:
            try:
                plan_step(
                    model,
                    chip,
                    batch=work.batches[0],
                    context=work.contexts[0],
                    layers=work.layers or 1,
                    modes=modes,
                    **dict(setup.more),
                )
            except NmpsimError as error:
                faults += error.faults
    return list(dict.fromkeys(faults))


def workloads(study: Study) -> list[Workload]:
    """Return the decode steps of a study, each once.

    Parameters
    ----------
    study : Study
    """
    chip, stacks = study.base["chip"], study.base.get("stacks", 1)
    found: list[Workload] = []
    for work in study.works:
        for model in work.models:
            for context in work.contexts:
                for batch in work.batches:
                    if work.layers:
                        found.append(Exact(model, batch, context, 0, work.layers, whole=False, first_tier=0))
                    else:
                        found.append(workload(model, batch, context, 0, chip, stacks))
    return list(dict.fromkeys(found))


def chips(found: Sequence[Trial]) -> dict[str, str]:
    """Return the hashes of the chip files that trials start from, by name.

    Parameters
    ----------
    found : sequence of Trial
    """
    return {name: load_chip(name).sha256 for name in dict.fromkeys(trial.setup.chip for trial in found)}
