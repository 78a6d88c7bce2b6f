# ruff: noqa: INP001, T201
"""What a trace costs: CPU time of untraced, coarse and full runs in turns, medians; bytes per million unit-cycles.

Simulation and writing of the files are measured, not scheduling and encoding, which are the same in all of them.

Usage: python benchmarks/tracing.py [--model NAME] [--chip NAME] [--layers N] [--batch N] [--context N] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from nmpsim.api import Job, prepare
from nmpsim.machine.simulate import Simulation
from nmpsim.program.isa import UNITS
from nmpsim.trace import LEVELS, Trace, TraceWriter, trace_options


def measure(job: Job, level: str, folder: Path) -> tuple[float, Simulation]:
    """CPU seconds of one run, and the run."""
    before = time.process_time()
    writer = None if level == "none" else TraceWriter(job.params, job.program, trace_options(level), folder)
    simulation = Simulation(job.params, job.program, recorder=writer)
    simulation.run()
    if writer is not None:
        writer.close(simulation.until)
    return time.process_time() - before, simulation


def check(folder: Path, simulation: Simulation) -> int:
    """Compare the totals of a full trace with the accounts; return its unit-cycles."""
    trace = Trace.open(folder)
    rows = trace.intervals()
    length = rows["end"] - rows["start"]
    units = trace.units
    kind = np.array([unit.kind for unit in units])[rows["unit"]]
    period = np.array([unit.period for unit in units])[rows["unit"]]
    counts = simulation.counts()
    assert int((rows["value"] * length)[kind == "array"].sum()) // trace.core_period == counts["macs"]
    assert int((rows["value"] * length)[kind == "send"].sum()) // trace.core_period == counts["flits"]
    core = np.isin(kind, ["array"])
    busy = int(length[core & (rows["reason"] == 0)].sum())
    assert busy == int(simulation.die.cores.stall[:, UNITS:, 0].sum())
    return int((length // period).sum())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama-3.1-8b")
    parser.add_argument("--chip", default="snake")
    for name, default in (("layers", 1), ("batch", 16), ("context", 4096), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    job = prepare(asked.model, asked.chip, batch=asked.batch, context=asked.context, layers=asked.layers)
    seconds: dict[str, list[float]] = {level: [] for level in LEVELS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        measure(job, "full", folder)  # compile, and warm up
        for _ in range(asked.rounds):
            for level in LEVELS:
                seconds[level].append(measure(job, level, folder)[0])
        medians = {level: statistics.median(times) for level, times in seconds.items()}
        for level, median in medians.items():
            print(f"{level:7s} {median:8.3f} CPU s  {median / medians['none']:.2f}x")
        for level in ("coarse", "full"):
            simulation = measure(job, level, folder)[1]
            size = sum(path.stat().st_size for path in folder.iterdir())
            told = f"{level:7s} {size:,} bytes"
            if level == "full":
                cycles = check(folder, simulation)
                told += (
                    f", {cycles:,} unit-cycles, {1e6 * size / cycles:,.0f} bytes per million unit-cycles; totals equal"
                )
            print(told)


if __name__ == "__main__":
    main()
