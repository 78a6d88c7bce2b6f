"""Recorded networks of BookSim 2: zero load, router delays and batches to the cycle, curves within their bounds."""

from dataclasses import replace
from pathlib import Path

import pytest

from nmpsim.conformance import noc
from nmpsim.conformance.noc import compare_file, run_paths
from nmpsim.conformance.noc_files import BATCH, CURVE, DELAYS, SPREAD, ZERO_LOAD, find_files, read_file

FOLDER = Path(__file__).parent / "noc"
FILES = find_files([FOLDER])
CURVES = [recorded for recorded in FILES if recorded.kind == CURVE]
BATCHES = read_file(FOLDER / "batch" / "batch_completion.csv")
FAST = ("xbar8__uniform__A_base__p1", "ring8__uniform__A_base__p1", "mesh4x4__uniform__B_spec2vc__p4")


def test_all_files_are_found():
    kinds = [recorded.kind for recorded in FILES]
    assert {kind: kinds.count(kind) for kind in (ZERO_LOAD, DELAYS, BATCH, CURVE, SPREAD)} == {
        ZERO_LOAD: 4,
        DELAYS: 1,
        BATCH: 1,
        CURVE: 37,
        SPREAD: 1,
    }


@pytest.mark.parametrize("plain", [False, True], ids=["skip", "plain"])
@pytest.mark.parametrize("name", ["mesh4x4", "ring16", "xbar16", "hier_star_line"])
def test_every_pair_has_the_recorded_latency(name, plain):
    (outcome,) = compare_file(read_file(FOLDER / "zero_load" / f"{name}.csv"), plain=plain)
    assert outcome.line() == f"zero load {name}: values 256/256"


def test_every_router_setting_has_the_recorded_latency():
    (outcome,) = compare_file(read_file(FOLDER / "zero_load_router_delays_mesh4x4.csv"))
    title = "router delays zero_load_router_delays_mesh4x4 (without internal_speedup = 2.0)"
    assert outcome.line() == f"{title}: values 480/480"


@pytest.mark.parametrize("plain", [False, True], ids=["skip", "plain"])
def test_every_batch_ends_in_the_recorded_cycle(plain):
    outcomes = list(compare_file(BATCHES, plain=plain))
    assert len(outcomes) == 120
    compared = [outcome for outcome in outcomes if not outcome.skipped]
    assert [outcome.line() for outcome in compared if outcome.differences] == []
    assert [outcome.compared for outcome in compared] == [2] * 118
    assert [outcome.skipped for outcome in outcomes if outcome.skipped] == ["topology fly of 2 stages"] * 2


@pytest.mark.parametrize("name", FAST)
def test_some_curves_are_as_recorded(name):
    (outcome,) = compare_file(read_file(FOLDER / "curves" / f"{name}.csv"))
    assert outcome.differences == []
    assert outcome.equal == outcome.compared > 30


@pytest.mark.slow
@pytest.mark.parametrize("recorded", CURVES, ids=lambda recorded: recorded.path.stem)
def test_every_curve_is_as_recorded(recorded):
    (outcome,) = compare_file(recorded)
    assert outcome.differences == []
    if recorded.path.stem.startswith("fattree"):
        assert outcome.skipped == "topology fattree"
    else:
        assert outcome.equal == outcome.compared >= 24


def changed(row, **values):
    """A row with other values."""
    return {**row, **{key: str(value) for key, value in values.items()}}


def test_a_batch_that_ends_one_cycle_later_is_noticed():
    row = BATCHES.rows[0]
    later = changed(row, cycles_to_complete=int(row["cycles_to_complete"]) + 1)
    (outcome,) = compare_file(replace(BATCHES, rows=(later,)))
    assert outcome.equal == 1
    end = int(row["cycles_to_complete"])
    assert outcome.differences == [f"cycles to complete: got {end}, expected {end + 1}"]


def test_a_router_that_is_one_cycle_slower_is_noticed(monkeypatch):
    right = noc.settings_of
    monkeypatch.setattr(noc, "settings_of", lambda config: replace(right(config), vc_alloc_delay=2))
    (outcome,) = compare_file(read_file(FOLDER / "zero_load" / "xbar16.csv"))
    assert outcome.equal == 0
    (batch,) = compare_file(replace(BATCHES, rows=BATCHES.rows[:1]))
    assert batch.differences


def test_a_curve_that_is_four_per_cent_off_is_noticed():
    recorded = read_file(FOLDER / "curves" / "xbar8__uniform__A_base__p1.csv")
    quiet = [row for row in recorded.rows if row["mode"] == "latency"][1]
    slower = changed(quiet, plat_avg=1.04 * float(quiet["plat_avg"]))
    (outcome,) = compare_file(replace(recorded, rows=tuple(slower if row is quiet else row for row in recorded.rows)))
    assert len(outcome.differences) == 1
    assert "plat_avg" in outcome.differences[0]


def test_a_stable_point_that_was_recorded_as_unstable_is_noticed():
    recorded = read_file(FOLDER / "curves" / "ring8__uniform__A_base__p1.csv")
    quiet, unstable = recorded.rows[0], next(row for row in recorded.rows if row["status"] == "unstable")
    (outcome,) = compare_file(replace(recorded, rows=(quiet, changed(unstable, rate=0.3))), seeds=3)
    assert [difference.partition(":")[0] for difference in outcome.differences] == ["rate 0.3 (latency) stable"]


def test_a_file_that_is_listed_is_not_skipped_silently():
    outcomes = list(run_paths([FOLDER / "curves" / "fattree16__uniform__A_base__p1.csv"]))
    assert [outcome.line() for outcome in outcomes] == [
        "curve fattree16__uniform__A_base__p1: not compared: topology fattree"
    ]
