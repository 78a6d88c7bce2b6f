"""The roofline of every operator: intensity, rate, and which of the bounds is the larger, per batch and chip."""

from __future__ import annotations

from typing import Any

from nmpsim.claims.claim import BOUNDED, NOT_REPRODUCED, REPRODUCED, UNTESTABLE, Claim
from nmpsim.claims.comparison import variant
from nmpsim.claims.finding import Finding, Panel
from nmpsim.claims.workload import Outcomes, Variant
from nmpsim.study import Point
from nmpsim.study.tasks import STEP
from nmpsim.workload import load_model

COLUMNS = {
    "model": "model", "chip": "chip", "batch": "batch", "operator": "operator", "intensity": "FLOP/B",
    "tflops": "TFLOP/s", "roof_tflops": "roof, TFLOP/s", "of_roof": "of the roof", "bound": "bound by",
    "time_share": "of the step", "refused": "refused",
}  # fmt: skip


def _cases(claim: Claim) -> list[tuple[str, Variant, int, Point]]:
    told = claim.settings
    found = []
    for name in told["chips"]:
        chip = variant(name)
        for model in told["models"]:
            for batch in told["batches"]:
                own = {"model": model, "batch": batch, "context": told["context"], "layers": 1}
                found.append((model, chip, batch, Point.of(STEP, {**own, **chip.settings()})))
    return found


def points(claim: Claim) -> list[Point]:
    """Return all runs of the roofline.

    Parameters
    ----------
    claim : Claim
    """
    return [point for *_, point in _cases(claim)]


def operator_rows(figures: dict[str, Any], layers: int) -> list[dict[str, Any]]:
    """Return a row for each kind of operator of a step that has MACs, all of the kind together.

    Time of an operator: the cycles by which it moves the end of the step forward.  What is hidden under others counts
    for these, so that a rate can lie above its roof.

    Parameters
    ----------
    figures : dict
        Of a point of one layer.
    layers : int
        Of the model: shares of the step count the layer so often, and the LM head once.
    """
    hertz = 1e9 * figures["clock_GHz"]
    peak = 2 * figures["peaks"]["macs_per_cycle"] * hertz
    step = sum(one["cycles"] * _times(one, layers) for one in figures["operators"])
    kinds: dict[str, list[dict[str, Any]]] = {}
    for operator in figures["operators"]:
        if operator["macs"]:
            kinds.setdefault(operator["kind"], []).append(operator)
    rows = []
    for kind, ones in kinds.items():
        flop, read = 2 * sum(one["macs"] for one in ones), sum(one["read_bytes"] for one in ones)
        cycles = sum(one["cycles"] for one in ones)
        compute, dram = (sum(one["bounds"][name] for one in ones) for name in ("compute", "dram"))
        roof = min(peak, flop / (dram / hertz)) if dram else peak
        rows.append({
            "operator": kind,
            "intensity": flop / read if read else None,
            "tflops": 1e-12 * flop * hertz / cycles if cycles else None,
            "roof_tflops": 1e-12 * roof,
            "of_roof": flop * hertz / cycles / roof if cycles else None,
            "bound": "compute" if compute > dram else "dram",
            "compute_cycles": compute,
            "dram_cycles": dram,
            "time_share": sum(one["cycles"] * _times(one, layers) for one in ones) / step,
        })  # fmt: skip
    return rows


def _times(operator: dict[str, Any], layers: int) -> int:
    """Return how often an operator of the one layer, or beside it, stands in the whole step."""
    return layers if operator["layer"] >= 0 else 1


