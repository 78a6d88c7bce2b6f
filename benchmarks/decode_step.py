# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Speed of a decode step on both chips, skip mode against plain mode, alternately, in CPU seconds.

Run: ``python benchmarks/decode_step.py`` (median of 3; the first, compiling run is not counted).
"""

import statistics

import nmpsim
from nmpsim.api import prepare, run_job

ROUNDS = 3

for chip in ("snake", "stratum"):
    job = prepare("llama-3.1-8b", chip, batch=16, context=4096, layers=2)
    nmpsim.simulate("llama-3.1-8b", chip, batch=1, context=16, layers=1)
    times: dict[str, list[float]] = {"skip": [], "plain": []}
    for _ in range(ROUNDS):
        for mode, found in times.items():
            run = run_job(job, mode=mode)
            found.append(run.speed["cpu_seconds"])
    skip, plain = (statistics.median(times[mode]) for mode in ("skip", "plain"))
    print(f"{chip}: {run.cycles} cycles, skip {skip:.2f} CPU s, plain {plain:.2f} CPU s: {plain / skip:.1f} times")
