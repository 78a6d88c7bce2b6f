"""FFN projections on `stratum` turn from bandwidth-bound to compute-bound where its published figures say.

Derivation.  A slice (16 engines of 16 taps) multiplies 256 weights by one token per cycle, so one 4 KiB row of FP16
weights (2048 of them) takes 8 cycles per token: 8 M ns at 1 GHz.  A bank delivers a row per tRC.  The turn is at
M = tRC / 8 ns: 34.56 / 8 = 4.3 in tier 0 and 55.15 / 8 = 6.9 in tier 7.  Below it time must not depend on M, above it
must grow with M.
"""

from functools import lru_cache

import pytest

import nmpsim
from nmpsim.measure.run import OperatorRun


@lru_cache
def projections(tier: int, m: int) -> dict[str, OperatorRun]:
    run = nmpsim.simulate("llama-3.1-8b", "stratum", batch=m, context=64, layers=1, first_tier=tier)
    return {o.kind: o for o in run.operators if o.kind in ("gate_up", "down")}


@pytest.mark.parametrize("kind", ["gate_up", "down"])
@pytest.mark.parametrize(("tier", "last_bandwidth_bound"), [(0, 4), (7, 6)])
def test_report_names_the_turn(tier: int, last_bandwidth_bound: int, kind: str) -> None:
    assert projections(tier, last_bandwidth_bound)[kind].bound_by == "dram"
    assert projections(tier, last_bandwidth_bound + 1)[kind].bound_by == "compute"


@pytest.mark.parametrize(("tier", "last_bandwidth_bound"), [(0, 4), (7, 6)])
def test_cycles_turn_there(tier: int, last_bandwidth_bound: int) -> None:
    """Measured cycles: flat in M up to the turn, proportional to M behind it (2 % for fill, drain and gather)."""

    def cycles(m: int) -> int:
        return projections(tier, m)["gate_up"].cycles

    last = last_bandwidth_bound
    assert cycles(last) <= 1.02 * cycles(last - 1)
    assert cycles(last + 2) >= 0.98 * cycles(last + 1) * (last + 2) / (last + 1)
