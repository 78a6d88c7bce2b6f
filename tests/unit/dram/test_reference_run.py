"""Runs of the reference controller as wholes: modes, logs, sizes, accounting, lanes and refusals."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from nmpsim.dram.reference import ControllerSettings, make_requests, run_trace
from nmpsim.dram.reference.build import first_above, first_not_below
from nmpsim.errors import DeadlockError, LimitReached, SpecError, WorkloadError
from tests.unit.dram.toy import QUIET, TOY, half_clocked, run, shown

VARIANTS = {
    "open": ControllerSettings(),
    "small queues": ControllerSettings(read_queue=1, write_queue=2, refresh="PerBank"),
    "capped": ControllerSettings(row_policy="ClosedCAP", row_policy_cap=2, refresh="NoRefresh"),
    "capped, guarded": ControllerSettings(row_policy="ClosedCAP", row_policy_cap=1, scheduler="FRFCFS-RowHit"),
    "half clocks": ControllerSettings(model="HBM34", refresh="AllBank"),
    "half clocks, per bank": ControllerSettings(model="HBM34", refresh="HBM34PerBankRefresh"),
}
RARE = replace(TOY, timing={"nREFI": 300, "nREFIpb": 60, "nRFCpb": 30})


def traffic(protocol, count=400, gap=3, seed=7):
    """Random requests of few rows, a third of them writes, in bursts and pauses."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.integers(0, 2 * gap, count) * (rng.random(count) < 0.5))
    address = np.stack([rng.integers(0, size, count) for size in protocol.sizes], axis=1)
    rows, columns = rng.integers(0, 3, count), rng.integers(0, protocol.columns, count)
    return make_requests(protocol, at, rng.random(count) < 0.33, address, rows, columns)


def protocol_for(settings):
    return half_clocked(RARE) if settings.model == "HBM34" else RARE


def everything(outcome):
    """All of a run as plain values."""
    tables = (outcome.accept, outcome.done, outcome.commands, outcome.address)
    return [*(table.tolist() for table in tables), outcome.ticks, outcome.counters, outcome.reasons]


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_plain_and_skip_mode_give_the_same_bytes(settings):
    protocol = protocol_for(settings)
    requests = traffic(protocol)
    skip, plain = (run_trace(protocol, settings, requests, plain=mode) for mode in (False, True))
    assert everything(skip) == everything(plain)
    assert len(skip.commands) > len(requests) / 2


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_every_tick_has_one_reason_and_every_request_one_column_or_none(settings):
    protocol = protocol_for(settings)
    requests = traffic(protocol)
    outcome = run_trace(protocol, settings, requests)
    counters = outcome.counters
    assert sum(outcome.reasons.values()) == outcome.ticks
    columns = sum(counters[name] for name in ("RD", "WR", "RDA", "WRA"))
    assert columns + counters["forwarded"] + counters["merged"] == len(requests)
    assert sum(counters[name] for name in ("row_hits", "row_misses", "row_conflicts")) == columns
    assert outcome.reasons["column"] == columns
    assert (outcome.done > outcome.accept).all()


def test_the_size_of_the_log_does_not_change_the_commands():
    requests = traffic(RARE, 100)
    whole, bits = (run_trace(RARE, ControllerSettings(), requests, capacity=capacity) for capacity in (10_000, 2))
    assert everything(whole) == everything(bits)
    none = run_trace(RARE, ControllerSettings(), requests, log=False)
    assert len(none.commands) == 0
    assert everything(none)[:2] == everything(whole)[:2]


def test_occupancies_are_entries_at_the_start_of_a_tick_summed_over_the_ticks():
    # the read waits at the start of tick 1 only; the write of the same cycle until its ACT at 3
    outcome = run(TOY, QUIET, (0, "R", 0, 1), (0, "W", 1, 1))
    assert [outcome.counters[name] for name in ("read_occupancy", "write_occupancy")] == [1, 3]
    # two REFab at 50: the first leaves within the tick, the second waits at the start of tick 51
    outcome = run(TOY, replace(QUIET, refresh="AllBank"), drain=60)
    assert outcome.counters["priority_occupancy"] == 1


def test_queues_and_banks_of_any_number():
    wide = replace(RARE, sizes=(1, 2, 8, 16))  # 256 banks
    address = np.stack(np.unravel_index(np.arange(256), wide.sizes), axis=1)
    ones = np.ones(256, int)
    requests = make_requests(wide, 0 * ones, 0 * ones, address, ones, 0 * ones)
    large = replace(QUIET, read_queue=200)
    outcome = run_trace(wide, large, requests, max_inject=300, drain=0)
    assert outcome.accept.tolist()[:200] == [0] * 200
    assert outcome.accept.tolist()[200] > 0
    assert sorted(outcome.address[outcome.commands["command"] == 0].tolist()) == sorted(address.tolist())


