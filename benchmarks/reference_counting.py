# ruff: noqa: INP001, S603, T201  (a folder of scripts that print, no package)
"""What switching off numba's reference counting buys: CPU seconds of a decode step, with and without, alternately.

Run: ``python benchmarks/reference_counting.py`` (compiles both variants first).
"""

import os
import statistics
import subprocess
import sys

SCRIPT = """
import nmpsim
print(nmpsim.simulate("llama-3.1-8b", "snake", batch=16, context=1024, layers=1).speed["cpu_seconds"])
"""
ROUNDS = 3


def measure(counting: str) -> float:
    """CPU seconds of the simulation in a process of its own."""
    environment = {**os.environ, "NMPSIM_REFERENCE_COUNTING": counting}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


for variant in ("0", "1"):
    measure(variant)
times: dict[str, list[float]] = {"0": [], "1": []}
for _ in range(ROUNDS):
    for variant, found in times.items():
        found.append(measure(variant))
off, on = (statistics.median(times[variant]) for variant in ("0", "1"))
print(f"without reference counting {off:.2f} CPU s, with {on:.2f} CPU s: {on / off:.1f} times")
