"""The ladder from MAC trees to the unified reconfigurable array: speed, energy and area at each step.

    tree         the MAC trees
    fixed        the array as one square: all strips chained, one top edge, one dataflow for all GEMMs, own buffers
    shape        + every shape of the strips
    dataflow     + the best dataflow for each GEMM
    unification  + compute unit and vector unit on one buffer

K and V are appended token by token, which only IS can take for scores, and OS or WS for values; so attention has IS
and OS at all steps, in the one shape of *fixed*.  *fixed* has OS or IS: there the chained strips take turns, a beat a
cycle, as through one edge; in WS every strip would load through an edge of its own.  The one dataflow of *fixed* and
*shape* is the one with the least geometric mean of times over the workloads, each step for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from nmpsim.claims.claim import BOUNDED, NOT_REPRODUCED, UNTESTABLE, Claim
from nmpsim.claims.comparison import variant
from nmpsim.claims.finding import Finding, Panel
from nmpsim.claims.judge import geometric
from nmpsim.claims.workload import Outcomes, Step, Variant, Workload, listed, step_of
from nmpsim.cost.area import die_area
from nmpsim.cost.tables import tables
from nmpsim.cost.units import unit_energies
from nmpsim.spec import load_chip, resolve, with_overrides
from nmpsim.spec.params import MachineParams
from nmpsim.study import Point

FLOWS, ONE_EDGE = ("OS", "WS", "IS"), ("OS", "IS")
TREE, FIXED, SHAPE, DATAFLOW, UNIFICATION = "tree", "fixed", "shape", "dataflow", "unification"
STEPS = (TREE, FIXED, SHAPE, DATAFLOW, UNIFICATION)
UNBUILT = ("spatial scheduling", "spatio-temporal scheduling")
SEPARATE = ("core.arrangement", "separate")
MOVING = ("busy", "accumulators_busy", "load_stationary", "pipeline_drain")
"""States in which the wavefront of an array moves, as in `nmpsim.cost.energy`."""

COLUMNS = {
    "array": "array", "step": "step", "flow": "GEMMs in", "workload": "workload", "ms": "ms", "speed": "speed",
    "energy": "energy eff.", "gain": "of this step", "energy_gain": "energy, of this step", "logic_mm2": "logic, mm2",
    "compute_mm2": "compute, mm2", "refused": "refused",
}  # fmt: skip


class Rung(NamedTuple):
    """A step of the ladder for one array and one dataflow of its GEMMs."""

    step: str
    flow: str
    chip: Variant


def _rungs(array: Variant, trees: Variant) -> list[Rung]:
    strips = _params(array).core.strips
    own = (*array.overrides, SEPARATE)

    def of(step: str, flow: str, modes: tuple[str, ...], attending: tuple[str, ...]) -> Rung:
        return Rung(step, flow, Variant(f"{array.name} {step} {flow}", array.chip, own, modes, attending))

    fixed = [of(FIXED, flow, (f"{flow}/{strips}",), (f"IS/{strips}", f"OS/{strips}")) for flow in ONE_EDGE]
    shape = [of(SHAPE, flow, (flow,), ("IS", "OS")) for flow in FLOWS]
    dataflow = of(DATAFLOW, "", FLOWS, ("IS", "OS"))
    unified = Variant(f"{array.name} {UNIFICATION}", array.chip, array.overrides, FLOWS, ("IS", "OS"))
    return [Rung(TREE, "", trees), *fixed, *shape, dataflow, Rung(UNIFICATION, "", unified)]


def _params(chip: Variant) -> MachineParams:
    return resolve(with_overrides(load_chip(chip.chip), dict(chip.overrides)))


def points(claim: Claim) -> list[Point]:
    """Return all runs of the ladder.

    Parameters
    ----------
    claim : Claim
    """
    told, trees = claim.settings, variant(claim.settings["base"])
    works = listed(told["workload"], trees.chip)
    rungs = [rung for name in told["arrays"] for rung in _rungs(variant(name), trees)]
    return [point for rung in rungs for work in works for point in work.points(rung.chip)]


def one_square(params: MachineParams) -> MachineParams:
    """Return the chip with its strips as one square array of one top edge: a fixed array of as many PEs.

    Parameters
    ----------
    params : MachineParams
    """
    core = params.core
    rows = core.strips * core.strip_rows
    whole = core._replace(strips=1, strip_rows=rows)
    return replace(params, core=whole)


def as_fixed(step: Step, params: MachineParams) -> Step:
    """Return a step of an array that was held in one shape with area and energy of an array that has no other.

    Links between strips and the edges of all strips but one are gone: area, their energy, static power.

    Parameters
    ----------
    step : Step
    params : MachineParams
        Of the reconfigurable array.
    """
    fixed = one_square(params)
    area = die_area(fixed, tables())
    around = unit_energies(fixed, tables()).around
    moved, busy = sum(step.array.get(state, 0) for state in MOVING), step.array.get("busy", 0)
    energy = {name: joule for name, joule in step.energy.items() if name not in around}
    energy |= {name: 1e-12 * (busy * full + (moved - busy) * empty) for name, (full, empty) in around.items()}
    energy["static"] = area.static_watts * step.seconds
    return replace(step, energy=energy, static_W=area.static_watts, logic_mm2=area.mm2, compute_mm2=area.compute_mm2)


def evaluate(claim: Claim, outcomes: Outcomes) -> Finding:
    """Return verdict and figures.

    Parameters
    ----------
    claim : Claim
    outcomes : mapping of Point to Outcome
    """
    told, trees = claim.settings, variant(claim.settings["base"])
    works = listed(told["workload"], trees.chip)
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {"unbuilt": list(UNBUILT)}
    failing: list[str] = []
    sentences = []
    for name in told["arrays"]:
        array = variant(name)
        found = _ladder(array, _rungs(array, trees), works, outcomes)
        means, gone = _means(found)
        rows += _rows(name, found, works)
        rows += [
            {"array": name, "step": step, "workload": "geometric mean", **figures_} for step, figures_ in means.items()
        ]
        figures[name] = means
        if gone:
            sentences.append(f"{name}: no run at {', '.join(gone)}.")
            failing.append(name)
            continue
        for before, step in pairwise(STEPS):
            if step != FIXED and not _pays(means[before], means[step], told["least"]):
                failing.append(f"{name} {step}")
        sentences.append(
            f"{name}: " + ", ".join(f"{step} {means[step]['speed']:.2f}" for step in STEPS) + " times the speed and "
            + ", ".join(f"{means[step]['energy']:.2f}" for step in STEPS) + " times the energy efficiency of the trees."
        )  # fmt: skip
    verdict = UNTESTABLE if not rows else NOT_REPRODUCED if failing else BOUNDED
    if failing:
        sentences.append("Steps that do not pay by the rule: " + ", ".join(failing) + ".")
    sentences.append(f"Not built yet, so not tested: {', '.join(UNBUILT)}.")
    rows += [{"array": "", "step": step, "workload": "not yet built"} for step in UNBUILT]
    return Finding(verdict, " ".join(sentences), figures, rows, COLUMNS, list(told["notes"]), _panels(told, figures))


Found = dict[str, tuple[str, list[Step | str]]]
"""By step of the ladder: the dataflow of the GEMMs, and what every workload takes or why it is refused."""


def _ladder(array: Variant, rungs: list[Rung], works: list[Workload], outcomes: Outcomes) -> Found:
    """Return the steps of the ladder; of one with a single dataflow, the best single one."""
    params = _params(Variant(array.name, array.chip, (*array.overrides, SEPARATE)))
    best: Found = {}
    for rung in rungs:
        ones: list[Step | str] = [step_of(work, rung.chip, outcomes) for work in works]
        if rung.step == FIXED:
            ones = [one if isinstance(one, str) else as_fixed(one, params) for one in ones]
        if rung.step not in best or _rank(ones) < _rank(best[rung.step][1]):
            best[rung.step] = rung.flow, ones
    return best


def _rank(ones: list[Step | str]) -> tuple[int, float]:
    """Return refused workloads, and the mean time of the others."""
    ran = [one.seconds for one in ones if not isinstance(one, str)]
    return len(ones) - len(ran), geometric(ran)


def _means(found: Found) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return geometric means by step over the workloads that run at all steps; and steps at which none runs."""
    ran = [
        index
        for index in range(len(found[TREE][1]))
        if all(not isinstance(ones[index], str) for _, ones in found.values())
    ]
    gone = [step for step, (_, ones) in found.items() if all(isinstance(one, str) for one in ones)]
    means: dict[str, dict[str, Any]] = {}
    for step in STEPS:
        flow, ones = found[step]
        pairs = [(found[TREE][1][index], ones[index]) for index in ran]
        both = [(tree, one) for tree, one in pairs if not isinstance(tree, str) and not isinstance(one, str)]
        if not both:
            continue
        means[step] = {
            "flow": flow,
            "speed": geometric(tree.seconds / one.seconds for tree, one in both),
            "energy": geometric(tree.total_J / one.total_J for tree, one in both),
            "logic_mm2": both[0][1].logic_mm2,
            "compute_mm2": both[0][1].compute_mm2,
        }
    for before, step in pairwise(STEPS):
        if before in means and step in means:
            means[step]["gain"] = means[step]["speed"] / means[before]["speed"]
            means[step]["energy_gain"] = means[step]["energy"] / means[before]["energy"]
    return means, gone


