# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Collectives of the die by messages, by multicast and with sums: the tables of docs/noc/die-collectives.md.

    python benchmarks/die_collectives.py [--write] [--layers N] [--context TOKENS] [--batches N,...]

First an all-gather and a reduce-scatter alone on the 16 units of `stratum`, then whole decode steps, in all three ways.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from nmpsim.api import simulate
from nmpsim.machine.simulate import Simulation
from nmpsim.measure.run import Run
from nmpsim.program.encode.collective import Piece, Region, all_gather, landing_bytes, reduce_scatter, sum_scatter
from nmpsim.program.encode.emitter import Emitter, Event
from nmpsim.program.isa import F_A_FP32, F_OUT_FP32, SUMS, V_COPY, VECTOR
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.spec import load_chip, resolve, with_overrides

CHIPS = ("snake", "stratum")
MODELS = ("llama-3.1-8b", "mixtral-8x7b")
WAYS = ("messages", "multicast", "network")
COLUMNS = (
    *("chip", "model", "batch", "cycles by messages", "multicast", "network", "multicast", "network"),
    *("flits sent by messages", "multicast", "network", "flit-hops by messages", "multicast", "network"),
)
FLITS = (1, 4, 16, 64)
"""Of a unit by each port."""

ROUTERS = ((2, 8), (2, 2), (4, 8), (4, 2))
"""Channels of multicasts per class, flits of their packets."""

ALONE = ("flits of a unit and port", "way", "channels per class", "flits of a packet", "core cycles", "bound", "ratio")
SUM_VCS = (1, 2, 4)
"""Channels of sums of each port."""

SCATTERED = ("flits of a sum and port", "way", "channels of sums", "core cycles", "bound", "ratio")
PAGE = Path(__file__).parents[1] / "docs" / "noc" / "die-collectives.md"


@dataclass(frozen=True)
class Outcome:
    """A step in all ways.

    Parameters
    ----------
    chip, model : str
    batch : int
    runs : tuple of Run
        By messages, by multicast, with sums in the network.
    """

    chip: str
    model: str
    batch: int
    runs: tuple[Run, ...]

    def row(self) -> str:
        """Return the line of the table."""
        one, *others = (run.cycles for run in self.runs)
        counts = [f"{run.counts[name]:,}" for name in ("flits", "flit_hops") for run in self.runs]
        cells = (f"`{self.chip}`", self.model, str(self.batch), f"{one:,}", *(f"{other:,}" for other in others))
        gains = (f"{100 * (other / one - 1):+.2f} %" for other in others)
        return "| " + " | ".join((*cells, *gains, *counts)) + " |"


def measure(chip: str, model: str, batch: int, layers: int, context: int) -> Outcome:
    """Run a step in all ways.

    Parameters
    ----------
    chip, model : str
    batch, layers, context : int
        As for `nmpsim.simulate`.
    """
    runs = tuple(
        simulate(
            model,
            with_overrides(load_chip(chip), {"noc.collectives": way}),
            batch=batch,
            layers=layers,
            context=context,
        )
        for way in WAYS
    )
    return Outcome(chip, model, batch, runs)


def gather(flits: int, settings: dict[str, object]) -> tuple[int, int]:
    """Return the core cycles of an all-gather and its bound: a receiver takes a flit per cycle.

    Parameters
    ----------
    flits : int
        That each unit sends by each port.
    settings : dict
        Of the chip.
    """
    params = resolve(with_overrides(load_chip("stratum"), settings))
    out, size, pus = Emitter(params), params.noc.flit_bytes, params.cores
    regions = [[Region(pu * 2 * flits * size, 2 * flits, size, size)] for pu in range(pus)]
    came = all_gather(out, regions, [[] for _ in range(pus)])
    for pu in range(pus):
        out.vector(pu, V_COPY, 1, 1, came[pu], out=params.core.buffer_bytes - size)
    return _cycles(out), (pus - 1) * flits