def test_requests_are_accepted_in_order_and_at_most_so_many_per_tick():
    outcome = run(TOY, QUIET, *[(0, "R", 0, 1, n) for n in range(5)], most=2)
    assert outcome.accept.tolist() == [0, 0, 1, 1, 2]
    outcome = run(TOY, QUIET, (9, "R", 0, 1), (0, "R", 1, 1))
    assert outcome.accept.tolist() == [9, 9]
    one = replace(QUIET, read_queue=1)
    outcome = run(TOY, one, (0, "R", 0, 1), (0, "R", 0, 1, 1), (0, "W", 1, 1))
    assert outcome.accept.tolist() == [0, 1, 1]  # the ACT of tick 1 makes room; the write waits behind


def test_an_empty_trace_is_only_drained():
    outcome = run(TOY, QUIET, drain=30)
    assert (outcome.ticks, outcome.reasons["no_request"]) == (30, 30)
    assert shown(outcome) == []


@pytest.mark.parametrize(
    ("share", "entries", "above", "not_below"),
    [(0.8, 32, 26, 26), (0.2, 32, 7, 7), (0.5, 4, 3, 2), (1.0, 4, 5, 4), (0.0, 4, 1, 0), (0.58, 50, 30, 29)],
)
def test_watermarks_are_compared_in_single_precision(share, entries, above, not_below):
    """0.58 of 50 entries are 29 in single precision, and slightly less in double precision, where 29 would be above."""
    assert (first_above(share, entries), first_not_below(share, entries)) == (above, not_below)


def test_requests_that_can_never_be_served_are_a_deadlock():
    # a low mark of nothing: write mode never ends, and the read starves
    settings = replace(QUIET, wr_low_watermark=0.0)
    lines = (0, "W", 0, 1), (9, "R", 1, 1)
    for plain in (False, True):
        with pytest.raises(DeadlockError, match="1 requests are not completed; 1 reads, 0 writes"):
            run(TOY, settings, *lines, plain=plain)


def test_a_limit_on_ticks_ends_the_run_with_what_waits():
    with pytest.raises(LimitReached, match="tick 5: 1 requests are not completed"):
        run_trace(TOY, QUIET, make_requests(TOY, [0], [0], [[0, 0, 0, 0]], [1], [0]), limit=5)


def test_a_full_priority_queue_is_reported():
    # REFab keeps a pseudo channel busy for longer than the interval: the queue must overflow
    crowded = replace(TOY, timing={"nREFI": 3})
    with pytest.raises(LimitReached, match="priority queue of 2 is full"):
        run(crowded, ControllerSettings(priority_queue=2), (0, "R", 0, 1), drain=100)


def test_every_wrong_setting_is_named():
    wrong = replace(QUIET, model="HBM9", read_queue=0, scheduler="FCFS", wr_low_watermark=2.0)
    with pytest.raises(SpecError) as caught:
        run(TOY, wrong, (0, "R", 0, 1))
    said = [fault.where for fault in caught.value.faults if fault.where.startswith("settings")]
    assert said == ["settings: model", "settings: scheduler", "settings: read_queue", "settings: wr_low_watermark"]


@pytest.mark.parametrize(
    ("protocol", "settings", "said"),
    [
        (replace(TOY, commands=TOY.commands[1:]), QUIET, "no ACT"),
        (replace(TOY, timing={}), ControllerSettings(), "timing nREFI"),
        (half_clocked(TOY), QUIET, "HBM12 with half_clock_edges = True"),
        (replace(TOY, constraints=(replace(TOY.constraints[0], latency=(3, 4)),)), QUIET, "2 tiers"),
    ],
    ids=["command", "timing", "clocks", "tiers"],
)
def test_a_protocol_that_does_not_fit_is_refused(protocol, settings, said):
    with pytest.raises(SpecError, match=said):
        run(protocol, settings, (0, "R", 0, 1))


def test_a_request_outside_the_protocol_is_refused():
    with pytest.raises(WorkloadError, match="request 1: row: got 16; allowed: 0 to 15"):
        make_requests(TOY, [0, 0], [0, 0], [[0, 0, 0, 0], [0, 0, 0, 1]], [0, 16], [0, 0])


SCRIPT = """
from tests.unit.dram.test_reference_run import RARE, VARIANTS, everything, protocol_for, run_trace, traffic
import hashlib
for settings in VARIANTS.values():
    protocol = protocol_for(settings)
    outcome = run_trace(protocol, settings, traffic(protocol, 60), drain=50)
    print(hashlib.sha256(repr(everything(outcome)).encode()).hexdigest())
"""


def test_the_interpreted_lane_gives_the_same_bytes(root):
    found = []
    for lane in ("interpreted", "compiled"):
        environment = {**os.environ, "NMPSIM_LANE": lane, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1]
    assert len(found[0].split()) == len(VARIANTS)
