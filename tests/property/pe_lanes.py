"""Digests of tiny runs at PE level, to compare lanes: ``python -m tests.property.pe_lanes``."""

from __future__ import annotations

import hashlib

import numpy as np

from nmpsim.core.pe import run_passes
from nmpsim.core.pe.scale_sim import run_pe_level
from nmpsim.program.isa import CHAIN, FLOW_NAMES, SPLIT_K, SPLIT_N
from tests.unit.core.bench import core_params
from tests.unit.core.pe_bench import FLOWS, job

SPLITS = (CHAIN, SPLIT_K, SPLIT_N)


def digests() -> str:
    """One line per run."""
    core = core_params(strips=2, strip_rows=1, columns=2, pe_latency=1).core
    lines = []
    for flow in FLOWS:
        for split in SPLITS:
            run = run_passes(core, [job(3, flow, 1, split, 1, 5, 4), job(5, flow, 1, split, 1, 3, 3)])
            parts = [run.trace.tobytes(), run.taken.tobytes(), *(result.tobytes() for result in run.results)]
            lines.append(f"{FLOW_NAMES[flow]} {split} {hashlib.sha256(b''.join(parts)).hexdigest()[:16]}")
        a, b = np.arange(6, dtype=np.int8).reshape(2, 3), np.arange(9, dtype=np.int8).reshape(3, 3)
        lines.append(f"{FLOW_NAMES[flow]} {run_pe_level(2, 2, flow, a, b)}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(digests())