def _cycles(out: Emitter) -> int:
    """Return the core cycles of what was emitted."""
    params = out.params
    operators = (ProgramOperator("alone", "all", 0, 0, 0, 0, 0, ""),)
    simulation = Simulation(params, Program(params.name, out.streams([(0, 0)] * out.pus), out.tables(), operators))
    simulation.run()
    return simulation.end // params.core_period


def scatter(flits: int, settings: dict[str, object]) -> tuple[int, int]:
    """Return the core cycles of a reduce-scatter and its bound: a sender sends a flit per cycle, the parts of others.

    Parameters
    ----------
    flits : int
        Of a unit's part of each sum, by each port.
    settings : dict
        Of the chip.
    """
    params = resolve(with_overrides(load_chip("stratum"), settings))
    out, pus, grain = Emitter(params), params.cores, params.noc.flit_bytes // 4
    columns = 2 * flits * grain
    pieces = [Piece(pu * columns, columns) for pu in range(pus)]
    ld, none = pus * columns * 4, [[None] * pus for _ in range(2)]
    ready: list[list[Event | None]] = [[] for _ in range(pus)]
    if params.noc.sum_lanes:
        came = sum_scatter(out, 1, 0, ld, pieces, ready, grain, SUMS[0])
    else:
        assert ld + landing_bytes(pus, 1, columns, grain) < params.core.buffer_bytes
        reduce_scatter(out, 1, 0, ld, ld, pieces, ready, none, grain)
        came = [out.last(pu, VECTOR) for pu in range(pus)]
    target = params.core.buffer_bytes - params.noc.flit_bytes
    for pu in range(pus):
        out.vector(pu, V_COPY, 1, 1, [came[pu]], out=target, modifiers=F_A_FP32 | F_OUT_FP32)
    return _cycles(out), (pus - 1) * flits


def scattered() -> list[str]:
    """Return the lines of the table of reduce-scatters alone."""
    lines = ["| " + " | ".join(SCATTERED) + " |", "| ---: | --- |" + " ---: |" * (len(SCATTERED) - 2)]
    for flits in FLITS:
        for lanes in (0, *SUM_VCS):
            settings: dict[str, object] = {"noc.collectives": "network" if lanes else "messages"}
            if lanes:
                settings["noc.sum_vcs"] = lanes
            cycles, bound = scatter(flits, settings)
            cells = (str(flits), str(settings["noc.collectives"]), str(lanes or ""), f"{cycles:,}", f"{bound:,}")
            lines.append("| " + " | ".join((*cells, f"{cycles / bound:.2f}")) + " |")
            print(lines[-1], flush=True)
    return lines


def alone() -> list[str]:
    """Return the lines of the table of all-gathers alone."""
    lines = ["| " + " | ".join(ALONE) + " |", "| ---: | --- |" + " ---: |" * (len(ALONE) - 2)]
    for flits in FLITS:
        for vcs, packet in ((0, 0), *ROUTERS):
            settings: dict[str, object] = {"noc.collectives": WAYS[vcs > 0]}
            if vcs:
                settings |= {"noc.multicast_vcs": vcs, "noc.multicast_flits": packet}
            cycles, bound = gather(flits, settings)
            shape = (str(vcs), str(packet)) if vcs else ("", "")
            cells = (str(flits), WAYS[vcs > 0], *shape, f"{cycles:,}", f"{bound:,}", f"{cycles / bound:.2f}")
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Run all, print, and with --write renew the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--batches", default="1,4,16")
    asked = parser.parse_args()
    tables = [alone(), scattered()]
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- | --- |" + " ---: |" * (len(COLUMNS) - 2)]
    for chip in CHIPS:
        for model in MODELS:
            for batch in asked.batches.split(","):
                lines.append(measure(chip, model, int(batch), asked.layers, asked.context).row())
                print(lines[-1], flush=True)
    tables.append([f"{asked.layers} layer, context {asked.context}.", "", *lines])
    if asked.write:
        parts = PAGE.read_text(encoding="utf-8").split("<!-- made -->\n")
        for n, made in enumerate(tables, start=1):
            parts[n] = "\n".join(made) + "\n<!-- end -->" + parts[n].split("<!-- end -->", 1)[1]
        PAGE.write_text("<!-- made -->\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
