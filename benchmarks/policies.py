# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Every named policy in cycle mode on the shipped models: the table of docs/schedule/policies.md.

Run: ``python benchmarks/policies.py [--write]``.  One layer and the LM head of every model, so that the
table takes minutes.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

from nmpsim.api import prepare, run_job
from nmpsim.errors import NmpsimError
from nmpsim.schedule.policy import POLICIES

PAGE = Path(__file__).parents[1] / "docs" / "schedule" / "policies.md"
LAYERS = 1
MODELS = (
    ("llama-3.1-8b", 0),
    ("mixtral-8x7b", 0),
    ("olmoe-1b-7b", 0),
)
STEPS = ((4, 1024), (16, 256))
"""Batch and context."""


def measure(chip: str) -> dict[tuple[str, int, int], dict[str, int | str]]:
    """Return cycles by (model, batch, context) and policy; a message where a policy is refused.

    Parameters
    ----------
    chip : str
    """
    found: dict[tuple[str, int, int], dict[str, int | str]] = {}
    for model, first in MODELS:
        for batch, context in STEPS:
            row = found.setdefault((model, batch, context), {})
            for policy in POLICIES:
                begin = time.process_time()
                try:
                    job = prepare(
                        model, chip, batch=batch, context=context, layers=LAYERS, first_layer=first, policy=policy
                    )
                except NmpsimError as error:
                    row[policy] = str(error).splitlines()[0]
                    continue
                row[policy] = run_job(job).cycles
                print(
                    chip, model, batch, context, policy, row[policy], f"{time.process_time() - begin:.1f} s", flush=True
                )
    return found


def table(found: dict[tuple[str, int, int], dict[str, int | str]]) -> list[str]:
    """Return lines of Markdown: cycles of the search, and of every other policy as a multiple of it.

    Parameters
    ----------
    found : dict
        From `measure`.
    """
    others = [name for name in POLICIES if name != "searched"]
    lines = ["| model | batch | context | searched, cycles | " + " | ".join(others) + " |"]
    lines.append("| --- " + "| ---: " * (len(others) + 3) + "|")
    logs: dict[str, list[float]] = {name: [] for name in others}
    for (model, batch, context), row in found.items():
        base = row["searched"]
        if isinstance(base, str):
            lines.append(f"| {model} | {batch} | {context} | {base} |" + " |" * len(others))
            continue
        cells = []
        for name in others:
            cycles = row[name]
            if isinstance(cycles, str):
                cells.append("refused")
            else:
                logs[name].append(math.log(cycles / base))
                cells.append(f"{cycles / base:.3f}")
        lines.append(f"| {model} | {batch} | {context} | {base} | " + " | ".join(cells) + " |")
    means = [f"**{math.exp(sum(v) / len(v)):.3f}**" if v else "" for v in logs.values()]
    lines.append("| geometric mean | | | | " + " | ".join(means) + " |")
    least = [f"{math.exp(min(v)):.3f}" if v else "" for v in logs.values()]
    lines.append("| least | | | | " + " | ".join(least) + " |")
    return lines


def main() -> None:
    """Measure both chips, print the tables, and write them between the marks of the page if asked to."""
    for chip in ("snake", "stratum"):
        lines = table(measure(chip))
        print("\n".join(lines))
        if "--write" in sys.argv:
            text = PAGE.read_text(encoding="utf-8")
            mark, end = f"<!-- {chip} -->", f"<!-- end {chip} -->"
            before, rest = text.split(mark)
            after = rest.split(end)[1]
            PAGE.write_text(before + mark + "\n" + "\n".join(lines) + "\n" + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
