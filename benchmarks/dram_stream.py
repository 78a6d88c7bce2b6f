# ruff: noqa: INP001  (a folder of scripts, no package)
"""Speed of the DRAM kernel: column commands per CPU second in 256 streaming banks, log off.

Run: ``python benchmarks/dram_stream.py`` (median of 5; the first, compiling run is not counted).
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from nmpsim.dram.native.stream import stream_banks
from nmpsim.spec import load_chip, resolve

ROWS = 1000
ROUNDS = 5


def columns_per_second(nRRD: int, refresh: bool, plain: bool) -> float:
    """Return column commands per CPU second; the median of ROUNDS runs."""
    chip = resolve(load_chip("stratum"))
    chip = replace(chip, dram=chip.dram._replace(nRRD=nRRD))
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        stream_banks(chip, 0, ROWS, refresh=refresh, plain=plain)
        seconds.append(time.process_time() - start)
    return chip.cores * chip.dram.banks * ROWS * chip.dram.columns / statistics.median(seconds)


def main() -> None:
    """Print one line per case."""
    stream_banks(resolve(load_chip("stratum")), 0, 1)
    for name, nRRD, refresh, plain in (
        ("skip, banks in step", 0, False, False),
        ("skip, refresh on", 0, True, False),
        ("skip, banks staggered by nRRD 2", 2, False, False),
        ("plain, banks in step", 0, False, True),
    ):
        speed = columns_per_second(nRRD, refresh, plain)
        sys.stdout.write(f"{name:32} {speed / 1e6:6.2f} M columns per CPU second\n")


if __name__ == "__main__":
    main()
