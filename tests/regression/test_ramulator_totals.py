"""Clocks that Ramulator 2.1 (main at c5b1c3a) needed for a million requests, reached to the clock.

Measured with Ramulator 2.1's release build: FR-FCFS, open page, all-bank refresh, queues of 32, pass-through mapping;
up to two requests are offered per clock until refused, and the count ends when all requests have completed.  The walk
takes its fields in the given order, the fastest first; in a mix every third request is a write.
"""

from __future__ import annotations

import numpy as np
import pytest

from nmpsim.dram.reference import ControllerSettings, make_requests, run_trace
from nmpsim.spec.protocol import Protocol
from nmpsim.spec.standard import load_standard

COUNT = 1_000_000


def hbm2() -> Protocol:
    return load_standard("hbm2", organisation="HBM2_8Gb", timing="HBM2_2000Mbps", peer_exact=True)


def hbm3() -> Protocol:
    return load_standard("hbm3", organisation="HBM3_16Gb_8hi", timing="HBM3_6400Mbps", peer_exact=True)


HBM2_WALK = ((2, 4, 4, 65536, 32), (0, 1, 2, 4, 3))
HBM3_WALK = ((2, 2, 4, 4, 16384, 32), (0, 2, 3, 5, 1, 4))


def walk(protocol: Protocol, sizes: tuple[int, ...], order: tuple[int, ...], write_every: int) -> np.ndarray:
    """Return the requests of a walk; `sizes` are those of the levels below the channel, then rows and columns."""
    number = np.arange(COUNT)
    fields = [number] * len(sizes)
    for level in order:
        fields[level] = number % sizes[level]
        number = number // sizes[level]
    address = np.column_stack([np.zeros(COUNT, np.int64), *fields[:-2]])
    writes = np.zeros(COUNT, np.int64)
    if write_every:
        writes[write_every - 1 :: write_every] = 1
    return make_requests(protocol, np.zeros(COUNT, np.int64), writes, address, fields[-2], fields[-1])


@pytest.mark.parametrize(
    ("standard", "shape", "write_every", "clocks"),
    [
        (hbm2, HBM2_WALK, 0, 1_142_256),
        (hbm2, HBM2_WALK, 3, 1_558_611),
        (hbm3, HBM3_WALK, 0, 2_301_609),
        (hbm3, HBM3_WALK, 3, 3_606_089),
    ],
    ids=["HBM2 stream", "HBM2 mix", "HBM3 stream", "HBM3 mix"],
)
def test_a_million_requests_take_as_many_clocks(standard, shape, write_every, clocks):
    protocol = standard()
    model = "HBM34" if protocol.half_clock_edges else "HBM12"
    requests = walk(protocol, *shape, write_every)
    run = run_trace(protocol, ControllerSettings(model=model), requests, drain=0, log=False)
    assert run.ticks == clocks