def evaluate(claim: Claim, outcomes: Outcomes) -> Finding:
    """Return verdict and figures.

    Parameters
    ----------
    claim : Claim
    outcomes : mapping of Point to Outcome
    """
    told = claim.settings
    rows: list[dict[str, Any]] = []
    peaks: dict[str, dict[str, float]] = {}
    for model, chip, batch, point in _cases(claim):
        named = {"model": model, "chip": chip.name, "batch": batch}
        figures = outcomes[point].figures
        if figures is None:
            rows.append(
                {**named, "refused": " ".join(part.strip(" -") for part in outcomes[point].why.splitlines()[:2])}
            )
            continue
        peaks[chip.name] = {
            "TFLOPs": 2e-3 * figures["peaks"]["macs_per_cycle"] * figures["clock_GHz"],
            "TB_per_s": 1e-12 * figures["peaks"]["dram_bytes_per_second"],
        }
        rows += [{**named, **row} for row in operator_rows(figures, load_model(model).layers)]
    shares = {
        name: {model: _shares(rows, name, model) for model in told["models"]} for name in told["chips"]
    }  # by batch: of the operators' time, and of their kinds, that is compute-bound
    verdict, reason = _verdict(told["judged"], told["batch"], shares[told["judged"]])
    return Finding(
        verdict, reason, {"peaks": peaks, "compute_bound": shares}, rows, COLUMNS, list(told["notes"]),
        [_panel(name, rows, peaks[name]) for name in told["chips"] if name in peaks],
    )  # fmt: skip


def _shares(rows: list[dict[str, Any]], chip: str, model: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    own = [row for row in rows if row["chip"] == chip and row["model"] == model and "bound" in row]
    for batch in sorted({row["batch"] for row in own}):
        ones = [row for row in own if row["batch"] == batch]
        bound = [row for row in ones if row["bound"] == "compute"]
        time = sum(row["time_share"] for row in ones)
        found[str(batch)] = {
            "of_time": sum(row["time_share"] for row in bound) / time,
            "of_kinds": len(bound) / len(ones),
        }
    return found


def _verdict(chip: str, batch: int, shares: dict[str, dict[str, dict[str, float]]]) -> tuple[str, str]:
    """Return the verdict at one batch: more than half of the time and of the kinds of operators, for every model."""
    at = {model: by_batch.get(str(batch)) for model, by_batch in shares.items()}
    if not any(at.values()):
        return UNTESTABLE, f"No model runs at batch {batch} on {chip}."
    turned = [model for model, share in at.items() if share and min(share.values()) > 0.5]
    verdict = REPRODUCED if len(turned) == len(at) else BOUNDED if turned else NOT_REPRODUCED
    parts = []
    for model, by_batch in shares.items():
        first = next((b for b, share in by_batch.items() if min(share.values()) > 0.5), None)
        share = at[model]
        told = (
            f"{100 * share['of_time']:.0f} % of the time and {100 * share['of_kinds']:.0f} % of the kinds"
            if share
            else "not run"
        )
        turn = f", more than half of both from batch {first} on" if first else ", never more than half of both"
        parts.append(f"{model}: {told}{turn}")
    return verdict, f"Compute-bound operators on {chip} at batch {batch}: " + "; ".join(parts) + "."


def _panel(chip: str, rows: list[dict[str, Any]], peak: dict[str, float]) -> Panel:
    own = [row for row in rows if row["chip"] == chip and row.get("intensity") and row.get("tflops")]
    names = dict.fromkeys(row["operator"] for row in own)
    series = {
        name: [(row["intensity"], row["tflops"]) for row in own if row["operator"] == name] for name in names
    }  # fmt: skip
    most = max(row["intensity"] for row in own)
    ridge = peak["TFLOPs"] / peak["TB_per_s"]
    low = min(row["intensity"] for row in own)
    roof = [(low, low * peak["TB_per_s"]), (ridge, peak["TFLOPs"]), (max(most, ridge), peak["TFLOPs"])]
    return Panel(f"{chip}: ridge at {ridge:.1f} FLOP/B", "FLOP per byte read", "TFLOP/s", series, {"roof": roof}, True)


def chips(claim: Claim) -> list[str]:
    """Return the shipped chips that the claim needs.

    Parameters
    ----------
    claim : Claim
    """
    return list(dict.fromkeys(variant(name).chip for name in claim.settings["chips"]))
