"""Array chips against MAC trees: time and energy of decode steps, with the ceilings of both.

Ceilings of a step, from work and peaks alone:

    speed           max(T_compute(trees), T_dram) / max(T_compute(array), T_dram): both at their bounds; for an array
                    with the higher peak that is min(peak ratio, max(1, T_compute(trees) / T_dram))
    speed, at most  T(trees), as it is / the largest bound of the array: more, if the trees are not at their bound
    energy, compute E of the trees' compute units / (MACs x the array's cheapest multiply-accumulate)
    energy, in all  E of the trees' step / (the same DRAM commands without refresh + those MACs + FIFOs and lanes as
                    in the array's run + static power over the largest bound)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nmpsim.claims.claim import REPRODUCED, Claim
from nmpsim.claims.finding import Finding, Panel
from nmpsim.claims.fit import fit, saved_mm2, sizes
from nmpsim.claims.judge import geometric, judge, of_variants, worst
from nmpsim.claims.power import capped
from nmpsim.claims.workload import Outcomes, Step, Variant, Workload, listed, step_of
from nmpsim.cost.area import die_area
from nmpsim.cost.coefficients import value
from nmpsim.cost.tables import tables
from nmpsim.cost.units import unit_energies
from nmpsim.spec import load_chip, resolve, with_overrides
from nmpsim.study import Point

FITTED = "snake-fit"


def variant(name: str, policy: str = "") -> Variant:
    """Return a chip by its name; ``snake-fit`` is derived anew from the tables of synthesis.

    Parameters
    ----------
    name : str
    policy : str
        Scheduling policy of its steps, the default if empty.
    """
    if name != FITTED:
        return Variant(name, name, policy=policy)
    spec, _, _ = fit(tables())
    return Variant(FITTED, spec.chip.name, tuple(sorted(spec.overrides.items())), policy=policy)


def _chips(claim: Claim) -> tuple[Variant, list[Variant], list[Workload]]:
    told = claim.settings
    base, *arrays = (variant(name) for name in (told["base"], *told["arrays"]))
    return base, arrays, listed(told["workload"], base.chip)


def points(claim: Claim) -> list[Point]:
    """Return all runs of the comparison.

    Parameters
    ----------
    claim : Claim
    """
    base, arrays, works = _chips(claim)
    chips = (base, *arrays)
    found = [point for work in works for one in chips for point in work.points(one)]
    checked = [(work, one) for work in _checks(claim) for one in chips]
    return [*found, *(point for work, one in checked for point in (work.whole_run(one), *work.points(one)))]


def _checks(claim: Claim) -> list[Workload]:
    """Return the workloads that are run as a whole too, to see what sampling is worth."""
    return listed(claim.settings.get("check", []), variant(claim.settings["base"]).chip)


def sampling_errors(claim: Claim, outcomes: Outcomes) -> dict[str, dict[str, float]]:
    """Return time, DRAM bound and energy of sampled steps over those of whole ones, less 1, by workload and chip.

    Parameters
    ----------
    claim : Claim
    outcomes : mapping of Point to Outcome
    """
    base, arrays, _ = _chips(claim)
    found = {}
    for work in _checks(claim):
        for chip in (base, *arrays):
            sampled, whole = step_of(work, chip, outcomes), outcomes[work.whole_run(chip)].figures
            if not isinstance(sampled, str) and whole is not None:
                bound = 1e-9 * whole["bounds"]["dram"] / whole["clock_GHz"]
                found[f"{work.label} {chip.name}"] = {
                    "seconds": sampled.seconds / whole["seconds"] - 1,
                    "dram_bound": sampled.bounds["dram"] / bound - 1,
                    "energy": sampled.total_J / sum(whole["energy_J"].values()) - 1,
                }
    return found


def mac_joule(chip: Variant) -> float:
    """Return the energy of the cheapest multiply-accumulate of a chip; J.

    Parameters
    ----------
    chip : Variant
    """
    params = resolve(with_overrides(load_chip(chip.chip), dict(chip.overrides)))
    return 1e-12 * min(unit_energies(params, tables()).mac.values())


def ceilings(trees: Step, array: Step, mac_J: float) -> dict[str, float]:
    """Return the ceilings of a step; see the module.

    Parameters
    ----------
    trees, array : Step
    mac_J : float
        From `mac_joule` of the array's chip.
    """
    macs = array.macs * mac_J
    moved = sum(joule for name, joule in trees.energy.items() if name.startswith("dram_") and "REF" not in name)
    beside = sum(joule for name, joule in array.energy.items() if name.startswith("vector_") or name == "fifo")
    least = moved + macs + beside + array.static_W * max(array.bounds.values())
    ratio = array.peak_macs / trees.peak_macs  # the DRAM is the same
    compute, dram = trees.bounds["compute"], trees.bounds["dram"]
    return {
        "speed_ceiling": max(compute, dram) / max(compute / ratio, dram),
        "compute_energy_ceiling": trees.compute_J / macs,
        "energy_ceiling": trees.total_J / least,
    }


def row_of(work: Workload, chip: Variant, trees: Step, array: Step, watts: float) -> dict[str, Any]:
    """Return the figures of one workload on one array chip against the trees.

    Parameters
    ----------
    work : Workload
    chip : Variant
        The array.
    trees, array : Step
    watts : float
        Limit of the logic.
    """
    slow_trees, slow_array = capped(trees, watts), capped(array, watts)
    return {
        "workload": work.label,
        "batch": work.batch,
        "chip": chip.name,
        "layers": f"{work.layers}{'' if work.whole else ' (cut)'}",
        "trees_ms": 1e3 * trees.seconds,
        "array_ms": 1e3 * array.seconds,
        "speed": trees.seconds / array.seconds,
        "speed_most": trees.seconds / max(array.bounds.values()),
        "energy": trees.total_J / array.total_J,
        "logic_energy": trees.logic_J / array.logic_J,
        "compute_energy": trees.compute_J / array.compute_J,
        **ceilings(trees, array, mac_joule(chip)),
        "trees_W": trees.logic_J / trees.seconds,
        "array_W": array.logic_J / array.seconds,
        "capped_speed": slow_trees.seconds / slow_array.seconds,
        "capped_energy": slow_trees.total_J / slow_array.total_J,
        "trees_bound": max(trees.bounds, key=lambda name: trees.bounds[name]),
        "array_bound": max(array.bounds, key=lambda name: array.bounds[name]),
    }


COLUMNS = {
    "workload": "workload", "chip": "chip", "layers": "layers", "speed": "speed", "speed_ceiling": "ceiling",
    "speed_most": "at most", "energy": "energy eff.", "energy_ceiling": "ceiling",
    "compute_energy": "compute units' energy eff.", "compute_energy_ceiling": "ceiling",
    "trees_W": "trees, W of logic", "array_W": "array, W of logic",
    "capped_speed": "speed at the power limit", "capped_energy": "energy eff. at the limit",
    "array_bound": "array bound by", "refused": "refused",
}  # fmt: skip

MEANS = (
    "speed", "energy", "logic_energy", "compute_energy", "speed_ceiling", "energy_ceiling", "compute_energy_ceiling",
    "capped_speed", "capped_energy",
)  # fmt: skip


def evaluate(claim: Claim, outcomes: Outcomes) -> Finding:
    """Return verdict and figures.

    Parameters
    ----------
    claim : Claim
    outcomes : mapping of Point to Outcome
    """
    base, arrays, works = _chips(claim)
    told = claim.settings
    watts, room = value("logic_W"), value("logic_mm2")
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {"claimed": {"speed": told["speed"], "energy": told["energy"]}}
    fitting: list[str] = []
    larger: list[str] = []
    sentences = []
    for chip in arrays:
        own = _rows(works, base, chip, outcomes, watts)
        rows += own
        ran = [row for row in own if "speed" in row]
        means: dict[str, Any] = {name: geometric(row[name] for row in ran) for name in MEANS}
        verdicts = {
            name: judge(told[name], means[name], means[f"{name}_ceiling"], told["tolerance"])
            for name in ("speed", "energy")
        }
        registers, area = logic_mm2(chip)
        fits = area <= room
        (fitting if fits else larger).append(worst(list(verdicts.values())))
        arithmetic = {f"{name}_arithmetic": _mean(ran, name) for name in ("speed", "energy")}
        figures[chip.name] = {**means, **arithmetic, "by_batch": by_batch(ran),
                              "verdicts": verdicts, "logic_mm2": registers,
                              "logic_skew_in_memories_mm2": area, "fits": fits,
                              "workloads": len(ran), "refused": len(own) - len(ran)}  # fmt: skip
        sentences.append(
            f"{chip.name} ({registers:.0f} mm2 of logic, {area:.0f} with edge skew in small memories, of {room:g}) is "
            f"{means['speed']:.2f} times as fast as {base.name} "
            f"and takes 1/{means['energy']:.2f} of its energy, geometric means of {len(ran)} steps (arithmetic: "
            f"{arithmetic['speed_arithmetic']:.2f}, {arithmetic['energy_arithmetic']:.2f}); their ceilings "
            f"{means['speed_ceiling']:.2f} and {means['energy_ceiling']:.2f}; compute units alone "
            f"{means['compute_energy']:.2f} of at most {means['compute_energy_ceiling']:.2f}; both held to {watts:g} W "
            f"of logic: {means['capped_speed']:.2f} and {means['capped_energy']:.2f}: speed {verdicts['speed']}, "
            f"energy {verdicts['energy']}. {_by_batch_text(chip.name, figures[chip.name]['by_batch'])}"
        )
    verdict = of_variants(fitting, larger)
    if not fitting:
        sentences.append(
            "No variant fits into the area of the die by our synthesis, so that at best the claim is bounded."
        )
    elif verdict == REPRODUCED:
        sentences.append("A variant that fits into the die reproduces both figures.")
    notes, derived = fit_notes()
    figures |= {"fit": derived, "sampling_error": sampling_errors(claim, outcomes)}
    return Finding(
        verdict, " ".join(sentences), figures, rows, COLUMNS, [*notes, *told["notes"]], _panels(arrays, rows)
    )


def _rows(
    works: Sequence[Workload], base: Variant, chip: Variant, outcomes: Outcomes, watts: float
) -> list[dict[str, Any]]:
    """Return the rows of a chip."""
    rows: list[dict[str, Any]] = []
    for work in works:
        trees, array = step_of(work, base, outcomes), step_of(work, chip, outcomes)
        if isinstance(trees, str) or isinstance(array, str):
            why = trees if isinstance(trees, str) else array
            assert isinstance(why, str)
            short = " ".join(part.strip(" -") for part in why.splitlines()[:2])
            rows.append({"workload": work.label, "chip": chip.name, "layers": str(work.layers), "refused": short})
        else:
            rows.append(row_of(work, chip, trees, array, watts))
    return rows


def logic_mm2(chip: Variant) -> tuple[float, float]:
    """Return the area of the logic of an array chip: as synthesised, and with edge skew in small memories; mm2.

    Parameters
    ----------
    chip : Variant
    """
    params = resolve(with_overrides(load_chip(chip.chip), dict(chip.overrides)))
    area = die_area(params, tables())
    return area.mm2, area.mm2 - saved_mm2(params, area)


def by_batch(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return geometric means by batch.

    Parameters
    ----------
    rows : sequence of dict
        From `row_of`.
    """
    return {
        str(batch): {name: geometric(row[name] for row in rows if row["batch"] == batch) for name in MEANS}
        for batch in sorted({row["batch"] for row in rows})
    }


