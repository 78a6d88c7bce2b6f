# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Speed of the PE-level mode: PE-cycles per CPU second at 64x64 and 128x128, native and compatibility timing.

Run: ``python benchmarks/pe_level.py``.

A PE-cycle is one PE stepped through one cycle in which the array moves; held cycles are not counted.  Native: passes
that fill the array (all strips in one group), a chain and a fission of groups of two strips, every flow.  The runs of
all cases alternate; CPU time, median of 7.  The first, compiling run is not counted.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from nmpsim.core.pe.control import run_cycles
from nmpsim.core.pe.run import ArrayPass, make_array
from nmpsim.core.pe.scale_sim import run_pe_level
from nmpsim.core.pe.state import TRACE
from nmpsim.program.isa import CHAIN, FLOW_NAMES, IS, OS, SPLIT_N, WS
from nmpsim.spec import load_chip, resolve

SIZES = (64, 128)
ROUNDS = 7
GOAL = 1e8
"""PE-cycles per CPU second that every case must reach."""


def native(size: int, flow: int, group: int, split: int) -> Callable[[], tuple[int, float]]:
    """Return a run of four passes: (PE-cycles, CPU seconds)."""
    core = resolve(load_chip("snake")).core._replace(strips=size // 8, strip_rows=8, columns=size)
    generator = np.random.default_rng(0)
    a = generator.integers(-128, 128, (8 * group, 2 * size))
    b = generator.integers(-128, 128, (2 * size, 4 * size))

    def run() -> tuple[int, float]:
        state, sizes = make_array(core, [ArrayPass(flow, group, split, a, b)] * 4)
        trace, heads = TRACE.zeros(50_000), np.zeros((50_000, core.strips), np.int64)
        begin = time.process_time()
        cycles = run_cycles(state, sizes, trace, heads)
        elapsed = time.process_time() - begin
        assert state.control.done[0] == 4
        return int(trace.move[:cycles].sum()) * size * size, elapsed

    return run


def compatible(size: int, flow: int) -> Callable[[], tuple[int, float]]:
    """Return a run of one product in the timing scale_sim: (PE-cycles, CPU seconds)."""
    generator = np.random.default_rng(0)
    a = generator.integers(-128, 128, (size, 2 * size), np.int8)
    b = generator.integers(-128, 128, (2 * size, 4 * size), np.int8)

    def run() -> tuple[int, float]:
        begin = time.process_time()
        total = run_pe_level(size, size, flow, a, b).total
        return (total + 1) * size * size, time.process_time() - begin

    return run


def main() -> None:
    """Print the medians; exit code 1 if a case is slower than the goal."""
    cases: dict[str, Callable[[], tuple[int, float]]] = {}
    for size in SIZES:
        for flow in (OS, WS, IS):
            name = f"{size}x{size} {FLOW_NAMES[flow]}"
            cases[f"{name} native, one group"] = native(size, flow, size // 8, CHAIN)
            cases[f"{name} native, chain of {size // 16}"] = native(size, flow, 2, CHAIN)
            cases[f"{name} native, fission-N of {size // 16}"] = native(size, flow, 2, SPLIT_N)
            cases[f"{name} scale_sim"] = compatible(size, flow)
    for run in cases.values():
        run()
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, run in cases.items():
            stepped, elapsed = run()
            speeds[name].append(stepped / elapsed)
    for name, found in speeds.items():
        print(f"{name:36} {statistics.median(found):.2e} PE-cycles per CPU s ({min(found):.1e} to {max(found):.1e})")
    slowest = min(statistics.median(found) for found in speeds.values())
    print(f"slowest median {slowest:.2e}, goal {GOAL:.0e}: {'reached' if slowest >= GOAL else 'NOT reached'}")
    raise SystemExit(slowest < GOAL)


if __name__ == "__main__":
    main()
