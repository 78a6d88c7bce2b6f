"""Shares, utilisations, sums by kind and the ridge."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import InternalError
from nmpsim.report.figures import (
    check_sum,
    dram_utilisation,
    ffn_lines,
    largest,
    mac_utilisation,
    percentages,
    ridge,
    rows_by_kind,
)
from tests.unit.report.small import run_of

PARTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=20).filter(any)


def thousandths(values):
    """Printed shares without their point."""
    return [int(text.replace(".", "")) for text in percentages(values)]


@given(PARTS)
def test_printed_percentages_add_up_to_exactly_100(values):
    assert sum(thousandths(values)) == 1000


@given(PARTS)
def test_a_percentage_is_off_by_less_than_one_last_digit(values):
    whole = sum(values)
    for value, share in zip(values, thousandths(values), strict=True):
        assert abs(share * whole - 1000 * value) < whole


def test_shares_of_nothing_are_nothing():
    assert percentages([0, 0]) == ["0.0", "0.0"]
    assert percentages([]) == []


def test_the_largest_bound_is_named_and_no_work_means_latency():
    assert largest({"compute": 2.0, "dram": 3.0}) == "dram"
    assert largest({"compute": 0.0, "dram": 0.0}) == "latency"


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("base", ["snake", "stratum"])
def test_rows_by_kind_hold_every_operator_once(base, moe):
    run = run_of(base, moe=moe)
    rows = rows_by_kind(run)
    assert len({row.name for row in rows}) == len(rows) < len(run.operators)
    assert sum(row.operators for row in rows) == len(run.operators)
    assert sum(row.cycles for row in rows) == run.cycles
    assert sum(row.macs for row in rows) == sum(o.macs for o in run.operators) > 0
    assert sum(row.moved_bytes for row in rows) == sum(o.read_bytes + o.write_bytes for o in run.operators) > 0
    assert sum(row.flits for row in rows) == run.counts["flits"] > 0


def test_a_run_whose_operators_do_not_explain_its_cycles_is_a_bug():
    run = run_of()
    check_sum(run)
    with pytest.raises(InternalError, match=f"take {run.cycles} core cycles, the run {run.cycles + 1}"):
        check_sum(dataclasses.replace(run, cycles=run.cycles + 1))


def test_utilisations_have_the_denominators_of_their_names():
    run = dataclasses.replace(run_of(), clock_GHz=0.5, peaks={"macs_per_cycle": 100.0, "dram_bytes_per_second": 2e9})
    assert mac_utilisation(run, 500, 10) == 0.5
    assert dram_utilisation(run, 20, 10) == 0.5  # 10 cycles of 2 ns at 2 GB/s move 40 bytes
    assert mac_utilisation(run, 0, 0) is None
    assert dram_utilisation(run, 0, 0) is None


def test_the_ridge_of_snake_is_where_peak_compute_meets_a_tier():
    """262144 MACs x 0.8 GHz and 256 rows of 4 KiB per tRC of 34.56 or 55.15 ns: 2 B x MAC/s / (B/s); PUs cancel."""
    run = run_of()
    for key, row_ns in (("dram_bytes_per_second", 34.56), ("dram_bytes_per_second_slowest", 55.15)):
        assert ridge(run, run.peaks[key]) == pytest.approx(2 * 262144 * 0.8e9 / (256 * 4096 / (row_ns * 1e-9)))


def ffn_run(**bounds):
    """The run with its first gate_up and down only, which have these bounds."""
    run = run_of()
    operators = [
        dataclasses.replace(o, bounds={"compute": 0.0, "vector": 0.0, "dram": 0.0, "noc": 0.0, **bounds})
        for o in run.operators
        if o.name in {"layer0.gate_up", "layer0.down"}
    ]
    return dataclasses.replace(run, operators=tuple(operators))


RIDGES = "turns at M = 13.8 in tier 0, 22.1 in the slowest tier; M = 2.0 here"


def test_a_projection_past_the_ridge_is_compute_bound():
    assert ffn_lines(ffn_run(compute=7168.0, dram=6193.0)) == [
        f"gate_up: compute-bound (compute 7,168 >= dram 6,193 cycles); {RIDGES}",
        f"down: compute-bound (compute 7,168 >= dram 6,193 cycles); {RIDGES}",
    ]


def test_a_projection_before_the_ridge_is_bandwidth_bound():
    assert ffn_lines(ffn_run(compute=448.0, dram=6193.0)) == [
        f"gate_up: bandwidth-bound (compute 448 < dram 6,193 cycles); {RIDGES}",
        f"down: bandwidth-bound (compute 448 < dram 6,193 cycles); {RIDGES}",
    ]


def test_the_projections_of_all_layers_and_experts_share_a_line():
    run = run_of(moe=True)
    gate_up, down = ffn_lines(run)
    experts = sum(o.kind == "gate_up" for o in run.operators)
    assert experts > 2
    for line in (gate_up, down):
        assert f", {experts} operators)" in line
