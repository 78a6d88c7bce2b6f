"""The ladder from MAC trees to the unified reconfigurable array: speed, energy and area at each step.

    tree             the MAC trees
    fixed            the array as one square: all strips in one group, one dataflow for all GEMMs, own buffers
    shape            + every shape of the strips
    dataflow         + the best dataflow for each GEMM
    unification      + compute unit and vector unit on one buffer
    spatial          + every operator's spread over the PUs by predicted cost
    spatio-temporal  + pieces of operators that overlap in time: reductions under passes, depth of attention

Up to *unification* the schedule has one spread and few pieces (policy ``array-only``).  K and V are appended token by
token, which only IS can take for scores, and OS or WS for values; so attention has IS and OS at all steps.
*fixed* has OS or IS: there the strips take turns, a beat a cycle, as through one edge; in WS every strip would load
through an edge of its own.  The one dataflow of *fixed* and *shape* is the one with the least geometric mean of times
over the workloads, each step for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from nmpsim.claims.claim import NOT_REPRODUCED, REPRODUCED, UNTESTABLE, Claim
from nmpsim.claims.comparison import variant
from nmpsim.claims.finding import Finding, Panel
from nmpsim.claims.judge import geometric
from nmpsim.claims.workload import Outcomes, Step, Variant, Workload, listed, step_of
from nmpsim.spec import load_chip, resolve, with_overrides
from nmpsim.study import Point

FLOWS, ONE_EDGE = ("OS", "WS", "IS"), ("OS", "IS")
TREE, FIXED, SHAPE, DATAFLOW, UNIFICATION = "tree", "fixed", "shape", "dataflow", "unification"
SPATIAL, SPATIO_TEMPORAL = "spatial", "spatio-temporal"
BEFORE = "array-only"
POLICIES = {UNIFICATION: BEFORE, SPATIAL: "spatial", SPATIO_TEMPORAL: "searched"}
"""Scheduling policies: of the steps up to unification, and of those behind it."""

STEPS = (TREE, FIXED, SHAPE, DATAFLOW, *POLICIES)
SEPARATE = ("core.arrangement", "separate")

COLUMNS = {
    "array": "array", "step": "step", "flow": "GEMMs in", "workload": "workload", "ms": "ms", "speed": "speed",
    "energy": "energy eff.", "gain": "of this step", "energy_gain": "energy, of this step", "logic_mm2": "logic, mm2",
    "compute_mm2": "compute, mm2", "refused": "refused",
}  # fmt: skip


Overrides = tuple[tuple[str, Any], ...]


class Rung(NamedTuple):
    """A step of the ladder for one array and one dataflow of its GEMMs."""

    step: str
    flow: str
    chip: Variant


def _rungs(array: Variant, trees: Variant) -> list[Rung]:
    strips = resolve(with_overrides(load_chip(array.chip), dict(array.overrides))).core.strips
    own = (*array.overrides, SEPARATE)

    square = (*own, ("core.array.groups", [strips]))

    def of(step: str, flow: str, overrides: Overrides = own, policy: str = BEFORE) -> Rung:
        flows = (flow,) if flow else FLOWS
        name = f"{array.name} {step} {flow}".strip()
        return Rung(step, flow, Variant(name, array.chip, overrides, flows, ("IS", "OS"), policy))

    fixed = [of(FIXED, flow, square) for flow in ONE_EDGE]
    shape = [of(SHAPE, flow) for flow in FLOWS]
    unified = [of(step, "", array.overrides, policy) for step, policy in POLICIES.items()]
    return [Rung(TREE, "", trees), *fixed, *shape, of(DATAFLOW, ""), *unified]


def points(claim: Claim) -> list[Point]:
    """Return all runs of the ladder.

    Parameters
    ----------
    claim : Claim
    """
    told, trees = claim.settings, variant(claim.settings["base"], BEFORE)
    works = listed(told["workload"], trees.chip)
    rungs = [rung for name in told["arrays"] for rung in _rungs(variant(name), trees)]
    return [point for rung in rungs for work in works for point in work.points(rung.chip)]


def evaluate(claim: Claim, outcomes: Outcomes) -> Finding:
    """Return verdict and figures.

    Parameters
    ----------
    claim : Claim
    outcomes : mapping of Point to Outcome
    """
    told, trees = claim.settings, variant(claim.settings["base"], BEFORE)
    works = listed(told["workload"], trees.chip)
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    failing: list[str] = []
    sentences = []
    for name in told["arrays"]:
        array = variant(name)
        found = _ladder(_rungs(array, trees), works, outcomes)
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
    verdict = UNTESTABLE if not rows else NOT_REPRODUCED if failing else REPRODUCED
    if failing:
        sentences.append("Steps that do not pay by the rule: " + ", ".join(failing) + ".")
    return Finding(verdict, " ".join(sentences), figures, rows, COLUMNS, list(told["notes"]), _panels(told, figures))


Found = dict[str, tuple[str, list[Step | str]]]
"""By step of the ladder: the dataflow of the GEMMs, and what every workload takes or why it is refused."""


def _ladder(rungs: list[Rung], works: list[Workload], outcomes: Outcomes) -> Found:
    """Return the steps of the ladder; of one with a single dataflow, the best single one."""
    best: Found = {}
    for rung in rungs:
        ones: list[Step | str] = [step_of(work, rung.chip, outcomes) for work in works]
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
