# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""How wide the links between PUs must be: the table and the picture of docs/noc/ring-width.md.

    python benchmarks/ring_width.py [--write] [--layers N] [--batch N] [--context TOKENS]

Stratum (arXiv 2510.05245, section 6.2) gives its ring 128 GB/s per link and says that its overlaps hide the traffic.
Here Mixtral 8x7B runs on `stratum` with links of other widths, nothing else changed: a flit of 128 B each cycle of 1
GHz is 128 GB/s.  What a narrower link adds to the step is exposed network time; it is told against the widest link.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from nmpsim.api import simulate
from nmpsim.spec import load_chip, with_overrides

WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
"""Bytes of a flit."""

PUBLISHED = 128
HIDDEN = 0.01
"""Share of the step below which we call the network hidden; chosen beforehand."""

COLUMNS = ("GB/s per link", "cycles", "against the widest", "exposed cycles", "network bound, cycles")
PAGE = Path(__file__).parents[1] / "docs" / "noc" / "ring-width.md"


@dataclass(frozen=True)
class Outcome:
    """A step with links of one width; core cycles.

    Parameters
    ----------
    rate : float
        GB/s of a link, each way.
    cycles : int
    bound : float
        That the links take at least.
    """

    rate: float
    cycles: int
    bound: float


def measure(width: int, layers: int, batch: int, context: int) -> Outcome:
    """Run the step with links of one width.

    Parameters
    ----------
    width : int
        Bytes of a flit.
    layers, batch, context : int
        As for `nmpsim.simulate`.
    """
    chip = with_overrides(load_chip("stratum"), {"noc.flit_bytes": width})
    run = simulate("mixtral-8x7b", chip, layers=layers, batch=batch, context=context)
    return Outcome(float(width), run.cycles, run.bounds["noc"])


def table(found: list[Outcome]) -> list[str]:
    """Return the lines of a Markdown table.

    Parameters
    ----------
    found : list of Outcome
        The widest last.
    """
    widest = found[-1].cycles
    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + "---: | " * len(COLUMNS)]
    for one in found:
        share = f"{100 * (one.cycles / widest - 1):+.2f} %"
        lines.append(f"| {one.rate:.0f} | {one.cycles:,} | {share} | {one.cycles - widest:,} | {one.bound:,.0f} |")
    return [line.rstrip() for line in lines]


def verdict(found: list[Outcome]) -> str:
    """Return what the table says of the claim.

    Parameters
    ----------
    found : list of Outcome
        The widest last.
    """
    widest = found[-1].cycles
    exposed = {one.rate: one.cycles / widest - 1 for one in found}
    here = exposed[float(PUBLISHED)]
    word = "holds" if here <= HIDDEN else "does not hold"
    hidden = [rate for rate, share in exposed.items() if share <= HIDDEN]
    return (
        f"At {PUBLISHED} GB/s the step takes {100 * here:.2f} % longer than with the widest links: by the mark of "
        f"{100 * HIDDEN:.0f} % set beforehand the claim {word}. The narrowest links that keep within it have "
        f"{min(hidden):.0f} GB/s."
    )


def draw(found: list[Outcome], target: Path) -> None:
    """Draw cycles by width.

    Parameters
    ----------
    found : list of Outcome
    target : Path
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    rates = [one.rate for one in found]
    axis.plot(rates, [one.cycles for one in found], marker="o", label="step")
    axis.plot(rates, [one.bound for one in found], linestyle=":", label="network bound")
    axis.axvline(PUBLISHED, color="grey", linewidth=0.8, label="Stratum, 128 GB/s")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="GB/s per link, each way",
        ylabel="core cycles",
        title="Mixtral 8x7B on stratum",
    )
    axis.set_xticks(rates, [f"{rate:.0f}" for rate in rates])
    axis.legend()
    figure.savefig(target, dpi=110)


def main() -> None:
    """Run all widths, print, and with --write renew the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=4096)
    asked = parser.parse_args()
    found = []
    for width in WIDTHS:
        found.append(measure(width, asked.layers, asked.batch, asked.context))
        print(found[-1], flush=True)
    case = f"Mixtral 8x7B, {asked.layers} layers, batch {asked.batch}, context {asked.context}, chip `stratum`."
    made = "\n".join([case, "", *table(found), "", verdict(found)])
    print(made)
    if asked.write:
        before, rest = PAGE.read_text(encoding="utf-8").split("<!-- made -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
        PAGE.write_text(f"{before}<!-- made -->\n{made}\n<!-- end -->{after}", encoding="utf-8")
        draw(found, PAGE.with_suffix(".png"))


if __name__ == "__main__":
    main()