def _pays(before: Mapping[str, float], after: Mapping[str, float], least: float) -> bool:
    """Whether a step gains at least `least` in speed, energy or area, and loses less than that in speed."""
    speed = after["speed"] / before["speed"]
    gains = (speed, after["energy"] / before["energy"], before["logic_mm2"] / after["logic_mm2"])
    return max(gains) >= 1 + least and speed > 1 - least


def _rows(name: str, found: Found, works: list[Workload]) -> list[dict[str, Any]]:
    rows = []
    for step in STEPS:
        flow, ones = found[step]
        for index, (work, one) in enumerate(zip(works, ones, strict=True)):
            row: dict[str, Any] = {"array": name, "step": step, "flow": flow, "workload": work.label}
            tree = found[TREE][1][index]
            if isinstance(one, str):
                row["refused"] = " ".join(part.strip(" -") for part in one.splitlines()[:2])
            else:
                row |= {"ms": 1e3 * one.seconds, "logic_mm2": one.logic_mm2, "compute_mm2": one.compute_mm2}
                if not isinstance(tree, str):
                    row |= {"speed": tree.seconds / one.seconds, "energy": tree.total_J / one.total_J}
            rows.append(row)
    return rows


def _panels(told: dict[str, Any], figures: dict[str, Any]) -> list[Panel]:
    found = []
    for title, key, unit in (
        ("speed against MAC trees", "speed", "times"),
        ("energy efficiency against MAC trees", "energy", "times"),
        ("area of the logic", "logic_mm2", "mm2"),
    ):
        series = {name: [(step, means[key]) for step, means in figures[name].items()] for name in told["arrays"]}
        found.append(Panel(title, "", unit, series))
    return found


def chips(claim: Claim) -> list[str]:
    """Return the shipped chips that the claim needs.

    Parameters
    ----------
    claim : Claim
    """
    return list(dict.fromkeys(variant(name).chip for name in (claim.settings["base"], *claim.settings["arrays"])))
