"""DRAM parameters for tests: a small hand-made channel, and the shipped chip `stratum`."""

from __future__ import annotations

import numpy as np

from nmpsim.spec import MachineParams, load_chip, resolve, with_overrides
from nmpsim.spec.params import ACT, PRE, RD, REF, WR, DramParams

SEPARATIONS = {  # name of the separation: pairs (previous, next) it holds for
    "nRCD": [(ACT, RD), (ACT, WR)],
    "nRAS": [(ACT, PRE)],
    "nRC": [(ACT, ACT), (ACT, REF)],
    "nRP": [(PRE, ACT), (PRE, REF)],
    "nCCD": [(RD, RD), (WR, WR)],
    "nRTW": [(RD, WR)],
    "nWTR": [(WR, RD)],
    "nRTP": [(RD, PRE)],
    "nWTP": [(WR, PRE)],
    "nRFC": [(REF, ACT), (REF, REF)],
}


def latency_table(*tiers: dict[str, int]) -> np.ndarray:
    """Constraint table from named separations, one dict per tier; absent names leave -1."""
    table = np.full((len(tiers), 5, 5), -1, np.int64)
    for tier, separations in enumerate(tiers):
        for name, cycles in separations.items():
            for previous, following in SEPARATIONS[name]:
                table[tier, previous, following] = cycles
    return table


SMALL_TIER = {"nRCD": 3, "nRAS": 12, "nRC": 17, "nRP": 5, "nCCD": 2, "nRTW": 6, "nWTR": 7, "nRTP": 4, "nWTP": 8}
SMALL_TIERS = ({**SMALL_TIER, "nRFC": 20}, {**SMALL_TIER, "nRCD": 6, "nRAS": 15, "nRC": 20, "nRFC": 20})

SMALL = DramParams(
    banks=2,
    rows=16,
    columns=4,
    column_bytes=32,
    tiers=2,
    rows_per_tier=8,
    fifo_columns=8,
    run_queue=2,
    nCL=3,
    nCWL=2,
    nPORT=1,
    nCREDIT=2,
    nRRD=0,
    nFAW=0,
    nREFI=200,
    refresh=0,
    postpone=1,
)
"""Two banks of two tiers, small enough to count on fingers."""


def stratum(dram_GHz: float) -> MachineParams:
    """The shipped chip `stratum` on a command grid of 1 / `dram_GHz` ns."""
    return resolve(with_overrides(load_chip("stratum"), {"clock.dram_GHz": dram_GHz}))
