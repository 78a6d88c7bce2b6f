# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""The tables of docs/analytic.md, from the provenance and the domain of the shipped calibrations.

python benchmarks/analytic_errors.py            prints them
python benchmarks/analytic_errors.py --write    puts them into docs/analytic.md, between their marks
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from nmpsim.analytic.model.calibration import SHIPPED

PAGE = Path(__file__).parents[1] / "docs" / "analytic.md"
FIRST, LAST = "<!-- errors: benchmarks/analytic_errors.py -->", "<!-- end of errors -->"
CHIPS = ("snake", "stratum")
PAIRS = ("", "large_", "time_", "step_")
LEFT_OUT = ("compute unit",)


def errors(tree: dict[str, float]) -> str:
    """Return means and 95th percentiles in percent, a cell for each pair."""
    return " | ".join(f"{100 * tree[f'{name}mean']:.1f} / {100 * tree[f'{name}p95']:.1f}" for name in PAIRS)


def rows(chip: str, made: dict[str, Any]) -> list[str]:
    """Return the rows of a calibration."""
    covered = f"{100 * made['held_out_covered']:.1f} / {100 * made['held_out_steps_covered']:.1f}"
    held = made["held_out"]
    sample = f"{made['runs']} runs fitted, {made['held_out_runs']} held out, seed {made['seed']}"
    sample += f", {made['budget_seconds']:.0f} CPU seconds"
    hidden = f"{100 * held['hidden']:.2f} % of the operators take no cycle, "
    hidden += f"and {100 * held['hidden_time']:.3f} % of the time is predicted for them"
    return [
        f"| {chip} | closed forms alone | {errors(made['held_out_uncalibrated'])} | - |",
        f"| {chip} | calibrated | {errors(held)} | {covered} |",
        f"| | {sample} | {hidden} | | | | |",
    ]


def value(allowed: list[Any]) -> str:
    """Return a range of the domain in words."""
    if not allowed or isinstance(allowed[0], str):
        return ", ".join(allowed)
    low, high = (f"{x:,.0f}" if x >= 100 else f"{x:g}" for x in allowed)
    return low if low == high else f"{low} to {high}"


def tables() -> str:
    """Return both tables."""
    trees = {chip: json.loads((SHIPPED / f"{chip}.json").read_text(encoding="utf-8")) for chip in CHIPS}
    names = ("chips round", "", "all operators", "those of at least 1 % of their step", "weighted by time")
    names += ("whole steps", "within the 90 % interval: operators / steps")
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    for chip, tree in trees.items():
        lines += rows(chip, tree["provenance"])
    lines += ["", f"| domain | {' | '.join(CHIPS)} |", "| --- | --- | --- |"]
    domains = [tree["domain"] for tree in trees.values()]
    for name in domains[0]:
        if name not in LEFT_OUT:
            lines.append(f"| {name} | {' | '.join(value(domain[name]) for domain in domains)} |")
    return "\n".join(lines)


def main() -> None:
    """Print or write the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="put the tables into docs/analytic.md")
    if not parser.parse_args().write:
        print(tables())
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(FIRST)
    _, _, after = rest.partition(LAST)
    PAGE.write_text(f"{before}{FIRST}\n{tables()}\n{LAST}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
