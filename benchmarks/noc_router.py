# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Speed of the network of routers: simulated cycles per CPU second.

    python benchmarks/noc_router.py [--against FILE.py] [--repeats N]

Meshes of 4x4 and 8x8 routers, 4 VCs of 8 flits, uniform traffic of one flit at loads 0.05, 0.2 and 0.4, and nearly
idle ones.  With --against a file that has ``make(k, vcs, buffer_flits)`` and ``kernel(...)``, a mesh kernel to compare
with, both run by turns, and the ratio of the medians is told.  Compilation is not timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path
from statistics import median
from typing import Any

from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.state import MEASURING
from nmpsim.noc.synthetic.patterns import make_pattern
from nmpsim.noc.synthetic.run import run
from nmpsim.noc.synthetic.traffic import bernoulli
from nmpsim.noc.topology import mesh

CASES = ((4, 0.05, 400_000), (4, 0.2, 100_000), (4, 0.4, 50_000), (8, 0.05, 60_000), (8, 0.2, 16_000), (8, 0.4, 8_000))
"""Nodes along a dimension, flits per node and cycle, cycles."""

IDLE = ((4, 0.00005, 200_000_000), (8, 0.00005, 20_000_000))
WARM_UP = 500


def our_speed(k: int, rate: float, cycles: int) -> float:
    """Return the cycles per CPU second of our kernel.

    Parameters
    ----------
    k : int
        Nodes along a dimension.
    rate : float
        Flits per node and cycle.
    cycles : int
        To time, after a warm-up.
    """
    fabric = build_network(mesh(k), RouterSettings())
    traffic = bernoulli(fabric, make_pattern("uniform", k * k, (k, k)), rate, 1, 1)
    fabric.state.totals.phase = MEASURING
    run(fabric, traffic, WARM_UP)
    start = time.process_time()
    run(fabric, traffic, WARM_UP + cycles)
    return cycles / (time.process_time() - start)


def other_speed(module: Any, kernels: dict[int, Any], k: int, rate: float, cycles: int) -> float:
    """Return the cycles per CPU second of the other kernel, compiled once for each size."""
    state, sizes = module.make(k, 4, 8)
    if k not in kernels:
        kernels[k] = module.kernel(*sizes)
    kernels[k](state, WARM_UP, rate, 1, 0, 1, 1, 1, 1, 1, 0, 1 << 60, 1)
    start = time.process_time()
    kernels[k](state, WARM_UP + cycles, rate, 1, 0, 1, 1, 1, 1, 1, 0, 1 << 60, 1)
    return cycles / (time.process_time() - start)


def main() -> None:
    """Time all cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    module = None
    if options.against is not None:
        spec = importlib.util.spec_from_file_location("other", options.against)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    kernels: dict[int, Any] = {}
    for k, rate, cycles in CASES:
        ours, others = [], []
        for _ in range(options.repeats):
            if module is not None:
                others.append(other_speed(module, kernels, k, rate, cycles))
            ours.append(our_speed(k, rate, cycles))
        ratio = f", {median(ours) / median(others):.2f} of {median(others):,.0f}" if others else ""
        print(f"{k}x{k} load {rate}: {median(ours):,.0f} cycles per CPU second{ratio}")
    for k, rate, cycles in IDLE:
        print(f"{k}x{k} load {rate}: {our_speed(k, rate, cycles):,.0f} cycles per CPU second")


if __name__ == "__main__":
    main()
