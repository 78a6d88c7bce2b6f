# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Collectives by size, in the network and by messages: the table and the picture of docs/noc/collectives.md.

Run: ``python benchmarks/collectives.py [--write]``; with ``--write`` both are renewed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from nmpsim.cli.noc_collective import Outcome, drawing, run_collective
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.topology import named_topology

NETWORKS = ("ring:16", "mesh:4x4")
KINDS = ("broadcast", "reduce", "all-reduce", "all-gather", "reduce-scatter", "all-to-all")
SIZES = (1, 16, 256, 2048)
DRAWN = ("broadcast", "all-reduce", "all-gather", "all-to-all")
COLUMNS = ("network", "collective", "flits", "in the network", "bound", "ratio", "by messages", "way", "bound", "ratio")
PAGE = Path(__file__).parents[1] / "docs" / "noc" / "collectives.md"


def measure() -> dict[tuple[str, str, int], tuple[Outcome, Outcome]]:
    """Return both runs of every network, collective and size."""
    found = {}
    for name in NETWORKS:
        topology = named_topology(name)
        for kind in KINDS:
            for flits in SIZES:
                runs = [
                    run_collective(kind, topology, RouterSettings(), flits, software=alone) for alone in (False, True)
                ]
                found[name, kind, flits] = (runs[0], runs[1])
    return found


def table(found: dict[tuple[str, str, int], tuple[Outcome, Outcome]]) -> list[str]:
    """Return the lines of a Markdown table.

    Parameters
    ----------
    found : dict
        From `measure`.
    """
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- | --- " + "| ---: " * 5 + "| --- | ---: | ---: |"]
    for (name, kind, flits), (ours, messages) in found.items():
        least = [max(one.latency, one.bandwidth) for one in (ours, messages)]
        lines.append(
            f"| {name} | {kind} | {flits} | {ours.cycles:,} | {least[0]:,} | {ours.ratio:.3f} | {messages.cycles:,} "
            f"| {messages.algorithm} | {least[1]:,} | {messages.ratio:.3f} |"
        )
    return lines


if __name__ == "__main__":
    made = measure()
    lines = table(made)
    print("\n".join(lines))
    if "--write" in sys.argv:
        before, rest = PAGE.read_text(encoding="utf-8").split(f"| {COLUMNS[0]} |", 1)
        PAGE.write_text(before + "\n".join(lines) + "\n\n" + rest.split("\n\n", 1)[1], encoding="utf-8")
        shown = [
            (kind, one) for (name, kind, _), runs in made.items() if name == "ring:16" and kind in DRAWN for one in runs
        ]
        PAGE.with_suffix(".png").write_bytes(drawing("ring 16", shown, "png"))