def _by_batch_text(name: str, means: dict[str, dict[str, float]]) -> str:
    told = (
        f"batch {batch} {own['speed']:.2f} and {own['energy']:.2f} (ceilings {own['speed_ceiling']:.2f}, "
        f"{own['energy_ceiling']:.2f})"
        for batch, own in means.items()
    )
    return f"{name} by batch, speed and energy: {'; '.join(told)}."


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows) if rows else float("nan")


def fit_notes() -> tuple[list[str], dict[str, Any]]:
    """Return how ``snake-fit`` was derived, in words and in figures."""
    _, size, room = fit(tables())
    every = sizes(load_chip("snake"), tables())
    smallest = every[0]
    after = next((one for one in every if one.strip_rows == size.strip_rows + 1), None)
    words = (
        f"{FITTED}: strips of {size.strip_rows} rows, {size.pes:,} PEs, whose compute units take "
        f"{size.compute_mm2:.1f} of the {room:.1f} mm2 of the MAC trees' compute units if edge skew is kept in small "
        "memories"
        + (f" ({after.strip_rows} rows would take {after.compute_mm2:.1f})" if after else "")
        + f"; with skew in flip-flops, as in the RTL, {size.compute_registers_mm2:.1f} mm2, and even strips of "
        f"{smallest.strip_rows} row take {smallest.compute_registers_mm2:.1f}, so that no array would fit."
    )
    derived = {
        "strip_rows": size.strip_rows, "pes": size.pes, "compute_mm2": size.compute_mm2,
        "compute_registers_mm2": size.compute_registers_mm2, "trees_compute_mm2": room,
    }  # fmt: skip
    return [words], derived


def _panels(arrays: Sequence[Variant], rows: list[dict[str, Any]]) -> list[Panel]:
    found = []
    ran = [row for row in rows if "speed" in row]
    for chip in arrays:
        own = [row for row in ran if row["chip"] == chip.name]
        for title, name in (("speed", "speed"), ("energy efficiency", "energy")):
            series = {
                words: [(row["workload"], row[key]) for row in own]
                for words, key in (
                    ("measured", name),
                    ("ceiling", f"{name}_ceiling"),
                    ("measured, at the power limit", f"capped_{name}"),
                )
            }
            found.append(Panel(f"{chip.name}: {title} against MAC trees", "", "times", series))
    return found


def chips(claim: Claim) -> list[str]:
    """Return the shipped chips that the claim needs.

    Parameters
    ----------
    claim : Claim
    """
    base, arrays, _ = _chips(claim)
    return list(dict.fromkeys(one.chip for one in (base, *arrays)))
