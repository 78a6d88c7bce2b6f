# ruff: noqa: ANN001, ANN201, INP001, T201  (a folder of scripts that print, no package)
"""Speed of the analytical mode: estimates per second in bulk, a decode step with mapping choice, a single estimate.

python benchmarks/analytic.py [--cycle-mode]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np

import nmpsim
from nmpsim.analytic.model.bulk import BulkStep
from nmpsim.analytic.model.chips import Chips
from nmpsim.schedule.step import plan_step

FIRST = """
import time
from nmpsim import estimate
start = time.process_time()
estimate("deepseek-v3", "snake", calibration="none")
print(f"the first of deepseek-v3 in a process, after import: {time.process_time() - start:.3f} s")
"""

CHIPS = 8192
"""Enough that arrays, not calls, take the time; small enough for the cache."""


def chips(params, number, seed=0):
    """Return chips that differ in ten settings."""
    draw = np.random.default_rng(seed).choice
    values = {
        "cores": (8, 12, 16),
        "core_period": (4, 5, 8),
        "core.lanes": (128, 256, 512),
        "core.strip_rows": (2, 4, 8, 16),
        "core.buffer_bytes": (2**20, 2**21, 2**22),
        "core.vector_read_bytes": (512, 1024, 2048),
        "core.exp_interval": (1, 2, 4),
        "dram.nREFI": (2000, 4025),
        "noc.flit_bytes": (64, 128, 256),
        "noc.nLINK": (1, 2, 3),
    }
    return Chips.varied(params, {name: draw(of, number) for name, of in values.items()})


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycle-mode", action="store_true", help="also simulate the step, for the ratio")
    asked = parser.parse_args()
    for model, chip, batch in (
        ("llama-3.1-8b", "snake", 1),
        ("llama-3.1-8b", "snake", 16),
        ("llama-3.1-8b", "stratum", 16),
    ):
        plan = plan_step(model, chip, batch=batch, context=2048)
        step, many = BulkStep(plan.graphs[0]), chips(plan.params, CHIPS)
        step.evaluate(chips(plan.params, 8))
        start = time.process_time()
        found = step.evaluate(many)
        took = time.process_time() - start
        print(
            f"{model} on {chip}, batch {batch}: {took / CHIPS * 1e3:.4f} ms a decode step with mapping choice, "
            f"{found.estimates / took / 1e6:.2f} M operator estimates/s on one core"
        )
        if asked.cycle_mode:
            start = time.process_time()
            nmpsim.simulate(model, chip, batch=batch, context=2048)
            cycle = time.process_time() - start
            print(f"  cycle mode: {cycle:.1f} s, {cycle / took * CHIPS:,.0f} times as long")
    for model, options in (("llama-3.1-8b", {}), ("deepseek-v3", {"stacks": 1, "layers": 2}), ("deepseek-v3", {})):
        nmpsim.estimate(model, "snake", calibration="none", **options)
        start = time.process_time()
        nmpsim.estimate(model, "snake", calibration="none", **options)
        print(f"one estimate of {model} {options or ''}: {time.process_time() - start:.3f} s", flush=True)
    subprocess.run([sys.executable, "-c", FIRST], check=True)  # noqa: S603 -- a text of this file


if __name__ == "__main__":
    main()
