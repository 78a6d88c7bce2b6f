"""What points of a study compute: settings in, figures out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nmpsim.api import Job, prepare, run_job
from nmpsim.cost.area import die_area
from nmpsim.cost.tables import tables
from nmpsim.errors import Fault, SpecError
from nmpsim.program.schedule import PassPlan
from nmpsim.schedule.modes import Modes
from nmpsim.spec import ChipSpec, load_chip, resolve, with_overrides
from nmpsim.sweep import Product, measure

STEP = "nmpsim.study.tasks:step"
PRODUCT = "nmpsim.study.tasks:product"

STEP_SETTINGS = (
    "attention", "attention_modes", "batch", "chip", "context", "first_layer", "first_tier", "kv", "layers", "model",
    "modes", "overrides", "placement", "policy", "routing", "seed", "stacks", "weights",
)  # fmt: skip
"""Settings of `step`: those of `nmpsim.api.prepare`, and ``overrides`` of the chip; modes as lists of text."""


def chip_of(settings: Mapping[str, Any]) -> ChipSpec:
    """Return the chip of a point: setting ``chip``, changed by setting ``overrides``.

    Parameters
    ----------
    settings : mapping

    Raises
    ------
    SpecError
        If the chip has faults.
    """
    return with_overrides(load_chip(settings["chip"]), settings.get("overrides") or {})


def _checked(settings: Mapping[str, Any], known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    """Refuse settings that a task does not know, and missing ones."""
    faults = [
        Fault(f"setting {name}", repr(settings[name]), ", ".join(known), "leave it out, or correct its name")
        for name in settings
        if name not in known
    ]
    faults += [Fault(f"setting {name}", "nothing", "a value", "give one") for name in needed if name not in settings]
    if faults:
        raise SpecError("a point has wrong settings", faults)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that are not those of a step.

    Parameters
    ----------
    settings : mapping

    Raises
    ------
    SpecError
        With every fault.
    """
    _checked(settings, STEP_SETTINGS, ("model", "chip"))


def job_of(settings: Mapping[str, Any]) -> Job:
    """Return the prepared decode step of a point.

    Parameters
    ----------
    settings : mapping
        Of `STEP_SETTINGS`; ``model`` and ``chip`` must be there.

    Raises
    ------
    NmpsimError
        If the step is refused.
    """
    check_settings(settings)
    taken = {name: settings[name] for name in settings if name not in {"chip", "overrides", "modes", "attention_modes"}}
    gemm, attending = (tuple(settings.get(name) or ()) for name in ("modes", "attention_modes"))
    return prepare(
        chip=chip_of(settings),
        modes=Modes(gemm, attending) if gemm or attending else None,
        **taken,
    )


def step(settings: dict[str, Any]) -> dict[str, Any]:
    """Simulate one decode step.

    Parameters
    ----------
    settings : dict
        Of `STEP_SETTINGS`; ``model`` and ``chip`` must be there.

    Returns
    -------
    dict
        ``cycles``, ``seconds``, ``clock_GHz``; ``bounds`` and ``peaks``; ``energy_J`` by component; ``counts``;
        ``array_cycles`` by state; ``operators``, each a table; ``area_mm2`` of logic die and compute units;
        ``static_W``; hashes of chip and program.

    Raises
    ------
    NmpsimError
        If the step is refused.
    """
    job = job_of(settings)
    run = run_job(job)
    area = die_area(job.params, tables())
    return {
        "cycles": run.cycles,
        "seconds": run.seconds,
        "clock_GHz": run.clock_GHz,
        "bounds": run.bounds,
        "peaks": run.peaks,
        "energy_J": run.energy_J,
        "counts": run.counts,
        "array_cycles": run.stalls["array"],
        "operators": [asdict(operator) for operator in run.operators],
        "area_mm2": {"logic": area.mm2, "compute": area.compute_mm2},
        "static_W": area.static_watts,
        "chip_sha256": job.chip.sha256,
        "program_sha256": job.program.sha256,
    }


def product(settings: dict[str, Any]) -> dict[str, Any]:
    """Run one matrix product on one mapping of one core.

    Parameters
    ----------
    settings : dict
        ``chip`` and perhaps ``overrides``; ``m``, ``n``, ``k``; ``flow``, ``group``, ``split``, ``contiguous`` as in
        `nmpsim.program.schedule.PassPlan`; perhaps ``name``.

    Returns
    -------
    dict
        The counts of `nmpsim.sweep.Measured`.

    Raises
    ------
    NmpsimError
        If chip or mapping is refused.
    """
    sizes, mapping = ("m", "n", "k"), ("flow", "group", "split", "contiguous")
    _checked(settings, ("chip", "overrides", "name", *sizes, *mapping), ("chip", *sizes, *mapping))
    found = measure(
        resolve(chip_of(settings)),
        PassPlan(*(settings[name] for name in mapping)),
        Product(settings.get("name", ""), *(settings[name] for name in sizes)),
    )
    return {key: value for key, value in asdict(found).items() if key not in {"product", "mapping"}}
