"""What a point of an exploration computes: some hundred chips at once, by a model of operator time.

Every chip is checked and resolved like any other, so that what no chip file may say is refused here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nmpsim.cost.area import die_area
from nmpsim.cost.tables import tables
from nmpsim.errors import NmpsimError
from nmpsim.explore.models import step_model
from nmpsim.explore.space import Space, space_of
from nmpsim.schedule.step import Plan, plan_step
from nmpsim.spec import ChipSpec, load_chip, with_overrides
from nmpsim.spec.params import MachineParams
from nmpsim.validate.operator import Chip

CHIPS = "nmpsim.explore.bulk:chips"

COLUMNS = ("place", "seconds", "area_mm2", "watts", "capacity_bytes")
"""Figures of a chip that was not refused."""

UNFIT = "the step: the model knows no way to map it"
"""Reason of chips for which a model of steps answers infinity."""


def chips(settings: dict[str, Any]) -> dict[str, Any]:
    """Predict the step on some chips of a space.

    Parameters
    ----------
    settings : dict
        ``space`` (the tree of its file), ``by`` (a model as in `nmpsim.validate.predict.load_function`), ``first`` and
        ``number`` among `Space.places`.

    Returns
    -------
    dict
        `COLUMNS` as lists, and ``refused``: why, and the places of those chips.

    Raises
    ------
    NmpsimError
        If space or model are refused.
    """
    space, model = space_of(settings["space"]), step_model(settings["by"])
    base, table = load_chip(space.step["chip"]), tables()
    refused: dict[str, list[int]] = {}
    alike: dict[tuple[int, int], list[tuple[int, Chip]]] = {}
    for place in space.places()[settings["first"] : settings["first"] + settings["number"]].tolist():
        try:
            chip = Chip.of(with_overrides(base, space.overrides(place)))
        except NmpsimError as error:
            why = error.faults[0]
            refused.setdefault(f"{why.where.rpartition(': ')[2]}: {why.allowed}", []).append(place)
            continue
        alike.setdefault((capacity_bytes(chip.params), chip.params.dram.tiers), []).append((place, chip))
    rows = []
    for (capacity, _), members in alike.items():
        places = [place for place, _ in members]
        plan = _plan(space, members[0][1].spec)
        if isinstance(plan, str):
            refused.setdefault(plan, []).extend(places)
            continue
        made = [replace(chip, stacks=plan.params.stacks) for _, chip in members]
        seconds = model(plan, made) / [chip.clock_GHz * 1e9 for chip in made]
        for place, chip, time in zip(places, made, seconds.tolist(), strict=True):
            if math.isinf(time):
                refused.setdefault(UNFIT, []).append(place)
                continue
            area = die_area(chip.params, table)
            rows.append((place, time, area.mm2, area.watts, capacity))
    rows.sort()
    return {**{name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}, "refused": refused}


def capacity_bytes(params: MachineParams) -> int:
    """Return the bytes of the DRAM of a stack.

    Parameters
    ----------
    params : MachineParams
    """
    dram = params.dram
    return dram.rows * dram.banks * dram.columns * dram.column_bytes * params.cores


def _plan(space: Space, spec: ChipSpec) -> Plan | str:
    """Return the step on a chip, which is that on all of its capacity and tiers; or why it is refused."""
    step: Mapping[str, Any] = {name: value for name, value in space.step.items() if name != "chip"}
    try:
        return plan_step(chip=spec, **step)
    except NmpsimError as error:
        why = error.faults[0] if error.faults else None
        return f"{why.where}: {why.got}" if why is not None else str(error)
